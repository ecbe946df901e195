package h3

import (
	"fmt"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

// exchanges is a way to make requests of a pair, many at a time: over HTTP/3, or the same bytes over bare streams.
type exchanges struct {
	*pair
	begin func()     // makes a request
	ended int        // how many responses were read
	after func()     // what is to be done once a turn
	flow  [2]float64 // bytes of requests and of responses
}

const benchBody = 1024

var benchScratch = make([]byte, 1<<16)

// requestFields and responseFields are what a browser and a small server send.
var requestFields = []qpack.Field{
	{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"},
	{Name: "accept", Value: "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
	{Name: "accept-encoding", Value: "gzip, deflate, br, zstd"},
	{Name: "accept-language", Value: "en-US,en;q=0.9"},
	{Name: "sec-fetch-site", Value: "same-origin"},
	{Name: "sec-fetch-mode", Value: "navigate"},
	{Name: "sec-fetch-dest", Value: "document"},
	{Name: "priority", Value: "u=0, i"},
}

var responseFields = []qpack.Field{
	{Name: "content-type", Value: "text/html; charset=utf-8"},
	{Name: "content-length", Value: "1024"},
	{Name: "date", Value: "Thu, 26 Nov 2026 20:00:00 GMT"},
	{Name: "server", Value: "boringquic"},
}

func benchConfig(client, server *quic.Config) { server.MaxStreamsBidi = 1000 }

// newRawExchanges makes them over bare streams: as many bytes as HTTP/3's, which are dealt with as little as can be.
func newRawExchanges(t testing.TB, request, response int) *exchanges {
	p := &exchanges{pair: newPair(t, benchConfig)}
	ask, answer, scratch := make([]byte, request), make([]byte, response), benchScratch
	p.onClient = func(ev *quic.Event) {
		if ev.Kind == quic.EventReadable {
			if _, fin, _ := p.client.StreamRecv(ev.Stream, scratch); fin {
				p.ended++
			}
		}
	}
	p.onServer = func(ev *quic.Event) {
		if ev.Kind == quic.EventReadable {
			if _, fin, _ := p.server.StreamRecv(ev.Stream, scratch); fin {
				p.server.StreamSend(ev.Stream, answer, true)
			}
		}
	}
	p.begin = func() {
		id, err := p.client.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		p.client.StreamSend(id, ask, true)
	}
	return p
}

// newH3Exchanges makes them over HTTP/3.
func newH3Exchanges(t testing.TB, cfg *Config) *exchanges {
	p := &exchanges{pair: newPair(t, benchConfig)}
	client, err := New(p.now, p.client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	server, err := New(p.now, p.server, cfg)
	if err != nil {
		t.Fatal(err)
	}
	body, scratch := make([]byte, benchBody), benchScratch
	response := &Message{Status: 200, Fields: responseFields}
	request := get("/index.html")
	request.Fields = requestFields
	p.onClient = func(ev *quic.Event) {
		client.HandleEvent(p.now, ev)
		for ev := client.NextEvent(); ev != nil; ev = client.NextEvent() {
			if ev.Kind == EventData {
				if _, fin, _ := client.StreamRecv(ev.Stream, scratch); fin {
					p.ended++
				}
			}
		}
	}
	p.onServer = func(ev *quic.Event) {
		server.HandleEvent(p.now, ev)
		for ev := server.NextEvent(); ev != nil; ev = server.NextEvent() {
			if ev.Kind == EventRequest {
				if _, err := server.SendResponse(p.now, ev.Stream, response, body, true); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	p.begin = func() {
		if _, _, err := client.SendRequest(p.now, request, nil, true); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []*Conn{client, server} {
		p.timers = append(p.timers, func() (time.Time, func(time.Time)) { return c.Timeout(), c.OnTimeout })
	}
	p.settle()
	return p
}

// do makes n requests, so many at a time.
func (p *exchanges) do(n, atOnce int) {
	begun, end := 0, p.ended+n
	for p.ended < end {
		for begun < n && begun-(p.ended-(end-n)) < atOnce {
			p.begin()
			begun++
		}
		if !p.step() {
			p.tick()
		}
		p.now = p.now.Add(20 * time.Microsecond)
	}
}

// bytesPerExchange returns how many bytes of streams an exchange takes each way, in steady state.
func (p *exchanges) bytesPerExchange() (request, response int) {
	p.do(1000, 100)
	c, s := p.client.Stats(), p.server.Stats()
	p.do(1000, 1)
	c2, s2 := p.client.Stats(), p.server.Stats()
	const packet = 1 + 8 + 1 + 16 + 8 // about what packets add
	return int(c2.BytesSent-c.BytesSent)/1000 - packet, int(s2.BytesSent-s.BytesSent)/1000 - packet
}

// BenchmarkGet compares a GET of 1 KiB over HTTP/3, client and server together, with the same bytes over bare streams: the difference is what HTTP/3 costs on
// both sides. static is HTTP/3 without the dynamic tables.
func BenchmarkGet(b *testing.B) {
	request, response := newH3Exchanges(b, nil).bytesPerExchange()
	for _, atOnce := range []int{1, 100} {
		for _, c := range []struct {
			name string
			make func() *exchanges
		}{
			{"raw", func() *exchanges { return newRawExchanges(b, request, response) }},
			{"h3", func() *exchanges { return newH3Exchanges(b, nil) }},
			{"static", func() *exchanges { return newH3Exchanges(b, &Config{QPACKTableCapacity: -1}) }},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, atOnce), func(b *testing.B) {
				p := c.make()
				p.do(2000, atOnce)
				b.ReportAllocs()
				b.ResetTimer()
				before := cpuTime()
				p.do(b.N, atOnce)
				b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/1e3/float64(b.N), "cpu-us/request")
			})
		}
	}
}

// A request and its response allocate nothing in steady state but the string that QPACK makes of the literals of each section, if it has any.
func TestGetAllocates(t *testing.T) {
	p := newH3Exchanges(t, nil)
	p.do(3000, 100)
	raw := newRawExchanges(t, 100, benchBody+100)
	raw.do(3000, 100)
	const n = 500
	h3 := testing.AllocsPerRun(5, func() { p.do(n, 100) }) / n
	bare := testing.AllocsPerRun(5, func() { raw.do(n, 100) }) / n
	if h3 > bare+2.3 {
		t.Errorf("%.2f allocations a request, and %.2f over bare streams", h3, bare)
	}
}
