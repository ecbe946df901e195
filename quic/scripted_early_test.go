package quic

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// newEarlyClient returns a scripted client with keys for 0-RTT packets, whose ClientHello is ready and not yet sent, and a server under test
// that will accept them.
func newEarlyClient(t testing.TB, options ...scriptedOption) *scripted {
	t.Helper()
	ctx, err := handshake.NewContext(false)
	if err != nil {
		t.Fatal(err)
	}
	cache := tls.NewLRUClientSessionCache(1)
	all := append([]scriptedOption{func(p *scripted) {
		p.context, p.cfg.EarlyData, p.tlsConfig.ClientSessionCache = ctx, true, cache
	}}, options...)
	first := newScriptedClient(t, all...)
	first.handshake()
	p := newScriptedClient(t, all...)
	if !p.keys.HasWrite(protect.ZeroRTT) {
		t.Fatal("the scripted client has no keys for 0-RTT packets")
	}
	return p
}

// sendEarly sends the ClientHello and a 0-RTT packet with frames in one datagram.
func (p *scripted) sendEarly(frames ...[]byte) {
	p.t.Helper()
	p.send(scriptedPacket{slot: protect.ZeroRTT, frames: frames}, scriptedPacket{slot: protect.Initial,
		frames: [][]byte{p.takeCrypto(protect.Initial)}})
}

// 34: CRYPTO in a 0-RTT packet, and what else may not stand in one (RFC 9000, section 12.4, table 3; RFC 9001, section 8.3).
func TestConformanceEarlyFrames(t *testing.T) {
	for name, f := range map[string][]byte{
		"34 CRYPTO":            cryptoFrame(0, []byte{1}),
		"ACK":                  ackFrame(0),
		"HANDSHAKE_DONE":       frame(wire.FrameHandshakeDone),
		"NEW_TOKEN":            append(frame(wire.FrameNewToken, 1), 1),
		"PATH_RESPONSE":        append(frame(wire.FramePathResponse), make([]byte, 8)...),
		"RETIRE_CONNECTION_ID": frame(wire.FrameRetireConnectionID, 0),
		"IMMEDIATE_ACK":        frame(wire.FrameImmediateAck),
		"no frame":             nil,
	} {
		t.Run(name, func(t *testing.T) {
			p := newEarlyClient(t)
			p.sendEarly(f)
			if p.conn.EarlyData() != EarlyAccepted {
				t.Fatalf("0-RTT data is %v", p.conn.EarlyData())
			}
			p.wantClose(name+" in a 0-RTT packet", ProtocolViolation)
		})
	}
	t.Run("an unknown frame", func(t *testing.T) {
		p := newEarlyClient(t)
		p.sendEarly(frame(0x20))
		p.wantClose("an unknown frame", FrameEncodingError)
	})
	t.Run("reserved bits", func(t *testing.T) {
		p := newEarlyClient(t)
		p.send(scriptedPacket{slot: protect.ZeroRTT, reserved: 0x04, frames: [][]byte{frame(wire.FramePing)}},
			scriptedPacket{slot: protect.Initial, frames: [][]byte{p.takeCrypto(protect.Initial)}})
		p.wantClose("reserved bits in a 0-RTT packet", ProtocolViolation)
	})
	t.Run("33 EndOfEarlyData", func(t *testing.T) {
		p := newEarlyClient(t)
		p.sendEarly(frame(wire.FramePing))
		p.sendFrames(protect.Handshake, cryptoFrame(0, []byte{5, 0, 0, 0}))
		p.wantClose("EndOfEarlyData", CryptoErrorBase+10)
	})
	t.Run("all that may stand there", func(t *testing.T) {
		p := newEarlyClient(t)
		p.sendEarly(frame(wire.FramePing), streamFrame(0, 0, "data", true), streamFrame(2, 0, "", false), frame(wire.FrameMaxData, 1<<20),
			frame(wire.FrameMaxStreamsBidi, 100), frame(wire.FrameDataBlocked, 1), frame(wire.FrameResetStream, 6, 1, 0),
			frame(wire.FrameStopSending, 8, 1), frame(wire.FrameMaxStreamData, 12, 1<<20), frame(wire.FrameStreamsBlockedUni, 1),
			newConnectionIDFrame(1, 0, "other-id", [16]byte{1}), append(frame(wire.FramePathChallenge), make([]byte, 8)...))
		wantStream(t, p.conn, 0, "data")
		p.handshake()
	})
}

// 0-RTT packets count up to three PTO after the handshake, and are ignored afterwards; neither panics (RFC 9001, section 4.9.3).
func TestEarlyAfterHandshake(t *testing.T) {
	p := newEarlyClient(t)
	p.sendEarly(streamFrame(0, 0, "early", false))
	p.handshake()
	late := func(id uint64) []byte {
		return p.encode(scriptedPacket{slot: protect.ZeroRTT, dstID: []byte("first-dcid"), frames: [][]byte{streamFrame(id, 0, "late", true)}})
	}
	p.recvFrom(p.remote, late(4))
	wantStream(t, p.conn, 4, "late")
	if !p.conn.StreamEarly(0) || p.conn.StreamEarly(4) {
		t.Errorf("early: %v, and of what came after the handshake: %v", p.conn.StreamEarly(0), p.conn.StreamEarly(4))
	}
	p.recvFrom(p.remote, p.encode(scriptedPacket{slot: protect.ZeroRTT, srcID: []byte("another"), frames: [][]byte{streamFrame(8, 0, "x", true)}}))
	if p.conn.streams.types[0].opened > 2 {
		t.Error("a packet of another Source Connection ID was handled")
	}
	p.now = p.conn.clock.time(p.conn.earlyDropAt())
	p.conn.OnTimeout(p.now)
	dropped := p.conn.Stats().PacketsDropped
	p.recvFrom(p.remote, late(8))
	if p.conn.streams.types[0].opened > 2 || p.conn.Stats().PacketsDropped != dropped+1 {
		t.Error("a 0-RTT packet was handled after its time")
	}
	p.drain()
	if p.conn.IsClosed() {
		t.Error(p.conn.Err())
	}
}

// earlyServer is what a scripted server needs to give a client under test a Session, and to know it again.
func earlyServer(edit func(p *scripted)) scriptedOption {
	return func(p *scripted) {
		p.tlsConfig.SetSessionTicketKeys([][32]byte{{1}})
		p.params[0x20] = varint(1000)
		if edit != nil {
			edit(p)
		}
	}
}

// newEarlyServer returns a client under test that has sent its ClientHello, and may send 0-RTT data, to a scripted server.
func newEarlyServer(t testing.TB, before, now func(p *scripted), params ConnectParams) *scripted {
	t.Helper()
	first := newScriptedServer(t, earlyServer(before))
	first.handshake()
	first.must(first.tls.SendSessionTicket(tls.QUICSessionTicketOptions{EarlyData: true}))
	first.pumpTLS()
	first.sendTLS()
	ev := find(first.events, EventSession)
	if ev == nil || !ev.Session.EarlyData() {
		t.Fatalf("the client's session: %+v", ev)
	}
	params.Session, params.EarlyData = ev.Session, true
	p := newScriptedServer(t, earlyServer(func(p *scripted) {
		before(p)
		p.connect = params
		if now != nil {
			now(p)
		}
	}))
	if !has(p.events, EventEarlyReady) {
		t.Fatal("the client does not offer 0-RTT")
	}
	p.got = nil
	return p
}

func nothing(*scripted) {}

// rejecting has the scripted server resume, and reject 0-RTT data.
func rejecting(p *scripted) {
	p.onTLSEvent = func(ev tls.QUICEvent) {
		if ev.Kind == tls.QUICResumeSession {
			ev.SessionState.EarlyData = false
		}
	}
}

// limited has the server allow little.
func limited(p *scripted) {
	p.params[0x04], p.params[0x06], p.params[0x07], p.params[0x08], p.params[0x09] = varint(100), varint(40), varint(40), varint(3), varint(1)
}

func write(t *testing.T, c *Conn, uni bool, data string, fin bool) uint64 {
	t.Helper()
	id, err := c.open(uni)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.StreamSend(id, []byte(data), fin); n != len(data) || err != nil {
		t.Fatal(n, err)
	}
	return id
}

// splitHandshake sends the server's flight without its last message, Finished, and returns that.
func (p *scripted) splitHandshake() []byte {
	p.t.Helper()
	out := p.cryptoOut[protect.Handshake]
	last := 0
	for n := 0; n < len(out); n += 4 + int(out[n+2])<<8 + int(out[n+3]) {
		last = n
	}
	finished := bytes.Clone(out[last:])
	p.cryptoOut[protect.Handshake] = out[:last]
	p.sendTLS()
	return finished
}

// A client's 0-RTT data keeps to the limits that it remembers, also when it knows the new ones, which are in force with 1-RTT packets
// (RFC 9000, section 7.4.1).
func TestEarlyLimits(t *testing.T) {
	p := newEarlyServer(t, limited, func(p *scripted) {
		p.params[0x04], p.params[0x06], p.params[0x08] = varint(1000), varint(200), varint(4)
	}, ConnectParams{})
	a := write(t, p.conn, false, strings.Repeat("a", 150), true)
	b := write(t, p.conn, false, strings.Repeat("b", 150), true)
	c := write(t, p.conn, false, strings.Repeat("c", 30), true)
	if _, err := p.conn.OpenStream(); err != ErrStreamLimit {
		t.Errorf("a fourth stream: %v", err)
	}
	if got := p.conn.MaxDatagramSize(); got != 1000-3 {
		t.Errorf("datagrams of %d bytes", got)
	}
	sent := func(slot protect.Slot) (bytes int) {
		for _, f := range p.got {
			if f.typ >= wire.FrameStream && f.typ <= wire.FrameStream+7 && f.slot == slot {
				_, _, _, data, _ := consumeStreamFrame(f.raw)
				bytes += len(data)
			}
		}
		return bytes
	}
	p.drain()
	if n := sent(protect.ZeroRTT); n != 100 {
		t.Errorf("%d bytes of stream data in 0-RTT packets, want 100", n)
	}
	blocked := map[uint64]bool{}
	for _, f := range p.got {
		if f.slot == protect.ZeroRTT {
			blocked[f.typ] = true
		}
	}
	if !blocked[wire.FrameDataBlocked] || !blocked[wire.FrameStreamDataBlocked] || !blocked[wire.FrameStreamsBlockedBidi] {
		t.Errorf("frames in 0-RTT packets: %v", blocked)
	}
	finished := p.splitHandshake()
	if n := sent(protect.ZeroRTT); n != 100 || p.conn.tls.complete {
		t.Errorf("%d bytes of stream data in 0-RTT packets once the new limits have come, want 100; complete %v", n, p.conn.tls.complete)
	}
	p.cryptoOut[protect.Handshake] = finished
	p.sendTLS()
	if n := sent(protect.OneRTT); n != 330-100 {
		t.Errorf("%d bytes of stream data in 1-RTT packets, want 230", n)
	}
	if !has(p.events, EventStreamsAvailable) {
		t.Error("no EventStreamsAvailable")
	}
	for _, f := range p.got {
		if f.slot == protect.ZeroRTT && f.pn > p.received[2][len(p.received[2])-1].End {
			t.Error("packet numbers")
		}
	}
	p.handshake()
	for _, id := range []uint64{a, b, c} {
		if s := p.conn.streams.live.get(id); s == nil || s.send.buf.data.base != s.send.buf.end {
			t.Errorf("stream %d is not acknowledged", id)
		}
	}
}

// A server that accepts 0-RTT data and lowers a limit that it was sent under violates the protocol (RFC 9000, section 7.4.1; RFC 9221,
// section 3); that it raises them, or lowers others, does no harm.
func TestEarlyLimitLowered(t *testing.T) {
	for _, id := range []uint64{0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0e, 0x20} {
		for _, lower := range []bool{true, false} {
			t.Run(fmt.Sprintf("parameter 0x%x lower=%v", id, lower), func(t *testing.T) {
				p := newEarlyServer(t, func(p *scripted) { p.params[0x0e] = varint(5) }, func(p *scripted) {
					v, _ := wire.ConsumeVarint(p.params[id])
					if lower {
						v--
					} else {
						v++
					}
					p.params[id] = varint(v)
				}, ConnectParams{})
				write(t, p.conn, false, "early", true)
				p.drain()
				if !lower {
					p.handshake()
					return
				}
				p.sendTLS()
				p.wantClose("a limit that was lowered", ProtocolViolation)
			})
		}
	}
}

// After a rejection packet numbers go on, what was written is sent again in 1-RTT packets, and an acknowledgement of what was rejected means
// nothing.
func TestEarlyRejectedResend(t *testing.T) {
	p := newEarlyServer(t, nothing, rejecting, ConnectParams{ResendEarly: true})
	id := write(t, p.conn, false, "written early", true)
	p.drain()
	last := p.conn.loss.NextPN(2) - 1
	if last < 0 {
		t.Fatal("nothing was sent in 0-RTT packets")
	}
	p.got, p.received[2] = nil, nil
	p.keys.Drop(protect.ZeroRTT)
	p.sendTLS()
	if ev := find(p.events, EventEarlyData); ev == nil || ev.Accepted || !ev.Resent {
		t.Fatalf("events: %v", p.events)
	}
	var data string
	for _, f := range p.got {
		if f.slot == protect.ZeroRTT {
			t.Errorf("%v after the rejection", f)
		}
		if f.typ >= wire.FrameStream && f.typ <= wire.FrameStream+7 {
			_, _, _, d, _ := consumeStreamFrame(f.raw)
			data += string(d)
			if f.pn <= last {
				t.Errorf("packet number %d, and 0-RTT packets had numbers up to %d", f.pn, last)
			}
		}
	}
	if data != "written early" {
		t.Errorf("sent again: %q", data)
	}
	p.sendFrames(protect.OneRTT, frame(wire.FrameHandshakeDone))
	p.sendFrames(protect.OneRTT, ackFrame(last))
	if acked, err := p.conn.StreamAcked(id); acked != 0 || err != nil || p.conn.IsClosed() {
		t.Errorf("an acknowledgement of packets that were rejected: %d bytes, %v, %v", acked, err, p.conn.Err())
	}
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	if !has(p.events, EventStreamAcked) {
		t.Error("the stream is not acknowledged")
	}
}

// Where the server allows fewer streams after a rejection than were opened, those beyond wait, whatever is done with them, until it
// allows more.
func TestEarlyRejectedFewerStreams(t *testing.T) {
	p := newEarlyServer(t, nothing, func(p *scripted) {
		rejecting(p)
		p.params[0x08] = varint(1)
	}, ConnectParams{ResendEarly: true})
	for i := range 4 {
		write(t, p.conn, false, fmt.Sprint("stream ", i), i != 2)
	}
	p.drain()
	p.conn.StreamShutdown(8, WriteDirection|ReadDirection, 9)
	p.drain()
	p.got = nil
	p.sendTLS()
	p.sendFrames(protect.OneRTT, frame(wire.FrameHandshakeDone))
	about := func() (ids map[uint64]int, blocked bool) {
		ids = map[uint64]int{}
		for _, f := range p.got {
			typ, n := wire.ConsumeVarint(f.raw)
			if typ >= wire.FrameStream && typ <= wire.FrameStream+7 || typ == wire.FrameResetStream || typ == wire.FrameStopSending ||
				typ == wire.FrameStreamDataBlocked {
				id, _ := wire.ConsumeVarint(f.raw[n:])
				ids[id]++
			}
			blocked = blocked || typ == wire.FrameStreamsBlockedBidi
		}
		p.got = nil
		return ids, blocked
	}
	if ids, blocked := about(); len(ids) != 1 || ids[0] == 0 || !blocked {
		t.Errorf("frames about streams %v; STREAMS_BLOCKED %v", ids, blocked)
	}
	if _, err := p.conn.OpenStream(); err != ErrStreamLimit {
		t.Errorf("a fifth stream: %v", err)
	}
	p.events = nil
	p.sendFrames(protect.OneRTT, frame(wire.FrameMaxStreamsBidi, 3))
	if ids, blocked := about(); len(ids) != 2 || ids[4] != 1 || ids[8] != 2 || !blocked {
		t.Errorf("with three allowed: frames about streams %v; STREAMS_BLOCKED %v", ids, blocked)
	}
	if has(p.events, EventStreamsAvailable) {
		t.Error("EventStreamsAvailable, and none may be opened")
	}
	p.sendFrames(protect.OneRTT, frame(wire.FrameMaxStreamsBidi, 5))
	if ids, _ := about(); len(ids) != 1 || ids[12] != 1 || !has(p.events, EventStreamsAvailable) {
		t.Errorf("with five allowed: frames about streams %v", ids)
	}
	if id, err := p.conn.OpenStream(); id != 16 || err != nil {
		t.Errorf("the fifth stream: %d, %v", id, err)
	}
}

// That holds for streams, too, of which nothing but the end was written: it is queued to be sent again when the rejection bars them.
func TestEarlyRejectedFewerEmptyStreams(t *testing.T) {
	p := newEarlyServer(t, nothing, func(p *scripted) {
		rejecting(p)
		p.params[0x08] = varint(1)
	}, ConnectParams{ResendEarly: true})
	for range 3 {
		write(t, p.conn, false, "", true)
	}
	p.drain()
	p.got = nil
	p.sendTLS()
	p.sendFrames(protect.OneRTT, frame(wire.FrameHandshakeDone))
	ends := func() (ids []uint64) {
		for _, f := range p.got {
			if typ, n := wire.ConsumeVarint(f.raw); typ >= wire.FrameStream && typ <= wire.FrameStream+7 {
				id, _ := wire.ConsumeVarint(f.raw[n:])
				ids = append(ids, id)
			}
		}
		p.got = nil
		return ids
	}
	if ids := ends(); !slices.Equal(ids, []uint64{0}) {
		t.Errorf("with one stream allowed, frames of streams %v", ids)
	}
	p.sendFrames(protect.OneRTT, frame(wire.FrameMaxStreamsBidi, 3))
	if ids := ends(); !slices.Equal(ids, []uint64{4, 8}) {
		t.Errorf("with three allowed, frames of streams %v", ids)
	}
}

// DATAGRAM frames travel in 0-RTT packets within the remembered limit; after a rejection those that wait and that the server takes no more
// are dropped and counted (RFC 9221, sections 3 and 5).
func TestEarlyDatagrams(t *testing.T) {
	p := newEarlyServer(t, nothing, nil, ConnectParams{})
	p.must(p.conn.DatagramSend(make([]byte, 997)))
	var large *DatagramTooLargeError
	if err := p.conn.DatagramSend(make([]byte, 998)); !errors.As(err, &large) {
		t.Errorf("a datagram that is too large: %v", err)
	}
	p.drain()
	if f := p.wantType("a datagram", protect.ZeroRTT, wire.FrameDatagram+1); len(f.raw) != 1000 {
		t.Errorf("a frame of %d bytes", len(f.raw))
	}
	p.handshake()

	p = newEarlyServer(t, nothing, func(p *scripted) {
		rejecting(p)
		p.params[0x20] = varint(100)
	}, ConnectParams{ResendEarly: true})
	for range 20 { // more than the congestion window takes
		p.must(p.conn.DatagramSend(make([]byte, 997)))
	}
	p.drain()
	p.must(p.conn.DatagramSend(make([]byte, 90)))
	before := p.conn.Stats().DatagramFramesSent
	p.handshake()
	if st := p.conn.Stats(); st.DatagramFramesSent != before+1 || st.DatagramFramesUnsent != 20-before {
		t.Errorf("%d were sent before, %d in all, and %d not", before, st.DatagramFramesSent, st.DatagramFramesUnsent)
	}
}

// Between the server's rejection and the end of the handshake datagrams are taken if they can be sent then, and if not the error says why,
// and whoever waits for room is told when it is there.
func TestEarlyDatagramsRejected(t *testing.T) {
	for _, resend := range []bool{true, false} {
		p := newEarlyServer(t, nothing, rejecting, ConnectParams{ResendEarly: resend})
		fill := func() (err error) {
			for err == nil {
				err = p.conn.DatagramSend(make([]byte, 900))
			}
			return err
		}
		fill()
		p.drain()
		if err := fill(); err != ErrDatagramQueueFull {
			t.Fatal(err)
		}
		waiting, before := p.conn.datagrams.out.len(), p.conn.Stats()
		p.cryptoOut[protect.Handshake] = p.splitHandshake()
		want := ErrEarlyDataRejected
		if resend {
			want = ErrDatagramQueueFull
		}
		if err := p.conn.DatagramSend([]byte("later")); err != want || p.conn.tls.complete || p.conn.EarlyData() != EarlyRejected {
			t.Errorf("sent again %v: %v, want %v; complete %v", resend, err, want, p.conn.tls.complete)
		}
		p.events = nil
		p.handshake()
		if !has(p.events, EventDatagramWritable) {
			t.Errorf("sent again %v: nobody is told that there is room", resend)
		}
		st := p.conn.Stats()
		sent, unsent := st.DatagramFramesSent-before.DatagramFramesSent, st.DatagramFramesUnsent
		if resend != (sent > 0) || resend != (unsent == 0) || !resend && unsent != uint64(waiting) {
			t.Errorf("sent again %v: of %d that waited %d were sent, and %d were not", resend, waiting, sent, unsent)
		}
		p.must(p.conn.DatagramSend([]byte("now")))
	}
}

// A client whose first flight is lost sends its 0-RTT data again with its ClientHello (RFC 9002, section 6.2.4).
func TestEarlyProbes(t *testing.T) {
	p := newEarlyServer(t, nothing, nil, ConnectParams{})
	write(t, p.conn, false, "early", true)
	p.drain()
	p.got = nil
	p.advance()
	var initial, zeroRTT bool
	for _, f := range p.got {
		initial = initial || f.slot == protect.Initial && f.typ == wire.FrameCrypto
		zeroRTT = zeroRTT || f.slot == protect.ZeroRTT && f.typ >= wire.FrameStream && f.typ <= wire.FrameStream+7
	}
	if !initial || !zeroRTT {
		t.Errorf("the probe has the ClientHello: %v, 0-RTT data: %v", initial, zeroRTT)
	}
	p.handshake()
}

// 0-RTT data that fills the congestion window does not hold the end of the handshake back, without which its server may not be able to
// acknowledge anything.
func TestEarlyFullWindow(t *testing.T) {
	var p *scripted
	var id uint64
	for first := 8000; p == nil || p.conn.path.rec.Available() > 360; first += 50 { // so that no more is left than a datagram takes
		p = newEarlyServer(t, nothing, func(p *scripted) {
			p.beforeFirst = func(c *Conn) { id = write(t, c, false, strings.Repeat("x", first), false) }
		}, ConnectParams{})
		p.conn.StreamSend(id, make([]byte, 100_000-first), true)
		p.drain()
		if first > 12000 {
			t.Fatalf("%d bytes of the window are left", p.conn.path.rec.Available())
		}
	}
	p.sendTLS() // all in one datagram, which acknowledges the Initial packet and none of the 0-RTT packets
	if !p.conn.tls.complete || !p.complete {
		t.Errorf("the handshake is complete at the client: %v, at the server: %v", p.conn.tls.complete, p.complete)
	}
	p.handshake()
	for i := 0; i < 100 && !has(p.events, EventStreamAcked); i++ {
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		p.advance()
	}
	if acked, err := p.conn.StreamAcked(id); err != ErrUnknownStream && acked != 100_000 {
		t.Errorf("%d bytes are acknowledged: %v", acked, err)
	}
}

// A client that closes the connection says so in 0-RTT packets too, with the application's code.
func TestEarlyClose(t *testing.T) {
	p := newEarlyServer(t, nothing, nil, ConnectParams{})
	write(t, p.conn, false, "early", true)
	p.drain()
	p.got = nil
	p.conn.Close(p.now, true, 77, "enough")
	p.drain()
	codes := map[protect.Slot]uint64{}
	for _, f := range p.got {
		if cc, n := wire.ConsumeConnectionClose(f.raw); n > 0 && (f.typ == wire.FrameConnectionClose || f.typ == wire.FrameConnectionCloseApp) {
			codes[f.slot] = cc.Code
		}
	}
	if codes[protect.Initial] != uint64(ApplicationErrorCode) || codes[protect.ZeroRTT] != 77 {
		t.Errorf("closed with %v", codes)
	}
}
