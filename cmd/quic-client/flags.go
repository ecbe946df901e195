package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/qlogdir"
	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/cmd/internal/usage"
	"github.com/boringquic/boringquic/cmd/internal/versions"
	"github.com/boringquic/boringquic/quic"
)

// What --protocol takes.
const (
	protocolH3 = "h3"
	protocolHQ = hq.ALPN
)

// What --http-version takes.
const (
	overHTTP1 = "1.1"
	overHTTP2 = "2"
	overHTTP3 = "3"
	overAny   = "auto"
)

// maxParallel bounds the requests that are under way at once; the server's stream limit may allow fewer.
const maxParallel = 100

// maxRequests bounds --requests: of each the time that it took is held in memory, eight bytes.
const maxRequests = 100_000_000

// maxTimeout is the longest that --timeout can be, as quic.Config has it.
const maxTimeout = 24 * time.Hour

// askAfter is how long a server may be silent before it is asked whether it is still there: one that was started anew says no, and so
// does the kernel of a machine on which none runs any more.
const askAfter = time.Second

// options are what the flags say.
type options struct {
	insecure, stats, quiet, early, keyUpdate bool

	ca, protocol, out, dir, cc        string
	session, versions, local, migrate string
	qlogDir                           string
	stderr                            io.Writer // for what goes wrong beside the work
	expectSize, after                 int64
	pmtu, parallel                    int
	timeout                           time.Duration

	// Of HTTP, as it is since version 1.1.
	httpVersion, method, upload, altSvc                  string
	data, headers                                        []string
	head, include, follow, anyStatus, compressed, timing bool
	requests                                             int
}

const long = `quic-client downloads files over HTTP/3, and does what else HTTP does. URLs look like
https://HOST:PORT/PATH (the port defaults to 443); those of one server share one
connection, each on a stream of its own.

What GET brings goes to a file named after the last part of the URL's path, in --dir,
or to the one that -o names; the answers to other methods go to standard output. A
file gets its name only when it is complete: an interrupted download leaves
nothing behind. A status of 400 or above is a failure, and so is a redirect that
is not followed (-L): no file is written then, unless --any-status is given.
SSLKEYLOGFILE names a file to which TLS secrets are appended, for Wireshark,
QLOGDIR a folder for qlog (--qlog-dir).

--http-version has other versions of HTTP be spoken, over TCP; "auto" begins over TCP and
goes over to HTTP/3 where the server says that it has it (Alt-Svc, or an HTTPS record
of the DNS), as browsers do. --protocol hq-interop speaks HTTP/0.9 over QUIC, as the public
QUIC interop runner has it, which has no more than GET.

With --session the next connection to a server resumes this one's session, and
with --early-data GET and HEAD leave before the handshake is complete (0-RTT),
which saves a round trip. The file holds secrets; several programs may use it at
once. If it cannot be used, a sentence says why, and the handshake is a full one.

Exit codes: 0 all is done, 1 a file could not be had or not be written, or the server
answered with a status of 400 or above, 2 bad flags or URLs, 3 no connection, 130 interrupted.`

const examples = `  quic-client --insecure https://127.0.0.1:4433/index.html
  quic-client --ca ca.pem --dir downloads https://localhost:4433/a https://localhost:4433/b
  quic-client --insecure -i -o - https://127.0.0.1:4433/notes.txt
  quic-client --insecure -d name=value -H 'Accept: application/json' https://127.0.0.1:4433/form
  quic-client --insecure --upload movie.mp4 https://127.0.0.1:4433/movies/
  quic-client --insecure --timing -o /dev/null https://127.0.0.1:4433/index.html
  quic-client --insecure --http-version auto -o - https://127.0.0.1:4433/a https://127.0.0.1:4433/b
  quic-client --insecure --requests 1000 --parallel 50 https://127.0.0.1:4433/index.html
  quic-client --insecure --session sessions --early-data --stats https://127.0.0.1:4433/index.html
  quic-client --insecure --migrate :0 --key-update --stats https://127.0.0.1:4433/large
  quic-client --insecure --protocol hq-interop https://127.0.0.1:4433/index.html`

func command(o *options, stdout, stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "quic-client [--insecure | --ca FILE] [-X METHOD] [-d DATA | --upload FILE] [-o FILE | --dir DIR] URL...",
		Short:   "Download and upload over HTTP/3",
		Long:    long,
		Example: examples,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Error(errors.New("no URL given"))
			}
			return nil
		},
		DisableFlagsInUseLine: true,
		SilenceUsage:          true,
		SilenceErrors:         true,
		RunE: func(cmd *cobra.Command, urls []string) error {
			if err := o.check(len(urls), cmd.Flags().Changed); err != nil {
				return usage.Error(err)
			}
			return fetch(cmd.Context(), o, urls, stdout, stderr)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.insecure, "insecure", false, "accept any certificate of the server: for tests only")
	f.StringVar(&o.ca, "ca", "", "PEM `FILE` of certificates to trust in place of the system's roots")
	f.StringVar(&o.protocol, "protocol", protocolH3, "application `PROTOCOL` over QUIC: h3, or hq-interop, which is HTTP/0.9")
	f.StringVar(&o.httpVersion, "http-version", overHTTP3, "`VERSION` of HTTP: 3, or 1.1 or 2 over TCP, or auto, which finds out and says which")
	f.StringVar(&o.altSvc, "alt-svc", "", "`FILE` that keeps between runs which servers have HTTP/3, for --http-version auto")
	f.StringVarP(&o.method, "request", "X", "", "`METHOD` to use: GET, HEAD, POST, PUT, DELETE or another; as a rule GET, or what the flags below say")
	f.BoolVarP(&o.head, "head", "I", false, "show the fields of the answer only, by the method HEAD")
	f.StringArrayVarP(&o.data, "data", "d", nil, "`DATA` to send, by the method POST, @FILE for what is in a file, @- for standard input; several are joined with &")
	f.StringVar(&o.upload, "upload", "", "`FILE` to send, by the method PUT, - for standard input; its name is added to a URL that ends with a slash")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "`FIELD` of the request, \"NAME: VALUE\"; \"NAME:\" takes one away; may be given several times")
	f.BoolVarP(&o.include, "include", "i", false, "show status, fields and trailers of the answer, on standard output")
	f.BoolVarP(&o.follow, "location", "L", false, "follow redirects, ten at most")
	f.BoolVar(&o.anyStatus, "any-status", false, "take the answer whatever its status is, redirects and 400 and above included")
	f.BoolVar(&o.compressed, "compressed", false, "ask for gzip, and decompress it")
	f.StringVarP(&o.out, "output", "o", "", "`FILE` to write the only URL to; - is standard output, for one URL after the other")
	f.StringVar(&o.dir, "dir", ".", "`DIR` to write files to, each under the last part of its path")
	f.IntVar(&o.parallel, "parallel", maxParallel, "`NUMBER` of requests that are under way at once")
	f.IntVar(&o.requests, "requests", 0, "make this `NUMBER` of requests for the only URL, over one connection, throw the answers away and say how long they took")
	f.BoolVar(&o.timing, "timing", false, "say of each URL when its name was resolved, when TCP and TLS were connected, when the first byte and all was there")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "`TIME` that the handshake may take")
	f.Int64Var(&o.expectSize, "expect-size", 0, "`BYTES` that all files together have, for the progress bar, where the server does not tell: HTTP/0.9 does not")
	f.StringVar(&o.session, "session", "", "`FILE` that keeps sessions between runs, made if it is not there: handshakes are resumed")
	f.BoolVar(&o.early, "early-data", false, "send GET and HEAD in early data (0-RTT) if there is a session; if the server rejects it, they are sent again")
	f.StringVar(&o.versions, "version", "1,2", "QUIC `VERSIONS` to speak, 1 or 2 or both, the one to begin with first")
	f.StringVar(&o.local, "local", "", "local `IP:PORT` to begin from; port 0 is a free one")
	f.StringVar(&o.migrate, "migrate", "", "local `IP:PORT` to move to in mid-transfer, as a phone does that leaves the house; :0 is another port")
	f.BoolVar(&o.keyUpdate, "key-update", false, "take new keys in mid-transfer")
	f.Int64Var(&o.after, "after", 1<<20, "`BYTES` of files that come, or are sent, before --migrate and --key-update")
	f.IntVar(&o.pmtu, "pmtu", 0, "most `BYTES` that a UDP datagram of ours may have, 1200 to 65527; as a rule as many as the path carries")
	f.StringVar(&o.cc, "congestion", "cubic", "congestion `CONTROLLER`: cubic or reno")
	f.StringVar(&o.qlogDir, "qlog-dir", os.Getenv("QLOGDIR"), "`DIR` to which connections are traced, each in a file that qvis and the like read, 512 at a time; by default what QLOGDIR names")
	usage.MayBeEmpty(f, "qlog-dir")
	f.BoolVar(&o.stats, "stats", false, "say at the end what happened: version, cipher, session, times, packets, losses, paths")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress bar")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage.Error(err) })
	return cmd
}

// Flags that do not go with everything.
var (
	httpFlags = []string{"http-version", "alt-svc", "request", "head", "data", "upload", "header", "include", "location", "any-status",
		"compressed", "requests", "timing"} // HTTP/0.9 has nothing of the kind
	quicFlags = []string{"session", "early-data", "version", "local", "migrate", "key-update", "after", "pmtu", "congestion", "qlog-dir", "stats"}
	ownFlags  = []string{"local", "migrate", "key-update", "after"} // one connection of QUIC must be meant
)

// check finds flags that do not go together, and settles the method.
func (o *options) check(urls int, given func(string) bool) error {
	firstOf := func(names []string) string {
		for _, name := range names {
			if given(name) {
				return "--" + name
			}
		}
		return ""
	}
	switch o.protocol {
	case protocolHQ:
		if name := firstOf(httpFlags); name != "" {
			return fmt.Errorf("%s does not go with --protocol %s, which has nothing but GET", name, protocolHQ)
		}
	case protocolH3:
	default:
		return fmt.Errorf("--protocol %q is neither %s nor %s", o.protocol, protocolH3, protocolHQ)
	}
	switch o.httpVersion {
	case overHTTP3:
	case overHTTP1, overHTTP2:
		if name := firstOf(quicFlags); name != "" {
			return fmt.Errorf("%s is for QUIC, and --http-version %s goes over TCP", name, o.httpVersion)
		}
	case overAny:
		if name := firstOf(ownFlags); name != "" {
			return fmt.Errorf("%s needs --http-version 3: with auto the request may go over TCP", name)
		}
	default:
		return fmt.Errorf("--http-version %q is none of %s, %s, %s and %s", o.httpVersion, overHTTP1, overHTTP2, overHTTP3, overAny)
	}
	if o.altSvc != "" && o.httpVersion != overAny {
		return errors.New("--alt-svc is for --http-version auto")
	}
	if o.parallel < 1 || o.parallel > 10000 {
		return fmt.Errorf("--parallel %d is not within 1 and 10000", o.parallel)
	}
	if err := o.checkRequests(urls, given); err != nil {
		return err
	}
	return o.settleMethod()
}

func (o *options) checkRequests(urls int, given func(string) bool) error {
	if !given("requests") {
		return nil
	}
	switch {
	case o.requests < 1 || o.requests > maxRequests:
		return fmt.Errorf("--requests %d is not within 1 and %d", o.requests, maxRequests)
	case urls != 1:
		return fmt.Errorf("--requests takes one URL and %d are given", urls)
	case o.upload == stdinName:
		return errors.New("--requests cannot send standard input more than once: give a file")
	}
	for _, name := range []string{"output", "dir", "include", "timing", "migrate", "key-update"} {
		if given(name) {
			return fmt.Errorf("--%s does not go with --requests, which throws the answers away", name)
		}
	}
	return nil
}

// settleMethod chooses the method, if --request does not.
func (o *options) settleMethod() error {
	switch {
	case o.data != nil && o.upload != "":
		return errors.New("--data and --upload exclude each other: give one of them")
	case o.head && (o.method != "" || o.data != nil || o.upload != ""):
		return errors.New("--head sends nothing and is a method itself: it does not go with --request, --data and --upload")
	case o.method != "" && !httpguts.ValidHeaderFieldName(o.method): // both are tokens
		return fmt.Errorf("--request %q is not a method", o.method)
	case o.method == "CONNECT":
		return errors.New("--request CONNECT: tunnels are not for this command")
	case o.method != "":
	case o.head:
		o.method = "HEAD"
	case o.data != nil:
		o.method = "POST"
	case o.upload != "":
		o.method = "PUT"
	default:
		o.method = "GET"
	}
	for _, h := range o.headers {
		if _, _, err := parseHeader(h); err != nil {
			return err
		}
	}
	return nil
}

// parseHeader takes a field apart.
func parseHeader(field string) (name, value string, err error) {
	name, value, ok := strings.Cut(field, ":")
	value = strings.TrimSpace(value)
	if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return "", "", fmt.Errorf("--header %q is not of the form \"NAME: VALUE\"", field)
	}
	return name, value, nil
}

// schemes are those that URLs may have, the one to recommend first.
func (o *options) schemes() []string {
	if o.httpVersion == overHTTP1 || o.httpVersion == overAny {
		return []string{"https", "http"}
	}
	return []string{"https"}
}

// places is how many of a server's jobs are done at once.
func (o *options) places(s *server) int {
	for _, j := range s.jobs {
		if j.file == stdoutName {
			return 1 // in order
		}
	}
	return o.parallel
}

func (o *options) config() (*quic.Config, error) {
	var alpn []string
	if o.protocol == protocolHQ {
		alpn = []string{protocolHQ}
	}
	tlsConf, err := tlsfiles.Client(o.insecure, o.ca, alpn...)
	if err != nil {
		return nil, err
	}
	if o.timeout <= 0 || o.timeout > maxTimeout {
		return nil, usage.Error(fmt.Errorf("--timeout %v is not above zero and at most %v", o.timeout, maxTimeout))
	}
	cfg := &quic.Config{TLS: tlsConf, HandshakeTimeout: o.timeout, KeepAlive: askAfter, MaxUDPPayload: o.pmtu}
	cfg.Qlog = qlogdir.Qlog("quic-client", o.qlogDir, o.stderr)
	if cfg.Versions, err = versions.Parse("--version", o.versions); err != nil {
		return nil, usage.Error(err)
	}
	switch {
	case o.early && o.session == "":
		return nil, usage.Error(errors.New("--early-data needs --session, which says where the session is"))
	case o.pmtu != 0 && (o.pmtu < 1200 || o.pmtu > 65527):
		return nil, usage.Error(fmt.Errorf("--pmtu %d is not within 1200 and 65527", o.pmtu))
	case o.after < 0:
		return nil, usage.Error(fmt.Errorf("--after %d is below zero", o.after))
	case o.expectSize < 0:
		return nil, usage.Error(fmt.Errorf("--expect-size %d is below zero", o.expectSize))
	}
	for flag, addr := range map[string]string{"--local": o.local, "--migrate": o.migrate} {
		if err := checkLocal(addr); err != nil {
			return nil, usage.Error(fmt.Errorf("%s %q is not IP:PORT: %w", flag, addr, err))
		}
	}
	switch o.cc {
	case "cubic":
		cfg.Congestion = quic.CUBIC
	case "reno":
		cfg.Congestion = quic.NewReno
	default:
		return nil, usage.Error(fmt.Errorf("--congestion %q is neither cubic nor reno", o.cc))
	}
	return cfg, nil
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
