package quic

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Rules that stacks got wrong, beyond the numbered checks. The sections are those of RFC 9000 unless said.

// closeFrame would end the connection if its packet were processed.
func closeFrame() []byte { return frame(wire.FrameConnectionClose, uint64(InternalError), 0, 0) }

// A packet for somebody else is not processed, whatever it is coalesced with (sections 5.2 and 12.2).
func TestForeignConnectionID(t *testing.T) {
	t.Run("Handshake packet to a server", func(t *testing.T) {
		p := newScriptedClient(t)
		p.sendTLS()
		p.send(to("somebody", scriptedPacket{slot: protect.Handshake, frames: [][]byte{closeFrame()}}))
		p.got = nil
		p.wantIdle("for another connection")
		p.send(to(string(p.origDstID), scriptedPacket{slot: protect.Handshake, frames: [][]byte{closeFrame()}}))
		p.wantIdle("to the connection ID that only Initial packets have")
		p.handshake()
	})
	t.Run("Initial packet to a client", func(t *testing.T) {
		p := newScriptedServer(t)
		p.got = nil
		p.send(to("somebody", scriptedPacket{slot: protect.Initial, frames: [][]byte{closeFrame()}}))
		p.wantIdle("for another connection")
		p.handshake()
	})
	t.Run("1-RTT packet", func(t *testing.T) {
		p := newScriptedClient(t)
		p.handshake()
		p.send(to("somebody", oneRTT(closeFrame())))
		p.wantIdle("for another connection")
	})
	t.Run("behind a packet for another", func(t *testing.T) {
		p := newScriptedClient(t)
		p.sendTLS()
		p.got = nil
		p.send(to("somebody", scriptedPacket{slot: protect.Handshake, frames: [][]byte{frame(wire.FramePing)}}),
			scriptedPacket{slot: protect.Handshake, frames: [][]byte{closeFrame()}})
		p.wantIdle("the datagram is another's")
		p.handshake()
	})
}

// Keys go when their time is over, and packets of them count for nothing then (RFC 9001, section 4.9).
func TestKeysDiscarded(t *testing.T) {
	late := func(p *scripted, slot protect.Slot) {
		p.t.Helper()
		before := p.conn.Stats().PacketsDropped
		p.sendFrames(slot, closeFrame())
		p.ignored[wire.FrameHandshakeDone] = true
		p.ignoreIDs()
		p.wantIdle("a packet whose keys are gone")
		if p.conn.Stats().PacketsDropped == before {
			p.t.Error("it was not dropped")
		}
	}
	t.Run("client's Initial, with its first Handshake packet, 4.9.1", func(t *testing.T) {
		p := newScriptedServer(t)
		p.sendTLS()
		late(p, protect.Initial)
	})
	t.Run("server's Initial, with the first Handshake packet it gets, 4.9.1", func(t *testing.T) {
		p := newScriptedClient(t)
		p.sendTLS()
		p.got = nil
		p.sendFrames(protect.Handshake, frame(wire.FramePing))
		p.got = nil
		late(p, protect.Initial)
	})
	t.Run("server's Handshake, when the handshake is complete, 4.9.2", func(t *testing.T) {
		p := newScriptedClient(t)
		p.handshake()
		late(p, protect.Handshake)
	})
	t.Run("client's Handshake, when it is confirmed, 4.9.2", func(t *testing.T) {
		p := newScriptedServer(t)
		p.handshake()
		late(p, protect.Handshake)
	})
	t.Run("client's Handshake stay until then", func(t *testing.T) {
		p := newScriptedServer(t)
		for range 3 {
			p.sendTLS()
		}
		if !p.conn.IsEstablished() {
			t.Fatal("the handshake is not complete")
		}
		p.sendFrames(protect.Handshake, closeFrame())
		if !p.conn.IsClosed() {
			t.Error("a Handshake packet was dropped before the handshake was confirmed")
		}
	})
}

// A client discards an Initial packet with a token (section 17.2.2).
func TestInitialWithTokenFromServer(t *testing.T) {
	p := newScriptedServer(t)
	p.got = nil
	p.send(scriptedPacket{slot: protect.Initial, token: []byte("token"), frames: [][]byte{closeFrame()}})
	p.wantIdle("a server's Initial packet with a token")
	p.handshake()
}

// C6: 1-RTT packets wait for the end of the handshake, even if the server's keys for them are there long before (RFC 9001, section
// 5.7), and are not lost.
func TestAttackC6EarlyOneRTT(t *testing.T) {
	p := earlyOneRTT(t, frame(wire.FrameHandshakeDone))
	if p.conn.tls.confirmed {
		t.Fatal("HANDSHAKE_DONE was processed before Finished")
	}
	p.sendFrames(protect.Handshake, p.takeCrypto(protect.Handshake))
	if !p.conn.IsEstablished() || !p.conn.tls.confirmed {
		t.Error("the handshake is not confirmed, though all has come")
	}
	p = earlyOneRTT(t, streamFrame(1, 0, "early", true))
	p.handshake()
	var b [10]byte
	if n, fin, err := p.conn.StreamRecv(1, b[:]); string(b[:n]) != "early" || !fin || err != nil {
		t.Errorf("StreamRecv: %q, fin %v, %v", b[:n], fin, err)
	}
	// No more than maxUndecryptable packets are kept, for three PTO.
	p = newScriptedServer(t)
	p.sendFrames(protect.Initial, p.takeCrypto(protect.Initial))
	for range 1000 {
		p.recvFrom(p.remote, p.encode(oneRTT(frame(wire.FramePing))))
		if n, size := p.conn.hello.early.held(false); n > maxUndecryptable || size > maxUndecryptableBytes {
			t.Fatalf("%d packets are kept, of %d bytes", n, size)
		}
	}
	p.now = p.now.Add(3*p.conn.loss.PTO(p.conn.path.rec) + time.Millisecond)
	p.conn.OnTimeout(p.now)
	if len(p.conn.hello.early.packets) != 0 {
		t.Error("early packets are kept for ever")
	}
}

// A server that knows the 1-RTT keys sends with them before its Finished has arrived: what comes is kept, and handled in its turn.
func earlyOneRTT(t *testing.T, frames ...[]byte) *scripted {
	t.Helper()
	p := newScriptedServer(t)
	p.sendFrames(protect.Initial, p.takeCrypto(protect.Initial))
	p.got = nil
	p.sendFrames(protect.OneRTT, frames...)
	p.wantIdle("1-RTT before the handshake is complete")
	if n := len(p.events); n != 0 {
		t.Errorf("%d events before the handshake is complete", n)
	}
	return p
}

// FLOW_CONTROL_ERROR comes before FINAL_SIZE_ERROR (section 4.5), and frames of streams that are over are ignored (section 3).
func TestStreamsOver(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.echo()
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	p.ignored[wire.FrameMaxStreamsBidi] = true
	for _, f := range [][]byte{
		streamFrame(0, 0, "request", true), streamFrame(0, 100, "more", true), frame(wire.FrameResetStream, 0, 1, 1<<40),
		frame(wire.FrameStopSending, 0, 1), frame(wire.FrameMaxStreamData, 0, 1<<40), frame(wire.FrameStreamDataBlocked, 0, 1),
	} {
		p.sendFrames(protect.OneRTT, f)
		p.wantIdle(fmt.Sprintf("frame 0x%x of a stream that is over", f[0]))
	}
	p = newScriptedClient(t)
	p.handshake()
	p.sendFrames(protect.OneRTT, streamFrame(0, 0, "abc", false))
	p.sendFrames(protect.OneRTT, frame(wire.FrameResetStream, 0, 0, 1<<40))
	p.wantClose("a final size beyond the limit", FlowControlError)
}

// E14: a packet that comes again is dropped, after it has proved authentic, and changes nothing (section 12.3).
func TestAttackE14Duplicates(t *testing.T) {
	p := newScriptedClient(t)
	var copies [][]byte
	repeat := func(packets ...scriptedPacket) {
		b := p.encode(packets...)
		copies = append(copies, append([]byte(nil), b...))
		for range 10 {
			p.recvFrom(p.remote, append([]byte(nil), b...))
			p.drain()
		}
	}
	repeat(scriptedPacket{slot: protect.Initial, frames: [][]byte{p.takeCrypto(protect.Initial)}})
	repeat(scriptedPacket{slot: protect.Handshake, frames: [][]byte{p.takeCrypto(protect.Handshake)}})
	repeat(oneRTT(streamFrame(0, 0, "abc", false)))
	if !p.conn.IsEstablished() {
		t.Fatal("the handshake did not complete")
	}
	if got := p.conn.Stats(); got.PacketsReceived != 3 || got.PacketsDropped != 27 {
		t.Errorf("%d packets received and %d dropped, want 3 and 27", got.PacketsReceived, got.PacketsDropped)
	}
	p.advance()
	p.got = nil
	for _, b := range copies {
		p.recvFrom(p.remote, b)
	}
	p.wantIdle("duplicates elicit nothing")
	if n := p.conn.streams.recvUsed; n != 3 {
		t.Errorf("%d bytes of flow control used, want 3", n)
	}
}

// E12: packets that do not authenticate are counted over all keys, up to the integrity limit, and own packets under one key up to
// the confidentiality limit, before which the key is updated (RFC 9001, section 6.6). The limits are lowered here.
func TestAttackE12AEADLimits(t *testing.T) {
	t.Run("integrity", func(t *testing.T) {
		p := newScriptedClient(t)
		forge := func(slot protect.Slot, n int) {
			for range n {
				b := p.encode(scriptedPacket{slot: slot, frames: [][]byte{frame(wire.FramePing)}})
				b[len(b)-1] ^= 1
				p.recvFrom(p.remote, b)
			}
		}
		forge(protect.Initial, 10)
		p.sendTLS()
		forge(protect.Handshake, 10)
		p.handshake()
		if got := p.conn.keys.failures; got != 20 {
			t.Errorf("%d failures counted, want 20", got)
		}
		if got := p.conn.keys.integrityLimit; got != 1<<52 {
			t.Errorf("the integrity limit is %d, want 2^52 for AES-GCM", got)
		}
		p.conn.keys.integrityLimit = 50
		forge(protect.OneRTT, 15)
		p.updateKeys()
		p.ping("a key update does not count anew")
		forge(protect.OneRTT, 14)
		p.ping("one less than the limit")
		forge(protect.OneRTT, 1)
		p.wantClose("the integrity limit", AEADLimitReached)
	})
	t.Run("key update in time", func(t *testing.T) {
		p := newScriptedClient(t)
		p.handshake()
		p.conn.keys.updateAfter = 10
		for range 100 {
			p.ping("in any generation")
			if p.keys.WriteGen() < p.keys.ReadGen() {
				p.updateKeys()
			}
			p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
			p.now = p.now.Add(time.Second)
			p.conn.OnTimeout(p.now)
		}
		if gen := p.keys.ReadGen(); gen < 5 {
			t.Errorf("generation %d after 100 packets", gen)
		}
	})
	t.Run("confidentiality", func(t *testing.T) {
		p := newScriptedClient(t)
		p.handshake()
		if p.conn.keys.updateAfter >= 1<<23 || p.conn.keys.sealLimit != 1<<23 {
			t.Errorf("a key is updated after %d packets, and serves for %d", p.conn.keys.updateAfter, p.conn.keys.sealLimit)
		}
		p.conn.keys.updateAfter, p.conn.keys.sealLimit = 10, 200
		for range 200 { // of which the peer acknowledges none
			p.conn.Ping()
			p.drain()
			if p.conn.IsClosed() {
				break
			}
			p.now = p.now.Add(time.Second)
			p.sendFrames(protect.OneRTT, frame(wire.FramePing))
		}
		p.wantClose("a key that is used up", AEADLimitReached)
		if n := p.conn.keys.sealed; n > 200 {
			t.Errorf("%d packets sealed with one key", n)
		}
	})
}

// E13: RFC 9001, sections 6.1 to 6.5.
func TestAttackE13KeyPhases(t *testing.T) {
	t.Run("second update before the first was acknowledged", func(t *testing.T) {
		p := newScriptedClient(t)
		p.handshake()
		for range 2 {
			p.updateKeys()
			p.recvFrom(p.remote, p.encode(oneRTT(frame(wire.FramePing)))) // and conn says nothing yet
		}
		p.wantClose("two key updates", KeyUpdateError)
	})
	t.Run("old key on a number above one of the new key", func(t *testing.T) {
		p := newScriptedClient(t)
		p.handshake()
		p.nextPN[2] += 10
		old := p.encode(oneRTT(streamFrame(0, 0, "old", false)))
		p.nextPN[2] -= 5
		p.updateKeys()
		p.ping("the new key")
		before := p.conn.Stats().PacketsDropped
		p.recvFrom(p.remote, old)
		if p.conn.Stats().PacketsDropped != before+1 || p.conn.streams.recvUsed != 0 {
			t.Error("the packet was processed")
		}
		p.nextPN[2] += 10
		p.ping("the new key goes on")
	})
	t.Run("old key after three PTO", func(t *testing.T) {
		p := newScriptedClient(t)
		p.handshake()
		old := p.encode(oneRTT(streamFrame(0, 0, "old", false)))
		p.updateKeys()
		p.ping("the new key")
		for p.conn.keys.previousDrop != 0 {
			p.advance()
		}
		p.recvFrom(p.remote, old)
		if p.conn.streams.recvUsed != 0 {
			t.Error("the packet was processed")
		}
	})
	t.Run("no update before the handshake is confirmed", func(t *testing.T) {
		p := newScriptedServer(t)
		for range 3 {
			p.sendTLS()
		}
		if !p.conn.IsEstablished() || p.conn.KeyUpdate() == nil {
			t.Error("a key update was begun")
		}
	})
	t.Run("a thousand updates", func(t *testing.T) {
		p := newScriptedClient(t)
		p.handshake()
		for range 1000 {
			p.updateKeys()
			p.ping("after an update")
			p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		}
		if p.keys.ReadGen() != 1000 {
			t.Errorf("conn is in generation %d", p.keys.ReadGen())
		}
	})
}

// TLS messages that a server must not send after the handshake (RFC 9001, sections 4.4 and 4.6.1).
func TestPostHandshakeMessages(t *testing.T) {
	message := func(typ byte, body ...byte) []byte {
		return append([]byte{typ, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	}
	certificateRequest := message(13, 0, 0, 8, 0, 13, 0, 4, 0, 2, 8, 7)
	ticket := func(early uint32) []byte {
		b := []byte{0, 0, 14, 16, 1, 2, 3, 4, 1, 0, 0, 1, 9, 0, 8, 0, 42, 0, 4}
		return message(4, binary.BigEndian.AppendUint32(b, early)...)
	}
	for _, c := range []struct {
		name    string
		message []byte
		want    TransportErrorCode // 0: none
	}{
		{"CertificateRequest", certificateRequest, ProtocolViolation},
		{"max_early_data_size 16384", ticket(16384), ProtocolViolation},
		{"max_early_data_size 2^32-1", ticket(1<<32 - 1), 0},
		{"Finished", message(20, make([]byte, 32)...), CryptoErrorBase + 10},
		{"ClientHello", message(1, make([]byte, 40)...), CryptoErrorBase + 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedServer(t)
			p.handshake()
			p.sendFrames(protect.OneRTT, cryptoFrame(p.cryptoOff[protect.OneRTT], c.message))
			if c.want == 0 {
				p.wantIdle("a good ticket")
				return
			}
			p.wantClose(c.name, c.want)
		})
	}
}

// preferred_address from a server without a connection ID (section 5.1.1 and 18.2).
func TestPreferredAddressWithoutConnectionID(t *testing.T) {
	value := append(make([]byte, 4+2+16+2), append([]byte{4, 1, 2, 3, 4}, make([]byte, 16)...)...)
	p := newScriptedServer(t, param(0x0d, value), func(p *scripted) { p.srcID = []byte{} })
	p.sendTLS()
	p.wantClose("preferred_address with a zero-length connection ID", TransportParameterError)
	p = newScriptedServer(t, param(0x0d, value))
	p.handshake()
	p.sendFrames(protect.OneRTT, newConnectionIDFrame(1, 0, "another!", [16]byte{}))
	p.wantClose("its connection ID has sequence number 1 (s5.1.1)", ProtocolViolation)
}

// E8 and RFC 9221, section 3: a DATAGRAM frame, its type and length included, is no longer than was declared.
func TestAttackE8DatagramLimits(t *testing.T) {
	setUp := func(t *testing.T) *scripted {
		p := newScriptedClient(t, func(p *scripted) { p.cfg.MaxDatagramFrameSize = 1000 })
		p.handshake()
		return p
	}
	with := func(n int) []byte {
		return append(frame(wire.FrameDatagram|1, uint64(n)), make([]byte, n)...)
	}
	p := setUp(t)
	p.sendFrames(protect.OneRTT, with(997))
	p.wantIdle("1000 bytes with type and length")
	p.sendFrames(protect.OneRTT, with(998))
	p.wantClose("1001 bytes", ProtocolViolation)
	p = setUp(t)
	p.sendFrames(protect.OneRTT, append(frame(wire.FrameDatagram), make([]byte, 1000)...))
	p.wantClose("1001 bytes without length", ProtocolViolation)

	// What nobody reads is dropped, the oldest first; streams do not notice.
	p = setUp(t)
	for i := range 1000 {
		p.recvFrom(p.remote, p.encode(oneRTT(append(frame(wire.FrameDatagram), byte(i>>8), byte(i)))))
	}
	p.drain()
	p.echo()
	for i := 1000 - maxDatagramQueue; i < 1000; i++ {
		var b [10]byte
		n, ok := p.conn.DatagramRecv(b[:])
		if !ok || n != 2 || int(b[0])<<8|int(b[1]) != i {
			t.Fatalf("datagram %x, want number %d", b[:n], i)
		}
	}
	if _, ok := p.conn.DatagramRecv(nil); ok {
		t.Errorf("more than %d datagrams were kept", maxDatagramQueue)
	}
}

// C4: what elicits no acknowledgement gets none by itself; among many acknowledgements there is one PING in pingEvery (section 13.2).
func TestAttackC4AckLoops(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	for range 3 {
		p.conn.Ping()
		p.drain()
	}
	p.got = nil
	before := p.datagrams
	for range 1000 {
		p.nextPN[2] += 2 // gaps
		p.recvFrom(p.remote, p.encode(oneRTT(p.ackReceived(protect.OneRTT))))
		p.drain()
	}
	if n := p.datagrams - before; n != 0 {
		t.Errorf("%d datagrams answer packets that hold nothing but ACK frames", n)
	}
	for _, acknowledged := range []bool{true, false} {
		p.ackPings(t, acknowledged)
	}
	if n := len(p.conn.spaces[2].acks.seen); n > 2 {
		t.Errorf("%d ranges are kept of what the peer knows to be acknowledged", n)
	}
}

// ackPings has conn acknowledge many packets, and asserts how many PING frames that takes.
func (p *scripted) ackPings(t *testing.T, acknowledged bool) {
	pings, packets := 0, 0
	for range 1000 {
		p.recvFrom(p.remote, p.encode(oneRTT(frame(wire.FramePing))))
		p.recvFrom(p.remote, p.encode(oneRTT(frame(wire.FramePing))))
		p.drain()
		if n := len(p.take(wire.FramePing)); n > 0 {
			pings += n
			if acknowledged {
				p.recvFrom(p.remote, p.encode(oneRTT(p.ackReceived(protect.OneRTT))))
			}
		}
		packets += len(p.take(wire.FrameAck))
	}
	if pings == 0 || pings > 1+packets/pingEvery {
		t.Errorf("%d PING frames with %d acknowledgements, want one in %d at most", pings, packets, pingEvery)
	}
}

// Section 13.4.1: marks are counted for each packet number space, and CE is told at once.
func TestECNCounts(t *testing.T) {
	p := newScriptedClient(t)
	recv := func(ecn ECN, packets ...scriptedPacket) {
		b := p.encode(packets...)
		p.conn.Recv(p.now, Train{Buf: b, SegSize: len(b), Local: p.local, Remote: p.remote, ECN: ecn})
		p.drain()
	}
	lastAck := func(slot protect.Slot) (a wire.Ack) {
		for _, f := range p.got {
			if f.slot == slot && (f.typ == wire.FrameAck || f.typ == wire.FrameAckECN) {
				a, _, _ = wire.ConsumeAck(f.raw, nil)
			}
		}
		return a
	}
	recv(ECT0, scriptedPacket{slot: protect.Initial, frames: [][]byte{p.takeCrypto(protect.Initial)}})
	if a := lastAck(protect.Initial); !a.HasECN || a.ECN != (wire.ECNCounts{ECT0: 1}) {
		t.Errorf("Initial: %+v", a)
	}
	recv(NotECT, scriptedPacket{slot: protect.Handshake, frames: [][]byte{p.takeCrypto(protect.Handshake)}})
	for range 3 {
		recv(ECT0, oneRTT(frame(wire.FramePing)))
	}
	recv(ECT1, oneRTT(frame(wire.FramePing)))
	p.advance()
	p.got = nil
	recv(CE, oneRTT(frame(wire.FramePing)))
	if a := lastAck(protect.OneRTT); !a.HasECN || a.ECN != (wire.ECNCounts{ECT0: 3, ECT1: 1, CE: 1}) {
		t.Errorf("1-RTT, at once after CE: %+v", a)
	}
}

// RFC 9002, section 6.2.2.1: a server that may send nothing has no PTO, and a client that has nothing in flight has one until it
// knows that the server has validated its address.
func TestProbesAgainstDeadlock(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		p := newScriptedClient(t, longChain)
		p.sendTLS()
		at, ok := p.conn.Timeout()
		if want := scriptedEpoch.Add(p.conn.cfg.HandshakeTimeout); !ok || !at.Equal(want) {
			t.Errorf("the timer is at %v, want none but the end of the handshake", at.Sub(scriptedEpoch))
		}
		p.got = nil
		p.recvFrom(p.remote, p.encode(scriptedPacket{slot: protect.Initial, frames: [][]byte{frame(wire.FramePadding)}}))
		p.drain()
		if at, _ := p.conn.Timeout(); at.After(p.now.Add(2*time.Second)) || len(p.got) == 0 {
			t.Errorf("the timer is at %v after more was received, and %d frames came", at.Sub(p.now), len(p.got))
		}
	})
	t.Run("client with Initial keys", func(t *testing.T) {
		p := newScriptedServer(t)
		p.sendFrames(protect.Initial, p.ackReceived(protect.Initial))
		p.got = nil
		last := time.Duration(0)
		for range 3 {
			d := p.advance()
			p.wantFrame("a probe", protect.Initial, frame(wire.FramePing))
			if p.lastSize < minDatagramSize || d <= last {
				t.Errorf("%d bytes after %v, want 1200, and later each time: before it was %v", p.lastSize, d, last)
			}
			last = d
		}
		p.handshake()
	})
	t.Run("client with Handshake keys", func(t *testing.T) {
		p := newScriptedServer(t)
		p.sendFrames(protect.Initial, p.ackReceived(protect.Initial), p.takeCrypto(protect.Initial))
		p.got = nil
		for range 3 {
			p.advance()
			p.wantFrame("a probe", protect.Handshake, frame(wire.FramePing))
		}
		p.handshake()
	})
}
