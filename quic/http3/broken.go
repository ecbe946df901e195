package http3

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// cooldown is for how long an origin's HTTP/3 is left alone. Its zero value is that of one that works, or was not tried.
type cooldown struct {
	until   time.Time
	last    time.Duration // how long the last one was; 0: nothing has failed since a response came whole
	network networkID     // that it began on
}

// fail begins a cool-down, twice as long as the one before.
func (c *cooldown) fail(now time.Time, least, most time.Duration, on networkID) {
	c.last = min(max(2*c.last, least), most)
	c.until, c.network = now.Add(c.last), on
}

func (c *cooldown) active(now time.Time) bool { return now.Before(c.until) }

// recent tells whether HTTP/3 has failed and not shown since that it works, so that nothing should wait for it.
func (c *cooldown) recent() bool { return c.last > 0 }

// failed notes that HTTP/3 does not work with an origin, unless it has worked since the connection ended that shows it (verdict). It is also called within the
// turn of a connection, and so with its lock held: t.mu is never held while one of those is taken.
func (t *AutoTransport) failed(o *autoOrigin, ended time.Time) {
	least, most := t.Cooldown, t.MaxCooldown
	if least <= 0 {
		least = defaultCooldown
	}
	if most <= 0 {
		most = defaultMaxCooldown
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	o = t.origins.known(o)
	if !ended.IsZero() && ended.Before(o.worked) {
		return
	}
	if !o.cooldown.active(now) { // what fails while one is on is of the same cause, and does not count
		o.cooldown.fail(now, least, max(least, most), t.network.last())
	}
}

// maxBrokenOff is after how many responses in a row that were broken off HTTP/3 counts as broken. One may be that of a handler in trouble, for which a
// server has no other words.
const maxBrokenOff = 3

// brokeOff notes that a response was broken off, though its connection goes on. Where HTTP/3 has failed before, it has failed again.
func (t *AutoTransport) brokeOff(o *autoOrigin) {
	t.mu.Lock()
	o = t.origins.known(o)
	o.brokenOff++
	enough := o.brokenOff >= maxBrokenOff || o.cooldown.recent()
	t.mu.Unlock()
	if enough {
		t.failed(o, time.Time{})
	}
}

// hasFailed tells whether HTTP/3 has failed with an origin, and not shown since that it works.
func (t *AutoTransport) hasFailed(o *autoOrigin) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return o.cooldown.recent()
}

// tcpFailed notes that there was no connection over TCP. If HTTP/3 has failed as well it is the network or the server, and there is no better way to go
// to: the next request tries both.
func (t *AutoTransport) tcpFailed(o *autoOrigin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o = t.origins.known(o)
	o.cooldown = cooldown{}
}

// worked notes that a response came whole over HTTP/3. While a cool-down is on it says nothing: what was under way when that began comes to its end.
func (t *AutoTransport) worked(o *autoOrigin, ended time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o = t.origins.known(o)
	now := time.Now()
	o.brokenOff = 0
	if ended.IsZero() {
		o.worked = now
	} else if o.worked.Before(ended) {
		o.worked = ended
	}
	if o.cooldown.recent() && !o.cooldown.active(now) {
		o.cooldown = cooldown{}
	}
}

// forgetNetwork forgets what a change of the network makes void. It returns the origins that have lost alternatives.
func (t *AutoTransport) forgetNetwork() (changed []*autoOrigin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := t.origins.used.Front(); e != nil; e = e.Next() {
		o := e.Value.(*autoOrigin)
		o.cooldown, o.brokenOff, o.works, o.routes = cooldown{}, 0, "", nil
		var left []Alternative
		for _, a := range o.alts {
			if a.Persist {
				left = append(left, a)
			}
		}
		if len(left) == len(o.alts) {
			continue
		}
		o.setAlternatives(left, 0)
		changed = append(changed, o)
	}
	return changed
}

// networkID tells networks of the machine apart.
type networkID struct {
	addrs string
	told  int // how often the program has told of another one, or it was found out
}

// networkWatch finds out which network the machine has. To look takes system calls: who holds a lock asks for what was found last.
type networkWatch struct {
	look func() string // nil: localAddrs
	is   atomic.Pointer[networkID]

	mu sync.Mutex // of who looks, or changes is
	at time.Time  // when it was looked at; zero: never
}

// networkEvery is how often the network is looked at, at most.
const networkEvery = time.Second

// last returns what was found last.
func (w *networkWatch) last() networkID {
	if is := w.is.Load(); is != nil {
		return *is
	}
	return networkID{}
}

// now looks, if that was not done within networkEvery.
func (w *networkWatch) now(now time.Time) networkID {
	w.mu.Lock()
	defer w.mu.Unlock()
	is := w.last()
	if !w.at.IsZero() && now.Sub(w.at) < networkEvery {
		return is
	}
	if w.at = now; w.look != nil {
		is.addrs = w.look()
	} else {
		is.addrs = localAddrs()
	}
	w.is.Store(&is)
	return is
}

// changed notes that the network is another one.
func (w *networkWatch) changed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	is := w.last()
	is.told++
	w.is.Store(&is)
}

// localAddrs returns the addresses that the system would send from to somewhere far away. The addresses asked about are for documentation
// (RFC 5737, RFC 3849): a UDP socket that is connected has a route looked up, and sends nothing.
func localAddrs() string {
	var out strings.Builder
	for _, far := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		if c, err := net.Dial("udp", far); err == nil {
			host, _, _ := net.SplitHostPort(c.LocalAddr().String())
			out.WriteString(host)
			c.Close()
		}
		out.WriteByte(' ')
	}
	return out.String()
}
