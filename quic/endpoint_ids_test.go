package quic

import (
	"errors"
	"testing"
)

// Connection IDs that are few.

// RFC 9000, section 5.1: "The same connection ID MUST NOT be issued more than once on the same connection". When an endpoint has given all that
// there are, or as many as it remembers, it gives no more.
func TestConnIDsOnce(t *testing.T) {
	for _, c := range []struct{ idLen, least, most int }{{1, 200, 256}, {2, maxSpentConnIDs, maxSpentConnIDs}, {3, maxSpentConnIDs, maxSpentConnIDs}} {
		w := newNet(t)
		server, client := w.host(serverHost, endpointConfig(1, idsOf(c.idLen))), w.host(clientHost, nil)
		cc := client.connect(endpointConfig(2, idsOf(c.idLen)), ConnectParams{})
		w.run(cc.HandshakeConfirmed)
		sc := server.live[0]
		seen := map[ConnID]bool{}
		for {
			r := server.conns[sc]
			for _, id := range r.ids {
				seen[id.id] = true
			}
			server.HandleEvent(sc, EndpointEvent{Kind: RetireConnectionID, Seq: r.ids[0].seq})
			reply := server.HandleEvent(sc, EndpointEvent{Kind: NeedConnectionIDs, Count: 1})
			if len(reply.IDs) == 0 {
				if !reply.none {
					t.Error("that there are no more is not told")
				}
				break
			}
			if id := reply.IDs[0].ID; seen[id] {
				t.Fatalf("%d bytes: %v was given twice, as one of %d", c.idLen, id, len(seen))
			}
		}
		if n := len(server.conns[sc].spent); n < c.least-maxIssuedConnIDs || n > c.most {
			t.Errorf("%d bytes: %d connection IDs were given, want %d to %d", c.idLen, n, c.least, c.most)
		}
	}
}

// Long ones are not remembered.
func TestConnIDsForgotten(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1))
	c := accepted(t, server, initialSpec{})
	for range 2 * maxSpentConnIDs {
		server.HandleEvent(c, EndpointEvent{Kind: RetireConnectionID, Seq: server.conns[c].ids[0].seq})
		if reply := server.HandleEvent(c, EndpointEvent{Kind: NeedConnectionIDs, Count: 1}); len(reply.IDs) != 1 {
			t.Fatal("there are no more")
		}
	}
	if n := len(server.conns[c].spent); n != 0 {
		t.Errorf("%d are remembered", n)
	}
}

// fewIDs makes two connection IDs.
type fewIDs struct{ made *byte }

func (fewIDs) Len() int { return 1 }

func (g fewIDs) Generate(id []byte, _ func([]byte)) error {
	*g.made ^= 1
	id[0] = *g.made
	return nil
}

// Where all connection IDs are in use a client is refused, with one of them, and Connect fails; a Retry packet needs none.
func TestConnIDsInUse(t *testing.T) {
	few := func(c *Config) { c.ConnIDs = fewIDs{new(byte)} }
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1, few))
	a := accepted(t, server, initialSpec{dst: "dcid-no-1"})
	accepted(t, server, initialSpec{dst: "dcid-no-2"})
	_, answer := server.one(initialSpec{dst: "dcid-no-3"}.datagram(t), clientHost)
	wantRefused(t, "the third", answer, "dcid-no-3", "peer-cid", ConnectionRefused)
	if got := server.Stats(); got.Refused != 1 || got.Accepted != 2 {
		t.Errorf("counts %+v", got)
	}
	server.HandleEvent(a, EndpointEvent{Kind: ConnDrained})
	accepted(t, server, initialSpec{dst: "dcid-no-3"})

	client := w.host(clientHost, nil)
	cfg := endpointConfig(2, few)
	for i := range 3 {
		c, err := client.Connect(w.now, cfg, ConnectParams{Local: clientHost, Remote: serverHost})
		if i < 2 && err != nil || i == 2 && !errors.Is(err, errNoConnIDs) {
			t.Fatalf("connection %d: %v", i, err)
		}
		if c != nil {
			defer c.Release()
		}
	}

	server = newNet(t).host(serverHost, endpointConfig(1, few, retryAlways))
	_, answer = server.one(initialSpec{dst: "dcid-no-1"}.datagram(t), clientHost)
	if id, _ := takeRetry(t, answer, "dcid-no-1", "peer-cid"); len(id) < minInitialDCIDLen {
		t.Errorf("a Retry packet with a connection ID of %d bytes, which may be another connection's", len(id))
	}
}
