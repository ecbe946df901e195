package quic

import (
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
)

// Attacks on addresses that are not validated. The numbers are those of a catalogue of attacks that is wider than this package:
// class A is amplification and reflection.

// longChain gives the server under test a certificate chain of about 6 KB, so that its flight is longer than what it may send to
// an address that is not validated.
func longChain(p *scripted) {
	cert := &p.cfg.TLS.Certificates[0]
	for range 15 {
		cert.Certificate = append(cert.Certificate, cert.Certificate[0])
	}
}

// A1: a spoofed ClientHello is answered with three times its bytes at most, at every instant, over trains, timers and however
// many datagrams of the real client follow (RFC 9000, section 8.1).
func TestAttackA1Amplification(t *testing.T) {
	p := newScriptedClient(t, longChain)
	received := 0
	recv := func(b []byte) {
		received += len(b)
		p.recvFrom(p.remote, b)
		p.drain()
		if p.bytes > maxAmplification*received {
			t.Fatalf("the server sent %d bytes for %d", p.bytes, received)
		}
	}
	recv(p.encode(scriptedPacket{slot: protect.Initial, frames: [][]byte{p.takeCrypto(protect.Initial)}}))
	if p.bytes < 2*received {
		t.Errorf("the server sent %d bytes for %d, and has more to say", p.bytes, received)
	}
	for !p.conn.IsDrained() {
		if _, ok := p.conn.Timeout(); !ok {
			t.Fatal("the state is never given up")
		}
		p.advance()
		if p.bytes > maxAmplification*received {
			t.Fatalf("the server sent %d bytes for %d", p.bytes, received)
		}
	}
	if d := p.now.Sub(scriptedEpoch); d > p.conn.cfg.HandshakeTimeout {
		t.Errorf("the state was kept for %v", d)
	}
}

// The same with a client that is there: its first Handshake packet shows that, and brings the rest.
func TestAmplificationLimitLifted(t *testing.T) {
	p := newScriptedClient(t, longChain)
	p.sendTLS()
	if p.bytes > 3600 {
		t.Fatalf("the server sent %d bytes for 1200", p.bytes)
	}
	p.sendFrames(protect.Handshake, p.ackReceived(protect.Handshake))
	p.handshake()
	p.echo()
}
