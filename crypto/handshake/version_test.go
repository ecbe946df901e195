package handshake_test

import (
	"crypto/tls"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// A server's transport parameters may depend on the client's: the handshake rests until they are there, whatever else it asks.
func TestLateParameters(t *testing.T) {
	for name, edit := range map[string]func(*tls.Config){
		"one certificate": func(*tls.Config) {},
		"a callback": func(c *tls.Config) {
			cert := c.Certificates[0]
			c.Certificates = nil
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }
		},
		"HelloRetryRequest": func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := serverConfig()
			edit(cfg)
			o := newOurs(t, newContext(t, false), cfg, handshake.Params{
				LateParameters: true, TransportParameters: []byte("too early"),
			})
			told := 0
			o.onParams = func() {
				told++
				if len(o.write)+len(o.read)+o.asks > 0 {
					t.Error("the handshake went on without our parameters")
				}
				if ev := o.conn.NextEvent(); ev.Kind != handshake.NoEvent {
					t.Errorf("event %d while the handshake rests", ev.Kind)
				}
				o.conn.Negotiate([]byte("our params"), 1, false)
			}
			p := newTheirs(t, clientConfig(), true)
			shake(t, p, o)
			wantAgree(t, o, p)
			if told != 1 {
				t.Errorf("the parameters were told %d times", told)
			}
			o.conn.Negotiate(nil, 1, false) // the handshake is over: nothing happens
		})
	}
}

// RFC 9369, section 5: a ticket is good for connections of the version that gave it out.
func TestTicketOfVersion(t *testing.T) {
	const v1, v2 = 1, 0x6b3343cf
	for _, c := range []struct {
		name           string
		first, then    uint32
		changed, again bool // whether the connections began with another version
		resumed        bool
	}{
		{"version 1", v1, v1, false, false, true},
		{"version 2", v2, v2, false, false, true},
		{"version 1 in version 2", v1, v2, false, false, false},
		{"version 2 in version 1", v2, v1, false, false, false},
		{"version 2 after a change, in version 2", v2, v2, true, false, true},
		{"version 2 after a change, in version 1", v2, v1, true, false, false},
		{"version 1, in a connection that becomes one of version 2", v1, v2, false, true, false},
		{"version 2, in a connection that becomes one of version 2", v2, v2, false, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := newContext(t, false)
			client := clientConfig()
			client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
			cfg := serverConfig()
			connect := func(version uint32, changed bool) (resumed bool) {
				o := newOurs(t, server, cfg, handshake.Params{LateParameters: true})
				o.onParams = func() { o.conn.Negotiate([]byte("our params"), version, changed) }
				p := newTheirs(t, client, true)
				shake(t, p, o)
				wantAgree(t, o, p)
				return o.conn.ConnectionState().DidResume
			}
			if connect(c.first, c.changed) {
				t.Fatal("the first connection was resumed")
			}
			if got := connect(c.then, c.again); got != c.resumed {
				t.Errorf("resumed: %v, want %v", got, c.resumed)
			}
			if !connect(c.then, false) {
				t.Error("what that connection gave out is not good for its version")
			}
		})
	}
}
