package http3

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
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

// deaf is of a test's clients that receive no more than so many bytes on each connection.
func deaf(most int) func(*brokenH3, net.PacketConn) net.PacketConn {
	return func(_ *brokenH3, pc net.PacketConn) net.PacketConn { return &deafSocket{pc, most} }
}

// farmSocket sends all but the first packets to another machine than those, and has what that answers come from the address of the first, as behind a balancer
// that does not know connection IDs.
type farmSocket struct {
	net.PacketConn
	first, other net.Addr
}

func (s *farmSocket) WriteTo(p []byte, to net.Addr) (int, error) {
	if p[0]&0x80 == 0 { // a short header
		to = s.other
	}
	return s.PacketConn.WriteTo(p, to)
}

func (s *farmSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	n, _, err := s.PacketConn.ReadFrom(p)
	return n, s.first, err
}

// farm is of clients before which there are two machines, of which the second knows no connection.
func farm(b *brokenH3, pc net.PacketConn) net.PacketConn {
	return &farmSocket{pc, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(b.addr)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(b.other))}
}

// mute is of clients that get no further than the handshake: of the packets after it none comes.
func mute(_ *brokenH3, pc net.PacketConn) net.PacketConn { return muteSocket{pc} }

type muteSocket struct{ net.PacketConn }

func (s muteSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		if n, from, err := s.PacketConn.ReadFrom(p); err != nil || p[0]&0x80 != 0 {
			return n, from, err
		}
	}
}

// brokenH3 is a server whose TCP works and whose HTTP/3 does not.
type brokenH3 struct {
	*autoWorld
	net         *quicnettest.Network
	accepted    atomic.Int64 // connections over HTTP/3
	addr, other string       // of the server, and of one that has its key for stateless resets and no connections
}

// newBrokenH3 has serve deal with each connection over HTTP/3: with its control stream, and with each request. Clients have what socket makes
// of theirs; nil: nothing.
func newBrokenH3(t *testing.T, socket func(*brokenH3, net.PacketConn) net.PacketConn, serve func(c *quicnet.Conn, control *quicnet.Stream), request func(c *quicnet.Conn, s *quicnet.Stream)) *brokenH3 {
	return newBrokenH3With(t, quicnettest.ServerConfig(), socket, serve, request)
}

// open returns the response to a request, of which nothing is read.
func (b *brokenH3) open() *http.Response {
	b.t.Helper()
	resp, err := b.client.Get("https://example.com/")
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

// failures makes n requests, with a pause behind each, and returns how many failed.
func (b *brokenH3) failures(n int, pause time.Duration) (failed int) {
	for range n {
		if strings.HasPrefix(b.get("/"), "error: ") {
			failed++
		}
		time.Sleep(pause)
	}
	return failed
}

// newBrokenH3With has a configuration of the server's, of which TLS is ours.
func newBrokenH3With(t *testing.T, cfg *quic.Config, socket func(*brokenH3, net.PacketConn) net.PacketConn,
	serve func(c *quicnet.Conn, control *quicnet.Stream), request func(c *quicnet.Conn, s *quicnet.Stream)) *brokenH3 {
	n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 10 * time.Millisecond})
	b := &brokenH3{autoWorld: newAutoWorld(t, true), net: n}
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{autoCert()}, NextProtos: []string{"h3"}}
	cfg.StatelessResetKey = &[32]byte{1}
	ep := n.Listen(t, "", cfg)
	b.addr, b.other = ep.Addr().String(), n.Listen(t, "", cfg).Addr().String()
	b.serve(ep, serve, request)
	b.auto.h3 = &Transport{TLSClientConfig: &tls.Config{RootCAs: autoRoots()}, Dial: func(context.Context, string) (net.PacketConn, net.Addr, error) {
		pc, err := n.ListenPacket("")
		if socket != nil {
			pc = socket(b, pc)
		}
		return pc, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(b.addr)), err
	}}
	b.header.Set("Alt-Svc", `h3=":443"`)
	return b
}

// serve accepts connections.
func (b *brokenH3) serve(ep *quicnet.Endpoint, serve func(c *quicnet.Conn, control *quicnet.Stream), request func(c *quicnet.Conn, s *quicnet.Stream)) {
	go func() {
		for {
			c, err := ep.Accept(context.Background())
			if err != nil {
				return
			}
			b.accepted.Add(1)
			go func() {
				control, err := sendSettings(c)
				if err != nil {
					return
				}
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
}

// rawResponse is a response of which length bytes are announced, and of whose body size are sent.
func rawResponse(length string, size int) []byte {
	frame := rawFrame(1, rawSection(":status: 200", "content-length: "+length))
	return append(frame, rawFrame(0, bytes.Repeat([]byte("3"), size))...)
}

// eight answers with eight bytes.
func eight(_ *quicnet.Conn, s *quicnet.Stream) {
	s.Write(rawResponse("8", 8))
	s.Close()
}

// HTTP/3 that connects, and then does not work, is left alone after the first request, whether it was lost with its connection before the response or
// within it, and whatever the server's word was: requests would go there again and again, and fail, as long as connections come about.
func TestAutoConnectsInVain(t *testing.T) {
	answer := func(c *quicnet.Conn, s *quicnet.Stream) {
		s.Write(rawResponse("100000", 100_000))
		s.Close()
	}
	nothing := func(*quicnet.Conn, *quicnet.Stream) {}
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
		socket  func(*brokenH3, net.PacketConn) net.PacketConn
		serve   func(c *quicnet.Conn, control *quicnet.Stream)
		request func(c *quicnet.Conn, s *quicnet.Stream)
		first   string // the end of the error of the first request over HTTP/3; empty: it went over TCP in the end
	}{
		{"a path that dies within a response", deaf(30_000), nil, answer, "idle timeout"},
		{"closed at once, without an error", nil, closes(0x100), nil, "H3_NO_ERROR"},
		{"closed at the request, without an error", nil, nil, closes(0x100), "H3_NO_ERROR"},
		{"closed at the request, with one", nil, nil, closes(0x102), "H3_INTERNAL_ERROR"},
		{"closed within a response, without an error", nil, nil, cutsOff(0x100), "H3_NO_ERROR"},
		{"closed within a response, with one", nil, nil, cutsOff(0x102), "H3_INTERNAL_ERROR"},
		{"whose packets go to another machine after the handshake", farm, nil, nothing, "connection's state"},
		{"takes no request", nil, func(_ *quicnet.Conn, control *quicnet.Stream) { control.Write(rawFrame(7, []byte{0})) },
			func(_ *quicnet.Conn, s *quicnet.Stream) { s.Abort(0x10b) }, ""},
		{"rejects each request, and does not go", nil, nil, func(_ *quicnet.Conn, s *quicnet.Stream) { s.Abort(0x10b) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBrokenH3(t, tt.socket, tt.serve, tt.request)
				wantHow(t, "the response that tells", b.get("/0"), "HTTP/2.0")
				first := b.get("/1")
				if tt.first == "" {
					wantHow(t, "the first over HTTP/3", first, "HTTP/2.0")
				} else if !strings.HasPrefix(first, "error: ") || !strings.HasSuffix(first, tt.first) {
					t.Fatalf("the first over HTTP/3: %s", first)
				}
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
		b := newBrokenH3(t, deaf(30_000), nil, func(_ *quicnet.Conn, s *quicnet.Stream) {
			s.Write(rawResponse("100000", 100_000))
			s.Close()
		})
		b.client.Timeout = 5 * time.Second
		wantHow(t, "the response that tells", b.get("/"), "HTTP/2.0")
		if failed := b.failures(10, time.Second); failed > 2 {
			t.Errorf("%d of ten requests have failed, want two at the most", failed)
		}
	})
}

// A server that has answered, and goes, does not count as broken: neither where it closes an idle connection, nor where a request comes too late.
func TestAutoServerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		b := newBrokenH3(t, nil, nil, func(c *quicnet.Conn, s *quicnet.Stream) {
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

// What fails after its cool-down as before is left alone for twice as long, though the response that fails has begun each time.
func TestAutoBrokenCooldowns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokenH3(t, deaf(30_000), nil, func(_ *quicnet.Conn, s *quicnet.Stream) {
			s.Write(rawResponse("100000", 100_000))
			s.Close()
		})
		wantHow(t, "the response that tells", b.get("/"), "HTTP/2.0")
		for i, d := range []time.Duration{defaultCooldown, 2 * defaultCooldown, 4 * defaultCooldown} {
			if how := b.get("/"); !strings.HasSuffix(how, "idle timeout") {
				t.Fatalf("%d: over HTTP/3: %s", i, how)
			}
			time.Sleep(d - time.Second)
			wantHow(t, "while it is left alone", b.get("/"), "HTTP/2.0")
			time.Sleep(time.Second)
			if n := b.accepted.Load(); n != int64(i+1) {
				t.Fatalf("%d: %d connections over HTTP/3 in a cool-down of %v", i, n, d)
			}
			if took, how := b.timed("/"); took != 0 || how != "HTTP/2.0" {
				t.Errorf("%d: when it may be tried again: %s after %v, want HTTP/2.0 at once", i, how, took)
			}
			time.Sleep(time.Second) // until HTTP/3 is connected
		}
	})
}

// The same server's next responses come over HTTP/3 where no response was cut off, whatever became of the connection after it.
func TestAutoNotCutOff(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		size         int
		code         uint64
		body         bool // the request's goes on
	}{
		{"read after the server's close", "GET", 100_000, 0x100, false},
		{"an upload goes on when the server closes with an error", "POST", 8, 0x102, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBrokenH3(t, nil, nil, func(c *quicnet.Conn, s *quicnet.Stream) {
					s.Write(rawResponse(strconv.Itoa(tt.size), tt.size))
					s.Close()
					time.Sleep(time.Second)
					c.CloseWithError(tt.code, "")
				})
				b.get("/")
				for i := range 3 {
					var body io.Reader
					if tt.body {
						r, w := io.Pipe()
						defer w.Close()
						body = r
					}
					req, _ := http.NewRequest(tt.method, "https://example.com/", body)
					resp, err := b.client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Second)
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if resp.Proto != "HTTP/3.0" || len(got) != tt.size || err != nil {
						t.Errorf("%d: %s with %d bytes, %v; want HTTP/3.0 with %d", i, resp.Proto, len(got), err, tt.size)
					}
				}
			})
		})
	}
}

// A request that a server rejects which goes, while a long response of before comes, is no sign that HTTP/3 does not work.
func TestAutoGoesDuringResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		var control *quicnet.Stream
		b := newBrokenH3(t, nil, func(_ *quicnet.Conn, s *quicnet.Stream) { control = s }, func(c *quicnet.Conn, s *quicnet.Stream) {
			switch requests.Add(1) {
			case 1:
				s.Write(rawResponse("1000", 10))
			case 2:
				control.Write(rawFrame(7, []byte{4}))
				s.Abort(0x10b)
			default:
				s.Write(rawResponse("8", 8))
				s.Close()
			}
		})
		b.get("/")
		long := b.open()
		defer long.Body.Close()
		b.get("/")
		time.Sleep(time.Second)
		wantHow(t, "after the one that was rejected", b.get("/"), "33333333")
	})
}

// A response that turns out malformed behind its header is no proof that HTTP/3 works.
func TestAutoMalformedIsNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		b := newBrokenH3(t, nil, nil, func(c *quicnet.Conn, s *quicnet.Stream) {
			if requests.Add(1) > 1 {
				c.CloseWithError(0x100, "")
				return
			}
			s.Write(append(rawFrame(1, rawSection(":status: 204")), rawFrame(0, []byte("x"))...))
			s.Close()
		})
		b.get("/")
		wantHow(t, "malformed", b.get("/"), "204 No Content")
		for range 2 {
			wantHow(t, "closed", b.get("/"), "HTTP/2.0")
			time.Sleep(time.Second)
		}
		if n := b.accepted.Load(); n != 1 {
			t.Errorf("%d connections over HTTP/3, want 1", n)
		}
	})
}

// A connection that came about beside TCP, and that the server does not want before there was a request on it, is not dialled again for each request: but for
// one that was idle for long.
func TestAutoUnwanted(t *testing.T) {
	nothing := func(*quicnet.Conn, *quicnet.Stream) {}
	shuts := func(c *quicnet.Conn, _ *quicnet.Stream) {
		c.Do(func(t *quicnet.Turn) { t.Core.Close(t.Now, false, uint64(quic.ConnectionRefused), "") })
	}
	for _, tt := range []struct {
		name   string
		socket func(*brokenH3, net.PacketConn) net.PacketConn
		idle   time.Duration // of the connection, before the server ends it
		end    func(c *quicnet.Conn, control *quicnet.Stream)
		want   int64 // connections for three requests
	}{
		{"closed", nil, 0, func(c *quicnet.Conn, _ *quicnet.Stream) { c.CloseWithError(0x100, "") }, 1},
		{"closed by the server's QUIC", nil, 0, shuts, 1},
		{"closed by us, since it is no HTTP/3", nil, 0, func(_ *quicnet.Conn, control *quicnet.Stream) { control.Write(rawFrame(4, nil)) }, 1},
		{"whose packets go to another machine", farm, 0, nothing, 1},
		{"GOAWAY", nil, 0, func(_ *quicnet.Conn, control *quicnet.Stream) { control.Write(rawFrame(7, []byte{0})) }, 1},
		{"closed when it was idle", nil, 10 * time.Second, func(c *quicnet.Conn, _ *quicnet.Stream) { c.CloseWithError(0x100, "") }, 3},
		{"closed by the server's QUIC when it was idle", nil, 10 * time.Second, shuts, 3},
		{"GOAWAY when it was idle", nil, 10 * time.Second, func(_ *quicnet.Conn, control *quicnet.Stream) { control.Write(rawFrame(7, []byte{0})) }, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBrokenH3(t, tt.socket, func(c *quicnet.Conn, control *quicnet.Stream) {
					time.Sleep(tt.idle)
					tt.end(c, control)
				}, nil)
				b.auto.RaceDelay = -1
				b.get("/")
				for range 3 {
					wantHow(t, "beside the connection", b.get("/"), "HTTP/2.0")
					time.Sleep(tt.idle + time.Second)
				}
				if n := b.accepted.Load(); n != tt.want {
					t.Errorf("%d connections over HTTP/3, want %d", n, tt.want)
				}
			})
		})
	}
}

// A response is the program's, which may put another Body in it, as http.Client does for its Timeout: what comes is for the one that there was.
func TestResponseBodyReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokenH3(t, nil, nil, func(_ *quicnet.Conn, s *quicnet.Stream) {
			s.Write(rawResponse("10000", 10))
			time.Sleep(time.Second)
			s.Write(rawFrame(0, bytes.Repeat([]byte("3"), 9990)))
			s.Close()
		})
		b.get("/")
		resp := b.open()
		body := resp.Body
		defer body.Close()
		resp.Body = http.NoBody
		time.Sleep(2 * time.Second)
		if got, err := io.ReadAll(body); len(got) != 10_000 || err != nil {
			t.Errorf("%d bytes, %v; want 10000", len(got), err)
		}
	})
}

// A server that breaks off each response over HTTP/3, and goes on with the connection, is left alone after the third request, and when it is tried again
// after one.
func TestAutoBreaksOff(t *testing.T) {
	long := append(rawResponse("8", 8), rawFrame(0, []byte("x"))...)
	for name, request := range map[string]func(c *quicnet.Conn, s *quicnet.Stream){
		"without a response":       func(_ *quicnet.Conn, s *quicnet.Stream) { s.Abort(0x102) },
		"as if it were at its end": func(_ *quicnet.Conn, s *quicnet.Stream) { s.Abort(0x100) },
		"within one": func(_ *quicnet.Conn, s *quicnet.Stream) {
			s.Write(rawResponse("1000", 10))
			time.Sleep(time.Second)
			s.Abort(0x102)
		},
		"longer than it says": func(_ *quicnet.Conn, s *quicnet.Stream) {
			s.Write(long)
			s.Close()
		},
		"no response": func(_ *quicnet.Conn, s *quicnet.Stream) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBrokenH3(t, nil, nil, request)
				wantHow(t, "the response that tells", b.get("/"), "HTTP/2.0")
				if failed := b.failures(10, time.Second); failed != maxBrokenOff {
					t.Errorf("%d of ten requests have failed, want %d", failed, maxBrokenOff)
				}
				time.Sleep(defaultCooldown)
				wantHow(t, "when it may be tried again", b.get("/"), "HTTP/2.0")
				time.Sleep(time.Second)
				if failed := b.failures(10, time.Second); failed != 1 {
					t.Errorf("when it is tried again %d of ten requests have failed, want 1", failed)
				}
				time.Sleep(defaultCooldown)
				if failed := b.failures(10, time.Second); failed != 0 {
					t.Errorf("in the second cool-down, which is longer, %d of ten requests have failed", failed)
				}
			})
		})
	}
}

// A server that breaks off some responses is used on: those that it has sent whole, and those that were under way at once, are signs of no more.
func TestAutoBreaksOffSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		b := newBrokenH3(t, nil, nil, func(c *quicnet.Conn, s *quicnet.Stream) {
			time.Sleep(100 * time.Millisecond)
			if n := requests.Add(1); n == 10 || n == 20 || n > 20 && n%3 != 0 {
				eight(c, s)
				return
			}
			s.Abort(0x102)
		})
		b.get("/")
		for round := range 2 {
			var wg sync.WaitGroup
			for range 9 {
				wg.Go(func() { b.get("/") })
			}
			wg.Wait()
			wantHow(t, fmt.Sprint("one that is answered, ", round), b.get("/"), "33333333")
		}
		if failed := b.failures(30, 0); failed != 10 {
			t.Errorf("%d of 30 requests have failed, want 10", failed)
		}
	})
}

// Where MaxConnsPerHost allows no connection beside one that comes to its end, requests go over TCP until it has; nothing counts as broken.
func TestAutoNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var control *quicnet.Stream
		end := make(chan struct{})
		b := newBrokenH3(t, nil, func(_ *quicnet.Conn, s *quicnet.Stream) { control = s }, func(c *quicnet.Conn, s *quicnet.Stream) {
			s.Write(rawResponse("8", 4))
			<-end
			s.Write(rawFrame(0, []byte("3333")))
			s.Close()
		})
		b.auto.h3.(*Transport).MaxConnsPerHost = 1
		b.get("/")
		long := b.open()
		control.Write(rawFrame(7, []byte{4}))
		time.Sleep(time.Second)
		for range 3 {
			if took, how := b.timed("/"); how != "HTTP/2.0" || took != 0 {
				t.Errorf("beside it: %s after %v, want HTTP/2.0 at once", how, took)
			}
			time.Sleep(attemptTimeout)
		}
		close(end)
		io.Copy(io.Discard, long.Body)
		long.Body.Close()
		time.Sleep(time.Second)
		wantHow(t, "after it", b.get("/"), "33333333")
	})
}

// A connection that outlives the cool-down in which it was left alone is left alone anew when nothing has become better.
func TestAutoRejectsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		b := newBrokenH3(t, nil, nil, func(_ *quicnet.Conn, s *quicnet.Stream) {
			requests.Add(1)
			s.Abort(0x10b)
		})
		b.auto.Cooldown = 5 * time.Second
		for range 60 {
			wantHow(t, "a request", b.get("/"), "HTTP/2.0")
			time.Sleep(time.Second)
		}
		if n, conns := requests.Load(), b.accepted.Load(); n != 4 || conns > 2 { // with cool-downs of 5, 10, 20 and 40 s
			t.Errorf("%d requests over HTTP/3 on %d connections, want 4", n, conns)
		}
	})
}

// That a server sends more than it may behind a response without a body harms nobody, and does not count.
func TestAutoMalformedWithoutBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokenH3(t, nil, nil, func(_ *quicnet.Conn, s *quicnet.Stream) {
			s.Write(rawFrame(1, rawSection(":status: 204")))
			time.Sleep(10 * time.Millisecond)
			s.Abort(0x102)
		})
		b.get("/")
		for range 2 * maxBrokenOff {
			wantHow(t, "a response", b.get("/"), "204 No Content")
			time.Sleep(time.Second)
		}
	})
}
