package quic

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

// TestRefusals has ICMP say that packets were refused, some of it forged: a connection is given up for what it can believe alone (RFC 9000,
// section 14.2.1), and one that is heard of never.
func TestRefusals(t *testing.T) {
	cause := errors.New("refused")
	remote := netip.MustParseAddrPort("192.0.2.2:443")
	const step, rounds = 300 * time.Millisecond, 10
	for _, c := range []struct {
		name      string
		handshake bool
		forge     func(quote []byte) []byte
		remote    netip.AddrPort
		rounds    int
		heard     bool // the peer's packets arrive meanwhile
		idle      bool // the peer has acknowledged all, and nothing is sent
		server    bool // the server is told
		given     bool // the connection is given up
	}{
		{name: "handshake", handshake: true, remote: remote, rounds: 1, given: true},
		{name: "handshake, another connection ID", handshake: true, forge: flipID, remote: remote, rounds: rounds},
		{name: "handshake, another address", handshake: true, remote: netip.MustParseAddrPort("192.0.2.2:444"), rounds: rounds},
		{name: "silence", remote: remote, rounds: rounds, given: true},
		{name: "too soon", remote: remote, rounds: 3},
		{name: "another connection ID", forge: flipID, remote: remote, rounds: rounds},
		{name: "a short quote", forge: func(q []byte) []byte { return q[:8] }, remote: remote, rounds: rounds},
		{name: "no quote", forge: func([]byte) []byte { return nil }, remote: remote, rounds: rounds},
		{name: "another address", remote: netip.MustParseAddrPort("192.0.2.3:443"), rounds: rounds},
		{name: "idle", idle: true, remote: remote, rounds: rounds},
		{name: "heard", heard: true, remote: remote, rounds: rounds},
		{name: "server", server: true, remote: netip.MustParseAddrPort("192.0.2.1:1000"), rounds: rounds},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startPair(t, 1<<16, nil)
			told, other := p.client, p.server
			if c.server {
				told, other = other, told
			}
			if !c.handshake {
				p.run(func() bool {
					return p.client.tls.confirmed && p.server.tls.confirmed && !(c.idle && p.client.loss.Eliciting())
				})
			}
			for range c.rounds {
				p.now = p.now.Add(step)
				if c.idle {
					copy(p.buf, append([]byte{0x40}, told.path.dcid.Bytes()...))
				} else if !c.handshake { // of which startPair has left the first packet in the buffer
					told.Ping()
					if told.Send(p.now, p.buf).N == 0 {
						t.Fatal("nothing was sent")
					}
				}
				quote := append([]byte(nil), p.buf[:16]...)
				if c.forge != nil {
					quote = c.forge(quote)
				}
				told.HandleRefusal(p.now, c.remote, quote, cause)
				if c.heard {
					other.Ping()
					sent := other.Send(p.now, p.buf)
					told.Recv(p.now, Train{Buf: p.buf[:sent.N], SegSize: sent.SegSize, Local: sent.Remote, Remote: sent.Local})
				}
				if told.IsClosed() {
					break
				}
			}
			var err *TransportError
			if told.IsClosed() != c.given || c.given && (!errors.As(told.Err(), &err) || err.Code != NoViablePath || !errors.Is(err, cause)) {
				t.Errorf("closed is %v: %v", told.IsClosed(), told.Err())
			}
			if c.given && !told.IsDrained() {
				t.Error("a connection whose peer is gone lingers")
			}
		})
	}
}

// flipID changes the first byte of the Destination Connection ID.
func flipID(quote []byte) []byte {
	at := 1
	if quote[0]&0x80 != 0 {
		at = 6
	}
	quote[at] ^= 1
	return quote
}
