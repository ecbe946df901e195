package quicnet

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic"
)

// A handler's stream is over when it returns: what it has not ended itself, by reading or by Close, is ended for it.
func TestHandlerReturns(t *testing.T) {
	reset := func(err error) bool {
		var cut *quic.StreamError
		return errors.As(err, &cut) && cut.Code == 0 && cut.Remote
	}
	for name, c := range map[string]struct {
		handle func(*Stream)
		want   string // of what the client reads
		reset  bool   // the client's reader is told so
		stop   bool   // and so is its writer
	}{
		"at once":              {func(*Stream) {}, "", true, true},
		"by Goexit":            {func(*Stream) { runtime.Goexit() }, "", true, true},
		"after half an answer": {func(s *Stream) { io.ReadAll(s); s.Write([]byte("half")) }, "", true, false},
		"with the answer":      {func(s *Stream) { io.ReadFull(s, make([]byte, 3)); s.Write([]byte("all")); s.Close() }, "all", false, true},
		"when all is done":     {func(s *Stream) { io.Copy(s, s); s.Close() }, "ask", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, conn := pair(t, serverConfig(), clientConfig())
			s.HandleStreams(c.handle)
			cs, err := conn.OpenStream(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			cs.Write([]byte("ask"))
			if !c.stop {
				cs.Close()
			}
			got, err := io.ReadAll(cs)
			if reset(err) != c.reset || !c.reset && (err != nil || string(got) != c.want) {
				t.Errorf("the client read %q, %v", got, err)
			}
			for c.stop { // until it is told
				if _, err := cs.Write([]byte("more")); err != nil {
					if !reset(err) {
						t.Errorf("the client's writer was told %v", err)
					}
					break
				}
			}
		})
	}
}

// Handlers that return leave nothing behind: a client may open streams without end.
func TestHandlerLeavesNothing(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	s.HandleStreams(func(*Stream) {})
	s.HandleUniStreams(func(s *Stream) { s.Read(make([]byte, 1)) })
	for range 3 * 100 { // the limit on streams is 100
		both, err := c.OpenStream(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		both.Write([]byte("request"))
		io.ReadAll(both)
		one, err := c.OpenUniStream(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		one.Write([]byte("news"))
		one.Close()
	}
}

// A panic in a handler ends the program, and what is printed tells where to look.
func TestHandlerPanics(t *testing.T) {
	const variable = "QUICNET_TEST_HANDLER_PANICS"
	if os.Getenv(variable) != "" {
		s, c := pair(t, serverConfig(), clientConfig())
		s.HandleStreams(func(*Stream) { explode() })
		for range 2 {
			cs, err := c.OpenStream(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			cs.Close()
		}
		<-testContext(t).Done()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHandlerPanics$")
	cmd.Env = append(os.Environ(), variable+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("the program ended with %v:\n%s", err, out)
	}
	for _, want := range []string{"quicnet: the handler of stream ", " of the connection from 127.0.0.1:", "panicked: boom", "quicnet.explode("} {
		if !strings.Contains(string(out), want) {
			t.Errorf("without %q:\n%s", want, out)
		}
	}
}

func explode() { panic("boom") }

func TestNilHandlerPanics(t *testing.T) {
	s, _ := pair(t, serverConfig(), clientConfig())
	for name, handle := range map[string]func(func(*Stream)){"HandleStreams": s.HandleStreams, "HandleUniStreams": s.HandleUniStreams} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s(nil) did not panic", name)
				}
			}()
			handle(nil)
		}()
	}
}
