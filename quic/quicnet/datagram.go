package quicnet

import (
	"context"
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/quic"
)

// SendDatagram sends p as one datagram (RFC 9221), which arrives whole, at most once, or not at all. It waits while 128 wait to be
// sent: that keeps a sender from being faster than the path, and none is dropped for it. A datagram may have MaxDatagramSize bytes;
// of a larger one the error is a *quic.DatagramTooLargeError, and quic.ErrDatagramUnsupported if the peer takes none.
func (c *Conn) SendDatagram(ctx context.Context, p []byte) error {
	c.mu.Lock()
	for {
		err := c.ready()
		if err == nil {
			err = c.core.DatagramSend(p)
		}
		if !errors.Is(err, quic.ErrDatagramQueueFull) && err != quic.ErrEarlyDataRejected { // new ones are taken soon
			c.datagramOut.wake()
			claimed := (err == nil || c.core.WantsSend()) && c.claim() // what is too large has another size of datagrams be tried
			c.mu.Unlock()
			if claimed {
				c.flushSoon(len(p))
			}
			return err
		}
		if err := c.datagramOut.waitContext(ctx, &c.mu); err != nil {
			c.mu.Unlock()
			return fmt.Errorf("quicnet: send datagram: %w", err)
		}
	}
}

// ReceiveDatagram waits for a datagram and copies it into p; what does not fit is lost. At most 128 wait to be received: a further
// one drops the oldest, which quic.Stats.DatagramFramesDropped counts. So a program that must not miss any has a goroutine that
// does nothing but receive them. The error is quic.ErrDatagramsOff if our own quic.Config.MaxDatagramFrameSize allows none.
func (c *Conn) ReceiveDatagram(ctx context.Context, p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.core.TakesDatagrams() {
		return 0, quic.ErrDatagramsOff
	}
	for {
		if n, ok := c.core.DatagramRecv(p); ok {
			c.datagramIn.wake() // there may be more
			return n, nil
		}
		if err := c.ready(); err != nil {
			c.datagramIn.wake()
			return 0, err
		}
		if err := c.datagramIn.waitContext(ctx, &c.mu); err != nil {
			return 0, fmt.Errorf("quicnet: receive datagram: %w", err)
		}
	}
}

// MaxDatagramSize returns how many bytes a datagram may have now; 0 if the peer takes none.
func (c *Conn) MaxDatagramSize() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0
	}
	return c.core.MaxDatagramSize()
}
