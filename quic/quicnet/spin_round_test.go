package quicnet_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// spin is one round.
type spin struct {
	t       *testing.T
	seed    uint64
	began   time.Time
	dice    *rand.Rand           // for the plan; goroutines have their own
	network *quicnettest.Network // nil: sockets

	perfect bool // the network neither loses nor reorders
	stormy  bool // some end is brought about in the midst of the work

	allDisturbed atomic.Bool // more than single connections
	silence      atomic.Bool // the network has fallen silent
	refusing     atomic.Bool // the server takes no new connections
	wasDisturbed bool        // allDisturbed when the work was done

	server   *quicnet.Endpoint
	clients  []*quicnet.Endpoint
	openDice *rand.Rand      // for sockets that are opened later; guarded by mu
	cfg      *quic.Config    // the clients'
	configs  [2]*quic.Config // both
	packets  atomic.Int64    // datagrams written to the network in memory

	mu      sync.Mutex
	links   map[string]*spinLink
	tallies map[tallyKey]*tally
	left    leftovers
	counts  map[string]int
}

// spinLink is a connection with both its ends.
type spinLink struct {
	sp           *spin
	seed         uint64
	ready        chan struct{} // closed when the client's end is known
	served       chan struct{} // closed when the server has begun its work
	disturbed    atomic.Bool   // somebody may have closed it, or will
	wasDisturbed bool          // when the work was done
	ctx          context.Context
	stop         context.CancelFunc // ends those who only answer
	work         crew               // those who have something to do
	answering    crew               // those who answer them
	datagrams    [2]datagramLog     // what each end has received
	moves        atomic.Bool        // the client uses several paths
	opened       atomic.Int64       // streams, by either end
	answered     atomic.Int64       // streams that the other end was given

	ends      [2]*quicnet.Conn // guarded by spin.mu
	abandoned bool             // the client's end was closed before the server's began; guarded by spin.mu
}

// crew is a sync.WaitGroup to which can be added at any time.
type crew struct {
	mu   sync.Mutex
	n    int
	none *sync.Cond
}

func (c *crew) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n += n; c.n == 0 && c.none != nil {
		c.none.Broadcast()
	}
}

func (c *crew) start(f func()) {
	c.add(1)
	go func() {
		defer c.add(-1)
		f()
	}()
}

func (c *crew) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.none == nil {
		c.none = sync.NewCond(&c.mu)
	}
	for c.n > 0 {
		c.none.Wait()
	}
}

const (
	clientEnd = iota
	serverEnd
)

// Codes of the application's: what connections are closed with, and streams.
const (
	spinCloseCode  = 1000
	spinStreamCode = 2000
	spinCodes      = 100
)

func newSpin(t *testing.T, seed uint64, memory bool) *spin {
	sp := &spin{
		t: t, seed: seed, began: time.Now(), dice: rand.New(rand.NewPCG(seed, 1)), perfect: true,
		links: make(map[string]*spinLink), tallies: make(map[tallyKey]*tally), counts: make(map[string]int),
	}
	if memory {
		link := sp.drawLink()
		sp.network = quicnettest.NewNetwork(seed, link)
		sp.t.Logf("link %+v", link)
	}
	sp.stormy = chance(sp.dice, 0.4)
	return sp
}

// round runs a round of either kind.
func (sp *spin) round() {
	if chance(sp.dice, 0.3) {
		sp.brief()
	} else {
		sp.run()
	}
}

// run is the round: work, a rest in which nothing may happen, an end, and a look at what is left.
func (sp *spin) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sp.open()
	var accepting, dialling crew
	for range 1 + sp.dice.IntN(2) {
		d := sp.fork()
		accepting.start(func() { sp.accept(ctx, d, &accepting) })
	}
	for _, ep := range sp.clients {
		for range 1 + sp.dice.IntN(3) {
			d, seed := sp.fork(), sp.dice.Uint64()
			dialling.start(func() { sp.dial(ctx, ep, d, seed) })
		}
		if chance(sp.dice, 0.3) {
			d := sp.fork()
			dialling.start(func() { sp.dialNowhere(ctx, ep, d) })
		}
	}
	if sp.stormy {
		d := sp.fork()
		dialling.start(func() { sp.storm(d) })
	}
	dialling.wait()
	sp.wait()
	sp.rest()
	sp.wasDisturbed = sp.allDisturbed.Load()
	for _, l := range sp.allLinks() {
		l.wasDisturbed = l.disturbed.Load()
	}
	sp.end(sp.fork())
	cancel()
	accepting.wait()
	sp.closeAll()
	sp.wait()
	sp.checkTallies()
	sp.letGo()
	sp.left.wantGone(sp, "in the end", true)
	sp.t.Logf("counts: %v", sp.counts)
}

// wait waits until the work on all connections is done.
func (sp *spin) wait() {
	for _, l := range sp.allLinks() {
		l.work.wait()
		for n := 0; !sp.settled(l); n++ { // a stream whose opener is done may still have to be answered
			if n == 3600 && sp.network != nil || n == 100_000 {
				sp.fault("streams do not come to their end")
				break
			}
			sp.pause(time.Second)
		}
		l.stop()
		l.answering.wait()
	}
}

// open makes the endpoints.
func (sp *spin) open() {
	server, client := sp.drawConfigs()
	sp.cfg, sp.configs = client, [2]*quic.Config{client, server}
	sp.server = sp.listen(server)
	for range 1 + sp.dice.IntN(3) {
		sp.clients = append(sp.clients, sp.listen(nil))
	}
}

func (sp *spin) listen(cfg *quic.Config) (ep *quicnet.Endpoint) {
	var err error
	switch {
	case sp.network != nil:
		ep, err = sp.listenMemory(cfg)
	case cfg != nil:
		ep, err = quicnet.ListenConfig{Shards: 1 + sp.dice.IntN(3)}.Listen("127.0.0.1:0", cfg)
	default:
		var pc net.PacketConn
		if pc, err = net.ListenPacket("udp4", "127.0.0.1:0"); err == nil {
			ep, err = quicnettest.NewEndpoint(pc, nil)
		}
	}
	if err != nil {
		sp.t.Fatal(err)
	}
	sp.left.add(ep)
	return ep
}

// accept accepts connections, also with contexts that end early, and serves them.
func (sp *spin) accept(ctx context.Context, d *rand.Rand, accepting *crew) {
	for {
		if chance(d, 0.2) { // those that wait are left alone
			sp.pause(time.Duration(d.IntN(int(3 * time.Second))))
		}
		c, err := sp.server.Accept(sp.briefly(ctx, d, 0.3))
		switch {
		case err == nil:
			accepting.start(func() { sp.serve(ctx, c) })
		case errors.Is(err, net.ErrClosed):
			if !sp.allDisturbed.Load() {
				sp.fault("Accept returned %v, and nobody closed the endpoint", err)
			}
			return
		case ctx.Err() != nil:
			return
		case !errors.Is(err, context.DeadlineExceeded):
			sp.fault("Accept returned %v", err)
			return
		}
	}
}

// serve is the server's end of a connection.
func (sp *spin) serve(ctx context.Context, c *quicnet.Conn) {
	sp.left.add(c)
	key, err := c.ExportKeyingMaterial("spin", nil, 16)
	if err != nil {
		if c.Err() == nil {
			sp.fault("ExportKeyingMaterial returned %v", err)
		}
		return
	}
	l := sp.link(string(key))
	select {
	case <-l.ready:
	case <-c.Context().Done(): // the client gave up
		return
	case <-ctx.Done():
		return
	}
	sp.mu.Lock()
	l.ends[serverEnd] = c
	abandoned := l.abandoned
	sp.mu.Unlock()
	if !abandoned {
		l.begin(serverEnd, c)
		close(l.served)
	}
}

// dial is the client's end of a connection.
func (sp *spin) dial(ctx context.Context, ep *quicnet.Endpoint, d *rand.Rand, seed uint64) {
	dctx := sp.briefly(ctx, d, 0.1)
	c, err := sp.spinDial(dctx, ep, d)
	if err != nil {
		if refused := (&quic.TransportError{Code: quic.ConnectionRefused, Remote: true}); dctx.Err() == nil && !sp.stormy &&
			!(sp.refusing.Load() && errors.Is(err, refused)) {
			sp.fault("Dial returned %v", err)
		}
		return
	}
	sp.count("dialled")
	sp.left.add(c)
	key, err := c.ExportKeyingMaterial("spin", nil, 16)
	if err != nil {
		if c.Err() == nil {
			sp.fault("ExportKeyingMaterial returned %v", err)
		}
		return
	}
	l := sp.link(string(key))
	sp.mu.Lock()
	l.seed, l.ends[clientEnd] = seed, c
	sp.mu.Unlock()
	l.begin(clientEnd, c)
	close(l.ready)
	select {
	case <-l.served:
	case <-c.Context().Done():
		sp.mu.Lock()
		l.abandoned = true
		sp.mu.Unlock()
	}
}

// dialNowhere dials where nobody is.
func (sp *spin) dialNowhere(ctx context.Context, ep *quicnet.Endpoint, d *rand.Rand) {
	addr := "192.0.2.255:443"
	if sp.network == nil {
		addr = "127.0.0.1:9"
	}
	ctx, cancel := context.WithTimeout(ctx, sp.scale(time.Duration(d.IntN(int(20*time.Second)))))
	defer cancel()
	if c, err := ep.Dial(ctx, addr, sp.cfg); err == nil {
		sp.fault("Dial found somebody where nobody is: %v", c.RemoteAddr())
	}
}

// link returns the connection with that key.
func (sp *spin) link(key string) *spinLink {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	l := sp.links[key]
	if l == nil {
		l = &spinLink{sp: sp, ready: make(chan struct{}), served: make(chan struct{})}
		l.ctx, l.stop = context.WithCancel(context.Background())
		sp.links[key] = l
	}
	return l
}

func (sp *spin) allLinks() (ls []*spinLink) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for _, l := range sp.links {
		ls = append(ls, l)
	}
	return ls
}

func (sp *spin) client(d *rand.Rand) *quicnet.Endpoint { return sp.clients[d.IntN(len(sp.clients))] }

func (sp *spin) endOf(l *spinLink, end int) *quicnet.Conn {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return l.ends[end]
}

// letGo forgets all that leads to connections and streams.
func (sp *spin) letGo() {
	sp.server, sp.clients, sp.links, sp.tallies = nil, nil, nil, nil
}

func (sp *spin) fault(format string, args ...any) {
	sp.t.Errorf("seed %d: %s", sp.seed, fmt.Sprintf(format, args...))
}

func (sp *spin) count(what string) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.counts[what]++
}

// fork returns dice for a goroutine.
func (sp *spin) fork() *rand.Rand { return rand.New(rand.NewPCG(sp.dice.Uint64(), sp.dice.Uint64())) }

func chance(d *rand.Rand, p float64) bool { return d.Float64() < p }

// pause lets time pass: all of it in a bubble, a thousandth on the machine's clock.
func (sp *spin) pause(d time.Duration) { <-time.After(sp.scale(d)) }

func (sp *spin) scale(d time.Duration) time.Duration {
	if sp.network == nil {
		return d / 1000
	}
	return d
}

// briefly returns a context that ends early, with probability p.
func (sp *spin) briefly(ctx context.Context, d *rand.Rand, p float64) context.Context {
	if !chance(d, p) {
		return ctx
	}
	ctx, cancel := context.WithTimeout(ctx, sp.scale(time.Duration(d.IntN(int(500*time.Millisecond)))))
	context.AfterFunc(ctx, cancel)
	return ctx
}
