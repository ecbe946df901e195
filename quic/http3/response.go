package http3

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// response is the http.ResponseWriter of a request. It is the handler's to keep; what costs memory is in a responseState, which is another
// request's when the handler has returned. So mu stands between a goroutine that the handler has left behind and that.
type response struct {
	x *exchange

	mu     sync.Mutex     // nobody waits for the client while it has it
	state  *responseState // nil: the handler has returned
	header http.Header
}

// responseState is what a response needs while its handler runs. It is guarded by response.mu.
type responseState struct {
	busy   bool          // a goroutine writes to the stream, without mu; nothing but busy and idle may be touched meanwhile
	idle   chan struct{} // closed when that ends; nil: nobody waits for it
	buf    [bufferSize]byte
	n      int // bytes of buf that wait
	fields []qpack.Field
	msg    h3.Message
	length lengthText

	responseNotes
}

// lengthText is the value of the Content-Length field that was made last: many responses are of the same length.
type lengthText struct {
	n    int64
	text string
}

func (l *lengthText) of(n int64) string {
	if n != l.n || l.text == "" {
		l.n, l.text = n, strconv.FormatInt(n, 10)
	}
	return l.text
}

// responseNotes are what is known of a response.
type responseNotes struct {
	trailers []string // names that were declared, in canonical form
	status   int      // 0: not known yet
	declared int64    // what Content-Length says; -1: there is none
	written  int64    // bytes
	err      error    // why nothing more can be written
	sent     bool     // the header section was
	overrun  bool     // more was written than declared
	typed    bool     // Content-Type is there, or must not be
	encoded  bool     // Content-Encoding is there: the type cannot be told from the first bytes
	dated    bool     // Date is there, or must not be
	closing  bool     // Connection: close
	tookOver bool     // by TakeOver
}

var responseStates = sync.Pool{New: func() any { return &responseState{fields: make([]qpack.Field, 0, 32)} }}

// release gives st to other responses.
func (st *responseState) release() {
	clear(st.fields)
	st.fields, st.msg, st.n, st.responseNotes = st.fields[:0], h3.Message{}, 0, responseNotes{}
	if cap(st.fields) <= keepFields {
		responseStates.Put(st)
	}
}

// lock takes mu when no other goroutine writes.
func (w *response) lock() {
	w.mu.Lock()
	for w.state != nil && w.state.busy {
		w.await()
	}
}

// await lets go of mu until a goroutine that writes may have ended that.
func (w *response) await() {
	st := w.state
	if st.idle == nil {
		st.idle = make(chan struct{})
	}
	idle := st.idle
	w.mu.Unlock()
	<-idle
	w.mu.Lock()
}

// writeStream writes to the stream, which may wait for the client, and so lets go of mu meanwhile.
func (w *response) writeStream(p []byte) error {
	st := w.state
	st.busy = true
	w.mu.Unlock()
	_, err := w.x.openStream().Write(p)
	w.mu.Lock()
	st.busy = false
	if st.idle != nil {
		close(st.idle)
		st.idle = nil
	}
	return w.fail(err)
}

// lockLast takes mu when the handler has returned. A goroutine that it has left behind and that writes must not keep us, and what it writes
// is not the whole response: that is broken off.
func (w *response) lockLast() {
	w.mu.Lock()
	for w.state != nil && w.state.busy {
		w.x.abort(h3.ErrCodeInternal)
		w.await()
	}
}

// errHandlerReturned is what calls of a ResponseWriter fail with whose handler has returned.
var errHandlerReturned = errors.New("http3: the handler of the request has returned")

// Header returns the header map, which is sent with the first call that needs it.
func (w *response) Header() http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.headerMap()
}

func (w *response) headerMap() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader sends an interim response, or says what the final one will be.
func (w *response) WriteHeader(status int) {
	w.lock()
	defer w.mu.Unlock()
	w.writeHeader(status)
}

func (w *response) writeHeader(status int) {
	if w.state == nil {
		return
	}
	if w.state.status != 0 {
		f := caller()
		w.x.sc.logf("http3: superfluous WriteHeader call from %s (%s:%d)", f.Function, f.File, f.Line)
		return
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("http3: WriteHeader with status %d, which is not of three digits", status))
	}
	switch {
	case status == http.StatusSwitchingProtocols:
		// RFC 9114, section 4.5: "HTTP/3 does not support the HTTP Upgrade mechanism [...] or the 101 (Switching Protocols) informational
		// status code".
		panic("http3: WriteHeader with status 101, which HTTP/3 does not have (RFC 9114, section 4.5)")
	case status < 200:
		w.sendInterim(status)
	default:
		w.state.status = status
		w.snapshot()
	}
}

// caller returns the first frame that is not of this package.
func caller() (frame runtime.Frame) {
	pc := make([]uintptr, 16)
	frames := runtime.CallersFrames(pc[:runtime.Callers(1, pc)])
	for more := true; more; {
		frame, more = frames.Next()
		if !strings.HasPrefix(frame.Function, packagePath+".") {
			break
		}
	}
	return frame
}

const packagePath = "github.com/boringquic/boringquic/quic/http3"

// bodyAllowed tells whether a response of a status has a body (RFC 9110, section 6.4.1).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// isTunnel tells whether the response makes the stream a tunnel (RFC 9110, section 9.3.6), in which there is no content whose length or type
// could be told.
func (w *response) isTunnel() bool {
	return w.x.req.Method == http.MethodConnect && w.state.status >= 200 && w.state.status < 300
}

// sendInterim sends an interim response, with the header map as it is (RFC 8297, section 2).
func (w *response) sendInterim(status int) {
	st := w.state
	for key, values := range w.header {
		name, ok := wireName(key)
		if ok && name != "content-length" && !connectionSpecific(name) {
			st.fields = appendField(st.fields, name, values)
		}
	}
	st.msg = h3.Message{Status: status, ContentLength: -1, Fields: st.fields}
	var err error
	w.x.sc.conn.Do(func(t *quicnet.Turn) {
		_, err = w.x.sc.h3.SendResponse(t.Now, w.x.id, &st.msg, nil, false) // if the client is gone, the next write tells
	})
	w.logUnsendable(err)
	st.fields = st.fields[:0]
}

// snapshot takes the fields of the response from the header map: what is done to that later has no effect.
func (w *response) snapshot() {
	st := w.state
	st.declared = -1
	length := "" // the spelling of Content-Length that counts
	for key, values := range w.header {
		name, ok := wireName(key)
		if !ok {
			continue
		}
		switch name {
		case "content-length":
			if length == "" || key == "Content-Length" || length != "Content-Length" && key < length {
				length = key
			}
			continue // it is made of the number
		case "content-type":
			st.typed = true
		case "content-encoding":
			st.encoded = st.encoded || len(values) > 0 && values[0] != ""
		case "date":
			st.dated = true
		case "trailer":
			w.declareTrailers(values)
		case "connection":
			st.closing = st.closing || httpguts.HeaderValuesContainsToken(values, "close")
		}
		if !connectionSpecific(name) {
			st.fields = appendField(st.fields, name, values)
		}
	}
	if length != "" { // else a handler may have set a field without a name
		w.declare(w.header[length])
	}
}

// declare takes the length of the body from a Content-Length field. Of several that are spelt differently net/http's spelling counts, or else the
// one that sorts first: the order of a map is nobody's wish. What is no number is dropped, as over HTTP/2.
func (w *response) declare(values []string) {
	if len(values) == 0 || w.state.status == http.StatusNoContent || w.isTunnel() { // RFC 9110, section 8.6
		return
	}
	if n, err := strconv.ParseUint(values[0], 10, 63); err == nil {
		w.state.declared = int64(n)
	}
}

func (w *response) declareTrailers(values []string) {
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			w.declareTrailer(textproto.TrimString(name))
		}
	}
}

// declareTrailer notes the name of a field that may be sent after the body (RFC 9110, section 6.5.1).
func (w *response) declareTrailer(name string) {
	name = http.CanonicalHeaderKey(name)
	if name == "" {
		return
	}
	if !httpguts.ValidTrailerHeader(name) {
		w.x.sc.logf("http3: the trailer %q is not allowed, and not sent", name)
		return
	}
	if !slices.Contains(w.state.trailers, name) {
		w.state.trailers = append(w.state.trailers, name)
	}
}

// Write writes a piece of the body.
func (w *response) Write(p []byte) (int, error) { return write(w, p) }

// WriteString is Write for a string.
func (w *response) WriteString(s string) (int, error) { return write(w, s) }

// write is Write for both kinds of text.
func write[T []byte | string](w *response, p T) (n int, err error) {
	w.lock()
	defer w.mu.Unlock()
	if err := w.mayWrite(len(p)); err != nil {
		return 0, err
	}
	w.state.written += int64(len(p))
	for st := w.state; len(p)-n > len(st.buf)-st.n; {
		if w.isHead() {
			copy(st.buf[st.n:], p[n:])
			st.n = len(st.buf) // nobody will see it but who tells its type
			return len(p), nil
		}
		if b, ok := any(p).([]byte); ok && st.n == 0 {
			if err := w.send(b[n:], false); err != nil {
				return n, err
			}
			return len(p), nil
		}
		m := copy(st.buf[st.n:], p[n:])
		st.n += m
		n += m
		if err := w.flush(); err != nil {
			return n, err
		}
	}
	w.state.n += copy(w.state.buf[w.state.n:], p[n:])
	return len(p), nil
}

func (w *response) isHead() bool { return w.x.req.Method == http.MethodHead }

// mayWrite checks that n bytes more of the body may be written, and chooses the status if nobody has.
func (w *response) mayWrite(n int) error {
	if w.state == nil {
		return errHandlerReturned
	}
	if w.state.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	switch {
	case w.state.err != nil:
		return w.state.err
	case !bodyAllowed(w.state.status):
		return http.ErrBodyNotAllowed
	case w.state.declared >= 0 && w.state.written+int64(n) > w.state.declared:
		w.state.overrun = true
		return http.ErrContentLength
	}
	return nil
}

// ReadFrom is what io.Copy uses: it spares it a buffer.
func (w *response) ReadFrom(r io.Reader) (n int64, err error) {
	buf := copyBuffers.Get().(*[64 << 10]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, buf[:])
}

var copyBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// Flush sends what was written.
func (w *response) Flush() { w.FlushError() }

// FlushError is Flush with the reason why that failed: the client has given the request up, or the connection has ended.
func (w *response) FlushError() error {
	w.lock()
	defer w.mu.Unlock()
	if w.state == nil {
		return errHandlerReturned
	}
	if w.state.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	if w.state.err != nil {
		return w.state.err
	}
	if w.state.sent && w.state.n == 0 || w.isHead() && w.state.sent {
		return w.send(nil, false) // which tells whether there is still anybody
	}
	return w.flush()
}

// flush sends what waits in the buffer.
func (w *response) flush() error {
	st := w.state
	p := st.buf[:st.n]
	if w.isHead() {
		return w.send(nil, false)
	}
	st.n = 0
	return w.send(p, false)
}

// send sends the header section, if that has not left, and then p as a piece of the body. A response to HEAD, and others that have no
// body, end with their header section.
func (w *response) send(p []byte, fin bool) error {
	if w.state.err != nil {
		return w.state.err
	}
	if !w.state.sent {
		fin = fin || w.isHead() || !bodyAllowed(w.state.status)
		n := 0
		x := w.x
		w.makeHead(p, false)
		var err error
		x.sc.conn.Do(func(t *quicnet.Turn) {
			n, err = w.sendHead(t, p, fin)
			x.sc.drain(t)
		})
		if w.state.sent = true; err != nil {
			w.logUnsendable(err)
			return w.fail(err)
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
	}
	if w.isHead() || !bodyAllowed(w.state.status) {
		return w.fail(w.x.gone()) // nothing can follow; is there anybody still?
	}
	return w.writeStream(p)
}

// fail notes why nothing can be written any more, and returns it.
func (w *response) fail(err error) error {
	if err == nil {
		return nil
	}
	if w.state.err == nil {
		w.state.err = w.x.explain(err)
	}
	return w.state.err
}

// logUnsendable says that a part of a response was not sent for what it is: nobody else tells that to a handler that has returned.
func (w *response) logUnsendable(err error) {
	if errors.As(err, new(*h3.MessageError)) || errors.Is(err, h3.ErrFieldSectionTooLarge) {
		r := &w.x.req
		w.x.sc.logf("http3: the response to %s %s of %s could not be sent: %v", r.Method, r.RequestURI, r.RemoteAddr, err)
	}
}

// makeHead makes the header section of the final response, but for the value of Date. p is the beginning of the body; whole says that it
// is all of it.
func (w *response) makeHead(p []byte, whole bool) {
	st := w.state
	if n, ok := w.contentLength(len(p), whole); ok {
		st.fields = append(st.fields, qpack.Field{Name: "content-length", Value: st.length.of(n)})
	}
	if w.isHead() {
		p = st.buf[:st.n]
	}
	if len(p) > 0 && !st.typed && !st.encoded && !w.isTunnel() && bodyAllowed(st.status) {
		st.fields = append(st.fields, qpack.Field{Name: "content-type", Value: http.DetectContentType(p)})
	}
	if !st.dated {
		st.fields = append(st.fields, qpack.Field{Name: "date"})
	}
	st.msg = h3.Message{Status: st.status, ContentLength: -1, Fields: st.fields}
}

// sendHead sends what makeHead has made, and as much of p as there is room for.
func (w *response) sendHead(t *quicnet.Turn, p []byte, fin bool) (n int, err error) {
	st := w.state
	if f := st.msg.Fields; !st.dated {
		f[len(f)-1].Value = dateOf(t.Now)
	}
	n, err = w.x.sc.h3.SendResponse(t.Now, w.x.id, &st.msg, p, fin)
	if st.closing {
		w.x.sc.shutdown(t)
	}
	return n, err
}

// contentLength returns the length of the body that is told to the client, if any is: what was declared, or how much there is if that is
// known to be all.
func (w *response) contentLength(n int, whole bool) (length int64, ok bool) {
	switch {
	case w.state.declared >= 0:
		return w.state.declared, true
	case !whole || !bodyAllowed(w.state.status) || w.isTunnel():
		return 0, false
	case w.isHead():
		return w.state.written, w.state.written > 0
	}
	return int64(n), true
}

// finish ends the response, when the handler has returned. What the client may not take for complete is reset.
func (w *response) finish() {
	x := w.x
	w.lockLast()
	defer w.mu.Unlock()
	st := w.state
	defer func() {
		w.state = nil
		st.release()
	}()
	if st.tookOver {
		return
	}
	if st.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	bodiless := w.isHead() || !bodyAllowed(st.status)
	if st.overrun || st.declared >= 0 && st.written < st.declared && !bodiless {
		x.abort(h3.ErrCodeInternal)
		return
	}
	if st.err != nil {
		x.abort(h3.ErrCodeInternal)
		return
	}
	w.conclude(bodiless)
}

// conclude sends what is left of a response, and its end. Nearly always that takes one turn.
func (w *response) conclude(bodiless bool) {
	x, sc := w.x, w.x.sc
	p := w.state.buf[:w.state.n]
	first := !w.state.sent
	if first {
		w.makeHead(p, true)
	} else if bodiless {
		x.settle()
		return
	}
	if bodiless {
		p = nil
	}
	trailers := w.trailerFields()
	fin := len(trailers) == 0 || bodiless
	done := false
	var err error
	sc.conn.Do(func(t *quicnet.Turn) {
		n := 0
		if first {
			n, err = w.sendHead(t, p, fin)
		} else {
			n, err = sc.h3.StreamSend(x.id, p, fin)
		}
		if p = p[n:]; err == nil && len(p) == 0 {
			if !fin {
				err = sc.h3.SendTrailers(t.Now, x.id, trailers)
			}
			done = true
			x.settleNow(t)
		}
		sc.drain(t)
	})
	w.state.sent = true
	if done || err != nil {
		if err != nil {
			w.logUnsendable(err)
			x.abort(h3.ErrCodeInternal)
		}
		return
	}
	st := w.state
	w.state = nil // who comes now, from a goroutine that was left behind, is told that the handler has returned, and need not wait with us
	w.mu.Unlock()
	w.concludeSlowly(p, fin, trailers)
	w.mu.Lock()
	w.state = st
}

// concludeSlowly is conclude where the client takes the rest only little by little.
func (w *response) concludeSlowly(p []byte, fin bool, trailers []qpack.Field) {
	x := w.x
	s := x.openStream()
	var err error
	if fin {
		_, err = s.WriteFinal(p)
	} else if _, err = s.Write(p); err == nil {
		x.sc.conn.Do(func(t *quicnet.Turn) {
			err = x.sc.h3.SendTrailers(t.Now, x.id, trailers)
			x.sc.drain(t)
		})
	}
	if err != nil {
		w.logUnsendable(err)
		x.abort(h3.ErrCodeInternal)
		return
	}
	x.settle()
}

// trailerFields returns the fields that follow the body: those that were declared, and those whose names begin with http.TrailerPrefix.
func (w *response) trailerFields() []qpack.Field {
	st := w.state
	start := len(st.fields)
	var promoted []string
	for key, values := range w.header {
		name, ok := strings.CutPrefix(key, http.TrailerPrefix)
		if !ok {
			continue
		}
		name = http.CanonicalHeaderKey(name)
		if !httpguts.ValidTrailerHeader(name) {
			w.x.sc.logf("http3: the trailer %q is not allowed, and not sent", name)
			continue
		}
		st.fields = appendTrailer(st.fields, name, values)
		promoted = append(promoted, name)
	}
	for _, name := range st.trailers {
		if !slices.Contains(promoted, name) {
			st.fields = appendTrailer(st.fields, name, w.header[name])
		}
	}
	return st.fields[start:]
}

func appendTrailer(dst []qpack.Field, name string, values []string) []qpack.Field {
	if name, ok := wireName(name); ok && !connectionSpecific(name) {
		return appendField(dst, name, values)
	}
	return dst
}

// sendContinue asks the client for the body, unless it has been answered already, as it has where another goroutine writes.
func (w *response) sendContinue() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != nil && !w.state.sent && w.state.status == 0 {
		x := w.x
		x.sc.conn.Do(func(t *quicnet.Turn) {
			x.sc.h3.SendResponse(t.Now, x.id, &continueMessage, nil, false)
			x.sc.drain(t)
		})
	}
}

var continueMessage = h3.Message{Status: http.StatusContinue, ContentLength: -1}

// CloseNotify is what http.CloseNotifier was before there were contexts.
func (w *response) CloseNotify() <-chan bool {
	ch := make(chan bool, 1)
	w.x.ctx.AfterFunc(func() { ch <- true })
	return ch
}
