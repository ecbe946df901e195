package quicnet

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"weak"

	"github.com/boringquic/boringquic/quic"
)

// gaveAndClosed has a server send data on two streams, of which the client knows one, and a datagram, and close the connection when
// the client has received all of it and read nothing. It returns what was sent on each stream.
func gaveAndClosed(t *testing.T) (c *Conn, known *Stream, data []byte) {
	client, server := clientConfig(), serverConfig()
	client.MaxDatagramFrameSize, server.MaxDatagramFrameSize = 1000, 1000
	s, c := pair(t, server, client)
	ss, cs := streamPair(t, s, c)
	data = bytes.Repeat([]byte("boring"), 30_000)
	fresh, err := s.OpenUniStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []*Stream{ss, fresh} {
		if _, err := out.Write(data); err != nil {
			t.Fatal(err)
		}
		out.Close()
	}
	if err := s.SendDatagram(testContext(t), []byte("datagram")); err != nil {
		t.Fatal(err)
	}
	for _, out := range []*Stream{ss, fresh} {
		for {
			s.mu.Lock()
			n, err := s.core.StreamAcked(out.id)
			s.mu.Unlock()
			if n == uint64(len(data)) || errors.Is(err, quic.ErrUnknownStream) {
				break
			}
			runtime.Gosched()
		}
	}
	for c.Stats().DatagramFramesReceived == 0 {
		runtime.Gosched()
	}
	s.CloseWithError(7, "enough")
	<-c.Context().Done()
	return c, cs, data
}

func waitDrained(c *Conn) {
	for drained := false; !drained; runtime.Gosched() {
		c.mu.Lock()
		drained = c.drained
		c.mu.Unlock()
	}
}

func wantPeersClose(t *testing.T, what string, err error) {
	t.Helper()
	var closed *quic.ApplicationError
	if !errors.As(err, &closed) || !closed.Remote || closed.Code != 7 {
		t.Errorf("%s: %v, want the peer's close", what, err)
	}
}

// What had arrived before the peer's close is read by Read and WriteTo, AcceptUniStream and ReceiveDatagram; then comes the error.
func TestReadAfterPeersClose(t *testing.T) {
	for _, drained := range []bool{false, true} {
		c, cs, data := gaveAndClosed(t)
		wantPeersClose(t, "Err", c.Err())
		if drained {
			waitDrained(c)
		}
		got, err := io.ReadAll(struct{ io.Reader }{cs})
		if !bytes.Equal(got, data) || err != nil {
			t.Errorf("drained=%v: %d of %d bytes were read, %v", drained, len(got), len(data), err)
		}
		fresh, err := c.AcceptUniStream(testContext(t))
		if err != nil {
			t.Fatalf("drained=%v: %v", drained, err)
		}
		var buf bytes.Buffer
		if _, err := io.Copy(&buf, fresh); !bytes.Equal(buf.Bytes(), data) || err != nil {
			t.Errorf("drained=%v: %d of %d bytes were read, %v", drained, buf.Len(), len(data), err)
		}
		p := make([]byte, 100)
		if n, err := c.ReceiveDatagram(testContext(t), p); string(p[:n]) != "datagram" || err != nil {
			t.Errorf("drained=%v: a datagram %q, %v", drained, p[:n], err)
		}
		_, err = c.ReceiveDatagram(testContext(t), p)
		wantPeersClose(t, "ReceiveDatagram", err)
		_, err = c.AcceptUniStream(testContext(t))
		wantPeersClose(t, "AcceptUniStream", err)
		_, err = c.AcceptStream(testContext(t))
		wantPeersClose(t, "AcceptStream", err)
		_, err = cs.Write(p)
		wantPeersClose(t, "Write", err)
		if _, err = cs.Read(p); err != io.EOF {
			t.Errorf("Read after the end: %v", err)
		}
	}
}

// A handler that is set after the peer's close is given the streams that had arrived.
func TestHandleAfterPeersClose(t *testing.T) {
	c, _, data := gaveAndClosed(t)
	got := make(chan int, 1)
	c.HandleUniStreams(func(s *Stream) {
		n, _ := io.Copy(io.Discard, s)
		got <- int(n)
	})
	if n := <-got; n != len(data) {
		t.Errorf("%d of %d bytes were read", n, len(data))
	}
}

// Two that wait for one stream are both told when the peer closes: one gets the stream, the other the error.
func TestAcceptersAtPeersClose(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	errs := make(chan error)
	for range 3 {
		go func() {
			_, err := c.AcceptUniStream(testContext(t))
			errs <- err
		}()
	}
	out, err := s.OpenUniStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	out.Write([]byte("one"))
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	s.CloseWithError(7, "")
	for range 2 {
		wantPeersClose(t, "AcceptUniStream", <-errs)
	}
}

// When the application closes a connection that the peer has closed, what had arrived is dropped.
func TestCloseAfterPeersClose(t *testing.T) {
	for _, drained := range []bool{false, true} {
		c, cs, _ := gaveAndClosed(t)
		if drained {
			waitDrained(c)
		}
		c.Close()
		_, err := cs.Read(make([]byte, 100))
		wantPeersClose(t, "Read", err)
		_, err = c.AcceptUniStream(testContext(t))
		wantPeersClose(t, "AcceptUniStream", err)
		_, err = c.ReceiveDatagram(testContext(t), nil)
		wantPeersClose(t, "ReceiveDatagram", err)
	}
}

// A connection that is over and has data that nobody reads is kept by nobody but the application: neither by the endpoint nor by a timer.
func TestUnreadIsCollected(t *testing.T) {
	ep := listen(t, serverConfig())
	left := leaveUnread(t, ep)
	for left.Value() != nil {
		runtime.GC()
	}
	for _, sh := range ep.shards {
		sh.mu.Lock()
		if n := len(sh.conns); n > 0 {
			t.Errorf("the endpoint knows %d connections", n)
		}
		sh.mu.Unlock()
	}
}

// leaveUnread returns a connection of a server that the client has closed, on which there is something to be read.
func leaveUnread(t *testing.T, ep *Endpoint) weak.Pointer[Conn] {
	c := dial(t, ep, clientConfig())
	s, err := ep.Accept(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	_, cs := streamPair(t, s, c)
	cs.Write(make([]byte, 1000))
	for acked := uint64(0); acked < 1001; runtime.Gosched() { // one byte of streamPair's
		c.mu.Lock()
		acked, _ = c.core.StreamAcked(cs.id)
		c.mu.Unlock()
	}
	c.Close()
	waitDrained(s)
	if !s.core.KeepsReceived() {
		t.Error("nothing is kept")
	}
	return weak.Make(s)
}

// What had arrived when the socket failed can be read, and the error says why it failed.
func TestUnreadOutlivesSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, sock, _ := memPair(t, serverConfig(), clientConfig())
		ss, cs := streamPair(t, s, c)
		want := randomBytes(100 << 10)
		cs.WriteFinal(want)
		if err := cs.Acked(t.Context()); err != nil {
			t.Fatal(err)
		}
		sock.Close()
		<-s.Context().Done()
		var failed *quic.TransportError
		if err := s.Err(); !errors.As(err, &failed) || failed.Code != quic.InternalError || failed.Cause == nil {
			t.Errorf("the connection ended with %v", err)
		}
		if got, err := io.ReadAll(ss); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes were read, %v", len(got), err)
		}
	})
}
