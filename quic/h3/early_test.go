package h3

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/sim"
)

// earlyRun is a client that resumes a session over the simulator, and makes a request before the handshake is complete.
type earlyRun struct {
	t              *testing.T
	w              *sim.World
	client, server *sim.Host
	clientConfig   *quic.Config
	cfg            [2]*Config // of h3
	sides          map[*sim.Conn]*Conn
	events         map[bool][]Event // by whether they are a client's
	session        *quic.Session
	onReady        func(c *Conn)
}

func newEarlyRun(t *testing.T, client, server *Config, ctx *Config) *earlyRun {
	r := &earlyRun{t: t, w: sim.NewWorld(1), cfg: [2]*Config{client, server}, sides: map[*sim.Conn]*Conn{}, events: map[bool][]Event{}}
	for _, c := range r.cfg {
		c.Rand = rand.NewChaCha8([32]byte{4})
	}
	var serverConfig *quic.Config
	r.clientConfig, serverConfig = playConfigs(r.w)
	serverConfig.EarlyData = true
	r.clientConfig.MaxDatagramFrameSize, serverConfig.MaxDatagramFrameSize = 1<<16-1, 1<<16-1
	var err error
	if serverConfig.EarlyContext, err = ctx.EarlyContext(); err != nil {
		t.Fatal(err)
	}
	serverEndpoint, err := quic.NewEndpoint(serverConfig)
	if err != nil {
		t.Fatal(err)
	}
	clientEndpoint, err := quic.NewEndpoint(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.client = sim.NewHost(r.w, sim.ClientAddr, clientEndpoint, r.onEvent)
	r.server = sim.NewHost(r.w, sim.ServerAddr, serverEndpoint, r.onEvent)
	delay := []sim.Stage{sim.Delay(10*time.Millisecond, 0)}
	r.client.Attach(sim.NewLink(r.w, nil, "to server", delay, r.server.Receive))
	r.server.Attach(sim.NewLink(r.w, nil, "to client", delay, r.client.Receive))
	return r
}

func (r *earlyRun) onEvent(c *sim.Conn, ev quic.Event) {
	h := r.sides[c]
	if h == nil {
		begins := ev.Kind == quic.EventHandshakeComplete || ev.Kind == quic.EventEarlyReady || ev.Kind == quic.EventStreamOpened || ev.Kind == quic.EventEarlyData
		if !begins {
			return
		}
		cfg := r.cfg[1]
		if c.IsClient() {
			cfg = r.cfg[0]
		}
		var err error
		if h, err = New(r.w.Now(), c.Conn, cfg); err != nil {
			r.t.Fatal(err)
		}
		r.sides[c] = h
		if c.IsClient() && r.onReady != nil {
			r.onReady(h)
		}
	}
	h.HandleEvent(r.w.Now(), &ev)
	for e := h.NextEvent(); e != nil; e = h.NextEvent() {
		if e.Kind == EventSession {
			r.session = e.Session
		}
		if e.Kind == EventRequest {
			m := ok200()
			if e.Message.Early {
				m.Status = 201
			}
			h.SendResponse(r.w.Now(), e.Stream, m, nil, true)
		}
		kept := *e
		kept.Message = copyMessage(e.Message)
		r.events[c.IsClient()] = append(r.events[c.IsClient()], kept)
	}
	if err := h.Check(); err != nil {
		r.t.Fatal(err)
	}
	c.Touch()
}

// connect has the client connect, and runs until done.
func (r *earlyRun) connect(early, resend bool, done func() bool) *sim.Conn {
	r.t.Helper()
	p := quic.ConnectParams{ServerName: "peer.example", Local: sim.ClientAddr, Remote: sim.ServerAddr, Session: r.session, EarlyData: early, ResendEarly: resend}
	qc, err := r.client.Endpoint.Connect(r.w.Now(), r.clientConfig, p)
	if err != nil {
		r.t.Fatal(err)
	}
	c := r.client.Add(qc)
	r.events = map[bool][]Event{}
	if err := r.w.Run(time.Hour, func() bool { return done() || c.Err() != nil }); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *earlyRun) saw(client bool, kind EventKind) *Event {
	for i := range r.events[client] {
		if ev := &r.events[client][i]; ev.Kind == kind {
			return ev
		}
	}
	return nil
}

// A request in 0-RTT data, under settings that were remembered with the session.
func TestEarlyRequest(t *testing.T) {
	server := &Config{EnableConnect: true, MaxFieldSectionSize: 5000}
	r := newEarlyRun(t, &Config{}, server, server)
	c := r.connect(false, false, func() bool { return r.session != nil && r.session.EarlyData() })
	if s, ok := recall(r.session.AppData()); !ok || !s.EnableConnect || s.MaxFieldSectionSize != 5000 {
		t.Fatalf("%+v, %v: the settings go with the session", s, ok)
	}
	c.Close(r.w.Now(), true, 0, "")
	c.Touch()
	asked := false
	r.onReady = func(h *Conn) {
		if s, ok := h.PeerSettings(); ok || !s.EnableConnect || s.MaxFieldSectionSize != 5000 {
			t.Fatalf("%+v, %v: settings of the connection before", s, ok)
		}
		if _, _, err := h.SendRequest(r.w.Now(), get("/"), nil, true); err != nil {
			t.Fatal(err)
		}
		asked = true
	}
	c = r.connect(true, false, func() bool { return r.saw(true, EventResponse) != nil && r.saw(true, EventSettings) != nil })
	if err := c.Err(); err != nil || !asked || c.EarlyData() != quic.EarlyAccepted {
		t.Fatal(err, asked, c.EarlyData())
	}
	if ev := r.saw(true, EventResponse); ev.Message.Status != 201 {
		t.Fatalf("%+v: the request was early", ev.Message)
	}
}

// A server that breaks its word: less than what it had sent before, while it accepts 0-RTT data (attack F18).
func TestAttackF18SettingsLowered(t *testing.T) {
	for _, c := range []struct {
		name   string
		before Config
		after  Config
		want   ErrorCode
	}{
		{"the same", Config{EnableConnect: true}, Config{EnableConnect: true}, 0},
		{"more", Config{}, Config{EnableConnect: true, MaxFieldSectionSize: 1 << 20}, 0},
		{"smaller sections", Config{}, Config{MaxFieldSectionSize: 1000}, ErrCodeSettings},
		{"no CONNECT", Config{EnableConnect: true}, Config{}, ErrCodeSettings},
		{"fewer blocked streams", Config{}, Config{QPACKBlockedStreams: 5}, ErrCodeSettings},
		{"another table", Config{}, Config{QPACKTableCapacity: 100}, ErrCodeDecoderStream},
		{"no table", Config{}, Config{QPACKTableCapacity: -1}, ErrCodeDecoderStream},
	} {
		r := newEarlyRun(t, &Config{}, &c.before, &Config{}) // the context does not tell
		conn := r.connect(false, false, func() bool { return r.session != nil && r.session.EarlyData() })
		conn.Close(r.w.Now(), true, 0, "")
		conn.Touch()
		c.after.Rand = rand.NewChaCha8([32]byte{4})
		r.cfg[1] = &c.after
		conn = r.connect(true, false, func() bool { return r.saw(true, EventSettings) != nil })
		var e *quic.ApplicationError
		if err := conn.Err(); c.want != 0 && (!errors.As(err, &e) || ErrorCode(e.Code) != c.want) || c.want == 0 && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// A server that rejects 0-RTT data: with EarlyContext made of its settings, since they have changed. The request is rejected and can be made again
// on the same connection, or is sent again by itself.
func TestEarlyRejected(t *testing.T) {
	for _, resend := range []bool{false, true} {
		before := &Config{}
		r := newEarlyRun(t, &Config{}, before, before)
		conn := r.connect(false, false, func() bool { return r.session != nil && r.session.EarlyData() })
		conn.Close(r.w.Now(), true, 0, "")
		conn.Touch()
		other := newEarlyRun(t, &Config{}, &Config{MaxFieldSectionSize: 1000}, &Config{MaxFieldSectionSize: 1000})
		other.session = r.session
		made := 0
		other.onReady = func(h *Conn) {
			if _, _, err := h.SendRequest(other.w.Now(), get("/"), nil, true); err != nil {
				t.Fatal(err)
			}
			made++
		}
		conn = other.connect(true, resend, func() bool {
			if !resend && made == 1 && other.saw(true, EventRejected) != nil {
				made++
				h := other.sides[other.client.Conns[0]]
				if _, _, err := h.SendRequest(other.w.Now(), get("/"), nil, true); err != nil {
					t.Fatal(err)
				}
				other.client.Conns[0].Touch()
			}
			return other.saw(true, EventResponse) != nil && other.saw(true, EventSettings) != nil
		})
		if conn.Err() != nil || conn.EarlyData() != quic.EarlyRejected {
			t.Fatal(conn.Err(), conn.EarlyData())
		}
		if ev := other.saw(true, EventResponse); ev.Message.Status != 200 {
			t.Fatalf("%+v", ev.Message)
		}
		for _, h := range other.sides {
			if h.load.vain != 0 {
				t.Fatal("streams of before the rejection were cancelled, whose IDs are those of others now")
			}
		}
		if rejected := other.saw(true, EventRejected) != nil; rejected == resend {
			t.Fatalf("resend %v, and rejected %v", resend, rejected)
		}
	}
}

// What was said in early data under settings that the server has not sent now is not said to it, though the rest is sent again by itself: no datagrams and no
// extended CONNECT.
func TestEarlyResentWithoutSettings(t *testing.T) {
	before := &Config{EnableDatagrams: true, EnableConnect: true}
	r := newEarlyRun(t, &Config{EnableDatagrams: true}, before, before)
	conn := r.connect(false, false, func() bool { return r.session != nil && r.session.EarlyData() })
	conn.Close(r.w.Now(), true, 0, "")
	conn.Touch()
	other := newEarlyRun(t, &Config{EnableDatagrams: true}, &Config{}, &Config{})
	other.session = r.session
	var connect, plain uint64
	other.onReady = func(h *Conn) {
		m := get("/")
		m.Method, m.Protocol = "CONNECT", "echo"
		var err error
		if connect, _, err = h.SendRequest(other.w.Now(), m, nil, false); err != nil {
			t.Fatal(err)
		}
		if plain, _, err = h.SendRequest(other.w.Now(), get("/"), nil, true); err != nil {
			t.Fatal(err)
		}
		sent := 0
		for range 100 { // of which those that wait would leave behind the handshake
			if h.SendDatagram(connect, make([]byte, 1000)) == nil {
				sent++
			}
		}
		if sent < 50 {
			t.Fatalf("%d datagrams were taken", sent)
		}
	}
	conn = other.connect(true, true, func() bool { return other.saw(true, EventResponse) != nil && other.saw(true, EventSettings) != nil })
	if conn.Err() != nil || conn.EarlyData() != quic.EarlyRejected {
		t.Fatal(conn.Err(), conn.EarlyData())
	}
	if ev := other.saw(true, EventRejected); ev == nil || ev.Stream != connect {
		t.Errorf("%+v: extended CONNECT is not rejected", ev)
	}
	if ev := other.saw(true, EventResponse); ev.Stream != plain || ev.Message.Status != 200 {
		t.Errorf("%+v: the other request has no response", ev)
	}
	if n := other.server.Conns[0].Stats().DatagramFramesReceived; n > 0 {
		t.Errorf("%d datagrams came to a server that has not enabled them", n)
	}
}
