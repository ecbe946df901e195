package quic

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// scripted is the peer of a Conn under test. It has TLS (Go's own, so that two implementations meet), packet protection
// and nothing else: what it sends is what the test says, in whichever packet, and what it receives is kept frame by frame
// until the test has said that it wanted it.
type scripted struct {
	t      testing.TB
	conn   *Conn // under test
	client bool  // conn is the client, the peer the server
	now    time.Time

	local, remote netip.AddrPort // the addresses of conn and of the peer

	cfg       *Config           // conn's
	tlsConfig *tls.Config       // the peer's
	params    map[uint64][]byte // the peer's transport parameters
	mutate    func(level tls.QUICEncryptionLevel, data []byte) []byte
	srcID     []byte // the peer's connection ID
	dstID     []byte // conn's
	origDstID []byte // the Destination Connection ID of the client's first Initial packet, or its first after Retry
	token     []byte // of that packet

	connectToken []byte              // that conn is given to begin with
	version      uint32              // of the peer's packets: Version1, or that of the client's first
	secrets      uint32              // the version that the secrets of TLS are for; 0: the same
	connect      ConnectParams       // what else it is, as a client
	beforeFirst  func(*Conn)         // is called before conn, a client, sends its first packet
	context      *handshake.Context  // of conn, as a server; nil: one of its own
	onTLSEvent   func(tls.QUICEvent) // is told what the peer's TLS says, if it asks for that

	tls       *tls.QUICConn
	complete  bool // the peer's TLS is
	peerTP    []byte
	keys      *protect.Keys
	phase     bool // the key phase that the peer sends with
	nextPN    [3]int64
	largest   [3]int64
	received  [3]ranges.Set // packet numbers of conn
	cryptoOut [4][]byte     // handshake bytes to send
	cryptoOff [4]uint64     // of cryptoOut
	cryptoIn  [4]uint64     // bytes received in order

	lossy     bool // what conn sends may not have arrived
	got       []gotFrame
	ignored   map[uint64]bool
	datagrams int // received from conn
	farewells int // trains that a closed conn sent
	lastSize  int // of the last datagram from conn, in bytes
	lastTo    netip.AddrPort
	lastFrom  netip.AddrPort
	marked    int      // datagrams from conn with ECT(0)
	bytes     int      // of all datagrams from conn
	events    []Event  // of conn, but for those that the driver answers
	nextSeq   uint64   // of connection IDs issued to conn
	retired   []uint64 // of RetireConnectionID
	spins     []bool   // the spin bits of the 1-RTT packets that conn sent

	preferred   *IssuedConnID // conn's
	tokensAsked int           // tokens that conn asked the Endpoint for
}

// gotFrame is a frame that conn sent.
type gotFrame struct {
	slot     protect.Slot
	pn       int64
	typ      uint64
	raw      []byte
	datagram int            // counted from 1
	size     int            // of the datagram, in bytes
	to       netip.AddrPort // where it was sent
	from     netip.AddrPort // the local address that it was sent from
	dstID    string         // the Destination Connection ID of a 1-RTT packet
}

func (f gotFrame) String() string {
	return fmt.Sprintf("frame 0x%x in packet %d of level %d (%x)", f.typ, f.pn, f.slot, f.raw[:min(len(f.raw), 40)])
}

type scriptedOption func(p *scripted)

var scriptedEpoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

const scriptedName = "server.test"

var scriptedCert = sync.OnceValue(func() tls.Certificate {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: scriptedName}, DNSNames: []string{scriptedName},
		NotBefore: scriptedEpoch.Add(-time.Hour), NotAfter: scriptedEpoch.Add(24 * 365 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func newScripted(t testing.TB, client bool, options []scriptedOption) *scripted {
	roots := x509.NewCertPool()
	roots.AddCert(scriptedCert().Leaf)
	config := func() *tls.Config {
		return &tls.Config{
			Certificates: []tls.Certificate{scriptedCert()}, RootCAs: roots, ServerName: scriptedName,
			NextProtos: []string{"scripted"}, CurvePreferences: []tls.CurveID{tls.X25519}, MinVersion: tls.VersionTLS13,
			Time: func() time.Time { return scriptedEpoch },
		}
	}
	p := &scripted{
		t: t, client: client, now: scriptedEpoch,
		local: netip.MustParseAddrPort("192.0.2.1:443"), remote: netip.MustParseAddrPort("192.0.2.2:50000"),
		cfg:       &Config{TLS: config(), Rand: rand.NewChaCha8([32]byte{1}), DisablePMTUD: true},
		tlsConfig: config(),
		srcID:     []byte("peer-cid"), origDstID: []byte("first-dcid"), keys: protect.NewKeys(),
		largest: [3]int64{-1, -1, -1}, ignored: map[uint64]bool{wire.FramePadding: true, wire.FrameAck: true},
		nextSeq: 1, version: Version1,
		params: map[uint64][]byte{
			0x04: varint(1 << 20), 0x05: varint(1 << 18), 0x06: varint(1 << 18), 0x07: varint(1 << 18),
			0x08: varint(100), 0x09: varint(100),
		},
	}
	t.Cleanup(p.keys.Release)
	for _, o := range options {
		o(p)
	}
	return p
}

// newScriptedClient returns a client that plays against a server under test. Its ClientHello is ready and not yet sent.
func newScriptedClient(t testing.TB, options ...scriptedOption) *scripted {
	t.Helper()
	p := newScripted(t, false, options)
	p.defaultParam(0x0f, p.srcID)
	var params AcceptParams
	params.SrcConnID, _ = MakeConnID([]byte("conn-cid"))
	params.PeerConnID, _ = MakeConnID(p.srcID)
	params.OrigDstConnID, _ = MakeConnID(p.origDstID)
	params.ClientDstConnID = params.OrigDstConnID
	params.Local, params.Remote, params.TLS = p.local, p.remote, p.context
	params.Preferred = p.preferred
	conn, err := Accept(p.now, p.cfg, params)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	p.conn = conn
	p.dstID = p.origDstID
	p.installInitial()
	p.startTLS(tls.QUICClient(&tls.QUICConfig{TLSConfig: p.tlsConfig}))
	return p
}

// newScriptedServer returns a server that plays against a client under test, whose first Initial packet it has received,
// and its answer is ready and not yet sent.
func newScriptedServer(t testing.TB, options ...scriptedOption) *scripted {
	t.Helper()
	p := newScripted(t, true, options)
	params := p.connect
	params.ServerName, params.Local, params.Remote, params.Token = scriptedName, p.local, p.remote, p.connectToken
	conn, err := Connect(p.now, p.cfg, params)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	p.conn = conn
	if p.beforeFirst != nil {
		p.answer()
		p.beforeFirst(conn)
	}
	p.drain() // without keys the datagram is kept
	return p
}

// adopt has the scripted server learn the client's connection IDs from its first Initial packet, or its first one after
// Retry.
func (p *scripted) adopt(h wire.LongHeader) {
	p.t.Helper()
	if h.Type != wire.Initial {
		p.t.Fatalf("the client's first packet is of type %d", h.Type)
	}
	p.version = h.Version
	p.defaultParam(0x00, bytes.Clone(h.DstConnID))
	p.origDstID, p.dstID, p.token = bytes.Clone(h.DstConnID), bytes.Clone(h.SrcConnID), bytes.Clone(h.Token)
	p.installInitial()
	if p.secrets != 0 {
		p.must(p.keys.SetVersion(p.secrets))
	}
	p.defaultParam(0x0f, p.srcID)
	p.startTLS(tls.QUICServer(&tls.QUICConfig{TLSConfig: p.tlsConfig, EnableSessionEvents: p.onTLSEvent != nil}))
}

func (p *scripted) defaultParam(id uint64, value []byte) {
	if _, ok := p.params[id]; !ok {
		p.params[id] = value
	}
}

func (p *scripted) installInitial() {
	if err := errors.Join(p.keys.SetVersion(p.version), p.keys.InstallInitial(p.version, p.origDstID, !p.client)); err != nil {
		p.t.Fatal(err)
	}
}

// TLS.

func (p *scripted) startTLS(conn *tls.QUICConn) {
	p.tls = conn
	p.t.Cleanup(func() { conn.Close() })
	conn.SetTransportParameters(encodeParams(p.params))
	if err := conn.Start(context.Background()); err != nil {
		p.t.Fatal(err)
	}
	p.pumpTLS()
}

func (p *scripted) pumpTLS() {
	for {
		ev := p.tls.NextEvent()
		if p.onTLSEvent != nil {
			p.onTLSEvent(ev)
		}
		switch ev.Kind {
		case tls.QUICNoEvent:
			return
		case tls.QUICSetReadSecret:
			p.must(p.keys.InstallRead(protect.Slot(ev.Level), protect.Suite(ev.Suite), ev.Data))
		case tls.QUICSetWriteSecret:
			p.must(p.keys.InstallWrite(protect.Slot(ev.Level), protect.Suite(ev.Suite), ev.Data))
		case tls.QUICWriteData:
			data := bytes.Clone(ev.Data)
			if p.mutate != nil {
				data = p.mutate(ev.Level, data)
			}
			p.cryptoOut[ev.Level] = append(p.cryptoOut[ev.Level], data...)
		case tls.QUICTransportParameters:
			p.peerTP = bytes.Clone(ev.Data)
		case tls.QUICHandshakeDone:
			p.complete = true
		}
	}
}

func (p *scripted) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// onCrypto feeds what conn sent to TLS. After the handshake it is session tickets, which nobody here wants.
func (p *scripted) onCrypto(slot protect.Slot, raw []byte) {
	off, data, n := wire.ConsumeCrypto(raw)
	if n < 0 {
		p.t.Fatalf("malformed CRYPTO frame %x", raw)
	}
	in := &p.cryptoIn[slot]
	if off > *in && p.lossy {
		return
	}
	if off > *in {
		p.t.Fatalf("CRYPTO at level %d from offset %d, want at most %d", slot, off, *in)
	}
	if off+uint64(len(data)) <= *in {
		return
	}
	data = data[*in-off:]
	*in += uint64(len(data))
	if slot == protect.OneRTT && p.tlsConfig.ClientSessionCache == nil {
		return
	}
	if err := p.tls.HandleData(tls.QUICEncryptionLevel(slot), data); err != nil {
		p.t.Fatalf("the peer's TLS: %v", err)
	}
	p.pumpTLS()
}

// Sending.

// packet is one packet to send.
type scriptedPacket struct {
	slot     protect.Slot
	frames   [][]byte
	reserved byte   // bits to set in the first byte
	clear    byte   // bits of it to clear
	srcID    []byte // of a long header, if another than the peer's
	dstID    []byte // if another than conn's
	token    []byte // of an Initial packet
	unpadded bool   // an Initial packet that is not padded to 1,200 bytes
	flip     bool   // the key phase bit is not that of the key
}

// send sends packets in one datagram, and receives what conn answers at once.
func (p *scripted) send(packets ...scriptedPacket) {
	p.t.Helper()
	p.recvFrom(p.remote, p.encode(packets...))
	p.drain()
}

func (p *scripted) recvFrom(remote netip.AddrPort, datagram []byte) {
	p.t.Helper()
	p.recvAt(p.local, remote, datagram)
}

func (p *scripted) recvAt(local, remote netip.AddrPort, datagram []byte) {
	p.t.Helper()
	p.conn.Recv(p.now, Train{Buf: datagram, SegSize: len(datagram), Local: local, Remote: remote})
	p.check()
}

// check asserts that conn's state does not contradict itself.
func (p *scripted) check() {
	p.t.Helper()
	if err := p.conn.Check(); err != nil {
		p.t.Error(err)
	}
}

func (p *scripted) encode(packets ...scriptedPacket) []byte {
	p.t.Helper()
	var datagram []byte
	pad := 0
	for _, pkt := range packets {
		if pkt.slot == protect.Initial && !pkt.unpadded {
			pad = minDatagramSize
		}
	}
	for i, pkt := range packets {
		n := 0
		if i == len(packets)-1 {
			n = pad
		}
		datagram = p.appendPacket(datagram, pkt, n)
	}
	return datagram
}

var scriptedTypes = [...]wire.PacketType{
	protect.Initial: wire.Initial, protect.ZeroRTT: wire.ZeroRTT, protect.Handshake: wire.Handshake,
}

func spaceOf(slot protect.Slot) int { return [...]int{0, 2, 1, 2}[slot] }

// appendPacket protects a packet and pads the datagram in it to padTo bytes.
func (p *scripted) appendPacket(b []byte, pkt scriptedPacket, padTo int) []byte {
	p.t.Helper()
	if !p.keys.HasWrite(pkt.slot) {
		p.t.Fatalf("the peer has no keys to send at level %d", pkt.slot)
	}
	srcID, dstID := p.srcID, p.dstID
	if pkt.srcID != nil {
		srcID = pkt.srcID
	}
	if pkt.dstID != nil {
		dstID = pkt.dstID
	}
	pn := p.nextPN[spaceOf(pkt.slot)]
	p.nextPN[spaceOf(pkt.slot)]++
	start, lengthOff, pnOff := len(b), 0, 0
	const pnLen = 4
	if pkt.slot == protect.OneRTT {
		b, pnOff = wire.AppendShortHeader(b, dstID, false, p.phase != pkt.flip, pn, pnLen)
	} else {
		b, lengthOff, pnOff = wire.AppendLongHeader(b, scriptedTypes[pkt.slot], p.version, dstID, srcID, pkt.token, pn,
			pnLen)
	}
	b[start] = b[start]&^pkt.clear | pkt.reserved
	for _, f := range pkt.frames {
		b = append(b, f...)
	}
	for len(b)+protect.Overhead < padTo {
		b = append(b, 0)
	}
	b = append(b, make([]byte, protect.Overhead)...)
	if pkt.slot != protect.OneRTT {
		wire.PutVarint2(b[lengthOff:], uint64(len(b)-pnOff))
	}
	gen := uint32(0)
	if pkt.slot == protect.OneRTT {
		gen = p.keys.WriteGen()
	}
	if !p.keys.Seal(b, []protect.SealDesc{{Off: uint32(start), Len: uint32(len(b) - start), PNOff: uint16(pnOff - start),
		PNLen: pnLen, PN: pn, Slot: pkt.slot, Gen: gen}}) {
		p.t.Fatal("the peer could not seal")
	}
	return b
}

// sendFrames sends frames in one packet.
func (p *scripted) sendFrames(slot protect.Slot, frames ...[]byte) {
	p.t.Helper()
	p.send(scriptedPacket{slot: slot, frames: frames})
}

// takeCrypto returns a CRYPTO frame with all handshake bytes of a level that are to be sent.
func (p *scripted) takeCrypto(slot protect.Slot) []byte {
	f := cryptoFrame(p.cryptoOff[slot], p.cryptoOut[slot])
	p.cryptoOff[slot] += uint64(len(p.cryptoOut[slot]))
	p.cryptoOut[slot] = nil
	return f
}

// ackReceived is an ACK frame for all that came from conn, or nothing if nothing came.
func (p *scripted) ackReceived(slot protect.Slot) []byte {
	received := p.received[spaceOf(slot)]
	if len(received) == 0 {
		return nil
	}
	b, ok := wire.AppendAck(nil, received, 0, nil, 1000)
	if !ok {
		p.t.Fatal("the peer's ACK frame is too long")
	}
	return b
}

// sendTLS sends what TLS wants to have sent.
func (p *scripted) sendTLS() {
	p.t.Helper()
	var packets []scriptedPacket
	for _, slot := range []protect.Slot{protect.Initial, protect.Handshake, protect.OneRTT} {
		if len(p.cryptoOut[slot]) == 0 {
			continue
		}
		f := p.takeCrypto(slot)
		packets = append(packets, scriptedPacket{slot: slot, frames: [][]byte{p.ackReceived(slot), f}})
	}
	if len(packets) > 0 {
		p.send(packets...)
	}
}

// handshake brings the handshake to its end on both sides and forgets the frames of it.
func (p *scripted) handshake() {
	p.t.Helper()
	for range 10 {
		p.sendTLS()
		if p.complete && p.client && len(p.cryptoOut[protect.OneRTT]) == 0 {
			p.sendFrames(protect.OneRTT, frame(wire.FrameHandshakeDone))
		}
		if p.complete && p.conn.IsEstablished() {
			if p.largest[2] >= 0 {
				p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
			}
			p.got = nil
			return
		}
	}
	p.t.Fatalf("the handshake did not complete: peer %v, conn %v (%v), got %v", p.complete, p.conn.IsEstablished(),
		p.conn.Err(), p.got)
}

// advance lets time pass until conn's timer fires, once, and receives what it sends then.
func (p *scripted) advance() time.Duration {
	p.t.Helper()
	at, ok := p.conn.Timeout()
	if !ok {
		p.t.Fatal("conn has no timer")
	}
	d := max(at.Sub(p.now), 0)
	p.now = p.now.Add(d)
	p.conn.OnTimeout(p.now)
	p.check()
	p.drain()
	p.check()
	return d
}

// Receiving.

// drain answers conn's events and takes apart what it sends.
func (p *scripted) drain() {
	p.t.Helper()
	buf := make([]byte, 65535)
	for range 1000 {
		p.answer()
		t := p.conn.Send(p.now, buf)
		if t.N == 0 {
			return
		}
		if p.conn.IsClosed() {
			p.farewells++
		}
		if t.SendAt.After(p.now) {
			p.now = t.SendAt
		}
		for train := buf[:t.N]; len(train) > 0; {
			n := min(t.SegSize, len(train))
			p.datagrams++
			p.lastSize, p.lastTo, p.lastFrom = n, t.Remote, t.Local
			if t.ECN == ECT0 {
				p.marked++
			}
			p.bytes += n
			p.receive(train[:n])
			train = train[n:]
		}
	}
	p.t.Fatal("Send never ends")
}

func (p *scripted) answer() {
	for {
		ev, ok := p.conn.NextEvent()
		if !ok {
			return
		}
		switch ev.Kind {
		case EventAsk:
			ev.Ask.Run()
			p.conn.Answer(ev.Ask)
		case EventEndpoint:
			p.conn.HandleReply(p.now, p.issue(*ev.Endpoint))
		default:
			p.events = append(p.events, ev)
		}
	}
}

// issue plays the Endpoint.
func (p *scripted) issue(ev EndpointEvent) EndpointReply {
	var reply EndpointReply
	if ev.Kind == NeedToken {
		p.tokensAsked++
		reply.Token = []byte("token for " + ev.Remote.String())
	}
	if ev.Kind == RetireConnectionID {
		p.retired = append(p.retired, ev.Seq)
	}
	if ev.Kind == NeedConnectionIDs {
		for range ev.Count {
			id, _ := MakeConnID(fmt.Appendf(nil, "cid-%04d", p.nextSeq))
			reply.IDs = append(reply.IDs, IssuedConnID{ID: id, Seq: p.nextSeq, ResetToken: [16]byte{0: byte(p.nextSeq)}})
			p.nextSeq++
		}
	}
	return reply
}

// receive opens every packet of a datagram and keeps its frames.
func (p *scripted) receive(datagram []byte) {
	p.t.Helper()
	for b := datagram; len(b) > 0; {
		d := protect.OpenDesc{Len: uint32(len(b)), PNOff: uint16(1 + len(p.srcID)), Slot: protect.OneRTT}
		if wire.IsLongHeader(b[0]) {
			h, n := wire.ConsumeLongHeader(b)
			if n < 0 {
				p.t.Fatalf("conn sent a malformed long header: %x", b[:min(len(b), 64)])
			}
			if p.tls == nil {
				p.adopt(h)
			}
			d.Len, d.PNOff = uint32(n), uint16(h.PNOffset)
			switch h.Type {
			case wire.Initial:
				d.Slot = protect.Initial
			case wire.Handshake:
				d.Slot = protect.Handshake
			case wire.ZeroRTT:
				d.Slot = protect.ZeroRTT
			default:
				p.t.Fatalf("conn sent a packet of type %d", h.Type)
			}
			p.dstID = bytes.Clone(h.SrcConnID)
		}
		p.open(b[:d.Len], d)
		b = b[d.Len:]
	}
}

func (p *scripted) open(packet []byte, d protect.OpenDesc) {
	p.t.Helper()
	space := spaceOf(d.Slot)
	d.Largest = p.largest[space]
	ds := []protect.OpenDesc{d}
	p.keys.Open(packet, ds)
	d = ds[0]
	if d.Status == protect.NoKey {
		return // a level that the peer has not come to
	}
	if d.Status != protect.Opened && p.lossy {
		return // its number is not known, after many that were not looked at
	}
	if d.Status != protect.Opened {
		p.t.Fatalf("a packet of conn at level %d does not open: status %d", d.Slot, d.Status)
	}
	if d.Slot == protect.OneRTT {
		p.spins = append(p.spins, wire.SpinBit(d.First))
	}
	// The spin bit is random (RFC 9000, section 17.4), and the fixed bit set unless the peer has announced grease_quic_bit (RFC 9287).
	fixed := byte(0x40)
	if p.params[0x2ab2] != nil {
		fixed = d.First & 0x40
	}
	if d.Slot != protect.OneRTT && d.First&0x4c != fixed || d.Slot == protect.OneRTT && d.First&0x58 != fixed {
		p.t.Errorf("level %d: conn sent the first byte %#x", d.Slot, d.First)
	}
	p.largest[space] = max(p.largest[space], d.PN)
	p.received[space].Add(d.PN, d.PN+1)
	if d.Slot == protect.OneRTT && d.Gen > p.keys.ReadGen() {
		p.must(p.keys.AdvanceRead(d.PN))
	}
	payload := packet[int(d.PNOff)+int(d.PNLen) : len(packet)-protect.Overhead]
	if len(payload) == 0 {
		p.t.Error("conn sent a packet without frames")
	}
	for len(payload) > 0 {
		typ, n := consumeAnyFrame(payload)
		if n < 0 {
			p.t.Fatalf("conn sent a malformed frame: %x", payload[:min(len(payload), 64)])
		}
		f := gotFrame{slot: d.Slot, pn: d.PN, typ: typ, raw: bytes.Clone(payload[:n]), datagram: p.datagrams, size: p.lastSize,
			to: p.lastTo, from: p.lastFrom}
		if d.Slot == protect.OneRTT {
			f.dstID = string(packet[1:d.PNOff])
		}
		if typ == wire.FrameCrypto {
			p.onCrypto(d.Slot, f.raw)
		}
		p.got = append(p.got, f)
		payload = payload[n:]
	}
}

// Asserting.

// next takes the next frame that is not ignored.
func (p *scripted) next() (gotFrame, bool) {
	for len(p.got) > 0 {
		f := p.got[0]
		p.got = p.got[1:]
		if !p.ignored[f.typ] {
			return f, true
		}
	}
	return gotFrame{}, false
}

// wantFrame asserts that the next frame at that level is this one, byte for byte.
func (p *scripted) wantFrame(reason string, slot protect.Slot, want []byte) gotFrame {
	p.t.Helper()
	f, ok := p.next()
	if !ok {
		p.t.Fatalf("%s: nothing came, want %x", reason, want)
	}
	if f.slot != slot || !bytes.Equal(f.raw, want) {
		p.t.Fatalf("%s: got %v, want %x at level %d", reason, f, want, slot)
	}
	return f
}

// wantType asserts that the next frame has that type, and returns it.
func (p *scripted) wantType(reason string, slot protect.Slot, typ uint64) gotFrame {
	p.t.Helper()
	f, ok := p.next()
	if !ok {
		p.t.Fatalf("%s: nothing came, want a frame 0x%x", reason, typ)
	}
	if f.slot != slot || f.typ != typ {
		p.t.Fatalf("%s: got %v, want type 0x%x at level %d", reason, f, typ, slot)
	}
	return f
}

// wantStream asserts that the next frame carries data of a stream.
func (p *scripted) wantStream(reason string, id, off uint64, data string, fin bool) {
	p.t.Helper()
	f, ok := p.next()
	if !ok {
		p.t.Fatalf("%s: nothing came, want %q of stream %d", reason, data, id)
	}
	if f.typ < wire.FrameStream || f.typ > wire.FrameStream+7 {
		p.t.Fatalf("%s: got %v, want %q of stream %d", reason, f, data, id)
	}
	gotID, gotOff, gotFin, gotData, _ := consumeStreamFrame(f.raw)
	if gotID != id || gotOff != off || gotFin != fin || string(gotData) != data {
		p.t.Fatalf("%s: got stream %d, offset %d, %q, fin %v; want stream %d, offset %d, %q, fin %v", reason, gotID, gotOff,
			gotData, gotFin, id, off, data, fin)
	}
}

// wantIdle asserts that nothing came but frames that are ignored.
func (p *scripted) wantIdle(reason string) {
	p.t.Helper()
	p.drain()
	if f, ok := p.next(); ok {
		p.t.Fatalf("%s: got %v, want nothing", reason, f)
	}
	if p.conn.IsClosed() {
		p.t.Fatalf("%s: closed: %v", reason, p.conn.Err())
	}
}

// wantClose asserts that conn closed the connection with CONNECTION_CLOSE of type 0x1c and exactly this code, said so in
// every packet that it closed with, and tells the same to its application.
func (p *scripted) wantClose(reason string, code TransportErrorCode) {
	p.t.Helper()
	p.drain()
	closes := 0
	for _, f := range p.got {
		if f.typ != wire.FrameConnectionClose && f.typ != wire.FrameConnectionCloseApp {
			continue
		}
		closes++
		c, n := wire.ConsumeConnectionClose(f.raw)
		if n < 0 || c.App || TransportErrorCode(c.Code) != code {
			p.t.Errorf("%s: closed at level %d with application=%v %v %q, want %v", reason, f.slot, c.App,
				TransportErrorCode(c.Code), c.Reason, code)
		}
	}
	if closes == 0 {
		p.t.Errorf("%s: no CONNECTION_CLOSE came, want %v; got %v", reason, code, p.got)
	}
	p.got = nil
	var err *TransportError
	if !errors.As(p.conn.Err(), &err) || err.Code != code || err.Remote {
		p.t.Errorf("%s: Err is %v, want a local %v", reason, p.conn.Err(), code)
	}
}
