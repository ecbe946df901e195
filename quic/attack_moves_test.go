package quic

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Attacks on connections that can be at several addresses; see attack_address_test.go for the numbers.

// A7: at the address that a server prefers, what comes from a client's address that is not validated there brings three times its bytes at most, at
// every instant, and nothing but probes and their answers.
func TestAttackA7PreferredAddress(t *testing.T) {
	for _, size := range []int{1, 30, 100, 400, 1000} {
		p := newPreferred(t)
		id, err := p.conn.OpenStream()
		p.must(err)
		if _, err := p.conn.StreamSend(id, make([]byte, 100_000), true); err != nil {
			t.Fatal(err)
		}
		p.drain()
		p.got = nil
		b := p.encode(to("cid-pref", oneRTT(frame(wire.FramePing), append(frame(wire.FramePathChallenge), "12345678"...), filler(size))))
		received := len(b)
		p.recvAt(preferred4, farHost, b)
		p.drain()
		for range 20 {
			sent := map[int]int{}
			for _, f := range p.got {
				if f.to != farHost {
					continue
				}
				sent[f.datagram] = f.size
				if f.from != preferred4 || f.typ != wire.FramePathChallenge && f.typ != wire.FramePathResponse && f.typ != wire.FramePadding {
					t.Fatalf("%v went from %v to an address that is not validated", f, f.from)
				}
			}
			sum := 0
			for _, n := range sent {
				sum += n
			}
			if sum > maxAmplification*received || sum == 0 {
				t.Fatalf("%d bytes to an address that sent %d", sum, received)
			}
			if len(p.conn.paths.list) == 1 {
				break
			}
			p.advance()
		}
		if p.conn.path.remote != p.remote || p.conn.IsClosed() {
			t.Errorf("conn is at %v, %v", p.conn.path.remote, p.conn.Err())
		}
	}
}

// D1: challenges that flood a client on a path that it keeps in reserve are answered there, one answer each at most, and no more than maxPathResponses wait.
func TestAttackD1ChallengesOnStandby(t *testing.T) {
	p := newWanderer(t)
	p.must(p.conn.ProbePath(p.now, wlan, p.remote))
	p.drain()
	p.deliver(wlan, answerTo(p.takeChallenge("a probe", wlan)))
	p.got = nil
	buf := make([]byte, 1500)
	answers := 0
	for i := range 5000 {
		p.recvAt(wlan, p.remote, p.encode(oneRTT(append(frame(wire.FramePathChallenge), fmt.Sprintf("%08d", i)...))))
		for tr := p.conn.Send(p.now, buf); tr.N > 0; tr = p.conn.Send(p.now, buf) {
			if tr.Local == wlan {
				answers++
			}
		}
		if n := len(p.conn.paths.responses); n > maxPathResponses {
			t.Fatalf("%d answers wait", n)
		}
	}
	if answers > 5000 {
		t.Errorf("%d answers to 5000 challenges", answers)
	}
	if p.conn.path.local != p.local || p.conn.IsClosed() {
		t.Errorf("the client is at %v, %v", p.conn.path.local, p.conn.Err())
	}
}

// D2 and D3: a server that has its connection IDs retired, again and again and faster than it gives others, while its client probes, moves and goes back: Send comes
// to an end each time, the state does not contradict itself, what waits to be retired is bounded, and paths without a connection ID are closed, or wait
// for one.
func TestAttackD3RetiredWhileMoving(t *testing.T) {
	addrs := []netip.AddrPort{{}, wlan, lte, port2}
	for seed := range uint64(60) {
		p := newWanderer(t, param(0x0e, varint(4)))
		addrs[0] = p.local
		p.lossy = true
		rng := rand.New(rand.NewPCG(seed, 7))
		next, retirePriorTo := uint64(3), uint64(0)
		var asked []gotFrame
		for step := range 200 {
			a := addrs[rng.IntN(len(addrs))]
			switch rng.IntN(8) {
			case 0:
				_ = p.conn.Migrate(p.now, a, p.remote)
			case 1:
				_ = p.conn.ProbePath(p.now, a, p.remote)
			case 2:
				_ = p.conn.AbandonPath(p.now, a, p.remote)
			case 3, 4:
				if rng.IntN(2) == 0 {
					retirePriorTo = max(retirePriorTo, next-uint64(rng.IntN(3)))
				}
				p.recvAt(a, p.remote, p.encode(oneRTT(newConnectionIDFrame(next, min(retirePriorTo, next), fmt.Sprintf("peer%04d", next),
					[16]byte{1, byte(next), byte(next >> 8)}))))
				next++
			case 5:
				if len(asked) > 0 {
					p.recvAt(a, p.remote, p.encode(oneRTT(answerTo(asked[rng.IntN(len(asked))]), filler(rng.IntN(1100)))))
				}
			case 6:
				p.recvAt(a, p.remote, p.encode(oneRTT(append(frame(wire.FramePathChallenge), "12345678"...), p.ackReceived(protect.OneRTT))))
			case 7:
				p.now = p.now.Add(time.Duration(rng.IntN(1500)) * time.Millisecond)
				p.conn.OnTimeout(p.now)
			}
			p.srcID = []byte("peer-cid") // all are as long
			p.drain()
			p.check()
			asked = append(asked, p.take(wire.FramePathChallenge)...)
			p.got = nil
			if n := len(p.conn.peer.retiring); n > retiredConnIDs*usualConnIDLimit+maxPaths {
				t.Fatalf("seed %d, step %d: %d connection IDs are to be retired", seed, step, n)
			}
			if len(p.conn.paths.list) > maxPaths {
				t.Fatalf("seed %d, step %d: %d paths", seed, step, len(p.conn.paths.list))
			}
			if p.conn.IsClosed() {
				break
			}
		}
		var err *TransportError
		if p.conn.IsClosed() && (!errors.As(p.conn.Err(), &err) || err.Code != ConnectionIDLimitError && err.Code != NoViablePath) {
			t.Errorf("seed %d: closed with %v", seed, p.conn.Err())
		}
	}
}

// A8: what a server can make a client send to somebody else is three probes, once: by its preferred address, whatever the server does then. From an
// address of another host than the server's, nothing is taken.
func TestAttackA8PreferredVictim(t *testing.T) {
	p, first := newPreferring(t, preferredParam(farHost, netip.AddrPort{}))
	sent := len(first)
	p.got = nil
	for range 200 {
		p.recvAt(p.local, p.remote, p.encode(oneRTT(frame(wire.FramePing), p.ackReceived(protect.OneRTT))))
		p.recvAt(p.local, otherPort, p.encode(oneRTT(append(frame(wire.FramePathChallenge), "12345678"...))))
		p.now = p.now.Add(50 * time.Millisecond)
		p.conn.OnTimeout(p.now)
		p.drain()
	}
	datagrams := map[int]bool{}
	for _, f := range append(first, p.got...) {
		if f.to == farHost {
			datagrams[f.datagram] = true
		} else if f.to != p.remote {
			t.Fatalf("%v went to %v", f, f.to)
		}
	}
	if len(datagrams) != maxPathChallenges || sent == 0 {
		t.Errorf("%d datagrams went to the address that the server named, want %d", len(datagrams), maxPathChallenges)
	}
}

// D5: a client that comes from ever other ports, so that paths come and go, while nobody reads the server's events: the newest maxPathEvents of
// paths wait, and no other event is lost for them.
func TestAttackD5PathEventsUnread(t *testing.T) {
	p := newMobile(t)
	p.events = nil
	events := 0
	for i := range 200 {
		p.now = p.now.Add(time.Second / 4)
		from := netip.AddrPortFrom(p.remote.Addr(), uint16(2000+i))
		p.recvFrom(from, p.encode(to("conn-cid", oneRTT(frame(wire.FramePing), filler(1100)))))
		p.conn.OnTimeout(p.now)
		for buf := make([]byte, 1500); p.conn.Send(p.now, buf).N > 0; {
		}
		waiting := 0
		for _, ev := range p.conn.events.queue[p.conn.events.head:] {
			if ev.Kind == EventPath {
				waiting++
			}
		}
		if events = max(events, waiting); waiting > maxPathEvents {
			t.Fatalf("%d events of paths wait", waiting)
		}
	}
	if events != maxPathEvents || p.conn.IsClosed() {
		t.Errorf("%d events waited at most, want %d; closed: %v", events, maxPathEvents, p.conn.Err())
	}
}
