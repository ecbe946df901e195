package http3

import (
	"errors"
	"io"
	"net/http"
	"sync"

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

// responseNotes are what is known of a response.
type responseNotes struct {
	trailers []string // names that were declared, in canonical form, perhaps more than once
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

// logUnsendable says that a part of a response was not sent for what it is: nobody else tells that to a handler that has returned. That it is larger than
// the client accepts is said once for each connection: otherwise a client could have us write what it likes, as often as it likes.
func (w *response) logUnsendable(err error) {
	switch {
	case errors.As(err, new(*h3.MessageError)):
	case errors.Is(err, h3.ErrFieldSectionTooLarge):
		if w.x.sc.limitTold.Swap(true) {
			return
		}
	default:
		return
	}
	r := &w.x.req
	w.x.sc.logf("http3: the response to %s %.200s of %s could not be sent: %v", r.Method, r.RequestURI, r.RemoteAddr, err)
}

// CloseNotify is what http.CloseNotifier was before there were contexts.
func (w *response) CloseNotify() <-chan bool {
	ch := make(chan bool, 1)
	w.x.ctx.AfterFunc(func() { ch <- true })
	return ch
}
