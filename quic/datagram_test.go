package quic

import (
	"bytes"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// A datagram of the largest size fits no packet that is coalesced with another one. It waits for the next UDP datagram.
func TestDatagramBesideHandshake(t *testing.T) {
	p := newScriptedServer(t, param(0x20, varint(65535)))
	for range 4 { // up to the client's Finished, which is not acknowledged
		p.sendTLS()
	}
	if !p.conn.IsEstablished() {
		t.Fatalf("the handshake is not complete: %v", p.conn.Err())
	}
	p.got = nil
	at, ok := p.conn.Timeout()
	if !ok {
		t.Fatal("conn has no timer")
	}
	p.now = at
	p.conn.OnTimeout(p.now)
	data := bytes.Repeat([]byte("x"), p.conn.MaxDatagramSize())
	p.must(p.conn.DatagramSend(data))
	p.drain()
	p.wantType("the probe", protect.Handshake, wire.FrameCrypto)
	for {
		f, ok := p.next()
		if !ok {
			t.Fatal("the datagram was never sent")
		}
		if f.typ|1 != wire.FrameDatagram|1 {
			continue
		}
		if got, n := wire.ConsumeDatagram(f.raw); n < 0 || !bytes.Equal(got, data) {
			t.Errorf("a datagram of %d bytes was sent, want the %d bytes queued", len(got), len(data))
		}
		return
	}
}
