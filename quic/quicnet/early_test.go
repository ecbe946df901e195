package quicnet

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// earlyServer is a server's configuration that accepts early data.
func earlyServer() *quic.Config {
	cfg := serverConfig()
	cfg.EarlyData = true
	return cfg
}

// newSession returns a session of a server.
func newSession(t *testing.T, client *Endpoint, addr string, cfg *quic.Config) *quic.Session {
	t.Helper()
	sessions := make(chan *quic.Session, 8)
	c, err := Dialer{Endpoint: client, OnSession: func(s *quic.Session) { sessions <- s }}.Dial(testContext(t), addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return <-sessions
}

// Early data is accepted: both sides say so, the server knows which streams are early, and it has the connection before the handshake is
// complete. With a client's certificate, too, which the session brings along.
func TestEarlyAccepted(t *testing.T) {
	for name, change := range map[string]func(*quic.Config){
		"plain": func(*quic.Config) {},
		"client certificate": func(cfg *quic.Config) {
			_, cfg.TLS.ClientCAs = pki()
			cfg.TLS.ClientAuth = tls.RequireAndVerifyClientCert
			cfg.TLS.VerifyConnection = func(cs tls.ConnectionState) error {
				if len(cs.VerifiedChains) == 0 {
					return errors.New("nobody")
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := earlyServer()
				change(server)
				n := &delayNet{delay: 10 * time.Millisecond}
				ep, client := over(t, n.open("192.0.2.1:443"), server), over(t, n.open("192.0.2.2:50000"), nil)
				defer client.Close()
				defer ep.Close()
				cfg := resumeConfig(tls.NewLRUClientSessionCache(0))
				cert, _ := pki()
				cfg.TLS.Certificates, cfg.TLS.ServerName = []tls.Certificate{cert}, "localhost"
				for i := range 3 {
					visitEarly(t, ep, client, cfg, i > 0)
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// visitEarly has a connection with a request that is early, or not since there is no session.
func visitEarly(t *testing.T, ep, client *Endpoint, cfg *quic.Config, early bool) {
	t.Helper()
	ctx := testContext(t)
	c, err := client.DialEarly(ctx, "192.0.2.1:443", cfg)
	if err != nil {
		t.Fatal(err)
	}
	cs, err := c.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cs.WriteFinal([]byte("early")); err != nil {
		t.Fatal(err)
	}
	s, err := ep.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ss, err := s.AcceptStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if ss.Early() != early || cs.Early() || s.ConnectionState().HandshakeComplete == early {
		t.Errorf("Early is %v at the server, %v at the client; the handshake is complete: %v", ss.Early(), cs.Early(),
			s.ConnectionState().HandshakeComplete)
	}
	if got, err := io.ReadAll(ss); err != nil || string(got) != "early" {
		t.Errorf("the server read %q, %v", got, err)
	}
	if _, err := ss.WriteFinal([]byte("answer")); err != nil { // before the handshake is complete
		t.Error(err)
	}
	if got, err := io.ReadAll(cs); err != nil || string(got) != "answer" {
		t.Errorf("the client read %q, %v", got, err)
	}
	if err := errors.Join(c.Handshake(ctx), s.Handshake(ctx)); err != nil {
		t.Fatal(err)
	}
	want := quic.EarlyNone
	if early {
		want = quic.EarlyAccepted
	}
	if c.EarlyData() != want || s.EarlyData() != want || s.Stats().EarlyData != want || s.ConnectionState().DidResume != early {
		t.Errorf("early data is %v and %v, want %v", c.EarlyData(), s.EarlyData(), want)
	}
	if late, _ := streamPair(t, s, c); late.Early() || ss.Early() != early {
		t.Error("after the handshake it is another stream that is early")
	}
	time.Sleep(100 * time.Millisecond) // until the session is there
	c.Close()
}

// inRejecting calls test in virtual time, with a connection dialled by DialEarly whose early data is going to be rejected: the session is
// of another server with the same keys of tickets. The server echoes.
func inRejecting(t *testing.T, d Dialer, test func(t *testing.T, c *Conn)) {
	synctest.Test(t, func(t *testing.T) {
		one, two := earlyServer(), serverConfig()
		one.TicketKeys = [][32]byte{{1}}
		two.TicketKeys = one.TicketKeys
		n := &delayNet{delay: 10 * time.Millisecond}
		a, b := over(t, n.open("192.0.2.1:443"), one), over(t, n.open("192.0.2.3:443"), two)
		client := over(t, n.open("192.0.2.2:50000"), nil)
		serveEcho(t, a)
		serveEcho(t, b)
		cfg := clientConfig()
		cfg.TLS.ServerName = "localhost"
		d.Session, d.Endpoint = newSession(t, client, "192.0.2.1:443", cfg), client
		c, err := d.DialEarly(testContext(t), "192.0.2.3:443", cfg)
		if err != nil {
			t.Fatal(err)
		}
		if c.EarlyData() != quic.EarlyOffered {
			t.Fatalf("early data is %v at the beginning", c.EarlyData())
		}
		test(t, c)
		if st := c.Stats(); !st.Resumed || st.EarlyData != quic.EarlyRejected {
			t.Errorf("resumed %v, early data %v", st.Resumed, st.EarlyData)
		}
		client.Close()
	})
}

// Early data is rejected and sent again: the application notices nothing.
func TestEarlySentAgain(t *testing.T) {
	inRejecting(t, Dialer{ResendEarly: true}, func(t *testing.T, c *Conn) {
		ctx := testContext(t)
		inParallel(t, 10, func(int) error { return exchange(ctx, c, randomBytes(100<<10)) })
	})
}

// Early data is rejected and not sent again: whatever is called on its streams says so, those that are opened then have the same IDs and
// are not disturbed by calls on the old ones.
func TestEarlyRejected(t *testing.T) { inRejecting(t, Dialer{}, testEarlyRejected) }

func testEarlyRejected(t *testing.T, c *Conn) {
	ctx := testContext(t)
	open := func() *Stream {
		s, err := c.OpenStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ended, unended, unwritten := open(), open(), open()
	uni, err := c.OpenUniStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	old := []*Stream{ended, unended, unwritten, uni}
	ended.WriteFinal([]byte("all"))
	unended.Write([]byte("some"))
	uni.Write([]byte("some"))
	life := ended.Context()
	var acked error
	acks := make(chan struct{})
	go func() {
		acked = ended.Acked(ctx)
		close(acks)
	}()
	for _, s := range []*Stream{ended, unended} { // they wait for the answer of the server
		if _, err := s.Read(make([]byte, 10)); !errors.Is(err, quic.ErrEarlyDataRejected) {
			t.Errorf("Read: %v", err)
		}
	}
	if err := c.Handshake(ctx); err != nil || c.EarlyData() != quic.EarlyRejected {
		t.Errorf("Handshake: %v, early data %v", err, c.EarlyData())
	}
	<-acks
	<-life.Done()
	if !errors.Is(acked, quic.ErrEarlyDataRejected) || !errors.Is(context.Cause(life), quic.ErrEarlyDataRejected) {
		t.Errorf("Acked: %v; Context: %v", acked, context.Cause(life))
	}
	fresh := []*Stream{open(), open(), open()}
	freshUni, err := c.OpenUniStream(ctx)
	if err != nil || fresh[0].ID() != ended.ID() || freshUni.ID() != uni.ID() {
		t.Errorf("new streams have the IDs %d and %d: %v", fresh[0].ID(), freshUni.ID(), err)
	}
	for i, s := range fresh {
		if _, err := s.Write(bytes.Repeat([]byte{byte(i)}, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range old {
		_, err := s.Write([]byte("more"))
		if !errors.Is(err, quic.ErrEarlyDataRejected) {
			t.Errorf("Write: %v", err)
		}
		if err := s.Close(); !errors.Is(err, quic.ErrEarlyDataRejected) {
			t.Errorf("Close: %v", err)
		}
		s.SetDeadline(time.Now())
		s.CancelRead(1)
		s.CancelWrite(1)
		s.Abort(1)
		s.Finish()
		s.AckedBytes()
	}
	for i, s := range fresh {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(s); err != nil || len(got) != 1000 || got[0] != byte(i) {
			t.Errorf("a new stream brought %d bytes, %v", len(got), err)
		}
	}
	freshUni.Close()
	if err := c.CloseGracefully(ctx, 0, ""); err != nil {
		t.Errorf("CloseGracefully: %v", err)
	}
}

// Between the server's rejection and the end of the handshake, which a HelloRetryRequest puts a round trip apart, what is begun waits, and is
// not early.
func TestBegunAfterEarlyRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := earlyServer(), earlyServer()
		for _, cfg := range []*quic.Config{one, two} {
			cfg.TicketKeys, cfg.MaxDatagramFrameSize = [][32]byte{{1}}, 1000
		}
		two.TLS.CurvePreferences = []tls.CurveID{tls.CurveP384}
		n := &delayNet{delay: 10 * time.Millisecond}
		a, b := over(t, n.open("192.0.2.1:443"), one), over(t, n.open("192.0.2.3:443"), two)
		client := over(t, n.open("192.0.2.2:50000"), nil)
		serveEcho(t, a)
		serveEcho(t, b)
		cfg := clientConfig()
		cfg.TLS.ServerName, cfg.MaxDatagramFrameSize = "localhost", 1000
		ctx := testContext(t)
		c, err := Dialer{Endpoint: client, Session: newSession(t, client, "192.0.2.1:443", cfg)}.DialEarly(ctx, "192.0.2.3:443", cfg)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Millisecond)
		if c.EarlyData() != quic.EarlyRejected || c.ConnectionState().HandshakeComplete {
			t.Fatalf("early data is %v", c.EarlyData())
		}
		inParallel(t, 6, func(i int) error {
			if i%2 == 0 {
				return c.SendDatagram(ctx, []byte("datagram"))
			}
			return exchange(ctx, c, randomBytes(1000))
		})
		client.Close()
	})
}

// A cache that has cleared EarlyData of its entry, as the documentation of crypto/tls allows, gets no early data sent.
func TestCacheDeclinesEarly(t *testing.T) {
	ep := listen(t, earlyServer())
	serveEcho(t, ep)
	cache := &bytesCache{noEarly: true}
	cfg := resumeConfig(cache)
	for i := range 2 {
		c, err := DialEarly(testContext(t), ep.Addr().String(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := exchange(testContext(t), c, randomBytes(10)); err != nil {
			t.Error(err)
		}
		if c.EarlyData() != quic.EarlyNone || c.ConnectionState().DidResume != (i > 0) {
			t.Errorf("connection %d: early data %v, resumed %v", i, c.EarlyData(), c.ConnectionState().DidResume)
		}
		c.Close()
		<-c.shard.ep.gone
	}
}

// Early data that somebody has recorded and sends again, from the same address and from another one, is not taken twice, though it is
// taken of a client that uses a Session again: each ClientHello is another one.
func TestEarlyReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &delayNet{delay: 10 * time.Millisecond}
		server := over(t, n.open("192.0.2.1:443"), earlyServer())
		wire := &recordingConn{PacketConn: n.open("192.0.2.2:50000")}
		client := over(t, wire, nil)
		var served atomic.Int32
		go func() {
			for {
				c, err := server.Accept(context.Background())
				if err != nil {
					return
				}
				c.HandleStreams(func(s *Stream) {
					if b, err := io.ReadAll(s); err == nil && string(b) == "pay" {
						served.Add(1)
					}
					s.Close()
				})
			}
		}()
		cfg := clientConfig()
		cfg.TLS.ServerName = "localhost"
		d := Dialer{Endpoint: client, Session: newSession(t, client, "192.0.2.1:443", cfg)}
		time.Sleep(time.Second)
		for i := range 3 {
			wire.take()
			c, err := d.DialEarly(testContext(t), "192.0.2.1:443", cfg)
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.OpenStream(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			s.WriteFinal([]byte("pay"))
			if _, err := io.ReadAll(s); err != nil || c.EarlyData() != quic.EarlyAccepted {
				t.Errorf("connection %d: early data %v, %v", i, c.EarlyData(), err)
			}
			c.Close()
		}
		time.Sleep(time.Minute) // the server has forgotten the connection
		recorded := wire.take()
		for _, from := range []net.PacketConn{wire.PacketConn, n.open("192.0.2.3:1")} {
			for _, b := range recorded {
				from.WriteTo(b, memAddr("192.0.2.1:443"))
			}
			time.Sleep(time.Minute)
		}
		if got := served.Load(); got != 3 {
			t.Errorf("%d requests were served, want 3: none of a recording", got)
		}
		if st := server.Stats(); st.Completed != 4 || st.Failed == 0 {
			t.Errorf("%d handshakes were completed, %d failed: the recording was not heard at all", st.Completed, st.Failed)
		}
		client.Close()
		server.Close()
	})
}

// recordingConn keeps what is sent.
type recordingConn struct {
	net.PacketConn
	mu   sync.Mutex
	sent [][]byte
}

// take returns what was sent since it was called last.
func (r *recordingConn) take() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = nil
	return sent
}

func (r *recordingConn) WriteTo(p []byte, to net.Addr) (int, error) {
	r.mu.Lock()
	r.sent = append(r.sent, bytes.Clone(p))
	r.mu.Unlock()
	return r.PacketConn.WriteTo(p, to)
}

// DialEarly spares a round trip, in virtual time.
func TestEarlyTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &delayNet{delay: 100 * time.Millisecond}
		server, client := over(t, n.open("192.0.2.1:443"), earlyServer()), over(t, n.open("192.0.2.2:50000"), nil)
		serveEcho(t, server)
		cfg := resumeConfig(tls.NewLRUClientSessionCache(0))
		cfg.TLS.ServerName = "localhost"
		for i, want := range []struct{ dial, answer time.Duration }{{200 * time.Millisecond, 400 * time.Millisecond}, {0, 200 * time.Millisecond}} {
			start := time.Now()
			c, err := client.DialEarly(testContext(t), "192.0.2.1:443", cfg)
			if err != nil {
				t.Fatal(err)
			}
			dialled := time.Since(start).Truncate(time.Millisecond)
			if err := exchange(testContext(t), c, []byte("early")); err != nil {
				t.Fatal(err)
			}
			if answered := time.Since(start).Truncate(time.Millisecond); dialled != want.dial || answered != want.answer {
				t.Errorf("connection %d: dialled after %v, answered after %v, want %v", i, dialled, answered, want)
			}
			time.Sleep(time.Second)
			c.Close()
		}
		// A server that is gone: DialEarly returns all the same, and the connection ends as Dial would have.
		server.Close()
		c, err := client.DialEarly(testContext(t), "192.0.2.1:443", cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.OpenStream(testContext(t)); err != nil {
			t.Error(err)
		}
		if err := c.Handshake(testContext(t)); !errors.Is(err, &quic.IdleTimeoutError{Handshake: true}) {
			t.Errorf("Handshake: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		cfg.TLS.ClientSessionCache = nil
		c, err = client.DialEarly(ctx, "192.0.2.1:443", cfg)
		if c != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("DialEarly without a session: %v", err)
		}
		client.Close()
	})
}

// delayNet is a memNet whose datagrams take a while, and arrive in order.
type delayNet struct {
	memNet
	delay time.Duration
	sent  atomic.Int64
}

func (n *delayNet) open(addr string) net.PacketConn { return &delayConn{n.memNet.open(addr), n} }

type delayConn struct {
	*memConn
	net *delayNet
}

func (c *delayConn) WriteTo(p []byte, to net.Addr) (int, error) {
	b := bytes.Clone(p)
	time.AfterFunc(c.net.delay+time.Duration(c.net.sent.Add(1)), func() { c.memConn.WriteTo(b, to) }) // no two at the same time
	return len(p), nil
}

// An address that cannot be reached is found out also where a session is looked at first.
func TestSessionUnreachable(t *testing.T) {
	ep := listen(t, earlyServer())
	serveEcho(t, ep)
	s := newSession(t, listenWith(t, nil, udp.Options{}), ep.Addr().String(), clientConfig())
	closed := listenWith(t, nil, udp.Options{})
	closed.shards[0].sock.Close()
	start := time.Now()
	_, err := Dialer{Session: s, Endpoint: closed}.Dial(testContext(t), ep.Addr().String(), clientConfig())
	if !errors.Is(err, net.ErrClosed) || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}
