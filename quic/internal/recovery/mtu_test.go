package recovery

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// carrier is a path that carries datagrams of at most limit bytes, with a connection on it that has much to send.
type carrier struct {
	*rig
	limit          int // of what data carries
	probeLimit     int // of what probes carry, if not 0
	sizes          []int
	probes, losses int // sent, and packets declared lost that were no probes
}

func newCarrier(t *testing.T, inet6 bool, ceiling, limit int) *carrier {
	c := &carrier{rig: newRig(t, nil), limit: limit}
	c.path.SearchSize(inet6)
	c.path.SetCeiling(ceiling)
	return c
}

// round sends what a round trip has, a probe first if one is due, then so many full packets and a small one behind them, and acknowledges
// what arrives.
func (c *carrier) round(full int) {
	c.t.Helper()
	var arrived []int64
	send := func(size int, isProbe bool) {
		limit := c.limit
		if isProbe && c.probeLimit > 0 {
			limit = c.probeLimit
		}
		pn := c.l.NextPN(AppSpace)
		frames := []Frame{{Type: wire.FrameStream, ID: uint64(pn)}}
		if isProbe {
			frames = nil
		}
		c.l.onPacketSent(c.now, AppSpace, SentPacket{Size: size, AckEliciting: true, InFlight: true, Probe: isProbe}, frames, &c.path)
		if size <= limit {
			arrived = append(arrived, pn)
		}
	}
	if size := c.path.ProbeSize(c.now); size > 0 {
		c.sizes = append(c.sizes, size)
		c.probes++
		send(size, true)
	}
	for range full {
		send(c.path.MaxDatagram(), false)
	}
	for range 4 { // by which the others are overtaken
		send(100, false)
	}
	c.now += 50 * ms
	c.ack(AppSpace, arrived...)
	if size := c.path.ProbeSize(c.now); c.path.size.probe != 0 && size != 0 {
		c.t.Fatalf("a probe of %d bytes is due while one of %d is in flight", size, c.path.size.probe)
	}
}

// The search finds what paths carry: of likely sizes the exact one, of others nearly as much, with few probes.
func TestSearchSize(t *testing.T) {
	for _, c := range []struct {
		name           string
		inet6          bool
		ceiling, limit int
		least          int // that must be found
		probes         int // at most
	}{
		{"Ethernet", false, 1472, 1472, 1472, 1},
		{"Ethernet, IPv6", true, 1452, 1452, 1452, 1},
		{"Ethernet, and more is allowed", false, 65507, 1472, 1472, 16},
		{"Ethernet, IPv6, and more is allowed", true, 65527, 1452, 1452, 16},
		{"jumbo frames", false, 65507, 8972, 8972, 14},
		{"jumbo frames are all that is allowed", false, 8972, 8972, 8972, 2},
		{"loopback", false, 65507, 65507, 65507, 3},
		{"loopback, IPv6", true, 65527, 65488, 65488 - fineGap, 14},
		{"PPPoE", false, 65507, 1464, 1464, 12},
		{"a cloud", false, 65507, 1432, 1432, 16},
		{"WireGuard", false, 65507, 1392, 1392, 16},
		{"WireGuard, IPv6", true, 65507, 1372, 1372, 16},
		{"a tunnel", false, 65507, 1372, 1372, 16},
		{"the least of IPv6", false, 65507, 1252, 1252, 20},
		{"the least of IPv6, IPv6", true, 65507, 1232, 1232, 20},
		{"nothing but the base", false, 65507, 1200, 1200, 20},
		{"an unlikely size", false, 65507, 1300, 1300 - fineGap, 25},
		{"an unlikely large size", false, 65507, 5000, 5000 - 5000/8, 25},
		{"an unlikely very large size", false, 65507, 50000, 50000 - 50000/8, 30},
		{"little is allowed", false, 1201, 65507, 1201, 1},
		{"nothing is allowed", false, 1200, 65507, 1200, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newCarrier(t, c.inet6, c.ceiling, c.limit)
			for range 200 {
				p.round(5)
			}
			found := p.path.MaxDatagram()
			t.Logf("%d with probes of %v", found, p.sizes)
			if found < c.least || found > min(c.limit, c.ceiling) {
				t.Errorf("found %d, want %d", found, c.least)
			}
			if p.probes > c.probes {
				t.Errorf("%d probes, want %d at most", p.probes, c.probes)
			}
			if p.l.Stats.Lost > 0 || len(p.cc.told) > 0 {
				t.Errorf("%d packets lost, and the controller was told %v", p.l.Stats.Lost, p.cc.told)
			}
			if len(p.lost) > 0 {
				t.Errorf("frames %v were lost", p.lost)
			}
		})
	}
}

// All paths are searched well, whatever they carry and whatever is allowed.
func TestSearchSizeAny(t *testing.T) {
	for limit := 1200; limit < 65528; limit += 1 + limit/97 {
		for _, ceiling := range []int{1250, 1472, 4000, 9000, 65507, 65527} {
			p := newCarrier(t, limit%2 == 0, ceiling, limit)
			for range 60 {
				p.round(4)
			}
			most := min(limit, ceiling)
			found, likely := p.path.MaxDatagram(), limit%2 == 0 && (p.path.MaxDatagram() == 1452 || p.path.MaxDatagram() == 8952) ||
				limit%2 == 1 && (p.path.MaxDatagram() == 1472 || p.path.MaxDatagram() == 8972) // which is not doubted
			if found > most || found < most-max(fineGap, most/8) && !(likely && most < 2*found) {
				t.Errorf("of %d, of which %d are allowed, %d were found", limit, ceiling, found)
			}
			if p.probes > 35 {
				t.Errorf("of %d, of which %d are allowed: %d probes", limit, ceiling, p.probes)
			}
		}
	}
}

// What sends little has no probe, and no timer waits for one but until it is taken for lost.
func TestSearchNeedsData(t *testing.T) {
	p := newCarrier(t, false, 1472, 1200)
	for range 100 {
		p.round(0)
	}
	if p.probes > 0 {
		t.Fatalf("%d probes of a connection that sends no full datagram", p.probes)
	}
	p.round(payFor)
	size := p.path.ProbeSize(p.now)
	if size != 1472 {
		t.Fatalf("a probe of %d bytes is due", size)
	}
	p.l.onPacketSent(p.now, AppSpace, SentPacket{Size: size, AckEliciting: true, InFlight: true, Probe: true}, nil, &p.path)
	if p.path.InFlight != int64(size) {
		t.Errorf("%d bytes are in flight: a probe takes up window (RFC 9000, section 14.4)", p.path.InFlight)
	}
	if p.l.Eliciting() {
		t.Error("a probe alone has the probe timeout be set")
	}
	if probes, _ := p.timeout(); probes != 0 || p.path.InFlight != 0 || p.l.Stats.PTOs != 0 {
		t.Errorf("when it has taken too long %d packets are to be sent, %d bytes are in flight, %d timeouts", probes, p.path.InFlight, p.l.Stats.PTOs)
	}
	p.wantTimer(0, "nothing is in flight")
}

// A path that comes to carry less is found out by the third packet that is lost in a row (attacks.md, D9), and searched again: at once below
// what was lost, above it later.
func TestBlackHole(t *testing.T) {
	p := newCarrier(t, false, 65507, 1472)
	for range 60 {
		p.round(4)
	}
	if p.path.MaxDatagram() != 1472 {
		t.Fatalf("%d were found", p.path.MaxDatagram())
	}
	p.limit = 1252
	p.round(2)
	if p.path.MaxDatagram() != 1472 {
		t.Fatalf("two lost packets have the size fall to %d", p.path.MaxDatagram())
	}
	p.round(1)
	if p.path.MaxDatagram() != BaseDatagram {
		t.Fatalf("three lost packets have the size be %d", p.path.MaxDatagram())
	}
	lost := p.l.Stats.Lost
	for range 60 {
		p.round(4)
	}
	if p.path.MaxDatagram() != 1252 || p.l.Stats.Lost != lost {
		t.Errorf("then %d were found, and %d packets lost", p.path.MaxDatagram(), p.l.Stats.Lost-lost)
	}
	p.limit = 1472
	probes := p.probes
	p.round(4)
	if p.probes != probes {
		t.Error("the search goes on without end")
	}
	p.now += int64(raiseAfterFall)
	for range 60 {
		p.round(4)
	}
	if p.path.MaxDatagram() != 1472 {
		t.Errorf("when the path is well again %d were found", p.path.MaxDatagram())
	}
}

// A peer that acknowledges probes and nothing else that is large has us send few of either.
func TestBlackHoleForData(t *testing.T) {
	p := newCarrier(t, false, 65507, 1200)
	p.probeLimit = 65507
	begin := p.now
	for p.now-begin < int64(time.Hour) {
		p.round(4)
		p.now += 450 * ms // an hour has 7,200 rounds
	}
	t.Logf("in an hour %d probes and %d packets lost, of %d", p.probes, p.l.Stats.Lost, p.l.NextPN(AppSpace))
	if p.probes > 120 || p.l.Stats.Lost > 200 {
		t.Errorf("in an hour %d probes and %d packets lost", p.probes, p.l.Stats.Lost)
	}
}

// Probes that never arrive are few as well.
func TestProbesNeverArrive(t *testing.T) {
	p := newCarrier(t, false, 65507, 1472)
	p.probeLimit = 1
	begin := p.now
	for p.now-begin < int64(time.Hour) {
		p.round(4)
		p.now += 450 * ms
	}
	if p.path.MaxDatagram() != BaseDatagram || p.probes > 7*35 || len(p.cc.told) > 0 {
		t.Errorf("in an hour %d probes, %d were found, the controller was told %v", p.probes, p.path.MaxDatagram(), p.cc.told)
	}
}

// Packets that are lost while others as large arrive are lost for another reason.
func TestNoBlackHole(t *testing.T) {
	p := newCarrier(t, false, 1472, 1472)
	p.round(4)
	p.round(4)
	if p.path.MaxDatagram() != 1472 {
		t.Fatalf("%d were found", p.path.MaxDatagram())
	}
	p.limit = 1200
	for range 20 {
		p.round(2)
		p.limit = 1472
		p.round(1)
		p.limit = 1200
	}
	if p.path.MaxDatagram() != 1472 {
		t.Errorf("the size fell to %d", p.path.MaxDatagram())
	}
	// Everything is lost, whatever its size, and then nothing is: as where a link was down.
	for range 3 {
		for range 20 {
			p.send(AppSpace, SentPacket{Size: 1472, AckEliciting: true, InFlight: true})
			p.send(AppSpace, SentPacket{Size: 100, AckEliciting: true, InFlight: true})
		}
		p.now += int64(time.Second)
		pn := p.send(AppSpace, SentPacket{Size: 1472, AckEliciting: true, InFlight: true})
		p.send(AppSpace, SentPacket{Size: 1200, AckEliciting: true, InFlight: true})
		p.now += 50 * ms
		p.ack(AppSpace, pn, pn+1)
	}
	if p.path.MaxDatagram() != 1472 {
		t.Errorf("after an interruption the size is %d", p.path.MaxDatagram())
	}
}

// What the device does not take needs no proof, but for the size that every path carries.
func TestTooLarge(t *testing.T) {
	p := newCarrier(t, false, 65507, 1472)
	for range 3 { // what the device refuses is never sent
		if size := p.path.ProbeSize(p.now); size > 1472 {
			p.l.onPacketSent(p.now, AppSpace, SentPacket{Size: size, AckEliciting: true, InFlight: true, Probe: true}, nil, &p.path)
			if !p.l.OnTooLarge(p.now, &p.path, size) {
				t.Errorf("%d bytes are refused, and nothing follows", size)
			}
			p.check()
		}
		p.round(4)
	}
	if p.path.MaxDatagram() != 1472 || p.path.InFlight != 0 {
		t.Fatalf("%d were found, and %d are in flight", p.path.MaxDatagram(), p.path.InFlight)
	}
	for _, size := range []int{0, 68, 576, 1199, 1200} {
		if p.l.OnTooLarge(p.now, &p.path, size) || p.path.MaxDatagram() != 1472 {
			t.Errorf("that %d bytes are too large is believed", size)
		}
	}
	p.limit = 1272
	if !p.l.OnTooLarge(p.now, &p.path, 1472) || p.path.MaxDatagram() != BaseDatagram {
		t.Errorf("1472 bytes are refused, and the size is %d", p.path.MaxDatagram())
	}
	for range 60 {
		p.round(4)
	}
	if n := p.path.MaxDatagram(); n < 1272-fineGap || n > 1272 {
		t.Errorf("then %d were found", n)
	}
}

// The probe of a path that is forgotten is nobody's.
func TestProbeOfForgottenPath(t *testing.T) {
	p := newCarrier(t, false, 1472, 1472)
	p.round(4)
	p.l.onPacketSent(p.now, AppSpace, SentPacket{Size: 1472, AckEliciting: true, InFlight: true, Probe: true}, nil, &p.path)
	pn := p.l.NextPN(AppSpace) - 1
	p.move()
	p.path.SearchSize(false)
	p.path.SetCeiling(1472)
	p.sendMany(5)
	p.now += 50 * ms
	p.ack(AppSpace, pn, pn+5)
	if p.path.MaxDatagram() != BaseDatagram {
		t.Errorf("another path's probe says that this one carries %d", p.path.MaxDatagram())
	}
}

// A peer that does not come to run for half a second, longer than some probe timeouts, is no path on which probes get lost: no more of them are sent,
// and the one that was sent counts.
func TestProbeOfStalledPeer(t *testing.T) {
	p := newCarrier(t, false, 1472, 1472)
	p.round(5) // which pays for a probe, and from which the round-trip time is known
	var probes []int64
	for end := p.now + 500*ms; p.now < end; p.now += 10 * ms {
		if size := p.path.ProbeSize(p.now); size > 0 {
			probes = append(probes, p.l.NextPN(AppSpace))
			p.l.onPacketSent(p.now, AppSpace, SentPacket{Size: size, AckEliciting: true, InFlight: true, Probe: true}, nil, &p.path)
		}
		for range payFor {
			p.l.onPacketSent(p.now, AppSpace, SentPacket{Size: 1200, AckEliciting: true, InFlight: true}, nil, &p.path)
		}
		p.timeout()
	}
	if len(probes) != 1 {
		t.Fatalf("%d probes were sent to a peer that said nothing", len(probes))
	}
	p.ack(AppSpace, probes...)
	if p.path.MaxDatagram() != 1472 {
		t.Errorf("datagrams have %d bytes, want 1472", p.path.MaxDatagram())
	}
}
