package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Datagrams of any size that may be configured, on each side, carry streams and DATAGRAM frames of the size that is promised, whatever is
// lost; and so they do when the driver's buffer is shorter.
func TestDatagramSizes(t *testing.T) {
	sizes := []int{1200, 1201, 1252, 1452, 4000, 9000, 16384, 16420, 32768, 64999, 65000, 65001, 65507, 65527}
	pairs := [][2]int{}
	for i, size := range sizes {
		pairs = append(pairs, [2]int{size, size}, [2]int{size, sizes[len(sizes)-1-i]})
	}
	for _, pair := range pairs {
		for _, buffer := range []int{0, 1200, 5000, 65000} {
			name := fmt.Sprintf("client %d, server %d, buffer %d", pair[0], pair[1], buffer)
			t.Run(name, func(t *testing.T) {
				s := Scenario{Name: name, Seed: 1, Upload: 300_000, Download: 300_000, Datagrams: 40, SendBuffer: buffer, Check: true,
					Limit: time.Minute,
					Network: func(*World) (toServer, toClient []Stage) {
						stages := func() []Stage { return []Stage{Loss(0.03), Rate(1e9, 4<<20, 0), Delay(10*time.Millisecond, 0)} }
						return stages(), stages()
					},
					Configure: func(client, server *quic.Config) {
						client.MaxUDPPayload, server.MaxUDPPayload = pair[0], pair[1]
						client.DisablePMTUD, server.DisablePMTUD = true, true
						client.MaxDatagramFrameSize, server.MaxDatagramFrameSize = 65535, 65535
					}}
				r := run(t, s)
				for i, side := range []struct {
					name string
					c    *Conn
					sent Datagrams
				}{{"client", r.Client, r.DatagramsToServer}, {"server", r.Server, r.DatagramsToClient}} {
					size := min(pair[i], 65507) // over IPv4
					if buffer > 0 {
						size = min(size, buffer)
					}
					stats := side.c.Stats()
					if stats.MaxUDPPayload != size || side.sent.Largest < size-50 {
						t.Errorf("the %s sends %d bytes and promised datagrams of %d, want %d", side.name, stats.MaxUDPPayload,
							side.sent.Largest, size)
					}
					if stats.DatagramFramesUnsent > 0 || side.sent.Sent != 40 || side.sent.Received < 10 {
						t.Errorf("of the %s's datagrams %d were taken, %d came, and %d could not be sent", side.name, side.sent.Sent,
							side.sent.Received, stats.DatagramFramesUnsent)
					}
				}
			})
		}
	}
}
