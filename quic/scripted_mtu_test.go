package quic

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// searching is a server that has much to send, and a peer that acknowledges what it likes.
type searching struct {
	*scripted
	stream  uint64
	arrived ranges.Set
	probes  map[int]int // sizes of the probes that came, and how many of each
	largest int         // the largest datagram with data
	large   int         // datagrams with data larger than 1200 bytes
}

func newSearching(t *testing.T, options ...scriptedOption) *searching {
	p := newMobile(t, append([]scriptedOption{param(0x04, varint(1<<30)), param(0x07, varint(1<<30)), param(0x20, varint(65535)),
		func(p *scripted) { p.cfg.DisablePMTUD = false }}, options...)...)
	s := &searching{scripted: p, probes: map[int]int{}}
	id, err := p.conn.OpenUniStream()
	p.must(err)
	s.stream = id
	s.arrived = append(ranges.Set(nil), p.received[spaceOf(protect.OneRTT)]...)
	return s
}

// round has conn send for a round trip, and acknowledges those 1-RTT packets that takes says of.
func (s *searching) round(takes func(size int, probe bool) bool) {
	s.t.Helper()
	s.conn.StreamSend(s.stream, make([]byte, 60_000), false)
	s.drain()
	packets := map[int64][]gotFrame{}
	for _, f := range s.got {
		if f.slot == protect.OneRTT {
			packets[f.pn] = append(packets[f.pn], f)
		}
	}
	s.got = nil
	for pn, frames := range packets {
		size, probe := frames[0].size, true
		for _, f := range frames {
			probe = probe && (f.typ == wire.FramePing || f.typ == wire.FramePadding)
		}
		switch probe = probe && size > 1200; {
		case probe:
			s.probes[size]++
		case size > 1200:
			s.large++
			fallthrough
		default:
			s.scripted.t.Helper()
			s.largest = max(s.largest, size)
		}
		if takes(size, probe) {
			s.arrived.Add(pn, pn+1)
		}
	}
	s.now = s.now.Add(20 * time.Millisecond)
	if len(packets) == 0 {
		s.advance()
		return
	}
	b, ok := wire.AppendAck(nil, s.arrived, 0, nil, 1000)
	if !ok {
		s.t.Fatal("the peer's ACK frame is too long")
	}
	s.sendFrames(protect.OneRTT, b)
	s.must(s.conn.Check())
}

func (s *searching) size() int { return s.conn.Stats().MaxUDPPayload }

// told returns what the application was told of the size, and forgets it.
func (s *searching) told() (sizes []int) {
	for _, ev := range s.events {
		if ev.Kind == EventMTU {
			sizes = append(sizes, ev.MaxUDPPayload)
		}
	}
	s.events = nil
	return sizes
}

func upTo(limit int) func(int, bool) bool {
	return func(size int, _ bool) bool { return size <= limit }
}

// A probe is PING and PADDING alone in a datagram of its size (RFC 9000, section 14.4). What it finds is told, and used at once.
func TestProbeOfSize(t *testing.T) {
	s := newSearching(t)
	before := s.conn.MaxDatagramSize()
	for range 30 {
		s.round(upTo(1472))
	}
	if s.size() != 1472 || s.largest < 1400 || s.largest > 1472 || s.conn.MaxDatagramSize() != before+272 {
		t.Errorf("found %d, used %d, DATAGRAM frames may have %d bytes, before %d", s.size(), s.largest, s.conn.MaxDatagramSize(), before)
	}
	if told := s.told(); len(told) != 1 || told[0] != 1472 {
		t.Errorf("the application was told of %v", told)
	}
	if s.probes[1472] != 1 || s.probes[8972] > maxProbesOfSize {
		t.Errorf("probes of %v", s.probes)
	}
	if stats := s.conn.Stats(); stats.PacketsLost != 0 || stats.Timeouts != 0 {
		t.Errorf("%d packets lost, %d timeouts", stats.PacketsLost, stats.Timeouts)
	}
}

// maxProbesOfSize is MAX_PROBES of RFC 8899, section 5.1.2.
const maxProbesOfSize = 3

// No probe is larger than what the peer takes, what is configured, or the buffer of Send.
func TestProbesWithinLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		option scriptedOption
		want   int
	}{
		{"max_udp_payload_size", param(0x03, varint(1300)), 1300},
		{"max_udp_payload_size, the least", param(0x03, varint(1200)), 1200},
		{"Config.MaxUDPPayload", func(p *scripted) { p.cfg.MaxUDPPayload = 1350 }, 1350},
		{"Config.DisablePMTUD", func(p *scripted) { p.cfg.DisablePMTUD = true }, 1200},
		{"IPv4", func(p *scripted) {}, 65507},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSearching(t, c.option)
			for range 40 {
				s.round(upTo(65535))
			}
			for size := range s.probes {
				if size > c.want {
					t.Errorf("a probe of %d bytes, of %d that are allowed", size, c.want)
				}
			}
			if s.size() != c.want {
				t.Errorf("found %d, want %d", s.size(), c.want)
			}
		})
	}
}

// attacks.md, D8: that datagrams of 1200 bytes or less are too large is never believed, whoever says so.
func TestAttackTooLarge(t *testing.T) {
	s := newSearching(t, func(p *scripted) { p.cfg.MaxUDPPayload = 1472 })
	for range 10 {
		s.round(upTo(1472))
	}
	s.told()
	for _, size := range []int{-1, 0, 68, 576, 1199, 1200} {
		s.conn.HandleTooLarge(s.now, s.local, s.remote, size)
		if s.size() != 1472 {
			t.Fatalf("%d bytes are too large, it is said, and datagrams have %d", size, s.size())
		}
	}
	s.conn.HandleTooLarge(s.now, s.local, farHost, 1472)
	if s.size() != 1472 {
		t.Error("what is said of another path counts")
	}
	s.conn.HandleTooLarge(s.now, s.local, s.remote, 1472)
	s.answer()
	if told := s.told(); s.size() != 1200 || len(told) != 1 || told[0] != 1200 {
		t.Errorf("the device takes no 1472 bytes, and datagrams have %d; told: %v", s.size(), told)
	}
	for range 60 {
		s.round(upTo(1400))
	}
	if s.size() < 1400-32 || s.size() > 1400 {
		t.Errorf("then %d were found", s.size())
	}
}

// attacks.md, D9: a peer that acknowledges all probes, and of what else is large nothing, has the size fall after three lost packets; and
// in ten minutes few are sent.
func TestAttackProbesAcknowledged(t *testing.T) {
	s := newSearching(t)
	begin := s.now
	probesOnly := func(size int, probe bool) bool { return probe || size <= 1200 }
	for s.now.Sub(begin) < 10*time.Minute {
		s.round(probesOnly)
		s.now = s.now.Add(500 * time.Millisecond)
	}
	probes := 0
	for _, n := range s.probes {
		probes += n
	}
	t.Logf("%d probes and %d large datagrams in ten minutes", probes, s.large)
	if s.size() != 1200 || probes > 60 || s.large > 300 {
		t.Errorf("%d bytes, %d probes and %d large datagrams in ten minutes", s.size(), probes, s.large)
	}
}

// A peer that acknowledges only what is large, or nothing but probes, gets no more probes for that.
func TestAttackOddAcknowledgements(t *testing.T) {
	for name, takes := range map[string]func(int, bool) bool{
		"only large ones": func(size int, _ bool) bool { return size > 1200 },
		"never a probe":   func(_ int, probe bool) bool { return !probe },
		"every other probe": func() func(int, bool) bool {
			n := 0
			return func(_ int, probe bool) bool { n++; return !probe || n%2 == 0 }
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSearching(t)
			for range 300 {
				s.round(takes)
				if s.conn.IsClosed() {
					break
				}
			}
			probes := 0
			for size, n := range s.probes {
				probes += n
				if n > 2*maxProbesOfSize {
					t.Errorf("%d probes of %d bytes", n, size)
				}
			}
			if probes > 40 {
				t.Errorf("%d probes: %v", probes, s.probes)
			}
		})
	}
}

// An application that has a DATAGRAM frame which is too large has the next size be tried, though it sends nothing else.
func TestTooLargeDatagramProbes(t *testing.T) {
	s := newSearching(t, func(p *scripted) { p.cfg.MaxUDPPayload = 1472 })
	want := s.conn.MaxDatagramSize() + 100
	if err := s.conn.DatagramSend(make([]byte, want)); err == nil || !s.conn.WantsSend() {
		t.Fatalf("DatagramSend: %v; conn wants to send: %v", err, s.conn.WantsSend())
	}
	s.drain()
	s.sendFrames(protect.OneRTT, s.ackReceived(protect.OneRTT))
	if s.size() != 1472 || s.conn.DatagramSend(make([]byte, want)) != nil {
		t.Errorf("found %d", s.size())
	}
	if s.conn.paths.sizes.wanted {
		t.Error("another size is wanted, and there is none")
	}
}

// Of two probes of a probe timeout the first is as large as datagrams are, and the second is not, so that it arrives where the path has begun to
// carry less: also if that is behind a router which takes trains whole and drops them so.
func TestLastProbeIsATrain(t *testing.T) {
	s := newSearching(t)
	for range 30 {
		s.round(upTo(1472))
	}
	s.conn.StreamSend(s.stream, make([]byte, 60_000), false)
	for range 100 {
		s.drain() // all of which is lost
		at, ok := s.conn.Timeout()
		if !ok {
			t.Fatal("no timer is set")
		}
		s.now = at
		if s.conn.OnTimeout(s.now); s.conn.Stats().Timeouts > 0 {
			break
		}
	}
	buf := make([]byte, 65535)
	var trains [][2]int // bytes, and of the first datagram
	for {
		out := s.conn.Send(s.now, buf)
		if out.N == 0 {
			break
		}
		trains = append(trains, [2]int{out.N, out.SegSize})
	}
	if len(trains) != 2 || trains[0] != [2]int{trains[0][0], trains[0][0]} || trains[0][0] < 1400 || trains[1][0] > minDatagramSize ||
		trains[1][0] != trains[1][1] {
		t.Errorf("the probes are trains of so many bytes and segments %v, want a large datagram and then one of at most 1200", trains)
	}
}
