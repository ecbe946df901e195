package quic

import (
	"errors"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/quic/internal/recovery"
)

// Errors of ProbePath, Migrate and AbandonPath, which errors.Is recognises.
var (
	// ErrNotConfirmed: the handshake is not confirmed yet, and before that no other path may be used (RFC 9000, section 9).
	ErrNotConfirmed = errors.New("quic: the handshake is not confirmed yet, and before that no other path may be used; " +
		"EventHandshakeConfirmed tells when it is")

	// ErrMigrationDisabled: the server has sent disable_active_migration, so that its clients may not use another local address, unless
	// they have moved to its preferred address (RFC 9000, section 9).
	ErrMigrationDisabled = errors.New("quic: the server allows no other local address (disable_active_migration)")

	// ErrNoConnIDs: there is no connection ID of the peer's that no other path has used (RFC 9000, section 9.5), and none is expected. The peer gives another
	// when a path is abandoned: until that comes a path may be begun all the same, and waits. A peer with empty connection IDs never does.
	ErrNoConnIDs = errors.New("quic: the peer has given no unused connection ID for another path")

	// ErrNoOtherPath: the path in use was to be abandoned, and there is none to move to.
	ErrNoOtherPath = errors.New("quic: there is no other path to move to")

	// ErrTooManyPaths: four paths are there; AbandonPath makes room.
	ErrTooManyPaths = errors.New("quic: there are as many paths as there may be; abandon one first")
)

var (
	errServerPath    = errors.New("quic: only a client begins to use another path")
	errUnknownServer = errors.New("quic: the remote address is none of the server's: neither where it is reached now, nor its preferred address")
)

// PathState says what a path is for.
type PathState uint8

// The states of a path.
const (
	PathProbing PathState = iota // nothing but probes and their answers is sent on it
	PathActive                   // the one that is sent on: there is always one
	PathStandby                  // it was validated, and is there to move to
	pathAbandoned
)

var pathStateNames = [...]string{"probing", "active", "standby", "abandoned"}

// String returns the state in one word.
func (s PathState) String() string {
	if int(s) < len(pathStateNames) {
		return pathStateNames[s]
	}
	return "unknown"
}

// PathInfo is a path as it is now. Local may be unspecified, if it is where the connection began.
type PathInfo struct {
	Local, Remote netip.AddrPort
	State         PathState
	Validated     bool // the peer has shown that it receives at Remote what is sent from Local (RFC 9000, section 8.2)
	PathStats
}

// PathStats are figures of one path. Paths that differ in a port alone share all of them but the packets and bytes that were sent and received
// (RFC 9000, section 9.4).
type PathStats struct {
	MinRTT, SmoothedRTT, LatestRTT, RTTVar time.Duration // as in Stats
	CongestionWindow                       uint64        // bytes
	BytesInFlight                          uint64
	PacketsLost                            uint64
	BytesAcked, BytesLost                  uint64 // as in Stats
	PacketsSent, PacketsReceived           uint64 // since the path is known; of those received, that were authentic and new
	BytesSent, BytesReceived               uint64 // of UDP payload, since the path is known
	MaxUDPPayload                          int    // bytes that one UDP datagram carries at most
	ECNCapable                             bool
}

// PathEventKind says what has happened to a path.
type PathEventKind uint8

// The kinds of PathEvent. Of a path that is not the first, PathNew is told first, then PathReused if it is, and one of PathFailed and PathClosed last.
const (
	PathNew       PathEventKind = iota + 1 // the peer is heard on it, or we begin to probe it
	PathValidated                          // a validation has succeeded; at a client, each one
	PathFailed                             // its validation has failed. It is forgotten, unless it is in use and there is no other
	PathClosed                             // it is forgotten: left for another, abandoned, or pushed out by newer ones
	PathActivated                          // it is the one in use from now on: we moved, or the peer, or went back to it
	PathReused                             // at a server: the client sends on it to a connection ID that it uses on another path, as behind a NAT
)

var pathEventNames = [...]string{"unknown", "new", "validated", "failed", "closed", "activated", "reused"}

// String returns the kind in one word.
func (k PathEventKind) String() string {
	if int(k) < len(pathEventNames) {
		return pathEventNames[k]
	}
	return pathEventNames[0]
}

// PathEvent is what EventPath tells.
type PathEvent struct {
	Kind          PathEventKind
	Local, Remote netip.AddrPort

	// PathReused: the other path, and the sequence number of the connection ID.
	OtherLocal, OtherRemote netip.AddrPort
	Seq                     uint64
}

// pushPath tells of a path. While nobody reads them, the newest are kept.
func (q *eventQueue) pushPath(kind PathEventKind, p *path) {
	q.pushPathEvent(&PathEvent{Kind: kind, Local: p.local, Remote: p.remote})
}

func (q *eventQueue) pushPathEvent(ev *PathEvent) {
	q.pushBounded(Event{Kind: EventPath, Path: ev}, maxPathEvents)
}

// tellReuse tells of a new path that another one has the connection ID of which the client sends to.
func (c *Conn) tellReuse(p *path) {
	if c.local.len() == 0 {
		return
	}
	for _, o := range c.paths.list {
		if o != p && o.usedSeq == p.usedSeq && o.state != pathAbandoned {
			c.events.pushPathEvent(&PathEvent{Kind: PathReused, Local: p.local, Remote: p.remote, OtherLocal: o.local, OtherRemote: o.remote, Seq: p.usedSeq})
			return
		}
	}
}

// Paths returns the paths of the connection, at most four; the one in use is the first.
func (c *Conn) Paths() []PathInfo {
	out := make([]PathInfo, 0, len(c.paths.list))
	out = append(out, c.path.info())
	for _, p := range c.paths.list {
		if p != c.path && p.state != pathAbandoned {
			out = append(out, p.info())
		}
	}
	return out
}

func (p *path) info() PathInfo {
	rec := p.rec
	return PathInfo{
		Local: p.local, Remote: p.remote, State: p.state, Validated: p.validated,
		PathStats: PathStats{
			MinRTT: rec.RTT.Min, SmoothedRTT: rec.RTT.Smoothed, LatestRTT: rec.RTT.Latest, RTTVar: rec.RTT.Var,
			CongestionWindow: uint64(rec.CC.Window()), BytesInFlight: uint64(max(rec.InFlight, 0)),
			PacketsLost: uint64(rec.Lost), BytesAcked: uint64(rec.BytesAcked), BytesLost: uint64(rec.BytesLost), PacketsSent: p.packetsSent, PacketsReceived: p.packetsReceived,
			BytesSent: p.sent, BytesReceived: p.received,
			MaxUDPPayload: p.maxDatagram(), ECNCapable: rec.ECN.State == recovery.ECNCapable,
		},
	}
}
