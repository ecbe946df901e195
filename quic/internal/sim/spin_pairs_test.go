package sim

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// spinPairs are features that meet in few random plans, and each of which changes what the other relies on. Each changes a plan that was drawn.
var spinPairs = []struct {
	name string
	join func(d dice, p *Plan)
}{
	{"Retry, and a flood of Initials at a server with few places", func(d dice, p *Plan) {
		server := &p.Sides[serverSide].Knobs
		server[knobRetry], server[knobMaxHandshakes] = 1, int64(d.log(2, 8))
		p.Flood = Flood{N: d.log(20, 200), Every: d.dur(100*time.Microsecond, 20*time.Millisecond), Hello: d.chance(0.5)}
	}},
	{"another version, 0-RTT data, and a first flight that is lost", func(d dice, p *Plan) {
		for side := range p.Sides {
			p.Sides[side].Knobs[knobVersions] = one[int64](d, 12, 21)
		}
		p.Early = one(d, earlyAccepted, earlyRejected)
		p.Net[1] = append(p.Net[1], Trouble{Kind: "drop one", N: 1 + d.IntN(3)})
		if d.chance(0.5) {
			p.Net[0] = append(p.Net[0], Trouble{Kind: "drop one", N: 1 + d.IntN(3)})
		}
	}},
	{"key updates while the client moves", func(d dice, p *Plan) {
		d.moveOften(p)
		for range 40 {
			p.Acts = append(p.Acts, Act{At: d.dur(time.Millisecond, p.Heal), Side: d.IntN(2), What: "key update"})
		}
	}},
	{"a path that begins to carry less while the client moves", func(d dice, p *Plan) {
		d.moveOften(p)
		p.Carries = [2]int{d.log(1300, 9000), d.log(1200, 1300)}
		if d.chance(0.3) {
			p.Carries[0], p.Carries[1] = p.Carries[1], p.Carries[0]
		}
	}},
	{"datagrams beside streams with priorities, at tiny windows", func(d dice, p *Plan) {
		for side := range p.Sides {
			k := &p.Sides[side].Knobs
			k[knobWindow], k[knobInitialWindow], k[knobDatagram] = int64(d.log(1, 3000)), 2, int64(d.log(1, 65535))
			k[knobIdle] = 0 // else who reads slowly may be silent for longer
		}
		d.shorten(p)
		for range 30 {
			p.Acts = append(p.Acts, Act{At: d.dur(time.Millisecond, p.Heal), Side: d.IntN(2), What: "datagrams", N: d.log(1, 1000)})
		}
	}},
	{"connection IDs of no and of 20 bytes, and another port with each datagram or so", func(d dice, p *Plan) {
		p.Sides[clientSide].Knobs[knobIDLen], p.Sides[serverSide].Knobs[knobIDLen] = one[int64](d, 1, 21), 21
		d.moveOften(p)
		p.Moves, p.Keep = p.Moves[:0], true
		every := max(p.Delay/4, 50*time.Microsecond)
		for i := range 200 {
			p.Moves = append(p.Moves, Move{At: time.Duration(i) * every, Port: i + 1})
		}
	}},
	{"idle timeouts of about a probe timeout", func(d dice, p *Plan) {
		for side := range p.Sides {
			k := &p.Sides[side].Knobs
			k[knobIdle] = int64(d.dur(p.Delay+time.Millisecond, 20*p.Delay+100*time.Millisecond))
			k[knobInitialRTT] = int64(d.dur(time.Millisecond, 3*time.Second))
			if d.chance(0.5) {
				k[knobKeepAlive] = max(k[knobIdle]/2, int64(5*time.Millisecond)) // more often is taken for sending without end
			}
		}
	}},
	{"first flights that are lost, and clients that repeat early", func(d dice, p *Plan) {
		p.Sides[clientSide].Knobs[knobInitialRTT] = int64(d.dur(time.Millisecond, 50*time.Millisecond))
		p.Early = d.IntN(numEarly)
		for side := range p.Net {
			p.Net[side] = append(p.Net[side], Trouble{Kind: "lose", P: one(d, 0.2, 0.5, 0.7)})
		}
	}},
}

// moveOften has the client move between addresses, which a server can follow that knows it by its connection IDs.
func (d dice) moveOften(p *Plan) {
	server := &p.Sides[serverSide].Knobs
	if server[knobIDLen] == 1 {
		server[knobIDLen] = 0
	}
	server[knobNoReuse] = 0
	p.Moves = nil
	d.roam(p)
}

// shorten bounds what streams carry by what tiny windows let pass before a play is over.
func (d dice) shorten(p *Plan) {
	for i := range p.Streams {
		for j := range p.Streams[i].Write {
			w := &p.Streams[i].Write[j]
			w.Size = min(w.Size, 100*int(min(p.Sides[0].Knobs[knobWindow], p.Sides[1].Knobs[knobWindow])))
		}
	}
}

// TestSpinPairs plays plans in which two features meet.
func TestSpinPairs(t *testing.T) {
	spinAll(t, 4, func(seed uint64) error {
		pair := spinPairs[seed%uint64(len(spinPairs))]
		p := DrawPlan(seed)
		pair.join(dice{rand.New(rand.NewPCG(seed, 0x9a12))}, p)
		err := p.Run()
		var fault *Fault
		if !errors.As(err, &fault) {
			return err
		}
		small, f := p.Shrink(fault, shrinkRuns)
		t.Errorf("%s: %v\nplan:\n%v\nmade smaller, it still fails: %v\nplan:\n%v", pair.name, fault, p, f, small)
		return err
	})
}
