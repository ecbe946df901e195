package http3

import (
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// exchange is a request and its response at a server: all that they need in one piece of memory, but for the header.
// Nothing of it is used again for another request, since a handler may keep any of it.
type exchange struct {
	sc     *serverConn
	id     uint64
	req    http.Request
	ctx    requestContext
	w      response
	body   requestBody
	url    url.URL
	stream atomic.Pointer[quicnet.Stream] // nil until somebody reads or writes what a turn cannot

	// Guarded by the connection's lock.
	prev, next *exchange // of the connection's exchanges
	tunnel     *tunnel   // nil: it is an ordinary request
	writeBy    int64     // nanoseconds since the connection began; 0: no deadline for writing
	readBy     int64     // likewise, for reading; the Stream has it, too
	writeIndex int32     // in the connection's list of deadlines, -1: not there
	over       bool      // the handler has returned
	waits      bool      // it stands in the connection's queue of requests
	done       bool      // the stream is over

	bodiless bool          // nothing follows the header section
	connect  bool          // the method is CONNECT
	early    bool          // it came in early data
	wait     bool          // it is to be served when the handshake is complete
	marks    atomic.Uint32 // markLate and so on
}

// The marks of an exchange.
const (
	markLate     = 1 << iota // the deadline for writing has passed
	markExpected             // the client waits for 100 (Continue)
	markEnded                // the body was read to its end
	markClosed               // the body is not to be read any more
	markDeadline             // the handler has set a deadline for reading, or has taken the stream over
)

func (x *exchange) has(mark uint32) bool { return x.marks.Load()&mark != 0 }

// set sets a mark, and tells whether it was not there. unset is the reverse.
func (x *exchange) set(mark uint32) bool   { return !x.has(mark) && x.marks.Or(mark)&mark == 0 }
func (x *exchange) unset(mark uint32) bool { return x.has(mark) && x.marks.And(^mark)&mark != 0 }

// tunnel is what an extended CONNECT has, or a stream that was taken over.
type tunnel struct {
	protocol  string
	datagrams *inbox // nil: nobody reads them
}

// newExchange makes a request of a header section. The error says what in it is no HTTP.
func newExchange(sc *serverConn, t *quicnet.Turn, ev *h3.Event) (*exchange, error) {
	m := ev.Message
	x := &exchange{sc: sc, id: ev.Stream, bodiless: ev.Fin, connect: m.Method == http.MethodConnect, early: m.Early, writeIndex: -1}
	if m.Protocol != "" {
		x.tunnel = &tunnel{protocol: m.Protocol}
	}
	x.ctx.x, x.w.x, x.body.x = x, x, x
	if err := x.parseTarget(m); err != nil {
		return nil, err
	}
	r := http.Request{
		Method: m.Method, URL: &x.url, Proto: "HTTP/3.0", ProtoMajor: 3, Header: makeHeader(m.Fields), Host: m.Authority,
		ContentLength: m.ContentLength, Body: http.NoBody, RemoteAddr: sc.remoteAddr(t), RequestURI: m.Path, TLS: sc.tlsState(t),
	}
	if r.RequestURI == "" {
		r.RequestURI = m.Authority // of CONNECT, as over HTTP/1.1
	}
	if !ev.Fin {
		r.Body = &x.body
	}
	x.readFields(&r, m)
	x.req = *r.WithContext(&x.ctx) // which is compiled into this function: no other Request is made
	sc.limitRate(x)
	return x, nil
}

// readFields takes from the header what is not a matter of the handler, and what it finds elsewhere.
func (x *exchange) readFields(r *http.Request, m *h3.Message) {
	for i := range m.Fields {
		switch f := &m.Fields[i]; f.Name {
		case "expect":
			if httpguts.HeaderValuesContainsToken([]string{f.Value}, "100-continue") {
				delete(r.Header, "Expect")
				if !x.bodiless {
					x.set(markExpected)
				}
			}
		case "trailer":
			for name := range strings.SplitSeq(f.Value, ",") {
				name = http.CanonicalHeaderKey(textproto.TrimString(name))
				if name == "" || name == "Transfer-Encoding" || name == "Trailer" || name == "Content-Length" {
					continue
				}
				if r.Trailer == nil {
					r.Trailer = make(http.Header)
				}
				r.Trailer[name] = nil
			}
			delete(r.Header, "Trailer")
		}
	}
	if m.Protocol != "" {
		r.Header[":protocol"] = []string{m.Protocol} // as net/http does over HTTP/2
	}
}

// parseTarget fills in the URL.
func (x *exchange) parseTarget(m *h3.Message) error {
	if m.Method == http.MethodConnect && m.Protocol == "" {
		x.url.Host = m.Authority
		return nil
	}
	if path, query, hasQuery := strings.Cut(m.Path, "?"); isPlainPath(path) && isVisible(query) {
		x.url.Path, x.url.RawQuery, x.url.ForceQuery = path, query, hasQuery && query == ""
		return nil
	}
	u, err := url.ParseRequestURI(m.Path)
	if err == nil {
		x.url = *u
	}
	return err
}

// isPlainPath tells whether a path means itself: url.ParseRequestURI would find nothing in it to be unescaped, escaped or refused.
func isPlainPath(p string) bool {
	if len(p) == 0 || p[0] != '/' || len(p) > 1 && p[1] == '/' {
		return false
	}
	for i := range len(p) {
		switch c := p[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '/', c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return true
}

func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Serve calls the handler. It is a quicnet.Task.
func (x *exchange) Serve() {
	sc := x.sc
	returned := false
	defer func() {
		if !returned {
			x.onPanic(recover())
		}
		x.end()
	}()
	sc.begin(x)
	if x.wait && !x.waitForHandshake() {
		x.abort(h3.ErrCodeRequestRejected) // RFC 9114, section 4.1.1: nothing was done for it
		returned = true
		return
	}
	x.w.state = responseStates.Get().(*responseState)
	sc.srv.serveHTTP(&x.w, &x.req)
	x.cleanUp()
	x.w.finish()
	returned = true
}

// waitForHandshake has an early request become an ordinary one; false says that the connection, or the request, has ended before.
func (x *exchange) waitForHandshake() bool {
	if x.sc.conn.Handshake(&x.ctx) != nil {
		return false
	}
	x.sc.conn.Do(func(t *quicnet.Turn) { x.req.TLS = x.sc.tlsState(t) })
	return true
}

// cleanUp removes the files of a form.
func (x *exchange) cleanUp() {
	if f := x.req.MultipartForm; f != nil {
		f.RemoveAll()
	}
}

// onPanic has the client see that its request came to nothing. v is nil where the handler has ended its goroutine.
func (x *exchange) onPanic(v any) {
	if !x.takenOver() {
		x.abort(h3.ErrCodeInternal)
	}
	if v != nil && v != http.ErrAbortHandler {
		x.sc.srv.logPanic(x.req.RemoteAddr, v)
	}
	x.cleanUp()
	x.w.drop()
}

// takenOver tells whether the stream is no longer the handler's alone.
func (x *exchange) takenOver() bool {
	x.w.lockLast()
	defer x.w.mu.Unlock()
	return x.w.state != nil && x.w.state.tookOver
}

// end is when the handler has returned and all was done with the response that is to be done.
func (x *exchange) end() {
	if !x.over { // only this goroutine sets it
		x.sc.conn.Do(x.sc.onReturn)
	}
	x.set(markClosed)
	x.ctx.cancel(nil)
}

// abort ends both parts of the stream before their time.
func (x *exchange) abort(code h3.ErrorCode) {
	x.sc.conn.Do(func(t *quicnet.Turn) {
		x.sc.h3.StreamShutdown(x.id, quic.ReadDirection|quic.WriteDirection, code)
		x.settleNow(t)
		x.sc.drain(t)
	})
}

// settle notes that the response is complete, as far as the handler is concerned: what is left of the request is dropped.
func (x *exchange) settle() {
	x.sc.conn.Do(func(t *quicnet.Turn) {
		x.settleNow(t)
		x.sc.drain(t)
	})
}

func (x *exchange) settleNow(t *quicnet.Turn) {
	if !x.over {
		x.over = true
		x.sc.onReturn(t)
	}
	x.set(markClosed)
	x.stopReading(t)
	if s := x.stream.Load(); s != nil {
		t.End(s, errHandlerReturned)
	}
	x.sc.onAnswered(x)
}

// openStream returns the Stream on which bodies are read and written in the manner of package net.
func (x *exchange) openStream() *quicnet.Stream {
	if s := x.stream.Load(); s != nil {
		return s
	}
	x.sc.conn.Do(func(t *quicnet.Turn) {
		if x.stream.Load() != nil {
			return
		}
		s := t.Stream(x.id)
		if x.over {
			t.End(s, errHandlerReturned)
		}
		if x.readBy != 0 {
			t.SetReadDeadline(s, x.sc.time(x.readBy))
		}
		x.stream.Store(s)
	})
	return x.stream.Load()
}

// gone returns why there is nobody any more who wants the response, nil if there is.
func (x *exchange) gone() error {
	x.ctx.mu.Lock()
	defer x.ctx.mu.Unlock()
	return x.ctx.cause
}

// explain returns what to tell of an error of writing.
func (x *exchange) explain(err error) error {
	if x.has(markLate) {
		return fmt.Errorf("http3: write: %w", os.ErrDeadlineExceeded)
	}
	return nameError(err)
}

// drop gives back what the response took.
func (w *response) drop() {
	w.lockLast()
	defer w.mu.Unlock()
	if w.state != nil {
		w.state.release()
		w.state = nil
	}
}

// onTrailers keeps the trailer section for who reads to the end.
func (x *exchange) onTrailers(fields []qpack.Field) {
	kept := make([]qpack.Field, 0, len(fields))
	for _, f := range fields {
		if httpguts.ValidTrailerHeader(f.Canonical) {
			kept = append(kept, f)
		}
	}
	h := makeHeader(kept)
	x.body.trailers.Store(&h)
}
