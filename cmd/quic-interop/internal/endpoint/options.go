package endpoint

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/qlogdir"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/udp"
)

// Options are what the runner tells an endpoint.
type Options struct {
	TestCase  string   // as TESTCASE has it
	Requests  []string // the URLs that a client downloads, at least one
	Listen    string   // "HOST:PORT" of a server
	WWW       string   // the folder that a server serves
	Downloads string   // the folder that a client writes to
	Certs     string   // the folder of a server's cert.pem and priv.key
	KeyLog    string   // the file that TLS secrets are appended to; empty: none
	QlogDir   string   // the folder that connections are traced in; empty: none
	Version   int      // of QUIC, 1 or 2, in all test cases but v2
	Log       io.Writer

	// Network opens the sockets; nil: those of the machine.
	Network Network
}

// Network opens sockets and runs QUIC on them.
type Network interface {
	// Listen returns a server's endpoint. protocol is as in quicnet.ListenConfig.
	Listen(addr string, cfg *quic.Config, protocol Protocol) (*quicnet.Endpoint, error)
	// ListenPacket returns a socket for one connection of a client.
	ListenPacket() (net.PacketConn, error)
	// Open returns an endpoint for one connection of a client.
	Open() (*quicnet.Endpoint, error)
	// Addrs returns the addresses that a server can be reached at.
	Addrs() []netip.Addr
}

// Protocol is what quicnet.ListenConfig has of that name.
type Protocol = func(*quicnet.Turn) quicnet.Protocol

// ErrUnsupported is the end of an endpoint that does not know its test case. The runner is told so with exit code 127.
var ErrUnsupported = errors.New("this test case is not supported")

// The test cases, by what clients and servers do in each beside moving files.
type testCase struct {
	eachOwn    bool // client: a connection for each file
	resume     bool // client: the first file over a connection, the others over one that resumes its session
	early      bool // resume, and the requests are 0-RTT data; server: it is accepted
	keyUpdate  bool // client: a key update within the first megabyte
	chacha20   bool // client: ChaCha20-Poly1305 is all that is offered
	v2         bool // QUIC version 2 by compatible negotiation
	retry      bool // server: every client must prove its address
	preferred  bool // server: clients are asked to move to another address
	slow       bool // the network loses much: patience
	http3      bool // files move by HTTP/3
	smallFirst bool // client: receive windows begin small, so that flow control is seen to work
}

// testCases are those that the runner may start us with: the names that it tells endpoints, and the names of its own, which it tells
// for some of them only.
var testCases = map[string]testCase{
	"handshake":           {},
	"transfer":            {smallFirst: true},
	"longrtt":             {},
	"chacha20":            {chacha20: true},
	"multiplexing":        {},
	"retry":               {retry: true},
	"resumption":          {resume: true},
	"zerortt":             {resume: true, early: true},
	"blackhole":           {},
	"keyupdate":           {keyUpdate: true},
	"ecn":                 {},
	"amplificationlimit":  {},
	"multiconnect":        {eachOwn: true, slow: true},
	"handshakeloss":       {eachOwn: true, slow: true},
	"handshakecorruption": {eachOwn: true, slow: true},
	"transferloss":        {},
	"transfercorruption":  {},
	"http3":               {http3: true},
	"ipv6":                {},
	"v2":                  {v2: true},
	"rebind-port":         {},
	"rebind-addr":         {},
	"connectionmigration": {preferred: true},
	"goodput":             {},
	"crosstraffic":        {},
}

// lookUp returns the test case of o, or ErrUnsupported.
func (o *Options) lookUp() (testCase, error) {
	if !Supported(o.TestCase) {
		return testCase{}, fmt.Errorf("%q: %w", o.TestCase, ErrUnsupported)
	}
	return testCases[o.TestCase], nil
}

// keepAlive is how long a side is silent before it asks: a client that only receives does not notice else that its address has changed,
// and that what is sent to the old one is lost.
const keepAlive = time.Second

// handshakeTimeout is how long a handshake may take: the runner waits for a minute, and with slow for five.
const handshakeTimeout = 50 * time.Second

// config returns what client and server have in common.
func (o *Options) config(c testCase, server bool) (*quic.Config, error) {
	conf := &tls.Config{NextProtos: []string{hq.ALPN}}
	if c.http3 {
		conf.NextProtos[0] = alpnH3
	}
	if o.KeyLog != "" {
		f, err := os.OpenFile(o.KeyLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("cannot write the key log that SSLKEYLOGFILE names: %w", err)
		}
		conf.KeyLogWriter = f
	}
	cfg := &quic.Config{TLS: conf, HandshakeTimeout: handshakeTimeout, KeepAlive: keepAlive}
	cfg.Qlog = qlogdir.Qlog("quic-interop", o.QlogDir, o.Log)
	if c.slow {
		cfg.HandshakeTimeout = 4 * time.Minute
	}
	return cfg, o.setVersions(cfg, c, server)
}

// Supported tells whether there is such a test case.
func Supported(name string) bool {
	_, ok := testCases[name]
	return ok
}

// TestCases returns the names of all test cases that are supported, in order.
func TestCases() []string {
	return slices.Sorted(maps.Keys(testCases))
}

// machine is the Network of the machine's own sockets.
type machine struct{}

func (machine) Listen(addr string, cfg *quic.Config, protocol Protocol) (*quicnet.Endpoint, error) {
	return quicnet.ListenConfig{Protocol: protocol}.Listen(addr, cfg)
}

func (machine) ListenPacket() (net.PacketConn, error) { return net.ListenUDP("udp", nil) }

func (machine) Open() (*quicnet.Endpoint, error) {
	sock, err := udp.Listen("udp", ":0", udp.Options{})
	if err != nil {
		return nil, err
	}
	ep, err := quicnet.NewEndpoint(sock, nil)
	if err != nil {
		sock.Close()
	}
	return ep, err
}
