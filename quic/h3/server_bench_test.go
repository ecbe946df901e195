package h3

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/rest"
	"github.com/boringquic/boringquic/quic/qpack"
)

// perfFields are the fields that quic-perf's clients send with each request, and perfAnswer those of its servers.
var (
	perfFields = []qpack.Field{
		{Name: "accept", Value: "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
		{Name: "accept-encoding", Value: "gzip, deflate, br, zstd"},
		{Name: "accept-language", Value: "en-US,en;q=0.9"},
		{Name: "cookie", Value: "session=0123456789abcdef; theme=dark"},
		{Name: "priority", Value: "u=0, i"},
		{Name: "referer", Value: "https://example.org/"},
		{Name: "sec-ch-ua-platform", Value: `"Linux"`},
		{Name: "sec-fetch-dest", Value: "document"},
		{Name: "sec-fetch-mode", Value: "navigate"},
		{Name: "sec-fetch-site", Value: "same-origin"},
		{Name: "upgrade-insecure-requests", Value: "1"},
		{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"},
	}
	perfAnswer = []qpack.Field{
		{Name: "content-type", Value: "application/octet-stream"},
		{Name: "content-length", Value: "1024"},
		{Name: "date", Value: "Thu, 26 Nov 2026 20:00:00 GMT"},
	}
)

// serverTurns are exchanges of which the time that the server takes is measured alone: both sides read all of their events, and then answer, once for
// all trains that the other has sent in its turn.
type serverTurns struct {
	*pair
	h3         *Conn          // of the server
	onRequest  func(*Message) // is shown each request, if it is not nil
	begin      func()
	clientTurn func()
	serverTurn func()
	ended      int
	spent      time.Duration // by the server
	bufs       [2][]byte
}

func newServerTurns(b testing.TB) *serverTurns {
	p := newPair(b, benchConfig)
	return &serverTurns{pair: p, bufs: [2][]byte{make([]byte, 1<<20), make([]byte, 1<<20)}}
}

// pack has a connection write all that it has to send into one of the buffers.
func (s *serverTurns) pack(c *quic.Conn, buf []byte) (trains []quic.Transmit, bufs [][]byte) {
	for used := 0; len(buf)-used >= 1<<16; {
		t := c.Send(s.now, buf[used:used+1<<16])
		if t.N == 0 {
			break
		}
		trains = append(trains, t)
		bufs = append(bufs, buf[used:used+t.N])
		used += t.N
	}
	return trains, bufs
}

func (s *serverTurns) receive(c *quic.Conn, trains []quic.Transmit, bufs [][]byte) {
	for i, t := range trains {
		c.Recv(s.now, quic.Train{Buf: bufs[i], SegSize: t.SegSize, Local: t.Remote, Remote: t.Local, ECN: t.ECN})
	}
}

// do makes n requests, so many at a time.
func (s *serverTurns) do(n, atOnce int) {
	begun, end := 0, s.ended+n
	for s.ended < end {
		s.clientTurn()
		for begun < n && begun-(s.ended-(end-n)) < atOnce {
			s.begin()
			begun++
		}
		trains, bufs := s.pack(s.client, s.bufs[0])
		began := time.Now()
		s.receive(s.server, trains, bufs)
		s.serverTurn()
		trains, bufs = s.pack(s.server, s.bufs[1])
		s.spent += time.Since(began)
		s.receive(s.client, trains, bufs)
		s.now = s.now.Add(20 * time.Microsecond)
		if len(trains) == 0 {
			s.tick()
		}
	}
}

func newRawTurns(b testing.TB, request, response int) *serverTurns {
	s := newServerTurns(b)
	ask, answer := make([]byte, request), make([]byte, response)
	s.clientTurn = func() {
		s.events(s.client, func(ev *quic.Event) {
			if ev.Kind == quic.EventReadable {
				if _, fin, _ := s.client.StreamRecv(ev.Stream, benchScratch); fin {
					s.ended++
				}
			}
		})
	}
	s.serverTurn = func() {
		s.events(s.server, func(ev *quic.Event) {
			if ev.Kind == quic.EventReadable {
				if _, fin, _ := s.server.StreamRecv(ev.Stream, benchScratch); fin {
					s.server.StreamSend(ev.Stream, answer, true)
				}
			}
		})
	}
	s.begin = func() {
		id, err := s.client.OpenStream()
		if err != nil {
			b.Fatal(err)
		}
		s.client.StreamSend(id, ask, true)
	}
	return s
}

func newH3Turns(b testing.TB, cfg *Config) *serverTurns {
	s := newServerTurns(b)
	var sides [2]*Conn
	for i, c := range []*quic.Conn{s.client, s.server} {
		h, err := New(s.now, c, cfg)
		if err != nil {
			b.Fatal(err)
		}
		sides[i] = h
		s.timers = append(s.timers, func() (time.Time, func(time.Time)) { return h.Timeout(), h.OnTimeout })
	}
	client, server := sides[0], sides[1]
	s.h3 = server
	body := make([]byte, benchBody)
	request := get("/1024")
	request.Fields = perfFields
	response := &Message{Status: 200, Fields: perfAnswer}
	s.clientTurn = func() {
		s.events(s.client, func(ev *quic.Event) { client.HandleEvent(s.now, ev) })
		for ev := client.NextEvent(); ev != nil; ev = client.NextEvent() {
			if ev.Kind == EventData {
				if _, fin, _ := client.StreamRecv(ev.Stream, benchScratch); fin {
					s.ended++
				}
			}
		}
	}
	s.serverTurn = func() {
		s.events(s.server, func(ev *quic.Event) { server.HandleEvent(s.now, ev) })
		for ev := server.NextEvent(); ev != nil; ev = server.NextEvent() {
			if ev.Kind == EventRequest {
				if s.onRequest != nil {
					s.onRequest(ev.Message)
				}
				if _, err := server.SendResponse(s.now, ev.Stream, response, body, true); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	s.onClient = func(ev *quic.Event) { client.HandleEvent(s.now, ev) }
	s.onServer = func(ev *quic.Event) { server.HandleEvent(s.now, ev) }
	s.begin = func() {
		if _, _, err := client.SendRequest(s.now, request, nil, true); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// Fields that come again, or are sent again, are looked at once.
func TestRepeatedFieldsAreKnown(t *testing.T) {
	s := newH3Turns(t, nil)
	looked, unknown := 0, 0
	counting := qpack.NewClassifier(func(name, value string) uint8 {
		looked++
		return uint8(classOf(&qpack.Field{Name: name, Value: value}))
	})
	s.h3.dec.SetClassifier(counting)
	s.h3.enc.SetClassifier(counting)
	s.do(3000, 100)
	looked = 0
	s.onRequest = func(m *Message) {
		for _, f := range m.Fields {
			if f.Class == uint8(classUnknown) {
				unknown++
			}
		}
	}
	const n = 1000
	s.do(n, 100)
	if looked > n/100 || unknown > n/100 {
		t.Errorf("of %d requests and responses %d fields were classified, and %d were not known", n, looked, unknown)
	}
}

// BenchmarkServer measures what a server alone takes for a GET of 1 KiB, over HTTP/3 and as the same bytes over bare streams.
func BenchmarkServer(b *testing.B) {
	for _, c := range []struct {
		name string
		make func() *serverTurns
	}{
		{"raw", func() *serverTurns { return newRawTurns(b, 20, benchBody+10) }},
		{"h3", func() *serverTurns { return newH3Turns(b, nil) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := c.make()
			s.do(2000, 100)
			s.spent = 0
			b.ReportAllocs()
			b.ResetTimer()
			s.do(b.N, 100)
			b.ReportMetric(float64(s.spent.Nanoseconds())/float64(b.N), "server-ns/request")
		})
	}
}

// BenchmarkWake measures what a server alone takes for a request that comes alone: of a connection that was used just before, and of one that has rested.
func BenchmarkWake(b *testing.B) {
	for _, c := range []struct {
		name    string
		silence time.Duration // before each
	}{{"warm", time.Duration(rest.Every) * 3 / 4}, {"rested", time.Duration(rest.Every) * 3 / 2}} {
		b.Run(c.name, func(b *testing.B) {
			s := newH3Turns(b, nil)
			one := func() {
				s.pass(c.silence)
				s.do(1, 1)
			}
			for range 100 {
				one()
			}
			s.spent = 0
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				one()
			}
			b.ReportMetric(float64(s.spent.Nanoseconds())/float64(b.N), "server-ns/request")
		})
	}
}
