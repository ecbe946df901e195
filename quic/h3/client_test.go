package h3

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

// request has the client under test make a request, and returns its stream.
func (p *script) request(m *Message) uint64 {
	p.t.Helper()
	id, _, err := p.side.SendRequest(p.now, m, nil, true)
	if err != nil {
		p.t.Fatal(err)
	}
	p.settle()
	return id
}

// wantFailed checks that an exchange of the client's failed with code, and that the connection lives.
func (p *script) wantFailed(id uint64, code ErrorCode, remote bool, why string) {
	p.t.Helper()
	ev := p.side.want(EventReset)
	var e *StreamError
	if len(p.side.events) > 0 && p.side.events[0].Kind == EventDone {
		p.side.events = p.side.events[1:]
	}
	if ev.Stream != id || ev.Code != code || !errors.As(ev.Err, &e) || e.Remote != remote || e.Stream != id {
		p.t.Fatalf("%s: %+v, want %v", why, ev, code)
	}
	if _, _, err := p.side.StreamRecv(id, make([]byte, 10)); !errors.Is(err, e) && !errors.Is(err, ErrUnknownStream) {
		p.t.Fatalf("%s: StreamRecv: %v, want %v", why, err, e)
	}
	p.wantAlive(why)
}

// Responses that are malformed (RFC 9114, section 4.1.2): the application sees an error, and no response.
func TestMalformedResponses(t *testing.T) {
	for _, c := range []struct {
		name   string
		method string
		bytes  [][]byte
		ok     bool
	}{
		{"200", "GET", [][]byte{section(":status", "200")}, true},
		{"no :status", "GET", [][]byte{section("server", "x")}, false},
		{":status twice", "GET", [][]byte{section(":status", "200", ":status", "200")}, false},
		{"a late :status", "GET", [][]byte{section("server", "x", ":status", "200")}, false},
		{":status 20", "GET", [][]byte{section(":status", "20")}, false},
		{":status 2000", "GET", [][]byte{section(":status", "2000")}, false},
		{":status 099", "GET", [][]byte{section(":status", "099")}, false},
		{":status +20", "GET", [][]byte{section(":status", "+20")}, false},
		{":status 101", "GET", [][]byte{section(":status", "101")}, false},
		{":status 999", "GET", [][]byte{section(":status", "999")}, true},
		{":path in a response", "GET", [][]byte{section(":status", "200", ":path", "/")}, false},
		{"an upper-case name", "GET", [][]byte{section(":status", "200", "Server", "x")}, false},
		{"connection", "GET", [][]byte{section(":status", "200", "connection", "close")}, false},
		{"transfer-encoding", "GET", [][]byte{section(":status", "200", "transfer-encoding", "chunked")}, false},
		{"a value with LF", "GET", [][]byte{section(":status", "200", "server", "a\nb")}, false},
		{"two content-lengths", "GET", [][]byte{section(":status", "200", "content-length", "0", "content-length", "0")}, false},
		{"an interim response alone", "GET", [][]byte{section(":status", "103")}, false},
		{"nothing", "GET", nil, false},
		{"content-length 5 and no body", "GET", [][]byte{section(":status", "200", "content-length", "5")}, false},
		{"content-length 5 to HEAD", "HEAD", [][]byte{section(":status", "200", "content-length", "5")}, true},
		{"content-length 5 with 304", "GET", [][]byte{section(":status", "304", "content-length", "5")}, true},
	} {
		bothSpeeds(t, c.name, func(t *testing.T, slow bool) {
			p := newScript(t, true, nil, false)
			p.slow = slow
			m := get("/")
			m.Method = c.method
			id := p.request(m)
			p.send(id, true, c.bytes...)
			if c.ok {
				if ev := p.side.want(EventResponse); ev.Stream != id || !ev.Fin {
					t.Fatalf("%+v", ev)
				}
				return
			}
			if len(p.side.events) > 0 && p.side.events[0].Kind == EventInterim {
				p.side.events = p.side.events[1:] // it was fine by itself
			}
			p.wantFailed(id, ErrCodeMessage, false, c.name)
		})
	}
}

// Bodies of responses against what they may be.
func TestResponseBodies(t *testing.T) {
	for _, c := range []struct {
		name   string
		method string
		status string
		length string
		bodies []string
		ok     bool
	}{
		{"exact", "GET", "200", "5", []string{"he", "llo"}, true},
		{"none told", "GET", "200", "", []string{"he", "llo"}, true},
		{"too short", "GET", "200", "6", []string{"hello"}, false},
		{"too long", "GET", "200", "4", []string{"hello"}, false},
		{"a body to HEAD", "HEAD", "200", "5", []string{"hello"}, false},
		{"a body with 204", "GET", "204", "", []string{"hello"}, false},
		{"a body with 304", "GET", "304", "5", []string{"hello"}, false},
		{"empty DATA to HEAD", "HEAD", "200", "5", []string{""}, true},
	} {
		bothSpeeds(t, c.name, func(t *testing.T, slow bool) {
			p := newScript(t, true, nil, false)
			p.slow = slow
			m := get("/")
			m.Method = c.method
			id := p.request(m)
			pairs := []string{":status", c.status}
			if c.length != "" {
				pairs = append(pairs, "content-length", c.length)
			}
			p.send(id, false, section(pairs...))
			if ev := p.side.want(EventResponse); ev.Fin {
				t.Fatal("the end was not there yet")
			}
			for _, b := range c.bodies {
				p.send(id, false, frameOf(frameData, []byte(b)))
			}
			p.send(id, true)
			body, fin, err := p.side.readAll(id)
			if c.ok != (err == nil) || c.ok != fin {
				t.Fatalf("%q, %v, %v", body, fin, err)
			}
			if c.ok && string(body) != strings.Join(c.bodies, "") {
				t.Fatalf("%q", body)
			}
			p.wantAlive(c.name)
		})
	}
}

// Interim responses, the final one, a body and trailers.
func TestWholeResponse(t *testing.T) {
	bothSpeeds(t, "", func(t *testing.T, slow bool) {
		p := newScript(t, true, nil, false)
		p.slow = slow
		id := p.request(get("/"))
		p.send(id, true, section(":status", "100"), section(":status", "103", "link", "</a>"), section(":status", "200"),
			frameOf(reserved(1), []byte("grease")), frameOf(frameData, []byte("hello")), section("x-checksum", "1", "cookie", "a", "cookie", "b"))
		if ev := p.side.want(EventInterim); ev.Message.Status != 100 {
			t.Fatalf("%+v", ev.Message)
		}
		if ev := p.side.want(EventInterim); ev.Message.Status != 103 || ev.Message.Fields[0].Value != "</a>" {
			t.Fatalf("%+v", ev.Message)
		}
		if ev := p.side.want(EventResponse); ev.Message.Status != 200 || ev.Fin {
			t.Fatalf("%+v", ev.Message)
		}
		p.side.want(EventData)
		p.side.events = nil
		body, fin, err := p.side.readAll(id)
		if string(body) != "hello" || !fin || err != nil {
			t.Fatalf("%q, %v, %v", body, fin, err)
		}
		if ev := p.side.want(EventTrailers); len(ev.Fields) != 3 || ev.Fields[0].Name != "x-checksum" {
			t.Fatalf("%+v", ev.Fields)
		}
	})
}

// Trailers with what may not be in them.
func TestMalformedTrailers(t *testing.T) {
	for _, trailer := range [][]byte{section(":status", "200"), section(":path", "/"), section("X", "y"), section("x", "\n"), section("connection", "x")} {
		p := newScript(t, true, nil, false)
		id := p.request(get("/"))
		p.send(id, true, section(":status", "200"), frameOf(frameData, []byte("hello")), trailer)
		p.side.want(EventResponse)
		p.side.want(EventData)
		body, fin, err := p.side.readAll(id)
		if string(body) != "hello" || fin || err == nil {
			t.Fatalf("%q, %v, %v", body, fin, err)
		}
		p.wantFailed(id, ErrCodeMessage, false, "bad trailers")
	}
}

// Frames that end a client's connection.
func TestResponseFrames(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes [][]byte
		want  ErrorCode
	}{
		{"DATA before HEADERS", [][]byte{frameOf(frameData, []byte("x"))}, ErrCodeFrameUnexpected},
		{"DATA behind an interim response", [][]byte{section(":status", "100"), frameOf(frameData, []byte("x"))}, ErrCodeFrameUnexpected},
		{"PUSH_PROMISE", [][]byte{frameOf(framePushPromise, []byte{0, 0, 0})}, ErrCodeID},
		{"an empty PUSH_PROMISE", [][]byte{frameOf(framePushPromise, nil)}, ErrCodeFrame},
		{"HEADERS behind trailers", [][]byte{section(":status", "200"), section("a", "b"), section("a", "b")}, ErrCodeFrameUnexpected},
		{"GOAWAY", [][]byte{section(":status", "200"), frameOf(frameGoAway, varint(0))}, ErrCodeFrameUnexpected},
		{"DATA behind trailers", [][]byte{section(":status", "200"), section("a", "b"), frameOf(frameData, []byte("x"))}, ErrCodeFrameUnexpected},
		{"SETTINGS", [][]byte{frameOf(frameSettings, nil)}, ErrCodeFrameUnexpected},
		{"SETTINGS behind a response", [][]byte{section(":status", "200"), frameOf(frameSettings, nil)}, ErrCodeFrameUnexpected},
		{"CANCEL_PUSH, empty", [][]byte{frameOf(frameCancelPush, nil)}, ErrCodeFrameUnexpected},
		{"MAX_PUSH_ID", [][]byte{frameOf(frameMaxPushID, varint(0))}, ErrCodeFrameUnexpected},
		{"PRIORITY_UPDATE", [][]byte{frameOf(framePriorityUpdateRequest, varint(0))}, ErrCodeFrameUnexpected},
		{"HTTP/2's PRIORITY", [][]byte{frameOf(2, nil)}, ErrCodeFrameUnexpected},
		{"HTTP/2's PING", [][]byte{section(":status", "200"), frameOf(6, nil)}, ErrCodeFrameUnexpected},
		{"HTTP/2's WINDOW_UPDATE", [][]byte{frameOf(8, nil)}, ErrCodeFrameUnexpected},
		{"HTTP/2's CONTINUATION", [][]byte{frameOf(9, nil)}, ErrCodeFrameUnexpected},
		{"static index 99", [][]byte{frameOf(frameHeaders, []byte{0, 0, 0xff, 0x24})}, ErrCodeDecompressionFailed},
		{"an empty section", [][]byte{frameOf(frameHeaders, nil)}, ErrCodeDecompressionFailed},
	} {
		bothSpeeds(t, c.name, func(t *testing.T, slow bool) {
			p := newScript(t, true, nil, false)
			p.slow = slow
			id := p.request(get("/"))
			p.send(id, false, c.bytes...)
			p.wantClosed(c.want, c.name)
		})
	}
}

// What a client may not send is refused before anything is.
func TestBadRequestsOfOurs(t *testing.T) {
	p, c, s := newBoth(t, nil, &Config{EnableConnect: true}, nil)
	for name, change := range map[string]func(m *Message){
		"a bad method":     func(m *Message) { m.Method = "GE T" },
		"no path":          func(m *Message) { m.Path = "" },
		"no authority":     func(m *Message) { m.Authority = "" },
		"user information": func(m *Message) { m.Authority = "a@b" },
		"another host":     func(m *Message) { m.Fields = []qpack.Field{{Name: "host", Value: "example.com"}} },
		"an upper-case name": func(m *Message) {
			m.Fields = []qpack.Field{{Name: "Accept", Value: "x"}}
		},
		"a pseudo-header field": func(m *Message) { m.Fields = []qpack.Field{{Name: ":path", Value: "/"}} },
		"connection":            func(m *Message) { m.Fields = []qpack.Field{{Name: "connection", Value: "close"}} },
		"a value with LF":       func(m *Message) { m.Fields = []qpack.Field{{Name: "x", Value: "a\nb"}} },
		"a bad content-length":  func(m *Message) { m.Fields = []qpack.Field{{Name: "content-length", Value: "x"}} },
		"a bad protocol":        func(m *Message) { m.Method, m.Protocol = "CONNECT", "a b" },
		"GET with a protocol":   func(m *Message) { m.Protocol = "websocket" },
		"CONNECT with a path":   func(m *Message) { m.Method = "CONNECT" },
	} {
		m := get("/")
		change(m)
		var e *MessageError
		if _, _, err := c.SendRequest(p.now, m, nil, true); !errors.As(err, &e) {
			t.Errorf("%s: %v, want a *MessageError", name, err)
		}
	}
	if _, _, err := s.SendRequest(p.now, get("/"), nil, true); !errors.Is(err, ErrRole) {
		t.Errorf("a server's request: %v", err)
	}
	m := &Message{Method: "CONNECT", Scheme: "https", Authority: "example.org", Path: "/chat", Protocol: "websocket"}
	if _, _, err := c.SendRequest(p.now, m, nil, false); err != nil {
		t.Errorf("extended CONNECT: %v", err)
	}
	m = &Message{Method: "GET", Scheme: "https", Path: "/", Fields: []qpack.Field{{Name: "host", Value: "example.org"}}}
	if _, _, err := c.SendRequest(p.now, m, nil, true); err != nil {
		t.Errorf("a request with Host alone: %v", err)
	}
	p.settle()
	if ev := s.want(EventRequest); ev.Message.Protocol != "websocket" {
		t.Fatalf("%+v", ev.Message)
	}
	if ev := s.want(EventRequest); ev.Stream != 4 || ev.Message.Authority != "example.org" {
		t.Fatalf("nothing of the bad requests was sent: %+v", ev)
	}
}

// The peer's limits: SETTINGS_MAX_FIELD_SECTION_SIZE, extended CONNECT.
func TestPeerLimits(t *testing.T) {
	p := newScript(t, true, nil, false, SettingMaxFieldSectionSize, 200)
	m := get("/")
	m.Fields = []qpack.Field{{Name: "x", Value: strings.Repeat("y", 200)}}
	if _, _, err := p.side.SendRequest(p.now, m, nil, true); !errors.Is(err, ErrFieldSectionTooLarge) {
		t.Fatal(err)
	}
	m = &Message{Method: "CONNECT", Scheme: "https", Authority: "example.org", Path: "/", Protocol: "websocket"}
	if _, _, err := p.side.SendRequest(p.now, m, nil, true); !errors.Is(err, ErrConnectNotEnabled) {
		t.Fatal(err)
	}
	p.wantAlive("nothing was sent")
	if id := p.request(get("/")); id != 0 {
		t.Fatal(id)
	}
}

// What the server ends: resets, rejections, STOP_SENDING.
func TestServerEnds(t *testing.T) {
	p := newScript(t, true, nil, false)
	id := p.request(get("/"))
	p.peer.StreamShutdown(id, quic.WriteDirection, uint64(ErrCodeInternal))
	p.settle()
	p.wantFailed(id, ErrCodeInternal, true, "the server has reset it")

	id = p.request(get("/"))
	p.peer.StreamShutdown(id, quic.WriteDirection|quic.ReadDirection, uint64(ErrCodeRequestRejected))
	p.settle()
	p.side.events = slices.DeleteFunc(p.side.events, func(ev Event) bool { return ev.Kind == EventDone })
	if ev := p.side.want(EventRejected); ev.Stream != id || ev.Code != ErrCodeRequestRejected {
		t.Fatalf("%+v", ev)
	}

	// An early response, and STOP_SENDING without an error: the response is kept (RFC 9114, section 4.1).
	m := get("/")
	m.Method = "POST"
	id, n, err := p.side.SendRequest(p.now, m, []byte("begin"), false)
	if n != 5 || err != nil {
		t.Fatal(n, err)
	}
	p.settle()
	p.send(id, true, section(":status", "413"), frameOf(frameData, []byte("too long")))
	p.peer.StreamShutdown(id, quic.ReadDirection, uint64(ErrCodeNoError))
	p.settle()
	p.side.events = slices.DeleteFunc(p.side.events, func(ev Event) bool { return ev.Kind == EventDone })
	if ev := p.side.want(EventResponse); ev.Message.Status != 413 {
		t.Fatalf("%+v", ev.Message)
	}
	p.side.want(EventData)
	if ev := p.side.want(EventStopped); ev.Code != ErrCodeNoError {
		t.Fatalf("%+v", ev)
	}
	var e *StreamError
	if _, err := p.side.StreamSend(id, []byte("more"), false); !errors.As(err, &e) || e.Code != ErrCodeNoError || !e.Remote {
		t.Fatalf("StreamSend: %v", err)
	}
	if body, fin, err := p.side.readAll(id); string(body) != "too long" || !fin || err != nil {
		t.Fatalf("%q, %v, %v", body, fin, err)
	}
	p.pass(1e9)
	if n := p.side.OpenRequests(); n != 0 {
		t.Fatalf("%d requests are open", n)
	}
}

// GOAWAY of the server: requests from its ID on were not processed, and no more are made.
func TestClientGoAway(t *testing.T) {
	p := newScript(t, true, nil, false)
	ids := []uint64{p.request(get("/0")), p.request(get("/1")), p.request(get("/2"))}
	p.send(p.control, false, frameOf(frameGoAway, varint(maxRequestID)))
	if ev := p.side.want(EventGoAway); ev.ID != maxRequestID {
		t.Fatal(ev)
	}
	if _, _, err := p.side.SendRequest(p.now, get("/"), nil, true); !errors.Is(err, ErrGoingAway) {
		t.Fatal(err)
	}
	p.send(p.control, false, frameOf(frameGoAway, varint(ids[1])))
	p.side.want(EventGoAway)
	p.side.events = slices.DeleteFunc(p.side.events, func(ev Event) bool { return ev.Kind == EventDone })
	for _, id := range ids[1:] {
		if ev := p.side.want(EventRejected); ev.Stream != id {
			t.Fatalf("%+v", ev)
		}
		p.wantStopped(id, ErrCodeRequestCancelled, "it was rejected")
	}
	if n := p.side.OpenRequests(); n != 1 {
		t.Fatalf("%d requests are open", n)
	}
	p.send(ids[0], true, section(":status", "200"))
	p.side.want(EventResponse)
	p.pass(1e9)
	for _, ev := range p.side.events {
		if ev.Kind != EventDone || ev.Stream != ids[0] {
			t.Fatalf("%+v", ev)
		}
	}
	if n := p.side.OpenRequests(); n != 0 {
		t.Fatalf("%d requests are open", n)
	}
}

// However many responses wait for an application that reads none of them yet, of each the end is there when it does.
func TestUnreadEnds(t *testing.T) {
	p := newScriptWith(t, true, nil, false, func(_, server *quic.Config) { server.MaxStreamsBidi = 1000 })
	var ids []uint64
	for range 2 * maxLingering {
		id := p.request(get("/"))
		p.send(id, false, section(":status", "200"))
		p.send(id, true)
		ids = append(ids, id)
	}
	p.pass(1e9)
	for _, id := range ids {
		if body, fin, err := p.side.readAll(id); len(body) > 0 || !fin || err != nil {
			t.Fatalf("stream %d: %q, %v, %v", id, body, fin, err)
		}
	}
	p.pass(1e9)
	if n := p.side.OpenRequests(); n != 0 || p.side.streams.len != 0 {
		t.Fatalf("%d requests, %d streams", n, p.side.streams.len)
	}
}
