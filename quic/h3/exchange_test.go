package h3

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/qpack"
)

func TestGet(t *testing.T) {
	p, c, s := newBoth(t, nil, nil, nil)
	m := get("/index.html")
	m.Fields = []qpack.Field{{Name: "user-agent", Value: "test"}, {Name: "accept", Value: "*/*"}}
	id, n, err := c.SendRequest(p.now, m, nil, true)
	if id != 0 || n != 0 || err != nil {
		t.Fatal(id, n, err)
	}
	p.settle()
	ev := s.want(EventRequest)
	got := ev.Message
	if !ev.Fin || got.Method != "GET" || got.Scheme != "https" || got.Authority != "example.org" || got.Path != "/index.html" ||
		got.ContentLength != 0 || len(got.Fields) != 2 || got.Fields[0].Canonical != "User-Agent" || got.Fields[1].Value != "*/*" {
		t.Fatalf("%+v %+v", ev, got)
	}
	n, err = s.SendResponse(p.now, ev.Stream, ok200(qpack.Field{Name: "content-length", Value: "5"}), []byte("hello"), true)
	if n != 5 || err != nil {
		t.Fatal(n, err)
	}
	p.settle()
	ev = c.want(EventResponse)
	if ev.Stream != id || ev.Message.Status != 200 || ev.Message.ContentLength != 5 || ev.Fin {
		t.Fatalf("%+v %+v", ev, ev.Message)
	}
	c.want(EventData)
	body, fin, err := c.readAll(id)
	if string(body) != "hello" || !fin || err != nil {
		t.Fatalf("%q %v %v", body, fin, err)
	}
	p.pass(time.Second)
	if ev := s.want(EventDone); ev.Stream != id {
		t.Fatal(ev)
	}
	c.want(EventDone)
	c.wantNone("the exchange is over")
	s.wantNone("the exchange is over")
	if c.OpenRequests() != 0 || s.OpenRequests() != 0 {
		t.Fatal(c.OpenRequests(), s.OpenRequests())
	}
}
