package handshake_test

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
)

const alpn = "test/1"

// serverConfig and clientConfig are the configurations that the tests begin from.
func serverConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{leaf().tls}, NextProtos: []string{alpn}}
}

func clientConfig() *tls.Config {
	return &tls.Config{RootCAs: authority().pool(), ServerName: "server.test", NextProtos: []string{alpn}}
}

// sent is handshake bytes on their way.
type sent struct {
	level handshake.Level
	data  []byte
}

// peer is one of two ends of a handshake in memory: ours, or crypto/tls's in quicconn_test.go.
type peer interface {
	start() error
	feed(level handshake.Level, data []byte)
	// pump handles events until there are none, and returns what is to be sent.
	pump() []sent
}

// ours is a Conn under test with what it has told.
type ours struct {
	t    testing.TB
	conn *handshake.Conn

	read, write map[handshake.Level][]byte
	suite       uint16
	params      []byte // the peer's transport parameters
	hasParams   bool
	complete    bool
	alert       uint8
	err         error // of EventAlert
	alerts      int
	asks        int
	tickets     int
	ticketBytes int
	sessions    [][]byte // of EventSessionTicket
	ticketEarly bool     // the last one allows 0-RTT
	lifetime    time.Duration
	early       string // the reason of EventEarlyData; empty: there was none
	accepted    bool
	onAsk       func(*handshake.Ask) // in place of running and answering it
	onParams    func()
}

func newOurs(t testing.TB, ctx *handshake.Context, cfg *tls.Config, p handshake.Params) *ours {
	t.Helper()
	if p.TransportParameters == nil {
		p.TransportParameters = []byte("our params")
	}
	conn, err := ctx.New(cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	o := &ours{t: t, conn: conn, read: map[handshake.Level][]byte{}, write: map[handshake.Level][]byte{}}
	t.Cleanup(conn.Release)
	return o
}

func newContext(t testing.TB, client bool) *handshake.Context {
	t.Helper()
	ctx, err := handshake.NewContext(client)
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

func (o *ours) start() error { return o.conn.Start() }

func (o *ours) feed(level handshake.Level, data []byte) { o.conn.Feed(level, data) }

func (o *ours) pump() (out []sent) {
	o.t.Helper()
	for {
		ev := o.conn.NextEvent()
		if o.alerts > 0 && ev.Kind != handshake.NoEvent {
			o.t.Errorf("event %d after EventAlert", ev.Kind)
		}
		switch ev.Kind {
		case handshake.NoEvent:
			return out
		case handshake.EventReadSecret:
			o.read[ev.Level], o.suite = clone(ev.Data), ev.Suite
		case handshake.EventWriteSecret:
			o.write[ev.Level], o.suite = clone(ev.Data), ev.Suite
			if ev.Level == handshake.Application && !o.hasParams {
				o.t.Error("1-RTT keys before the peer's transport parameters")
			}
			if ev.Level == handshake.EarlyData && (o.hasParams || o.early != "") {
				o.t.Error("0-RTT keys after the server has said something")
			}
		case handshake.EventHandshakeData:
			if ev.Level != handshake.Initial && o.write[ev.Level] == nil {
				o.t.Errorf("bytes at level %d before its secret", ev.Level)
			}
			out = append(out, sent{ev.Level, clone(ev.Data)})
		case handshake.EventTransportParameters:
			o.params, o.hasParams = clone(ev.Data), true
			if o.onParams != nil {
				o.onParams()
			}
		case handshake.EventAsk:
			o.asks++
			if o.onAsk != nil {
				o.onAsk(ev.Ask)
				continue
			}
			ev.Ask.Run()
			o.conn.Answer(ev.Ask)
		case handshake.EventHandshakeComplete:
			o.complete = true
		case handshake.EventAlert:
			o.alerts++
			o.alert, o.err = ev.Alert, ev.Err
		case handshake.EventSessionTicket:
			o.tickets++
			o.ticketBytes += len(ev.Data)
			o.sessions = append(o.sessions, clone(ev.Data))
			o.ticketEarly, o.lifetime = ev.EarlyData, ev.Lifetime
		case handshake.EventEarlyData:
			if o.early != "" || len(o.write[handshake.Application]) > 0 && o.read[handshake.Handshake] != nil {
				o.t.Errorf("EventEarlyData, %s, after %q, or after 1-RTT keys", ev.Reason, o.early)
			}
			o.early, o.accepted = ev.Reason, ev.Accepted
		}
	}
}

func clone(b []byte) []byte { return append([]byte{}, b...) }

// shake runs a handshake until neither end has anything to say.
func shake(t testing.TB, client, server peer) {
	t.Helper()
	for _, p := range []peer{client, server} {
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
	}
	converse(client, server)
}

func converse(client, server peer) {
	for {
		up := client.pump()
		for _, s := range up {
			server.feed(s.level, s.data)
		}
		down := server.pump()
		for _, s := range down {
			client.feed(s.level, s.data)
		}
		if len(up)+len(down) == 0 {
			return
		}
	}
}

// pair makes both ends and shakes.
func pair(t testing.TB, clientCfg, serverCfg *tls.Config) (client, server *ours) {
	t.Helper()
	client = newOurs(t, newContext(t, true), clientCfg, handshake.Params{})
	server = newOurs(t, newContext(t, false), serverCfg, handshake.Params{
		LocalAddr:  netip.MustParseAddrPort("192.0.2.1:443"),
		RemoteAddr: netip.MustParseAddrPort("192.0.2.2:50000"),
	})
	shake(t, client, server)
	return client, server
}

// wantComplete asserts that both ends are done and hold the same secrets.
func wantComplete(t testing.TB, client, server *ours) {
	t.Helper()
	if !client.complete || !server.complete {
		t.Fatalf("complete: client %v (alert %d, %v), server %v (alert %d, %v)",
			client.complete, client.alert, client.err, server.complete, server.alert, server.err)
	}
	for _, level := range []handshake.Level{handshake.Handshake, handshake.Application} {
		if len(client.write[level]) == 0 || string(client.write[level]) != string(server.read[level]) ||
			string(client.read[level]) != string(server.write[level]) {
			t.Fatalf("secrets of level %d differ", level)
		}
	}
	if string(client.params) != "our params" || string(server.params) != "our params" {
		t.Fatalf("transport parameters: client got %q, server got %q", client.params, server.params)
	}
}

// wantAlert asserts that an end failed with an alert.
func wantAlert(t testing.TB, o *ours, alert uint8) {
	t.Helper()
	if o.alerts != 1 || o.alert != alert || o.err == nil || o.complete {
		t.Fatalf("alert %d (%d times, %v), complete %v; want alert %d", o.alert, o.alerts, o.err, o.complete, alert)
	}
}

// wantProtocolError asserts that an end failed with a ProtocolError.
func wantProtocolError(t testing.TB, o *ours) {
	t.Helper()
	var perr *handshake.ProtocolError
	if o.alerts != 1 || !errors.As(o.err, &perr) {
		t.Fatalf("alert %d (%d times, %v); want a ProtocolError", o.alert, o.alerts, o.err)
	}
}
