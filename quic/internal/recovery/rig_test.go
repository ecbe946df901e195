package recovery

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/congestion"
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

const (
	ms       = int64(time.Millisecond)
	datagram = 1200
)

// recorder is a congestion controller that does nothing but remember what it was told.
type recorder struct {
	window int64
	slow   bool
	told   []string
	acks   []congestion.Ack
}

func (c *recorder) OnAck(_ int64, a congestion.Ack) { c.acks = append(c.acks, a) }

func (c *recorder) OnCongestion(_, sent int64) {
	c.told = append(c.told, fmt.Sprintf("congestion %d", sent/ms))
}

func (c *recorder) OnSpurious()             { c.told = append(c.told, "spurious") }
func (c *recorder) OnPersistentCongestion() { c.told = append(c.told, "persistent") }
func (c *recorder) Window() int64           { return c.window }
func (c *recorder) SlowStart() bool         { return c.slow }
func (c *recorder) SetMaxDatagram(int)      {}

// rig is a Loss and a Path on a clock of their own, in milliseconds. Each packet carries one frame, whose ID is its
// packet number.
type rig struct {
	t           *testing.T
	l           Loss
	path        Path
	cc          *recorder
	now         int64
	acked, lost []uint64 // IDs of frames, as the handler was told
}

func (r *rig) OnFrameAcked(_ Space, f Frame) { r.acked = append(r.acked, f.ID) }

func (r *rig) OnFrameLost(_ Space, f Frame) bool {
	r.lost = append(r.lost, f.ID)
	return f.Type != wire.FrameAck
}

// newRig is for an established connection, unless configure says otherwise. It begins at 10 s.
func newRig(t *testing.T, configure func(l *Loss)) *rig {
	cc := &recorder{window: 1 << 20}
	r := &rig{t: t, cc: cc, path: NewPath(cc, 333*time.Millisecond, datagram), now: 10_000 * ms}
	r.l.AddPath(&r.path)
	if configure != nil {
		configure(&r.l)
		return r
	}
	r.l.Init(false)
	r.l.SetMaxAckDelay(25 * time.Millisecond)
	r.l.SetHandshakeConfirmed()
	return r
}

// move forgets the path, and goes on with another under the same controller.
func (r *rig) move() {
	r.l.ForgetPath(&r.path)
	r.path = NewPath(r.cc, 333*time.Millisecond, datagram)
	r.l.AddPath(&r.path)
}

// eliciting is an ordinary packet.
var eliciting = SentPacket{Size: datagram, AckEliciting: true, InFlight: true}

// ackOnly is a packet that holds nothing but an ACK frame.
var ackOnly = SentPacket{Size: 40}

// send sends a packet and returns its number.
func (r *rig) send(sp Space, p SentPacket) int64 {
	pn := r.l.NextPN(sp)
	r.l.onPacketSent(r.now, sp, p, []Frame{{Type: wire.FrameCrypto, ID: uint64(pn)}}, &r.path)
	return pn
}

// sendMany sends n ordinary packets in the AppSpace, a millisecond apart, the first one now.
func (r *rig) sendMany(n int) {
	for i := range n {
		if i > 0 {
			r.now += ms
		}
		r.send(AppSpace, eliciting)
	}
}

// at sets the clock to so many milliseconds after the rig's beginning.
func (r *rig) at(millis float64) *rig {
	now := 10_000*ms + int64(millis*float64(ms))
	if now < r.now {
		r.t.Helper()
		r.t.Fatalf("the clock cannot go back to %v ms", millis)
	}
	r.now = now
	return r
}

// ackRanges are ranges of packet numbers as an ACK frame has them.
func ackRanges(pns ...int64) (list ranges.Set) {
	for _, pn := range pns {
		list.Add(pn, pn+1)
	}
	slices.Reverse(list)
	return list
}

// ack acknowledges packets.
func (r *rig) ack(sp Space, pns ...int64) { r.t.Helper(); r.ackWith(sp, 0, nil, pns...) }

func (r *rig) ackWith(sp Space, delay time.Duration, ecn *wire.ECNCounts, pns ...int64) {
	r.t.Helper()
	if err := r.l.OnAck(r.now, sp, ackRanges(pns...), delay, ecn, &r.path, r); err != nil {
		r.t.Fatalf("acknowledging %v: %v", pns, err)
	}
	r.check()
}

// timeout lets the clock run to when the timer is due.
func (r *rig) timeout() (probes int, sp Space) {
	r.t.Helper()
	at := r.l.Timer(&r.path)
	if at == 0 {
		r.t.Fatal("no timer is set")
	}
	r.now = max(r.now, at)
	defer r.check()
	return r.l.OnTimeout(r.now, &r.path, r)
}

func (r *rig) check() {
	r.t.Helper()
	if err := r.l.Check(); err != nil {
		r.t.Error(err)
	}
}

// wantTimer compares the time of the timer, in milliseconds after the rig's beginning; 0: none is to be set.
func (r *rig) wantTimer(millis float64, reason string) {
	r.t.Helper()
	got := r.l.Timer(&r.path)
	want := int64(0)
	if millis != 0 {
		want = 10_000*ms + int64(millis*float64(ms))
	}
	if got != want {
		r.t.Errorf("%s: the timer is at %.4f ms, want %.4f (0 is none)", reason, float64(got-10_000*ms)/1e6, millis)
	}
}

// wantAcked and wantLost compare what the handler was told since they were last called.
func (r *rig) wantAcked(ids ...uint64) { r.t.Helper(); want(r.t, "acknowledged", &r.acked, ids) }
func (r *rig) wantLost(ids ...uint64)  { r.t.Helper(); want(r.t, "lost", &r.lost, ids) }

// wantCC compares what the controller was told of losses since it was last called.
func (r *rig) wantCC(told ...string) {
	r.t.Helper()
	want(r.t, "the congestion controller heard", &r.cc.told, told)
}

func want[T comparable](t *testing.T, what string, got *[]T, want []T) {
	t.Helper()
	if !slices.Equal(*got, want) {
		t.Errorf("%s: %v, want %v", what, *got, want)
	}
	*got = nil
}

func (r *rig) wantInFlight(want int64, reason string) {
	r.t.Helper()
	if r.path.InFlight != want*datagram {
		r.t.Errorf("%s: %d bytes in flight, want %d", reason, r.path.InFlight, want*datagram)
	}
}

// onPacketSent notes frames and a packet.
func (l *Loss) onPacketSent(now int64, sp Space, p SentPacket, frames []Frame, path *Path) {
	for _, f := range frames {
		l.Note(sp, f)
	}
	l.OnPacketSent(now, sp, p, path)
}
