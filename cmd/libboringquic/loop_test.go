package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// Calls that wait, on many threads; and what becomes of them when what they wait for goes away.
func TestLoop(t *testing.T) {
	files := certificate(t)
	each(t, "loop", files...)
	run(t, shared.compile(t, "loop", "-fsanitize=thread"), files...)
}

// Events, in one thread, of many connections; and when the descriptor is readable.
func TestLoopQueue(t *testing.T) {
	files := append(certificate(t), "200")
	each(t, "loop_queue", files...)
	run(t, shared.compile(t, "loop_queue", "-fsanitize=thread"), files...)
}

// So does a panic in the core on a thread of the event loop's, where no function of the header is called. The program hears of it.
func TestLoopSurvives(t *testing.T) {
	n, c := dialLoop(t, func(bool, quic.ConnID) io.WriteCloser { return new(panicky) })
	for told := false; !told; {
		if bell, _ := n.queue.listen(); bell != nil {
			<-bell
		}
		ready := n.queue.pop()
		_ = ready.within(func(*conn) error {
			for _, ev := range ready.told {
				told = told || ev.kind == toldCore && ev.core.Kind == quic.EventClosed
			}
			ready.told = nil
			return nil
		})
	}
	wantFault(t, c)
}

// panicky is a trace, which is first written to when a connection is a tenth of a second old.
type panicky struct{ over bool }

func (p *panicky) Write(b []byte) (int, error) {
	if !p.over {
		p.over = true
		panic("of a test")
	}
	return len(b), nil
}

func (p *panicky) Close() error { return nil }

// And one while a connection is being made.
func TestDialSurvives(t *testing.T) {
	n := &netConn{conn: &conn{settings: &settings{}, at: -1}}
	n.conn.net, n.cancel = n, func() {}
	s, err := newSign()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	n.queue = &queue{sign: s}
	d := &dialing{begun: n, to: "127.0.0.1:1", config: &quic.Config{TLS: &tls.Config{NextProtos: []string{"x"}}}}
	// Of what bquic_dial waited for, and does not return, no event tells.
	if err := d.run(struct{ context.Context }{}); statusOf(err) != errInternal || len(n.queue.ready) != 0 {
		t.Errorf("bquic_dial: %v, and %d connections with events", err, len(n.queue.ready))
	}
	if err := d.runUnwaited(struct{ context.Context }{}); statusOf(err) != errInternal { // a context that panics
		t.Errorf("bquic_dial: %v", err)
	}
	if len(n.queue.ready) != 1 {
		t.Error("no event tells of a connection that has not come about")
	}
	if err := n.do(func(*conn) error { return nil }); statusOf(err) != errClosed || !strings.Contains(err.Error(), "a fault in boringquic") {
		t.Errorf("the connection: %v", err)
	}
}

func wantFault(t *testing.T, c *quicnet.Conn) {
	t.Helper()
	var end *quic.TransportError
	if !errors.As(c.Err(), &end) || end.Code != quic.InternalError || !strings.Contains(end.Error(), "a fault in boringquic: of a test") {
		t.Errorf("the connection ended with %v", c.Err())
	}
}

func TestLoopBad(t *testing.T) { each(t, "loop_bad", certificate(t)...) }

// A panic within a connection of the event loop closes it with INTERNAL_ERROR, and leaves its lock free. Of events that need no act of the
// program's no more than a few wait, and who does not wait leaves nothing behind.
func TestLoopConn(t *testing.T) {
	n, c := dialLoop(t, nil)
	_ = n.within(func(*conn) error {
		n.events = nil
		for i := range 1000 {
			n.keep(&quic.Event{Kind: quic.EventPath, Path: &quic.PathEvent{}})
			n.keep(&quic.Event{Kind: quic.EventMTU, MaxUDPPayload: i})
			n.keep(&quic.Event{Kind: quic.EventSession, Session: &quic.Session{}})
			n.keep(&quic.Event{Kind: quic.EventStreamsAvailable, Stream: uint64(i & 1 * 2)})
		}
		if want := maxUntoldPaths + 1 + maxUntoldSessions + 2; len(n.events) != want {
			t.Errorf("%d events wait, want %d", len(n.events), want)
		}
		for _, ev := range n.events {
			if ev.Kind == quic.EventMTU && ev.MaxUDPPayload != 999 {
				t.Errorf("an old size is told: %d", ev.MaxUDPPayload)
			}
		}
		n.events = nil
		return nil
	})
	never := func(*conn) (bool, error) { return false, nil }
	if err := n.await(anyBell, 0, never); err != errExpired || len(n.bells) != 0 {
		t.Errorf("a call that does not wait: %v, and %d bells", err, len(n.bells))
	}
	if err := n.await(anyBell, 1, never); err != errExpired {
		t.Errorf("a call that waits for a nanosecond: %v", err)
	}
	if s := statusOf(n.within(func(*conn) error { panic("of a test") })); s != errInternal {
		t.Errorf("a panic is %d", s)
	}
	wantFault(t, c)
}

// A connection whose queue was freed keeps no events, whatever is done on it.
func TestLoopQueueFreed(t *testing.T) {
	n, _ := dialLoop(t, nil)
	n.queue.mu.Lock()
	n.queue.freed = true
	n.queue.mu.Unlock()
	_ = n.within(func(*conn) error {
		for i := range uint64(1000) {
			n.HandleEvent(n.turn, &quic.Event{Kind: quic.EventReadable, Stream: i << 2})
		}
		if len(n.events)+len(n.told) != 0 {
			t.Errorf("%d events wait for nobody, and %d to be read", len(n.told), len(n.events))
		}
		return nil
	})
}

// dialLoop makes a connection of the event loop, to a server that does nothing.
func dialLoop(t *testing.T, qlog func(bool, quic.ConnID) io.WriteCloser) (*netConn, *quicnet.Conn) {
	t.Helper()
	files := certificate(t)
	cert, err := tls.LoadX509KeyPair(files[0], files[1])
	if err != nil {
		t.Fatal(err)
	}
	ep, err := quicnet.Listen("127.0.0.1:0", &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"x"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	q := &queue{}
	if q.sign, err = newSign(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.sign.close)
	d := quicnet.Dialer{Protocol: func(turn *quicnet.Turn) quicnet.Protocol { return newNetConn(turn, &settings{}, q) }}
	c, err := d.Dial(ctx, ep.Addr().String(), &quic.Config{TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"x"}}, KeepAlive: 50 * time.Millisecond, Qlog: qlog})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	n := c.Protocol().(*netConn)
	_ = n.within(func(*conn) error {
		n.live = true // as if the program had its handle
		return nil
	})
	return n, c
}
