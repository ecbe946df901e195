package sim

import (
	"errors"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// On a path that loses half of all packets, with a round trip of half a second and all the time that it takes, no client is turned away
// for a Retry token that has expired while the packets with it were lost: it could not get another.
func TestRetryOnLossyPath(t *testing.T) {
	for seed := uint64(1); seed <= 200; seed++ {
		r, err := Scenario{Name: "half is lost", Seed: seed, Retry: true, Download: 1000, Configure: patient, Limit: time.Hour,
			Network: func(*World) (toServer, toClient []Stage) {
				return []Stage{Loss(0.5), Delay(250*time.Millisecond, 0)}, []Stage{Loss(0.5), Delay(250*time.Millisecond, 0)}
			}}.Run()
		var failed *quic.TransportError
		if r != nil && errors.As(r.Client.Err(), &failed) {
			t.Errorf("seed %d: %v (%v)", seed, failed, err)
		}
	}
}
