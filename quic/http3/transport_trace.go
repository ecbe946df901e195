package http3

import (
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"time"
)

// What httptrace.ClientTrace is told. Its functions are the program's: they are called by RoundTrip's goroutine, by that of an upload
// and by that of a dial, and never under a lock.

// got tells of the connection that a request was given.
func (r *attempt) got(cc *ClientConn, idle time.Duration) (*ClientConn, error) {
	reused := cc.used.Swap(true)
	if r.trace != nil && r.trace.GotConn != nil {
		r.trace.GotConn(httptrace.GotConnInfo{
			Conn: tracedConn{qc: cc.qc}, Reused: reused, WasIdle: idle > 0, IdleTime: idle,
		})
	}
	return cc, nil
}

// wantsInterim tells whether interim responses are to be kept for somebody.
func wantsInterim(trace *httptrace.ClientTrace) bool {
	return trace != nil && (trace.Got1xxResponse != nil || trace.Got100Continue != nil)
}

// traceSent tells of the header section, and of the whole request if that was all.
func (cl *call) traceSent(o []tracedField, complete bool) {
	if f := cl.trace.WroteHeaderField; f != nil {
		for _, field := range o {
			f(field.name, []string{field.value})
		}
	}
	if cl.trace.WroteHeaders != nil {
		cl.trace.WroteHeaders()
	}
	if complete {
		cl.traceWrote(nil)
	} else if cl.upload != nil && cl.upload.held && cl.trace.Wait100Continue != nil {
		cl.trace.Wait100Continue()
	}
}

// tracedField is a field that WroteHeaderField is told of.
type tracedField struct{ name, value string }

// tracedFields returns those of a request, nil if nobody wants to know.
func tracedFields(trace *httptrace.ClientTrace, o *outgoing) (out []tracedField) {
	if trace == nil || trace.WroteHeaderField == nil {
		return nil
	}
	return tracedSection(o)
}

// tracedSection returns all fields of a request, those that are pseudo first.
func tracedSection(o *outgoing) (out []tracedField) {
	for _, f := range []tracedField{
		{":authority", o.m.Authority}, {":method", o.m.Method}, {":path", o.m.Path}, {":scheme", o.m.Scheme}, {":protocol", o.m.Protocol},
	} {
		if f.value != "" {
			out = append(out, f)
		}
	}
	for i := range o.fields {
		out = append(out, tracedField{o.fields[i].Name, o.fields[i].Value})
	}
	return out
}

// traceWrote tells that the request was sent, or why it was not.
func (cl *call) traceWrote(err error) {
	if cl.trace != nil && cl.trace.WroteRequest != nil {
		cl.trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

// traceReceived tells of what has come. The error is the program's, which does not want the response then.
func (cl *call) traceReceived(interims []interim, started bool) error {
	if started && !cl.first {
		cl.first = true
		if cl.trace.GotFirstResponseByte != nil {
			cl.trace.GotFirstResponseByte()
		}
	}
	for _, in := range interims {
		if cl.trace.Got1xxResponse != nil {
			if err := cl.trace.Got1xxResponse(in.status, textproto.MIMEHeader(in.header)); err != nil {
				return err
			}
		}
		if in.status == http.StatusContinue && cl.trace.Got100Continue != nil {
			cl.trace.Got100Continue()
		}
	}
	return nil
}
