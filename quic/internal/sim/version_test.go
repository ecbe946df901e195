package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// dropNth loses the n-th datagram of all that pass through one or more links, counted from 1.
func dropNth(n int, seen *int) Stage {
	return func(_ *World, d Datagram, next func(Datagram)) {
		if *seen++; *seen != n {
			next(d)
		}
	}
}

// Whatever the lists of versions, and whichever of the first 30 datagrams is lost, both sides agree on the version and all data arrives:
// by a change of the server's, after Version Negotiation, with Retry and without connection IDs.
func TestVersionLostDatagrams(t *testing.T) {
	v1, v2 := []uint32{quic.Version1}, []uint32{quic.Version2}
	v12, v21 := []uint32{quic.Version1, quic.Version2}, []uint32{quic.Version2, quic.Version1}
	for _, c := range []struct {
		client, server []uint32
		want           uint32
	}{
		{v1, v1, quic.Version1}, {v2, v2, quic.Version2}, // nothing to be negotiated
		{v12, v12, quic.Version1}, {v12, v21, quic.Version2}, {v21, v12, quic.Version1}, {v21, v21, quic.Version2}, // compatible
		{v12, v2, quic.Version2}, {v21, v1, quic.Version1}, // by Version Negotiation
		{v1, v21, quic.Version1}, {v2, v12, quic.Version2},
	} {
		for _, retry := range []bool{false, true} {
			for _, idLen := range []int{0, 8} {
				t.Run(fmt.Sprintf("client %x, server %x, retry %v, IDs of %d bytes", c.client, c.server, retry, idLen), func(t *testing.T) {
					for n := range 31 { // 0: nothing is lost
						seen := 0
						s := Scenario{
							Name: fmt.Sprintf("datagram %d lost", n), Seed: uint64(n), Retry: retry, Download: 20000, Upload: 5000, Check: true,
							Limit: time.Minute,
							Network: func(*World) (toServer, toClient []Stage) {
								return plainStages(dropNth(n, &seen)), plainStages(dropNth(n, &seen))
							},
							Configure: func(client, server *quic.Config) {
								client.Versions, server.Versions = c.client, c.server
								client.ConnIDs, server.ConnIDs = quic.RandomConnIDs(idLen), quic.RandomConnIDs(idLen)
							},
						}
						r, err := s.Run()
						if err != nil {
							t.Fatal(err)
						}
						if r.Client.Version() != c.want || r.Server.Version() != c.want {
							t.Errorf("%s: the client's version is %#x, the server's %#x, want %#x", s.Name, r.Client.Version(),
								r.Server.Version(), c.want)
						}
					}
				})
			}
		}
	}
}

// RFC 9000, section 17.4: who watches the path sees the spin bit change once a round trip.
func TestSpinPeriod(t *testing.T) {
	const rtt = 2 * (10 + 40) * time.Millisecond
	spins := 0
	for seed := range uint64(12) {
		var edges [2][]time.Duration // when the bit changes, in each direction
		watch := func(way int) Stage {
			last := false
			return func(w *World, d Datagram, next func(Datagram)) {
				if !wire.IsLongHeader(d.Data[0]) && w.Elapsed() > time.Second {
					if bit := wire.SpinBit(d.Data[0]); bit != last {
						last = bit
						edges[way] = append(edges[way], w.Elapsed())
					}
				}
				next(d)
			}
		}
		_, err := Scenario{
			Name: "spin", Seed: seed, Upload: 12 << 20, Limit: time.Hour,
			Network: func(*World) (toServer, toClient []Stage) {
				more := func() Stage { return Delay(40*time.Millisecond, 0) }
				return plainStages(watch(0), more()), plainStages(watch(1), more())
			},
			Configure: func(client, server *quic.Config) {
				client.SpinBit, server.SpinBit = true, true
				patient(client, server)
			},
		}.Run()
		if err != nil {
			t.Fatal(err)
		}
		regular := len(edges[0]) > 5 && len(edges[1]) > 5
		for _, e := range edges {
			for i := 2; i < len(e)-1; i++ {
				period := e[i] - e[i-1]
				regular = regular && period >= rtt && period < rtt+rtt/2
			}
		}
		if regular {
			spins++
		} else {
			t.Logf("seed %d: %d and %d edges", seed, len(edges[0]), len(edges[1]))
		}
	}
	if spins < 7 { // one in eight pairs has it off on a side
		t.Errorf("the bit of %d of 12 connections changes once a round trip of %v", spins, rtt)
	}
}

// A client that sends 0-RTT data in the version of its session finds that the server no longer speaks that one, or prefers another: the
// data is rejected, and sent again in the version that both speak (RFC 9368, section 6.3; RFC 9369, sections 4.1 and 5).
func TestVersionChangeRejectsEarly(t *testing.T) {
	for _, c := range []struct {
		before, after []uint32
		want          uint32
		early         quic.EarlyDataState
	}{
		{[]uint32{quic.Version1}, []uint32{quic.Version2}, quic.Version2, quic.EarlyRejected},
		{[]uint32{quic.Version1}, []uint32{quic.Version2, quic.Version1}, quic.Version2, quic.EarlyRejected},
		{[]uint32{quic.Version2}, []uint32{quic.Version1}, quic.Version1, quic.EarlyRejected},
		{[]uint32{quic.Version2}, []uint32{quic.Version1, quic.Version2}, quic.Version1, quic.EarlyRejected},
		{[]uint32{quic.Version2}, []uint32{quic.Version2, quic.Version1}, quic.Version2, quic.EarlyAccepted},
		{[]uint32{quic.Version2, quic.Version1}, []uint32{quic.Version2, quic.Version1}, quic.Version2, quic.EarlyAccepted},
	} {
		for n := range 31 {
			seen := 0
			s := Scenario{
				Name: fmt.Sprintf("from %x to %x, datagram %d lost", c.before, c.after, n), Seed: uint64(n), Early: true, Resend: true,
				Upload: 5000, Download: 5000, Streams: 3, Check: true, Limit: time.Minute,
				Configure: func(_, server *quic.Config) { server.Versions = c.before },
				Restart:   func(_, server *quic.Config) { server.Versions = c.after },
				Network: func(*World) (toServer, toClient []Stage) {
					return plainStages(dropNth(n, &seen)), plainStages(dropNth(n, &seen))
				},
			}
			r, err := s.Run()
			if err != nil {
				t.Fatal(err)
			}
			if r.Client.Version() != c.want || r.Server.Version() != c.want || r.Client.EarlyData() != c.early {
				t.Errorf("%s: the client's version is %#x, the server's %#x, want %#x; early data %v, want %v", s.Name, r.Client.Version(),
					r.Server.Version(), c.want, r.Client.EarlyData(), c.early)
			}
		}
	}
}
