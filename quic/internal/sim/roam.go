package sim

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Roamer is what stands between a client with one inner address and a network in which it has one outer address after another:
// a NAT that forgets, or a host that changes networks.
type Roamer struct {
	// Keep has what comes in for an address of before reach the client, as if it had all of them; else it is lost.
	Keep bool

	// Own tells which addresses the client has beside the one behind the NAT: what it sends from them, and what comes for them, passes as
	// it is. nil: none.
	Own func(netip.AddrPort) bool

	inside, outside netip.AddrPort
	before          map[netip.AddrPort]bool
}

// Move gives the client another outer address from now on. It may be one that it had before.
func (r *Roamer) Move(to netip.AddrPort) {
	if r.before == nil {
		r.before = make(map[netip.AddrPort]bool)
	}
	r.before[r.outside] = true
	r.outside = to
}

// Out is the stage for the link from the client.
func (r *Roamer) Out() Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if r.Own == nil || !r.Own(d.From) {
			r.inside, d.From = d.From, r.outside
		}
		next(d)
	}
}

// In is the stage for the link to the client. What is for nobody that is known is lost.
func (r *Roamer) In() Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if d.To == r.outside || r.Keep && r.before[d.To] {
			d.To = r.inside
			next(d)
		} else if r.Own != nil && r.Own(d.To) {
			next(d)
		}
	}
}

// Observer sees what a client sends and sends copies of it from addresses of its own, as an attacker does that can watch but not
// stop (RFC 9000, section 9.3.3).
type Observer struct {
	P       float64          // of how many datagrams there is a copy
	Addrs   []netip.AddrPort // where copies come from, in turn
	Ahead   time.Duration    // how much later than the copy the client's own datagram arrives
	Forward bool             // what the server sends to those addresses reaches the client
	Until   time.Duration    // when it ends, since the epoch; 0: it has not begun

	next int
}

// Out is the stage for the link to the server, behind the client's Roamer.
func (o *Observer) Out() Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if len(o.Addrs) == 0 || w.Elapsed() >= o.Until || !w.Chance(o.P) {
			next(d)
			return
		}
		raced := d
		raced.Data, raced.From = bytes.Clone(d.Data), o.Addrs[o.next%len(o.Addrs)]
		o.next++
		next(raced)
		w.After(o.Ahead, func() { next(d) })
	}
}

// In is the stage for the link to the client, before its Roamer.
func (o *Observer) In(r *Roamer) Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if o.Forward && w.Elapsed() < o.Until {
			for _, a := range o.Addrs {
				if d.To == a {
					d.To = r.outside
					break
				}
			}
		}
		next(d)
	}
}

// Heals is a stage for a network that is repaired at a time since the epoch: from then on datagrams do not pass through the stage
// that it wraps.
func Heals(at time.Duration, s Stage) Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if w.Elapsed() >= at {
			next(d)
			return
		}
		s(w, d, next)
	}
}

// MadeUpInitial returns a client's first datagram as anybody can make one up: an Initial packet that opens, with a PING in it, or
// with what is no ClientHello. n tells it from others.
func MadeUpInitial(n uint64, hello bool) []byte {
	const pnLen, size = 4, 1200
	dst := binary.BigEndian.AppendUint64([]byte("made"), n)
	b, lengthOff, pnOff := wire.AppendLongHeader(nil, wire.Initial, wire.Version1, dst, []byte("nobody"), nil, 0, pnLen)
	if hello {
		b = append(wire.AppendCryptoHeader(b, 0, 4), 1, 0, 0xff, 0xff) // the begin of a ClientHello whose rest never comes
	} else {
		b = append(b, wire.FramePing)
	}
	b = append(b, make([]byte, size-len(b))...)
	wire.PutVarint2(b[lengthOff:], uint64(len(b)-pnOff))
	keys := protect.NewKeys()
	defer keys.Release()
	if err := keys.InstallInitial(wire.Version1, dst, true); err != nil {
		panic(err)
	}
	if !keys.Seal(b, []protect.SealDesc{{Len: uint32(len(b)), PNOff: uint16(pnOff), PNLen: pnLen, Slot: protect.Initial}}) {
		panic("sim: a made-up Initial packet could not be sealed")
	}
	return b
}
