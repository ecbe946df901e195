package http3

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// requestBody is the Body of a request at a server. It reads from the memory that the transport received into, and has no buffer of its own.
type requestBody struct {
	x        *exchange
	trailers atomic.Pointer[http.Header] // that came behind it
}

// Read reads what has arrived, and waits while there is nothing.
func (b *requestBody) Read(p []byte) (int, error) {
	s, err := b.open()
	if err != nil {
		return 0, err
	}
	n, err := s.Read(p)
	return n, b.explain(err)
}

// WriteTo is what io.Copy uses.
func (b *requestBody) WriteTo(w io.Writer) (int64, error) {
	s, err := b.open()
	if err != nil {
		return 0, err
	}
	out := &noted{w: w}
	n, err := s.WriteTo(out)
	if out.err != nil {
		return n, out.err
	}
	if err == nil {
		b.explain(io.EOF)
	}
	return n, b.explain(err)
}

// noted notes a writer's error, to tell it from a reader's.
type noted struct {
	w   io.Writer
	err error
}

func (n *noted) Write(p []byte) (m int, err error) {
	m, n.err = n.w.Write(p)
	return m, n.err
}

// open returns the stream to read, and asks the client for the body first if it waits for that (RFC 9110, section 10.1.1).
func (b *requestBody) open() (*quicnet.Stream, error) {
	if b.x.has(markClosed) {
		return nil, http.ErrBodyReadAfterClose
	}
	if b.x.unset(markExpected) {
		b.x.w.sendContinue()
	}
	return b.x.openStream(), nil
}

// explain returns what to tell of an error of the stream.
func (b *requestBody) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		if b.x.set(markEnded) {
			b.mergeTrailers()
		}
		return io.EOF
	case b.x.has(markClosed):
		return http.ErrBodyReadAfterClose
	case b.x.has(markLate): // which has ended the stream
		return fmt.Errorf("http3: read: the time to write the response has passed: %w", os.ErrDeadlineExceeded)
	}
	return nameError(err)
}

// mergeTrailers puts the trailers where the handler looks for them.
func (b *requestBody) mergeTrailers() {
	t := b.trailers.Load()
	if t == nil {
		return
	}
	if r := &b.x.req; r.Trailer == nil {
		r.Trailer = *t
	} else {
		maps.Copy(r.Trailer, *t)
	}
}

// Close tells that nothing more is read: the client is asked to stop (RFC 9114, section 4.1) when it has the response, or if that takes long. The
// response goes on.
func (b *requestBody) Close() error {
	if !b.x.set(markClosed) || b.x.has(markEnded) {
		return nil
	}
	x := b.x
	x.sc.conn.Do(func(t *quicnet.Turn) {
		if x.over {
			return // the handler has returned before
		}
		x.stopReading(t)
	})
	return nil
}

// stopReading drops what is left of the body. The client is asked to stop when it has the response, as net/http closes a connection of HTTP/1.1
// some time after that: to curl with OpenSSL's QUIC, STOP_SENDING is an error, whatever response came with it. The connection's lock is held.
func (x *exchange) stopReading(t *quicnet.Turn) {
	if x.bodiless || x.has(markEnded) {
		return
	}
	x.sc.h3.StreamStopLater(t.Now, x.id, h3.ErrCodeNoError)
	if s := x.stream.Load(); s != nil {
		t.WakeRead(s)
	}
	x.sc.drain(t)
}
