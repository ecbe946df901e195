package qpack

import (
	"fmt"
	"math"
	"testing"
)

// get is a GET as a browser sends it, of which the path alone is new each time.
func get(path string) []Field {
	return []Field{
		{Name: ":method", Value: "GET"}, {Name: ":authority", Value: "www.example.org"}, {Name: ":scheme", Value: "https"},
		{Name: ":path", Value: path}, {Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
		{Name: "accept", Value: "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}, {Name: "sec-fetch-site", Value: "same-origin"},
		{Name: "sec-fetch-mode", Value: "no-cors"}, {Name: "sec-fetch-dest", Value: "image"}, {Name: "referer", Value: "https://www.example.org/articles/quic-in-go"},
		{Name: "accept-encoding", Value: "gzip, deflate, br, zstd"}, {Name: "accept-language", Value: "en-US,en;q=0.9,de;q=0.8"},
	}
}

// pair is an encoder and a decoder that have got to know each other.
type pair struct {
	e    *Encoder
	d    *Decoder
	id   uint64
	buf  []byte
	into []Field
}

func newPair(capacity uint64) *pair {
	p := &pair{e: NewEncoder(EncoderConfig{}), d: NewDecoder(capacity, 100)}
	if err := p.e.SetPeer(capacity, 100); err != nil {
		panic(err)
	}
	return p
}

func (p *pair) encode(fields []Field) {
	p.buf = p.e.AppendSection(p.buf[:0], p.id, fields, math.MaxInt)
}

func (p *pair) decode() error {
	in := p.e.Instructions()
	if err := p.d.HandleEncoderStream(in); err != nil {
		return err
	}
	p.e.Sent(len(in))
	var err error
	p.into, err = p.d.Decode(p.id, p.buf, p.into[:0], 1<<16)
	return err
}

func (p *pair) acknowledge() error {
	out := p.d.Instructions()
	err := p.e.HandleDecoderStream(out)
	p.d.Sent(len(out))
	p.id += 4
	return err
}

func (p *pair) trip(t testing.TB, fields []Field) {
	p.encode(fields)
	if err := p.decode(); err != nil {
		t.Fatal(err)
	}
	if err := p.acknowledge(); err != nil {
		t.Fatal(err)
	}
}

// A section of fields that repeat costs no allocation on either side; one with a new literal costs one.
func TestSectionAllocations(t *testing.T) {
	p := newPair(4096)
	fields := get("/")
	for range 20 {
		p.trip(t, fields)
	}
	if n := testing.AllocsPerRun(200, func() { p.trip(t, fields) }); n != 0 {
		t.Errorf("%v allocations a section whose fields the tables hold, want 0", n)
	}
	paths := make([][]Field, 300)
	for i := range paths {
		paths[i] = get(fmt.Sprintf("/images/%08d.webp?v=%d", i*7919, i))
	}
	i := 0
	if n := testing.AllocsPerRun(250, func() { p.trip(t, paths[i]); i++ }); n > 1 {
		t.Errorf("%v allocations a section with a path that is new, want 1", n)
	}
	static := newPair(0)
	for range 20 {
		static.trip(t, fields)
	}
	if n := testing.AllocsPerRun(200, func() { static.encode(fields) }); n != 0 {
		t.Errorf("%v allocations to encode a section without a dynamic table, want 0", n)
	}
}

func benchmarkSection(b *testing.B, capacity uint64, lists [][]Field, encode, decode bool) {
	p := newPair(capacity)
	for i := range 2 * len(lists) {
		p.trip(b, lists[i%len(lists)])
	}
	b.ReportAllocs()
	n := 0
	for i := 0; b.Loop(); i++ {
		list := lists[i%len(lists)]
		switch {
		case encode && decode:
			p.trip(b, list)
		case encode:
			p.encode(list)
			if len(p.e.flight.sections) > 100 {
				b.StopTimer()
				p.settle(b)
				b.StartTimer()
			}
		default:
			if i == 0 || len(lists) > 1 {
				b.StopTimer()
				p.encode(list)
				p.d.HandleEncoderStream(p.e.Instructions())
				p.e.Sent(len(p.e.Instructions()))
				b.StartTimer()
			}
			p.into, _ = p.d.Decode(p.id, p.buf, p.into[:0], 1<<16)
			if len(p.d.out) > 1000 {
				p.d.Sent(len(p.d.out))
			}
		}
		n += len(list)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/field")
}

// settle acknowledges what the encoder has in flight, as a decoder would that has everything.
func (p *pair) settle(b *testing.B) {
	for i := range p.e.flight.sections {
		p.e.table.unpin(p.e.flight.sections[i].oldest)
	}
	p.e.flight.sections = p.e.flight.sections[:0]
	p.e.flight.received(p.e.table.inserted)
	p.d.HandleEncoderStream(p.e.Instructions())
	p.e.Sent(len(p.e.Instructions()))
}

func BenchmarkSection(b *testing.B) {
	repeated := [][]Field{get("/")}
	paths := make([][]Field, 100)
	for i := range paths {
		paths[i] = get(fmt.Sprintf("/images/%08d.webp?v=%d", i*7919, i))
	}
	for _, c := range []struct {
		name     string
		capacity uint64
		lists    [][]Field
	}{{"get/repeated", 4096, repeated}, {"get/paths", 4096, paths}, {"get/static", 0, repeated}} {
		b.Run(c.name+"/encode", func(b *testing.B) { benchmarkSection(b, c.capacity, c.lists, true, false) })
		b.Run(c.name+"/decode", func(b *testing.B) { benchmarkSection(b, c.capacity, c.lists, false, true) })
		b.Run(c.name+"/both", func(b *testing.B) { benchmarkSection(b, c.capacity, c.lists, true, true) })
	}
}

func BenchmarkHuffman(b *testing.B) {
	s := get("/")[4].Value
	code := appendHuffman(nil, s)
	b.Run("encode", func(b *testing.B) {
		var buf []byte
		b.SetBytes(int64(len(s)))
		for b.Loop() {
			buf = appendHuffman(buf[:0], s)
		}
	})
	b.Run("decode", func(b *testing.B) {
		var buf []byte
		b.SetBytes(int64(len(s)))
		for b.Loop() {
			buf, _ = consumeHuffman(buf[:0], code, 1000)
		}
	})
}
