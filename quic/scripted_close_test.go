package quic

import (
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// wantCloses takes the CONNECTION_CLOSE frames that came, and asserts that there are so many and that each is this one.
func (p *scripted) wantCloses(reason string, n int, want wire.ConnectionClose) {
	p.t.Helper()
	p.drain()
	for _, f := range p.got {
		if f.typ != wire.FrameConnectionClose && f.typ != wire.FrameConnectionCloseApp {
			continue
		}
		n--
		got, _ := wire.ConsumeConnectionClose(f.raw)
		if got.App != want.App || got.Code != want.Code || string(got.Reason) != string(want.Reason) {
			p.t.Errorf("%s: got %+v at level %d, want %+v", reason, got, f.slot, want)
		}
	}
	if n != 0 {
		p.t.Errorf("%s: CONNECTION_CLOSE frames are missing, or there are too many: %d", reason, n)
	}
	p.got = nil
}

// RFC 9000, section 10.2: closing lasts three PTO, and draining after it no longer than closing would have.
func TestClosingEnds(t *testing.T) {
	for _, client := range []bool{false, true} {
		for _, answered := range []bool{false, true} {
			p := play(t, client)
			p.handshake()
			p.conn.Close(p.now, true, 7, "enough")
			p.wantCloses("closed", 1, wire.ConnectionClose{App: true, Code: 7, Reason: []byte("enough")})
			start := p.now
			pto := p.conn.loss.PTO(p.conn.path.rec)
			if answered {
				p.now = p.now.Add(2 * pto)
				p.sendFrames(protect.OneRTT, frame(wire.FrameConnectionClose, 0, 0, 0))
				p.sendFrames(protect.OneRTT, frame(wire.FramePing))
				p.wantCloses("draining is silent (s10.2.2)", 0, wire.ConnectionClose{})
			}
			p.advance()
			if d := p.now.Sub(start); d != 3*pto || !p.conn.IsDrained() {
				t.Errorf("client=%v, answered=%v: drained=%v after %v, want so after %v", client, answered, p.conn.IsDrained(), d,
					3*pto)
			}
			var err *ApplicationError
			if !errors.As(p.conn.Err(), &err) || err.Remote {
				t.Errorf("Err is %v, want our own close", p.conn.Err())
			}
			if _, ok := p.conn.Timeout(); ok {
				t.Error("a drained connection has a timer")
			}
		}
	}
}

// What arrived before the application closed the connection is acknowledged beside each CONNECTION_CLOSE, since any of them may be lost, and
// so may be an acknowledgement that went before.
func TestCloseAcknowledges(t *testing.T) {
	for _, client := range []bool{false, true} {
		p := play(t, client)
		p.handshake()
		for p.pings(1); (len(p.take(wire.FrameAck)) > 0) != client; { // each second packet brings one at once
			p.pings(1)
		}
		pn, reason := uint64(p.nextPN[2]-1), strings.Repeat("enough", 100)
		p.conn.Close(p.now, true, 7, reason)
		for range 2 {
			p.drain()
			frames := p.got
			if len(frames) != 2 || frames[0].typ != wire.FrameAck || frames[0].pn != frames[1].pn {
				t.Fatalf("client=%v: got %v, want ACK and CONNECTION_CLOSE in one packet", client, frames)
			}
			if a, _, _ := wire.ConsumeAck(frames[0].raw, nil); a.Largest != int64(pn) {
				t.Errorf("client=%v: packet %d is acknowledged, want %d", client, a.Largest, pn)
			}
			p.wantCloses("closed", 1, wire.ConnectionClose{App: true, Code: 7, Reason: []byte(reason[:maxReasonLen])})
			p.sendFrames(protect.OneRTT, frame(wire.FramePing))
		}
	}
}

// RFC 9000, section 10.2.2: who is told of the close says nothing any more, and is gone after three PTO.
func TestDraining(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.sendFrames(protect.OneRTT, append(frame(wire.FrameConnectionCloseApp, 9, 3), "bye"...))
	start, pto := p.now, p.conn.loss.PTO(p.conn.path.rec)
	p.sendFrames(protect.OneRTT, streamFrame(0, 0, "too late", true))
	if f, ok := p.next(); ok {
		t.Errorf("got %v while draining", f)
	}
	var err *ApplicationError
	if !errors.As(p.conn.Err(), &err) || *err != (ApplicationError{Code: 9, Remote: true, Reason: "bye"}) {
		t.Errorf("Err is %v", p.conn.Err())
	}
	p.advance()
	if d := p.now.Sub(start); d != 3*pto || !p.conn.IsDrained() {
		t.Errorf("drained=%v after %v, want so after %v", p.conn.IsDrained(), d, 3*pto)
	}
}

// RFC 9000, section 10.3: a stateless reset ends the connection, and one that is closing keeps its own reason.
func TestStatelessResetEnds(t *testing.T) {
	token := [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	reset := append([]byte("\x40 looks like a short header packet"), token[:]...)
	for _, closing := range []bool{false, true} {
		p := newScriptedServer(t, param(0x02, token[:]))
		p.handshake()
		if closing {
			p.conn.Close(p.now, true, 7, "")
			p.drain()
			p.got = nil
		}
		forged := append([]byte(nil), reset...)
		forged[len(forged)-1]++
		p.recvFrom(p.remote, forged)
		if p.conn.state == stateDraining {
			t.Error("another token ended the connection")
		}
		p.recvFrom(p.remote, append([]byte(nil), reset...))
		p.drain()
		if f, ok := p.next(); ok || p.conn.state != stateDraining {
			t.Errorf("state %d, and %v came", p.conn.state, f)
		}
		if _, ok := p.conn.Err().(*StatelessResetError); ok == closing {
			t.Errorf("closing=%v: Err is %v", closing, p.conn.Err())
		}
	}
}

// RFC 9000, section 10.2.3: before the handshake is confirmed the close goes out at every level that the peer may be able to
// read. Of an application's close nothing but the fact is told at those before 1-RTT, and a datagram with an Initial packet is
// padded (section 14.1).
func TestCloseDuringHandshake(t *testing.T) {
	hidden := wire.ConnectionClose{Code: uint64(ApplicationErrorCode)}
	t.Run("client, first flight", func(t *testing.T) {
		p := newScriptedServer(t)
		p.got = nil
		p.conn.Close(p.now, true, 7, "secret")
		p.wantCloses("Initial", 1, hidden)
		if p.lastSize < minDatagramSize {
			t.Errorf("the datagram has %d bytes", p.lastSize)
		}
	})
	t.Run("server, before its client is heard again", func(t *testing.T) {
		p := newScriptedClient(t)
		p.sendTLS()
		p.got = nil
		p.conn.Close(p.now, true, 7, "secret")
		p.drain()
		levels := map[protect.Slot]bool{}
		for _, f := range p.got {
			c, _ := wire.ConsumeConnectionClose(f.raw)
			levels[f.slot] = true
			switch {
			case f.typ == wire.FramePadding:
			case f.slot == protect.OneRTT && (!c.App || c.Code != 7 || string(c.Reason) != "secret"):
				t.Errorf("at 1-RTT %+v", c)
			case f.slot != protect.OneRTT && (c.App || c.Code != hidden.Code || len(c.Reason) > 0):
				t.Errorf("at level %d %+v", f.slot, c)
			}
		}
		if !levels[protect.Initial] || !levels[protect.Handshake] || !levels[protect.OneRTT] || p.lastSize < minDatagramSize {
			t.Errorf("closed at levels %v in %d bytes, want at all three in 1200", levels, p.lastSize)
		}
	})
	t.Run("transport's own", func(t *testing.T) {
		p := newScriptedClient(t)
		p.sendTLS()
		p.sendFrames(protect.Handshake, frame(wire.FrameHandshakeDone))
		p.wantClose("a frame in the wrong packet", ProtocolViolation)
	})
}

// A3: a closed connection answers fewer and fewer of the packets that come, never sends more than it got, and nothing to an address
// that it does not know (RFC 9000, section 10.2.1).
func TestAttackA3ClosingAmplification(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.conn.Close(p.now, false, uint64(NoError), "")
	p.wantCloses("closed", 1, wire.ConnectionClose{})
	elsewhere := netip.MustParseAddrPort("198.51.100.7:7777")
	replayed := p.encode(scriptedPacket{slot: protect.OneRTT, frames: [][]byte{frame(wire.FramePing)}})
	sent, received := 0, 0
	buf := make([]byte, 1500)
	for i := range 1023 {
		from := p.remote
		if i%2 == 0 {
			from = elsewhere
		}
		b := append([]byte(nil), replayed...)
		received += len(b)
		p.recvFrom(from, b)
		for tr := p.conn.Send(p.now, buf); tr.N > 0; tr = p.conn.Send(p.now, buf) {
			sent++
			if tr.Remote != p.remote {
				t.Fatalf("sent to %v", tr.Remote)
			}
		}
	}
	if sent != 10 { // after 1, 2, 4, ... 512 datagrams
		t.Errorf("%d answers to 1023 datagrams, want 10", sent)
	}
	p.sendFrames(protect.OneRTT, frame(wire.FrameConnectionClose, 0, 0, 0))
	for range 100 {
		p.recvFrom(p.remote, append([]byte(nil), replayed...))
		if tr := p.conn.Send(p.now, buf); tr.N > 0 {
			t.Fatal("sent while draining")
		}
	}
}

// RFC 9000, section 10.1: the idle timer starts anew with each packet that is processed, and with the first ack-eliciting packet
// sent after one; not with later ones, nor with what is not authentic.
func TestIdleTimer(t *testing.T) {
	setUp := func(t *testing.T) *scripted {
		p := newScriptedClient(t, func(p *scripted) { p.cfg.MaxIdleTimeout = 10 * time.Second })
		p.handshake()
		return p
	}
	wantEnd := func(t *testing.T, p *scripted, start time.Time) {
		t.Helper()
		for !p.conn.IsDrained() {
			p.advance()
		}
		if d := p.now.Sub(start); d != 10*time.Second {
			t.Errorf("ended after %v, want 10s", d)
		}
		var err *IdleTimeoutError
		if !errors.As(p.conn.Err(), &err) || err.Handshake {
			t.Errorf("Err is %v", p.conn.Err())
		}
	}
	t.Run("silence", func(t *testing.T) {
		p := setUp(t)
		wantEnd(t, p, p.now)
	})
	t.Run("a packet processed", func(t *testing.T) {
		p := setUp(t)
		p.now = p.now.Add(9 * time.Second)
		p.sendFrames(protect.OneRTT, frame(wire.FramePing))
		wantEnd(t, p, p.now)
	})
	t.Run("a packet that is not authentic", func(t *testing.T) {
		p := setUp(t)
		start := p.now
		p.now = p.now.Add(9 * time.Second)
		b := p.encode(scriptedPacket{slot: protect.OneRTT, frames: [][]byte{frame(wire.FramePing)}})
		b[len(b)-1] ^= 1
		p.recvFrom(p.remote, b)
		wantEnd(t, p, start)
	})
	t.Run("the first packet sent, and not the ones after it", func(t *testing.T) {
		p := setUp(t)
		p.now = p.now.Add(5 * time.Second)
		start := p.now
		for range 3 {
			p.conn.Ping()
			p.drain()
			p.now = p.now.Add(time.Second)
		}
		wantEnd(t, p, start)
	})
}

// RFC 9000, section 10.1: the timeout is the smaller of the two that are declared, and never less than three PTO.
func TestIdleTimeoutNegotiated(t *testing.T) {
	for _, c := range []struct {
		name        string
		ours        time.Duration
		theirs      uint64 // milliseconds
		want        time.Duration
		atLeastPTOs bool
	}{
		{"the peer's", 30 * time.Second, 5000, 5 * time.Second, false},
		{"ours", 5 * time.Second, 30000, 5 * time.Second, false},
		{"the peer has none", 5 * time.Second, 0, 5 * time.Second, false},
		{"we have none", -1, 5000, 5 * time.Second, false},
		{"the largest integer is as good as none (C9)", 5 * time.Second, wire.MaxVarint, 5 * time.Second, false},
		{"less than three PTO", 30 * time.Second, 1, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedClient(t, param(0x01, varint(c.theirs)), func(p *scripted) { p.cfg.MaxIdleTimeout = c.ours })
			p.handshake()
			start, want := p.now, c.want
			if c.atLeastPTOs {
				want = 3 * p.conn.loss.PTO(p.conn.path.rec)
			}
			for !p.conn.IsDrained() {
				p.advance()
			}
			if d := p.now.Sub(start); d != want {
				t.Errorf("ended after %v, want %v", d, want)
			}
		})
	}
}

// RFC 9000, section 13.2.1: no acknowledgement waits longer than the max_ack_delay that is declared, in whole milliseconds.
func TestMaxAckDelayDeclared(t *testing.T) {
	p := newScriptedClient(t, func(p *scripted) { p.cfg.MaxAckDelay = 20*time.Millisecond + 700*time.Microsecond })
	p.handshake()
	tp, err := wire.ParseTransportParameters(p.peerTP, false)
	p.must(err)
	p.sendFrames(protect.OneRTT, frame(wire.FramePing))
	start := p.now
	for len(p.take(wire.FrameAck)) == 0 {
		p.advance()
	}
	if d := p.now.Sub(start); d > tp.MaxAckDelay || tp.MaxAckDelay != 20*time.Millisecond {
		t.Errorf("an acknowledgement after %v, of at most %v declared", d, tp.MaxAckDelay)
	}
}

// RFC 9000, section 10.1: a peer that asks for a timeout of a millisecond waits for three PTO, and has no more PINGs for it.
func TestKeepAliveShortTimeout(t *testing.T) {
	p := newScriptedClient(t, param(0x01, varint(1)), func(p *scripted) { p.cfg.KeepAlive = 10 * time.Second })
	p.handshake()
	p.got = nil
	start, pings := p.now, 0
	for p.now.Sub(start) < 10*time.Second {
		p.advance()
		if n := len(p.take(wire.FramePing)); n > 0 {
			pings += n
			p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		}
		if p.conn.IsClosed() {
			t.Fatalf("closed after %v: %v", p.now.Sub(start), p.conn.Err())
		}
	}
	interval := 3 * p.conn.path.rec.PTO(p.conn.cfg.MaxAckDelay) / 2
	if most := int(10*time.Second/interval) + 1; pings > most || pings < most/2 {
		t.Errorf("%d PINGs in 10 s, want one each %v, which is %d", pings, interval, most)
	}
}

// SetKeepAlive has PINGs be sent while an application wants it, half of the idle timeout apart at most, and none before and after.
func TestSetKeepAlive(t *testing.T) {
	p := newScriptedClient(t, func(p *scripted) { p.cfg.MaxIdleTimeout = 20 * time.Second })
	p.handshake()
	pings := func(d time.Duration) (n int) {
		for start := p.now; p.now.Sub(start) < d && !p.conn.IsClosed(); {
			p.got = nil
			p.advance()
			if m := len(p.take(wire.FramePing)); m > 0 {
				n += m
				p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
			}
		}
		return n
	}
	p.conn.SetKeepAlive(time.Hour)
	if n := pings(55 * time.Second); n < 5 || n > 6 {
		t.Errorf("%d PINGs in 55 s with an idle timeout of 20 s", n)
	}
	p.conn.SetKeepAlive(-1)
	if n := pings(time.Minute); n != 0 || !p.conn.IsClosed() {
		t.Errorf("%d PINGs without a keep-alive; closed: %v", n, p.conn.IsClosed())
	}
}

// A MaxIdleTimeout in fractions of a millisecond is rounded up, also to the first one, since 0 stands for none; and more than can be
// reckoned with is cut.
func TestMaxIdleTimeoutDeclared(t *testing.T) {
	for config, want := range map[time.Duration]time.Duration{
		time.Nanosecond: time.Millisecond, time.Millisecond: time.Millisecond, time.Second + 1: time.Second + time.Millisecond,
		0: 30 * time.Second, -1: 0, math.MaxInt64: maxIdleTimeoutCap,
	} {
		p := newScriptedClient(t, func(p *scripted) { p.cfg.MaxIdleTimeout = config })
		p.handshake()
		tp, err := wire.ParseTransportParameters(p.peerTP, false)
		p.must(err)
		if ours := time.Duration(p.conn.idle.timeout); tp.MaxIdleTimeout != want || ours != want {
			t.Errorf("%v: %v are declared, and %v in force; want %v", config, tp.MaxIdleTimeout, ours, want)
		}
		p.wantIdle("after the handshake")
	}
}

// The reason of a close is cut at a character, to 256 bytes and to the room that a packet has; a text that is not UTF-8 anywhere.
func TestCloseReasonIsText(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want string
	}{
		{"short", 10, "short"}, {"abc", 2, "ab"}, {"aéb", 3, "aé"}, {"aéb", 2, "a"}, {"€uro", 2, ""}, {"€uro", 0, ""},
		{"a\U0001F600", 4, "a"}, {"a\U0001F600", 5, "a\U0001F600"}, {"\x80\x80\x80\x80\x80\x80", 5, "\x80\x80\x80\x80\x80"},
	} {
		if got := string(cutText([]byte(c.text), c.n)); got != c.want {
			t.Errorf("%d bytes of %q: %q, want %q", c.n, c.text, got, c.want)
		}
	}
	p := newScriptedClient(t)
	p.handshake()
	p.conn.Close(p.now, true, 1<<63, "x"+strings.Repeat("€", 100))
	p.wantCloses("closed", 1, wire.ConnectionClose{App: true, Code: MaxErrorCode, Reason: []byte("x" + strings.Repeat("€", 85))})
	long := closing{frame: wire.ConnectionClose{Reason: []byte(strings.Repeat("€", 85))}}
	for room := range 600 {
		if reason := long.fit(2, room).Reason; !utf8.Valid(reason) {
			t.Fatalf("in a room of %d bytes the reason is %q", room, reason)
		}
	}
}

// A code that cannot be told is an error, and changes nothing (RFC 9000, section 16).
func TestShutdownCode(t *testing.T) {
	p := newScriptedServer(t)
	p.handshake()
	id, err := p.conn.OpenStream()
	p.must(err)
	if err := p.conn.StreamShutdown(id, ReadDirection|WriteDirection, MaxErrorCode+1); err == nil {
		t.Error("a code above 2^62-1 was taken")
	}
	_, err = p.conn.StreamSend(id, []byte("on"), false)
	p.must(err)
	p.drain()
	p.wantStream("the stream goes on", id, 0, "on", false)
	p.must(p.conn.StreamShutdown(id, ReadDirection|WriteDirection, MaxErrorCode))
	p.drain()
	p.wantFrame("the largest code", protect.OneRTT, frame(wire.FrameResetStream, id, MaxErrorCode, 2))
	p.wantFrame("the largest code", protect.OneRTT, frame(wire.FrameStopSending, id, MaxErrorCode))
}
