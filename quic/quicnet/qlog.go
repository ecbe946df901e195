package quicnet

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/boringquic/boringquic/quic"
)

// QlogDir returns what quic.Config.Qlog takes to have each connection traced in a file of its own in a folder, which is made if it is not there:
// <odcid>_client.sqlog or <odcid>_server.sqlog, where odcid is the Destination Connection ID of the client's first packet in hexadecimal, so that the
// traces of both sides find each other. A file that is there already is not written to. Each has at most qlog.DefaultMaxSize bytes, and at most 512
// are open at a time, so that traces leave a process descriptors for what it is there for; how many there come to be the clients of a server decide: it
// is for finding out, not for always. A trace holds no secrets, but addresses and connection IDs (package qlog): who may read it the umask of the process
// decides, and the folder.
//
// A connection beyond those, or a file that cannot be made or written to, has no trace, or not the rest of it, and goes on. onError, which may be nil,
// is told of the first such case. It may be called on any goroutine, while a connection's lock is held, and must not call the connection.
func QlogDir(dir string, onError func(error)) func(client bool, odcid quic.ConnID) io.WriteCloser {
	var (
		once sync.Once
		open atomic.Int32
	)
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
		if open.Add(1) > maxTraces {
			open.Add(-1)
			tell(errTraces)
			return nil
		}
		f, err := traceFile(dir, side, odcid)
		if err != nil {
			open.Add(-1)
			tell(err)
			return nil
		}
		return &qlogFile{f, tell, &open}
	}
}

// maxTraces is how many files of one QlogDir are open at a time: half of the descriptors that a process has at the least, as a rule.
const maxTraces = 512

var errTraces = fmt.Errorf("%d connections are traced, and no more are at a time", maxTraces)

func traceFile(dir, side string, odcid quic.ConnID) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, hex.EncodeToString(odcid.Bytes())+"_"+side+".sqlog")
	return os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
}

// qlogFile tells of errors, and counts for open until it is closed, once.
type qlogFile struct {
	*os.File
	tell func(error)
	open *atomic.Int32
}

func (f *qlogFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.tell(err)
	return n, err
}

func (f *qlogFile) Close() error {
	err := f.File.Close()
	f.open.Add(-1)
	f.tell(err)
	return err
}
