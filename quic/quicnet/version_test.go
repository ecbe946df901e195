package quicnet

import (
	"context"
	"errors"
	"testing"

	"github.com/boringquic/boringquic/quic"
)

// Whatever versions both sides speak, Dial just works if they have one in common, over real sockets; and says so if they have none.
func TestDialVersions(t *testing.T) {
	v1, v2 := []uint32{quic.Version1}, []uint32{quic.Version2}
	v21 := []uint32{quic.Version2, quic.Version1}
	for _, c := range []struct {
		client, server []uint32
		want           uint32
	}{
		{nil, nil, quic.Version1}, {nil, v2, quic.Version2}, {nil, v21, quic.Version2}, {v2, nil, quic.Version2}, {v21, v1, quic.Version1},
		{v1, v2, 0},
	} {
		server, client := serverConfig(), clientConfig()
		server.Versions, client.Versions = c.server, c.client
		ep := listen(t, server)
		conn, err := Dial(testContext(t), ep.Addr().String(), client)
		if c.want == 0 {
			var none *quic.VersionNegotiationError
			if !errors.As(err, &none) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("client %#x, server %#x: %v", c.client, c.server, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("client %#x, server %#x: %v", c.client, c.server, err)
		}
		if got := conn.Stats().Version; got != c.want {
			t.Errorf("client %#x, server %#x: version %#x, want %#x", c.client, c.server, got, c.want)
		}
		conn.Close()
	}
}
