package perf

import (
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/usage"
)

// maxAtOnce bounds what there can be at once of connections, and of streams, requests or handshakes on all of them: each takes memory before
// anything is measured.
const maxAtOnce = 1_000_000

// atOnce tells whether there can be so many of each of so many.
func atOnce(ns ...int) bool {
	product := 1
	for _, n := range ns {
		if n < 1 || n > maxAtOnce/product {
			return false
		}
		product *= n
	}
	return true
}

// maxDatagram is the most that a datagram can have, in bytes: more no UDP datagram carries.
const maxDatagram = 65535

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
				return usage.Error(fmt.Errorf("--bytes %q is not a size such as 64MiB or 1GiB", bytes))
			}
			if !atOnce(b.Connections, b.Streams) || uint64(b.Streams) > b.Bytes/uint64(b.Connections) {
				return usage.Error(fmt.Errorf("give --streams and --connections numbers from 1 on, %d streams at most in all, and a byte at least to each", maxAtOnce))
			}
			if b.Repeat < 1 || b.Bytes > 1<<62/uint64(b.Repeat) {
				return usage.Error(errors.New("give --repeat a number from 1 on"))
			}
			l := load{name: LoadBulk, total: int64(b.Count()), run: reporting(b.run)}
			if s.Loop != nil {
				l.run = loop(s.Loop.Bulk, &b)
			}
			return o.runLoad(cmd, s, args[0], l)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&bytes, "bytes", "1GiB", "`SIZE` to move in all, such as 64MiB or 1GiB")
	f.IntVar(&b.Repeat, "repeat", 1, "`NUMBER` of times to move as much, one after the other, on new streams of the same connections")
	f.BoolVar(&b.Upload, "upload", false, "send to the server in place of receiving from it")
	f.IntVar(&b.Connections, "connections", 1, "`NUMBER` of connections to spread the bytes over, all at once")
	f.IntVar(&b.Streams, "streams", 1, "`NUMBER` of streams of each connection to spread the bytes over, all at once")
	o.flags(cmd)
	return cmd
}

func requestsCommand(s *Stack) *cobra.Command {
	var o clientOptions
	var r Requests
	about := `requests keeps --parallel requests of the perf protocol under way on each connection for a
time. Each sends --up bytes after the protocol's eight, on a stream of its own, and gets
--down bytes back. Latency is from opening the stream to the answer's last byte.`
	if s.HTTP {
		about = `requests keeps --parallel requests of HTTP under way on each connection for a time. Each is a
GET with 12 header fields, or a POST where --up bytes are sent, and gets --down bytes back.
Latency is from the request's beginning to the answer's last byte.`
	}
	cmd := &cobra.Command{
		Use:   "requests HOST:PORT",
		Short: "Ask and get small answers, each on a stream of its own: requests per second, latency",
		Long:  about,
		Example: `  quic-perf requests 127.0.0.1:4433
  quic-perf requests --parallel 1 --up 100 --down 10000 127.0.0.1:4433`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !atOnce(r.Connections, r.Parallel) || r.Duration <= 0 || r.Beside < 0 || r.Beside > maxAtOnce {
				return usage.Error(fmt.Errorf("give --parallel, --connections and --for more than nothing, and --beside no less; "+
					"there can be %d requests at once, and as many connections", maxAtOnce))
			}
			l := load{name: LoadRequests, total: -1, run: reporting(r.run)}
			if s.Loop != nil {
				l.run = loop(s.Loop.Requests, &r)
			}
			return o.runLoad(cmd, s, args[0], l)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&r.Duration, "for", 5*time.Second, "how long to go on, a `TIME` such as 10s")
	f.IntVar(&r.Parallel, "parallel", 100, "`NUMBER` of requests under way at once on each connection")
	f.IntVar(&r.Connections, "connections", 1, "`NUMBER` of connections")
	besideFlag(f, &r.Beside)
	up := uint64(1024)
	if s.HTTP {
		up = 0
	}
	f.Uint64Var(&r.Up, "up", up, "`BYTES` to send with each request")
	f.Uint64Var(&r.Down, "down", 1024, "`BYTES` wanted in answer")
	o.flags(cmd)
	return cmd
}

// checkParallel checks the flags of loads that make connections.
func checkParallel(parallel int, d time.Duration) error {
	if !atOnce(parallel) || d <= 0 {
		return usage.Error(fmt.Errorf("give --parallel and --for more than nothing, and --parallel %d at most", maxAtOnce))
	}
	return nil
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
			if err := checkParallel(h.Parallel, h.Duration); err != nil {
				return err
			}
			return o.runLoad(cmd, s, args[0], load{name: LoadHandshakes, total: -1, run: reporting(h.run)})
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&h.Duration, "for", 5*time.Second, "how long to go on, a `TIME` such as 10s")
	f.IntVar(&h.Parallel, "parallel", 16, "`NUMBER` of handshakes under way at once")
	alpnFlag(f, &h.ALPN)
	o.flags(cmd)
	return cmd
}

func resumedCommand(s *Stack) *cobra.Command {
	var o clientOptions
	h := Handshakes{Resumed: true}
	cmd := &cobra.Command{
		Use:   "resumed HOST:PORT",
		Short: "Make connections that resume a session, and close them: resumed handshakes per second",
		Long: `resumed makes a connection to a server that was started with --tickets, and then connections
for a time that resume its session, --parallel at once, and closes each when its handshake is
complete. The key exchange is X25519 again; there are no certificates and signatures. A
handshake that is a full one is a failure. What it takes to get the session does not count.`,
		Example: "  quic-perf resumed --for 10s 127.0.0.1:4433",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkParallel(h.Parallel, h.Duration); err != nil {
				return err
			}
			return o.runLoad(cmd, s, args[0], load{name: LoadResumed, total: -1, run: reporting(h.run), prepares: true})
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&h.Duration, "for", 5*time.Second, "how long to go on, a `TIME` such as 10s")
	f.IntVar(&h.Parallel, "parallel", 16, "`NUMBER` of handshakes under way at once")
	alpnFlag(f, &h.ALPN)
	o.flags(cmd)
	return cmd
}

func earlyCommand(s *Stack) *cobra.Command {
	var o clientOptions
	var e Early
	cmd := &cobra.Command{
		Use:   "early HOST:PORT",
		Short: "Ask in 0-RTT, each time on a connection of its own: requests per second, latency",
		Long: `early makes a connection to a server that was started with --tickets, and then connections for
a time that resume its session, --parallel at once, each with one request of the perf
protocol in 0-RTT. Latency is from the beginning of the connection to the answer's last byte.
0-RTT that is not accepted is a failure. What it takes to get the session does not count.`,
		Example: "  quic-perf early --parallel 1 127.0.0.1:4433",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkParallel(e.Parallel, e.Duration); err != nil {
				return err
			}
			return o.runLoad(cmd, s, args[0], load{name: LoadEarly, total: -1, run: reporting(e.run), prepares: true})
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&e.Duration, "for", 5*time.Second, "how long to go on, a `TIME` such as 10s")
	f.IntVar(&e.Parallel, "parallel", 16, "`NUMBER` of connections under way at once")
	f.Uint64Var(&e.Up, "up", 1024, "`BYTES` to send with each request")
	f.Uint64Var(&e.Down, "down", 1024, "`BYTES` wanted in answer")
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
			if d.Size < 1 || d.Size > maxDatagram || d.Duration <= 0 {
				return usage.Error(fmt.Errorf("give --size and --for more than nothing, and --size %d at most", maxDatagram))
			}
			return o.runLoad(cmd, s, args[0], load{name: LoadDatagrams, total: -1, run: reporting(d.run)})
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
	var i Idle
	cmd := &cobra.Command{
		Use:   "idle HOST:PORT",
		Short: "Make connections and hold them: memory of the server",
		Long: `idle makes --connections connections, prints the result, and holds them until its standard
input ends. What they cost is for others to see: the resident set of the server.`,
		Example: "  quic-perf idle --connections 2000 127.0.0.1:4433",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !atOnce(i.Connections) || i.Beside < 0 || i.Beside > maxAtOnce {
				return usage.Error(fmt.Errorf("give --connections a number from 1 on, and --beside one from 0 on, %d at most", maxAtOnce))
			}
			i.Until = cmd.InOrStdin()
			return o.runLoad(cmd, s, args[0], load{name: LoadIdle, total: int64(i.Connections), run: i.run})
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&i.Connections, "connections", 2000, "`NUMBER` of connections")
	besideFlag(f, &i.Beside)
	if !s.HTTP {
		alpnFlag(f, &i.ALPN)
	}
	o.flags(cmd)
	return cmd
}
