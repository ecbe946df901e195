package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// during does in mid-transfer what --migrate and --key-update want: it is told of the bytes of files, or of what is sent, as an io.Writer, and begins when
// enough have come.
type during struct {
	conn   *quicnet.Conn
	o      *options
	left   atomic.Int64 // bytes before it begins
	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}

	updates int
	errs    []error
}

func newDuring(ctx context.Context, conn *quicnet.Conn, o *options) *during {
	d := &during{conn: conn, o: o, done: make(chan struct{})}
	d.ctx, d.cancel = context.WithCancel(ctx)
	d.left.Store(o.after)
	d.Write(nil)
	return d
}

func (d *during) Write(p []byte) (int, error) {
	if d.left.Add(-int64(len(p))) <= 0 && d.wanted() {
		d.once.Do(func() { go d.run() })
	}
	return len(p), nil
}

func (d *during) wanted() bool { return d.o.migrate != "" || d.o.keyUpdate }

func (d *during) run() {
	defer close(d.done)
	if d.o.keyUpdate {
		if err := d.updateKeys(); err != nil {
			d.errs = append(d.errs, fmt.Errorf("no key update: %w", err))
		} else {
			d.updates++
		}
	}
	if d.o.migrate != "" {
		if err := d.conn.Migrate(d.ctx, d.o.migrate); err != nil {
			d.errs = append(d.errs, fmt.Errorf("the connection has not moved: %w", err))
		}
	}
}

// updateKeys tries until keys may be updated, which is when the handshake is confirmed.
func (d *during) updateKeys() error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		err := d.conn.KeyUpdate()
		if !errors.Is(err, quic.ErrKeyUpdateTooSoon) {
			return err
		}
		select {
		case <-ticker.C:
		case <-d.ctx.Done():
			return err
		}
	}
}

// end waits for what is being done when the files are there, stops it if it takes long, and returns what has failed.
func (d *during) end(updates *int) error {
	defer d.cancel()
	if !d.wanted() {
		return nil
	}
	started := true
	d.once.Do(func() { started = false })
	if !started {
		return fmt.Errorf("neither moved nor updated keys: all files together have less than the %d bytes of --after", d.o.after)
	}
	defer time.AfterFunc(patience, d.cancel).Stop()
	<-d.done
	*updates = d.updates
	return errors.Join(d.errs...)
}

// patience is how long --migrate and --key-update may take when the files are there.
const patience = 3 * time.Second
