package perf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/progress"
)

// The exit codes.
const (
	ExitOK     = 0
	ExitFailed = 1 // no connection, or it broke
	ExitUsage  = 2 // bad flags
)

// DefaultPayload fills an Ethernet frame: 1,500 bytes less the headers of IPv4 and UDP.
const DefaultPayload = 1472

// usageError marks an error of the command line.
type usageError struct{ error }

// UsageError marks err as one of the command line, for Run.
func UsageError(err error) error { return usageError{err} }

// Main is the whole main function of a program that is nothing but a Stack.
func Main(name string, s *Stack) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := &cobra.Command{Use: name + " COMMAND", Short: "Do with this implementation what quic-perf does with boringquic"}
	cmd.AddCommand(Commands(s)...)
	os.Exit(Run(ctx, cmd, os.Args[1:], os.Stdout, os.Stderr))
}

// Run runs a command line and returns the exit code.
func Run(ctx context.Context, cmd *cobra.Command, args []string, stdout, stderr io.Writer) int {
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(stderr, "%s: %v\n", cmd.Name(), err)
	if errors.As(err, &usageError{}) {
		fmt.Fprintf(stderr, "Run '%s --help' for the commands and their flags.\n", cmd.Name())
		return ExitUsage
	}
	return ExitFailed
}

// Commands returns the commands of a Stack.
func Commands(s *Stack) []*cobra.Command {
	loads := []*cobra.Command{bulkCommand(s), requestsCommand(s)}
	if s.Client != nil {
		loads = append(loads, handshakesCommand(s))
		if s.About(DefaultPayload).UDPPayload > 0 {
			loads = append(loads, datagramsCommand(s))
		}
		loads = append(loads, idleCommand(s))
	}
	return append(loads, aboutCommand(s, loads), serverCommand(s))
}

func aboutCommand(s *Stack, loads []*cobra.Command) *cobra.Command {
	var payload int
	cmd := &cobra.Command{
		Use:   "about",
		Short: "Say what this is and how it is set up, as one JSON object",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a := s.About(payload)
			for _, l := range loads {
				a.Loads = append(a.Loads, l.Name())
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(a)
		},
	}
	cmd.Flags().IntVar(&payload, "udp-payload", DefaultPayload, "largest UDP payload to send, in `BYTES`")
	return cmd
}

func serverCommand(s *Stack) *cobra.Command {
	var o ServerOptions
	var cert, key string
	cmd := &cobra.Command{
		Use:     "server --listen HOST:PORT",
		Short:   "Answer the clients of all measurements until SIGINT or SIGTERM",
		Example: "  quic-perf server --listen 127.0.0.1:4433",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.TLS, err = serverTLS(cert, key, o.Listen); err != nil {
				return err
			}
			return s.Serve(cmd.Context(), o, func(a net.Addr) { fmt.Fprintf(cmd.OutOrStdout(), "listening on %s\n", a) })
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Listen, "listen", "127.0.0.1:4433", "`HOST:PORT` to listen on; port 0 is a free one")
	f.StringVar(&cert, "cert", "", "PEM `FILE` with the certificate chain; without it a self-signed one is made")
	f.StringVar(&key, "key", "", "PEM `FILE` with the private key")
	f.IntVar(&o.UDPPayload, "udp-payload", DefaultPayload, "largest UDP payload to send, in `BYTES`, 1200 to 65527")
	return cmd
}

// clientOptions are flags that all of the client's commands have.
type clientOptions struct {
	json    bool
	payload int
	ca      string
}

func (o *clientOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print the result as one JSON object")
	f.IntVar(&o.payload, "udp-payload", DefaultPayload, "largest UDP payload to send, in `BYTES`, 1200 to 65527")
	f.StringVar(&o.ca, "ca", "", "PEM `FILE` of certificates to trust; without it any certificate is accepted")
}

func (o *clientOptions) target(addr string) (Target, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return Target{}, usageError{fmt.Errorf("%q is not HOST:PORT: %w", addr, err)}
	}
	conf, err := clientTLS(o.ca)
	return Target{Addr: addr, TLS: conf, UDPPayload: o.payload}, err
}

// load is one measurement as a client's command runs it.
type load struct {
	name  string
	total int64 // bytes to be moved, or -1
	run   func(ctx context.Context, c Client, count func(int)) (Outcome, error)
	loop  func(ctx context.Context, t Target, count func(int)) (Outcome, error)
}

// measure runs a load and returns what it cost.
func measure(ctx context.Context, s *Stack, t Target, l load, m *meter) (*Report, error) {
	if s.Client == nil {
		return report(l.name, func() (Outcome, error) { return l.loop(ctx, t, m.count) })
	}
	c, err := s.Client(ctx, t)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	before, err := serverUsage(ctx, c)
	if err != nil {
		return nil, err
	}
	r, err := report(l.name, func() (Outcome, error) { return l.run(ctx, c, m.count) })
	if err != nil || before == nil {
		return r, err
	}
	after, err := serverUsage(ctx, c)
	if err != nil {
		return nil, err
	}
	u := after.since(*before)
	r.Server = &u
	return r, nil
}

// report is what the client's side of a load cost.
func report(name string, run func() (Outcome, error)) (*Report, error) {
	before, err := OwnUsage()
	if err != nil {
		return nil, err
	}
	o, err := run()
	if err != nil {
		return nil, err
	}
	after, err := OwnUsage()
	if err != nil {
		return nil, err
	}
	if o.Count == 0 {
		return nil, fmt.Errorf("nothing was done in %v", o.Elapsed)
	}
	return &Report{Load: name, Count: o.Count, Sent: o.Sent, Seconds: o.Elapsed.Seconds(), Latency: PercentilesOf(o.Latencies),
		Client: after.since(before)}, nil
}

// runLoad is what a client's command does.
func (o *clientOptions) runLoad(cmd *cobra.Command, s *Stack, addr string, l load) error {
	t, err := o.target(addr)
	if err != nil {
		return err
	}
	m := newMeter(cmd.ErrOrStderr(), l, o.json)
	r, err := measure(cmd.Context(), s, t, l, m)
	m.stop()
	if err != nil {
		return err
	}
	return r.print(cmd.OutOrStdout(), o.json)
}

// meter shows progress ten times a second; what is measured pays no more for it than one addition.
type meter struct {
	n    atomic.Int64
	bar  *progress.Bar
	quit chan struct{}
	done chan struct{}
}

func newMeter(w io.Writer, l load, quiet bool) *meter {
	m := &meter{quit: make(chan struct{}), done: make(chan struct{})}
	if l.name == LoadBulk {
		m.bar = progress.New(w, l.name, l.total, quiet)
	} else {
		m.bar = progress.Steps(w, l.name, int(l.total), quiet)
	}
	go m.show()
	return m
}

func (m *meter) count(n int) { m.n.Add(int64(n)) }

func (m *meter) show() {
	defer close(m.done)
	defer m.bar.Done()
	if !m.bar.Draws() {
		return
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for shown := int64(0); ; {
		select {
		case <-m.quit:
			return
		case <-ticker.C:
			n := m.n.Load()
			m.bar.Add(int(n - shown))
			shown = n
		}
	}
}

// stop takes the bar off the terminal.
func (m *meter) stop() {
	close(m.quit)
	<-m.done
}

func bulkCommand(s *Stack) *cobra.Command {
	var o clientOptions
	var b Bulk
	var bytes string
	cmd := &cobra.Command{
		Use:   "bulk HOST:PORT",
		Short: "Move many bytes: Mbit/s, CPU seconds per GiB",
		Long: `bulk moves --bytes from the server, or with --upload to it. The handshake is not part of
the time; it is part of the CPU seconds.`,
		Example: `  quic-perf bulk --bytes 1GiB 127.0.0.1:4433
  quic-perf bulk --bytes 256MiB --upload --streams 16 127.0.0.1:4433`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			b.Bytes, err = humanize.ParseBytes(bytes)
			if err != nil || b.Bytes == 0 || b.Bytes > 1<<62 {
				return usageError{fmt.Errorf("--bytes %q is not a size such as 64MiB or 1GiB", bytes)}
			}
			if b.Streams < 1 || b.Connections < 1 || uint64(b.Streams) > b.Bytes/uint64(b.Connections) {
				return usageError{errors.New("give --streams and --connections numbers from 1 on, and a byte at least to each stream")}
			}
			l := load{name: LoadBulk, total: int64(b.Bytes), run: b.run}
			if s.Loop != nil {
				l.loop = func(ctx context.Context, t Target, count func(int)) (Outcome, error) {
					return s.Loop.Bulk(ctx, t, &b, count)
				}
			}
			return o.runLoad(cmd, s, args[0], l)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&bytes, "bytes", "1GiB", "`SIZE` to move in all, such as 64MiB or 1GiB")
	f.BoolVar(&b.Upload, "upload", false, "send to the server in place of receiving from it")
	f.IntVar(&b.Connections, "connections", 1, "`NUMBER` of connections to spread the bytes over, all at once")
	f.IntVar(&b.Streams, "streams", 1, "`NUMBER` of streams of each connection to spread the bytes over, all at once")
	o.flags(cmd)
	return cmd
}

func requestsCommand(s *Stack) *cobra.Command {
	var o clientOptions
	var r Requests
	cmd := &cobra.Command{
		Use:   "requests HOST:PORT",
		Short: "Ask and get small answers, each on a stream of its own: requests per second, latency",
		Long: `requests keeps --parallel requests of the perf protocol under way on each connection for a
time. Each sends --up bytes after the protocol's eight, on a stream of its own, and gets
--down bytes back. Latency is from opening the stream to the answer's last byte.`,
		Example: `  quic-perf requests 127.0.0.1:4433
  quic-perf requests --parallel 1 --up 100 --down 10000 127.0.0.1:4433`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.Parallel < 1 || r.Connections < 1 || r.Duration <= 0 {
				return usageError{errors.New("give --parallel, --connections and --for more than nothing")}
			}
			l := load{name: LoadRequests, total: -1, run: r.run}
			if s.Loop != nil {
				l.loop = func(ctx context.Context, t Target, count func(int)) (Outcome, error) {
					return s.Loop.Requests(ctx, t, &r, count)
				}
			}
			return o.runLoad(cmd, s, args[0], l)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&r.Duration, "for", 5*time.Second, "how long to go on, a `TIME` such as 10s")
	f.IntVar(&r.Parallel, "parallel", 100, "`NUMBER` of requests under way at once on each connection")
	f.IntVar(&r.Connections, "connections", 1, "`NUMBER` of connections")
	f.Uint64Var(&r.Up, "up", 1024, "`BYTES` to send with each request")
	f.Uint64Var(&r.Down, "down", 1024, "`BYTES` wanted in answer")
	o.flags(cmd)
	return cmd
}

func handshakesCommand(s *Stack) *cobra.Command {
	var o clientOptions
	var h Handshakes
	cmd := &cobra.Command{
		Use:   "handshakes HOST:PORT",
		Short: "Make connections and close them: full handshakes per second",
		Long: `handshakes makes connections for a time, --parallel at once, and closes each when its
handshake is complete. All are full ones, with X25519.`,
		Example: "  quic-perf handshakes --for 10s 127.0.0.1:4433",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if h.Parallel < 1 || h.Duration <= 0 {
				return usageError{errors.New("give --parallel and --for more than nothing")}
			}
			return o.runLoad(cmd, s, args[0], load{name: LoadHandshakes, total: -1, run: h.run})
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&h.Duration, "for", 5*time.Second, "how long to go on, a `TIME` such as 10s")
	f.IntVar(&h.Parallel, "parallel", 16, "`NUMBER` of handshakes under way at once")
	o.flags(cmd)
	return cmd
}

func datagramsCommand(s *Stack) *cobra.Command {
	var o clientOptions
	var d Datagrams
	cmd := &cobra.Command{
		Use:   "datagrams HOST:PORT",
		Short: "Send unreliable datagrams to the server (RFC 9221): datagrams per second",
		Long: `datagrams sends datagrams to the server for a time, as fast as the connection takes them, and
asks the server in the end how many it has got. The server must be one of quic-perf or of
the programs that compare knows: the public perf protocol has no datagrams.`,
		Example: "  quic-perf datagrams --size 1200 127.0.0.1:4433",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if d.Size < 1 || d.Duration <= 0 {
				return usageError{errors.New("give --size and --for more than nothing")}
			}
			return o.runLoad(cmd, s, args[0], load{name: LoadDatagrams, total: -1, run: d.run})
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&d.Duration, "for", 5*time.Second, "how long to go on, a `TIME` such as 10s")
	f.IntVar(&d.Size, "size", 1200, "`BYTES` of each datagram")
	o.flags(cmd)
	return cmd
}

func idleCommand(s *Stack) *cobra.Command {
	var o clientOptions
	var n int
	cmd := &cobra.Command{
		Use:   "idle HOST:PORT",
		Short: "Make connections and hold them: memory of the server",
		Long: `idle makes --connections connections, prints the result, and holds them until its standard
input ends. What they cost is for others to see: the resident set of the server.`,
		Example: "  quic-perf idle --connections 2000 127.0.0.1:4433",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 1 {
				return usageError{errors.New("give --connections a number from 1 on")}
			}
			return o.hold(cmd, s, args[0], n)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&n, "connections", 2000, "`NUMBER` of connections")
	o.flags(cmd)
	return cmd
}

// hold runs the idle load, whose result is printed in its midst.
func (o *clientOptions) hold(cmd *cobra.Command, s *Stack, addr string, n int) error {
	t, err := o.target(addr)
	if err != nil {
		return err
	}
	c, err := s.Client(cmd.Context(), t)
	if err != nil {
		return err
	}
	defer c.Close()
	m := newMeter(cmd.ErrOrStderr(), load{name: LoadIdle, total: int64(n)}, o.json)
	defer m.stop()
	before, err := OwnUsage()
	if err != nil {
		return err
	}
	i := Idle{Connections: n, Release: untilEnd(cmd.InOrStdin())}
	i.Held = func(out Outcome) error {
		r, err := report(LoadIdle, func() (Outcome, error) { return out, nil })
		if err != nil {
			return err
		}
		after, err := OwnUsage()
		if err != nil {
			return err
		}
		r.Client = after.since(before)
		if r.Server, err = serverUsage(cmd.Context(), c); err != nil {
			return err
		}
		return r.print(cmd.OutOrStdout(), o.json)
	}
	_, err = i.run(cmd.Context(), c, m.count)
	return err
}
