package quic

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// initialSpec is a client's Initial packet, made by hand; its zero value is an acceptable one.
type initialSpec struct {
	dst     string // default "first-dcid"
	src     string // default "peer-cid"
	token   string
	version uint32 // default 1
	size    int    // of the datagram, default 1,200 bytes
	keyDst  string // what the keys are made from, default dst
	frames  string // default PING
	length  int    // of the packet, default the whole datagram
	empty   bool   // dst and src are meant to be empty
	pn      int64
	clear   byte // bits of the first byte
}

func (s initialSpec) datagram(t testing.TB) []byte {
	t.Helper()
	if !s.empty {
		s.dst, s.src = or(s.dst, "first-dcid"), or(s.src, "peer-cid")
	}
	s.keyDst, s.version, s.size = or(s.keyDst, s.dst), or(s.version, wire.Version1), or(s.size, minDatagramSize)
	s.length = or(s.length, s.size)
	const pnLen = 4
	b, lengthOff, pnOff := wire.AppendLongHeader(nil, wire.Initial, s.version, []byte(s.dst), []byte(s.src), []byte(s.token), s.pn,
		pnLen)
	b[0] &^= s.clear
	b = append(b, or(s.frames, "\x01")...)
	b = append(b, make([]byte, max(s.length-len(b), protect.Overhead))...)
	wire.PutVarint2(b[lengthOff:], uint64(len(b)-pnOff))
	if len(s.keyDst) <= maxConnIDLen {
		keys := protect.NewKeys()
		defer keys.Release()
		if err := keys.InstallInitial(version1or2(s.version), []byte(s.keyDst), true); err != nil {
			t.Fatal(err)
		}
		if !keys.Seal(b, []protect.SealDesc{{PN: s.pn, Len: uint32(len(b)), PNOff: uint16(pnOff), PNLen: pnLen}}) {
			t.Fatal("the packet could not be sealed")
		}
	}
	return append(b, make([]byte, max(s.size-len(b), 0))...)
}

// version1or2 is a version that there are keys for, whose keys packets of other versions have here too.
func version1or2(version uint32) uint32 {
	if version == Version2 {
		return Version2
	}
	return Version1
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// accepted has a server accept the connection of an Initial packet from clientHost.
func accepted(t testing.TB, server *testHost, s initialSpec) *Conn {
	t.Helper()
	r, _ := server.one(s.datagram(t), clientHost)
	if !r.New {
		t.Fatalf("the connection was not accepted: %+v", r)
	}
	return r.Conn
}

// wantRefused asserts that an answer is an Initial packet with CONNECTION_CLOSE of that code, for a client that sent an Initial
// packet from src to dst.
func wantRefused(t *testing.T, name string, answer []byte, dst, src string, code TransportErrorCode) {
	t.Helper()
	h, n := wire.ConsumeLongHeader(answer)
	if n != len(answer) || h.Type != wire.Initial || string(h.DstConnID) != src || len(h.Token) > 0 {
		t.Errorf("%s: the answer is %x, want an Initial packet to %q", name, answer, src)
		return
	}
	keys := protect.NewKeys()
	defer keys.Release()
	if err := keys.InstallInitial(wire.Version1, []byte(dst), true); err != nil {
		t.Fatal(err)
	}
	b := bytes.Clone(answer)
	d := []protect.OpenDesc{{Len: uint32(n), PNOff: uint16(h.PNOffset), Slot: protect.Initial, Largest: -1}}
	keys.Open(b, d)
	if d[0].Status != protect.Opened || d[0].First&0x0c != 0 {
		t.Errorf("%s: the answer does not open", name)
		return
	}
	payload := b[h.PNOffset+int(d[0].PNLen) : n-protect.Overhead]
	f, m := wire.ConsumeConnectionClose(payload)
	if m != len(payload) || f.App || TransportErrorCode(f.Code) != code {
		t.Errorf("%s: the answer holds %x, want CONNECTION_CLOSE with %v", name, payload, code)
	}
}

// RFC 9000, section 6; attack A4.
func TestAttackA4VersionNegotiation(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), 255))
	negotiation := wire.AppendVersionNegotiation(nil, []byte("first-dcid"), []byte("peer-cid"), make([]uint32, 300), 0)
	probe := append([]byte("\xc0WAIT\x00\x00"), make([]byte, 1200)...) // of the interop runner
	for _, c := range []struct {
		name     string
		datagram []byte
		dst, src string
		answered bool
	}{
		{"1,200 bytes", initialSpec{version: 0xff00001d}.datagram(t), "first-dcid", "peer-cid", true},
		{"1,199 bytes", initialSpec{version: 0xff00001d, size: 1199}.datagram(t), "", "", false},
		{"reserved version", initialSpec{version: 0x1a2a3a4a}.datagram(t), "first-dcid", "peer-cid", true},
		{"connection IDs of 255 bytes", initialSpec{version: 2, dst: long, src: long}.datagram(t), long, long, true},
		{"empty connection IDs, interop", probe, "", "", true},
		{"short connection ID, decided before section 7.2", initialSpec{version: 2, dst: "x"}.datagram(t), "x", "peer-cid", true},
		{"in answer to Version Negotiation, section 6.1", negotiation, "", "", false},
		{"cut short", []byte{0xc0, 1, 2, 3, 4, 9}, "", "", false},
		{"connection ID longer than the datagram", append([]byte{0xc0, 1, 2, 3, 4, 255}, make([]byte, 250)...), "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newNet(t)
			for _, n := range []int{0, 8} {
				server := w.host(serverHost, endpointConfig(1, idsOf(n)))
				r, answer := server.one(c.datagram, clientHost)
				wantEmpty(t, "the server", server.Endpoint)
				if !c.answered {
					if answer != nil {
						t.Errorf("answered with %x", answer)
					}
					continue
				}
				dst, src, versions, n := wire.ConsumeVersionNegotiation(answer)
				if n < 0 || string(dst) != c.src || string(src) != c.dst || r.Conn != nil {
					t.Fatalf("answered with %x", answer)
				}
				if !slices.Contains(versions, Version1) || !slices.Contains(versions, Version2) || !slices.ContainsFunc(versions, func(v uint32) bool {
					return v&0x0f0f0f0f == 0x0a0a0a0a
				}) {
					t.Errorf("the versions are %x, want versions 1 and 2 and a reserved one", versions)
				}
			}
			client := w.host(clientHost, nil)
			client.connect(endpointConfig(2), ConnectParams{})
			if _, answer := client.one(c.datagram, serverHost); answer != nil {
				t.Error("a client's endpoint answered")
			}
		})
	}
}

// Conformance: what does not begin a connection of version 1 is dropped without an answer (RFC 9000, sections 5.2.2, 7.2 and
// 14.1); attacks A2, B1 and E11.
func TestStrayDropped(t *testing.T) {
	whole := initialSpec{}.datagram(t)
	edit := func(f func(b []byte)) []byte {
		b := bytes.Clone(whole)
		f(b)
		return b
	}
	for _, c := range []struct {
		name     string
		datagram []byte
	}{
		{"Initial in 1,199 bytes, s14.1", initialSpec{size: 1199}.datagram(t)},
		{"Destination Connection ID of 7 bytes, s7.2", initialSpec{dst: "seven-b"}.datagram(t)},
		{"empty connection IDs", initialSpec{empty: true}.datagram(t)},
		{"connection ID of 21 bytes, s17.2", initialSpec{dst: "123456789012345678901"}.datagram(t)},
		{"does not authenticate", edit(func(b []byte) { b[1000] ^= 1 })},
		{"keys of another connection ID", initialSpec{keyDst: "other-dcid"}.datagram(t)},
		{"0-RTT, s5.2.2", edit(func(b []byte) { b[0] = b[0]&0xcf | 0x10 })},
		{"Handshake, s5.2.2", edit(func(b []byte) { b[0] = b[0]&0xcf | 0x20 })},
		{"Retry, s17.2.5", edit(func(b []byte) { b[0] |= 0x30 })},
		{"Length past the end, E11", edit(func(b []byte) { binary.BigEndian.PutUint16(b[26:], 0x7fff) })},
		{"Length 0, E11", edit(func(b []byte) { binary.BigEndian.PutUint16(b[26:], 0x4000) })},
		{"Length below a sample, E11", edit(func(b []byte) { binary.BigEndian.PutUint16(b[26:], 0x4013) })},
		{"token length of 2^62-1, E11", edit(func(b []byte) { copy(b[25:], bytes.Repeat([]byte{0xff}, 8)) })},
		{"short header, too small for a stateless reset", []byte{0x40, 1, 2, 3}},
		{"one byte", []byte{0xc0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, retry := range []bool{false, true} {
				if retry && (c.name == "does not authenticate" || c.name == "keys of another connection ID") {
					continue // Retry does not look
				}
				w := newNet(t)
				server := w.host(serverHost, endpointConfig(1, func(c *Config) {
					c.Retry = func(netip.AddrPort) bool { return retry }
				}))
				r, answer := server.one(c.datagram, clientHost)
				if r.Conn != nil || answer != nil {
					t.Errorf("retry %v: connection %p, answer %x", retry, r.Conn, answer)
				}
				wantEmpty(t, "the server", server.Endpoint)
			}
		})
	}
	t.Run("what was edited is accepted as it was", func(t *testing.T) {
		if n := binary.BigEndian.Uint16(whole[26:]); n != 0x4000|uint16(minDatagramSize-28) || whole[25] != 0 {
			t.Fatalf("the Length field is not where the test thinks: %x", whole[:40])
		}
		w := newNet(t)
		accepted(t, w.host(serverHost, endpointConfig(1)), initialSpec{})
	})
	t.Run("client's endpoint", func(t *testing.T) {
		w := newNet(t)
		client := w.host(clientHost, nil)
		for range 2 { // before and after the first Connect
			if r, answer := client.one(whole, serverHost); r.Conn != nil || answer != nil {
				t.Errorf("an Initial packet from nowhere: connection %p, answer %x", r.Conn, answer)
			}
			client.connect(endpointConfig(1), ConnectParams{})
		}
	})
}

// Attack A2: garbage behind a small Initial packet in a datagram of full size. The connection is accepted, and what it may send
// is counted by what came.
func TestAttackA2Padding(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1))
	c := accepted(t, server, initialSpec{length: 100})
	if c.path.validated || c.path.received != minDatagramSize {
		t.Errorf("validated %v, %d bytes received", c.path.validated, c.path.received)
	}
}

// What an accepted connection is told of its client (RFC 9000, section 7.2).
func TestAccepted(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1))
	c := accepted(t, server, initialSpec{})
	h := c.hello
	if string(h.origDst.Bytes()) != "first-dcid" || h.clientDst != h.origDst || string(h.peerSrc.Bytes()) != "peer-cid" || c.retried {
		t.Errorf("the connection was told %+v", h)
	}
	id := c.SourceIDs()[0]
	if c.local.ids[0].token != server.resets.token(&id) || server.ids[id] != c {
		t.Error("its connection ID has another reset token, or does not lead to it")
	}
	if c.Stats().PacketsReceived != 1 {
		t.Error("the packet that it was made for did not reach it whole")
	}
	if c.RemoteAddr() != clientHost || c.LocalAddr() != serverHost {
		t.Errorf("from %v to %v", c.RemoteAddr(), c.LocalAddr())
	}
}

func TestRefuse(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1, func(c *Config) { c.Retry = func(netip.AddrPort) bool { return true } }))
	token := string(server.tokens.makeNew(w.now, Version1, clientHost))
	c := accepted(t, server, initialSpec{dst: "dcid-no-1", token: token})
	server.Refuse(true)
	_, answer := server.one(initialSpec{dst: "dcid-no-2"}.datagram(t), clientHost)
	wantRefused(t, "while refusing", answer, "dcid-no-2", "peer-cid", ConnectionRefused)
	if r, _ := server.one(initialSpec{dst: "dcid-no-1"}.datagram(t), clientHost); r.Conn != c {
		t.Error("a connection that was there before is not found")
	}
	server.Refuse(false)
	if _, answer = server.one(initialSpec{dst: "dcid-no-2"}.datagram(t), clientHost); len(answer) == 0 || answer[0]&0x30 != 0x30 {
		t.Errorf("no Retry packet after it refuses no more: %x", answer)
	}
	// A client is told by its own means.
	client := w.host(clientHost, nil)
	server.Refuse(true)
	cc := client.connect(endpointConfig(2), ConnectParams{})
	w.run(cc.IsClosed)
	if err, ok := cc.Err().(*TransportError); !ok || err.Code != ConnectionRefused || !err.Remote {
		t.Errorf("the client's error is %v", cc.Err())
	}
}

// Attack B2: Retry and Version Negotiation allocate nothing and leave nothing; refusing leaves nothing.
func TestAttackB2StrayAllocations(t *testing.T) {
	w := newNet(t)
	reply := make([]byte, replyRoom)
	for _, c := range []struct {
		name     string
		cfg      *Config
		datagram []byte
	}{
		{"Retry", endpointConfig(1, retryAlways), initialSpec{}.datagram(t)},
		{"Retry, empty IDs", endpointConfig(1, retryAlways, idsOf(0)), initialSpec{}.datagram(t)},
		{"Version Negotiation", endpointConfig(1), initialSpec{version: 2}.datagram(t)},
		{"stateless reset", endpointConfig(1), shortPacket(ConnID{}, 100)},
		{"invalid token", endpointConfig(1), initialSpec{
			token: string(append([]byte{byte(retryToken)}, make([]byte, retryTokenLen-1)...))}.datagram(t)},
	} {
		server := w.host(serverHost, c.cfg)
		tr := Train{Buf: c.datagram, SegSize: len(c.datagram), Local: serverHost, Remote: clientHost}
		if got := testing.AllocsPerRun(200, func() {
			if r := server.Route(w.now, tr, reply); r.Reply == 0 {
				t.Fatalf("%s: no answer", c.name)
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations", c.name, got)
		}
		wantEmpty(t, c.name, server.Endpoint)
	}
}

// Attacks B1 and E15: datagrams that come to nothing, each with another connection ID, leave nothing.
func TestAttackB1E15StrayFlood(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1, func(c *Config) { c.MaxHandshakes = retryAbove }))
	accepted(t, server, initialSpec{dst: "dcid-no-0"})
	junk := initialSpec{keyDst: "something"}.datagram(t)
	dst := junk[6:16]
	reply := make([]byte, replyRoom)
	var before, after runtime.MemStats
	flood := func(n int) {
		for i := range n {
			binary.BigEndian.PutUint32(dst, uint32(i))
			tr := Train{Buf: junk, SegSize: len(junk), Local: serverHost, Remote: clientHost}
			if r := server.Route(w.now, tr, reply); r.Conn != nil {
				t.Fatal("a connection came of it")
			}
		}
	}
	flood(100)
	runtime.GC()
	runtime.ReadMemStats(&before)
	flood(20000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<10 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if server.Conns() != 1 || len(server.firsts) != 1 || len(server.ids) != 1 {
		t.Errorf("%d connections, %d first flights, %d IDs", server.Conns(), len(server.firsts), len(server.ids))
	}
}

// With too little room for an answer there is none.
func TestReplyRoom(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1, retryAlways))
	for _, d := range [][]byte{initialSpec{}.datagram(t), initialSpec{version: 2}.datagram(t), shortPacket(ConnID{}, 100)} {
		for _, reply := range [][]byte{nil, make([]byte, 40)} {
			r := server.Route(w.now, Train{Buf: bytes.Clone(d), Local: serverHost, Remote: clientHost}, reply)
			if r.Reply != 0 || r.N != len(d) {
				t.Errorf("%+v with room for %d bytes", r, len(reply))
			}
		}
	}
}

// What it costs to see whether a client's Initial packet is authentic before anything is made for it, beside what it would cost
// to make the connection.
func BenchmarkStray(b *testing.B) {
	d := initialSpec{}.datagram(b)
	reply := make([]byte, replyRoom)
	run := func(name string, d []byte, edits ...func(*Config)) {
		b.Run(name, func(b *testing.B) {
			w := newNet(b)
			server := w.host(serverHost, endpointConfig(1, edits...))
			b.ReportAllocs()
			for b.Loop() {
				r := server.Route(w.now, Train{Buf: d, Local: serverHost, Remote: clientHost}, reply)
				if r.Conn != nil {
					server.HandleEvent(r.Conn, EndpointEvent{Kind: ConnDrained})
					r.Conn.Release()
				}
			}
		})
	}
	run("accept", d)
	run("forged", initialSpec{keyDst: "something"}.datagram(b))
	run("retry", d, retryAlways)
	run("negotiate", initialSpec{version: 2}.datagram(b))
}

// Packets that were under way when their connection ID was retired find the connection; a stateless reset would tell the peer that there is none.
// That comes when nothing can be under way any more.
func TestRetiredUnderWay(t *testing.T) {
	w := newNet(t)
	server, client := w.host(serverHost, endpointConfig(1)), w.host(clientHost, nil)
	cc := client.connect(endpointConfig(2), ConnectParams{})
	w.run(func() bool {
		return cc.HandshakeConfirmed() && !slices.ContainsFunc(server.live[0].local.ids, func(id localID) bool { return id.tell != sentNone && id.tell != sentAcked })
	})
	sc := server.live[0]
	old := slices.Clone(server.conns[sc].ids)
	id, err := cc.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	cc.StreamSend(id, []byte("under way"), true)
	buf := make([]byte, 65535)
	held := buf[:cc.Send(w.now, buf).N]
	sc.RenewConnIDs()
	w.run(func() bool { return sc.local.countLate() == len(old) })
	before := sc.Stats().PacketsReceived
	if r, answer := server.one(held, clientHost); r.Conn != sc || answer != nil || sc.Stats().PacketsReceived != before+1 {
		t.Errorf("a packet to a connection ID that was retired meanwhile leads to %p and is answered with %d bytes", r.Conn, len(answer))
	}
	if n, fin, err := sc.StreamRecv(id, buf); string(buf[:n]) != "under way" || !fin || err != nil {
		t.Errorf("%q was read, %v, %v", buf[:n], fin, err)
	}
	w.run(func() bool { return sc.local.late == nil })
	server.read(sc)
	for _, o := range old {
		if r, answer := server.one(shortPacket(o.id, 100), clientHost); r.Conn != nil || len(answer) == 0 {
			t.Error("when nothing can be under way any more a connection ID that was retired still leads to the connection")
		}
	}
}
