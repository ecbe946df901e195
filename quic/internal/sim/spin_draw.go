package sim

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// dice draw plans. Most numbers lie evenly on a logarithmic scale, so that small ones are as likely as large ones.
type dice struct{ *rand.Rand }

func (d dice) chance(p float64) bool { return d.Float64() < p }

func (d dice) log(low, high int) int {
	return int(d.logFloat(float64(low), float64(high)) + 0.5)
}

func (d dice) logFloat(low, high float64) float64 {
	return math.Exp(math.Log(low) + d.Float64()*(math.Log(high)-math.Log(low)))
}

func (d dice) dur(low, high time.Duration) time.Duration {
	return time.Duration(d.logFloat(float64(low), float64(high)))
}

func one[T any](d dice, values ...T) T { return values[d.IntN(len(values))] }

// knob is a field of quic.Config that plans set.
type knob struct {
	name     string
	duration bool
	draw     func(d dice) int64
	set      func(c *quic.Config, v int64)
}

func (k *knob) text(v int64) string {
	if k.duration {
		return time.Duration(v).String()
	}
	return strconv.FormatInt(v, 10)
}

const numKnobs = 32

// Some knobs by index; see knobs.
const (
	knobIdle, knobHandshake, knobKeepAlive, knobStreamWindow, knobWindow, knobStreamsBidi = 0, 1, 2, 3, 5, 7
	knobSendBuffer, knobDatagram, knobPayload, knobAckDelay, knobIDLen, knobRetry         = 9, 11, 12, 15, 17, 18
	knobMaxHandshakes, knobVersions, knobNoReuse, knobInitialRTT, knobInitialWindow       = 19, 20, 30, 14, 24
)

func drawDur(low, high time.Duration) func(dice) int64 {
	return func(d dice) int64 { return int64(d.dur(low, high)) }
}

func drawLog(low, high int) func(dice) int64 {
	return func(d dice) int64 { return int64(d.log(low, high)) }
}

func drawOf(values ...int64) func(dice) int64 { return func(d dice) int64 { return one(d, values...) } }

// either draws by one of several ways.
func either(ways ...func(dice) int64) func(dice) int64 {
	return func(d dice) int64 { return one(d, ways...)(d) }
}

// knobs is every number of quic.Config. A value of 0 is the default. The two that are the most which others may grow to are told
// as factors.
var knobs = [numKnobs]knob{
	{"MaxIdleTimeout", true, either(drawDur(20*time.Millisecond, time.Minute), drawDur(time.Second, time.Minute), drawOf(-1, 1, int64(time.Millisecond))),
		func(c *quic.Config, v int64) { c.MaxIdleTimeout = time.Duration(v) }},
	{"HandshakeTimeout", true, drawDur(100*time.Millisecond, time.Minute),
		func(c *quic.Config, v int64) { c.HandshakeTimeout = time.Duration(v) }},
	{"KeepAlive", true, drawDur(5*time.Millisecond, 20*time.Second),
		func(c *quic.Config, v int64) { c.KeepAlive = time.Duration(v) }},
	{"StreamReceiveWindow", false, either(drawLog(1, 1<<20), drawOf(1, 2, 3, 4, 5, 7, 1200, 65536)),
		func(c *quic.Config, v int64) { c.StreamReceiveWindow = uint64(v) }},
	{"MaxStreamReceiveWindow/StreamReceiveWindow", false, drawOf(1, 2, 10, 100), func(c *quic.Config, v int64) {
		if c.StreamReceiveWindow > 0 {
			c.MaxStreamReceiveWindow = uint64(v) * c.StreamReceiveWindow
		}
	}},
	{"ReceiveWindow", false, either(drawLog(1, 1<<20), drawOf(1, 2, 3, 4, 5, 7, 1200, 65536)),
		func(c *quic.Config, v int64) { c.ReceiveWindow = uint64(v) }},
	{"MaxReceiveWindow/ReceiveWindow", false, drawOf(1, 2, 10, 100), func(c *quic.Config, v int64) {
		if c.ReceiveWindow > 0 {
			c.MaxReceiveWindow = uint64(v) * c.ReceiveWindow
		}
	}},
	{"MaxStreamsBidi", false, drawOf(-1, 1, 2, 3, 4, 10), func(c *quic.Config, v int64) { c.MaxStreamsBidi = v }},
	{"MaxStreamsUni", false, drawOf(-1, 1, 2, 3, 4, 10, 1<<60), func(c *quic.Config, v int64) { c.MaxStreamsUni = v }},
	{"StreamSendBuffer", false, either(drawLog(1, 1<<20), drawOf(1, 2, 3, 4, 5, 1200, 4096, 65536)),
		func(c *quic.Config, v int64) { c.StreamSendBuffer = int(v) }},
	{"MaxStreamSendBuffer/StreamSendBuffer", false, drawOf(1, 2, 10, 100), func(c *quic.Config, v int64) {
		if c.StreamSendBuffer > 0 {
			c.MaxStreamSendBuffer = int(v) * c.StreamSendBuffer
		}
	}},
	{"MaxDatagramFrameSize", false, either(drawLog(1, 65535), drawOf(1, 2, 3, 4, 1200, 65535)),
		func(c *quic.Config, v int64) { c.MaxDatagramFrameSize = int(v) }},
	{"MaxUDPPayload", false, either(drawLog(1200, 65527), drawOf(1201, 1452, 9000, 16384, 64999, 65000, 65001, 65527)),
		func(c *quic.Config, v int64) { c.MaxUDPPayload = int(v) }},
	{"Congestion", false, drawOf(1), func(c *quic.Config, v int64) { c.Congestion = quic.CongestionAlgorithm(v) }},
	{"InitialRTT", true, drawDur(100*time.Microsecond, 3*time.Second),
		func(c *quic.Config, v int64) { c.InitialRTT = time.Duration(v) }},
	{"MaxAckDelay", true, either(drawDur(time.Millisecond, 100*time.Millisecond), drawDur(time.Millisecond, (1<<14-1)*time.Millisecond)),
		func(c *quic.Config, v int64) {
			c.MaxAckDelay = time.Duration(v)
			if c.MaxAckDelay < time.Millisecond {
				c.MinAckDelay = -1
			}
		}},
	{"MinAckDelay", true, either(drawDur(time.Microsecond, 100*time.Millisecond), drawOf(-1, -1)), func(c *quic.Config, v int64) {
		c.MinAckDelay = time.Duration(v)
		if c.MaxAckDelay > 0 {
			c.MinAckDelay = min(c.MinAckDelay, c.MaxAckDelay)
		} else {
			c.MinAckDelay = min(c.MinAckDelay, 25*time.Millisecond)
		}
	}},
	{"ConnIDs.Len+1", false, drawOf(1, 2, 3, 5, 9, 13, 21), func(c *quic.Config, v int64) { c.ConnIDs = quic.RandomConnIDs(v - 1) }},
	{"Retry", false, drawOf(1), func(c *quic.Config, v int64) { c.Retry = func(netip.AddrPort) bool { return true } }},
	{"MaxHandshakes", false, drawLog(1, 64), func(c *quic.Config, v int64) { c.MaxHandshakes = int(v) }},
	{"Versions", false, drawOf(1, 2, 12, 21), func(c *quic.Config, v int64) {
		c.Versions = map[int64][]uint32{
			1: {quic.Version1}, 2: {quic.Version2}, 12: {quic.Version1, quic.Version2}, 21: {quic.Version2, quic.Version1},
		}[v]
	}},
	{"NoGrease", false, drawOf(1), func(c *quic.Config, v int64) { c.NoGrease = true }},
	{"SpinBit", false, drawOf(1), func(c *quic.Config, v int64) { c.SpinBit = true }},
	{"MaxRecvUDPPayload", false, either(drawLog(1200, 65527), drawOf(1201, 1452, 9000)), func(c *quic.Config, v int64) { c.MaxRecvUDPPayload = int(v) }},
	{"InitialWindow", false, either(drawLog(2, 1000), drawOf(2, 3, 32)), func(c *quic.Config, v int64) { c.InitialWindow = int(v) }},
	{"DisableHyStart", false, drawOf(1), func(c *quic.Config, v int64) { c.DisableHyStart = true }},
	{"Pacing", false, drawOf(1, 2), func(c *quic.Config, v int64) { c.Pacing = quic.Pacing(v) }},
	{"MaxPacingRate", false, drawLog(1<<17, 1<<30), func(c *quic.Config, v int64) { c.MaxPacingRate = uint64(v) }},
	{"AckDelayExponent", false, drawOf(-1, 1, 2, 4, 10, 20), func(c *quic.Config, v int64) { c.AckDelayExponent = int(v) }},
	{"ActiveConnIDLimit", false, drawOf(2, 3, 5, 8, 16), func(c *quic.Config, v int64) { c.ActiveConnIDLimit = int(v) }},
	{"DisableConnIDReuse", false, drawOf(1), func(c *quic.Config, v int64) { c.DisableConnIDReuse = true }},
	{"AmplificationFactor", false, drawOf(1, 2), func(c *quic.Config, v int64) { c.AmplificationFactor = int(v) }},
}

// DrawPlan draws a plan from a seed. Which features a plan has is drawn first and how much of each then, so that plans differ in kind
// and not only in number.
func DrawPlan(seed uint64) *Plan {
	d := dice{rand.New(rand.NewPCG(seed, 0x5b1e))}
	p := &Plan{Seed: seed, EndBy: d.IntN(2)}
	p.Heal = d.dur(500*time.Millisecond, 20*time.Second)
	p.Delay = d.dur(100*time.Microsecond, 100*time.Millisecond)
	if d.chance(0.05) {
		p.Delay = d.dur(100*time.Millisecond, 2*time.Second)
	}
	if d.chance(0.3) {
		p.Jitter = d.dur(time.Microsecond, 10*time.Millisecond)
	}
	for i := range p.Sides {
		p.Sides[i] = d.side()
	}
	if d.chance(0.6) {
		p.Net[0], p.Net[1] = d.net(p.Heal), d.net(p.Heal)
	}
	if d.chance(0.3) && p.Sides[serverSide].Knobs[knobIDLen] != 1 {
		d.roam(p)
	}
	if d.chance(0.1) && p.Sides[serverSide].Knobs[knobIDLen] != 1 {
		p.Observer = Spy{P: one(d, 0.01, 0.1, 0.5), Addrs: 1 + d.IntN(8), Ahead: d.dur(time.Microsecond, 50*time.Millisecond),
			Forward: d.chance(0.5)}
	}
	if d.chance(0.05) {
		p.Flood = Flood{N: d.log(1, 100), Every: d.dur(100*time.Microsecond, 300*time.Millisecond), Hello: d.chance(0.5)}
		p.Sides[serverSide].Knobs[knobMaxHandshakes] = int64(d.log(2, 64)) // the one of 1 is anybody's
	}
	if p.Observer.P > 0 || len(p.Moves) > 1 || p.Wander > 0 {
		// Each address takes a connection ID, and where none is left the client's next one has to wait for one, which may be for ever.
		p.Sides[serverSide].Knobs[knobNoReuse] = 0
	}
	if v := p.Sides[serverSide].Knobs[knobVersions]; v+p.Sides[clientSide].Knobs[knobVersions] == 1+2 {
		p.Sides[serverSide].Knobs[knobVersions] = 10*v + 3 - v // one in common
	}
	d.streams(p)
	d.acts(p)
	// From dice of their own, so that the rest of a seed's plan is as it was before there were any.
	dice{rand.New(rand.NewPCG(seed, 0x7219))}.trips(p)
	if d := (dice{rand.New(rand.NewPCG(seed, 0x0477))}); d.chance(0.4) {
		p.Early = d.IntN(numEarly)
	}
	dice{rand.New(rand.NewPCG(seed, 0x8899))}.carries(p)
	return p
}

// carries draws how large the datagrams are that the path carries, and whether that changes: to less, or to more.
func (d dice) carries(p *Plan) {
	if d.chance(0.3) {
		return
	}
	for i := range p.Carries {
		p.Carries[i] = one(d, 1200, 1252, 1280, 1400, 1472, 1472, 8972, 65507, d.log(1200, 65527))
	}
	if d.chance(0.5) {
		p.Carries[1] = p.Carries[0]
	}
}

// trips has the client move between addresses of its own, and the server prefer another.
func (d dice) trips(p *Plan) {
	server := &p.Sides[serverSide]
	if server.Knobs[knobIDLen] != 1 && !server.Blind && d.chance(0.2) {
		p.Preferred = true
	}
	if p.Sides[clientSide].Blind || !d.chance(0.25) {
		return
	}
	every, hosts := d.dur(2*time.Millisecond, 2*time.Second), 1+d.IntN(4)
	at := d.dur(time.Microsecond, time.Second)
	for range 1 + d.IntN(one(d, 2, 10, 60)) {
		t := Trip{At: at, What: one(d, "migrate", "migrate", "migrate", "probe", "probe", "abandon"), Host: d.IntN(hosts + 1), Port: d.IntN(2)}
		p.Trips = append(p.Trips, t)
		at += d.dur(time.Microsecond, every)
	}
	if d.chance(0.4) {
		for i := range p.Dead {
			p.Dead[i] = d.IntN(hosts + 1)
		}
	}
}

func (d dice) side() (s Side) {
	often := one(d, 0, 0.1, 0.3, 0.7)
	for i := range s.Knobs {
		if v := knobs[i].draw(d); d.chance(often) && i != knobMaxHandshakes {
			s.Knobs[i] = v
		}
	}
	if d.chance(0.2) {
		s.SendBuf = one(d, 1200, 1201, 1500, 4096, 16384, 65000)
	}
	s.Blind = d.chance(0.2)
	if d.chance(0.2) {
		s.Lag = d.dur(time.Microsecond, time.Second)
	}
	if d.chance(0.2) {
		s.Late = d.dur(time.Microsecond, 50*time.Millisecond)
	}
	return s
}

func (d dice) net(heal time.Duration) (n []Trouble) {
	for _, t := range []Trouble{
		{Kind: "lose", P: one(d, 0.01, 0.05, 0.2, 0.5)},
		{Kind: "bursts", P: d.Float64() * 0.02, N: 1 + d.IntN(10)},
		{Kind: "drop one", N: 1 + d.IntN(20)},
		{Kind: "double", P: d.Float64() * 0.2, D: d.dur(time.Millisecond, time.Second)},
		{Kind: "reorder", P: d.Float64() * 0.3, D: d.dur(time.Microsecond, 200*time.Millisecond)},
		{Kind: "corrupt", P: d.Float64() * 0.1},
		{Kind: "mark", P: d.Float64() * 0.2},
		{Kind: "bleach"},
		{Kind: "hole", D: d.dur(time.Millisecond, heal), N: d.log(1, 5000)},
		{Kind: "rate", P: d.logFloat(1e5, 1e9), N: d.log(2000, 256<<10)},
		{Kind: "mtu", N: d.log(1200, 9000)},
	} {
		if d.chance(0.2) {
			n = append(n, t)
		}
	}
	return n
}

// stage makes a trouble's stage.
func (t *Trouble) stage() Stage {
	switch t.Kind {
	case "lose":
		return Loss(t.P)
	case "bursts":
		return BurstLoss(t.P, 1/float64(t.N))
	case "drop one":
		return DropNth(t.N)
	case "double":
		return Duplicate(t.P, t.D)
	case "reorder":
		return Reorder(t.P, t.D)
	case "corrupt":
		return Corrupt(t.P)
	case "mark":
		return MarkCE(t.P)
	case "bleach":
		return ClearECN()
	case "hole":
		return Blackhole(t.D, t.D+time.Duration(t.N)*time.Millisecond)
	case "rate":
		return Rate(t.P, t.N, t.N/2)
	case "mtu":
		return MTU(t.N)
	}
	panic("sim: a plan has trouble of kind " + t.Kind)
}

// roam has the client move: to and fro between few addresses, from one new port to the next, or at random.
func (d dice) roam(p *Plan) {
	every, at := d.dur(2*time.Millisecond, time.Second), d.dur(time.Millisecond, time.Second)
	hosts, how := 1+d.IntN(3), d.IntN(3)
	count := 1 + d.IntN(one(d, 3, 30, 200))
	p.Keep = d.chance(0.5)
	for i := range count {
		m := Move{At: at + time.Duration(i)*every}
		switch how {
		case 0:
			m.Host, m.Port = (i+1)%2%hosts, (i+1)%2
		case 1:
			m.Host, m.Port = i%hosts, i+1
		case 2:
			at = at + d.dur(time.Microsecond, every)
			m.Host = d.IntN(hosts)
			m.Port = m.Host + hosts*d.IntN(2)
		}
		p.Moves = append(p.Moves, m)
	}
	if p.Keep && d.chance(0.3) {
		p.Wander = max(d.dur(50*time.Millisecond, time.Second), 12*(p.Delay+p.Jitter))
	}
}

func (d dice) streams(p *Plan) {
	same := d.chance(0.4) // all streams are alike
	var first StreamPlan
	for i := range d.log(1, 16) {
		s := StreamPlan{Side: d.IntN(2), Uni: d.chance(0.4)}
		s.At = d.dur(time.Microsecond, p.Heal)
		if d.chance(0.6) {
			s.At = d.dur(time.Microsecond, max(20*p.Delay, time.Millisecond))
		}
		for j := range s.Write {
			s.Write[j], s.Read[j] = d.writer(), d.reader()
		}
		if i == 0 {
			first = s
		} else if same && d.chance(0.8) {
			s.Write, s.Read, s.Side = first.Write, first.Read, first.Side
		}
		for j := range s.Write {
			from, to := &p.Sides[s.Side^j].Knobs, &p.Sides[1-s.Side^j].Knobs
			// What moves some bytes in a round trip shall not move more than some hundred times as many.
			for _, bound := range []int64{from[knobSendBuffer], to[knobStreamWindow], to[knobWindow]} {
				if bound > 0 {
					s.Write[j].Size = min(s.Write[j].Size, 100*int(bound))
				}
			}
		}
		p.Streams = append(p.Streams, s)
	}
}

func (d dice) code() uint64 { return one(d, 0, 1, uint64(d.log(1, 1<<30)), 1<<62-1) }

func (d dice) writer() WritePlan {
	w := WritePlan{Size: d.log(1, 1<<20), Chunk: d.log(1, 1<<20), Code: d.code()}
	switch {
	case d.chance(0.1):
		w.Size = 0
	case d.chance(0.03):
		w.Size = d.log(1<<20, 1<<23)
	}
	w.Chunk = max(w.Chunk, w.Size/50)
	if d.chance(0.4) {
		w.End = Ending(d.IntN(int(numEndings)))
	}
	if d.chance(0.3) {
		w.Quit = 1 + d.IntN(3)
	}
	if d.chance(0.2) {
		w.Pause = d.dur(time.Microsecond, time.Second)
	}
	w.Silent = d.chance(0.3)
	return w
}

func (d dice) reader() ReadPlan {
	r := ReadPlan{Chunk: d.log(1, 64<<10), Code: d.code()}
	if d.chance(0.5) {
		r.How = Reading(d.IntN(int(numReadings)))
	}
	if r.How == Slow {
		r.Pause = d.dur(time.Microsecond, 500*time.Millisecond)
	}
	if d.chance(0.2) {
		r.Stop = one(d, -1, d.log(1, 1<<20))
	}
	return r
}

// misuses are what an application or a driver must not do and may do all the same. spin_misuse.go has them.
var actKinds = []string{"datagrams", "datagrams", "ping", "key update", "key update", "misuse", "misuse", "misuse", "shut", "close", "vanish"}

func (d dice) acts(p *Plan) {
	count := one(d, 0, 0, d.IntN(4), d.IntN(30))
	ends := d.chance(0.15)
	for range count {
		a := Act{At: d.dur(time.Millisecond, p.Heal), Side: d.IntN(2), What: one(d, actKinds...), N: d.log(1, 1000), Code: d.code()}
		if (a.What == "close" || a.What == "vanish") && !ends {
			a.What = "datagrams"
		}
		p.Acts = append(p.Acts, a)
	}
}
