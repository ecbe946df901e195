package quic

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Attacks by authentic frames of a peer: classes C, D and E of the catalogue, as far as they are not beside what they attack.

// feed has conn handle a payload as if it had come in a 1-RTT packet, without a driver.
func (p *scripted) feed(payload []byte) *TransportError {
	c := p.conn
	in := inPacket{now: c.clock.now, slot: protect.OneRTT, space: recovery.AppSpace, path: c.path, payload: payload,
		pn: c.spaces[recovery.AppSpace].acks.largest() + 1}
	if err := c.handleFrames(&in); err != nil {
		return err
	}
	tr := inTrain{path: c.path}
	c.afterPacket(&tr, &in)
	c.updateLimits()
	return nil
}

// C3: acknowledgements of many ranges are parsed as far as the frame goes, and of what we received no more than maxAckRanges ranges
// are kept and sent.
func TestAttackC3AckRanges(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	for range 20 {
		p.conn.Ping()
		p.drain()
	}
	largest := uint64(p.largest[2])
	p.sendFrames(protect.OneRTT, frame(wire.FrameAck, largest, 0, largest/2+1, 0, 0, 0)) // more ranges than there are
	p.wantClose("a range count beyond the frame", FrameEncodingError)

	p = newScriptedClient(t)
	p.handshake()
	for i := range 2000 {
		p.conn.Ping()
		p.drain()
		if i%100 == 0 && i < 600 {
			p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		}
	}
	if p.largest[2] < 700 {
		t.Fatalf("conn sent %d packets", p.largest[2])
	}
	fields := []uint64{uint64(p.largest[2]), 0, 300, 0}
	for range 300 {
		fields = append(fields, 0, 0)
	}
	p.sendFrames(protect.OneRTT, frame(wire.FrameAck, fields...))
	if p.conn.IsClosed() { // a number that was skipped on purpose may be among them
		p.wantClose("every second packet", ProtocolViolation)
	}

	p = newScriptedClient(t)
	p.handshake()
	for range 1000 {
		p.nextPN[2]++
		p.recvFrom(p.remote, p.encode(oneRTT(frame(wire.FramePing))))
		if n := len(p.conn.spaces[2].acks.seen); n > maxAckRanges {
			t.Fatalf("%d ranges are kept", n)
		}
	}
	p.got = nil
	p.drain()
	for _, f := range p.take(wire.FrameAck) {
		if _, acks, _ := wire.ConsumeAck(f.raw, nil); len(acks) > maxAckRanges {
			t.Errorf("%d ranges are sent", len(acks))
		}
	}
}

// D2: connection IDs that a peer retires faster than it acknowledges our RETIRE_CONNECTION_ID frames come to an end.
func TestAttackD2RetireFlood(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	buf := make([]byte, 1500)
	for seq := uint64(1); ; seq++ {
		p.recvFrom(p.remote, p.encode(oneRTT(newConnectionIDFrame(seq, seq, fmt.Sprintf("cid%05d", seq), [16]byte{byte(seq)}))))
		if p.conn.IsClosed() {
			if seq < retiredConnIDs*usualConnIDLimit {
				t.Errorf("closed after %d", seq)
			}
			break
		}
		if n := len(p.conn.peer.retiring); n > retiredConnIDs*usualConnIDLimit {
			t.Fatalf("%d connection IDs are to be retired", n)
		}
		for i := 0; p.conn.Send(p.now, buf).N > 0; i++ {
			if i > 3 {
				t.Fatal("D3: Send never ends")
			}
		}
	}
	if err, ok := p.conn.Err().(*TransportError); !ok || err.Code != ConnectionIDLimitError {
		t.Errorf("Err is %v, want CONNECTION_ID_LIMIT_ERROR", p.conn.Err())
	}
}

// D4: connection IDs misused.
func TestAttackD4ConnectionIDs(t *testing.T) {
	token, other := [16]byte{1}, [16]byte{2}
	first := newConnectionIDFrame(1, 0, "11111111", token)
	for _, c := range []struct {
		name   string
		frames []byte
		want   TransportErrorCode
		legal  bool
	}{
		{"a sequence number twice with another ID", concat(first, newConnectionIDFrame(1, 0, "22222222", token)), ProtocolViolation,
			false},
		{"a sequence number twice with another token", concat(first, newConnectionIDFrame(1, 0, "11111111", other)),
			ProtocolViolation, false},
		{"an ID twice with another sequence number", concat(first, newConnectionIDFrame(2, 0, "11111111", other)),
			ProtocolViolation, false},
		{"the ID of the handshake again", newConnectionIDFrame(1, 0, "peer-cid", token), ProtocolViolation, false},
		{"RETIRE_CONNECTION_ID of one never issued", frame(wire.FrameRetireConnectionID, 1000), ProtocolViolation, false},
		{"RETIRE_CONNECTION_ID of 2^62-1", frame(wire.FrameRetireConnectionID, wire.MaxVarint), ProtocolViolation, false},
		{"RETIRE_CONNECTION_ID of its own packet's", frame(wire.FrameRetireConnectionID, 0), ProtocolViolation, false},
		{"RETIRE_CONNECTION_ID twice", concat(frame(wire.FrameRetireConnectionID, 1), frame(wire.FrameRetireConnectionID, 1)), 0,
			true},
		{"NEW_CONNECTION_ID twice", concat(first, first), 0, true},
		{"sequence number 2^62-1", newConnectionIDFrame(wire.MaxVarint, 0, "11111111", token), 0, true},
		{"retire_prior_to 2^62-1", newConnectionIDFrame(wire.MaxVarint, wire.MaxVarint, "11111111", token), 0, true},
		{"below retire_prior_to", concat(newConnectionIDFrame(9, 9, "11111111", token), newConnectionIDFrame(3, 0, "22222222",
			other)), 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedClient(t, param(0x0e, varint(4)))
			p.handshake()
			p.sendFrames(protect.OneRTT, c.frames)
			if !c.legal {
				p.wantClose(c.name, c.want)
				return
			}
			p.ignored[wire.FrameRetireConnectionID], p.ignored[wire.FrameNewConnectionID] = true, true
			p.wantIdle(c.name)
			for _, id := range p.conn.peer.ids {
				p.srcID = id.id.Bytes()
			}
			p.echo()
		})
	}
}

// E1: data in pieces of one byte with holes between them. The pieces of a stream, and of all streams, are bounded: what would be one
// more is not acknowledged, what fills a hole is. Nobody is closed for it, however long that goes on: an honest sender whose window stays
// large in spite of heavy losses does the same, in larger pieces.
func TestAttackE1Fragments(t *testing.T) {
	for _, streams := range []uint64{1, 100} {
		p := newScriptedClient(t)
		p.handshake()
		n, kept := uint64(0), uint64(0)
		for ; !p.conn.IsClosed() && n < 2*maxGapBytes/gapBytes+1000; n++ {
			p.sendFrames(protect.OneRTT, streamFrame(n%streams*4, 1+n/streams*2, "x", false))
			held := p.conn.streams.gaps * gapBytes
			if held > maxGapBytes {
				t.Fatalf("%d bytes of bookkeeping", held)
			}
			if uint64(p.conn.streams.gaps) == n+1 {
				kept = n + 1
			}
			if n == 2*maxGapBytes/gapBytes/3*2 && streams > 1 || n == maxStreamGaps+100 && streams == 1 {
				gaps, largest := p.conn.streams.gaps, p.conn.spaces[2].acks.largest()
				p.sendFrames(protect.OneRTT, streamFrame(0, 0, "x", false), streamFrame(0, 2, "x", false))
				if p.conn.IsClosed() || p.conn.streams.gaps >= gaps || p.conn.spaces[2].acks.largest() == largest {
					t.Errorf("what fills holes is not taken: %v, %d pieces, before it %d", p.conn.Err(), p.conn.streams.gaps, gaps)
				}
			}
		}
		if want := min(maxStreamGaps*streams, maxGapBytes/gapBytes); kept != want {
			t.Errorf("%d streams: %d pieces were kept, want %d", streams, kept, want)
		}
		p.ignored[wire.FrameMaxData], p.ignored[wire.FrameMaxStreamData], p.ignored[wire.FramePing] = true, true, true
		p.wantIdle("pieces without end")
		p.sendFrames(protect.OneRTT, streamFrame(0, 0, string(make([]byte, 2*maxStreamGaps)), false))
		if err := p.conn.Check(); err != nil || p.conn.streams.gaps > maxGapBytes/gapBytes {
			t.Errorf("%d pieces, %v", p.conn.streams.gaps, err)
		}
		if n, _, err := p.conn.StreamRecv(0, make([]byte, 1<<16)); err != nil || n < 2*maxStreamGaps {
			t.Errorf("%d bytes of stream 0 can be read when its holes are filled: %v", n, err)
		}
	}
}

// E2: frames that say nothing cost no memory, and open a stream once.
func TestAttackE2EmptyFrames(t *testing.T) {
	repeat := func(f []byte, n int) (b []byte) {
		for range n {
			b = append(b, f...)
		}
		return b
	}
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"PING", frame(wire.FramePing)}, {"PADDING", frame(wire.FramePadding)},
		{"STREAM", streamFrame(0, 0, "", false)}, {"CRYPTO", cryptoFrame(0, nil)},
		{"DATAGRAM", frame(wire.FrameDatagram|1, 0)},
	} {
		p := newScriptedClient(t, func(p *scripted) { p.cfg.MaxDatagramFrameSize = 1000 })
		p.handshake()
		payload := repeat(c.frame, 300)
		run := func() {
			if err := p.feed(payload); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(100, run); n > 0 {
			t.Errorf("300 %s frames cost %v allocations", c.name, n)
		}
		p.drain()
		opened := 0
		for _, ev := range p.events {
			if ev.Kind == EventStreamOpened {
				opened++
			}
		}
		if c.name == "STREAM" && (opened != 1 || p.conn.streams.live.len() != 1) || c.name != "STREAM" && opened != 0 {
			t.Errorf("%s: %d streams opened", c.name, opened)
		}
	}
}

// E3: CRYPTO data with holes, far ahead, and without end.
func TestAttackE3Crypto(t *testing.T) {
	t.Run("holes", func(t *testing.T) {
		p := newScriptedClient(t)
		for n := uint64(0); n < 2*maxStreamGaps && !p.conn.IsClosed(); n++ {
			p.sendFrames(protect.Initial, cryptoFrame(1+2*n, []byte{0}))
			if got := len(p.conn.spaces[0].crypto.received); got > maxStreamGaps+1 {
				t.Fatalf("%d pieces are kept", got)
			}
		}
		p.wantClose("pieces without end", CryptoBufferExceeded)
	})
	for _, c := range []struct {
		slot  protect.Slot
		limit uint64
	}{{protect.Initial, 64 << 10}, {protect.Handshake, 64 << 10}, {protect.OneRTT, 16 << 10}} {
		for _, over := range []uint64{0, 1} {
			t.Run(fmt.Sprintf("level %d, %d bytes past the buffer", c.slot, over), func(t *testing.T) {
				p := newScriptedClient(t)
				switch c.slot {
				case protect.Handshake:
					p.sendTLS()
				case protect.OneRTT:
					p.handshake()
				}
				p.sendFrames(c.slot, cryptoFrame(c.limit-1+over, []byte{0}))
				if over > 0 {
					p.wantClose("beyond the buffer", CryptoBufferExceeded)
				} else if p.conn.IsClosed() {
					t.Errorf("closed: %v", p.conn.Err())
				}
			})
		}
	}
	t.Run("after the handshake", func(t *testing.T) {
		// A client that is sent session tickets without end: 64 KiB an hour.
		ticket := func(nonce byte) []byte {
			body := append([]byte{0, 0, 14, 16, 1, 2, 3, 4, 1, nonce, 1, 244}, make([]byte, 500)...)
			body = append(body, 0, 0)
			return append([]byte{4, 0, byte(len(body) >> 8), byte(len(body))}, body...)
		}
		p := newScriptedServer(t)
		p.handshake()
		off, sent := p.cryptoOff[protect.OneRTT], 0
		for hour := range 2 {
			for i := range 120 {
				b := ticket(byte(i))
				p.sendFrames(protect.OneRTT, cryptoFrame(off, b))
				off, sent = off+uint64(len(b)), sent+len(b)
				if p.conn.IsClosed() {
					t.Fatalf("hour %d: closed after %d bytes: %v", hour, sent, p.conn.Err())
				}
			}
			p.conn.KeyUpdate() // to have something to say
			p.now = p.now.Add(time.Hour + time.Second)
			p.sendFrames(protect.OneRTT, frame(wire.FramePing))
		}
		for i := 0; !p.conn.IsClosed() && i < 200; i++ {
			b := ticket(byte(i))
			p.sendFrames(protect.OneRTT, cryptoFrame(off, b))
			off += uint64(len(b))
		}
		p.wantClose("more than 64 KiB in an hour", CryptoBufferExceeded)
	})
	t.Run("the same again", func(t *testing.T) {
		// A server that sends one ticket over and over, since its acknowledgements are lost, say: nothing of it is new.
		p := newScriptedServer(t)
		p.handshake()
		b := make([]byte, 1000)
		copy(b, []byte{4, 0, 255, 255}) // the begin of a message
		off := p.cryptoOff[protect.OneRTT]
		for range 10 * maxPostHandshakeCrypto / len(b) {
			p.sendFrames(protect.OneRTT, cryptoFrame(off, b))
			p.sendFrames(protect.OneRTT, cryptoFrame(off+3000, b))
		}
		if p.conn.IsClosed() {
			t.Errorf("closed: %v", p.conn.Err())
		}
	})
}

// E4: flow control of the connection counts the largest offset of each stream, whatever came below it, and final sizes too.
func TestAttackE4FlowControl(t *testing.T) {
	const window, stream = 10_000, 4_000
	small := func(p *scripted) {
		p.cfg.ReceiveWindow, p.cfg.MaxReceiveWindow = window, window
		p.cfg.StreamReceiveWindow, p.cfg.MaxStreamReceiveWindow = stream, stream
	}
	for _, c := range []struct {
		name   string
		frames [][]byte
		want   TransportErrorCode
	}{
		{"sparse, up to the limit", [][]byte{streamFrame(0, 3999, "x", false), streamFrame(4, 3999, "x", false),
			streamFrame(8, 1999, "x", false), streamFrame(0, 10, "x", false)}, 0},
		{"sparse, one beyond", [][]byte{streamFrame(0, 3999, "x", false), streamFrame(4, 3999, "x", false),
			streamFrame(8, 2000, "x", false)}, FlowControlError},
		{"a stream's limit", [][]byte{streamFrame(0, 4000, "x", false)}, FlowControlError},
		{"an empty frame beyond a stream's limit", [][]byte{streamFrame(0, 4001, "", false)}, FlowControlError},
		{"final sizes, up to the limit", [][]byte{frame(wire.FrameResetStream, 0, 0, 4000), frame(wire.FrameResetStream, 4, 0, 4000),
			frame(wire.FrameResetStream, 8, 0, 2000)}, 0},
		{"final sizes, one beyond", [][]byte{streamFrame(0, 4000, "", true), streamFrame(4, 4000, "", true),
			streamFrame(8, 2001, "", true)}, FlowControlError},
		{"a final size that changes", [][]byte{streamFrame(0, 5, "", true), frame(wire.FrameResetStream, 0, 0, 6)}, FinalSizeError},
	} {
		p := newScriptedClient(t, small)
		p.handshake()
		var err *TransportError
		for i, f := range c.frames {
			if err = p.feed(f); err != nil && i < len(c.frames)-1 {
				t.Fatalf("%s: frame %d: %v", c.name, i, err)
			}
		}
		if got := err != nil; got != (c.want != 0) || got && err.Code != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	// What a reset stream held is given back.
	p := newScriptedClient(t, small)
	p.handshake()
	for id := uint64(0); id < 400; id += 4 {
		if err := p.feed(frame(wire.FrameResetStream, id, 0, stream)); err != nil {
			t.Fatalf("stream %d: %v", id, err)
		}
		p.answer()
		p.conn.StreamRecv(id, nil)
		p.conn.StreamShutdown(id, WriteDirection, 0)
		p.drain()
	}
}

// E5: a stream far up opens all below it at no cost.
func TestAttackE5StreamJump(t *testing.T) {
	p := newScriptedClient(t, func(p *scripted) { p.cfg.MaxStreamsBidi = 1 << 40 })
	p.handshake()
	if err := p.feed(streamFrame(4*(1<<40-1), 0, "x", false)); err != nil {
		t.Fatal(err)
	}
	if n := p.conn.streams.live.len(); n != 1 {
		t.Errorf("%d streams are held", n)
	}
	for want := uint64(0); want < 4000; want += 4 {
		if ev, ok := p.conn.NextEvent(); !ok || ev.Kind != EventStreamOpened || ev.Stream != want {
			t.Fatalf("event %+v, want stream %d", ev, want)
		}
	}
	if n := p.conn.streams.live.len(); n != 1 {
		t.Errorf("%d streams are held when they are told of", n)
	}
	if err := p.feed(streamFrame(4*(1<<40), 0, "x", false)); err == nil || err.Code != StreamLimitError {
		t.Errorf("one more: %v", err)
	}
}

// A peer that says it has room for another stream with each request, on a path where half of its packets come late, is not closed for
// that: it does as much as it says in vain.
func TestFramesWithoutEffectBesideData(t *testing.T) {
	p := newScriptedClient(t, func(p *scripted) { p.cfg.MaxReceiveWindow, p.cfg.ReceiveWindow = 1<<30, 1<<30 })
	p.handshake()
	for i := range uint64(3 * glitchBurst) {
		if err := p.feed(slices.Concat(streamFrame(0, i, "x", false), frame(wire.FrameMaxStreamsBidi, 1))); err != nil {
			t.Fatal(err)
		}
		if p.conn.IsClosed() {
			t.Fatalf("closed after %d: %v", i, p.conn.Err())
		}
	}
}

// E6: frames without effect are counted, glitchBurst of them and glitchRate a second; those with effect are not.
func TestAttackE6FramesWithoutEffect(t *testing.T) {
	for _, f := range []struct {
		name  string
		frame func(i uint64) []byte
		idle  bool // it has no effect
	}{
		{"MAX_DATA that falls", func(uint64) []byte { return frame(wire.FrameMaxData, 1) }, true},
		{"MAX_STREAM_DATA that falls", func(uint64) []byte { return frame(wire.FrameMaxStreamData, 0, 1) }, true},
		{"MAX_STREAMS that falls", func(uint64) []byte { return frame(wire.FrameMaxStreamsBidi, 1) }, true},
		{"DATA_BLOCKED again", func(uint64) []byte { return frame(wire.FrameDataBlocked, 1) }, true},
		{"STREAM_DATA_BLOCKED again", func(uint64) []byte { return frame(wire.FrameStreamDataBlocked, 0, 1) }, true},
		{"STREAMS_BLOCKED again", func(uint64) []byte { return frame(wire.FrameStreamsBlockedUni, 1) }, true},
		{"STOP_SENDING again", func(uint64) []byte { return frame(wire.FrameStopSending, 0, 1) }, true},
		{"RESET_STREAM again", func(uint64) []byte { return frame(wire.FrameResetStream, 0, 1, 0) }, true},
		{"MAX_DATA that rises", func(i uint64) []byte { return frame(wire.FrameMaxData, 1<<30+i) }, false},
		{"MAX_STREAM_DATA that rises", func(i uint64) []byte { return frame(wire.FrameMaxStreamData, 0, 1<<30+i) }, false},
		{"MAX_STREAMS that rises", func(i uint64) []byte { return frame(wire.FrameMaxStreamsBidi, 1<<30+i) }, false},
	} {
		p := newScriptedClient(t)
		p.handshake()
		n := uint64(0)
		for ; n < 3*glitchBurst && !p.conn.IsClosed(); n++ {
			if err := p.feed(f.frame(n)); err != nil {
				t.Fatalf("%s: %v", f.name, err)
			}
		}
		if p.conn.IsClosed() != f.idle || f.idle && (n < glitchBurst || n > glitchBurst+5) {
			t.Errorf("%s: closed %v after %d", f.name, p.conn.IsClosed(), n)
		}
		if f.idle {
			p.wantClose(f.name, ProtocolViolation)
		}
	}
	p := newScriptedClient(t)
	p.handshake()
	for range 100 {
		p.now = p.now.Add(time.Second)
		p.conn.OnTimeout(p.now)
		for range glitchRate {
			p.feed(frame(wire.FrameMaxData, 1))
		}
	}
	if p.conn.IsClosed() {
		t.Errorf("at the rate that is allowed: %v", p.conn.Err())
	}
}

// E7: a peer that opens streams and gives no credit makes us hold maxSendBuffers buffers, and a little for each stream; and Close
// waits for nothing.
func TestAttackE7ZeroWindow(t *testing.T) {
	p := newScriptedClient(t, param(0x04, nil), param(0x05, nil), param(0x06, nil), param(0x07, nil),
		func(p *scripted) { p.cfg.StreamSendBuffer = 100_000 })
	p.handshake()
	held := int64(0)
	for id := uint64(0); id < 400; id += 4 {
		if err := p.feed(streamFrame(id, 0, "request", true)); err != nil {
			t.Fatal(err)
		}
		n, err := p.conn.StreamSend(id, make([]byte, 1<<20), true)
		if err != nil {
			t.Fatal(err)
		}
		held += int64(n)
	}
	if most := int64(maxSendBuffers*100_000 + 100*sendBufferFloor); held > most || p.conn.streams.admission.held != held {
		t.Errorf("%d bytes are held, by the connection's count %d; want at most %d", held, p.conn.streams.admission.held, most)
	}
	p.drain()
	p.got = nil
	p.conn.Close(p.now, true, 1, "")
	p.wantCloses("at once", 1, wire.ConnectionClose{App: true, Code: 1})
	if p.conn.streams.admission.held != 0 {
		t.Error("buffers are held after Close")
	}
}

// E9: empty datagrams are nothing.
func TestAttackE9EmptyDatagrams(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1))
	c := accepted(t, server, initialSpec{})
	before := c.Stats()
	tr := Train{Local: serverHost, Remote: clientHost}
	if n := testing.AllocsPerRun(1000, func() {
		if r := server.Route(w.now, tr, nil); r != (Routed{}) {
			t.Fatalf("%+v", r)
		}
		c.Recv(w.now, tr)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if c.Stats() != before || server.Conns() != 1 {
		t.Error("they left a trace")
	}
}

// E11: a Length that lies costs its own packet, or the rest of its datagram, and nothing else.
func TestAttackE11Lengths(t *testing.T) {
	for _, c := range []struct {
		name   string
		length func(b []byte, off int) []byte // changes the bad packet, whose Length lies at off
		next   bool                           // the packet behind it is processed
	}{
		{"0", func(b []byte, off int) []byte { wire.PutVarint2(b[off:], 0); return b[:off+2] }, true},
		{"below a sample", func(b []byte, off int) []byte { wire.PutVarint2(b[off:], 19); return b[:off+2+19] }, true},
		{"past the end", func(b []byte, off int) []byte { wire.PutVarint2(b[off:], 1<<14-1); return b }, false},
		{"cut short", func(b []byte, off int) []byte { return b[:off] }, false},
	} {
		p := newScriptedClient(t)
		p.sendTLS()
		p.got = nil
		good := p.encode(scriptedPacket{slot: protect.Handshake, frames: [][]byte{frame(wire.FramePing)}})
		bad, off, _ := wire.AppendLongHeader(nil, wire.Handshake, wire.Version1, p.dstID, p.srcID, nil, 99, 4)
		bad = append(bad, make([]byte, 60)...)
		wire.PutVarint2(bad[off:], uint64(len(bad)-off-2))
		before := p.conn.Stats().PacketsReceived
		p.recvFrom(p.remote, append(c.length(bad, off), good...))
		p.drain()
		if got := p.conn.Stats().PacketsReceived - before; got == 1 != c.next {
			t.Errorf("Length %s: %d packets behind it were processed", c.name, got)
		}
		p.handshake()
	}
}

// A8: a server can be kept from sending to special addresses (RFC 9000, section 21.5), and tokens are nothing that a client could
// have sent elsewhere in its name.
func TestAttackA8RequestForgery(t *testing.T) {
	special := netip.MustParseAddrPort("127.0.0.1:53")
	p := newMobile(t, func(p *scripted) {
		p.cfg.MayMigrate = func(a netip.AddrPort) bool { return !a.Addr().IsLoopback() && !a.Addr().IsPrivate() }
	})
	p.sendFrom(special, "cid-0001", append(frame(wire.FramePathChallenge), "12345678"...), frame(wire.FramePing), filler(1000))
	p.wantPathTo("a special address", p.remote, "peer-cid")
	p.sendFrom(farHost, "cid-0001", frame(wire.FramePing), filler(1000))
	p.wantPathTo("an ordinary one", farHost, "peercid1")

	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1, retryAlways))
	chosen := "GET / HTTP/1.1\r\n\r\n!!"
	_, answer := server.one(initialSpec{dst: chosen, src: "client-chosen-scid!!"}.datagram(t), clientHost)
	_, token := takeRetry(t, answer, chosen, "client-chosen-scid!!")
	for i := range len(chosen) - 4 {
		if strings.Contains(token, chosen[i:i+4]) {
			t.Errorf("the token holds %q", chosen[i:i+4])
		}
	}
}

// E16: setting and firing timers costs no memory; the heap that holds those of many connections is the driver's.
func TestAttackE16Timers(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.drain()
	if n := testing.AllocsPerRun(1000, func() {
		if _, ok := p.conn.Timeout(); !ok {
			t.Fatal("no timer")
		}
		p.now = p.now.Add(time.Microsecond)
		p.conn.OnTimeout(p.now)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
