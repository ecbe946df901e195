package sim

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// With ACK_FREQUENCY (draft-ietf-quic-ack-frequency-12) a transfer of 10 MB has few acknowledgements where there is a queue on the way,
// takes no longer for that, but for one in a hundred, and loses no more. No datagram here finds others to form a train with, so that
// without it every second one is acknowledged. fewer says how many times fewer acknowledgements there are at least.
func TestAckFrequency(t *testing.T) {
	link := func(bitsPerSecond float64, queue, mark int, delay time.Duration) func() []Stage {
		return func() []Stage { return []Stage{Rate(bitsPerSecond, queue, mark), Delay(delay, 0)} }
	}
	plain := link(100e6, 256<<10, 0, 10*time.Millisecond)
	for _, c := range []struct {
		name      string
		link      func() []Stage
		algorithm quic.CongestionAlgorithm
		upload    bool
		fewer     float64
		margin    float64 // of the time
	}{
		{"plain", plain, quic.CUBIC, false, 4, 0.01},
		{"plain, upload", plain, quic.CUBIC, true, 4, 0.01},
		{"plain, NewReno", plain, quic.NewReno, false, 4, 0.01},
		{"slow", link(20e6, 64<<10, 0, 50*time.Millisecond), quic.CUBIC, false, 2.5, 0.01},
		{"far", link(20e6, 1<<20, 0, 300*time.Millisecond), quic.CUBIC, false, 1.2, 0.01},
		{"next to no queue", link(100e6, 32<<10, 0, 10*time.Millisecond), quic.CUBIC, false, 1, 0.01},
		{"marks", link(100e6, 256<<10, 30<<10, 10*time.Millisecond), quic.CUBIC, false, 1, 0.015}, // where marks fall plays a part
		{"fast", link(1e9, 128<<10, 0, time.Millisecond), quic.CUBIC, false, 3, 0.01},
		{"reordering", func() []Stage { return plainStages(Reorder(0.05, 5*time.Millisecond)) }, quic.CUBIC, false, 0.9, 0.05}, // over a dozen seeds as many as without it, which are few
	} {
		t.Run(c.name, func(t *testing.T) {
			play := func(client, server bool) (r *Result, acks int, sender quic.Stats) {
				s := Scenario{Name: c.name, Seed: 1, Configure: func(cc, sc *quic.Config) {
					cc.MaxUDPPayload, sc.MaxUDPPayload = 1200, 1200 // how many packets there are plays a part
					cc.Congestion, sc.Congestion = c.algorithm, c.algorithm
					if !client {
						cc.MinAckDelay = -1
					}
					if !server {
						sc.MinAckDelay = -1
					}
				}, Network: func(*World) (toServer, toClient []Stage) { return c.link(), c.link() }}
				if c.upload {
					s.Upload = tenMB
					r = run(t, s)
					return r, r.ToClient.Sent, r.Client.Stats()
				}
				s.Download = tenMB
				r = run(t, s)
				return r, r.ToServer.Sent, r.Server.Stats()
			}
			without, most, before := play(false, false)
			with, acks, after := play(true, true)
			t.Logf("%v with %d acknowledgements, %d lost; without %v, %d, %d", with.Total, acks, after.PacketsLost, without.Total,
				most, before.PacketsLost)
			if float64(acks)*c.fewer > float64(most) {
				t.Errorf("%d acknowledgements, want at most one for %v of %d", acks, c.fewer, most)
			}
			if float64(with.Total) > float64(without.Total)*(1+c.margin) {
				t.Errorf("%v, without the extension %v", with.Total, without.Total)
			}
			if after.PacketsLost > before.PacketsLost*11/10 || after.Timeouts > before.Timeouts {
				t.Errorf("%d packets lost and %d probe timeouts, without the extension %d and %d", after.PacketsLost,
					after.Timeouts, before.PacketsLost, before.Timeouts)
			}
			// Whoever of the two does not know it: every second packet is acknowledged.
			for _, knows := range []struct{ client, server bool }{{true, false}, {false, true}} {
				if _, acks, _ := play(knows.client, knows.server); acks < most*9/10 {
					t.Errorf("%+v alone knows of it, and there are %d acknowledgements, not %d", knows, acks, most)
				}
			}
		})
	}
}

// On a path that reorders acknowledgements are few, for what is late to come before them: 600 µs of jitter at a round trip of 4 ms, where
// packets are some 50 µs apart.
func TestAcksWhereReordered(t *testing.T) {
	r := run(t, Scenario{Name: "jitter", Seed: 1, Download: tenMB, Configure: func(c, s *quic.Config) { c.MinAckDelay = -1 },
		Network: func(*World) (toServer, toClient []Stage) {
			return []Stage{Delay(2*time.Millisecond, 0)},
				[]Stage{Rate(200e6, 256<<10, 0), Delay(2*time.Millisecond, 600*time.Microsecond)}
		}})
	sent := int(r.Server.Stats().PacketsSent)
	t.Logf("%v, %d packets, %d from the client, %d lost, %d of them spuriously", r.Total, sent, r.ToServer.Sent,
		r.Server.Stats().PacketsLost, r.Server.Stats().PacketsSpurious)
	if most := sent / 10; r.ToServer.Sent > most {
		t.Errorf("%d datagrams from the client for %d, want at most %d", r.ToServer.Sent, sent, most)
	}
	if most := 450 * time.Millisecond; r.Total > most {
		t.Errorf("%v for what takes 400 ms, want at most %v", r.Total, most)
	}
}
