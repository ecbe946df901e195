package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/internal/ctxerr"
	"github.com/boringquic/boringquic/quic/qpack"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// call is a request on a connection, and its response. It has two sides: RoundTrip, the response's Body and the goroutine of an upload on
// one, what the connection's turn tells of it on the other.
type call struct {
	cc      *ClientConn
	id      uint64
	head    bool // the method is HEAD
	connect bool // it is CONNECT
	gzip    bool // the transport has asked for compression
	early   bool // it was sent before the handshake was complete
	traced  bool // somebody wants interim responses
	trace   *httptrace.ClientTrace
	wake    chan struct{} // holds a token when RoundTrip, or a reader of the body, is to look again
	first   bool          // the first byte of a response was told of; RoundTrip's

	// Guarded by the connection's lock.
	number     uint64          // of the request on its connection, from 1
	stream     *quicnet.Stream // of an upload; nil: none
	prev, next *call
	linked     bool
	over       bool   // EventDone or EventRejected was told: there is no stream any more
	datagrams  *inbox // nil: nobody reads them

	mu           sync.Mutex // guards what follows; of other locks only ClientConn.mu is taken while it is held
	interim      []interim  // that came and were not looked at
	interimBytes uint64
	resp         *http.Response // the program's once it is published: turns read nothing of it after that
	bare         bool           // it has no body: nothing but the end is to come
	published    bool           // RoundTrip may have it: all that came in the same turn has been dealt with, such as trailers of a body that was read
	failed       *failure       // RoundTrip's
	started      bool           // something of a response came
	proceed      bool           // 100 came
	pre          []byte         // of the body, what was read in the turn
	readErr      error          // why nothing follows pre: io.EOF, or another error
	trailer      http.Header
	sent         bool // nothing more will be sent
	cut          bool // the end of what we send is still to be told: the upload was stopped
	finished     bool // both: the place is free
	upload       *upload
	stopDone     func() bool // ends the watch on the context; nil: there is none
}

// interim is an interim response.
type interim struct {
	status int
	header http.Header
}

// smallBody is up to how many bytes of a body are read in the turn that brings the response, in bytes: they cost a lock less then, and the
// stream is over.
const smallBody = 4 << 10

// signal has RoundTrip or a reader of the body look again.
func (cl *call) signal() {
	select {
	case cl.wake <- struct{}{}:
	default: // a token is there already
	}
}

// onInterim is told of an interim response.
func (cl *call) onInterim(t *quicnet.Turn, m *h3.Message) {
	cl.mu.Lock()
	cl.started = true
	for i := range m.Fields {
		cl.interimBytes += m.Fields[i].Size()
	}
	limit := cl.cc.maxHeader
	if cl.traced { // what was told does not count, and they may come faster than they are told
		limit = max(limit, interimBurst)
		cl.interimBytes += statusSize
	}
	tooMuch := cl.interimBytes > limit
	if cl.traced && !tooMuch {
		cl.interim = append(cl.interim, interim{m.Status, makeHeader(m.Fields)})
	}
	up, traced := cl.upload, cl.traced
	if m.Status == http.StatusContinue {
		cl.proceed = true
	}
	cl.mu.Unlock()
	if tooMuch {
		cl.abort(t, errInterimTooLarge, final)
		return
	}
	if up != nil && m.Status == http.StatusContinue && !traced { // else whoever tells the trace does it
		up.signal()
	}
	cl.signal()
}

// statusSize is how much :status takes of a section, in bytes as RFC 9114, section 4.2.2, counts.
const statusSize = uint64(len(":status")+len("103")) + 32

// onResponse is told of the response's header.
func (cl *call) onResponse(t *quicnet.Turn, m *h3.Message, fin bool) {
	cc := cl.cc
	cc.worked.Store(true)
	resp := &http.Response{
		Status: statusLine(m.Status), StatusCode: m.Status,
		Proto: "HTTP/3.0", ProtoMajor: 3,
		ContentLength: m.ContentLength, TLS: cc.tls.Load(),
	}
	resp.Header, resp.Trailer = responseHeader(m.Fields)
	noBody := cl.head || m.Status == http.StatusNoContent && !cl.connect || m.Status == http.StatusNotModified // RFC 9110, section 9.3.6
	if _, told := resp.Header["Content-Length"]; cl.head && !told {
		resp.ContentLength = -1
	}
	tunnel := cl.isTunnel() && m.Status <= 299
	if (fin || noBody) && !tunnel {
		resp.Body = http.NoBody
	} else {
		resp.Body = cl.body(resp, tunnel)
	}
	cl.mu.Lock()
	cl.started = true
	cl.resp, cl.bare = resp, resp.Body == http.NoBody
	if fin {
		cl.readErr = io.EOF
	}
	if cl.isTunnel() && !tunnel { // it was refused
		cl.sent, cl.cut = true, true
	}
	cl.mu.Unlock()
	if noBody && !fin {
		cl.skip(t)
	}
	if m.Status > 299 || cl.waitsToSend() {
		// The server will hardly want the body. What of the request is not sent yet is cut off when the response is over: to do so now might have the
		// server give up both.
		cl.stopUpload(t, false)
	}
	cl.settle(t)
	cc.fresh = append(cc.fresh, cl)
}

// publish gives the response to RoundTrip.
func (cl *call) publish() {
	cl.mu.Lock()
	cl.published = true
	cl.mu.Unlock()
	cl.signal()
}

// body returns the response's Body, and reads a small one that is there.
func (cl *call) body(resp *http.Response, tunnel bool) io.ReadCloser {
	if tunnel {
		return &tunnelBody{respBody{cl: cl, resp: resp}}
	}
	b := &respBody{cl: cl, resp: resp}
	if n := resp.ContentLength; 0 <= n && n <= smallBody {
		cl.readSmall(int(n))
	}
	if !cl.gzip || !strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		return b
	}
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength, resp.Uncompressed = -1, true
	return &gzipBody{body: b}
}

// readSmall reads a body of n bytes as far as it is there.
func (cl *call) readSmall(n int) {
	buf := make([]byte, n+1) // the end is found where there may be more
	got := 0
	for {
		m, fin, err := cl.cc.h3.StreamRecv(cl.id, buf[got:])
		got += m
		if fin || err != nil || m == 0 || got == len(buf) {
			if err != nil {
				cl.cc.tellBrokenOff(cl)
			}
			cl.mu.Lock()
			cl.pre = buf[:got]
			switch {
			case err != nil:
				cl.readErr = bodyFailure(err)
			case fin:
				cl.readErr = io.EOF
			}
			cl.mu.Unlock()
			return
		}
	}
}

// skip ends the response where there is no body: nothing of it is to come. The end itself, which the server may take its time for, or leave out, is read
// when it is there.
func (cl *call) skip(t *quicnet.Turn) {
	var buf [1]byte
	_, _, err := cl.cc.h3.StreamRecv(cl.id, buf[:])
	cl.mu.Lock()
	if cl.readErr == nil {
		if cl.readErr = io.EOF; err != nil {
			cl.readErr = bodyFailure(err)
		}
	}
	cl.mu.Unlock()
	cl.settle(t)
}

// onData is told that there is something to be read.
func (cl *call) onData(t *quicnet.Turn) {
	cl.mu.Lock()
	skip := cl.bare
	cl.mu.Unlock()
	if skip {
		cl.skip(t)
		return
	}
	if cl.isTunnel() {
		t.WakeRead(cl.stream)
	}
	cl.signal()
}

// isTunnel tells whether the response's Body is written to as well.
func (cl *call) isTunnel() bool { return cl.connect && cl.stream != nil && cl.upload == nil }

// onTrailers is told of the trailer section, which the response gets when its body has been read to the end.
func (cl *call) onTrailers(fields []qpack.Field) {
	h := makeHeader(fields)
	cl.mu.Lock()
	cl.trailer = h
	cl.mu.Unlock()
}

// onReset is told that the server has reset the stream, or that its response was malformed.
func (cl *call) onReset(t *quicnet.Turn, err error) {
	kind := final
	cl.mu.Lock()
	waited := cl.readErr == nil && !cl.bare
	cl.mu.Unlock()
	if e, ok := err.(*StreamError); ok && e.Remote && e.Code == h3.ErrCodeVersionFallback {
		kind = elsewhere
	} else if waited {
		cl.cc.tellBrokenOff(cl)
	}
	cl.fail(err, kind)
	cl.giveUp(t)
}

// refuseDatagram ends a request of which an HTTP datagram has come, and that is none that has such (RFC 9297, section 2).
func (cl *call) refuseDatagram(t *quicnet.Turn) {
	cl.cc.h3.StreamShutdown(cl.id, quic.ReadDirection|quic.WriteDirection, h3.ErrCodeDatagram)
	cl.onReset(t, errUnwantedDatagram(cl.id))
}

// giveUp ends what we send where there will be no response. The server has not necessarily asked for that: its stream, and whoever reads the
// request there, would wait for the end for ever.
func (cl *call) giveUp(t *quicnet.Turn) {
	cl.mu.Lock()
	if !cl.sent && cl.upload == nil { // a tunnel
		cl.sent, cl.cut = true, true
	}
	cl.mu.Unlock()
	cl.stopUpload(t, false)
	cl.settle(t)
	cl.datagrams.tell()
}

// onRejected is told that the server has not processed the request, and will not.
func (cl *call) onRejected(t *quicnet.Turn) {
	var err error = &h3.StreamError{Stream: cl.id, Code: h3.ErrCodeRequestRejected, Remote: true}
	kind := rejected
	if cl.early && t.Core.EarlyData() == quic.EarlyRejected {
		err, kind = quic.ErrEarlyDataRejected, tooEarly
	} else if !cl.cc.worked.Load() && (!cl.cc.isUsable() || cl.isAlone()) {
		cl.cc.tellBroken()
	}
	cl.fail(err, kind)
	cl.giveUp(t)
	cl.onDone(t) // nothing else is told of it
}

// isAlone tells whether there is no other call on the connection, so that it is not for their number that the server rejects this one.
func (cl *call) isAlone() bool { return cl.cc.first == cl && cl.next == nil }

// onStopped is told that the server wants no more of the request (STOP_SENDING). The response may come all the same.
func (cl *call) onStopped(t *quicnet.Turn) {
	cl.stopUpload(t, true)
	cl.settle(t)
}

// onLost is told that the connection is over. If it was not we who ended it, what of the response had arrived can still be read.
func (cl *call) onLost(t *quicnet.Turn, err error, kept bool) {
	cl.mu.Lock()
	waits, reading := cl.resp == nil, cl.readErr == nil
	cl.mu.Unlock()
	if waits || !kept {
		kind := cl.cc.fateOf(err, lost)
		if reading && kind != unsent && kind != unproved {
			cl.cc.onCutOff(err)
		}
		cl.fail(err, kind)
	}
	cl.stopUpload(t, true)
	cl.settle(t)
	cl.signal()
	cl.datagrams.tell()
}

// onDone is told that the stream is over.
func (cl *call) onDone(t *quicnet.Turn) {
	cl.over = true
	cl.datagrams.keep(cl.cc.h3, cl.id)
	cl.datagrams.tell()
	cl.cc.unlink(t, cl)
	// All was received, and what the program has not read yet is no more than the end.
	cl.onReadOver(t, nil)
	switch {
	case cl.isTunnel():
		delete(cl.cc.tunnels, cl.id)
		cl.mu.Lock()
		err := cl.readErr
		cl.mu.Unlock()
		t.End(cl.stream, err)
	case cl.stream != nil:
		t.End(cl.stream, errUploadStopped)
	}
	cl.signal()
}

// fail notes why there will be no response, or no more of it.
func (cl *call) fail(err error, kind failureKind) {
	cl.mu.Lock()
	if cl.resp == nil && cl.failed == nil {
		cl.failed = &failure{err: err, kind: kind}
	}
	if cl.readErr == nil {
		cl.readErr = bodyFailure(err)
	}
	cl.mu.Unlock()
	cl.signal()
}

// abort ends the call from our side, with H3_REQUEST_CANCELLED. It does nothing to one that is over.
func (cl *call) abort(t *quicnet.Turn, err error, kind failureKind) {
	cl.mu.Lock()
	reading, sending := cl.readErr == nil, !cl.sent || cl.cut
	if cl.resp == nil && cl.failed == nil {
		cl.failed = &failure{err: err, kind: kind}
	}
	if reading || len(cl.pre) > 0 { // what is dropped must not look like a body that has ended
		cl.readErr = err
	}
	cl.pre, cl.cut = nil, false
	cl.mu.Unlock()
	cl.stopUpload(t, true)
	if (reading || sending) && !cl.over {
		cl.cc.h3.StreamShutdown(cl.id, quic.ReadDirection|quic.WriteDirection, h3.ErrCodeRequestCancelled)
	}
	cl.settle(t)
	cl.signal()
}

// cancel is abort for who is not in a turn.
func (cl *call) cancel(err error) {
	cl.cc.qc.Do(func(t *quicnet.Turn) {
		cl.abort(t, err, final)
		cl.cc.handleEvents(t)
	})
}

// waitsToSend tells whether the body is still held back for 100.
func (cl *call) waitsToSend() bool {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.upload != nil && cl.upload.held && !cl.proceed
}

// stopUpload ends an upload that is under way. gone says that nothing more needs to be told to the server about it.
func (cl *call) stopUpload(t *quicnet.Turn, gone bool) {
	cl.mu.Lock()
	up := cl.upload
	stop := up != nil && !cl.sent
	if stop {
		cl.sent = true
		cl.cut = !gone
	} else if gone {
		cl.sent, cl.cut = true, false
	}
	cl.mu.Unlock()
	if stop {
		t.End(cl.stream, errUploadStopped)
		up.stop()
	}
}

// settle frees the call's place when both directions are over. An upload that was stopped is cut off when the response has ended.
func (cl *call) settle(t *quicnet.Turn) {
	cl.mu.Lock()
	cut, code := cl.cut && cl.readErr != nil, h3.ErrCodeNoError
	if cut {
		if cl.cut = false; cl.readErr != io.EOF {
			code = h3.ErrCodeRequestCancelled
		}
	}
	done := cl.readErr != nil && cl.sent && !cl.finished
	whole := cl.readErr == io.EOF && (done || !cl.cc.proved)
	if done {
		cl.finished = true
	}
	stop := cl.stopDone
	if cl.finished {
		cl.stopDone = nil
	}
	cl.mu.Unlock()
	if whole {
		cl.cc.tellWhole()
	}
	if cut && !cl.over {
		cl.cc.h3.StreamShutdown(cl.id, quic.WriteDirection, code)
	}
	if !done {
		return
	}
	if stop != nil {
		stop()
	}
	cl.cc.onFinished()
}

// isFinished tells whether nothing more is sent or received.
func (cl *call) isFinished() bool {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.finished
}

// watch has the call be cancelled when the context ends, though nobody is in a call. It is for a response that has been returned before it
// was complete.
func (cl *call) watch(ctx context.Context) {
	if ctx.Done() == nil {
		return
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if !cl.finished {
		cl.stopDone = context.AfterFunc(ctx, func() { cl.cancel(ctxerr.Of(ctx)) })
	}
}

// responseHeader makes the Header of a response, and a Trailer of the names that are announced.
func responseHeader(fields []qpack.Field) (h, trailer http.Header) {
	h = makeHeader(fields)
	announced, ok := h["Trailer"]
	if !ok {
		return h, nil
	}
	delete(h, "Trailer")
	trailer = make(http.Header)
	for _, v := range announced {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); name != "" {
				trailer[http.CanonicalHeaderKey(name)] = nil
			}
		}
	}
	return h, trailer
}

// statusLine returns what Response.Status says of a status.
func statusLine(status int) string {
	switch status {
	case http.StatusOK:
		return "200 OK"
	case http.StatusNoContent:
		return "204 No Content"
	case http.StatusNotModified:
		return "304 Not Modified"
	case http.StatusNotFound:
		return "404 Not Found"
	}
	return strconv.Itoa(status) + " " + http.StatusText(status)
}

var (
	errInterimTooLarge = errors.New("http3: the interim responses are larger than Transport.MaxResponseHeaderBytes")
	errUploadStopped   = errors.New("http3: the server wants no more of the request's body")
)
