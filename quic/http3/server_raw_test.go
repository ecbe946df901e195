package http3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
	"github.com/boringquic/boringquic/quic/udp"
)

// testServer is a Server on a network in memory.
type testServer struct {
	*Server
	t    testing.TB
	net  *quicnettest.Network
	addr string
	log  *logged
	done chan error // what Serve returns
}

// logged is a log that is read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serveTest begins to serve h; options change the server before.
func serveTest(t testing.TB, h http.HandlerFunc, options ...func(*Server)) *testServer {
	t.Helper()
	return serveOver(t, quicnettest.NewNetwork(1, quicnettest.Link{}), h, options...)
}

func serveOver(t testing.TB, n *quicnettest.Network, h http.HandlerFunc, options ...func(*Server)) *testServer {
	t.Helper()
	ts := newTestServer(t, n, h, options...)
	pc := ts.listenPacket()
	go func() { ts.done <- ts.Serve(pc) }()
	return ts
}

// newTestServer returns a server that does not serve yet.
func newTestServer(t testing.TB, n *quicnettest.Network, h http.HandlerFunc, options ...func(*Server)) *testServer {
	ts := &testServer{t: t, net: n, log: new(logged), done: make(chan error, 1)}
	hs := &http.Server{ErrorLog: log.New(ts.log, "", 0), TLSConfig: quicnettest.ServerConfig().TLS}
	if h != nil {
		hs.Handler = h
	}
	ts.Server = &Server{HTTP: hs}
	for _, o := range options {
		o(ts.Server)
	}
	t.Cleanup(func() { ts.Close() })
	return ts
}

// listenPacket opens the server's socket.
func (ts *testServer) listenPacket() net.PacketConn {
	ts.t.Helper()
	pc, err := ts.net.ListenPacket("")
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.addr = pc.LocalAddr().String()
	return pc
}

// rawPeer is a client that makes frames by hand, on top of an ordinary connection, and knows nothing of package h3.
type rawPeer struct {
	t       testing.TB
	conn    *quicnet.Conn
	control *quicnet.Stream

	mu       sync.Mutex
	goAways  []uint64
	settings map[uint64]uint64
}

func (ts *testServer) dial(options ...func(*quic.Config)) *rawPeer {
	ts.t.Helper()
	cfg := quicnettest.ClientConfig()
	cfg.TLS.NextProtos = []string{"h3"}
	for _, o := range options {
		o(cfg)
	}
	ep := ts.net.Listen(ts.t, "", nil)
	conn, err := ep.Dial(context.Background(), ts.addr, cfg)
	if err != nil {
		ts.t.Fatal(err)
	}
	p := &rawPeer{t: ts.t, conn: conn, settings: make(map[uint64]uint64)}
	p.begin()
	ts.t.Cleanup(func() { conn.Close() })
	return p
}

// begin opens the control stream.
func (p *rawPeer) begin() {
	p.t.Helper()
	go p.readUni()
	var err error
	if p.control, err = sendSettings(p.conn); err != nil {
		p.t.Fatal(err)
	}
}

// sendSettings opens a control stream, with SETTINGS without any.
func sendSettings(c *quicnet.Conn) (control *quicnet.Stream, err error) {
	if control, err = c.OpenUniStream(context.Background()); err == nil {
		_, err = control.Write([]byte{0x00, 0x04, 0x00})
	}
	return control, err
}

// rawServer has serve be the server of the first connection, on which SETTINGS were sent, and returns its address.
func rawServer(t *testing.T, n *quicnettest.Network, serve func(c *quicnet.Conn)) (addr string) {
	t.Helper()
	cfg := quicnettest.ServerConfig()
	cfg.TLS.NextProtos = []string{"h3"}
	ep := n.Listen(t, "", cfg)
	go func() {
		c, err := ep.Accept(context.Background())
		if err == nil {
			_, err = sendSettings(c)
		}
		if err == nil {
			serve(c)
		}
	}()
	return ep.Addr().String()
}

// readUni reads the server's unidirectional streams.
func (p *rawPeer) readUni() {
	for {
		s, err := p.conn.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			r := &rawReader{r: s}
			if typ, err := r.varint(); err != nil || typ != 0 {
				io.Copy(io.Discard, s)
				return
			}
			for {
				typ, payload, err := r.frame()
				if err != nil {
					return
				}
				p.onControl(typ, &rawReader{r: bytes.NewReader(payload)})
			}
		}()
	}
}

func (p *rawPeer) onControl(typ uint64, r *rawReader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch typ {
	case 0x07:
		id, _ := r.varint()
		p.goAways = append(p.goAways, id)
	case 0x04:
		for {
			id, err := r.varint()
			if err != nil {
				return
			}
			p.settings[id], _ = r.varint()
		}
	}
}

func (p *rawPeer) goneAway() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.goAways)
}

// rawReader reads what HTTP/3 is made of.
type rawReader struct{ r io.Reader }

func (r *rawReader) varint() (v uint64, err error) {
	var b [8]byte
	if _, err := io.ReadFull(r.r, b[:1]); err != nil {
		return 0, err
	}
	n := 1 << (b[0] >> 6)
	if _, err := io.ReadFull(r.r, b[1:n]); err != nil {
		return 0, err
	}
	v = uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, nil
}

func (r *rawReader) frame() (typ uint64, payload []byte, err error) {
	if typ, err = r.varint(); err != nil {
		return 0, nil, err
	}
	n, err := r.varint()
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r.r, payload)
	return typ, payload, err
}

func appendRawVarint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return append(b, byte(v>>8)|0x40, byte(v))
	case v < 1<<30:
		return append(b, byte(v>>24)|0x80, byte(v>>16), byte(v>>8), byte(v))
	}
	return append(b, byte(v>>56)|0xc0, byte(v>>48), byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func rawFrame(typ uint64, payload []byte) []byte {
	b := appendRawVarint(appendRawVarint(nil, typ), uint64(len(payload)))
	return append(b, payload...)
}

// rawSection encodes fields, given as "name: value" each, without a dynamic table.
func rawSection(fields ...string) []byte {
	var list []qpack.Field
	for _, f := range fields {
		i := strings.Index(f[1:], ":") + 1
		list = append(list, qpack.Field{Name: f[:i], Value: strings.TrimPrefix(f[i+1:], " ")})
	}
	return qpack.NewEncoder(qpack.EncoderConfig{}).AppendSection(nil, 0, list, 0)
}

// rawRequest is a request in the making, and its response.
type rawRequest struct {
	p *rawPeer
	s *quicnet.Stream
	r rawReader
}

func (p *rawPeer) open() *rawRequest {
	p.t.Helper()
	s, err := p.conn.OpenStream(context.Background())
	if err != nil {
		p.t.Fatal(err)
	}
	return &rawRequest{p: p, s: s, r: rawReader{s}}
}

// head is the pseudo-header fields of a request.
func head(method, path string, fields ...string) []string {
	return append([]string{":method: " + method, ":scheme: https", ":authority: example.org", ":path: " + path}, fields...)
}

// headers sends a header section, data a piece of the body. What cannot be sent since the server has ended the stream is not.
func (q *rawRequest) headers(fields ...string) *rawRequest {
	return q.write(rawFrame(1, rawSection(fields...)))
}
func (q *rawRequest) data(b string) *rawRequest { return q.write(rawFrame(0, []byte(b))) }

func (q *rawRequest) write(b []byte) *rawRequest {
	q.s.Write(b)
	return q
}

func (q *rawRequest) end() *rawRequest {
	q.s.Close()
	return q
}

// get makes a GET request.
func (p *rawPeer) get(path string, fields ...string) *rawRequest {
	p.t.Helper()
	q := p.open()
	q.s.WriteFinal(rawFrame(1, rawSection(head("GET", path, fields...)...)))
	return q
}

// rawHead is a header or trailer section.
type rawHead []qpack.Field

func (h rawHead) get(name string) string { return strings.Join(h.values(name), "|") }

func (h rawHead) values(name string) (vv []string) {
	for _, f := range h {
		if f.Name == name {
			vv = append(vv, f.Value)
		}
	}
	return vv
}

// rawReply is what came of a request.
type rawReply struct {
	interim  []rawHead
	head     rawHead
	body     []byte
	trailers rawHead
	err      error // nil: the end came
}

func (r *rawReply) status() string { return r.head.get(":status") }

// code returns the error code that the server has reset the stream with.
func (r *rawReply) code() h3.ErrorCode {
	if se := (*quic.StreamError)(nil); errors.As(r.err, &se) {
		return h3.ErrorCode(se.Code)
	}
	return 0
}

func (r *rawReply) String() string {
	return fmt.Sprintf("interim %v, head %v, %d bytes %.80q, trailers %v, error %v", r.interim, r.head, len(r.body), r.body, r.trailers, r.err)
}

// nextHead reads up to the next header section.
func (q *rawRequest) nextHead() (rawHead, error) {
	for {
		typ, payload, err := q.r.frame()
		if err != nil {
			return nil, err
		}
		if typ == 1 {
			return qpack.NewDecoder(0, 0).Decode(q.s.ID(), payload, nil, 1<<20)
		}
	}
}

// reply reads the response to its end.
func (q *rawRequest) reply() *rawReply { return q.read(new(rawReply)) }

// rest is reply where the header section was read before.
func (q *rawRequest) rest() *rawReply { return q.read(&rawReply{head: rawHead{}}) }

func (q *rawRequest) read(rep *rawReply) *rawReply {
	for {
		typ, payload, err := q.r.frame()
		if err != nil {
			if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				rep.err = err
			}
			return rep
		}
		switch typ {
		case 0:
			if rep.head == nil {
				rep.err = errors.New("DATA came before the header section")
				return rep
			}
			rep.body = append(rep.body, payload...)
		case 1:
			h, err := qpack.NewDecoder(0, 0).Decode(q.s.ID(), payload, nil, 1<<20)
			if err != nil {
				rep.err = err
				return rep
			}
			f := rawHead(h)
			switch s := f.get(":status"); {
			case strings.HasPrefix(s, "1") && rep.head == nil:
				rep.interim = append(rep.interim, f)
			case rep.head == nil:
				rep.head = f
			default:
				rep.trailers = f
			}
		}
	}
}

// stopped returns the code of the server's STOP_SENDING, 0 if none comes within a second.
func (q *rawRequest) stopped() h3.ErrorCode {
	q.s.SetWriteDeadline(time.Now().Add(time.Second))
	data := append([]byte{0, 0x44, 0}, make([]byte, 1024)...) // a DATA frame: bare zeros would be many empty ones
	for {
		if _, err := q.s.Write(data); err != nil {
			if se := (*quic.StreamError)(nil); errors.As(err, &se) && se.Remote {
				return h3.ErrorCode(se.Code)
			}
			return 0
		}
	}
}

// ownEndpoint has the server serve on an endpoint of the test's too, and be reached there.
func (ts *testServer) ownEndpoint() *quicnet.Endpoint {
	pc, err := ts.net.ListenPacket("")
	if err != nil {
		ts.t.Fatal(err)
	}
	sock, err := udp.New(pc, udp.Options{})
	if err != nil {
		ts.t.Fatal(err)
	}
	cfg := quicnettest.ServerConfig()
	cfg.TLS.NextProtos = []string{"h3", "other"}
	ep, err := quicnet.ListenConfig{Protocol: ts.Protocol}.NewEndpoint(sock, cfg)
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { ep.Close() })
	ts.addr = ep.Addr().String()
	return ep
}
