package quic

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// 0-RTT data, in both roles (RFC 9001, section 4.6; RFC 9000, sections 7.4.1, 17.2.3). At a client:
//
//   - TLS gives the keys (onEarlyKeys): streams and datagrams take the limits that the server had announced before. Until the
//     handshake is complete the packets of the application's space are 0-RTT packets, and since their numbers are the lowest of that
//     space nothing else need be known of a packet to tell that it was one.
//   - TLS tells what the server says (onEarlyVerdict). If it rejects the data the keys go, and every 0-RTT packet is out of flight.
//   - With the end of the handshake (settleEarly) the server's limits of now come into force: those that it accepted under are raised;
//     or else all streams begin anew, with what was written on them or without.
//
// At a server 0-RTT packets are opened from the moment that TLS has accepted them, until three PTO after the handshake, and their
// streams are answered at once.

// ReplayStore tells which 0-RTT data is fresh: see Config.EarlyReplay.
type ReplayStore = handshake.ReplayStore

// EarlyDataState is how far a connection has come with 0-RTT data (RFC 9001, section 4.6).
type EarlyDataState uint8

// The states of 0-RTT data.
const (
	EarlyNone     EarlyDataState = iota // none was offered
	EarlyOffered                        // a client may send it, and does not know what the server says
	EarlyAccepted                       // the server has accepted it
	EarlyRejected                       // the server has not, or will not
)

// String returns the state in a word.
func (s EarlyDataState) String() string {
	return [...]string{"none", "offered", "accepted", "rejected"}[s&3]
}

// EarlyData returns how far the connection has come with 0-RTT data. It stays when the connection is over.
func (c *Conn) EarlyData() EarlyDataState { return c.tls.early }

// OfferedSession returns the Session that a client has given to ConnectParams and that fits the connection, until its handshake is complete:
// what its AppData say may be relied on for 0-RTT data. After that, and at a server, it is nil.
func (c *Conn) OfferedSession() *Session {
	if c.resume == nil {
		return nil
	}
	return c.resume.offered
}

// StreamEarly tells a server whether the client opened stream id by 0-RTT data while the handshake was not complete: what came then may
// be a recording that somebody plays again, and to whom is not known (RFC 9001, section 9.2). Requests that change something should wait
// for EventHandshakeComplete, by which the client has shown that it is there, or be refused, as HTTP does with 425 (RFC 8470). On a stream
// that was opened later, or is over, and at a client, it is false.
func (c *Conn) StreamEarly(id uint64) bool {
	if c.client || c.streams.isLocal(id) || c.tls.early != EarlyAccepted {
		return false
	}
	if !c.tls.complete {
		return id>>2 < c.streams.types[id&3].opened
	}
	return c.resume != nil && id>>2 < c.resume.opened[id>>1&1]
}

// AddressValidated tells whether the peer has shown that it receives at its address, by a token, or by going on with the handshake
// (RFC 9000, section 8.1); a session ticket shows no such thing. A server that acts on the client's address should not do so before, nor
// on 0-RTT data that came before. After a change of address it is false until the new one is validated.
func (c *Conn) AddressValidated() bool { return c.path.validated }

// makeEarlyContext returns what 0-RTT data is sent under: the transport parameters that a client remembers, and the application's
// settings. A server that has others by now does not accept it (RFC 9000, section 7.4.1).
func (cfg *Config) makeEarlyContext() []byte {
	var p wire.TransportParameters
	cfg.fillLimits(&p)
	limits := limitsOf(&p)
	h := sha256.New()
	for _, v := range limits.ints() {
		h.Write(binary.BigEndian.AppendUint64(nil, *v))
	}
	h.Write(cfg.EarlyContext)
	return h.Sum(nil)
}

// appSlot is the key slot that packets of the application's space are sent with.
func (c *Conn) appSlot() protect.Slot {
	if c.client && !c.tls.complete {
		return protect.ZeroRTT
	}
	return protect.OneRTT
}

// slotOf is the key slot that packets of a space are sent with now.
func (c *Conn) slotOf(sp recovery.Space) protect.Slot {
	if sp == recovery.AppSpace {
		return c.appSlot()
	}
	return slotOfSpace[sp]
}

// maySend tells whether there are keys to send packets of a space with, and they may be used: 1-RTT keys once the handshake is complete,
// and before, at a server that can open 0-RTT packets, for the answers to those (RFC 9001, section 5.7). TLS has judged the client by then:
// what VerifyConnection and the certificate of the session say comes before the keys.
func (c *Conn) maySend(sp recovery.Space) bool {
	slot := c.slotOf(sp)
	return c.keys.HasWrite(slot) && (slot != protect.OneRTT || c.tls.complete || c.keys.HasRead(protect.ZeroRTT))
}

// onEarlyKeys begins 0-RTT at a client.
func (c *Conn) onEarlyKeys() {
	c.tls.early = EarlyOffered
	if c.tls.foreign {
		c.noteEarlySession()
	}
	p := c.resume.offered.limits.params()
	c.limitPeer(p.MaxUDPPayloadSize)
	c.streams.setPeerParams(&p)
	c.datagrams.setPeerParams(&p)
	c.events.push(Event{Kind: EventEarlyReady})
}

// onEarlyVerdict takes what the server says of 0-RTT data; at a server, what TLS does.
func (c *Conn) onEarlyVerdict(accepted bool) *TransportError {
	c.tls.early = EarlyRejected
	if accepted {
		c.tls.early = EarlyAccepted
	}
	switch {
	case !c.client:
		c.events.push(Event{Kind: EventEarlyData, Accepted: accepted})
		if !accepted {
			c.hello.early.drop(protect.ZeroRTT)
		} else if c.resume == nil {
			c.resume = &resumption{clientDst: c.hello.clientDst, peerSrc: c.hello.peerSrc}
		}
	case accepted:
		c.events.push(Event{Kind: EventEarlyData, Accepted: true})
		return c.checkEarlyLimits()
	default:
		c.keys.Drop(protect.ZeroRTT)
		c.loss.Void(recovery.AppSpace, (*lossHandler)(c))
		c.sending.probes[recovery.AppSpace] = 0
		c.streams.rejected = !c.resume.resend
	}
	return nil
}

// checkEarlyLimits finds a server that accepts 0-RTT data and lowers a limit under which it was sent (RFC 9000, section 7.4.1).
func (c *Conn) checkEarlyLimits() *TransportError {
	r := c.resume
	if c.tls.early != EarlyAccepted || !c.tls.hasParams {
		return nil
	}
	if name := r.offered.limits.lowered(&r.limits); name != "" {
		return transportError(ProtocolViolation, "0-RTT data is accepted, and "+name+" was lowered")
	}
	return nil
}

// onPeerLimits puts the limits of the peer's transport parameters in force that count for what we send; but not while a client sends 0-RTT
// packets, which keep to what is remembered (RFC 9000, section 7.4.1).
func (c *Conn) onPeerLimits(p *wire.TransportParameters) *TransportError {
	if c.tls.early == EarlyNone || !c.client {
		c.putLimits(p)
		return nil
	}
	c.resume.fresh = p
	return c.checkEarlyLimits()
}

func (c *Conn) putLimits(p *wire.TransportParameters) {
	c.limitPeer(p.MaxUDPPayloadSize)
	c.streams.setPeerParams(p)
	c.datagrams.setPeerParams(p)
}

// settleEarly is the end of 0-RTT at a client, when the handshake is complete.
func (c *Conn) settleEarly() {
	r := c.resume
	if c.tls.early == EarlyNone {
		r.offered = nil
		return
	}
	c.keys.Drop(protect.ZeroRTT) // RFC 9001, section 4.9.3
	if c.tls.early == EarlyRejected {
		c.streams.rejected = !r.resend || c.TLS().NegotiatedProtocol != r.offered.alpn
		if c.streams.rejected {
			c.datagrams.dropQueued()
		}
		c.streams.startOver()
		c.events.push(Event{Kind: EventEarlyData, Resent: !c.streams.rejected})
	}
	c.putLimits(r.fresh)
	r.fresh, r.offered = nil, nil
}

// endEarly notes at a server, when the handshake is complete, how many streams 0-RTT data has opened, and when its keys go (RFC 9001,
// section 4.9.3).
func (c *Conn) endEarly() {
	r := c.resume
	if r == nil {
		return
	}
	r.opened = [2]uint64{c.streams.types[StreamTypeBidi].opened, c.streams.types[StreamTypeUni].opened}
	r.dropAt = c.clock.now + 3*c.pto(c.path.rec)
}

// earlyDropAt is when a server drops the keys of 0-RTT packets, 0: never.
func (c *Conn) earlyDropAt() int64 {
	if c.resume == nil {
		return 0
	}
	return c.resume.dropAt
}

func (c *Conn) dropEarlyKeys() {
	c.resume.dropAt = 0
	c.keys.Drop(protect.ZeroRTT)
	c.forgetEarly()
}

// forgetEarly lets a server forget what 0-RTT was, once its keys and the streams that it opened are gone.
func (c *Conn) forgetEarly() {
	if c.client || c.resume == nil || !c.tls.complete || c.resume.dropAt != 0 {
		return
	}
	for s := range c.streams.live.all {
		if c.StreamEarly(s.id) {
			return
		}
	}
	c.resume = nil
}

// takesEarly tells whether a server can open 0-RTT packets, or may be able to once TLS has read the ClientHello.
func (c *Conn) takesEarly() bool {
	if c.client || !c.cfg.EarlyData {
		return false
	}
	return c.keys.HasRead(protect.ZeroRTT) || c.hello != nil && c.tls.early == EarlyNone && !c.keys.HasRead(protect.Handshake)
}

// earlyIDs returns the connection IDs of 0-RTT packets: what the client sends to until it knows an ID of ours, and its own.
func (c *Conn) earlyIDs() (dst, src *ConnID) {
	if h := c.hello; h != nil {
		return &h.clientDst, &h.peerSrc
	}
	return &c.resume.clientDst, &c.resume.peerSrc
}
