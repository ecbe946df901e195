package h3

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qpack"
)

// A small message leaves in one write: its frames are one STREAM frame with the end, and so one packet.
func TestOneWrite(t *testing.T) {
	p := newScript(t, false, nil, false)
	id := p.bidi(true, getFrame())
	p.side.want(EventRequest)
	p.pass(time.Second)
	before := p.side.core.Stats()
	body := bytes.Repeat([]byte("x"), 1000)
	if n, err := p.side.SendResponse(p.now, id, ok200(qpack.Field{Name: "server", Value: "test"}), body, true); n != 1000 || err != nil {
		t.Fatal(n, err)
	}
	p.settle()
	if n := p.side.core.Stats().PacketsSent - before.PacketsSent; n != 1 {
		t.Errorf("%d packets", n)
	}
	got, fin, err := p.peer.StreamPeek(id)
	if err != nil || !fin {
		t.Fatal(fin, err)
	}
	typ, length, n, ok := consumeFrameHeader(got)
	if !ok || typ != frameHeaders {
		t.Fatal(typ, ok)
	}
	got = got[n+int(length):]
	if want := frameOf(frameData, body); !bytes.Equal(got, want) {
		t.Fatalf("%d bytes behind the header section, want %d", len(got), len(want))
	}
}

// What the core has no room for is kept or refused, and comes out whole in the end, however small the buffers are.
func TestSmallBuffers(t *testing.T) {
	for _, buffer := range []int{1, 2, 3, 4, 5, 10, 70, 1000, 20_000} {
		for _, size := range []int{0, 1, 5, 63, 64, 65, 300, 17_000} {
			if size/buffer > 2000 {
				continue
			}
			t.Run(fmt.Sprintf("%d/%d", buffer, size), func(t *testing.T) {
				p, c, s := newBoth(t, nil, nil, func(client, server *quic.Config) {
					client.StreamSendBuffer, client.MaxStreamSendBuffer = buffer, buffer
					server.StreamSendBuffer, server.MaxStreamSendBuffer = buffer, buffer
				})
				body := fill(make([]byte, size), 1, false, 0)
				m := get("/upload")
				m.Method = "POST"
				m.Fields = []qpack.Field{{Name: "content-length", Value: fmt.Sprint(size)}}
				sent := 0
				id, n, err := c.SendRequest(p.now, m, body, true)
				if err != nil {
					t.Fatal(err)
				}
				c.handle = func(ev Event) {
					if ev.Kind == EventWritable {
						n, err := c.StreamSend(id, body[sent:], true)
						if err != nil {
							t.Fatal(err)
						}
						sent += n
					}
				}
				sent = n
				var got, back []byte
				answered, upper, fin := 0, bytes.ToUpper(body), false
				s.handle = func(ev Event) {
					switch ev.Kind {
					case EventData:
						part, end, err := s.readAll(id)
						got = append(got, part...)
						if err != nil {
							t.Fatal(err)
						}
						if end {
							s.SendResponse(p.now, id, &Message{Status: 103, Fields: []qpack.Field{{Name: "link", Value: "</x>"}}}, nil, false)
							n, err := s.SendResponse(p.now, id, ok200(), upper, false)
							if err != nil {
								t.Fatal(err)
							}
							if answered = n; n == len(upper) {
								s.SendTrailers(p.now, id, []qpack.Field{{Name: "x-sum", Value: strings.Repeat("1", 100)}})
							}
						}
					case EventRequest:
						if ev.Fin != (size == 0 && ev.Fin) {
							t.Fatal("an end too early")
						}
						if ev.Fin {
							s.handle(Event{Kind: EventData})
						}
					case EventWritable:
						if answered == len(upper) {
							return
						}
						n, err := s.StreamSend(id, upper[answered:], false)
						if err != nil {
							t.Fatal(err)
						}
						if answered += n; answered == len(upper) {
							s.SendTrailers(p.now, id, []qpack.Field{{Name: "x-sum", Value: strings.Repeat("1", 100)}})
						}
					}
				}
				trailers := false
				more := c.handle
				c.handle = func(ev Event) {
					switch ev.Kind {
					case EventData:
						part, end, err := c.readAll(id)
						back = append(back, part...)
						if fin = end; err != nil {
							t.Fatal(err)
						}
					case EventTrailers:
						trailers = len(ev.Fields) == 1 && len(ev.Fields[0].Value) == 100
					default:
						more(ev)
					}
				}
				p.run(func() bool { return fin && trailers })
				if !bytes.Equal(got, body) || !bytes.Equal(back, upper) {
					t.Fatalf("%d bytes of %d, and %d back", len(got), size, len(back))
				}
				if err := errors.Join(c.Check(), s.Check()); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// dataSize fills room as far as the length of the frame's header lets it.
func TestDataSize(t *testing.T) {
	for room := range 70_000 {
		n := dataSize(1<<20, room)
		frame := n + 1 + wire.SizeVarint(uint64(n))
		switch {
		case n == 0 && room > 2, n > 0 && frame > room:
			t.Fatalf("room for %d: %d bytes of payload, a frame of %d", room, n, frame)
		case n > 0 && room-frame > 4:
			t.Fatalf("room for %d: %d bytes of payload leave %d", room, n, room-frame)
		}
		if n := dataSize(5, room); n > 5 || room >= 7 && n != 5 {
			t.Fatalf("room for %d: %d bytes of 5", room, n)
		}
	}
}

// A body that is longer or shorter than declared is never sent as a whole message, in either role (S1, S2, C8).
func TestOwnContentLength(t *testing.T) {
	length := func(v string) []qpack.Field { return []qpack.Field{{Name: "content-length", Value: v}} }
	for _, c := range []struct {
		name string
		send func(s *side, id uint64) error
	}{
		{"too long at once", func(s *side, id uint64) error {
			_, err := s.SendResponse(s.p.now, id, ok200(length("4")...), []byte("hello"), true)
			return err
		}},
		{"too short at once", func(s *side, id uint64) error {
			_, err := s.SendResponse(s.p.now, id, ok200(length("6")...), []byte("hello"), true)
			return err
		}},
		{"too long later", func(s *side, id uint64) error {
			s.SendResponse(s.p.now, id, ok200(length("6")...), []byte("hello"), false)
			_, err := s.StreamSend(id, []byte("hello"), false)
			return err
		}},
		{"too short later", func(s *side, id uint64) error {
			s.SendResponse(s.p.now, id, ok200(length("6")...), []byte("hello"), false)
			_, err := s.StreamSend(id, nil, true)
			return err
		}},
		{"too short before trailers", func(s *side, id uint64) error {
			s.SendResponse(s.p.now, id, ok200(length("6")...), []byte("hello"), false)
			return s.SendTrailers(s.p.now, id, []qpack.Field{{Name: "a", Value: "b"}})
		}},
	} {
		p, cl, s := newBoth(t, nil, nil, nil)
		id, _, _ := cl.SendRequest(p.now, get("/"), nil, true)
		p.settle()
		s.want(EventRequest)
		if err := c.send(s, id); !errors.Is(err, ErrContentLength) {
			t.Fatalf("%s: %v", c.name, err)
		}
		if _, err := s.StreamSend(id, []byte("x"), false); !errors.Is(err, ErrContentLength) {
			t.Fatalf("%s: afterwards %v", c.name, err)
		}
		p.settle()
		for len(cl.events) > 0 && cl.events[0].Kind != EventReset {
			cl.events = cl.events[1:]
		}
		if ev := cl.want(EventReset); ev.Code != ErrCodeInternal {
			t.Fatalf("%s: %+v", c.name, ev)
		}
	}
	p, c, s := newBoth(t, nil, nil, nil)
	m := get("/")
	m.Method, m.Fields = "POST", length("10")
	id, _, err := c.SendRequest(p.now, m, []byte("hello"), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.StreamSend(id, nil, true); !errors.Is(err, ErrContentLength) {
		t.Fatal(err)
	}
	p.settle()
	for len(s.events) > 0 && s.events[0].Kind != EventReset {
		s.events = s.events[1:]
	}
	if len(s.events) > 0 && s.want(EventReset).Code != ErrCodeRequestCancelled {
		t.Fatal("another code")
	}
	if _, _, err := c.SendRequest(p.now, m, []byte("hello"), true); !errors.Is(err, ErrContentLength) {
		t.Fatal(err)
	}
}

// What may not be sent at a point of a message is refused.
func TestMessageOrder(t *testing.T) {
	p, c, s := newBoth(t, nil, nil, nil)
	ask := func(method string) uint64 {
		m := get("/")
		m.Method = method
		id, _, err := c.SendRequest(p.now, m, nil, true)
		if err != nil {
			t.Fatal(err)
		}
		p.settle()
		return id
	}
	wants := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	var message *MessageError
	id := ask("GET")
	_, err := s.StreamSend(id, []byte("x"), false)
	wants(err, ErrMessageOrder)
	wants(s.SendTrailers(p.now, id, nil), ErrMessageOrder)
	_, err = s.SendResponse(p.now, id, &Message{Status: 103}, []byte("x"), false)
	wants(err, ErrMessageOrder)
	_, err = s.SendResponse(p.now, id, &Message{Status: 103}, nil, true)
	wants(err, ErrMessageOrder)
	for _, status := range []int{0, 99, 101, 1000, -1} {
		if _, err = s.SendResponse(p.now, id, &Message{Status: status}, nil, true); !errors.As(err, &message) {
			t.Errorf("status %d: %v", status, err)
		}
	}
	if _, err = s.SendResponse(p.now, id, ok200(qpack.Field{Name: "Server", Value: "x"}), nil, true); !errors.As(err, &message) {
		t.Errorf("an upper-case name: %v", err)
	}
	_, err = s.SendResponse(p.now, id, &Message{Status: 204}, []byte("x"), true)
	wants(err, ErrMessageOrder)
	if _, err = s.SendResponse(p.now, id, ok200(), nil, false); err != nil {
		t.Fatal(err)
	}
	_, err = s.SendResponse(p.now, id, ok200(), nil, true)
	wants(err, ErrMessageOrder)
	if err := s.SendTrailers(p.now, id, []qpack.Field{{Name: ":path", Value: "/"}}); !errors.As(err, &message) {
		t.Errorf("a pseudo-header field in trailers: %v", err)
	}
	if err := s.SendTrailers(p.now, id, []qpack.Field{{Name: "a", Value: "b"}}); err != nil {
		t.Fatal(err)
	}
	_, err = s.StreamSend(id, nil, true)
	wants(err, ErrMessageOrder)
	wants(err, quic.ErrStreamEnded)
	_, err = s.SendResponse(p.now, id, ok200(), nil, true)
	wants(err, quic.ErrStreamEnded)
	_, err = c.SendResponse(p.now, id, ok200(), nil, true)
	wants(err, ErrRole)
	_, err = s.SendResponse(p.now, 400, ok200(), nil, true)
	wants(err, ErrUnknownStream)
	_, err = s.StreamSend(400, nil, true)
	wants(err, ErrUnknownStream)
	wants(s.StreamShutdown(400, quic.ReadDirection, 0), ErrUnknownStream)
	_, _, err = s.StreamRecv(400, nil)
	wants(err, ErrUnknownStream)

	id = ask("HEAD")
	_, err = s.SendResponse(p.now, id, ok200(qpack.Field{Name: "content-length", Value: "5"}), []byte("hello"), true)
	wants(err, ErrMessageOrder)
	if _, err = s.SendResponse(p.now, id, ok200(qpack.Field{Name: "content-length", Value: "5"}), nil, true); err != nil {
		t.Fatal(err)
	}
	p.settle()
	if c.core.Err() != nil || s.core.Err() != nil {
		t.Fatal(c.core.Err(), s.core.Err())
	}
}

// More requests than the server allows: EventCapacity tells when there can be others.
func TestCapacity(t *testing.T) {
	p, c, s := newBoth(t, nil, nil, func(_, server *quic.Config) { server.MaxStreamsBidi = 2 })
	if n := c.RequestsOpenable(); n != 2 {
		t.Fatal(n)
	}
	for range 2 {
		if _, _, err := c.SendRequest(p.now, get("/"), nil, true); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := c.SendRequest(p.now, get("/"), nil, true); !errors.Is(err, ErrStreamLimit) {
		t.Fatal(err)
	}
	p.settle()
	s.want(EventRequest)
	s.want(EventRequest)
	s.SendResponse(p.now, 0, ok200(), nil, true)
	p.pass(time.Second)
	c.want(EventResponse)
	c.want(EventDone)
	c.want(EventCapacity)
	if _, _, err := c.SendRequest(p.now, get("/"), nil, true); err != nil {
		t.Fatal(err)
	}
	c.wantNone("it is told when it was asked for")
}

// Cookie fields are joined, and come as one.
func TestCookies(t *testing.T) {
	p := newScript(t, false, nil, false)
	p.bidi(true, getFrame("a", "b", "cookie", "x=1", "c", "d", "cookie", "y=2", "host", "example.org", "cookie", "z=3"))
	var got []string
	for _, f := range p.side.want(EventRequest).Message.Fields {
		got = append(got, f.Name+": "+f.Value)
	}
	if want := "a: b, cookie: x=1; y=2; z=3, c: d"; strings.Join(got, ", ") != want {
		t.Fatalf("%q, want %q", got, want)
	}
}

// What is greased, and what is sent where that is not wanted.
func TestGrease(t *testing.T) {
	for _, no := range []bool{false, true} {
		p := newScript(t, false, &Config{NoGrease: no, EnableConnect: true, EnableDatagrams: true, AdditionalSettings: []Setting{{0x2b603742, 1}}}, false)
		b, _, err := p.peer.StreamPeek(3)
		if err != nil {
			t.Fatal(err)
		}
		typ, length, n, ok := consumeFrameHeader(b[1:])
		if b[0] != streamControl || typ != frameSettings || !ok {
			t.Fatalf("%x", b)
		}
		payload, rest := b[1+n:1+n+int(length)], b[1+n+int(length):]
		s, e := parseSettings(payload)
		if e != nil || !s.EnableConnect || !s.H3Datagram || s.QPACKTableCapacity != 4096 || s.QPACKBlockedStreams != 100 ||
			s.MaxFieldSectionSize != 64<<10 || len(s.Other) != 1 || s.Other[0].ID != 0x2b603742 {
			t.Fatalf("%+v, %v", s, e)
		}
		greased := len(rest) > 0
		if greased {
			typ, _, _, _ = consumeFrameHeader(rest)
			greased = (typ-0x21)%0x1f == 0
		}
		b, _, _ = p.peer.StreamPeek(15)
		if greased == no || (len(b) > 0) == no {
			t.Errorf("NoGrease %v: a frame %v, a stream %x", no, greased, b)
		}
	}
}

// Where the peer allows few unidirectional streams at first, ours are opened when it allows more.
func TestFewStreams(t *testing.T) {
	p := newPair(t, func(client, _ *quic.Config) { client.MaxStreamsUni = 1 })
	s := p.newSide(p.server, &Config{NoGrease: true})
	c := p.newSide(p.client, nil)
	p.settle()
	c.want(EventSettings)
	s.want(EventSettings)
	if s.local.opened != 1 {
		t.Fatal(s.local.opened)
	}
	id, _, _ := c.SendRequest(p.now, get("/"), nil, true)
	p.settle()
	s.want(EventRequest)
	if _, err := s.SendResponse(p.now, id, ok200(qpack.Field{Name: "x", Value: "y"}), nil, true); err != nil {
		t.Fatal(err)
	}
	p.settle()
	c.want(EventResponse)
}

// An end that is sent by itself goes out behind what the core had no room for.
func TestEndAlone(t *testing.T) {
	for _, buffer := range []int{1, 10, 60} {
		for _, body := range []string{"", "hello"} {
			p, c, s := newBoth(t, nil, nil, func(client, server *quic.Config) {
				client.StreamSendBuffer, client.MaxStreamSendBuffer = buffer, buffer
				server.StreamSendBuffer, server.MaxStreamSendBuffer = buffer, buffer
			})
			end := func(side *side, id uint64, n int, err error) {
				t.Helper()
				if err == nil && n == len(body) {
					n, err = side.StreamSend(id, nil, true)
					if n == 0 && err == nil {
						return
					}
				}
				t.Fatalf("buffer %d: %d bytes were taken, %v", buffer, n, err)
			}
			arrives := func(side *side, id uint64, begin EventKind) {
				t.Helper()
				var got []byte
				begun, whole := false, false
				side.handle = func(ev Event) {
					if ev.Kind == begin {
						begun, whole = true, ev.Fin
					}
				}
				p.run(func() bool {
					if !begun || whole {
						return whole
					}
					part, fin, err := side.readAll(id)
					if got = append(got, part...); err != nil {
						t.Fatal(err)
					}
					return fin
				})
				if string(got) != body {
					t.Fatalf("buffer %d: %q arrived", buffer, got)
				}
			}
			c.handle, s.handle = func(Event) {}, func(Event) {}
			m := get("/")
			m.Method, m.Fields = "POST", append([]qpack.Field(nil), requestFields...)
			id, n, err := c.SendRequest(p.now, m, []byte(body), false)
			end(c, id, n, err)
			arrives(s, id, EventRequest)
			n, err = s.SendResponse(p.now, id, ok200(requestFields...), []byte(body), false)
			end(s, id, n, err)
			arrives(c, id, EventResponse)
		}
	}
}

// Instructions of our encoder do not wait for the end of a long response that is as urgent as can be: another one, which takes turns with it, needs them.
func TestInstructionsGoFirst(t *testing.T) {
	p, c, s := newBoth(t, nil, nil, nil)
	c.handle, s.handle = func(Event) {}, func(Event) {}
	var ids [3]uint64
	for i, priority := range []string{"u=0", "u=0, i", "u=0, i"} {
		m := get("/")
		m.Fields = []qpack.Field{{Name: "priority", Value: priority}}
		id, _, err := c.SendRequest(p.now, m, nil, true)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = id
	}
	p.settle()
	const size = 500_000
	if n, err := s.SendResponse(p.now, ids[0], ok200(), make([]byte, size), true); n < size/2 || err != nil {
		t.Fatal(n, err)
	}
	for _, id := range ids[1:] { // the encoder inserts at second sight
		if _, err := s.SendResponse(p.now, id, ok200(qpack.Field{Name: "x-long", Value: strings.Repeat("v", 200)}), nil, true); err != nil {
			t.Fatal(err)
		}
	}
	answered, got := 0, 0
	c.handle = func(ev Event) {
		if ev.Kind == EventResponse && ev.Stream != ids[0] {
			answered++
		}
	}
	p.run(func() bool {
		if b, _, err := c.readAll(ids[0]); err == nil {
			got += len(b)
		}
		return answered == 2
	})
	if got > size/4 {
		t.Errorf("the other responses came when %d bytes of %d had", got, size)
	}
}

// Instructions of our encoder wait for no flow control, and for no room in the send buffer: a section refers to nothing whose instruction the peer
// gives no credit for (RFC 9204, section 2.1.3), nor to what it would get a little at a time, while others wait for it.
func TestEncoderCredit(t *testing.T) {
	for _, window := range []uint64{1, 16, 64, 300} {
		testEncoderCredit(t, window, func(_, server *quic.Config) {
			server.StreamReceiveWindow, server.MaxStreamReceiveWindow = window, window
		})
		testEncoderCredit(t, math.MaxInt32, func(client, _ *quic.Config) {
			client.StreamSendBuffer, client.MaxStreamSendBuffer = int(window), int(window)
		})
	}
}

func testEncoderCredit(t *testing.T, window uint64, change func(client, server *quic.Config)) {
	p := newScriptWith(t, true, nil, false, change, SettingQPACKTableCapacity, 4096, SettingQPACKBlockedStreams, 100)
	for i := range 20 {
		m := get("/")
		m.Fields = append([]qpack.Field(nil), requestFields...)
		p.request(m)
		enc := p.side.local.ids[localEncoder]
		if room := p.side.core.StreamCredit(enc); len(p.side.enc.Instructions()) > 0 || room < 0 {
			t.Fatalf("window %d, request %d: %d bytes of instructions wait, credit %d", window, i, len(p.side.enc.Instructions()), room)
		}
		if acked, err := p.side.core.StreamAcked(enc); err != nil || acked > window+1 {
			t.Fatalf("window %d: %d bytes, %v", window, acked, err)
		}
		p.pass(100 * time.Millisecond)
	}
}

// A handler that sends interim responses without end, to a client that gives no credit for them, has a bounded number wait.
func TestInterimBacklog(t *testing.T) {
	p, c, s := newBoth(t, nil, nil, func(client, server *quic.Config) {
		client.StreamReceiveWindow, client.MaxStreamReceiveWindow = 100, 100
	})
	id, _, err := c.SendRequest(p.now, get("/"), nil, true)
	if err != nil {
		t.Fatal(err)
	}
	c.handle = func(Event) {}
	p.settle()
	hint := &Message{Status: 103, ContentLength: -1, Fields: []qpack.Field{{Name: "link", Value: strings.Repeat("x", 1000)}}}
	for n := 0; ; n++ {
		_, err := s.SendResponse(p.now, id, hint, nil, false)
		if errors.Is(err, ErrInterimBacklog) {
			break
		}
		if err != nil || n > 1000 {
			t.Fatalf("after %d interim responses: %v", n, err)
		}
	}
	if held := len(s.find(id).send.pending); held > maxInterimBacklog+2000 {
		t.Errorf("%d bytes wait, the bound is %d", held, maxInterimBacklog)
	}
}
