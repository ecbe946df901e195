package sim

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Delay holds each datagram for d and up to jitter more. Datagrams may overtake each other within the jitter.
func Delay(d, jitter time.Duration) Stage {
	return func(w *World, p Datagram, next func(Datagram)) {
		w.After(w.Between(d, d+jitter), func() { next(p) })
	}
}

// Rate lets bitsPerSecond pass, as a queue of at most queueBytes before a serial line does; what finds the queue full is
// lost. A datagram that finds more than markBytes queued and is ECN-capable is marked CE; markBytes 0 marks none.
func Rate(bitsPerSecond float64, queueBytes, markBytes int) Stage {
	var free time.Time // when the line has sent what is queued
	return func(w *World, p Datagram, next func(Datagram)) {
		if free.Before(w.Now()) {
			free = w.Now()
		}
		queued := int(free.Sub(w.Now()).Seconds() * bitsPerSecond / 8)
		if queued+len(p.Data) > queueBytes {
			return
		}
		if markBytes > 0 && queued > markBytes && p.ECN != quic.NotECT {
			p.ECN = quic.CE
		}
		free = free.Add(time.Duration(float64(len(p.Data)) * 8 / bitsPerSecond * float64(time.Second)))
		w.After(free.Sub(w.Now()), func() { next(p) })
	}
}

// Loss loses each datagram with probability p, by itself.
func Loss(p float64) Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if !w.Chance(p) {
			next(d)
		}
	}
}

// BurstLoss loses all datagrams while the link is bad. A good link becomes bad at a datagram with probability begin, a
// bad one good with probability end (the model of Gilbert).
func BurstLoss(begin, end float64) Stage {
	bad := false
	return func(w *World, d Datagram, next func(Datagram)) {
		if bad {
			bad = !w.Chance(end)
		} else {
			bad = w.Chance(begin)
		}
		if !bad {
			next(d)
		}
	}
}

// DropNth loses the n-th datagram, counted from 1, and no other.
func DropNth(n int) Stage {
	count := 0
	return func(w *World, d Datagram, next func(Datagram)) {
		if count++; count != n {
			next(d)
		}
	}
}

// Reorder holds each datagram with probability p for up to delay, so that later ones overtake it.
func Reorder(p float64, delay time.Duration) Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if !w.Chance(p) {
			next(d)
			return
		}
		w.After(w.Between(1, delay), func() { next(d) })
	}
}

// Duplicate delivers each datagram with probability p a second time, up to delay later.
func Duplicate(p float64, delay time.Duration) Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if w.Chance(p) {
			again := d
			again.Data = bytes.Clone(d.Data)
			w.After(w.Between(0, delay), func() { next(again) })
		}
		next(d)
	}
}

// Corrupt changes one byte of each datagram with probability p.
func Corrupt(p float64) Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if w.Chance(p) && len(d.Data) > 0 {
			d.Data[w.rng.IntN(len(d.Data))] ^= byte(1 + w.rng.IntN(255))
		}
		next(d)
	}
}

// MarkCE marks each ECN-capable datagram as having met congestion, with probability p.
func MarkCE(p float64) Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if d.ECN != quic.NotECT && w.Chance(p) {
			d.ECN = quic.CE
		}
		next(d)
	}
}

// ClearECN removes the ECN mark, as some routers do.
func ClearECN() Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		d.ECN = quic.NotECT
		next(d)
	}
}

// MTU loses datagrams whose UDP payload is longer than n bytes.
func MTU(n int) Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if len(d.Data) <= n {
			next(d)
		}
	}
}

// Narrow is MTU(before) until a time since the epoch, and MTU(after) from then on.
func Narrow(before, after int, at time.Duration) Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		n := before
		if w.Elapsed() >= at {
			n = after
		}
		if len(d.Data) <= n {
			next(d)
		}
	}
}

// Blackhole loses everything from one time since the epoch until, not including, another.
func Blackhole(from, until time.Duration) Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if now := w.Elapsed(); now < from || now >= until {
			next(d)
		}
	}
}

// Copy is an observer on the way who, from a time since the epoch on, delivers copies of datagrams, each with probability p, faster than
// the datagrams themselves, from the addresses that from returns.
func Copy(since time.Duration, p float64, from func() netip.AddrPort) Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if w.Elapsed() >= since && w.Chance(p) {
			again := d
			again.Data, again.From = bytes.Clone(d.Data), from()
			next(again)
		}
		next(d)
	}
}

// Roaming is a host that changes between addresses of its own: from one time since the epoch until, not including, another it sends
// from the next of Addrs after each Period. Before and after it sends from the first. It receives on all of them.
type Roaming struct {
	Addrs       []netip.AddrPort
	Period      time.Duration
	From, Until time.Duration

	inside netip.AddrPort
}

// Out is the stage for the link that leads from the host.
func (r *Roaming) Out() Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		r.inside, d.From = d.From, r.Addrs[0]
		if now := w.Elapsed(); now >= r.From && now < r.Until {
			d.From = r.Addrs[int((now-r.From)/r.Period)%len(r.Addrs)]
		}
		next(d)
	}
}

// In is the stage for the link that leads to it.
func (r *Roaming) In() Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if slices.Contains(r.Addrs, d.To) {
			d.To = r.inside
			next(d)
		}
	}
}

// NAT is a network address translator: its Out stage on the link from inside gives datagrams an outer port, its In stage
// on the link back restores the inner address. It forgets the port at each time of Rebind since the epoch and takes the
// next one; what comes in for an older port is lost.
type NAT struct {
	Outside netip.AddrPort  // the first outer address; rebinding counts the port up
	Rebind  []time.Duration // in ascending order
	Hosts   bool            // rebinding counts up the last 16 bits of the IP address instead
	Keep    time.Duration   // for how long an older address still leads inside

	inside netip.AddrPort
}

// outer returns the outer address of a time.
func (n *NAT) outer(at time.Duration) netip.AddrPort {
	count := sort.Search(len(n.Rebind), func(i int) bool { return at < n.Rebind[i] })
	if !n.Hosts {
		return netip.AddrPortFrom(n.Outside.Addr(), n.Outside.Port()+uint16(count))
	}
	a := n.Outside.Addr().As4()
	binary.BigEndian.PutUint16(a[2:], binary.BigEndian.Uint16(a[2:])+uint16(count))
	return netip.AddrPortFrom(netip.AddrFrom4(a), n.Outside.Port())
}

// leadsInside tells whether an outer address is or was that of the last Keep.
func (n *NAT) leadsInside(now time.Duration, to netip.AddrPort) bool {
	if to == n.outer(now) {
		return true
	}
	for _, at := range n.Rebind {
		if at <= now && at > now-n.Keep && to == n.outer(at-1) {
			return true
		}
	}
	return false
}

// Out is the stage for the link that leads outside. It serves one inner address.
func (n *NAT) Out() Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		n.inside, d.From = d.From, n.outer(w.Elapsed())
		next(d)
	}
}

// In is the stage for the link that leads inside.
func (n *NAT) In() Stage {
	return func(w *World, d Datagram, next func(Datagram)) {
		if n.leadsInside(w.Elapsed(), d.To) {
			d.To = n.inside
			next(d)
		}
	}
}
