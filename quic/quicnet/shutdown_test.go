package quicnet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// Shutdown lets connections that were accepted come to their end, and takes no others.
func TestShutdown(t *testing.T) {
	ep := listen(t, serverConfig())
	ctx := testContext(t)
	c := dial(t, ep, clientConfig())
	s, err := ep.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	late := dial(t, ep, clientConfig()) // which nobody accepts
	for ep.Stats().Waiting == 0 {
		if ctx.Err() != nil {
			t.Fatal("the second connection does not come")
		}
	}
	accepted := make(chan error)
	go func() {
		_, err := ep.Accept(ctx) // the second connection, or that there are no more
		if err == nil {
			_, err = ep.Accept(ctx)
		}
		accepted <- err
	}()
	done := make(chan error)
	for range 2 {
		go func() { done <- ep.Shutdown(ctx) }()
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept returned %v", err)
	}
	if _, err := Dial(ctx, ep.Addr().String(), clientConfig()); !errors.Is(err, &quic.TransportError{Code: quic.ConnectionRefused, Remote: true}) {
		t.Errorf("a new client was told %v", err)
	}
	if _, err := ep.Dial(ctx, "127.0.0.1:9", clientConfig()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial over the endpoint returned %v", err)
	}
	go echo(s)
	if err := exchange(ctx, c, randomBytes(100<<10)); err != nil {
		t.Errorf("a connection that was there: %v", err)
	}
	late.Close() // unless it was refused
	c.Close()
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("Shutdown returned %v", err)
		}
	}
	if _, err := net.ListenPacket("udp4", ep.Addr().String()); err != nil {
		t.Errorf("the port is not free: %v", err)
	}
}

// What had arrived when a client closed its connection can be read though the endpoint ends before that is done.
func TestUnreadOutlivesEndpoint(t *testing.T) {
	for name, end := range map[string]func(ep *Endpoint) error{
		"Shutdown": func(ep *Endpoint) error { return ep.Shutdown(testContext(t)) },
		"Close":    (*Endpoint).Close,
	} {
		ep := listen(t, serverConfig())
		c := dial(t, ep, clientConfig())
		s, err := ep.Accept(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		ss, cs := streamPair(t, s, c)
		want := randomBytes(100 << 10)
		cs.WriteFinal(want)
		if err := c.CloseGracefully(testContext(t), 0, ""); err != nil {
			t.Fatal(err)
		}
		<-s.Context().Done()
		if err := end(ep); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := io.ReadAll(ss); err != nil || !bytes.Equal(got, want) {
			t.Errorf("after %s, %d bytes were read, %v", name, len(got), err)
		}
	}
}

// Connections that wait for Accept are refused, and so are those that are complete only then.
func TestShutdownRefusesWaiting(t *testing.T) {
	ep := listen(t, serverConfig())
	c := dial(t, ep, clientConfig())
	for ep.Stats().Waiting == 0 {
		if testContext(t).Err() != nil {
			t.Fatal("the connection does not come")
		}
	}
	if err := ep.Shutdown(testContext(t)); err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
	wantClosed(t, c, &quic.TransportError{Code: quic.ConnectionRefused, Remote: true})
	if st := ep.Stats(); st.Refused != 1 || st.Handshaking+st.Established+st.Waiting+st.Closing != 0 || st.Completed != 1 {
		t.Errorf("after it there is %+v", st)
	}
}

// A Shutdown whose context ends closes hard.
func TestShutdownEnds(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if err := s.shard.ep.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown returned %v", err)
	}
	wantClosed(t, c, &quic.ApplicationError{Remote: true})
	if err := s.shard.ep.Shutdown(testContext(t)); err != nil {
		t.Errorf("a second Shutdown returned %v", err)
	}
}

func TestRefuse(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	c := dial(t, ep, clientConfig())
	ep.Refuse()
	refused := &quic.TransportError{Code: quic.ConnectionRefused, Remote: true}
	if _, err := Dial(testContext(t), ep.Addr().String(), clientConfig()); !errors.Is(err, refused) {
		t.Errorf("a new client was told %v", err)
	}
	if err := exchange(testContext(t), c, randomBytes(1000)); err != nil {
		t.Errorf("a connection that was there: %v", err)
	}
	if n := ep.Stats().Refused; n != 1 {
		t.Errorf("%d clients are counted as refused", n)
	}
}

func TestEndpointStats(t *testing.T) {
	server := serverConfig()
	server.Retry = func(netip.AddrPort) bool { return true }
	ep := listen(t, server)
	for range 3 {
		dial(t, ep, clientConfig())
	}
	c, err := ep.Accept(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), time.Millisecond)
	defer cancel()
	dead := silent(t)
	if _, err := ep.Dial(ctx, dead, clientConfig()); err == nil {
		t.Fatal("dialled somebody who is silent")
	}
	for {
		st := ep.Stats()
		if st.Waiting == 2 && st.Established == 3 && st.Handshaking == 0 {
			if st.Completed != 3 || st.Failed > 1 || st.Refused != 0 || st.Retries < 3 || st.Sockets.Received == 0 || st.Sockets.Sent == 0 {
				t.Errorf("the figures are %+v", st)
			}
			break
		}
		if testContext(t).Err() != nil {
			t.Fatalf("the figures are %+v", st)
		}
	}
	c.Close()
	if st := ep.Stats(); st.Established != 2 {
		t.Errorf("after a connection was closed the figures are %+v", st)
	}
}

// Whoever runs a server learns which clients fail, and why, whichever side has found it out.
func TestOnHandshakeError(t *testing.T) {
	_, roots := pki()
	for name, c := range map[string]struct {
		client *tls.Config
		alert  tls.AlertError
		remote bool
	}{
		"protocol not spoken":             {&tls.Config{RootCAs: roots, NextProtos: []string{"something else"}}, 120, false},
		"certificate that is not trusted": {&tls.Config{RootCAs: x509.NewCertPool(), NextProtos: []string{alpn}}, 48, true},
	} {
		t.Run(name, func(t *testing.T) {
			type call struct {
				remote net.Addr
				err    error
			}
			calls := make(chan call, 10)
			log := make(chanWriter, 10)
			ep, err := ListenConfig{
				OnHandshakeError: func(remote net.Addr, err error) { calls <- call{remote, err} },
				Logger:           slog.New(slog.NewTextHandler(log, nil)),
			}.Listen("127.0.0.1:0", serverConfig())
			if err != nil {
				t.Fatal(err)
			}
			defer ep.Close()
			client := listenWith(t, nil, udp.Options{})
			if _, err := client.Dial(testContext(t), ep.Addr().String(), &quic.Config{TLS: c.client}); err == nil {
				t.Fatal("Dial succeeded")
			}
			got := <-calls
			if got.remote.String() != client.Addr().String() {
				t.Errorf("told of %v, not of %v", got.remote, client.Addr())
			}
			if _, ok := got.remote.(*net.UDPAddr); !ok {
				t.Errorf("the address is a %T", got.remote)
			}
			var alert tls.AlertError
			var transport *quic.TransportError
			if !errors.As(got.err, &alert) || alert != c.alert || !errors.As(got.err, &transport) || transport.Remote != c.remote {
				t.Errorf("the cause is %v", got.err)
			}
			line := string(<-log)
			for _, want := range []string{"level=WARN", client.Addr().String(), strings.TrimPrefix(c.alert.Error(), "tls: ")} {
				if !strings.Contains(line, want) {
					t.Errorf("the log says %q, without %q", line, want)
				}
			}
			if n := ep.Stats().Failed; n != 1 {
				t.Errorf("%d failures are counted", n)
			}
		})
	}
}

// chanWriter passes on what is written.
type chanWriter chan []byte

func (w chanWriter) Write(p []byte) (int, error) {
	w <- bytes.Clone(p)
	return len(p), nil
}

// A server that is closed does not report what it has broken off itself.
func TestNoHandshakeErrorAtClose(t *testing.T) {
	var calls atomic.Int32
	ep, err := ListenConfig{OnHandshakeError: func(net.Addr, error) { calls.Add(1) }}.Listen("127.0.0.1:0", serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, ep, clientConfig())
	if _, err := ep.Accept(testContext(t)); err != nil {
		t.Fatal(err)
	}
	ep.Close()
	wantClosed(t, c, &quic.ApplicationError{Remote: true})
	if n := calls.Load(); n != 0 {
		t.Errorf("%d failures were reported", n)
	}
}

// A flood of failures is told at a bounded rate, one call at a time, and the log says how many were left out.
func TestReportsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, at int
		var log bytes.Buffer
		r := reporter{
			logger: slog.New(slog.NewTextHandler(&log, nil)),
			onError: func(net.Addr, error) {
				if at++; at != 1 {
					t.Error("two calls at a time")
				}
				calls++
				time.Sleep(time.Microsecond) // in the bubble's time
				at--
			},
		}
		flood := func(n int) {
			calls = 0
			for range n {
				r.report(time.Now(), &net.UDPAddr{}, io.EOF)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		flood(1000)
		if calls != handshakeErrorBurst {
			t.Errorf("%d calls at once, want %d", calls, handshakeErrorBurst)
		}
		log.Reset()
		time.Sleep(time.Second)
		flood(1000)
		if calls != handshakeErrorRate {
			t.Errorf("%d calls a second later, want %d", calls, handshakeErrorRate)
		}
		if !strings.Contains(log.String(), "omitted=900") {
			t.Errorf("the log does not tell of 900 that were left out:\n%s", log.String())
		}
		time.Sleep(time.Hour)
		flood(1000)
		if calls != handshakeErrorBurst {
			t.Errorf("%d calls at once an hour later, want %d", calls, handshakeErrorBurst)
		}
		if r.running || len(r.queue) > 0 {
			t.Error("the reporter does not rest")
		}
	})
}

// What waits for a slow hook is bounded.
func TestReportsWaitingAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		r := reporter{onError: func(net.Addr, error) { <-gate }}
		for range 10 {
			for range 10 * handshakeErrorBurst {
				r.report(time.Now(), &net.UDPAddr{}, io.EOF)
			}
			time.Sleep(time.Hour)
		}
		if n := len(r.queue); n > handshakeErrorBurst {
			t.Errorf("%d reports wait", n)
		}
		close(gate)
		synctest.Wait()
	})
}

// Who sends an Initial packet from an address that is not its own holds WaitHandshakes up for a second, and not as long as a handshake may take.
func TestWaitHandshakesSpoofed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &memNet{}
		ep := over(t, n.open("192.0.2.1:443"), serverConfig())
		defer ep.Close()
		cfg := clientConfig()
		core, err := quic.Connect(time.Now(), cfg, quic.ConnectParams{ServerName: "localhost", Remote: netip.MustParseAddrPort("192.0.2.1:443")})
		if err != nil {
			t.Fatal(err)
		}
		defer core.Release()
		b := make([]byte, 1500)
		initial := core.Send(time.Now(), b)
		elsewhere := n.open("192.0.2.9:1000")
		defer elsewhere.Close()
		if _, err := elsewhere.WriteTo(b[:initial.N], ep.Addr()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if st := ep.Stats(); st.Handshaking != 1 {
			t.Fatalf("no handshake has begun: %+v", st)
		}
		ep.Refuse()
		start := time.Now()
		if err := ep.WaitHandshakes(context.Background()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != unprovenWait {
			t.Errorf("a made-up client held it up for %v", took)
		}
		if st := ep.Stats(); st.Handshaking != 0 || st.Refused != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// After Refuse WaitHandshakes waits for those that have begun, and no longer; or for its context.
func TestWaitHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 50 * time.Millisecond
		n := &delayNet{delay: delay}
		ep, client := over(t, n.open("192.0.2.1:443"), serverConfig()), over(t, n.open("192.0.2.2:50000"), nil)
		defer ep.Close()
		defer client.Close()
		if err := ep.WaitHandshakes(context.Background()); err != nil {
			t.Error(err)
		}
		dialled := make(chan error, 1)
		go func() {
			cfg := clientConfig()
			cfg.TLS.ServerName = "localhost"
			_, err := client.Dial(context.Background(), "192.0.2.1:443", cfg)
			dialled <- err
		}()
		time.Sleep(delay + delay/2)
		ep.Refuse()
		ctx, cancel := context.WithTimeout(context.Background(), delay)
		defer cancel()
		if err := ep.WaitHandshakes(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a handshake was under way: %v", err)
		}
		if err := ep.WaitHandshakes(context.Background()); err != nil {
			t.Error(err)
		}
		if st := ep.Stats(); st.Established != 1 || st.Handshaking != 0 {
			t.Errorf("%+v", st)
		}
		if err := <-dialled; err != nil {
			t.Error(err)
		}
	})
}
