package quicnet

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// reporter tells of clients that came to nothing. Whoever finds one out holds locks, and user code must not run under those: so
// reports wait in a queue, and a goroutine that runs while there are any makes the calls, one at a time.
type reporter struct {
	logger  *slog.Logger
	onError func(remote net.Addr, err error)

	mu       sync.Mutex
	queue    []failure // at most handshakeErrorBurst
	running  bool
	credit   float64 // how many may be told of now
	creditAt time.Time
	omitted  uint64 // not told of since the last one that was
}

type failure struct {
	remote  net.Addr
	err     error
	omitted uint64 // before this one
}

// report has a failure told, or counts it if there were too many lately.
func (r *reporter) report(now time.Time, remote net.Addr, err error) {
	if r.logger == nil && r.onError == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.creditAt.IsZero() {
		r.credit = handshakeErrorBurst
	}
	r.credit = min(r.credit+handshakeErrorRate*now.Sub(r.creditAt).Seconds(), handshakeErrorBurst)
	r.creditAt = now
	if r.credit < 1 || len(r.queue) == handshakeErrorBurst {
		r.omitted++
		return
	}
	r.credit--
	r.queue = append(r.queue, failure{remote, err, r.omitted})
	r.omitted = 0
	if !r.running {
		r.running = true
		go r.run()
	}
}

// run makes the calls until there are none left to make.
func (r *reporter) run() {
	for {
		r.mu.Lock()
		queue := r.queue
		r.queue = nil
		r.running = len(queue) > 0
		r.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		for _, f := range queue {
			r.tell(f)
		}
	}
}

func (r *reporter) tell(f failure) {
	if r.logger != nil {
		attrs := []any{"remote", f.remote.String(), "err", f.err}
		if f.omitted > 0 {
			attrs = append(attrs, "omitted", f.omitted)
		}
		r.logger.Warn("quicnet: a client's connection attempt failed", attrs...)
	}
	if r.onError != nil {
		r.onError(f.remote, f.err)
	}
}

// reportFailure tells of a client whose connection is closed before Accept could have returned it, unless it is us who want no
// connections any more. c.mu is held.
func (c *Conn) reportFailure(now time.Time) {
	err := c.core.Err()
	if c.shard.ep.draining.Load() {
		return
	}
	if app := (*quic.ApplicationError)(nil); errors.As(err, &app) && !app.Remote {
		return // Endpoint.Close
	}
	c.shard.ep.reports.report(now, net.UDPAddrFromAddrPort(c.core.RemoteAddr()), err)
}
