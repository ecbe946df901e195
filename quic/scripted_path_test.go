package quic

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// A peer that moves (RFC 9000, section 9). The peer is a client, at p.remote in the beginning.

var (
	otherPort = netip.MustParseAddrPort("192.0.2.2:50001")
	farHost   = netip.MustParseAddrPort("198.51.100.9:50000")
)

// newMobile returns a client whose handshake is over, which gave conn one spare connection ID, and knows spare ones of conn.
func newMobile(t *testing.T, options ...scriptedOption) *scripted {
	t.Helper()
	p := newScriptedClient(t, append([]scriptedOption{param(0x0e, varint(4))}, options...)...)
	p.handshake()
	p.ignored[wire.FrameNewConnectionID], p.ignored[wire.FrameNewToken] = true, true
	p.sendFrames(protect.OneRTT, newConnectionIDFrame(1, 0, "peercid1", [16]byte{1}))
	p.advance() // its acknowledgement
	p.got = nil
	return p
}

// sendFrom sends a packet from another address, to a connection ID of conn's, and receives what conn answers at once.
func (p *scripted) sendFrom(remote netip.AddrPort, dstID string, frames ...[]byte) {
	p.t.Helper()
	p.recvFrom(remote, p.encode(to(dstID, oneRTT(frames...))))
	p.drain()
}

// take returns the frames of a type that came, and forgets them.
func (p *scripted) take(typ uint64) (out []gotFrame) {
	kept := p.got[:0]
	for _, f := range p.got {
		if f.typ == typ {
			out = append(out, f)
		} else {
			kept = append(kept, f)
		}
	}
	p.got = kept
	return out
}

// challenges returns the PATH_CHALLENGE frames that came for each address.
func (p *scripted) challenges() map[netip.AddrPort][]gotFrame {
	out := map[netip.AddrPort][]gotFrame{}
	for _, f := range p.take(wire.FramePathChallenge) {
		out[f.to] = append(out[f.to], f)
	}
	return out
}

func answerTo(f gotFrame) []byte { return append(frame(wire.FramePathResponse), f.raw[1:]...) }

func filler(n int) []byte { return make([]byte, n) } // PADDING

// wantPathTo asserts that what conn sends by itself goes to an address under a connection ID of the peer's.
func (p *scripted) wantPathTo(reason string, remote netip.AddrPort, dstID string) {
	p.t.Helper()
	p.got = nil
	p.conn.Ping()
	p.drain()
	pings := p.take(wire.FramePing)
	if len(pings) == 0 {
		p.t.Fatalf("%s: no PING came", reason)
	}
	if f := pings[len(pings)-1]; f.to != remote || f.dstID != dstID {
		p.t.Errorf("%s: conn sends to %v, connection ID %q; want %v, %q", reason, f.to, f.dstID, remote, dstID)
	}
}

// A NAT gives the peer another port. Conn follows at once, proves the new path and the old one, and keeps connection ID,
// congestion window and round-trip time (sections 9.3, 9.3.3, 9.4 and 9.5).
func TestRebinding(t *testing.T) {
	p := newMobile(t)
	rec := p.conn.path.rec
	p.sendFrom(otherPort, "conn-cid", frame(wire.FramePing), filler(500))
	if len(p.got) == 0 || p.got[0].to != otherPort || p.got[0].typ != wire.FramePathChallenge {
		t.Fatalf("the first frame on the new path is %v, want PATH_CHALLENGE", p.got)
	}
	cs := p.challenges()
	if len(cs[otherPort]) != 1 || len(cs[p.remote]) != 1 {
		t.Fatalf("challenges %v, want one on each path", cs)
	}
	if n := cs[otherPort][0].size; n != minDatagramSize {
		t.Errorf("PATH_CHALLENGE in a datagram of %d bytes, want 1200 (s8.2.1)", n)
	}
	p.wantPathTo("after rebinding", otherPort, "peer-cid")
	p.sendFrom(otherPort, "conn-cid", answerTo(cs[otherPort][0]))
	if !p.conn.path.validated || len(p.conn.paths.list) != 1 || p.conn.path.rec != rec {
		t.Errorf("validated=%v, %d other paths, recovery kept=%v", p.conn.path.validated, len(p.conn.paths.list)-1,
			p.conn.path.rec == rec)
	}
	p.wantPathTo("validated", otherPort, "peer-cid")
	if got := p.conn.Stats().Migrations; got != 1 {
		t.Errorf("%d migrations, want 1", got)
	}
}

// The peer moves on purpose: to another host, with another connection ID. Conn takes another one too, retires the old one when
// the path is validated, and begins anew with congestion control and round-trip time; packets of the old path change neither
// (sections 9.4 and 9.5). ECN is validated anew (section 13.4.2).
func TestMigration(t *testing.T) {
	p := newMobile(t)
	p.conn.Ping()
	p.drain()
	late := p.ackReceived(protect.OneRTT)
	p.got = nil
	old := p.conn.path.rec
	p.now = p.now.Add(time.Second)
	p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(500))
	cs := p.challenges()
	if len(cs[farHost]) != 1 || cs[farHost][0].dstID != "peercid1" || len(cs[p.remote]) != 1 ||
		cs[p.remote][0].dstID != "peer-cid" {
		t.Fatalf("challenges %v, want one on each path under its connection ID", cs)
	}
	rec := p.conn.path.rec
	if rec == old || rec.RTT.HasSample() {
		t.Error("congestion control or round-trip time did not begin anew")
	}
	window, inFlight := rec.CC.Window(), rec.InFlight
	p.sendFrom(farHost, "cid-0001", late)
	if rec.RTT.HasSample() || rec.CC.Window() != window || rec.InFlight != inFlight {
		t.Errorf("packets of the old path changed the new one: sample %v, window %d, was %d, %d in flight, were %d",
			rec.RTT.HasSample(), rec.CC.Window(), window, rec.InFlight, inFlight)
	}
	p.got = nil
	p.sendFrom(farHost, "cid-0001", answerTo(cs[farHost][0]))
	p.wantFrame("the old path's connection ID", protect.OneRTT, frame(wire.FrameRetireConnectionID, 0))
	p.wantPathTo("after migration", farHost, "peercid1")
}

// A peer that moved on purpose and left us no spare connection ID is followed when it gives one: until then nothing is sent to
// its new address (section 9.3 and 9.5).
func TestMigrationWithoutSpareID(t *testing.T) {
	for _, together := range []bool{false, true} {
		p := newScriptedClient(t)
		p.handshake()
		p.ignored[wire.FrameNewConnectionID] = true
		p.got = nil
		id := newConnectionIDFrame(1, 0, "peercid1", [16]byte{1})
		challenge := append(frame(wire.FramePathChallenge), "12345678"...)
		if !together {
			for range 3 {
				p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), challenge, filler(500))
			}
			p.advance()
			for _, f := range p.got {
				if f.to != p.remote {
					t.Fatalf("%v went to %v", f, f.to)
				}
			}
			p.sendFrames(protect.OneRTT, id)
			id = nil
		}
		p.got = nil
		p.sendFrom(farHost, "cid-0001", id, frame(wire.FramePing), filler(500))
		if cs := p.challenges(); len(cs[farHost]) != 1 || cs[farHost][0].dstID != "peercid1" {
			t.Errorf("together=%v: challenges %v, want one at %v", together, cs, farHost)
		}
		p.wantPathTo("with a connection ID", farHost, "peercid1")
	}
}

// A7: to an address that is not validated go at most three times the bytes that came from it, at every instant, and
// PATH_CHALLENGE first (sections 8.2.1 and 9.3.1).
func TestAttackA7MigrationAmplification(t *testing.T) {
	for _, size := range []int{1, 30, 100, 400, 1000} {
		p := newMobile(t)
		id, err := p.conn.OpenStream()
		p.must(err)
		if _, err := p.conn.StreamSend(id, make([]byte, 100_000), true); err != nil {
			t.Fatal(err)
		}
		p.drain()
		got := len(p.got)
		b := p.encode(oneRTT(frame(wire.FramePing), p.ackReceived(protect.OneRTT), filler(size)))
		p.recvFrom(farHost, b)
		p.drain()
		limit := maxAmplification * len(b)
		for range 20 {
			sent := map[int]int{}
			for _, f := range p.got[got:] {
				if f.to == farHost {
					sent[f.datagram] = f.size
				}
			}
			sum := 0
			for _, n := range sent {
				sum += n
			}
			if sum > limit {
				t.Fatalf("%d bytes to a new address that sent %d", sum, len(b))
			}
			if sum > 0 && p.got[got].typ != wire.FramePathChallenge {
				t.Errorf("the first frame is %v, want PATH_CHALLENGE", p.got[got])
			}
			if _, ok := p.conn.Timeout(); !ok {
				break
			}
			p.advance()
		}
	}
}

// A client behind a NAT that gave it another port knows nothing of that, and may send no more than a PING or two until it hears something. The
// challenge leaves as soon as it fits into what may be sent for that (section 8.1).
func TestChallengeFitsLittle(t *testing.T) {
	for factor := 1; factor <= 3; factor++ {
		p := newMobile(t, func(p *scripted) { p.cfg.AmplificationFactor = factor })
		received := 0
		var cs []gotFrame
		for len(cs) == 0 && received < 200 {
			b := p.encode(oneRTT(frame(wire.FramePing)))
			received += len(b)
			p.recvFrom(farHost, b)
			p.drain()
			cs = p.challenges()[farHost]
		}
		if len(cs) != 1 || cs[0].size > factor*received || received > 2*cs[0].size {
			t.Errorf("factor %d: challenges %v for %d bytes, want one of half as many or more", factor, cs, received)
		}
	}
}

// Validation fails in its time even if the anti-amplification limit does not allow another challenge.
func TestMigrationFailsInSilence(t *testing.T) {
	p := newMobile(t)
	p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(1))
	start := p.now
	for p.conn.path.remote == farHost && !p.conn.IsClosed() {
		p.advance()
	}
	cs := p.challenges()
	if p.conn.path.remote != p.remote || p.conn.IsClosed() || len(cs[farHost]) == 0 || len(cs[farHost]) == maxPathChallenges {
		t.Fatalf("conn is at %v, closed: %v, after %d challenges", p.conn.path.remote, p.conn.Err(), len(cs[farHost]))
	}
	if d := p.now.Sub(start); d > 4*time.Second {
		t.Errorf("given up after %v", d)
	}
}

// A new path that is never validated is left for the last validated one, silently (section 9.3.2), after three challenges.
func TestMigrationFails(t *testing.T) {
	p := newMobile(t)
	p.ignored[wire.FramePing] = true
	p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(1000))
	p.sendFrom(farHost, "cid-0001", filler(1100)) // leave to send
	p.sendFrom(farHost, "cid-0001", filler(1100))
	start := p.now
	for p.conn.path.remote == farHost && !p.conn.IsClosed() {
		p.advance()
	}
	if p.conn.path.remote != p.remote || p.conn.IsClosed() {
		t.Fatalf("conn is at %v, closed: %v", p.conn.path.remote, p.conn.Err())
	}
	cs := p.challenges()
	if len(cs[farHost]) != maxPathChallenges {
		t.Errorf("%d challenges, want %d (A8)", len(cs[farHost]), maxPathChallenges)
	}
	if d := p.now.Sub(start); d < 3*p.conn.cfg.InitialRTT {
		t.Errorf("given up after %v", d)
	}
	p.wantPathTo("reverted", p.remote, "peer-cid")
	if n := len(p.take(wire.FrameRetireConnectionID)); n != 0 || len(p.conn.paths.list) != 1 {
		t.Errorf("%d connection IDs are retired, %d other paths remain", n, len(p.conn.paths.list)-1)
	}
	p.sendFrames(protect.OneRTT, frame(wire.FramePing))
	p.wantFrame("the peer is where it was", protect.OneRTT, frame(wire.FrameRetireConnectionID, 1))
}

// A peer that is on a new path, though its answers to all challenges were lost, is asked again there when it is heard, under the connection ID that
// the path had, and so it is behind a NAT of there: there is no other, and who has gone back to where nobody is gets none.
func TestMigrationFailsAndIsTriedAgain(t *testing.T) {
	neighbour := netip.AddrPortFrom(farHost.Addr(), farHost.Port()+1)
	for _, again := range []struct {
		from    netip.AddrPort
		id      string
		noReuse bool
		answer  bool
	}{
		{farHost, "cid-0001", false, true},
		{farHost, "cid-0002", false, true},
		{neighbour, "cid-0001", false, true},
		{neighbour, "cid-0002", false, false}, // an address of before and one of now could be told to be one peer's
		{farHost, "cid-0001", true, true},
		{neighbour, "cid-0001", true, false},
	} {
		p := newMobile(t, func(p *scripted) { p.cfg.DisableConnIDReuse = again.noReuse })
		p.ignored[wire.FramePing] = true
		for range 2 {
			p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(1000))
			if cs := p.challenges(); len(cs[farHost]) != 1 || cs[farHost][0].dstID != "peercid1" {
				t.Fatalf("%+v: challenges %v", again, cs)
			}
			for p.conn.path.remote == farHost && !p.conn.IsClosed() {
				p.advance()
			}
			p.check()
			p.challenges()
		}
		p.sendFrom(again.from, again.id, frame(wire.FramePing), filler(1000))
		cs := p.challenges()[again.from]
		if !again.answer {
			if len(cs) > 0 {
				t.Errorf("%+v: challenges %v, want none", again, cs)
			}
			continue
		}
		if len(cs) != 1 || cs[0].dstID != "peercid1" {
			t.Fatalf("%+v: challenges %v, want one to peercid1", again, cs)
		}
		p.sendFrom(again.from, again.id, answerTo(cs[0]))
		p.check()
		p.wantFrame("the path before", protect.OneRTT, frame(wire.FrameRetireConnectionID, 0))
		p.wantPathTo("it has answered", again.from, "peercid1")
	}
}

// Of two addresses from which the peer sends to one connection ID of ours, as behind a NAT, one takes no connection ID of the other's.
func TestProbesOfOneID(t *testing.T) {
	p := newMobile(t)
	challenge := append(frame(wire.FramePathChallenge), "12345678"...)
	for i := range 2 {
		p.sendFrom(p.port(i), "cid-0001", challenge, filler(1100))
		if f := p.take(wire.FramePathResponse); len(f) != 1 || f[0].to != p.port(i) || f[0].dstID != "peercid1" {
			t.Errorf("answers %v, want one to %v", f, p.port(i))
		}
		p.check()
	}
}

// Without any path that was validated the connection is given up, silently (section 9.3.2).
func TestNoValidatedPath(t *testing.T) {
	p := newMobile(t)
	p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(500))
	p.conn.paths.standby().abandon()
	p.conn.sweepPaths()
	p.got = nil
	for !p.conn.IsClosed() {
		p.advance()
	}
	var err *TransportError
	if !p.conn.IsDrained() || !errors.As(p.conn.Err(), &err) || err.Code != NoViablePath {
		t.Errorf("drained=%v, Err is %v", p.conn.IsDrained(), p.conn.Err())
	}
	if len(p.take(wire.FrameConnectionClose)) > 0 {
		t.Error("CONNECTION_CLOSE was sent")
	}
}

// A probe from another address is answered there, and moves nothing (sections 8.2.2 and 9.1).
func TestPathProbe(t *testing.T) {
	p := newMobile(t)
	p.ignored[wire.FrameAck] = true
	p.sendFrom(farHost, "cid-0001", append(frame(wire.FramePathChallenge), "12345678"...), filler(1100))
	f := p.wantFrame("the answer", protect.OneRTT, append(frame(wire.FramePathResponse), "12345678"...))
	if f.to != farHost || f.size != minDatagramSize || f.dstID != "peercid1" {
		t.Errorf("it went to %v under %q in %d bytes", f.to, f.dstID, f.size)
	}
	p.wantPathTo("a probe", p.remote, "peer-cid")
	// Where three times what came does not allow 1,200 bytes, the answer is shorter.
	p = newMobile(t)
	p.sendFrom(farHost, "cid-0001", append(frame(wire.FramePathChallenge), "12345678"...), filler(100))
	f = p.wantFrame("the answer", protect.OneRTT, append(frame(wire.FramePathResponse), "12345678"...))
	if f.to != farHost || f.size > 3*150 {
		t.Errorf("it went to %v in %d bytes", f.to, f.size)
	}
}

// A challenge that could not be padded validates the address alone: a second one tests the size (section 8.2.1).
func TestSecondValidation(t *testing.T) {
	p := newMobile(t)
	p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(100))
	first := p.challenges()[farHost]
	if len(first) != 1 || first[0].size >= minDatagramSize {
		t.Fatalf("challenges %v, want a small one", first)
	}
	p.sendFrom(farHost, "cid-0001", answerTo(first[0]))
	second := p.challenges()[farHost]
	if len(second) != 1 || second[0].size != minDatagramSize {
		t.Fatalf("challenges %v, want one of full size", second)
	}
	if !p.conn.path.validated || p.conn.paths.standby() == nil {
		t.Error("the path is not validated, or the old one is forgotten already")
	}
	p.sendFrom(farHost, "cid-0001", answerTo(second[0]))
	if p.conn.paths.standby() != nil {
		t.Error("the old path is kept")
	}
}

// D6: an attacker who forwards copies of the peer's packets faster from elsewhere moves the connection only until the next packet
// from the peer itself, which need not be validated again (sections 9.3.2 and 9.3.3). Reordered packets move nothing.
func TestAttackD6Forwarder(t *testing.T) {
	p := newMobile(t)
	window := p.conn.path.rec.CC.Window()
	for range 5 {
		old := p.encode(oneRTT(frame(wire.FramePing)))
		forwarded := p.encode(oneRTT(frame(wire.FramePing)))
		copied := append([]byte(nil), forwarded...)
		p.recvFrom(farHost, copied)
		p.drain()
		if p.conn.path.remote != farHost {
			t.Fatal("conn did not follow")
		}
		if len(p.challenges()[p.remote]) == 0 {
			t.Error("the old path was not challenged")
		}
		p.recvFrom(p.remote, forwarded) // a duplicate now
		p.recvFrom(p.remote, old)       // and a lower packet number
		p.drain()
		if p.conn.path.remote != farHost {
			t.Fatal("a packet number that is not the highest moved the connection")
		}
		p.sendFrames(protect.OneRTT, frame(wire.FramePing))
		if p.conn.path.remote != p.remote || !p.conn.path.validated {
			t.Fatalf("conn is at %v", p.conn.path.remote)
		}
		p.now = p.now.Add(2 * time.Second)
	}
	if got := p.conn.path.rec.CC.Window(); got < window {
		t.Errorf("the window is %d, was %d", got, window)
	}
	p.echo()
}

// A path that was left before its challenge was answered is forgotten with the answer: no address counts as validated for longer
// than it is of use (section 8.1).
func TestLatePathResponse(t *testing.T) {
	p := newMobile(t)
	p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(1000))
	cs := p.challenges()
	p.sendFrames(protect.OneRTT, frame(wire.FramePing)) // the peer is back
	p.sendFrom(farHost, "cid-0001", answerTo(cs[farHost][0]))
	if n := len(p.conn.paths.list) - 1; n != 0 {
		t.Fatalf("%d other paths are kept", n)
	}
	before := p.bytes
	challenge := p.encode(to("cid-0002", oneRTT(append(frame(wire.FramePathChallenge), "12345678"...))))
	p.recvFrom(farHost, append([]byte(nil), challenge...))
	p.drain()
	if n := p.bytes - before; n > maxAmplification*len(challenge)+100 { // and an acknowledgement on the path in use
		t.Errorf("%d bytes were sent for %d from an address that was left", n, len(challenge))
	}
	p.wantPathTo("the peer is where it was", p.remote, "peer-cid")
}

// D5 and A8: packets from 10^5 ports cost no more than maxPaths paths, newPathRate of them a second, and the path of the peer stays.
func TestAttackD5RotatingPorts(t *testing.T) {
	p := newMobile(t)
	ids := []string{"conn-cid", "cid-0001", "cid-0002", "cid-0003"}
	buf := make([]byte, 1500)
	probes, since := 0, p.now
	for i := range 100_000 {
		remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 16), byte(i >> 8)}), uint16(1000+i))
		p.recvFrom(remote, p.encode(to(ids[i%4], oneRTT(frame(wire.FramePing)))))
		p.answer()
		if p.now.Sub(since) > time.Second {
			probes, since = 0, p.now
		}
		for tr := p.conn.Send(p.now, buf); tr.N > 0; tr = p.conn.Send(p.now, buf) {
			if tr.Remote == remote {
				probes++
			}
		}
		if n := len(p.conn.paths.list); n > maxPaths {
			t.Fatalf("%d paths", n)
		}
		if probes > 2*(newPathBurst+newPathRate) {
			t.Fatalf("%d datagrams to new addresses within a second", probes)
		}
		if n := len(p.conn.peer.retiring); n > retiredConnIDs*usualConnIDLimit {
			t.Fatalf("%d connection IDs to retire", n)
		}
		p.now = p.now.Add(50 * time.Microsecond)
		p.events = nil
	}
	if p.conn.IsClosed() || p.conn.paths.standby() == nil || p.conn.paths.standby().remote != p.remote {
		t.Fatalf("closed: %v, the last validated path is %v", p.conn.Err(), p.conn.paths.standby())
	}
	p.sendFrames(protect.OneRTT, frame(wire.FramePing))
	if p.conn.path.remote != p.remote {
		t.Errorf("conn is at %v, not at the peer's", p.conn.path.remote)
	}
}

// D7: an address that changes before the handshake is confirmed, or a server's at any time, is not followed, and the connection
// does not end for it; a peer that said disable_active_migration is followed all the same (section 9).
func TestAttackD7EarlyMigration(t *testing.T) {
	t.Run("during the handshake", func(t *testing.T) {
		p := newScriptedClient(t)
		p.sendTLS()
		p.got = nil
		b := p.encode(scriptedPacket{slot: protect.Handshake, frames: [][]byte{p.takeCrypto(protect.Handshake)}})
		p.recvFrom(farHost, append([]byte(nil), b...))
		p.drain()
		if len(p.got) > 0 || p.conn.IsClosed() || p.conn.IsEstablished() {
			t.Errorf("a packet of the handshake from another address: %v came, Err %v", p.got, p.conn.Err())
		}
		p.recvFrom(p.remote, b)
		p.drain()
		p.handshake()
	})
	t.Run("the server's", func(t *testing.T) {
		p := newScriptedServer(t)
		p.handshake()
		p.sendFrom(farHost, string(p.dstID), frame(wire.FramePing))
		p.wantIdle("a packet from another server")
		if p.conn.path.remote != p.remote {
			t.Error("the client moved to another server")
		}
	})
	t.Run("with disable_active_migration", func(t *testing.T) {
		p := newMobile(t, param(0x0c, []byte{}))
		p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(500))
		if cs := p.challenges(); len(cs[farHost]) != 1 {
			t.Errorf("challenges %v, want one on the new path", cs)
		}
	})
}

// C8 and D3: PATH_CHALLENGE packets that are lost, acknowledged late, or for paths that are forgotten, bring nothing down, and Send
// comes to an end.
func TestAttackC8D3ProbesLost(t *testing.T) {
	for seed := range 20 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := newMobile(t)
			for i := range 4 + seed {
				from := farHost
				if (i>>(seed%3))&1 == 1 {
					from = otherPort
				}
				p.sendFrom(from, "cid-0001", frame(wire.FramePing), filler(300))
				if i%3 == 0 {
					p.advance()
				}
			}
			for range 3 {
				p.conn.Ping()
				p.drain()
			}
			late := p.ackReceived(protect.OneRTT)
			p.sendFrames(protect.OneRTT, frame(wire.FrameAck, uint64(p.largest[2]), 0, 0, 0)) // the rest is lost
			p.advance()
			p.sendFrames(protect.OneRTT, late)
			p.sendFrom(p.remote, "conn-cid", newConnectionIDFrame(2, 2, "peercid2", [16]byte{2}))
			p.srcID = []byte("peercid2")
			p.sendFrames(protect.OneRTT, frame(wire.FramePing))
			p.wantPathTo("the peer is where it was", p.remote, "peercid2")
		})
	}
}

// D1: of the challenges that a peer floods us with, while it acknowledges nothing, no more than maxPathResponses wait, and no more is
// sent than the congestion window allows.
func TestAttackD1ChallengeFlood(t *testing.T) {
	p := newMobile(t)
	buf := make([]byte, 1500)
	sent := 0
	for i := range 20_000 {
		p.recvFrom(p.remote, p.encode(oneRTT(append(frame(wire.FramePathChallenge), fmt.Sprintf("%08d", i)...))))
		for tr := p.conn.Send(p.now, buf); tr.N > 0; tr = p.conn.Send(p.now, buf) {
			if tr.N >= minDatagramSize {
				sent++
			}
		}
		if n := len(p.conn.paths.responses); n > maxPathResponses {
			t.Fatalf("%d answers wait", n)
		}
	}
	if sent > 50 { // the initial window, and what leaves it when recovery gives the oldest packets up
		t.Errorf("%d datagrams of answers to a peer that acknowledges nothing", sent)
	}
	last := p.conn.paths.responses[len(p.conn.paths.responses)-1]
	if string(last.data[:]) != "00019999" {
		t.Errorf("the newest that waits is %q", last.data)
	}
}

// A peer that validates where we are acknowledges nothing there before it has the answer: it gets one beyond a congestion window that is full,
// and no more than one datagram of them in a probe timeout.
func TestChallengeBeyondWindow(t *testing.T) {
	p := newMobile(t)
	buf := make([]byte, 1500)
	challenge := func() (answers int) {
		p.recvFrom(p.remote, p.encode(oneRTT(append(frame(wire.FramePathChallenge), "12345678"...))))
		for tr := p.conn.Send(p.now, buf); tr.N > 0; tr = p.conn.Send(p.now, buf) {
			if tr.N >= minDatagramSize {
				answers++
			}
		}
		return answers
	}
	for range 100 {
		challenge()
	}
	if p.conn.windowOpen(p.conn.path) {
		t.Fatal("the window is not full")
	}
	for range 3 {
		if n := challenge(); n != 0 {
			t.Errorf("%d answers at once, want none", n)
		}
		p.now = p.now.Add(time.Duration(p.conn.pto(p.conn.path.rec)))
		if n := challenge(); n != 1 {
			t.Errorf("%d answers after a probe timeout, want one", n)
		}
	}
}

// Section 9.3.3: who is challenged on the path in use answers with a packet that is no mere probe.
func TestChallengeOnActivePath(t *testing.T) {
	p := newScriptedServer(t)
	p.handshake()
	p.sendFrames(protect.OneRTT, append(frame(wire.FramePathChallenge), "12345678"...))
	p.wantFrame("the answer", protect.OneRTT, append(frame(wire.FramePathResponse), "12345678"...))
	p.wantFrame("a non-probing frame", protect.OneRTT, frame(wire.FramePing))
}

// RFC 9000, section 13.4.2: ECN is validated anew on another path. The peer's counts are of the whole packet number space, and go on.
func TestMigrationECN(t *testing.T) {
	p := newMobile(t)
	p.conn.path.rec.ECN = recovery.ECN{} // the peer has not counted during the handshake
	p.marked = 0
	pings := func(n int) {
		for range n {
			p.conn.Ping()
			p.drain()
		}
	}
	ack := func() []byte {
		b := p.ackReceived(protect.OneRTT)
		b[0] = wire.FrameAckECN
		return append(b, frame(uint64(p.marked), 0, 0)...)
	}
	pings(20)
	p.sendFrames(protect.OneRTT, ack())
	pings(20)
	p.sendFrames(protect.OneRTT, ack())
	if !p.conn.Stats().ECNCapable {
		t.Fatal("the first path does not carry ECN")
	}
	p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(1000))
	cs := p.challenges()
	p.sendFrom(farHost, "cid-0001", answerTo(cs[farHost][0]))
	if p.conn.Stats().ECNCapable {
		t.Error("ECN was not validated anew")
	}
	before := p.marked
	pings(20)
	if got := p.marked - before; got == 0 || got >= 20 {
		t.Errorf("%d of 20 packets were marked before an acknowledgement told, want some", got)
	}
	p.sendFrom(farHost, "cid-0001", ack())
	if !p.conn.Stats().ECNCapable {
		t.Error("the second path carries ECN, and was found not to")
	}
}

// However many paths there have been, packets in flight on one are not counted on another (section 9.4).
func TestPathsApart(t *testing.T) {
	for paths := 250; paths < 260; paths++ {
		p := newMobile(t)
		p.conn.Ping()
		p.drain()
		late := p.ackReceived(protect.OneRTT)
		for i := range paths {
			p.now = p.now.Add(time.Second / 2)
			p.sendFrom(netip.AddrPortFrom(p.remote.Addr(), uint16(i+1)), "conn-cid", filler(1))
		}
		p.sendFrom(farHost, "conn-cid", frame(wire.FramePing), filler(1000))
		rec := p.conn.path.rec
		before := rec.InFlight
		p.sendFrom(farHost, "conn-cid", late)
		if p.conn.path.remote != farHost || rec.InFlight < before {
			t.Errorf("after %d paths an acknowledgement of packets on the old one leaves %d bytes in flight of %d", paths,
				rec.InFlight, before)
		}
	}
}

// RFC 9000, section 8.2.3: the answer to a challenge counts on whichever path it comes, and another one does not.
func TestPathResponseElsewhere(t *testing.T) {
	p := newMobile(t)
	p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(1000))
	cs := p.challenges()
	p.sendFrom(farHost, "cid-0001", append(frame(wire.FramePathResponse), "12345678"...))
	if p.conn.path.validated {
		t.Fatal("any answer validates a path")
	}
	p.sendFrom(otherPort, "conn-cid", answerTo(cs[farHost][0]))
	if !p.conn.path.validated || p.conn.path.remote != farHost {
		t.Error("an answer on another path does not count")
	}
}

// A7 and G3 together with a train: a new path that is not validated is sent no more than three times what it sent, though much
// waits to be sent in one train.
func TestUnvalidatedTrain(t *testing.T) {
	p := newMobile(t)
	id, err := p.conn.OpenStream()
	p.must(err)
	b := p.encode(oneRTT(frame(wire.FramePing), filler(1150)))
	limit := maxAmplification * len(b)
	p.recvFrom(farHost, b)
	if _, err := p.conn.StreamSend(id, make([]byte, 100_000), true); err != nil {
		t.Fatal(err)
	}
	p.answer()
	buf := make([]byte, 65535)
	sum := 0
	for tr := p.conn.Send(p.now, buf); tr.N > 0; tr = p.conn.Send(p.now, buf) {
		if tr.Remote == farHost {
			sum += tr.N
		}
	}
	if sum > limit || sum < limit/2 {
		t.Errorf("%d bytes to a new address that sent %d", sum, len(b))
	}
}

// RFC 9000, section 8.2.4: where the round trip is short, the answers to all challenges may be lost within a moment; on a path without
// which the connection would end, the peer is asked for three seconds.
func TestLastHopeIsAskedAgain(t *testing.T) {
	for _, answered := range []bool{true, false} {
		p := newMobile(t)
		p.sendFrom(otherPort, "cid-0001", frame(wire.FramePing), filler(1000))
		p.conn.paths.standby().abandon()
		p.conn.sweepPaths()
		began, last := p.now, gotFrame{}
		for !p.conn.IsClosed() && p.now.Sub(began) < 2*time.Second {
			p.advance()
			if asked := p.challenges()[otherPort]; len(asked) > 0 {
				last = asked[len(asked)-1]
			}
		}
		if p.conn.IsClosed() {
			t.Fatalf("closed after %v: %v", p.now.Sub(began), p.conn.Err())
		}
		if answered {
			p.sendFrom(otherPort, "cid-0001", answerTo(last), filler(1000))
			if !p.conn.path.validated {
				t.Error("the path is not validated by the last answer")
			}
			continue
		}
		for !p.conn.IsClosed() {
			p.advance()
		}
		if d := p.now.Sub(began); d > 4*time.Second {
			t.Errorf("closed after %v, want some three seconds", d)
		}
	}
}

// Where the round trip turns out to be short while the time for validation is that of an unknown one, the last challenge does not follow the one before at
// once: what has lost that may still lose it, and then the peer would not be asked for most of the time.
func TestLastChallengeWaits(t *testing.T) {
	p := newMobile(t)
	p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(1000))
	began := p.now
	p.sendFrom(farHost, "cid-0001", filler(1100)) // leave to send
	p.conn.Ping()
	p.drain()
	p.now = p.now.Add(20 * time.Millisecond)
	p.sendFrom(farHost, "cid-0001", p.ackReceived(protect.OneRTT), filler(1100))
	p.sendFrom(farHost, "cid-0001", filler(1100))
	if rtt := p.conn.path.rec.RTT; !rtt.HasSample() || rtt.Smoothed > 50*time.Millisecond {
		t.Fatalf("the round-trip time of the new path is %v", rtt.Smoothed)
	}
	var at []time.Duration
	for p.conn.path.remote == farHost && !p.conn.IsClosed() {
		for range p.challenges()[farHost] {
			at = append(at, p.now.Sub(began))
		}
		p.advance()
	}
	if end := p.now.Sub(began); len(at) != maxPathChallenges || at[2] < end*3/5 {
		t.Errorf("challenges after %v, and it was given up after %v", at, end)
	}
}
