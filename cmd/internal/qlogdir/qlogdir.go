// Package qlogdir is what --qlog-dir and QLOGDIR of the commands do.
package qlogdir

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// Qlog returns what quic.Config.Qlog is to be for a folder; nil if dir is empty. The first thing that goes wrong is told to log: a folder that
// cannot be made or written to at once, before there is a connection, and then the program works on without traces.
func Qlog(program, dir string, log io.Writer) func(client bool, odcid quic.ConnID) io.WriteCloser {
	if dir == "" {
		return nil
	}
	tell := func(err error) { fmt.Fprintf(log, "%s: %v\n", program, err) }
	if err := try(dir); err != nil {
		tell(fmt.Errorf("no qlog is written: %w", err))
		return nil
	}
	return quicnet.QlogDir(dir, tell)
}

// try makes the folder, and a file in it that goes again.
func try(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".try-*.sqlog")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
