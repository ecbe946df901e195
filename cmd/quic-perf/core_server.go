package main

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"time"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
	"github.com/boringquic/boringquic/quic"
)

func serveCore(ctx context.Context, o perf.ServerOptions, listening func(net.Addr)) error {
	conf := o.TLS.Clone()
	conf.NextProtos = []string{perf.ALPN}
	l, err := newCoreLoop(o.Listen, config(conf, o.UDPPayload), &coreServer{block: make([]byte, perf.BlockSize)})
	if err != nil {
		return err
	}
	defer l.sock.Close()
	listening(net.UDPAddrFromAddrPort(l.local))
	err = l.run(ctx, func() bool { return false })
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// coreServer serves the perf protocol. A connection's app is its map of streams.
type coreServer struct {
	block []byte // what is received; nobody looks
	free  []*coreAnswer
}

type coreAnswers = map[uint64]*coreAnswer

// coreAnswer is the state of a stream: first the request comes, and then the answer goes.
type coreAnswer struct {
	header [perf.HeaderSize]byte
	got    int    // bytes of header
	left   uint64 // bytes of the answer that are to be sent
}

func (s *coreServer) onEvent(_ time.Time, c *coreConn, ev quic.Event) {
	switch ev.Kind {
	case quic.EventHandshakeComplete:
		c.app = make(coreAnswers)
	case quic.EventReadable:
		s.read(c, ev.Stream)
	case quic.EventWritable:
		if a := c.app.(coreAnswers)[ev.Stream]; a != nil {
			s.write(c, ev.Stream, a)
		}
	}
}

func (s *coreServer) onTurn(time.Time, *coreConn) {}

func (s *coreServer) read(c *coreConn, id uint64) {
	answers, ok := c.app.(coreAnswers)
	if !ok {
		return // before the handshake is complete
	}
	a := answers[id]
	if a == nil {
		a = s.newAnswer()
		answers[id] = a
	}
	for {
		n, fin, err := c.StreamRecv(id, s.block)
		if err != nil {
			s.end(c, id, a)
			return
		}
		if a.got < len(a.header) {
			a.got += copy(a.header[a.got:], s.block[:n])
		}
		if fin {
			a.left = binary.BigEndian.Uint64(a.header[:])
			s.write(c, id, a)
			return
		}
		if n == 0 {
			return
		}
	}
}

func (s *coreServer) write(c *coreConn, id uint64, a *coreAnswer) {
	for {
		p := coreZeros[:min(a.left, uint64(len(coreZeros)))]
		n, err := c.StreamSend(id, p, uint64(len(p)) == a.left)
		a.left -= uint64(n)
		if err != nil || (n == len(p) && a.left == 0) {
			s.end(c, id, a)
			return
		}
		if n < len(p) {
			return // EventWritable comes
		}
	}
}

func (s *coreServer) newAnswer() *coreAnswer {
	if n := len(s.free); n > 0 {
		a := s.free[n-1]
		s.free = s.free[:n-1]
		return a
	}
	return new(coreAnswer)
}

func (s *coreServer) end(c *coreConn, id uint64, a *coreAnswer) {
	delete(c.app.(coreAnswers), id)
	*a = coreAnswer{}
	s.free = append(s.free, a)
}

// coreZeros is what is sent.
var coreZeros [perf.BlockSize]byte
