// Command quic-interop is the endpoint that the public QUIC interop runner starts, as a client or as a server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/usage"
	"github.com/boringquic/boringquic/cmd/quic-interop/internal/endpoint"
)

// The exit codes, as the runner knows them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = usage.Exit
	exitUnsupported = 127
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(program{env: os.Getenv, stderr: os.Stderr}.run(ctx, os.Args[1:]))
}

// program is what the program has of the world around it.
type program struct {
	env     func(string) string
	stderr  io.Writer
	network endpoint.Network // nil: the machine's
}

// run returns the exit code.
func (p program) run(ctx context.Context, args []string) int {
	env, stderr := p.env, p.stderr
	o := options{role: env("ROLE")}
	o.TestCase, o.Requests, o.KeyLog = env("TESTCASE"), strings.Fields(env("REQUESTS")), env("SSLKEYLOGFILE")
	o.QlogDir = env("QLOGDIR")
	o.Log, o.Network = stderr, p.network
	cmd := command(&o)
	cmd.SetArgs(append(args, strings.Fields(env(strings.ToUpper(o.role)+"_PARAMS"))...))
	cmd.SetErr(stderr)
	err := usage.Execute(ctx, cmd, stderr)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, endpoint.ErrUnsupported):
		fmt.Fprintf(stderr, "quic-interop: %v; those that are: %s\n", err, strings.Join(endpoint.TestCases(), ", "))
		return exitUnsupported
	}
	fmt.Fprintln(stderr, "quic-interop:", err)
	if usage.Is(err) {
		fmt.Fprintln(stderr, "Run 'quic-interop --help' for the flags and the environment variables.")
		return exitUsage
	}
	return exitFailed
}

type options struct {
	endpoint.Options
	role, wait string
}

func command(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quic-interop [FLAG...]",
		Short: "Be an endpoint of the public QUIC interop runner",
		Long: `quic-interop is what the public QUIC interop runner starts in a container, as a
client and as a server. The runner says what is to be done by the environment:

  ROLE            client or server
  TESTCASE        the test case; all but WebTransport's are known
  REQUESTS        a client's: URLs to download, separated by spaces, each to a file
                  of its last part's name
  SSLKEYLOGFILE   a file to which TLS secrets are appended
  QLOGDIR         a folder in which connections are traced as qlog, each in a file
                  ODCID_client.sqlog or ODCID_server.sqlog
  CLIENT_PARAMS, SERVER_PARAMS
                  further flags, for the role that they name

Files move by HTTP/0.9 (ALPN hq-interop), in the test case http3 by HTTP/3. A client does not verify the server's
certificate. A server runs until SIGINT or SIGTERM.

Exit codes: 0 all files are there, or the server was stopped; 1 something went
wrong; 2 wrong usage: flags
or environment variables; 127 the test case is not supported.`,
		Example: `  ROLE=server TESTCASE=transfer quic-interop --listen 127.0.0.1:4433 --www . --certs certs
  ROLE=client TESTCASE=transfer REQUESTS=https://127.0.0.1:4433/README.md quic-interop --downloads /tmp`,
		Args:                  noArgs,
		DisableFlagsInUseLine: true,
		SilenceUsage:          true,
		SilenceErrors:         true,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Listen, "listen", ":443", "`HOST:PORT` that a server listens on; an empty host means every address")
	f.StringVar(&o.WWW, "www", "/www", "`DIR` whose files a server serves")
	f.StringVar(&o.Downloads, "downloads", "/downloads", "`DIR` that a client writes to")
	f.StringVar(&o.Certs, "certs", "/certs", "`DIR` of a server's cert.pem, the chain with the leaf first, and priv.key")
	f.IntVar(&o.Version, "version", 1, "`VERSION` of QUIC, 1 or 2, that is spoken in all test cases but v2")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage.Error(err) })
	f.StringVar(&o.wait, "wait", "", "`HOST:PORT` at which TCP must answer before a client begins, within 30 s: sim:57832 in the runner's network")
	return cmd
}

func (o *options) run(ctx context.Context) error {
	switch o.role {
	case "client":
		if err := o.waitFor(ctx); err != nil {
			return err
		}
		return endpoint.Fetch(ctx, o.Options)
	case "server":
		return endpoint.Serve(ctx, o.Options)
	}
	return usage.Error(fmt.Errorf("ROLE is %q and must be client or server", o.role))
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage.Error(fmt.Errorf("unexpected argument %q: all is said by flags and environment variables", args[0]))
	}
	return nil
}

// waitFor waits until somebody listens where --wait says.
func (o *options) waitFor(ctx context.Context) error {
	if o.wait == "" || !endpoint.Supported(o.TestCase) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", o.wait)
		if err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("nobody answers at %s, which --wait names: %w", o.wait, err)
		}
	}
}
