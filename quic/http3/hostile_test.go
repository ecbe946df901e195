package http3

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

var hostileSeeds = flag.Int("hostile.seeds", 4, "how many seeds TestHostileClients and TestHostileServers play")

// hostileMessage draws what a stream carries, mostly right.
func hostileMessage(rng *rand.Rand, head ...string) (b []byte) {
	if rng.IntN(8) == 0 {
		b = append(b, rawFrame(0x21, make([]byte, rng.IntN(100)))...)
	}
	section := rawSection(head...)
	if rng.IntN(6) == 0 { // it refers to an entry, which may never come
		section = append(append([]byte{2, 0}, section[2:]...), 0x80)
	}
	b = append(b, rawFrame(1, section)...)
	for range rng.IntN(4) {
		b = append(b, rawFrame(0, make([]byte, []int{1, 5, 1000, 20_000}[rng.IntN(4)]))...)
	}
	if rng.IntN(4) == 0 {
		b = append(b, rawFrame(1, rawSection("x-trailer: 1"))...)
	}
	return b
}

// hostileStream sends a message on a stream as a peer does that likes nothing whole.
func hostileStream(rng *rand.Rand, s *quicnet.Stream, b []byte) {
	if rng.IntN(3) > 0 {
		go io.Copy(io.Discard, s)
	}
	s.SetDeadline(time.Now().Add(time.Duration(1+rng.IntN(20)) * time.Second))
	for len(b) > 0 {
		n := min(len(b), []int{1, 7, 100, 5000, 50_000}[rng.IntN(5)])
		if rng.IntN(20) == 0 {
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
		}
		switch rng.IntN(60) {
		case 0:
			s.CancelWrite(0x10c)
			return
		case 1:
			s.CancelRead(0x10c)
		case 2:
			s.Abort(0x10b)
			return
		case 3:
			s.Close()
			return
		case 4:
			return // and says nothing more
		}
		if _, err := s.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
	switch rng.IntN(8) {
	case 0:
	case 1:
		s.CancelWrite(0x10c)
	default:
		s.Close()
	}
}

// TestHostileClients has clients do what they like with a Server whose handlers do all kinds of things; in the end the connection is closed, by either side or by silence, and no
// handler and no goroutine may be left.
func TestHostileClients(t *testing.T) {
	for seed := range *hostileSeeds {
		synctest.Test(t, func(t *testing.T) { hostileClient(t, uint64(seed)) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func hostileClient(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 3))
	var running, begun atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		begun.Add(1)
		defer running.Add(-1)
		switch r.URL.Path {
		case "/wait":
			<-r.Context().Done()
		case "/read":
			io.Copy(io.Discard, r.Body)
		case "/large":
			b := make([]byte, 10_000)
			for range 50 {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		case "/echo":
			http.NewResponseController(w).EnableFullDuplex()
			w.Header().Set("Trailer", "X-End")
			io.Copy(w, r.Body)
			w.Header().Set("X-End", "1")
		case "/early":
			w.WriteHeader(103)
			w.WriteHeader(403)
		case "/panic":
			panic(http.ErrAbortHandler)
		}
	}
	ts := serveTest(t, handler, func(s *Server) {
		if rng.IntN(2) == 0 {
			s.HTTP.ReadTimeout, s.HTTP.WriteTimeout = 7*time.Second, 9*time.Second
		}
		s.HTTP.IdleTimeout = 20 * time.Second
		s.Datagrams, s.ExtendedConnect = true, true
	})
	p := ts.dial(func(c *quic.Config) {
		switch rng.IntN(4) {
		case 0:
			c.StreamReceiveWindow, c.MaxStreamReceiveWindow = 1, 1
		case 1:
			c.ReceiveWindow, c.MaxReceiveWindow = 100, 100
		}
		c.MaxDatagramFrameSize = 1200
	})
	enc, _ := p.conn.OpenUniStream(context.Background())
	enc.Write([]byte{2, 0x3f, 0xe1, 0x1f})
	dec, _ := p.conn.OpenUniStream(context.Background())
	dec.Write([]byte{3})
	var wg sync.WaitGroup
	paths := []string{"/wait", "/read", "/large", "/echo", "/early", "/panic", "/%zz", "*"}
	for i := range 20 + rng.IntN(60) {
		own := rand.New(rand.NewPCG(seed, uint64(100+i)))
		method := []string{"GET", "POST", "HEAD", "PUT", "OPTIONS"}[own.IntN(5)]
		fields := head(method, paths[own.IntN(len(paths))])
		if own.IntN(5) == 0 {
			fields = append(fields, []string{"expect: 100-continue", "content-length: 5", "priority: u=1, i", "connection: close"}[own.IntN(4)])
		}
		b := hostileMessage(own, fields...)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		s, err := p.conn.OpenStream(ctx)
		cancel()
		if err != nil {
			break
		}
		wg.Go(func() { hostileStream(own, s, b) })
		switch rng.IntN(20) {
		case 0:
			enc.Write([]byte{0x41, 'x', 1, 'y'})
		case 1:
			p.control.Write(rawFrame(0xf0700, append(appendRawVarint(nil, uint64(s.ID())), "u=7"...)))
		case 2:
			p.conn.SendDatagram(context.Background(), append(appendRawVarint(nil, s.ID()>>2), "hello"...))
		case 3:
			dec.Write([]byte{0x41})
		case 4:
			time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
		}
	}
	switch rng.IntN(5) {
	case 0:
		go ts.Shutdown(context.Background())
	case 1:
		go ts.Close()
	case 2: // in the middle of all
		p.conn.CloseWithError(0x100, "")
	case 3:
		wg.Wait()
		p.conn.CloseWithError(0x102, "")
	default:
		wg.Wait()
	}
	time.Sleep(30 * time.Second)
	p.conn.CloseWithError(0x100, "")
	time.Sleep(2 * time.Minute)
	if n := running.Load(); n > 0 {
		t.Errorf("%d of %d handlers run on a connection that is over: %s", n, begun.Load(), ts.log)
	}
	if s := ts.log.String(); strings.Contains(s, "panic") {
		t.Error(s)
	}
}

// TestHostileServers has servers do what they like with a Transport's requests: each must come to its end, at the latest with its context, or with the connection.
func TestHostileServers(t *testing.T) {
	for seed := range *hostileSeeds {
		synctest.Test(t, func(t *testing.T) { hostileServer(t, uint64(seed)) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func hostileServer(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 5))
	n := quicnettest.NewNetwork(1, quicnettest.Link{})
	cfg := quicnettest.ServerConfig()
	cfg.TLS.NextProtos = []string{"h3"}
	switch rng.IntN(4) {
	case 0:
		cfg.StreamReceiveWindow, cfg.MaxStreamReceiveWindow = 1, 1
	case 1:
		cfg.ReceiveWindow, cfg.MaxReceiveWindow = 100, 100
	case 2:
		cfg.MaxStreamsBidi = 3
	}
	ep := n.Listen(t, "", cfg)
	dying := rng.IntN(2) == 0
	var conns sync.Map
	serve := func(c *quicnet.Conn, own *rand.Rand) {
		conns.Store(c, true)
		ctl, err := c.OpenUniStream(context.Background())
		if err != nil {
			return
		}
		ctl.Write([]byte{0, 4, 0})
		enc, _ := c.OpenUniStream(context.Background())
		enc.Write([]byte{2, 0x3f, 0xe1, 0x1f})
		picky := rand.New(rand.NewPCG(seed, own.Uint64()))
		go func() {
			for {
				s, err := c.AcceptUniStream(context.Background())
				if err != nil {
					return
				}
				if picky.IntN(4) > 0 {
					go io.Copy(io.Discard, s)
				}
			}
		}()
		for i := 0; ; i++ {
			s, err := c.AcceptStream(context.Background())
			if err != nil {
				return
			}
			mine := rand.New(rand.NewPCG(seed, own.Uint64()))
			switch own.IntN(40) {
			case 0:
				ctl.Write(rawFrame(7, appendRawVarint(nil, s.ID())))
			case 1:
				ctl.Write(rawFrame(7, appendRawVarint(nil, s.ID()+4)))
			case 2:
				enc.Write([]byte{0x41, 'x', 1, 'y'})
			case 3:
				s.Abort(0x10b)
				continue
			case 4:
				if dying {
					c.CloseWithError(0x102, "")
				}
			case 5:
				s.Close()
				continue
			case 6:
				s.CancelRead(0x100)
			}
			fields := []string{":status: " + []string{"200", "204", "304", "404", "100"}[mine.IntN(5)]}
			if mine.IntN(6) == 0 {
				fields = append(fields, []string{"content-length: 6", "content-encoding: gzip", "trailer: x-trailer", "content-length: 0"}[mine.IntN(4)])
			}
			var b []byte
			for range mine.IntN(3) {
				b = append(b, rawFrame(1, rawSection(":status: 103", "link: x"))...)
			}
			b = append(b, hostileMessage(mine, fields...)...)
			go hostileStream(mine, s, b)
		}
	}
	go func() {
		for i := 0; ; i++ {
			c, err := ep.Accept(context.Background())
			if err != nil {
				return
			}
			go serve(c, rand.New(rand.NewPCG(seed, uint64(1000+i))))
		}
	}()
	tr := transportOn(t, n, ep.Addr().String())
	var wg sync.WaitGroup
	var pending sync.Map
	for i := range 40 {
		own := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			var body io.Reader
			method := []string{"GET", "POST", "HEAD"}[own.IntN(3)]
			if method == "POST" {
				b := make([]byte, []int{0, 1, 3000, 100_000}[own.IntN(4)])
				if body = bytes.NewReader(b); own.IntN(2) == 0 {
					body = struct{ io.Reader }{body}
				}
			}
			timed := own.IntN(2) == 0
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if timed {
				time.AfterFunc(time.Duration(1+own.IntN(30))*time.Second, cancel)
			}
			what := fmt.Sprint(i, method, timed)
			pending.Store(what, true)
			defer pending.Delete(what)
			req, _ := http.NewRequestWithContext(ctx, method, "https://localhost/", body)
			resp, err := tr.RoundTrip(req)
			if err != nil {
				return
			}
			if own.IntN(5) > 0 {
				io.CopyN(io.Discard, resp.Body, int64(own.IntN(40_000)))
			}
			resp.Body.Close()
		})
		if rng.IntN(4) == 0 {
			time.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond)
		}
	}
	time.Sleep(45 * time.Second)
	pending.Range(func(k, _ any) bool {
		if strings.HasSuffix(k.(string), "true") {
			t.Errorf("request %v goes on after its context has ended", k)
		}
		return true
	})
	ep.Close()
	time.Sleep(3 * time.Minute)
	pending.Range(func(k, _ any) bool {
		t.Errorf("request %v goes on after the server has gone", k)
		return true
	})
	wg.Wait()
	tr.CloseIdleConnections()
	if n := tr.count(); n > 0 {
		time.Sleep(time.Minute)
		if n = tr.count(); n > 0 {
			t.Errorf("%d connections are left", n)
		}
	}
}
