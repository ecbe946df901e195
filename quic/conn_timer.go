package quic

import (
	"time"

	"github.com/boringquic/boringquic/quic/internal/recovery"
)

// Timeout returns when OnTimeout is to be called next; ok is false if never. The time may have passed already.
func (c *Conn) Timeout() (at time.Time, ok bool) {
	t := c.timer()
	if t == 0 {
		return time.Time{}, false
	}
	return c.clock.time(t), true
}

func (c *Conn) timer() int64 {
	switch c.state {
	case stateDrained:
		return 0
	case stateClosing, stateDraining:
		return c.closing.until
	}
	pto := c.pto(c.path.rec)
	at := earlier(c.loss.Timer(c.path.rec), c.sending.paceAt)
	at = earlier(at, c.idle.deadline(pto))
	at = earlier(at, c.idle.handshake)
	at = earlier(at, c.keepAliveAt())
	at = earlier(at, c.restAt())
	at = earlier(at, c.streams.admission.timer())
	at = earlier(at, c.streams.stopTimer())
	at = earlier(at, c.hello.timer())
	at = earlier(at, c.keys.previousDrop)
	at = earlier(at, c.earlyDropAt())
	at = earlier(at, c.paths.timer())
	at = earlier(at, c.signAt())
	at = earlier(at, c.local.lateTimer())
	if c.silenced() {
		return at // what is due will be sent when the peer has sent more
	}
	for _, s := range c.spaces {
		if s != nil {
			at = earlier(at, s.acks.timer())
		}
	}
	return at
}

// pto is the probe timeout of a path as all timers but those of loss recovery count in it: how long silence is borne, a closed connection
// kept, an answer waited for.
//
// Deviation: for these it has a bound, of which RFC 9000, sections 10.1 and 10.2, say nothing. A peer can make it as long as it likes by
// late acknowledgements, a dozen of which would have us keep a connection for months.
func (c *Conn) pto(rec *recovery.Path) int64 { return c.boundPTO(c.loss.PTO(rec)) }

// boundPTO bounds a probe timeout. On a path where it is honestly longer the handshake would not have been complete in time.
func (c *Conn) boundPTO(pto time.Duration) int64 {
	return int64(min(pto, max(maxPTO, 2*c.cfg.HandshakeTimeout)))
}

// earlier returns the earlier of two times, of which 0 stands for never.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// OnTimeout acts on the timers that are due at now. It may be called at any time; after it, read events and call Send.
func (c *Conn) OnTimeout(now time.Time) {
	n := c.clock.read(now)
	defer c.traceState()
	due := func(at int64) bool { return at != 0 && at <= n }
	switch c.state {
	case stateDrained:
		return
	case stateClosing, stateDraining:
		if due(c.closing.until) {
			c.forget()
		}
		return
	}
	rec := c.path.rec
	switch {
	case due(c.idle.handshake):
		c.err = &IdleTimeoutError{Handshake: true}
		c.forget()
		return
	case due(c.idle.deadline(c.pto(rec))):
		c.err = &IdleTimeoutError{}
		c.forget()
		return
	}
	if due(c.loss.Timer(rec)) {
		c.onLossTimer(n)
	}
	if due(c.keepAliveAt()) {
		c.idle.keptAlive = true
		c.signals.ping = true
	}
	if due(c.restAt()) {
		c.rest()
	}
	if due(c.streams.admission.timer()) {
		c.streams.offerRoom(n)
	}
	c.streams.onStopTimer(n)
	if due(c.hello.timer()) {
		c.hello.early = earlyPackets{}
	}
	if due(c.keys.previousDrop) {
		c.keys.previousDrop = 0
		c.keys.DropPrevious()
	}
	if due(c.earlyDropAt()) {
		c.dropEarlyKeys()
	}
	if due(c.sending.paceAt) {
		c.sending.paceAt = 0
	}
	if due(c.signAt()) {
		c.askForSign(n)
	}
	c.dropLate(n)
	c.onPathTimer(n)
	c.tellSize()
}

// SetKeepAlive changes Config.KeepAlive for this connection, until it is changed again; negative stands for what Config says. So an
// application keeps a connection alive only while it has a reason to, such as a request without an answer: a PING goes out after half
// of the idle timeout in force at the latest, however large d is.
func (c *Conn) SetKeepAlive(d time.Duration) {
	if d < 0 {
		d = c.cfg.KeepAlive
	}
	before := c.idle.keepAlive
	c.idle.keepAlive = int64(min(d, maxIdleTimeoutCap))
	c.signals.stirred = c.signals.stirred || earlier(before, c.idle.keepAlive) != before
}

// keepAliveAt is when a PING is due to keep the connection alive, 0 if never.
func (c *Conn) keepAliveAt() int64 {
	return c.idle.keepAliveAt(c.boundPTO(c.path.rec.PTO(c.cfg.MaxAckDelay)))
}

// restAt is when the connection is to let go of memory, 0 if it has or is being made.
func (c *Conn) restAt() int64 {
	if !c.tls.complete {
		return 0
	}
	return c.idle.rest.At(c.idle.active, c.path.rec.InFlight > 0 || c.app.acks.timer() != 0)
}

func (c *Conn) rest() {
	c.idle.rest = 0
	c.forgetEarly()
	c.streams.rest()
	c.datagrams.in.rest()
	c.datagrams.out.rest()
	c.loss.Rest()
	c.keys.Rest()
	if c.trace != nil {
		c.trace.rest()
	}
}

// onLossTimer is RFC 9002, section 6.2.4. A probe goes along with others from the packet number spaces that have data in flight.
func (c *Conn) onLossTimer(now int64) {
	probes, sp := c.loss.OnTimeout(now, c.path.rec, (*lossHandler)(c))
	c.loss.Shed(now, c.path.rec, (*lossHandler)(c))
	if probes == 0 {
		return
	}
	c.doubtPath(now)
	for other := range recovery.Space(numSpaces) {
		if other != sp && c.loss.Probe(other, (*lossHandler)(c)) {
			c.sending.probes[other] = 1
		}
	}
	c.sending.probes[sp] = uint8(probes)
}

// updateLimits brings up to date, after each train in, what follows from it.
func (c *Conn) updateLimits() {
	c.loss.SetAmplificationLimited(c.silenced())
	c.streams.tune(c.path.rec)
	n, news := c.streams.glitches, c.streams.news
	c.streams.glitches, c.streams.news = 0, 0
	if !c.glitches.charge(c.clock.now, int(n), int(news)) {
		c.fail(transportError(ProtocolViolation, "too many frames without effect"))
	}
}

// glitchBucket bounds frames without effect: a bucket of tokens. It fills again with time, and with work: an honest peer has such frames
// where packets overtake each other, in proportion to what it does, and a MAX_STREAMS frame for each stream, say, is late as often as not.
type glitchBucket struct {
	used  float64
	since int64
}

// charge takes n tokens, once as many as there were frames with new stream data have been given back, and tells whether they were there.
func (g *glitchBucket) charge(now int64, n, news int) bool {
	if n == 0 && g.used == 0 {
		return true
	}
	g.used = max(g.used-float64(now-g.since)*glitchRate/1e9-float64(news), 0) + float64(n)
	g.since = now
	return g.used <= glitchBurst
}
