package recovery

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/congestion"
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// still is a congestion controller that does nothing, so that what is measured is recovery.
type still struct{ recorder }

func (*still) OnAck(int64, congestion.Ack) {}
func (*still) OnCongestion(_, _ int64)     {}

// tally is a Handler that only counts.
type tally struct{ acked, lost int64 }

func (h *tally) OnFrameAcked(_ Space, f Frame) { h.acked += int64(f.Len) }
func (h *tally) OnFrameLost(_ Space, f Frame) bool {
	h.lost += int64(f.Len)
	return true
}

// bulk is a sender with one stream's data in each packet, and a receiver that acknowledges.
type bulk struct {
	l     Loss
	path  Path
	now   int64
	off   uint64 // of the stream
	tally tally
	seen  ranges.Set       // what the receiver has, the newest 64 ranges
	list  [][]ranges.Range // acknowledgements that are ready to be processed
	store []ranges.Range   // of list
}

// bulkData is how many bytes of stream data a packet holds.
const bulkData = 1100

func newBulk() *bulk {
	b := &bulk{now: 10_000 * ms, path: NewPath(&still{recorder{window: 1 << 40}}, 100*time.Millisecond, datagram)}
	b.l.AddPath(&b.path)
	b.l.Init(false)
	b.l.SetMaxAckDelay(25 * time.Millisecond)
	b.l.SetHandshakeConfirmed()
	b.path.RTT.update(100*time.Millisecond, 0)
	return b
}

// send sends n packets and returns the number of the first.
func (b *bulk) send(n int) (first int64) {
	first = b.l.NextPN(AppSpace)
	for range n {
		f := [1]Frame{{Type: wire.FrameStream, Off: b.off, Len: bulkData}}
		b.off += bulkData
		b.l.onPacketSent(b.now, AppSpace, eliciting, f[:], &b.path)
	}
	return first
}

// receive has the receiver get packets.
func (b *bulk) receive(from, to int64) {
	b.seen.Add(from, to)
	if n := len(b.seen); n > 64 {
		b.seen = append(b.seen[:0], b.seen[n-64:]...)
	}
}

// acknowledge has the receiver acknowledge all that it has.
func (b *bulk) acknowledge() {
	from := len(b.store)
	for i := len(b.seen) - 1; i >= 0; i-- {
		b.store = append(b.store, b.seen[i])
	}
	b.list = append(b.list, b.store[from:len(b.store):len(b.store)])
}

// process processes what was acknowledged.
func (b *bulk) process(t testing.TB) {
	for _, acks := range b.list {
		if err := b.l.OnAck(b.now, AppSpace, acks, 0, nil, &b.path, &b.tally); err != nil {
			t.Fatal(err)
		}
	}
	b.list, b.store = b.list[:0], b.store[:0]
}

// holes has the receiver miss every second one of 2n packets, and the sender know.
func (b *bulk) holes(t testing.TB, n int) {
	first := b.send(2 * n)
	for i := range int64(n) {
		b.receive(first+2*i+1, first+2*i+2)
	}
	b.acknowledge()
	b.process(t)
}

// inOrder makes acknowledgements of each packets, until they are at least total.
func (b *bulk) inOrder(total, each int) (packets int) {
	for ; packets < total; packets += each {
		first := b.send(each)
		b.receive(first, first+int64(each))
		b.acknowledge()
	}
	return packets
}

// shuffled has packets arrive in any order within a window, two to an acknowledgement, until they are at least total.
func (b *bulk) shuffled(dice *rand.Rand, total, window int) (packets int) {
	for ; packets < total; packets += window {
		first := b.send(window)
		for i, p := range dice.Perm(window) {
			b.receive(first+int64(p), first+int64(p)+1)
			if i%2 == 1 {
				b.acknowledge()
			}
		}
	}
	return packets
}

// bench measures the processing of acknowledgements; an operation is one packet that is newly acknowledged.
func bench(t *testing.B, b *bulk, prepare func() (packets int)) {
	t.ReportAllocs()
	for done := 0; done < t.N; {
		t.StopTimer()
		n := prepare()
		t.StartTimer()
		b.process(t)
		done += n
		b.now += 1000 * ms
	}
}

// What one newly acknowledged packet costs.
func BenchmarkOnAck(t *testing.B) {
	t.Run("in order, 45 an acknowledgement", func(t *testing.B) {
		b := newBulk()
		bench(t, b, func() int { return b.inOrder(100_000, 45) })
	})
	t.Run("in order, 2 an acknowledgement", func(t *testing.B) {
		b := newBulk()
		bench(t, b, func() int { return b.inOrder(100_000, 2) })
	})
	t.Run("64 ranges, 2 an acknowledgement", func(t *testing.B) {
		b := newBulk()
		bench(t, b, func() int {
			b.seen = nil
			b.holes(t, 63)
			return b.inOrder(10_000, 2)
		})
	})
	t.Run("100000 packets behind a hole, 45 an acknowledgement", func(t *testing.B) {
		b := newBulk()
		bench(t, b, func() int {
			b.seen = nil
			b.holes(t, 1)
			b.receive(b.send(100_000), b.l.NextPN(AppSpace))
			b.acknowledge()
			b.process(t)
			return b.inOrder(100_000, 45)
		})
	})
	t.Run("shuffled, 2 an acknowledgement", func(t *testing.B) {
		b, dice := newBulk(), rand.New(rand.NewPCG(1, 2))
		bench(t, b, func() int { b.seen = nil; return b.shuffled(dice, 20_000, 100) })
	})
}

// Neither sending nor acknowledging allocates once the record has grown to its size, whatever the order. One packet is always in
// flight, since the record lets its memory go when nothing is.
func TestNoAllocations(t *testing.T) {
	b, dice := newBulk(), rand.New(rand.NewPCG(1, 2))
	perm := dice.Perm(100)
	b.send(1)
	round := func() {
		late := b.send(200) - 1
		dice.Shuffle(len(perm), func(i, j int) { perm[i], perm[j] = perm[j], perm[i] })
		for i, p := range perm {
			b.receive(late+int64(p), late+int64(p)+1)
			if i%2 == 1 {
				b.acknowledge()
			}
		}
		b.receive(late+100, late+200)
		b.acknowledge()
		b.process(t)
	}
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations for 200 packets, want none", n)
	}
	if want := int64(100+101) * 200 * bulkData; b.tally.acked != want {
		t.Errorf("%d bytes were acknowledged, want %d", b.tally.acked, want)
	}
}

// What is kept of sent packets is nothing that the garbage collector has to look at.
func TestNoPointers(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[record](), reflect.TypeFor[Frame]()} {
		for i := range typ.NumField() {
			switch f := typ.Field(i); f.Type.Kind() {
			case reflect.Int64, reflect.Uint64, reflect.Uint32, reflect.Uint16, reflect.Uint8:
			default:
				t.Errorf("%v.%s is a %v", typ, f.Name, f.Type)
			}
		}
		if typ.Size() > 24 {
			t.Errorf("%v takes %d bytes, want at most 24", typ, typ.Size())
		}
	}
}
