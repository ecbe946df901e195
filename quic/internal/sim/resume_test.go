package sim

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// earlyCase is a way in which 0-RTT data is met.
type earlyCase struct {
	Scenario
	accepted bool
}

// restarted returns a server's configuration whose TLS can be changed.
func restarted(server *quic.Config) { server.TLS = server.TLS.Clone() }

var earlyCases = []earlyCase{
	{Scenario{Name: "accepted"}, true},
	{Scenario{Name: "accepted, Retry", Retry: true}, true},
	{Scenario{Name: "accepted, empty connection IDs", Configure: func(client, server *quic.Config) {
		client.ConnIDs, server.ConnIDs = quic.RandomConnIDs(0), quic.RandomConnIDs(0)
	}}, true},
	{Scenario{Name: "accepted by a server that was started anew", Restart: func(client, server *quic.Config) {}}, true},
	{Scenario{Name: "accepted, few streams", Configure: func(client, server *quic.Config) { server.MaxStreamsBidi = 2 }}, true},
	{Scenario{Name: "another ticket key", Restart: func(client, server *quic.Config) {
		server.TicketKeys = [][32]byte{{2}}
	}}, false},
	{Scenario{Name: "another ticket key, Retry", Retry: true, Restart: func(client, server *quic.Config) {
		server.TicketKeys = [][32]byte{{2}}
	}}, false},
	{Scenario{Name: "another protocol", Configure: func(client, server *quic.Config) {
		client.TLS.NextProtos = []string{Protocol, "other"}
	}, Restart: func(client, server *quic.Config) {
		restarted(server)
		server.TLS.NextProtos = []string{"other"}
	}}, false},
	{Scenario{Name: "HelloRetryRequest", Configure: func(client, server *quic.Config) {
		client.TLS.CurvePreferences, server.TLS.CurvePreferences = nil, nil
	}, Restart: func(client, server *quic.Config) {
		restarted(server)
		server.TLS.CurvePreferences = []tls.CurveID{tls.CurveP384}
	}}, false},
	{Scenario{Name: "lower limits", Restart: func(client, server *quic.Config) {
		server.MaxStreamsBidi, server.StreamReceiveWindow, server.ReceiveWindow = 1, 1000, 1500
	}}, false},
	{Scenario{Name: "higher limits", Restart: func(client, server *quic.Config) { server.MaxStreamsBidi = 1000 }}, false},
	{Scenario{Name: "no more 0-RTT", Restart: func(client, server *quic.Config) { server.EarlyData = false }}, false},
}

// eachEarly plays every case, with what is rejected sent again and not, and with a bit of data both ways on some streams.
func eachEarly(t *testing.T, network func(seed uint64) func(*World) (toServer, toClient []Stage), seeds uint64) {
	for _, c := range earlyCases {
		for _, resend := range []bool{true, false} {
			if c.accepted && resend {
				continue // it makes no difference
			}
			t.Run(fmt.Sprintf("%s/resend=%v", c.Name, resend), func(t *testing.T) {
				for seed := uint64(1); seed <= seeds; seed++ {
					s := c.Scenario
					s.Seed, s.Early, s.Resend, s.Check, s.Streams, s.Download, s.Upload = seed, true, resend, true, 3, 4000, 3000
					s.Network = network(seed)
					configure := s.Configure
					s.Configure = func(client, server *quic.Config) {
						patient(client, server)
						if configure != nil {
							configure(client, server)
						}
					}
					r := run(t, s)
					want := quic.EarlyRejected
					if c.accepted {
						want = quic.EarlyAccepted
					}
					if got := r.Client.EarlyData(); got != want {
						t.Fatalf("seed %d: 0-RTT data is %v, want %v", seed, got, want)
					}
					if c.accepted != (r.EarlyStreams > 0) && (seed == 1 || !c.accepted) {
						t.Errorf("seed %d: the server saw %d early streams", seed, r.EarlyStreams)
					}
				}
			})
		}
	}
}

// 0-RTT data that is accepted, or rejected for whatever reason, with any one of the first 30 datagrams lost, either way.
func TestEarlyDataLoss(t *testing.T) {
	eachEarly(t, func(seed uint64) func(*World) (toServer, toClient []Stage) {
		return func(*World) (toServer, toClient []Stage) {
			n := int(seed-1)%61 - 30 // negative: to the client; 0: none is lost
			return plainStages(DropNth(max(n, 0))), plainStages(DropNth(max(-n, 0)))
		}
	}, 61)
}

// The same over networks that lose, reorder and double a part of all.
func TestEarlyDataSeeds(t *testing.T) {
	stages := []func() Stage{
		func() Stage { return Reorder(0.5, 30*time.Millisecond) },
		func() Stage { return Loss(0.2) },
		func() Stage { return Duplicate(0.5, 50*time.Millisecond) },
		func() Stage { return Corrupt(0.05) },
	}
	eachEarly(t, func(seed uint64) func(*World) (toServer, toClient []Stage) {
		if seed == 1 {
			return Plain
		}
		return Both(stages[seed%uint64(len(stages))])
	}, 200)
}
