package main

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

type serverOptions struct {
	listen, cert, key string
	payload           int
}

func serverCommand() *cobra.Command {
	var o serverOptions
	cmd := &cobra.Command{
		Use:     "server --listen HOST:PORT",
		Short:   "Answer the measurements of clients until SIGINT or SIGTERM",
		Example: "  quic-perf server --listen 127.0.0.1:4433",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.listen, "listen", "127.0.0.1:4433", "`HOST:PORT` to listen on; port 0 is a free one")
	f.StringVar(&o.cert, "cert", "", "PEM `FILE` with the certificate chain; without it a self-signed one is made")
	f.StringVar(&o.key, "key", "", "PEM `FILE` with the private key")
	f.IntVar(&o.payload, "udp-payload", defaultPayload, "largest UDP payload to send, in `BYTES`, 1200 to 65527")
	return cmd
}

func serve(ctx context.Context, o serverOptions, stdout io.Writer) error {
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return errUsage{fmt.Errorf("--listen %q is not HOST:PORT: %w", o.listen, err)}
	}
	tlsConf, err := tlsfiles.Server(o.cert, o.key, []string{"localhost", "127.0.0.1", "::1", host}, alpnPerf, alpnUsage)
	if err != nil {
		return err
	}
	ep, err := quicnet.Listen(o.listen, &quic.Config{TLS: tlsConf, MaxUDPPayload: o.payload})
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", o.listen, err)
	}
	defer ep.Close()
	fmt.Fprintf(stdout, "quic-perf: listening on %s\n", ep.Addr())
	for {
		conn, err := ep.Accept(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go serveConn(ctx, conn)
	}
}

// serveConn answers a connection's streams. A stream that fails ends alone: the client notices and says so.
func serveConn(ctx context.Context, conn *quicnet.Conn) {
	answer := answerPerf
	if conn.ConnectionState().NegotiatedProtocol == alpnUsage {
		answer = answerUsage
	}
	for {
		s, err := conn.AcceptStream(ctx)
		if err != nil {
			conn.CloseWithError(0, "")
			return
		}
		go func() {
			if err := answer(s); err != nil {
				s.CancelRead(1)
				s.CancelWrite(1)
			}
		}()
	}
}
