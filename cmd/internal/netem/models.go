package netem

import (
	"math/rand/v2"
	"slices"
	"time"
)

// dice is a Model's source of randomness.
type dice struct {
	start time.Time
	*rand.Rand
}

func (d *dice) begin(now time.Time, r *rand.Rand) { d.start, d.Rand = now, r }

// chance is true with a probability of percent in a hundred.
func (d *dice) chance(percent float64) bool { return d.Float64()*100 < percent }

// choice chooses packets as the simulator's drop-rate and corrupt-rate do: each with Percent in a hundred, but never more than Burst in a
// row.
type choice struct {
	Percent int
	Burst   int // 0: any number
	row     int
}

func (c *choice) next(d *dice) bool {
	if d.IntN(100) >= c.Percent || c.Burst > 0 && c.row >= c.Burst {
		c.row = 0
		return false
	}
	c.row++
	return true
}

// DropRate drops UDP packets at random.
type DropRate struct {
	dice
	choice
}

// NewDropRate returns a DropRate of percent in a hundred, and no more than burst in a row.
func NewDropRate(percent, burst int) *DropRate {
	return &DropRate{choice: choice{Percent: percent, Burst: burst}}
}

// Pass drops p, or does not.
func (m *DropRate) Pass(_ time.Time, p *Packet, deliver func(*Packet, time.Duration)) {
	if p.arrive != nil || !m.next(&m.dice) {
		deliver(p, 0)
	}
}

// DropList drops UDP packets by their number in their direction, from 1.
type DropList struct {
	Numbers []int
	n       int
}

// Pass drops p, or does not.
func (m *DropList) Pass(_ time.Time, p *Packet, deliver func(*Packet, time.Duration)) {
	if p.arrive == nil {
		m.n++
		if slices.Contains(m.Numbers, m.n) {
			return
		}
	}
	deliver(p, 0)
}

// CorruptRate changes a byte of UDP packets at random, with the choice of drop-rate: one of the first 51, to any other value. Version
// Negotiation packets are exempt. What is changed is delivered, or, as the simulator has done since 2024, dropped.
type CorruptRate struct {
	dice
	choice
	Drop bool
}

// NewCorruptRate returns a CorruptRate of percent in a hundred, and no more than burst in a row.
func NewCorruptRate(percent, burst int, drop bool) *CorruptRate {
	return &CorruptRate{choice: choice{Percent: percent, Burst: burst}, Drop: drop}
}

// Pass damages p, or does not.
func (m *CorruptRate) Pass(_ time.Time, p *Packet, deliver func(*Packet, time.Duration)) {
	if p.arrive != nil || isVersionNegotiation(p.Data) || !m.next(&m.dice) {
		deliver(p, 0)
		return
	}
	if m.Drop || len(p.Data) == 0 {
		return
	}
	c := *p
	c.Data = slices.Clone(p.Data)
	c.Data[m.IntN(min(50, len(c.Data)-1)+1)] += byte(1 + m.IntN(255))
	deliver(&c, 0)
}

func isVersionNegotiation(b []byte) bool {
	return len(b) >= 5 && b[0]&0x80 != 0 && b[1]|b[2]|b[3]|b[4] == 0
}

// Blackhole drops everything for Off, each time that it has let all pass for On, Repeat times.
type Blackhole struct {
	dice
	On, Off time.Duration
	Repeat  int // 0: once
}

// Pass drops p, or does not.
func (m *Blackhole) Pass(now time.Time, p *Packet, deliver func(*Packet, time.Duration)) {
	since := now.Sub(m.start)
	turn := int(since / (m.On + m.Off))
	if turn >= max(m.Repeat, 1) || since%(m.On+m.Off) < m.On {
		deliver(p, 0)
	}
}

// MTUBlackhole drops UDP packets of more than Max bytes of payload, from From on.
type MTUBlackhole struct {
	dice
	Max  int
	From time.Duration
}

// Pass drops p, or does not.
func (m *MTUBlackhole) Pass(now time.Time, p *Packet, deliver func(*Packet, time.Duration)) {
	if len(p.Data) <= m.Max || now.Sub(m.start) < m.From {
		deliver(p, 0)
	}
}

// Jitter delays packets by up to Max, so that they overtake each other.
type Jitter struct {
	dice
	Max time.Duration
}

// Pass delays p.
func (m *Jitter) Pass(_ time.Time, p *Packet, deliver func(*Packet, time.Duration)) {
	deliver(p, time.Duration(m.Int64N(int64(m.Max)+1)))
}

// Duplicate delivers packets twice, Percent in a hundred.
type Duplicate struct {
	dice
	Percent float64
}

// Pass delivers p once or twice.
func (m *Duplicate) Pass(_ time.Time, p *Packet, deliver func(*Packet, time.Duration)) {
	deliver(p, 0)
	if p.arrive == nil && m.chance(m.Percent) {
		deliver(p, time.Duration(m.Int64N(int64(20*time.Millisecond))))
	}
}

// Reorder holds packets back, Percent in a hundred, until as many others as are drawn from Least to Most have passed, or for a second.
type Reorder struct {
	dice
	Percent     float64
	Least, Most int
	held        []heldPacket
}

type heldPacket struct {
	p       *Packet
	passing int // others that must pass first
	since   time.Time
}

// Pass holds p back, or delivers it and those whose time has come.
func (m *Reorder) Pass(now time.Time, p *Packet, deliver func(*Packet, time.Duration)) {
	if m.chance(m.Percent) {
		m.held = append(m.held, heldPacket{p, m.Least + m.IntN(m.Most-m.Least+1), now})
		return
	}
	deliver(p, 0)
	var left []heldPacket
	for _, h := range m.held {
		h.passing--
		if h.passing <= 0 || now.Sub(h.since) >= time.Second {
			deliver(h.p, 0)
		} else {
			left = append(left, h)
		}
	}
	m.held = left
}

// ECNChange rewrites marks by a function of the mark.
type ECNChange struct {
	dice
	Mark func(r *rand.Rand, ecn uint8) uint8
}

// Pass changes p's mark.
func (m *ECNChange) Pass(_ time.Time, p *Packet, deliver func(*Packet, time.Duration)) {
	c := *p
	c.ECN = m.Mark(m.Rand, p.ECN)
	deliver(&c, 0)
}

// Policer is a token bucket without a queue: what finds no tokens is dropped.
type Policer struct {
	dice
	Rate  float64 // bytes a second
	Burst float64 // bytes
	have  float64
	at    time.Time
}

// Pass takes tokens for p, or drops it.
func (m *Policer) Pass(now time.Time, p *Packet, deliver func(*Packet, time.Duration)) {
	if m.at.IsZero() {
		m.at, m.have = m.start, m.Burst
	}
	m.have = min(m.Burst, m.have+m.Rate*now.Sub(m.at).Seconds())
	m.at = now
	if n := float64(p.ipSize()); m.have >= n {
		m.have -= n
		deliver(p, 0)
	}
}

// DualQ marks as the dual queue of L4S does (RFC 9332, with the PI2 controller of its appendix A): ECT(1) packets that wait for more
// than a millisecond, or by the coupled probability; others by its square, which are dropped if they are not ECT(0). Both wait in one
// queue here.
type DualQ struct {
	dice
	p    float64 // the base probability
	prev time.Duration
	at   time.Time
}

// The parameters of RFC 9332, appendix A.1.
const (
	dualqTarget = 15 * time.Millisecond
	dualqUpdate = 16 * time.Millisecond
	dualqAlpha  = 0.16 // Hz
	dualqBeta   = 3.2  // Hz
	dualqStep   = time.Millisecond
	dualqK      = 2
)

// Join marks p, or drops it.
func (m *DualQ) Join(now time.Time, wait time.Duration, p *Packet) bool {
	if m.at.IsZero() {
		m.at = now
	}
	for ; now.Sub(m.at) >= dualqUpdate; m.at = m.at.Add(dualqUpdate) {
		m.p += dualqAlpha*(wait-dualqTarget).Seconds() + dualqBeta*(wait-m.prev).Seconds()
		m.p = min(max(m.p, 0), 1)
		m.prev = wait
	}
	switch p.ECN {
	case 1:
		if wait > dualqStep || m.Float64() < min(dualqK*m.p, 1) {
			p.ECN = 3
		}
	default:
		if m.Float64() < m.p*m.p {
			if p.ECN == 0 {
				return false
			}
			p.ECN = 3
		}
	}
	return true
}

// Loss drops packets, Percent in a hundred, each by itself.
type Loss struct {
	dice
	Percent float64
}

// Pass drops p, or does not.
func (m *Loss) Pass(_ time.Time, p *Packet, deliver func(*Packet, time.Duration)) {
	if !m.chance(m.Percent) {
		deliver(p, 0)
	}
}
