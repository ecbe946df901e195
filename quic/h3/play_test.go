package h3

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/rest"
	"github.com/boringquic/boringquic/quic/internal/sim"
	"github.com/boringquic/boringquic/quic/qpack"
)

// A play is a connection of two h3.Conns over a simulated network, with requests drawn from a seed: bodies of all sizes, written and read in pieces, trailers,
// interim responses, cancellations and resets by both sides, a shutdown in the middle, tiny buffers and windows, loss. At its end each request is
// compared with what was to become of it.

var playSeed = flag.Uint64("play.seed", 0, "the seed of TestRandomPlays; 0: several")

// playRests is how often a client made requests after a rest, in all plays.
var playRests atomic.Int64

// playRequest is what is to become of a request.
type playRequest struct {
	method            string
	ask, answer       int  // bytes of the bodies
	told              bool // content-length is
	askTrailers       bool
	answerTrailers    bool
	interims          int
	cancelAt, resetAt int  // bytes after which the client, or the server, gives the exchange up; -1: not
	early             bool // the server answers without reading
	clientRead, serve int  // bytes that are read at a time
	piece             int  // bytes that are written at a time
	headerBytes       int
	update            bool // PRIORITY_UPDATE

	id       uint64
	made     bool
	rejected bool
	client   playEnd
	server   playEnd
}

// playEnd is what has become of a request on one side.
type playEnd struct {
	seen     bool // the header section came
	interims int
	got      int // bytes of body
	trailers bool
	fin      bool // the message came to its end
	err      error
	sent     int
	sentEnd  bool
	sentHead bool
	gaveUp   bool
	done     bool
}

type play struct {
	w        *sim.World
	rng      *rand.Rand
	requests []*playRequest
	client   *playSide
	server   *playSide
	shutdown bool         // the server shuts down in the middle
	slow     bool         // the client makes a few requests, and more when these are over and the connection has rested
	combined *combination // nil: the transport does nothing beside
	failed   error
}

type playSide struct {
	p    *play
	conn *sim.Conn
	h3   *Conn
	cfg  *Config
	at   time.Time // of the timer that is set
}

func (p *play) fail(format string, args ...any) {
	if p.failed == nil {
		p.failed = fmt.Errorf(format, args...)
		p.w.Fail(p.failed)
	}
}

// content is the byte at an offset of a body.
func content(request int, answer bool, at int) byte {
	if answer {
		request += 128
	}
	return byte(request*31 + at*7 + at>>8)
}

func fill(b []byte, request int, answer bool, at int) []byte {
	for i := range b {
		b[i] = content(request, answer, at+i)
	}
	return b
}

func (p *play) drawRequests(n int, small bool) {
	size := func() int {
		sizes := []int{0, 0, 1, 10, 63, 64, 100, 1000, 16383, 16384, 16385, 50_000, 300_000}
		if small {
			sizes = sizes[:8]
		}
		return sizes[p.rng.IntN(len(sizes))]
	}
	for range n {
		r := &playRequest{method: "GET", answer: size(), told: p.rng.IntN(2) == 0, answerTrailers: p.rng.IntN(4) == 0, interims: p.rng.IntN(8) - 5,
			cancelAt: -1, resetAt: -1, clientRead: 1 + p.rng.IntN(5000), serve: 1 + p.rng.IntN(5000), piece: 1 + p.rng.IntN(40_000), update: p.rng.IntN(4) == 0}
		switch p.rng.IntN(5) {
		case 0, 1:
			r.method, r.ask, r.askTrailers = "POST", size(), p.rng.IntN(4) == 0
		case 2:
			r.method = "HEAD"
			r.answerTrailers = false
		}
		if p.rng.IntN(6) == 0 {
			r.headerBytes = p.rng.IntN(40_000)
			if small {
				r.headerBytes /= 20
			}
		}
		switch p.rng.IntN(8) {
		case 0:
			r.cancelAt = p.rng.IntN(r.answer + 1)
		case 1:
			r.resetAt = p.rng.IntN(r.answer + 1)
		case 2:
			r.early = r.method == "POST"
		}
		p.requests = append(p.requests, r)
	}
}

// newSide puts HTTP/3 on a connection of the play.
func (p *play) newSide(conn *sim.Conn, cfg *Config) *playSide {
	s := &playSide{p: p, conn: conn, cfg: cfg}
	h, err := New(p.w.Now(), conn.Conn, cfg)
	if err != nil {
		p.fail("%v", err)
		return s
	}
	s.h3 = h
	conn.App = s
	return s
}

// turn deals with what a call has brought.
func (s *playSide) turn() {
	for ev := s.h3.NextEvent(); ev != nil; ev = s.h3.NextEvent() {
		if s.h3.client {
			s.onClient(ev)
		} else {
			s.onServer(ev)
		}
	}
	if err := s.h3.Check(); err != nil {
		s.p.fail("%v", err)
	}
	if at := s.h3.Timeout(); !at.IsZero() && !at.Equal(s.at) {
		s.at = at
		s.p.w.After(at.Sub(s.p.w.Now()), func() {
			if s.at.Equal(at) {
				s.at = time.Time{}
				s.h3.OnTimeout(s.p.w.Now())
				s.turn()
			}
		})
	}
	s.conn.Touch()
}

func (p *play) byID(id uint64) (*playRequest, int) {
	for i, r := range p.requests {
		if r.made && r.id == id {
			return r, i
		}
	}
	p.fail("stream %d is no request's", id)
	return &playRequest{}, 0
}

// begin has the client make as many requests as it may.
func (s *playSide) begin() {
	for i, r := range s.p.requests {
		if s.p.slow && s.h3.OpenRequests() == 3 {
			return
		}
		if r.made || r.rejected {
			continue
		}
		m := get("/" + strconv.Itoa(i))
		m.Method = r.method
		m.Fields = []qpack.Field{{Name: "x-request", Value: strconv.Itoa(i)}, {Name: "priority", Value: "u=" + strconv.Itoa(i%8)}}
		m.Fields = append(m.Fields, playFields(i, false)...)
		if r.headerBytes > 0 {
			m.Fields = append(m.Fields, qpack.Field{Name: "x-long", Value: string(make40(r.headerBytes))})
		}
		if r.told && r.method == "POST" {
			m.Fields = append(m.Fields, qpack.Field{Name: "content-length", Value: strconv.Itoa(r.ask)})
		}
		first := fill(make([]byte, min(r.ask, r.piece)), i, false, 0)
		fin := len(first) == r.ask && !r.askTrailers
		id, n, err := s.h3.SendRequest(s.p.w.Now(), m, first, fin)
		if errors.Is(err, ErrStreamLimit) {
			return
		}
		if errors.Is(err, ErrGoingAway) {
			r.rejected = true
			continue
		}
		if err != nil {
			s.p.fail("request %d: %v", i, err)
			return
		}
		r.id, r.made, r.client.sent = id, true, n
		r.client.sentHead = true
		s.h3.SetStreamData(id, r)
		if fin && n == len(first) {
			r.client.sentEnd = true
		} else if n == len(first) {
			s.write(r, i)
		}
		if r.update {
			s.h3.UpdatePriority(id, quic.Priority{Urgency: uint8(i % 8), Incremental: true})
		}
	}
}

func make40(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}

// write goes on with the body that a side sends.
func (s *playSide) write(r *playRequest, i int) {
	e, size, trailers := &r.client, r.ask, r.askTrailers
	if !s.h3.client {
		e, size, trailers = &r.server, r.answer, r.answerTrailers
		if r.method == "HEAD" {
			return
		}
	}
	for !e.sentEnd && !e.gaveUp {
		if !s.h3.client && r.resetAt >= 0 && e.sent >= r.resetAt {
			e.gaveUp = true
			s.h3.StreamShutdown(r.id, quic.WriteDirection|quic.ReadDirection, ErrCodeInternal)
			return
		}
		if e.sent == size && trailers {
			if err := s.h3.SendTrailers(s.p.w.Now(), r.id, []qpack.Field{{Name: "x-sum", Value: strconv.Itoa(size)}}); err != nil {
				s.broken(r, e, err)
				return
			}
			e.sentEnd = true
			return
		}
		b := fill(make([]byte, min(size-e.sent, r.piece)), i, !s.h3.client, e.sent)
		fin := e.sent+len(b) == size && !trailers
		n, err := s.h3.StreamSend(r.id, b, fin)
		if err != nil {
			s.broken(r, e, err)
			return
		}
		e.sent += n
		if n < len(b) || n == 0 && !fin {
			return
		}
		e.sentEnd = fin
	}
}

// broken notes an error of sending, which the other side must have asked for.
func (s *playSide) broken(r *playRequest, e *playEnd, err error) {
	var failure *StreamError
	other := &r.server
	if !s.h3.client {
		other = &r.client
	}
	if !(errors.As(err, &failure) && failure.Remote && (other.gaveUp || r.early)) && !r.rejected && !e.gaveUp {
		s.p.fail("request %s on stream %d, client %v: sending: %v", r.method, r.id, s.h3.client, err)
	}
	e.err, e.gaveUp = err, true
}

// recv reads what there is of a body.
func (s *playSide) recv(r *playRequest, i int) {
	e, step := &r.client, r.clientRead
	if !s.h3.client {
		e, step = &r.server, r.serve
	}
	b := make([]byte, step)
	for !e.fin && e.err == nil && !e.gaveUp {
		if s.h3.client && r.cancelAt >= 0 && e.got >= r.cancelAt {
			e.gaveUp = true
			s.h3.StreamShutdown(r.id, quic.ReadDirection|quic.WriteDirection, ErrCodeRequestCancelled)
			return
		}
		n, fin, err := s.h3.StreamRecv(r.id, b)
		for k, c := range b[:n] {
			if c != content(i, s.h3.client, e.got+k) {
				s.p.fail("request %d: byte %d of the body is wrong", i, e.got+k)
				return
			}
		}
		e.got += n
		e.fin, e.err = fin, err
		if n == 0 && !fin {
			return
		}
	}
}

func (s *playSide) onClient(ev *Event) {
	if ev.Kind == EventCapacity || ev.Kind == EventSettings {
		s.begin()
		return
	}
	if ev.Data == nil {
		return
	}
	r := ev.Data.(*playRequest)
	i := slices.Index(s.p.requests, r)
	e := &r.client
	switch ev.Kind {
	case EventInterim:
		e.interims++
	case EventResponse:
		if e.seen {
			s.p.fail("request %d: two responses", i)
		}
		e.seen, e.fin = true, ev.Fin
		if ev.Message.Fields[0].Value != strconv.Itoa(i) || !hasFields(ev.Message.Fields, playFields(i, true)) {
			s.p.fail("request %d: the response to another one: %+v", i, ev.Message)
		}
	case EventData:
		if !e.seen {
			s.p.fail("request %d: a body before a response", i)
		}
		s.recv(r, i)
	case EventTrailers:
		e.trailers = true
	case EventWritable:
		s.write(r, i)
	case EventReset:
		e.err = ev.Err
	case EventRejected:
		if r.rejected = s.conn.EarlyData() != quic.EarlyRejected; !r.rejected { // it is made again
			r.made, r.client = false, playEnd{}
		}
	case EventDone:
		e.done = true
		if !s.p.slow {
			s.begin()
		} else if s.h3.OpenRequests() == 0 {
			s.p.w.After(time.Duration(s.p.rng.Int64N(3*rest.Every)), func() {
				if s.h3.resting == 0 {
					playRests.Add(1)
				}
				s.begin()
				s.turn()
			})
		}
	}
}

func (s *playSide) onServer(ev *Event) {
	switch ev.Kind {
	case EventRequest:
		r, i := s.p.byID(ev.Stream)
		e := &r.server
		if e.seen || ev.Message.Path != "/"+strconv.Itoa(i) || ev.Message.Method != r.method || !hasFields(ev.Message.Fields, playFields(i, false)) {
			s.p.fail("request %d: %+v, seen %v", i, ev.Message, e.seen)
		}
		e.seen, e.fin = true, ev.Fin
		s.h3.SetStreamData(ev.Stream, r)
		if s.p.shutdown && i == len(s.p.requests)/2 {
			s.h3.Shutdown(s.p.w.Now())
		}
		if e.fin || r.early {
			s.answer(r, i)
		}
		return
	}
	r, _ := ev.Data.(*playRequest)
	if r == nil {
		return
	}
	i := slices.Index(s.p.requests, r)
	e := &r.server
	switch ev.Kind {
	case EventData:
		if r.early {
			return
		}
		if s.recv(r, i); e.fin {
			s.answer(r, i)
		}
	case EventTrailers:
		e.trailers = true
	case EventWritable:
		s.write(r, i)
		s.afterAnswer(r)
	case EventReset:
		e.err = ev.Err
		if !e.sentEnd && !e.gaveUp {
			e.gaveUp = true
			s.h3.StreamShutdown(r.id, quic.WriteDirection, ErrCodeInternal)
		}
	case EventStopped:
		if !e.fin && e.err == nil && !e.gaveUp {
			s.h3.StreamShutdown(r.id, quic.ReadDirection, ErrCodeRequestCancelled)
		}
		e.gaveUp = true
	case EventDone:
		e.done = true
	}
}

// answer has the server send its response.
func (s *playSide) answer(r *playRequest, i int) {
	e := &r.server
	if e.sentHead || e.gaveUp {
		return
	}
	for range r.interims {
		if _, err := s.h3.SendResponse(s.p.w.Now(), r.id, &Message{Status: 103, Fields: []qpack.Field{{Name: "link", Value: "</x>"}}}, nil, false); err != nil {
			s.broken(r, e, err)
			return
		}
	}
	m := ok200(qpack.Field{Name: "x-request", Value: strconv.Itoa(i)})
	m.Fields = append(m.Fields, playFields(i, true)...)
	if r.told {
		m.Fields = append(m.Fields, qpack.Field{Name: "content-length", Value: strconv.Itoa(r.answer)})
	}
	e.sentHead = true
	if r.method == "HEAD" {
		if _, err := s.h3.SendResponse(s.p.w.Now(), r.id, m, nil, true); err != nil {
			s.broken(r, e, err)
		}
		e.sentEnd = true
		return
	}
	first := fill(make([]byte, min(r.answer, r.piece)), i, true, 0)
	fin := len(first) == r.answer && !r.answerTrailers && r.resetAt < 0
	n, err := s.h3.SendResponse(s.p.w.Now(), r.id, m, first, fin)
	if err != nil {
		s.broken(r, e, err)
		return
	}
	e.sent = n
	if fin && n == len(first) {
		e.sentEnd = true
	} else if n == len(first) {
		s.write(r, i)
	}
	s.afterAnswer(r)
}

// afterAnswer has the server read no more of a request that it has answered early.
func (s *playSide) afterAnswer(r *playRequest) {
	if e := &r.server; r.early && e.sentEnd && !e.fin {
		if s.p.rng.IntN(2) == 0 {
			s.h3.StreamShutdown(r.id, quic.ReadDirection, ErrCodeNoError)
		} else {
			s.h3.StreamStopLater(s.h3.now, r.id, ErrCodeNoError)
		}
	}
}

// judge compares what has become of each request with what was to.
func (p *play) judge() {
	for i, r := range p.requests {
		c, s := &r.client, &r.server
		clean := r.cancelAt < 0 && r.resetAt < 0
		switch {
		case r.rejected && s.seen:
			p.fail("request %d was rejected, and the server has seen it", i)
		case r.rejected:
			if !p.shutdown {
				p.fail("request %d was rejected, and nobody shut down", i)
			}
			continue
		case !r.made:
			p.fail("request %d was never made", i)
		case !c.done || s.seen && !s.done:
			p.fail("request %d is not over: client %+v, server %+v; %+v", i, *c, *s, *r)
		case c.fin && !s.sentEnd:
			p.fail("request %d: the client has a whole response that the server has not sent: %+v, %+v", i, *c, *s)
		case c.fin && r.method != "HEAD" && c.got != r.answer:
			p.fail("request %d: the client has %d bytes of %d", i, c.got, r.answer)
		case c.fin && c.trailers != r.answerTrailers:
			p.fail("request %d: trailers %v, want %v", i, c.trailers, r.answerTrailers)
		case c.fin && c.interims != max(r.interims, 0):
			p.fail("request %d: %d interim responses, want %d", i, c.interims, r.interims)
		case s.fin && (s.got != r.ask || s.trailers != r.askTrailers):
			p.fail("request %d: the server has %d bytes of %d, trailers %v", i, s.got, r.ask, s.trailers)
		case clean && !c.fin:
			p.fail("request %d: the client has no whole response: %+v (%v), server %+v; %+v", i, *c, c.err, *s, *r)
		case clean && !r.early && !s.fin:
			p.fail("request %d: the server has no whole request: %+v", i, *s)
		}
	}
	for _, s := range []*playSide{p.client, p.server} {
		left := 0
		for x := s.h3.streams.first; x != nil; x = x.all.next {
			if !x.rejected { // the core still tells the peer of those
				left++
			}
		}
		if n := s.h3.OpenRequests(); n != 0 || s.h3.held != 0 || left != 0 {
			p.fail("client %v: %d requests, %d bytes, %d streams are left", s.h3.client, n, s.h3.held, left)
		}
	}
}

// playConfigs are of a client and a server in the time of w.
func playConfigs(w *sim.World) (client, server *quic.Config) {
	return &quic.Config{Rand: rand.NewChaCha8([32]byte{2}), TLS: &tls.Config{NextProtos: []string{"h3"}, RootCAs: pairRoots(), Time: w.Now}},
		&quic.Config{Rand: rand.NewChaCha8([32]byte{3}), TLS: &tls.Config{Time: w.Now,
			NextProtos: []string{"h3"}, Certificates: []tls.Certificate{pairCert()}}}
}

// runPlay plays a seed. combined has the transport be busy with more than to carry it.
func runPlay(seed uint64, combined bool) error {
	w := sim.NewWorld(seed)
	p := &play{w: w, rng: rand.New(rand.NewPCG(seed, 1)), shutdown: seed%4 == 3, slow: seed%5 == 2}
	clientConfig, serverConfig := playConfigs(w)
	h3Configs := [2]*Config{}
	small := false
	for i, cfg := range []*quic.Config{clientConfig, serverConfig} {
		cfg.MaxUDPPayload = sim.EthernetPayload
		switch p.rng.IntN(4) {
		case 0:
			cfg.StreamReceiveWindow = []uint64{1, 17, 1000}[p.rng.IntN(3)]
			cfg.MaxStreamReceiveWindow = max(cfg.StreamReceiveWindow, 100)
			small = true
		case 1:
			cfg.StreamSendBuffer = []int{1, 3, 100, 5000}[p.rng.IntN(4)]
			cfg.MaxStreamSendBuffer = cfg.StreamSendBuffer
			small = true
		}
		if p.rng.IntN(3) == 0 {
			cfg.MaxStreamsBidi = 3
		}
		h := &Config{Rand: rand.NewChaCha8([32]byte{4}), NoGrease: p.rng.IntN(2) == 0, BlockedTimeout: time.Hour}
		if p.rng.IntN(3) == 0 {
			h.QPACKTableCapacity = -1
		}
		if p.rng.IntN(3) == 0 {
			h.QPACKBlockedStreams = -1
		}
		h3Configs[i] = h
	}
	if combined {
		p.combined = p.combine(clientConfig, serverConfig, h3Configs)
	}
	p.drawRequests(5+p.rng.IntN(40), small)
	serverEndpoint, err := quic.NewEndpoint(serverConfig)
	if err != nil {
		return err
	}
	clientEndpoint, err := quic.NewEndpoint(nil)
	if err != nil {
		return err
	}
	onEvent := func(c *sim.Conn, ev quic.Event) {
		s, _ := c.App.(*playSide)
		if s == nil {
			if !beginsHTTP(ev.Kind) {
				return
			}
			if c.IsClient() {
				p.client = p.newSide(c, h3Configs[0])
				s = p.client
				s.begin()
			} else {
				p.server = p.newSide(c, h3Configs[1])
				s = p.server
			}
		}
		s.h3.HandleEvent(w.Now(), &ev)
		s.turn()
		if ev.Kind == quic.EventHandshakeConfirmed && c.IsClient() && p.combined != nil {
			p.disturb()
		}
	}
	client := sim.NewHost(w, sim.ClientAddr, clientEndpoint, onEvent)
	server := sim.NewHost(w, sim.ServerAddr, serverEndpoint, onEvent)
	stages := func() []sim.Stage {
		out := []sim.Stage{sim.Rate(100e6, 256<<10, 0), sim.Delay(time.Duration(1+p.rng.IntN(20))*time.Millisecond, time.Duration(p.rng.IntN(3))*time.Millisecond)}
		if p.rng.IntN(2) == 0 {
			out = append(out, sim.Loss([]float64{0.01, 0.05, 0.2}[p.rng.IntN(3)]))
		}
		return out
	}
	params := quic.ConnectParams{ServerName: "peer.example", Local: sim.ClientAddr, Remote: sim.ServerAddr}
	out, in := stages(), stages()
	if c := p.combined; c != nil {
		if params.Session, err = c.earlierSession(p, client, server, clientConfig, h3Configs); err != nil {
			return err
		}
		params.EarlyData, params.ResendEarly = c.early, c.resend
		out, in = c.stages(p, out, in)
	}
	client.Attach(sim.NewLink(w, nil, "to server", out, server.Receive))
	server.Attach(sim.NewLink(w, nil, "to client", in, client.Receive))
	qc, err := clientEndpoint.Connect(w.Now(), clientConfig, params)
	if err != nil {
		return err
	}
	client.Add(qc)
	defer func() {
		for _, h := range []*sim.Host{client, server} {
			for _, c := range h.Conns {
				c.Release()
			}
		}
	}()
	over := func() bool {
		if p.client == nil || p.server == nil {
			return false
		}
		for _, r := range p.requests {
			if !r.rejected && !(r.made && r.client.done && (!r.server.seen || r.server.done)) {
				return false
			}
		}
		return p.client.h3.OpenRequests() == 0 && p.server.h3.OpenRequests() == 0
	}
	if err := w.Run(time.Hour, over); err != nil {
		if p.failed == nil && p.client != nil && p.server != nil {
			p.judge()
		}
		return errors.Join(err, p.failed)
	}
	p.client.turn()
	p.server.turn()
	p.judge()
	return p.failed
}

func TestRandomPlays(t *testing.T) {
	if *playSeed != 0 {
		if err := errors.Join(runPlay(*playSeed, false), runPlay(*playSeed, true)); err != nil {
			t.Fatalf("seed %d: %v", *playSeed, err)
		}
		return
	}
	for seed := uint64(1); seed <= 60; seed++ {
		if err := runPlay(seed, false); err != nil {
			t.Fatalf("seed %d (-play.seed=%d): %v", seed, seed, err)
		}
	}
	if n := playRests.Load(); n < 20 {
		t.Errorf("%d times requests were made after a rest, want 20", n)
	}
}
