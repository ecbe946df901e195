package endpoint

import (
	"errors"
	"sync/atomic"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// keyUpdateAfter is how many bytes a client has received when it updates the keys: the first megabyte is what the test case wants.
const keyUpdateAfter = 256 << 10

// progress counts what arrives on all streams of a connection, and has the keys be updated in its course.
type progress struct {
	n      atomic.Int64
	update func() error // nil: there is nothing to do
	done   atomic.Bool  // the keys were updated
}

func newProgress(update func() error) *progress { return &progress{update: update} }

// Write counts p.
func (g *progress) Write(p []byte) (int, error) {
	if n := g.n.Add(int64(len(p))); g.update != nil && n >= keyUpdateAfter && !g.done.Load() {
		if g.update() == nil { // if not, the handshake is not confirmed yet
			g.done.Store(true)
		}
	}
	return len(p), nil
}

// end tells what was to be done and was not.
func (g *progress) end() error {
	if g.update != nil && !g.done.Load() {
		return errors.New("the keys were not updated: too little was received")
	}
	return nil
}

// keyUpdater returns what updates the keys of a connection, nil if the test case wants no such thing.
func (cl *client) keyUpdater(conn *quicnet.Conn) func() error {
	if !cl.c.keyUpdate {
		return nil
	}
	return conn.KeyUpdate
}
