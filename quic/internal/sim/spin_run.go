package sim

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// spinRun is a plan that is being played.
type spinRun struct {
	plan     *Plan
	w        *World
	hosts    [2]*Host
	apps     [2]*spinApp
	links    [2]*Link
	roamer   *Roamer
	spy      *Observer
	opened   map[uint64]*StreamPlan // by ID
	healed   bool
	ending   bool         // streams that were left are to be reset
	heard    [2]bool      // a side received what was sent after Heal, the client what the server sent after it had
	heardAt  time.Time    // when the server did
	closing  [2]*closeAct // what a side's application closed the connection with
	vanished [2]bool
	progress int // counts whatever brings the play nearer to its end
	trace    *Trace
}

type closeAct struct {
	app    bool
	code   uint64
	reason string
}

// Run plays the plan. An error is a *Fault.
func (p *Plan) Run() error { return p.run(nil) }

func (p *Plan) run(trace *Trace) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Fault{"panic", fmt.Sprintf("%v\n%s", v, debug.Stack())}
		}
	}()
	r := &spinRun{plan: p, w: NewWorld(p.Seed), opened: make(map[uint64]*StreamPlan), trace: trace}
	if err := r.setUp(); err != nil {
		return &Fault{"config", err.Error()}
	}
	defer release(r.hosts[0], r.hosts[1])
	r.play()
	if f := (*Fault)(nil); r.w.err != nil && !errors.As(r.w.err, &f) {
		return &Fault{"driver", r.w.err.Error()}
	}
	return r.w.err
}

func (r *spinRun) fail(kind, format string, args ...any) {
	r.w.Fail(&Fault{kind, fmt.Sprintf("at %v, %s", r.w.Elapsed(), fmt.Sprintf(format, args...))})
}

// chanceOf is true once in n times.
func (r *spinRun) chanceOf(n int) bool { return r.w.rng.IntN(n) == 0 }

func (r *spinRun) setUp() error {
	p, w := r.plan, r.w
	var configs [2]*quic.Config
	before := NewWorld(p.Seed) // in which the client came by its session
	before.now = epoch.Add(-10 * time.Minute)
	current := before
	clientTLS, serverTLS := tlsConfigs(w)
	clientTLS.Time = func() time.Time { return current.Now() }
	serverTLS.Time = clientTLS.Time
	configs[clientSide] = &quic.Config{TLS: clientTLS, Rand: newRand(p.Seed, 1)}
	configs[serverSide] = &quic.Config{TLS: serverTLS, Rand: newRand(p.Seed, 2)}
	configs[serverSide].EarlyData = p.Early != fullHandshake
	for side, c := range configs {
		for i, v := range p.Sides[side].Knobs {
			if v != 0 {
				knobs[i].set(c, v)
			}
		}
		r.apps[side] = &spinApp{r: r, side: side, streams: make(map[uint64]*spinStream), got: make(map[uint64]bool),
			scratch: make([]byte, 0, 1<<20)}
	}
	if p.Preferred {
		configs[serverSide].PreferredAddress.IPv4 = preferredServer
	}
	serverEndpoint, err := quic.NewEndpoint(configs[serverSide])
	if err != nil {
		return err
	}
	clientEndpoint, err := quic.NewEndpoint(nil)
	if err != nil {
		return err
	}
	params := quic.ConnectParams{ServerName: ServerName, Local: ClientAddr, Remote: ServerAddr}
	if p.Early != fullHandshake {
		hosts := [2]*Host{NewHost(before, ClientAddr, clientEndpoint, nil), NewHost(before, ServerAddr, serverEndpoint, nil)}
		params.Session, err = Scenario{}.earlierSession(hosts[0], hosts[1], configs[clientSide], configs[serverSide])
		params.EarlyData, params.ResendEarly = true, true
		if err != nil || p.Early == earlyRejected { // with some timeouts there is no connection, and so no session
			if serverEndpoint, err = quic.NewEndpoint(configs[serverSide]); err != nil {
				return err
			}
		}
	}
	current = w
	r.hosts[clientSide] = NewHost(w, ClientAddr, clientEndpoint, r.onEvent)
	r.hosts[serverSide] = NewHost(w, ServerAddr, serverEndpoint, r.onEvent)
	for side, h := range r.hosts {
		h.Check = true
		h.Blind, h.Lag, h.Late = p.Sides[side].Blind, p.Sides[side].Lag, p.Sides[side].Late
		if n := p.Sides[side].SendBuf; n > 0 {
			h.buf = h.buf[:n:n]
		}
	}
	r.connectLinks()
	if p.Sides[clientSide].Blind {
		params.Local = netip.AddrPort{}
	}
	qc, err := clientEndpoint.Connect(w.Now(), configs[clientSide], params)
	if err != nil {
		return err
	}
	r.apps[clientSide].conn = r.hosts[clientSide].Add(qc)
	return nil
}

func (r *spinRun) connectLinks() {
	p := r.plan
	r.roamer = &Roamer{Keep: p.Keep, outside: outerAddr(0, 0), Own: isOwn}
	spy := &Observer{P: p.Observer.P, Ahead: p.Observer.Ahead, Forward: p.Observer.Forward}
	r.spy = spy
	for i := range p.Observer.Addrs {
		spy.Addrs = append(spy.Addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)}), 999))
	}
	stages := [2][]Stage{{r.roamer.Out(), spy.Out()}, nil}
	for i := range stages {
		if host := p.Dead[1-i]; host > 0 {
			stages[i] = append(stages[i], Heals(p.Heal, deadHost(host)))
		}
		for j := range p.Net[i] {
			stages[i] = append(stages[i], Heals(p.Heal, p.Net[i][j].stage()))
		}
		if p.Carries != [2]int{} {
			stages[i] = append(stages[i], Narrow(most(p.Carries[0]), most(p.Carries[1]), p.Heal))
		}
		stages[i] = append(stages[i], Delay(p.Delay, p.Jitter))
	}
	stages[1] = append(stages[1], spy.In(r.roamer), r.roamer.In())
	for i := range r.links {
		to := 1 - i // link 0 leads to the server
		r.links[i] = NewLink(r.w, r.trace, "to "+sideNames[to], stages[i], func(d Datagram) {
			r.hear(to, d)
			r.hosts[to].Receive(d)
		})
		r.hosts[i].Attach(r.links[i])
	}
}

// most is how large a datagram may be that passes where n bytes do; 0: any.
func most(n int) int {
	if n == 0 {
		return 1 << 16
	}
	return n
}

// outerAddr is a numbered outer address of the client.
func outerAddr(host, port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(host + 1)}), uint16(4000+port))
}

// preferredServer is where a server would rather be reached.
var preferredServer = netip.MustParseAddrPort("192.0.2.3:8443")

// ownAddr is a numbered address of the client's own; host 0 is behind the Roamer.
func ownAddr(host, port int) netip.AddrPort {
	if host == 0 {
		return ClientAddr
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 101, byte(host)}), uint16(4000+port))
}

func isOwn(a netip.AddrPort) bool {
	b := a.Addr().As4()
	return b[0] == 198 && b[1] == 51 && b[2] == 101
}

// deadHost drops what comes from or goes to a host of the client's own.
func deadHost(host int) Stage {
	dead := ownAddr(host, 0).Addr()
	return func(w *World, d Datagram, next func(Datagram)) {
		if d.From.Addr() != dead && d.To.Addr() != dead {
			next(d)
		}
	}
}

// maxDatagrams is how many datagrams a play may have: more than the largest plan needs.
const maxDatagrams = 1_000_000

// hear notes that a side received a datagram.
func (r *spinRun) hear(side int, d Datagram) {
	if n := r.links[0].Sent + r.links[1].Sent; n > maxDatagrams {
		r.fail("busy", "%d datagrams were sent: %s", n, r.explain())
	}
	if !r.healed || d.Sent < r.plan.Heal {
		return
	}
	if side == serverSide && !r.heard[serverSide] {
		r.heard[serverSide], r.heardAt = true, r.w.now
	}
	if side == clientSide && r.heard[serverSide] && d.Sent > r.heardAt.Sub(epoch) {
		r.heard[clientSide] = true
	}
}

// patience is how long nothing may come nearer to the end, in virtual time, for a play to have stalled.
const patience = 3 * time.Minute

// play is the whole story.
func (r *spinRun) play() {
	p := r.plan
	for i := range p.Streams {
		s := &p.Streams[i]
		r.w.After(s.At, func() { r.with(s.Side, func(a *spinApp) { a.open(s) }) })
	}
	for _, act := range p.Acts {
		r.w.After(act.At, func() { r.with(act.Side, func(a *spinApp) { a.act(act) }) })
	}
	for i := range p.Flood.N {
		r.w.After(time.Duration(i)*p.Flood.Every, func() { r.flood(uint64(i)) })
	}
	r.w.After(p.Heal, r.heal)
	if r.until(func() bool { return r.healed }); r.over() {
		r.end()
		return
	}
	if !r.until(func() bool { return r.settled(false) }) {
		r.stalled("all but what was left")
		return
	}
	r.ending = true
	for _, a := range r.apps {
		r.with(a.side, (*spinApp).endLeft)
	}
	if !r.until(func() bool { return r.settled(true) }) {
		r.stalled("everything")
		return
	}
	if !r.over() {
		r.rest()
	}
	if !r.over() {
		r.close(p.EndBy)
	}
	r.end()
}

// with calls do with the application of a side that has a connection.
func (r *spinRun) with(side int, do func(a *spinApp)) {
	if a := r.apps[side]; a.closed == nil && !r.vanished[side] && (a.conn == nil || !a.conn.Drained) {
		do(a)
		if a.conn != nil {
			a.conn.Touch()
		}
	}
}

// over tells whether there is nothing more to be played: something is wrong, or the connection has come to an end on a side.
func (r *spinRun) over() bool {
	return r.w.err != nil || r.apps[clientSide].closed != nil || r.apps[serverSide].closed != nil || r.vanished[0] || r.vanished[1]
}

// until lets time pass until done, or the play is over. It is false if nothing comes nearer to the end any more.
func (r *spinRun) until(done func() bool) bool {
	for first := true; ; first = false {
		before, now := r.progress, r.w.Elapsed()
		waited := false
		r.w.After(patience, func() { waited = true })
		checked, was := -1, false
		finished := false
		_ = r.w.Run(1<<62, func() bool {
			if checked != r.progress || r.healed != was {
				checked, was = r.progress, r.healed
				finished = done()
			}
			finished = finished || r.over()
			return finished || waited
		})
		if finished || r.over() {
			return true
		}
		if !first && before == r.progress || r.w.Elapsed() > now+24*time.Hour {
			return false
		}
	}
}

// heal ends all trouble.
func (r *spinRun) heal() {
	r.healed = true
	for side := range r.apps {
		r.with(side, func(a *spinApp) {
			if a.conn == nil {
				return
			}
			a.conn.Ping()
			for _, s := range a.order {
				if s.r != nil && (s.r.told || s.r.some) {
					s.onReadable()
				}
			}
		})
	}
}

// move has the client move and be observed as planned, once its handshake is confirmed: who can observe that, can prevent it.
func (r *spinRun) move() {
	r.spy.Until = r.plan.Heal * 3 / 4
	for _, m := range r.plan.Moves {
		r.w.After(m.At, func() {
			if !r.healed {
				r.roamer.Move(outerAddr(m.Host, m.Port))
			}
		})
	}
	for _, t := range r.plan.Trips {
		r.w.After(t.At, func() { r.with(clientSide, func(a *spinApp) { a.trip(t) }) })
	}
	if every := r.plan.Wander; every > 0 {
		var next func(n int)
		next = func(n int) {
			r.w.After(every, func() {
				r.roamer.Move(outerAddr(0, 1000+n))
				if !r.over() {
					next(n + 1)
				}
			})
		}
		next(0)
	}
}

// trip does with a path of the client's own what is planned, as long as that may be refused only for what a program must reckon with.
func (a *spinApp) trip(t Trip) {
	if a.r.healed {
		return
	}
	do := map[string]func(time.Time, netip.AddrPort, netip.AddrPort) error{
		"probe": a.conn.ProbePath, "migrate": a.conn.Migrate, "abandon": a.conn.AbandonPath,
	}[t.What]
	err := do(a.r.w.Now(), ownAddr(t.Host, t.Port), netip.AddrPort{})
	for _, may := range []error{quic.ErrNoConnIDs, quic.ErrTooManyPaths, quic.ErrNoOtherPath, a.conn.Err()} {
		if errors.Is(err, may) {
			return
		}
	}
	a.fail("error", "%+v: %v", t, err)
}

func (r *spinRun) flood(n uint64) {
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 114, byte(n)}), uint16(1024+n))
	r.hosts[serverSide].Receive(Datagram{Data: MadeUpInitial(n, r.plan.Flood.Hello), From: from, To: ServerAddr})
}

// maxAtRest is how many datagrams both sides together may send in a second of rest: keep-alives and their acknowledgements.
const maxAtRest = 600

// rest lets both sides have nothing to do for a time, and looks at what is left over.
func (r *spinRun) rest() {
	done := false
	r.w.After(5*time.Second+8*(r.plan.Delay+r.plan.Jitter)+3*(r.ackDelay(0)+r.ackDelay(1)), func() { done = true })
	least, wants := [2]uint64{1 << 62, 1 << 62}, [2]bool{true, true}
	began, sent := r.w.Elapsed(), r.links[0].Sent+r.links[1].Sent
	_ = r.w.Run(1<<62, func() bool {
		if r.over() {
			return true
		}
		for side, a := range r.apps {
			if least[side] > 0 {
				least[side] = min(least[side], a.conn.Stats().BytesInFlight)
			}
			wants[side] = wants[side] && a.conn.WantsSend()
		}
		return done
	})
	if r.over() {
		return
	}
	if n, most := r.links[0].Sent+r.links[1].Sent-sent, 20+int((r.w.Elapsed()-began).Seconds()*maxAtRest); n > most {
		r.fail("busy", "%d datagrams were sent at rest in %v: %s", n, r.w.Elapsed()-began, r.explain())
	}
	pings := r.knob(knobKeepAlive, 0, func(a, b int64) int64 { return a + b }) > 0 // there may be some under way at any time
	for side, a := range r.apps {
		if least[side] > 0 && !pings && r.plan.Wander == 0 {
			a.fail("in flight", "%d bytes are in flight at rest: %+v", least[side], a.conn.Stats())
		}
		if wants[side] {
			a.fail("stall", "it wants to send at rest and does not: %s", r.explain())
		}
		for id := range a.conn.Readable() {
			if s := a.streams[id]; s == nil || !s.r.told {
				a.fail("event", "stream %d is readable, and nobody was told", id)
			}
		}
	}
}

func (r *spinRun) ackDelay(side int) time.Duration {
	return max(time.Duration(r.plan.Sides[side].Knobs[knobAckDelay]), 25*time.Millisecond)
}

// close ends the connection from one side.
func (r *spinRun) close(side int) {
	r.with(side, func(a *spinApp) {
		r.closing[side] = &closeAct{true, 7, "all is done"}
		a.conn.Close(r.w.Now(), true, 7, "all is done")
	})
}

// end waits until nothing is left of the connection.
func (r *spinRun) end() {
	if r.w.err != nil {
		return
	}
	waited := false
	r.w.After(30*time.Hour, func() { waited = true })
	// A side that the close did not reach, and that may wait for ever, is told.
	r.w.After(10*time.Minute, func() {
		for side := range r.apps {
			if a := r.apps[side]; a.conn != nil && a.closed == nil && r.apps[1-side].closed != nil {
				r.with(side, func(a *spinApp) { a.conn.Ping() })
			}
		}
	})
	gone := func() bool { return drained(r.hosts[0]) && drained(r.hosts[1]) || r.vanished[0] || r.vanished[1] }
	_ = r.w.Run(1<<62, func() bool { return gone() || waited })
	if r.w.err != nil || r.vanished[0] || r.vanished[1] {
		return
	}
	if !gone() {
		if !r.mayWaitForEver() {
			r.fail("stall", "a side is not drained: %s", r.explain())
		}
		return
	}
	for side, h := range r.hosts {
		if n := h.Endpoint.Conns(); n != 0 {
			r.fail("leak", "the %s's endpoint knows %d connections after the last one is drained", sideNames[side], n)
		}
	}
}

// mayWaitForEver tells whether a side has no idle timeout.
func (r *spinRun) mayWaitForEver() bool {
	return r.plan.Sides[0].Knobs[knobIdle] < 0 && r.plan.Sides[1].Knobs[knobIdle] < 0
}
