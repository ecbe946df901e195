package quicnet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/boringquic/boringquic/quic/udp"
)

// hosts are three network namespaces in a row: a client, a router, and a server. What the kernel does with datagrams that are too large
// for a device, and what a router does, is real there.
type hosts struct {
	t      testing.TB
	prefix string // of the names of the namespaces
}

// newHosts makes the namespaces and the two links between them, of MTU 1500. Without the right to do that the test is skipped.
func newHosts(t testing.TB) *hosts {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces are root's to make: run this test as root to see it")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("there is no program ip (of iproute2), which this test makes network namespaces with")
	}
	h := &hosts{t: t, prefix: fmt.Sprintf("bq%d-", os.Getpid())}
	t.Cleanup(func() {
		for _, name := range []string{"client", "router", "server"} {
			exec.Command("ip", "netns", "del", h.prefix+name).Run()
		}
	})
	for _, name := range []string{"client", "router", "server"} {
		if out, err := exec.Command("ip", "netns", "add", h.prefix+name).CombinedOutput(); err != nil {
			t.Skipf("no network namespace can be made: %s", bytes.TrimSpace(out))
		}
		h.ip(name, "link", "set", "lo", "up")
	}
	for i, side := range []string{"client", "server"} {
		router := fmt.Sprintf("to-%s", side)
		h.ip(side, "link", "add", "eth0", "type", "veth", "peer", "name", router, "netns", h.prefix+"router")
		for _, a := range []struct{ host, prefix, gateway string }{
			{fmt.Sprintf("10.77.%d.2/24", i), fmt.Sprintf("10.77.%d.1/24", i), fmt.Sprintf("10.77.%d.1", i)},
			{fmt.Sprintf("fd77:%d::2/64", i), fmt.Sprintf("fd77:%d::1/64", i), fmt.Sprintf("fd77:%d::1", i)},
		} {
			h.ip(side, "addr", "add", a.host, "dev", "eth0", "nodad")
			h.ip("router", "addr", "add", a.prefix, "dev", router, "nodad")
		}
		h.ip(side, "link", "set", "eth0", "up")
		h.ip("router", "link", "set", router, "up")
		h.ip(side, "route", "add", "default", "via", fmt.Sprintf("10.77.%d.1", i))
		h.ip(side, "-6", "route", "add", "default", "via", fmt.Sprintf("fd77:%d::1", i))
	}
	h.in("router", func() {
		for _, setting := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+setting, []byte("1"), 0); err != nil {
				t.Skipf("the router cannot be made to forward: %v", err)
			}
		}
	})
	return h
}

// ip runs the program ip in a namespace.
func (h *hosts) ip(name string, args ...string) {
	h.t.Helper()
	if out, err := exec.Command("ip", append([]string{"-n", h.prefix + name}, args...)...).CombinedOutput(); err != nil {
		h.t.Errorf("ip %v in %s: %v: %s", args, name, err, out)
	}
}

// mtu sets the MTU of one of the two links.
func (h *hosts) mtu(side string, mtu int) {
	h.t.Helper()
	h.ip(side, "link", "set", "eth0", "mtu", fmt.Sprint(mtu))
	h.ip("router", "link", "set", "to-"+side, "mtu", fmt.Sprint(mtu))
}

// in runs f on a thread that is in a namespace: what it opens is there, and stays.
func (h *hosts) in(name string, f func()) {
	h.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		fd, err := unix.Open("/run/netns/"+h.prefix+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		h.t.Skipf("a thread cannot enter a namespace: %v", err)
	}
}

// listen opens a socket in a namespace.
func (h *hosts) listen(name, address string) (s *udp.Socket) {
	h.t.Helper()
	var err error
	h.in(name, func() { s, err = udp.Listen("udp", address, udp.Options{}) })
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// The kernel's devices and a router have the MTU that they have, and it changes in the middle of a transfer: each time it is found, and
// every byte arrives. On the client's own link the kernel tells (EMSGSIZE); behind the router datagrams are lost, and of what the
// router says of that nothing is believed.
func TestRealMTU(t *testing.T) {
	for _, c := range []struct {
		name, link, address, local string
		overhead                   int
	}{
		{"own link", "client", "10.77.1.2:4433", "10.77.0.2:0", 28},
		{"behind the router", "server", "10.77.1.2:4433", "10.77.0.2:0", 28},
		{"own link, IPv6", "client", "[fd77:1::2]:4433", "[fd77::2]:0", 48},
		{"behind the router, IPv6", "server", "[fd77:1::2]:4433", "[fd77::2]:0", 48},
		{"own link, both IP versions", "client", "10.77.1.2:4433", ":0", 28},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHosts(t)
			h.mtu(c.link, 1400)
			ctx := testContext(t)
			ep := endpointOn(t, h.listen("server", c.address), serverConfig())
			dialer := endpointOn(t, h.listen("client", c.local), nil)
			config := clientConfig()
			config.TLS.ServerName = "127.0.0.1"
			cc, err := dialer.Dial(ctx, c.address, config)
			if err != nil {
				t.Fatal(err)
			}
			sc, err := ep.Accept(ctx)
			if err != nil {
				t.Fatal(err)
			}
			content := randomBytes(8 << 20)
			transfer := func(from, to *Conn) {
				t.Helper()
				if err := upload(ctx, from, to, content); err != nil {
					t.Fatal(err)
				}
			}
			check := func(what string, mtu, slack int) {
				t.Helper()
				most := mtu - c.overhead
				for i, conn := range []*Conn{cc, sc} {
					found := conn.Stats().MaxUDPPayload
					t.Logf("%s, %s: %d bytes", what, []string{"client", "server"}[i], found)
					if found > most || found < most-slack {
						t.Errorf("%s: datagrams of %d bytes, want %d", what, found, most)
					}
				}
			}
			transfer(cc, sc)
			transfer(sc, cc)
			check("1400 from the begin", 1400, 0)
			for i, conn := range []*Conn{cc, sc} {
				other := []*Conn{sc, cc}[i]
				h.mtu(c.link, 1400)
				changed := make(chan struct{})
				go func() {
					h.mtu(c.link, 1300)
					close(changed)
				}()
				transfer(conn, other)
				<-changed
			}
			transfer(cc, sc)
			transfer(sc, cc)
			check("1300 since", 1300, 32)
		})
	}
}

// upload sends content on a stream of its own, and compares what arrives.
func upload(ctx context.Context, from, to *Conn, content []byte) error {
	s, err := from.OpenStream(ctx)
	if err != nil {
		return err
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := s.Write(content)
		s.Close()
		wrote <- err
	}()
	r, err := to.AcceptStream(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(b, content) {
		err = fmt.Errorf("%d bytes came of %d, or others", len(b), len(content))
	}
	if err == nil {
		err = <-wrote
	}
	return err
}
