package udp

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	// quickRetries is how many reads may fail in a row before the next ones wait retryPause each.
	quickRetries = 10
	retryPause   = time.Millisecond

	// maxFailedReads is after how many failed reads in a row a socket is given up.
	maxFailedReads = 1000

	// apart is how far apart failed reads are not in a row.
	apart = 100 * time.Millisecond
)

// failures counts reads that failed in a row. What the network reports about earlier sends, such as a port that is
// unreachable, is no reason to stop reading; a read that fails over and over is.
type failures struct {
	n    int
	last time.Time
}

// after decides on a failed read: nil says to read again. If the socket is closed the error is net.ErrClosed.
func (f *failures) after(err error) error {
	if isClosed(err) {
		return net.ErrClosed
	}
	now := time.Now()
	if now.Sub(f.last) > apart {
		f.n = 0
	}
	f.n++
	switch {
	case errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENOBUFS):
		f.n = min(f.n, quickRetries+1) // that will pass
	case f.n >= maxFailedReads:
		return err
	}
	if f.n > quickRetries {
		time.Sleep(retryPause)
	}
	f.last = time.Now()
	return nil
}

// isClosed tells whether an error says that a net.PacketConn is closed.
func isClosed(err error) bool {
	for _, closed := range []error{net.ErrClosed, os.ErrClosed, io.EOF, io.ErrClosedPipe} {
		if errors.Is(err, closed) {
			return true
		}
	}
	return false
}
