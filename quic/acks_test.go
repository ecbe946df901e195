package quic

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/recovery"
)

// never is an ackPolicy that asks for acknowledgements by reordering alone.
func never(reordering uint32) *ackPolicy {
	return &ackPolicy{threshold: 1<<31 - 1, reordering: reordering, maxDelay: time.Hour}
}

// newPacket returns an empty packet with room for so many bytes.
func newPacket(room int) *packet {
	loss := new(recovery.Loss)
	loss.Init(true)
	return &packet{b: make([]byte, 0, room), loss: loss}
}

// send has a write an acknowledgement.
func (a *acks) send(t *testing.T) {
	t.Helper()
	if !a.append(1, newPacket(1000), 3) {
		t.Fatal("an acknowledgement does not fit")
	}
}

// The examples of draft-ietf-quic-ack-frequency-12, section 6.2.1, and others: which packets, in their order, are acknowledged at
// once. A negative number is a packet that elicits no acknowledgement.
func TestAckReordering(t *testing.T) {
	const quiet = 1000 // is added to a packet number
	for _, c := range []struct {
		name       string
		reordering uint32
		received   []int64
		acked      []bool
	}{
		{"table 1", 3, []int64{0, 1, 3, 4, 5, 8, 9, 10}, []bool{false, false, false, false, true, false, true, true}},
		{"table 2", 5, []int64{0, 1, 3, 5, 6, 7, 8, 9}, []bool{false, false, false, false, false, true, false, true}},
		{"each gap", 1, []int64{0, 2, 3, 5, 6, 9, 10}, []bool{false, true, false, true, false, true, false}},
		{"what fills a gap", 1, []int64{0, 3, 1, 2, 4}, []bool{false, true, true, true, false}},
		{"what fills a gap that was not told", 3, []int64{0, 2, 1, 3, 4, 5}, make([]bool, 6)},
		{"what fills a gap that was told", 3, []int64{0, 2, 3, 4, 1, 5}, []bool{false, false, false, true, true, false}},
		{"within the threshold of what was told", 3, []int64{0, 3, 4, 2, 1, 5}, []bool{false, false, true, false, true, false}},
		{"the first packet is not 0", 1, []int64{4, 5}, []bool{true, false}},
		{"the first packet is not 0, and may be late", 3, []int64{2, 3, 4}, []bool{false, true, true}},
		{"never", 0, []int64{0, 5, 1, 9, 2}, make([]bool, 5)},
		{"behind a packet that is not acknowledged by itself", 1, []int64{0, 2 + quiet, 3, 1}, []bool{false, false, true, true}},
		{"before one", 1, []int64{0, 2 + quiet, 1, 3}, make([]bool, 4)},
		{"before one with a gap", 1, []int64{0, 3 + quiet, 1, 4}, []bool{false, false, false, true}},
		{"the largest threshold", 1<<31 - 1, []int64{0, 1<<31 - 2, 7}, make([]bool, 3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a acks
			for i, pn := range c.received {
				eliciting := pn < quiet || pn >= 1<<30
				if !eliciting {
					pn -= quiet
				}
				a.received(1, pn, eliciting, NotECT, never(c.reordering))
				if due := a.due(1); due != c.acked[i] {
					t.Errorf("packet %d, the %dth: acknowledged at once: %v, want %v", pn, i+1, due, c.acked[i])
				}
				if a.due(1) {
					a.send(t)
				}
			}
		})
	}
}

// On a path that reorders, as long as it does, an acknowledgement is due after an eighth of a round trip, or for sixteen packets; else,
// and where the peer has asked for it, for each gap and each fill.
func TestAckReorderingPath(t *testing.T) {
	policy := usualAcks(time.Hour)
	policy.rtt = lateDelayPart * time.Second
	asked := policy
	asked.usual = false
	for _, c := range []struct {
		name   string
		policy *ackPolicy
		late   int // packets that are late at first, each between two that are in order
		quiet  int // packets in order after that
		told   bool
	}{
		{"no reordering", &policy, 0, 0, true},
		{"a little", &policy, 3, 0, true},
		{"much", &policy, 10, 0, false},
		{"much, and the peer has asked", &asked, 10, 0, true},
		{"much, some time ago", &policy, 100, maxLate - manyLate - 100, false},
		{"much, long ago", &policy, 100, maxLate, true},
	} {
		var a acks
		pn := int64(0)
		take := func(pns ...int64) (due bool) {
			for _, n := range pns {
				a.received(1, pn+n, true, NotECT, c.policy)
			}
			due = a.due(1)
			a.send(t)
			return due
		}
		take(0)
		for range c.late {
			take(2, 1)
			pn += 2
		}
		for range c.quiet {
			pn++
			take(0)
		}
		if got := take(2); got != c.told {
			t.Errorf("%s: a gap is told at once: %v, want %v", c.name, got, c.told)
		}
		if got := take(1); got != c.told {
			t.Errorf("%s: what fills it is: %v, want %v", c.name, got, c.told)
		}
		want := int64(time.Hour)
		if !c.told {
			want = int64(time.Second)
		}
		a.received(1, pn+3, true, NotECT, c.policy)
		if got := a.timer() - 1; got != want {
			t.Errorf("%s: an acknowledgement waits for %v, want %v", c.name, time.Duration(got), time.Duration(want))
		}
		n := 1
		for ; !a.due(1); n++ {
			a.received(1, pn+3+int64(n), true, NotECT, c.policy)
		}
		if want := map[bool]int{true: elicitEvery, false: lateElicitEvery}[c.told]; n != want {
			t.Errorf("%s: %d packets are acknowledged together, want %d", c.name, n, want)
		}
	}
}

// Many acknowledgements are told of congestion by the first marked packet alone, two in a row by each (section 6.3).
func TestAckCongestion(t *testing.T) {
	for _, c := range []struct {
		threshold uint32
		acked     []bool
	}{
		{0, []bool{true, true, true, true, true, true, true}},
		{1, []bool{false, true, true, true, false, true, true}},
		{9, []bool{false, true, false, false, false, true, false}},
		{1<<31 - 1, []bool{false, true, false, false, false, true, false}},
	} {
		var a acks
		for i, ecn := range []ECN{ECT0, CE, CE, CE, ECT0, CE, CE} {
			a.received(1, int64(i), true, ecn, &ackPolicy{threshold: c.threshold, reordering: 1, maxDelay: time.Hour})
			if due := a.due(1); due != c.acked[i] {
				t.Errorf("threshold %d, packet %d: acknowledged at once: %v, want %v", c.threshold, i, due, c.acked[i])
			}
			if a.due(1) {
				a.send(t)
			}
		}
	}
}

// An acknowledgement waits for the delay of the policy, from the first packet on, and for one that is shortened meanwhile.
func TestAckDelay(t *testing.T) {
	var a acks
	a.received(1000, 0, true, NotECT, &ackPolicy{threshold: 9, reordering: 1, maxDelay: 500})
	a.received(1100, 1, true, NotECT, &ackPolicy{threshold: 9, reordering: 1, maxDelay: 500})
	if at := a.timer(); at != 1500 || a.due(1499) || !a.due(1500) {
		t.Errorf("due at %d, want 1500", at)
	}
	a.received(1200, 2, true, NotECT, &ackPolicy{threshold: 9, reordering: 1, maxDelay: 100})
	if at := a.timer(); at != 1300 {
		t.Errorf("due at %d, want 1300", at)
	}
}

// However seldom the peer wants acknowledgements, no range is forgotten that was never told (section 6).
func TestAckRangesToldBeforeForgotten(t *testing.T) {
	var a acks
	told := map[int64]bool{}
	for i := range int64(1000) {
		a.received(1, 3*i, true, NotECT, never(0))
		if a.due(1) {
			a.send(t)
			for _, r := range a.seen {
				told[r.Start] = true
			}
		}
	}
	if len(told) < 1000-maxAckRanges {
		t.Errorf("%d of 1000 ranges were told", len(told))
	}
	if a.begun > maxAckRanges/2 {
		t.Errorf("%d ranges wait", a.begun)
	}
}

// Noting what was received allocates nothing but for the set's growth.
func TestAcksAllocate(t *testing.T) {
	a, pn := acks{}, int64(0)
	policy := &ackPolicy{threshold: 9, reordering: 3, maxDelay: time.Hour}
	if n := testing.AllocsPerRun(1000, func() {
		a.received(1, pn, true, ECT0, policy)
		pn += 1 + pn%7/6 // a gap now and then
		a.due(1)
	}); n != 0 {
		t.Errorf("%v allocations a packet, want none", n)
	}
}

// BenchmarkAcksReceived measures the note of one packet received: in order, and with gaps in which the next one lies.
func BenchmarkAcksReceived(b *testing.B) {
	policy := &ackPolicy{threshold: 1<<31 - 1, reordering: 3, maxDelay: time.Hour}
	b.Run("in order", func(b *testing.B) {
		var a acks
		b.ReportAllocs()
		for pn := range int64(b.N) {
			if !a.duplicate(pn) {
				a.received(1, pn, true, ECT0, policy)
			}
		}
	})
	b.Run("64 ranges", func(b *testing.B) {
		var a acks
		for pn := range int64(200) {
			a.received(1, 2*pn, true, ECT0, policy)
		}
		first := a.largest() + 1
		b.ReportAllocs()
		for i := range int64(b.N) {
			if !a.duplicate(first + i) {
				a.received(1, first+i, true, ECT0, policy)
			}
		}
	})
}
