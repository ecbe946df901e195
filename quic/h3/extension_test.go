package h3

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

func withDatagrams(client, server *quic.Config) {
	client.MaxDatagramFrameSize, server.MaxDatagramFrameSize = 65535, 65535
}

// HTTP datagrams, both ways (RFC 9297, section 2).
func TestDatagrams(t *testing.T) {
	cfg := func() *Config { return &Config{EnableDatagrams: true, EnableConnect: true} }
	p, c, s := newBoth(t, cfg(), cfg(), withDatagrams)
	id, _, err := c.SendRequest(p.now, &Message{Method: "CONNECT", Scheme: "https", Authority: "example.org", Path: "/", Protocol: "connect-udp"}, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SendDatagram(id, []byte("early")); err != nil { // datagrams leave before stream data: this one overtakes the request
		t.Fatal(err)
	}
	p.settle()
	s.want(EventRequest)
	s.want(EventDatagram)
	b := make([]byte, 100)
	if n, ok := s.RecvDatagram(id, b); !ok || string(b[:n]) != "early" {
		t.Fatal(n, ok)
	}
	for i := range 3 {
		if err := s.SendDatagram(id, fmt.Appendf(nil, "answer %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	p.settle()
	c.want(EventDatagram)
	c.wantNone("the others wait with the first")
	for i := range 3 {
		if n, ok := c.RecvDatagram(id, b); !ok || string(b[:n]) != fmt.Sprintf("answer %d", i) {
			t.Fatal(i, n, ok)
		}
	}
	if _, ok := c.RecvDatagram(id, b); ok {
		t.Fatal("one more than was sent")
	}
	if n := c.MaxDatagramSize(id); n < 1000 || c.SendDatagram(id, make([]byte, n)) != nil {
		t.Fatal("the largest datagram:", n)
	}
	var large *quic.DatagramTooLargeError
	if err := c.SendDatagram(id, make([]byte, 1<<16)); !errors.As(err, &large) {
		t.Fatal(err)
	}
	if err := c.SendDatagram(400, nil); !errors.Is(err, ErrUnknownStream) {
		t.Fatal(err)
	}

	// Not more than 64 of a stream wait, the newest.
	p.settle()
	s.RecvDatagram(id, b)
	for i := range 100 {
		if err := c.SendDatagram(id, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		p.settle()
	}
	first := true
	for i := 100 - maxDatagrams; i < 100; i++ {
		if n, ok := s.RecvDatagram(id, b); n != 1 || !ok || b[0] != byte(i) {
			t.Fatal(i, n, ok, b[0], first)
		}
		first = false
	}

	p, c, s = newBoth(t, cfg(), nil, withDatagrams)
	if id, _, err = c.SendRequest(p.now, get("/"), nil, false); err != nil {
		t.Fatal(err)
	}
	if err := c.SendDatagram(id, nil); !errors.Is(err, ErrDatagramsNotEnabled) {
		t.Fatal(err)
	}
}

// RFC 9297, section 2.1: datagrams are sent while the sending part of their stream is open, and what comes when the receiving part is over is dropped.
func TestDatagramsOfEndedStreams(t *testing.T) {
	cfg := func() *Config { return &Config{EnableDatagrams: true, EnableConnect: true} }
	connect := &Message{Method: "CONNECT", Scheme: "https", Authority: "example.org", Path: "/", Protocol: "connect-udp"}
	b := make([]byte, 100)
	for name, end := range map[string]func(from, to *side, id uint64) (want error){
		"the end": func(from, to *side, id uint64) error {
			if _, err := from.StreamSend(id, nil, true); err != nil {
				t.Fatal(err)
			}
			from.p.settle()
			if _, fin, err := to.readAll(id); !fin || err != nil {
				t.Fatal(fin, err)
			}
			return quic.ErrStreamEnded
		},
		"RESET_STREAM": func(from, to *side, id uint64) error {
			from.StreamShutdown(id, quic.WriteDirection, ErrCodeRequestCancelled)
			from.p.settle()
			to.read()
			return quic.ErrStreamEnded
		},
		"STOP_SENDING": func(from, to *side, id uint64) error {
			to.StreamShutdown(id, quic.ReadDirection, ErrCodeRequestCancelled)
			from.p.settle()
			from.read()
			return &StreamError{Stream: id, Code: ErrCodeRequestCancelled, Remote: true}
		},
	} {
		for i := range 4 {
			toServer, taken := i&1 == 0, i&2 != 0
			name := name
			if taken {
				name += " of a stream that was taken over"
			}
			p, c, s := newBoth(t, cfg(), cfg(), withDatagrams)
			id, _, err := c.SendRequest(p.now, connect, nil, false)
			if err != nil {
				t.Fatal(err)
			}
			p.settle()
			s.want(EventRequest)
			if _, err := s.SendResponse(p.now, id, ok200(), nil, false); err != nil {
				t.Fatal(err)
			}
			p.settle()
			c.want(EventResponse)
			for _, side := range []*side{c, s} {
				if !taken {
					break
				}
				if _, err := side.TakeOver(id); err != nil {
					t.Fatal(err)
				}
			}
			from, to := c, s
			if !toServer {
				from, to = s, c
			}
			if err := from.SendDatagram(id, []byte("before")); err != nil {
				t.Fatal(err)
			}
			p.settle()
			want := end(from, to, id)
			if err := from.SendDatagram(id, []byte("after")); !errors.Is(err, want) && !reflect.DeepEqual(err, want) {
				t.Errorf("%s, to the server %v: SendDatagram says %v, want %v", name, toServer, err, want)
			}
			if err := to.SendDatagram(id, []byte("the other way")); err != nil {
				t.Errorf("%s, to the server %v: the other way SendDatagram says %v", name, toServer, err)
			}
			if !to.DatagramsOver(id) || from.DatagramsOver(id) {
				t.Errorf("%s, to the server %v: over is %v, and the other way %v", name, toServer, to.DatagramsOver(id), from.DatagramsOver(id))
			}
			from.core.DatagramSend(append(varint(id>>2), "late"...)) // of a peer that does not keep to it, or that was overtaken
			p.settle()
			if n, ok := to.RecvDatagram(id, b); !ok || string(b[:n]) != "before" {
				t.Errorf("%s, to the server %v: %q, %v", name, toServer, b[:n], ok)
			}
			if n, ok := to.RecvDatagram(id, b); ok {
				t.Errorf("%s, to the server %v: %q came late", name, toServer, b[:n])
			}
			if n, ok := from.RecvDatagram(id, b); !ok || string(b[:n]) != "the other way" {
				t.Errorf("%s, to the server %v: the other way %q, %v", name, toServer, b[:n], ok)
			}
		}
	}
}

// What has arrived can be read until EventDone, and with that be taken.
func TestTakeDatagrams(t *testing.T) {
	cfg := func() *Config { return &Config{EnableDatagrams: true, EnableConnect: true} }
	p, c, s := newBoth(t, cfg(), cfg(), withDatagrams)
	connect := &Message{Method: "CONNECT", Scheme: "https", Authority: "example.org", Path: "/", Protocol: "connect-udp"}
	id, _, err := c.SendRequest(p.now, connect, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := c.SendDatagram(id, fmt.Appendf(nil, "datagram %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	p.settle()
	c.StreamSend(id, nil, true)
	p.settle()
	b := make([]byte, 100)
	if n, ok := s.RecvDatagram(id, b); !ok || string(b[:n]) != "datagram 0" {
		t.Fatalf("%q, %v", b[:n], ok)
	}
	var got [][]byte
	s.handle = func(ev Event) {
		if ev.Kind == EventDone {
			got = s.TakeDatagrams(id)
		}
	}
	s.SendResponse(p.now, id, ok200(), nil, true)
	s.readAll(id)
	p.settle()
	if c.readAll(id); len(got) > 0 {
		t.Errorf("%q was taken before the end", got)
	}
	p.pass(time.Second)
	if want := [][]byte{[]byte("datagram 1"), []byte("datagram 2")}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q was taken, want %q", got, want)
	}
	if got := s.TakeDatagrams(id); got != nil {
		t.Errorf("of a stream that is forgotten %q was taken", got)
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// No datagram leaves before our own SETTINGS have (RFC 9297, section 2.1.1), for which the client allows no stream here.
func TestDatagramsBeforeSettings(t *testing.T) {
	p := newScriptWith(t, false, &Config{EnableDatagrams: true}, false, func(client, server *quic.Config) {
		withDatagrams(client, server)
		client.MaxStreamsUni = -1
	}, SettingH3Datagram, 1)
	id := p.bidi(false, postFrame())
	p.side.want(EventRequest)
	if err := p.side.SendDatagram(id, []byte("x")); !errors.Is(err, ErrDatagramsNotEnabled) || p.side.MaxDatagramSize(id) != 0 {
		t.Fatalf("%v, of %d bytes at the most", err, p.side.MaxDatagramSize(id))
	}
}

// What is no HTTP datagram (RFC 9297, section 2.1), and those that come before their stream.
func TestBadDatagrams(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want ErrorCode
	}{
		{"nothing", nil, ErrCodeDatagram},
		{"half an ID", []byte{0x40}, ErrCodeDatagram},
		{"an ID above 2^60-1", varint(1 << 60), ErrCodeDatagram},
		{"the highest ID", varint(1<<60 - 1), ErrCodeID},
		{"an ID beyond the limit", varint(100), ErrCodeID},
		{"an ID within the limit", varint(99), 0},
	} {
		p := newScriptWith(t, false, &Config{EnableDatagrams: true}, false, withDatagrams, SettingH3Datagram, 1)
		if err := p.peer.DatagramSend(c.b); err != nil {
			t.Fatal(err)
		}
		if p.settle(); c.want != 0 {
			p.wantClosed(c.want, c.name)
		} else {
			p.wantServes(c.name)
		}
	}
	p := newScriptWith(t, false, &Config{EnableDatagrams: true}, false, withDatagrams, SettingH3Datagram, 1)
	for i := range 100 {
		if err := p.peer.DatagramSend(append(varint(uint64(i%5)), byte(i))); err != nil {
			t.Fatal(err)
		}
		p.settle()
	}
	if n := p.side.datagrams.waiting(); n != maxEarlyDatagrams {
		t.Fatalf("%d early datagrams", n)
	}
	for range 5 {
		id := p.bidi(false, postFrame())
		p.side.want(EventRequest)
		p.side.want(EventDatagram)
		n := 0
		for b := make([]byte, 10); ; n++ {
			if _, ok := p.side.RecvDatagram(id, b); !ok {
				break
			}
		}
		if n < 6 {
			t.Fatalf("%d early datagrams of stream %d", n, id)
		}
	}
	if p.side.datagrams.waiting() != 0 || p.side.datagrams.bytes != 0 {
		t.Fatal("datagrams are left")
	}
	// They are kept for the order of a round trip, and not by a connection at rest.
	p.peer.DatagramSend(append(varint(20), make([]byte, 1000)...))
	if p.settle(); p.side.datagrams.waiting() != 1 {
		t.Fatal("the early datagram is not kept")
	}
	for _, id := range []uint64{0, 4, 8, 12, 16} {
		p.side.SendResponse(p.now, id, ok200(), nil, true)
		p.peer.StreamSend(id, nil, true)
		p.settle()
		p.side.readAll(id)
		p.peer.StreamRecv(id, make([]byte, 1000))
	}
	if p.pass(time.Second); p.side.datagrams.waiting() != 0 {
		t.Fatal("the early datagram is kept without end")
	}
	// Where they were not enabled they are dropped.
	p = newScriptWith(t, false, nil, false, withDatagrams)
	p.peer.DatagramSend(varint(1 << 60))
	p.wantServes("nobody said that datagrams are understood")
}

// Capsules, in whatever pieces they come (RFC 9297, section 3.2).
func TestAttackF15Capsules(t *testing.T) {
	var b []byte
	b = AppendCapsule(b, CapsuleDatagram, []byte("one"))
	b = AppendCapsule(b, 0x2843, bytes.Repeat([]byte("x"), 5000)) // unknown
	b = AppendCapsule(b, CapsuleDatagram, nil)
	b = AppendCapsule(b, 1<<40, nil)
	b = AppendCapsule(b, CapsuleDatagram, []byte("three"))
	for _, size := range []int{1, 2, 3, 7, 1000, len(b)} {
		var r CapsuleReader
		var got []string
		for rest := b; len(rest) > 0; {
			piece := rest[:min(size, len(rest))]
			rest = rest[len(piece):]
			for {
				c, n, ok, err := r.Next(piece)
				if err != nil {
					t.Fatal(err)
				}
				piece = piece[n:]
				if !ok {
					break
				}
				got = append(got, string(c.Value))
			}
			if len(r.value) > 16 {
				t.Fatalf("%d bytes of an unknown capsule are kept", len(r.value))
			}
		}
		if !slices.Equal(got, []string{"one", "", "three"}) || !r.End() {
			t.Fatalf("in pieces of %d: %q, at the end %v", size, got, r.End())
		}
	}
	var r CapsuleReader
	if _, _, _, err := r.Next(AppendCapsuleHeader(nil, CapsuleDatagram, 1<<20)); !errors.Is(err, ErrCapsuleTooLarge) {
		t.Fatal(err)
	}
	r = CapsuleReader{Wants: func(typ uint64) bool { return typ == 0x2843 }, Max: 1024}
	if _, n, ok, err := r.Next(AppendCapsuleHeader(nil, 7, 1<<62-1)); ok || err != nil || n != 9 || r.End() {
		t.Fatal("an unknown capsule without end:", n, ok, err)
	}
}

// Priority fields (RFC 9218, sections 4 and 5).
func TestParsePriority(t *testing.T) {
	for value, want := range map[string]quic.Priority{
		"":                       {Urgency: 3},
		"u=0":                    {Urgency: 0},
		"u=7, i":                 {Urgency: 7, Incremental: true},
		"i":                      {Urgency: 3, Incremental: true},
		"i=?1,u=1":               {Urgency: 1, Incremental: true},
		"i=?0,u=1":               {Urgency: 1},
		"u=8":                    {Urgency: 3},
		"u=-1, i":                {Urgency: 3, Incremental: true},
		"u=1.5":                  {Urgency: 3},
		"u=\"1\"":                {Urgency: 3},
		"i=1, u=2":               {Urgency: 2},
		"u=1, u=5":               {Urgency: 5},
		"u=4;x=y, foo=(a b), i":  {Urgency: 4, Incremental: true},
		"u=(1)":                  {Urgency: 3},
		"U=1":                    {Urgency: 3},
		"u=1,":                   {Urgency: 3},
		"=":                      {Urgency: 3},
		strings.Repeat("x,", 50): {Urgency: 3},
	} {
		if got := ParsePriority(value); got != want {
			t.Errorf("%q: %+v, want %+v", value, got, want)
		}
		var p priorities
		for range 3 {
			if got := p.parse(value); got != want {
				t.Errorf("%q, through the cache: %+v, want %+v", value, got, want)
			}
		}
	}
	for u := range uint8(8) {
		for _, i := range []bool{false, true} {
			if p := (quic.Priority{Urgency: u, Incremental: i}); ParsePriority(FormatPriority(p)) != p {
				t.Errorf("%+v becomes %q", p, FormatPriority(p))
			}
		}
	}
	var p priorities
	p.parse("u=1, i")
	if n := testing.AllocsPerRun(100, func() { p.parse("u=1, i") }); n != 0 {
		t.Errorf("%v allocations for a value that came before", n)
	}
}

// PRIORITY_UPDATE before, with and after its request, and what it has precedence over (RFC 9218, section 7).
func TestAttackF11PriorityUpdates(t *testing.T) {
	p := newScript(t, false, nil, false)
	update := func(id uint64, value string) []byte {
		return frameOf(framePriorityUpdateRequest, append(varint(id), value...))
	}
	p.send(p.control, false, update(0, "u=6"), update(0, "u=5, i"), update(4, "u=1"))
	p.bidi(false, postFrame("priority", "u=2"))
	if ev := p.side.want(EventRequest); ev.Message.Priority != (quic.Priority{Urgency: 5, Incremental: true}) {
		t.Fatalf("%+v: the update came first, and counts more", ev.Message.Priority)
	}
	p.send(p.control, false, update(0, "u=7"))
	if ev := p.side.want(EventPriority); ev.Stream != 0 || ev.Priority != (quic.Priority{Urgency: 7}) {
		t.Fatalf("%+v", ev)
	}
	p.send(p.control, false, update(0, "u=7"))
	p.side.wantNone("nothing has changed")
	p.bidi(false, postFrame())
	if ev := p.side.want(EventRequest); ev.Message.Priority != (quic.Priority{Urgency: 1}) {
		t.Fatalf("%+v", ev.Message.Priority)
	}
	p.bidi(false, postFrame("priority", "u=2, i"))
	if ev := p.side.want(EventRequest); ev.Message.Priority != (quic.Priority{Urgency: 2, Incremental: true}) {
		t.Fatalf("%+v", ev.Message.Priority)
	}
	id, err := p.peer.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	p.peer.StreamSend(id, postFrame("priority", "u=2"), false)
	p.peer.StreamSend(p.control, update(id, "u=6"), false)
	on := p.onServer
	p.onServer = func(ev *quic.Event) { p.side.HandleEvent(p.now, ev) } // all of the core's events come before one of HTTP/3's is read
	p.settle()
	p.onServer = on
	p.side.read()
	if ev := p.side.want(EventRequest); ev.Message.Priority != (quic.Priority{Urgency: 6}) {
		t.Fatalf("%+v: the update came together with the request", ev.Message.Priority)
	}
	p.side.wantNone("the message has told it")
	if len(p.side.priorities.early) != 0 {
		t.Fatalf("%d early updates are left", len(p.side.priorities.early))
	}
	for i := range uint64(1000) { // one slot for each stream that may be opened
		p.peer.StreamSend(p.control, update(i%100*4, "u=1"), false)
		p.settle()
	}
	if n := len(p.side.priorities.early); n != 96 {
		t.Fatalf("%d early updates, want one for each of 96 streams that may come", n)
	}
	// Of one that is over nothing is kept.
	p.wantAlive("all that was allowed")
}

// A client's priorities arrive, and order what the server sends.
func TestPriorityEndToEnd(t *testing.T) {
	p, c, s := newBoth(t, nil, nil, nil)
	id, _, err := c.SendRequest(p.now, get("/"), nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.UpdatePriority(id, quic.Priority{Urgency: 1, Incremental: true}); err != nil {
		t.Fatal(err)
	}
	p.settle()
	ev := s.want(EventRequest)
	got := ev.Message.Priority
	if len(s.events) > 0 {
		got = s.want(EventPriority).Priority
	}
	if got != (quic.Priority{Urgency: 1, Incremental: true}) {
		t.Fatalf("%+v", got)
	}
	if err := s.UpdatePriority(id, got); !errors.Is(err, ErrRole) {
		t.Fatal(err)
	}
	if err := s.SetPriority(id, quic.Priority{Urgency: 2}); err != nil {
		t.Fatal(err)
	}
}

// ORIGIN (RFC 9412).
func TestOrigin(t *testing.T) {
	p := newPair(t, nil)
	c := p.newSide(p.client, nil)
	p.newSide(p.server, &Config{Origins: []string{"https://example.org", "https://example.com:8443"}})
	p.settle()
	c.want(EventSettings)
	if ev := c.want(EventOrigin); !slices.Equal(ev.Origins, []string{"https://example.org", "https://example.com:8443"}) {
		t.Fatalf("%q", ev.Origins)
	}
	s := newScript(t, true, nil, false)
	s.send(s.control, false, frameOf(frameOrigin, nil), appendOrigins(nil, []string{"rubbish", "https://a.example"}))
	if ev := s.side.want(EventOrigin); len(ev.Origins) != 0 {
		t.Fatalf("%q", ev.Origins)
	}
	if ev := s.side.want(EventOrigin); !slices.Equal(ev.Origins, []string{"https://a.example"}) {
		t.Fatalf("%q", ev.Origins)
	}
}

// What is an origin, and what is left out of an ORIGIN frame since it is none (RFC 8336, section 2.1; RFC 6454, section 6.2).
func TestIsOrigin(t *testing.T) {
	for s, want := range map[string]bool{
		"https://example.org": true, "https://example.org:8443": true, "http://a": true, "https://192.0.2.1:1": true, "https://[2001:db8::1]": true,
		"https://[2001:db8::1]:443": true, "web+x.1://host_name": true, "https://xn--bcher-kva.example": true,
		"": false, "null": false, "example.org": false, "https://": false, "https:///": false, "https://a/": false, "https://a?b": false, "https://a#b": false, "://a": false,
		"https://u@a": false, "https://a b": false, "https://a\n": false, "https://:443": false, "https://a:": false, "https://a:0": false, "https://a:65536": false,
		"https://a:b": false, "https://a:1:2": false, "https://a:+1": false, "https://2001:db8::1": false, "https://[2001:db8::1": false, "https://[2001:db8::1]x": false,
		"https://[2001:db8::1%25eth0]": false, "https://[192.0.2.1]": false, "https://[]": false, "https://Example.org": false, "HTTPS://a": false, "https://b\xfccher": false,
	} {
		if isOrigin(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

// A server's shutdown, in two steps (RFC 9114, section 5.2).
func TestAttackF16Shutdown(t *testing.T) {
	p, c, s := newBoth(t, nil, nil, nil)
	first, _, _ := c.SendRequest(p.now, get("/0"), nil, true)
	p.settle()
	s.want(EventRequest)
	s.Shutdown(p.now)
	s.Shutdown(p.now) // twice is once
	// Under way while GOAWAY is: it is taken.
	second, _, err := c.SendRequest(p.now, get("/1"), nil, true)
	if err != nil {
		t.Fatal(err)
	}
	p.settle()
	if ev := c.want(EventGoAway); ev.ID != maxRequestID {
		t.Fatalf("%+v", ev)
	}
	if ev := s.want(EventRequest); ev.Stream != second {
		t.Fatalf("%+v", ev)
	}
	if _, _, err := c.SendRequest(p.now, get("/2"), nil, true); !errors.Is(err, ErrGoingAway) {
		t.Fatal(err)
	}
	p.pass(time.Second)
	if ev := c.want(EventGoAway); ev.ID != second+4 {
		t.Fatalf("%+v", ev)
	}
	s.wantNone("two requests are open")
	// Later ones are rejected, whatever the client thinks of it.
	c.goaway = goaway{peer: noStream, sent: noStream}
	late, _, err := c.SendRequest(p.now, get("/late"), nil, true)
	if err != nil {
		t.Fatal(err)
	}
	p.settle()
	if ev := c.want(EventRejected); ev.Stream != late {
		t.Fatalf("%+v", ev)
	}
	s.wantNone("it was rejected")
	for _, id := range []uint64{first, second} {
		if _, err := s.SendResponse(p.now, id, ok200(), nil, true); err != nil {
			t.Fatal(err)
		}
	}
	p.pass(time.Second)
	s.want(EventDone)
	s.want(EventDone)
	s.want(EventShutdown)
	s.wantNone("it is told once")
	s.Close(p.now, ErrCodeNoError, "")
	p.settle()
	var closed *quic.ApplicationError
	if err := p.client.Err(); !errors.As(err, &closed) || ErrorCode(closed.Code) != ErrCodeNoError {
		t.Fatal(err)
	}
}

// A client's shutdown.
// A server that is idle does not end the connection before the client knows what was taken: where both GOAWAY frames are lost, a request that the client
// sends meanwhile is rejected, so that it may be sent again, and not left in doubt (RFC 9114, section 5.4).
func TestAttackF16GoAwayLost(t *testing.T) {
	p, c, s := newBoth(t, nil, nil, nil)
	p.pass(time.Second)
	lose := func() {
		for p.server.Send(p.now, p.buf).N > 0 {
		}
	}
	s.Shutdown(p.now)
	lose()
	p.now = s.Timeout()
	s.OnTimeout(p.now)
	s.read()
	lose()
	s.wantNone("the client knows nothing yet")
	late, _, err := c.SendRequest(p.now, &Message{Method: "POST", Scheme: "https", Authority: "peer.example", Path: "/", ContentLength: -1}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	p.pass(time.Second)
	if ev := c.want(EventRejected); ev.Stream != late {
		t.Fatalf("%+v", ev)
	}
	c.events = slices.DeleteFunc(c.events, func(ev Event) bool { return ev.Kind == EventDone })
	for _, id := range []uint64{maxRequestID, 0} {
		if ev := c.want(EventGoAway); ev.ID != id {
			t.Fatalf("%+v", ev)
		}
	}
	s.want(EventShutdown)
	s.wantNone("nothing was taken")
}

// A client that has gone does not keep the server.
func TestShutdownClientGone(t *testing.T) {
	p, _, s := newBoth(t, nil, nil, nil)
	p.pass(time.Second)
	begun := p.now
	for s.Shutdown(p.now); len(s.events) == 0; s.read() {
		for p.server.Send(p.now, p.buf).N > 0 { // which is lost
		}
		if p.now = s.Timeout(); p.now.IsZero() {
			t.Fatal("nothing is due")
		}
		s.OnTimeout(p.now)
	}
	if d := p.now.Sub(begun); s.events[0].Kind != EventShutdown || d > 100*time.Millisecond {
		t.Fatalf("%+v after %v", s.events[0], d)
	}
}

func TestClientShutdown(t *testing.T) {
	p, c, s := newBoth(t, nil, nil, nil)
	id, _, _ := c.SendRequest(p.now, get("/"), nil, true)
	c.Shutdown(p.now)
	p.settle()
	if ev := s.want(EventGoAway); ev.ID != 0 { // the control stream goes first
		t.Fatalf("%+v", ev)
	}
	s.want(EventRequest)
	s.SendResponse(p.now, id, ok200(), nil, true)
	p.pass(time.Second)
	c.want(EventResponse)
	c.want(EventDone)
	c.want(EventShutdown)
}

// Streams of types that the application wants (Config.StreamType), as WebTransport's are.
func TestRawStreams(t *testing.T) {
	wants := func(typ uint64, uni bool) bool { return typ == 0x41 && !uni || typ == 0x54 && uni }
	bothSpeeds(t, "", func(t *testing.T, slow bool) {
		p := newScript(t, false, &Config{StreamType: wants}, false)
		p.slow = slow
		uni := p.uni(true, varint(0x54), varint(4), []byte("one way"))
		if ev := p.side.want(EventRawStream); ev.Stream != uni || ev.Type != 0x54 {
			t.Fatalf("%+v", ev)
		}
		if body, fin, err := p.side.readAll(uni); string(body) != "\x04one way" || !fin || err != nil {
			t.Fatalf("%q, %v, %v", body, fin, err)
		}
		p.settle()
		p.side.events = nil
		bidi := p.bidi(false, varint(0x41), varint(300), []byte("both ways"))
		if ev := p.side.want(EventRawStream); ev.Stream != bidi || ev.Type != 0x41 {
			t.Fatalf("%+v", ev)
		}
		p.side.events = nil
		var body []byte
		for b := make([]byte, 1); ; {
			n, _, err := p.side.StreamRecv(bidi, b)
			if n == 0 || err != nil {
				break
			}
			body = append(body, b[:n]...)
		}
		if want := string(varint(300)) + "both ways"; string(body) != want {
			t.Fatalf("%q, want %q", body, want)
		}
		p.send(bidi, false, []byte("more"))
		p.side.want(EventData)
		if n, err := p.side.StreamSend(bidi, []byte("answer"), true); n != 6 || err != nil {
			t.Fatal(n, err)
		}
		p.settle()
		b := make([]byte, 10)
		if n, fin, err := p.peer.StreamRecv(bidi, b); string(b[:n]) != "answer" || !fin || err != nil {
			t.Fatalf("%q, %v, %v", b[:n], fin, err)
		}
		if p.side.OpenRequests() != 0 {
			t.Fatal("a raw stream counts as a request")
		}
		p.side.events = nil
		other := p.bidi(false, varint(0x42), varint(1), []byte("x"), getFrame())
		p.side.want(EventRequest) // an unknown frame, and a request
		p.side.SendResponse(p.now, other, ok200(), nil, true)
		p.slow = false
		p.wantServes("the connection lives")
	})
	p := newScript(t, true, &Config{StreamType: wants}, false)
	id := p.bidi(false, varint(0x41), varint(0))
	if ev := p.side.want(EventRawStream); ev.Stream != id {
		t.Fatalf("%+v", ev)
	}
	p.wantAlive("a server's stream of a type that is wanted")
	p.bidi(false, getFrame())
	p.wantClosed(ErrCodeStreamCreation, "a server's stream of another")
}

// TakeOver of a request's stream: what was begun of a frame comes first.
func TestTakeOver(t *testing.T) {
	p := newScript(t, false, nil, false)
	frame := frameOf(frameData, []byte("hello"))
	id := p.bidi(false, postFrame(), frame[:4])
	p.side.want(EventRequest)
	p.side.want(EventData)
	buffered, err := p.side.TakeOver(id)
	if err != nil {
		t.Fatal(err)
	}
	p.send(id, true, frame[4:])
	rest, fin, err := p.side.readAll(id)
	if got := append(buffered, rest...); !bytes.Equal(got, frame) || !fin || err != nil {
		t.Fatalf("%x, %v, %v; want %x", got, fin, err, frame)
	}
	if _, err := p.side.TakeOver(400); !errors.Is(err, ErrUnknownStream) {
		t.Fatal(err)
	}
	id = p.bidi(false, getFrame()[:5])
	if _, err := p.side.TakeOver(id); !errors.Is(err, ErrMessageOrder) {
		t.Fatal(err)
	}
}

// Requests that come before the peer's SETTINGS are answered, and what needs the settings waits for nothing else (P13).
func TestLateSettings(t *testing.T) {
	p := newScript(t, false, &Config{EnableDatagrams: true}, true)
	p.wantServes("no control stream yet")
	p.uni(false, varint(streamControl), settingsFrame(SettingQPACKTableCapacity, 4096, SettingQPACKBlockedStreams, 16))
	p.side.events = nil
	p.wantServes("SETTINGS came late")
	if s, ok := p.side.PeerSettings(); !ok || s.QPACKTableCapacity != 4096 || s.QPACKBlockedStreams != 16 || s.MaxFieldSectionSize != NoLimit {
		t.Fatalf("%+v, %v", s, ok)
	}
	c := newScript(t, true, nil, true)
	id := c.request(get("/"))
	c.send(id, true, section(":status", "200"))
	c.side.want(EventResponse)
}

// A server that takes nothing on our control stream does not have us hold more and more for it.
func TestControlBacklog(t *testing.T) {
	p := newScriptWith(t, true, nil, false, func(client, server *quic.Config) {
		client.StreamSendBuffer, client.MaxStreamSendBuffer = 10, 10
		server.StreamReceiveWindow, server.MaxStreamReceiveWindow = 10, 10
	})
	id := p.request(get("/"))
	for i := range 10_000 {
		err := p.side.UpdatePriority(id, quic.Priority{Urgency: uint8(i % 8)})
		if errors.Is(err, ErrControlBacklog) {
			if n := len(p.side.local.out[localControl]); n > maxControlBacklog+100 {
				t.Fatalf("%d bytes wait", n)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("10,000 updates were taken")
}
