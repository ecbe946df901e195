package h3

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

// A peer that does what it may, but without end, is stopped with H3_EXCESSIVE_LOAD; one that does it now and then is not.
func TestAttackF1RapidReset(t *testing.T)      { playLoads(t, "F1") }
func TestAttackF2MadeYouReset(t *testing.T)    { playLoads(t, "F2") }
func TestAttackF9TooLarge(t *testing.T)        { playLoads(t, "F9") }
func TestAttackF10UnknownStreams(t *testing.T) { playLoads(t, "F10") }
func TestAttackF11PriorityFlood(t *testing.T)  { playLoads(t, "F11") }
func TestOddFrames(t *testing.T)               { playLoads(t, "") }

func playLoads(t *testing.T, attack string) {
	many := func(c *quic.Config, s *quic.Config) { s.MaxStreamsBidi, s.MaxStreamsUni = 20_000, 20_000 }
	for _, c := range []struct {
		attack string
		name   string
		client bool
		setUp  func(p *script) uint64
		do     func(p *script, id uint64)
		few    int // are borne
		many   int // are not
	}{
		{"F1", "resets (CVE-2023-44487)", false, nil, func(p *script, _ uint64) {
			id, _ := p.peer.OpenStream()
			p.peer.StreamSend(id, getFrame(), false)
			p.step()
			p.peer.StreamShutdown(id, quic.WriteDirection, uint64(ErrCodeRequestCancelled))
			p.step()
		}, 900, 1100},
		{"F1", "STOP_SENDING", false, nil, func(p *script, _ uint64) {
			id, _ := p.peer.OpenStream()
			p.peer.StreamSend(id, getFrame(), true)
			p.step()
			p.peer.StreamShutdown(id, quic.ReadDirection, uint64(ErrCodeRequestCancelled))
			p.step()
		}, 900, 1100},
		{"F2", "malformed requests", false, nil, func(p *script, _ uint64) {
			id, _ := p.peer.OpenStream()
			p.peer.StreamSend(id, getFrame("A", "b"), true)
			p.step()
		}, 900, 1100},
		{"F2", "bodies that are too long", false, nil, func(p *script, _ uint64) {
			id, _ := p.peer.OpenStream()
			p.peer.StreamSend(id, append(postFrame("content-length", "1"), frameOf(frameData, []byte("more"))...), false)
			p.step()
		}, 900, 1100},
		{"F2", "requests without a header section", false, nil, func(p *script, _ uint64) {
			id, _ := p.peer.OpenStream()
			p.peer.StreamSend(id, nil, true)
			p.step()
		}, 900, 1100},
		{"F9", "requests that are too large", false, nil, func(p *script, _ uint64) {
			id, _ := p.peer.OpenStream()
			p.peer.StreamSend(id, appendFrameHeader(nil, frameHeaders, 1<<62-1), false)
			p.step()
		}, 900, 1100},
		{"", "empty DATA frames", false, func(p *script) uint64 { return p.bidi(false, postFrame()) }, func(p *script, id uint64) {
			p.peer.StreamSend(id, frameOf(frameData, nil), false)
			p.step()
		}, 3900, 4100},
		{"", "unknown frames on a request", false, func(p *script) uint64 { return p.bidi(false, postFrame()) }, func(p *script, id uint64) {
			p.peer.StreamSend(id, frameOf(reserved(1), nil), false)
			p.step()
		}, 3900, 4100},
		{"", "unknown frames on the control stream", false, func(p *script) uint64 { return p.control }, func(p *script, id uint64) {
			p.peer.StreamSend(id, frameOf(reserved(1), nil), false)
			p.step()
		}, 3900, 4100},
		{"F11", "PRIORITY_UPDATE", false, func(p *script) uint64 { return p.control }, func(p *script, id uint64) {
			p.peer.StreamSend(id, frameOf(framePriorityUpdateRequest, append(varint(0), "u=1"...)), false)
			p.step()
		}, 3900, 4100},
		{"", "MAX_PUSH_ID", false, func(p *script) uint64 { return p.control }, func(p *script, id uint64) {
			p.peer.StreamSend(id, frameOf(frameMaxPushID, varint(1)), false)
			p.step()
		}, 3900, 4100},
		{"", "ORIGIN", true, func(p *script) uint64 { return p.control }, func(p *script, id uint64) {
			p.peer.StreamSend(id, frameOf(frameOrigin, nil), false)
			p.step()
		}, 3900, 4100},
		{"", "interim responses", true, func(p *script) uint64 { return p.request(get("/")) }, func(p *script, id uint64) {
			p.peer.StreamSend(id, section(":status", "103"), false)
			p.step()
		}, 3900, 4100},
		{"F10", "unknown streams", false, nil, func(p *script, _ uint64) {
			id, _ := p.peer.OpenUniStream()
			p.peer.StreamSend(id, varint(reserved(1)), false)
			p.step()
		}, 900, 1100},
	} {
		if c.attack != attack {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			p := newScriptWith(t, c.client, nil, false, many)
			id := uint64(0)
			if c.setUp != nil {
				id = c.setUp(p)
			}
			for i := range c.few {
				if c.do(p, id); p.side.core.IsClosed() {
					t.Fatalf("closed after %d: %v", i, p.side.core.Err())
				}
				p.side.events = p.side.events[:0]
			}
			p.wantAlive("these were few")
			for range c.many - c.few {
				c.do(p, id)
			}
			p.wantClosed(ErrCodeExcessiveLoad, "these were too many")
		})
	}
}

// An encoder stream that only keeps the decoder busy (F6).
func TestAttackF6EncoderChurn(t *testing.T) {
	p := newScript(t, false, nil, false)
	id := p.uni(false, varint(streamQPACKEncoder), []byte{0x3f, 0xe1, 0x1f, 0x41, 'x', 0x01, 'y'})
	send := func(kib int) {
		for range kib {
			for b := bytesOf(0, 1024); len(b) > 0; p.pass(time.Millisecond / 8) { // Duplicate, of the newest entry
				n, err := p.peer.StreamSend(id, b, false)
				if err != nil {
					return
				}
				b = b[n:]
			}
		}
	}
	send(3000)
	p.wantAlive("3 MB")
	send(4000)
	p.wantClosed(ErrCodeExcessiveLoad, "7 MB in a second")
}

// A peer that takes nothing on our decoder stream gets no more requests read, and what is held of it is bounded (F8); when it does they go on.
func TestAttackF8DecoderBacklog(t *testing.T) {
	p := newScriptWith(t, false, nil, false, func(client, server *quic.Config) {
		client.StreamReceiveWindow, client.MaxStreamReceiveWindow = 100, 100
		server.StreamSendBuffer, server.MaxStreamSendBuffer = 200, 200
		server.MaxStreamsBidi = 20_000
	})
	p.uni(false, varint(streamQPACKEncoder), []byte{0x3f, 0xe1, 0x1f, 0x41, 'x', 0x01, 'y'})
	decoder := p.side.local.ids[localDecoder]
	enc := qpack.NewEncoder(qpack.EncoderConfig{TableCapacity: -1})
	var fields []qpack.Field
	for i := 0; i < len(getPairs); i += 2 {
		fields = append(fields, qpack.Field{Name: getPairs[i], Value: getPairs[i+1]})
	}
	head := frameOf(frameHeaders, append(append([]byte{2, 0}, enc.AppendSection(nil, 0, fields, 0)[2:]...), 0x80))
	made, seen := 0, 0
	p.side.handle = func(ev Event) {
		if ev.Kind == EventRequest {
			seen++
		}
	}
	for ; len(p.side.work().backlog) < 50 && made < 10_000; made++ {
		p.bidi(true, head)
		p.side.events = p.side.events[:0]
	}
	if len(p.side.work().backlog) != 50 || seen != made-50 {
		t.Fatalf("%d requests were made and %d seen, %d wait", made, seen, len(p.side.work().backlog))
	}
	if n := len(p.side.dec.Instructions()); n > 17<<10 {
		t.Fatalf("%d bytes of instructions wait", n)
	}
	for range 10_000 {
		if seen == made {
			return
		}
		p.peer.StreamRecv(decoder, make([]byte, 1000))
		p.pass(30 * time.Millisecond)
	}
	t.Fatalf("%d requests were made and %d seen, %d wait", made, seen, len(p.side.work().backlog))
}

// The bucket fills up again with time, and with requests that come to their end.
func TestLoadRecovers(t *testing.T) {
	p := newScript(t, false, nil, false)
	for range 20 {
		for range 200 {
			id, err := p.peer.OpenStream()
			if err != nil {
				p.settle()
				continue
			}
			p.peer.StreamSend(id, getFrame("A", "b"), true)
			p.settle()
		}
		p.wantAlive("200 in a second")
		p.pass(time.Second)
	}
	p.wantServes("after 4000 in 20 seconds")
}

// Header sections that are too large: the request is told as such and can be answered, and the connection lives (F3, S38).
func TestAttackF3TooLarge(t *testing.T) {
	long := strings.Repeat("v", 500)
	for _, c := range []struct {
		name string
		head []byte
	}{
		{"one field", getFrame("x", strings.Repeat("v", 2000))},
		{"many fields", getFrame("a", long, "b", long, "c", long)},
		{"a frame that is longer than any", append(appendFrameHeader(nil, frameHeaders, 1<<62-1), make([]byte, 5000)...)},
	} {
		bothSpeeds(t, c.name, func(t *testing.T, slow bool) {
			p := newScript(t, false, &Config{MaxFieldSectionSize: 1000}, false)
			p.slow = slow
			id := p.bidi(false, c.head)
			if ev := p.side.want(EventTooLarge); ev.Stream != id {
				t.Fatalf("%+v", ev)
			}
			if _, _, err := p.side.StreamRecv(id, make([]byte, 10)); !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			p.slow = false
			p.send(id, false, make([]byte, 100_000)) // dropped, and credit is given for it
			if _, err := p.side.SendResponse(p.now, id, &Message{Status: 431}, nil, true); err != nil {
				t.Fatal(err)
			}
			p.pass(time.Second) // the client has the answer before it is asked to stop
			p.wantStopped(id, ErrCodeNoError, "the rest of the request is not wanted")
			var b [100]byte
			if n, fin, err := p.peer.StreamRecv(id, b[:]); n == 0 || !fin || err != nil {
				t.Fatal(n, fin, err)
			}
			p.wantServes("the connection lives")
		})
	}
	p := newScript(t, false, &Config{MaxFieldSectionSize: 1000}, false)
	id := p.bidi(true, postFrame(), frameOf(frameData, []byte("x")), section("a", long, "b", long))
	p.side.want(EventRequest)
	if _, fin, err := p.side.readAll(id); fin || !errors.Is(err, ErrTooLarge) {
		t.Fatal("trailers:", fin, err)
	}
	p.wantReset(id, ErrCodeExcessiveLoad, "trailers count too")
	p.wantServes("the connection lives")

	p = newScript(t, true, &Config{MaxFieldSectionSize: 1000}, false)
	id = p.request(get("/"))
	p.send(id, true, section(":status", "200", "a", long, "b", long))
	if ev := p.side.want(EventReset); ev.Stream != id || !errors.Is(ev.Err, ErrTooLarge) {
		t.Fatalf("%+v", ev)
	}
	p.wantAlive("a response that is too large")
}

// A section that refers to a large table entry again and again is decoded no further than the limit (CVE-2025-64702).
func TestAttackF3Expansion(t *testing.T) {
	p := newScript(t, false, nil, false)
	// Set Dynamic Table Capacity 4096; insert an entry of 3,000 bytes.
	insert := append([]byte{0x3f, 0xe1, 0x1f, 0x41, 'x', 0x7f}, varint7(3000-127)...)
	p.uni(false, varint(streamQPACKEncoder), append(insert, strings.Repeat("v", 3000)...))
	p.wantAlive("the entry")
	head := append([]byte{2, 0}, bytesOf(0x80, 10_000)...)
	id := p.bidi(true, frameOf(frameHeaders, head))
	if ev := p.side.want(EventTooLarge); ev.Stream != id {
		t.Fatalf("%+v", ev)
	}
	p.wantServes("the connection lives")
}

// varint7 continues an integer of a QPACK prefix.
func varint7(n int) (b []byte) {
	for ; n >= 128; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func bytesOf(c byte, n int) []byte { return []byte(strings.Repeat(string([]byte{c}), n)) }

// Requests whose header section does not arrive, or waits for table entries, are ended in time (F4, S43).
func TestAttackF4F19HeaderTimeouts(t *testing.T) {
	p := newScript(t, false, &Config{HeaderTimeout: 5 * time.Second}, false)
	half := p.bidi(false, getFrame()[:5])
	nothing := p.bidi(false, frameOf(reserved(1), nil))
	good := p.bidi(false, postFrame())
	if ev := p.side.want(EventRequest); ev.Stream != good {
		t.Fatalf("%+v", ev)
	}
	p.pass(4 * time.Second)
	p.wantAlive("4 seconds")
	if p.side.OpenRequests() != 3 {
		t.Fatal(p.side.OpenRequests())
	}
	p.pass(2 * time.Second)
	p.wantReset(half, ErrCodeRequestIncomplete, "half a header section")
	p.wantStopped(half, ErrCodeRequestIncomplete, "half a header section")
	p.wantReset(nothing, ErrCodeRequestIncomplete, "no header section")
	if p.side.OpenRequests() != 1 {
		t.Fatal(p.side.OpenRequests())
	}

	p = newScript(t, false, nil, false)
	blocked := p.bidi(true, frameOf(frameHeaders, []byte{2, 0, 0x80})) // refers to an entry that never comes
	p.side.wantNone("it is blocked")
	p.pass(9 * time.Second)
	p.side.wantNone("it is blocked")
	p.pass(2 * time.Second)
	p.wantReset(blocked, ErrCodeRequestIncomplete, "blocked for 10 s")
	p.wantServes("the others go on")
}

// The longest timeouts that there are do not end anything at once.
func TestLongestTimeouts(t *testing.T) {
	p := newScript(t, false, &Config{HeaderTimeout: math.MaxInt64, BlockedTimeout: math.MaxInt64}, false)
	p.bidi(false, getFrame()[:5])
	p.bidi(true, frameOf(frameHeaders, []byte{2, 0, 0x80}))
	p.pass(20 * time.Second)
	p.wantAlive("20 seconds")
	if n := p.side.OpenRequests(); n != 2 {
		t.Errorf("%d requests are open, want 2", n)
	}
}

// Streams that are blocked go on when the entry comes, in both places of a message; one more than may be is an error (F4).
func TestAttackF4BlockedStreams(t *testing.T) {
	bothSpeeds(t, "", func(t *testing.T, slow bool) {
		p := newScript(t, false, &Config{QPACKBlockedStreams: 2}, false)
		p.slow = slow
		enc := qpack.NewEncoder(qpack.EncoderConfig{TableCapacity: -1})
		var fields []qpack.Field
		for i := 0; i < len(getPairs); i += 2 {
			fields = append(fields, qpack.Field{Name: getPairs[i], Value: getPairs[i+1]})
		}
		static := enc.AppendSection(nil, 0, fields, 0)[2:]
		a := p.bidi(true, frameOf(frameHeaders, append(append([]byte{2, 0}, static...), 0x80)))
		b := p.bidi(true, postFrame(), frameOf(frameData, []byte("body")), frameOf(frameHeaders, []byte{2, 0, 0x80}))
		if ev := p.side.want(EventRequest); ev.Stream != b {
			t.Fatalf("%+v", ev)
		}
		if body, fin, err := p.side.readAll(b); string(body) != "body" || fin || err != nil {
			t.Fatalf("%q, %v, %v: the trailers are blocked", body, fin, err)
		}
		p.side.events = nil
		p.uni(false, varint(streamQPACKEncoder), []byte{0x3f, 0xe1, 0x1f, 0x41, 'x', 0x01, 'y'})
		seen := map[uint64]bool{}
		for len(p.side.events) > 0 {
			ev := p.side.events[0]
			p.side.events = p.side.events[1:]
			if ev.Kind == EventRequest {
				if f := ev.Message.Fields[len(ev.Message.Fields)-1]; ev.Stream != a || f.Name != "x" || f.Value != "y" || !ev.Fin {
					t.Fatalf("%+v %+v", ev, ev.Message)
				}
			}
			if ev.Kind == EventTrailers && ev.Fields[0].Value != "y" {
				t.Fatalf("%+v", ev.Fields)
			}
			seen[ev.Stream] = true
		}
		if !seen[a] || !seen[b] {
			t.Fatal("a stream was not told of")
		}
		if _, fin, err := p.side.readAll(b); !fin || err != nil {
			t.Fatal(fin, err)
		}
		if err := p.side.Check(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			p.bidi(true, frameOf(frameHeaders, []byte{3, 0, 0x80}))
		}
		p.wantClosed(ErrCodeDecompressionFailed, "one blocked stream more than may be")
	})
}

// What is held of header sections in pieces is bounded: others wait, and all are read in the end.
// Large sections that wait for the decoder stream, each in one piece, stay with the core, under flow control, and not with HTTP/3 beyond its bound.
func TestBacklogIsNotHeld(t *testing.T) {
	p := newScriptWith(t, false, nil, false, func(client, server *quic.Config) {
		client.StreamReceiveWindow, client.MaxStreamReceiveWindow = 100, 100
		server.StreamSendBuffer, server.MaxStreamSendBuffer = 200, 200
		server.MaxStreamsBidi = 20_000
	})
	p.uni(false, varint(streamQPACKEncoder), insertX)
	_, _, used, _ := consumeFrameHeader(getFrame())
	head := frameOf(frameHeaders, append(append([]byte{2, 0}, getFrame()[used+2:]...), 0x80))
	long := getFrame("x-long", stringOf(15_000))
	_, _, used, _ = consumeFrameHeader(long)
	long = frameOf(frameHeaders, append(append([]byte{2, 0}, long[used+2:]...), 0x80))
	for made := 0; len(p.side.work().backlog) == 0; made++ {
		if made == 10_000 {
			t.Fatal("no section waits for the decoder stream")
		}
		p.bidi(true, head)
		p.side.events = p.side.events[:0]
	}
	most := maxHeldSections + 100*(16<<10) // Config.QPACKBlockedStreams
	seen, waits := 0, 1
	p.side.handle = func(ev Event) {
		if ev.Kind == EventRequest {
			seen++
		}
	}
	tails := map[uint64][]byte{}
	send := func() {
		for id, b := range tails {
			n, err := p.peer.StreamSend(id, b, true)
			if err != nil {
				t.Fatal(err)
			}
			if tails[id] = b[n:]; n == len(b) {
				delete(tails, id)
			}
		}
		p.pass(30 * time.Millisecond)
		p.side.events = p.side.events[:0]
		if p.side.held > most {
			t.Fatalf("%d bytes of sections are held, and %d wait", p.side.held, len(p.side.work().backlog))
		}
		if err := p.side.Check(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		head := i % 4 // bytes of the frame that come before the others
		tails[p.bidi(false, long[:head])] = long[head:]
		send()
		waits++
	}
	for range 20_000 {
		if seen == waits {
			break
		}
		p.peer.StreamRecv(p.side.local.ids[localDecoder], make([]byte, 1000))
		send()
	}
	if seen != waits {
		t.Fatalf("%d of %d requests were read", seen, waits)
	}
	p.wantAlive("all were read")
}

func TestHeldSections(t *testing.T) {
	p := newScript(t, false, nil, false)
	frame := getFrame("x", strings.Repeat("v", 60_000))
	var ids []uint64
	for range 20 {
		ids = append(ids, p.bidi(false, frame[:20_000]))
		p.pass(100 * time.Millisecond)
	}
	if p.side.held > maxHeldSections || p.side.held == 0 {
		t.Fatalf("%d bytes are held", p.side.held)
	}
	for _, id := range ids {
		p.send(id, true, frame[20_000:])
		p.pass(100 * time.Millisecond)
	}
	p.pass(2 * time.Second)
	for range ids {
		p.side.want(EventRequest)
	}
	if p.side.held != 0 {
		t.Fatalf("%d bytes are held", p.side.held)
	}
	if err := p.side.Check(); err != nil {
		t.Fatal(err)
	}
	// One that waits and is reset makes no difference.
	first := p.bidi(false, frame[:100])
	for range 10 {
		id := p.bidi(false, frame[:100])
		defer p.peer.StreamShutdown(id, quic.WriteDirection, 0)
	}
	p.peer.StreamShutdown(first, quic.WriteDirection, 0)
	p.settle()
	if err := p.side.Check(); err != nil {
		t.Fatal(err)
	}
}
