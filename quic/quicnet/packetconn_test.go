package quicnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// memNet is a network in memory.
type memNet struct {
	mu    sync.Mutex
	hosts map[string]*memConn
}

// memAddr prints like an address and is no *net.UDPAddr.
type memAddr string

func (memAddr) Network() string  { return "memory" }
func (a memAddr) String() string { return string(a) }

// memConn is a net.PacketConn on a memNet. Hooks of tests judge what passes.
type memConn struct {
	net     *memNet
	addr    memAddr
	arrived chan memDatagram
	closed  chan struct{}
	once    sync.Once

	reads, writes atomic.Int64
	onWrite       atomic.Pointer[func(n int64) error] // before each datagram that leaves, the n-th; the error is the call's
	onRead        atomic.Pointer[func(n int64) error] // before each call
}

type memDatagram struct {
	b    []byte
	from memAddr
}

// open returns a new host.
func (n *memNet) open(addr string) *memConn {
	c := &memConn{net: n, addr: memAddr(addr), arrived: make(chan memDatagram, 1000), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts == nil {
		n.hosts = make(map[string]*memConn)
	}
	n.hosts[addr] = c
	return c
}

func (c *memConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n := c.reads.Add(1)
	if hook := c.onRead.Load(); hook != nil {
		if err := (*hook)(n); err != nil {
			return 0, nil, err
		}
	}
	select {
	case d := <-c.arrived:
		return copy(p, d.b), d.from, nil
	case <-c.closed:
		return 0, nil, io.ErrClosedPipe
	}
}

func (c *memConn) WriteTo(p []byte, to net.Addr) (int, error) {
	n := c.writes.Add(1)
	if hook := c.onWrite.Load(); hook != nil {
		if err := (*hook)(n); err != nil {
			return 0, err
		}
	}
	select {
	case <-c.closed:
		return 0, io.ErrClosedPipe
	default:
	}
	c.net.mu.Lock()
	host := c.net.hosts[to.String()]
	c.net.mu.Unlock()
	if host != nil {
		select {
		case host.arrived <- memDatagram{bytes.Clone(p), c.addr}:
		default: // the network is full
		}
	}
	return len(p), nil
}

func (c *memConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *memConn) LocalAddr() net.Addr              { return c.addr }
func (c *memConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (c *memConn) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (c *memConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// over runs an endpoint over any net.PacketConn.
func over(t testing.TB, pc net.PacketConn, cfg *quic.Config) *Endpoint {
	t.Helper()
	return overWith(t, ListenConfig{}, pc, cfg)
}

// overWith is over with a ListenConfig.
func overWith(t testing.TB, lc ListenConfig, pc net.PacketConn, cfg *quic.Config) *Endpoint {
	t.Helper()
	sock, err := udp.New(pc, udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ep, err := lc.NewEndpoint(sock, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	return ep
}

// memPair is a connection over a network in memory, with the sockets of both sides.
func memPair(t testing.TB, server, client *quic.Config) (s, c *Conn, ss, cs *memConn) {
	t.Helper()
	var n memNet
	ss, cs = n.open("192.0.2.1:443"), n.open("192.0.2.2:50000")
	sep, cep := over(t, ss, server), over(t, cs, nil)
	client.TLS.ServerName = "localhost"
	c, err := cep.Dial(testContext(t), "192.0.2.1:443", client)
	if err == nil {
		s, err = sep.Accept(testContext(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, c, ss, cs
}

// TestAnyPacketConn runs connections over a network in memory.
func TestAnyPacketConn(t *testing.T) {
	s, c, _, _ := memPair(t, serverConfig(), clientConfig())
	go echo(s)
	ctx := testContext(t)
	inParallel(t, 10, func(int) error { return exchange(ctx, c, randomBytes(500<<10)) })
	if a := c.RemoteAddr().String(); a != "192.0.2.1:443" {
		t.Errorf("the peer is %v", a)
	}
	if a := s.RemoteAddr().String(); a != "192.0.2.2:50000" {
		t.Errorf("the client is %v", a)
	}
}

// TestWritesFail has every fifth datagram be refused, on both sides, for all reasons that a kernel has: everything arrives.
func TestWritesFail(t *testing.T) {
	for _, errno := range []error{
		syscall.ENOBUFS, syscall.EPERM, syscall.EMSGSIZE, syscall.ENETUNREACH, syscall.ECONNREFUSED, syscall.EINVAL,
		os.ErrDeadlineExceeded, errors.New("some error"),
	} {
		t.Run(errno.Error(), func(t *testing.T) {
			s, c, ss, cs := memPair(t, serverConfig(), clientConfig())
			go echo(s)
			hook := func(n int64) error {
				if n%5 == 0 {
					return errno
				}
				return nil
			}
			ss.onWrite.Store(&hook)
			cs.onWrite.Store(&hook)
			if err := exchange(testContext(t), c, randomBytes(100<<10)); err != nil {
				t.Error(err)
			}
			if st := c.Stats(); st.PacketsLost == 0 {
				t.Error("nothing was lost")
			}
		})
	}
}

// TestReadsFail has every other call to read fail.
func TestReadsFail(t *testing.T) {
	s, c, ss, cs := memPair(t, serverConfig(), clientConfig())
	go echo(s)
	hook := func(n int64) error {
		if n%2 == 0 {
			return syscall.ECONNREFUSED
		}
		return nil
	}
	ss.onRead.Store(&hook)
	cs.onRead.Store(&hook)
	if err := exchange(testContext(t), c, randomBytes(300<<10)); err != nil {
		t.Error(err)
	}
}

// TestNothingCanBeSent has the kernel refuse all datagrams, from the first one on or later: connections end by their timeouts, after
// few tries.
func TestNothingCanBeSent(t *testing.T) {
	refuse := func(int64) error { return syscall.EPERM }
	t.Run("handshake", func(t *testing.T) {
		var n memNet
		pc := n.open("192.0.2.2:50000")
		pc.onWrite.Store(&refuse)
		cfg := clientConfig()
		cfg.HandshakeTimeout = 500 * time.Millisecond
		cfg.TLS.ServerName = "localhost"
		_, err := over(t, pc, nil).Dial(testContext(t), "192.0.2.1:443", cfg)
		if !errors.Is(err, &quic.IdleTimeoutError{Handshake: true}) {
			t.Errorf("Dial returned %v", err)
		}
		if n := pc.writes.Load(); n < 1 || n > 20 {
			t.Errorf("%d datagrams were tried", n)
		}
	})
	t.Run("established", func(t *testing.T) {
		client := clientConfig()
		client.MaxIdleTimeout = 500 * time.Millisecond
		s, c, _, cs := memPair(t, serverConfig(), client)
		_, stream := streamPair(t, s, c)
		cs.onWrite.Store(&refuse)
		before := cs.writes.Load()
		var err error
		for n := 0; err == nil; {
			var m int
			m, err = stream.Write(make([]byte, 64<<10))
			if n += m; n > 1<<20 {
				t.Fatalf("%d bytes were taken, more than Config.StreamSendBuffer", n)
			}
		}
		if !errors.Is(err, &quic.IdleTimeoutError{}) {
			t.Errorf("Write returned %v", err)
		}
		// A window of packets, and then probes.
		if n := cs.writes.Load() - before; n > 100 {
			t.Errorf("%d datagrams were tried", n)
		}
	})
}

// TestReadsFailForGood ends an endpoint whose socket cannot be read any more, after a bounded number of tries.
func TestReadsFailForGood(t *testing.T) {
	s, c, ss, _ := memPair(t, serverConfig(), clientConfig())
	streamPair(t, s, c)
	hook := func(int64) error { return syscall.EIO }
	before := ss.reads.Load()
	ss.onRead.Store(&hook)
	failed := make(chan error)
	go func() { failed <- exchange(testContext(t), c, []byte("x")) }() // which has the server read again
	<-s.shard.ep.gone
	c.Close()
	if err := <-failed; err == nil {
		t.Error("an exchange with a server that is gone succeeded")
	}
	if err := s.Err(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection has %v", err)
	}
	if _, err := s.shard.ep.Accept(testContext(t)); !errors.Is(err, syscall.EIO) {
		t.Errorf("Accept returned %v, not EIO", err)
	}
	if n := ss.reads.Load() - before; n > 1100 {
		t.Errorf("%d reads were tried", n)
	}
}

// TestSocketClosedUnderUs has somebody else close the socket: everything that waits returns, and nobody tries for long.
func TestSocketClosedUnderUs(t *testing.T) {
	kinds := map[string]func() net.PacketConn{
		"memory": func() net.PacketConn { return new(memNet).open("127.0.0.1:1") },
		"UDP": func() net.PacketConn {
			pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			return pc
		},
	}
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			server, client := open(), open()
			if name == "memory" {
				var n memNet
				server, client = n.open("127.0.0.1:1"), n.open("127.0.0.1:2")
			}
			sep, cep := over(t, server, serverConfig()), over(t, client, nil)
			ctx := testContext(t)
			c, err := cep.Dial(ctx, server.LocalAddr().String(), clientConfig())
			if err != nil {
				t.Fatal(err)
			}
			s, err := sep.Accept(ctx)
			if err != nil {
				t.Fatal(err)
			}
			ss, _ := streamPair(t, s, c)
			calls := []func() error{
				func() error { _, err := sep.Accept(ctx); return err },
				func() error { _, err := s.AcceptStream(ctx); return err },
				func() error { _, err := ss.Read(make([]byte, 1)); return err },
				func() error { _, err := io.Copy(ss, endless{}); return err },
			}
			outcomes := make(chan error)
			for _, call := range calls {
				go func() { outcomes <- call() }()
			}
			server.Close()
			for range calls {
				if err := <-outcomes; !errors.Is(err, net.ErrClosed) {
					t.Errorf("returned %v, not net.ErrClosed", err)
				}
			}
			<-sep.gone
		})
	}
}

// TestFullSendBuffer has WriteTo wait, as it does while a kernel's buffer is full: writers wait too, after no more than
// Config.StreamSendBuffer was taken of them, and deadlines hold for those that do not themselves send. When there is room all arrives.
func TestFullSendBuffer(t *testing.T) {
	client := clientConfig()
	client.StreamSendBuffer = 200_000
	s, c, _, cs := memPair(t, serverConfig(), client)
	ss1, stream1 := streamPair(t, s, c)
	ss2, stream2 := streamPair(t, s, c)
	room, waits := make(chan struct{}), make(chan struct{}, 1)
	full := func(int64) error {
		select {
		case waits <- struct{}{}:
		default:
		}
		<-room
		return nil
	}
	cs.onWrite.Store(&full)
	want := randomBytes(1 << 20)
	sent := make(chan error)
	go func() {
		_, err := stream1.Write(want)
		stream1.Close()
		sent <- err
	}()
	<-waits
	stream2.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	n, err := stream2.Write(want)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n > 200_000 {
		t.Errorf("%d bytes were taken while nothing could leave, and then %v", n, err)
	}
	select {
	case err := <-sent:
		t.Errorf("1 MiB was taken while nothing could leave: %v", err)
	default:
	}
	stream2.Close()
	close(room)
	for stream, want := range map[*Stream][]byte{ss1: want, ss2: want[:n]} {
		if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes of %d, %v", len(got), len(want), err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestPeerFallsSilent has the network lose everything from some time on.
func TestPeerFallsSilent(t *testing.T) {
	client := clientConfig()
	client.MaxIdleTimeout, client.StreamSendBuffer = 500*time.Millisecond, 200_000
	s, c, ss, _ := memPair(t, serverConfig(), client)
	_, stream := streamPair(t, s, c)
	lose := func(int64) error { return errors.New("lost") }
	ss.onWrite.Store(&lose)
	n, err := stream.Write(make([]byte, 1<<20))
	if !errors.Is(err, &quic.IdleTimeoutError{}) || n > 200_000 {
		t.Errorf("%d bytes were taken, and then %v", n, err)
	}
	if _, err := c.OpenStream(context.Background()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("OpenStream returned %v", err)
	}
}
