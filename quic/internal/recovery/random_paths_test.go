package recovery

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/congestion"
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// modelPacket is a packet of the plain model that TestRandomPaths compares with: where it went and what became of it.
type modelPacket struct {
	path        *Path
	size        int64
	acked, lost bool
}

// modelHandler tells the model of losses. Each packet has one frame, whose ID is its number.
type modelHandler struct {
	packets map[int64]*modelPacket
	probing bool // what is handed over is not lost, but sent again as a probe
}

func (h *modelHandler) OnFrameAcked(Space, Frame) {}

func (h *modelHandler) OnFrameLost(_ Space, f Frame) bool {
	if !h.probing {
		h.packets[int64(f.ID)].lost = true
	}
	return true
}

// Packets that are sent on paths at random, which come and go, acknowledged and lost at random: after each step what is in flight on each
// path is what a plain model says, and there is a timer as long as anything is in flight.
func TestRandomPaths(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var l Loss
		l.Init(false)
		l.SetMaxAckDelay(25 * time.Millisecond)
		l.SetHandshakeConfirmed()
		h := &modelHandler{packets: map[int64]*modelPacket{}}
		now := 10_000 * ms
		add := func() *Path {
			p := NewPath(congestion.NewCUBIC(datagram), 50*time.Millisecond, datagram)
			l.AddPath(&p)
			return &p
		}
		paths := []*Path{add()}
		inUse := paths[0]
		for step := range 400 {
			now += rng.Int64N(20 * ms)
			acknowledged := false
			switch n := rng.IntN(20); {
			case n < 10:
				p := SentPacket{Size: 50 + rng.IntN(1150), AckEliciting: true, InFlight: true, ECT: inUse.ECN.Mark()}
				pn := l.NextPN(AppSpace)
				l.onPacketSent(now, AppSpace, p, []Frame{{Type: wire.FrameStream, ID: uint64(pn), Len: 1}}, inUse)
				h.packets[pn] = &modelPacket{path: inUse, size: int64(p.Size)}
			case n < 15 && l.NextPN(AppSpace) > 0:
				var acks ranges.Set
				for range 1 + rng.IntN(4) {
					pn := max(l.NextPN(AppSpace)-1-rng.Int64N(12), 0)
					acks.Add(pn, pn+1)
				}
				var list []ranges.Range
				for i := len(acks) - 1; i >= 0; i-- {
					list = append(list, acks[i])
					for pn := acks[i].Start; pn < acks[i].End; pn++ {
						acknowledged = acknowledged || pn >= l.app.packets.start && !h.packets[pn].acked
						h.packets[pn].acked = true
					}
				}
				var counts *wire.ECNCounts
				if rng.IntN(2) == 0 {
					counts = &wire.ECNCounts{ECT0: rng.Uint64N(20), CE: rng.Uint64N(3)}
				}
				if err := l.OnAck(now, AppSpace, list, 0, counts, inUse, h); err != nil {
					t.Fatalf("seed %d, step %d: %v", seed, step, err)
				}
			case n < 17:
				if at := l.Timer(inUse); at != 0 {
					now = max(now, at)
					at, _ := l.lossTimer(inUse)
					h.probing = at == 0
					l.OnTimeout(now, inUse, h)
					h.probing = false
				}
			case n == 17 && len(paths) < MaxPaths:
				paths = append(paths, add())
			case n == 18:
				inUse = paths[rng.IntN(len(paths))]
			case n == 19 && len(paths) > 1:
				i := rng.IntN(len(paths))
				if paths[i] != inUse {
					l.ForgetPath(paths[i])
					paths = append(paths[:i], paths[i+1:]...)
				}
			}
			if err := l.Check(); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			sums, all := map[*Path]int64{}, 0
			for _, p := range h.packets {
				if !p.acked && !p.lost {
					sums[p.path] += p.size
					all++
				}
			}
			for i, p := range paths {
				if p.InFlight != sums[p] {
					t.Fatalf("seed %d, step %d: %d bytes in flight on path %d, want %d", seed, step, p.InFlight, i, sums[p])
				}
			}
			if why := unnoticed(&l, now, inUse); why != "" && acknowledged && len(paths) > 1 {
				t.Fatalf("seed %d, step %d: %s", seed, step, why)
			}
			if (l.Timer(inUse) != 0) != (all > 0) {
				t.Fatalf("seed %d, step %d: %d packets in flight, the timer is at %d", seed, step, all, l.Timer(inUse))
			}
		}
	}
}

// unnoticed tells of a packet that is lost by RFC 9002, section 6.1, and that the record has in flight. On the first path it may stand behind one of
// a path that was forgotten.
func unnoticed(l *Loss, now int64, inUse *Path) string {
	s := &l.app
	orphans := false
	for pn := s.packets.start; pn < s.largestAcked; pn++ {
		r := s.packets.at(pn)
		i := l.pathOf(r)
		orphans = orphans || i < 0
		if i < 0 || i == 0 && orphans || r.flags&inFlight == 0 || r.flags&(acked|lost) != 0 {
			continue
		}
		p := l.paths[i]
		switch {
		case r.time <= now-p.age():
			return fmt.Sprintf("packet %d was sent %v ago on a path where that is too much", pn, time.Duration(now-r.time))
		case s.lossTime == 0 || s.lossTime > r.time+p.age():
			return fmt.Sprintf("packet %d is lost at %d, and the timer is set to %d", pn, r.time+p.age(), s.lossTime)
		}
	}
	return ""
}

// What was sent on a path with long round trips, and may still be acknowledged, keeps no loss from being found on the path in use.
func TestLossBesideSlowPath(t *testing.T) {
	r := newRig(t, nil)
	r.send(AppSpace, eliciting)
	r.at(1000).ack(AppSpace, 0) // a second
	r.sendMany(3)               // 1 to 3
	fast := NewPath(r.cc, 10*time.Millisecond, datagram)
	fast.RTT.update(10*time.Millisecond, 0)
	r.l.AddPath(&fast)
	for range 6 { // 4 to 9
		r.l.onPacketSent(r.now, AppSpace, eliciting, []Frame{{Type: wire.FrameCrypto, ID: uint64(r.l.NextPN(AppSpace))}}, &fast)
	}
	r.now += 10 * ms
	if err := r.l.OnAck(r.now, AppSpace, []ranges.Range{{Start: 8, End: 9}}, 0, nil, &fast, r); err != nil {
		t.Fatal(err)
	}
	r.wantLost(4, 5)
	if got, want := r.l.Timer(&fast), r.now-10*ms+fast.age(); got != want {
		t.Errorf("the timer is set to %v, want %v, when 6 and 7 are too old", got-r.now, want-r.now)
	}
	r.now = r.l.Timer(&fast)
	r.l.OnTimeout(r.now, &fast, r)
	r.wantLost(6, 7)
	if r.path.InFlight != 3*datagram {
		t.Errorf("%d bytes are in flight on the slow path", r.path.InFlight)
	}
}
