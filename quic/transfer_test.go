package quic

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// pair is a client and a server that are joined without a network: what one sends the other receives at once.
type pair struct {
	t              testing.TB
	now            time.Time
	client, server *Conn
	buf            []byte
	trains         int
	loses          bool // trains of more than one datagram, whole
}

func newPair(t testing.TB, configure func(client, server *Config)) *pair {
	t.Helper()
	return newPairWith(t, 1<<16, configure)
}

// newPairWith sends from buffers of that many bytes.
func newPairWith(t testing.TB, buffer int, configure func(client, server *Config)) *pair {
	t.Helper()
	p := startPair(t, buffer, configure)
	p.run(func() bool { return p.client.IsEstablished() && p.server.IsEstablished() })
	return p
}

// startPair returns a pair of which the client has sent its first packet.
func startPair(t testing.TB, buffer int, configure func(client, server *Config)) *pair {
	t.Helper()
	p := &pair{t: t, now: time.Unix(1e9, 0), buf: make([]byte, buffer)}
	public, private, err := ed25519.GenerateKey(rand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"peer.example"}}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	clientConfig := &Config{Rand: rand.NewChaCha8([32]byte{2}), TLS: &tls.Config{
		NextProtos: []string{"test"}, InsecureSkipVerify: true}}
	serverConfig := &Config{Rand: rand.NewChaCha8([32]byte{3}), TLS: &tls.Config{
		NextProtos: []string{"test"}, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}}
	if configure != nil {
		configure(clientConfig, serverConfig)
	}
	a, b := netip.MustParseAddrPort("192.0.2.1:1000"), netip.MustParseAddrPort("192.0.2.2:443")
	p.client, err = Connect(p.now, clientConfig, ConnectParams{ServerName: "peer.example", Local: a, Remote: b})
	if err != nil {
		t.Fatal(err)
	}
	first := p.client.Send(p.now, p.buf)
	h, n := wire.ConsumeLongHeader(p.buf[:first.SegSize])
	if n < 0 {
		t.Fatal("the client's first packet is malformed")
	}
	dst, _ := MakeConnID(h.DstConnID)
	src, _ := MakeConnID(h.SrcConnID)
	ours, _ := MakeConnID([]byte("serverid"))
	p.server, err = Accept(p.now, serverConfig, AcceptParams{SrcConnID: ours, PeerConnID: src, ClientDstConnID: dst,
		OrigDstConnID: dst, AddressValidated: true, Local: b, Remote: a})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.client.Release(); p.server.Release() })
	p.deliver(p.server, first)
	return p
}

func (p *pair) deliver(to *Conn, t Transmit) {
	p.trains++
	if p.loses && t.SegSize < t.N {
		return
	}
	to.Recv(p.now, Train{Buf: p.buf[:t.N], SegSize: t.SegSize, Local: t.Remote, Remote: t.Local, ECN: t.ECN})
}

// step carries one train each way, and tells whether there was any.
func (p *pair) step() bool {
	moved := false
	for _, c := range []*Conn{p.client, p.server} {
		to := p.server
		if c == p.server {
			to = p.client
		}
		for {
			ev, ok := c.NextEvent()
			if !ok {
				break
			}
			if ev.Kind == EventAsk {
				ev.Ask.Run()
				c.Answer(ev.Ask)
			}
		}
		if t := c.Send(p.now, p.buf); t.N > 0 {
			moved = true
			p.deliver(to, t)
		}
	}
	return moved
}

// run steps until done, and lets time pass where nothing moves.
func (p *pair) run(done func() bool) {
	p.t.Helper()
	for range 1_000_000 {
		if done() {
			return
		}
		if !p.step() {
			p.tick()
		}
	}
	p.t.Fatalf("no end: client %v, server %v", p.client.Err(), p.server.Err())
}

// tick advances to the next timer.
func (p *pair) tick() {
	if at := p.next(); at.After(p.now) {
		p.now = at
	}
	p.client.OnTimeout(p.now)
	p.server.OnTimeout(p.now)
}

// next is when the next timer fires.
func (p *pair) next() time.Time {
	at, ok := p.client.Timeout()
	if other, ok2 := p.server.Timeout(); ok2 && (!ok || other.Before(at)) {
		at = other
	}
	return at
}

// move sends n bytes on a stream of the server's and reads them at the client.
func (p *pair) move(id uint64, n int, scratch []byte) {
	p.t.Helper()
	sent, got := 0, 0
	for got < n {
		if sent < n {
			m, err := p.server.StreamSend(id, scratch[:min(n-sent, len(scratch))], false)
			if err != nil {
				p.t.Fatal(err)
			}
			sent += m
		}
		if !p.step() {
			p.tick()
		}
		p.now = p.now.Add(20 * time.Microsecond)
		for {
			m, _, err := p.client.StreamRecv(id, scratch)
			if err != nil {
				p.t.Fatal(err)
			}
			if m == 0 {
				break
			}
			got += m
		}
	}
}

// openStream has the server open a stream and the client know of it.
func (p *pair) openStream() uint64 {
	id, err := p.server.OpenStream()
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.server.StreamSend(id, []byte{0}, false); err != nil {
		p.t.Fatal(err)
	}
	var b [1]byte
	p.run(func() bool {
		n, _, _ := p.client.StreamRecv(id, b[:])
		return n == 1
	})
	return id
}

func fullFrames(client, server *Config) { client.MaxUDPPayload, server.MaxUDPPayload = 1472, 1472 }

// In steady state neither side allocates for packets.
func TestTransferAllocates(t *testing.T) {
	p := newPair(t, fullFrames)
	id := p.openStream()
	scratch := make([]byte, 64<<10)
	p.move(id, 64<<20, scratch)
	packets := p.server.Stats().PacketsSent
	allocs := testing.AllocsPerRun(10, func() { p.move(id, 4<<20, scratch) })
	packets = (p.server.Stats().PacketsSent - packets) / 11
	if allocs > 4 {
		t.Errorf("%v allocations for %d packets, want at most 4", allocs, packets)
	}
}

// Nor do they for small streams, whatever the size of these.
func TestRequestsAllocate(t *testing.T) {
	for _, size := range []int{10, 1000, 1032, 3000, 6000, 12_000, 20_000} {
		p := newPair(t, fullFrames)
		scratch := make([]byte, size)
		requests := func() {
			for range 10 {
				p.request(scratch)
			}
		}
		for range 50 {
			requests()
		}
		if allocs := testing.AllocsPerRun(10, requests); allocs > 3 {
			t.Errorf("%v allocations for 10 requests of %d bytes, want at most 3", allocs, size)
		}
	}
}

// Listing what is to be read does not allocate, but for the iterator, where as many streams as usual have something.
func TestReadableAllocates(t *testing.T) {
	p := newPair(t, fullFrames)
	var last uint64
	for range 100 {
		last = p.openStream()
		_, err := p.client.StreamSend(last, []byte("x"), false)
		p.must(err)
	}
	p.run(func() bool { return p.server.StreamReadable(last) })
	listed := 0
	allocs := testing.AllocsPerRun(100, func() {
		listed = 0
		for range p.server.Readable() {
			listed++
		}
	})
	if listed != 100 || allocs > 2 {
		t.Errorf("%d streams were listed with %v allocations, want 100 with 2", listed, allocs)
	}
}

// More than fit where no memory is made are listed in order, too.
func TestReadableMany(t *testing.T) {
	p := newPair(t, func(client, server *Config) { client.MaxStreamsBidi, server.MaxStreamsBidi = 1000, 1000 })
	var want []uint64
	for range 300 {
		id := p.openStream()
		_, err := p.client.StreamSend(id, []byte("x"), false)
		p.must(err)
		want = append(want, id)
	}
	p.run(func() bool { return p.server.StreamReadable(want[len(want)-1]) })
	if got := slices.Collect(p.server.Readable()); !slices.Equal(got, want) {
		t.Errorf("listed are %d streams, %v, want %d in order", len(got), got, len(want))
	}
}

// request has the client send as many bytes as scratch holds on a new stream, and the server answer with as many.
func (p *pair) request(scratch []byte) {
	p.t.Helper()
	id, err := p.client.OpenStream()
	p.must(err)
	n, err := p.client.StreamSend(id, scratch, true)
	if n != len(scratch) || err != nil {
		p.t.Fatalf("%d of %d bytes were taken, %v", n, len(scratch), err)
	}
	p.readToEnd(p.server, id, scratch)
	if n, err = p.server.StreamSend(id, scratch, true); n != len(scratch) || err != nil {
		p.t.Fatalf("%d of %d bytes were taken, %v", n, len(scratch), err)
	}
	p.readToEnd(p.client, id, scratch)
}

func (p *pair) readToEnd(c *Conn, id uint64, scratch []byte) {
	p.t.Helper()
	for {
		if n, fin, err := c.StreamRecv(id, scratch); fin || err != nil && err != ErrUnknownStream {
			p.must(err)
			return
		} else if n == 0 && !p.step() {
			p.tick()
		}
		p.now = p.now.Add(20 * time.Microsecond)
	}
}

func BenchmarkTransfer(b *testing.B) {
	p := newPair(b, fullFrames)
	id := p.openStream()
	scratch := make([]byte, 64<<10)
	p.move(id, 16<<20, scratch)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	b.ResetTimer()
	sent, trains := p.server.Stats().PacketsSent, p.trains
	for range b.N {
		p.move(id, 1<<20, scratch)
	}
	b.ReportMetric(float64(p.server.Stats().PacketsSent-sent)/float64(p.trains-trains), "packets/train")
}

// Whatever the size of the buffer that Send is given, datagrams fit it.
func TestSendBuffers(t *testing.T) {
	for _, size := range []int{1200, 1201, 1400, 2000, 2399, 2400, 3700, 5000} {
		p := newPairWith(t, size, nil)
		id := p.openStream()
		p.move(id, 100_000, make([]byte, 10_000))
	}
}

// Stream data follows the end of the client's handshake in a datagram that an Initial packet has padded to 1200 bytes: no padding may
// get into a STREAM frame that reaches to the end of its packet.
func TestDataWithHandshake(t *testing.T) {
	for size := range 16 {
		p := startPair(t, 1<<16, func(client, _ *Config) { client.ConnIDs = RandomConnIDs(1 + size) })
		for !p.client.IsEstablished() {
			p.deliver(p.client, p.server.Send(p.now, p.buf))
			for ev, ok := p.client.NextEvent(); ok; ev, ok = p.client.NextEvent() {
				if ev.Kind == EventAsk {
					ev.Ask.Run()
					p.client.Answer(ev.Ask)
				}
			}
		}
		id, err := p.client.OpenUniStream()
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, 2000)
		rand.NewChaCha8([32]byte{4}).Read(want)
		if n, err := p.client.StreamSend(id, want, true); n != len(want) || err != nil {
			t.Fatal(n, err)
		}
		first := p.client.Send(p.now, p.buf)
		first.N = first.SegSize
		p.deliver(p.server, first)
		got := make([]byte, len(want))
		n, _, err := p.server.StreamRecv(id, got)
		if n == 0 || err != nil || !bytes.Equal(got[:n], want[:n]) {
			t.Fatalf("connection ID of %d bytes: received %d bytes (%v), not what was sent", 1+size, n, err)
		}
	}
}

// What does not fit into a train as a whole datagram goes with the next one, and is not cut short to fit.
func TestTrainsOfWholeDatagrams(t *testing.T) {
	for _, buffer := range []int{5000, 20_000, 1 << 16} {
		p := newPairWith(t, buffer, nil)
		id, err := p.client.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		buf, data := make([]byte, buffer), make([]byte, 1<<20)
		longest, cut := 0, 0
		for range 2000 {
			n, err := p.client.StreamSend(id, data, false)
			if err != nil {
				t.Fatal(err)
			}
			data = data[n:]
			for sent := p.client.Send(p.now, buf); sent.N > 0; sent = p.client.Send(p.now, buf) {
				longest = max(longest, sent.N)
				if sent.N > sent.SegSize && sent.N%sent.SegSize != 0 && len(data) > 0 {
					cut++
				}
				p.server.Recv(p.now, Train{Buf: buf[:sent.N], SegSize: sent.SegSize, Local: sent.Remote, Remote: sent.Local})
			}
			for _, _, err := p.server.StreamRecv(id, make([]byte, 1<<20)); err != nil; {
				t.Fatal(err)
			}
			for ack := p.server.Send(p.now, buf); ack.N > 0; ack = p.server.Send(p.now, buf) {
				p.client.Recv(p.now, Train{Buf: buf[:ack.N], SegSize: ack.SegSize, Local: ack.Remote, Remote: ack.Local})
			}
			if p.now = p.now.Add(time.Millisecond); len(data) == 0 {
				break
			}
			p.client.OnTimeout(p.now)
			p.server.OnTimeout(p.now)
		}
		if len(data) > 0 || cut > 0 || longest < buffer-2000 {
			t.Errorf("a buffer of %d bytes: %d bytes are left, the longest train has %d, and of %d the last datagram is short", buffer, len(data), longest, cut)
		}
	}
}

// Small messages on many streams leave few bytes at the end of packets, for which no frame is begun. The trains are whole all the same.
func TestTrainsOfSmallMessages(t *testing.T) {
	for size := 900; size < 1300; size += 13 {
		p := newPair(t, nil)
		var ids []uint64
		for range 60 {
			id, err := p.client.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			if n, err := p.client.StreamSend(id, make([]byte, size), true); n != size || err != nil {
				t.Fatalf("%d bytes were taken: %v", n, err)
			}
			ids = append(ids, id)
		}
		buf := make([]byte, 1<<16)
		for range 2000 {
			for sent := p.client.Send(p.now, buf); sent.N > 0; sent = p.client.Send(p.now, buf) {
				if ends := sent.N % sent.SegSize; p.client.wantsApp() && (ends != 0 || sent.SegSize < p.client.MaxUDPPayload()-shortBy) {
					t.Errorf("messages of %d bytes: a train of %d bytes in datagrams of %d, and more is to be sent", size, sent.N, sent.SegSize)
				}
				p.server.Recv(p.now, Train{Buf: buf[:sent.N], SegSize: sent.SegSize, Local: sent.Remote, Remote: sent.Local})
			}
			for ack := p.server.Send(p.now, buf); ack.N > 0; ack = p.server.Send(p.now, buf) {
				p.client.Recv(p.now, Train{Buf: buf[:ack.N], SegSize: ack.SegSize, Local: ack.Remote, Remote: ack.Local})
			}
			if p.now = p.now.Add(time.Millisecond); !p.client.wantsApp() {
				break
			}
			p.client.OnTimeout(p.now)
			p.server.OnTimeout(p.now)
		}
		for _, id := range ids {
			if n, fin, err := p.server.StreamRecv(id, make([]byte, size+1)); n != size || !fin || err != nil {
				t.Fatalf("messages of %d bytes: stream %d has %d bytes, end %v: %v", size, id, n, fin, err)
			}
		}
	}
}

// A peer that is given trains whole by its kernel, and has no room for them, loses each: what a probe timeout sends reaches it, since each probe
// leaves alone.
func TestTrainsAreLostWhole(t *testing.T) {
	t.Run("handshake, and 100 kB each way", func(t *testing.T) {
		p := startPair(t, 1<<16, nil)
		p.loses = true
		p.run(func() bool { return p.client.IsEstablished() && p.server.IsEstablished() })
		for _, ends := range [][2]*Conn{{p.client, p.server}, {p.server, p.client}} {
			id, err := ends[0].OpenUniStream()
			if err != nil {
				t.Fatal(err)
			}
			const size = 100_000
			if n, err := ends[0].StreamSend(id, make([]byte, size), true); n != size || err != nil {
				t.Fatal(n, err)
			}
			got, buf := 0, make([]byte, size)
			p.run(func() bool {
				n, _, _ := ends[1].StreamRecv(id, buf)
				got += n
				return got == size
			})
		}
	})
	t.Run("a client's first flight", func(t *testing.T) {
		p := startPair(t, 1<<16, nil)
		at, ok := p.client.Timeout()
		if !ok {
			t.Fatal("no timer is set")
		}
		p.client.OnTimeout(at)
		n := 0
		for out := p.client.Send(at, p.buf); out.N > 0; out = p.client.Send(at, p.buf) {
			if n++; out.SegSize != out.N {
				t.Errorf("train %d has %d bytes, in datagrams of %d", n, out.N, out.SegSize)
			}
		}
		if n != 2 { // ClientHello with X25519MLKEM768 takes as many
			t.Errorf("%d trains are sent, want 2", n)
		}
	})
}
