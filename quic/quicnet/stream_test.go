package quicnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// wantTimeout checks the error of a deadline.
func wantTimeout(t *testing.T, what string, err error) {
	t.Helper()
	var timeout net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%s returned %v, not os.ErrDeadlineExceeded as a net.Error", what, err)
	}
	if errors.Is(err, net.ErrClosed) {
		t.Errorf("%s returned %v, which is for closed connections", what, err)
	}
}

func TestReadDeadline(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streamPair(t, s, c)
	b := make([]byte, 10)

	cs.SetReadDeadline(time.Now().Add(-time.Second))
	_, err := cs.Read(b)
	wantTimeout(t, "Read after its deadline", err)

	cs.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err = cs.Read(b)
	wantTimeout(t, "Read", err)

	// A deadline that is set while Read waits, by another goroutine, for two readers.
	cs.SetReadDeadline(time.Time{})
	failed := make(chan error)
	for range 2 {
		go func() {
			_, err := cs.Read(make([]byte, 10))
			failed <- err
		}()
	}
	cs.SetDeadline(time.Now())
	for range 2 {
		wantTimeout(t, "Read", <-failed)
	}
	_, err = cs.Write(b)
	wantTimeout(t, "Write", err)

	// Deadlines pass: the stream goes on.
	cs.SetDeadline(time.Time{})
	if _, err := ss.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if n, err := cs.Read(b); err != nil || string(b[:n]) != "hello" {
		t.Errorf("Read %q, %v", b[:n], err)
	}
}

// TestWriteDeadline fills all buffers, so that Write waits and its deadline passes, and checks that nothing is lost by that.
func TestWriteDeadline(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streamPair(t, s, c)
	cs.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	want := randomBytes(4 << 20)
	n, err := cs.Write(want)
	wantTimeout(t, "Write", err)
	if n == len(want) { // on a machine that is busy it may be nothing
		t.Fatalf("%d of %d bytes were written while nobody read", n, len(want))
	}
	cs.SetWriteDeadline(time.Time{})
	rest := make(chan error)
	go func() {
		_, err := cs.Write(want[n:])
		cs.Close()
		rest <- err
	}()
	got, err := io.ReadAll(ss)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived, %v, of %d that were written in two parts", len(got), err, len(want))
	}
	if err := <-rest; err != nil {
		t.Error(err)
	}
}

// TestBackPressure checks that what a peer that does not read makes us hold is bounded, and that others go on.
func TestBackPressure(t *testing.T) {
	client := clientConfig()
	client.StreamSendBuffer, client.MaxStreamSendBuffer = 100<<10, 100<<10 // what the path carries would have it grow
	server := serverConfig()
	server.StreamReceiveWindow, server.MaxStreamReceiveWindow = 50<<10, 50<<10
	s, c := pair(t, server, client)
	_, stuck := streamPair(t, s, c)
	ss, cs := streamPair(t, s, c)
	stuck.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	n, err := stuck.Write(make([]byte, 1<<20))
	wantTimeout(t, "Write", err)
	if n > 150<<10 {
		t.Errorf("%d bytes were taken, with a buffer of 100 KiB and a window of 50 KiB", n)
	}
	go io.Copy(ss, ss)
	want := []byte("not stuck")
	cs.Write(want)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(cs, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %q, %v", got, err)
	}
	cs.CancelWrite(0)
}

// Writers that give up leave the room that they waited for to others, whether by a deadline or because the stream is ended.
func TestWritersGiveUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		giveUp func(cs *Stream)
	}{
		{"deadline", func(cs *Stream) { cs.SetWriteDeadline(time.Now().Add(-time.Second)) }},
		{"Close", func(cs *Stream) { cs.Close() }},
		{"CancelWrite", func(cs *Stream) { cs.CancelWrite(1) }},
	} {
		t.Run(c.name, func(t *testing.T) { testWritersGiveUp(t, c.giveUp) })
	}
}

func testWritersGiveUp(t *testing.T, giveUp func(cs *Stream)) {
	const writers, size = 8, 300 << 10
	server := serverConfig()
	server.ReceiveWindow, server.MaxReceiveWindow = 64<<10, 64<<10
	s, c := pair(t, server, clientConfig())
	var in, out [writers + 1]*Stream
	for i := range in {
		in[i], out[i] = streamPair(t, s, c)
	}
	var wg sync.WaitGroup
	for _, cs := range out[:writers] {
		wg.Go(func() {
			if n, err := cs.Write(make([]byte, size)); err == nil || n == size {
				t.Errorf("Write took %d bytes, %v", n, err)
			}
		})
	}
	for _, cs := range out[:writers] {
		for waits := false; !waits; runtime.Gosched() {
			c.mu.Lock()
			waits = cs.send.n > 0
			c.mu.Unlock()
			if err := c.Err(); err != nil {
				t.Fatalf("the connection ended before all writers waited: %v", err)
			}
		}
	}
	for _, cs := range out[:writers] {
		giveUp(cs)
	}
	wg.Wait()
	done := make(chan error)
	go func() {
		cs := out[writers]
		_, err := cs.Write(make([]byte, size))
		cs.Close()
		done <- err
	}()
	for _, ss := range in[:writers] {
		go io.Copy(io.Discard, ss)
	}
	if n, err := io.Copy(io.Discard, in[writers]); n != size || err != nil {
		t.Errorf("%d of %d bytes arrived: %v", n, size, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestContexts(t *testing.T) {
	server := serverConfig()
	server.MaxStreamsUni, server.MaxDatagramFrameSize = -1, 1000
	client := clientConfig()
	client.MaxDatagramFrameSize = 1000
	ep := listen(t, server)
	c := dial(t, ep, client)
	for name, call := range map[string]func(context.Context) error{
		"AcceptStream":    func(ctx context.Context) error { _, err := c.AcceptStream(ctx); return err },
		"AcceptUniStream": func(ctx context.Context) error { _, err := c.AcceptUniStream(ctx); return err },
		"OpenUniStream":   func(ctx context.Context) error { _, err := c.OpenUniStream(ctx); return err },
		"ReceiveDatagram": func(ctx context.Context) error { _, err := c.ReceiveDatagram(ctx, nil); return err },
		"Accept": func(ctx context.Context) error {
			for {
				if _, err := ep.Accept(ctx); err != nil {
					return err
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(testContext(t))
			failed := make(chan error)
			for range 2 {
				go func() { failed <- call(ctx) }()
			}
			cancel()
			for range 2 {
				if err := <-failed; !errors.Is(err, context.Canceled) {
					t.Errorf("returned %v", err)
				}
			}
			if err := call(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("with a context that is done, returned %v", err)
			}
			ctx, cancel = context.WithTimeout(testContext(t), time.Millisecond)
			defer cancel()
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("returned %v", err)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())

	ss, cs := streamPair(t, s, c)
	cs.CancelWrite(11) // the peer's reads end
	_, err := ss.Read(make([]byte, 1))
	if want := (&quic.StreamError{StreamID: ss.ID(), Code: 11, Remote: true}); !errors.Is(err, want) {
		t.Errorf("Read returned %v, not %v", err, want)
	}
	_, err = cs.Write([]byte("x"))
	if want := (&quic.StreamError{StreamID: cs.ID(), Code: 11}); !errors.Is(err, want) {
		t.Errorf("Write after CancelWrite returned %v, not %v", err, want)
	}
	if err := cs.Close(); err == nil {
		t.Error("Close after CancelWrite says that all is well")
	}

	ss.CancelRead(12) // already over: nothing happens
	_, err = ss.Read(make([]byte, 1))
	if want := (&quic.StreamError{StreamID: ss.ID(), Code: 11, Remote: true}); !errors.Is(err, want) {
		t.Errorf("Read after CancelRead of what was over returned %v, not %v", err, want)
	}

	ss, cs = streamPair(t, s, c)
	cs.CancelRead(13) // the peer's writes end
	for err = nil; err == nil; {
		_, err = ss.Write(make([]byte, 1000))
	}
	if want := (&quic.StreamError{StreamID: ss.ID(), Code: 13, Remote: true}); !errors.Is(err, want) {
		t.Errorf("Write returned %v, not %v", err, want)
	}
	_, err = cs.Read(make([]byte, 1))
	if want := (&quic.StreamError{StreamID: cs.ID(), Code: 13}); !errors.Is(err, want) {
		t.Errorf("Read after CancelRead returned %v, not %v", err, want)
	}

	// A write that waits is woken by the peer, and by ourselves.
	for _, remote := range []bool{true, false} {
		ss, cs = streamPair(t, s, c)
		failed := make(chan error)
		go func() {
			for {
				if _, err := cs.Write(make([]byte, 64<<10)); err != nil {
					failed <- err
					return
				}
			}
		}()
		if remote {
			ss.CancelRead(14)
		} else {
			cs.CancelWrite(14)
		}
		if want := (&quic.StreamError{StreamID: cs.ID(), Code: 14, Remote: remote}); !errors.Is(<-failed, want) {
			t.Errorf("Write did not return %v", want)
		}
	}
}

func TestEndOfStream(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streamPair(t, s, c)
	cs.Write([]byte("last words"))
	for range 2 {
		if err := cs.Close(); err != nil {
			t.Errorf("Close returned %v", err)
		}
	}
	if _, err := cs.Write([]byte("x")); !errors.Is(err, quic.ErrStreamEnded) {
		t.Errorf("Write after Close returned %v", err)
	}
	if got, err := io.ReadAll(ss); err != nil || string(got) != "last words" {
		t.Errorf("read %q, %v", got, err)
	}
	// The other direction goes on, and then all is over.
	ss.Write([]byte("answer"))
	ss.Close()
	if got, err := io.ReadAll(cs); err != nil || string(got) != "answer" {
		t.Errorf("read %q, %v", got, err)
	}
	for _, stream := range []*Stream{ss, cs} {
		if _, err := stream.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("Read after the end returned %v", err)
		}
		if err := stream.Acked(testContext(t)); err != nil {
			t.Errorf("Acked returned %v", err)
		}
		stream.CancelRead(1)
		stream.CancelWrite(1)
		if err := stream.Close(); err != nil {
			t.Errorf("Close after the end returned %v", err)
		}
	}
	if err := exchangeUni(t, s, c); err != nil {
		t.Error(err)
	}
}

func exchangeUni(t *testing.T, s, c *Conn) error {
	ctx := testContext(t)
	out, err := s.OpenUniStream(ctx)
	if err != nil {
		return err
	}
	if _, err := out.Read(make([]byte, 1)); !errors.Is(err, quic.ErrStreamDirection) {
		t.Errorf("Read on a stream that we send on returned %v", err)
	}
	out.Write([]byte("one way"))
	out.Close()
	in, err := c.AcceptUniStream(ctx)
	if err != nil {
		return err
	}
	if in.ID() != out.ID() || in.ID() != 3 {
		t.Errorf("the server's first unidirectional stream is %d and %d, not 3", in.ID(), out.ID())
	}
	if _, err := in.Write([]byte("x")); !errors.Is(err, quic.ErrStreamDirection) {
		t.Errorf("Write on a stream that the peer sends on returned %v", err)
	}
	got, err := io.ReadAll(in)
	if string(got) != "one way" {
		t.Errorf("read %q", got)
	}
	return err
}

// TestStreamsAreForgotten checks that nothing is kept of streams that are over.
func TestStreamsAreForgotten(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	c := dial(t, ep, clientConfig())
	ctx := testContext(t)
	for range 500 {
		if err := exchange(ctx, c, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.streams); n > 10 {
		t.Errorf("%d of 500 streams that are over are kept", n)
	}
}

// io.Copy yields what was written, in pieces of any size, and the errors of the writer and of the stream.
func TestWriteTo(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ctx := testContext(t)
	want := randomBytes(3<<20 + 12345)
	out, err := s.OpenUniStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for p := want; len(p) > 0; {
			n := min(1+len(p)%50_000, len(p))
			out.Write(p[:n])
			p = p[n:]
		}
		out.Close()
	}()
	in, err := c.AcceptUniStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if n, err := io.Copy(&got, in); err != nil || n != int64(len(want)) || !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("io.Copy returned %d, %v; want the %d bytes written", n, err, len(want))
	}

	if out, err = s.OpenUniStream(ctx); err != nil {
		t.Fatal(err)
	}
	go out.Write(want)
	if in, err = c.AcceptUniStream(ctx); err != nil {
		t.Fatal(err)
	}
	full := errors.New("full")
	if n, err := io.Copy(&failingWriter{room: 100_000, err: full}, in); n != 100_000 || err != full {
		t.Errorf("io.Copy to a writer that is full after 100,000 bytes returned %d, %v", n, err)
	}
	out.CancelWrite(5)
	if _, err := io.Copy(io.Discard, in); !errors.As(err, new(*quic.StreamError)) {
		t.Errorf("io.Copy from a stream that was reset returned %v", err)
	}
}

// failingWriter takes so many bytes, and returns an error for what comes after.
type failingWriter struct {
	room int
	err  error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.room)
	w.room -= n
	if n < len(p) {
		return n, w.err
	}
	return n, nil
}

func TestDatagrams(t *testing.T) {
	server, client := serverConfig(), clientConfig()
	server.MaxDatagramFrameSize, client.MaxDatagramFrameSize = 1200, 1200
	s, c := pair(t, server, client)
	ctx := testContext(t)
	go func() {
		b := make([]byte, 1200)
		for {
			n, err := s.ReceiveDatagram(ctx, b)
			if err != nil {
				return
			}
			s.SendDatagram(ctx, b[:n])
		}
	}()
	want := randomBytes(c.MaxDatagramSize())
	got := make([]byte, 1200)
	for range 100 {
		if err := c.SendDatagram(ctx, want); err != nil {
			t.Fatal(err)
		}
		n, err := c.ReceiveDatagram(ctx, got) // one at a time gets through on the loopback interface
		if err != nil || !bytes.Equal(got[:n], want) {
			t.Fatalf("received %d bytes, %v, not the %d sent", n, err, len(want))
		}
	}
	tooLarge := &quic.DatagramTooLargeError{Size: 1300, Max: c.MaxDatagramSize()}
	if err := c.SendDatagram(ctx, make([]byte, 1300)); !errors.Is(err, tooLarge) {
		t.Errorf("a datagram larger than a packet brought %v", err)
	}
	for range 1000 { // more than are queued: SendDatagram waits
		if err := c.SendDatagram(ctx, want); err != nil {
			t.Fatal(err)
		}
	}

	_, plain := pair(t, serverConfig(), client)
	if err := plain.SendDatagram(ctx, want); !errors.Is(err, quic.ErrDatagramUnsupported) {
		t.Errorf("SendDatagram to a peer that takes none returned %v", err)
	}
	if n := plain.MaxDatagramSize(); n != 0 {
		t.Errorf("MaxDatagramSize for a peer that takes none is %d", n)
	}
}

// Streams that came before HandleStreams and those that come after are handled once each, and no goroutine waits for more.
func TestHandleStreams(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ctx := testContext(t)
	send := func(text string) {
		out, err := c.OpenUniStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		out.Write([]byte(text))
		out.Close()
	}
	send("before")
	both, err := c.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	both.Write([]byte("echo"))
	both.Close()
	got := make(chan string, 10)
	s.HandleUniStreams(func(in *Stream) {
		b, err := io.ReadAll(in)
		if err != nil {
			t.Error(err)
		}
		got <- string(b)
	})
	s.HandleStreams(func(in *Stream) {
		io.Copy(in, in)
		in.Close()
	})
	s.HandleStreams(func(*Stream) { t.Error("a second handler was called") })
	send("after")
	texts := []string{<-got, <-got}
	slices.Sort(texts)
	if want := []string{"after", "before"}; !slices.Equal(texts, want) {
		t.Errorf("handled %q, want %q", texts, want)
	}
	if b, err := io.ReadAll(both); err != nil || string(b) != "echo" {
		t.Errorf("the echo is %q, %v", b, err)
	}
}

// Finish ends both parts: the peer gets all that was written and its end, and is asked to send no more.
func TestFinish(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streamPair(t, s, c)
	if _, err := ss.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := ss.Finish(); err != nil {
		t.Errorf("Finish returned %v", err)
	}
	if got, err := io.ReadAll(cs); string(got) != "answer" || err != nil {
		t.Errorf("the peer read %q, %v", got, err)
	}
	var stopped *quic.StreamError
	for err := error(nil); ; _, err = cs.Write([]byte("more")) {
		if errors.As(err, &stopped) && stopped.Remote && stopped.Code == 0 {
			break
		}
		if err != nil {
			t.Fatalf("the peer was stopped with %v", err)
		}
	}
	if _, err := ss.Read(make([]byte, 1)); !errors.As(err, &stopped) || stopped.Remote {
		t.Errorf("reading after Finish gives %v", err)
	}
	if err := ss.Finish(); err != nil {
		t.Errorf("Finish for a second time returned %v", err)
	}
}

// A code that cannot be told becomes the largest one that can: the call is never without effect, and nobody waits for ever.
func TestCancelCode(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streamPair(t, s, c)
	read := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, cs)
		read <- err
	}()
	cs.CancelRead(1 << 63)
	cs.CancelWrite(1<<62 + 5)
	want := quic.StreamError{StreamID: cs.ID(), Code: quic.MaxErrorCode}
	var here, there *quic.StreamError
	if err := <-read; !errors.As(err, &here) || *here != want {
		t.Errorf("the reader got %v, want %v", err, &want)
	}
	want.Remote = true
	if _, err := io.Copy(io.Discard, ss); !errors.As(err, &there) || *there != want {
		t.Errorf("the peer read %v, want %v", err, &want)
	}
}
