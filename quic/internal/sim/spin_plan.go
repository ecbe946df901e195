package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The sides of a connection, as indexes.
const (
	clientSide = 0
	serverSide = 1
)

var sideNames = [2]string{"client", "server"}

// Plan is one whole connection: how both sides are configured, what the network does, when the client moves, what the applications
// do. It is plain data, drawn from a seed, so that it can be printed, played again, and made smaller while it still fails.
type Plan struct {
	Seed  uint64 // of all chance within the play
	Sides [2]Side

	Delay, Jitter time.Duration // each way, always
	Net           [2][]Trouble  // of the links to the server and to the client, until Heal
	Heal          time.Duration // when the network is well, the moves are over but for Wander, and all who read slowly read fast

	Carries [2]int // bytes that a datagram may have, each way, before Heal and from then on; 0: any

	Moves  []Move
	Keep   bool          // nothing that is sent to an address of before is lost
	Wander time.Duration // a move to an address that never was, again and again, also after Heal; 0: none

	Trips     []Trip // what the client does with addresses of its own
	Dead      [2]int // the host of its own, from 1, to and from which nothing passes towards a side before Heal; 0: none
	Preferred bool   // the server prefers another address

	Observer Spy
	Flood    Flood

	Early int // one of the constants below

	Streams []StreamPlan
	Acts    []Act
	EndBy   int // the side that closes the connection when all is done
}

// What a client begins with, as Plan.Early.
const (
	fullHandshake = iota
	earlyAccepted // the session of an earlier connection, and 0-RTT data
	earlyRejected // the same, but the server is another by now; what is rejected is sent again
	numEarly
)

var earlyNames = [...]string{"", "0-RTT data, accepted", "0-RTT data, rejected"}

// Side is how one side is configured.
type Side struct {
	Knobs   [numKnobs]int64 // 0: the default; see knobs
	SendBuf int             // bytes of the buffer that Send is given; 0: 64 KiB
	Blind   bool            // it does not know its own addresses
	Lag     time.Duration   // until asks of TLS are answered
	Late    time.Duration   // of its timers
}

// Trouble is one stage of a link.
type Trouble struct {
	Kind string
	P    float64
	D    time.Duration
	N    int
}

// Move is the client's change to an outer address. Addresses are numbered; those with the same Host have the same IP address.
type Move struct {
	At         time.Duration // since the client knew the handshake to be confirmed
	Host, Port int
}

// Trip is what the client does with a path from an address of its own, which are numbered as those of Move. Host 0 is where it began.
type Trip struct {
	At         time.Duration // since the client knew the handshake to be confirmed
	What       string        // "probe", "migrate" or "abandon"
	Host, Port int
}

// Spy is a plan of an Observer.
type Spy struct {
	P       float64
	Addrs   int
	Ahead   time.Duration
	Forward bool
}

// Flood is made-up Initial packets, each from an address of its own, from the begin on.
type Flood struct {
	N     int
	Every time.Duration
	Hello bool
}

// StreamPlan is a stream: who opens it and when, and what is done on it in each direction. Index 0 is the opener, 1 the other.
type StreamPlan struct {
	Side  int
	Uni   bool
	At    time.Duration
	Write [2]WritePlan
	Read  [2]ReadPlan
}

// Ending is how a writer ends its part of a stream.
type Ending uint8

const (
	Finish      Ending = iota // with the last write
	FinishApart               // with a call of its own
	Reset
	FinishReset // both
	Leave       // not at all, before all others are done; then it is reset
	numEndings
)

var endingNames = [...]string{"finish", "finish apart", "reset", "finish and reset", "leave"}

// WritePlan is what a writer does.
type WritePlan struct {
	Size, Chunk int // bytes in all, and of one call
	End         Ending
	Code        uint64
	Quit        int           // after so many refusals it ends as it stands; 0: it waits as often as need be
	Pause       time.Duration // before it answers EventWritable
	Silent      bool          // once it has ended, it leaves EventWritable unanswered
}

// Reading is how a reader goes about it.
type Reading uint8

const (
	Eager  Reading = iota // all that there is, when told
	Slow                  // a chunk after each pause
	Never                 // nothing, before Heal
	Taking                // with StreamTake
	numReadings
)

var readingNames = [...]string{"eager", "slow", "never", "take"}

// ReadPlan is what a reader does.
type ReadPlan struct {
	How   Reading
	Chunk int // bytes of one call
	Pause time.Duration
	Stop  int // after so many bytes it asks the writer to stop; 0: never, -1: at once
	Code  uint64
}

// Act is something that an application or a driver does at a time, beside streams.
type Act struct {
	At   time.Duration
	Side int
	What string
	N    int
	Code uint64
}

func (p *Plan) clone() *Plan {
	c := *p
	for i := range c.Net {
		c.Net[i] = slices.Clone(p.Net[i])
	}
	c.Moves, c.Streams, c.Acts, c.Trips = slices.Clone(p.Moves), slices.Clone(p.Streams), slices.Clone(p.Acts), slices.Clone(p.Trips)
	return &c
}

// String is the plan for people: what is as usual is not mentioned.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %v and up to %v more each way, healed at %v, closed by the %s\n", p.Seed, p.Delay, p.Jitter, p.Heal,
		sideNames[p.EndBy])
	for i, s := range p.Sides {
		fmt.Fprintf(&b, "  %s:%s\n", sideNames[i], s.text())
	}
	if p.Carries != [2]int{} {
		fmt.Fprintf(&b, "  datagrams of %d bytes pass, since it is healed of %d (0: any)\n", p.Carries[0], p.Carries[1])
	}
	for i, n := range p.Net {
		for _, t := range n {
			fmt.Fprintf(&b, "  to %s: %s p=%.3g d=%v n=%d\n", sideNames[1-i], t.Kind, t.P, t.D, t.N)
		}
	}
	for _, m := range p.Moves {
		fmt.Fprintf(&b, "  %v after the handshake the client moves to host %d, port %d\n", m.At, m.Host, m.Port)
	}
	for _, t := range p.Trips {
		fmt.Fprintf(&b, "  %v after the handshake the client does %q with its own host %d, port %d\n", t.At, t.What, t.Host, t.Port)
	}
	for side, host := range p.Dead {
		if host > 0 {
			fmt.Fprintf(&b, "  nothing of its host %d reaches the %s\n", host, sideNames[side])
		}
	}
	if p.Preferred {
		b.WriteString("  the server prefers another address\n")
	}
	if p.Keep {
		b.WriteString("  addresses of before are kept\n")
	}
	if p.Wander > 0 {
		fmt.Fprintf(&b, "  the client moves to a new port every %v, for ever\n", p.Wander)
	}
	if p.Observer.P > 0 {
		fmt.Fprintf(&b, "  an observer: %+v\n", p.Observer)
	}
	if p.Flood.N > 0 {
		fmt.Fprintf(&b, "  a flood of made-up Initials: %+v\n", p.Flood)
	}
	if p.Early != fullHandshake {
		b.WriteString("  " + earlyNames[p.Early] + "\n")
	}
	for _, s := range p.Streams {
		b.WriteString("  " + s.text() + "\n")
	}
	for _, a := range p.Acts {
		fmt.Fprintf(&b, "  at %v the %s does %q n=%d code=%#x\n", a.At, sideNames[a.Side], a.What, a.N, a.Code)
	}
	return b.String()
}

func (s *Side) text() string {
	var b strings.Builder
	for i, v := range s.Knobs {
		if v != 0 {
			fmt.Fprintf(&b, " %s=%s", knobs[i].name, knobs[i].text(v))
		}
	}
	if s.SendBuf > 0 {
		fmt.Fprintf(&b, " send buffer %d", s.SendBuf)
	}
	if s.Blind {
		b.WriteString(" blind")
	}
	if s.Lag > 0 || s.Late > 0 {
		fmt.Fprintf(&b, " lag %v, late %v", s.Lag, s.Late)
	}
	return b.String()
}

func (s *StreamPlan) text() string {
	kind := "bidi"
	if s.Uni {
		kind = "uni"
	}
	t := fmt.Sprintf("at %v the %s opens %s: it writes%s", s.At, sideNames[s.Side], kind, s.Write[0].text())
	if !s.Uni {
		t += fmt.Sprintf(" and reads %s", s.Read[0].text())
	}
	t += fmt.Sprintf("; the %s reads %s", sideNames[1-s.Side], s.Read[1].text())
	if !s.Uni {
		t += fmt.Sprintf(" and writes%s", s.Write[1].text())
	}
	return t
}

func (w *WritePlan) text() string {
	t := fmt.Sprintf(" %d by %d, %s", w.Size, w.Chunk, endingNames[w.End])
	if w.End == Reset || w.End == FinishReset {
		t += fmt.Sprintf(" (%#x)", w.Code)
	}
	if w.Quit > 0 {
		t += fmt.Sprintf(" at refusal %d", w.Quit)
	}
	if w.Pause > 0 {
		t += fmt.Sprintf(" pause %v", w.Pause)
	}
	if w.Silent {
		t += " silent"
	}
	return t
}

func (r *ReadPlan) text() string {
	t := fmt.Sprintf("%s by %d", readingNames[r.How], r.Chunk)
	if r.Pause > 0 {
		t += fmt.Sprintf(" pause %v", r.Pause)
	}
	if r.Stop != 0 {
		t += fmt.Sprintf(" stop at %d (%#x)", r.Stop, r.Code)
	}
	return t
}

// Fault is what a play has shown to be wrong.
type Fault struct {
	Kind string // a word, by which a fault is told from others while a plan is made smaller
	Text string
}

// Error tells both.
func (f *Fault) Error() string { return f.Kind + ": " + f.Text }
