package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/netem"
	"github.com/boringquic/boringquic/cmd/internal/trace"
)

// oneWay is link with a model in one direction.
func oneWay(d netem.Direction, m netem.Model) netem.Link {
	l := link()
	l.Models[d] = []netem.Model{m}
	return l
}

// marking is link on which marks are rewritten.
func marking(mark func(r *rand.Rand, ecn uint8) uint8) netem.Link {
	return link(func() netem.Model { return &netem.ECNChange{Mark: mark} })
}

// wide is a link of another rate to clients, to servers, delay and queue.
func wide(down, up int64, delay time.Duration, queue int, models ...func() netem.Model) netem.Link {
	l := delayed(delay, models...)
	l.Rate[netem.ToClient], l.Rate[netem.ToServer] = down, up
	l.Queue = queue
	return l
}

// links are networks beyond the runner's. Each moves a file, and takes no longer than limit.
func links() []scenario {
	sec, ms := time.Second, time.Millisecond
	policed := link(func() netem.Model { return &netem.Policer{Rate: 5e6 / 8, Burst: 30e3} })
	dualq := wide(10e6, 10e6, 15*ms, 200)
	dualq.AQM[netem.ToClient] = &netem.DualQ{}
	falling := func(n *netem.Network) {
		time.Sleep(sec)
		n.SetMTU(netem.ToClient, 1280)
		n.SetMTU(netem.ToServer, 1280)
	}
	return []scenario{
		{name: "satellite", files: repeat(1, 5*mb), timeout: 60 * sec,
			link: wide(20e6, 20e6, 300*ms, 500, func() netem.Model { return &netem.Loss{Percent: 0.1} })},
		{name: "LTE jitter with reordering", files: repeat(1, 2*mb), timeout: 30 * sec,
			link: wide(30e6, 10e6, 20*ms, 200, func() netem.Model { return &netem.Jitter{Max: 180 * ms} })},
		{name: "1 Gbit and 0.1 ms", files: repeat(1, 20*mb), timeout: 2 * sec, link: wide(1e9, 1e9, 100*time.Microsecond, 100)},
		{name: "asymmetric 100 to 1", files: repeat(1, 10*mb), timeout: 10 * sec, link: wide(100e6, 1e6, 15*ms, 100)},
		{name: "acknowledgements lost", files: repeat(1, 5*mb), timeout: 10 * sec, link: oneWay(netem.ToServer, netem.NewDropRate(30, 0))},
		{name: "duplicates", files: repeat(1, 5*mb), timeout: 10 * sec, link: link(func() netem.Model { return &netem.Duplicate{Percent: 5} })},
		// What is held back for 50 packets is late by any measure where the path is slow: that is a loss of 10 % once it is.
		{name: "reordering", files: repeat(1, 5*mb), timeout: 90 * sec,
			link: link(func() netem.Model { return &netem.Reorder{Percent: 10, Least: 3, Most: 50} })},
		{name: "MTU falls to 1280", files: repeat(1, 5*mb), timeout: 15 * sec, link: link(), while: falling, check: sizesFall(1440, 1252)},
		{name: "MTU black hole", files: repeat(1, 5*mb), timeout: 15 * sec, check: sizesFall(1440, 1200),
			link: link(func() netem.Model { return &netem.MTUBlackhole{Max: 1200, From: sec} })},
		{name: "small MTU", files: repeat(1, 5*mb), timeout: 10 * sec, check: sizesFall(1180, 1200),
			link: link(func() netem.Model { return &netem.MTUBlackhole{Max: 1200} })},
		{name: "ECN is bleached", files: repeat(1, 5*mb), timeout: 6 * sec, check: noMarks,
			link: marking(func(*rand.Rand, uint8) uint8 { return 0 })},
		{name: "all is marked CE", files: repeat(1, mb), timeout: 60 * sec,
			link: marking(func(_ *rand.Rand, ecn uint8) uint8 {
				if ecn == 0 {
					return 0
				}
				return 3
			})},
		{name: "marks are rewritten at random", files: repeat(1, 5*mb), timeout: 10 * sec, check: noMarks,
			link: marking(func(r *rand.Rand, _ uint8) uint8 { return uint8(r.IntN(4)) })},
		{name: "black hole towards the client", files: repeat(1, 10*mb), timeout: 40 * sec,
			link: oneWay(netem.ToClient, &netem.Blackhole{On: 2 * sec, Off: 10 * sec})},
		{name: "black hole towards the server", files: repeat(1, 10*mb), timeout: 40 * sec,
			link: oneWay(netem.ToServer, &netem.Blackhole{On: 2 * sec, Off: 10 * sec})},
		{name: "address among three each 200 ms", files: repeat(1, 5*mb), timeout: 60 * sec, check: addressesChanged,
			link: rebinding(netem.NAT{First: 200 * ms, Every: 200 * ms, Addr: true, Hops: 3})},
		// The client, which only receives, has nothing to say from its new port, until it is silent for a second and asks.
		{name: "new port each 200 ms", files: repeat(1, mb), timeout: 90 * sec, check: pathsValidated,
			link: rebinding(netem.NAT{First: 200 * ms, Every: 200 * ms})},
		{name: "policer", files: repeat(1, 5*mb), timeout: 15 * sec, link: policed},
		{name: "DualQ", files: repeat(1, 10*mb), timeout: 12 * sec, link: dualq, check: markedNotLost},
	}
}

// sizesFall checks that most of the server's datagrams have first bytes or more at first, when the path carries them, and later all have at
// most then bytes, but for probes, one in a hundred (RFC 8899).
func sizesFall(first, then int) func(r *result) {
	return func(r *result) {
		var sizes []int
		last := -1
		for _, p := range sent(r.server, false, trace.OneRTT) {
			if p.Datagram != last {
				sizes = append(sizes, len(p.Record.Data))
			}
			last = p.Datagram
		}
		early, late := sizes[100:500], sizes[len(sizes)/2:]
		reached, above := 0, 0
		for _, n := range early {
			if n >= first {
				reached++
			}
		}
		for _, n := range late {
			if n > then {
				above++
			}
		}
		if reached < len(early)/2 || above > len(late)/100 {
			r.Errorf("of %d early datagrams %d have %d bytes or more; of %d late ones %d have more than %d", len(early), reached, first, len(late), above, then)
		}
	}
}

// noMarks checks that the server, whose packets' marks do not arrive as they should, gives up marking (RFC 9000, section 13.4.2.1).
func noMarks(r *result) {
	ps := sent(r.server, false, trace.OneRTT)
	for _, p := range ps[len(ps)/2:] {
		if p.Record.ECN != 0 {
			r.Errorf("a packet is still marked at %v", p.Record.At)
			return
		}
	}
}

// markedNotLost checks that the queue's marks were acted on: the queue did not fill, so that next to nothing is lost.
func markedNotLost(r *result) {
	marked := 0
	for _, p := range sent(r.client, false, trace.OneRTT) {
		if p.Record.ECN == 3 {
			marked++
		}
	}
	all, arrived := len(sent(r.server, false, trace.OneRTT)), len(sent(r.client, false, trace.OneRTT))
	if lost := all - arrived; marked == 0 || lost > all/200 {
		r.Errorf("%d packets of %d are marked, %d were lost", marked, all, lost)
	}
}

// TestLinks runs a download over each of the links, from several seeds.
func TestLinks(t *testing.T) {
	for _, s := range links() {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s seed %d", s.name, seed+1), func(t *testing.T) {
				again := links() // models of its own
				s := again[indexOf(again, s.name)]
				s.client, s.version = "transfer", fmt.Sprint(1+seed%2)
				t.Parallel()
				s.run(t, seed+1)
			})
		}
	}
}

func indexOf(all []scenario, name string) int {
	for i := range all {
		if all[i].name == name {
			return i
		}
	}
	panic(name)
}
