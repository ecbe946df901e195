package http3

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// TestCombinedPlays has random requests made while the transport is busy: the client's NAT forgets it, keys are updated, the link changes, becomes narrow and falls silent, the connection is resumed with early data behind a Retry, in one version or the other; with windows
// and send buffers that are small or large. Every byte of bodies, and the fields of headers and trailers, are compared.
func TestCombinedPlays(t *testing.T) {
	first := rand.Uint64N(1 << 40)
	for seed := first; seed < first+40; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newCombined(t, seed).play() })
		})
	}
}

// combined is a play: a server, a client behind a NAT, and what is drawn for them.
type combined struct {
	t     *testing.T
	rng   *rand.Rand // of the goroutine that draws
	n     *quicnettest.Network
	tr    *Transport
	nat   *nat // the client's latest socket
	dials int

	mu     sync.Mutex
	conns  map[*quicnet.Conn]bool // of the server
	served map[string]int         // how often a request that must not be done twice was
}

// nat is a client's socket, whose address others see change.
type nat struct {
	n      *quicnettest.Network
	mu     sync.Mutex
	pc     net.PacketConn
	closed bool
}

func (n *nat) now() (pc net.PacketConn, closed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pc, n.closed
}

// forget gives the client another address. What is under way to the old one is lost.
func (n *nat) forget(t *testing.T) {
	pc, err := n.n.ListenPacket("")
	if err != nil {
		t.Error(err)
		return
	}
	n.mu.Lock()
	old := n.pc
	if n.closed {
		old = pc
	} else {
		n.pc = pc
	}
	n.mu.Unlock()
	old.Close()
}

func (n *nat) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		pc, _ := n.now()
		k, from, err := pc.ReadFrom(p)
		if now, closed := n.now(); err == nil || closed || now == pc {
			return k, from, err
		}
	}
}

func (n *nat) WriteTo(p []byte, to net.Addr) (int, error) {
	pc, _ := n.now()
	k, err := pc.WriteTo(p, to)
	if now, closed := n.now(); err != nil && !closed && now != pc {
		return len(p), nil // lost
	}
	return k, err
}

func (n *nat) Close() error {
	n.mu.Lock()
	n.closed = true
	pc := n.pc
	n.mu.Unlock()
	return pc.Close()
}

func (n *nat) LocalAddr() net.Addr              { pc, _ := n.now(); return pc.LocalAddr() }
func (n *nat) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (n *nat) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (n *nat) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

func newCombined(t *testing.T, seed uint64) *combined {
	c := &combined{t: t, rng: rand.New(rand.NewPCG(seed, 0)), conns: map[*quicnet.Conn]bool{}, served: map[string]int{}}
	c.n = quicnettest.NewNetwork(seed, c.link())
	retry := c.rng.IntN(2) == 0
	ts := serveOver(t, c.n, c.serve, func(s *Server) {
		s.QUIC = c.config()
		s.QUIC.EarlyData = true
		s.QUIC.Retry = func(netip.AddrPort) bool { return retry }
	})
	c.tr = ts.transport()
	c.tr.QUIC = c.config()
	c.tr.QUIC.MaxStreamsBidi = 0
	c.tr.QUIC.KeepAlive = time.Second // else who waits for a response does not learn that the NAT has forgotten it, and the server not where it is
	c.tr.MaxConnsPerHost = 1          // no other one is made when a move takes its time
	c.tr.EarlyData, c.tr.TLSClientConfig.ClientSessionCache = true, tls.NewLRUClientSessionCache(1)
	c.tr.Dial = func(context.Context, string) (net.PacketConn, net.Addr, error) {
		pc, err := c.n.ListenPacket("")
		c.mu.Lock()
		c.nat = &nat{n: c.n, pc: pc}
		c.dials++
		c.mu.Unlock()
		return c.nat, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(ts.addr)), err
	}
	return c
}

// config draws a configuration of the transport.
func (c *combined) config() *quic.Config {
	cfg := &quic.Config{MaxIdleTimeout: 5 * time.Minute, HandshakeTimeout: time.Minute}
	one := func(n int) bool { return c.rng.IntN(n) == 0 }
	if one(3) {
		cfg.StreamSendBuffer = []int{50, 300, 4096}[c.rng.IntN(3)]
		cfg.MaxStreamSendBuffer = cfg.StreamSendBuffer
	}
	if one(4) {
		cfg.StreamReceiveWindow = []uint64{50, 500, 3000}[c.rng.IntN(3)]
		cfg.MaxStreamReceiveWindow = cfg.StreamReceiveWindow
	}
	if one(4) {
		cfg.ReceiveWindow, cfg.MaxReceiveWindow = 3000, 3000
	}
	if one(3) {
		cfg.MaxStreamsBidi = int64(1 + c.rng.IntN(3))
	}
	if one(2) {
		cfg.MaxUDPPayload = 1200
	}
	cfg.Versions = [][]uint32{nil, {quic.Version1}, {quic.Version2, quic.Version1}}[c.rng.IntN(3)]
	return cfg
}

// link draws one.
func (c *combined) link() quicnettest.Link {
	l := quicnettest.Link{Delay: time.Duration(1+c.rng.IntN(20)) * time.Millisecond, Loss: 0.02 * float64(c.rng.IntN(3))}
	if c.rng.IntN(2) == 0 {
		l.Reorder, l.Duplicate = 0.1, 0.1
	}
	if c.rng.IntN(2) == 0 {
		l.MTU = 1200 + c.rng.IntN(300)
	}
	return l
}

// combinedBody is the body of a request, or of its response.
func combinedBody(id, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(id), byte(id >> 8), 1}).Read(b)
	return b
}

// combinedFields are fields of a request, or of its response, some of them like those of others.
func combinedFields(id int) http.Header {
	h := http.Header{"X-Same": {"for all of them"}, "X-Few": {strconv.Itoa(id % 3)}, "X-Own": {fmt.Sprint("only ", id)}}
	for k := range id % 4 {
		h.Add("X-Many", strings.Repeat("m", 10*k)+strconv.Itoa(id%5))
	}
	if id%7 == 0 {
		h.Set("X-Long", strings.Repeat("long", 500))
	}
	return h
}

// withTrailers tells whether a request and its response have trailers.
func withTrailers(id int) bool { return id%4 == 0 }

// wantFields compares those of the fields of a message that begin with "X-".
func (c *combined) wantFields(what string, got, want http.Header) {
	n := 0
	for k, v := range got {
		if strings.HasPrefix(k, "X-") {
			if n++; strings.Join(v, "|") != strings.Join(want[k], "|") {
				c.t.Errorf("%s: %s is %.80q, want %.80q", what, k, v, want[k])
			}
		}
	}
	if n != len(want) {
		c.t.Errorf("%s: %d fields, want %d", what, n, len(want))
	}
}

// serve is the handler. The path says how: /KIND/ID/BYTES of the request/BYTES of the response.
func (c *combined) serve(w http.ResponseWriter, r *http.Request) {
	var kind, id, up, down int
	fmt.Sscanf(r.URL.Path, "/%d/%d/%d/%d", &kind, &id, &up, &down)
	c.mu.Lock()
	c.conns[QUICConn(r)] = true
	c.served[r.Method+r.URL.Path]++
	c.mu.Unlock()
	c.wantFields("request "+r.URL.Path, r.Header, combinedFields(id))
	for k, v := range combinedFields(id + 1) {
		w.Header()[k] = v
	}
	if withTrailers(id) {
		w.Header().Set("Trailer", "After")
	}
	answer := combinedBody(id+1, down)
	received := make([]byte, 0, up)
	var err error
	switch kind {
	case 0: // the header leaves before all else
		w.(http.Flusher).Flush()
		received, err = io.ReadAll(r.Body)
		w.Write(answer)
	case 1: // in pieces, while the request is read
		http.NewResponseController(w).EnableFullDuplex()
		for i := 0; i <= down; i += 700 {
			part := make([]byte, up/10+1)
			n, _ := io.ReadFull(r.Body, part)
			received = append(received, part[:n]...)
			w.Write(answer[i:min(i+700, down)])
			w.(http.Flusher).Flush()
		}
		rest, last := io.ReadAll(r.Body)
		err = last
		received = append(received, rest...)
	case 2: // interim responses
		w.WriteHeader(http.StatusEarlyHints)
		received, err = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusEarlyHints)
		w.Write(answer)
	case 3: // early
		w.Write(answer)
		w.Header().Set("After", "early")
		return
	case 4: // broken off
		w.Write(answer[:down/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if !bytes.HasPrefix(combinedBody(id, up), received) || err == nil && len(received) != up {
		c.t.Errorf("request %s: %d bytes came, %v", r.URL.Path, len(received), err)
	}
	if err != nil {
		return
	}
	if up > 0 && withTrailers(id) && r.Trailer.Get("X-After") != strconv.Itoa(id) {
		c.t.Errorf("request %s: the trailer is %q", r.URL.Path, r.Trailer)
	}
	w.Header().Set("After", strconv.Itoa(id))
}

// request draws a request, and returns what makes it.
func (c *combined) request(id int) func() {
	sizes := []int{0, 0, 1, 100, 1200, 5000}
	kind, up, down := c.rng.IntN(5), sizes[c.rng.IntN(len(sizes))], sizes[c.rng.IntN(len(sizes))]
	wait, slowly := time.Duration(c.rng.IntN(2000))*time.Millisecond, c.rng.IntN(4) == 0
	told, closes := c.rng.IntN(2) == 0, c.rng.IntN(8) == 0
	return func() {
		time.Sleep(wait)
		method := "POST"
		var body io.Reader
		if up == 0 {
			method = "GET"
		} else if body = bytes.NewReader(combinedBody(id, up)); !told {
			body = struct{ io.Reader }{body}
		}
		path := fmt.Sprintf("/%d/%d/%d/%d", kind, id, up, down)
		req := newRequest(c.t, method, "https://localhost"+path, body)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		req = req.WithContext(ctx)
		req.Header = combinedFields(id)
		if up > 0 && withTrailers(id) {
			req.Trailer = http.Header{"X-After": {strconv.Itoa(id)}}
		}
		resp, err := c.tr.RoundTrip(req)
		if err != nil {
			if kind != 4 && !c.gaveUp() {
				c.t.Errorf("%s: %v", path, err)
			}
			return
		}
		defer resp.Body.Close()
		if slowly {
			time.Sleep(time.Second)
		}
		if closes {
			return
		}
		got, err := io.ReadAll(resp.Body)
		want, after := combinedBody(id+1, down), strconv.Itoa(id)
		if kind == 3 {
			after = "early"
		}
		if !withTrailers(id) {
			after = ""
		}
		switch {
		case kind == 4:
			if err == nil {
				c.t.Errorf("%s: a response that was broken off looks complete", path)
			}
			return
		case err != nil && c.gaveUp():
			return
		case err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(got, want) || resp.Trailer.Get("After") != after:
			c.t.Errorf("%s: %d, %d bytes, %v, trailer %q", path, resp.StatusCode, len(got), err, resp.Trailer)
		}
		c.wantFields("response to "+path, resp.Header, combinedFields(id+1))
	}
}

// gaveUp tells whether the client has taken the server for dead, and made another connection: then requests may fail.
func (c *combined) gaveUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dials > 2
}

// disturb does one thing to the transport.
func (c *combined) disturb() {
	switch c.rng.IntN(6) {
	case 0, 1:
		c.mu.Lock()
		nat := c.nat
		c.mu.Unlock()
		nat.forget(c.t)
	case 2:
		c.n.SetLink(c.link())
	case 3, 4:
		c.mu.Lock()
		conns := make([]*quicnet.Conn, 0, len(c.conns))
		for qc := range c.conns {
			conns = append(conns, qc)
		}
		c.mu.Unlock()
		for _, qc := range conns {
			qc.KeyUpdate() // where it is too soon, the next one may do
		}
	case 5: // silence
		c.n.SetLink(quicnettest.Link{Loss: 1})
		time.Sleep(time.Duration(c.rng.IntN(500)) * time.Millisecond)
		c.n.SetLink(c.link())
	}
}

func (c *combined) play() {
	fetchFirst := func() {
		req := newRequest(c.t, "GET", "https://localhost/0/3/0/10", nil)
		req.Header = combinedFields(3)
		fetch(c.t, c.tr, req)
	}
	fetchFirst() // for a session
	time.Sleep(5 * time.Second)
	c.tr.CloseIdleConnections()
	time.Sleep(5 * time.Second)
	fetchFirst()
	time.Sleep(5 * time.Second) // until the handshake is confirmed: before that no client moves
	var wg sync.WaitGroup
	for id := range 30 {
		wg.Go(c.request(10 * id))
	}
	for range 20 {
		time.Sleep(time.Duration(c.rng.IntN(150)) * time.Millisecond)
		c.disturb()
	}
	wg.Wait()
	for path, n := range c.served {
		if n > 1 && strings.HasPrefix(path, "POST") {
			c.t.Errorf("%s was served %d times", path, n)
		}
	}
	c.tr.CloseIdleConnections()
	time.Sleep(10 * time.Minute) // until nothing is left
}
