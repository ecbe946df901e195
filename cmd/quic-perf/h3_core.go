package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
)

// h3CoreStack measures package h3 over the bare core, in the loop that measures the core.
var h3CoreStack = &perf.Stack{
	HTTP: true,
	About: func(payload int) perf.About {
		a := aboutH3("h3 over the core", payload)
		a.Serves = []string{perf.LoadIdle}
		return a
	},
	Serve: serveH3Core,
	Loop:  &perf.Loop{Bulk: bulkH3Core, Requests: requestsH3Core, Usage: usageH3},
}

func serveH3Core(ctx context.Context, o perf.ServerOptions, listening func(net.Addr)) error {
	conf := o.TLS.Clone()
	conf.NextProtos = []string{alpnH3}
	h3Config, err := new(h3.Config).Prepare()
	if err != nil {
		return err
	}
	s := &h3CoreServer{cfg: h3Config, block: make([]byte, perf.BlockSize)}
	l, err := newCoreLoop(o.Listen, config(conf, o.UDPPayload), s)
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

// h3CoreServer serves HTTP/3. A connection's app is its *h3.Conn.
type h3CoreServer struct {
	cfg    *h3.Config
	block  []byte // what is received; nobody looks
	free   []*h3Answer
	reply  h3.Message
	size   uint64 // that reply tells
	second int64  // likewise
}

// h3Answer is the state of a request that has not been answered to the end.
type h3Answer struct {
	left  uint64 // bytes of the answer that are to be sent
	begun bool   // its header section was sent
}

func (s *h3CoreServer) onEvent(now time.Time, c *coreConn, ev quic.Event) {
	if ev.Kind == quic.EventHandshakeComplete {
		h, err := h3.New(now, c.Conn, s.cfg)
		if err != nil {
			c.Close(now, true, uint64(h3.ErrCodeInternal), err.Error())
			return
		}
		c.app = h
	}
	if h, ok := c.app.(*h3.Conn); ok {
		h.HandleEvent(now, &ev)
	}
}

func (s *h3CoreServer) onTurn(now time.Time, c *coreConn) {
	h, ok := c.app.(*h3.Conn)
	if !ok {
		return // before the handshake is complete
	}
	for ev := h.NextEvent(); ev != nil; ev = h.NextEvent() {
		switch ev.Kind {
		case h3.EventRequest:
			s.onRequest(now, h, ev)
		case h3.EventData:
			s.read(now, h, ev.Stream, ev.Data.(*h3Answer))
		case h3.EventWritable:
			s.write(now, h, ev.Stream, ev.Data.(*h3Answer))
		case h3.EventDone:
			if a, ok := ev.Data.(*h3Answer); ok {
				*a = h3Answer{}
				s.free = append(s.free, a)
			}
		}
	}
}

func (s *h3CoreServer) onRequest(now time.Time, h *h3.Conn, ev *h3.Event) {
	want, ok := perf.ParsePath(ev.Message.Path)
	if !ok {
		_, _ = h.SendResponse(now, ev.Stream, &h3.Message{Status: http.StatusNotFound}, nil, true) // the connection may be over
		_ = h.StreamShutdown(ev.Stream, quic.ReadDirection, h3.ErrCodeNoError)
		return
	}
	if ev.Fin && want <= perf.BlockSize { // all at once
		if n, err := s.respond(now, h, ev.Stream, want); err != nil || n == want {
			return
		} else {
			s.keep(h, ev.Stream, h3Answer{want - n, true})
		}
		return
	}
	a := s.keep(h, ev.Stream, h3Answer{left: want})
	if ev.Fin {
		s.write(now, h, ev.Stream, a)
	}
}

// keep notes what is to be sent yet.
func (s *h3CoreServer) keep(h *h3.Conn, id uint64, answer h3Answer) (a *h3Answer) {
	if n := len(s.free); n > 0 {
		a, s.free = s.free[n-1], s.free[:n-1]
	} else {
		a = new(h3Answer)
	}
	*a = answer
	h.SetStreamData(id, a)
	return a
}

// respond sends a header section, and as much of the body as there is room for.
func (s *h3CoreServer) respond(now time.Time, h *h3.Conn, id, want uint64) (n uint64, err error) {
	if now.Unix() != s.second || want != s.size {
		s.second, s.size = now.Unix(), want
		s.reply = h3.Message{Status: http.StatusOK, Fields: []qpack.Field{
			{Name: "content-type", Value: perf.ContentType},
			{Name: "content-length", Value: strconv.FormatUint(want, 10)},
			{Name: "date", Value: now.UTC().Format(http.TimeFormat)},
		}}
	}
	m, err := h.SendResponse(now, id, &s.reply, coreZeros[:min(want, perf.BlockSize)], want <= perf.BlockSize)
	return uint64(m), err
}

// read drops what has come of a request's body; at its end it is answered.
func (s *h3CoreServer) read(now time.Time, h *h3.Conn, id uint64, a *h3Answer) {
	for {
		n, fin, err := h.StreamRecv(id, s.block)
		if fin {
			s.write(now, h, id, a)
			return
		}
		if err != nil || n < len(s.block) {
			return // EventData comes, or EventDone
		}
	}
}

func (s *h3CoreServer) write(now time.Time, h *h3.Conn, id uint64, a *h3Answer) {
	if !a.begun {
		n, err := s.respond(now, h, id, a.left)
		if err != nil {
			return
		}
		a.left, a.begun = a.left-n, true
	}
	for a.left > 0 {
		p := coreZeros[:min(a.left, uint64(len(coreZeros)))]
		n, err := h.StreamSend(id, p, uint64(len(p)) == a.left)
		if err != nil {
			return
		}
		if a.left -= uint64(n); n < len(p) {
			return // EventWritable comes
		}
	}
}
