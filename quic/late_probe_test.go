package quic

import "testing"

// A client whose probe timeout has passed, and that completes its handshake before it sends the probes, has Initial packets for two datagrams. The
// second one fills a datagram as the first does, or waits for the next call where buf has no room for it.
func TestInitialProbesOfACompleteHandshake(t *testing.T) {
	for _, room := range []int{1200, 1201, 1350, 1452, 1500, 2399, 2400, 1 << 16} {
		p := startPair(t, room, nil)
		for t := p.client.Send(p.now, p.buf); t.N > 0; t = p.client.Send(p.now, p.buf) {
			p.deliver(p.server, t)
		}
		at, ok := p.client.Timeout()
		if !ok {
			t.Fatal("the client has no timer")
		}
		p.now = at
		p.client.OnTimeout(p.now)
		for range 10 {
			answerAsks(p.server)
			if t := p.server.Send(p.now, p.buf); t.N > 0 {
				p.deliver(p.client, t)
			}
			answerAsks(p.client)
		}
		if !p.client.HandshakeComplete() {
			t.Fatal("the handshake is not complete")
		}
		p.run(func() bool { return p.client.HandshakeConfirmed() && p.server.HandshakeConfirmed() })
	}
}

// answerAsks reads a connection's events, and does what it asks for.
func answerAsks(c *Conn) {
	for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
		if ev.Kind == EventAsk {
			ev.Ask.Run()
			c.Answer(ev.Ask)
		}
	}
}
