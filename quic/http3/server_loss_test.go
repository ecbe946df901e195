package http3

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// losing is a net.PacketConn that loses the n-th datagram that is sent, and the n-th that is received.
type losing struct {
	net.PacketConn
	n              int64
	sends          bool
	sent, received atomic.Int64
}

func (l *losing) WriteTo(p []byte, to net.Addr) (int, error) {
	if l.sent.Add(1) == l.n && l.sends {
		return len(p), nil
	}
	return l.PacketConn.WriteTo(p, to)
}

func (l *losing) ReadFrom(p []byte) (n int, from net.Addr, err error) {
	for {
		n, from, err = l.PacketConn.ReadFrom(p)
		if err != nil || l.sends || l.received.Add(1) != l.n {
			return n, from, err
		}
	}
}

// TestEachDatagramLost: requests and responses arrive whole though any one datagram, in either direction, is lost.
func TestEachDatagramLost(t *testing.T) {
	for _, sends := range []bool{true, false} {
		for n := int64(1); n <= 24; n++ {
			synctest.Test(t, func(t *testing.T) {
				nw := quicnettest.NewNetwork(1, quicnettest.Link{})
				ts := serveOver(t, nw, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Trailer", "After")
					n, err := io.Copy(w, r.Body)
					w.Header().Set("After", fmt.Sprint(n, err))
				})
				pc, err := nw.ListenPacket("")
				if err != nil {
					t.Fatal(err)
				}
				ts.addr = pc.LocalAddr().String()
				go ts.Serve(&losing{PacketConn: pc, n: n, sends: sends})
				p := ts.dial()
				body := strings.Repeat("0123456789", 1500)
				for range 2 {
					rep := p.open().headers(head("POST", "/", "content-length: 15000")...).data(body).end().reply()
					if string(rep.body) != body || rep.err != nil || rep.trailers.get("after") != "15000 <nil>" {
						t.Errorf("datagram %d, sent %v: %v", n, sends, rep)
					}
				}
			})
		}
	}
}

// TestSmallWindows: responses come whole to clients whose flow control lets through a byte at a time, or a few.
func TestSmallWindows(t *testing.T) {
	for _, window := range []uint64{1, 2, 7, 100} {
		synctest.Test(t, func(t *testing.T) {
			ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set(http.TrailerPrefix+"After", "all")
				io.WriteString(w, "first")
				if r.URL.Path == "/flush" {
					w.(http.Flusher).Flush()
				}
				io.WriteString(w, strings.Repeat("x", 300))
			})
			p := ts.dial(func(c *quic.Config) { c.StreamReceiveWindow, c.MaxStreamReceiveWindow = window, window })
			for _, path := range []string{"/", "/flush"} {
				rep := p.get(path).reply()
				if string(rep.body) != "first"+strings.Repeat("x", 300) || rep.err != nil || rep.trailers.get("after") != "all" {
					t.Errorf("window %d, %s: %v", window, path, rep)
				}
			}
		})
	}
}
