package quicnet

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// inBubble runs a test in virtual time, with a connection that has frames on both sides.
func inBubble(t *testing.T, server, client *quic.Config, test func(t *testing.T, p *protocolPair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &protocolPair{server: new(framesNotes), client: new(framesNotes)}
		p.server.delay = 50 * time.Millisecond
		p.sep, p.cep, p.s, p.c = framesPair(t, p.server, p.client, server, client)
		defer p.sep.Close()
		defer p.cep.Close()
		test(t, p)
	})
}

type protocolPair struct {
	server, client *framesNotes
	sep, cep       *Endpoint
	s, c           *Conn
}

// Messages of all sizes come back through Protocols on both sides, over sockets, many connections and streams at once.
func TestProtocolEcho(t *testing.T) {
	var sn, cn framesNotes
	ep, err := ListenConfig{Protocol: sn.open}.Listen("127.0.0.1:0", serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer ep.Close()
	client := listenWith(t, nil, udp.Options{})
	ctx := testContext(t)
	inParallel(t, 5, func(int) error {
		c, err := Dialer{Endpoint: client, Protocol: cn.open}.Dial(ctx, ep.Addr().String(), clientConfig())
		if err != nil {
			return err
		}
		defer c.Close()
		inParallel(t, 20, func(i int) error {
			for j := range 5 {
				if err := askEcho(c, "echo", randomBytes(i*i*i*j)); err != nil {
					return err
				}
			}
			if then, err := askAndRead(c, "now"); then != "then" || err != nil {
				t.Errorf("%q, %v", then, err)
			}
			return nil
		})
		return nil
	})
	if s, c := sn.asked.Load(), cn.asked.Load(); s != 5 || c != 5 {
		t.Errorf("%d and %d connections asked for their Protocol, want 5", s, c)
	}
	if n := ep.Stats().Waiting; n != 0 {
		t.Errorf("%d connections wait for Accept", n)
	}
}

// What a Protocol answers by itself, refuses or does later, and that its timer is right though nothing is sent or received.
func TestProtocolTurns(t *testing.T) {
	inBubble(t, serverConfig(), clientConfig(), func(t *testing.T, p *protocolPair) {
		if then, err := askAndRead(p.c, "now"); then != "then" || err != nil {
			t.Errorf("%q, %v", then, err)
		}
		start := time.Now()
		if then, err := askAndRead(p.c, "later"); then != "then" || err != nil {
			t.Errorf("%q, %v", then, err)
		}
		if d := time.Since(start); d < p.server.delay || d > p.server.delay+5*time.Millisecond {
			t.Errorf("an answer of %v took %v", p.server.delay, d)
		}
		if n := p.server.timeouts.Load(); n != 1 {
			t.Errorf("OnTimeout was called %d times", n)
		}
		_, err := askAndRead(p.c, "bad")
		if e := (*quic.StreamError)(nil); !errors.As(err, &e) || e.Code != 7 || !e.Remote {
			t.Errorf("a stream that is refused: %v", err)
		}
		// A timer that is set by Do alone.
		start = time.Now()
		fired := make(chan time.Duration, 1)
		p.client.onTimeout = func() { fired <- time.Since(start) }
		p.c.Do(func(t *Turn) {
			f := p.client.of(t.Conn)
			f.later = append(f.later, later{t.Now.Add(7 * time.Millisecond), 1 << 40})
		})
		if d := <-fired; d < 7*time.Millisecond || d > 10*time.Millisecond {
			t.Errorf("a timer of 7 ms fired after %v", d)
		}
	})
}

// A timer of the core's that Do sets is in force at once, though nothing is sent or received.
func TestProtocolCoreTimer(t *testing.T) {
	inBubble(t, serverConfig(), clientConfig(), func(t *testing.T, p *protocolPair) {
		var id uint64
		p.c.Do(func(turn *Turn) {
			var err error
			if id, err = turn.Core.OpenStream(); err == nil {
				_, err = turn.Core.StreamSend(id, []byte("x"), false)
			}
			if err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		p.s.Do(func(turn *Turn) {
			if err := turn.Core.StreamStopLater(turn.Now, id, 7); err != nil {
				t.Error(err)
			}
		})
		for _, want := range []uint64{0, 1} {
			time.Sleep(55 * time.Millisecond)
			if n := p.c.Stats().StreamsStoppedRemote; n != want {
				t.Errorf("%d streams were stopped, want %d", n, want)
			}
		}
		time.Sleep(time.Second)
		before := p.s.Stats().PacketsReceived
		p.c.Do(func(t *Turn) { t.Core.SetKeepAlive(200 * time.Millisecond) })
		time.Sleep(500 * time.Millisecond)
		if n := p.s.Stats().PacketsReceived - before; n == 0 {
			t.Error("no PING has come in 500 ms, with 200 ms between them")
		}
	})
}

// AfterEvents comes once for what a batch has brought, and no event is without it.
func TestProtocolAfterEvents(t *testing.T) {
	inBubble(t, serverConfig(), clientConfig(), func(t *testing.T, p *protocolPair) {
		const streams = 7
		synctest.Wait()
		p.s.Do(func(t *Turn) { p.server.of(t.Conn).batches = nil })
		p.c.Do(func(turn *Turn) {
			for range streams {
				id, err := turn.Core.OpenStream()
				if err == nil {
					_, err = turn.Core.StreamSend(id, []byte("x"), false)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
		synctest.Wait()
		p.s.Do(func(turn *Turn) {
			f := p.server.of(turn.Conn)
			if f.events != 0 || len(f.batches) == 0 || f.batches[0] < 2*streams || slices.Min(f.batches) < 1 {
				t.Errorf("AfterEvents was called after %v events, and %d came since", f.batches, f.events)
			}
		})
	})
}

// Streams through a Protocol wait, end and expire as ordinary ones do.
func TestProtocolStreams(t *testing.T) {
	server := serverConfig()
	server.StreamReceiveWindow, server.MaxStreamReceiveWindow, server.ReceiveWindow, server.MaxReceiveWindow = 10, 10, 30, 30
	client := clientConfig()
	client.StreamSendBuffer, server.StreamSendBuffer = 1500, 1500
	inBubble(t, server, client, func(t *testing.T, p *protocolPair) {
		inParallel(t, 10, func(i int) error { return askEcho(p.c, "echo", randomBytes(i*100)) }) // which waits for room again and again

		s, err := ask(p.c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		s.SetReadDeadline(time.Now().Add(time.Second))
		start := time.Now()
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		s.SetReadDeadline(time.Time{})
		if _, err := s.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if n, err := s.Read(make([]byte, 5)); n != 1 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		s.CancelRead(3)
		want := &quic.StreamError{StreamID: s.ID(), Code: 3}
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, want) {
			t.Errorf("a read after CancelRead: %v", err)
		}
		if _, err := s.Write(make([]byte, 1<<20)); err == nil || p.c.Err() != nil { // the echo cannot be written, and gives up
			t.Errorf("a write that nobody wants: %v", err)
		}

		// A write that finds no room waits until it expires.
		p.server.serve = func(s *Stream) { s.Read(make([]byte, 1)); <-s.Context().Done(); s.Abort(0) }
		s, err = ask(p.c, "full")
		if err != nil {
			t.Fatal(err)
		}
		s.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := s.Write(make([]byte, 1<<20)); n >= 1<<20 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes, %v", n, err)
		}
		s.Abort(2)
		time.Sleep(time.Second) // the resets are acknowledged
		for side, c := range map[string]*Conn{"server": p.s, "client": p.c} {
			c.mu.Lock()
			if n := len(c.streams); n != 0 {
				t.Errorf("the %s keeps %d Streams", side, n)
			}
			c.mu.Unlock()
		}
	})
}

// A stream that the core has forgotten, since the Protocol has taken all of it, is there for its reader, who may also wait then; the end
// of the connection wakes him, and what the Protocol has can still be read.
func TestProtocolKeeps(t *testing.T) {
	inBubble(t, serverConfig(), clientConfig(), func(t *testing.T, p *protocolPair) {
		got := make(chan error, 1)
		var serve func(s *Stream) error
		p.server.serve = func(s *Stream) { got <- serve(s) }
		send := func() *Stream {
			s, err := ask(p.c, "keep")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.WriteFinal(make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
			return s
		}
		serve = func(s *Stream) error {
			s.Close()
			time.Sleep(time.Second) // the core is done with the stream
			s.SetReadDeadline(time.Now().Add(time.Second))
			b, err := io.ReadAll(s)
			if len(b) != 10 {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			return err
		}
		if _, err := io.ReadAll(send()); err != nil {
			t.Error(err)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
		// The same, but its Protocol does not tell of the end: the reader waits.
		p.server.noEnd = true
		for _, end := range []string{"deadline", "End", "Close"} {
			serve = func(s *Stream) error {
				s.Close()
				time.Sleep(time.Second)
				io.ReadFull(s, make([]byte, 10))
				switch end {
				case "deadline":
					s.SetReadDeadline(time.Now().Add(time.Second))
				case "End":
					time.AfterFunc(time.Second, func() { p.s.Do(func(t *Turn) { t.End(s, io.ErrClosedPipe) }) })
				case "Close":
					time.AfterFunc(time.Second, func() { p.c.CloseWithError(3, "") })
				}
				_, err := s.Read(make([]byte, 1))
				if end == "deadline" {
					s.CancelRead(0)
				}
				return err
			}
			s := send()
			io.ReadAll(s)
			err := <-got
			switch e := (*quic.ApplicationError)(nil); {
			case end == "deadline" && !errors.Is(err, os.ErrDeadlineExceeded),
				end == "End" && err != io.ErrClosedPipe,
				end == "Close" && (!errors.As(err, &e) || e.Code != 3):
				t.Errorf("%s: %v", end, err)
			}
			if end != "Close" {
				p.s.mu.Lock()
				if n := len(p.s.streams); n != 0 {
					t.Errorf("%s: %d Streams are kept", end, n)
				}
				p.s.mu.Unlock()
			}
		}
	})
}

// The end of a connection: what had arrived can be read, calls that wait return, the Protocol hears of it once.
func TestProtocolEnd(t *testing.T) {
	inBubble(t, serverConfig(), clientConfig(), func(t *testing.T, p *protocolPair) {
		s, err := ask(p.c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		s.Write([]byte("all"))
		synctest.Wait()
		waiting := make(chan error, 1)
		other, err := ask(p.c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := other.Read(make([]byte, 1))
			waiting <- err
		}()
		synctest.Wait()
		if _, err := ask(p.c, "quit"); err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; !errors.Is(err, &quic.ApplicationError{Code: 9, Remote: true, Reason: "asked to"}) {
			t.Errorf("a read that waited: %v", err)
		}
		if b, err := io.ReadAll(s); string(b) != "all" || !errors.Is(err, &quic.ApplicationError{Code: 9, Remote: true, Reason: "asked to"}) {
			t.Errorf("%q, %v", b, err)
		}
		if _, err := ask(p.c, "now"); err == nil {
			t.Error("a stream of a connection that is closed")
		}
		time.Sleep(time.Minute)
		for side, f := range map[string]*frames{"server": p.server.of(p.s), "client": p.client.of(p.c)} {
			if !f.closed.Load() || f.drained.Load() != 1 {
				t.Errorf("%s: closed %v, drained %d times", side, f.closed.Load(), f.drained.Load())
			}
		}
		p.c.Do(func(t *Turn) { err = t.Core.Err() }) // no harm is done
		if err == nil {
			t.Error("the core has no error")
		}
	})
}

// Shutdown has Protocols say good-bye, and waits for what is under way; a connection that comes meanwhile is refused.
func TestProtocolShutdown(t *testing.T) {
	inBubble(t, serverConfig(), clientConfig(), func(t *testing.T, p *protocolPair) {
		s, err := ask(p.c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		down := make(chan error, 1)
		start := time.Now()
		go func() { down <- p.sep.Shutdown(context.Background()) }()
		synctest.Wait()
		cfg := clientConfig()
		cfg.TLS.ServerName = "localhost"
		if _, err := (Dialer{Endpoint: p.cep, Protocol: p.client.open}).Dial(testContext(t), "192.0.2.1:443", cfg); err == nil {
			t.Error("a connection while the server shuts down")
		}
		time.Sleep(time.Second)
		if _, err := s.WriteFinal([]byte("last")); err != nil {
			t.Error(err)
		}
		if b, err := io.ReadAll(s); string(b) != "last" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		if err := <-down; err != nil || time.Since(start) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		synctest.Wait() // word of it is on its way
		if err := p.c.Err(); !errors.Is(err, &quic.ApplicationError{Code: 4, Remote: true, Reason: "good-bye"}) {
			t.Errorf("the client was told: %v", err)
		}
	})
	inBubble(t, serverConfig(), clientConfig(), func(t *testing.T, p *protocolPair) {
		if _, err := ask(p.c, "echo"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // else the server may have no stream yet
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.sep.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		synctest.Wait()
		if err := p.c.Err(); !errors.Is(err, &quic.ApplicationError{Code: 5, Remote: true}) {
			t.Errorf("the client was told: %v", err)
		}
	})
}

// A stream that was taken over has its bytes as they are.
func TestProtocolRawStream(t *testing.T) {
	inBubble(t, serverConfig(), clientConfig(), func(t *testing.T, p *protocolPair) {
		s, err := ask(p.c, "raw")
		if err != nil {
			t.Fatal(err)
		}
		p.c.Do(func(t *Turn) {
			p.client.of(p.c).streams[s.ID()].raw = true
			if t.RawStream(s.ID()) != s {
				err = errors.New("another Stream")
			}
		})
		if err != nil {
			t.Error(err)
		}
		want := randomBytes(300 << 10)
		go s.WriteFinal(want)
		if b, err := io.ReadAll(s); string(b) != string(want) || err != nil {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
}

// A connection whose Protocol is nil is an ordinary one; that of one that has a Protocol cannot be accepted from.
func TestProtocolNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n memNet
		none := func(*Turn) Protocol { return nil }
		sep := overWith(t, ListenConfig{Protocol: none}, n.open("192.0.2.1:443"), serverConfig())
		cep := over(t, n.open("192.0.2.2:50000"), nil)
		defer sep.Close()
		defer cep.Close()
		cfg := clientConfig()
		cfg.TLS.ServerName = "localhost"
		c, err := Dialer{Endpoint: cep, Protocol: none}.Dial(testContext(t), "192.0.2.1:443", cfg)
		if err != nil {
			t.Fatal(err)
		}
		s, err := sep.Accept(testContext(t))
		if err != nil || s.Protocol() != nil || c.Protocol() != nil {
			t.Fatal(err)
		}
		go echo(s)
		if err := exchange(testContext(t), c, randomBytes(1000)); err != nil {
			t.Error(err)
		}
		var cs *Stream
		c.Do(func(t *Turn) {
			id, err := t.Core.OpenStream()
			if err == nil {
				t.Core.StreamSend(id, []byte("a"), true)
				cs = t.Stream(id)
			}
		})
		if b, err := io.ReadAll(cs); string(b) != "a" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	})
	inBubble(t, serverConfig(), clientConfig(), func(t *testing.T, p *protocolPair) {
		if _, err := p.s.AcceptStream(testContext(t)); !errors.Is(err, errProtocol) {
			t.Error(err)
		}
		if _, ok := p.s.Protocol().(*frames); !ok {
			t.Errorf("the Protocol is %T", p.s.Protocol())
		}
	})
}

// A stream whose end was written, and that the Protocol has reset before it was acknowledged, keeps nobody waiting for that.
func TestProtocolResetsWhatHasEnded(t *testing.T) {
	inBubble(t, serverConfig(), clientConfig(), func(t *testing.T, p *protocolPair) {
		s, err := ask(p.c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		p.c.Do(func(t *Turn) {
			if _, err = s.writeNow([]byte("hello"), true); err == nil {
				err = t.Core.StreamShutdown(s.ID(), quic.ReadDirection|quic.WriteDirection, 7)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if e := (*quic.StreamError)(nil); !errors.As(s.Acked(ctx), &e) {
			t.Errorf("Acked returned %v", s.Acked(ctx))
		}
		if err := p.c.CloseGracefully(ctx, 0, ""); err != nil {
			t.Error(err)
		}
	})
}

// End with io.EOF has reads come to the end, and writes fail.
func TestTurnEndEOF(t *testing.T) {
	inBubble(t, serverConfig(), clientConfig(), func(t *testing.T, p *protocolPair) {
		s, err := ask(p.c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		p.c.Do(func(t *Turn) { t.End(s, io.EOF) })
		if _, err := s.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("Read returned %v", err)
		}
		if _, err := s.Write([]byte("x")); err != quic.ErrStreamEnded {
			t.Errorf("Write returned %v", err)
		}
	})
}
