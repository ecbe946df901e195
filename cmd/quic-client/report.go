package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/versions"
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
	updates             int // of keys, that we have begun
}

func (r *report) print(w io.Writer) {
	kind := "full"
	if r.stats.Resumed {
		kind = "resumed"
	}
	fmt.Fprintf(w, "%s: QUIC version %s, %s, key share %s, %s handshake %.1f ms, early data %v\n", r.server,
		versions.Name(r.stats.Version), tls.CipherSuiteName(r.tls.CipherSuite), r.tls.CurveID, kind, float64(r.handshake)/1e6,
		r.stats.EarlyData)
	fmt.Fprintf(w, "files: %d; %d bytes in %.2f s: %.0f Mbit/s\n", r.files, r.bytes, r.transfer.Seconds(),
		float64(r.bytes)*8/1e6/r.transfer.Seconds())
	fmt.Fprintf(w, "packets: %d sent, %d received, %d lost; smoothed RTT %v\n",
		r.stats.PacketsSent, r.stats.PacketsReceived, r.stats.PacketsLost, r.stats.SmoothedRTT)
	fmt.Fprintf(w, "path: datagrams of up to %d bytes to the server, of %d on average from it; changed %d times; key updates: %d\n",
		r.stats.MaxUDPPayload, r.stats.BytesReceived/max(r.stats.UDPDatagramsReceived, 1), r.stats.Migrations, r.updates)
}
