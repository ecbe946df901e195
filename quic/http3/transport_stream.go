package http3

import (
	"errors"
	"io"
	"net/http"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// errNotTunnel is what StreamOf returns for responses that have no stream of their own.
var errNotTunnel = errors.New("http3: the response is not that of a Transport to a CONNECT request without a Body, with a status of 2xx")

// StreamOf gives the stream of a response to a CONNECT request (also of extended CONNECT, RFC 9220), for protocols on top of HTTP/3. The request had no
// Body, and the response, with a status of 2xx, is the one that RoundTrip has returned: an http.Client with a Timeout wraps its Body. From
// then on the Stream is all that is to be used, not the response's Body; the context of the request has no say in it any more, and whoever has it must end it:
// Close and CancelRead, or Abort.
func StreamOf(resp *http.Response) (*Stream, error) {
	b, ok := resp.Body.(*tunnelBody)
	if !ok || resp.StatusCode > 299 {
		return nil, errNotTunnel
	}
	cl := b.cl
	cl.mu.Lock()
	stop := cl.stopDone
	cl.stopDone = nil
	cl.mu.Unlock()
	if stop != nil {
		stop()
	}
	cl.cc.qc.Do(func(*quicnet.Turn) {
		if cl.datagrams == nil {
			cl.datagrams = newInbox()
		}
	})
	return &Stream{cl.stream, cl}, nil
}

func (cl *call) do(f func(t *quicnet.Turn, c *h3.Conn)) {
	cl.cc.qc.Do(func(t *quicnet.Turn) {
		f(t, cl.cc.h3)
		cl.cc.handleEvents(t)
	})
}

func (cl *call) isOver() bool  { return cl.over || cl.cc.live.dead }
func (cl *call) inbox() *inbox { return cl.datagrams }

// StreamRecv implements quicnet.Protocol, for tunnels: other responses are read by their Body.
func (p *clientProtocol) StreamRecv(t *quicnet.Turn, id uint64, b []byte) (n int, fin bool, err error) {
	cl := p.tunnels[id]
	if cl == nil {
		return 0, false, quic.ErrStreamDirection
	}
	n, fin, err = p.h3.StreamRecv(id, b)
	(*ClientConn)(p).handleEvents(t)
	if cl.over && n == 0 { // the end, or that the stream failed, was told meanwhile
		cl.mu.Lock()
		defer cl.mu.Unlock()
		if cl.readErr == io.EOF {
			return 0, true, nil
		}
		return 0, false, cl.readErr
	}
	if fin || err != nil {
		cl.onReadOver(t, err)
	}
	return n, fin, nameError(err)
}

// StreamSend implements quicnet.Protocol.
func (p *clientProtocol) StreamSend(t *quicnet.Turn, id uint64, b []byte, fin bool) (n int, err error) {
	cl := p.tunnels[id]
	n, err = p.h3.StreamSend(id, b, fin)
	(*ClientConn)(p).handleEvents(t)
	if cl != nil && (err != nil || fin && n == len(b)) {
		cl.onWriteOver(t)
	}
	return n, err
}

// StreamShutdown implements quicnet.Protocol.
func (p *clientProtocol) StreamShutdown(t *quicnet.Turn, id uint64, dir quic.Direction, code uint64) error {
	cl := p.tunnels[id]
	err := p.h3.StreamShutdown(id, dir, h3.ErrorCode(code))
	(*ClientConn)(p).handleEvents(t)
	if cl != nil && dir&quic.ReadDirection != 0 {
		cl.onReadOver(t, &StreamError{Stream: id, Code: h3.ErrorCode(code)})
	}
	if cl != nil && dir&quic.WriteDirection != 0 {
		cl.onWriteOver(t)
	}
	return err
}

// onReadOver notes that nothing more will be read; err is nil at the end.
func (cl *call) onReadOver(t *quicnet.Turn, err error) {
	cl.mu.Lock()
	if cl.readErr == nil {
		cl.readErr = io.EOF
		if err != nil {
			cl.readErr = bodyFailure(err)
		}
	}
	cl.mu.Unlock()
	cl.datagrams.tell()
	cl.settle(t)
}

// onWriteOver notes that nothing more will be sent.
func (cl *call) onWriteOver(t *quicnet.Turn) {
	cl.mu.Lock()
	cl.sent = true
	cl.mu.Unlock()
	cl.settle(t)
}
