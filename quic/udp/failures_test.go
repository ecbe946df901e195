package udp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestFailures has reads fail, in virtual time: never are there more than about a thousand a second, and only those that fail over
// and over end the socket.
func TestFailures(t *testing.T) {
	refused := &net.OpError{Op: "read", Err: os.NewSyscallError("recvmsg", syscall.ECONNREFUSED)}
	for _, c := range []struct {
		name  string
		err   error
		every time.Duration // between one read and the next
		reads int
		dies  bool
	}{
		{"a few, at once", refused, 0, 100, false},
		{"without end, at once", refused, 0, 1 << 20, true},
		{"many, now and then", refused, time.Second, 5000, false},
		{"no memory", syscall.ENOMEM, 0, 5000, false},
		{"no buffers", os.NewSyscallError("recvmsg", syscall.ENOBUFS), 0, 5000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var f failures
				start, reads := time.Now(), 0
				for ; reads < c.reads; reads++ {
					time.Sleep(c.every) // virtual
					if err := f.after(c.err); err != nil {
						if !errors.Is(err, c.err) {
							t.Errorf("the error is %v, not %v", err, c.err)
						}
						break
					}
				}
				if dies := reads < c.reads; dies != c.dies {
					t.Errorf("after %d reads in %v it ends: %v, want %v", reads, time.Since(start), dies, c.dies)
				}
				if most := quickRetries + 1 + int(time.Since(start)/retryPause); reads > most {
					t.Errorf("%d reads in %v, want at most %d", reads, time.Since(start), most)
				}
			})
		})
	}
	for _, closed := range []error{net.ErrClosed, os.ErrClosed, io.EOF, io.ErrClosedPipe, fmt.Errorf("wrapped: %w", net.ErrClosed)} {
		var f failures
		if err := f.after(closed); err != net.ErrClosed {
			t.Errorf("%v became %v, not net.ErrClosed", closed, err)
		}
	}
}
