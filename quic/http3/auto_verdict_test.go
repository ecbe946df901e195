package http3

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// A server that has answered, and is started anew at once, fails a POST that was under way, and is asked over HTTP/3 on.
func TestAutoServerForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokenH3(t, nil, nil, eight)
		cfg := quicnettest.ServerConfig()
		cfg.TLS = &tls.Config{Certificates: []tls.Certificate{autoCert()}, NextProtos: []string{"h3"}}
		next := b.net.Listen(t, "", cfg)
		b.serve(next, nil, eight)
		b.get("/")
		wantHow(t, "before", b.get("/"), "33333333")
		b.net.SetDown(netip.MustParseAddrPort(b.addr).Addr(), true)
		b.addr = next.Addr().String()
		if how := b.do("POST", "/", io.MultiReader(strings.NewReader("x")), nil); !strings.HasSuffix(how, errDead.Error()) {
			t.Errorf("a POST that was under way: %s", how)
		}
		wantHow(t, "the next", b.get("/"), "33333333")
	})
}

// Where a path dies right behind the handshake, deadlines that are shorter than it takes to find that out keep no request that comes later from TCP.
func TestAutoShortDeadlinesInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokenH3(t, mute, nil, eight)
		b.client.Timeout = 300 * time.Millisecond
		wantHow(t, "the response that tells", b.get("/"), "HTTP/2.0")
		if failed := b.failures(40, 100*time.Millisecond); failed > 5 {
			t.Errorf("%d of 40 requests have failed, want five at the most", failed)
		}
	})
}

// A request that fails over TCP by its own fault has nothing forgotten of HTTP/3 that is broken.
func TestAutoFailsByItself(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.Always, w.h3.err = true, errBlackHole
		wantHow(t, "broken", w.get("/"), tcp)
		for what, how := range map[string]string{
			"a field that cannot be sent": w.do("GET", "/", nil, http.Header{"Bad Name": {"x"}}),
			"a body that cannot be read":  w.do("POST", "/", io.MultiReader(strings.NewReader("x"), lostDisk{}), nil),
		} {
			if !strings.HasPrefix(how, "error: ") {
				t.Errorf("%s: %s", what, how)
			}
		}
		wantHow(t, "while it is left alone", w.get("/"), tcp)
		if n := len(w.h3.dials()); n != 1 {
			t.Errorf("%d dials, want 1", n)
		}
	})
}

type lostDisk struct{}

func (lostDisk) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

// What is broken on one network is tried on another one, though something else has failed there meanwhile.
func TestAutoNetworkOfEach(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		name := "wifi"
		w.auto.network.look = func() string { return name }
		w.auto.Always, w.h3.err = true, errBlackHole
		wantHow(t, "broken over wifi", w.get("/"), tcp)
		time.Sleep(2 * time.Second)
		name = "cable"
		wantHow(t, "another that is broken over the cable", w.get("https://localhost/"), tcp)
		time.Sleep(2 * time.Second)
		w.set(func() { w.h3.err = nil })
		wantHow(t, "the first, over the cable", w.get("/"), "HTTP/3.0")
	})
}

// An attempt that was begun on a network of before tells nothing of the one that there is.
func TestAutoNetworkOfAttempt(t *testing.T) {
	for what, change := range map[string]func(w *autoWorld, name *string){
		"found out": func(w *autoWorld, name *string) {
			w.auto.network.mu.Lock()
			defer w.auto.network.mu.Unlock()
			*name = "cable"
		},
		"told": func(w *autoWorld, _ *string) { w.auto.NetworkChanged() },
	} {
		eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
			name := "wifi"
			w.auto.network.look = func() string { return name }
			w.auto.Always, w.h3.err, w.h3.delay = true, errBlackHole, 10*time.Second
			wantHow(t, what+": the first request", w.get("/"), tcp)
			change(w, &name)
			time.Sleep(11 * time.Second)
			w.set(func() { w.h3.err, w.h3.delay = nil, 0 })
			wantHow(t, what+": the next", w.get("/"), "HTTP/3.0")
		})
	}
}

// What a connection tells of its origin counts though that was forgotten meanwhile, since there are many, and found again.
func TestAutoForgottenOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		b := newBrokenH3(t, nil, nil, func(c *quicnet.Conn, s *quicnet.Stream) {
			if requests.Add(1) > 1 {
				c.CloseWithError(0x102, "")
				return
			}
			eight(c, s)
		})
		b.get("/")
		wantHow(t, "before", b.get("/"), "33333333")
		for i := range maxOrigins {
			b.auto.origin(fmt.Sprint(i, ".example:443"))
		}
		wantHow(t, "when nothing is known", b.get("/"), "HTTP/2.0")
		if how := b.do("POST", "/", strings.NewReader("x"), nil); !strings.HasSuffix(how, "H3_INTERNAL_ERROR") {
			t.Errorf("over the connection of before: %s", how)
		}
		wantHow(t, "the next", b.get("/"), "HTTP/2.0")
	})
}

// The end of a connection that is found out late, by who reads the rest of a response, has nothing left alone that has worked since.
func TestAutoReadLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		b := newBrokenH3(t, nil, nil, func(c *quicnet.Conn, s *quicnet.Stream) {
			if requests.Add(1) > 1 {
				eight(c, s)
				return
			}
			s.Write(rawResponse("1000", 10))
			time.Sleep(time.Second)
			c.CloseWithError(0x102, "")
		})
		b.get("/")
		resp := b.open()
		defer resp.Body.Close()
		time.Sleep(2 * time.Second)
		wantHow(t, "on another connection", b.get("/"), "33333333")
		time.Sleep(time.Minute)
		if got, err := io.ReadAll(resp.Body); err == nil || len(got) != 10 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		wantHow(t, "the next", b.get("/"), "33333333")
	})
}

// To look which network there is takes time: nothing is locked meanwhile that a request needs which does not ask.
func TestAutoLooksWithoutLock(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		looked := 0
		w.auto.network.look = func() string {
			looked++
			w.auto.origin("localhost:443") // which locks
			return "net"
		}
		w.auto.Always, w.h3.err = true, errBlackHole
		for range 3 {
			wantHow(t, "broken", w.get("/"), tcp)
			time.Sleep(2 * time.Second)
		}
		if looked != 3 {
			t.Errorf("looked %d times, want 3", looked)
		}
	})
}
