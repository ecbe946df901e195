package handshake_test

import (
	"crypto/elliptic"
	"crypto/tls"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// BenchmarkServer measures the server's part of a handshake, full, resumed, and with 0-RTT: X25519, a P-256 certificate. The clients'
// part, a batch at a time, is not in it.
func BenchmarkServer(b *testing.B) {
	b.Run("full", func(b *testing.B) { benchmarkServer(b, false, false) })
	b.Run("resumed", func(b *testing.B) { benchmarkServer(b, true, false) })
	b.Run("early", func(b *testing.B) { benchmarkServer(b, true, true) })
}

func benchmarkServer(b *testing.B, resumed, early bool) {
	const batch = 100
	clients, servers := newContext(b, true), newContext(b, false)
	server, client := serverConfig(), clientConfig()
	server.Certificates = []tls.Certificate{issue(b, ecdsaKey(b, elliptic.P256()), nil, nil).tls}
	client.InsecureSkipVerify = true
	client.CurvePreferences = []tls.CurveID{tls.X25519}
	params := make([]byte, 80)
	type end struct {
		client *handshake.Conn
		server *handshake.Conn
		up     []sent
		down   []sent
	}
	ends := make([]end, batch)
	cp := handshake.Params{TransportParameters: params, EarlyData: early}
	sp := cp
	if resumed {
		v := &visits{t: b, clients: clients, servers: servers, client: client, server: server, sp: sp}
		cp.Session = v.meet().session
		v.c.conn.Release()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		b.StopTimer()
		ends := ends[:min(batch, b.N-done)]
		for i := range ends {
			e := &ends[i]
			c, err := clients.New(client, cp)
			if err != nil {
				b.Fatal(err)
			}
			if err := c.Start(); err != nil {
				b.Fatal(err)
			}
			*e = end{client: c, up: flight(b, c, nil)}
		}
		b.StartTimer()
		for i := range ends {
			e := &ends[i]
			var err error
			if e.server, err = servers.New(server, sp); err != nil {
				b.Fatal(err)
			}
			for _, s := range e.up {
				e.server.Feed(s.level, s.data)
			}
			e.down = flight(b, e.server, e.down)
		}
		b.StopTimer()
		for i := range ends {
			e := &ends[i]
			e.up = nil
			for _, s := range e.down {
				e.client.Feed(s.level, s.data)
				e.up = flight(b, e.client, e.up)
			}
		}
		b.StartTimer()
		for i := range ends {
			e := &ends[i]
			for _, s := range e.up {
				e.server.Feed(s.level, s.data)
			}
			flight(b, e.server, nil)
			if s := e.server.ConnectionState(); !s.HandshakeComplete || s.DidResume != resumed {
				b.Fatalf("the handshake: %+v", s)
			}
			e.server.Release()
		}
		b.StopTimer()
		for i := range ends {
			ends[i].client.Release()
		}
		b.StartTimer()
	}
}

// flight reads the events of an end and returns what it has to send.
func flight(b *testing.B, c *handshake.Conn, out []sent) []sent {
	for {
		switch ev := c.NextEvent(); ev.Kind {
		case handshake.NoEvent:
			return out
		case handshake.EventHandshakeData:
			out = append(out, sent{ev.Level, clone(ev.Data)})
		case handshake.EventAsk:
			ev.Ask.Run()
			c.Answer(ev.Ask)
		case handshake.EventAlert:
			b.Fatal(ev.Err)
		}
	}
}
