package quicnet

import (
	"crypto/tls"
	"fmt"
	"sync"
	"testing"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// inParallel runs n functions at once and reports their errors.
func inParallel(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := f(i); err != nil {
				t.Errorf("%d of %d: %v", i, n, err)
			}
		})
	}
	wg.Wait()
}

func TestEcho(t *testing.T) {
	for _, streams := range []int{1, 20, 300} { // 300 are more than may be open at a time
		for _, o := range []udp.Options{{}, {NoGSO: true, NoGRO: true}} {
			t.Run(fmt.Sprintf("streams=%d,%+v", streams, o), func(t *testing.T) {
				ep := listenWith(t, serverConfig(), o)
				serveEcho(t, ep)
				ctx := testContext(t)
				c := dial(t, ep, clientConfig())
				want := randomBytes(10 << 20 / streams)
				inParallel(t, streams, func(int) error { return exchange(ctx, c, want) })
			})
		}
	}
}

func TestManyConnections(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	ctx := testContext(t)
	client := listenWith(t, nil, udp.Options{})
	inParallel(t, 50, func(int) error {
		c, err := client.Dial(ctx, ep.Addr().String(), clientConfig())
		if err != nil {
			return err
		}
		defer c.Close()
		want := randomBytes(20 << 10)
		for range 3 {
			if err := exchange(ctx, c, want); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestListenAndDial has two endpoints that both listen, each of which dials the other over its one socket.
func TestListenAndDial(t *testing.T) {
	a, b := listen(t, serverConfig()), listen(t, serverConfig())
	serveEcho(t, a)
	serveEcho(t, b)
	ctx := testContext(t)
	inParallel(t, 10, func(i int) error {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		c, err := from.Dial(ctx, to.Addr().String(), clientConfig())
		if err != nil {
			return err
		}
		defer c.Close()
		if c.LocalAddr().String() != from.Addr().String() {
			return fmt.Errorf("the connection is from %v, not from %v", c.LocalAddr(), from.Addr())
		}
		return exchange(ctx, c, randomBytes(100<<10))
	})
}

func TestConnectionState(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	for _, conn := range []*Conn{s, c} {
		st := conn.ConnectionState()
		if !st.HandshakeComplete || st.Version != tls.VersionTLS13 || st.NegotiatedProtocol != alpn {
			t.Errorf("the state is %+v", st)
		}
	}
	a, err := s.ExportKeyingMaterial("test", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.ExportKeyingMaterial("test", nil, 32)
	if err != nil || string(a) != string(b) {
		t.Errorf("exported keys differ: %x, %x, %v", a, b, err)
	}
	if got := c.RemoteAddr().String(); got != s.shard.ep.Addr().String() {
		t.Errorf("RemoteAddr is %v, not %v", got, s.shard.ep.Addr())
	}
	if st := c.Stats(); st.PacketsSent == 0 || st.PacketsReceived == 0 || st.SmoothedRTT == 0 {
		t.Errorf("the figures are %+v", st)
	}
}

func TestRetryAndCallbacks(t *testing.T) {
	cfg := serverConfig()
	cert := cfg.TLS.Certificates[0]
	cfg.TLS = &tls.Config{
		NextProtos:     []string{alpn},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
	}
	ep := listen(t, cfg)
	serveEcho(t, ep)
	verified := 0
	client := clientConfig()
	client.TLS.VerifyConnection = func(tls.ConnectionState) error { verified++; return nil }
	client.Congestion = quic.NewReno
	c := dial(t, ep, client)
	if err := exchange(testContext(t), c, randomBytes(1000)); err != nil {
		t.Fatal(err)
	}
	if verified != 1 {
		t.Errorf("VerifyConnection ran %d times", verified)
	}
}
