package quic

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// A peer that acknowledges each packet just before it would be given up for silence makes the probe timeout three times as long each time:
// twelve packets would have an idle connection kept for months, and one that we close as well. Both end within two minutes.
func TestLateAcksHoldNothing(t *testing.T) {
	const most = 3 * maxPTO
	p := newMobile(t, param(0x0b, varint(16383)))
	for range 8 {
		p.conn.Ping()
		p.drain()
		start := p.now
		end := start.Add(time.Duration(p.conn.idle.deadline(p.conn.pto(p.conn.path.rec)) - p.conn.clock.now - 1))
		for at, _ := p.conn.Timeout(); at.Before(end); at, _ = p.conn.Timeout() {
			p.advance()
		}
		if d := end.Sub(start); d > most {
			t.Fatalf("the idle timeout is %v, want at most %v", d, most)
		}
		p.now = end
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		if p.conn.IsClosed() {
			t.Fatal(p.conn.Err())
		}
	}
	if pto := p.conn.loss.PTO(p.conn.path.rec); pto < 2*maxPTO {
		t.Fatalf("the probe timeout is %v only", pto)
	}
	p.conn.Close(p.now, true, 0, "")
	p.wantDrained(most)
}

// A client whose handshake fails takes a place of Config.MaxHandshakes no longer than one that falls silent, whatever max_ack_delay it tells.
func TestFailedHandshakeIsBrief(t *testing.T) {
	p := newScriptedClient(t, param(0x0b, varint(16383)))
	p.sendTLS()
	p.sendFrames(protect.Handshake, frame(wire.FrameHandshakeDone))
	if !p.conn.IsClosed() {
		t.Fatal("a frame where it may not stand was accepted")
	}
	p.wantDrained(maxFailedLife)
}

// wantDrained asserts that a closed connection is forgotten within that time.
func (p *scripted) wantDrained(most time.Duration) {
	p.t.Helper()
	start := p.now
	for !p.conn.IsDrained() {
		p.advance()
	}
	if d := p.now.Sub(start); d > most {
		p.t.Errorf("it is kept for %v after its close, want at most %v", d, most)
	}
}
