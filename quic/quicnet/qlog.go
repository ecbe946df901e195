package quicnet

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/boringquic/boringquic/quic"
)

// QlogDir returns what quic.Config.Qlog takes to have each connection traced in a file of its own in a folder, which is made if it is not there:
// <odcid>_client.sqlog or <odcid>_server.sqlog, where odcid is the Destination Connection ID of the client's first packet in hexadecimal, so that the
// traces of both sides find each other. A file that is there already is not written to. Each has at most qlog.DefaultMaxSize bytes; how many there are
// the clients of a server decide: it is for finding out, not for always.
//
// A file that cannot be made or written to leaves its connection without a trace, or without the rest of it, and nothing else. onError, which may be nil,
// is told of the first such error. It may be called on any goroutine, while a connection's lock is held, and must not call the connection.
func QlogDir(dir string, onError func(error)) func(client bool, odcid quic.ConnID) io.WriteCloser {
	var once sync.Once
	tell := func(err error) {
		if err != nil && onError != nil {
			once.Do(func() { onError(fmt.Errorf("no qlog is written: %w", err)) })
		}
	}
	return func(client bool, odcid quic.ConnID) io.WriteCloser {
		side := "server"
		if client {
			side = "client"
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			tell(err)
			return nil
		}
		name := filepath.Join(dir, hex.EncodeToString(odcid.Bytes())+"_"+side+".sqlog")
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			tell(err)
			return nil
		}
		return &qlogFile{f, tell}
	}
}

// qlogFile tells of errors.
type qlogFile struct {
	*os.File
	tell func(error)
}

func (f *qlogFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.tell(err)
	return n, err
}

func (f *qlogFile) Close() error {
	err := f.File.Close()
	f.tell(err)
	return err
}
