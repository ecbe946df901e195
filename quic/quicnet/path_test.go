package quicnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// patterned is endless data that tells where it is wrong.
type patterned struct{ off int64 }

func patternAt(off int64) byte { return byte(off>>16) ^ byte(off>>8) ^ byte(off)*31 }

func (p *patterned) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = patternAt(p.off + int64(i))
	}
	p.off += int64(len(b))
	return len(b), nil
}

// checkPattern reads n bytes and calls at after each 64 KiB.
func checkPattern(r io.Reader, n int64, at func(off int64)) error {
	buf := make([]byte, 64<<10)
	for off := int64(0); off < n; {
		m, err := io.ReadFull(r, buf[:min(int64(len(buf)), n-off)])
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", off+int64(m), err)
		}
		for i, b := range buf[:m] {
			if b != patternAt(off+int64(i)) {
				return fmt.Errorf("byte %d is wrong", off+int64(i))
			}
		}
		off += int64(m)
		if at != nil {
			at(off)
		}
	}
	return nil
}

// needAlias skips the test where the machine has no second loopback address.
func needAlias(t testing.TB) {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.2:0")
	if err != nil {
		t.Skipf("this machine does not have all of 127.0.0.0/8: %v", err)
	}
	pc.Close()
}

// transferSize is how many bytes a test moves.
func transferSize(t testing.TB) int64 {
	if testing.Short() {
		return 4 << 20
	}
	return 24 << 20
}

// sizes of a transfer between whose parts the client moves.
const moves = 8

// A client downloads and uploads while it moves between ports and addresses, and back to where it was.
func TestMigrateInTransfer(t *testing.T) {
	needAlias(t)
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared=%v", shared), func(t *testing.T) {
			ctx := testContext(t)
			ep := listen(t, serverConfig())
			var c *Conn
			if shared {
				client := listen(t, nil)
				var err error
				if c, err = client.Dial(ctx, ep.Addr().String(), clientConfig()); err != nil {
					t.Fatal(err)
				}
			} else {
				c = dial(t, ep, clientConfig())
			}
			s, err := ep.Accept(ctx)
			if err != nil {
				t.Fatal(err)
			}
			ss, cs := streamPair(t, s, c)
			size := transferSize(t)
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				if _, err := io.CopyN(ss, &patterned{}, size); err != nil {
					t.Errorf("the server's write: %v", err)
				}
			})
			wg.Go(func() {
				if _, err := io.CopyN(cs, &patterned{}, size); err != nil {
					t.Errorf("the client's write: %v", err)
				}
			})
			wg.Go(func() {
				if err := checkPattern(ss, size, nil); err != nil {
					t.Errorf("the upload: %v", err)
				}
			})
			first := c.LocalAddr().String()
			var seen []string
			next := size / moves
			err = checkPattern(cs, size, func(off int64) {
				if off < next || len(seen) == moves-1 {
					return
				}
				next += size / moves
				to := []string{"127.0.0.1:0", "127.0.0.2:0", first, ":0"}[len(seen)%4]
				if err := c.Migrate(ctx, to); err != nil {
					t.Errorf("move %d: %v; the paths are %+v\nand at the server %+v", len(seen), err, c.Paths(), s.Paths())
				}
				seen = append(seen, c.LocalAddr().String())
			})
			if err != nil {
				t.Fatalf("the download: %v", err)
			}
			wg.Wait()
			for i, local := range seen {
				want := first
				if i > 0 {
					want = seen[i-1]
				}
				if local == want {
					t.Errorf("after move %d the client is still at %s", i, local)
				}
			}
			cs.Write([]byte("x")) // which tells the server where the client is now
			if _, err := io.ReadFull(ss, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			if local := c.LocalAddr().String(); s.RemoteAddr().String() != local {
				t.Errorf("the client is at %s, and the server sends to %v", local, s.RemoteAddr())
			}
			if n := len(c.shard.all()); n > 5 {
				t.Errorf("the client has %d sockets", n)
			}
			c.Close()
		})
	}
}

// A path that was added is there to move to, is told of, and gives back its socket when it is closed.
func TestAddPath(t *testing.T) {
	needAlias(t)
	ctx := testContext(t)
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streamPair(t, s, c)
	p, err := c.AddPath(ctx, "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	first := c.LocalAddr()
	info := p.Info()
	if info.State != quic.PathStandby || !info.Validated || info.Local.String() != p.LocalAddr().String() || p.RemoteAddr().String() != s.LocalAddr().String() {
		t.Errorf("the path from %v to %v is %+v", p.LocalAddr(), p.RemoteAddr(), info)
	}
	if again, err := c.AddPath(ctx, p.LocalAddr().String()); err != nil || again != p {
		t.Errorf("AddPath with its address returned %v, %v", again, err)
	}
	if n := len(c.Paths()); n != 2 {
		t.Errorf("there are %d paths", n)
	}
	if err := p.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Migrate(ctx); err != nil {
		t.Errorf("to move to where it is brought %v", err)
	}
	if c.LocalAddr().String() != p.LocalAddr().String() || c.LocalAddr().String() == first.String() {
		t.Errorf("the client is at %v, not %v", c.LocalAddr(), p.LocalAddr())
	}
	for range 2 {
		cs.Write([]byte("x"))
		if _, err := io.ReadFull(ss, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil { // it goes back to the first
		t.Fatal(err)
	}
	if c.LocalAddr().String() != first.String() || len(c.Paths()) != 1 || p.Err() == nil {
		t.Errorf("the client is at %v, with %+v; %v", c.LocalAddr(), c.Paths(), p.Err())
	}
	if n := len(c.shard.all()); n != 1 {
		t.Errorf("%d sockets are open", n)
	}
	if err := p.Migrate(ctx); err == nil {
		t.Error("a closed path can be moved to")
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close again brought %v", err)
	}
	// The first path has no other to go back to.
	only, err := c.AddPath(ctx, first.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := only.Close(); err != errOnlyPath {
		t.Errorf("Close of the only path brought %v", err)
	}
	cs.Write([]byte("x"))
	if _, err := io.ReadFull(ss, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	// The port of the closed one is free again.
	awaitClosed(t, p.LocalAddr().String())
}

// awaitClosed waits for an address to be free.
func awaitClosed(t *testing.T, addr string) {
	t.Helper()
	for hung := time.After(testTimeout); ; runtime.Gosched() {
		pc, err := net.ListenPacket("udp4", addr)
		if err == nil {
			pc.Close()
			return
		}
		if passed(hung) {
			t.Fatalf("the socket at %s is not closed: %v", addr, err)
		}
	}
}

// AddPath and Migrate say what was wrong, and leave nothing behind.
func TestAddPathErrors(t *testing.T) {
	ctx := testContext(t)
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s, c := pair(t, serverConfig(), clientConfig())
	_, fixed := pair(t, func() *quic.Config { cfg := serverConfig(); cfg.DisableActiveMigration = true; return cfg }(), clientConfig())
	ended, cancel := context.WithCancelCause(ctx)
	why := errors.New("no more time")
	cancel(why)
	for name, tc := range map[string]struct {
		c     *Conn
		ctx   context.Context
		local string
		is    error
		text  string
	}{
		"server":     {s, ctx, ":0", nil, "only a client"},
		"no address": {c, ctx, "here", nil, "not IP:PORT"},
		"name":       {c, ctx, "localhost:0", nil, "not IP:PORT"},
		"no port":    {c, ctx, "127.0.0.1", nil, "not IP:PORT"},
		"IPv6":       {c, ctx, "[::1]:0", nil, "IP version"},
		"not ours":   {c, ctx, "192.0.2.1:0", nil, "cannot assign requested address"},
		"in use":     {c, ctx, taken.LocalAddr().String(), nil, "address already in use"},
		"disabled":   {fixed, ctx, ":0", quic.ErrMigrationDisabled, ""},
		"cancelled":  {c, ended, ":0", why, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for call, err := range map[string]error{
				"AddPath": func() error { _, err := tc.c.AddPath(tc.ctx, tc.local); return err }(),
				"Migrate": tc.c.Migrate(tc.ctx, tc.local),
			} {
				if err == nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), tc.local) {
					t.Errorf("%s returned %v", call, err)
				}
			}
			if n := len(tc.c.shard.all()); n != 1 {
				t.Errorf("%d sockets are open", n)
			}
		})
	}
	c.Close()
	if _, err := c.AddPath(ctx, ":0"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("AddPath after Close returned %v", err)
	}
}

// Many AddPath at once make no more than four paths, each with its socket.
func TestManyPaths(t *testing.T) {
	ctx := testContext(t)
	s, c := pair(t, serverConfig(), clientConfig())
	_, _ = streamPair(t, s, c)
	for range 3 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var paths []*Path
		for range 30 {
			wg.Go(func() {
				p, err := c.AddPath(ctx, "127.0.0.1:0")
				if err == nil {
					mu.Lock()
					paths = append(paths, p)
					mu.Unlock()
				} else if !errors.Is(err, quic.ErrTooManyPaths) && !errors.Is(err, quic.ErrNoConnIDs) {
					t.Errorf("AddPath returned %v", err)
				}
			})
		}
		wg.Wait()
		if n := len(c.Paths()); n > 4 || n != len(paths)+1 {
			t.Errorf("there are %d paths, and %d were added", n, len(paths))
		}
		if n := len(c.shard.all()); n != len(paths)+1 {
			t.Errorf("there are %d sockets for %d paths", n, len(paths)+1)
		}
		for _, p := range paths {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// Close ends AddPath and Migrate that are under way.
func TestCloseDuringAddPath(t *testing.T) {
	ctx := testContext(t)
	ep := listen(t, serverConfig())
	for i := range 20 {
		c := dial(t, ep, clientConfig())
		s, err := ep.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for {
					if err := c.Migrate(ctx, "127.0.0.1:0"); errors.Is(err, net.ErrClosed) {
						return
					}
				}
			})
		}
		closer := []*Conn{c, s}[i%2]
		if i%4 < 2 {
			for range i {
				runtime.Gosched()
			}
		} else if i%4 == 2 {
			c.AddPath(ctx, ":0")
		}
		closer.Close()
		wg.Wait()
	}
}

// The program is told of what happens to paths, on both sides.
func TestOnPath(t *testing.T) {
	ctx := testContext(t)
	type told struct {
		c  *Conn
		ev quic.PathEvent
	}
	atServer, atClient := make(chan told, 100), make(chan told, 100)
	ep, err := ListenConfig{OnPath: func(c *Conn, ev quic.PathEvent) {
		c.RemoteAddr() // no lock is held
		atServer <- told{c, ev}
	}}.Listen("127.0.0.1:0", serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer ep.Close()
	c, err := Dialer{OnPath: func(c *Conn, ev quic.PathEvent) {
		c.Paths()
		atClient <- told{c, ev}
	}}.Dial(ctx, ep.Addr().String(), clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.shard.ep.Close()
	s, err := ep.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Migrate(ctx, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	local := c.LocalAddr().(*net.UDPAddr).AddrPort()
	want := func(name string, from chan told, conn *Conn, kind quic.PathEventKind, is func(quic.PathEvent) netip.AddrPort) {
		t.Helper()
		for {
			select {
			case got := <-from:
				if got.c != conn {
					t.Fatalf("%s: another connection is told of", name)
				}
				if got.ev.Kind == kind && is(got.ev) == local {
					return
				}
			case <-ctx.Done():
				t.Fatalf("%s is not told of %v", name, kind)
			}
		}
	}
	ours := func(ev quic.PathEvent) netip.AddrPort { return ev.Local }
	theirs := func(ev quic.PathEvent) netip.AddrPort { return ev.Remote }
	for _, kind := range []quic.PathEventKind{quic.PathNew, quic.PathValidated, quic.PathActivated} {
		want("the client", atClient, c, kind, ours)
	}
	want("the server", atServer, s, quic.PathNew, theirs)
	want("the server", atServer, s, quic.PathActivated, theirs)
}

// A connection goes on over another path when a socket fails, and ends with the last.
func TestSocketOfPathFails(t *testing.T) {
	ctx := testContext(t)
	for _, first := range []bool{false, true} {
		t.Run(fmt.Sprintf("first=%v", first), func(t *testing.T) {
			s, c := pair(t, serverConfig(), clientConfig())
			ss, cs := streamPair(t, s, c)
			p, err := c.AddPath(ctx, "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if !first {
				if err := p.Migrate(ctx); err != nil {
					t.Fatal(err)
				}
				p.sock.sock.Close()
			} else {
				c.shard.sock.Close()
			}
			for range 20 {
				if _, err := cs.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(ss, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				if _, err := ss.Write([]byte("y")); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(cs, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
			for hung := time.After(testTimeout); len(c.Paths()) != 1; runtime.Gosched() {
				if passed(hung) {
					t.Fatalf("the paths are %+v", c.Paths())
				}
			}
			if err := p.Err(); first != (err == nil) || !first && !strings.Contains(err.Error(), "the socket failed") {
				t.Errorf("the path that was added has the error %v", err)
			}
			c.shard.socketAt(c.core.LocalAddr()).sock.Close()
			<-c.Context().Done()
			if err := c.Err(); !strings.Contains(err.Error(), "the socket failed") {
				t.Errorf("the connection has the error %v", err)
			}
		})
	}
}

// A program that is slow with what it is told of paths is not told all, and nothing piles up.
func TestOnPathSlow(t *testing.T) {
	release, told := make(chan bool), make(chan quic.PathEvent, 1000)
	_, c := pair(t, serverConfig(), clientConfig())
	c.mu.Lock()
	r := c.roaming()
	r.onPath = func(_ *Conn, ev quic.PathEvent) {
		<-release
		told <- ev
	}
	for i := range 1000 {
		r.tell(c, &quic.PathEvent{Kind: quic.PathNew, Local: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(i))})
		if n := len(r.untold); n > maxUntoldPathEvents {
			t.Fatalf("%d events wait", n)
		}
	}
	c.mu.Unlock()
	close(release)
	for i := range maxUntoldPathEvents {
		if ev := <-told; int(ev.Local.Port()) != i {
			t.Errorf("event %d is of port %d", i, ev.Local.Port())
		}
	}
}

// Migrate that fails leaves a path that was there before alone.
func TestMigrateCancelled(t *testing.T) {
	ctx := testContext(t)
	s, c := pair(t, serverConfig(), clientConfig())
	_, _ = streamPair(t, s, c)
	p, err := c.AddPath(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := c.LocalAddr().String()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.Migrate(ended, p.LocalAddr().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("Migrate returned %v", err)
	}
	// Nobody answers: the server is gone before the new path is validated, and ctx ends first.
	s.shard.sock.Close()
	brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := c.Migrate(brief, "127.0.0.1:0"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Migrate returned %v", err)
	}
	if p.Err() != nil || c.LocalAddr().String() != first || len(c.Paths()) != 2 || len(c.shard.all()) != 2 {
		t.Errorf("the path has %v, the client is at %v with %+v and %d sockets", p.Err(), c.LocalAddr(), c.Paths(), len(c.shard.all()))
	}
}
