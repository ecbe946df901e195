package qpack

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// link joins an Encoder to a Decoder, with the checker looking on, over a network that brings what it is told to.
type link struct {
	t testing.TB
	e *Encoder
	d *Decoder
	c *checker

	toDecoder, toEncoder []byte // on their way on the two QPACK streams
	sections             []sentSection
	blocked              map[uint64]sentSection
	cancelled            map[uint64]bool
	blocks, stream       int // bytes that were made
	received             int // sections decoded
	into                 []Field
}

type sentSection struct {
	stream uint64
	data   []byte
	want   []Field
}

func newLink(t testing.TB, config EncoderConfig, capacity, blocked uint64) *link {
	l := &link{t: t, e: NewEncoder(config), d: NewDecoder(capacity, blocked), c: newChecker(capacity, blocked),
		blocked: make(map[uint64]sentSection), cancelled: make(map[uint64]bool)}
	if err := l.e.SetPeer(capacity, blocked); err != nil {
		t.Fatal(err)
	}
	return l
}

// send encodes a list and puts it on its way; the encoder stream can take room bytes.
func (l *link) send(stream uint64, list []Field, room int) {
	l.t.Helper()
	section := l.e.AppendSection(nil, stream, list, room)
	instructions := l.e.Instructions()
	if len(instructions) > max(room, 0) {
		l.t.Fatalf("%d bytes of instructions, and there is room for %d", len(instructions), room)
	}
	if err := l.c.encoderStream(instructions); err != nil {
		l.t.Fatalf("stream %d: %v", stream, err)
	}
	got, err := l.c.section(stream, section)
	if err != nil {
		l.t.Fatalf("stream %d: %v", stream, err)
	}
	want := make([]Field, len(list))
	for i, f := range list {
		f.Sensitive = f.Sensitive || l.e.secret(&f) && (!shortCookie(&f) || i < len(got) && got[i].Sensitive)
		want[i] = f
	}
	if !sameFields(got, want) {
		l.t.Fatalf("stream %d: the checker decodes %v, want %v", stream, got, want)
	}
	l.blocks += len(section)
	l.stream += len(instructions)
	l.toDecoder = append(l.toDecoder, instructions...)
	l.e.Sent(len(instructions))
	l.sections = append(l.sections, sentSection{stream, section, want})
}

// deliverInstructions brings the next n bytes of the encoder stream.
func (l *link) deliverInstructions(n int) {
	l.t.Helper()
	if err := l.d.HandleEncoderStream(l.toDecoder[:n]); err != nil {
		l.t.Fatal(err)
	}
	l.toDecoder = l.toDecoder[n:]
	for id, ok := l.d.NextUnblocked(); ok; id, ok = l.d.NextUnblocked() {
		s := l.blocked[id]
		delete(l.blocked, id)
		l.decode(s)
	}
	l.collect()
}

// deliverSection brings the section with this place in the queue. Those before it on the same stream come first.
func (l *link) deliverSection(i int) {
	l.t.Helper()
	for j := range l.sections[:i] {
		if l.sections[j].stream == l.sections[i].stream {
			i = j
			break
		}
	}
	s := l.sections[i]
	if _, ok := l.blocked[s.stream]; ok {
		return
	}
	l.sections = append(l.sections[:i:i], l.sections[i+1:]...)
	if !l.cancelled[s.stream] {
		l.decode(s)
	}
	l.collect()
}

func (l *link) decode(s sentSection) {
	l.t.Helper()
	got, err := l.d.Decode(s.stream, s.data, l.into[:0], 1<<20)
	if err == ErrBlocked {
		l.blocked[s.stream] = s
		return
	}
	if err != nil || !sameFields(got, s.want) {
		l.t.Fatalf("stream %d: %v, %v, want %v", s.stream, got, err, s.want)
	}
	for _, f := range got {
		if f.Canonical != string(appendCanonical(nil, f.Name)) {
			l.t.Fatalf("%q is %q in canonical form", f.Name, f.Canonical)
		}
	}
	l.received++
	l.into = got
}

// cancel lets the decoder's side give up the stream.
func (l *link) cancel(stream uint64) {
	l.d.CancelStream(stream)
	l.cancelled[stream] = true
	delete(l.blocked, stream)
	l.collect()
}

// collect takes what the decoder has to say.
func (l *link) collect() {
	p := l.d.Instructions()
	l.toEncoder = append(l.toEncoder, p...)
	l.d.Sent(len(p))
}

// deliverAcks brings the next n bytes of the decoder stream. The checker is told once they make whole instructions.
func (l *link) deliverAcks(n int) {
	l.t.Helper()
	p := l.toEncoder[:n]
	l.toEncoder = l.toEncoder[n:]
	whole := append(bytes.Clone(l.e.partial), p...)
	if err := l.e.HandleDecoderStream(p); err != nil {
		l.t.Fatal(err)
	}
	whole = whole[:len(whole)-len(l.e.partial)]
	if err := l.c.decoderStream(whole); err != nil {
		l.t.Fatal(err)
	}
}

// settle brings everything.
func (l *link) settle() {
	l.t.Helper()
	l.deliverInstructions(len(l.toDecoder))
	for len(l.sections) > 0 {
		l.deliverSection(0)
	}
	l.deliverAcks(len(l.toEncoder))
	if len(l.blocked) > 0 {
		l.t.Fatalf("%d streams stay blocked", len(l.blocked))
	}
}

// shake lets the network do a few things at random.
func (l *link) shake(rng *rand.Rand) {
	l.t.Helper()
	if rng.IntN(20) == 0 {
		l.e.Rest()
		l.d.Rest()
	}
	for range rng.IntN(8) {
		switch rng.IntN(10) {
		case 0, 1, 2:
			l.deliverInstructions(rng.IntN(len(l.toDecoder) + 1))
		case 3, 4, 5, 6:
			if n := len(l.sections); n > 0 {
				l.deliverSection(rng.IntN(n))
			}
		case 7, 8:
			l.deliverAcks(rng.IntN(len(l.toEncoder) + 1))
		default:
			if n := len(l.sections); n > 0 && rng.IntN(8) == 0 {
				l.cancel(l.sections[rng.IntN(n)].stream)
			}
		}
	}
}

// invariants checks what the encoder keeps account of against the checker.
func (l *link) invariants() {
	l.t.Helper()
	t := &l.e.table
	if int(t.inserted) != len(l.c.entries) || int(t.oldest()) != l.c.dropped || t.size > t.capacity {
		l.t.Fatalf("the encoder has entries %d to %d, %d bytes of %d; the checker %d to %d", t.oldest(), t.inserted, t.size, t.capacity,
			l.c.dropped, len(l.c.entries))
	}
	for i := t.oldest(); i < t.inserted; i++ {
		e := t.at(i)
		text := string(e.text(t))
		if want := l.c.entries[i]; text[:e.nameLen] != want.name || text[e.nameLen:] != want.value {
			l.t.Fatalf("entry %d is %q, want %v", i, text, want)
		}
	}
	pins := uint32(0)
	for i := t.oldest(); i < t.inserted; i++ {
		pins += t.at(i).pins
	}
	flying := 0
	for _, s := range l.c.sections {
		flying += len(s)
	}
	if int(pins) != flying || int(l.e.flight.known) != l.c.known {
		l.t.Fatalf("%d pins for %d sections; Known Received Count %d, want %d", pins, flying, l.e.flight.known, l.c.known)
	}
}
