package quic

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/congestion"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// wantFuture asserts that conn, which has nothing to send, wants to be woken later and not now.
func (p *scripted) wantFuture(reason string) {
	p.t.Helper()
	if at, ok := p.conn.Timeout(); ok && !at.After(p.now) {
		p.t.Fatalf("%s: the timer is at %v, which is not after %v", reason, at, p.now)
	}
}

// C5: a client that sends PINGs in Handshake packets, and acknowledges nothing, has each of them acknowledged; what is remembered of that
// is bounded, as Conn.Check, which runs all the while, knows.
func TestAttackC5HandshakePings(t *testing.T) {
	p := newScriptedClient(t)
	p.sendFrames(protect.Initial, p.takeCrypto(protect.Initial))
	if !p.keys.HasWrite(protect.Handshake) {
		t.Fatal("no Handshake keys came")
	}
	for i := range 4 * maxPacketsBehindEarly {
		p.got = nil
		p.sendFrames(protect.Handshake, frame(wire.FramePing))
		acked := false
		for _, f := range p.got {
			acked = acked || f.slot == protect.Handshake && f.typ == wire.FrameAck
		}
		if !acked {
			t.Fatalf("PING %d was not acknowledged", i)
		}
		p.wantFuture("after a PING")
	}
}

func (p *scripted) write(id uint64, n int) {
	p.t.Helper()
	if got, err := p.conn.StreamSend(id, make([]byte, n), false); err != nil || got != n {
		p.t.Fatalf("StreamSend took %d bytes: %v", got, err)
	}
}

// wideOpen is a congestion controller that holds nothing back.
type wideOpen struct{}

func (wideOpen) OnAck(int64, congestion.Ack) {}
func (wideOpen) OnCongestion(_, _ int64)     {}
func (wideOpen) OnSpurious()                 {}
func (wideOpen) OnPersistentCongestion()     {}
func (wideOpen) Window() int64               { return 1 << 30 }
func (wideOpen) SlowStart() bool             { return false }
func (wideOpen) SetMaxDatagram(int)          {}

// C5: a client that acknowledges nothing, while its window has room for many small packets, holds maxInFlight of them. Its own
// packets are acknowledged all the while, probes are sent, and no timer is set that has passed. When it acknowledges, all goes on.
func TestAttackC5SmallPackets(t *testing.T) {
	p := newScriptedClient(t, param(0x04, varint(1<<30)), param(0x05, varint(1<<30)), param(0x06, varint(1<<30)), param(0x07, varint(1<<30)))
	p.handshake()
	p.conn.path.rec.CC = wideOpen{}
	id, err := p.conn.OpenStream()
	p.must(err)
	room := make([]byte, 1<<16)
	before := p.conn.Stats().PacketsSent
	for {
		p.write(id, 1)
		out := p.conn.Send(p.now, room)
		if out.SendAt.After(p.now) {
			p.now = out.SendAt
			out = p.conn.Send(p.now, room)
		}
		if out.N == 0 {
			break
		}
	}
	if n := p.conn.Stats().PacketsSent - before; n > maxInFlight || n < maxInFlight*9/10 {
		t.Fatalf("%d packets are in flight, of which %d may be; %d bytes, window %d", n, maxInFlight, p.conn.path.rec.InFlight,
			p.conn.path.rec.CC.Window())
	}
	p.wantFuture("full")
	for range 3 {
		p.sendFrames(protect.OneRTT, frame(wire.FramePing))
		p.sendFrames(protect.OneRTT, frame(wire.FramePing))
		if !p.sawAck() {
			t.Fatal("a PING was not acknowledged")
		}
		p.wantFuture("full, and a PING was acknowledged")
	}
	sent := p.conn.Stats().PacketsSent
	for timeouts := p.conn.loss.Stats.PTOs; p.conn.loss.Stats.PTOs == timeouts; {
		p.advance()
	}
	if p.conn.Stats().PacketsSent == sent {
		t.Error("no probe was sent")
	}
	p.wantFuture("full, and a probe was sent")
	// What was sent behind the client's back is taken for lost, and all comes.
	for range 20 {
		p.now = p.now.Add(10 * time.Millisecond)
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		p.got = nil
	}
	if n := p.conn.path.rec.InFlight; n > 0 {
		t.Errorf("%d bytes are in flight still", n)
	}
	if p.conn.loss.Full() || p.conn.IsClosed() {
		t.Errorf("the record is full: %v; closed: %v", p.conn.loss.Full(), p.conn.Err())
	}
	if n := p.conn.loss.LargestAcked(recovery.AppSpace); n < int64(sent) {
		t.Errorf("the largest acknowledged packet is %d, and %d were sent", n, sent)
	}
}

func (p *scripted) sawAck() (saw bool) {
	for _, f := range p.got {
		saw = saw || f.slot == protect.OneRTT && f.typ == wire.FrameAck
	}
	p.got = nil
	return saw
}
