package qpack

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// ownLists are the header lists of this package's own corpus, by the name of their file; testdata/README.md tells the format.
func ownLists(t testing.TB) map[string][][]Field {
	files, err := filepath.Glob("testdata/*.qif")
	if err != nil || len(files) == 0 {
		t.Fatalf("no header lists in testdata: %v", err)
	}
	lists := make(map[string][][]Field)
	for _, f := range files {
		lists[strings.TrimSuffix(filepath.Base(f), ".qif")] = parseQIF(t, readFile(t, f))
	}
	return lists
}

// Every output for our own corpus is checked, with acknowledgements at once, never, and in any order, late, with streams cancelled and
// with little room on the encoder stream.
func TestEncoderIsChecked(t *testing.T) {
	for name, lists := range ownLists(t) {
		for _, capacity := range []uint64{0, 31, 100, 600, 4096} {
			for _, blocked := range []uint64{0, 2, 100} {
				checkAtOnce(t, name, lists, capacity, blocked)
				checkNever(t, name, lists, capacity, blocked)
				checkRandom(t, name, lists, capacity, blocked, rand.Uint64())
			}
		}
	}
}

// The same for lists that are made up: few names, values that come again more or less often, some of them large.
func TestEncoderOfRandomLists(t *testing.T) {
	for range 30 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 2))
		lists := randomLists(rng)
		capacity, blocked := uint64(rng.IntN(6000)), uint64(rng.IntN(20))
		name := fmt.Sprintf("lists of seed %#x", seed)
		checkAtOnce(t, name, lists, capacity, blocked)
		checkNever(t, name, lists, capacity, blocked)
		checkRandom(t, name, lists, capacity, blocked, seed)
	}
}

// The same for the public corpus.
func TestCorpusIsChecked(t *testing.T) {
	dir := corpus(t)
	if dir == "" {
		return
	}
	for _, name := range []string{"fb-req-hq", "fb-resp-hq", "netbsd-hq"} {
		lists := parseQIF(t, readFile(t, dir, name+".qif"))
		for _, capacity := range []uint64{256, 4096, 16384} {
			for _, blocked := range []uint64{0, 5, 100} {
				checkAtOnce(t, name, lists, capacity, blocked)
				checkNever(t, name, lists, capacity, blocked)
				checkRandom(t, name, lists, capacity, blocked, rand.Uint64())
			}
		}
	}
}

func checkAtOnce(t *testing.T, name string, lists [][]Field, capacity, blocked uint64) *link {
	t.Helper()
	l := newLink(t, EncoderConfig{TableCapacity: int(capacity)}, capacity, blocked)
	for i, list := range lists {
		l.send(uint64(i)*4, list, math.MaxInt)
		l.settle()
		l.invariants()
	}
	return l
}

// checkNever never brings the encoder an acknowledgement.
func checkNever(t *testing.T, name string, lists [][]Field, capacity, blocked uint64) *link {
	t.Helper()
	l := newLink(t, EncoderConfig{TableCapacity: int(capacity)}, capacity, blocked)
	for i, list := range lists {
		l.send(uint64(i)*4, list, math.MaxInt)
		l.deliverInstructions(len(l.toDecoder))
		l.deliverSection(0)
	}
	l.invariants()
	if l.received != len(lists) {
		t.Errorf("%s: %d sections were received of %d", name, l.received, len(lists))
	}
	return l
}

// checkRandom lets chance order what is delivered, and choose the streams, some of which carry several sections.
func checkRandom(t *testing.T, name string, lists [][]Field, capacity, blocked uint64, seed uint64) *link {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	defer func() {
		if t.Failed() {
			t.Logf("%s, capacity %d, %d blocked: seed %#x", name, capacity, blocked, seed)
		}
	}()
	l := newLink(t, EncoderConfig{TableCapacity: int(capacity)}, capacity, blocked)
	for i, list := range lists {
		stream := uint64(i) * 4
		if rng.IntN(4) == 0 {
			stream = uint64(rng.IntN(i+1)) * 4
		}
		if l.cancelled[stream] {
			continue
		}
		room := math.MaxInt
		if rng.IntN(3) == 0 {
			room = rng.IntN(200)
		}
		l.send(stream, list, room)
		l.shake(rng)
		l.invariants()
	}
	l.settle()
	l.invariants()
	return l
}

// randomLists makes lists of fields with values that recur in some names and never in others.
func randomLists(rng *rand.Rand) (lists [][]Field) {
	words := make([]string, 60)
	for i := range words {
		b := make([]byte, rng.IntN(1<<rng.IntN(11)))
		for j := range b {
			b[j] = byte(32 + rng.IntN(95))
		}
		words[i] = string(b)
	}
	names := []string{":path", ":authority", "user-agent", "cookie", "x-a", "x-request-id", "authorization", "content-type", "date", "z"}
	for range 20 + rng.IntN(150) {
		var list []Field
		for range rng.IntN(14) {
			n := rng.IntN(len(names))
			f := Field{Name: names[n], Sensitive: rng.IntN(20) == 0}
			switch {
			case n%4 == 3:
				f.Value = fmt.Sprint(rng.Uint64())
			case n%4 == 2:
				f.Value = words[rng.IntN(3)]
			default:
				f.Value = words[rng.IntN(len(words))]
			}
			list = append(list, f)
		}
		lists = append(lists, list)
	}
	return lists
}

// bar is what the best of six other encoders needs for a list of the corpus, in bytes of sections and encoder stream. Ours may have three
// more, as those files do not count the instruction that sets the capacity.
var bars = []struct {
	list              string
	capacity, blocked uint64
	acks              bool
	bytes             int
}{
	{"fb-req-hq", 4096, 100, true, 49313},
	{"fb-resp-hq", 4096, 100, true, 51766},
	{"netbsd-hq", 4096, 100, true, 824},
	{"fb-req-hq", 4096, 100, false, 124293},
	{"fb-resp-hq", 4096, 100, false, 158311},
	{"fb-req-hq", 4096, 0, true, 54547},
	{"fb-resp-hq", 4096, 0, true, 59847},
	{"netbsd-hq", 4096, 0, true, 1061},
}

// One configuration, the default, compresses the corpus at least as well as the best of the others in each way of using it.
func TestCorpusBars(t *testing.T) {
	dir := corpus(t)
	if dir == "" {
		return
	}
	for _, b := range bars {
		lists := parseQIF(t, readFile(t, dir, b.list+".qif"))
		check := checkNever
		if b.acks {
			check = checkAtOnce
		}
		l := check(t, b.list, lists, b.capacity, b.blocked)
		total := l.blocks + l.stream
		t.Logf("%s, %d blocked, acknowledged %v: %d bytes of sections, %d of instructions, %d entries: %d, the bar is %d", b.list, b.blocked,
			b.acks, l.blocks, l.stream, l.e.table.inserted, total, b.bytes+3)
		if total > b.bytes+3 {
			t.Errorf("%s, %d blocked, acknowledged %v: %d bytes, want %d at most", b.list, b.blocked, b.acks, total, b.bytes+3)
		}
	}
}

// Where no value comes twice the encoder stops inserting: what it has wasted is bounded, whatever the peer allows.
func TestEncoderStopsInserting(t *testing.T) {
	for _, blocked := range []uint64{0, 100} {
		l := newLink(t, EncoderConfig{}, 4096, blocked)
		for i := range 400 {
			list := []Field{{Name: ":status", Value: "200"}, {Name: "x-nonce", Value: fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())},
				{Name: fmt.Sprintf("x-%d", i), Value: fmt.Sprintf("%x", rand.Uint64())}}
			l.send(uint64(i)*4, list, math.MaxInt)
			l.settle()
		}
		early := l.stream
		for i := range 400 {
			list := []Field{{Name: "x-nonce", Value: fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())}}
			l.send(uint64(400+i)*4, list, math.MaxInt)
			l.settle()
		}
		if late := l.stream - early; early > 12000 || late > 100 {
			t.Errorf("%d blocked: %d bytes of instructions for 400 lists, %d for 400 more", blocked, early, late)
		}
	}
}

// With the peer's settings told late, and remembered first, references count as the rules ask (RFC 9204, section 3.2.3).
func TestEncoderSettings(t *testing.T) {
	list := []Field{{Name: "user-agent", Value: "a user agent with a name of its own"}}
	e := NewEncoder(EncoderConfig{})
	for i := range 3 {
		section := e.AppendSection(nil, uint64(i)*4, list, 1000)
		if len(e.Instructions()) != 0 || section[0] != 0 {
			t.Fatalf("before the settings: section %x, instructions %x", section, e.Instructions())
		}
	}
	if err := e.SetPeer(512, 1); err != nil {
		t.Fatal(err)
	}
	if section := e.AppendSection(nil, 12, list, 1000); section[0] == 0 || len(e.Instructions()) == 0 {
		t.Fatalf("after the settings: section %x, instructions %x", section, e.Instructions())
	}
	if err := e.SetPeer(512, 7); err != nil {
		t.Fatalf("the same capacity again: %v", err)
	}
	for _, capacity := range []uint64{0, 511, 4096} {
		e := NewEncoder(EncoderConfig{})
		if err := e.SetPeer(512, 1); err != nil {
			t.Fatal(err)
		}
		err, ok := e.SetPeer(capacity, 1).(*Error)
		if !ok || err.Code != DecoderStreamError {
			t.Errorf("capacity %d where 512 was remembered: %v, want QPACK_DECODER_STREAM_ERROR", capacity, err)
		}
	}
	// A ceiling of ours below the setting: no more is used, and the Required Insert Count is encoded with the peer's.
	l := newLink(t, EncoderConfig{TableCapacity: 100}, 4096, 10)
	for i := range 2000 {
		l.send(uint64(i)*4, []Field{{Name: "x-a", Value: fmt.Sprintf("%024d", i/50)}}, math.MaxInt)
		l.settle()
	}
	if l.c.capacity != 100 || len(l.c.entries) < 10 {
		t.Errorf("capacity %d, %d entries, want 100 and many", l.c.capacity, len(l.c.entries))
	}
}

// Instructions of a decoder stream that cannot be are refused (attack F7), and those that may be are not.
func TestAttackF7DecoderStreamLies(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
	}{
		{"acknowledgement of a stream that is not known", "88", "stream 8 is acknowledged"},
		{"acknowledgement twice", "80 80", "stream 0 is acknowledged"},
		{"increment of 0", "00", "grow by 0"},
		{"increment beyond what was inserted", "05", "grow by 5"},
		{"increment after the acknowledgement said it", "80 01", "grow by 1"},
		{"integer above 62 bits", "3f ff ff ff ff ff ff ff ff 7f", "too long"},
		{"integer of eleven bytes", "ff 80 80 80 80 80 80 80 80 80 00", "too long"},
		{"cancellation of a stream that is not known", "48", ""},
		{"cancellation", "40", ""},
		{"cancellation twice", "40 40", ""},
		{"acknowledgement after the cancellation", "40 80", "stream 0 is acknowledged"},
		{"acknowledgement", "80", ""},
		{"increment, acknowledgement", "01 80", ""},
		{"part of an increment", "3f", ""},
	} {
		e := NewEncoder(EncoderConfig{})
		if err := e.SetPeer(4096, 10); err != nil {
			t.Fatal(err)
		}
		e.AppendSection(nil, 0, []Field{{Name: "user-agent", Value: "a user agent with a name of its own"}}, 1000)
		if e.table.inserted != 1 {
			t.Fatalf("%d entries, want 1", e.table.inserted)
		}
		var err error
		for _, b := range unhex(t, c.in) { // a byte at a time
			if err = e.HandleDecoderStream([]byte{b}); err != nil {
				break
			}
		}
		q, ok := err.(*Error)
		if c.want == "" && err != nil || c.want != "" && (!ok || q.Code != DecoderStreamError || !strings.Contains(q.Text, c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if len(e.partial) > maxIntLen {
			t.Errorf("%s: %d bytes are kept", c.name, len(e.partial))
		}
	}
}

// Sections whose acknowledgement does not come are kept account of up to a bound; those beyond do without the dynamic table.
func TestFlightIsBounded(t *testing.T) {
	l := newLink(t, EncoderConfig{}, 4096, 100)
	list := []Field{{Name: "user-agent", Value: "a user agent with a name of its own"}}
	for i := range 2 * maxFlight {
		l.send(uint64(i)*4, list, math.MaxInt)
		l.deliverInstructions(len(l.toDecoder))
		l.deliverAcks(len(l.toEncoder))
	}
	if n := len(l.e.flight.sections); n != maxFlight {
		t.Errorf("%d sections are kept account of, want %d", n, maxFlight)
	}
	if last := l.sections[len(l.sections)-1].data; last[0] != 0 {
		t.Errorf("the last section, %x, refers to the dynamic table", last)
	}
	l.settle()
	l.invariants()
	l.send(0, list, math.MaxInt)
	if n := len(l.e.flight.sections); n != 1 || l.sections[0].data[0] == 0 {
		t.Errorf("after the acknowledgements %d sections are kept account of, and the last is %x", n, l.sections[0].data)
	}
}

// What an encoder remembers of the section before makes no difference: one that has forgotten it makes the same bytes of the same lists, whatever is
// acknowledged, cancelled or evicted in between. Nor does the room for instructions where MayInstruct says that there are none.
func TestEncoderRemembersRightly(t *testing.T) {
	own, stood, spared := ownLists(t), 0, 0
	for round := range 60 {
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 5))
		base := randomLists(rng)
		if round%5 == 0 {
			for _, lists := range own {
				base = lists
				break
			}
		}
		capacity, blocked := uint64(rng.IntN(5000)), uint64(rng.IntN(20))
		class := NewClassifier(func(name, value string) uint8 { return uint8(hashPair(hashString(name), hashString(value))) })
		var links [2]*link
		secrets := rng.IntN(3) == 0
		for i := range links {
			links[i] = newLink(t, EncoderConfig{TableCapacity: int(capacity), IndexSecrets: secrets}, capacity, blocked)
			links[i].e.SetClassifier(class)
		}
		list := base[0]
		for i := range 300 {
			list = varied(rng, base, list)
			stream := uint64(i) * 4
			if rng.IntN(6) == 0 {
				stream = uint64(rng.IntN(i+1)) * 4
			}
			if links[0].cancelled[stream] {
				continue
			}
			room := math.MaxInt
			if rng.IntN(5) == 0 {
				room = rng.IntN(200)
			}
			chance := rng.Uint64()
			for k, l := range links {
				e := l.e
				e.work()
				if k == 1 {
					e.plan, e.before = nil, nil
				}
				e.before = append(e.before[:0], e.plan...)
				for j := range list {
					if at := e.recall(&list[j], j); at >= 0 && e.before[at].kind == lineEntry {
						stood++
					}
				}
				fields := append([]Field(nil), list...)
				e.Prepare(fields)
				for _, f := range fields {
					if want := class.class(f.Name, f.Value); f.Class != want {
						t.Fatalf("seed %#x: the class of %+v is %d, want %d", seed, f, f.Class, want)
					}
				}
				room := room
				if k == 1 {
					e.plan, e.before = nil, nil
				} else if !e.MayInstruct() {
					spared++
					room = 0
				}
				l.send(stream, list, room)
				l.shake(rand.New(rand.NewPCG(chance, 6)))
				l.invariants()
			}
			a, b := links[0], links[1]
			if a.blocks != b.blocks || a.stream != b.stream || !reflect.DeepEqual(a.sections, b.sections) || !bytes.Equal(a.toDecoder, b.toDecoder) {
				t.Fatalf("seed %#x, list %d: the encoder that remembers has made other bytes", seed, i)
			}
		}
	}
	if stood < 5000 || spared < 100 {
		t.Errorf("only %d fields were found by what was remembered, and %d sections needed no room for instructions", stood, spared)
	}
}

// varied returns a list that is much like the last one, or another.
func varied(rng *rand.Rand, base [][]Field, last []Field) []Field {
	list := append([]Field(nil), last...)
	switch rng.IntN(10) {
	case 0:
		return base[rng.IntN(len(base))]
	case 1, 2: // one field is another
		if other := base[rng.IntN(len(base))]; len(list) > 0 && len(other) > 0 {
			list[rng.IntN(len(list))] = other[rng.IntN(len(other))]
		}
	case 3: // one is gone
		if len(list) > 0 {
			i := rng.IntN(len(list))
			list = append(list[:i], list[i+1:]...)
		}
	case 4:
		if len(list) > 0 {
			list[rng.IntN(len(list))].Sensitive = true
		}
	case 5: // so short that they are taken for guesses
		list = append(list, Field{Name: "cookie", Value: fmt.Sprint(rng.IntN(30))})
	case 7: // they begin with another, and have the same neighbours
		if len(list) > 0 {
			at := rng.IntN(len(list))
			list = append(append([]Field(nil), list[at:]...), list[:at]...)
		}
	case 6:
		list = append(list, Field{Name: "authorization", Value: "Basic " + fmt.Sprint(rng.IntN(3))})
	}
	return list[max(0, len(list)-16):]
}

// A section's first acknowledgement counts for the first one of its stream, in whatever order they come.
func TestFlightOrder(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 7))
	var f flight
	var model []flyingSection
	for i := range 20_000 {
		switch rng.IntN(9) {
		case 0, 1, 2, 3:
			s := flyingSection{stream: uint64(rng.IntN(10)), oldest: uint64(i)}
			f.add(s)
			model = append(model, s)
		case 4:
			f.compact()
		default:
			stream := uint64(rng.IntN(10))
			if rng.IntN(2) == 0 && len(model) > 0 {
				stream = model[0].stream
			}
			take := f.acknowledge
			if rng.IntN(3) == 0 {
				take = f.cancel
			}
			got, ok := take(stream)
			at := slices.IndexFunc(model, func(s flyingSection) bool { return s.stream == stream })
			if ok != (at >= 0) || ok && got.oldest != model[at].oldest {
				t.Fatalf("seed %#x: %+v, %v; it is the section at %d of %+v", seed, got, ok, at, model)
			}
			if ok {
				model = slices.Delete(model, at, at+1)
			}
		}
	}
}

// A section with very many fields refers to what the table has, and inserts nothing: to find which entries can make way takes a look at all of its fields.
func TestManyFields(t *testing.T) {
	l := newLink(t, EncoderConfig{}, 4096, 100)
	few := make([]Field, maxAdmitted)
	for i := range few {
		few[i] = Field{Name: "x-name", Value: fmt.Sprint("a value of some length ", i%40)}
	}
	many := slices.Repeat(few, 10)
	for i := range many {
		if i%2 == 1 {
			many[i] = Field{Name: "x-other", Value: fmt.Sprint("another value of some length ", i%300)}
		}
	}
	for round := range uint64(3) {
		l.send(8*round, few, 1<<16)
		inserted := l.e.table.inserted
		if inserted == 0 {
			t.Fatalf("nothing of a section of %d fields was inserted", len(few))
		}
		l.send(8*round+4, many, 1<<16)
		if n := l.e.table.inserted - inserted; n > 0 {
			t.Errorf("%d entries were inserted for a section of %d fields", n, len(many))
		}
		if s := l.sections[len(l.sections)-1]; s.data[0] == 0 {
			t.Errorf("a section of %d fields refers to no entry", len(many))
		}
		l.deliverInstructions(len(l.toDecoder))
		for len(l.sections) > 0 {
			l.deliverSection(0)
		}
		l.deliverAcks(len(l.toEncoder))
	}
}
