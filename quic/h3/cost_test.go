package h3

import (
	"runtime"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/heaptest"
	"github.com/boringquic/boringquic/quic/internal/rest"
)

// TestIdleMemory bounds what a server's connection that has served a request takes of Go's heap, with its quic.Conn and the configuration that
// this test makes for each: as soon as the response has arrived, and at rest.
func TestIdleMemory(t *testing.T) {
	const n, mostBusy, mostRested = 200, 21 << 10, 12<<10 + 384
	pairs := make([]*pair, n)
	sides := make([]*side, n)
	join := func() (*pair, *side) {
		p := newPair(t, nil)
		client, server := p.newSide(p.client, nil), p.newSide(p.server, nil)
		p.settle()
		id, _, err := client.SendRequest(p.now, &Message{Method: "GET", Scheme: "https", Authority: "peer.example", Path: "/", ContentLength: -1, Fields: perfFields}, nil, true)
		if err != nil {
			t.Fatal(err)
		}
		p.settle()
		if _, err := server.SendResponse(p.now, id, &Message{Status: 200, ContentLength: -1, Fields: perfAnswer}, make([]byte, 1024), true); err != nil {
			t.Fatal(err)
		}
		p.settle()
		for buf := make([]byte, 2048); ; {
			if n, fin, err := client.StreamRecv(id, buf); err != nil || fin || n == 0 {
				break
			}
		}
		p.pass(time.Duration(rest.First) / 2)
		if server.OpenRequests() != 0 || server.streams.len != 0 {
			t.Fatalf("%d requests are open, and %d streams", server.OpenRequests(), server.streams.len)
		}
		server.events = nil
		return p, server
	}
	join()
	for _, c := range []struct {
		name string
		rest bool
		most int64
	}{{"a connection that has just been used", false, mostBusy}, {"a connection at rest", true, mostRested}} {
		before := heaptest.Live()
		for i := range pairs {
			p, server := join()
			if c.rest {
				p.pass(3 * time.Second)
			}
			p.client.Release()
			p.client, p.onClient, p.buf, p.timers = p.server, func(*quic.Event) {}, nil, nil
			pairs[i], sides[i] = p, server
		}
		per := (heaptest.Live() - before) / n
		t.Logf("%s: %d bytes", c.name, per)
		if per > c.most {
			t.Errorf("%s takes %d bytes of Go's heap, more than %d", c.name, per, c.most)
		}
		runtime.KeepAlive(pairs)
		runtime.KeepAlive(sides)
	}
}
