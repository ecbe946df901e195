package h3

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

var qpackSeeds = flag.Int("qpack.seeds", 60, "how many seeds TestQPACKPlays plays")
var qpackFirst = flag.Int("qpack.first", 0, "the first of them")

// qpackPlay is two sides that make and give up exchanges over a path that loses, doubles and reorders.
type qpackPlay struct {
	*pair
	rng    *rand.Rand
	sides  [2]*side
	open   []uint64
	path   roughPath
	values int
}

// TestQPACKPlays has both sides use dynamic tables, while requests and responses are given up, by either side and at any time, and packets are lost: whatever was given
// up, when all is over no section waits for an acknowledgement, at either side.
func TestQPACKPlays(t *testing.T) {
	for seed := *qpackFirst; seed < *qpackFirst+*qpackSeeds; seed++ {
		if playQPACK(t, uint64(seed)); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func playQPACK(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 9204))
	p := &qpackPlay{rng: rng, values: 1 + rng.IntN(30)}
	capacity, blocked := []int{100, 300, 4096, 1 << 16}[rng.IntN(4)], []int{-1, 1, 3, 100}[rng.IntN(4)]
	cfg := func() *Config {
		return &Config{QPACKTableCapacity: capacity, EncoderTableCapacity: capacity, QPACKBlockedStreams: blocked}
	}
	var c, s *side
	p.pair, c, s = newBoth(t, cfg(), cfg(), nil)
	p.sides = [2]*side{c, s}
	for _, side := range p.sides {
		side.handle = func(ev Event) { p.onEvent(side, ev) }
	}
	p.path.begin(p.pair, rng, rng.IntN(13))
	steps := 100 + rng.IntN(300)
	shutdown := rng.IntN(2 * steps)
	for step := range steps {
		p.act()
		if step == shutdown { // requests that are on their way are rejected
			s.Shutdown(p.now)
			s.finishGoAway()
		}
		c.read()
		s.read()
		if rng.IntN(2) == 0 {
			p.settle()
		}
		if rng.IntN(10) == 0 {
			p.pass(time.Duration(rng.IntN(60)) * time.Millisecond)
		}
		for _, side := range p.sides {
			side.events = side.events[:0]
			if err := side.core.Err(); err != nil {
				t.Error(err)
				return
			}
		}
	}
	p.path.end()
	p.pass(3 * time.Second)
	for _, id := range p.open {
		for _, side := range p.sides {
			side.StreamShutdown(id, quic.ReadDirection|quic.WriteDirection, ErrCodeRequestCancelled)
			side.read()
		}
	}
	p.pass(15 * time.Second)
	for i, side := range p.sides {
		if err := side.core.Err(); err != nil {
			t.Error(err)
			return
		}
		if n := side.enc.Unacknowledged(); n > 0 || side.streams.len > 0 {
			t.Errorf("side %d: %d sections wait for an acknowledgement, and %d streams are there", i, n, side.streams.len)
		}
	}
}

func (p *qpackPlay) fields() (list []qpack.Field) {
	for range p.rng.IntN(6) {
		list = append(list, qpack.Field{Name: []string{"x-a", "user-agent", "x-b"}[p.rng.IntN(3)], Value: fmt.Sprint("some value of a length that pays ", p.rng.IntN(p.values))})
	}
	return list
}

// act does one thing at the client, or gives up a stream at a side.
func (p *qpackPlay) act() {
	c := p.sides[0]
	if len(p.open) > 0 && p.rng.IntN(3) == 0 {
		id := p.open[p.rng.IntN(len(p.open))]
		dir := []quic.Direction{quic.ReadDirection, quic.WriteDirection, quic.ReadDirection | quic.WriteDirection}[p.rng.IntN(3)]
		side := p.sides[p.rng.IntN(2)]
		side.StreamShutdown(id, dir, ErrCodeRequestCancelled)
		side.read()
		return
	}
	if len(p.open) > 0 && p.rng.IntN(2) == 0 {
		p.more(p.sides[p.rng.IntN(2)], p.open[p.rng.IntN(len(p.open))])
		return
	}
	m := get("/")
	m.Method, m.Fields = "POST", p.fields()
	if id, _, err := c.SendRequest(p.now, m, nil, p.rng.IntN(2) == 0); err == nil {
		p.open = append(p.open, id)
	}
	c.read()
}

// more sends something of a message.
func (p *qpackPlay) more(side *side, id uint64) {
	switch n := p.rng.IntN(4); {
	case side == p.sides[1] && n == 0:
		side.SendResponse(p.now, id, &Message{Status: 103, Fields: p.fields()}, nil, false)
	case side == p.sides[1] && n == 1:
		side.SendResponse(p.now, id, ok200(p.fields()...), nil, false)
	case n == 2:
		side.StreamSend(id, make([]byte, p.rng.IntN(2000)), p.rng.IntN(3) == 0)
	default:
		side.SendTrailers(p.now, id, p.fields())
	}
	side.read()
}

func (p *qpackPlay) onEvent(side *side, ev Event) {
	switch ev.Kind {
	case EventData:
		if p.rng.IntN(3) > 0 {
			b := make([]byte, 1+p.rng.IntN(3000))
			side.StreamRecv(ev.Stream, b)
		}
	case EventRequest:
		if p.rng.IntN(3) > 0 {
			side.SendResponse(p.now, ev.Stream, ok200(p.fields()...), nil, p.rng.IntN(2) == 0)
		}
	}
}
