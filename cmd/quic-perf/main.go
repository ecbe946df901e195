// Command quic-perf measures what moving bytes over QUIC costs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // no connection, or it broke
	exitUsage  = 2 // bad flags
)

// errUsage marks an error of the command line.
type errUsage struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := &cobra.Command{
		Use:   "quic-perf COMMAND",
		Short: "Measure what moving bytes over QUIC costs",
		Long: `quic-perf measures what moving bytes over QUIC costs: wall-clock time, and the CPU
time of the client's and the server's process by getrusage.

Both sides speak the perf protocol of draft-banks-quic-performance (ALPN "perf"), so
that each can be pointed at another implementation; the server's own CPU time is told
over a second protocol, which only quic-perf knows.

Exit codes: 0 measured, 1 no connection or it broke, 2 bad flags.`,
		Example: `  quic-perf server --listen 127.0.0.1:4433
  quic-perf bulk --bytes 1GiB 127.0.0.1:4433
  quic-perf bulk --bytes 1GiB --upload --streams 16 --json 127.0.0.1:4433`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(serverCommand(), bulkCommand(), compareCommand(), peersCommand())
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return errUsage{err} })
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "quic-perf:", err)
	if errors.As(err, &errUsage{}) {
		fmt.Fprintln(stderr, "Run 'quic-perf --help' for the commands and their flags.")
		return exitUsage
	}
	return exitFailed
}
