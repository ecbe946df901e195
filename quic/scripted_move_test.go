package quic

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// A client that moves of its own will (RFC 9000, section 9). The peer is a server, at p.remote; the client begins at p.local.

var (
	wlan  = netip.MustParseAddrPort("198.51.100.20:40000")
	lte   = netip.MustParseAddrPort("203.0.113.30:41000")
	port2 = netip.MustParseAddrPort("192.0.2.1:444") // another port of p.local's host
)

// newWanderer returns a server whose client, conn, has confirmed the handshake and knows two spare connection IDs of it.
func newWanderer(t *testing.T, options ...scriptedOption) *scripted {
	t.Helper()
	p := newScriptedServer(t, options...)
	p.handshake()
	p.ignored[wire.FrameNewConnectionID] = true
	p.sendFrames(protect.OneRTT, newConnectionIDFrame(1, 0, "peercid1", [16]byte{1}), newConnectionIDFrame(2, 0, "peercid2", [16]byte{2}))
	p.advance() // its acknowledgement
	p.got, p.events = nil, nil
	return p
}

// deliver has conn receive frames at one of its addresses, and receives what it answers.
func (p *scripted) deliver(local netip.AddrPort, frames ...[]byte) {
	p.t.Helper()
	p.recvAt(local, p.remote, p.encode(oneRTT(frames...)))
	p.drain()
}

// pathEvents returns the path events that came, and forgets all events.
func (p *scripted) pathEvents() (out []PathEvent) {
	for _, ev := range p.events {
		if ev.Kind == EventPath {
			out = append(out, *ev.Path)
		}
	}
	p.events = nil
	return out
}

// wantPathEvents asserts which path events came, all of one local address, in order.
func (p *scripted) wantPathEvents(reason string, local netip.AddrPort, kinds ...PathEventKind) {
	p.t.Helper()
	var got []PathEventKind
	for _, ev := range p.pathEvents() {
		if ev.Local == local && ev.Remote == p.remote {
			got = append(got, ev.Kind)
		} else {
			p.t.Errorf("%s: %v of %v, %v; want events of %v alone", reason, ev.Kind, ev.Local, ev.Remote, local)
		}
	}
	if len(got) != len(kinds) {
		p.t.Fatalf("%s: events %v, want %v", reason, got, kinds)
	}
	for i := range got {
		if got[i] != kinds[i] {
			p.t.Fatalf("%s: events %v, want %v", reason, got, kinds)
		}
	}
}

// takeChallenge returns the one PATH_CHALLENGE that came, from a local address, which must be alone with PADDING in a full datagram.
func (p *scripted) takeChallenge(reason string, from netip.AddrPort) gotFrame {
	p.t.Helper()
	var others []gotFrame
	for _, f := range p.got {
		if f.from == from && f.typ != wire.FramePathChallenge && f.typ != wire.FramePadding {
			others = append(others, f)
		}
	}
	got := p.take(wire.FramePathChallenge)
	if len(got) != 1 || got[0].from != from || got[0].size != minDatagramSize || len(others) > 0 {
		p.t.Fatalf("%s: challenges %v, beside them %v; want one from %v in a full datagram", reason, got, others, from)
	}
	return got[0]
}

// wantFrom asserts where conn sends from, and under which connection ID.
func (p *scripted) wantFrom(reason string, local netip.AddrPort, dstID string) {
	p.t.Helper()
	p.got = nil
	p.conn.Ping()
	p.drain()
	f := p.wantType(reason, protect.OneRTT, wire.FramePing)
	if f.from != local || f.to != p.remote || f.dstID != dstID {
		p.t.Errorf("%s: conn sends from %v to %v under %q, want from %v to %v under %q", reason, f.from, f.to, f.dstID, local, p.remote, dstID)
	}
}

// A client probes another path: one padded PATH_CHALLENGE with a connection ID of its own, nothing else, and all data where it was.
// When it moves, all goes there, recovery begins anew, the server's data is taken at either address; and it can move back
// (sections 9.1, 9.2, 9.4 and 9.5).
func TestClientMoves(t *testing.T) {
	p := newWanderer(t)
	first := p.conn.path.rec
	p.must(p.conn.ProbePath(p.now, wlan, netip.AddrPort{}))
	p.drain()
	c := p.takeChallenge("a probe", wlan)
	if c.dstID != "peercid1" || c.to != p.remote {
		t.Errorf("the probe went to %v under %q", c.to, c.dstID)
	}
	p.wantPathEvents("begun", wlan, PathNew)
	p.wantFrom("not yet validated", p.local, "peer-cid")
	p.deliver(wlan, answerTo(c), filler(1150))
	p.wantPathEvents("answered", wlan, PathValidated)
	p.wantFrom("validated", p.local, "peer-cid")
	p.must(p.conn.Migrate(p.now, wlan, p.remote))
	p.drain()
	p.wantPathEvents("moved", wlan, PathActivated)
	if got := p.take(wire.FramePing); len(got) != 1 || got[0].from != wlan {
		t.Errorf("the server is told by %v, want a PING from %v", got, wlan)
	}
	p.deliver(wlan, answerTo(p.takeChallenge("the path is validated again", wlan)))
	p.wantPathEvents("again", wlan, PathValidated)
	if rec := p.conn.path.rec; rec == first || !rec.RTT.HasSample() == first.RTT.HasSample() && rec.CC.Window() != first.CC.Window() {
		t.Error("recovery did not begin anew")
	}
	p.wantFrom("moved", wlan, "peercid1")
	p.deliver(p.local, streamFrame(0x3, 0, "late", false)) // what was under way to the old address
	if n, _, err := p.conn.StreamRecv(0x3, make([]byte, 10)); n != 4 || err != nil {
		t.Errorf("%d bytes were received at the old address: %v", n, err)
	}
	p.wantFrom("the server's packets move nothing", wlan, "peercid1")
	p.must(p.conn.Migrate(p.now, p.local, netip.AddrPort{}))
	p.drain()
	if p.conn.path.rec != first {
		t.Error("the first path has another recovery than before")
	}
	p.deliver(p.local, answerTo(p.takeChallengeBeside("back", p.local)))
	p.wantFrom("back", p.local, "peer-cid")
	if got := p.conn.Stats().Migrations; got != 2 {
		t.Errorf("%d migrations, want 2", got)
	}
	paths := p.conn.Paths()
	if len(paths) != 2 || paths[0].Local != p.local || paths[0].State != PathActive || paths[1].Local != wlan || paths[1].State != PathStandby ||
		!paths[1].Validated || paths[1].BytesSent == 0 || paths[1].BytesReceived == 0 || paths[1].SmoothedRTT == 0 {
		t.Errorf("paths %+v", paths)
	}
}

// takeChallengeBeside returns the one PATH_CHALLENGE that came, whatever came with it.
func (p *scripted) takeChallengeBeside(reason string, from netip.AddrPort) gotFrame {
	p.t.Helper()
	got := p.take(wire.FramePathChallenge)
	if len(got) != 1 || got[0].from != from {
		p.t.Fatalf("%s: challenges %v, want one from %v", reason, got, from)
	}
	return got[0]
}

// Migrate to a path that is not known validates it first: nothing but probes goes there before (RFC 9000, section 9.1).
func TestClientMigratesAtOnce(t *testing.T) {
	p := newWanderer(t)
	p.must(p.conn.Migrate(p.now, wlan, p.remote))
	p.drain()
	c := p.takeChallenge("a probe", wlan)
	p.wantFrom("not yet validated", p.local, "peer-cid")
	p.deliver(p.local, answerTo(c)) // section 8.2.3: on whichever path
	p.wantPathEvents("moved", wlan, PathNew, PathValidated, PathActivated)
	p.wantFrom("validated", wlan, "peercid1")
}

// A path on which nobody answers is given up after three probes, and three seconds, also where the round-trip time of another port of its
// host is known to be short; and the connection stays where it is (section 8.2.4).
func TestClientProbeFails(t *testing.T) {
	for _, c := range []struct {
		local   netip.AddrPort
		migrate bool
	}{{wlan, false}, {wlan, true}, {port2, false}, {port2, true}} {
		p := newWanderer(t)
		begin := (*Conn).ProbePath
		if c.migrate {
			begin = (*Conn).Migrate
		}
		p.must(begin(p.conn, p.now, c.local, p.remote))
		p.drain()
		start := p.now
		for len(p.conn.paths.list) > 1 && !p.conn.IsClosed() {
			p.advance()
		}
		if n := len(p.take(wire.FramePathChallenge)); n != maxPathChallenges {
			t.Errorf("%v: %d probes, want %d (A8)", c, n, maxPathChallenges)
		}
		if d := p.now.Sub(start); d < 2*time.Second || d > 4*time.Second {
			t.Errorf("%v: given up after %v", c, d)
		}
		p.wantPathEvents("failed", c.local, PathNew, PathFailed)
		f := p.take(wire.FrameRetireConnectionID)
		if len(f) != 1 || f[0].from != p.local {
			t.Errorf("%v: the probe's connection ID was retired by %v", c, f)
		}
		p.wantFrom("failed", p.local, "peer-cid")
	}
}

// What ProbePath and Migrate refuse, with which error.
func TestClientMoveErrors(t *testing.T) {
	wantIs := func(t *testing.T, reason string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) || want == nil && got != nil {
			t.Errorf("%s: %v, want %v", reason, got, want)
		}
	}
	t.Run("not confirmed", func(t *testing.T) {
		p := newScriptedServer(t)
		wantIs(t, "before the handshake", p.conn.ProbePath(p.now, wlan, p.remote), ErrNotConfirmed)
		wantIs(t, "before the handshake", p.conn.Migrate(p.now, wlan, p.remote), ErrNotConfirmed)
	})
	t.Run("disable_active_migration", func(t *testing.T) {
		p := newWanderer(t, param(0x0c, []byte{}))
		wantIs(t, "another address", p.conn.ProbePath(p.now, wlan, p.remote), ErrMigrationDisabled)
		wantIs(t, "another port", p.conn.Migrate(p.now, port2, p.remote), ErrMigrationDisabled)
		wantIs(t, "where it is", p.conn.Migrate(p.now, p.local, p.remote), nil)
		p.drain()
		p.wantIdle("nothing is sent from elsewhere")
	})
	t.Run("empty connection IDs of the server", func(t *testing.T) {
		p := newScriptedServer(t, func(p *scripted) { p.srcID = []byte{} })
		p.handshake()
		wantIs(t, "9.5", p.conn.Migrate(p.now, wlan, p.remote), ErrNoConnIDs)
	})
	t.Run("no connection ID", func(t *testing.T) {
		p := newWanderer(t)
		p.must(p.conn.ProbePath(p.now, wlan, p.remote))
		p.must(p.conn.ProbePath(p.now, lte, p.remote))
		wantIs(t, "a third", p.conn.ProbePath(p.now, port2, p.remote), ErrNoConnIDs)
		p.must(p.conn.AbandonPath(p.now, lte, p.remote))
		p.drain()
		p.got = nil
		wantIs(t, "one is expected", p.conn.ProbePath(p.now, port2, p.remote), nil)
		wantIs(t, "and that one is not to be had twice", p.conn.ProbePath(p.now, lte, p.remote), ErrNoConnIDs)
		p.wantIdle("before the server gives another")
		p.sendFrames(protect.OneRTT, newConnectionIDFrame(3, 0, "peercid3", [16]byte{3}))
		if c := p.takeChallenge("and after it", port2); c.dstID != "peercid3" {
			t.Errorf("the probe is sent to %q", c.dstID)
		}
	})
	t.Run("too many paths", func(t *testing.T) {
		p := newWanderer(t)
		p.sendFrames(protect.OneRTT, newConnectionIDFrame(3, 0, "peercid3", [16]byte{3}))
		for i := range maxPaths - 1 {
			p.must(p.conn.ProbePath(p.now, netip.AddrPortFrom(wlan.Addr(), uint16(1000+i)), p.remote))
		}
		wantIs(t, "a fifth", p.conn.ProbePath(p.now, lte, p.remote), ErrTooManyPaths)
	})
	t.Run("addresses", func(t *testing.T) {
		p := newWanderer(t)
		wantIs(t, "another host", p.conn.Migrate(p.now, wlan, farHost), errUnknownServer)
		if err := p.conn.Migrate(p.now, netip.MustParseAddrPort("[2001:db8::1]:1"), p.remote); err == nil {
			t.Error("IPv6 to IPv4 was accepted")
		}
	})
	t.Run("server", func(t *testing.T) {
		p := newMobile(t)
		wantIs(t, "a server", p.conn.ProbePath(p.now, wlan, p.remote), errServerPath)
		wantIs(t, "a server", p.conn.AbandonPath(p.now, wlan, p.remote), errServerPath)
	})
	t.Run("closed", func(t *testing.T) {
		p := newWanderer(t)
		p.conn.Close(p.now, true, 7, "over")
		wantIs(t, "closed", p.conn.Migrate(p.now, wlan, p.remote), p.conn.Err())
	})
}

// A client probes one address after another, each with a connection ID of its own, and gave the server three of its: what was probed and answered is
// forgotten for what is probed now, once the server has no other connection ID to answer with.
func TestProbesFromManyAddresses(t *testing.T) {
	p := newMobile(t)
	p.sendFrames(protect.OneRTT, newConnectionIDFrame(2, 0, "peercid2", [16]byte{2}))
	next := uint64(3)
	p.got = nil
	for i := range 20 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 1000)
		answered := false
		for range 2 { // the probe, and another a second later
			p.sendFrom(from, []string{"cid-0001", "cid-0002"}[i%2], append(frame(wire.FramePathChallenge), "12345678"...), filler(1150))
			for range p.take(wire.FrameRetireConnectionID) {
				id := newConnectionIDFrame(next, 0, fmt.Sprintf("peerid%02d", next), [16]byte{byte(next)})
				next++
				p.sendFrames(protect.OneRTT, id, p.ackReceived(protect.OneRTT))
			}
			for _, f := range p.take(wire.FramePathResponse) {
				answered = answered || f.to == from
			}
			p.now = p.now.Add(time.Second)
		}
		if !answered {
			t.Fatalf("nothing answered the probe from address %d; there are paths %+v", i, p.conn.Paths())
		}
	}
	p.wantPathTo("probes move nothing", p.remote, "peer-cid")
}

// RFC 9001, section 4.1.2: an acknowledgement of a 1-RTT packet confirms the handshake to a client, if HANDSHAKE_DONE was lost.
func TestAckConfirmsHandshake(t *testing.T) {
	unconfirmed := func(t *testing.T, options ...scriptedOption) *scripted {
		p := newScriptedServer(t, options...)
		for range 10 {
			p.sendTLS()
		}
		if !p.conn.IsEstablished() || p.conn.tls.confirmed {
			t.Fatalf("established: %v, confirmed: %v", p.conn.IsEstablished(), p.conn.tls.confirmed)
		}
		return p
	}
	p := unconfirmed(t)
	p.sendFrames(protect.OneRTT, frame(wire.FramePing)) // which anybody could have sent before it saw the Finished
	if p.conn.tls.confirmed {
		t.Fatal("a packet without acknowledgement confirms the handshake")
	}
	p.conn.Ping()
	p.drain()
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	if !p.conn.tls.confirmed || p.conn.spaces[1] != nil {
		t.Error("the acknowledgement of a 1-RTT packet does not confirm the handshake")
	}
	p.wantFrom("it is alive", p.local, "peer-cid")
	// A client without idle timeout whose last packets the server never saw does not wait for ever.
	p = unconfirmed(t, func(p *scripted) { p.cfg.MaxIdleTimeout = -1 })
	p.lossy = true
	start := p.now
	for !p.conn.IsClosed() && p.now.Sub(start) < time.Hour {
		p.advance()
	}
	var idle *IdleTimeoutError
	if !errors.As(p.conn.Err(), &idle) || p.now.Sub(start) > time.Minute {
		t.Errorf("it ended after %v with %v", p.now.Sub(start), p.conn.Err())
	}
	// And one whose handshake is confirmed has none.
	p = newScriptedServer(t, func(p *scripted) { p.cfg.MaxIdleTimeout = -1 })
	p.handshake()
	if p.conn.idle.timeout != 0 {
		t.Errorf("the idle timeout is %v", time.Duration(p.conn.idle.timeout))
	}
}

// A client leaves the path in use for one that is not validated, since its socket is gone, and that one for another before it is: it stays one that is
// probed, and can be gone to when it has answered.
func TestLeavesUnvalidatedPath(t *testing.T) {
	p := newWanderer(t)
	p.must(p.conn.ProbePath(p.now, wlan, p.remote))
	p.must(p.conn.ProbePath(p.now, lte, p.remote))
	p.drain()
	var toWlan, toLte gotFrame
	for _, f := range p.take(wire.FramePathChallenge) {
		if f.from == wlan {
			toWlan = f
		} else {
			toLte = f
		}
	}
	p.must(p.conn.AbandonPath(p.now, p.local, p.remote))
	p.drain()
	p.wantFrom("the first path is gone", wlan, "peercid1")
	p.deliver(wlan, answerTo(toLte))
	p.must(p.conn.Migrate(p.now, lte, p.remote))
	p.drain()
	p.check()
	p.wantFrom("moved on", lte, "peercid2")
	p.deliver(lte, answerTo(toWlan))
	p.must(p.conn.Migrate(p.now, wlan, p.remote))
	p.drain()
	p.check()
	p.wantFrom("and back", wlan, "peercid1")
	// The only one there is cannot be abandoned; and one whose last path fails ends.
	p.must(p.conn.AbandonPath(p.now, lte, p.remote))
	if err := p.conn.AbandonPath(p.now, wlan, p.remote); err != ErrNoOtherPath || p.conn.IsClosed() {
		t.Errorf("the only path was abandoned: %v, closed %v", err, p.conn.Err())
	}
	p = newWanderer(t)
	p.must(p.conn.ProbePath(p.now, wlan, p.remote))
	p.must(p.conn.AbandonPath(p.now, p.local, p.remote))
	p.lossy = true
	for !p.conn.IsClosed() {
		p.advance()
	}
	var err *TransportError
	if !errors.As(p.conn.Err(), &err) || err.Code != NoViablePath {
		t.Errorf("no path is left, and it ended with %v", p.conn.Err())
	}
}

// A client that has moved, and whose server uses all connection IDs that it has, gives it others on the new path, and has it retire those before: where
// it would say that it is done with one the client may not be any more (sections 5.1.2 and 9.5).
func TestMoveGivesConnIDs(t *testing.T) {
	p := newWanderer(t, param(0x0e, varint(4)))
	ids := p.conn.SourceIDs()
	if len(ids) != 3 {
		t.Fatalf("the client has given %d connection IDs", len(ids))
	}
	at := p.local
	moveTo := func(to netip.AddrPort, answerID int) []gotFrame {
		t.Helper()
		p.got = nil
		p.must(p.conn.Migrate(p.now, to, p.remote))
		p.drain()
		f := p.take(wire.FramePathChallenge)
		if len(f) == 0 || f[0].from != to {
			t.Fatalf("no probe of %v came: %v", to, f)
		}
		p.recvAt(to, p.remote, p.encode(scriptedPacket{slot: protect.OneRTT, dstID: ids[answerID].Bytes(), frames: [][]byte{answerTo(f[0])}}))
		p.drain()
		at = to
		return p.take(wire.FrameNewConnectionID)
	}
	if got := moveTo(wlan, 1); len(got) > 0 {
		t.Errorf("with a connection ID to spare the client gave %v", got)
	}
	got := moveTo(lte, 2)
	if len(got) != 3 {
		t.Fatalf("the client gave %v, want three connection IDs", got)
	}
	for i, f := range got {
		seq, retirePriorTo, _, _, n := wire.ConsumeNewConnectionID(f.raw)
		if n < 0 || seq != uint64(3+i) || retirePriorTo != 3 || f.from != at {
			t.Errorf("connection ID %d with Retire Prior To %d came from %v", seq, retirePriorTo, f.from)
		}
	}
	p.got = nil
	retired := [][]byte{frame(wire.FrameRetireConnectionID, 0), frame(wire.FrameRetireConnectionID, 1), frame(wire.FrameRetireConnectionID, 2)}
	fresh := p.conn.SourceIDs()[3:]
	p.recvAt(lte, p.remote, p.encode(scriptedPacket{slot: protect.OneRTT, dstID: fresh[0].Bytes(), frames: retired}))
	p.drain()
	if now := p.conn.SourceIDs(); len(now) != 3 {
		t.Errorf("the client has %d connection IDs, want 3", len(now))
	}
	if f := p.take(wire.FrameNewConnectionID); len(f) > 0 {
		t.Errorf("the client gave %v", f)
	}
}

// The server may have used a connection ID where the client does not hear of it: on a path that was given up before the answer came. Where
// probe timeouts after a move find no answer the client gives others, too.
func TestMoveWithoutAnswerGivesConnIDs(t *testing.T) {
	p := newWanderer(t, param(0x0e, varint(4)))
	ids := p.conn.SourceIDs()
	p.must(p.conn.Migrate(p.now, wlan, p.remote))
	p.drain()
	c := p.takeChallenge("a move", wlan)
	p.recvAt(wlan, p.remote, p.encode(scriptedPacket{slot: protect.OneRTT, dstID: ids[1].Bytes(), frames: [][]byte{answerTo(c)}}))
	p.drain()
	if f := p.take(wire.FrameNewConnectionID); len(f) > 0 {
		t.Errorf("after an answer the client gave %v", f)
	}
	for timeouts := p.conn.Stats().Timeouts; p.conn.Stats().Timeouts < timeouts+doubtAfter; {
		p.advance()
		p.drain()
	}
	got := p.take(wire.FrameNewConnectionID)
	if len(got) < 3 {
		t.Fatalf("the client gave %v, want three connection IDs", got)
	}
	for _, f := range got {
		if seq, retirePriorTo, _, _, n := wire.ConsumeNewConnectionID(f.raw); n < 0 || seq < 3 || retirePriorTo != 3 {
			t.Errorf("connection ID %d with Retire Prior To %d came", seq, retirePriorTo)
		}
	}
	for range 3 { // and no more until those before are retired
		p.advance()
		p.drain()
	}
	if n := len(p.conn.SourceIDs()); n != 6 {
		t.Errorf("the client has %d connection IDs", n)
	}
}

// A client whose path has died goes on with another, and gives the server connection IDs for it, if nothing is heard there either: the server may have
// used those that it had where the client did not hear of it (RFC 9000, section 9.5).
func TestClientGivesIDsWhereItHasGone(t *testing.T) {
	p := newWanderer(t)
	delete(p.ignored, wire.FrameNewConnectionID)
	p.ignored[wire.FramePing], p.ignored[wire.FrameRetireConnectionID], p.ignored[wire.FramePathChallenge] = true, true, true
	p.must(p.conn.ProbePath(p.now, wlan, netip.AddrPort{}))
	p.drain()
	cs := p.take(wire.FramePathChallenge)
	if len(cs) != 1 {
		t.Fatalf("challenges %v", cs)
	}
	p.deliver(wlan, answerTo(cs[0]))
	p.conn.Ping()
	p.drain()
	var given []gotFrame
	for range 40 {
		p.advance()
		if given = p.take(wire.FrameNewConnectionID); len(given) > 0 {
			break
		}
	}
	if len(given) != 2 || given[0].from != wlan || p.conn.LocalAddr() != wlan {
		t.Errorf("conn is at %v, and has given %v", p.conn.LocalAddr(), given)
	}
}
