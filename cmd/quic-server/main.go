// Command quic-server serves the files of a folder, or what another server says, over HTTP/3, and over HTTP/1.1 and HTTP/2 beside it; clients
// that ask for it get files over HTTP/0.9 (ALPN hq-interop).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/qlogdir"
	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/cmd/internal/usage"
	"github.com/boringquic/boringquic/cmd/internal/versions"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quiclb"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// The exit codes.
const (
	exitOK     = 0          // stopped by a signal
	exitFailed = 1          // could not start, or the socket failed
	exitUsage  = usage.Exit // bad flags
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

type options struct {
	listen, root, cert, key, cc    string
	resetKey, tokenKey, ticketKeys string
	preferred, versions, quicLB    string
	proxy, qlogDir                 string
	stderr                         io.Writer // for what goes wrong beside the work
	retry, verbose, early, noTCP   bool
	shards                         int
	lb                             *lbConfig // what quicLB says
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := options{stderr: stderr}
	cmd := &cobra.Command{
		Use:   "quic-server --listen HOST:PORT [--root DIR | --proxy URL] [--cert FILE --key FILE] [--no-tcp]",
		Short: "Serve files, or another server's pages, over HTTP/3",
		Long: `quic-server serves the files of a folder over HTTP/3: ranges, conditional requests,
name.br, name.zst or name.gz in a file's place where the client takes it, and a page for each
folder that has no index.html. The page at / also tells over what it came: QUIC version, cipher, key
share, round-trip time, early data, the path's MTU; so does /?connection. Names that begin
with a dot are not served, but for /.well-known/. With --proxy it hands requests on to another
server, over HTTP/1.1 or HTTP/2, and that one's answers back; WebSockets go through over HTTP/1.1,
as browsers open them where HTTP/3 does not offer them.

On the TCP port of the same number it serves the same over HTTP/1.1 and HTTP/2, with an
Alt-Svc field by which browsers find out that there is HTTP/3; --no-tcp leaves that away.
Clients that ask for the protocol "hq-interop" of the public QUIC interop runner get files
over HTTP/0.9.

Without --cert and --key it makes a self-signed certificate for "localhost", the
loopback addresses and the host of --listen; clients then need --insecure.
SSLKEYLOGFILE names a file to which TLS secrets are appended, for Wireshark,
QLOGDIR a folder for qlog (--qlog-dir).
It runs until SIGINT or SIGTERM.

Files of keys hold 64 hexadecimal digits a line, readable by their owner alone; one
that is not there is made. They, --key and SSLKEYLOGFILE are not served, wherever they lie. Servers that are given the same files resume each
other's sessions and accept each other's tokens, and a server that was started anew
its own old ones. --ticket-keys may hold several, the newest first: put a new key
before the others once a day and remove those older than a week, then send SIGHUP,
at which the file is read again. Early data (0-RTT) is accepted of sessions that
this process has begun.

--quic-lb is for one of several servers behind a balancer (QUIC-LB,
draft-ietf-quic-load-balancers): its connection IDs tell the balancer that they are of
this server, wherever the client has moved to. It takes, with commas between them,
  server-id=HEX    this server's ID, 1 to 15 bytes; all servers' have the same length
  rotation=N       0 to 6, which configuration this is; default 0
  nonce-len=N      bytes that make connection IDs unique, 4 to 18; default 8
  key-file=FILE    32 hexadecimal digits that encrypt the two, the same at all servers
                   and the balancer, made if not there; without it they are legible
  encode-length    the first byte tells the connection ID's length
  server-use=N     bytes added for the server itself; default 0; --shards needs 1
All servers but for server-id have the same, and the same files of keys, --reset-key
above all: then a server tells the clients of another that is gone. --quic-lb @FILE
reads it from a file, again at SIGHUP: another configuration needs another rotation and
key, and connection IDs of the same length; clients change over to it.

At the first signal it takes no new requests and ends when those under way are done, after 10 seconds
at most; a second one ends it at once.

Exit codes: 0 stopped by a signal, 1 could not start or the socket failed, 2 wrong usage.`,
		Example: `  quic-server --listen 127.0.0.1:4433 --root ./public
  quic-server --listen :443 --proxy http://127.0.0.1:8080 --cert cert.pem --key key.pem
  quic-server --listen :443 --root /srv/www --cert cert.pem --key key.pem --retry
  quic-server --listen :443 --root /srv/www --cert cert.pem --key key.pem --reset-key reset.key
  quic-server --listen :443 --root /srv/www --cert cert.pem --key key.pem --early-data --ticket-keys tickets.key
  quic-server --listen :443 --root /srv/www --cert cert.pem --key key.pem --preferred-address 192.0.2.7:443
  quic-server --listen :443 --root /srv/www --cert cert.pem --key key.pem --reset-key reset.key --token-key token.key \
    --ticket-keys tickets.key --quic-lb rotation=1,server-id=0a0b,nonce-len=8,key-file=quic-lb.key`,
		Args:                  noArgs,
		DisableFlagsInUseLine: true,
		SilenceUsage:          true,
		SilenceErrors:         true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.proxy != "" && cmd.Flags().Changed("root") {
				return usage.Error(errors.New("--root and --proxy exclude each other: give one of them"))
			}
			return serve(cmd.Context(), o, stdout, stderr)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.listen, "listen", "127.0.0.1:4433", "`HOST:PORT` to listen on; an empty host means every address, port 0 a free one")
	f.StringVar(&o.root, "root", ".", "`DIR` whose files are served; nothing outside it ever is")
	f.StringVar(&o.proxy, "proxy", "", "`URL` of a server to hand requests on to, in place of serving files: http://HOST:PORT or https://HOST:PORT/PATH")
	f.BoolVar(&o.noTCP, "no-tcp", false, "no HTTP/1.1 and HTTP/2 on the TCP port of the same number")
	f.StringVar(&o.cert, "cert", "", "PEM `FILE` with the certificate chain, leaf first")
	f.StringVar(&o.key, "key", "", "PEM `FILE` with the private key")
	f.BoolVar(&o.retry, "retry", false, "make every client prove its address with a Retry first")
	f.StringVar(&o.resetKey, "reset-key", "", "`FILE` with the key of stateless resets, made if it is not there: after a restart, clients learn at once that their connections are gone")
	f.StringVar(&o.tokenKey, "token-key", "", "`FILE` with the key of the tokens by which clients prove their address, made if it is not there")
	f.StringVar(&o.ticketKeys, "ticket-keys", "", "`FILE` with the keys of session tickets, the newest first, made if it is not there; SIGHUP has it read again")
	f.BoolVar(&o.early, "early-data", false, "answer requests that come before the handshake is complete (0-RTT), which somebody may have recorded and sent again: harmless for files")
	f.StringVar(&o.preferred, "preferred-address", "", "`IP:PORT` that clients should come to after the handshake, which is listened on, too; or two, IPv4 and IPv6, with a comma")
	f.StringVar(&o.quicLB, "quic-lb", "", "`CONFIGURATION` of connection IDs that lead a balancer here, as above: server-id=HEX,key-file=FILE and so on")
	f.StringVar(&o.versions, "versions", "1,2", "QUIC `VERSIONS` to speak, the preferred one first: clients that speak it, too, are moved to it")
	f.StringVar(&o.cc, "congestion", "cubic", "congestion `CONTROLLER`: cubic or reno")
	f.StringVar(&o.qlogDir, "qlog-dir", os.Getenv("QLOGDIR"), "`DIR` to which connections are traced, each in a file that qvis and the like read, 512 at a time; by default what QLOGDIR names")
	usage.MayBeEmpty(f, "qlog-dir")
	f.IntVar(&o.shards, "shards", 1, "`NUMBER` of sockets that share the address, each with a core of its own; -1: as many as there are cores")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "a line for each connection, also for those that fail, and each request")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage.Error(err) })
	cmd.SetArgs(args)
	cmd.SetErr(stderr)
	err := usage.Execute(ctx, cmd, stdout)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "quic-server:", err)
	if usage.Is(err) {
		fmt.Fprintln(stderr, "Run 'quic-server --help' for the flags.")
		return exitUsage
	}
	return exitFailed
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage.Error(fmt.Errorf("unexpected argument %q: the folder to serve is given with --root", args[0]))
	}
	return nil
}

func serve(ctx context.Context, o options, stdout, stderr io.Writer) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	if o.shards < -1 || o.shards == 0 || o.shards > 256 {
		return usage.Error(fmt.Errorf("--shards %d: give a number from 1 to 256, or -1", o.shards))
	}
	log := &logger{w: stderr, verbose: o.verbose}
	web, err := newWebsite(ctx, &o, log)
	if err != nil {
		return err
	}
	defer web.close()
	servers := newServers(cfg, web.handler, log)
	ep, err := servers.listen(&o, cfg, log)
	if err != nil {
		return explainListen(o.listen, cfg.PreferredAddress, err)
	}
	defer ep.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if o.ticketKeys != "" {
		rereadTicketKeys(ctx, o.ticketKeys, ep, log)
	}
	if ids, ok := cfg.ConnIDs.(*quiclb.Generator); ok && strings.HasPrefix(o.quicLB, "@") {
		rereadQuicLB(ctx, &o, ids, ep, log)
	}
	fmt.Fprintf(stdout, "quic-server: listening on %s, serving %s%s\n", ep.Addr(), web.what, servers.over())
	return servers.serve(ctx, ep, web.files, log)
}

func (o *options) config() (*quic.Config, error) {
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return nil, usage.Error(fmt.Errorf("--listen %q is not HOST:PORT: %w", o.listen, err))
	}
	tlsConf, err := tlsfiles.Server(o.cert, o.key, []string{"localhost", "127.0.0.1", "::1", host}, "h3", hq.ALPN)
	if err != nil {
		return nil, err
	}
	cfg := &quic.Config{TLS: tlsConf, Qlog: qlogdir.Qlog("quic-server", o.qlogDir, o.stderr)}
	switch o.cc {
	case "cubic":
		cfg.Congestion = quic.CUBIC
	case "reno":
		cfg.Congestion = quic.NewReno
	default:
		return nil, usage.Error(fmt.Errorf("--congestion %q is neither cubic nor reno", o.cc))
	}
	if o.resetKey != "" {
		if cfg.StatelessResetKey, err = oneKey(o.resetKey, "key for stateless resets"); err != nil {
			return nil, err
		}
	}
	if o.tokenKey != "" {
		if cfg.TokenKey, err = oneKey(o.tokenKey, "key for tokens"); err != nil {
			return nil, err
		}
	}
	if o.ticketKeys != "" {
		if cfg.TicketKeys, err = keyFile(o.ticketKeys, ticketKeysFor); err != nil {
			return nil, err
		}
	}
	cfg.EarlyData = o.early
	if cfg.PreferredAddress, err = preferredAddress(o.preferred); err != nil {
		return nil, usage.Error(err)
	}
	if o.quicLB != "" {
		if o.lb, err = quicLB(o.quicLB); err != nil {
			return nil, err
		}
		if o.shards != 1 && o.lb.ServerUse == 0 {
			return nil, usage.Error(errors.New("--shards needs a byte of each connection ID: add server-use=1 to --quic-lb, at all servers"))
		}
		if cfg.ConnIDs, err = quiclb.NewGenerator(o.lb.Config, o.lb.serverID); err != nil {
			return nil, lbError(o.quicLB, err)
		}
	}
	if cfg.Versions, err = versions.Parse("--versions", o.versions); err != nil {
		return nil, usage.Error(err)
	}
	if o.retry {
		cfg.Retry = func(netip.AddrPort) bool { return true }
	}
	return cfg, nil
}

// ticketKeysFor is what --ticket-keys is for, in errors.
const ticketKeysFor = "keys for session tickets"

// preferredAddress reads one address, or one of each family with a comma between them.
func preferredAddress(list string) (out quic.PreferredAddress, err error) {
	if list == "" {
		return out, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		addr, err := netip.ParseAddrPort(strings.TrimSpace(text))
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		to := &out.IPv4
		if addr.Addr().Is6() {
			to = &out.IPv6
		}
		switch {
		case err != nil || addr.Port() == 0 || addr.Addr().IsUnspecified():
			return out, fmt.Errorf("--preferred-address %q: %q is not the IP:PORT of one host", list, text)
		case to.IsValid():
			return out, fmt.Errorf("--preferred-address %q has two addresses of one IP version", list)
		}
		*to = addr
	}
	return out, nil
}

// rereadTicketKeys has the endpoint take the keys of the file again at each SIGHUP, until ctx ends. If they are not to be had, those in use
// stay.
func rereadTicketKeys(ctx context.Context, file string, ep *quicnet.Endpoint, log *logger) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
			}
			keys, err := keyFile(file, ticketKeysFor)
			if err == nil {
				err = ep.SetTicketKeys(keys)
			}
			if err != nil {
				log.say("quic-server: the keys for session tickets stay as they were: %v", err)
			} else {
				log.say("quic-server: keys for session tickets were read from %s: %d", file, len(keys))
			}
		}
	}()
}

func explainListen(addr string, preferred quic.PreferredAddress, err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		for _, p := range []netip.AddrPort{preferred.IPv4, preferred.IPv6} {
			if p.IsValid() && op.Addr.String() == p.String() {
				return fmt.Errorf("cannot listen on the --preferred-address %v: %w", p, op.Err)
			}
		}
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("cannot listen on %s: another program uses that port; choose another with --listen", addr)
	}
	return fmt.Errorf("cannot listen on %s: %w", addr, err)
}

// logger writes whole lines.
type logger struct {
	mu      sync.Mutex
	w       io.Writer
	verbose bool
}

func (l *logger) printf(format string, args ...any) {
	if l.verbose {
		l.say(format, args...)
	}
}

// say prints a line also where few are wanted.
func (l *logger) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, format+"\n", args...)
}
