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

	DatagramsSent, DatagramsReceived uint64 // UDP datagrams
	BytesSent, BytesReceived         uint64 // of UDP payload

	Timeouts   uint64 // probe timeouts (RFC 9002, section 6.2)
	Migrations uint64 // changes of the peer's address

	MinRTT, SmoothedRTT, LatestRTT time.Duration // SmoothedRTT is Config.InitialRTT and the others 0 before the first sample
	CongestionWindow               uint64        // bytes
	BytesInFlight                  uint64
	MaxDatagramSize                int  // bytes of UDP payload that are sent at most
	ECNCapable                     bool // the path carries ECN marks (RFC 9000, section 13.4.2)
}

// counts is what a connection itself counts of its Stats.
type counts struct {
	packetsSent, packetsReceived, packetsDropped uint64
	datagramsSent, datagramsReceived             uint64
	bytesSent, bytesReceived                     uint64
	migrations                                   uint64
}

// Stats returns the figures of now.
func (c *Conn) Stats() Stats {
	n, rec, loss := &c.counts, c.path.rec, &c.loss.Stats
	return Stats{
		PacketsSent:       n.packetsSent,
		PacketsReceived:   n.packetsReceived,
		PacketsDropped:    n.packetsDropped,
		PacketsLost:       loss.Lost,
		PacketsSpurious:   loss.Spurious,
		DatagramsSent:     n.datagramsSent,
		DatagramsReceived: n.datagramsReceived,
		BytesSent:         n.bytesSent,
		BytesReceived:     n.bytesReceived,
		Timeouts:          loss.PTOs,
		Migrations:        n.migrations,
		MinRTT:            rec.RTT.Min,
		SmoothedRTT:       rec.RTT.Smoothed,
		LatestRTT:         rec.RTT.Latest,
		CongestionWindow:  uint64(rec.CC.Window()),
		BytesInFlight:     uint64(max(rec.InFlight, 0)),
		MaxDatagramSize:   c.path.maxDatagram,
		ECNCapable:        rec.ECN.State == recovery.ECNCapable,
	}
}
