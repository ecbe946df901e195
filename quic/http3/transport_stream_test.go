package http3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// TestClientExtendedConnect waits for the server's settings, and fails where they do not have it (C37); over the stream data goes both ways, and
// datagrams do.
func TestClientExtendedConnect(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if Protocol(r) != "echo" || r.URL.Path != "/chat" {
			w.WriteHeader(501)
			return
		}
		s, err := TakeOver(w)
		if err != nil {
			t.Error(err)
			return
		}
		buf := make([]byte, 100)
		n, err := s.ReceiveDatagram(r.Context(), buf)
		if err == nil {
			err = s.SendDatagram(buf[:n])
		}
		if err != nil {
			t.Error(err)
		}
		io.Copy(s, s)
		s.Close()
	}
	connect := func(path string) *http.Request {
		req := newRequest(t, "CONNECT", "https://localhost"+path, nil)
		req.Header[":protocol"] = []string{"echo"}
		return req
	}
	ts := serveTest(t, handler)
	if _, err := ts.transport().RoundTrip(connect("/chat")); !errors.Is(err, ErrExtendedConnect) {
		t.Errorf("without the setting RoundTrip returned %v", err)
	}
	ts = serveTest(t, handler, func(s *Server) { s.ExtendedConnect, s.Datagrams = true, true })
	tr := ts.transport()
	tr.EnableDatagrams = true
	resp, _ := fetch(t, tr, connect("/other"))
	if _, err := StreamOf(resp); resp.StatusCode != 501 || err != errNotTunnel {
		t.Errorf("refused with %d, StreamOf returned %v", resp.StatusCode, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	resp, err := tr.RoundTrip(connect("/chat").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	s, err := StreamOf(resp)
	if err != nil {
		t.Fatal(err)
	}
	cancel() // has no say any more
	if s.MaxDatagramSize() < 1000 {
		t.Errorf("datagrams have %d bytes at most", s.MaxDatagramSize())
	}
	buf := make([]byte, 100)
	err = s.SendDatagram([]byte("datagram"))
	if err == nil {
		var n int
		n, err = s.ReceiveDatagram(context.Background(), buf)
		if string(buf[:n]) != "datagram" {
			err = fmt.Errorf("%q came back", buf[:n])
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(s, "hello")
	if _, err := io.ReadFull(s, buf[:5]); err != nil || string(buf[:5]) != "hello" {
		t.Errorf("%q came back, %v", buf[:5], err)
	}
	s.Close()
	if b, err := io.ReadAll(s); err != nil || len(b) > 0 {
		t.Errorf("at the end came %q, %v", b, err)
	}
	if _, err := s.ReceiveDatagram(context.Background(), buf); err != errStreamOver {
		t.Errorf("after the end ReceiveDatagram returned %v", err)
	}
	tr.waitIdle(t)
	if n := tr.count(); n != 1 {
		t.Errorf("there are %d connections", n)
	}
}

// An HTTP datagram of a request that has none, as a GET, ends the request with H3_DATAGRAM_ERROR (RFC 9297, section 2).
func TestClientUnwantedDatagram(t *testing.T) {
	told := make(chan error, 1)
	ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/after" {
			return
		}
		s, err := TakeOver(w)
		if err != nil {
			t.Error(err)
			return
		}
		if err := s.SendDatagram([]byte("unasked")); err != nil {
			t.Error(err)
		}
		<-s.Context().Done()
		told <- context.Cause(s.Context())
		s.Close()
	}, func(s *Server) { s.Datagrams = true })
	tr := ts.transport()
	tr.EnableDatagrams = true
	resp, err := tr.RoundTrip(newRequest(t, "GET", "https://localhost/", nil))
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	for _, err := range []error{err, <-told} {
		if e := (*quic.StreamError)(nil); !errors.As(err, &e) || e.Code != 0x33 {
			t.Errorf("%v, want H3_DATAGRAM_ERROR", err)
		}
	}
	fetch(t, tr, newRequest(t, "GET", "https://localhost/after", nil))
	if n := tr.count(); n != 1 {
		t.Errorf("there are %d connections", n)
	}
}

// What has arrived of datagrams when a stream is over in both directions can still be read, on either side.
func TestDatagramsAfterEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// meet sends datagrams, ends, reads to the end, and then what has arrived of datagrams.
		meet := func(s *Stream) (got string, err error) {
			for _, b := range []string{"one", "two", "three"} {
				if err := s.SendDatagram([]byte(b)); err != nil {
					return "", err
				}
			}
			s.Close()
			if _, err := io.ReadAll(s); err != nil {
				return "", err
			}
			<-s.Context().Done()
			for buf := make([]byte, 4); ; {
				n, err := s.ReceiveDatagram(context.Background(), buf)
				if err != nil {
					return got, err
				}
				got += string(buf[:n]) + " "
			}
		}
		type result struct {
			got string
			err error
		}
		server := make(chan result, 1)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			s, err := TakeOver(w)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := meet(s)
			server <- result{got, err}
		}, func(s *Server) { s.ExtendedConnect, s.Datagrams = true, true })
		tr := ts.transport()
		tr.EnableDatagrams = true
		req := newRequest(t, "CONNECT", "https://localhost/", nil)
		req.Header[":protocol"] = []string{"meeting"}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		s, err := StreamOf(resp)
		if err != nil {
			t.Fatal(err)
		}
		got, err := meet(s)
		for _, r := range []result{{got, err}, <-server} {
			if r.got != "one two thre " || r.err != errStreamOver { // of the last one four bytes fit
				t.Errorf("got %q, then %v", r.got, r.err)
			}
		}
		tr.CloseIdleConnections()
	})
}

// A request that is not CONNECT has no datagrams: where one comes it is ended with H3_DATAGRAM_ERROR (RFC 9297, section 2). Of CONNECT it is the handler's
// to say, also later.
func TestServerUnwantedDatagram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != "CONNECT" {
				<-r.Context().Done()
				ended <- exchangeOf(r).gone()
				return
			}
			time.Sleep(time.Second)
			s, err := TakeOver(w)
			if err != nil {
				t.Error(err)
				return
			}
			buf := make([]byte, 10)
			n, err := s.ReceiveDatagram(r.Context(), buf)
			if err != nil {
				t.Error(err)
			}
			s.WriteFinal(buf[:n])
		}, func(s *Server) { s.ExtendedConnect, s.Datagrams = true, true })
		p := ts.dial(func(c *quic.Config) { c.MaxDatagramFrameSize = 1200 })
		send := func(q *rawRequest) *rawRequest {
			if err := p.conn.SendDatagram(context.Background(), append(appendRawVarint(nil, q.s.ID()>>2), "hello"...)); err != nil {
				t.Error(err)
			}
			q.s.SetReadDeadline(time.Now().Add(time.Minute))
			return q
		}
		q := send(p.open()) // which comes before the request
		wantReset(h3.ErrCodeDatagram)(t, q.headers(head("POST", "/")...).reply())
		if err := <-ended; err == nil {
			t.Error("the handler is told of no cause")
		}
		q = p.open().headers(head("POST", "/")...)
		synctest.Wait()
		wantReset(h3.ErrCodeDatagram)(t, send(q).reply())
		<-ended
		q = p.open().headers(head("CONNECT", "/", ":protocol: echo")...)
		synctest.Wait()
		wantFields("body", "hello")(t, send(q).reply())
	})
}

// A tunnel that the server opens with 204 (No Content) is one like any other: all of what comes is read (RFC 9110, section 9.3.6).
func TestConnectNoContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokenH3(t, nil, nil, func(_ *quicnet.Conn, s *quicnet.Stream) {
			s.WriteFinal(append(rawFrame(1, rawSection(":status: 204")), rawFrame(0, []byte("hello"))...))
			io.Copy(io.Discard, s)
		})
		cc, err := b.auto.h3.(*Transport).DialClientConn(t.Context(), "example.com:443", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		for _, body := range []io.Reader{nil, strings.NewReader("x")} {
			resp, err := cc.RoundTrip(newRequest(t, "CONNECT", "https://example.com:443", body))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); string(got) != "hello" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			resp.Body.Close()
		}
	})
}
