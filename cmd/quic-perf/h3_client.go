package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
)

func bulkH3Core(ctx context.Context, t perf.Target, b *perf.Bulk, h perf.Hooks) (perf.Outcome, error) {
	return newH3Client(t).bulk(ctx, t, b, h)
}

func requestsH3Core(ctx context.Context, t perf.Target, r *perf.Requests, h perf.Hooks) (perf.Outcome, error) {
	return newH3Client(t).requests(ctx, t, r, h)
}

// newH3Client returns a client of HTTP/3 that does as little as can be.
func newH3Client(t perf.Target) *coreClient {
	p := &h3Exchanger{message: h3.Message{Scheme: "https", Authority: t.Addr}}
	for _, f := range perf.RequestFields {
		p.message.Fields = append(p.message.Fields, qpack.Field{Name: f[0], Value: f[1]})
	}
	c := &coreClient{exchanger: p, alpn: alpnH3}
	p.c = c
	return c
}

// h3Exchanger makes requests of HTTP/3. A connection's app is a *h3Exchanges.
type h3Exchanger struct {
	c       *coreClient
	message h3.Message
	down    uint64 // that message.Path wants
}

type h3Exchanges struct {
	*h3.Conn
	owed []perf.Exchange // they wait for the server to allow more requests
}

func (p *h3Exchanger) open(now time.Time, conn *coreConn) error {
	h, err := h3.New(now, conn.Conn, nil)
	conn.app = &h3Exchanges{Conn: h}
	return err
}

func (p *h3Exchanger) onEvent(now time.Time, conn *coreConn, ev quic.Event) {
	if h, ok := conn.app.(*h3Exchanges); ok {
		h.HandleEvent(now, &ev)
	}
}

func (p *h3Exchanger) onTurn(now time.Time, conn *coreConn) {
	h, ok := conn.app.(*h3Exchanges)
	if !ok {
		return // before the handshake is complete
	}
	for ev := h.NextEvent(); ev != nil; ev = h.NextEvent() {
		x, _ := ev.Data.(*coreExchange)
		switch ev.Kind {
		case h3.EventResponse:
			if ev.Message.Status != http.StatusOK {
				p.c.fail(fmt.Errorf("the server's answer is %d", ev.Message.Status))
			}
			if ev.Fin {
				p.c.end(now, conn, x)
			}
		case h3.EventData:
			p.read(now, conn, h, ev.Stream, x)
		case h3.EventWritable:
			p.write(h, ev.Stream, x)
		case h3.EventReset:
			p.c.fail(ev.Err)
		case h3.EventStopped:
			if ev.Code != h3.ErrCodeNoError {
				p.c.fail(fmt.Errorf("the server stopped a request with code %v", ev.Code))
			}
		case h3.EventRejected, h3.EventGoAway:
			p.c.fail(errors.New("the server takes no more requests"))
		case h3.EventCapacity:
			owed := h.owed
			h.owed = nil
			for _, e := range owed {
				p.start(now, conn, e)
			}
		}
	}
}

func (p *h3Exchanger) start(now time.Time, conn *coreConn, e perf.Exchange) {
	h := conn.app.(*h3Exchanges)
	if p.message.Path == "" || p.down != e.Down {
		p.message.Path, p.down = perf.PathOf(e.Down), e.Down
	}
	p.message.Method = http.MethodGet
	if e.Up > 0 {
		p.message.Method = http.MethodPost
	}
	first := coreZeros[:min(e.Up, uint64(len(coreZeros)))]
	id, n, err := h.SendRequest(now, &p.message, first, uint64(len(first)) == e.Up)
	if errors.Is(err, h3.ErrStreamLimit) {
		h.owed = append(h.owed, e)
		return
	}
	if err != nil {
		p.c.fail(err)
		return
	}
	x := &coreExchange{Exchange: e, began: now, sent: uint64(n)}
	h.SetStreamData(id, x)
	p.c.count(n)
	if n == len(first) && x.sent < e.Up {
		p.write(h, id, x)
	}
}

// write sends what is left of a request's body, as much as can be sent now.
func (p *h3Exchanger) write(h *h3Exchanges, id uint64, x *coreExchange) {
	for x.sent < x.Up {
		b := coreZeros[:min(x.Up-x.sent, uint64(len(coreZeros)))]
		n, err := h.StreamSend(id, b, x.sent+uint64(len(b)) == x.Up)
		if err != nil {
			p.c.fail(err)
			return
		}
		x.sent += uint64(n)
		p.c.count(n)
		if n < len(b) {
			return // EventWritable comes
		}
	}
}

// read takes what has come of a response's body.
func (p *h3Exchanger) read(now time.Time, conn *coreConn, h *h3Exchanges, id uint64, x *coreExchange) {
	for {
		n, fin, err := h.StreamRecv(id, p.c.block)
		if err != nil {
			p.c.fail(err)
			return
		}
		x.got += uint64(n)
		p.c.count(n)
		if fin {
			p.c.end(now, conn, x)
			return
		}
		if n < len(p.c.block) {
			return // EventData comes
		}
	}
}
