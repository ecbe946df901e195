package quic

import (
	"net/netip"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// A peer that is heard from many addresses, and packets that change the state of the path that they came on.

// port returns the n-th of many addresses of the peer's host.
func (p *scripted) port(n int) netip.AddrPort {
	return netip.AddrPortFrom(p.remote.Addr(), uint16(1000+n))
}

// However many addresses they come from, and however fast, packets that prove authentic count: their data, and their acknowledgements.
// What is bounded is what is sent there and what is kept.
func TestPacketsFromEverywhere(t *testing.T) {
	p := newMobile(t)
	id, err := p.conn.OpenStream()
	p.must(err)
	off := uint64(0)
	for i := range 2000 {
		if _, err := p.conn.StreamSend(id, []byte("x"), false); err != nil {
			t.Fatal(err)
		}
		p.drain()
		p.sendFrom(p.port(i), "conn-cid", p.ackReceived(protect.OneRTT), streamFrame(0, off, "y", false))
		off++
		p.now = p.now.Add(10 * time.Microsecond)
		p.check()
		if n := p.conn.Stats().BytesInFlight; n > 3*minDatagramSize {
			t.Fatalf("packet %d: %d bytes are in flight: its acknowledgement did not count", i, n)
		}
	}
	buf := make([]byte, 3000)
	if n, _, err := p.conn.StreamRecv(0, buf); n != 2000 {
		t.Errorf("%d bytes were received (%v), want 2000", n, err)
	}
	if got := p.conn.Stats().Migrations; got > newPathBurst+10 {
		t.Errorf("the connection moved %d times within 20 ms", got)
	}
	// When it is over, the peer is followed again.
	p.now = p.now.Add(time.Second)
	p.sendFrom(farHost, "conn-cid", frame(wire.FramePing))
	if p.conn.path.remote != farHost {
		t.Errorf("conn is at %v", p.conn.path.remote)
	}
}

// An observer who copies each of the peer's packets, faster than the peer's own come, from addresses of his choice has us send to
// none of them more than three times what came from there, and to the peer not many challenges.
func TestCopiesFromEverywhere(t *testing.T) {
	p := newMobile(t)
	received := map[netip.AddrPort]int{}
	sent := map[netip.AddrPort]int{}
	challenges := 0
	datagram := -1
	for i := range 3000 {
		b := p.encode(oneRTT(frame(wire.FramePing), filler(i%400)))
		spoofed := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 5000)
		for _, from := range []netip.AddrPort{spoofed, p.remote} { // of which the peer's own is a duplicate then
			received[from] += len(b)
			p.recvFrom(from, append([]byte(nil), b...))
			p.drain()
		}
		p.sendFrames(protect.OneRTT, frame(wire.FramePing))
		for _, f := range p.got {
			if f.datagram != datagram {
				datagram = f.datagram
				sent[f.to] += f.size
			}
			if f.typ == wire.FramePathChallenge && f.to == p.remote {
				challenges++
			}
		}
		p.got = nil
		p.now = p.now.Add(100 * time.Microsecond)
	}
	for to, n := range sent {
		if to != p.remote && n > maxAmplification*received[to] {
			t.Errorf("%d bytes to %v, from where %d came", n, to, received[to])
		}
	}
	if p.conn.path.remote != p.remote || p.conn.IsClosed() {
		t.Errorf("conn is at %v: %v", p.conn.path.remote, p.conn.Err())
	}
	if challenges > 3 {
		t.Errorf("%d challenges to the peer within 300 ms, want one in a probe timeout", challenges)
	}
}

// A path that was left is done with once it has answered its challenge. What else is in the packet with the answer counts all the same: a
// challenge of the peer's is answered there, and if the packet is no probe, the connection goes there.
func TestPathEndsInItsOwnPacket(t *testing.T) {
	left := func(t *testing.T) (p *scripted, answer []byte) {
		p = newMobile(t)
		p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(1000))
		cs := p.challenges()
		p.sendFrames(protect.OneRTT, frame(wire.FramePing)) // the peer is back
		if p.conn.path.remote != p.remote || len(cs[farHost]) != 1 {
			t.Fatalf("conn is at %v, challenges %v", p.conn.path.remote, cs)
		}
		p.got = nil
		return p, answerTo(cs[farHost][0])
	}
	challenge := append(frame(wire.FramePathChallenge), "12345678"...)
	t.Run("challenge", func(t *testing.T) {
		p, answer := left(t)
		p.sendFrom(farHost, "cid-0001", answer, challenge, filler(1000))
		f := p.take(wire.FramePathResponse)
		if len(f) != 1 || f[0].to != farHost || f[0].dstID != "peercid1" {
			t.Errorf("answers %v, want one to %v", f, farHost)
		}
		p.wantPathTo("a probe", p.remote, "peer-cid")
	})
	t.Run("no probe", func(t *testing.T) {
		p, answer := left(t)
		p.sendFrom(farHost, "cid-0001", answer, frame(wire.FramePing), challenge, filler(1000))
		if f := p.take(wire.FramePathResponse); len(f) != 1 || f[0].to != farHost {
			t.Errorf("answers %v, want one to %v", f, farHost)
		}
		p.wantPathTo("it is no probe", farHost, "peercid1")
		if !p.conn.path.validated {
			t.Error("the answer did not validate the path")
		}
		p.sendFrames(protect.OneRTT, frame(wire.FramePing))
		p.wantPathTo("and back", p.remote, string(p.srcID))
	})
	t.Run("too many paths", func(t *testing.T) {
		p, answer := left(t)
		for i := range maxPaths {
			p.recvFrom(p.port(i), p.encode(to("cid-0001", oneRTT(answer, challenge, filler(1000)))))
		}
		p.drain()
		p.wantPathTo("probes", p.remote, "peer-cid")
	})
}

// Three challenges are given the time of an ordinary path, however short Config.InitialRTT is (section 8.2.4).
func TestValidationWithShortInitialRTT(t *testing.T) {
	p := newMobile(t, func(p *scripted) { p.cfg.InitialRTT = 300 * time.Microsecond })
	p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(1000))
	cs := p.challenges()
	start := p.now
	for p.conn.path.remote == farHost && p.now.Sub(start) < 500*time.Millisecond {
		p.advance()
	}
	p.sendFrom(farHost, "cid-0001", answerTo(cs[farHost][0]))
	if p.conn.path.remote != farHost || !p.conn.path.validated {
		t.Errorf("conn is at %v, validated %v", p.conn.path.remote, p.conn.path.validated)
	}
}

// A peer that only receives moves, and what is sent to its new address is lost: of the three bytes for each that came from there enough
// is left to ask again, though there is data to send.
func TestChallengesKeepRoom(t *testing.T) {
	p := newMobile(t)
	id, err := p.conn.OpenStream()
	p.must(err)
	if _, err := p.conn.StreamSend(id, make([]byte, 100_000), true); err != nil {
		t.Fatal(err)
	}
	p.drain()
	p.challenges()
	p.sendFrom(farHost, "conn-cid", p.ackReceived(protect.OneRTT), filler(270))
	for range maxPathChallenges - 1 {
		if n := len(p.challenges()[farHost]); n != 1 {
			t.Fatalf("%d challenges came to the new address, want one more", n)
		}
		for at := p.conn.paths.timer(); p.conn.clock.now < at; {
			p.advance()
		}
	}
	last := p.challenges()[farHost]
	if len(last) != 1 {
		t.Fatalf("%d last challenges", len(last))
	}
	p.sendFrom(farHost, "conn-cid", answerTo(last[0]))
	if !p.conn.path.validated || p.conn.path.remote != farHost {
		t.Errorf("conn is at %v, which is validated: %v", p.conn.path.remote, p.conn.path.validated)
	}
}

// A packet that comes late from where the peer was, to a connection ID of before, takes no connection ID that the peer will have to be
// followed with: there may be one only, and the peer gives another when it hears of us.
func TestLatePacketTakesNoID(t *testing.T) {
	p := newMobile(t)
	late := p.encode(to("cid-0001", oneRTT(frame(wire.FramePing))))
	p.sendFrames(protect.OneRTT, frame(wire.FramePing))
	p.recvFrom(p.port(1), late)
	p.drain()
	if id := p.conn.peer.unused(); id == nil {
		t.Error("the late packet took the only spare connection ID")
	}
	p.sendFrom(farHost, "cid-0002", frame(wire.FramePing), filler(1000))
	p.wantPathTo("the peer has moved", farHost, "peercid1")
}

// A connection that is closed just when its peer has moved says so at the new address, with as few bytes as it may send there.
func TestCloseOnNewPath(t *testing.T) {
	for _, reason := range []string{"", string(make([]byte, maxReasonLen))} {
		p := newMobile(t)
		for i := range 2 * maxAckRanges { // which makes for a long ACK frame
			p.nextPN[2] += int64(i)
			p.recvFrom(p.remote, p.encode(oneRTT(frame(wire.FramePing))))
		}
		p.drain()
		p.got = nil
		p.sendFrom(farHost, "conn-cid", frame(wire.FramePing), filler(60))
		if p.conn.path.remote != farHost || p.conn.path.allowance() >= minDatagramSize {
			t.Fatalf("conn is at %v and may send %d bytes", p.conn.path.remote, p.conn.path.allowance())
		}
		p.got = nil
		p.conn.Close(p.now, true, 7, reason)
		p.drain()
		if f := p.take(wire.FrameConnectionCloseApp); len(f) != 1 || f[0].to != farHost {
			t.Errorf("%v came, want a CONNECTION_CLOSE to %v", f, farHost)
		}
	}
}
