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

// Stats returns the figures of now.
func (c *Conn) Stats() Stats {
	s, rec := c.stats, c.path.rec
	s.PacketsLost, s.PacketsSpurious, s.Timeouts = c.loss.Stats.Lost, c.loss.Stats.Spurious, c.loss.Stats.PTOs
	s.MinRTT, s.SmoothedRTT, s.LatestRTT = rec.RTT.Min, rec.RTT.Smoothed, rec.RTT.Latest
	s.CongestionWindow, s.BytesInFlight = uint64(rec.CC.Window()), uint64(max(rec.InFlight, 0))
	s.MaxDatagramSize, s.ECNCapable = c.path.maxDatagram, rec.ECN.State == recovery.ECNCapable
	return s
}
