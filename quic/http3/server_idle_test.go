package http3

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/heaptest"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// TestIdleMemory bounds what a connection that has had one request takes of Go's heap while nothing happens, with all that a Server and what is below
// it keep for it. Clients do not count: they go without a word. Of what is measured some 500 bytes are the network's in memory.
func TestIdleMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, most = 300, 10 << 10
		text := strings.Repeat("0123456789abcdef", 64)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, text)
		}, func(s *Server) {
			s.HTTP.IdleTimeout = time.Hour
			s.QUIC = &quic.Config{MaxIdleTimeout: time.Hour}
		})
		ts.join(n) // with as many goroutines at once: their memory is used again
		before := heaptest.Live()
		ts.join(n)
		per := (heaptest.Live() - before) / n
		t.Logf("%d bytes", per)
		ts.mu.Lock()
		conns := len(ts.conns)
		ts.mu.Unlock()
		if conns != 2*n {
			t.Fatalf("%d connections are there, want %d", conns, 2*n)
		}
		if per > most {
			t.Errorf("an idle connection takes %d bytes of Go's heap, more than %d", per, most)
		}
	})
}

// join has n clients make a request each, on connections of their own, and then vanish.
func (ts *testServer) join(n int) {
	ts.t.Helper()
	tr := &Transport{TLSClientConfig: quicnettest.ClientConfig().TLS, DisableCompression: true, Dial: ts.dialPacket}
	conns := make([]*ClientConn, n)
	for i := range conns {
		c, err := tr.DialClientConn(context.Background(), ts.addr, nil, nil)
		if err != nil {
			ts.t.Fatal(err)
		}
		req, err := http.NewRequest("GET", "https://"+ts.addr+"/path", nil)
		if err != nil {
			ts.t.Fatal(err)
		}
		req.Header = browserFields
		resp, err := c.RoundTrip(req)
		if err != nil {
			ts.t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != 1024 || err != nil {
			ts.t.Fatalf("%d bytes, %v", n, err)
		}
		resp.Body.Close()
		conns[i] = c
	}
	time.Sleep(time.Second)
	ts.net.SetLink(quicnettest.Link{Loss: 1})
	for _, c := range conns {
		c.Close()
	}
	time.Sleep(10 * time.Second)
	ts.net.SetLink(quicnettest.Link{})
}
