package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic"
)

// The servers of examples/c, and of quiche's crate, under the address sanitizer, with clients that hold the keys and send what no client may: each lives
// on, answers the next good client, holds no more memory than before but a bound, and ends as it should.
func TestHostile(t *testing.T) {
	files, root := certificate(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "1000"), make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	get := asan.build(t, "../../examples/c/get.c")
	for _, c := range []struct {
		source string
		args   func(port string) []string
		theirs bool // quiche's: it is told its port, looks for its certificate where it is, and runs until it is killed
	}{
		{"../../examples/c/serve.c", func(port string) []string { return []string{"127.0.0.1", port, files[0], files[1]} }, false},
		{"../../examples/c/quiche_serve.c", func(port string) []string { return []string{"127.0.0.1", port, files[0], files[1], root} }, false},
		{filepath.Join(crate(t), "examples/http3-server.c"), func(port string) []string { return []string{"127.0.0.1", port} }, true},
	} {
		t.Run(filepath.Base(c.source), func(t *testing.T) {
			flags := []string{}
			if c.theirs {
				flags = append(flags, "-lev")
			}
			server := exec.Command(asan.build(t, c.source, flags...))
			server.Env = append(os.Environ(), "ASAN_OPTIONS=quarantine_size_mb=16") // of what was freed
			var errs bytes.Buffer
			server.Stderr = &errs
			out, err := server.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			port := "0"
			if c.theirs {
				port, server.Dir = unusedPort(t), t.TempDir()
				for i, name := range []string{"cert.crt", "cert.key"} {
					b, err := os.ReadFile(files[i])
					if err == nil {
						err = os.WriteFile(filepath.Join(server.Dir, name), b, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			server.Args = append(server.Args, c.args(port)...)
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			if c.theirs {
				go func() { ended <- server.Wait() }()
			} else {
				line, err := bufio.NewReader(out).ReadString('\n')
				if err != nil {
					t.Fatalf("%v\n%s", err, &errs)
				}
				port, _, _ = strings.Cut(strings.TrimSpace(line[strings.LastIndexByte(line, ':')+1:]), ",")
			}
			defer server.Process.Kill()
			to := netip.MustParseAddrPort("127.0.0.1:" + port)
			good := func() {
				t.Helper()
				if c.theirs { // it answers with a few words, whatever it is asked
					if _, err := hostile(to, nil, 0); err != nil {
						t.Errorf("a good client: %v", err)
					}
				} else if got := run(t, get, "127.0.0.1", port, "/1000", files[0]); len(got) != 1000 {
					t.Errorf("a good client got %d bytes", len(got))
				}
			}
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			good()
			before := 0
			for round := range 4 {
				for _, a := range attacks {
					end, err := hostile(to, func(send func(frames []byte)) { a.play(rng, send) }, a.patience())
					if err != nil {
						t.Errorf("%s: %v\n%s", a.name, err, &errs)
						return
					}
					if !a.ends(end) {
						t.Errorf("%s: the connection ends with %v, which should have code %#x", a.name, end, a.code)
					}
				}
				good()
				if round == 0 {
					before = resident(t, server.Process.Pid) // what is made once is there
				}
			}
			if now := resident(t, server.Process.Pid); now > before+96<<20 {
				t.Errorf("the server holds %d MiB, after the first round it was %d", now>>20, before>>20)
			}
			if c.theirs {
				select {
				case err := <-ended:
					t.Errorf("it ended: %v\n%s", err, &errs)
				default:
				}
				return
			}
			_ = server.Process.Signal(syscall.SIGTERM)
			if err := server.Wait(); err != nil {
				t.Errorf("%v\n%s", err, &errs)
			}
		})
	}
}

// unusedPort is for servers that do not say where they listen.
func unusedPort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, port, _ := net.SplitHostPort(c.LocalAddr().String())
	return port
}

// resident returns how much memory a process has, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// attack is what a client sends when the handshake is complete: packets with frames of its own.
type attack struct {
	name string
	code int64 // of the CONNECTION_CLOSE that has to come for it; 0: none has to
	play func(rng *rand.Rand, send func(frames []byte))
}

// ends tells whether a connection has ended as it has to.
func (a *attack) ends(err error) bool {
	var transport *quic.TransportError
	var app *quic.ApplicationError
	code := int64(0)
	switch {
	case errors.As(err, &transport) && transport.Remote:
		code = int64(transport.Code)
	case errors.As(err, &app) && app.Remote:
		code = int64(app.Code)
	}
	return a.code == 0 || code == a.code
}

// patience is how long a peer may say nothing before it is taken to go on: where it has to close the connection, however busy the machine is.
func (a *attack) patience() time.Duration {
	if a.code != 0 {
		return 50 * time.Second
	}
	return 100 * time.Millisecond
}

// ints encodes integers as QUIC's (RFC 9000, section 16).
func ints(b []byte, vs ...uint64) []byte {
	for _, v := range vs {
		switch {
		case v < 1<<6:
			b = append(b, byte(v))
		case v < 1<<14:
			b = binary.BigEndian.AppendUint16(b, uint16(v)|1<<14)
		case v < 1<<30:
			b = binary.BigEndian.AppendUint32(b, uint32(v)|2<<30)
		default:
			b = binary.BigEndian.AppendUint64(b, v|3<<62)
		}
	}
	return b
}

// onStream is a STREAM frame.
func onStream(id, offset uint64, fin bool, data ...byte) []byte {
	kind := uint64(0x0e)
	if fin {
		kind |= 1
	}
	return append(ints(nil, kind, id, offset, uint64(len(data))), data...)
}

func some(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

const highest = 1<<62 - 1

var attacks = []attack{
	{"noise for frames", 0, func(rng *rand.Rand, send func([]byte)) { send(some(rng, 40+rng.IntN(1000))) }},
	{"an unknown frame", 0x07, func(_ *rand.Rand, send func([]byte)) { send(ints(nil, 0x4242, 1, 2, 3, 4)) }},
	{"frames that are cut off", 0x07, func(rng *rand.Rand, send func([]byte)) {
		send([]byte{[]byte{0x02, 0x04, 0x06, 0x08, 0x10, 0x18}[rng.IntN(6)], 0xff, 0xff, 0xff})
	}},
	{"an acknowledgement of what was not sent", 0x0a, func(_ *rand.Rand, send func([]byte)) { send(ints(nil, 0x02, highest, 0, 0, highest)) }},
	{"a stream beyond the limit", 0x04, func(_ *rand.Rand, send func([]byte)) { send(onStream(highest-3, 0, false, 1)) }},
	{"data beyond the window", 0x03, func(_ *rand.Rand, send func([]byte)) { send(onStream(0, 1<<61, false, 1)) }},
	{"two final sizes", 0x06, func(_ *rand.Rand, send func([]byte)) { send(append(onStream(0, 10, true), onStream(0, 20, true)...)) }},
	{"data on a stream of the server's", 0x05, func(_ *rand.Rand, send func([]byte)) { send(onStream(3, 0, false, 1)) }},
	{"HANDSHAKE_DONE and NEW_TOKEN", 0x0a, func(_ *rand.Rand, send func([]byte)) { send([]byte{0x1e, 0x07, 0x01, 0x01}) }},
	{"a connection ID that retires all", 0, func(_ *rand.Rand, send func([]byte)) {
		send(append(append(ints(nil, 0x18, 900, 900, 8), make([]byte, 8)...), make([]byte, 16)...))
	}},
	{"requests that are reset at once, 2000", 0, func(_ *rand.Rand, send func([]byte)) {
		for id := uint64(0); id < 8000; id += 4 {
			send(append(onStream(id, 0, false, 0x01, 0x02, 0, 0), ints(nil, 0x04, id, 0x10c, 4, 0x05, id, 0x10c)...))
		}
	}},
	{"pieces of streams with gaps, 3000", 0, func(_ *rand.Rand, send func([]byte)) {
		for i := range uint64(3000) {
			send(onStream(i%90*4, 2*i+1, false, 1))
		}
	}},
	{"CRYPTO with gaps, 500", 0, func(_ *rand.Rand, send func([]byte)) {
		for i := range uint64(500) {
			send(append(ints(nil, 0x06, 2*i+1, 1), 0))
		}
	}},
	{"pings and path challenges, 3000", 0, func(rng *rand.Rand, send func([]byte)) {
		for range 3000 {
			send(append([]byte{0x01, 0x1a}, some(rng, 8)...))
		}
	}},
	{"HTTP/3: two control streams", 0x103, func(_ *rand.Rand, send func([]byte)) {
		send(append(onStream(2, 0, false, 0x00, 0x04, 0x00), onStream(6, 0, false, 0x00, 0x04, 0x00)...))
	}},
	{"HTTP/3: a control stream that ends", 0x104, func(_ *rand.Rand, send func([]byte)) { send(onStream(2, 0, true, 0x00, 0x04, 0x00)) }},
	{"HTTP/3: no SETTINGS first", 0x10a, func(_ *rand.Rand, send func([]byte)) { send(onStream(2, 0, false, 0x00, 0x07, 0x01, 0x00)) }},
	{"HTTP/3: a setting of HTTP/2's", 0x109, func(_ *rand.Rand, send func([]byte)) { send(onStream(2, 0, false, 0x00, 0x04, 0x02, 0x02, 0x01)) }},
	{"HTTP/3: DATA before HEADERS", 0x105, func(_ *rand.Rand, send func([]byte)) { send(onStream(0, 0, true, 0x00, 0x01, 'x')) }},
	{"HTTP/3: a frame without an end", 0, func(_ *rand.Rand, send func([]byte)) {
		send(onStream(0, 0, false, append([]byte{0x01}, ints(nil, highest)...)...))
	}},
	{"HTTP/3: noise on a request", 0, func(rng *rand.Rand, send func([]byte)) { send(onStream(0, 0, true, some(rng, 500)...)) }},
	{"QPACK: noise for fields", 0, func(rng *rand.Rand, send func([]byte)) {
		send(onStream(0, 0, true, append([]byte{0x01, 0x40, 200}, some(rng, 200)...)...))
	}},
	{"QPACK: noise for instructions", 0, func(rng *rand.Rand, send func([]byte)) {
		send(append(onStream(2, 0, false, append([]byte{0x02}, some(rng, 300)...)...), onStream(6, 0, false, append([]byte{0x03}, some(rng, 300)...)...)...))
	}},
	{"QPACK: fields that wait for entries, 200", 0, func(_ *rand.Rand, send func([]byte)) {
		for id := uint64(0); id < 800; id += 4 {
			send(onStream(id, 0, true, 0x01, 0x03, 0x21, 0x00, 0x80))
		}
	}},
}

// hostile connects to a server, has play send what it likes with the connection's keys, and looks whether the server closes the connection or goes on; nil
// sends nothing. The server has gone on when it is silent for as long as patience. It returns why the connection is over, nil if it is not; that the handshake does not come to its end is an error.
func hostile(to netip.AddrPort, play func(send func(frames []byte)), patience time.Duration) (end, err error) {
	a, err := newAttacker(nil)
	if err != nil {
		return nil, err
	}
	defer a.close()
	cfg := &quic.Config{TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}, KeyLogWriter: &a.log}}
	if a.conn, err = a.endpoint.Connect(time.Now(), cfg, quic.ConnectParams{ServerName: "localhost", Remote: to}); err != nil {
		return nil, err
	}
	a.peer = to
	return a.attack(play, patience)
}

// attacker is a client or a server by a core of ours, which leaves the connection to a test when the handshake is complete.
type attacker struct {
	sock     *net.UDPConn
	endpoint *quic.Endpoint
	conn     *quic.Conn // nil: a server whose client has not come
	peer     netip.AddrPort
	log      bytes.Buffer // of TLS's secrets
	buf      []byte
}

// newAttacker makes one with a socket of its own. cfg is a server's.
func newAttacker(cfg *quic.Config) (*attacker, error) {
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	a := &attacker{sock: sock, buf: make([]byte, 65536)}
	if cfg != nil {
		cfg.TLS.KeyLogWriter = &a.log
	}
	if a.endpoint, err = quic.NewEndpoint(cfg); err != nil {
		sock.Close()
	}
	return a, err
}

func (a *attacker) close() {
	if a.conn != nil {
		a.conn.Release()
	}
	a.sock.Close()
}

// turn sends what there is, and takes what comes within 20 ms.
func (a *attacker) turn() error {
	for a.conn != nil {
		t := a.conn.Send(time.Now(), a.buf)
		if t.N == 0 {
			break
		}
		for at := 0; at < t.N; at += t.SegSize {
			a.write(a.buf[at:min(at+t.SegSize, t.N)])
		}
	}
	_ = a.sock.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	n, from, err := a.sock.ReadFromUDPAddrPort(a.buf)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
	case err != nil:
		return err
	default:
		train := quic.Train{Buf: a.buf[:n], SegSize: n, Remote: from}
		if a.conn == nil {
			a.conn, a.peer = a.endpoint.Route(time.Now(), train, nil).Conn, from
		}
		if a.conn != nil {
			a.conn.Recv(time.Now(), train)
		}
	}
	if a.conn == nil {
		return nil
	}
	a.conn.OnTimeout(time.Now())
	for ev, ok := a.conn.NextEvent(); ok; ev, ok = a.conn.NextEvent() {
		switch ev.Kind {
		case quic.EventAsk:
			ev.Ask.Run()
			a.conn.Answer(ev.Ask)
		case quic.EventEndpoint:
			a.conn.HandleReply(time.Now(), a.endpoint.HandleEvent(a.conn, *ev.Endpoint))
		}
	}
	return a.conn.Err()
}

func (a *attacker) write(b []byte) { _, _ = a.sock.WriteToUDPAddrPort(b, a.peer) }

// attack is hostile, with a connection that has begun, or will be begun by the peer.
func (a *attacker) attack(play func(send func(frames []byte)), patience time.Duration) (end, err error) {
	for begun := time.Now(); a.conn == nil || !a.conn.HandshakeConfirmed(); {
		if err := a.turn(); err != nil {
			return nil, fmt.Errorf("the handshake: %w", err)
		}
		if a.conn == nil && time.Since(begun) > 20*time.Second { // else the core has a timeout
			return nil, errors.New("no client has come")
		}
	}
	if play == nil {
		a.conn.Close(time.Now(), true, 0x100, "")
		_ = a.turn()
		return nil, nil
	}
	for range 3 { // the last flight of the handshake leaves, and a client's request comes
		if err := a.turn(); err != nil {
			return nil, err
		}
	}
	keys := protect.NewKeys()
	defer keys.Release()
	if err := a.install(keys); err != nil {
		return nil, err
	}
	dcid := a.conn.DestinationID()
	pn := int64(1 << 20)
	largest := int64(-1) // packet number of the peer's
	send := func(frames []byte) {
		packet := append([]byte{0x43}, dcid.Bytes()...)
		off := len(packet)
		packet = binary.BigEndian.AppendUint32(packet, uint32(pn))
		packet = append(append(packet, frames...), make([]byte, max(0, 4-len(frames))+protect.Overhead)...)
		if !keys.Seal(packet, []protect.SealDesc{{Len: uint32(len(packet)), PNOff: uint16(off), PNLen: 4, PN: pn, Slot: protect.OneRTT}}) {
			panic("a packet that cannot be sealed")
		}
		pn++
		a.write(packet)
	}
	play(send)
	// What the peer says from now on concerns packets that the core does not know of.
	for {
		_ = a.sock.SetReadDeadline(time.Now().Add(patience))
		n, err := a.sock.Read(a.buf)
		if err != nil {
			break
		}
		open := []protect.OpenDesc{{Len: uint32(n), PNOff: uint16(1 + a.conn.SourceID().Len()), Slot: protect.OneRTT, Largest: largest}}
		if keys.Open(a.buf[:n], open); open[0].Status == protect.Opened {
			largest = max(largest, open[0].PN)
			if end = closeIn(a.buf[1+a.conn.SourceID().Len()+int(open[0].PNLen) : n-protect.Overhead]); end != nil {
				return end, nil
			}
		}
	}
	// It goes on, and is left alone.
	send(append(ints(nil, 0x1d, 0x100), 0))
	return nil, nil
}

// install gives the keys of the connection to keys.
func (a *attacker) install(keys *protect.Keys) (err error) {
	write, read := "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"
	if !a.conn.IsClient() {
		write, read = read, write
	}
	suite := protect.Suite(a.conn.TLS().CipherSuite)
	for line := range strings.Lines(a.log.String()) {
		words := strings.Fields(line)
		secret, bad := hex.DecodeString(words[len(words)-1])
		err = errors.Join(err, bad)
		switch words[0] {
		case write:
			err = errors.Join(err, keys.InstallWrite(protect.OneRTT, suite, secret))
		case read:
			err = errors.Join(err, keys.InstallRead(protect.OneRTT, suite, secret))
		}
	}
	return err
}

// numbers are how many integers frames consist of that consist of nothing else.
var numbers = map[uint64]int{
	0x00: 0, 0x01: 0, 0x04: 3, 0x05: 2, 0x10: 1, 0x11: 2, 0x12: 1, 0x13: 1, 0x14: 1, 0x15: 2, 0x16: 1, 0x17: 1, 0x19: 1, 0x1e: 0, 0x1f: 0, 0xaf: 4,
}

// closeIn returns the CONNECTION_CLOSE among frames of a server's.
func closeIn(b []byte) error {
	next := func() (v uint64) {
		if len(b) == 0 || len(b) < 1<<(b[0]>>6) {
			b = nil
			return 0
		}
		n := 1 << (b[0] >> 6)
		v = uint64(b[0] & 0x3f)
		for _, c := range b[1:n] {
			v = v<<8 | uint64(c)
		}
		b = b[n:]
		return v
	}
	skip := func(n uint64) { b = b[min(n, uint64(len(b))):] }
	for len(b) > 0 {
		switch kind := next(); {
		case kind == 0x1c || kind == 0x1d:
			code := next()
			if kind == 0x1d {
				return &quic.ApplicationError{Code: code, Remote: true}
			}
			return &quic.TransportError{Code: quic.TransportErrorCode(code), Remote: true}
		case kind == 0x02 || kind == 0x03: // ACK
			next()
			next()
			ranges := next()
			next()
			for range min(ranges, 1000) {
				next()
				next()
			}
			for range (kind & 1) * 3 {
				next()
			}
		case kind >= 0x08 && kind <= 0x0f: // STREAM
			next()
			if kind&4 != 0 {
				next()
			}
			if kind&2 == 0 {
				return nil
			}
			skip(next())
		case kind == 0x06: // CRYPTO
			next()
			skip(next())
		case kind == 0x07 || kind == 0x31: // NEW_TOKEN, DATAGRAM
			skip(next())
		case kind == 0x18: // NEW_CONNECTION_ID
			next()
			next()
			skip(next() + 16)
		case kind == 0x1a || kind == 0x1b: // PATH_CHALLENGE, PATH_RESPONSE
			skip(8)
		default:
			n, known := numbers[kind]
			if !known {
				return fmt.Errorf("a frame of type %#x", kind)
			}
			for range n {
				next()
			}
		}
	}
	return nil
}
