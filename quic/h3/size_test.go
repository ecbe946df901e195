package h3

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/boringquic/boringquic/quic/internal/rest"
	"github.com/boringquic/boringquic/quic/qpack"
)

// What HTTP/3 adds to a connection that rests after a few requests: 2 KiB of its own, QPACK's tables, and what the core holds for six more streams.
func TestIdleConnection(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 896-8 { // a class of the allocator, of which eight bytes are its own
		t.Errorf("a Conn has %d bytes", n)
	}
	if n := unsafe.Sizeof(stream{}); n > 448 {
		t.Errorf("a stream has %d bytes", n)
	}
	if n := unsafe.Sizeof(qpack.Encoder{}); n > 480 {
		t.Errorf("an Encoder has %d bytes", n)
	}
	const n = 20
	var all []*exchanges
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	measure := func(make func() *exchanges) uint64 {
		before := heap()
		all = all[:0]
		for range n {
			p := make()
			p.do(3, 1)
			p.pass(2 * time.Duration(rest.Every))
			p.buf, p.pair.buf = nil, nil
			all = append(all, p)
		}
		after := heap()
		runtime.KeepAlive(all)
		return (after - before) / (2 * n)
	}
	bare := measure(func() *exchanges { return newRawExchanges(t, 100, 1000) })
	h3 := measure(func() *exchanges { return newH3Exchanges(t, nil) })
	t.Logf("%d bytes a connection, of which %d are not HTTP/3's", h3, bare)
	if h3 > bare+16_000 {
		t.Errorf("%d bytes a connection, and %d over bare streams", h3, bare)
	}
}
