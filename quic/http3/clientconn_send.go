package http3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/internal/ctxerr"
	"github.com/boringquic/boringquic/quic/qpack"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// ErrExtendedConnect is the error of a request with ":protocol" to a server that has not said that it takes such (RFC 9220, section 3).
var ErrExtendedConnect = h3.ErrConnectNotEnabled

// outgoing is a request's header section while it is made. They are used again.
type outgoing struct {
	m      h3.Message
	fields []qpack.Field
	crumbs []string
}

var outgoings = sync.Pool{New: func() any { return new(outgoing) }}

// free gives it back, without what it holds of the request.
func (o *outgoing) free() {
	clear(o.fields)
	o.m, o.fields = h3.Message{}, o.fields[:0]
	outgoings.Put(o)
}

// fill makes the header section of a request. The error is for the caller of RoundTrip; nothing was sent.
func (o *outgoing) fill(r *attempt, gzip bool) (err error) {
	req, m := r.req, &o.m
	if m.Method = req.Method; m.Method == "" {
		m.Method = http.MethodGet
	}
	if m.Authority, err = authority(req); err != nil {
		return err
	}
	if vv := req.Header[":protocol"]; len(vv) > 0 {
		if m.Protocol = vv[0]; m.Protocol != "" && m.Method != http.MethodConnect {
			return errors.New("http3: invalid :protocol header in non-CONNECT request")
		}
	}
	if m.Method != http.MethodConnect || m.Protocol != "" {
		m.Scheme = req.URL.Scheme
		if m.Path, err = requestPath(req, m.Authority); err != nil {
			return err
		}
	}
	o.addFields(r)
	if sendsContentLength(m.Method, r.length) && m.Method != http.MethodConnect {
		o.add("content-length", strconv.FormatInt(r.length, 10))
	}
	if gzip {
		o.add("accept-encoding", "gzip")
	}
	if r.altUsed != "" {
		o.add("alt-used", r.altUsed)
	}
	if len(req.Trailer) > 0 {
		o.add("trailer", trailerNames(req.Trailer))
	}
	m.Fields, m.ContentLength = o.fields, -1
	return nil
}

func (o *outgoing) add(name, value string) {
	o.fields = append(o.fields, qpack.Field{Name: name, Value: value})
}

// addFields adds those of the request's Header.
func (o *outgoing) addFields(r *attempt) {
	agent := false
	for k, vv := range r.req.Header {
		name, ok := wireName(k)
		if !ok || connectionSpecific(name) && name != "te" {
			continue
		}
		switch name {
		case "host", "content-length": // are said by :authority and by ContentLength
		case "user-agent": // one at most; an empty one stands for none
			agent = true
			if len(vv) > 0 && vv[0] != "" {
				o.add(name, strings.Trim(vv[0], " \t"))
			}
		case "te": // RFC 9114, section 4.2
			if httpguts.HeaderValuesContainsToken(vv, "trailers") {
				o.add(name, "trailers")
			}
		case "cookie":
			for _, v := range vv {
				o.addCrumbs(v)
			}
		case "alt-used":
			if r.altUsed == "" {
				o.fields = appendField(o.fields, name, vv)
			}
		default:
			o.fields = appendField(o.fields, name, vv)
		}
	}
	if !agent {
		o.add("user-agent", defaultUserAgent)
	}
}

// addCrumbs adds the pairs of a Cookie value as a field each, which tables of QPACK find again (RFC 9114, section 4.2.1). Short ones could be guessed from
// the size of what is sent (RFC 9204, section 7.1), and stay out of tables.
func (o *outgoing) addCrumbs(v string) {
	for v != "" {
		crumb, rest, _ := strings.Cut(v, ";")
		v = rest
		if crumb = strings.Trim(crumb, " \t"); crumb != "" {
			o.fields = append(o.fields, qpack.Field{Name: "cookie", Value: crumb, Sensitive: len(crumb) < 20})
		}
	}
}

// trailerNames returns what the Trailer field says.
func trailerNames(trailer http.Header) string {
	names := make([]string, 0, len(trailer))
	for k := range trailer {
		names = append(names, http.CanonicalHeaderKey(k))
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// trailerFields returns the fields of a trailer section.
func trailerFields(trailer http.Header) (out []qpack.Field) {
	for k, vv := range trailer {
		if name, ok := wireName(k); ok && !connectionSpecific(name) {
			out = appendField(out, name, vv)
		}
	}
	return out
}

// roundTrip sends a request for which a place is reserved, and waits for its response. The error is a *failure where the request may
// perhaps be made again; the body is not closed then.
func (cc *ClientConn) roundTrip(r *attempt) (*http.Response, error) {
	req := r.req
	gzip := cc.t.asksForGzip(req)
	o := outgoings.Get().(*outgoing)
	err := o.fill(r, gzip)
	if err == nil {
		err = cc.mayBegin(req, o.m.Protocol != "", r)
	}
	if err != nil {
		o.free()
		cc.unreserve()
		return nil, err
	}
	cl := &call{
		cc: cc, wake: make(chan struct{}, 1), head: req.Method == http.MethodHead,
		connect: req.Method == http.MethodConnect, gzip: gzip, trace: r.trace, traced: wantsInterim(r.trace),
	}
	body, fin, err := cl.prepare(r)
	if err != nil {
		o.free()
		cc.unreserve()
		return nil, err
	}
	fields := tracedFields(r.trace, o)
	err = cl.send(o, body, fin, r)
	o.free()
	if err != nil {
		return nil, err
	}
	if r.trace != nil {
		cl.traceSent(fields, fin && cl.upload == nil)
	}
	if cl.upload != nil {
		go cl.upload.run()
	}
	resp, err := cl.await(r)
	if err == nil && resp.StatusCode == http.StatusTooEarly && cl.early && !r.late {
		resp.Body.Close()
		r.late = true
		return nil, &failure{err: errTooEarly, kind: tooEarly}
	}
	return resp, err
}

// errTooEarly is why a request that the server has answered with 425 is made again (RFC 8470, section 5.2).
var errTooEarly = errors.New("http3: the server does not take the request as early data")

// mayBegin waits until the request can be sent: where it must not be early data, for the end of the handshake; where it is extended
// CONNECT, for the server's settings.
func (cc *ClientConn) mayBegin(req *http.Request, extended bool, r *attempt) error {
	if cc.tls.Load() == nil && (r.late || !mayBeEarly(req)) {
		if err := cc.until(req, cc.established); err != nil {
			return err
		}
	}
	if !extended {
		return nil
	}
	if err := cc.until(req, cc.settings); err != nil {
		return err
	}
	if !cc.connects.Load() {
		return ErrExtendedConnect
	}
	return nil
}

// until waits for a channel to be closed.
func (cc *ClientConn) until(req *http.Request, ch <-chan struct{}) error {
	ctx := req.Context()
	select {
	case <-ch:
	case <-ctx.Done():
		return ctxerr.Of(ctx)
	case <-req.Cancel:
		return errRequestCanceled
	}
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.err != nil {
		return &failure{err: cc.err, kind: cc.fateOf(cc.err, unsent)}
	}
	return nil
}

// prepare decides how the body is sent: what is in memory and small goes with the header, and for all else there is a goroutine. fin: the end
// follows.
func (cl *call) prepare(r *attempt) (body []byte, fin bool, err error) {
	req := r.req
	switch {
	case cl.connect && req.Body == nil: // the response's Body is written to
		return nil, false, nil
	case r.length == 0 && (len(req.Trailer) == 0 || cl.connect):
		return nil, true, nil
	case r.length == 0: // which is no body that would have to be there again for another try
		cl.upload = &upload{call: cl, body: &trackedBody{ReadCloser: http.NoBody}, trailer: req.Trailer}
		return nil, false, nil
	case r.eager != nil:
		return r.eager, true, nil
	}
	waits := cl.cc.t.ExpectContinueTimeout > 0 && r.length != 0 && httpguts.HeaderValuesContainsToken(req.Header["Expect"], "100-continue")
	if !waits && !cl.connect && 0 < r.length && r.length <= maxEagerBody && len(req.Trailer) == 0 && inMemory(req.Body) {
		body = make([]byte, r.length+1)
		n, err := io.ReadFull(r.body, body)
		r.body.Close()
		switch {
		case err == nil:
			return nil, false, errBodyTooLong
		case int64(n) < r.length:
			return nil, false, errBodyTooShort
		}
		r.eager = body[:n]
		return r.eager, true, nil
	}
	cl.upload = &upload{call: cl, body: r.body, left: r.length, trailer: req.Trailer}
	if cl.connect {
		cl.upload.left = -1
	}
	if waits {
		cl.upload.patience, cl.upload.held, cl.upload.go100 = cl.cc.t.ExpectContinueTimeout, true, make(chan struct{}, 1)
	}
	return nil, false, nil
}

// send sends the header section and what of the body goes with it.
func (cl *call) send(o *outgoing, body []byte, fin bool, r *attempt) (err error) {
	cc := cl.cc
	openable, n := 0, 0
	cc.qc.Do(func(t *quicnet.Turn) {
		cl.id, n, err = cc.h3.SendRequest(t.Now, &o.m, body, fin)
		if err == nil {
			cc.h3.SetStreamData(cl.id, cl)
			cc.requests++
			cl.number = cc.requests
			cc.link(t, cl)
			cl.early = !t.Core.IsEstablished()
			switch cl.sent = fin && n == len(body); {
			case !cl.sent && cl.upload == nil && n < len(body): // a goroutine sends the rest
				cl.upload = &upload{call: cl, body: &trackedBody{ReadCloser: http.NoBody}, first: body[n:]}
				fallthrough
			case !cl.sent:
				cl.stream = t.Stream(cl.id)
				if cl.isTunnel() {
					if cc.tunnels == nil {
						cc.tunnels = make(map[uint64]*call)
					}
					cc.tunnels[cl.id] = cl
				}
			}
			cc.onSent(t)
		}
		openable = t.Core.StreamsOpenable(false)
		if err == nil {
			cc.onOpened(openable)
		}
		if openable == 0 {
			cc.noteBlocked(t)
		}
		cc.handleEvents(t)
	})
	switch {
	case err == nil:
		r.sent = true
		return nil
	case errors.Is(err, h3.ErrStreamLimit):
		cc.setOpenable(openable)
		cc.unreserve()
		return &failure{err: err, kind: crowded}
	case errors.Is(err, h3.ErrGoingAway), errors.Is(err, net.ErrClosed):
		cc.unreserve()
		return &failure{err: err, kind: unsent}
	}
	cc.unreserve()
	return err
}

// await waits for the response.
func (cl *call) await(r *attempt) (*http.Response, error) {
	ctx := r.req.Context()
	timeout := cl.cc.t.ResponseHeaderTimeout
	var timer *time.Timer
	var expired <-chan time.Time
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	for {
		cl.mu.Lock()
		interims := cl.interim
		if cl.interim = nil; cl.traced {
			cl.interimBytes = 0
		}
		resp, failed, sent, started := cl.resp, cl.failed, cl.sent, cl.started
		if !cl.published {
			resp = nil
		}
		cl.mu.Unlock()
		if r.trace != nil {
			if err := cl.traceReceived(interims, started); err != nil {
				cl.cancel(err)
				r.closeBody()
				return nil, err
			}
			if cl.upload != nil && slices.ContainsFunc(interims, func(i interim) bool { return i.status == http.StatusContinue }) {
				cl.upload.signal() // not before that was told
			}
		}
		switch {
		case resp != nil:
			cl.watch(ctx)
			return resp, nil
		case failed != nil:
			return nil, failed
		}
		if sent && timeout > 0 && timer == nil {
			timer = time.NewTimer(timeout)
			expired = timer.C
		}
		if err := cl.pause(ctx, r.req, expired); err != nil {
			cl.cancel(err)
			r.closeBody()
			return nil, err
		}
	}
}

// pause waits for something to happen.
func (cl *call) pause(ctx context.Context, req *http.Request, expired <-chan time.Time) error {
	if ctx.Done() == nil && req.Cancel == nil && expired == nil {
		<-cl.wake
		return nil
	}
	select {
	case <-cl.wake:
		return nil
	case <-ctx.Done():
		return ctxerr.Of(ctx)
	case <-req.Cancel:
		return errRequestCanceled
	case <-expired:
		return &headerTimeoutError{}
	}
}
