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

var grammarSeeds = flag.Int("grammar.seeds", 60, "how many seeds TestGrammarPlays plays, for each role")
var grammarFirst = flag.Int("grammar.first", 0, "the first of them")

// gStream is a stream of a play: what the peer sends on it, and what the application under test was told.
type gStream struct {
	*gMessage
	id      uint64
	sent    int
	ended   bool // FIN or RESET_STREAM was sent
	reset   bool // the latter
	stopped bool // the peer has sent STOP_SENDING
	method  string

	// The application's.
	prompt   bool // it reads whatever comes, and gives nothing up
	told     bool // the header section
	tooBig   bool
	got      []byte
	trailer  []qpack.Field
	whole    bool // the end
	failed   ErrorCode
	err      error
	done     bool
	gaveUp   bool
	answer   []byte // what is sent
	sentHead bool
	taken    int
	complete bool // all was taken, and the end
	declared int

	// What the peer has of it.
	wireIn    []byte
	inEnd     bool
	resetWith ErrorCode
}

// gPlay is a play.
type gPlay struct {
	*script
	rng     *rand.Rand
	client  bool
	table   *gTable
	encoder uint64
	encSent int
	streams map[uint64]*gStream
	order   []*gStream
	fault   *verdict // of the connection
	faultOf *gStream
	path    roughPath
	noises  int
	pushID  uint64 // of MAX_PUSH_ID, or of a client's GOAWAY frames, which fall
	gone    bool   // GOAWAY is sent from here on

	controlOut []byte // what of the control stream is still to be sent
	later      bool   // the application reads what it has let lie
}

// TestGrammarPlays has a peer send what the grammar draws: many streams at once, byte by byte, under windows of a few bytes, over a path that loses and reorders, with at
// most one thing in a play that must end the connection. What the application is told, and how streams and connection end, must be what the grammar says.
func TestGrammarPlays(t *testing.T) {
	for _, client := range []bool{false, true} {
		for seed := *grammarFirst; seed < *grammarFirst+*grammarSeeds; seed++ {
			if playGrammar(t, client, uint64(seed)); t.Failed() {
				t.Fatalf("client %v, seed %d", client, seed)
			}
		}
	}
}

func playGrammar(t *testing.T, client bool, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 4711))
	g := &gPlay{rng: rng, client: client, streams: map[uint64]*gStream{}}
	cfg := &Config{EnableDatagrams: true, EnableConnect: true, MaxFieldSectionSize: gLimit, QPACKBlockedStreams: 50}
	small := func(c *quic.Config) {
		if w := []uint64{0, 0, 1, 7, 60, 500}[rng.IntN(6)]; w > 0 {
			c.StreamReceiveWindow, c.MaxStreamReceiveWindow = w, max(w, 300)
		}
	}
	g.script = newScriptWith(t, client, cfg, false, func(c, s *quic.Config) {
		withDatagrams(c, s)
		small(c)
		small(s)
	}, SettingQPACKTableCapacity, 0, SettingQPACKBlockedStreams, 0, SettingH3Datagram, 1, SettingEnableConnect, 1)
	g.side.events, g.side.handle = nil, g.onEvent
	if rng.IntN(2) == 0 {
		g.path.begin(g.pair, rng, rng.IntN(20))
	}
	var fields []qpack.Field
	pool := append(slices.Clone(gExtras), gField(":path", "/e1"), gField(":method", "PUT"), gField(":authority", "example.org"), gField(":status", "404"), gField("x-t", "1"))
	for range 3 + rng.IntN(20) {
		fields = append(fields, pool[rng.IntN(len(pool))])
	}
	g.table = newGTable(rng, fields)
	g.encoder = g.uni(false, varint(streamQPACKEncoder))
	wild := rng.IntN(2) == 0
	for range 1 + rng.IntN(12) {
		g.open(wild && g.fault == nil)
	}
	if wild && g.fault == nil && rng.IntN(2) == 0 {
		g.spoilConnection()
	}
	for step := 0; step < 30_000 && g.act(); step++ {
		if rng.IntN(20) == 0 {
			g.pass(time.Duration(rng.IntN(50)) * time.Millisecond)
		}
		if err := g.side.Check(); err != nil {
			t.Error(err)
			return
		}
		g.side.events = g.side.events[:0]
		if g.side.core.IsClosed() {
			break
		}
	}
	g.path.end()
	g.pass(4 * time.Second)
	g.later = true
	for _, s := range g.order {
		g.readOf(s)
		g.writeOf(s)
	}
	for range 40 {
		g.pass(100 * time.Millisecond)
		for _, s := range g.order {
			g.peerReads(s)
		}
	}
	g.judge()
}

// open begins an exchange.
func (g *gPlay) open(wild bool) {
	s := &gStream{prompt: g.rng.IntN(4) > 0, declared: -1}
	if g.client {
		s.method = []string{"GET", "HEAD", "POST", "CONNECT"}[g.rng.IntN(4)]
		m := get("/")
		if m.Method = s.method; s.method == "CONNECT" {
			m.Scheme, m.Path, m.Authority = "", "", "example.org:443"
		}
		s.answer = make([]byte, []int{0, 10, 3000}[g.rng.IntN(3)])
		gFill(s.answer)
		id, n, err := g.side.SendRequest(g.now, m, s.answer, true)
		if err != nil {
			g.t.Fatal(err)
		}
		s.id, s.taken, s.complete, s.sentHead = id, n, n == len(s.answer), true
		g.streams[s.id] = s // before events of it
		s.gMessage = g.table.newMessage(g.rng, s.method, wild)
	} else {
		id, err := g.peer.OpenStream()
		if err != nil {
			g.t.Fatal(err)
		}
		s.id = id
		s.gMessage = g.table.newMessage(g.rng, "", wild)
		s.answer = make([]byte, []int{0, 10, 3000, 20_000}[g.rng.IntN(4)])
		gFill(s.answer)
	}
	if s.fault.wrong() && s.fault.conn {
		s.prompt, g.fault, g.faultOf = true, s.fault, s
	}
	g.streams[s.id] = s
	g.order = append(g.order, s)
}

func gFill(b []byte) {
	for i := range b {
		b[i] = byte(i * 7)
	}
}

// act does one thing; false: there is nothing left.
func (g *gPlay) act() (more bool) {
	rng := g.rng
	if left := len(g.table.wire) - g.encSent; left > 0 && rng.IntN(3) == 0 {
		n := min(left, 1+rng.IntN([]int{1, 5, 100}[rng.IntN(3)]))
		k, _ := g.peer.StreamSend(g.encoder, g.table.wire[g.encSent:g.encSent+n], false)
		g.encSent += k
	}
	more = g.encSent < len(g.table.wire)
	for _, s := range g.order {
		if s.ended {
			continue
		}
		if g.client && !g.atPeer(s) {
			more = more || !s.done && !s.gaveUp
			continue
		}
		if s.sent < len(s.wire) || s.fin {
			more = true
		}
		if rng.IntN(3) > 0 {
			continue
		}
		n := min(len(s.wire)-s.sent, rng.IntN([]int{2, 2, 10, 1000}[rng.IntN(4)]))
		last := s.sent+n == len(s.wire)
		k, err := g.peer.StreamSend(s.id, s.wire[s.sent:s.sent+n], last && s.fin)
		s.sent += k
		if err != nil {
			s.ended = true // the side has stopped it
			continue
		}
		if last && k == n && s.fin {
			s.ended = true
		}
		switch {
		case s.ended || s == g.faultOf:
		case rng.IntN(400) == 0:
			g.peer.StreamShutdown(s.id, quic.WriteDirection, uint64(ErrCodeRequestCancelled))
			s.ended, s.reset = true, true
		case rng.IntN(400) == 0:
			g.peer.StreamShutdown(s.id, quic.ReadDirection, uint64(ErrCodeRequestCancelled))
			s.stopped = true
		}
	}
	for _, s := range g.order {
		if rng.IntN(4) == 0 {
			g.peerReads(s)
			g.writeOf(s)
		}
	}
	if rng.IntN(12) == 0 && g.noises < 300 {
		g.noises++
		g.noise()
	}
	if rng.IntN(2) == 0 {
		g.settle()
	}
	g.side.read()
	return more && g.peer.Err() == nil
}

// atPeer tells whether the server has a request's stream.
func (g *gPlay) atPeer(s *gStream) bool {
	_, err := g.peer.StreamRoom(s.id)
	return err == nil
}

func (g *gPlay) peerReads(s *gStream) {
	var b [700]byte
	for !s.inEnd && !s.stopped {
		n, fin, err := g.peer.StreamRecv(s.id, b[:1+g.rng.IntN(len(b)-1)])
		s.wireIn = append(s.wireIn, b[:n]...)
		if s.inEnd = fin; err != nil || n == 0 {
			var e *quic.StreamError
			if errors.As(err, &e) && e.Remote {
				s.resetWith = ErrorCode(e.Code)
			}
			return
		}
	}
}

// onEvent is the application.
func (g *gPlay) onEvent(ev Event) {
	switch ev.Kind {
	case EventSettings, EventGoAway, EventCapacity, EventSession, EventShutdown, EventOrigin: // of the connection
		return
	}
	s := g.streams[ev.Stream]
	if s == nil {
		return
	}
	if s.done {
		g.t.Errorf("stream %d: event %d after its end", s.id, ev.Kind)
	}
	switch ev.Kind {
	case EventInterim:
		if s.interims--; s.interims < 0 {
			g.t.Errorf("stream %d: more interim responses than were sent", s.id)
		}
	case EventRequest, EventResponse:
		g.onHead(s, ev)
	case EventTooLarge:
		if s.tooBig = true; !s.tooLarge || s.told {
			g.t.Errorf("stream %d: too large, and it is not", s.id)
		}
		g.side.SendResponse(g.now, s.id, &Message{Status: 431}, nil, true)
		s.complete, s.sentHead = true, true
		s.answer = nil
	case EventTrailers:
		s.trailer = ev.Fields
	case EventReset:
		s.failed, s.err = ev.Code, ev.Err
	case EventDone, EventRejected:
		s.done = true
	case EventData:
		g.readOf(s)
	case EventWritable:
		g.writeOf(s)
	}
	if !s.prompt && !s.done && g.rng.IntN(12) == 0 {
		dir := []quic.Direction{quic.ReadDirection, quic.WriteDirection, quic.ReadDirection | quic.WriteDirection}[g.rng.IntN(3)]
		g.side.StreamShutdown(s.id, dir, ErrCodeInternal)
		s.gaveUp = true
	}
}

// onHead compares a header section with what was sent.
func (g *gPlay) onHead(s *gStream, ev Event) {
	m := ev.Message
	if s.told {
		g.t.Errorf("stream %d: two header sections", s.id)
	}
	s.told = true
	if s.fault.wrong() && s.faultAt <= s.headEnd {
		g.t.Errorf("stream %d: the application is told of a message with a fault before the end of its header section: %s", s.id, s.fault.why)
		return
	}
	if s.sent < s.headEnd {
		g.t.Errorf("stream %d: a header section that was not sent", s.id)
	}
	var want []qpack.Field
	pseudo := map[string]string{}
	for _, f := range s.head {
		if strings.HasPrefix(f.Name, ":") {
			pseudo[f.Name] = f.Value
		} else {
			want = append(want, f)
		}
	}
	same := func(a, b qpack.Field) bool { return a.Name == b.Name && a.Value == b.Value }
	got := map[string]string{}
	put := func(name, value string) {
		if value != "" {
			got[name] = value
		}
	}
	put(":method", m.Method)
	put(":scheme", m.Scheme)
	put(":authority", m.Authority)
	put(":path", m.Path)
	put(":protocol", m.Protocol)
	if g.client {
		put(":status", fmt.Sprint(m.Status))
	}
	if fmt.Sprint(got) != fmt.Sprint(pseudo) || !slices.EqualFunc(m.Fields, want, same) {
		g.t.Errorf("stream %d: %v %v, want %v %v", s.id, got, m.Fields, pseudo, want)
	}
	if ev.Fin {
		s.whole = true
	}
	if !g.client && g.rng.IntN(3) > 0 {
		g.writeOf(s)
	}
}

func (g *gPlay) readOf(s *gStream) {
	if !s.told || s.whole || s.err != nil || s.done || s.gaveUp && s.err != nil {
		return
	}
	if !s.prompt && !g.later && g.rng.IntN(2) == 0 {
		return
	}
	b := make([]byte, 1+g.rng.IntN(500))
	for {
		n, fin, err := g.side.StreamRecv(s.id, b)
		s.got = append(s.got, b[:n]...)
		g.side.read()
		if fin {
			s.whole = true
		}
		if err != nil && s.err == nil {
			s.err = err
			var e *StreamError
			if errors.As(err, &e) {
				s.failed = e.Code
			}
		}
		if n == 0 || fin || err != nil || s.done {
			return
		}
	}
}

// writeOf has a server answer, and go on.
func (g *gPlay) writeOf(s *gStream) {
	if g.client || !s.told || s.complete || s.done || s.tooBig {
		return
	}
	if !s.sentHead {
		m := ok200(qpack.Field{Name: "x-number", Value: fmt.Sprint(s.id)})
		if g.rng.IntN(3) == 0 {
			s.declared = len(s.answer)
			if g.rng.IntN(3) == 0 {
				s.declared += 5
			}
			m.Fields = append(m.Fields, gField("content-length", fmt.Sprint(s.declared)))
		}
		if _, err := g.side.SendResponse(g.now, s.id, m, nil, false); err != nil {
			s.complete = true
			s.answer = nil
			s.declared = -2 // nothing came of it
			return
		}
		s.sentHead = true
	}
	if s.method == "" {
		for _, f := range s.head {
			if f.Name == ":method" {
				s.method = f.Value
			}
		}
	}
	body := s.answer
	if s.method == "HEAD" {
		body = nil
	}
	n, err := g.side.StreamSend(s.id, body[s.taken:], true)
	s.taken += n
	if err != nil {
		s.complete, s.declared = true, -2
		return
	}
	s.complete = s.taken == len(body)
}
