package h3test_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/http3/h3test"
	"github.com/boringquic/boringquic/quic/udp"
)

// liar is a reader and a writer that breaks the rules of its interface: it says that it has read, or written, more bytes than it was given,
// or less than none, after some that are right.
type liar struct {
	honest int // bytes
	by     int // how many it adds to the truth; below zero: it says so itself
	err    error
}

func (l *liar) lie(p []byte) (int, error) {
	if n := min(l.honest, len(p)); n > 0 {
		l.honest -= n
		return n, nil
	}
	if l.by < 0 {
		return l.by, l.err
	}
	return len(p) + l.by, l.err
}

func (l *liar) Read(p []byte) (int, error)  { return l.lie(p) }
func (l *liar) Write(p []byte) (int, error) { return l.lie(p) }
func (l *liar) Close() error                { return nil }

// A request's Body that breaks the rules of io.Reader costs that request, and neither the program nor the connection.
func TestBodyThatLies(t *testing.T) {
	s := h3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			io.WriteString(w, "whole")
		}
	}))
	defer s.Close()
	broken := errors.New("broken")
	for _, honest := range []int{0, 1, 70_000} {
		for _, by := range []int{-1, -1 << 62, 1, 1 << 20} {
			for _, length := range []int64{-1, 1, 70_000, 1 << 40} {
				for _, err := range []error{nil, io.EOF, broken} {
					body := &liar{honest, by, err}
					req, _ := http.NewRequest("POST", s.URL, body)
					if req.ContentLength = length; length == 1 {
						req.Trailer = http.Header{"X-Trailer": {"x"}}
					}
					resp, got := s.Client().Do(req)
					if got == nil {
						got = errors.New("a response of " + resp.Status)
						resp.Body.Close()
					}
					what := fmt.Sprintf("%d bytes and then %d, %v, of %d: %v", honest, by, err, length, got)
					switch {
					case strings.Contains(what, "a response of"):
						t.Error(what)
					case length < int64(honest) && length > 0: // too long is told before
					case err == broken && !errors.Is(got, broken):
						t.Error(what)
					case err == nil && !strings.Contains(what, "impossible number of bytes"):
						t.Error(what)
					}
				}
			}
		}
	}
	resp, err := s.Client().Post(s.URL, "", strings.NewReader("truth"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); string(b) != "whole" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// A writer that io.Copy gives a request's body to, and that breaks the rules of io.Writer, has the error that io.Copy has for it.
func TestWriterThatLies(t *testing.T) {
	for _, size := range []int{10, 200_000} {
		for _, by := range []int{-1, 1} {
			var n int64
			var err error
			s := h3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, err = io.Copy(&liar{by: by}, r.Body)
			}))
			resp, postErr := s.Client().Post(s.URL, "", strings.NewReader(strings.Repeat("x", size)))
			if postErr == nil {
				resp.Body.Close()
			}
			s.Close() // then the handler has returned
			if n != 0 || err == nil || !strings.Contains(err.Error(), "impossible number of bytes") {
				t.Errorf("%d bytes, %+d: %d, %v", size, by, n, err)
			}
		}
	}
}

// lyingConn is a socket that says so of a datagram.
type lyingConn struct {
	net.PacketConn
	n int
}

func (c lyingConn) ReadFrom(p []byte) (int, net.Addr, error) { return c.n, c.LocalAddr(), nil }

// A socket that breaks the rules of net.PacketConn, or is none, is an error.
func TestSocketThatLies(t *testing.T) {
	for _, n := range []int{-1, 1 << 20} {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := h3test.NewServer(nil) // for its certificate
		srv := &http3.Server{HTTP: &http.Server{TLSConfig: s.TLS}}
		if err := srv.Serve(lyingConn{pc, n}); err == nil || !strings.Contains(err.Error(), "bytes into") {
			t.Error(err)
		}
		s.Close()
	}
	if _, err := udp.New(nil, udp.Options{}); err == nil {
		t.Error("a Socket was made of nothing")
	}
}

// What is nil where it must not be is an error, and not a crash.
func TestNilSockets(t *testing.T) {
	s := h3test.NewServer(nil)
	defer s.Close()
	for _, withCertificate := range []bool{false, true} {
		srv := func() *http3.Server {
			if !withCertificate {
				return new(http3.Server)
			}
			return &http3.Server{HTTP: &http.Server{TLSConfig: s.TLS}}
		}
		l, pc, err := http3.ListenAll("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"Serve":                    srv().Serve(nil),
			"Serve of a nil UDPConn":   srv().Serve((*net.UDPConn)(nil)),
			"ServeAll without a UDP":   srv().ServeAll(l, nil, "", ""),
			"ServeAll without a TCP":   srv().ServeAll(nil, pc, "", ""),
			"ServeAll without either":  srv().ServeAll(nil, nil, "", ""),
			"ServeHTTP3 with nil only": srv().ServeHTTP3(nil, nil, nil, nil),
		} {
			if err == nil || errors.Is(err, http.ErrServerClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener was left open: %v", err)
		}
		if _, _, err := pc.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the socket was left open: %v", err)
		}
	}
}
