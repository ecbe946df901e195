package quic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Attacks on the handshake: class B of the catalogue, and those of other classes that need one under way.

// B1: junk that is coalesced with a valid Initial packet is not kept if it is for another connection ID, and at most
// maxUndecryptable packets of it otherwise, until three PTO have passed.
func TestAttackB1CoalescedJunk(t *testing.T) {
	p := newScriptedClient(t)
	junk := func(id string) []byte {
		b, lengthOff, pnOff := wire.AppendLongHeader(nil, wire.Handshake, wire.Version1, []byte(id), p.srcID, nil, 0, 4)
		b = append(b, make([]byte, 40)...)
		wire.PutVarint2(b[lengthOff:], uint64(len(b)-pnOff))
		return b
	}
	initial := func() []byte {
		return p.encode(scriptedPacket{slot: protect.Initial, unpadded: true, frames: [][]byte{frame(wire.FramePing)}})
	}
	for range 100 {
		b := initial()
		for len(b) < minDatagramSize {
			b = append(b, junk("somebody")...)
		}
		p.recvFrom(p.remote, b)
		p.drain()
		if n := len(p.conn.hello.early.packets); n != 0 {
			t.Fatalf("%d packets for another connection are kept", n)
		}
	}
	for range 100 {
		b := initial()
		for len(b) < minDatagramSize {
			b = append(b, junk("conn-cid")[:60]...)
		}
		p.recvFrom(p.remote, b)
		p.drain()
		if n, size := p.conn.hello.early.held(false); n > maxUndecryptable || size > maxUndecryptableBytes {
			t.Fatalf("%d packets of %d bytes are kept", n, size)
		}
	}
	p.now = p.now.Add(3*p.conn.loss.PTO(p.conn.path.rec) + time.Millisecond)
	p.conn.OnTimeout(p.now)
	if n := len(p.conn.hello.early.packets); n != 0 {
		t.Errorf("%d packets are kept for ever", n)
	}
}

// B3: a client that sends a byte of its ClientHello and stops costs less than 64 KiB of Go memory, and is gone after the handshake
// timeout of at most ten seconds. (What BoringSSL holds is measured in package handshake.)
func TestAttackB3HalfOpen(t *testing.T) {
	const conns = 64
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1))
	var before, after runtime.MemStats
	datagrams := make([][]byte, conns)
	for i := range datagrams {
		datagrams[i] = initialSpec{dst: fmt.Sprintf("dcid-%04d", i), frames: string(cryptoFrame(0, []byte{1}))}.datagram(t)
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, d := range datagrams {
		if r, _ := server.one(d, clientHost); !r.New {
			t.Fatal("not accepted")
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	n := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / conns
	t.Logf("%d bytes of heap for a connection that is half open", n)
	if n > 16<<10 {
		t.Error("want at most 16 KiB")
	}
	start := w.now
	for server.Conns() > 0 {
		server.service()
		if server.Conns() > 0 {
			w.advance()
		}
	}
	if d := w.now.Sub(start); d > 10*time.Second {
		t.Errorf("gone after %v", d)
	}
	wantEmpty(t, "the server", server.Endpoint)
}

// B4: transport parameters, and a ClientHello, at their worst.
func TestAttackB4Parameters(t *testing.T) {
	t.Run("unknown ones are ignored", func(t *testing.T) {
		p := newScriptedClient(t, param(1000, make([]byte, 6000)), func(p *scripted) {
			for id := range uint64(1000) {
				p.params[1001+id] = []byte{}
			}
		})
		p.handshake()
	})
	for _, c := range []struct {
		name string
		more []byte
	}{
		{"an identifier cut short", []byte{0xc0}},
		{"a length cut short", []byte{0x04, 0x80}},
		{"a value cut short", []byte{0x04, 8, 0xc0}},
		{"a length of 2^62-1", append([]byte{0x04}, varint(wire.MaxVarint)...)},
		{"twice", []byte{0x0c, 0, 0x0c, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedClient(t, func(p *scripted) {
				p.mutate = editParams(func(b []byte) []byte { return append(b, c.more...) })
			})
			p.sendTLS()
			p.wantClose(c.name, TransportParameterError)
		})
	}
	t.Run("a ClientHello of more than 16 KiB", func(t *testing.T) {
		p := newScriptedClient(t)
		p.sendFrames(protect.Initial, cryptoFrame(0, []byte{1, 0, 0x80, 0}), cryptoFrame(4, make([]byte, 1000)))
		for off := uint64(1004); off < 0x8000 && !p.conn.IsClosed(); off += 1000 {
			p.sendFrames(protect.Initial, cryptoFrame(off, make([]byte, 1000)))
		}
		var err *TransportError
		if !errors.As(p.conn.Err(), &err) || err.Code != CryptoBufferExceeded && err.Code&^0xff != CryptoErrorBase {
			t.Errorf("Err is %v, want a TLS alert or CRYPTO_BUFFER_EXCEEDED", p.conn.Err())
		}
	})
}

// B12: an attacker on the path can forge a server's Initial packets: then the attempt may fail, with an exact error, and nothing
// worse; and once the client has sent a Handshake packet they count for nothing (RFC 9001, section 4.9.1).
func TestAttackB12ForgedInitial(t *testing.T) {
	for _, c := range []struct {
		name   string
		frames []byte
		want   TransportErrorCode
		remote bool
	}{
		{"CONNECTION_CLOSE", closeFrame(), InternalError, true},
		{"a bad ServerHello", cryptoFrame(0, []byte{2, 0, 0, 4, 3, 3, 0, 0}), CryptoErrorBase + 50, false},
		{"no ServerHello at all", cryptoFrame(0, []byte{20, 0, 0, 0}), CryptoErrorBase + 10, false},
		{"an ACK of what was never sent", ackFrame(1000), ProtocolViolation, false},
		{"CRYPTO far ahead", cryptoFrame(maxCryptoBufferHandshake, []byte{1}), CryptoBufferExceeded, false},
		{"CRYPTO past 2^62-1", cryptoFrame(wire.MaxVarint, []byte{1}), FrameEncodingError, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedServer(t)
			p.sendFrames(protect.Initial, c.frames)
			var err *TransportError
			if !errors.As(p.conn.Err(), &err) || err.Code != c.want || err.Remote != c.remote {
				t.Errorf("Err is %v, want %v", p.conn.Err(), c.want)
			}
			late := newScriptedServer(t)
			late.sendTLS()
			late.sendFrames(protect.Initial, c.frames)
			if late.conn.IsClosed() {
				t.Errorf("after the first Handshake packet: %v", late.conn.Err())
			}
			late.handshake()
		})
	}
}

// B14: a ClientHello with a post-quantum key share, which spans packets, comes in frames of one byte, in any order and twice; so
// does the answer.
func TestAttackB14ChaosClientHello(t *testing.T) {
	large := func(p *scripted) { p.tlsConfig.CurvePreferences, p.cfg.TLS.CurvePreferences = nil, nil }
	for seed := range uint64(5) {
		for _, client := range []bool{false, true} {
			random := rand.New(rand.NewPCG(seed, 1))
			p := play(t, client, large)
			hello := p.cryptoOut[protect.Initial]
			if len(hello) < 1100 {
				t.Fatalf("the first flight has %d bytes", len(hello))
			}
			size := 1 + int(seed)*3
			var frames [][]byte
			for off := 0; off < len(hello); off += size {
				frames = append(frames, cryptoFrame(uint64(off), hello[off:min(off+size, len(hello))]))
			}
			frames = append(frames, frames[:len(frames)/2]...)
			random.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
			for len(frames) > 0 && !p.conn.keys.HasRead(protect.Handshake) {
				n := min(len(frames), 1+random.IntN(150))
				p.sendFrames(protect.Initial, frames[:n]...)
				frames = frames[n:]
			}
			p.cryptoOut[protect.Initial], p.cryptoOff[protect.Initial] = nil, uint64(len(hello))
			if !client {
				p.sendFrames(protect.Handshake, p.ackReceived(protect.Handshake)) // lifts the anti-amplification limit
			}
			p.handshake()
			if got := p.conn.TLS().CurveID; got != tls.X25519MLKEM768 {
				t.Errorf("the key share is %v", got)
			}
		}
	}
}

// C7: the packet that completes the handshake also acknowledges, in the space whose keys go with it and in one that has gone.
func TestAttackC7AckForDroppedSpace(t *testing.T) {
	p := newScriptedClient(t)
	p.sendTLS()
	finished := p.takeCrypto(protect.Handshake)
	late := p.encode(scriptedPacket{slot: protect.Initial, frames: [][]byte{p.ackReceived(protect.Initial)}})
	p.sendFrames(protect.Handshake, finished, p.ackReceived(protect.Handshake), frame(wire.FramePing))
	if !p.conn.IsEstablished() || p.conn.spaces[recovery.HandshakeSpace] != nil {
		t.Fatal("the handshake is not over")
	}
	p.recvFrom(p.remote, late)
	p.sendFrames(protect.Handshake, p.ackReceived(protect.Handshake))
	p.ignoreIDs()
	p.ignored[wire.FrameHandshakeDone] = true
	p.wantIdle("acknowledgements in spaces that are gone")
	p.echo()
}

// T3: each TLS alert travels as CRYPTO_ERROR, and is told as it came (RFC 9001, section 4.8).
func TestAttackT3Alerts(t *testing.T) {
	for alert := range uint64(256) {
		p := newScriptedServer(t)
		p.sendFrames(protect.Initial, frame(wire.FrameConnectionClose, 0x100+alert, wire.FrameCrypto, 0))
		var err *TransportError
		if !errors.As(p.conn.Err(), &err) || uint64(err.Code) != 0x100+alert || !err.Remote || p.conn.state != stateDraining {
			t.Errorf("alert %d: Err is %v", alert, p.conn.Err())
		}
	}
}

// T7: a clock that steps back or forward makes no timer negative and no storm; an hour forward is an hour of silence.
func TestAttackT7ClockJumps(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	busy := func() (n int) {
		for {
			at, ok := p.conn.Timeout()
			if !ok || at.After(p.now) {
				return n
			}
			if n++; n > 20 {
				t.Fatal("the timer fires without end")
			}
			p.conn.OnTimeout(p.now)
			p.drain()
		}
	}
	p.conn.Ping()
	p.drain()
	p.now = p.now.Add(-time.Hour)
	busy()
	p.ping("an hour back")
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	p.now = p.now.Add(time.Hour + time.Second)
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	busy()
	if p.conn.IsClosed() {
		t.Fatalf("closed: %v", p.conn.Err())
	}
	p.ping("forward again")
	p.now = p.now.Add(time.Hour)
	busy()
	var idle *IdleTimeoutError
	if !errors.As(p.conn.Err(), &idle) || !p.conn.IsDrained() {
		t.Errorf("Err is %v", p.conn.Err())
	}
}
