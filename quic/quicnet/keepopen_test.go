package quicnet

import (
	"net"
	"testing"

	"github.com/boringquic/boringquic/quic/udp"
)

// Servers follow each other on a socket of the program's (udp.Options.KeepOpen): one shuts down and the next one takes the clients.
func TestServersShareASocket(t *testing.T) {
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	ctx := testContext(t)
	for i := range 3 {
		sock, err := udp.New(pc, udp.Options{KeepOpen: true})
		if err != nil {
			t.Fatal(err)
		}
		ep := endpointOn(t, sock, serverConfig())
		serveEcho(t, ep)
		c := dial(t, ep, clientConfig())
		if err := exchange(ctx, c, randomBytes(100<<10)); err != nil {
			t.Fatalf("server %d: %v", i, err)
		}
		c.Close()
		if err := ep.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pc.WriteTo([]byte("x"), pc.LocalAddr()); err != nil {
		t.Error(err)
	}
	for b := make([]byte, 2000); ; {
		n, _, err := pc.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		if string(b[:n]) == "x" {
			return // what the clients' connections have sent last may come before
		}
	}
}
