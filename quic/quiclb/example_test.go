package quiclb_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quiclb"
)

// A server writes its ID into connection IDs; a balancer that has the same configuration reads it from the packets of clients.
func Example() {
	shared := quiclb.Config{
		Rotation: 1, ServerIDLen: 2, NonceLen: 8,
		Key: []byte("sixteen secrets!"), // at random, better
	}

	// At the server 0a0b. It listens with this Config, which needs TLS as well, and the keys that all servers have.
	ids, err := quiclb.NewGenerator(shared, []byte{0x0a, 0x0b})
	if err != nil {
		log.Fatal(err)
	}
	cfg := &quic.Config{ConnIDs: ids}

	// At the balancer, for each datagram.
	decoder, err := quiclb.NewDecoder(shared)
	if err != nil {
		log.Fatal(err)
	}
	servers := map[string]string{"\x0a\x0b": "192.0.2.10:443", "\x0a\x0c": "192.0.2.11:443"}
	route := func(datagram []byte) string {
		var room [16]byte
		if id, ok := decoder.Datagram(room[:0], datagram); ok && servers[string(id)] != "" {
			return servers[string(id)]
		}
		return "whichever a hash of the addresses says"
	}

	connID := make([]byte, cfg.ConnIDs.Len())
	cfg.ConnIDs.Generate(connID, func(b []byte) { rand.Read(b) })
	fmt.Println(route(append([]byte{0x40}, connID...)))
	fmt.Println(route(append([]byte{0x40}, bytes.Repeat([]byte{0xff}, 11)...)))
	// Output:
	// 192.0.2.10:443
	// whichever a hash of the addresses says
}
