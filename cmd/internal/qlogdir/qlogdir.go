// Package qlogdir is what --qlog-dir and QLOGDIR of the commands do.
package qlogdir

import (
	"fmt"
	"io"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// Qlog returns what quic.Config.Qlog is to be for a folder; nil if dir is empty. The first thing that goes wrong is told to log.
func Qlog(program, dir string, log io.Writer) func(client bool, odcid quic.ConnID) io.WriteCloser {
	if dir == "" {
		return nil
	}
	return quicnet.QlogDir(dir, func(err error) { fmt.Fprintf(log, "%s: %v\n", program, err) })
}
