package quicnet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Tests in which addresses and routes come and go. The server and the client each run in a network namespace of their own, as programs
// that are this test's, with two cables between: ca is 10.77.1.2 to 10.77.1.1, cb is 10.77.2.2 to 10.77.2.1, and the server is at 10.77.9.9.

const (
	roleVariable = "BORINGQUIC_TEST_ROLE"
	serverInNS   = "10.77.9.9:4433"
	nsTransfer   = 32 << 20 // bytes, in each direction
)

// inNamespace prepares this test to run again in a namespace of its own, as role.
func inNamespace(t *testing.T, ctx context.Context, role string, more ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestInNamespace$", "-test.v")
	cmd.Env = append(append(os.Environ(), roleVariable+"="+role), more...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Stderr = os.Stderr
	return cmd
}

// needNamespaces skips a test where none can be made.
func needNamespaces(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces are made by root alone")
	}
	probe := exec.Command("ip", "link", "add", "bqa", "type", "veth", "peer", "name", "bqb")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("no network namespace with two ends of a cable can be made here: %v: %s", err, out)
	}
}

func TestFollowNetworkInNamespaces(t *testing.T) {
	needNamespaces(t)
	for _, scenario := range []string{"address", "route", "later", "migrate", "stay"} {
		t.Run(scenario, func(t *testing.T) {
			ctx := testContext(t)
			server := inNamespace(t, ctx, "server")
			in, err1 := server.StdinPipe()
			out, err2 := server.StdoutPipe()
			if err := errors.Join(err1, err2, server.Start()); err != nil {
				t.Fatal(err)
			}
			client := inNamespace(t, ctx, "client", "BORINGQUIC_TEST_SCENARIO="+scenario, fmt.Sprint("BORINGQUIC_TEST_PEER=", server.Process.Pid))
			client.Stdin = out // what the server says
			said := new(strings.Builder)
			client.Stdout = io.MultiWriter(said, unheard{in}) // and the reverse
			if err := client.Run(); err != nil {
				t.Errorf("the client: %v\n%s", err, said)
			}
			in.Close()
			if scenario == "stay" {
				server.Process.Kill() // it waits for what does not come
			}
			if err := server.Wait(); err != nil && scenario != "stay" {
				t.Errorf("the server: %v", err)
			}
		})
	}
}

// unheard is a writer that has no errors: the server may have ended.
type unheard struct{ w io.Writer }

func (u unheard) Write(p []byte) (int, error) {
	u.w.Write(p)
	return len(p), nil
}

// TestInNamespace is what runs in the namespaces.
func TestInNamespace(t *testing.T) {
	switch os.Getenv(roleVariable) {
	case "server":
		serveInNamespace(t)
	case "client":
		runInNamespace(t, os.Getenv("BORINGQUIC_TEST_SCENARIO"))
	default:
		t.Skip("it is for TestFollowNetworkInNamespaces")
	}
}

// ip runs a command that changes the namespace.
func ip(t *testing.T, command string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", command, err, out)
	}
}

// await waits for a line of the other program.
func await(t *testing.T, from *bufio.Reader, want string) {
	t.Helper()
	for {
		line, err := from.ReadString('\n')
		if strings.TrimSpace(line) == want {
			return
		}
		if err != nil {
			t.Fatalf("the other program did not say %q: %v", want, err)
		}
	}
}

func serveInNamespace(t *testing.T) {
	in := bufio.NewReader(os.Stdin)
	fmt.Println("here")
	await(t, in, "cables")
	for _, command := range []string{"link set lo up", "addr add 10.77.9.9/32 dev lo", "addr add 10.77.1.1/24 dev sa", "addr add 10.77.2.1/24 dev sb",
		"link set sa up", "link set sb up"} {
		ip(t, command)
	}
	ep, err := Listen(serverInNS, serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listening")
	ctx := testContext(t)
	c, err := ep.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.AcceptStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := io.CopyN(s, &patterned{}, nsTransfer)
		serverFailed(t, err)
		s.Close()
	})
	serverFailed(t, checkPattern(s, nsTransfer, nil))
	wg.Wait()
	await(t, in, "done")
	c.Close()
	ep.Close()
}

// serverFailed tells of an error where it can be read: what the server prints the client reads.
func serverFailed(t *testing.T, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "the server:", err)
		t.Fail()
	}
}

func runInNamespace(t *testing.T, scenario string) {
	in := bufio.NewReader(os.Stdin)
	await(t, in, "here")
	peer := os.Getenv("BORINGQUIC_TEST_PEER")
	for _, command := range []string{"link add ca type veth peer name sa", "link add cb type veth peer name sb", "link set sa netns " + peer,
		"link set sb netns " + peer, "link set lo up", "addr add 10.77.1.2/24 dev ca", "addr add 10.77.2.2/24 dev cb", "link set ca up", "link set cb up",
		"route add 10.77.9.9/32 via 10.77.1.1 metric 10"} {
		ip(t, command)
	}
	other := "route add 10.77.9.9/32 via 10.77.2.1 metric 20"
	if scenario != "later" {
		ip(t, other)
	}
	fmt.Println("cables")
	await(t, in, "listening")
	ctx := testContext(t)
	moved := make(chan netip.AddrPort, 100)
	d := Dialer{FollowNetwork: scenario != "stay" && scenario != "migrate", OnPath: func(_ *Conn, ev quic.PathEvent) {
		if ev.Kind == quic.PathActivated {
			moved <- ev.Local
		}
	}}
	if scenario == "address" || scenario == "stay" {
		d.LocalAddr = "10.77.1.2:0"
	}
	cfg := clientConfig()
	cfg.TLS.InsecureSkipVerify = true // the two programs have made a certificate each
	if scenario == "stay" {
		cfg.MaxIdleTimeout = 2 * time.Second
	}
	c, err := d.Dial(ctx, serverInNS, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.shard.ep.Close()
	s, err := c.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := io.CopyN(s, &patterned{}, nsTransfer); err != nil && scenario != "stay" {
			t.Errorf("the client's write: %v", err)
		}
		s.Close()
	})
	cut := false
	err = checkPattern(s, nsTransfer, func(off int64) {
		if cut || off < nsTransfer/4 {
			return
		}
		cut = true
		was := c.LocalAddr().String()
		switch scenario {
		case "address", "stay":
			ip(t, "addr del 10.77.1.2/24 dev ca")
		case "route":
			ip(t, "link set ca down")
		case "later":
			ip(t, "link set ca down")
			wg.Go(func() {
				wait := time.NewTimer(700 * time.Millisecond)
				<-wait.C
				ip(t, other)
			})
		case "migrate":
			if err := c.Migrate(ctx, "10.77.2.2:0"); err != nil {
				t.Error(err)
			}
			ip(t, "link set ca down")
		}
		if !strings.HasPrefix(was, "10.77.1.2:") {
			t.Errorf("the client began at %s", was)
		}
	})
	if scenario == "stay" {
		if !errors.Is(err, &quic.IdleTimeoutError{}) {
			t.Errorf("without FollowNetwork the download ended with %v", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("the download: %v; the paths are %+v", err, c.Paths())
	}
	wg.Wait()
	if err := s.Acked(ctx); err != nil {
		t.Error(err)
	}
	if local := c.LocalAddr().(*net.UDPAddr).AddrPort(); local.Addr() != netip.MustParseAddr("10.77.2.2") {
		t.Errorf("the client is at %v", local)
	}
	// Where the socket is on all addresses and the other route is there at once, the kernel goes over to it by itself; where it comes later,
	// the kernel may be first.
	if n := len(moved); scenario != "later" && (n == 0) != (scenario == "route") {
		t.Errorf("the program was told of %d moves", n)
	}
	fmt.Println("done")
}
