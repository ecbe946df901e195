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
	grows bool // growth is measured of it
}

// bench is what all runs of compare have in common.
type bench struct {
	cert, key string        // PEM files of the servers
	payload   int           // the largest UDP payload
	settle    time.Duration // between the last idle connection and the look at the server's memory
}

// has tells whether a measurement can be made.
func (a *adapter) has(m *measurement) bool {
	switch {
	case a.over != "" && (a.over == overHTTP) != m.http:
		return false
	case m.series != "":
		return a.grows && a.ownClient(m)
	case m.http && m.client == nil: // with a client of its own, if it is one that programs use
		return a.lean == nil && a.ownClient(m)
	case m.http && a.kind == kindRaw && m.load == perf.LoadIdle:
		return false
	case m.http:
		return slices.Contains(a.about.Loads, m.needs) || slices.Contains(a.about.Serves, m.needs)
	}
	return a.ownClient(m) || slices.Contains(a.about.Serves, m.needs)
}

// ownClient tells whether the implementation has a client for it that is wanted; if not, ours takes its place.
func (a *adapter) ownClient(m *measurement) bool {
	return slices.Contains(a.about.Loads, m.needs) && (m.client == nil || a.kind == kindTCP)
}

// otherClient tells whether the client is not the implementation's own.
func (a *adapter) otherClient(m *measurement) bool {
	return !a.ownClient(m) && (a.kind != kindOurs && a.kind != kindRaw || !slices.Equal(a.args, a.clientOfOurs(m)))
}

// clientOfOurs returns the command that our client stands below.
func (a *adapter) clientOfOurs(m *measurement) []string {
	if a.lean != nil && slices.Equal(m.client, leanClient) {
		return a.lean
	}
	return m.client
}

// leanClient is the client of ours that loads servers of HTTP/3.
var leanClient = []string{"h3", "core"}

func (a *adapter) client(ctx context.Context, m *measurement, args ...string) (*exec.Cmd, error) {
	if a.ownClient(m) {
		return a.command(ctx, append([]string{m.load}, args...)...), nil
	}
	self, err := os.Executable()
	command := append(slices.Clone(a.clientOfOurs(m)), m.load)
	if !m.http {
		command = append(command, "--alpn", a.about.ALPN)
	}
	return exec.CommandContext(ctx, self, append(command, args...)...), err
}

// enoughFiles finds out beforehand that connections are too many: one that finds no file waits for ever.
func (a *adapter) enoughFiles(m *measurement) error {
	const others = 100 // files that a process needs for all else
	if a.about.UDPPayload > 0 || m.connections == 0 {
		return nil // connections share a socket
	}
	if most := openFiles(); uint64(m.connections)+others > most {
		return fmt.Errorf("each connection is an open file, and the limit is %d in a process (ulimit -n): too few for %d", most, m.connections)
	}
	return nil
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
	if err := a.enoughFiles(m); err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	server, addr, err := b.startServer(ctx, a, m)
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
	before, err := lookAt(pid)
	if err != nil {
		return s, err
	}
	var after, settled used
	s.Report, err = b.runClient(ctx, a, m, addr, watch{
		ready:   func() (err error) { before, err = lookAt(pid); return },
		done:    func() (err error) { after, err = lookAt(pid); return },
		settled: func() (err error) { settled, err = lookAt(pid); return },
	})
	if ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("it was not finished after %v: %w", limit, err)
	}
	s.Peer, s.Measurement, s.OtherClient = a.name, m.name, a.otherClient(m)
	s.ServerCPU, s.ServerRSS = after.cpu-before.cpu, settled.rss-before.rss
	return s, err
}

// used is what a process has used up to now.
type used struct {
	cpu float64 // in seconds
	rss int64   // in bytes
}

func lookAt(pid int) (u used, err error) {
	if u.cpu, err = cpuSeconds(pid); err == nil {
		u.rss, err = residentBytes(pid)
	}
	return u, err
}

// watch is what is called while a client runs.
type watch struct {
	ready   func() error // a client that pauses has all its connections
	done    func() error // it has done its work
	settled func() error // idle connections have been there for a while; else just after done
}

func (b *bench) startServer(ctx context.Context, a *adapter, m *measurement) (server *exec.Cmd, addr string, err error) {
	args := []string{"server", "--listen", "127.0.0.1:0", "--cert", b.cert, "--key", b.key, "--udp-payload", fmt.Sprint(b.payload)}
	server = a.command(ctx, append(args, m.server...)...)
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

// runClient runs a client, and calls those of w.
func (b *bench) runClient(ctx context.Context, a *adapter, m *measurement, addr string, w watch) (r perf.Report, err error) {
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
	line, err := b.follow(ctx, m, bufio.NewReader(out), hold, w)
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

// follow reads what a client prints and returns the line with its result.
func (b *bench) follow(ctx context.Context, m *measurement, out *bufio.Reader, in io.Writer, w watch) (line []byte, err error) {
	if m.pauses {
		if _, err = out.ReadBytes('\n'); err == nil {
			err = w.ready()
		}
		if err == nil {
			_, err = io.WriteString(in, "\n")
		}
	}
	if err == nil {
		line, err = out.ReadBytes('\n')
	}
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the client printed nothing")
	}
	if err == nil {
		err = w.done()
	}
	if err == nil && m.load == perf.LoadIdle {
		select {
		case <-time.After(b.settle):
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err == nil {
		err = w.settled()
	}
	return line, err
}
