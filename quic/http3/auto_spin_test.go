package http3

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// However the connections of both sides come and fail, at the same moment too, a request whose body cannot be had again reaches servers once at
// most, and exactly once if it succeeded; its body is closed. One that may be early data reaches them twice at most.
func TestAutoSentOnce(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 50
	}
	base := rand.Uint64()
	for i := range rounds {
		seed := base + uint64(i)
		synctest.Test(t, func(t *testing.T) { autoRound(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func autoRound(t *testing.T, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 0))
	w := newAutoWorld(t, dice.IntN(2) == 0)
	w.auto.Always = true
	w.auto.RaceDelay = time.Duration(dice.IntN(3)-1) * 10 * time.Millisecond
	w.auto.Cooldown, w.auto.MaxCooldown = 20*time.Millisecond, 40*time.Millisecond

	// Delays are of few kinds, so that things happen at the same moment.
	delay := func() time.Duration { return time.Duration(dice.IntN(4)) * 10 * time.Millisecond }
	cut := pipeCutter{dial: w.dial}
	w.auto.TCP.DialContext = cut.connect

	var wg sync.WaitGroup
	var sent []*sentOnce
	for n := range 12 {
		h3Delay, tcpDelay, pause := delay(), delay(), delay()
		h3Fails, h3Gone, h3Resets, tcpFails, cuts := dice.IntN(4) == 0, dice.IntN(4) == 0, dice.IntN(6) == 0, dice.IntN(6) == 0, dice.IntN(6) == 0
		early := delay()
		w.set(func() {
			w.h3.delay, w.h3.early, w.dialDelay = h3Delay, early, tcpDelay
			w.h3.err, w.h3.send, w.dialErr = nil, nil, nil
			if h3Fails {
				w.h3.err = errBlackHole
			}
			if h3Gone {
				clear(w.h3.live)
			}
			if h3Resets {
				w.h3.send = errBlackHole
			}
			if dice.IntN(6) == 0 {
				w.h3.send = errNoConn
			}
			if tcpFails {
				w.dialErr = errBlackHole
			}
		})
		if cuts {
			cut.all()
		}
		s := &sentOnce{path: fmt.Sprintf("/%d", n)}
		s.body.Reader = io.MultiReader(strings.NewReader(strings.Repeat("x", 1+n*1000)))
		sent = append(sent, s)
		if s.safe = dice.IntN(2) == 0; s.safe {
			wg.Go(func() { s.how = w.get(s.path) })
		} else {
			wg.Go(func() { s.how = w.do("POST", s.path, &s.body, nil) })
		}
		time.Sleep(pause)
	}
	wg.Wait()
	time.Sleep(time.Second)
	synctest.Wait()
	for _, s := range sent {
		s.check(t, w, seed)
	}
}

// sentOnce is a request of which there is one.
type sentOnce struct {
	path string
	safe bool // it has no body
	body countedBody
	how  string // it went
}

func (s *sentOnce) check(t *testing.T, w *autoWorld, seed uint64) {
	s.body.mu.Lock()
	defer s.body.mu.Unlock()
	if s.body.closed == 0 && !s.safe {
		t.Errorf("seed %d: request %s (%s): its body was not closed", seed, s.path, s.how)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	got, most := 0, 1
	if s.safe {
		most = 2
	}
	for _, line := range w.log {
		if strings.HasSuffix(line, " "+s.path) {
			got++
		}
	}
	if got > most || got == 0 && !strings.HasPrefix(s.how, "error") {
		t.Errorf("seed %d: request %s (%s): servers got it %d times: %q", seed, s.path, s.how, got, w.log)
	}
}

// countedBody is a body that can be had once.
type countedBody struct {
	io.Reader
	mu     sync.Mutex
	closed int
}

func (b *countedBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed++
	return nil
}

// pipeCutter ends TCP connections that there are.
type pipeCutter struct {
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	mu    sync.Mutex
	conns []net.Conn
}

func (p *pipeCutter) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := p.dial(ctx, network, addr)
	if err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.conns = append(p.conns, c)
	}
	return c, err
}

func (p *pipeCutter) all() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
