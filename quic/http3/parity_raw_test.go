package http3_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// rawClient is a client that says what a row has it say, byte by byte where that matters: one connection.
type rawClient interface {
	open() rawStream
	close() // the connection, at once, without a word more than that
}

// rawStream is one request.
type rawStream interface {
	headers(end bool, fields ...field) // the head; a second time the trailers
	data(p string, end bool)
	cancel() // gives the request up
	response() *rawResponse
}

type field struct{ name, value string }

// rawResponse is what came back, when it was over.
type rawResponse struct {
	status  string
	header  http.Header // names as on the wire
	body    string
	trailer http.Header
	interim []string // statuses
	end     string   // "": a clean end; else the reset's code, or "closed" for the connection's end
	stopped string   // HTTP/3: the code of STOP_SENDING
}

// head is the pseudo-fields of a request and fields beside them.
func head(method, path string, more ...field) []field {
	return append([]field{{":method", method}, {":scheme", "https"}, {":authority", "a.test"}, {":path", path}}, more...)
}

// raw connects a client of the row's mode.
func (w *world) raw(s *server) rawClient {
	w.Helper()
	switch w.mode {
	case h1:
		return w.rawH1(s)
	case h2:
		return w.rawH2(s)
	}
	return w.rawH3(s)
}

// dialTLS is the secure connection below HTTP/1.1 and HTTP/2.
func (w *world) dialTLS(s *server, alpn string) *tls.Conn {
	w.Helper()
	c, err := w.net.dial(w.Context(), s.name)
	w.ok(err)
	_, roots := pki()
	host, _, _ := net.SplitHostPort(s.name)
	tc := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: host, NextProtos: []string{alpn}})
	w.Cleanup(func() { tc.Close() })
	w.ok(tc.Handshake())
	return tc
}

// HTTP/1.1.

type rawH1Client struct {
	w    *world
	conn *tls.Conn
	r    *bufio.Reader
}

func (w *world) rawH1(s *server) rawClient {
	conn := w.dialTLS(s, "http/1.1")
	return &rawH1Client{w, conn, bufio.NewReader(conn)}
}

func (c *rawH1Client) open() rawStream { return &rawH1Stream{c: c} }
func (c *rawH1Client) close()          { c.conn.NetConn().Close() }

type rawH1Stream struct {
	c       *rawH1Client
	method  string
	chunked bool
	started bool
}

func (s *rawH1Stream) headers(end bool, fields ...field) {
	if s.started { // trailers
		var b strings.Builder
		b.WriteString("0\r\n")
		for _, f := range fields {
			fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
		}
		io.WriteString(s.c.conn, b.String()+"\r\n")
		return
	}
	s.started = true
	pseudo := make(map[string]string)
	var lines strings.Builder
	length := false
	for _, f := range fields {
		if strings.HasPrefix(f.name, ":") {
			pseudo[f.name] = f.value
			continue
		}
		length = length || strings.EqualFold(f.name, "content-length")
		fmt.Fprintf(&lines, "%s: %s\r\n", f.name, f.value)
	}
	s.method = pseudo[":method"]
	target := pseudo[":path"]
	if s.method == "CONNECT" {
		target = pseudo[":authority"]
	}
	host := ""
	if a, ok := pseudo[":authority"]; ok {
		host = "Host: " + a + "\r\n"
	}
	if s.chunked = !end && !length && s.method != "CONNECT"; s.chunked {
		host += "Transfer-Encoding: chunked\r\n"
	}
	fmt.Fprintf(s.c.conn, "%s %s HTTP/1.1\r\n%s%s\r\n", s.method, target, host, lines.String())
}

func (s *rawH1Stream) data(p string, end bool) {
	switch {
	case !s.chunked:
		io.WriteString(s.c.conn, p)
		if end {
			s.c.conn.CloseWrite()
		}
		return
	case p != "":
		fmt.Fprintf(s.c.conn, "%x\r\n%s\r\n", len(p), p)
	}
	if end {
		io.WriteString(s.c.conn, "0\r\n\r\n")
	}
}

func (s *rawH1Stream) cancel() { s.c.close() }

func (s *rawH1Stream) response() *rawResponse {
	out := &rawResponse{header: http.Header{}, trailer: http.Header{}}
	for {
		resp, err := http.ReadResponse(s.c.r, &http.Request{Method: s.method})
		if err != nil {
			out.end = "closed"
			return out
		}
		if resp.StatusCode < 200 && resp.StatusCode != 101 {
			out.interim = append(out.interim, fmt.Sprint(resp.StatusCode))
			continue
		}
		out.status, out.header = fmt.Sprint(resp.StatusCode), resp.Header
		b, err := io.ReadAll(resp.Body)
		out.body, out.trailer = string(b), resp.Trailer
		if err != nil {
			out.end = "closed"
		}
		return out
	}
}

// rawInbox collects what comes on the streams of a multiplexed connection.
type rawInbox struct {
	mu   sync.Mutex
	cond *sync.Cond
	over string // the connection's end
}

func newInbox() *rawInbox {
	b := new(rawInbox)
	b.cond = sync.NewCond(&b.mu)
	return b
}

// tell runs f under the lock and wakes whoever waits.
func (b *rawInbox) tell(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	b.cond.Broadcast()
}

// wait waits until done says so, or the connection is over.
func (b *rawInbox) wait(done func() bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !done() && b.over == "" {
		b.cond.Wait()
	}
}

// rawMessage is a message while it comes.
type rawMessage struct {
	rawResponse
	done bool
}

// onFields takes a section of fields: interim, the head, or trailers.
func (m *rawMessage) onFields(fields []field) {
	h := http.Header{}
	for _, f := range fields {
		h[f.name] = append(h[f.name], f.value)
	}
	if status := h[":status"]; status != nil {
		delete(h, ":status")
		if strings.HasPrefix(status[0], "1") {
			m.interim = append(m.interim, status[0])
			return
		}
		m.status, m.header = status[0], h
		return
	}
	m.trailer = h
}

// outcome is what became of a request, in a word or two.
func (r *rawResponse) outcome() string {
	switch {
	case r.end != "":
		return r.end
	case r.status >= "400":
		return "refused"
	}
	return "served"
}

func fieldsText(fields []field) string {
	var out []string
	for _, f := range fields {
		out = append(out, f.name+"="+f.value)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
