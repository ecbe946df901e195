// Command quic-perf measures what moving bytes over QUIC costs, for boringquic and for others side by side.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/usage"
	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

// idleTimeout is longer than any measurement.
const idleTimeout = 10 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), usage.Signals()...)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := &cobra.Command{
		Use:   "quic-perf COMMAND",
		Short: "Measure what moving bytes over QUIC costs",
		Long: `quic-perf measures what QUIC costs: wall-clock time, and the CPU time of the client's and
the server's process by getrusage.

Both sides speak the perf protocol of draft-banks-quic-performance (ALPN "perf"), so
that each can be pointed at another implementation; the server's own CPU time is told
over a second protocol, which only quic-perf knows.

Exit codes: 0 measured, 1 no connection or it broke, 2 bad flags.`,
		Example: `  quic-perf server --listen 127.0.0.1:4433
  quic-perf bulk --bytes 1GiB 127.0.0.1:4433
  quic-perf requests 127.0.0.1:4433
  quic-perf peers
  quic-perf compare`,
	}
	cmd.AddCommand(perf.Commands(quicnetStack)...)
	cmd.AddCommand(coreCommand(), h3Command(), compareCommand(), peersCommand())
	return perf.Run(ctx, cmd, args, stdout, stderr)
}

func coreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "core COMMAND",
		Short: "The same measurements through the bare core, without quicnet",
		Long: `core serves and asks as the commands without it do, but through package quic alone, in a
loop of quic-perf's own on one goroutine: what the protocol engine costs without the
goroutines, locks and wake-ups of package quicnet.`,
		Example: `  quic-perf core server --listen 127.0.0.1:4433
  quic-perf core requests 127.0.0.1:4433`,
	}
	cmd.AddCommand(perf.Commands(coreStack)...)
	return cmd
}
