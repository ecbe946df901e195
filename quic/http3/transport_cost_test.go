package http3

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/boringquic/boringquic/quic/quicnettest"
)

// serveUDP serves 1 KiB over a socket, and returns a Transport for it and a URL.
func serveUDP(tb testing.TB) (*Transport, string) {
	tb.Helper()
	body := make([]byte, 1024)
	s := &Server{HTTP: &http.Server{
		TLSConfig: quicnettest.ServerConfig().TLS,
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }),
	}}
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	go s.Serve(pc)
	tr := &Transport{TLSClientConfig: quicnettest.ClientConfig().TLS, MaxConnsPerHost: 1}
	tb.Cleanup(func() {
		tr.CloseIdleConnections()
		s.Close()
	})
	_, port, _ := net.SplitHostPort(pc.LocalAddr().String())
	return tr, "https://127.0.0.1:" + port + "/"
}

// get fetches without an allocation of its own.
func get(tb testing.TB, tr *Transport, req *http.Request, buf []byte) {
	resp, err := tr.RoundTrip(req)
	if err != nil {
		tb.Fatal(err)
	}
	n := 0
	for err == nil {
		var m int
		m, err = resp.Body.Read(buf[n:])
		n += m
	}
	resp.Body.Close()
	if err != io.EOF || n != 1024 {
		tb.Fatalf("%d bytes, %v", n, err)
	}
}

// TestClientAllocations bounds the allocations of a GET of 1 KiB, of client and server together: the server's share has a test of its own.
func TestClientAllocations(t *testing.T) {
	if raceEnabled {
		return // the race detector allocates; the build without it runs the test
	}
	tr, url := serveUDP(t)
	req := newRequest(t, "GET", url, nil)
	buf := make([]byte, 2048)
	get(t, tr, req, buf)
	allocs := testing.AllocsPerRun(500, func() { get(t, tr, req, buf) })
	t.Logf("%.1f allocations", allocs)
	if allocs > maxGetAllocs {
		t.Errorf("a GET allocates %.1f times, at most %d are right", allocs, maxGetAllocs)
	}
}

// maxGetAllocs is what a GET may allocate on both sides.
const maxGetAllocs = 17

func BenchmarkClientGet(b *testing.B) {
	tr, url := serveUDP(b)
	b.ReportAllocs()
	b.SetParallelism(20)
	b.RunParallel(func(pb *testing.PB) {
		req := newRequest(b, "GET", url, nil)
		buf := make([]byte, 2048)
		for pb.Next() {
			get(b, tr, req, buf)
		}
	})
}

// TestClientManyRequests has goroutines send many more requests than the server allows at once: that its limit was raised while nobody waited for
// that must not be missed.
func TestClientManyRequests(t *testing.T) {
	tr, url := serveUDP(t)
	tr.MaxConnsPerHost = 1 // one that is missed is waited for without end
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			req := newRequest(t, "GET", url, nil)
			buf := make([]byte, 2048)
			for range 100 {
				get(t, tr, req, buf)
			}
		})
	}
	wg.Wait()
}
