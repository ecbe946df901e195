// Command ngtcp2 stands for ngtcp2, whose example programs Debian has in its packages ngtcp2-server and ngtcp2-client. They speak
// HTTP/3, and make bytes up for a path that is a number. So bulk can be measured with both, and what needs no more
// than handshakes with the server alone and another's client.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

// largest is the largest UDP payload that the programs take, in bytes.
const largest = 1472

func main() {
	if len(os.Args) == 4 && os.Args[1] == "announce" {
		announce(os.Args[2], os.Args[3])
		return
	}
	perf.Main("ngtcp2", &perf.Stack{About: about, Serve: serve, Resumes: true, Loop: &perf.Loop{NoUpload: true, Plain: true, Bulk: bulk}},
		perf.Named{Name: "h3", Short: "HTTP/3, for boringquic's client", Stack: &perf.Stack{
			HTTP: true, About: aboutHTTP3, Serve: serve, Loop: &perf.Loop{NoUpload: true, Plain: true},
		}})
}

func about(payload int) perf.About {
	version := "unknown"
	if out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", "ngtcp2-server").Output(); err == nil {
		version, _, _ = strings.Cut(string(out), "+")
	}
	a := perf.About{
		Name: "ngtcp2, gtlsserver and gtlsclient", Version: version, Crypto: "GnuTLS, AES-128-GCM", UDPPayload: min(payload, largest),
		Offloads: "GSO", Controller: "CUBIC", ALPN: "h3", Serves: []string{perf.LoadHandshakes, perf.LoadResumed, perf.LoadIdle},
	}
	for _, name := range []string{"gtlsserver", "gtlsclient"} {
		if _, err := program(name); err != nil {
			a.Missing = err.Error()
		}
	}
	return a
}

// aboutHTTP3 is without uploads: what the server does with them is not known.
func aboutHTTP3(payload int) perf.About {
	a := about(payload)
	a.Name, a.Serves = "ngtcp2 and nghttp3, gtlsserver", []string{perf.LoadBulk, perf.LoadRequests, perf.LoadIdle}
	return a
}

// program finds one of ngtcp2's programs, one of which Debian installs for root.
func program(name string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: it is in Debian's packages ngtcp2-server and ngtcp2-client", name)
}

// flags are both programs'.
func flags(payload int) []string {
	return []string{
		"--quiet", "--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM", "--groups=-GROUP-ALL:+GROUP-X25519",
		"--timeout=600s", "--no-pmtud", "--max-udp-payload-size=" + strconv.Itoa(min(payload, largest)),
		"--max-data=32M", "--max-stream-data-bidi-local=16M", "--max-stream-data-bidi-remote=16M", "--max-window=64M", "--max-stream-window=32M",
	}
}

// serve becomes the server, so that what the server uses is what this process uses. It does not say when it listens: a process
// that is left behind sees to that.
func serve(_ context.Context, o perf.ServerOptions, _ func(net.Addr)) error {
	bin, err := program("gtlsserver")
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return err
	}
	if port == "0" {
		if port, err = freePort(host); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	after := exec.Command(self, "announce", net.JoinHostPort(host, port), strconv.Itoa(os.Getpid()))
	after.Stdout, after.Stderr = os.Stdout, os.Stderr
	if err := after.Start(); err != nil {
		return err
	}
	args := append([]string{bin}, flags(o.UDPPayload)...)
	args = append(args, "--max-dyn-length=1024G", host, port, o.KeyFile, o.CertFile)
	return syscall.Exec(bin, args, os.Environ())
}

func freePort(host string) (string, error) {
	pc, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", err
	}
	defer pc.Close()
	_, port, err := net.SplitHostPort(pc.LocalAddr().String())
	return port, err
}

// announce says that the server, which is process pid, listens. It looks for the socket in the kernel's list: to try the port would
// keep the server from it. If the server ends before, so does announce.
func announce(addr, pid string) {
	_, port, _ := net.SplitHostPort(addr)
	for strconv.Itoa(os.Getppid()) == pid {
		if bound(port) {
			fmt.Println("listening on", addr)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// bound tells whether there is a UDP socket of that port.
func bound(port string) bool {
	n, _ := strconv.Atoi(port)
	suffix := fmt.Sprintf(":%04X", n)
	for _, list := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		b, _ := os.ReadFile(list)
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 1 && strings.HasSuffix(f[1], suffix) {
				return true
			}
		}
	}
	return false
}

// bulk has gtlsclient, a process for each connection, get as many bytes as there are on each stream. The time is the
// processes' whole life.
func bulk(ctx context.Context, t perf.Target, b *perf.Bulk, _ perf.Hooks) (perf.Outcome, error) {
	bin, err := program("gtlsclient")
	if err != nil {
		return perf.Outcome{}, err
	}
	host, port, err := net.SplitHostPort(t.Addr)
	if err != nil {
		return perf.Outcome{}, err
	}
	share := b.Bytes / uint64(b.Streams*b.Connections)
	args := append(flags(t.UDPPayload), "--exit-on-all-streams-close", "--sni=localhost", "--nstreams="+strconv.Itoa(b.Streams))
	if b.Upload {
		return perf.Outcome{}, errors.New("gtlsclient sends so slowly that there is nothing to compare")
	}
	args = append(args, host, port, "https://localhost/"+strconv.FormatUint(share, 10))
	errs := make([]error, b.Connections)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range errs {
		wg.Go(func() {
			if out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput(); err != nil {
				errs[i] = fmt.Errorf("gtlsclient: %w: %.1000s", err, out)
			}
		})
	}
	wg.Wait()
	return perf.Outcome{Count: share * uint64(b.Streams*b.Connections), Elapsed: time.Since(start)}, errors.Join(errs...)
}
