package sim

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// dropFirst loses the first n datagrams.
func dropFirst(n int) Stage {
	seen := 0
	return func(_ *World, d Datagram, next func(Datagram)) {
		if seen++; seen > n {
			next(d)
		}
	}
}

// RFC 9002, section 6.2.3: a handshake whose first flights were lost does not wait for the server's probe timeout, a second here, once the client
// has shown what it lacks. The round-trip time is 20 ms.
func TestHandshakeHastened(t *testing.T) {
	chain := func(server *quic.Config) { // so long that the server's flight is three datagrams
		for range 7 {
			cert := &server.TLS.Certificates[0]
			cert.Certificate = append(cert.Certificate[:len(cert.Certificate):len(cert.Certificate)], cert.Certificate[0])
		}
	}
	soon := func(client *quic.Config) { client.InitialRTT = 50 * time.Millisecond } // whose first probe is due after 150 ms
	for _, c := range []struct {
		name      string
		toClient  func() Stage
		configure func(client, server *quic.Config)
		within    time.Duration
	}{
		{name: "nothing is lost", within: 30 * time.Millisecond},
		{name: "the ServerHello is lost, and the rest of the flight comes", within: 60 * time.Millisecond,
			toClient: func() Stage { return DropNth(1) }, configure: func(_, server *quic.Config) { chain(server) }},
		{name: "the same, where the server changes to another version", within: 60 * time.Millisecond,
			toClient: func() Stage { return DropNth(1) }, configure: func(client, server *quic.Config) {
				chain(server)
				client.Versions = []uint32{quic.Version1, quic.Version2}
				server.Versions = []uint32{quic.Version2, quic.Version1}
			}},
		{name: "the flight is lost, and the client repeats early", within: 200 * time.Millisecond,
			toClient: func() Stage { return dropFirst(1) }, configure: func(client, _ *quic.Config) { soon(client) }},
		{name: "the flight is lost twice", within: 500 * time.Millisecond,
			toClient: func() Stage { return Blackhole(0, 400*time.Millisecond) }, configure: func(client, server *quic.Config) {
				soon(client)
				chain(server)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := run(t, Scenario{
				Name: c.name, Seed: 1, Download: 1000, Check: true, Configure: c.configure,
				Network: func(*World) (toServer, toClient []Stage) {
					if c.toClient == nil {
						return plainStages(), plainStages()
					}
					return plainStages(), plainStages(c.toClient())
				},
			})
			t.Logf("the handshake took %v, %d datagrams to the server, %d to the client", r.Handshake, r.ToServer.Sent, r.ToClient.Sent)
			if r.Handshake > c.within {
				t.Errorf("the handshake took %v, want at most %v", r.Handshake, c.within)
			}
		})
	}
}
