package quicnet

import (
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/heaptest"
	"github.com/boringquic/boringquic/quic/udp"
)

// TestIdleConnectionsHaveNoGoroutine counts goroutines while many connections and streams have nothing to do.
func TestIdleConnectionsHaveNoGoroutine(t *testing.T) {
	ep := listen(t, serverConfig())
	client := listenWith(t, nil, udp.Options{})
	ctx := testContext(t)
	before := runtime.NumGoroutine()
	for range 50 {
		c, err := client.Dial(ctx, ep.Addr().String(), clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		s, err := ep.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		streamPair(t, s, c)
	}
	// A few may be answering what TLS asked.
	if n := runtime.NumGoroutine() - before; n > 10 {
		t.Errorf("50 idle connections have %d goroutines", n)
	}
}

// TestSteadyAllocs guards that moving data on a stream takes no allocation a packet.
func TestSteadyAllocs(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streamPair(t, s, c)
	const block = 256 << 10 // about 220 packets
	data, buf := make([]byte, block), make([]byte, block)
	run := func() {
		if _, err := cs.Write(data); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < block; {
			n, err := ss.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
	}
	for range 20 {
		run()
	}
	// The runtime's own, and buffers that grow, come now and then.
	if n := testing.AllocsPerRun(100, run); n > 20 {
		t.Errorf("%v allocations for 220 packets", n)
	}
}

// A stream whose reader waits in WriteTo has no buffer.
func TestWaitingReadersMemory(t *testing.T) {
	const n, most = 90, 8 << 10
	s, c := pair(t, serverConfig(), clientConfig())
	streams := make([]*Stream, n)
	for i := range streams {
		streams[i], _ = streamPair(t, s, c)
	}
	before := heaptest.Live()
	var readers sync.WaitGroup
	for _, ss := range streams {
		readers.Go(func() { _, _ = ss.WriteTo(io.Discard) }) // the end of the connection is an error
	}
	waiting := func() (count int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, ss := range streams {
			count += ss.recv.n
		}
		return count
	}
	for waiting() < n {
		runtime.Gosched()
	}
	if per := (heaptest.Live() - before) / n; per > most {
		t.Errorf("a reader that waits takes %d bytes, more than %d", per, most)
	}
	s.Close()
	readers.Wait()
}

// Small writes of one goroutine leave together.
func TestSmallWritesAreGathered(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that nobody sends while the writer writes
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streamPair(t, s, c)
	before := c.Stats().PacketsSent
	const writes = 2000
	go func() {
		for range writes {
			if _, err := cs.Write(make([]byte, 100)); err != nil {
				t.Error(err)
			}
		}
		cs.Close()
	}()
	if n, err := io.Copy(io.Discard, ss); err != nil || n != 100*writes {
		t.Fatalf("%d bytes arrived, %v", n, err)
	}
	if n := c.Stats().PacketsSent - before; n > writes/2 {
		t.Errorf("%d writes of 100 bytes took %d packets", writes, n)
	}
}

// TestIdleMemory bounds what an idle connection of a server costs in Go's heap, in the core and here.
func TestIdleMemory(t *testing.T) {
	const n, most = 1000, 5 << 10
	ep := listen(t, serverConfig())
	conns := leave(t, ep, n/10)
	before := heaptest.Live()
	conns = append(conns, leave(t, ep, n)...)
	per := (heaptest.Live() - before) / n
	t.Logf("%d bytes", per)
	if per > most {
		t.Errorf("an idle connection takes %d bytes of Go's heap, more than %d", per, most)
	}
	runtime.KeepAlive(conns)
}

// leave returns n idle connections of a server whose clients have gone without a word.
func leave(t *testing.T, ep *Endpoint, n int) []*Conn {
	sock, err := udp.Listen("udp4", "127.0.0.1:0", udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := NewEndpoint(sock, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cfg := testContext(t), clientConfig()
	conns := make([]*Conn, n)
	for i := range conns {
		if _, err := client.Dial(ctx, ep.Addr().String(), cfg); err != nil {
			t.Fatal(err)
		}
		if conns[i], err = ep.Accept(ctx); err != nil {
			t.Fatal(err)
		}
	}
	sock.Close()
	<-client.gone
	return conns
}

// TestAnswersLeaveTogether has the requests of 100 connections wait in the server's socket: the server receives many of them, and sends
// many answers, in one system call.
func TestAnswersLeaveTogether(t *testing.T) {
	const conns, rounds = 100, 5
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	client := listenWith(t, nil, udp.Options{})
	ctx := testContext(t)
	clients := make([]*Conn, conns)
	for i := range clients {
		c, err := client.Dial(ctx, ep.Addr().String(), clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		clients[i] = c
	}
	server, other := ep.shards[0], client.shards[0].sock
	before := server.sock.Stats()
	for range rounds {
		server.receiving.Lock()
		sent := other.Stats().Sent
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() {
				if err := request(ctx, c, make([]byte, 1000)); err != nil {
					t.Error(err)
				}
			})
		}
		for other.Stats().Sent < sent+conns {
			runtime.Gosched()
		}
		server.receiving.Unlock()
		wg.Wait()
	}
	s := server.sock.Stats()
	sent, sends := s.Sent-before.Sent, s.SendCalls-before.SendCalls
	received, recvs := s.Received-before.Received, s.RecvCalls-before.RecvCalls
	t.Logf("for %d answers %d messages came in %d calls, and %d left in %d", conns*rounds, received, recvs, sent, sends)
	if sent < conns*rounds || received < conns*rounds {
		t.Error("fewer messages than answers: what was counted?")
	}
	if recvs > received/3 || sends > sent*2/3 {
		t.Error("too many calls for so many messages")
	}
}
