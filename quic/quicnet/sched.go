package quicnet

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// scheduler keeps the timers of all connections of a shard in one heap, under one timer of the runtime, and goes on with
// sending where others have used up their turn. One goroutine does both.
//
// Most timers are set again and again before they expire, and always later. So a connection stands in the heap under a
// time (heapAt) that may be earlier than what it wants (wantAt), and is moved only when its turn comes.
type scheduler struct {
	base  time.Time // times are in nanoseconds from here
	timer *time.Timer
	wake  chan struct{} // holds a token when there is a backlog
	quit  chan struct{}
	done  chan struct{}
	shard *shard
	due   []*Conn // what take found, used again

	parallel bool        // there is more than one processor
	sending  atomic.Bool // the scheduler is at it

	mu      sync.Mutex
	heap    []*Conn
	armed   int64   // when timer expires
	backlog []*Conn // not finished with sending; the right to send for them is the scheduler's
	stopped bool
}

// never is later than all times.
const never = math.MaxInt64

func (s *scheduler) init(sh *shard) {
	s.shard = sh
	s.base = time.Now()
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
	s.armed = never
	s.wake = make(chan struct{}, 1)
	s.quit = make(chan struct{})
	s.done = make(chan struct{})
	s.parallel = cores() > 1
}

// cores is how many goroutines run at the same time: Go may have been given more processors than there are.
func cores() int { return min(runtime.GOMAXPROCS(0), runtime.NumCPU()) }

func (s *scheduler) run() {
	defer close(s.done)
	defer s.timer.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-s.timer.C:
		case <-s.wake:
		}
		for s.turn() {
			select {
			case <-s.quit:
				return
			default:
			}
		}
	}
}

// stop ends run, and gives the right to send back for the connections that still wait. Later ones are not taken.
func (s *scheduler) stop() {
	close(s.quit)
	<-s.done
	s.mu.Lock()
	left := s.backlog
	s.backlog, s.stopped = nil, true
	s.mu.Unlock()
	for _, c := range left {
		c.mu.Lock()
		c.release()
		c.mu.Unlock()
	}
}

// takeOver goes on with sending for a connection; the right to do so comes with it.
func (s *scheduler) takeOver(c *Conn) {
	s.mu.Lock()
	stopped := s.stopped
	if !stopped {
		s.backlog = append(s.backlog, c)
	}
	s.mu.Unlock()
	if stopped {
		c.mu.Lock()
		c.release()
		c.mu.Unlock()
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// turn deals with connections whose time has come and gives each of the backlog a turn. It tells whether there is more to be
// done at once.
func (s *scheduler) turn() bool {
	now := time.Now()
	sending, due, more := s.take(now)
	for i, c := range due {
		if c.onTimeout(now) {
			sending = append(sending, c)
		}
		due[i] = nil
	}
	if len(sending) == 0 {
		return more
	}
	if !s.parallel {
		for _, sock := range s.shard.all() {
			sock.sock.Wake() // else nobody would read it as long as there is something to write
		}
	}
	runtime.Gosched() // that, and writers that were woken, go first, so that trains get full
	s.sending.Store(true)
	left := s.shard.flush(sending)
	s.sending.Store(false)
	if len(left) == 0 {
		return more
	}
	s.mu.Lock()
	s.backlog = append(s.backlog, left...)
	s.mu.Unlock()
	return true
}

// onTimeout has a connection act on its timers. It tells whether the caller is to send for it.
func (c *Conn) onTimeout(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onTimers(now)
	if c.roam != nil {
		c.noteTimeout()
	}
	c.handleEvents(now)
	if c.seat != nil && !c.drained {
		c.guarded(now, func() { c.seat.onTimeout(now) })
		c.handleEvents(now)
	}
	return c.claim()
}

// take removes the backlog, and from the heap the connections whose time has come. more says that there are more of those.
func (s *scheduler) take(now time.Time) (sending, due []*Conn, more bool) {
	at := int64(now.Sub(s.base))
	s.mu.Lock()
	defer s.mu.Unlock()
	due = s.due[:0]
	for len(s.heap) > 0 && s.heap[0].heapAt.Load() <= at {
		c := s.heap[0]
		if c.wantAt.Load() <= at {
			if len(due) == maxDue {
				more = true
				break
			}
			due = append(due, c)
			s.remove(c)
			continue
		}
		s.settle(c)
	}
	s.due = due
	sending, s.backlog = s.backlog, nil
	s.armed = never
	if len(s.heap) > 0 && !more {
		s.set(s.heap[0].heapAt.Load())
	}
	return sending, due, more
}

// settle moves a connection, whose time in the heap has come, to where it wants to be.
func (s *scheduler) settle(c *Conn) {
	for {
		want := c.wantAt.Load()
		c.heapAt.Store(want)
		// Whoever sets an earlier time from now on sees the new heapAt; who did before has set wantAt.
		if c.wantAt.Load() >= want {
			break
		}
	}
	if c.heapAt.Load() == never {
		s.remove(c)
		return
	}
	s.fix(c)
}

// arm sets the connection's timer to what the core and the Protocol want. c.mu is held.
func (c *Conn) arm(now time.Time) {
	want := int64(never)
	at, ok := c.core.Timeout()
	if c.seat != nil && !c.drained {
		at, ok = c.seat.timeout(at, ok)
	}
	if ok && !c.drained {
		if !at.After(now) {
			at = now.Add(minSpacing) // it has been called already, and had nothing to do
		}
		want = int64(at.Sub(c.shard.sched.base))
	}
	c.wantAt.Store(want)
	if want < c.heapAt.Load() {
		c.shard.sched.insert(c)
	}
}

// insert puts a connection into the heap, or moves it forward there.
func (s *scheduler) insert(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := c.wantAt.Load()
	if want >= c.heapAt.Load() || s.stopped {
		return
	}
	c.heapAt.Store(want)
	if c.heapIndex < 0 {
		c.heapIndex = len(s.heap)
		s.heap = append(s.heap, c)
	}
	s.up(c.heapIndex)
	if want < s.armed {
		s.set(want)
	}
}

// set has the timer expire at that time.
func (s *scheduler) set(at int64) {
	s.armed = at
	s.timer.Reset(time.Until(s.base.Add(time.Duration(at))))
}

// forget takes a connection that is drained out of the heap.
func (s *scheduler) forget(c *Conn) {
	c.wantAt.Store(never)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.heapIndex >= 0 {
		s.remove(c)
	}
}

// The heap: each connection's heapAt is not before that of its parent.

func (s *scheduler) remove(c *Conn) {
	i, last := c.heapIndex, len(s.heap)-1
	s.swap(i, last)
	s.heap[last] = nil
	s.heap = s.heap[:last]
	c.heapIndex = -1
	c.heapAt.Store(never)
	if i < last {
		s.fix(s.heap[i])
	}
}

func (s *scheduler) fix(c *Conn) {
	s.up(c.heapIndex)
	s.down(c.heapIndex)
}

func (s *scheduler) before(i, j int) bool { return s.heap[i].heapAt.Load() < s.heap[j].heapAt.Load() }

func (s *scheduler) swap(i, j int) {
	s.heap[i], s.heap[j] = s.heap[j], s.heap[i]
	s.heap[i].heapIndex, s.heap[j].heapIndex = i, j
}

func (s *scheduler) up(i int) {
	for i > 0 && s.before(i, (i-1)/2) {
		s.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (s *scheduler) down(i int) {
	for {
		least := i
		for j := 2*i + 1; j <= 2*i+2 && j < len(s.heap); j++ {
			if s.before(j, least) {
				least = j
			}
		}
		if least == i {
			return
		}
		s.swap(i, least)
		i = least
	}
}
