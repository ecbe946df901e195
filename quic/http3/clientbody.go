package http3

import (
	"errors"
	"io"
	"net/http"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// respBody is the Body of a response: what the server sends is read from the connection when it is asked for, and not before, so that a slow
// reader holds back the server and nobody else.
type respBody struct {
	cl   *call
	resp *http.Response // whose Trailer is set at the end
}

var errBodyClosed = errors.New("http3: the response body is closed")

// Read implements io.Reader. At the end the error is io.EOF, and the response's Trailer is complete. One that matches
// io.ErrUnexpectedEOF says that the server, or the connection, has ended the body before its time.
func (b *respBody) Read(p []byte) (n int, err error) {
	cl, waited := b.cl, false
	defer func() {
		if waited {
			cl.signal() // who else waits, in another goroutine, looks as well
		}
	}()
	for {
		cl.mu.Lock()
		if len(cl.pre) > 0 {
			n = copy(p, cl.pre)
			cl.pre = cl.pre[n:]
		}
		err = cl.readErr
		more := len(cl.pre) > 0
		cl.mu.Unlock()
		switch {
		case more || n > 0 && err == nil || len(p) == 0 && err == nil:
			return n, nil
		case err == io.EOF:
			b.setTrailer()
			return n, err
		case err != nil && n > 0:
			return n, nil // it is told next
		case err != nil:
			return n, err
		}
		n, err = cl.read(p)
		if n > 0 || err != nil {
			if err == io.EOF {
				b.setTrailer()
			}
			return n, err
		}
		waited = true
		<-cl.wake
	}
}

// read reads what there is, without waiting.
func (cl *call) read(p []byte) (n int, err error) {
	cc := cl.cc
	cc.qc.Do(func(t *quicnet.Turn) {
		var fin bool
		n, fin, err = cc.h3.StreamRecv(cl.id, p)
		cc.handleEvents(t) // the trailer section may have been come to
		if err == nil && !fin {
			return
		}
		if over := t.Core.Err(); over != nil && errors.Is(err, over) {
			cc.onCutOff(over) // what had come before the connection's end is not all
		}
		cl.mu.Lock()
		if cl.readErr == nil {
			cl.readErr = io.EOF
			if err != nil {
				cl.readErr = bodyFailure(err)
			}
		}
		err = cl.readErr
		cl.mu.Unlock()
		cl.settle(t)
	})
	return n, err
}

func (b *respBody) setTrailer() {
	cl := b.cl
	cl.mu.Lock()
	trailer := cl.trailer
	cl.trailer = nil
	cl.mu.Unlock()
	if trailer == nil {
		return
	}
	if b.resp.Trailer == nil {
		b.resp.Trailer = trailer
		return
	}
	for k, vv := range trailer {
		b.resp.Trailer[k] = vv
	}
}

// Close implements io.Closer. What was not read is not wanted, and what of the request was not sent yet will not be; the connection serves
// other requests on.
func (b *respBody) Close() error {
	b.cl.close()
	return nil
}

// close ends the call for its user.
func (cl *call) close() {
	cl.mu.Lock()
	over := cl.finished
	cl.pre = nil
	if over {
		cl.readErr = errBodyClosed
	}
	cl.mu.Unlock()
	if over {
		return
	}
	cl.cc.qc.Do(func(t *quicnet.Turn) {
		cl.abort(t, errBodyClosed, final)
		cl.cc.handleEvents(t)
	})
	cl.mu.Lock()
	cl.readErr = errBodyClosed
	cl.mu.Unlock()
}

// tunnelBody is the Body of the response to a CONNECT request without a Body of its own: it is written to as well.
type tunnelBody struct{ respBody }

// Write sends p to the other end of the tunnel.
func (b *tunnelBody) Write(p []byte) (n int, err error) {
	n, err = b.cl.stream.Write(p)
	return n, b.cl.sendFailure(err)
}

// CloseWrite ends what we send; reading goes on.
func (b *tunnelBody) CloseWrite() error {
	err := b.cl.stream.Close()
	b.cl.onSent()
	return b.cl.sendFailure(err)
}

// onSent notes that all was sent.
func (cl *call) onSent() {
	cl.mu.Lock()
	last := !cl.sent
	cl.sent = true
	over := last && cl.readErr != nil && !cl.finished
	cl.mu.Unlock()
	cl.signal() // RoundTrip counts time from now on
	if over {
		cl.cc.qc.Do(func(t *quicnet.Turn) { cl.settle(t) })
	}
}

// sendFailure returns what to tell of an error of a Stream.
func (cl *call) sendFailure(err error) error {
	if err == nil {
		return nil
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.readErr != nil && cl.readErr != io.EOF {
		return cl.readErr
	}
	return err
}

// bodyError is why a response's body ended before its time. It matches io.ErrUnexpectedEOF beside what it unwraps to.
type bodyError struct{ err error }

func (e *bodyError) Error() string        { return e.err.Error() }
func (e *bodyError) Unwrap() error        { return e.err }
func (e *bodyError) Is(target error) bool { return target == io.ErrUnexpectedEOF }

// bodyFailure returns what a reader of the body is told.
func bodyFailure(err error) error {
	if errors.Is(err, errBodyClosed) {
		return err
	}
	return &bodyError{streamFailure(err)}
}
