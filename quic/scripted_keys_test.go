package quic

import (
	"errors"
	"fmt"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// updateKeys has the scripted peer send with its next key.
func (p *scripted) updateKeys() {
	p.t.Helper()
	p.must(p.keys.AdvanceWrite())
	p.phase = !p.phase
}

// ping has the peer send PING and waits for its acknowledgement.
func (p *scripted) ping(reason string) {
	p.t.Helper()
	delete(p.ignored, wire.FrameAck)
	defer func() { p.ignored[wire.FrameAck] = true }()
	p.sendFrames(protect.OneRTT, frame(wire.FramePing))
	for range 5 { // the acknowledgement may be delayed
		for len(p.got) > 0 {
			if f, ok := p.next(); ok && f.typ == wire.FrameAck {
				p.got = nil
				return
			}
		}
		if p.conn.IsClosed() {
			break
		}
		p.advance()
	}
	p.t.Fatalf("%s: PING was not acknowledged: %v", reason, p.conn.Err())
}

// RFC 9001, section 6.
func TestKeyUpdateByPeer(t *testing.T) {
	for _, client := range []bool{false, true} {
		p := play(t, client)
		p.handshake()
		p.ping("before any update")
		for range 3 {
			gen := p.keys.ReadGen()
			p.updateKeys()
			p.ping("after an update")
			if p.keys.ReadGen() != gen+1 {
				t.Fatalf("conn did not follow: generation %d, was %d (s6.2)", p.keys.ReadGen(), gen)
			}
			p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
			p.ping("twice in one generation")
			if p.keys.ReadGen() != gen+1 {
				t.Fatal("conn updated again without cause")
			}
			p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		}
	}
}

// RFC 9001, section 6.5: packets of the old key that come late are accepted.
func TestKeyUpdateReordered(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	late := p.encode(scriptedPacket{slot: protect.OneRTT, frames: [][]byte{streamFrame(0, 0, "late", false)}})
	p.updateKeys()
	p.ping("the first packet of the new key")
	p.recvFrom(p.remote, late)
	p.drain()
	buf := make([]byte, 10)
	if n, _, err := p.conn.StreamRecv(0, buf); err != nil || string(buf[:n]) != "late" {
		t.Fatalf("StreamRecv: %q, %v", buf[:n], err)
	}
	p.ping("still open")
}

// RFC 9001, section 6.2: an acknowledgement in an old-phase packet of a new-phase one is KEY_UPDATE_ERROR.
func TestKeyUpdateAckWithOldKey(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.must(p.conn.KeyUpdate())
	p.conn.Ping()
	p.drain()
	if p.keys.ReadGen() != 1 {
		t.Fatalf("the PING after KeyUpdate came in generation %d", p.keys.ReadGen())
	}
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	p.wantClose("an old key acknowledges a new one", KeyUpdateError)
}

// RFC 9001, section 6.1: an update may be started, but not twice before the first is acknowledged.
func TestKeyUpdateByConn(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.must(p.conn.KeyUpdate())
	p.conn.Ping()
	p.drain()
	if err := p.conn.KeyUpdate(); !errors.Is(err, ErrKeyUpdateTooSoon) {
		t.Errorf("a second update before the first was acknowledged: %v", err)
	}
	p.updateKeys()
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	p.got = nil
	p.wantIdle("acknowledged")
}

// RFC 9001, section 9.5 and 6.3: a forged packet of the other phase changes nothing.
func TestKeyUpdateForged(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	for range 100 {
		b := p.encode(scriptedPacket{slot: protect.OneRTT, flip: true, frames: [][]byte{frame(wire.FramePing)}})
		p.recvFrom(p.remote, b) // sealed with the current key, so that the next one does not open it
	}
	p.wantIdle("forged packets")
	p.ping("after forged packets")
	if p.keys.ReadGen() != 0 {
		t.Error("conn updated its keys for a forged packet")
	}
}

// RFC 9001, section 6.2: what answers our update is no update of the peer's own, and waits for no acknowledgement. A peer
// that has nothing to say but ACK frames, which are not acknowledged, may be led through any number of updates.
func TestKeyUpdateAnsweredByAcksAlone(t *testing.T) {
	for _, client := range []bool{false, true} {
		p := play(t, client)
		p.handshake()
		for i := range 5 {
			p.must(p.conn.KeyUpdate())
			p.drain()
			p.updateKeys()
			p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
			if p.conn.IsClosed() {
				t.Fatalf("closed by the answer to update %d: %v", i, p.conn.Err())
			}
			for p.conn.keys.previousDrop != 0 {
				p.advance()
			}
		}
		if gen := p.conn.keys.ReadGen(); gen != 5 {
			t.Errorf("conn is in generation %d, want 5", gen)
		}
	}
}

// RFC 9001, section 6.4: packet numbers and generations of keys grow together, whether the packets come in one train or
// not, and which of them comes first.
func TestKeyUpdateOrder(t *testing.T) {
	const oldBelow, oldAbove = 0, 2 // of the packet numbers 0 to 3 that are left; the new key has 1 and 3
	for _, c := range []struct {
		name  string
		order []int // packet numbers, from the next one on
		bad   bool
	}{
		{"in order", []int{oldBelow, 1, 3}, false},
		{"old below new, late", []int{1, oldBelow, 3}, false},
		{"new ones out of order", []int{3, 1, oldBelow}, false},
		{"old above new, late", []int{1, oldAbove}, true},
		{"old above new, first", []int{oldAbove, 1}, true},
		{"old between new ones, whose lowest came first", []int{1, 3, oldAbove}, true},
		{"old between new ones, whose highest came first", []int{3, oldAbove, 1}, true},
		{"old between new ones, last", []int{3, 1, oldAbove}, true},
	} {
		for _, updates := range []int{0, 1, 2} { // before
			for _, train := range []bool{true, false} {
				p := newScriptedClient(t)
				p.handshake()
				for range updates {
					p.updateKeys()
					p.ping("an update before")
					p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
				}
				packets := make([][]byte, 4)
				first := p.nextPN[2]
				for _, pn := range []int{oldBelow, oldAbove} {
					p.nextPN[2] = first + int64(pn)
					packets[pn] = p.encode(oneRTT(frame(wire.FramePing), make([]byte, 30)))
				}
				p.updateKeys()
				for _, pn := range []int{1, 3} {
					p.nextPN[2] = first + int64(pn)
					packets[pn] = p.encode(oneRTT(frame(wire.FramePing), make([]byte, 30)))
				}
				var buf []byte
				for _, pn := range c.order {
					if buf = append(buf, packets[pn]...); !train {
						p.recvFrom(p.remote, buf)
						buf = nil
					}
				}
				if train {
					p.conn.Recv(p.now, Train{Buf: buf, SegSize: len(packets[0]), Local: p.local, Remote: p.remote})
				}
				name := fmt.Sprintf("%s, after %d updates, train %v", c.name, updates, train)
				switch dropped := p.conn.keys.failures == 1; {
				case !c.bad:
					p.ping(name)
				case !train && dropped:
					// Of packets that come alone the key is chosen by what came before: the old one is not even tried.
				default:
					p.wantClose(name, KeyUpdateError)
				}
			}
		}
	}
}

// RFC 9001, sections 6.3 and 9.5: a connection that has rested follows its peer's update with the first packet that it gets, and starts one
// itself; a forged packet that wakes it changes nothing.
func TestKeyUpdateAfterRest(t *testing.T) {
	for _, client := range []bool{false, true} {
		p := play(t, client)
		p.handshake()
		p.ping("before any update")
		rest := func() {
			p.got = nil
			for p.conn.restAt() != 0 || p.conn.keys.previousDrop != 0 {
				p.advance()
			}
		}
		for i := uint32(0); i < 6; i += 2 {
			rest()
			p.ping("nothing but a rest")
			p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
			rest()
			p.recvFrom(p.remote, p.encode(scriptedPacket{slot: protect.OneRTT, flip: true, frames: [][]byte{frame(wire.FramePing)}}))
			if p.conn.idle.rest == 0 || p.conn.keys.ReadGen() != i {
				t.Fatalf("client=%v: a forged packet leaves it in generation %d, want %d; resting: %v", client, p.conn.keys.ReadGen(), i, p.conn.idle.rest == 0)
			}
			rest()
			p.updateKeys()
			p.ping("an update with the first packet after a rest")
			if gen := p.keys.ReadGen(); gen != i+1 {
				t.Fatalf("client=%v: conn did not follow: generation %d, want %d (s6.2)", client, gen, i+1)
			}
			p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
			rest()
			p.must(p.conn.KeyUpdate())
			p.drain()
			rest() // before the peer answers
			p.updateKeys()
			p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
			p.ping("the answer to an update with the first packet after a rest")
			if read, write := p.conn.keys.ReadGen(), p.conn.keys.WriteGen(); read != i+2 || write != i+2 {
				t.Fatalf("client=%v: conn reads generation %d and writes %d, want %d", client, read, write, i+2)
			}
			p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		}
		if n := p.conn.keys.failures; n != 3 {
			t.Errorf("client=%v: %d packets did not authenticate, and 3 were forged", client, n)
		}
	}
}
