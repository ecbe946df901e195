package h3

import (
	"runtime"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/rest"
)

// TestWakingCost bounds what both ends of a connection allocate for a request that comes alone after a rest, also where thousands have gone before, so that
// one that is merely slow does not pay for its being quiet.
func TestWakingCost(t *testing.T) {
	const n, mostAllocs, mostBytes = 50, 110, 17 << 10
	p := newH3Exchanges(t, nil)
	p.do(20_000, 100)
	var allocs, bytes uint64
	for range n {
		p.pass(2 * time.Duration(rest.Every))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p.do(1, 1)
		runtime.ReadMemStats(&after)
		allocs += after.Mallocs - before.Mallocs
		bytes += after.TotalAlloc - before.TotalAlloc
	}
	t.Logf("%d allocations of %d bytes in all", allocs/n, bytes/n)
	if allocs > n*mostAllocs || bytes > n*mostBytes {
		t.Errorf("a request after a rest takes %d allocations of %d bytes in all, more than %d and %d", allocs/n, bytes/n, mostAllocs, mostBytes)
	}
}

// TestUnreadEventsKeepAwake has an application leave events unread for longer than a connection needs to rest: none is lost, and no timer is due for ever.
func TestUnreadEventsKeepAwake(t *testing.T) {
	p := newPair(t, benchConfig)
	client, err := New(p.now, p.client, nil)
	if err != nil {
		t.Fatal(err)
	}
	server, err := New(p.now, p.server, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.onClient = func(ev *quic.Event) { client.HandleEvent(p.now, ev) }
	p.onServer = func(ev *quic.Event) {
		server.HandleEvent(p.now, ev)
		for ev := server.NextEvent(); ev != nil; ev = server.NextEvent() {
		}
	}
	p.settle()
	for ev := client.NextEvent(); ev != nil; ev = client.NextEvent() {
	}
	server.Shutdown(p.now)
	p.settle() // GOAWAY is there, and not read
	now := p.now.Add(2 * time.Duration(rest.Every))
	client.OnTimeout(now)
	if at := client.Timeout(); !at.IsZero() && !at.After(now) {
		t.Errorf("a timer is due at %v, and was acted on at %v", at, now)
	}
	if ev := client.NextEvent(); ev == nil || ev.Kind != EventGoAway {
		t.Fatalf("the event is %+v, want GOAWAY", ev)
	}
	if client.NextEvent() != nil {
		t.Fatal("there is more than GOAWAY")
	}
	client.OnTimeout(now)
	if at := client.Timeout(); !at.IsZero() {
		t.Errorf("a timer is set for %v, and there is nothing to do", at)
	}
}
