package perf

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/usage"
)

// The exit codes.
const (
	ExitOK     = 0
	ExitFailed = 1          // no connection, or it broke
	ExitUsage  = usage.Exit // bad flags
)

// DefaultPayload fills an Ethernet frame: 1,500 bytes less the headers of IPv4 and UDP.
const DefaultPayload = 1472

// Named is a Stack that has its commands below a command of its own.
type Named struct {
	Name, Short string
	*Stack
}

// Main is the whole main function of a program that is nothing but Stacks.
func Main(name string, s *Stack, more ...Named) {
	ctx, stop := signal.NotifyContext(context.Background(), usage.Signals()...)
	defer stop()
	cmd := &cobra.Command{Use: name + " COMMAND", Short: "Do with this implementation what quic-perf does with boringquic"}
	cmd.AddCommand(Commands(s)...)
	for _, m := range more {
		sub := &cobra.Command{Use: m.Name + " COMMAND", Short: m.Short}
		sub.AddCommand(Commands(m.Stack)...)
		cmd.AddCommand(sub)
	}
	os.Exit(Run(ctx, cmd, os.Args[1:], os.Stdout, os.Stderr))
}

// Run runs a command line and returns the exit code.
func Run(ctx context.Context, cmd *cobra.Command, args []string, stdout, stderr io.Writer) int {
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage.Error(err) })
	checkArgs(cmd)
	cmd.SetArgs(args)
	cmd.SetErr(stderr)
	err := usage.Execute(ctx, cmd, stdout)
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(stderr, "%s: %v\n", cmd.Name(), err)
	if usage.Is(err) {
		fmt.Fprintf(stderr, "Run '%s --help' for the commands and their flags.\n", cmd.Name())
		return ExitUsage
	}
	return ExitFailed
}

// checkArgs has arguments that a command does not take, and commands that are none, be wrong usage.
func checkArgs(cmd *cobra.Command) {
	check := cmd.Args
	switch {
	case !cmd.Runnable():
		cmd.DisableFlagsInUseLine = true
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage.Error(fmt.Errorf("%q is no command of %s", args[0], cmd.CommandPath()))
			}
			return nil
		}
	case check != nil:
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usage.Error(err)
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		checkArgs(c)
	}
}

// Commands returns the commands of a Stack.
func Commands(s *Stack) []*cobra.Command {
	var loads []*cobra.Command
	if s.Loop == nil || s.Loop.Bulk != nil {
		loads = append(loads, bulkCommand(s))
	}
	if s.Loop == nil || s.Loop.Requests != nil {
		loads = append(loads, requestsCommand(s))
	}
	switch {
	case s.Client != nil && s.HTTP:
		loads = append(loads, idleCommand(s))
	case s.Client != nil:
		loads = append(loads, handshakesCommand(s))
		if s.Resumes {
			loads = append(loads, resumedCommand(s))
		}
		if s.Resumes && !s.NoEarly {
			loads = append(loads, earlyCommand(s))
		}
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
			if s.Loop == nil || !s.Loop.NoUpload {
				a.Loads = append(a.Loads, LoadUpload)
			}
			if s.Loop == nil || !s.Loop.Plain {
				a.Loads = append(a.Loads, LoadGrowth)
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(a)
		},
	}
	cmd.Flags().IntVar(&payload, "udp-payload", DefaultPayload, "largest UDP payload to send, in `BYTES`")
	return cmd
}

func serverCommand(s *Stack) *cobra.Command {
	var o ServerOptions
	cmd := &cobra.Command{
		Use:     "server --listen HOST:PORT",
		Short:   "Answer the clients of all measurements until SIGINT or SIGTERM",
		Example: "  quic-perf server --listen 127.0.0.1:4433",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.TLS, err = serverTLS(o.CertFile, o.KeyFile, o.Listen, o.Tickets); err != nil {
				return err
			}
			return s.Serve(cmd.Context(), o, func(a net.Addr) { fmt.Fprintf(cmd.OutOrStdout(), "listening on %s\n", a) })
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Listen, "listen", "127.0.0.1:4433", "`HOST:PORT` to listen on; port 0 is a free one")
	f.StringVar(&o.CertFile, "cert", "", "PEM `FILE` with the certificate chain; without it a self-signed one is made")
	f.StringVar(&o.KeyFile, "key", "", "PEM `FILE` with the private key")
	f.IntVar(&o.UDPPayload, "udp-payload", DefaultPayload, "largest UDP payload to send, in `BYTES`, 1200 to 65527")
	if s.Resumes {
		f.BoolVar(&o.Tickets, "tickets", false, "issue session tickets, and accept 0-RTT, for clients of \"resumed\" and \"early\"")
	}
	if s.Shards {
		f.IntVar(&o.Shards, "shards", 1, "`NUMBER` of sockets that share the address, each with a core of its own; -1: as many as there are cores")
	}
	return cmd
}
