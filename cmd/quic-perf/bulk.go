package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/progress"
	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// defaultPayload fills an Ethernet frame: 1,500 bytes less the headers of IPv4 and UDP.
const defaultPayload = 1472

type bulkOptions struct {
	bytes        string
	upload, json bool
	streams      int
	payload      int
	ca           string
}

func bulkCommand() *cobra.Command {
	var o bulkOptions
	cmd := &cobra.Command{
		Use:   "bulk HOST:PORT",
		Short: "Move many bytes and say what it cost",
		Long: `bulk moves --bytes from the server, or with --upload to it, and prints Mbit/s and the
CPU seconds per GiB and the largest resident set of each side. The handshake is not
part of the time; it is part of the CPU seconds.`,
		Example: `  quic-perf bulk --bytes 1GiB 127.0.0.1:4433
  quic-perf bulk --bytes 256MiB --upload --streams 16 127.0.0.1:4433`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return bulk(cmd.Context(), o, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.bytes, "bytes", "1GiB", "`SIZE` to move in all, such as 64MiB or 1GiB")
	f.BoolVar(&o.upload, "upload", false, "send to the server in place of receiving from it")
	f.IntVar(&o.streams, "streams", 1, "`NUMBER` of streams to spread the bytes over, all at once")
	f.BoolVar(&o.json, "json", false, "print the result as one JSON object")
	f.IntVar(&o.payload, "udp-payload", defaultPayload, "largest UDP payload to send, in `BYTES`, 1200 to 65527")
	f.StringVar(&o.ca, "ca", "", "PEM `FILE` of certificates to trust; without it any certificate is accepted")
	return cmd
}

// result is what one measurement found. Per-GiB figures are for the bytes moved.
type result struct {
	Bytes         uint64  `json:"bytes"`
	Upload        bool    `json:"upload"`
	Streams       int     `json:"streams"`
	UDPPayload    int     `json:"udp_payload"`
	Seconds       float64 `json:"seconds"`
	MbitPerSecond float64 `json:"mbit_per_second"`
	Client        cost    `json:"client"`
	Server        *cost   `json:"server,omitempty"` // nil: the server does not tell
}

type cost struct {
	CPUPerGiB float64 `json:"cpu_seconds_per_gib"`
	MaxRSS    int64   `json:"max_rss_bytes"`
}

func (o *bulkOptions) check() (total uint64, err error) {
	total, err = humanize.ParseBytes(o.bytes)
	switch {
	case err != nil || total == 0:
		return 0, errUsage{fmt.Errorf("--bytes %q is not a size such as 64MiB or 1GiB", o.bytes)}
	case o.streams < 1 || uint64(o.streams) > total:
		return 0, errUsage{fmt.Errorf("--streams %d: give a number from 1 to the number of bytes", o.streams)}
	}
	return total, nil
}

func bulk(ctx context.Context, o bulkOptions, addr string, stdout, stderr io.Writer) error {
	total, err := o.check()
	if err != nil {
		return err
	}
	serverBefore, err := serverUsage(ctx, o, addr)
	if err != nil && !errors.Is(err, errNoUsage) {
		return err
	}
	clientBefore, err := ownUsage()
	if err != nil {
		return err
	}
	seconds, err := move(ctx, o, addr, total, stderr)
	if err != nil {
		return err
	}
	clientAfter, err := ownUsage()
	if err != nil {
		return err
	}
	r := result{Bytes: total, Upload: o.upload, Streams: o.streams, UDPPayload: o.payload, Seconds: seconds,
		MbitPerSecond: float64(total) * 8 / 1e6 / seconds, Client: costOf(clientBefore, clientAfter, total)}
	if serverBefore != nil {
		serverAfter, err := serverUsage(ctx, o, addr)
		if err != nil {
			return err
		}
		c := costOf(*serverBefore, *serverAfter, total)
		r.Server = &c
	}
	return r.print(stdout, o.json)
}

func costOf(before, after usage, total uint64) cost {
	return cost{(after.CPUSeconds - before.CPUSeconds) / (float64(total) / (1 << 30)), after.MaxRSS}
}

// move transfers total bytes and returns the seconds from the first request to the last byte.
func move(ctx context.Context, o bulkOptions, addr string, total uint64, stderr io.Writer) (float64, error) {
	conn, err := dial(ctx, o, addr, alpnPerf)
	if err != nil {
		return 0, err
	}
	defer conn.CloseWithError(0, "")
	stop := context.AfterFunc(ctx, func() { conn.CloseWithError(0, "interrupted") })
	defer stop()
	what := "download"
	if o.upload {
		what = "upload"
	}
	bar := progress.New(stderr, what, int64(total), o.json)
	defer bar.Done()

	var wg sync.WaitGroup
	errs := make([]error, o.streams)
	start := time.Now()
	for i := range o.streams {
		share := total / uint64(o.streams)
		if i == 0 {
			share += total % uint64(o.streams)
		}
		wg.Go(func() {
			s, err := conn.OpenStream(ctx)
			if err != nil {
				errs[i] = err
				return
			}
			if o.upload {
				errs[i] = requestPerf(s, 0, share, bar)
			} else {
				errs[i] = requestPerf(s, share, 0, bar)
			}
		})
	}
	wg.Wait()
	return time.Since(start).Seconds(), errors.Join(errs...)
}

func dial(ctx context.Context, o bulkOptions, addr, alpn string) (*quicnet.Conn, error) {
	tlsConf, err := tlsfiles.Client(o.ca == "", o.ca, alpn)
	if err != nil {
		return nil, errUsage{err}
	}
	conn, err := quicnet.Dial(ctx, addr, &quic.Config{TLS: tlsConf, MaxUDPPayload: o.payload})
	if err != nil {
		return nil, fmt.Errorf("no connection to %s: %w", addr, err)
	}
	return conn, nil
}

// errNoUsage says that the server is not a quic-perf: it speaks the perf protocol alone.
var errNoUsage = errors.New("the server does not tell its usage")

// serverUsage asks the server what it has used so far.
func serverUsage(ctx context.Context, o bulkOptions, addr string) (*usage, error) {
	conn, err := dial(ctx, o, addr, alpnUsage)
	if errors.Is(err, &quic.TransportError{Code: quic.CryptoErrorBase + 120, Remote: true}) { // no_application_protocol
		return nil, errNoUsage
	}
	if err != nil {
		return nil, err
	}
	defer conn.CloseWithError(0, "")
	s, err := conn.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	u, err := requestUsage(s)
	return &u, err
}

func (r *result) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	direction := "down"
	if r.Upload {
		direction = "up"
	}
	fmt.Fprintf(w, "%s %s, %d streams, UDP payload %d: %.2f s, %.0f Mbit/s\n", humanize.IBytes(r.Bytes), direction,
		r.Streams, r.UDPPayload, r.Seconds, r.MbitPerSecond)
	r.Client.print(w, "client")
	if r.Server == nil {
		fmt.Fprintln(w, "server: does not tell")
		return nil
	}
	r.Server.print(w, "server")
	return nil
}

func (c *cost) print(w io.Writer, who string) {
	fmt.Fprintf(w, "%s: %.3f CPU seconds per GiB, largest resident set %s\n", who, c.CPUPerGiB,
		humanize.IBytes(uint64(c.MaxRSS)))
}
