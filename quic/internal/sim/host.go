package sim

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/quic"
)

const (
	// maxTrain bounds the bytes of a train, as the length field of UDP does.
	maxTrain = 65535

	// maxRounds is how often a connection may send at one instant, and how many events it may tell; more is a loop without end.
	maxRounds = 10000

	// maxFirings is how often a connection's timer may fire at one instant: each time one more cause may be found to be due, and no
	// more than a few causes exist. A timer that is in the past whatever is done keeps a processor busy.
	maxFirings = 8
)

// Host is an Endpoint with its connections on one address, driven as a program with a socket would drive them.
type Host struct {
	Addr     netip.AddrPort
	Endpoint *quic.Endpoint
	Conns    []*Conn // all that ever were, in order

	// Check has the state of each connection checked whenever it was driven: that takes time in proportion to what is in flight.
	Check bool

	// OnEvent is called for each event of a connection that is not for the driver.
	OnEvent func(c *Conn, ev quic.Event)

	// Blind has the host not know which of its addresses datagrams came to, as a socket without packet information does.
	Blind bool

	// Lag is how long asks take to be answered at the most, as where a worker answers them, and Late how late timers fire.
	Lag, Late time.Duration

	world     *World
	out       *Link
	inbox     []Datagram
	scheduled bool // work will run at this instant
	buf       []byte
	reply     []byte
	train     []byte
}

// Conn is a connection of a Host.
type Conn struct {
	*quic.Conn
	App     any // the application's own
	Drained bool

	host    *Host
	dirty   bool
	timer   time.Time
	instant time.Time // when rounds, events and firings began to count
	rounds  int
	events  int
	firings int
}

// NewHost returns a Host on addr.
func NewHost(w *World, addr netip.AddrPort, e *quic.Endpoint, onEvent func(*Conn, quic.Event)) *Host {
	return &Host{
		Addr: addr, Endpoint: e, OnEvent: onEvent, world: w,
		buf: make([]byte, maxTrain), reply: make([]byte, 1500),
	}
}

// Attach gives the Host the link that it sends on.
func (h *Host) Attach(out *Link) { h.out = out }

// Receive takes a datagram from a link.
func (h *Host) Receive(d Datagram) {
	h.inbox = append(h.inbox, d)
	h.wake()
}

// Add takes a connection that the Endpoint made, and drives it from now on.
func (h *Host) Add(qc *quic.Conn) *Conn {
	c := &Conn{Conn: qc, host: h}
	h.Conns = append(h.Conns, c)
	c.Touch()
	return c
}

// Touch has the connection's events and packets looked after at this instant; to be called after any call on it.
func (c *Conn) Touch() {
	c.dirty = true
	c.host.wake()
}

func (h *Host) wake() {
	if !h.scheduled {
		h.scheduled = true
		h.world.After(0, h.work)
	}
}

// work handles what came in at this instant, in trains, and lets the touched connections go on.
func (h *Host) work() {
	h.scheduled = false
	inbox := h.inbox
	h.inbox = nil
	for len(inbox) > 0 {
		n := trainLen(inbox)
		h.route(inbox[:n])
		inbox = inbox[n:]
	}
	for _, c := range h.Conns {
		if c.dirty && !c.Drained {
			c.dirty = false
			c.service()
			c.check()
		}
	}
}

// trainLen is how many datagrams from the first form a train, as generic receive offload would see it.
func trainLen(ds []Datagram) int {
	first, total := ds[0], len(ds[0].Data)
	for n := 1; n < len(ds); n++ {
		d, before := ds[n], len(ds[n-1].Data)
		total += len(d.Data)
		if before != len(first.Data) || len(d.Data) > before || len(d.Data) == 0 || d.From != first.From ||
			d.To != first.To || d.ECN != first.ECN || total > maxTrain {
			return n
		}
	}
	return len(ds)
}

func (h *Host) route(ds []Datagram) {
	h.train = h.train[:0]
	for _, d := range ds {
		h.train = append(h.train, d.Data...)
	}
	local := ds[0].To
	if h.Blind {
		local = netip.AddrPort{}
	}
	t := quic.Train{Buf: h.train, SegSize: len(ds[0].Data), Local: local, Remote: ds[0].From, ECN: ds[0].ECN}
	for len(t.Buf) > 0 {
		r := h.Endpoint.Route(h.world.Now(), t, h.reply)
		if r.N <= 0 || r.N > len(t.Buf) {
			h.world.Fail(fmt.Errorf("sim: Route covers %d of %d bytes", r.N, len(t.Buf)))
			return
		}
		if r.Reply > 0 {
			h.out.Send(Datagram{Data: bytes.Clone(h.reply[:r.Reply]), From: ds[0].To, To: t.Remote})
		}
		if r.Conn != nil {
			h.deliver(r, t)
		}
		t.Buf = t.Buf[r.N:]
	}
}

func (h *Host) deliver(r quic.Routed, t quic.Train) {
	var c *Conn
	for _, known := range h.Conns {
		if known.Conn == r.Conn {
			c = known
		}
	}
	if (c == nil) != r.New {
		h.world.Fail(fmt.Errorf("sim: Route says New is %v of a connection that is known: %v", r.New, c != nil))
		return
	}
	if c == nil {
		c = h.Add(r.Conn)
	}
	if c.Drained {
		h.world.Fail(fmt.Errorf("sim: a datagram was routed to a drained connection"))
		return
	}
	t.Buf = t.Buf[:r.N:r.N]
	c.Recv(h.world.Now(), t)
	c.Touch()
}

func (c *Conn) check() {
	if !c.host.Check {
		return
	}
	if err := c.Conn.Check(); err != nil {
		c.host.world.Fail(fmt.Errorf("sim: at %v, %v: %w", c.host.world.Elapsed(), c.host.Addr, err))
	}
}

// service reads the connection's events, sends what it has to send and sets its timer.
func (c *Conn) service() {
	for {
		c.readEvents()
		if c.Drained {
			break
		}
		if !c.countRound() {
			return
		}
		t := c.Send(c.host.world.Now(), c.host.buf)
		if t.N == 0 {
			break
		}
		c.transmit(t)
	}
	c.setTimer()
}

func (c *Conn) readEvents() {
	w := c.host.world
	for {
		ev, ok := c.NextEvent()
		if !ok || !c.countEvent() {
			return
		}
		switch ev.Kind {
		case quic.EventAsk:
			c.answer(ev)
		case quic.EventEndpoint:
			c.HandleReply(w.Now(), c.host.Endpoint.HandleEvent(c.Conn, *ev.Endpoint))
		default:
			c.Drained = c.Drained || ev.Kind == quic.EventDrained
			c.host.OnEvent(c, ev)
		}
	}
}

// answer answers what TLS asks, at once or later.
func (c *Conn) answer(ev quic.Event) {
	if c.host.Lag == 0 {
		ev.Ask.Run()
		c.Answer(ev.Ask)
		return
	}
	w := c.host.world
	w.After(w.Between(0, c.host.Lag), func() {
		if !c.Drained {
			ev.Ask.Run()
			c.Answer(ev.Ask)
			c.Touch()
		}
	})
}

// transmit sends a train now, or when pacing would have it leave.
func (c *Conn) transmit(t quic.Transmit) {
	h := c.host
	from := t.Local
	if !from.IsValid() || from.Addr().IsUnspecified() {
		from = h.Addr
	}
	send := func(train []byte) {
		for len(train) > 0 {
			n := min(t.SegSize, len(train))
			h.out.Send(Datagram{Data: bytes.Clone(train[:n]), From: from, To: t.Remote, ECN: t.ECN})
			train = train[n:]
		}
	}
	if t.SegSize <= 0 {
		h.world.Fail(fmt.Errorf("sim: a train of %d bytes in segments of %d", t.N, t.SegSize))
		return
	}
	wait := t.SendAt.Sub(h.world.Now())
	if t.SendAt.IsZero() || wait <= 0 {
		send(h.buf[:t.N])
		return
	}
	train := bytes.Clone(h.buf[:t.N])
	h.world.After(wait, func() { send(train) })
}

func (c *Conn) setTimer() {
	at, ok := c.Timeout()
	if !ok || c.Drained {
		c.timer = time.Time{}
		return
	}
	if at.Equal(c.timer) {
		return
	}
	c.timer = at
	w := c.host.world
	w.After(at.Sub(w.Now())+w.Between(0, c.host.Late), func() {
		if !c.timer.Equal(at) || c.Drained || !c.countFiring() {
			return // set anew since
		}
		c.timer = time.Time{}
		c.OnTimeout(w.Now())
		c.Touch()
	})
}

// countRound is false if the connection is in a loop without end at one instant.
func (c *Conn) countRound() bool {
	c.startCounting()
	c.rounds++
	return c.within(c.rounds, maxRounds, "sends without end")
}

// countEvent is false if each event brings another.
func (c *Conn) countEvent() bool {
	c.startCounting()
	c.events++
	return c.within(c.events, maxRounds, "tells of events without end")
}

// countFiring is false if the connection's timer is in the past whatever is done.
func (c *Conn) countFiring() bool {
	c.startCounting()
	c.firings++
	return c.within(c.firings, maxFirings, "has a timer that stays in the past")
}

func (c *Conn) startCounting() {
	if now := c.host.world.Now(); !c.instant.Equal(now) {
		c.instant, c.rounds, c.events, c.firings = now, 0, 0, 0
	}
}

func (c *Conn) within(n, most int, what string) bool {
	if n > most {
		c.host.world.Fail(&Fault{Kind: "busy", Text: fmt.Sprintf("at %v a connection of %v %s", c.host.world.Elapsed(), c.host.Addr,
			what)})
	}
	return n <= most
}
