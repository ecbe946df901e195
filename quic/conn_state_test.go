package quic

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// newAlone connects two Conns without an Endpoint; change may change what they are made of.
func newAlone(t testing.TB, change func(client, server *Config)) *alone {
	a := &alone{t: t, now: scriptedEpoch}
	client, server := aloneConfig(1), aloneConfig(2)
	if change != nil {
		change(client, server)
	}
	var err error
	a.client, err = Connect(a.now, client, ConnectParams{Local: aloneClient, Remote: aloneServer, SrcConnID: connIDOf(8, 1)})
	a.must(err)
	a.server, err = Accept(a.now, server, AcceptParams{Local: aloneServer, Remote: aloneClient, SrcConnID: connIDOf(8, 2)})
	a.must(err)
	t.Cleanup(a.client.Release)
	t.Cleanup(a.server.Release)
	return a
}

// Who has offered short buffers learns from MaxUDPPayload what longer ones would carry, and without pacing bursts are as long as can be.
func TestShortBuffers(t *testing.T) {
	a := newAlone(t, func(client, server *Config) {
		client.DisablePMTUD, client.MaxUDPPayload, client.Pacing = true, 1472, PaceOff
	})
	a.run()
	c := a.client
	c.limitRoom(minDatagramSize)
	if c.MaxUDPPayload() != 1472 || c.Stats().MaxUDPPayload != minDatagramSize {
		t.Errorf("the payload is %d, and Stats say %d", c.MaxUDPPayload(), c.Stats().MaxUDPPayload)
	}
	if c.SendQuantum() != maxTrainBytes || a.server.SendQuantum() >= maxTrainBytes {
		t.Errorf("quanta are %d without pacing, and %d", c.SendQuantum(), a.server.SendQuantum())
	}
}

// What is asked of a connection before, in, and after its life.
func TestConnState(t *testing.T) {
	a := newAlone(t, nil)
	both := []*Conn{a.client, a.server}
	for _, c := range both {
		if c.HandshakeComplete() || c.IsDraining() || c.InEarlyData() || c.Resumed() || c.ALPN() != "" || c.PeerCertificates() != nil {
			t.Errorf("client %v: it has a state before it has begun", c.client)
		}
		if _, ok := c.PeerParams(); ok {
			t.Errorf("client %v: the peer's parameters are known before it is heard", c.client)
		}
	}
	a.run()
	a.wantWorking("a handshake")
	for _, c := range both {
		if !c.HandshakeComplete() || c.IsDraining() || c.InEarlyData() || c.Resumed() || c.ALPN() != "alone" || c.ServerName() != scriptedName {
			t.Errorf("client %v: complete %v, draining %v, ALPN %q, name %q", c.client, c.HandshakeComplete(), c.IsDraining(), c.ALPN(), c.ServerName())
		}
		if c.MaxUDPPayload() != c.Stats().MaxUDPPayload || c.SendQuantum() < c.MaxUDPPayload() {
			t.Errorf("client %v: payload %d, quantum %d", c.client, c.MaxUDPPayload(), c.SendQuantum())
		}
	}
	if certs := a.client.PeerCertificates(); len(certs) != 1 || !bytes.Equal(certs[0], scriptedCert().Certificate[0]) {
		t.Errorf("the server's certificates: %x", certs)
	}
	if a.client.TraceID() != "0101010101010101" || a.server.TraceID() != "0202020202020202" || a.client.SourceID() != connIDOf(8, 1) ||
		a.client.DestinationID() != connIDOf(8, 2) || a.server.DestinationID() != connIDOf(8, 1) || a.server.SourceID() != connIDOf(8, 2) {
		t.Errorf("IDs: %v %v, %v %v", a.client.SourceID(), a.client.DestinationID(), a.server.SourceID(), a.server.DestinationID())
	}
	a.client.Close(a.now, true, 7, "enough")
	if !a.client.IsDraining() || a.client.IsDrained() || !a.client.HandshakeComplete() || a.client.IsEstablished() {
		t.Error("a client that is closing is in another state")
	}
	a.run()
	for _, c := range both {
		if !c.IsDraining() || !c.HandshakeComplete() {
			t.Errorf("client %v: draining %v, complete %v", c.client, c.IsDraining(), c.HandshakeComplete())
		}
		for at, ok := c.Timeout(); ok; at, ok = c.Timeout() {
			c.OnTimeout(at)
		}
		if c.IsDraining() || !c.IsDrained() || !c.HandshakeComplete() || c.ALPN() != "alone" {
			t.Errorf("client %v: after its time it is draining %v, drained %v", c.client, c.IsDraining(), c.IsDrained())
		}
	}
}

func TestPeerParams(t *testing.T) {
	a := newAlone(t, func(client, server *Config) {
		client.MaxIdleTimeout, client.StreamReceiveWindow, client.ReceiveWindow = 7*time.Second, 1000, 5000
		client.MaxStreamsBidi, client.MaxStreamsUni, client.MaxAckDelay, client.MaxDatagramFrameSize = 3, 4, 9*time.Millisecond, 77
		server.MaxIdleTimeout, server.DisableActiveMigration, server.MaxDatagramFrameSize = -1, true, 0
		server.KeepPeerParams = true
	})
	a.run()
	a.wantWorking("a handshake")
	got, ok := a.server.PeerParams()
	if want := (PeerParams{
		MaxIdleTimeout: 7 * time.Second, MaxUDPPayloadSize: 65527, InitialMaxData: 5000, InitialMaxStreamDataBidiLocal: 1000,
		InitialMaxStreamDataBidiRemote: 1000, InitialMaxStreamDataUni: 1000, InitialMaxStreamsBidi: 3, InitialMaxStreamsUni: 4, AckDelayExponent: 3,
		MaxAckDelay: 9 * time.Millisecond, ActiveConnIDLimit: 4, MaxDatagramFrameSize: 77,
	}); !ok || got != want {
		t.Errorf("of the client: %+v, %v; want %+v", got, ok, want)
	}
	got, ok = a.client.PeerParams()
	if !ok || got.MaxIdleTimeout != 0 || !got.DisableActiveMigration || got.MaxDatagramFrameSize != 0 || got.InitialMaxData != 768<<10 {
		t.Errorf("of the server: %+v, %v", got, ok)
	}
	a = newAlone(t, nil)
	a.run()
	if _, ok := a.server.PeerParams(); ok {
		t.Error("a server keeps its client's parameters though nobody asked for that")
	}
}

// Whoever routes packets without an Endpoint gives the peer connection IDs, and hears which it is done with.
func TestIssueConnID(t *testing.T) {
	a := newAlone(t, nil)
	if _, err := a.client.IssueConnID(connIDOf(8, 3), [16]byte{}, false); err != ErrConnIDLimit || a.client.ConnIDsLeft() != 0 {
		t.Errorf("before the handshake: %v, %d left", err, a.client.ConnIDsLeft())
	}
	a.run()
	c, s := a.client, a.server
	if c.ConnIDsLeft() != maxIssuedConnIDs-1 || s.SpareDestinationIDs() != 0 {
		t.Fatalf("%d left, %d spare; want %d, 0", c.ConnIDsLeft(), s.SpareDestinationIDs(), maxIssuedConnIDs-1)
	}
	for i, want := range []struct {
		id  ConnID
		err error
	}{{connIDOf(8, 3), nil}, {connIDOf(8, 3), errConnIDKnown}, {connIDOf(7, 4), errConnIDLen}, {connIDOf(0, 0), errConnIDLen}, {connIDOf(8, 4), nil},
		{connIDOf(8, 5), ErrConnIDLimit}} {
		if seq, err := c.IssueConnID(want.id, [16]byte{0: byte(i)}, false); err != want.err || err == nil && seq != c.local.next-1 {
			t.Errorf("%d: %d, %v; want %v", i, seq, err, want.err)
		}
	}
	if !c.WantsSend() {
		t.Error("there are IDs to be told, and nothing to be sent")
	}
	a.run()
	if s.SpareDestinationIDs() != 2 || c.ConnIDsLeft() != 0 || len(c.SourceIDs()) != 3 {
		t.Fatalf("the server has %d spare, the client %d left", s.SpareDestinationIDs(), c.ConnIDsLeft())
	}
	// Another one, for the oldest.
	a.events[0] = nil
	if seq, err := c.IssueConnID(connIDOf(8, 5), [16]byte{9}, true); seq != 3 || err != nil {
		t.Fatalf("with one to be retired: %d, %v", seq, err)
	}
	a.run()
	a.wantRetired(0, connIDOf(8, 1))
	if s.DestinationID() == connIDOf(8, 1) || c.SourceID() != s.DestinationID() {
		t.Errorf("the server sends to %v, the client knows of %v", s.DestinationID(), c.SourceID())
	}
	a.wantWorking("after the first ID was retired")
	// The peer is done with one of ours by itself.
	a.events[0] = nil
	in := s.peer.find(s.path.dcidSeq)
	seq, id := in.seq, in.id
	if err := s.RetireDestinationID(99); err != errConnIDUnknown {
		t.Errorf("of a number that is not there: %v", err)
	}
	a.must(s.RetireDestinationID(seq))
	if err := s.RetireDestinationID(seq); err != errConnIDUnknown {
		t.Errorf("once more: %v", err)
	}
	a.run()
	a.wantRetired(seq, id)
	a.wantWorking("after the ID in use was retired")
	for s.SpareDestinationIDs() > 0 {
		a.must(s.RetireDestinationID(s.peer.unused().seq))
	}
	if err := s.RetireDestinationID(s.path.dcidSeq); err != ErrNoConnIDs {
		t.Errorf("the last one: %v", err)
	}
	a.run()
	a.wantWorking("with one ID")
	c.Close(a.now, true, 0, "")
	if _, err := c.IssueConnID(connIDOf(8, 9), [16]byte{}, false); err != c.Err() || c.ConnIDsLeft() != 0 {
		t.Errorf("after the end: %v", err)
	}
	if err := c.RetireDestinationID(0); err != c.Err() {
		t.Errorf("after the end: %v", err)
	}
}

// A peer that does not retire what it is asked to retire is not given more and more.
func TestIssueConnIDBound(t *testing.T) {
	p := newScriptedServer(t, param(0x0e, varint(8)))
	p.handshake()
	issued := len(p.conn.local.ids)
	for i := range 20 {
		if _, err := p.conn.IssueConnID(connIDOf(p.conn.local.len(), byte(i)), [16]byte{byte(i)}, true); err == ErrConnIDLimit {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		issued++
		p.must(p.conn.Check())
	}
	if issued != 2*maxIssuedConnIDs+1 {
		t.Errorf("the peer has %d connection IDs, want %d", issued, 2*maxIssuedConnIDs+1)
	}
}

// wantRetired asserts that the client is told that the server is done with one of its IDs, as soon as nothing sent to it is under way any more.
func (a *alone) wantRetired(seq uint64, id ConnID) {
	a.t.Helper()
	c := a.client
	early := len(a.events[0])
	if at := c.local.lateTimer(); at == 0 {
		a.t.Errorf("%v is not known to be retired", id)
	} else {
		a.now = c.clock.time(at)
		c.OnTimeout(a.now)
		a.run()
	}
	for i, ev := range a.events[0] {
		if i < early && ev.Kind == EventEndpoint {
			a.t.Errorf("before three probe timeouts were over: %+v", ev.Endpoint)
		}
		if e := ev.Endpoint; ev.Kind == EventEndpoint && e.Kind == RetireConnectionID {
			if e.Seq != seq {
				a.t.Errorf("retired: %d; want %d, %v", e.Seq, seq, id)
			}
			if slices.Contains(a.client.SourceIDs(), id) {
				a.t.Errorf("%v, which is retired, may still be sent to", id)
			}
			return
		}
	}
	a.t.Errorf("that the peer is done with %v was not told", id)
}

func TestStreamReadableFinished(t *testing.T) {
	p := newScriptedServer(t)
	p.handshake()
	want := func(reason string, id uint64, readable, finished bool, bytes int) {
		t.Helper()
		if r, f := p.conn.StreamReadable(id), p.conn.StreamFinished(id); r != readable || f != finished {
			t.Errorf("%s: readable %v, finished %v; want %v, %v", reason, r, f, readable, finished)
		}
		if n := p.conn.StreamBytesReadable(id); n != bytes {
			t.Errorf("%s: %d bytes are readable, want %d", reason, n, bytes)
		}
	}
	want("a stream that is not there", 1, false, true, 0)
	p.sendFrames(protect.OneRTT, streamFrame(5, 0, "hello", false))
	want("data", 5, true, false, 5)
	want("a stream that was opened by one above it", 1, false, false, 0)
	p.sendFrames(protect.OneRTT, streamFrame(5, 7, "lo", false))
	want("and behind a gap", 5, true, false, 5)
	p.conn.StreamRecv(5, make([]byte, 2))
	want("what was left", 5, true, false, 3)
	p.conn.StreamRecv(5, make([]byte, 10))
	want("nothing for now", 5, false, false, 0)
	p.sendFrames(protect.OneRTT, streamFrame(5, 5, "so", false), streamFrame(5, 9, "", true))
	want("the gap is filled", 5, true, false, 4)
	p.conn.StreamRecv(5, make([]byte, 4))
	want("the end was read with it", 5, false, true, 0)
	p.sendFrames(protect.OneRTT, streamFrame(9, 0, "", true))
	want("the end alone", 9, true, false, 0)
	p.conn.StreamRecv(9, nil)
	want("it was read", 9, false, true, 0)
	p.sendFrames(protect.OneRTT, streamFrame(1, 0, "hello", false))
	p.sendFrames(protect.OneRTT, frame(wire.FrameResetStream, 1, 9, 5))
	want("a reset", 1, true, false, 0)
	p.conn.StreamRecv(1, nil)
	want("which was told", 1, false, true, 0)
	p.must(p.conn.OpenStreamID(0))
	p.must(p.conn.StreamShutdown(0, ReadDirection, 3))
	want("nobody reads it, and more may come", 0, false, false, 0)
	p.sendFrames(protect.OneRTT, streamFrame(0, 0, "more", true))
	want("nobody has read its end", 0, false, true, 0)
}

func TestDatagramQueues(t *testing.T) {
	a := newAlone(t, nil)
	a.run()
	if b, ok := a.server.DatagramPeek(); ok || b != nil {
		t.Error("a look at nothing")
	}
	var ring []string
	for i := range MaxQueuedDatagrams {
		ring = append(ring, fmt.Sprintf("%03d", i))
		a.must(a.client.DatagramSend([]byte(ring[i])))
	}
	if err := a.client.DatagramSend(nil); err != ErrDatagramQueueFull {
		t.Errorf("one more: %v", err)
	}
	if n, bytes := a.client.DatagramsQueued(); n != MaxQueuedDatagrams || bytes != 3*MaxQueuedDatagrams {
		t.Errorf("%d wait, of %d bytes", n, bytes)
	}
	for ev, ok := a.client.NextEvent(); ok; ev, ok = a.client.NextEvent() {
		if ev.Kind == EventDatagramWritable {
			t.Error("there is room, though nothing has left")
		}
	}
	dropped := a.client.DatagramPurge(func(b []byte) bool { return b[2]%2 == 1 })
	ring = slices.DeleteFunc(ring, func(s string) bool { return s[2]%2 == 1 })
	if n, bytes := a.client.DatagramsQueued(); n != len(ring) || bytes != 3*n || dropped != MaxQueuedDatagrams-n || a.client.Stats().DatagramFramesUnsent != uint64(dropped) {
		t.Errorf("%d wait, of %d bytes; %d were dropped", n, bytes, dropped)
	}
	if ev, ok := a.client.NextEvent(); !ok || ev.Kind != EventDatagramWritable {
		t.Errorf("the room that was made: %v", ev.Kind)
	}
	if n := a.client.DatagramPurge(func(b []byte) bool { return false }); n != 0 {
		t.Errorf("%d were dropped that are of use", n)
	}
	a.run()
	if n := a.server.DatagramBytesReadable(); n != 3*len(ring) || a.server.DatagramsReadable() != len(ring) {
		t.Errorf("%d bytes arrived, %d datagrams", n, a.server.DatagramsReadable())
	}
	for _, want := range ring {
		b, ok := a.server.DatagramPeek()
		if !ok || string(b) != want || cap(b) != len(b) {
			t.Fatalf("at the front is %q, %v; want %q", b, ok, want)
		}
		got := make([]byte, 10)
		if n, ok := a.server.DatagramRecv(got); !ok || string(got[:n]) != want {
			t.Fatalf("read %q, want %q", got[:n], want)
		}
	}
}

// SendPath sends what is for one path, and nothing of another.
func TestSendPath(t *testing.T) {
	a := newAlone(t, nil)
	a.run()
	for _, c := range []*Conn{a.client, a.server} {
		for i := range 2 {
			c.IssueConnID(connIDOf(8, byte(10+i)), [16]byte{byte(i), 1}, false)
		}
	}
	a.run()
	second := netip.MustParseAddrPort("192.0.2.9:6000")
	a.must(a.client.ProbePath(a.now, second, aloneServer))
	id, err := a.client.OpenStream()
	a.must(err)
	_, err = a.client.StreamSend(id, []byte("data"), true)
	a.must(err)
	buf := make([]byte, 65535)
	if tr := a.client.SendPath(a.now, buf, netip.MustParseAddrPort("192.0.2.9:1"), aloneServer); tr.N != 0 {
		t.Errorf("%d bytes for a path that is not there", tr.N)
	}
	tr := a.client.SendPath(a.now, buf, aloneClient, aloneServer)
	if tr.N == 0 || tr.Local != aloneClient {
		t.Fatalf("the path in use: %d bytes from %v", tr.N, tr.Local)
	}
	a.server.Recv(a.now, Train{Buf: buf[:tr.N], SegSize: tr.SegSize, Local: aloneServer, Remote: aloneClient})
	got := make([]byte, 10)
	if n, fin, err := a.server.StreamRecv(id, got); string(got[:n]) != "data" || !fin || err != nil {
		t.Errorf("over the path in use came %q, %v, %v", got[:n], fin, err)
	}
	if tr := a.client.SendPath(a.now, buf, aloneClient, aloneServer); tr.N != 0 {
		t.Errorf("%d bytes more on the path in use", tr.N)
	}
	tr = a.client.SendPath(a.now, buf, second, aloneServer)
	if tr.N == 0 || tr.Local != second || tr.Remote != aloneServer {
		t.Fatalf("the other path: %d bytes from %v", tr.N, tr.Local)
	}
	if tr := a.client.SendPath(a.now, buf, second, aloneServer); tr.N != 0 {
		t.Errorf("%d bytes more on the other path", tr.N)
	}
	a.server.Recv(a.now, Train{Buf: buf[:tr.N], SegSize: tr.SegSize, Local: aloneServer, Remote: second})
	if tr = a.server.SendPath(a.now, buf, aloneServer, second); tr.N == 0 || tr.Remote != second {
		t.Fatalf("the server's answer: %d bytes to %v", tr.N, tr.Remote)
	}
	a.client.Recv(a.now, Train{Buf: buf[:tr.N], SegSize: tr.SegSize, Local: second, Remote: aloneServer})
	paths := a.client.Paths()
	if len(paths) != 2 || !paths[1].Validated || paths[1].Local != second || paths[1].PacketsSent != 1 || paths[1].PacketsReceived != 1 ||
		paths[0].PacketsSent == 0 || paths[1].RTTVar == 0 {
		t.Errorf("paths: %+v", paths)
	}
	a.client.Close(a.now, true, 0, "")
	if tr := a.client.SendPath(a.now, buf, second, aloneServer); tr.N != 0 {
		t.Errorf("the end is told on a path that is not in use: %d bytes", tr.N)
	}
	if tr := a.client.SendPath(a.now, buf, aloneClient, aloneServer); tr.N == 0 {
		t.Error("the end is not told")
	}
}

// SetSession is as good as ConnectParams.Session, with 0-RTT too, until something was sent.
func TestSetSession(t *testing.T) {
	ticketKeys := [][32]byte{{1}}
	change := func(client, server *Config) {
		server.EarlyData, server.TicketKeys, server.EarlyReplay = true, ticketKeys, anyReplay{}
	}
	a := newAlone(t, change)
	a.run()
	a.wantWorking("the first connection")
	var session *Session
	for _, ev := range a.events[0] {
		if ev.Kind == EventSession {
			session = ev.Session
		}
	}
	if session == nil {
		t.Fatal("there is no session")
	}
	session.path.rtt, session.path.remote = 70*time.Millisecond, aloneServer.Addr()
	for _, early := range []bool{false, true} {
		a = newAlone(t, change)
		a.must(a.client.SetSession(session, false))
		known := a.client.path.rec.RTT
		a.must(a.client.SetSession(nil, false))
		if rtt := a.client.path.rec.RTT; rtt == known || rtt != recovery.NewRTT(a.client.cfg.InitialRTT) || a.client.streams.rtt != 0 {
			t.Errorf("without a Session the round-trip time is still that of one: %+v", rtt)
		}
		a.must(a.client.SetSession(session, early))
		if err := a.server.SetSession(session, false); err != errSessionLate {
			t.Errorf("at a server: %v", err)
		}
		a.answer(0)
		if a.client.InEarlyData() != early {
			t.Errorf("0-RTT data can be sent: %v, want %v", !early, early)
		}
		id := uint64(0)
		if early {
			if _, err := a.client.StreamSend(id, []byte("early"), true); err != nil {
				t.Fatal(err)
			}
			if err := a.client.SetSession(nil, false); err != errSessionLate {
				t.Errorf("once 0-RTT data can be sent: %v", err)
			}
		}
		for a.carry(a.client, true) {
			a.answer(1)
		}
		if early && !a.server.InEarlyData() {
			t.Error("the server takes no 0-RTT data")
		}
		a.run()
		if err := a.client.SetSession(session, false); err != errSessionLate {
			t.Errorf("once something was sent: %v", err)
		}
		if !a.client.Resumed() || !a.server.Resumed() || a.client.InEarlyData() || a.server.InEarlyData() || early != (a.client.EarlyData() == EarlyAccepted) {
			t.Errorf("resumed %v and %v; 0-RTT %v", a.client.Resumed(), a.server.Resumed(), a.client.EarlyData())
		}
		if early && !a.server.StreamReadable(id) {
			t.Error("the 0-RTT data did not arrive")
		}
		a.wantWorking("a connection that was resumed")
	}
}

// anyReplay takes all 0-RTT data for fresh.
type anyReplay struct{}

func (anyReplay) Fresh([32]byte, time.Time) (bool, error) { return true, nil }

func TestStatsIncidents(t *testing.T) {
	p := newScriptedServer(t, limitStreams(10))
	p.handshake()
	for _, id := range []uint64{0, 4, 8} {
		p.must(p.conn.OpenStreamID(id))
	}
	p.must(p.conn.StreamShutdown(0, ReadDirection, 1))
	p.must(p.conn.StreamShutdown(4, WriteDirection, 1))
	p.sendFrames(protect.OneRTT, frame(wire.FrameStopSending, 8, 1), frame(wire.FrameResetStream, 8, 1, 0), frame(wire.FrameDataBlocked, 1),
		frame(wire.FrameStreamDataBlocked, 0, 1), frame(wire.FrameStreamsBlockedBidi, 100), frame(wire.FrameStreamsBlockedUni, 100),
		frame(wire.FrameStreamsBlockedUni, 100), append(varint(wire.FramePathChallenge), "12345678"...))
	if got, want := p.conn.Stats().Incidents, (Incidents{
		StreamsResetLocal: 2, StreamsResetRemote: 1, StreamsStoppedLocal: 1, StreamsStoppedRemote: 1, DataBlockedReceived: 1,
		StreamDataBlockedReceived: 1, StreamsBlockedBidiReceived: 1, StreamsBlockedUniReceived: 2, PathChallengesReceived: 1,
	}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	before := p.conn.Stats()
	p.must(p.conn.OpenStreamID(12))
	_, err := p.conn.StreamSend(12, make([]byte, 100), false)
	p.must(err)
	p.drain()
	p.got = nil
	p.lose("PTO")
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	after := p.conn.Stats()
	if after.StreamBytesResent != 100 || after.BytesAcked <= before.BytesAcked {
		t.Errorf("%d bytes were sent again, %d more acknowledged", after.StreamBytesResent, after.BytesAcked-before.BytesAcked)
	}
	p.conn.Close(p.now, true, 0, "")
	if got := p.conn.Stats().StreamsResetLocal; got != 2 {
		t.Errorf("after the end %d resets are counted, want 2", got)
	}
}
