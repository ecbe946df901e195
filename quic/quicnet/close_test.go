package quicnet

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// wantClosed checks that a connection is closed, and why.
func wantClosed(t *testing.T, c *Conn, want error) {
	t.Helper()
	select {
	case <-c.Context().Done():
	case <-testContext(t).Done():
		t.Fatal("the connection was not closed")
	}
	if err := c.Err(); !errors.Is(err, want) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Err is %v, not %v", err, want)
	}
	if err := context.Cause(c.Context()); !errors.Is(err, want) {
		t.Errorf("the context's cause is %v, not %v", err, want)
	}
}

func TestCloseTellsPeer(t *testing.T) {
	for _, who := range []string{"client", "server"} {
		t.Run(who, func(t *testing.T) {
			server := serverConfig()
			server.MaxStreamsUni = -1
			s, c := pair(t, server, clientConfig())
			closer, other := c, s
			if who == "server" {
				closer, other = s, c
			}
			ctx := testContext(t)
			if err := closer.CloseWithError(42, "enough"); err != nil {
				t.Errorf("CloseWithError returned %v", err)
			}
			wantClosed(t, closer, &quic.ApplicationError{Code: 42})
			wantClosed(t, other, &quic.ApplicationError{Code: 42, Remote: true})
			var app *quic.ApplicationError
			if _, err := other.AcceptStream(ctx); !errors.As(err, &app) || app.Reason != "enough" {
				t.Errorf("AcceptStream returned %v, not the peer's reason", err)
			}
			if err := closer.Close(); err != nil {
				t.Errorf("closing again returned %v", err)
			}
			if err := other.Close(); err != nil {
				t.Errorf("closing the other side returned %v", err)
			}
		})
	}
}

// TestCloseWakesAll checks that every call that can wait returns when the connection is closed, on both sides.
func TestCloseWakesAll(t *testing.T) {
	server, client := serverConfig(), clientConfig()
	server.MaxStreamsUni, client.MaxStreamsUni = -1, -1
	server.MaxDatagramFrameSize, client.MaxDatagramFrameSize = 1200, 1200
	s, c := pair(t, server, client)
	ctx := testContext(t)
	full := func(_ *Conn, stream *Stream) error {
		for { // until nothing fits, and then for ever
			if _, err := stream.Write(make([]byte, 64<<10)); err != nil {
				return err
			}
		}
	}
	calls := map[string]func(*Conn, *Stream) error{
		"AcceptStream":    func(c *Conn, _ *Stream) error { _, err := c.AcceptStream(ctx); return err },
		"AcceptUniStream": func(c *Conn, _ *Stream) error { _, err := c.AcceptUniStream(ctx); return err },
		"OpenUniStream":   func(c *Conn, _ *Stream) error { _, err := c.OpenUniStream(ctx); return err },
		"ReceiveDatagram": func(c *Conn, _ *Stream) error { _, err := c.ReceiveDatagram(ctx, make([]byte, 1)); return err },
		"Read":            func(_ *Conn, s *Stream) error { _, err := s.Read(make([]byte, 1)); return err },
		"Write":           full,
	}
	type outcome struct {
		name string
		conn *Conn
		err  error
	}
	outcomes := make(chan outcome)
	var start []func()
	for name, call := range calls {
		for range 2 { // two of each, since one wakes the next
			ss, cs := streamPair(t, s, c)
			start = append(start,
				func() { outcomes <- outcome{name, s, call(s, ss)} },
				func() { outcomes <- outcome{name, c, call(c, cs)} })
		}
	}
	for _, f := range start {
		go f()
	}
	c.CloseWithError(7, "")
	for range start {
		o := <-outcomes
		want := &quic.ApplicationError{Code: 7, Remote: o.conn == s}
		if !errors.Is(o.err, want) {
			t.Errorf("%s returned %v, not %v", o.name, o.err, want)
		}
	}
}

// TestExitAfterClose checks that the peer is told though the program ends as soon as Close has returned.
func TestExitAfterClose(t *testing.T) {
	for range 5 {
		s, c := pair(t, serverConfig(), clientConfig())
		ss, cs := streamPair(t, s, c)
		go io.Copy(cs, endless{}) // somebody else may be about to send
		if _, err := io.ReadFull(ss, make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
		c.Close()
		c.shard.sock.Close()
		wantClosed(t, s, &quic.ApplicationError{Remote: true})
	}
}

// endless is a reader without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestEndpointClose(t *testing.T) {
	ep := listen(t, serverConfig())
	ctx := testContext(t)
	var clients []*Conn
	for range 5 {
		clients = append(clients, dial(t, ep, clientConfig()))
		if _, err := ep.Accept(ctx); err != nil {
			t.Fatal(err)
		}
	}
	accepted := make(chan error)
	for range 2 {
		go func() {
			_, err := ep.Accept(ctx)
			accepted <- err
		}()
	}
	for range 3 { // more than once, and side by side
		go ep.Close()
	}
	ep.Close()
	for range 2 {
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept returned %v, not net.ErrClosed", err)
		}
	}
	for _, c := range clients {
		wantClosed(t, c, &quic.ApplicationError{Remote: true})
	}
	if _, err := ep.Dial(ctx, "127.0.0.1:9", clientConfig()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial returned %v, not net.ErrClosed", err)
	}
	if _, err := net.ListenPacket("udp4", ep.Addr().String()); err != nil {
		t.Errorf("the port is not free: %v", err)
	}
}

// vanish ends an endpoint without a word, as a crash does.
func vanish(ep *Endpoint) {
	ep.shards[0].sock.Close()
	<-ep.gone
}

func TestPeerVanishes(t *testing.T) {
	client := clientConfig()
	client.MaxIdleTimeout = 400 * time.Millisecond // long before the peer is given up since its port is refused
	s, c := pair(t, serverConfig(), client)
	_, cs := streamPair(t, s, c)
	vanish(s.shard.ep)
	if err := s.Err(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection whose socket is gone has %v", err)
	}
	_, err := cs.Read(make([]byte, 1))
	var timeout net.Error
	if !errors.Is(err, &quic.IdleTimeoutError{}) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("Read returned %v, not an idle timeout", err)
	}
	wantClosed(t, c, &quic.IdleTimeoutError{})
	<-c.shard.ep.gone // which drained connections leave without Close
}

func TestKeepAlive(t *testing.T) {
	client := clientConfig()
	client.MaxIdleTimeout, client.KeepAlive = 2*time.Second, 100*time.Millisecond
	s, c := pair(t, serverConfig(), client)
	_, cs := streamPair(t, s, c)
	cs.SetReadDeadline(time.Now().Add(4 * time.Second)) // the connection would be long gone
	if _, err := cs.Read(make([]byte, 1)); errors.Is(err, net.ErrClosed) {
		t.Errorf("Read returned %v, not its deadline", err)
	}
	if err := c.Err(); err != nil {
		t.Errorf("the connection was closed: %v", err)
	}
}

// TestServerRestarts checks that a server which was started anew has its old clients give up.
func TestServerRestarts(t *testing.T) {
	server := serverConfig()
	server.StatelessResetKey = &[32]byte{1, 2, 3}
	s, c := pair(t, server, clientConfig())
	_, cs := streamPair(t, s, c)
	vanish(s.shard.ep)
	sock, err := udp.Listen("udp4", s.shard.ep.Addr().String(), udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := NewEndpoint(sock, server)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	cs.Write(make([]byte, 1000)) // it may have asked for a stateless reset already
	wantClosed(t, c, &quic.StatelessResetError{})
}

// fillQueue has connections that are none wait to be accepted, so that so many places are left.
func fillQueue(ep *Endpoint, left int) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	for len(ep.accepted.conns) < maxAcceptQueue-left {
		ep.accepted.push(new(Conn))
	}
}

func TestAcceptQueueIsBounded(t *testing.T) {
	ep := listen(t, serverConfig())
	fillQueue(ep, 0)
	refused := &quic.TransportError{Code: quic.ConnectionRefused, Remote: true}
	// The client's handshake is complete before the server's: usually Dial knows nothing of the refusal yet.
	c, err := Dial(testContext(t), ep.Addr().String(), clientConfig())
	if err == nil {
		defer c.Close()
		wantClosed(t, c, refused)
	} else if !errors.Is(err, refused) {
		t.Errorf("Dial returned %v, not %v", err, refused)
	}
	ep.mu.Lock()
	ep.accepted.clear()
	ep.mu.Unlock()
	dial(t, ep, clientConfig())
	if _, err := ep.Accept(testContext(t)); err != nil {
		t.Errorf("with room in the queue Accept returned %v", err)
	}
}

// TestClosedWhileQueued has clients close connections that wait to be accepted: those that have sent nothing are gone at once, those that
// have sent a stream stay as long as nobody else wants their place.
func TestClosedWhileQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n memNet
		sep, cep := over(t, n.open("192.0.2.1:443"), serverConfig()), over(t, n.open("192.0.2.2:50000"), nil)
		client := clientConfig()
		client.TLS.ServerName = "localhost"
		fillQueue(sep, 1)
		for _, step := range []struct {
			what  string
			write bool // on a stream, and then close
			close bool
			queue int
		}{
			{"closed without a word", false, true, maxAcceptQueue - 1},
			{"closed without a word", false, true, maxAcceptQueue - 1},
			{"closed with a stream", true, true, maxAcceptQueue},
			{"closed with a stream", true, true, maxAcceptQueue},
			{"open", false, false, maxAcceptQueue},
		} {
			c, err := cep.Dial(testContext(t), "192.0.2.1:443", client)
			if err != nil {
				t.Fatal(err)
			}
			if step.write {
				s, err := c.OpenUniStream(testContext(t))
				if err == nil {
					_, err = s.Write([]byte("last words"))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if step.close {
				c.Close()
			}
			synctest.Wait()
			sep.mu.Lock()
			q := &sep.accepted
			if dead := min(1, q.dead); len(q.conns) != step.queue || (dead == 1) != (step.write && step.close) {
				t.Errorf("%s: the queue holds %d, %d of them closed", step.what, len(q.conns), q.dead)
			}
			sep.mu.Unlock()
			if !step.close {
				if err := c.Err(); err != nil {
					t.Errorf("a client that came after closed ones was refused: %v", err)
				}
			}
		}
	})
}
