package quic

import (
	"errors"
	"time"

	"github.com/boringquic/boringquic/quic/internal/rest"
)

// idle is when silence ends the connection, and when silence is broken (RFC 9000, section 10.1).
type idle struct {
	timeout      int64 // 0: none
	keepAlive    int64 // as configured; 0: never
	since        int64 // when the timer was last restarted
	active       int64 // when anything was last sent or received that counts
	handshake    int64 // when the handshake must be complete; 0: it is
	refusedSince int64 // when the first of refused was
	refused      uint8 // packets that ICMP says were refused since anything was received (see onRefused)
	eliciting    bool  // an ack-eliciting packet was sent since the last one was received
	keptAlive    bool  // a PING for this silence is on its way
	provisional  bool  // timeout is there until the handshake is confirmed
	rest         rest.State
}

func (i *idle) init(now int64, cfg *Config) {
	i.since, i.active, i.rest = now, now, rest.New
	i.handshake = now + int64(cfg.HandshakeTimeout)
	i.keepAlive = int64(cfg.KeepAlive)
	i.timeout = max(int64(cfg.MaxIdleTimeout), 0)
}

// SetMaxIdleTimeout is Config.MaxIdleTimeout for this connection alone, which has neither sent nor received anything: for programs that have a
// connection before they know. A server must have been accepted without ClientDstConnID. With a Session it is to be called after SetSession.
//
// The error is that of the connection, or says that it is too late.
func (c *Conn) SetMaxIdleTimeout(d time.Duration) error {
	switch {
	case c.err != nil:
		return c.err
	case c.counts.udpSent+c.counts.udpReceived > 0 || !c.client && c.hello.awaited == nil || c.tls.early != EarlyNone:
		return errIdleLate
	}
	own := *c.cfg
	own.MaxIdleTimeout = wholeMilliseconds(d)
	orDefault(&own.MaxIdleTimeout, usualIdleTimeout)
	c.cfg = &own
	c.idle.timeout = max(int64(own.MaxIdleTimeout), 0)
	if !c.client {
		return nil // its transport parameters are made when its client is known
	}
	return c.firstFlightAgain()
}

var errIdleLate = errors.New("quic: another idle timeout is for a connection that has neither sent nor received anything")

// negotiate takes the peer's max_idle_timeout, 0 for none: the smaller one rules.
func (i *idle) negotiate(cfg *Config, peer time.Duration) {
	p := int64(min(peer, maxIdleTimeoutCap))
	if p > 0 && (cfg.MaxIdleTimeout <= 0 || p < int64(cfg.MaxIdleTimeout)) {
		i.timeout = p
	}
}

// untilConfirmed gives a client without an idle timeout one as long as the handshake is complete and not confirmed: its last packets may not have
// arrived before the server gave up and forgot it, of which it may never hear.
func (i *idle) untilConfirmed(timeout time.Duration) {
	if i.timeout == 0 {
		i.timeout, i.provisional = int64(timeout), true
	}
}

func (i *idle) onConfirmed() {
	if i.provisional {
		i.timeout, i.provisional = 0, false
	}
}

// onReceived restarts the timer: a packet was processed.
func (i *idle) onReceived(now int64) {
	i.since, i.active, i.eliciting, i.keptAlive = now, now, false, false
	i.refused = 0
}

// onSent restarts the timer if this is the first ack-eliciting packet since one was received.
func (i *idle) onSent(now int64) {
	i.active = now
	if !i.eliciting {
		i.eliciting, i.since = true, now
	}
}

// deadline is when the connection ends, 0 if never. It is never before three PTOs have passed.
func (i *idle) deadline(pto int64) int64 {
	if i.timeout == 0 {
		return 0
	}
	return i.since + max(i.timeout, 3*pto)
}

// keepAliveAt is when a PING is due, 0 if never: in time for a peer whose PTO is that long, and which waits, like us, for three of them
// at least, however short a timeout it asked for.
func (i *idle) keepAliveAt(pto int64) int64 {
	if i.keepAlive == 0 || i.keptAlive || i.handshake != 0 {
		return 0
	}
	interval := i.keepAlive
	if i.timeout > 0 {
		interval = min(interval, max(i.timeout, 3*pto)/2)
	}
	return i.active + interval
}
