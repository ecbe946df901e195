package quicnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// wantDone checks that a stream's context ends, and why.
func wantDone(t *testing.T, s *Stream, want error) {
	t.Helper()
	ctx := s.Context()
	select {
	case <-ctx.Done():
	case <-testContext(t).Done():
		t.Fatal("the stream's context is not done")
	}
	if err := context.Cause(ctx); !errors.Is(err, want) {
		t.Errorf("the cause is %v, not %v", err, want)
	}
}

// A stream's context ends when the peer gives up, though nobody reads or writes, and when both parts are over.
func TestStreamContext(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(s, peer *Stream)
		want func(id uint64) error
	}{
		"the peer resets": {func(_, peer *Stream) { peer.CancelWrite(7) },
			func(id uint64) error { return &quic.StreamError{StreamID: id, Code: 7, Remote: true} }},
		"the peer wants no more": {func(_, peer *Stream) { peer.CancelRead(8) },
			func(id uint64) error { return &quic.StreamError{StreamID: id, Code: 8, Remote: true} }},
		"the peer wants no more of what was ended": {func(s, peer *Stream) {
			s.Write(make([]byte, 600<<10)) // more than the peer's window
			s.Close()
			peer.CancelRead(8)
		}, func(id uint64) error { return &quic.StreamError{StreamID: id, Code: 8, Remote: true} }},
		"aborted here": {func(s, _ *Stream) { s.Abort(9) },
			func(id uint64) error { return &quic.StreamError{StreamID: id, Code: 9} }},
		"ended and read": {func(s, peer *Stream) {
			peer.Close()
			io.ReadAll(s)
			s.WriteFinal([]byte("answer"))
		}, func(uint64) error { return context.Canceled }},
		"read and ended": {func(s, peer *Stream) {
			s.Close()
			peer.Close()
			io.ReadAll(s)
		}, func(uint64) error { return context.Canceled }},
		"the connection is closed": {func(_, peer *Stream) { peer.c.CloseWithError(10, "") },
			func(uint64) error { return &quic.ApplicationError{Code: 10, Remote: true} }},
		"the connection is closed before the stream was ended": {func(s, peer *Stream) {
			peer.WriteFinal([]byte("question"))
			peer.Acked(context.Background())
			peer.c.CloseWithError(10, "")
			<-s.c.Context().Done()
			io.ReadAll(s)
			s.Write([]byte("answer"))
		}, func(uint64) error { return &quic.ApplicationError{Code: 10, Remote: true} }},
	} {
		for _, when := range []string{"before", "after"} {
			t.Run(name+", asked for "+when, func(t *testing.T) {
				t.Parallel()
				s, conn := pair(t, serverConfig(), clientConfig())
				ss, cs := streamPair(t, s, conn)
				if when == "before" {
					if err := ss.Context().Err(); err != nil {
						t.Fatalf("the context of a stream that goes on: %v", err)
					}
				}
				c.do(ss, cs)
				wantDone(t, ss, c.want(ss.ID()))
			})
		}
	}
}

// What the peer did to a stream before it was accepted is not forgotten.
func TestStreamContextBeforeAccept(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	cs, err := c.OpenStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	cs.Write([]byte("never mind"))
	cs.CancelWrite(3)
	// A later stream arrives after the reset.
	_, later := streamPairAfter(t, s, c)
	defer later.Close()
	first, err := s.AcceptStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	wantDone(t, first, &quic.StreamError{StreamID: first.ID(), Code: 3, Remote: true})
	if n := len(s.early); n != 0 {
		t.Errorf("%d fates are kept of streams that were accepted", n)
	}
}

// streamPairAfter opens a unidirectional stream and has the server read it: all that was sent before has arrived then.
func streamPairAfter(t *testing.T, s, c *Conn) (ss, cs *Stream) {
	t.Helper()
	cs, err := c.OpenUniStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	cs.Write([]byte{1})
	if ss, err = s.AcceptUniStream(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(ss, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return ss, cs
}

// Acked returns when all has arrived, or when it is known that it never will.
func TestAcked(t *testing.T) {
	ctx := testContext(t)
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streamPair(t, s, c)
	if err := cs.Acked(ctx); !errors.Is(err, errNotEnded) {
		t.Errorf("before Close, Acked returned %v", err)
	}
	want := randomBytes(3 << 20)
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(ss)
		got <- b
	}()
	if n, err := cs.WriteFinal(want); n != len(want) || err != nil {
		t.Fatalf("WriteFinal returned %d, %v", n, err)
	}
	if _, err := cs.Write([]byte("more")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a Write after WriteFinal returned %v", err)
	}
	waits := make(chan error)
	for range 3 {
		go func() { waits <- cs.Acked(ctx) }()
	}
	for range 3 {
		if err := <-waits; err != nil {
			t.Errorf("Acked returned %v", err)
		}
	}
	if n := cs.AckedBytes(); n != uint64(1+len(want)) {
		t.Errorf("%d bytes of %d are acknowledged", n, 1+len(want))
	}
	if b := <-got; !bytes.Equal(b, want) {
		t.Errorf("%d bytes came that are not the %d sent", len(b), len(want))
	}
	c.Close()
	if err := cs.Acked(ctx); err != nil {
		t.Errorf("after the connection was closed, Acked returned %v", err)
	}
}

func TestAckedFails(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(s, peer *Stream)
		want func(id uint64) error
	}{
		"stopped by the peer": {func(_, peer *Stream) { peer.CancelRead(5) },
			func(id uint64) error { return &quic.StreamError{StreamID: id, Code: 5, Remote: true} }},
		"cancelled here": {func(s, _ *Stream) { s.CancelWrite(6) },
			func(id uint64) error { return &quic.StreamError{StreamID: id, Code: 6} }},
		"closed connection": {func(s, _ *Stream) { s.c.CloseWithError(7, "") },
			func(uint64) error { return &quic.ApplicationError{Code: 7} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, conn := pair(t, serverConfig(), clientConfig())
			ss, cs := streamPair(t, s, conn)
			const n = 600 << 10
			if _, err := cs.WriteFinal(make([]byte, n)); err != nil { // more than the peer's window
				t.Fatal(err)
			}
			waits := make(chan error)
			for range 2 {
				go func() { waits <- cs.Acked(testContext(t)) }()
			}
			for cs.AckedBytes() == 0 {
				if err := testContext(t).Err(); err != nil {
					t.Fatal("nothing is acknowledged")
				}
			}
			c.do(cs, ss)
			for range 2 {
				if err := <-waits; !errors.Is(err, c.want(cs.ID())) {
					t.Errorf("Acked returned %v", err)
				}
			}
			if got := cs.AckedBytes(); got == 0 || got > n {
				t.Errorf("%d bytes are acknowledged", got)
			}
		})
	}
	s, c := pair(t, serverConfig(), clientConfig())
	in, out := streamPairAfter(t, s, c)
	if err := in.Acked(testContext(t)); !errors.Is(err, quic.ErrStreamDirection) {
		t.Errorf("Acked of a stream that only receives returned %v", err)
	}
	if n := in.AckedBytes(); n != 0 {
		t.Errorf("%d bytes of it are acknowledged", n)
	}
	out.WriteFinal(make([]byte, 600<<10))
	ctx, cancel := context.WithTimeout(testContext(t), 10*time.Millisecond)
	defer cancel()
	if err := out.Acked(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Acked returned %v, not its context's error", err)
	}
}

// CloseGracefully loses nothing that was ended, also to a slow reader, and waits no longer than it is told to.
func TestCloseGracefully(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	const streams = 10
	want := randomBytes(200 << 10)
	for range streams {
		ss, cs := streamPair(t, s, c)
		go io.Copy(io.Discard, cs)
		if _, err := ss.Write(want); err != nil {
			t.Fatal(err)
		}
		ss.Finish()
	}
	for range 2 { // the second time it has nothing to wait for
		if err := s.CloseGracefully(testContext(t), 0, ""); err != nil {
			t.Errorf("CloseGracefully returned %v", err)
		}
	}
	if s.unacked != 0 {
		t.Errorf("%d streams were not acknowledged", s.unacked)
	}
	wantClosed(t, c, &quic.ApplicationError{Remote: true})

	s, c = pair(t, serverConfig(), clientConfig())
	_, cs := streamPair(t, s, c)
	cs.WriteFinal(make([]byte, 600<<10)) // nobody reads it
	ctx, cancel := context.WithTimeout(testContext(t), 10*time.Millisecond)
	defer cancel()
	if err := c.CloseGracefully(ctx, 4, "late"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("CloseGracefully returned %v", err)
	}
	wantClosed(t, c, &quic.ApplicationError{Code: 4})
	wantClosed(t, s, &quic.ApplicationError{Code: 4, Remote: true})
	if err := c.CloseGracefully(testContext(t), 0, ""); !errors.Is(err, &quic.ApplicationError{Code: 4}) {
		t.Errorf("CloseGracefully of a connection that was closed too early returned %v", err)
	}
}

// That the peer wants no more is told to whoever writes next, however late: also once the stream is over.
func TestLateWriterLearnsOfStop(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streamPair(t, s, c)
	ss.CancelRead(8)
	ss.Close()
	if _, err := io.ReadAll(cs); err != nil {
		t.Fatal(err)
	}
	known := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.streams[cs.ID()] != nil
	}
	for ctx := testContext(t); known() && ctx.Err() == nil; {
		runtime.Gosched()
	}
	for range 2 {
		if _, err := cs.Write([]byte("x")); !errors.Is(err, &quic.StreamError{StreamID: cs.ID(), Code: 8, Remote: true}) {
			t.Errorf("Write returned %v", err)
		}
	}
}

// A server that has seen enough of a request answers it all the same: that it asks the client to send no more is not the end.
func TestStreamContextAfterStop(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streamPair(t, s, c)
	done := cs.Context().Done()
	stopped := &quic.StreamError{StreamID: cs.ID(), Code: 8, Remote: true}
	ss.CancelRead(8)
	for err := error(nil); !errors.Is(err, stopped); _, err = cs.Write([]byte("x")) {
		if err != nil {
			t.Fatalf("Write returned %v", err)
		}
	}
	select {
	case <-done:
		t.Error("the context is done before the answer has come")
	default:
	}
	ss.WriteFinal([]byte("answer"))
	if got, err := io.ReadAll(cs); err != nil || string(got) != "answer" {
		t.Errorf("read %q, %v", got, err)
	}
	wantDone(t, cs, stopped)

	// Of a stream of one direction it is the end.
	in, out := streamPairAfter(t, s, c)
	in.CancelRead(9)
	wantDone(t, out, &quic.StreamError{StreamID: out.ID(), Code: 9, Remote: true})
}

// Whoever closes the connection as soon as it has read all does not leave a writer that waits for that in doubt.
func TestAckedThoughReaderCloses(t *testing.T) {
	for _, size := range []int{1, 100_000} {
		synctest.Test(t, func(t *testing.T) {
			s, c, _, _ := memPair(t, serverConfig(), clientConfig())
			ss, cs := streamPair(t, s, c)
			go func() {
				io.ReadAll(cs)
				c.Close()
			}()
			ss.WriteFinal(make([]byte, size))
			if err := ss.Acked(t.Context()); err != nil {
				t.Errorf("%d bytes: Acked says %v", size, err)
			}
			if err := s.CloseGracefully(t.Context(), 0, ""); err != nil {
				t.Errorf("%d bytes: CloseGracefully says %v", size, err)
			}
		})
	}
}
