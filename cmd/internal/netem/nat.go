package netem

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// NAT translates clients' addresses, and gives each of them another one at First and each Every after that; what comes for an older
// one is dropped.
type NAT struct {
	First, Every time.Duration // from the network's begin
	Addr         bool          // the address changes too, within its /24 (or the last byte of an IPv6 address)
	Hops         int           // 0: each one is new; else the same ones come again after as many

	start time.Time
	dice  *rand.Rand
	outer map[netip.AddrPort][]netip.AddrPort // of each inner one, by the turn
	turns map[netip.AddrPort]binding          // by the outer one
}

// binding is whom an outer address stands for, and in which turn.
type binding struct {
	inner netip.AddrPort
	turn  int
}

func (t *NAT) begin(now time.Time, dice *rand.Rand) {
	t.start, t.dice = now, dice
	t.outer, t.turns = make(map[netip.AddrPort][]netip.AddrPort), make(map[netip.AddrPort]binding)
}

// turn returns how many changes there were.
func (t *NAT) turn(now time.Time) int {
	since := now.Sub(t.start) - t.First
	n := 0
	if since >= 0 {
		n = 1
		if t.Every > 0 {
			n += int(since / t.Every)
		}
	}
	if t.Hops > 0 {
		n %= t.Hops
	}
	return n
}

// out returns the address that inner has outside.
func (t *NAT) out(now time.Time, inner netip.AddrPort) netip.AddrPort {
	turn := t.turn(now)
	for len(t.outer[inner]) <= turn {
		outer := t.draw(inner)
		t.turns[outer] = binding{inner, len(t.outer[inner])}
		t.outer[inner] = append(t.outer[inner], outer)
	}
	return t.outer[inner][turn]
}

// in returns whom outer stands for now.
func (t *NAT) in(now time.Time, outer netip.AddrPort) (inner netip.AddrPort, ok bool) {
	b, ok := t.turns[outer]
	return b.inner, ok && b.turn == t.turn(now)
}

// draw returns an outer address that nobody has. The first one is the inner one itself.
func (t *NAT) draw(inner netip.AddrPort) netip.AddrPort {
	if len(t.outer[inner]) == 0 {
		return inner
	}
	for {
		ip := inner.Addr()
		if t.Addr {
			b := ip.AsSlice()
			b[len(b)-1] = byte(3 + t.dice.IntN(251)) // not the middle's, which has .2
			ip, _ = netip.AddrFromSlice(b)
		}
		outer := netip.AddrPortFrom(ip, uint16(1024+t.dice.IntN(64512)))
		if _, taken := t.turns[outer]; !taken {
			return outer
		}
	}
}
