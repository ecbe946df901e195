package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

// adapter is a peer's program that is there.
type adapter struct {
	peer
	bin   string
	about perf.About
}

// bench is what all runs of compare have in common.
type bench struct {
	cert, key string        // PEM files of the servers
	payload   int           // the largest UDP payload
	settle    time.Duration // between the last idle connection and the look at the server's memory
}

// has tells whether a measurement can be made.
func (a *adapter) has(m *measurement) bool {
	return a.ownClient(m) || slices.Contains(a.about.Serves, m.needs)
}

// ownClient tells whether the implementation has a client for it; if not, ours takes its place.
func (a *adapter) ownClient(m *measurement) bool { return slices.Contains(a.about.Loads, m.needs) }

func (a *adapter) client(ctx context.Context, m *measurement, args ...string) (*exec.Cmd, error) {
	if a.ownClient(m) {
		return a.command(ctx, append([]string{m.load}, args...)...), nil
	}
	self, err := os.Executable()
	return exec.CommandContext(ctx, self, append([]string{m.load, "--alpn", a.about.ALPN}, args...)...), err
}

// limit is how long a client may take, beyond all reason.
const limit = 5 * time.Minute

func (a *adapter) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, a.bin, append(append([]string(nil), a.args...), args...)...)
}

// describe asks the program what it is.
func (a *adapter) describe(ctx context.Context, payload int) error {
	out, err := a.command(ctx, "about", "--udp-payload", fmt.Sprint(payload)).Output()
	if err != nil {
		return fmt.Errorf("%s about: %w", a.bin, err)
	}
	if err := json.Unmarshal(out, &a.about); err != nil {
		return fmt.Errorf("%s about printed %q: %w", a.bin, out, err)
	}
	return nil
}

// measure runs a server and a client, each a new process on a core of its own, and returns what they used.
func (b *bench) measure(ctx context.Context, a *adapter, m *measurement) (s sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	server, addr, err := b.startServer(ctx, a)
	if err != nil {
		return s, err
	}
	defer func() {
		cancel() // kills it
		said := server.Stderr.(*bytes.Buffer)
		_ = server.Wait()
		if err != nil && said.Len() > 0 {
			err = fmt.Errorf("%w; the server said: %s", err, bytes.TrimSpace(said.Bytes()))
		}
	}()
	pid := server.Process.Pid
	cpu, err := cpuSeconds(pid)
	if err != nil {
		return s, err
	}
	rss, err := residentBytes(pid)
	if err != nil {
		return s, err
	}
	var cpuAfter float64
	var rssAfter int64
	s.Report, err = b.runClient(ctx, a, m, addr, func() (err error) {
		if cpuAfter, err = cpuSeconds(pid); err == nil {
			rssAfter, err = residentBytes(pid)
		}
		return err
	})
	s.Peer, s.Measurement, s.ServerCPU, s.ServerRSS, s.OtherClient = a.name, m.name, cpuAfter-cpu, rssAfter-rss, !a.ownClient(m)
	return s, err
}

func (b *bench) startServer(ctx context.Context, a *adapter) (server *exec.Cmd, addr string, err error) {
	server = a.command(ctx, "server", "--listen", "127.0.0.1:0", "--cert", b.cert, "--key", b.key, "--udp-payload", fmt.Sprint(b.payload))
	server.Stderr = new(bytes.Buffer)
	out, err := server.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := startOn(serverCore, server); err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_, addr, ok := strings.Cut(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		_ = server.Process.Kill()
		_ = server.Wait()
		return nil, "", fmt.Errorf("the server did not say where it listens but %q %s", line, server.Stderr)
	}
	return server, addr, nil
}

// runClient runs a client; done is called when it has done its work, while the connections of the idle load are still there.
func (b *bench) runClient(ctx context.Context, a *adapter, m *measurement, addr string, done func() error) (r perf.Report, err error) {
	args := append([]string{"--json", "--ca", b.cert, "--udp-payload", fmt.Sprint(b.payload)}, m.args...)
	client, err := a.client(ctx, m, append(args, addr)...)
	if err != nil {
		return r, err
	}
	said := new(bytes.Buffer)
	client.Stderr = said
	hold, err := client.StdinPipe()
	if err != nil {
		return r, err
	}
	out, err := client.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := startOn(clientCore, client); err != nil {
		return r, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil && m.load == perf.LoadIdle {
		select {
		case <-time.After(b.settle):
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err == nil {
		err = done()
	} else if errors.Is(err, io.EOF) {
		err = errors.New("the client printed nothing")
	}
	hold.Close()
	if werr := client.Wait(); werr != nil || err != nil {
		return r, fmt.Errorf("the client failed: %w; it said: %s", errors.Join(err, werr), bytes.TrimSpace(said.Bytes()))
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf("the client printed %q: %w", line, err)
	}
	if r.Load != m.load || r.Count == 0 || r.Seconds <= 0 {
		return r, fmt.Errorf("the client printed %q, which is no result of %s", line, m.load)
	}
	return r, nil
}
