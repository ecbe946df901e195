package h3

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

// Attacks by the names of their classes, F1 to F18, as far as HTTP/3 without handlers meets them; those that are not here stand beside what they try: F1, F2, F9 to
// F11 by rate, F3, F4, F6, F8 and F19 in limits_test.go, F12 to F14 in conformance_test.go, F15, F16 in extension_test.go, F18 in
// early_test.go. F1, F19, F20 and F21 with handlers are in package http3, F3 to F8 of QPACK alone in package qpack, B8 and B9 in package quic.

// heap returns the bytes that are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// wantHeap checks that not more than most bytes have come to what was in use before.
func wantHeap(t *testing.T, before, most uint64, what string) {
	t.Helper()
	if now := heap(); now > before+most {
		t.Errorf("%s: %d bytes have come to the heap, want %d at the most", what, now-before, most)
	}
}

// An application that has not ended its part of a request keeps the client from another one, though the client has reset its own.
func TestAttackF1CreditWaits(t *testing.T) {
	p := newScriptWith(t, false, nil, false, func(_, server *quic.Config) { server.MaxStreamsBidi = 10 })
	made := 0
	for range 100 {
		id, err := p.peer.OpenStream()
		if err != nil {
			p.settle()
			continue
		}
		made++
		p.peer.StreamSend(id, postFrame(), false)
		p.settle()
		p.peer.StreamShutdown(id, quic.WriteDirection, uint64(ErrCodeRequestCancelled))
		p.settle()
	}
	if made != 10 || p.side.OpenRequests() != 10 {
		t.Fatalf("%d requests were made, and %d are open, want 10", made, p.side.OpenRequests())
	}
	for id := range uint64(10) {
		p.side.StreamShutdown(id*4, quic.WriteDirection|quic.ReadDirection, ErrCodeRequestCancelled)
	}
	p.side.read()
	p.wantServes("there is credit again")
}

// A client that does not want the response before its request has come whole: the application is told of both, in this order, so that it need
// not find out by writing.
func TestAttackF1StopBeforeRequest(t *testing.T) {
	p := newScript(t, false, nil, false)
	head := getFrame()
	id := p.bidi(false, head[:5])
	p.peer.StreamShutdown(id, quic.ReadDirection, uint64(ErrCodeRequestCancelled))
	p.settle()
	p.side.wantNone("the request is not whole")
	p.send(id, true, head[5:])
	if ev := p.side.want(EventRequest); ev.Stream != id {
		t.Fatalf("%+v", ev)
	}
	if ev := p.side.want(EventStopped); ev.Stream != id || ev.Code != ErrCodeRequestCancelled {
		t.Fatalf("%+v", ev)
	}
}

// At a rate that is borne resets go on for ever, and nothing is left of them.
func TestAttackF1ResetsLeaveNothing(t *testing.T) {
	p := newScriptWith(t, false, nil, false, func(_, server *quic.Config) { server.MaxStreamsBidi = 1000 })
	reset := func(n int) {
		for range n {
			id, err := p.peer.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			p.peer.StreamSend(id, postFrame(), false)
			p.side.events = p.side.events[:0]
			p.settle()
			if !slices.ContainsFunc(p.side.events, func(ev Event) bool { return ev.Kind == EventRequest && ev.Stream == id }) {
				t.Fatalf("no request on stream %d: %+v", id, p.side.events)
			}
			p.peer.StreamShutdown(id, quic.WriteDirection|quic.ReadDirection, uint64(ErrCodeRequestCancelled))
			p.pass(10 * time.Millisecond)
			p.side.StreamShutdown(id, quic.WriteDirection|quic.ReadDirection, ErrCodeRequestCancelled)
			p.side.read()
		}
	}
	reset(500)
	before := heap()
	reset(3000)
	wantHeap(t, before, 256<<10, "3,000 resets")
	p.pass(time.Second)
	if n := p.side.streams.len; n != 0 {
		t.Errorf("%d streams are left", n)
	}
	p.wantServes("100 resets a second are borne")
}

// A large entry of the table referred to 10,000 times in trailers and in an interim response: decoding stops at the limit in each place, and allocates twice
// the limit at the most.
func TestAttackF3ExpansionEverywhere(t *testing.T) {
	insert := append([]byte{0x3f, 0xe1, 0x1f, 0x41, 'x', 0x7f}, varint7(3000-127)...)
	insert = append(insert, strings.Repeat("v", 3000)...)
	for name, client := range map[string]bool{"trailers of a request": false, "trailers of a response": true, "an interim response": true} {
		t.Run(name, func(t *testing.T) {
			p := newScript(t, client, nil, false)
			p.uni(false, varint(streamQPACKEncoder), insert)
			expanding := frameOf(frameHeaders, append([]byte{2, 0}, bytesOf(0x80, 10_000)...))
			var id uint64
			switch name {
			case "trailers of a request":
				id = p.bidi(false, postFrame())
				p.side.want(EventRequest)
			default:
				if id = p.request(get("/")); name == "trailers of a response" {
					p.send(id, false, section(":status", "200"))
					p.side.want(EventResponse)
				}
			}
			var m1, m2 runtime.MemStats
			runtime.ReadMemStats(&m1)
			p.send(id, false, expanding)
			runtime.ReadMemStats(&m2)
			if n := m2.TotalAlloc - m1.TotalAlloc; n > 2*64<<10+256<<10 { // the packets of 10 kB are allocated here, too
				t.Errorf("%d bytes were allocated", n)
			}
			p.wantTooLarge(id, client)
			p.wantAlive("it is an error of the stream")
		})
	}
}

// wantTooLarge checks that a stream was given up as too large.
func (p *script) wantTooLarge(id uint64, client bool) {
	p.t.Helper()
	p.wantStopped(id, ErrCodeExcessiveLoad, "too large")
	if !client {
		p.wantReset(id, ErrCodeExcessiveLoad, "too large")
	}
}

// Cancellations of one byte each, of streams that are not known, while the most sections are in flight that may be: each has them all looked through.
func TestAttackF7Cancellations(t *testing.T) {
	p := newScript(t, false, nil, false, SettingQPACKTableCapacity, 4096, SettingQPACKBlockedStreams, 100)
	id := p.uni(false, varint(streamQPACKDecoder))
	fields := []qpack.Field{{Name: "user-agent", Value: "a user agent with a name of its own"}}
	for i := range uint64(2000) {
		p.side.enc.AppendSection(nil, 4000+4*i, fields, 1000)
		if i == 0 {
			p.side.flushEncoder()
			p.send(id, false, []byte{0x01}) // the entry has come
		}
	}
	flood := func(thousands int) {
		for range thousands {
			p.peer.StreamSend(id, bytesOf(0x44, 1000), false)
			p.pass(time.Millisecond)
		}
	}
	flood(20)
	p.wantServes("20,000 cancellations are borne")
	flood(40)
	p.wantClosed(ErrCodeExcessiveLoad, "60,000 cancellations within a tenth of a second")
}

// Lengths that cannot be meant: none is waited for, and nothing is allocated for them.
func TestAttackF9HugeLengths(t *testing.T) {
	const huge = 1<<62 - 1
	for _, c := range []struct {
		name    string
		control bool
		typ     uint64
		length  uint64
		want    ErrorCode // 0: none
	}{
		{"SETTINGS of 1 MiB", true, frameSettings, 1 << 20, ErrCodeExcessiveLoad},
		{"SETTINGS", true, frameSettings, huge, ErrCodeExcessiveLoad},
		{"GOAWAY of 9 bytes", true, frameGoAway, 9, ErrCodeFrame},
		{"GOAWAY", true, frameGoAway, huge, ErrCodeFrame},
		{"MAX_PUSH_ID", true, frameMaxPushID, huge, ErrCodeFrame},
		{"CANCEL_PUSH", true, frameCancelPush, huge, ErrCodeFrame},
		{"PRIORITY_UPDATE", true, framePriorityUpdateRequest, huge, ErrCodeExcessiveLoad},
		{"an unknown frame", true, 0x4242, huge, 0},
		{"HEADERS", false, frameHeaders, huge, 0}, // an error of the stream: it is answered with 431
		{"an unknown frame of a request", false, 0x4242, huge, 0},
	} {
		p := newScript(t, false, nil, c.typ == frameSettings)
		before := heap()
		id := p.control
		switch {
		case c.typ == frameSettings:
			id = p.uni(false, varint(streamControl))
		case !c.control:
			id = p.bidi(false)
		}
		p.send(id, false, appendFrameHeader(nil, c.typ, c.length))
		for range 300 {
			if c.want != 0 || p.peer.Err() != nil {
				break
			}
			p.peer.StreamSend(id, make([]byte, 10_000), false)
			p.pass(time.Millisecond)
		}
		if c.want != 0 {
			p.wantClosed(c.want, c.name)
		} else {
			p.side.events = nil
			p.wantServes(c.name)
		}
		wantHeap(t, before, 1<<20, c.name)
	}
}

// Streams whose type does not come, or comes byte by byte, and is none that anybody knows.
func TestAttackF10Types(t *testing.T) {
	p := newScript(t, false, nil, false)
	typ := []byte{0xc0, 0, 0, 0, 0, 0, 0x42, 0x42}
	var ids []uint64
	for range 50 {
		id, err := p.peer.OpenUniStream()
		if err != nil {
			break
		}
		ids = append(ids, id)
	}
	for i := range typ {
		for _, id := range ids {
			p.peer.StreamSend(id, typ[i:i+1], false)
		}
		p.settle()
	}
	for _, id := range ids {
		p.wantStopped(id, ErrCodeStreamCreation, "nobody reads it")
	}
	p.wantServes("unknown streams are no error")
}

// PRIORITY_UPDATE for streams that are not there yet, at a rate that is borne: one slot for each that may be opened, also when many
// have come and gone.
func TestAttackF11Slots(t *testing.T) {
	p := newScript(t, false, nil, false)
	before := heap()
	next := uint64(0)
	for i := range uint64(20_000) {
		if p.send(p.control, false, frameOf(framePriorityUpdateRequest, append(varint(next+i%50*4), "u=1"...))); i%200 == 0 {
			p.pass(500 * time.Millisecond)
		}
		if n := len(p.side.priorities.early); n > 100 {
			t.Fatalf("%d slots", n)
		}
		if i%100 == 0 {
			p.wantServes("all that was allowed")
			next += 4
		}
	}
	wantHeap(t, before, 256<<10, "20,000 updates")
}

// Requests whose header sections come a byte at a time, on a hundred streams at once: what is held is bounded, and their time is.
func TestAttackF19HeaderDrip(t *testing.T) {
	p := newScript(t, false, &Config{HeaderTimeout: 30 * time.Second}, false)
	before := heap()
	head := getFrame("x", strings.Repeat("v", 5000))
	var ids []uint64
	for range 99 {
		ids = append(ids, p.bidi(false, head[:1]))
	}
	for i := 1; i <= 3; i++ {
		for _, id := range ids {
			p.peer.StreamSend(id, head[i:i+1], false)
		}
		if p.pass(9 * time.Second); i < 3 && p.side.OpenRequests() != len(ids) {
			t.Fatalf("after %d s %d requests are open", 9*i, p.side.OpenRequests())
		}
		if p.side.held > maxHeldSections {
			t.Fatalf("%d bytes are held", p.side.held)
		}
	}
	p.wantServes("others are served meanwhile")
	p.pass(5 * time.Second)
	for _, id := range ids {
		p.wantReset(id, ErrCodeRequestIncomplete, "30 s are over")
	}
	if n := p.side.OpenRequests(); n != 0 || p.side.held != 0 {
		t.Fatalf("%d requests are open, %d bytes are held", n, p.side.held)
	}
	wantHeap(t, before, 512<<10, "99 slow requests")
}

// Requests that are made while the server shuts down: each is taken or rejected, none both, and none is lost, however the two GOAWAY frames fall.
func TestAttackF16Race(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 16))
		p, c, s := newBoth(t, nil, nil, nil)
		made, taken, rejected := map[uint64]bool{}, map[uint64]bool{}, map[uint64]bool{}
		s.handle = func(ev Event) {
			if ev.Kind == EventRequest {
				taken[ev.Stream] = true
				s.SendResponse(p.now, ev.Stream, ok200(), nil, true)
			}
		}
		answered := map[uint64]bool{}
		c.handle = func(ev Event) {
			switch ev.Kind {
			case EventRejected:
				rejected[ev.Stream] = true
			case EventResponse:
				answered[ev.Stream] = true
			}
		}
		at := rnd.IntN(20)
		for i := range 40 {
			if i == at {
				s.Shutdown(p.now)
			}
			if seed%2 == 1 { // a client that does not look at the first GOAWAY
				c.goaway.peer = noStream
			}
			if id, _, err := c.SendRequest(p.now, get("/"), nil, true); err == nil {
				made[id] = true
			}
			switch rnd.IntN(3) {
			case 0:
				p.step()
			case 1:
				p.settle()
			case 2:
				p.pass(time.Duration(rnd.IntN(3)) * time.Millisecond)
			}
		}
		p.pass(time.Second)
		for id := range made {
			if taken[id] == rejected[id] || taken[id] != answered[id] {
				t.Fatalf("seed %d: stream %d was taken %v, rejected %v, answered %v", seed, id, taken[id], rejected[id], answered[id])
			}
		}
		if len(made) < at {
			t.Fatalf("seed %d: %d requests were made", seed, len(made))
		}
	}
}

// Server push is refused in each of its parts, whoever sends it (RFC 9114, sections 4.6, 6.2.2, 7.2.3, 7.2.5 and 7.2.7).
func TestAttackF17Push(t *testing.T) {
	for _, c := range []struct {
		name   string
		client bool // is under test
		do     func(p *script)
		want   ErrorCode
	}{
		{"a push stream of a client", false, func(p *script) { p.uni(false, varint(streamPush), varint(0)) }, ErrCodeStreamCreation},
		{"a push stream of a server", true, func(p *script) { p.uni(false, varint(streamPush), varint(0)) }, ErrCodeID},
		{"PUSH_PROMISE of a client", false, func(p *script) { p.bidi(false, frameOf(framePushPromise, varint(0))) }, ErrCodeFrameUnexpected},
		{"PUSH_PROMISE of a server", true, func(p *script) { p.send(p.request(get("/")), false, frameOf(framePushPromise, []byte{0, 0, 0})) }, ErrCodeID},
		{"MAX_PUSH_ID of a server", true, func(p *script) { p.send(p.control, false, frameOf(frameMaxPushID, varint(0))) }, ErrCodeFrameUnexpected},
		{"MAX_PUSH_ID that falls", false, func(p *script) {
			p.send(p.control, false, frameOf(frameMaxPushID, varint(1)), frameOf(frameMaxPushID, varint(0)))
		}, ErrCodeID},
		{"CANCEL_PUSH to a client", true, func(p *script) { p.send(p.control, false, frameOf(frameCancelPush, varint(0))) }, ErrCodeID},
		{"CANCEL_PUSH to a server", false, func(p *script) { p.send(p.control, false, frameOf(frameCancelPush, varint(0))) }, ErrCodeID},
	} {
		p := newScript(t, c.client, nil, false)
		c.do(p)
		p.wantClosed(c.want, c.name)
	}
}

// Sessions of extended CONNECT that come and go leave nothing behind: neither streams nor datagrams.
func TestAttackF15SessionsLeaveNothing(t *testing.T) {
	cfg := func() *Config { return &Config{EnableDatagrams: true, EnableConnect: true} }
	p, c, s := newBoth(t, cfg(), cfg(), withDatagrams)
	play := func(n int) {
		for range n {
			id, _, err := c.SendRequest(p.now, &Message{Method: "CONNECT", Scheme: "https", Authority: "example.org", Path: "/", Protocol: "connect-udp"}, nil, false)
			if err != nil {
				t.Fatal(err)
			}
			p.settle()
			s.SendResponse(p.now, id, ok200(), nil, false)
			for range 10 {
				c.SendDatagram(id, make([]byte, 1000))
			}
			p.settle()
			c.StreamShutdown(id, quic.ReadDirection|quic.WriteDirection, ErrCodeRequestCancelled)
			p.settle()
			s.StreamShutdown(id, quic.ReadDirection|quic.WriteDirection, ErrCodeRequestCancelled)
			p.pass(10 * time.Millisecond)
			c.events, s.events = nil, nil
		}
	}
	play(100)
	before := heap()
	play(500)
	wantHeap(t, before, 128<<10, "500 sessions")
	if s.streams.len != 0 || s.datagrams.waiting() != 0 || s.OpenRequests() != 0 {
		t.Errorf("%d streams and %d datagrams are left, %d requests are open", s.streams.len, s.datagrams.waiting(), s.OpenRequests())
	}
}
