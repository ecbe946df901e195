package main

// #include "internal.h"
import "C"

import "time"

// bell has threads of the program wait until something may have happened, and then look again. The lock of whoever it belongs to guards it.
type bell struct {
	next chan struct{} // closed when it rings; nil: nobody waits
}

// listen returns what is closed when it rings.
func (b *bell) listen() <-chan struct{} {
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// ring has those who wait look again, and tells whether there may be any.
func (b *bell) ring() bool {
	if b.next == nil {
		return false
	}
	close(b.next)
	b.next = nil
	return true
}

// patience is how long a call waits.
type patience struct {
	timeout C.uint64_t // nanoseconds, more than there are stand for ever
	over    bool       // the time is over
	timer   *time.Timer
}

// wait waits for a bell, or until the time is over.
func (p *patience) wait(bell <-chan struct{}) {
	if p.timeout > maxDuration {
		<-bell
		return
	}
	if p.timer == nil {
		p.timer = time.NewTimer(time.Duration(p.timeout))
	}
	select {
	case <-bell:
	case <-p.timer.C:
		p.over = true
	}
}

func (p *patience) end() {
	if p.timer != nil {
		p.timer.Stop()
	}
}
