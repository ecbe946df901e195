package quic

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Attack B2: beyond MaxHandshakes clients are refused who have proved their address; those whose handshake is over, or came to
// nothing, count no more.
func TestAttackB2MaxHandshakes(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1, func(c *Config) { c.MaxHandshakes = 2 }))
	proved := func(dst string) initialSpec {
		return initialSpec{dst: dst, token: string(server.tokens.makeNew(w.now, Version1, clientHost))}
	}
	a, b := accepted(t, server, proved("dcid-no-1")), accepted(t, server, proved("dcid-no-2"))
	for _, dst := range []string{"dcid-no-3", "dcid-no-4"} {
		r, answer := server.one(proved(dst).datagram(t), clientHost)
		if r.Conn != nil || server.Conns() != 2 {
			t.Fatalf("connection %s was accepted beyond MaxHandshakes", dst)
		}
		wantRefused(t, dst, answer, dst, "peer-cid", ConnectionRefused)
		_, answer = server.one(initialSpec{dst: dst}.datagram(t), clientHost)
		takeRetry(t, answer, dst, "peer-cid")
	}
	forged := proved("dcid-no-5")
	forged.keyDst = "something"
	if r, answer := server.one(forged.datagram(t), clientHost); r.Conn != nil || answer != nil {
		t.Error("a packet that does not authenticate was answered")
	}
	server.HandleEvent(a, EndpointEvent{Kind: HandshakeOver})
	server.HandleEvent(a, EndpointEvent{Kind: HandshakeOver}) // counts once
	accepted(t, server, proved("dcid-no-6"))
	if r, _ := server.one(proved("dcid-no-7").datagram(t), clientHost); r.New {
		t.Error("one place was free, and two connections came in")
	}
	server.HandleEvent(b, EndpointEvent{Kind: HandshakeFailed})
	server.HandleEvent(b, EndpointEvent{Kind: HandshakeFailed})
	server.HandleEvent(a, EndpointEvent{Kind: HandshakeFailed}) // its handshake is over
	accepted(t, server, proved("dcid-no-8"))
	if server.handshakes != 2 || server.failed != 1 || server.Conns() != 4 {
		t.Errorf("%d handshakes, %d failed, %d connections", server.handshakes, server.failed, server.Conns())
	}
	server.HandleEvent(b, EndpointEvent{Kind: ConnDrained})
	server.HandleEvent(a, EndpointEvent{Kind: ConnDrained})
	if server.handshakes != 2 || server.failed != 0 || server.Conns() != 2 {
		t.Errorf("%d handshakes, %d failed, %d connections", server.handshakes, server.failed, server.Conns())
	}
}

// Above a fourth of MaxHandshakes clients have to prove their address, whatever Config.Retry says; below it that is Config.Retry's to
// say (RFC 9000, section 8.1.2).
func TestRetryWhileCrowded(t *testing.T) {
	w := newNet(t)
	asked := 0
	server := w.host(serverHost, endpointConfig(1, func(c *Config) {
		c.MaxHandshakes = 8
		c.Retry = func(netip.AddrPort) bool { asked++; return false }
	}))
	var conns []*Conn
	dst := func() string { return fmt.Sprintf("dcid-no-%d", len(conns)) }
	for range 2 {
		conns = append(conns, accepted(t, server, initialSpec{dst: dst()}))
	}
	if asked != 2 {
		t.Errorf("Config.Retry was asked %d times, want 2", asked)
	}
	_, answer := server.one(initialSpec{dst: dst()}.datagram(t), clientHost)
	id, token := takeRetry(t, answer, dst(), "peer-cid")
	conns = append(conns, accepted(t, server, initialSpec{dst: id, token: token}))
	if asked != 2 {
		t.Error("Config.Retry was asked where it makes no difference")
	}
	// One that failed and is not drained still counts for that, but one that is established does not.
	server.HandleEvent(conns[0], EndpointEvent{Kind: HandshakeOver})
	server.HandleEvent(conns[1], EndpointEvent{Kind: HandshakeFailed})
	_, answer = server.one(initialSpec{dst: dst()}.datagram(t), clientHost)
	takeRetry(t, answer, dst(), "peer-cid")
	server.HandleEvent(conns[1], EndpointEvent{Kind: ConnDrained})
	accepted(t, server, initialSpec{dst: dst()})
}

// Where a fourth of MaxHandshakes is less than one, every client has to prove its address: a made-up one takes the last place of none.
func TestRetryOfFewHandshakes(t *testing.T) {
	server := newNet(t).host(serverHost, endpointConfig(1, func(c *Config) { c.MaxHandshakes = 3 }))
	_, answer := server.one(initialSpec{dst: "dcid-no-1"}.datagram(t), clientHost)
	id, token := takeRetry(t, answer, "dcid-no-1", "peer-cid")
	accepted(t, server, initialSpec{dst: id, token: token})
}

// A client that gives up in its handshake makes room for another at once, not when it is drained; but there are not more such than
// maxFailed times MaxHandshakes.
func TestHandshakeGivenUp(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1, func(c *Config) { c.MaxHandshakes = 1 }))
	for i := range maxFailed + 1 {
		spec := initialSpec{dst: fmt.Sprintf("dcid-no-%d", i), token: string(server.tokens.makeNew(w.now, Version1, clientHost))}
		if i == maxFailed {
			_, answer := server.one(spec.datagram(t), clientHost)
			wantRefused(t, "one too many", answer, spec.dst, "peer-cid", ConnectionRefused)
			break
		}
		c := accepted(t, server, spec)
		spec.pn = 1
		spec.frames = string(wire.AppendConnectionClose(nil, wire.ConnectionClose{Code: uint64(NoError)}))
		server.one(spec.datagram(t), clientHost)
		if !c.IsClosed() || c.IsDrained() {
			t.Fatalf("connection %d: %v", i, c.Err())
		}
		server.service()
		if server.handshakes != 0 || server.Conns() != i+1 {
			t.Fatalf("%d handshakes, %d connections", server.handshakes, server.Conns())
		}
	}
	w.run(func() bool { return server.Conns() == 0 })
	wantEmpty(t, "the server", server.Endpoint)
}
