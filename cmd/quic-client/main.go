// Command quic-client downloads and uploads by HTTP/3, by other versions of HTTP where that is wished, and by HTTP/0.9 over QUIC (ALPN
// hq-interop).
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
	"time"

	"github.com/boringquic/boringquic/cmd/internal/progress"
	"github.com/boringquic/boringquic/cmd/internal/usage"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1          // a file could not be had, or not be written; a status of 400 or above
	exitUsage       = usage.Exit // bad flags or URLs
	exitNoConn      = 3          // no connection: name, address, certificate, version, timeout
	exitInterrupted = 130        // SIGINT, SIGTERM or SIGHUP, as shells count
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), usage.Signals()...)
	defer stop()
	os.Exit(runPatiently(ctx, tidyTime, os.Args[1:], os.Stdout, os.Stderr))
}

// tidyTime is how long an interrupted command may take to tidy up. Nothing interrupts who opens a pipe, or writes to one, that nobody reads.
const tidyTime = 2 * time.Second

// runPatiently is run, which it does not wait for once ctx is done and the time has passed.
func runPatiently(ctx context.Context, patience time.Duration, args []string, stdout, stderr io.Writer) int {
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, args, stdout, stderr) }()
	select {
	case code := <-ended:
		return code
	case <-ctx.Done():
	}
	select {
	case code := <-ended:
		return code
	case <-time.After(patience):
		return exitInterrupted
	}
}

// errConn marks an error that kept a connection from coming about.
type errConn struct{ error }

func (e errConn) Unwrap() error { return e.error }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := options{stderr: stderr}
	cmd := command(&o, stdout, stderr)
	cmd.SetArgs(args)
	cmd.SetErr(stderr)
	err := usage.Execute(ctx, cmd, stdout)
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
	case usage.Is(err):
		fmt.Fprintln(stderr, "Run 'quic-client --help' for the flags.")
		return exitUsage
	case errors.As(err, &errConn{}):
		return exitNoConn
	}
	return exitFailed
}

// fetch does what is wanted of every URL, and returns the errors of those that failed, joined.
func fetch(ctx context.Context, o *options, urls []string, stdout, stderr io.Writer) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	servers, err := o.plan(urls)
	if err != nil {
		return usage.Error(err)
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
	if o.protocol == protocolHQ {
		return fetchHQ(ctx, cfg, o, servers, stdout, stderr)
	}
	w, err := newWeb(cfg, o, stdout, stderr)
	if err != nil {
		return err
	}
	defer w.close()
	if o.requests > 0 {
		return w.load(ctx, servers[0])
	}
	return w.fetch(ctx, servers)
}

// fetchHQ is fetch by HTTP/0.9.
func fetchHQ(ctx context.Context, cfg *quic.Config, o *options, servers []*server, stdout, stderr io.Writer) error {
	bar := progress.New(stderr, describe(servers), o.expectSize, o.quiet)
	defer bar.Done()
	var errs []error
	for _, s := range servers {
		report, err := s.download(ctx, cfg, o, bar, stdout)
		errs = append(errs, err)
		if o.stats && report != nil {
			bar.Done()
			report.print(stderr)
		}
	}
	return errors.Join(errs...)
}

// describe says for a progress bar what is being fetched.
func describe(servers []*server) string {
	n := 0
	for _, s := range servers {
		n += len(s.jobs)
	}
	if n == 1 {
		return servers[0].jobs[0].path
	}
	return fmt.Sprintf("%d files", n)
}
