package http3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/boringquic/boringquic/quic"
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
