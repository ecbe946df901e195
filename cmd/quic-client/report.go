package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// report is what one connection did, for --stats.
type report struct {
	server              string
	handshake, transfer time.Duration
	files               int
	bytes               int64
	tls                 tls.ConnectionState
	stats               quic.Stats
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s: QUIC version 1, %s, key share %s, handshake %.1f ms\n", r.server,
		tls.CipherSuiteName(r.tls.CipherSuite), r.tls.CurveID, float64(r.handshake)/1e6)
	fmt.Fprintf(w, "files: %d; %d bytes in %.2f s: %.0f Mbit/s\n", r.files, r.bytes, r.transfer.Seconds(),
		float64(r.bytes)*8/1e6/r.transfer.Seconds())
	fmt.Fprintf(w, "packets: %d sent, %d received, %d lost; smoothed RTT %v\n",
		r.stats.PacketsSent, r.stats.PacketsReceived, r.stats.PacketsLost, r.stats.SmoothedRTT)
}
