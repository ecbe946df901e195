package h3

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

// spoilConnection does one thing, besides requests, that must end the connection.
func (g *gPlay) spoilConnection() {
	rng := g.rng
	control := func(why string, code ErrorCode, b []byte) func() {
		return func() { g.fault = connFault(why, code); g.send(g.control, false, b) }
	}
	uni := func(why string, code ErrorCode, fin bool, b ...byte) func() {
		return func() { g.fault = connFault(why, code); g.uni(fin, b) }
	}
	choices := []func(){
		control("DATA on control", ErrCodeFrameUnexpected, []byte{0, 1, 'x'}),
		control("HEADERS on control", ErrCodeFrameUnexpected, []byte{1, 0}),
		control("PUSH_PROMISE on control", ErrCodeFrameUnexpected, []byte{5, 1, 0}),
		control("second SETTINGS", ErrCodeFrameUnexpected, []byte{4, 0}),
		control("GOAWAY of 9 bytes", ErrCodeFrame, []byte{7, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0}),
		control("GOAWAY that is empty", ErrCodeFrame, []byte{7, 0}),
		control("GOAWAY with a byte too many", ErrCodeFrame, []byte{7, 2, 0, 0}),
		control("CANCEL_PUSH", ErrCodeID, []byte{3, 1, 0}),
		control("frame 2", ErrCodeFrameUnexpected, []byte{2, 0}),
		control("frame 9", ErrCodeFrameUnexpected, []byte{9, 0}),
		uni("a second control stream", ErrCodeStreamCreation, false, 0, 4, 0),
		uni("a second encoder stream", ErrCodeStreamCreation, false, 2),
		uni("a decoder stream that ends", ErrCodeClosedCriticalStream, true, 3),
		uni("an increment of 0", ErrCodeDecoderStream, false, 3, 0),
		uni("an increment beyond what was inserted", ErrCodeDecoderStream, false, 3, 1),
		uni("an acknowledgement of nothing", ErrCodeDecoderStream, false, 3, 0x80),
		func() {
			g.fault = connFault("the control stream is reset", ErrCodeClosedCriticalStream)
			g.peer.StreamShutdown(g.control, quic.WriteDirection, 0x10c)
		},
		func() {
			g.fault = connFault("the encoder stream ends", ErrCodeClosedCriticalStream)
			g.send(g.encoder, true)
			g.encSent = len(g.table.wire)
		},
		func() {
			g.fault = connFault("STOP_SENDING", ErrCodeClosedCriticalStream)
			g.settle()
			g.peer.StreamShutdown(g.side.local.ids[rng.IntN(3)], quic.ReadDirection, 0x10c)
		},
		func() {
			g.fault = connFault("an empty datagram", ErrCodeDatagram)
			g.mangle = nil // a datagram that is lost is not sent again
			g.peer.DatagramSend(nil)
		},
		func() {
			g.fault = connFault("a datagram of 2^60", ErrCodeDatagram)
			g.mangle = nil
			g.peer.DatagramSend(varint(1 << 60))
		},
	}
	if g.client {
		choices = append(choices, control("MAX_PUSH_ID", ErrCodeFrameUnexpected, []byte{13, 1, 0}), uni("a push stream", ErrCodeID, false, 1, 0),
			control("GOAWAY of no request", ErrCodeID, []byte{7, 1, 1}), control("GOAWAY that rises", ErrCodeID, []byte{7, 2, 0x40, 100, 7, 2, 0x40, 104}),
			control("PRIORITY_UPDATE", ErrCodeFrameUnexpected, append(varint(0xf0700), 1, 0)),
			func() {
				g.fault = connFault("a server's bidirectional stream", ErrCodeStreamCreation)
				g.bidi(false, []byte{0x21, 0})
			})
	} else {
		choices = append(choices, control("MAX_PUSH_ID that falls", ErrCodeID, []byte{13, 1, 5, 13, 1, 4}), uni("a client's push stream", ErrCodeStreamCreation, false, 1, 0),
			control("PRIORITY_UPDATE of a server's stream", ErrCodeID, append(varint(0xf0700), 1, 1)), control("PRIORITY_UPDATE of a push", ErrCodeID, append(varint(0xf0701), 1, 0)),
			control("PRIORITY_UPDATE, empty", ErrCodeFrame, append(varint(0xf0700), 0)), control("PRIORITY_UPDATE, cut", ErrCodeFrame, append(varint(0xf0700), 1, 0x40)),
			control("PRIORITY_UPDATE beyond the limit", ErrCodeID, append(varint(0xf0700), 8, 0xc0, 0, 1, 0, 0, 0, 0, 0)))
	}
	choices[rng.IntN(len(choices))]()
}

// judge holds what has happened to what the grammar says.
func (g *gPlay) judge() {
	t := g.t
	err := g.side.core.Err() // the peer may not have been told: the path was lossy
	if g.fault.wrong() {
		if s := g.faultOf; s != nil && (s.sent < s.faultAt || s.stopped || s.sent == len(s.wire) && s.fin && !s.ended) {
			if err == nil {
				g.judgeStreams(false)
				return // it has not come to that
			}
		}
		var e *quic.ApplicationError
		if !errors.As(err, &e) || e.Remote || !g.fault.allows(ErrorCode(e.Code)) {
			t.Errorf("%s: the connection: %v, want one of %v", g.fault.why, err, g.fault.codes)
		}
		g.judgeStreams(true)
		return
	}
	if err != nil {
		t.Errorf("nothing is wrong, and the connection: %v", err)
	}
	g.judgeStreams(false)
	for _, s := range g.order {
		g.peer.StreamShutdown(s.id, quic.ReadDirection|quic.WriteDirection, uint64(ErrCodeRequestCancelled))
	}
	g.pass(1e9)
	for _, s := range g.order {
		if !s.done {
			g.side.StreamShutdown(s.id, quic.ReadDirection|quic.WriteDirection, ErrCodeRequestCancelled)
		}
	}
	g.side.read()
	g.pass(3e9)
	c := g.side.Conn
	if c.requests != 0 || c.streams.len != 0 || c.held != 0 || len(c.work().starved)+len(c.work().backlog) > 0 || c.blocked.len+c.heads.len+c.ending.len > 0 || c.dec.Blocked() > 0 {
		t.Errorf("at the end: %d requests, %d streams, %d bytes held, %d starved, %d in the backlog, %d blocked (%d with the decoder), %d lingering",
			c.requests, c.streams.len, c.held, len(c.work().starved), len(c.work().backlog), c.blocked.len, c.dec.Blocked(), c.ending.len)
	}
	for _, s := range g.order {
		if !s.done && (s.told || g.client || s.tooBig) {
			t.Errorf("stream %d: its end was never told", s.id)
		}
	}
}

func (g *gPlay) judgeStreams(closed bool) {
	for _, s := range g.order {
		if why := g.misjudged(s, closed); why != "" {
			g.t.Errorf("%x\nstream %d (method %s, fault %+v at %d; %d of %d sent, fin %v, ended %v, reset %v, stopped %v, prompt %v, told %v, gave up %v, failed %v, err %v): %s",
				s.wire, s.id, s.method, s.fault, s.faultAt, s.sent, len(s.wire), s.fin, s.ended, s.reset, s.stopped, s.prompt, s.told, s.gaveUp, s.failed, s.err, why)
		}
	}
}

func (g *gPlay) misjudged(s *gStream, closed bool) string {
	if !bytes.HasPrefix(s.body, s.got) {
		return "what the application has read is not what was sent"
	}
	sentAll := s.sent == len(s.wire) && s.fin && s.ended && !s.reset
	if s.whole {
		if s.fault.wrong() || !sentAll {
			return "the application takes the message for complete"
		}
		if len(s.got) != len(s.body) && !s.gaveUp {
			return fmt.Sprintf("%d bytes of %d were read, and then the end", len(s.got), len(s.body))
		}
		same := len(s.trailer) == len(s.trailers)
		for i := range s.trailer {
			same = same && s.trailer[i].Name == s.trailers[i].Name && s.trailer[i].Value == s.trailers[i].Value
		}
		if !same && !s.gaveUp {
			return fmt.Sprintf("the trailers are %v, want %v", s.trailer, s.trailers)
		}
	}
	if why := g.answered(s); why != "" {
		return why
	}
	if closed || s.gaveUp || s.reset || s.stopped {
		return ""
	}
	if !s.fault.wrong() {
		if s.err != nil {
			return "the message is right, and the application is told of an error"
		}
		if sentAll && !s.whole {
			return "the message is right and complete, and the application was not told"
		}
		return ""
	}
	if s.fault.conn || s.sent < s.faultAt || s.faultAt == len(s.wire) && s.fin && !s.ended {
		return ""
	}
	if s.tooLarge && !g.client && s.tooBig {
		return ""
	}
	if g.client {
		if !s.fault.allows(s.failed) {
			return fmt.Sprintf("the application was told of %v, want one of %v", s.failed, s.fault.codes)
		}
		return ""
	}
	if s.told && !s.fault.allows(s.failed) {
		return fmt.Sprintf("the application was told of %v, want one of %v", s.failed, s.fault.codes)
	}
	if !s.told && !s.fault.allows(s.resetWith) {
		return fmt.Sprintf("the stream was reset with %v, want one of %v", s.resetWith, s.fault.codes)
	}
	return ""
}

// answered looks at what the peer has of a message of the side's: a complete one must be whole.
func (g *gPlay) answered(s *gStream) string {
	if !s.inEnd {
		return ""
	}
	if !s.complete || s.declared == -2 {
		return "the peer takes for complete what is not"
	}
	p, body := s.wireIn, []byte(nil)
	for len(p) > 0 {
		typ, length, used, ok := consumeFrameHeader(p)
		if !ok || uint64(len(p)-used) < length {
			return "a frame that is cut off, and the end"
		}
		part := p[used : used+int(length)]
		p = p[used+int(length):]
		switch typ {
		case frameData:
			body = append(body, part...)
		case frameHeaders:
			dec := qpack.NewDecoder(0, 0)
			if _, err := dec.Decode(0, part, nil, 1<<20); err != nil {
				return err.Error()
			}
		}
	}
	if want := s.answer; s.method != "HEAD" || g.client {
		if !bytes.Equal(body, want) {
			return fmt.Sprintf("the body is %d bytes, want %d", len(body), len(want))
		}
	} else if len(body) > 0 {
		return "a body in a response to HEAD"
	}
	return ""
}
