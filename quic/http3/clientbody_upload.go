package http3

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// trackedBody is the Body of a request, closed once, of which it is known whether anything was read.
type trackedBody struct {
	io.ReadCloser
	read, closed atomic.Bool
	once         gate
	err          error // Close's
}

func (b *trackedBody) Read(p []byte) (int, error) {
	b.read.Store(true)
	n, err := b.ReadCloser.Read(p)
	if n < 0 || n > len(p) {
		if err == nil || err == io.EOF { // what it has not read is not the end
			err = errInvalidRead
		}
		return 0, err
	}
	return n, err
}

// errInvalidRead is why a request with a Body that breaks the rules of io.Reader fails, and nothing else does.
var errInvalidRead = errors.New("http3: the Read of the request's Body has returned an impossible number of bytes")

func (b *trackedBody) Close() error {
	b.closed.Store(true)
	b.once.do(func() { b.err = b.ReadCloser.Close() }) // who comes second waits, so that RoundTrip returns with the body closed
	return b.err
}

// upload sends a body, in a goroutine of its own.
type upload struct {
	call     *call
	body     *trackedBody
	left     int64         // bytes that the body must have yet; -1: nobody knows
	first    []byte        // was read before, and comes first
	trailer  http.Header   // of the request: what it has when the body was read
	patience time.Duration // for 100; with held
	held     bool          // the body is held back for 100. Guarded by call.mu, as is stopped
	stopped  bool
	go100    chan struct{} // holds a token when 100 has come, or the upload is stopped; nil: it is not held back
}

var (
	errBodyTooLong  = errors.New("http3: the request's body is longer than its ContentLength")
	errBodyTooShort = &shortBodyError{}
)

// shortBodyError says that a request's body ended too soon. It matches io.ErrUnexpectedEOF.
type shortBodyError struct{}

func (*shortBodyError) Error() string {
	return "http3: the request's body is shorter than its ContentLength"
}
func (*shortBodyError) Unwrap() error { return io.ErrUnexpectedEOF }

// uploadBuffers are what bodies are read into.
var uploadBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// run sends the body. What it cannot send ends the call.
func (u *upload) run() {
	cl := u.call
	err := u.send()
	u.body.Close()
	cl.mu.Lock()
	stopped := u.stopped
	cl.mu.Unlock()
	switch {
	case stopped:
		cl.traceWrote(nil)
		return
	case err != nil:
		cl.traceWrote(err)
		cl.cancel(err)
		return
	}
	cl.traceWrote(nil)
	cl.onSent()
}

func (u *upload) send() error {
	u.await100()
	stream := u.call.stream
	if _, err := stream.Write(u.first); err != nil {
		return err
	}
	buf := uploadBuffers.Get().(*[64 << 10]byte)
	defer uploadBuffers.Put(buf)
	for {
		n, err := u.body.Read(buf[:])
		if u.left >= 0 {
			if u.left -= int64(n); u.left == 0 && err == nil {
				err = u.probeEnd()
			}
			switch {
			case u.left < 0:
				return errBodyTooLong
			case err == io.EOF && u.left > 0:
				return errBodyTooShort
			}
		}
		switch {
		case err == io.EOF && len(u.trailer) == 0:
			_, err = stream.WriteFinal(buf[:n])
			return err
		case err == io.EOF:
			if _, err = stream.Write(buf[:n]); err != nil {
				return err
			}
			return u.call.sendTrailers(u.trailer)
		case err != nil:
			return err
		}
		if _, err := stream.Write(buf[:n]); err != nil {
			return err
		}
	}
}

// probeEnd reads once more where all that was declared has been read: the end may then leave with the last bytes, and more is found.
func (u *upload) probeEnd() error {
	var b [1]byte
	n, err := u.body.Read(b[:])
	u.left -= int64(n)
	return err
}

// await100 waits for the server to ask for the body.
func (u *upload) await100() {
	if u.go100 == nil {
		return
	}
	timer := time.NewTimer(u.patience)
	defer timer.Stop()
	select {
	case <-u.go100:
	case <-timer.C:
	}
	u.call.mu.Lock()
	u.held = false
	u.call.mu.Unlock()
}

// signal has a body that is held back be sent. call.mu is not held.
func (u *upload) signal() {
	if u.go100 == nil {
		return
	}
	select {
	case u.go100 <- struct{}{}:
	default:
	}
}

// stop has the goroutine end. It may wait in the body's Read, which Close ends; that is code of the program's, and we are in a turn.
func (u *upload) stop() {
	u.call.mu.Lock()
	u.stopped = true
	u.call.mu.Unlock()
	u.signal()
	if !u.body.closed.Swap(true) { // at once, so that RoundTrip knows
		go u.body.Close()
	}
}

// sendTrailers ends the request with its trailers, unless the upload was stopped meanwhile: where early data was rejected, the stream with its ID is
// another request's then.
func (cl *call) sendTrailers(trailer http.Header) (err error) {
	fields := trailerFields(trailer)
	cc := cl.cc
	cc.qc.Do(func(t *quicnet.Turn) {
		cl.mu.Lock()
		stopped := cl.sent
		cl.mu.Unlock()
		switch {
		case stopped:
			err = errUploadStopped
		case len(fields) == 0:
			_, err = cc.h3.StreamSend(cl.id, nil, true)
		default:
			err = cc.h3.SendTrailers(t.Now, cl.id, fields)
		}
		cc.handleEvents(t)
	})
	return err
}

// maxEagerBody is up to how many bytes a body that is in memory is read by RoundTrip itself and sent with the header, in bytes.
const maxEagerBody = 16 << 10

var (
	nopCloserType         = reflect.TypeOf(io.NopCloser(nil))
	nopCloserWriterToType = reflect.TypeOf(io.NopCloser(struct {
		io.Reader
		io.WriterTo
	}{}))
)

// inMemory tells whether a reader cannot wait: it is one of those that http.NewRequest knows the length of.
func inMemory(r io.Reader) bool {
	switch t := reflect.TypeOf(r); t {
	case nopCloserType, nopCloserWriterToType:
		return inMemory(reflect.ValueOf(r).Field(0).Interface().(io.Reader))
	}
	return isMemoryReader(r)
}

func isMemoryReader(r io.Reader) bool {
	switch r.(type) {
	case *bytes.Reader, *bytes.Buffer, *strings.Reader:
		return true
	}
	return false
}
