// Command quic-client downloads files over QUIC with HTTP/0.9 (ALPN hq-interop).
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/progress"
	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/cmd/internal/versions"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1   // a file could not be had, or not be written
	exitUsage       = 2   // bad flags or URLs
	exitNoConn      = 3   // no connection: name, address, certificate, version, timeout
	exitInterrupted = 130 // SIGINT, SIGTERM or SIGHUP, as shells count
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// askAfter is how long a server may be silent before it is asked whether it is still there: one that was started anew says no, and so
// does the kernel of a machine on which none runs any more.
const askAfter = time.Second

type options struct {
	insecure, stats, quiet, early, keyUpdate bool

	ca, alpn, out, dir, cc            string
	session, versions, local, migrate string
	expectSize, after                 int64
	pmtu                              int
	timeout                           time.Duration
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
		Use:   "quic-client [--insecure | --ca FILE] [--session FILE [--early-data]] [-o FILE | --dir DIR] URL...",
		Short: "Download files over QUIC",
		Long: `quic-client downloads files over QUIC with HTTP/0.9, the protocol "hq-interop" of
the public QUIC interop runner. URLs look like
https://HOST:PORT/PATH (the port defaults to 443); those of one server share one
connection, each on a stream of its own.

A file gets its name only when it is complete: an interrupted download leaves
nothing behind. SSLKEYLOGFILE names a file to which TLS secrets are appended, for
Wireshark.

With --session the next connection to a server resumes this one's session, and
with --early-data it asks for the files before the handshake is complete (0-RTT),
which saves a round trip. The file holds secrets; several programs may use it at
once. If it cannot be used, a sentence says why, and the handshake is a full one.

Exit codes: 0 all files are there, 1 a file could not be had or not be written,
2 bad flags or URLs, 3 no connection, 130 interrupted.`,
		Example: `  quic-client --insecure https://127.0.0.1:4433/index.html
  quic-client --ca ca.pem --dir downloads https://localhost:4433/a https://localhost:4433/b
  quic-client --insecure -o - https://127.0.0.1:4433/notes.txt | less
  quic-client --insecure --session sessions --early-data --stats https://127.0.0.1:4433/index.html
  quic-client --insecure --version 2 --stats https://127.0.0.1:4433/index.html
  quic-client --insecure --migrate :0 --key-update --stats https://127.0.0.1:4433/large`,
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
	f.StringVar(&o.session, "session", "", "`FILE` that keeps sessions between runs, made if it is not there: handshakes are resumed")
	f.BoolVar(&o.early, "early-data", false, "ask for the files in early data (0-RTT) if there is a session; if the server rejects it, they are asked for again")
	f.StringVar(&o.versions, "version", "1,2", "QUIC `VERSIONS` to speak, 1 or 2 or both, the one to begin with first")
	f.StringVar(&o.local, "local", "", "local `IP:PORT` to begin from; port 0 is a free one")
	f.StringVar(&o.migrate, "migrate", "", "local `IP:PORT` to move to in mid-transfer, as a phone does that leaves the house; :0 is another port")
	f.BoolVar(&o.keyUpdate, "key-update", false, "take new keys in mid-transfer")
	f.Int64Var(&o.after, "after", 1<<20, "`BYTES` of files that come before --migrate and --key-update")
	f.IntVar(&o.pmtu, "pmtu", 0, "most `BYTES` that a UDP datagram of ours may have, 1200 to 65527; as a rule as many as the path carries")
	f.StringVar(&o.cc, "congestion", "cubic", "congestion `CONTROLLER`: cubic or reno")
	f.BoolVar(&o.stats, "stats", false, "say at the end what happened: version, cipher, session, times, packets, losses, paths")
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
	cfg := &quic.Config{TLS: tlsConf, HandshakeTimeout: o.timeout, KeepAlive: askAfter, MaxUDPPayload: o.pmtu}
	if cfg.Versions, err = versions.Parse("--version", o.versions); err != nil {
		return nil, errUsage{err}
	}
	switch {
	case o.early && o.session == "":
		return nil, errUsage{errors.New("--early-data needs --session, which says where the session is")}
	case o.pmtu != 0 && (o.pmtu < 1200 || o.pmtu > 65527):
		return nil, errUsage{fmt.Errorf("--pmtu %d is not within 1200 and 65527", o.pmtu)}
	case o.after < 0:
		return nil, errUsage{fmt.Errorf("--after %d is below zero", o.after)}
	}
	for flag, addr := range map[string]string{"--local": o.local, "--migrate": o.migrate} {
		if err := checkLocal(addr); err != nil {
			return nil, errUsage{fmt.Errorf("%s %q is not IP:PORT: %w", flag, addr, err)}
		}
	}
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
	if o.session != "" {
		sessions, err := quicnet.NewFileSessionCache(o.session)
		if err != nil {
			fmt.Fprintf(stderr, "quic-client: %v; the handshake is a full one\n", err)
		} else {
			cfg.TLS.ClientSessionCache = sessions
			defer func() {
				if err := sessions.Err(); err != nil {
					fmt.Fprintln(stderr, "quic-client:", err)
				}
			}()
		}
	}
	what := fmt.Sprintf("%d files", len(urls))
	if len(urls) == 1 {
		what = servers[0].jobs[0].path
	}
	bar := progress.New(stderr, what, o.expectSize, o.quiet)
	defer bar.Done()
	var errs []error
	for _, s := range servers {
		report, err := s.download(ctx, cfg, &o, bar, stdout)
		errs = append(errs, err)
		if o.stats && report != nil {
			bar.Done()
			report.print(stderr)
		}
	}
	return errors.Join(errs...)
}

// checkLocal checks a local address, of which the IP may be left out.
func checkLocal(addr string) error {
	if addr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			return err
		}
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err
}
