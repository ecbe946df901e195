package quicnet

import (
	"context"
	"fmt"
)

// CloseGracefully is CloseWithError that waits before: until everything on the streams that were ended, by Close, Finish or
// WriteFinal, is acknowledged. So an answer is not lost because its connection was closed. What was written on streams that were not
// ended is not waited for, nor are datagrams. Whoever calls it writes no more; a stream that is ended meanwhile is waited for, too.
//
// If ctx ends first, the connection is closed then, and the error is that of ctx: its deadline is the bound. If the peer closes the
// connection or falls silent meanwhile, the error is that of the connection. It is nil if everything had arrived, also on a connection
// that is closed already.
func (c *Conn) CloseGracefully(ctx context.Context, code uint64, reason string) error {
	err := c.waitUnacked(ctx)
	c.CloseWithError(code, reason)
	return err
}

func (c *Conn) waitUnacked(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.lingering.wake() // it is so for all
	for c.unacked > 0 {
		if c.closed {
			return c.core.Err()
		}
		if err := c.lingering.waitContext(ctx, &c.mu); err != nil {
			return fmt.Errorf("quicnet: close gracefully: %w", err)
		}
	}
	return nil
}
