package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// TestTrainsStayWhole downloads over links of several rates, and counts how many datagrams leave at a time once the transfer is under
// way: about as many as a millisecond takes, though the client acknowledges every second one.
func TestTrainsStayWhole(t *testing.T) {
	for _, c := range []struct {
		mbit     float64
		rtt      time.Duration
		download int
		least    float64
	}{
		{10, 20 * time.Millisecond, 1 << 20, 1.9},
		{100, 20 * time.Millisecond, 5 << 20, 10},
		{1000, 10 * time.Millisecond, 20 << 20, 40},
		{1000, time.Millisecond, 10 << 20, 10}, // where the window is small
	} {
		name := fmt.Sprintf("%v Mbit/s, %v", c.mbit, c.rtt)
		t.Run(name, func(t *testing.T) {
			queue := int(c.mbit * 1e6 / 8 * c.rtt.Seconds())
			stages := func() []Stage { return []Stage{Rate(c.mbit*1e6, queue, 0), Delay(c.rtt/2, 0)} }
			s := Scenario{
				Name: name, Seed: 1, Download: c.download,
				Network: func(*World) (toServer, toClient []Stage) { return stages(), stages() },
				Configure: func(client, server *quic.Config) {
					client.StreamReceiveWindow, client.ReceiveWindow = 8<<20, 8<<20
					server.StreamSendBuffer = 16 << 20
				},
			}
			r, err := s.Run()
			if err != nil {
				t.Fatal(err)
			}
			datagrams, trains, last := 0, 0, time.Duration(-1)
			for _, e := range r.Trace.Entries {
				if e.Link != "to client" || e.What != "sent" || e.Len < 1000 || e.At < r.Total/4 {
					continue
				}
				if e.At != last {
					trains, last = trains+1, e.At
				}
				datagrams++
			}
			mean := float64(datagrams) / float64(trains)
			t.Logf("%.1f datagrams a train, %.0f Mbit/s", mean, float64(c.download)*8e-6/r.Total.Seconds())
			if mean < c.least {
				t.Errorf("%d datagrams left in %d trains, want at least %.0f each", datagrams, trains, c.least)
			}
		})
	}
}
