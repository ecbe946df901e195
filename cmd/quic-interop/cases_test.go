package main

import (
	"slices"
	"testing"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/netem"
)

const (
	kb = 1 << 10
	mb = 1 << 20
)

// link is the runner's simple-p2p: 15 ms, 10 Mbit/s, 25 packets.
func link(models ...func() netem.Model) netem.Link {
	return delayed(15*time.Millisecond, models...)
}

func delayed(delay time.Duration, models ...func() netem.Model) netem.Link {
	l := netem.Link{Rate: netem.Both[int64](10e6), Delay: netem.Both(delay), Queue: 25}
	for _, m := range models {
		for d := range l.Models {
			l.Models[d] = append(l.Models[d], m())
		}
	}
	return l
}

// rebinding is link with an address translator.
func rebinding(n netem.NAT) netem.Link {
	l := link()
	l.NAT = &n
	return l
}

// repeat returns n times size.
func repeat(n, size int) []int { return slices.Repeat([]int{size}, n) }

func dropRate(percent int) func() netem.Model {
	return func() netem.Model { return netem.NewDropRate(percent, 3) }
}

func corruptRate(percent int, drop bool) func() netem.Model {
	return func() netem.Model { return netem.NewCorruptRate(percent, 3, drop) }
}

func droplist(d netem.Direction, numbers ...int) netem.Link {
	l := link()
	l.Models[d] = []netem.Model{&netem.DropList{Numbers: numbers}}
	return l
}

// runnerCases are the runner's test cases and its two measurements, but for versionnegotiation, which is disabled there. Models
// are made anew for each run.
func runnerCases() []scenario {
	sec := time.Second
	return []scenario{
		{name: "H handshake", client: "handshake", files: repeat(1, kb), link: link(), check: noRetry},
		{name: "DC transfer", client: "transfer", files: []int{2 * mb, 3 * mb, 5 * mb}, link: link()},
		{name: "LR longrtt", client: "handshake", files: repeat(1, kb), link: delayed(750 * time.Millisecond), check: twoHellos},
		{name: "C20 chacha20", client: "chacha20", files: repeat(1, 3*mb), link: link(), check: onlyChaCha20},
		{name: "M multiplexing", client: "transfer", files: repeat(1999, 32), link: link(), check: streamLimit},
		{name: "S retry", client: "retry", files: repeat(1, 10*kb), link: link(), check: retryAnswered},
		{name: "R resumption", client: "resumption", files: []int{5 * kb, 10 * kb}, link: link(), handshakes: 2, check: resumed},
		{name: "Z zerortt", client: "zerortt", files: repeat(40, 32), longNames: true, link: link(), handshakes: 2, check: early},
		{name: "3 http3", client: "http3", files: []int{5 * kb, 10 * kb, 500 * kb}, link: link()},
		{name: "3 http3 with loss", client: "http3", files: append(repeat(100, 32), 500*kb), link: link(dropRate(2))},
		{name: "B blackhole", client: "transfer", files: repeat(1, 10*mb),
			link: link(func() netem.Model { return &netem.Blackhole{On: 5 * sec, Off: 2 * sec} })},
		{name: "U keyupdate", client: "keyupdate", server: "transfer", files: repeat(1, 3*mb), link: link(), check: keysUpdated},
		{name: "E ecn", client: "ecn", files: repeat(1, 100*kb), link: link(), check: marksSeen},
		{name: "A amplificationlimit", client: "transfer", files: repeat(1, 5*kb), chain: 9,
			link: droplist(netem.ToServer, 2, 3, 4, 5, 6, 7), check: amplification},
		{name: "L1 handshakeloss", client: "multiconnect", files: repeat(50, kb), link: link(dropRate(30)), handshakes: 50, timeout: 300 * sec},
		{name: "L2 transferloss", client: "transfer", files: repeat(1, 2*mb), link: link(dropRate(2))},
		{name: "C1 handshakecorruption", client: "multiconnect", files: repeat(50, kb), link: link(corruptRate(30, false)), handshakes: 50, timeout: 300 * sec},
		{name: "C1 handshakecorruption as loss", client: "multiconnect", files: repeat(50, kb), link: link(corruptRate(30, true)), handshakes: 50, timeout: 300 * sec},
		{name: "C2 transfercorruption", client: "transfer", files: repeat(1, 2*mb), link: link(corruptRate(2, false))},
		{name: "C2 transfercorruption as loss", client: "transfer", files: repeat(1, 2*mb), link: link(corruptRate(2, true))},
		{name: "6 ipv6", client: "transfer", files: []int{5 * kb, 10 * kb}, v6: true, link: link(), check: onIPv6},
		{name: "V2 v2", client: "v2", files: repeat(1, kb), link: link(), check: version2},
		{name: "BP rebind-port", client: "transfer", files: repeat(1, 10*mb), link: rebinding(netem.NAT{First: sec, Every: 5 * sec}), check: pathsValidated},
		{name: "BA rebind-addr", client: "transfer", files: repeat(1, 10*mb), link: rebinding(netem.NAT{First: sec, Every: 5 * sec, Addr: true}), check: addressesChanged},
		{name: "CM connectionmigration", client: "transfer", server: "connectionmigration", files: repeat(1, 2*mb), dual: true, link: link(), check: moved},
		{name: "G goodput", client: "transfer", files: repeat(1, 10*mb), link: link(), check: goodput(0.9)},
		{name: "C crosstraffic", client: "transfer", files: repeat(1, 25*mb), link: link(), flow: true, timeout: 180 * sec, check: fair},
	}
}

// goodput returns a check that the download had that part of the link.
func goodput(part float64) func(r *result) {
	return func(r *result) {
		bits := 8 * float64(r.s.files[0])
		if got := bits / r.took.Seconds(); got < part*10e6 {
			r.Errorf("goodput is %.1f Mbit/s", got/1e6)
		} else {
			r.Logf("goodput is %.1f Mbit/s", got/1e6)
		}
	}
}

// fair checks that a download and the TCP flow beside it share the link. They do where their packets are of one size, which takes the search
// for the path's MTU: in a queue that counts packets, as this one does, smaller ones arrive faster than larger ones leave and find it full,
// so that a TCP flow with packets of 1,228 bytes has 0.3 of the link beside one with 1,500.
func fair(r *result) {
	goodput(0.35)(r)
	if got := 8 * float64(r.s.files[0]) / r.took.Seconds(); got > 0.65*10e6 {
		r.Errorf("goodput is %.1f Mbit/s beside a TCP flow: more than its share", got/1e6)
	}
}

// TestRunner runs each of the runner's cases in virtual time, in version 1 and in version 2.
func TestRunner(t *testing.T) {
	for _, version := range []string{"1", "2"} {
		for _, s := range runnerCases() {
			t.Run(s.name+" version "+version, func(t *testing.T) {
				s.version = version
				if version == "2" && s.client == "v2" {
					t.Skip("it moves from one to the other")
				}
				t.Parallel()
				s.run(t, 1)
			})
		}
	}
}
