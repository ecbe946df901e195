package quic

import (
	"time"

	"github.com/boringquic/boringquic/quic/internal/recovery"
)

// Stats are figures of a connection: counts from its begin, and the state of the path in use.
type Stats struct {
	PacketsSent     uint64
	PacketsReceived uint64 // that were authentic and new
	PacketsDropped  uint64 // received and of no use: not authentic, duplicates, for other connections
	PacketsLost     uint64 // of those sent, as far as loss detection can tell
	PacketsSpurious uint64 // of those lost, acknowledged later

	UDPDatagramsSent, UDPDatagramsReceived uint64 // each of which holds one or more packets
	BytesSent, BytesReceived               uint64 // of UDP payload

	// DATAGRAM frames (RFC 9221), which are what DatagramSend and DatagramRecv deal with. Dropped are those that arrived and were
	// pushed out by later ones, since 128 waited to be read; Unsent are those that were taken to be sent and then found no path
	// that carries as much. Of those that the network has lost nobody keeps count.
	DatagramFramesSent, DatagramFramesReceived  uint64
	DatagramFramesDropped, DatagramFramesUnsent uint64

	Version   uint32         // the QUIC version in use: Version1 or Version2
	Resumed   bool           // the TLS session of an earlier connection was
	EarlyData EarlyDataState // what became of 0-RTT data

	Incidents

	Timeouts   uint64 // probe timeouts (RFC 9002, section 6.2)
	Migrations uint64 // how often another path came into use, since the peer moved or we did

	MinRTT, SmoothedRTT, LatestRTT time.Duration // SmoothedRTT is Config.InitialRTT and the others 0 before the first sample
	RTTVar                         time.Duration // by how much round-trip times differ (RFC 9002, section 5.3)
	CongestionWindow               uint64        // bytes
	BytesInFlight                  uint64
	BytesAcked, BytesLost          uint64 // of what counts for congestion control
	MaxUDPPayload                  int    // bytes that one UDP datagram carries at most; Conn.MaxDatagramSize is for DATAGRAM frames
	ECNCapable                     bool   // the path carries ECN marks (RFC 9000, section 13.4.2)
}

// Incidents counts what happens on few connections, or seldom, from the begin of a connection.
type Incidents struct {
	StreamsResetLocal, StreamsResetRemote     uint64 // streams whose sending part we, or the peer, ended by RESET_STREAM
	StreamsStoppedLocal, StreamsStoppedRemote uint64 // streams that we, or the peer, wanted no more of, by STOP_SENDING
	StreamBytesResent                         uint64 // of stream data that was sent again

	// Frames that say that the sender was held back by a limit of the receiver's (RFC 9000, section 4.1).
	DataBlockedSent, DataBlockedReceived                  uint64
	StreamDataBlockedSent, StreamDataBlockedReceived      uint64
	StreamsBlockedBidiReceived, StreamsBlockedUniReceived uint64

	PathChallengesReceived uint64 // PATH_CHALLENGE frames
}

// seldom is what few connections need, so that the others have no room for it.
type seldom struct {
	Incidents
	limits *sessionLimits // what a server's client has announced, with Config.KeepPeerParams

	// One more than the limit in the peer's last DATA_BLOCKED, and in its last STREAMS_BLOCKED of each kind.
	dataBlocked, bidiBlocked, uniBlocked uint64

	// STOP_SENDING frames that are held (stream_stop.go): how many there are, and those that wait for a time, in the order of that, at most
	// maxHeldStops, each stream once.
	held  int
	stops []heldStop
}

// count returns what is seldom needed, to be changed.
func (st *streams) count() *seldom {
	if st.seldom == nil {
		st.seldom = new(seldom)
	}
	return st.seldom
}

// counts is what a connection itself counts of its Stats.
type counts struct {
	packetsSent, packetsReceived, packetsDropped uint64
	udpSent, udpReceived                         uint64
	bytesSent, bytesReceived                     uint64
	migrations                                   uint64
}

// Stats returns the figures of now.
func (c *Conn) Stats() Stats {
	n, rec, loss := &c.counts, c.path.rec, &c.loss.Stats
	out := Stats{
		PacketsSent:      n.packetsSent,
		PacketsReceived:  n.packetsReceived,
		PacketsDropped:   n.packetsDropped,
		PacketsLost:      loss.Lost,
		PacketsSpurious:  loss.Spurious,
		BytesSent:        n.bytesSent,
		BytesReceived:    n.bytesReceived,
		BytesAcked:       uint64(rec.BytesAcked),
		BytesLost:        uint64(rec.BytesLost),
		Version:          c.version,
		Resumed:          c.tls.resumed,
		EarlyData:        c.tls.early,
		Timeouts:         loss.PTOs,
		Migrations:       n.migrations,
		MinRTT:           rec.RTT.Min,
		SmoothedRTT:      rec.RTT.Smoothed,
		LatestRTT:        rec.RTT.Latest,
		RTTVar:           rec.RTT.Var,
		CongestionWindow: uint64(rec.CC.Window()),
		BytesInFlight:    uint64(max(rec.InFlight, 0)),
		MaxUDPPayload:    c.path.maxDatagram(),
		ECNCapable:       rec.ECN.State == recovery.ECNCapable,

		UDPDatagramsSent:     n.udpSent,
		UDPDatagramsReceived: n.udpReceived,
	}
	if d := c.datagrams.counts; d != nil {
		out.DatagramFramesSent, out.DatagramFramesReceived = d.sent, d.received
		out.DatagramFramesDropped, out.DatagramFramesUnsent = d.dropped, d.unsent
	}
	if c.streams.seldom != nil {
		out.Incidents = c.streams.seldom.Incidents
	}
	return out
}
