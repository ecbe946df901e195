package http3

import (
	"fmt"
	"net/http"
	"net/textproto"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
	"github.com/boringquic/boringquic/quic/quicnet"
)

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
		if status == http.StatusContinue {
			w.x.unset(markExpected) // the client has been asked
		}
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
	w.state.trailers = append(w.state.trailers, name)
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
