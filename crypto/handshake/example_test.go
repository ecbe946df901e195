package handshake_test

import (
	"crypto/tls"
	"fmt"
	"log"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// A client and a server shake hands in memory. In QUIC the bytes travel in CRYPTO frames, and the secrets become packet
// protection keys.
func Example() {
	endpoint := func(client bool, cfg *tls.Config) *handshake.Conn {
		ctx, err := handshake.NewContext(client) // one for all connections of a role
		if err != nil {
			log.Fatal(err)
		}
		conn, err := ctx.New(cfg, handshake.Params{TransportParameters: []byte{0x01, 0x01, 0x1e}})
		if err != nil {
			log.Fatal(err)
		}
		return conn
	}
	client := endpoint(true, clientConfig())
	defer client.Release()
	server := endpoint(false, serverConfig())
	defer server.Release()

	// step has one end tell its events, and feeds the other; it reports whether there were any.
	step := func(name string, from, to *handshake.Conn) (busy bool) {
		for {
			ev := from.NextEvent()
			switch ev.Kind {
			case handshake.NoEvent:
				return busy
			case handshake.EventHandshakeData:
				to.Feed(ev.Level, ev.Data)
			case handshake.EventAsk:
				ev.Ask.Run() // on a goroutine of its own, in a program that has other connections
				from.Answer(ev.Ask)
			case handshake.EventTransportParameters:
				fmt.Printf("%s: the peer's transport parameters are %x\n", name, ev.Data)
			case handshake.EventHandshakeComplete:
				fmt.Printf("%s: complete, %s\n", name, from.ConnectionState().NegotiatedProtocol)
			case handshake.EventAlert:
				log.Fatal(ev.Err)
			}
			busy = true
		}
	}
	for _, conn := range []*handshake.Conn{client, server} {
		if err := conn.Start(); err != nil {
			log.Fatal(err)
		}
	}
	for step("client", client, server) || step("server", server, client) {
	}
	// Output:
	// server: the peer's transport parameters are 01011e
	// client: the peer's transport parameters are 01011e
	// client: complete, test/1
	// server: complete, test/1
}
