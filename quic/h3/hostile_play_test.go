package h3

import (
	"errors"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qpack"
)

var hostileSeeds = flag.Int("hostile.seeds", 60, "how many seeds TestHostilePlays plays, for each role")

// hostile is a peer that holds the keys and does what it likes on streams, with frames that are mostly right.
type hostile struct {
	*script
	rng     *rand.Rand
	client  bool // the side under test is one
	open    []uint64
	decoder uint64
	encoder uint64
	tail    map[uint64][]byte // what of a stream is still to be sent, in pieces
	inserts int
	alive   map[uint64]bool // requests that the application knows, and has not been told the end of
	done    map[uint64]bool
}

// TestHostilePlays has a peer do what it likes, drawn from a seed: whole and broken messages in pieces, resets, STOP_SENDING, ends anywhere, sections that wait for the
// dynamic table, priorities, datagrams, GOAWAY. The state is checked after each step; at the end nothing may be left of the requests that the peer has given up.
func TestHostilePlays(t *testing.T) {
	for _, client := range []bool{false, true} {
		survived := 0
		for seed := range *hostileSeeds {
			if playHostile(t, client, uint64(seed)) {
				survived++
			}
			if t.Failed() {
				t.Fatalf("client %v, seed %d", client, seed)
			}
		}
		if survived < *hostileSeeds/4 {
			t.Fatalf("client %v: only %d of %d connections have lived to the end: the peer is too wild to show anything", client, survived, *hostileSeeds)
		}
	}
}

func playHostile(t *testing.T, client bool, seed uint64) (survived bool) {
	rng := rand.New(rand.NewPCG(seed, 77))
	cfg := &Config{QPACKBlockedStreams: 20, EnableDatagrams: true, EnableConnect: true, MaxFieldSectionSize: 3000}
	if rng.IntN(2) == 0 {
		cfg.HeaderTimeout = 5 * time.Second
	}
	window := int64([]int{0, 1, 100, 1 << 20}[rng.IntN(4)])
	h := &hostile{rng: rng, client: client, tail: map[uint64][]byte{}, alive: map[uint64]bool{}, done: map[uint64]bool{}}
	h.script = newScriptWith(t, client, cfg, false, func(c, s *quic.Config) {
		withDatagrams(c, s)
		peer := c
		if client {
			peer = s
		}
		if window > 0 {
			peer.StreamReceiveWindow, peer.MaxStreamReceiveWindow = uint64(window), uint64(max(window, 2000))
		}
	}, SettingQPACKTableCapacity, 4096, SettingQPACKBlockedStreams, 100, SettingH3Datagram, 1)
	h.side.events = nil
	h.side.handle = h.onEvent
	h.encoder = h.uni(false, varint(streamQPACKEncoder), []byte{0x3f, 0xe1, 0x1f})
	h.decoder = h.uni(false, varint(streamQPACKDecoder))
	for range 150 + rng.IntN(300) {
		h.act()
		h.side.read()
		if h.rng.IntN(3) == 0 {
			h.settle()
		}
		if h.rng.IntN(12) == 0 {
			h.pass(time.Duration(rng.IntN(3000)) * time.Millisecond)
		}
		if err := h.side.Check(); err != nil {
			t.Error(err)
			return false
		}
		if h.side.core.Err() != nil || h.peer.Err() != nil {
			break
		}
		h.side.events = h.side.events[:0]
	}
	h.settle()
	if err := h.side.core.Err(); err != nil {
		var e *quic.ApplicationError
		if !errors.As(err, &e) {
			t.Errorf("the connection: %v", err)
		}
		return false
	}
	// All is given up by the peer.
	for _, id := range h.open {
		h.peer.StreamShutdown(id, quic.ReadDirection|quic.WriteDirection, uint64(ErrCodeRequestCancelled))
	}
	h.pass(60 * time.Millisecond)
	h.pass(12 * time.Second)
	if h.side.core.Err() != nil {
		return false
	}
	// The application ends what it knows.
	for id := range h.alive {
		h.side.StreamShutdown(id, quic.ReadDirection|quic.WriteDirection, ErrCodeRequestCancelled)
	}
	h.side.read()
	h.pass(5 * time.Second)
	c := h.side.Conn
	if c.requests != 0 || c.streams.len != 0 || c.held != 0 || len(c.work().starved)+len(c.work().backlog) > 0 || c.blocked.len+c.heads.len+c.ending.len > 0 || c.dec.Blocked() > 0 {
		t.Errorf("at the end: %d requests, %d streams, %d bytes held, %d starved, %d in the backlog, %d blocked (%d with the decoder), %d heads, %d lingering; %v",
			c.requests, c.streams.len, c.held, len(c.work().starved), len(c.work().backlog), c.blocked.len, c.dec.Blocked(), c.heads.len, c.ending.len, h.alive)
	}
	for id := range h.alive {
		t.Errorf("the application was never told that stream %d is over", id)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	return true
}

// onEvent is the application under test.
func (h *hostile) onEvent(ev Event) {
	switch ev.Kind {
	case EventSettings, EventGoAway, EventCapacity, EventSession, EventShutdown, EventOrigin:
		return
	}
	if h.done[ev.Stream] {
		h.t.Errorf("stream %d: event %d after its end", ev.Stream, ev.Kind)
	}
	s := h.side
	b := make([]byte, 1+h.rng.IntN(400))
	switch ev.Kind {
	case EventRequest, EventTooLarge:
		h.alive[ev.Stream] = true
		if ev.Kind == EventTooLarge || h.rng.IntN(3) > 0 {
			m := ok200(qpack.Field{Name: "x-number", Value: string(rune('a' + h.rng.IntN(26)))})
			s.SendResponse(h.now, ev.Stream, m, b[:h.rng.IntN(len(b))], h.rng.IntN(2) == 0)
		}
	case EventDone, EventRejected:
		delete(h.alive, ev.Stream)
		h.done[ev.Stream] = true
	case EventWritable:
		s.StreamSend(ev.Stream, b, h.rng.IntN(2) == 0)
	case EventData:
		for range h.rng.IntN(4) {
			if _, fin, err := s.StreamRecv(ev.Stream, b); fin || err != nil {
				break
			}
		}
	}
	switch h.rng.IntN(30) {
	case 0:
		s.StreamShutdown(ev.Stream, quic.ReadDirection, ErrCodeNoError)
	case 1:
		s.StreamShutdown(ev.Stream, quic.WriteDirection, ErrCodeInternal)
	case 2:
		s.StreamShutdown(ev.Stream, quic.ReadDirection|quic.WriteDirection, ErrCodeInternal)
	case 3:
		s.SendTrailers(h.now, ev.Stream, []qpack.Field{{Name: "x-end", Value: "1"}})
	case 4:
		var p [2000]byte
		s.RecvDatagram(ev.Stream, p[:])
	}
}

// message draws what a stream is to carry.
func (h *hostile) message() (b []byte) {
	rng := h.rng
	fields := func(trailer bool) []byte {
		kind := rng.IntN(12)
		head := []string{":status", "200"}
		if !h.client {
			head = getPairs
			if rng.IntN(2) == 0 {
				head = append([]string{":method", "POST"}, getPairs[2:]...)
			}
		}
		if trailer {
			head = nil
		}
		switch kind {
		case 0:
			head = append(append([]string{}, head...), "content-length", []string{"0", "3", "100", "x"}[rng.IntN(4)])
		case 1: // larger than the limit
			head = append(append([]string{}, head...), "x-large", stringOf(rng.IntN(5000)))
		case 2:
			head = append(append([]string{}, head...), ":bad", "1")
		case 4:
			head = append(append([]string{}, head...), "priority", []string{"u=0", "u=7, i", "i", "??"}[rng.IntN(4)])
		}
		f := section(head...)
		if rng.IntN(3) == 0 { // it refers to entries
			_, _, used, _ := consumeFrameHeader(f)
			need := max(h.inserts-2+rng.IntN(5), 1)
			p := appendRIC(nil, need)
			p = append(p, 0)
			p = append(p, f[used+2:]...)
			p = append(p, 0x80)
			f = frameOf(frameHeaders, p)
		}
		return f
	}
	odd := func(data bool) {
		switch n := rng.IntN(10); {
		case n == 0:
			b = append(b, frameOf(0x21, make([]byte, rng.IntN(50)))...)
		case n == 1 && data:
			b = append(b, frameOf(frameData, nil)...)
		}
	}
	odd(false)
	for h.client && rng.IntN(3) == 0 {
		b = append(b, section(":status", "103")...)
	}
	b = append(b, fields(false)...)
	for range rng.IntN(4) {
		odd(true)
		b = append(b, frameOf(frameData, make([]byte, []int{1, 3, 97, 100, 1000}[rng.IntN(5)]))...)
	}
	if rng.IntN(4) == 0 {
		b = append(b, fields(true)...)
		odd(false)
	}
	if rng.IntN(300) == 0 && len(b) > 0 {
		b[rng.IntN(len(b))] ^= byte(1 << rng.IntN(8))
	}
	return b
}

func stringOf(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return string(b)
}

// appendRIC appends a Required Insert Count as it is encoded for a table of 4096 bytes (RFC 9204, section 4.5.1.1).
func appendRIC(b []byte, n int) []byte { return append(b, byte(n%256+1)) }

// act does one thing.
func (h *hostile) act() {
	rng := h.rng
	pick := func() uint64 {
		if len(h.open) == 0 {
			return 0
		}
		return h.open[rng.IntN(len(h.open))]
	}
	switch n := rng.IntN(100); {
	case n < 20: // a new exchange
		var id uint64
		if h.client {
			var err error
			m := get("/")
			if id, _, err = h.side.SendRequest(h.now, m, nil, rng.IntN(2) == 0); err != nil {
				return
			}
			h.alive[id] = true
			h.side.read()
			h.settle()
		} else {
			var err error
			if id, err = h.peer.OpenStream(); err != nil {
				return
			}
		}
		h.open = append(h.open, id)
		h.tail[id] = h.message()
	case n < 65 && len(h.open) > 0: // a piece of one: a stream that nobody knows would be opened by it
		id := pick()
		b := h.tail[id]
		k := min(len(b), []int{1, 2, 10, 100, 10000}[rng.IntN(5)])
		sent, _ := h.peer.StreamSend(id, b[:k], k == len(b) && rng.IntN(3) > 0)
		h.tail[id] = b[sent:]
	case n < 70 && len(h.open) > 0: // the end, anywhere that is no error of the connection
		if id := pick(); len(h.tail[id]) == 0 {
			h.peer.StreamSend(id, nil, true)
		}
	case n < 74:
		h.peer.StreamShutdown(pick(), quic.WriteDirection, []uint64{0x100, 0x10b, 0x10c}[rng.IntN(3)])
	case n < 78:
		h.peer.StreamShutdown(pick(), quic.ReadDirection, 0x10c)
	case n < 88: // the encoder stream
		h.inserts++
		h.peer.StreamSend(h.encoder, []byte{0x41, 'x', 0x01, 'y'}, false)
	case n < 90:
		h.peer.StreamSend(h.decoder, append([]byte(nil), 0x40|byte(pick())&0x3f), false)
	case n < 94:
		if !h.client {
			id := uint64(rng.IntN(len(h.open)+5)) * 4
			h.peer.StreamSend(h.control, frameOf(framePriorityUpdateRequest, append(varint(id), "u=2, i"...)), false)
		}
	case n < 97:
		h.peer.DatagramSend(append(wire.AppendVarint(nil, pick()>>2+uint64(rng.IntN(3))), make([]byte, rng.IntN(300))...))
	case n < 98:
		b := make([]byte, 1500)
		h.peer.StreamRecv(pick(), b)
	case n < 99:
		if rng.IntN(8) == 0 {
			if h.client {
				h.peer.StreamSend(h.control, frameOf(frameGoAway, varint(pick())), false)
			} else {
				h.side.Shutdown(h.now)
			}
		}
	}
}
