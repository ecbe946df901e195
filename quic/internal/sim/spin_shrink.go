package sim

import (
	"errors"
	"slices"
	"time"
)

// Shrink makes a plan that fails as small as it gets while it fails in the same way, in at most so many runs, and returns it with
// its fault.
func (p *Plan) Shrink(fault *Fault, runs int) (*Plan, *Fault) {
	best := p
	for smaller := true; smaller && runs > 0; {
		smaller = false
		for _, reduce := range best.reductions() {
			if runs == 0 {
				break
			}
			next := best.clone()
			if !reduce(next) {
				continue
			}
			runs--
			var f *Fault
			if errors.As(next.Run(), &f) && f.Kind == fault.Kind {
				best, fault, smaller = next, f, true
			}
		}
	}
	return best, fault
}

// reductions is everything that may be left out of a plan, the large first. Each is false if there is nothing of it.
func (p *Plan) reductions() (all []func(*Plan) bool) {
	add := func(f func(*Plan) bool) { all = append(all, f) }
	all = append(all, cuts(len(p.Streams), func(p *Plan) *[]StreamPlan { return &p.Streams })...)
	all = append(all, cuts(len(p.Acts), func(p *Plan) *[]Act { return &p.Acts })...)
	all = append(all, cuts(len(p.Moves), func(p *Plan) *[]Move { return &p.Moves })...)
	all = append(all, cuts(len(p.Trips), func(p *Plan) *[]Trip { return &p.Trips })...)
	add(func(p *Plan) bool { return change(&p.Dead, [2]int{}) })
	add(func(p *Plan) bool { return change(&p.Preferred, false) })
	add(func(p *Plan) bool { return change(&p.Carries[1], p.Carries[0]) })
	add(func(p *Plan) bool { return change(&p.Carries, [2]int{}) })
	for i := range p.Net {
		all = append(all, cuts(len(p.Net[i]), func(p *Plan) *[]Trouble { return &p.Net[i] })...)
	}
	for side := range p.Sides {
		add(func(p *Plan) bool { return change(&p.Sides[side], Side{}) })
		for i := range p.Sides[side].Knobs {
			add(func(p *Plan) bool { return change(&p.Sides[side].Knobs[i], 0) })
		}
		add(func(p *Plan) bool { return change(&p.Sides[side].SendBuf, 0) })
		add(func(p *Plan) bool { return change(&p.Sides[side].Blind, false) })
		add(func(p *Plan) bool { return change(&p.Sides[side].Lag, 0) })
		add(func(p *Plan) bool { return change(&p.Sides[side].Late, 0) })
	}
	add(func(p *Plan) bool { return change(&p.Observer, Spy{}) })
	add(func(p *Plan) bool { return change(&p.Flood, Flood{}) })
	add(func(p *Plan) bool { return change(&p.Early, fullHandshake) })
	add(func(p *Plan) bool { return change(&p.Wander, 0) })
	add(func(p *Plan) bool { return change(&p.Keep, false) })
	add(func(p *Plan) bool { return change(&p.Jitter, 0) })
	add(func(p *Plan) bool { return change(&p.Delay, 10*time.Millisecond) })
	add(func(p *Plan) bool { return change(&p.EndBy, clientSide) })
	for i := range p.Streams {
		add := func(f func(*Plan) bool) { add(func(p *Plan) bool { return i < len(p.Streams) && f(p) }) } // some may have been cut
		for j := range p.Streams[i].Write {
			write := func(p *Plan) *WritePlan { return &p.Streams[i].Write[j] }
			add(func(p *Plan) bool { w := write(p); return change(w, WritePlan{Chunk: 1}) })
			add(func(p *Plan) bool { w := write(p); return change(w, WritePlan{Size: w.Size, Chunk: max(w.Size, 1)}) })
			add(func(p *Plan) bool { w := write(p); return change(&w.Size, w.Size/2) })
			add(func(p *Plan) bool { w := write(p); return change(&w.End, Finish) })
			add(func(p *Plan) bool { w := write(p); return change(&w.Quit, 0) })
			add(func(p *Plan) bool { w := write(p); return change(&w.Pause, 0) })
			add(func(p *Plan) bool { w := write(p); return change(&w.Silent, false) })
			add(func(p *Plan) bool { w := write(p); return change(&w.Chunk, 64<<10) })
			add(func(p *Plan) bool { return change(&p.Streams[i].Read[j], ReadPlan{Chunk: 64 << 10}) })
			add(func(p *Plan) bool { return change(&p.Streams[i].Read[j].Stop, 0) })
		}
		add(func(p *Plan) bool { return change(&p.Streams[i].At, time.Microsecond) })
		add(func(p *Plan) bool { return change(&p.Streams[i].Uni, true) })
	}
	return all
}

// change sets a value and tells whether it was another.
func change[T comparable](at *T, to T) bool {
	was := *at
	*at = to
	return was != to
}

// cuts leaves out parts of a list: halves, quarters, single elements, from the end on.
func cuts[T any](n int, list func(*Plan) *[]T) (all []func(*Plan) bool) {
	for size := n; size > 0; size /= 2 {
		for from := n - size; from >= 0; from -= size {
			all = append(all, func(p *Plan) bool {
				l := list(p)
				if from+size > len(*l) {
					return false
				}
				*l = slices.Delete(*l, from, from+size)
				return true
			})
		}
	}
	return all
}
