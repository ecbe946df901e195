package handshake_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"runtime"
	"slices"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/crypto/internal/boring/alloctest"
)

// A server that sends tickets without end has its client keep four sessions at most, and no more of them than 64 KiB, however long
// the chain is that each of them would hold; in C meanwhile there is never more than one beyond those.
func TestAttackTicketFlood(t *testing.T) {
	// The shortest NewSessionTicket, as often as a flight of 16 KiB holds it.
	ticket := message{msgNewSessionTicket, []byte{0, 0, 1, 0, 1, 2, 3, 4, 0, 0, 1, 'T', 0, 0}}.bytes()
	const flight = 16 << 10
	flood := bytes.Repeat(ticket, flight/len(ticket))
	big := issue(t, ed25519Key(t), authority(), func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: make([]byte, 20<<10)}}
	}).tls.Certificate[0]
	for _, test := range []struct {
		name string
		add  [][]byte // to the chain
		want int      // sessions, the one of the server's own ticket included
	}{
		{"short chain", nil, 4},
		{"a chain of 20 KB", [][]byte{big}, 3},
		{"a chain of 40 KB", [][]byte{big, big}, 1},
		{"a chain of 80 KB", [][]byte{big, big, big, big}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			runtime.LockOSThread() // each thread has an error queue of its own
			defer runtime.UnlockOSThread()
			server := serverConfig()
			cert := leaf().tls
			cert.Certificate = append(slices.Clone(cert.Certificate), test.add...)
			server.Certificates = []tls.Certificate{cert}
			c, s := pair(t, clientConfig(), server)
			wantComplete(t, c, s)
			alloctest.Peak()
			before := alloctest.Live()
			for range 4 {
				if err := c.conn.Feed(handshake.Application, flood); err != nil {
					t.Fatal(err)
				}
				c.pump()
			}
			if c.tickets != test.want || c.ticketBytes > 64<<10 {
				t.Errorf("%d sessions of %d bytes were told, want %d, of 64 KiB at most", c.tickets, c.ticketBytes, test.want)
			}
			if grown := alloctest.Peak() - before; grown > 1<<20 {
				t.Errorf("%d bytes of C memory for %d bytes of tickets", grown, 4*len(flood))
			}
			if c.alerts != 0 {
				t.Error(c.err)
			}
		})
	}
}
