package qpack

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// liar is a peer whose decoder says what it likes, whatever it has: acknowledgements of sections that may never have reached it, in an order of its own,
// cancellations before, amid and after them, increments of what it was never sent. The checker judges which of it can be.
type liar struct {
	*link
	rng     *rand.Rand
	streams []uint64 // that had a section
	next    uint64
}

// lie has the encoder follow instructions, in pieces.
func (l *liar) lie(p []byte) error {
	for len(p) > 0 {
		n := 1 + l.rng.IntN(len(p))
		if err := l.e.HandleDecoderStream(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// flying returns a stream that has a section in flight; ok is false if none has.
func (l *liar) flying() (stream uint64, ok bool) {
	var of []uint64
	for stream := range l.c.sections {
		of = append(of, stream)
	}
	if len(of) == 0 {
		return 0, false
	}
	slices.Sort(of)
	return of[l.rng.IntN(len(of))], true
}

// instruct draws an instruction that can be.
func (l *liar) instruct() (b []byte) {
	stream, flies := l.flying()
	switch n := len(l.c.entries) - l.c.known; l.rng.IntN(5) {
	case 0, 1:
		if flies {
			return appendInt(nil, 0x80, 7, stream)
		}
	case 2:
		if flies && l.rng.IntN(3) == 0 {
			return appendInt(nil, 0x40, 6, stream)
		}
		return appendInt(nil, 0x40, 6, []uint64{0, l.next, l.next + 4, 1<<62 - 1}[l.rng.IntN(4)]) // most have no section, or had
	case 3:
		if n > 0 {
			return appendInt(nil, 0, 6, uint64(1+l.rng.IntN(n)))
		}
	}
	return nil
}

// wrong draws one that cannot be.
func (l *liar) wrong() []byte {
	unknown := l.next + 400
	for _, s := range l.streams {
		if len(l.c.sections[s]) == 0 && l.rng.IntN(2) == 0 { // it is acknowledged, cancelled, or had no reference
			unknown = s
		}
	}
	return [...][]byte{
		appendInt(nil, 0x80, 7, unknown),
		{0},
		appendInt(nil, 0, 6, uint64(len(l.c.entries)-l.c.known+1)),
		appendInt(nil, 0, 6, 1<<62-1),
		append(bytes.Repeat([]byte{0xff}, 9), 0x7f),
		append([]byte{0x7f}, bytes.Repeat([]byte{0x80}, 12)...),
	}[l.rng.IntN(6)]
}

// quiet checks that nothing is kept account of when no section is in flight.
func (l *liar) quiet() {
	l.t.Helper()
	f := &l.e.flight
	if len(f.sections) > 0 || len(f.risky) > 0 {
		l.t.Fatalf("no section is in flight, and %d are kept, %d streams may be blocked", len(f.sections), len(f.risky))
	}
	l.invariants()
}

// A section that is made after its stream was cancelled, since STOP_SENDING comes later than the cancellation, does not refer to the dynamic table: the peer
// cancels no second time, and the entries would be pinned for ever.
func TestSectionAfterCancellation(t *testing.T) {
	list := []Field{{Name: "user-agent", Value: "a user agent with a name of its own"}}
	l := newLink(t, EncoderConfig{}, 4096, 100)
	l.send(0, list, math.MaxInt)
	l.settle()
	for i := range uint64(3 * maxGivenUp) {
		stream := 4 + 8*i
		if i%2 == 0 {
			l.send(stream, list, math.MaxInt) // an interim response
			if l.sections[len(l.sections)-1].data[0] == 0 {
				t.Fatal("a section does not refer to the table")
			}
		}
		l.cancel(stream)
		l.deliverAcks(len(l.toEncoder))
		l.send(stream, list, math.MaxInt)
		if b := l.sections[len(l.sections)-1].data; b[0] != 0 || l.e.Unacknowledged() != 0 {
			t.Fatalf("stream %d was cancelled: its section is %x, and %d wait for an acknowledgement", stream, b, l.e.Unacknowledged())
		}
		l.send(stream+4, list, math.MaxInt)
		if b := l.sections[len(l.sections)-1].data; b[0] == 0 {
			t.Fatalf("the section of another stream is %x", b)
		}
		l.settle()
		l.invariants()
	}
	if g := l.e.flight.givenUp; g.has(4) || !g.has(4+8*(3*maxGivenUp-1)) || !g.has(4+8*2*maxGivenUp) {
		t.Fatalf("%v: want the last %d that were cancelled", g.streams, maxGivenUp)
	}
}

// The encoder keeps to the rules whatever the peer's decoder says, for each table and each number of blocked streams that SETTINGS can tell; what cannot be
// ends the connection with QPACK_DECODER_STREAM_ERROR, and nothing is pinned once all streams are over.
func TestEncoderAmongLies(t *testing.T) {
	capacities := []uint64{0, 1, 31, 32, 33, 64, 100, 500, 4096, 1 << 20, 1<<62 - 1}
	blocked := []uint64{0, 1, 3, 100, 1<<62 - 1}
	for round := range 100 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 8))
		capacity, most := capacities[rng.IntN(len(capacities))], blocked[rng.IntN(len(blocked))]
		config := EncoderConfig{TableCapacity: []int{0, 40, 200, 4096, 1 << 16}[rng.IntN(5)], BlockedStreams: []int{0, -1, 2, math.MaxInt}[rng.IntN(4)]}
		l := &liar{rng: rng, link: &link{t: t, e: NewEncoder(config), c: newChecker(capacity, most)}}
		if err := l.e.SetPeer(capacity, most); err != nil {
			t.Fatal(err)
		}
		play := func() {
			for _, list := range randomLists(rng) {
				stream := l.next
				if l.next += 4; rng.IntN(4) == 0 {
					stream = uint64(rng.IntN(int(l.next/4))) * 4
				}
				l.streams = append(l.streams, stream)
				room := math.MaxInt
				if rng.IntN(3) == 0 {
					room = rng.IntN(300)
				}
				l.send(stream, list, room)
				for range rng.IntN(4) {
					p := l.instruct()
					if err := l.lie(p); err != nil {
						t.Fatalf("%x: %v", p, err)
					}
					if err := l.c.decoderStream(p); err != nil {
						t.Fatal(err)
					}
				}
				if l.invariants(); rng.IntN(10) == 0 {
					l.e.Rest()
				}
			}
		}
		t.Run(fmt.Sprintf("%d/%d/%d/%#x", round, capacity, most, seed), func(t *testing.T) {
			l.t = t
			play()
			for stream, ok := l.flying(); ok; stream, ok = l.flying() { // all are given up
				p := appendInt(nil, 0x40, 6, stream)
				if l.lie(p) != nil || l.c.decoderStream(p) != nil {
					t.Fatal("a cancellation is refused")
				}
			}
			l.quiet()
			play() // and it goes on
			p := l.wrong()
			err := l.lie(p)
			var q *Error
			if !errors.As(err, &q) || q.Code != DecoderStreamError {
				t.Fatalf("%x: %v", p, err)
			}
			if again := l.e.HandleDecoderStream([]byte{0x40}); again != err {
				t.Fatalf("%v after %v", again, err)
			}
			made := len(l.c.entries)
			if l.send(l.next, randomLists(rng)[0], math.MaxInt); len(l.c.entries) != made {
				t.Fatal("an entry is inserted on a connection that is over")
			}
		})
		if t.Failed() {
			return
		}
	}
}
