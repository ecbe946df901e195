package quic

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net/netip"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/boringquic/boringquic/quic/internal/heaptest"
	"github.com/boringquic/boringquic/quic/internal/recovery"
)

// crowd is a server's Endpoint with many clients. Nothing is lost on the way, and nothing is kept of what passed, so that what
// memory grows by is the connections alone.
type crowd struct {
	t               testing.TB
	now             time.Time
	server, clients *Endpoint
	cfg             *Config // of the clients
	buf, reply      []byte
}

func newCrowd(t testing.TB) *crowd {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"server.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	x := &crowd{t: t, now: time.Unix(1e9, 0), buf: make([]byte, 1<<16), reply: make([]byte, replyRoom)}
	curves := []tls.CurveID{tls.X25519}
	x.cfg = &Config{TLS: &tls.Config{NextProtos: []string{"test"}, CurvePreferences: curves, InsecureSkipVerify: true}}
	x.server, err = NewEndpoint(&Config{TLS: &tls.Config{NextProtos: []string{"test"}, CurvePreferences: curves,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}})
	if err != nil {
		t.Fatal(err)
	}
	if x.clients, err = NewEndpoint(nil); err != nil {
		t.Fatal(err)
	}
	return x
}

func crowdAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 5000)
}

// connect makes the i-th client.
func (x *crowd) connect(i int) *Conn {
	p := ConnectParams{ServerName: "server.test", Local: crowdAddr(i), Remote: serverHost}
	c, err := x.clients.Connect(x.now, x.cfg, p)
	if err != nil {
		x.t.Fatal(err)
	}
	return c
}

// join has the i-th client connect, and returns the server's connection when neither end has anything left to do but to wait
// for the idle timeout.
func (x *crowd) join(i int) (server *Conn) {
	x.t.Helper()
	client := x.connect(i)
	for range 100 {
		up := x.flight(client, x.clients)
		if len(up) > 0 {
			server = x.serve(i, up)
		}
		down := x.flight(server, x.server)
		x.give(client, i, down)
		if len(up)+len(down) > 0 {
			continue
		}
		a, _ := client.Timeout()
		b, _ := server.Timeout()
		if a.Sub(x.now) > time.Second && b.Sub(x.now) > time.Second {
			break
		}
		x.now = x.now.Add(10 * time.Millisecond)
		client.OnTimeout(x.now)
		server.OnTimeout(x.now)
	}
	if !client.IsEstablished() || !server.IsEstablished() {
		x.t.Fatalf("client: %v, server: %v", client.Err(), server.Err())
	}
	x.part(client, x.clients)
	return server
}

// flight reads a connection's events and returns the datagrams that it has to send.
func (x *crowd) flight(c *Conn, e *Endpoint) (out [][]byte) {
	for {
		for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
			switch ev.Kind {
			case EventAsk:
				ev.Ask.Run()
				c.Answer(ev.Ask)
			case EventEndpoint:
				c.HandleReply(x.now, e.HandleEvent(c, *ev.Endpoint))
			}
		}
		t := c.Send(x.now, x.buf)
		if t.N == 0 {
			return out
		}
		for b := x.buf[:t.N]; len(b) > 0; b = b[min(t.SegSize, len(b)):] {
			out = append(out, bytes.Clone(b[:min(t.SegSize, len(b))]))
		}
	}
}

// give hands datagrams of the server to the i-th client.
func (x *crowd) give(c *Conn, i int, datagrams [][]byte) {
	for _, b := range datagrams {
		c.Recv(x.now, Train{Buf: b, Local: crowdAddr(i), Remote: serverHost})
	}
}

// serve hands datagrams of the i-th client to the server, and returns the connection that they are for.
func (x *crowd) serve(i int, datagrams [][]byte) (c *Conn) {
	for _, b := range datagrams {
		t := Train{Buf: b, Local: serverHost, Remote: crowdAddr(i)}
		r := x.server.Route(x.now, t, x.reply)
		if r.Conn == nil {
			x.t.Fatalf("Route: %+v", r)
		}
		c = r.Conn
		c.Recv(x.now, t)
	}
	return c
}

// part lets go of a connection as if it had never been.
func (x *crowd) part(c *Conn, e *Endpoint) {
	e.forget(c, e.conns[c])
	c.Release()
}

// TestIdleMemory bounds what an idle connection of a server costs in Go's heap, its place in the Endpoint included. With what
// package quicnet adds it must stay below 4.75 KiB.
func TestIdleMemory(t *testing.T) {
	const n, most = 1000, 4<<10 + 256
	if c, r := unsafe.Sizeof(Conn{}), unsafe.Sizeof(recvStream{}); c > 2048-8 || r > 256 { // it puts eight bytes before pointers and more than 512
		t.Errorf("a Conn has %d bytes and a receiving stream %d: more than the allocator's classes of 2048, with eight of its own, and 256", c, r)
	}
	if p, r := unsafe.Sizeof(path{}), unsafe.Sizeof(recovery.Path{}); p > 240 || r > 288 {
		t.Errorf("a path has %d bytes and what loss recovery holds of it %d: more than the allocator's classes of 240 and 288", p, r)
	}
	if per := idleMemory(t, newCrowd(t), n); per > most {
		t.Errorf("an idle connection takes %d bytes of Go's heap, more than %d", per, most)
	}
	// One that is traced, the file excluded, has nothing waiting to be written, and keeps no memory for what will be.
	traced := newCrowd(t)
	traced.server.cfg.Qlog = func(bool, ConnID) io.WriteCloser { return nowhere{} }
	if per := idleMemory(t, traced, n); per > most+1024 {
		t.Errorf("an idle connection that is traced takes %d bytes of Go's heap, more than %d", per, most+1024)
	}
}

// nowhere is a file that takes anything.
type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) Close() error                { return nil }

// idleMemory returns how many bytes of Go's heap each of n idle connections of a server takes.
func idleMemory(t *testing.T, x *crowd, n int) int {
	t.Helper()
	conns := make([]*Conn, n)
	x.part(x.join(n), x.server)
	before := heaptest.Live()
	for i := range conns {
		conns[i] = x.join(i)
	}
	per := (int(heaptest.Live()) - int(before)) / n
	t.Logf("%d bytes", per)
	for _, c := range conns {
		x.part(c, x.server)
	}
	return per
}

// TestHandshakeAllocs bounds what a server allocates in Go's heap for a full handshake: the garbage collector's work, which a test of
// the core alone does not show, is in proportion to it. The datagrams of the server are copied in these figures.
func TestHandshakeAllocs(t *testing.T) {
	const n = 50
	mostAllocs, mostBytes := uint64(66), uint64(12<<10+512)
	if raceEnabled { // which takes 3 or 4 allocations of 2 KiB in all more
		mostAllocs, mostBytes = 70, 17<<10
	}
	x := newCrowd(t)
	x.part(x.join(n), x.server)
	var allocs, bytes uint64
	measure := func(f func()) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		allocs += after.Mallocs - before.Mallocs
		bytes += after.TotalAlloc - before.TotalAlloc
	}
	for i := range n {
		client := x.connect(i)
		var server *Conn
		for range 3 {
			up := x.flight(client, x.clients)
			var down [][]byte
			measure(func() {
				if len(up) > 0 {
					server = x.serve(i, up)
				}
				down = x.flight(server, x.server)
			})
			x.give(client, i, down)
		}
		if !server.IsEstablished() {
			t.Fatalf("client: %v, server: %v", client.Err(), server.Err())
		}
		x.part(client, x.clients)
		x.part(server, x.server)
	}
	t.Logf("%d allocations, %d bytes", allocs/n, bytes/n)
	if allocs > n*mostAllocs || bytes > n*mostBytes {
		t.Errorf("a handshake takes %d allocations of %d bytes in all, more than %d and %d", allocs/n, bytes/n, mostAllocs, mostBytes)
	}
}
