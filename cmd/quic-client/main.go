// Command quic-client downloads files over QUIC with HTTP/0.9 (ALPN hq-interop).
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/progress"
	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/quic"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1   // a file could not be had, or not be written
	exitUsage       = 2   // bad flags or URLs
	exitNoConn      = 3   // no connection: name, address, certificate, version, timeout
	exitInterrupted = 130 // SIGINT or SIGTERM, as shells count
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// askAfter is how long a server may be silent before it is asked whether it is still there: one that was started anew says no, and so
// does the kernel of a machine on which none runs any more.
const askAfter = time.Second

type options struct {
	insecure, stats, quiet bool
	ca, alpn, out, dir, cc string
	expectSize             int64
	timeout                time.Duration
}

// errUsage marks an error of the command line, errConn one that kept a connection from coming about.
type (
	errUsage struct{ error }
	errConn  struct{ error }
)

func (e errConn) Unwrap() error { return e.error }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	cmd := &cobra.Command{
		Use:   "quic-client [--insecure | --ca FILE] [-o FILE | --dir DIR] URL...",
		Short: "Download files over QUIC",
		Long: `quic-client downloads files over QUIC version 1 with HTTP/0.9, the protocol
"hq-interop" of the public QUIC interop runner. URLs look like
https://HOST:PORT/PATH (the port defaults to 443); those of one server share one
connection, each on a stream of its own.

A file gets its name only when it is complete: an interrupted download leaves
nothing behind. SSLKEYLOGFILE names a file to which TLS secrets are appended, for
Wireshark.

Exit codes: 0 all files are there, 1 a file could not be had or not be written,
2 bad flags or URLs, 3 no connection, 130 interrupted.`,
		Example: `  quic-client --insecure https://127.0.0.1:4433/index.html
  quic-client --ca ca.pem --dir downloads https://localhost:4433/a https://localhost:4433/b
  quic-client --insecure -o - https://127.0.0.1:4433/notes.txt | less`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errUsage{errors.New("no URL given")}
			}
			return nil
		},
		DisableFlagsInUseLine: true,
		SilenceUsage:          true,
		SilenceErrors:         true,
		RunE: func(cmd *cobra.Command, urls []string) error {
			return fetch(cmd.Context(), o, urls, stdout, stderr)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.insecure, "insecure", false, "accept any certificate of the server: for tests only")
	f.StringVar(&o.ca, "ca", "", "PEM `FILE` of certificates to trust in place of the system's roots")
	f.StringVar(&o.alpn, "alpn", hq.ALPN, "application `PROTOCOL` to ask for")
	f.StringVarP(&o.out, "output", "o", "", "`FILE` to write the only URL to; - is standard output")
	f.StringVar(&o.dir, "dir", ".", "`DIR` to write files to, each under the last part of its path")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "`TIME` that the handshake may take")
	f.Int64Var(&o.expectSize, "expect-size", 0, "`BYTES` that all files together have, for the progress bar: HTTP/0.9 does not tell")
	f.StringVar(&o.cc, "congestion", "cubic", "congestion `CONTROLLER`: cubic or reno")
	f.BoolVar(&o.stats, "stats", false, "say at the end what happened: version, cipher, times, packets, losses")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress bar")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return errUsage{err} })
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	return exitCode(ctx, err, stderr)
}

func exitCode(ctx context.Context, err error, stderr io.Writer) int {
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "quic-client: interrupted; incomplete files were removed")
		return exitInterrupted
	}
	for line := range strings.SplitSeq(err.Error(), "\n") { // one for each file
		fmt.Fprintln(stderr, "quic-client:", line)
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		fmt.Fprintln(stderr, "Certificates that the system does not trust are named with --ca; --insecure accepts any, for tests.")
	}
	switch {
	case errors.As(err, &errUsage{}):
		fmt.Fprintln(stderr, "Run 'quic-client --help' for the flags.")
		return exitUsage
	case errors.As(err, &errConn{}):
		return exitNoConn
	}
	return exitFailed
}

func (o *options) config() (*quic.Config, error) {
	tlsConf, err := tlsfiles.Client(o.insecure, o.ca, o.alpn)
	if err != nil {
		return nil, errUsage{err}
	}
	if o.alpn == "" || len(o.alpn) > 255 {
		return nil, errUsage{fmt.Errorf("--alpn %q is not of 1 to 255 bytes", o.alpn)}
	}
	if o.timeout <= 0 {
		return nil, errUsage{fmt.Errorf("--timeout %v is not above zero", o.timeout)}
	}
	cfg := &quic.Config{TLS: tlsConf, HandshakeTimeout: o.timeout, KeepAlive: askAfter}
	switch o.cc {
	case "cubic":
		cfg.Congestion = quic.CUBIC
	case "reno":
		cfg.Congestion = quic.NewReno
	default:
		return nil, errUsage{fmt.Errorf("--congestion %q is neither cubic nor reno", o.cc)}
	}
	return cfg, nil
}

// fetch downloads every URL and returns the errors of those that failed, joined.
func fetch(ctx context.Context, o options, urls []string, stdout, stderr io.Writer) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	servers, err := plan(urls, o.out, o.dir)
	if err != nil {
		return errUsage{err}
	}
	what := fmt.Sprintf("%d files", len(urls))
	if len(urls) == 1 {
		what = servers[0].jobs[0].path
	}
	bar := progress.New(stderr, what, o.expectSize, o.quiet)
	defer bar.Done()
	var errs []error
	for _, s := range servers {
		report, err := s.download(ctx, cfg, bar, stdout)
		errs = append(errs, err)
		if o.stats && report != nil {
			bar.Done()
			report.print(stderr)
		}
	}
	return errors.Join(errs...)
}
