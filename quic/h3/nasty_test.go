package h3

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

var nastySeeds = flag.Int("nasty.seeds", 40, "how many seeds TestNastyEncoders plays, for each role")
var nastyFirst = flag.Int("nasty.first", 0, "the first of them")

// nastyEncoder is an encoder of QPACK that never breaks a rule of RFC 9204, and does what no sensible one does: it changes the capacity while
// sections are on their way, duplicates what it has just inserted, lets the Base stand anywhere, refers to the same entry by either side of it,
// takes names from entries that are about to be evicted, writes integers longer than they must be, and strings in either form.
type nastyEncoder struct {
	rng      *rand.Rand
	most     int // SETTINGS_QPACK_MAX_TABLE_CAPACITY
	blocked  int // SETTINGS_QPACK_BLOCKED_STREAMS
	capacity int
	size     int
	entries  []nastyEntry // all that were ever inserted, by their absolute index
	oldest   int          // that is in the table
	known    int          // Known Received Count
	out      []byte       // of the encoder stream, that was not sent
	flying   map[uint64][]nastySection
	in       []byte // of the decoder stream, that was not understood
	err      error
}

type nastyEntry struct{ name, value string }

func (e nastyEntry) size() int { return len(e.name) + len(e.value) + 32 }

type nastySection struct{ required, oldest int }

// int appends an integer, at times with groups of zeros at its end (RFC 9204, section 7.4, lets that be).
func (n *nastyEncoder) int(b []byte, first byte, bits uint, v int) []byte {
	limit := 1<<bits - 1
	if v < limit {
		return append(b, first|byte(v))
	}
	b = append(b, first|byte(limit))
	for v -= limit; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	if n.rng.IntN(4) > 0 {
		return append(b, byte(v))
	}
	b = append(b, byte(v)|0x80)
	for range n.rng.IntN(3) {
		b = append(b, 0x80)
	}
	return append(b, 0)
}

// string appends a string literal.
func (n *nastyEncoder) string(b []byte, first byte, bits uint, s string) []byte {
	if n.rng.IntN(2) == 0 {
		return append(n.int(b, first, bits, len(s)), s...)
	}
	h := huffmanOf(s)
	return append(n.int(b, first|1<<bits, bits, len(h)), h...)
}

// pinned is the oldest entry that must not be evicted.
func (n *nastyEncoder) pinned() int {
	at := n.known
	for _, sections := range n.flying {
		for _, s := range sections {
			if s.required > 0 {
				at = min(at, s.oldest)
			}
		}
	}
	return at
}

// evict tells whether an entry of size bytes, or none, can be made room for in a table of that capacity, and makes it if really.
func (n *nastyEncoder) evict(capacity, size int, really bool) bool {
	if size > capacity {
		return false
	}
	at, left, pinned := n.oldest, n.size, n.pinned()
	for left+size > capacity {
		if at >= pinned {
			return false
		}
		left -= n.entries[at].size()
		at++
	}
	if really {
		n.oldest, n.size = at, left
	}
	return true
}

func (n *nastyEncoder) insert(e nastyEntry) {
	n.entries = append(n.entries, e)
	n.size += e.size()
}

// inTable draws an entry of the table; -1: it has none.
func (n *nastyEncoder) inTable() int {
	if c := len(n.entries) - n.oldest; c > 0 {
		switch n.rng.IntN(4) {
		case 0:
			return n.oldest
		case 1:
			return len(n.entries) - 1
		}
		return n.oldest + n.rng.IntN(c)
	}
	return -1
}

func (n *nastyEncoder) name() string {
	return []string{"x-a", "x-b", "x-" + strings.Repeat("n", n.rng.IntN(30)), "user-agent", "x-q", "accept"}[n.rng.IntN(6)]
}

func (n *nastyEncoder) value() string {
	k := []int{0, 1, 3, 20, 60, n.rng.IntN(200)}[n.rng.IntN(6)]
	b := make([]byte, k)
	for i := range b {
		switch n.rng.IntN(6) {
		case 0:
			b[i] = byte(0x80 + n.rng.IntN(0x80))
		case 1:
			b[i] = '!' + byte(n.rng.IntN(94))
		default:
			b[i] = 'a' + byte(n.rng.IntN(26))
		}
	}
	return string(b)
}

// instruct writes one instruction.
func (n *nastyEncoder) instruct() {
	switch at := n.inTable(); n.rng.IntN(8) {
	case 0: // another capacity
		c := []int{n.most, n.most, n.rng.IntN(n.most + 1), n.size, 0, 31, 32}[n.rng.IntN(7)]
		if c > n.most || !n.evict(c, 0, true) {
			return
		}
		n.capacity = c
		n.out = n.int(n.out, 0x20, 5, c)
	case 1, 2: // a duplicate
		if at < 0 {
			return
		}
		e := n.entries[at]
		if !n.evict(n.capacity, e.size(), false) {
			return
		}
		n.out = n.int(n.out, 0, 5, len(n.entries)-1-at)
		n.evict(n.capacity, e.size(), true)
		n.insert(e)
	case 3, 4: // the name of an entry, which may be evicted by it
		if at < 0 {
			return
		}
		e := nastyEntry{n.entries[at].name, n.value()}
		if !n.evict(n.capacity, e.size(), false) {
			return
		}
		n.out = n.string(n.int(n.out, 0x80, 6, len(n.entries)-1-at), 0, 7, e.value)
		n.evict(n.capacity, e.size(), true)
		n.insert(e)
	case 5: // the name of the static table
		e := nastyEntry{"user-agent", n.value()}
		if !n.evict(n.capacity, e.size(), true) {
			return
		}
		n.out = n.string(n.int(n.out, 0xc0, 6, 95), 0, 7, e.value)
		n.insert(e)
	default:
		e := nastyEntry{n.name(), n.value()}
		if !n.evict(n.capacity, e.size(), true) {
			return
		}
		n.out = n.string(n.string(n.out, 0x40, 5, e.name), 0, 7, e.value)
		n.insert(e)
	}
}

// mayRisk tells whether a stream may refer to entries that are not acknowledged.
func (n *nastyEncoder) mayRisk(stream uint64) bool {
	risky := 0
	for id, sections := range n.flying {
		if id != stream && slices.ContainsFunc(sections, func(s nastySection) bool { return s.required > n.known }) {
			risky++
		}
	}
	return risky < n.blocked
}

// section encodes fields of its own choice behind those of head, and returns what the decoder is to see.
func (n *nastyEncoder) section(stream uint64, head []nastyEntry) (b []byte, want []nastyEntry) {
	below := len(n.entries)
	if !n.mayRisk(stream) {
		below = n.known
	}
	type line struct {
		kind  int // 0 literal, 1 name, 2 entry
		at    int
		entry nastyEntry
	}
	var lines []line
	for _, e := range head {
		lines = append(lines, line{0, 0, e})
	}
	required, oldest := 0, len(n.entries)
	for range n.rng.IntN(8) {
		at := -1
		if below > n.oldest {
			at = n.oldest + n.rng.IntN(below-n.oldest)
			if n.rng.IntN(3) == 0 {
				at = below - 1
			}
		}
		switch k := n.rng.IntN(4); {
		case k == 0 || at < 0:
			lines = append(lines, line{0, 0, nastyEntry{n.name(), n.value()}})
			continue
		case k == 1:
			lines = append(lines, line{1, at, nastyEntry{n.entries[at].name, n.value()}})
		default:
			lines = append(lines, line{2, at, n.entries[at]})
		}
		required, oldest = max(required, at+1), min(oldest, at)
	}
	base := required
	if required > 0 {
		switch n.rng.IntN(4) {
		case 0:
			base = n.rng.IntN(required + 1)
		case 1:
			base = required + n.rng.IntN(500)
		case 2:
			base = oldest
		}
		b = n.int(b, 0, 8, required%(2*(n.most/32))+1)
		if base >= required {
			b = n.int(b, 0, 7, base-required)
		} else {
			b = n.int(b, 0x80, 7, required-base-1)
		}
		n.flying[stream] = append(n.flying[stream], nastySection{required, oldest})
	} else {
		b = append(b, 0)
		b = n.int(b, 0, 7, n.rng.IntN(2)*n.rng.IntN(1000))
	}
	for _, l := range lines {
		want = append(want, l.entry)
		never := byte(n.rng.IntN(2))
		switch {
		case l.kind == 0:
			b = n.string(n.string(b, 0x20|never<<4, 3, l.entry.name), 0, 7, l.entry.value)
		case l.kind == 1 && l.at < base:
			b = n.string(n.int(b, 0x40|never<<5, 4, base-1-l.at), 0, 7, l.entry.value)
		case l.kind == 1:
			b = n.string(n.int(b, never<<3, 3, l.at-base), 0, 7, l.entry.value)
		case l.at < base:
			b = n.int(b, 0x80, 6, base-1-l.at)
		default:
			b = n.int(b, 0x10, 4, l.at-base)
		}
	}
	return b, want
}

// told acts on what the decoder stream brings.
func (n *nastyEncoder) told(p []byte) {
	n.in = append(n.in, p...)
	for len(n.in) > 0 && n.err == nil {
		c := n.in[0]
		bits := uint(6)
		if c&0x80 != 0 {
			bits = 7
		}
		v, used := uint64(c)&(1<<bits-1), 1
		if v == 1<<bits-1 {
			for shift := uint(0); ; shift += 7 {
				if used == len(n.in) {
					return
				}
				d := n.in[used]
				used++
				v += uint64(d&0x7f) << shift
				if d < 0x80 {
					break
				}
			}
		}
		n.in = n.in[used:]
		switch {
		case c&0x80 != 0:
			of := n.flying[v]
			if len(of) == 0 {
				n.err = fmt.Errorf("a section of stream %d is acknowledged, and none is on its way", v)
				return
			}
			n.known = max(n.known, of[0].required)
			if n.flying[v] = of[1:]; len(of) == 1 {
				delete(n.flying, v)
			}
		case c&0x40 != 0:
			delete(n.flying, v)
		default:
			if n.known += int(v); v == 0 || n.known > len(n.entries) {
				n.err = fmt.Errorf("the Insert Count is to grow by %d to %d, of %d", v, n.known, len(n.entries))
			}
		}
	}
}

// huffmanOf encodes a string in Huffman's code (RFC 7541, appendix B), also where that is longer.
func huffmanOf(s string) []byte {
	var b []byte
	n := 0 // bits of the last byte
	add := func(bit byte) {
		if n == 0 {
			b = append(b, 0)
		}
		b[len(b)-1] |= bit << (7 - n)
		n = (n + 1) % 8
	}
	for i := range len(s) {
		code, bits := huffmanCode(s[i])
		for k := int(bits) - 1; k >= 0; k-- {
			add(byte(code >> k & 1))
		}
	}
	for n > 0 { // the beginning of EOS
		add(1)
	}
	return b
}

var huffmanCodes = map[byte][2]uint32{}

// huffmanCode finds the code of a byte, by what the tree's own encoder makes of a value in which so many zeros follow it that the code is shorter: that
// of 0 is 00000, and there are no ones behind it but the padding.
func huffmanCode(c byte) (code, bits uint32) {
	if k, ok := huffmanCodes[c]; ok {
		return k[0], k[1]
	}
	const zeros = 64
	value := string([]byte{c}) + strings.Repeat("0", zeros)
	p := qpack.NewEncoder(qpack.EncoderConfig{TableCapacity: -1}).AppendSection(nil, 0, []qpack.Field{{Name: "x", Value: value}}, 0)
	const at = 4 // the prefix, and the name as it is
	if p[2] != 0x21 || p[at]&0x80 == 0 {
		panic("not a name as it is, and a value in Huffman's code")
	}
	p = p[at+1 : at+1+int(p[at]&0x7f)]
	bit := func(i int) uint32 { return uint32(p[i/8]>>(7-i%8)) & 1 }
	end := 8 * len(p)
	for bit(end-1) == 1 {
		end--
	}
	bits = uint32(end - 5*zeros)
	for i := range int(bits) {
		code = code<<1 | bit(i)
	}
	huffmanCodes[c] = [2]uint32{code, bits}
	return code, bits
}

// nastyPlay is a bare peer with such an encoder, and a path that loses, doubles and reorders.
type nastyPlay struct {
	*script
	rng     *rand.Rand
	client  bool
	enc     *nastyEncoder
	encoder uint64
	path    roughPath
	open    []uint64
	tail    map[uint64][]byte
	want    map[uint64][][]nastyEntry // header section, and trailers
	got     map[uint64]int
	reset   map[uint64]bool
	fin     map[uint64]bool
	matched int
}

// TestNastyEncoders has encoders that are right but nasty talk to both roles while exchanges are given up by either side. No connection may end for it;
// each section says what it was to say; and when all is over every section was acknowledged, or its stream cancelled.
func TestNastyEncoders(t *testing.T) {
	for _, client := range []bool{false, true} {
		matched := 0
		for seed := *nastyFirst; seed < *nastyFirst+*nastySeeds; seed++ {
			matched += playNasty(t, client, uint64(seed))
			if t.Failed() {
				t.Fatalf("client %v, seed %d", client, seed)
			}
		}
		if matched < 10**nastySeeds {
			t.Fatalf("client %v: only %d sections arrived", client, matched)
		}
	}
}

func playNasty(t *testing.T, client bool, seed uint64) int {
	rng := rand.New(rand.NewPCG(seed, 9204114))
	capacity := []int{64, 100, 300, 4096, 1 << 16}[rng.IntN(5)]
	blocked := []int{-1, 1, 3, 100}[rng.IntN(4)]
	p := &nastyPlay{rng: rng, client: client, tail: map[uint64][]byte{}, want: map[uint64][][]nastyEntry{}, got: map[uint64]int{},
		reset: map[uint64]bool{}, fin: map[uint64]bool{}}
	cfg := &Config{QPACKTableCapacity: capacity, QPACKBlockedStreams: blocked, BlockedTimeout: time.Hour}
	p.script = newScriptWith(t, client, cfg, false, func(c, s *quic.Config) {
		c.MaxIdleTimeout, s.MaxIdleTimeout = time.Hour, time.Hour
		peer := c
		if client {
			peer = s
		}
		switch rng.IntN(4) {
		case 0: // it takes next to nothing on our decoder stream
			peer.StreamReceiveWindow, peer.MaxStreamReceiveWindow = 20, 20
		case 1:
			peer.ReceiveWindow, peer.MaxReceiveWindow = 300, 300
		}
	})
	p.side.events = nil
	p.side.handle = p.onEvent
	p.enc = &nastyEncoder{rng: rng, most: capacity, blocked: max(blocked, 0), flying: map[uint64][]nastySection{}}
	p.encoder = p.uni(false, varint(streamQPACKEncoder))
	p.path.begin(p.pair, rng, rng.IntN(13))
	check := func() bool {
		if p.enc.err != nil {
			t.Error(p.enc.err)
			return false
		}
		for _, c := range []*quic.Conn{p.peer, p.side.core} {
			if err := c.Err(); err != nil {
				t.Error(err)
				return false
			}
		}
		if err := p.side.Check(); err != nil {
			t.Error(err)
			return false
		}
		return true
	}
	for range 150 + rng.IntN(300) {
		p.act()
		p.side.read()
		if rng.IntN(3) > 0 {
			p.settle()
		}
		if rng.IntN(10) == 0 {
			p.pass(time.Duration(rng.IntN(80)) * time.Millisecond)
		}
		p.decoderStream(rng.IntN(3) == 0)
		p.side.events = p.side.events[:0]
		if !check() {
			return 0
		}
	}
	p.path.end()
	for range 400 {
		p.flush(1 << 20)
		for _, id := range p.open {
			p.piece(id, 1<<20)
		}
		p.side.read()
		p.pass(40 * time.Millisecond)
		p.decoderStream(true)
		if !check() {
			return 0
		}
		left := len(p.enc.out)
		for _, b := range p.tail {
			left += len(b)
		}
		if left == 0 && len(p.enc.flying) == 0 {
			break
		}
	}
	for _, id := range p.open {
		p.peer.StreamShutdown(id, quic.ReadDirection|quic.WriteDirection, uint64(ErrCodeRequestCancelled))
		p.side.StreamShutdown(id, quic.ReadDirection|quic.WriteDirection, ErrCodeRequestCancelled)
		p.side.read()
	}
	for range 100 {
		p.pass(50 * time.Millisecond)
		p.decoderStream(true)
	}
	if !check() {
		return 0
	}
	if len(p.enc.flying) > 0 {
		t.Errorf("sections of %d streams were neither acknowledged nor cancelled: %v; %d and %d bytes of instructions were not sent",
			len(p.enc.flying), p.enc.flying, len(p.enc.out), len(p.side.dec.Instructions()))
	}
	if c := p.side.Conn; c.requests != 0 || c.streams.len != 0 || c.held != 0 || c.dec.Blocked() > 0 {
		t.Errorf("%d requests, %d streams, %d bytes held, %d blocked", c.requests, c.streams.len, c.held, c.dec.Blocked())
	}
	if int(p.side.dec.InsertCount()) != len(p.enc.entries) {
		t.Errorf("%d entries were inserted, %d arrived", len(p.enc.entries), p.side.dec.InsertCount())
	}
	return p.matched
}

// decoderStream reads what the side under test says.
func (p *nastyPlay) decoderStream(all bool) {
	id := p.side.local.ids[localDecoder]
	var rest [4096]byte
	for other := range p.peer.Readable() { // credit for all of the connection
		if other != id {
			p.peer.StreamRecv(other, rest[:])
		}
	}
	b := make([]byte, 1+p.rng.IntN(200))
	for {
		n, _, err := p.peer.StreamRecv(id, b)
		if n == 0 || err != nil {
			return
		}
		in := b[:n]
		if !p.begun() {
			p.enc.in = append(p.enc.in, in...)
			if len(p.enc.in) == 0 {
				return
			}
			if p.enc.in[0] != streamQPACKDecoder {
				p.t.Fatal("not the decoder stream")
			}
			in = slices.Clone(p.enc.in[1:])
			p.enc.in = nil
			p.got[^uint64(0)] = 1
		}
		p.enc.told(in)
		if !all {
			return
		}
	}
}

func (p *nastyPlay) begun() bool { return p.got[^uint64(0)] == 1 }

func (p *nastyPlay) flush(n int) {
	k := min(n, len(p.enc.out))
	sent, err := p.peer.StreamSend(p.encoder, p.enc.out[:k], false)
	if err == nil {
		p.enc.out = p.enc.out[sent:]
	}
}

func (p *nastyPlay) piece(id uint64, n int) {
	b := p.tail[id]
	k := min(len(b), n)
	sent, err := p.peer.StreamSend(id, b[:k], k == len(b) && p.fin[id])
	if err == nil {
		p.tail[id] = b[sent:]
	} else {
		p.tail[id] = nil
	}
}

func (p *nastyPlay) act() {
	switch n := p.rng.IntN(100); {
	case n < 20:
		p.begin()
	case n < 50:
		p.enc.instruct()
	case n < 65:
		p.flush([]int{1, 2, 5, 50, 5000}[p.rng.IntN(5)])
	case n < 92:
		if len(p.open) > 0 {
			p.piece(p.open[p.rng.IntN(len(p.open))], []int{1, 3, 20, 200, 5000}[p.rng.IntN(5)])
		}
	case n < 95:
		if len(p.open) > 0 {
			id := p.open[p.rng.IntN(len(p.open))]
			p.reset[id] = true
			dir := []quic.Direction{quic.WriteDirection, quic.WriteDirection | quic.ReadDirection, quic.ReadDirection}[p.rng.IntN(3)]
			p.peer.StreamShutdown(id, dir, uint64(ErrCodeRequestCancelled))
			if dir&quic.WriteDirection != 0 {
				p.tail[id] = nil
			}
		}
	case n < 97:
		if len(p.open) > 0 {
			id := p.open[p.rng.IntN(len(p.open))]
			p.reset[id] = true
			p.side.StreamShutdown(id, quic.Direction(1+p.rng.IntN(3)), ErrCodeRequestCancelled)
			p.side.read()
		}
	}
}

func (p *nastyPlay) begin() {
	var id uint64
	var err error
	head := []nastyEntry{{":status", "200"}}
	if p.client {
		if id, _, err = p.side.SendRequest(p.now, get("/"), nil, true); err != nil {
			return
		}
		p.side.read()
		p.settle()
		if _, err := p.peer.StreamSend(id, nil, false); err != nil { // it has not arrived
			p.side.StreamShutdown(id, 3, ErrCodeRequestCancelled)
			p.side.read()
			return
		}
	} else {
		if id, err = p.peer.OpenStream(); err != nil {
			return
		}
		head = []nastyEntry{{":method", "POST"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}}
	}
	var b []byte
	var want [][]nastyEntry
	add := func(head []nastyEntry) {
		s, w := p.enc.section(id, head)
		b = append(b, frameOf(frameHeaders, s)...)
		want = append(want, w[len(head):])
	}
	for p.client && p.rng.IntN(3) == 0 {
		add([]nastyEntry{{":status", "103"}})
	}
	add(head)
	if p.rng.IntN(2) == 0 {
		b = append(b, frameOf(frameData, make([]byte, p.rng.IntN(300)))...)
	}
	if p.rng.IntN(2) == 0 {
		add(nil)
	}
	p.open = append(p.open, id)
	p.tail[id], p.want[id] = b, want
	p.fin[id] = p.rng.IntN(5) > 0
}

func (p *nastyPlay) onEvent(ev Event) {
	var fields []qpack.Field
	switch ev.Kind {
	case EventRequest, EventInterim, EventResponse:
		fields = ev.Message.Fields
	case EventTrailers:
		fields = ev.Fields
	case EventReset:
		if !p.reset[ev.Stream] {
			p.t.Errorf("stream %d: %v", ev.Stream, ev.Err)
		}
		return
	case EventData:
		b := make([]byte, 1+p.rng.IntN(500))
		for p.rng.IntN(5) > 0 {
			n, fin, err := p.side.StreamRecv(ev.Stream, b)
			var e *StreamError
			if err != nil && !errors.As(err, &e) && !errors.Is(err, ErrUnknownStream) {
				p.t.Error(err)
			}
			if n == 0 || fin || err != nil {
				break
			}
		}
		return
	default:
		return
	}
	p.matched++
	k := p.got[ev.Stream]
	p.got[ev.Stream]++
	if k >= len(p.want[ev.Stream]) {
		p.t.Errorf("stream %d: more sections than %d", ev.Stream, k)
		return
	}
	want := p.want[ev.Stream][k]
	if len(fields) != len(want) {
		p.t.Errorf("stream %d, section %d: %d fields, want %d", ev.Stream, k, len(fields), len(want))
		return
	}
	for i, f := range fields {
		if f.Name != want[i].name || f.Value != want[i].value {
			p.t.Errorf("stream %d, section %d: %q: %q, want %q: %q", ev.Stream, k, f.Name, f.Value, want[i].name, want[i].value)
		}
	}
	if ev.Kind == EventRequest && p.rng.IntN(2) == 0 {
		p.side.SendResponse(p.now, ev.Stream, ok200(), nil, true)
	}
}
