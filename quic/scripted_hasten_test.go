package quic

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// cryptoLevels returns how many CRYPTO frames came from conn at each level, and forgets them.
func (p *scripted) cryptoLevels() (levels [4]int) {
	for _, f := range p.got {
		if f.typ == wire.FrameCrypto {
			levels[f.slot]++
		}
	}
	p.got = nil
	return levels
}

// RFC 9002, section 6.2.3: a ClientHello that comes again has a server send its flight again, ahead of the probe timeout, a few times at most
// and never beyond three times what was received. One that was sent with the first does not, and neither does one whose answer has arrived.
func TestServerHastens(t *testing.T) {
	p := newScriptedClient(t)
	p.lossy = true
	hello := p.takeCrypto(protect.Initial)
	received := 0
	repeat := func(after time.Duration, with ...[]byte) [4]int {
		p.now = p.now.Add(after)
		datagram := p.encode(scriptedPacket{slot: protect.Initial, frames: append([][]byte{hello}, with...)})
		received += len(datagram)
		p.recvFrom(p.remote, datagram)
		p.drain()
		if p.bytes > 3*received {
			t.Errorf("the server sent %d bytes for %d", p.bytes, received)
		}
		return p.cryptoLevels()
	}
	first := repeat(0)
	if first[protect.Initial] == 0 || first[protect.Handshake] == 0 {
		t.Fatalf("the flight has CRYPTO frames %v", first)
	}
	if again := repeat(time.Millisecond); again != [4]int{} {
		t.Errorf("a ClientHello of the same instant brought CRYPTO frames %v", again)
	}
	for i := range maxHastened + 20 {
		again := repeat(50 * time.Millisecond)
		if want := i < maxHastened; (again[protect.Initial] > 0) != want || (again[protect.Handshake] > 0) != want {
			t.Errorf("repetition %d brought CRYPTO frames %v; want them: %v", i+1, again, want)
		}
	}
	if n := p.conn.Stats().Timeouts; n != 0 {
		t.Errorf("%d probe timeouts came", n)
	}
	p.handshake()
}

// What came twice before anything could be sent counts once.
func TestServerHastensOnce(t *testing.T) {
	p := newScriptedClient(t)
	p.lossy = true
	hello := p.takeCrypto(protect.Initial)
	p.recvFrom(p.remote, p.encode(scriptedPacket{slot: protect.Initial, frames: [][]byte{hello}}))
	p.drain()
	p.now = p.now.Add(50 * time.Millisecond)
	for range 2 {
		p.recvFrom(p.remote, p.encode(scriptedPacket{slot: protect.Initial, frames: [][]byte{hello}}))
	}
	if n := p.conn.hello.hastened; n != 1 {
		t.Errorf("two probes of one timeout count as %d, want 1", n)
	}
	p.drain()
	p.handshake()
}

// The same where the ServerHello is acknowledged: what is repeated was under way.
func TestServerHastensNotWhatArrived(t *testing.T) {
	p := newScriptedClient(t)
	hello := p.takeCrypto(protect.Initial)
	p.sendFrames(protect.Initial, hello)
	p.cryptoLevels()
	p.now = p.now.Add(50 * time.Millisecond)
	p.sendFrames(protect.Initial, hello, p.ackReceived(protect.Initial))
	if again := p.cryptoLevels(); again != [4]int{} {
		t.Errorf("a late ClientHello brought CRYPTO frames %v", again)
	}
	p.handshake()
}

// RFC 9002, section 6.2.3: Handshake packets without a ServerHello have a client send its ClientHello again, once; and what comes for it completes the
// handshake. Where the ServerHello has come before, in the same datagram, there is nothing to be hastened.
func TestClientHastens(t *testing.T) {
	p := newScriptedServer(t)
	p.cryptoLevels()
	initial, rest := p.takeCrypto(protect.Initial), p.takeCrypto(protect.Handshake)
	for i := range 5 {
		p.now = p.now.Add(time.Millisecond)
		p.sendFrames(protect.Handshake, rest)
		again := p.cryptoLevels()
		if want := i == 0; (again[protect.Initial] > 0) != want {
			t.Errorf("Handshake packet %d brought CRYPTO frames %v; want them: %v", i+1, again, want)
		}
	}
	p.sendFrames(protect.Initial, initial)
	p.handshake()
	if n := p.conn.Stats().Timeouts; n != 0 {
		t.Errorf("%d probe timeouts came", n)
	}

	p = newScriptedServer(t)
	p.cryptoLevels()
	initial, rest = p.takeCrypto(protect.Initial), p.takeCrypto(protect.Handshake)
	p.send(scriptedPacket{slot: protect.Handshake, frames: [][]byte{rest}},
		scriptedPacket{slot: protect.Initial, frames: [][]byte{initial}})
	if again := p.cryptoLevels(); again[protect.Initial] > 0 {
		t.Errorf("a datagram with a Handshake and an Initial packet brought CRYPTO frames %v", again)
	}
	p.handshake()
}
