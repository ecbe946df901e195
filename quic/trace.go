package quic

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qlog"
)

// tracer writes what happens on a connection as qlog. Packets, and losses, are told where they happen; all else is found out at the end of each call
// from outside, by comparing what was told with what is (settle): the connection's own code knows nothing of it.
type tracer struct {
	out   *qlog.Trace
	start int64
	told  told

	sent     qlog.PacketSent // kept for their memory
	received qlog.PacketReceived
	frames   []qlog.Frame
	ranges   []qlog.Range
}

// told is what of a connection's state the trace has told.
type told struct {
	state      string
	version    uint32
	alpn       bool
	slowStart  bool
	any        bool // metrics were told
	read       [4]bool
	write      [4]bool
	readGen    uint32
	writeGen   uint32
	size       int
	path       *path
	dcid       ConnID
	metrics    qlog.Metrics
	closed     bool
	probing    map[*path]bool // those that are probed, or were; nil: there is one path
	parameters []byte         // ours, in their encoding
}

// Trace has the connection be traced from now on: w gets its events as qlog (package qlog), and is closed when the connection is drained or
// released, or if it is traced already. title and description stand at the front, and may be empty. Writing is done within calls of the
// connection's; an error ends the trace, of which w is closed at once, and nothing else. Config.Qlog does the same for all connections of a Config,
// from their beginning.
//
// Transport parameters are told when they are given to TLS, or come from it: of a trace that begins later, ours are there until the handshake is
// confirmed, and the peer's are not. Of parameters that the drafts of qlog have no field for, 64 of each side's are told, of each of which 128 bytes
// at most have their value told. Stateless reset tokens, as all that is secret, are never told (package qlog).
func (c *Conn) Trace(w io.WriteCloser, title, description string) {
	if c.trace != nil || c.state == stateDrained {
		w.Close()
		return
	}
	var group []byte
	if c.hello != nil {
		group = c.hello.origDst.Bytes()
	}
	if len(group) == 0 {
		group = c.local.first.Bytes()
	}
	h := qlog.Header{Title: title, Description: description, Client: c.client, GroupID: group, Start: c.clock.time(c.clock.now)}
	t := &tracer{out: qlog.New(w, h), start: c.clock.now}
	c.trace, c.loss.OnPacketLost = t, c.tracePacketLost
	t.event(c, &qlog.ConnectionStarted{Local: c.path.local, Remote: c.path.remote, LocalConnID: c.local.first.Bytes(), PeerConnID: c.path.dcid.Bytes()})
	t.settle(c)
}

// Traced tells whether the connection is traced.
func (c *Conn) Traced() bool { return c.trace != nil }

// traceConfigured begins the trace that Config.Qlog wants.
func (c *Conn) traceConfigured() {
	if c.cfg.Qlog == nil || c.trace != nil {
		return
	}
	if w := c.cfg.Qlog(c.client, c.hello.origDst); w != nil {
		c.Trace(w, "", "")
	}
}

// traceState tells what has changed, if the connection is traced.
func (c *Conn) traceState() {
	if c.trace == nil {
		return
	}
	c.trace.settle(c)
	if c.state == stateDrained || c.trace.out.Over() {
		c.endTrace()
	}
}

// endTrace tells the last of it and closes the writer.
func (c *Conn) endTrace() {
	if t := c.trace; t != nil {
		t.settle(c)
		t.out.Close()
		c.trace, c.loss.OnPacketLost = nil, nil
	}
}

// rest lets go of memory that is kept for reuse, and writes what waits.
func (t *tracer) rest() {
	t.out.Rest()
	t.sent, t.received, t.frames, t.ranges = qlog.PacketSent{}, qlog.PacketReceived{}, nil, nil
}

func (t *tracer) event(c *Conn, ev qlog.Event) { t.out.Event(time.Duration(c.clock.now-t.start), ev) }

// traceTypes are the types of slots' packets, in words of qlog.
var traceTypes = [...]qlog.PacketType{
	protect.Initial: qlog.Initial, protect.ZeroRTT: qlog.ZeroRTT, protect.Handshake: qlog.Handshake, protect.OneRTT: qlog.OneRTT,
}

// onSent tells of a packet that is about to be sealed.
func (t *tracer) onSent(c *Conn, out *outTrain, size int) {
	p := &out.pkt
	h := &p.header
	ev := &t.sent
	*ev = qlog.PacketSent{
		Header: qlog.PacketHeader{Type: traceTypes[h.slot], Number: h.pn, KeyPhase: uint64(h.gen)},
		Length: size, Payload: size - (h.payload - h.start) - protect.Overhead, MTUProbe: p.probe, PTO: c.sending.probes[h.sp] > 0,
	}
	if h.slot != protect.OneRTT {
		ev.Header.Version, ev.Header.SrcID, ev.Header.DstID = c.longVersion(h.slot), c.local.first.Bytes(), out.path.dcid.Bytes()
	}
	ev.Frames = t.parse(p.b[h.payload:], uint8(c.cfg.AckDelayExponent))
	t.event(c, ev)
}

// onReceived tells of a packet that was authentic and new, before its frames are handled.
func (t *tracer) onReceived(c *Conn, in *inPacket, packet []byte) {
	ev := &t.received
	*ev = qlog.PacketReceived{
		Header: qlog.PacketHeader{Type: traceTypes[in.slot], Number: in.pn, KeyPhase: uint64(in.gen)}, Length: len(packet), Payload: len(in.payload),
	}
	if in.slot != protect.OneRTT {
		version, dst, src, _ := wire.ConsumeInvariants(packet)
		ev.Header.Version, ev.Header.SrcID, ev.Header.DstID = version, src, dst
	}
	exponent := c.tls.ackDelayExponent
	if in.slot != protect.OneRTT {
		exponent = usualAckDelayExponent
	}
	ev.Frames = t.parse(in.payload, exponent)
	t.event(c, ev)
}

// onUnprotected tells of a Retry or Version Negotiation packet, or of one that was taken for such.
func (t *tracer) onUnprotected(c *Conn, b []byte) {
	version, dst, src, n := wire.ConsumeInvariants(b)
	if n < 0 {
		return
	}
	typ := qlog.Retry
	if version == 0 {
		typ = qlog.VersionNegotiation
	}
	t.event(c, &qlog.PacketReceived{Header: qlog.PacketHeader{Type: typ, Number: -1, Version: version, SrcID: src, DstID: dst}, Length: len(b)})
}

// dropPacket counts a packet that is of no use, and tells of it; b is the packet, or what there is of it.
func (c *Conn) dropPacket(why qlog.DropTrigger, b []byte) {
	c.counts.packetsDropped++
	if c.trace == nil || len(b) == 0 {
		return
	}
	ev := &qlog.PacketDropped{Header: qlog.PacketHeader{Type: qlog.OneRTT, Number: -1}, Length: len(b), Trigger: why}
	if wire.IsLongHeader(b[0]) {
		ev.Header.Type = qlog.Unknown
		if h, n := wire.ConsumeLongHeader(b); n >= 0 {
			switch h.Type {
			case wire.Retry:
				ev.Header.Type = qlog.Retry
			case wire.Initial, wire.ZeroRTT, wire.Handshake:
				ev.Header.Type = traceTypes[h.Type]
			}
			ev.Header.Version = h.Version
		}
	}
	c.trace.event(c, ev)
}

// tracePacketLost tells of a packet that loss detection has given up.
func (c *Conn) tracePacketLost(sp recovery.Space, pn int64, why recovery.LossReason, probe bool) {
	ev := &qlog.PacketLost{Header: qlog.PacketHeader{Type: traceTypes[slotOfSpace[sp]], Number: pn}, MTUProbe: probe}
	switch why {
	case recovery.LostByReordering:
		ev.Trigger = qlog.LostByReordering
	case recovery.LostByTime:
		ev.Trigger = qlog.LostByTime
	}
	if ev.Header.Type == qlog.OneRTT {
		ev.Header.KeyPhase = uint64(c.keys.WriteGen())
	}
	c.trace.event(c, ev)
}

// settle tells what is another than it was.
func (t *tracer) settle(c *Conn) {
	t.settleHandshake(c)
	t.settleKeys(c)
	t.settlePath(c)
	t.settleRecovery(c)
	if c.err != nil && !t.told.closed {
		t.told.closed = true
		t.event(c, closedBecause(c.err))
	}
	if state := c.traceableState(); state != t.told.state {
		t.event(c, &qlog.ConnectionStateUpdated{Old: t.told.state, New: state})
		t.told.state = state
	}
	if t.told.closed {
		t.out.Flush() // the program may end before the connection is drained
	}
}

// traceableState is the state of the connection in words of qlog.
func (c *Conn) traceableState() string {
	switch {
	case c.state == stateDrained:
		return qlog.StateClosed
	case c.state == stateDraining:
		return qlog.StateDraining
	case c.state == stateClosing:
		return qlog.StateClosing
	case c.tls.confirmed:
		return qlog.StateHandshakeConfirmed
	case c.tls.complete:
		return qlog.StateHandshakeComplete
	case c.keys.HasWrite(protect.Handshake):
		return qlog.StateHandshakeStarted
	}
	return qlog.StateAttempted
}

func (t *tracer) settleHandshake(c *Conn) {
	if own := c.declared(); !bytes.Equal(own, t.told.parameters) {
		t.told.parameters = own // nil again when the handshake is over: they change no more
		if p, err := wire.ParseTransportParameters(own, c.client); own != nil && err == nil {
			t.event(c, parametersSet(qlog.Local, &p, own))
		}
	}
	if c.version != t.told.version {
		t.event(c, &qlog.VersionInformation{Client: c.client, Versions: c.cfg.Versions, Chosen: c.version})
		t.told.version = c.version
	}
	if !t.told.alpn && c.tls.complete {
		t.told.alpn = true
		t.event(c, &qlog.ALPNInformation{Chosen: c.ALPN()})
		cipher := strings.TrimPrefix(tls.CipherSuiteName(c.TLS().CipherSuite), "TLS_")
		t.event(c, &qlog.TLSParametersSet{Initiator: c.serverOf(), Cipher: cipher, EarlyData: c.tls.early == EarlyAccepted})
	}
}

// serverOf tells which end the server is.
func (c *Conn) serverOf() qlog.Initiator {
	if c.client {
		return qlog.Remote
	}
	return qlog.Local
}

// declared returns the transport parameters that TLS was given, in their encoding: nil of a server that waits for its client's, and when the handshake is
// confirmed.
func (c *Conn) declared() []byte {
	switch {
	case c.hello == nil:
		return nil
	case c.client:
		return c.hello.negotiation.begin.TransportParameters
	case !c.tls.hasParams:
		return nil
	}
	return c.hello.negotiation.params
}

// parametersSet is the event of transport parameters, which are p, and b in their encoding.
func parametersSet(who qlog.Initiator, p *wire.TransportParameters, b []byte) *qlog.ParametersSet {
	ev := &qlog.ParametersSet{
		Initiator: who, OriginalDstConnID: p.OriginalDstConnID, InitialSrcConnID: p.InitialSrcConnID, RetrySrcConnID: p.RetrySrcConnID,
		MaxIdleTimeout: p.MaxIdleTimeout, MaxUDPPayloadSize: p.MaxUDPPayloadSize, ActiveConnIDLimit: p.ActiveConnIDLimit,
		AckDelayExponent: p.AckDelayExponent, MaxAckDelay: p.MaxAckDelay, InitialMaxData: p.InitialMaxData,
		MaxStreamDataBidiLocal: p.MaxStreamDataBidiLocal, MaxStreamDataBidiRemote: p.MaxStreamDataBidiRemote, MaxStreamDataUni: p.MaxStreamDataUni,
		MaxStreamsBidi: p.MaxStreamsBidi, MaxStreamsUni: p.MaxStreamsUni, MaxDatagramFrameSize: p.MaxDatagramFrameSize,
		DisableActiveMigration: p.DisableActiveMigration, GreaseQUICBit: p.GreaseQUICBit,
	}
	if a := p.PreferredAddress; a != nil {
		ev.PreferredAddress = &qlog.PreferredAddress{IPv4: a.IPv4, IPv6: a.IPv6, ConnID: a.ConnID}
	}
	for id, value := range wire.OtherParameters(b) {
		if len(ev.Unknown) == maxTracedParams {
			break
		}
		if len(value) > maxTracedParam {
			value = nil
		}
		ev.Unknown = append(ev.Unknown, qlog.Parameter{ID: id, Value: value})
	}
	return ev
}

func (t *tracer) settleKeys(c *Conn) {
	by := func(was, is bool, key qlog.KeyType) {
		switch {
		case is && !was:
			t.event(c, &qlog.KeyUpdated{Key: key, Trigger: qlog.KeyByTLS})
		case was && !is:
			t.event(c, &qlog.KeyDiscarded{Key: key})
		}
	}
	for slot, typ := range traceTypes {
		read, write := c.keys.HasRead(protect.Slot(slot)), c.keys.HasWrite(protect.Slot(slot))
		by(t.told.read[slot], read, qlog.KeyType{Client: !c.client, Level: typ})
		by(t.told.write[slot], write, qlog.KeyType{Client: c.client, Level: typ})
		t.told.read[slot], t.told.write[slot] = read, write
	}
	if !t.told.write[protect.OneRTT] {
		return
	}
	trigger := qlog.KeyByLocal
	if c.keys.ReadGen() > t.told.readGen && c.keys.WriteGen() > t.told.writeGen {
		trigger = qlog.KeyByRemote
	}
	if gen := c.keys.WriteGen(); gen != t.told.writeGen {
		t.told.writeGen = gen
		t.event(c, &qlog.KeyUpdated{Key: qlog.KeyType{Client: c.client, Level: qlog.OneRTT}, Phase: uint64(gen), Trigger: trigger})
	}
	if gen := c.keys.ReadGen(); gen != t.told.readGen {
		t.told.readGen = gen
		t.event(c, &qlog.KeyUpdated{Key: qlog.KeyType{Client: !c.client, Level: qlog.OneRTT}, Phase: uint64(gen), Trigger: trigger})
	}
}

func (t *tracer) settlePath(c *Conn) {
	if t.told.path == nil {
		t.told.path, t.told.dcid = c.path, c.path.dcid
	}
	if len(c.paths.list) > 1 || t.told.probing != nil {
		t.settleProbes(c)
	}
	if c.path != t.told.path {
		t.told.path = c.path
		t.event(c, &qlog.MigrationStateUpdated{New: qlog.MigrationComplete, Local: c.path.local, Remote: c.path.remote})
	}
	if id := c.path.dcid; id != t.told.dcid {
		t.event(c, &qlog.ConnectionIDUpdated{Initiator: qlog.Remote, Old: t.told.dcid.Bytes(), New: id.Bytes()})
		t.told.dcid = id
	}
	if size := c.path.maxDatagram(); size != t.told.size {
		t.event(c, &qlog.MTUUpdated{Old: t.told.size, New: size})
		t.told.size = size
	}
}

// settleProbes tells of paths beside the one in use: true in probing stands for one that is validated.
func (t *tracer) settleProbes(c *Conn) {
	if t.told.probing == nil {
		t.told.probing = map[*path]bool{t.told.path: true}
	}
	for _, p := range c.paths.list {
		validated, known := t.told.probing[p]
		if !known {
			t.event(c, &qlog.MigrationStateUpdated{New: qlog.ProbingStarted, Local: p.local, Remote: p.remote})
		}
		if p.validated && !validated {
			t.event(c, &qlog.MigrationStateUpdated{New: qlog.ProbingSuccessful, Local: p.local, Remote: p.remote})
		}
		t.told.probing[p] = p.validated || validated
	}
	for p := range t.told.probing {
		if !slices.Contains(c.paths.list, p) {
			t.event(c, &qlog.MigrationStateUpdated{New: qlog.ProbingAbandoned, Local: p.local, Remote: p.remote})
			delete(t.told.probing, p)
		}
	}
}

func (t *tracer) settleRecovery(c *Conn) {
	rec := c.path.rec
	now := qlog.Metrics{
		MinRTT: rec.RTT.Min, SmoothedRTT: rec.RTT.Smoothed, LatestRTT: rec.RTT.Latest, RTTVariance: rec.RTT.Var, PTOCount: c.loss.Timeouts(),
		CongestionWindow: uint64(rec.CC.Window()), BytesInFlight: uint64(max(rec.InFlight, 0)), PacingRate: 8 * uint64(rec.Rate()),
	}
	if first := !t.told.any; first || now != t.told.metrics {
		t.event(c, &qlog.MetricsUpdated{Old: t.told.metrics, New: now, First: first})
		t.told.metrics = now
	}
	if slow := rec.CC.SlowStart(); !t.told.any || slow != t.told.slowStart {
		names := map[bool]string{true: qlog.SlowStart, false: qlog.CongestionAvoidance}
		ev := &qlog.CongestionStateUpdated{New: names[slow]}
		if t.told.any {
			ev.Old = names[!slow]
		}
		t.event(c, ev)
		t.told.slowStart = slow
	}
	t.told.any = true
}

// closedBecause is the event of a connection's end.
func closedBecause(err error) *qlog.ConnectionClosed {
	ev := &qlog.ConnectionClosed{Trigger: qlog.ClosedByError}
	side := func(remote bool) qlog.Initiator {
		if remote {
			return qlog.Remote
		}
		return qlog.Local
	}
	var transport *TransportError
	var app *ApplicationError
	var idle *IdleTimeoutError
	var version *VersionNegotiationError
	var reset *StatelessResetError
	switch {
	case errors.As(err, &app):
		ev.Initiator, ev.Error, ev.Reason, ev.Trigger = side(app.Remote), &qlog.Error{App: true, Code: app.Code}, app.Reason, qlog.ClosedByApplication
	case errors.As(err, &transport):
		ev.Initiator, ev.Error, ev.Reason = side(transport.Remote), &qlog.Error{Code: uint64(transport.Code)}, transport.Reason
		if transport.Code == NoError {
			ev.Trigger = qlog.ClosedByApplication
		}
	case errors.As(err, &idle):
		ev.Initiator, ev.Trigger = qlog.Local, qlog.ClosedIdle
	case errors.As(err, &version):
		ev.Initiator, ev.Trigger = qlog.Remote, qlog.ClosedVersionMismatch
	case errors.As(err, &reset):
		ev.Initiator, ev.Trigger = qlog.Remote, qlog.ClosedStatelessReset
	default:
		ev.Reason, ev.Trigger = err.Error(), qlog.ClosedAborted
	}
	return ev
}
