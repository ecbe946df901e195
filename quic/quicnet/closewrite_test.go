package quicnet

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/boringquic/boringquic/quic"
)

// TestCloseWhileWriting closes a stream, by Close, Finish or WriteFinal, of which a Write waits: the peer does not take the part that was
// written for all.
func TestCloseWhileWriting(t *testing.T) {
	final := func(n int) func(*Stream) error {
		return func(s *Stream) error { _, err := s.WriteFinal(make([]byte, n)); return err }
	}
	for name, end := range map[string]func(*Stream) error{"Close": (*Stream).Close, "Finish": (*Stream).Finish,
		"WriteFinal of nothing": final(0), "WriteFinal of little": final(10), "WriteFinal of much": final(1 << 20)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := clientConfig()
				client.StreamSendBuffer = 100_000
				server := serverConfig()
				server.StreamReceiveWindow, server.MaxStreamReceiveWindow = 50_000, 50_000
				s, c, _, _ := memPair(t, server, client)
				ss, cs := streamPair(t, s, c)
				type outcome struct {
					n   int
					err error
				}
				wrote := make(chan outcome)
				go func() {
					n, err := cs.Write(make([]byte, 1<<20))
					wrote <- outcome{n, err}
				}()
				synctest.Wait()
				reset := &quic.StreamError{StreamID: cs.ID()}
				if err := end(cs); !errors.Is(err, reset) {
					t.Errorf("%s returned %v, not %v", name, err, reset)
				}
				if o := <-wrote; o.n == 0 || o.n == 1<<20 || !errors.Is(o.err, reset) {
					t.Errorf("Write returned %d, %v, not %v", o.n, o.err, reset)
				}
				if _, err := io.ReadAll(ss); !errors.Is(err, &quic.StreamError{StreamID: cs.ID(), Remote: true}) {
					t.Errorf("the peer read the end: %v", err)
				}
			})
		})
	}
}

// TestAcceptStreamWithHandler has AcceptStream, waiting or called later, fail when streams are given to a handler.
func TestAcceptStreamWithHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _, _ := memPair(t, serverConfig(), clientConfig())
		calls := []struct {
			accept func(context.Context) (*Stream, error)
			handle func(func(*Stream))
		}{{s.AcceptStream, s.HandleStreams}, {s.AcceptUniStream, s.HandleUniStreams}}
		for _, call := range calls {
			failed := make(chan error)
			for range 2 {
				go func() {
					_, err := call.accept(context.Background())
					failed <- err
				}()
			}
			synctest.Wait()
			call.handle(func(*Stream) {})
			for range 2 {
				if err := <-failed; !errors.Is(err, errHandled) {
					t.Errorf("a call that waited returned %v", err)
				}
			}
			if _, err := call.accept(context.Background()); !errors.Is(err, errHandled) {
				t.Errorf("a later call returned %v", err)
			}
		}
	})
}
