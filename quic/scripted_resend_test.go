package quic

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// lose has conn find out that its last 1-RTT packets were lost: by acknowledgements of later ones, or by its timer.
func (p *scripted) lose(how string) {
	p.t.Helper()
	p.ignored[wire.FramePing] = true
	if how == "PTO" {
		for range 5 { // other timers may come first
			p.advance()
			for _, f := range p.got {
				if !p.ignored[f.typ] || f.typ == wire.FramePing {
					return
				}
			}
		}
		p.t.Fatal("no probe came")
	}
	from := p.largest[2] + 1
	for range 3 { // the packet threshold, RFC 9002, section 6.1.1
		p.conn.Ping()
		p.drain()
	}
	b, ok := wire.AppendAck(nil, []ranges.Range{{Start: from, End: p.largest[2] + 1}}, 0, nil, 100)
	if !ok || p.largest[2] < from+2 {
		p.t.Fatalf("conn sent packets %d to %d for three PINGs", from, p.largest[2])
	}
	p.received[2].RemoveBelow(from) // what was lost is not acknowledged later
	p.sendFrames(protect.OneRTT, b)
}

// resend plays f once for each way to lose.
func resend(t *testing.T, f func(t *testing.T, how string)) {
	for _, how := range []string{"loss", "PTO"} {
		t.Run(how, func(t *testing.T) { f(t, how) })
	}
}

func TestResendStream(t *testing.T) {
	resend(t, func(t *testing.T, how string) {
		p := newScriptedServer(t)
		p.handshake()
		id, err := p.conn.OpenStream()
		p.must(err)
		if n, err := p.conn.StreamSend(id, []byte("hello"), false); n != 5 || err != nil {
			t.Fatalf("StreamSend: %d, %v", n, err)
		}
		p.drain()
		p.wantStream("the first time", id, 0, "hello", false)
		p.lose(how)
		p.wantStream("resent", id, 0, "hello", false)
		if n, err := p.conn.StreamSend(id, nil, true); n != 0 || err != nil {
			t.Fatalf("StreamSend: %d, %v", n, err)
		}
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		p.wantStream("the end alone", id, 5, "", true)
		p.lose(how)
		p.wantStream("the end resent", id, 5, "", true)
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		p.wantIdle("all is acknowledged")
	})
}

func TestResendHandshakeDone(t *testing.T) {
	resend(t, func(t *testing.T, how string) {
		p := newScriptedClient(t)
		p.sendTLS()
		p.got = nil
		p.sendTLS() // Finished
		p.ignoreIDs()
		p.wantFrame("the handshake is confirmed", protect.OneRTT, frame(wire.FrameHandshakeDone))
		p.got = nil
		p.lose(how)
		p.wantFrame("resent", protect.OneRTT, frame(wire.FrameHandshakeDone))
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		p.wantIdle("acknowledged")
	})
}

// ignoreIDs ignores what a server sends by itself after the handshake.
func (p *scripted) ignoreIDs() {
	for _, typ := range []uint64{wire.FrameNewConnectionID, wire.FrameNewToken, wire.FrameCrypto} {
		p.ignored[typ] = true
	}
}

func TestResendRetireConnectionID(t *testing.T) {
	resend(t, func(t *testing.T, how string) {
		p := newScriptedClient(t)
		p.handshake()
		p.sendFrames(protect.OneRTT, newConnectionIDFrame(1, 1, "12345678", [16]byte{1}))
		p.srcID = []byte("12345678") // conn must use it now, s5.1.2
		p.wantFrame("the old ID is retired", protect.OneRTT, frame(wire.FrameRetireConnectionID, 0))
		p.lose(how)
		p.wantFrame("resent", protect.OneRTT, frame(wire.FrameRetireConnectionID, 0))
	})
}

// RFC 9000, section 13.3: PATH_RESPONSE is sent once.
func TestPathResponseIsNotResent(t *testing.T) {
	resend(t, func(t *testing.T, how string) {
		p := newScriptedClient(t)
		p.handshake()
		p.sendFrames(protect.OneRTT, append(frame(wire.FramePathChallenge), "12345678"...))
		p.wantType("the answer", protect.OneRTT, wire.FramePathResponse)
		p.lose(how)
		p.wantIdle("not again")
	})
}

// RFC 9000, section 8.1, and RFC 9002, section 6.2.2.1: a client that hears nothing resends its ClientHello.
func TestResendClientHello(t *testing.T) {
	p := newScriptedServer(t)
	p.ignored[wire.FramePing] = true
	hello := p.wantType("the ClientHello", protect.Initial, wire.FrameCrypto)
	p.got = nil
	for range 2 {
		p.advance()
		p.wantFrame("resent", protect.Initial, hello.raw)
		p.got = nil
		if p.lastSize < minDatagramSize {
			t.Errorf("its datagram has %d bytes, want 1200 (s14.1)", p.lastSize)
		}
	}
	p.handshake()
}

// RFC 9000, section 8.1: a server sends three times what it received, however often its timer fires.
func TestAmplificationLimit(t *testing.T) {
	p := newScriptedClient(t)
	received := 0
	hello := p.encode(scriptedPacket{slot: protect.Initial, frames: [][]byte{p.takeCrypto(protect.Initial)}})
	received += len(hello)
	p.recvFrom(p.remote, hello)
	p.drain()
	for range 20 {
		if _, ok := p.conn.Timeout(); !ok || p.conn.IsClosed() {
			break
		}
		p.advance()
	}
	if p.bytes == 0 || p.bytes > 3*received {
		t.Errorf("the server sent %d bytes for %d", p.bytes, received)
	}
}

// RFC 9000, section 14.1: an Initial packet in a smaller datagram is discarded, the first and any later one.
func TestAttackA2SmallDatagrams(t *testing.T) {
	p := newScriptedClient(t)
	small := scriptedPacket{slot: protect.Initial, unpadded: true, frames: [][]byte{frame(wire.FramePing)}}
	p.send(small)
	p.wantIdle("the first datagram is too small")
	p.sendTLS()
	p.got = nil
	small.frames = [][]byte{frame(wire.FrameConnectionClose, 1, 0, 0)}
	p.send(small)
	p.wantIdle("a later datagram is too small")
	p.handshake()
}

// RFC 9000, sections 13.2.5 and 19.3: the ACK Delay field is in units of our ack_delay_exponent in every packet number space.
func TestAckDelayExponent(t *testing.T) {
	p := newScriptedServer(t)
	initial, rest := p.takeCrypto(protect.Initial), p.takeCrypto(protect.Handshake)
	p.sendFrames(protect.Initial, initial)
	p.recvFrom(p.remote, p.encode(scriptedPacket{slot: protect.Handshake, frames: [][]byte{rest}}))
	p.now = p.now.Add(8 * time.Millisecond) // on which the host was busy
	p.got = nil
	p.drain()
	for _, f := range p.got {
		if f.slot != protect.Handshake || f.typ != wire.FrameAck {
			continue
		}
		if a, _, _ := wire.ConsumeAck(f.raw, nil); a.DelayRaw<<usualAckDelayExponent != 8000 {
			t.Errorf("ACK Delay %d, want 8 ms in units of 2^%d microseconds", a.DelayRaw, usualAckDelayExponent)
		}
		return
	}
	t.Error("no ACK frame came in a Handshake packet")
}

// RFC 9002, section 6.2.4: a probe timeout during the handshake sends from every packet number space with data in flight, in one
// datagram, as the peer may be able to read but one of them.
func TestProbeOfAllSpaces(t *testing.T) {
	p := newScriptedClient(t)
	p.sendTLS()
	p.got = nil
	p.advance()
	levels := map[protect.Slot]int{}
	for _, f := range p.got {
		if f.typ == wire.FrameCrypto {
			levels[f.slot] = f.datagram
		}
	}
	if len(levels) != 2 || levels[protect.Initial] != levels[protect.Handshake] {
		t.Errorf("CRYPTO frames at levels and in datagrams %v, want Initial and Handshake in one", levels)
	}
}

// A server's first stream data goes before its token: Firefox decides with the token whether it keeps the session, and needs HTTP/3's
// SETTINGS for that.
func TestTokenAfterFirstData(t *testing.T) {
	p := newScriptedClient(t)
	p.sendTLS()
	p.got = nil
	p.ignored[wire.FrameNewConnectionID], p.ignored[wire.FrameCrypto], p.ignored[wire.FrameHandshakeDone] = true, true, true
	p.conn.HandleReply(p.now, EndpointReply{Token: []byte("a token")})
	id, err := p.conn.OpenUniStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.conn.StreamSend(id, []byte("settings"), false); err != nil {
		t.Fatal(err)
	}
	p.sendTLS() // Finished
	p.wantStream("the data is first", id, 0, "settings", false)
	p.wantType("the token is next", protect.OneRTT, wire.FrameNewToken)
}

// Where nothing is acknowledged any more, what is to be sent again goes along with probes, though packets before it hold nothing of the kind: PING,
// a limit that a newer one has replaced, what was written on a stream that was reset since.
func TestResendBehindOthers(t *testing.T) {
	p := newScriptedServer(t)
	p.handshake()
	p.ignored[wire.FramePing], p.ignored[wire.FrameResetStream] = true, true
	for range 5 {
		p.conn.Ping()
		p.drain()
	}
	over, err := p.conn.OpenStream()
	p.must(err)
	for range 3 {
		if n, err := p.conn.StreamSend(over, []byte("over"), false); n != 4 || err != nil {
			t.Fatalf("StreamSend: %d, %v", n, err)
		}
		p.drain()
	}
	p.must(p.conn.StreamShutdown(over, WriteDirection, 1))
	p.drain()
	id, err := p.conn.OpenStream()
	p.must(err)
	if n, err := p.conn.StreamSend(id, []byte("hello"), true); n != 5 || err != nil {
		t.Fatalf("StreamSend: %d, %v", n, err)
	}
	p.drain()
	p.got = nil
	for range 3 {
		p.lose("PTO")
		p.wantStream("with a probe", id, 0, "hello", true)
		p.got = nil
	}
}
