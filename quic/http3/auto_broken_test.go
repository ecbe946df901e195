package http3

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// deafSocket receives no more than some bytes, as behind a middlebox that tires of a flow.
type deafSocket struct {
	net.PacketConn
	left int
}

func (s *deafSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(p)
		if s.left -= n; s.left > 0 || err != nil {
			return n, from, err
		}
	}
}

// brokenH3 is a server whose TCP works and whose HTTP/3 does not.
type brokenH3 struct {
	*autoWorld
	accepted atomic.Int64 // connections over HTTP/3
}

// newBrokenH3 has serve deal with each connection over HTTP/3: with its control stream, and with each request. Clients receive no more than the first so many bytes
// on each; 0: all.
func newBrokenH3(t *testing.T, most int, serve func(c *quicnet.Conn, control *quicnet.Stream), request func(c *quicnet.Conn, s *quicnet.Stream)) *brokenH3 {
	b := &brokenH3{autoWorld: newAutoWorld(t, true)}
	n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 10 * time.Millisecond})
	cfg := quicnettest.ServerConfig()
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{autoCert()}, NextProtos: []string{"h3"}}
	ep := n.Listen(t, "", cfg)
	go func() {
		for {
			c, err := ep.Accept(context.Background())
			if err != nil {
				return
			}
			b.accepted.Add(1)
			go func() {
				control, err := c.OpenUniStream(context.Background())
				if err != nil {
					return
				}
				control.Write([]byte{0, 4, 0})
				if serve != nil {
					serve(c, control)
				}
				for {
					s, err := c.AcceptStream(context.Background())
					if err != nil {
						return
					}
					go request(c, s)
				}
			}()
		}
	}()
	b.auto.h3 = &Transport{TLSClientConfig: &tls.Config{RootCAs: autoRoots()}, Dial: func(context.Context, string) (net.PacketConn, net.Addr, error) {
		pc, err := n.ListenPacket("")
		if most > 0 {
			pc = &deafSocket{pc, most}
		}
		return pc, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(ep.Addr().String())), err
	}}
	b.header.Set("Alt-Svc", `h3=":443"`)
	return b
}

// rawResponse is a response of which length bytes are announced, and of whose body size are sent.
func rawResponse(length string, size int) []byte {
	frame := rawFrame(1, rawSection(":status: 200", "content-length: "+length))
	return append(frame, rawFrame(0, bytes.Repeat([]byte("3"), size))...)
}

// HTTP/3 that connects, and then does not work, is left alone after the first request, whether it was lost with its connection before the response or within it, and
// whatever the server's word was: requests would go there again and again, and fail, as long as connections come about.
func TestAutoConnectsInVain(t *testing.T) {
	answer := func(c *quicnet.Conn, s *quicnet.Stream) {
		s.Write(rawResponse("100000", 100_000))
		s.Close()
	}
	closes := func(code uint64) func(*quicnet.Conn, *quicnet.Stream) {
		return func(c *quicnet.Conn, _ *quicnet.Stream) { c.CloseWithError(code, "") }
	}
	cutsOff := func(code uint64) func(*quicnet.Conn, *quicnet.Stream) {
		return func(c *quicnet.Conn, s *quicnet.Stream) {
			s.Write(rawResponse("1000", 10))
			time.Sleep(50 * time.Millisecond)
			c.CloseWithError(code, "")
		}
	}
	for _, tt := range []struct {
		name    string
		most    int
		serve   func(c *quicnet.Conn, control *quicnet.Stream)
		request func(c *quicnet.Conn, s *quicnet.Stream)
		first   string // the end of the error of the first request over HTTP/3; empty: it went over TCP in the end
	}{
		{"a path that dies within a response", 30_000, nil, answer, "idle timeout"},
		{"closed at once, without an error", 0, closes(0x100), nil, "H3_NO_ERROR"},
		{"closed at the request, without an error", 0, nil, closes(0x100), "H3_NO_ERROR"},
		{"closed at the request, with one", 0, nil, closes(0x102), "H3_INTERNAL_ERROR"},
		{"closed within a response, without an error", 0, nil, cutsOff(0x100), "H3_NO_ERROR"},
		{"closed within a response, with one", 0, nil, cutsOff(0x102), "H3_INTERNAL_ERROR"},
		{"takes no request", 0, func(_ *quicnet.Conn, control *quicnet.Stream) { control.Write(rawFrame(7, []byte{0})) },
			func(_ *quicnet.Conn, s *quicnet.Stream) { s.Abort(0x10b) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBrokenH3(t, tt.most, tt.serve, tt.request)
				wantHow(t, "the response that tells", b.get("/0"), "HTTP/2.0")
				first := b.get("/1")
				if tt.first == "" {
					wantHow(t, "the first over HTTP/3", first, "HTTP/2.0")
				} else if !strings.HasPrefix(first, "error: ") || !strings.HasSuffix(first, tt.first) {
					t.Fatalf("the first over HTTP/3: %s", first)
				}
				synctest.Wait()
				for range 5 {
					wantHow(t, "the next", b.do("POST", "/2", strings.NewReader("x"), nil), "HTTP/2.0")
				}
				if n := b.accepted.Load(); n != 1 {
					t.Errorf("%d connections over HTTP/3, want 1", n)
				}
				time.Sleep(defaultCooldown)
				wantHow(t, "when it may be tried again", b.get("/3"), "HTTP/2.0")
				time.Sleep(time.Second)
				if n := b.accepted.Load(); n != 2 {
					t.Errorf("%d connections over HTTP/3 after the cool-down, want 2", n)
				}
			})
		})
	}
}

// The same where requests have deadlines, so that none is left when the connection ends: when others are silent as well, HTTP/3 is left alone.
func TestAutoDeadlinesInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokenH3(t, 30_000, nil, func(_ *quicnet.Conn, s *quicnet.Stream) {
			s.Write(rawResponse("100000", 100_000))
			s.Close()
		})
		b.client.Timeout = 5 * time.Second
		wantHow(t, "the response that tells", b.get("/"), "HTTP/2.0")
		failed := 0
		for range 10 {
			if how := b.get("/"); strings.HasPrefix(how, "error: ") {
				failed++
			}
			time.Sleep(time.Second)
		}
		if failed > 2 {
			t.Errorf("%d of ten requests have failed, want two at the most", failed)
		}
	})
}

// A server that has answered, and goes, does not count as broken: neither where it closes an idle connection, nor where a request comes too late.
func TestAutoServerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		b := newBrokenH3(t, 0, nil, func(c *quicnet.Conn, s *quicnet.Stream) {
			n := requests.Add(1)
			if n%3 == 0 {
				c.CloseWithError(0x100, "")
				return
			}
			s.Write(rawResponse("8", 8))
			s.Close()
			if n%3 == 2 {
				time.AfterFunc(time.Second, func() { c.CloseWithError(0x100, "") })
			}
		})
		var got []string
		for range 8 {
			got = append(got, b.get("/"))
			time.Sleep(100 * time.Millisecond)
		}
		want := []string{"HTTP/2.0", "33333333", "33333333", "33333333", "33333333", "33333333", "33333333", "33333333"}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
