package handshake_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// newEarlyVisits is newVisits with 0-RTT at both ends, and a session that allows it.
func newEarlyVisits(t testing.TB) *visits {
	v := newVisits(t)
	v.cp.EarlyData, v.sp.EarlyData, v.sp.EarlyContext = true, true, []byte("settings")
	v.meet().want(false, "the first time")
	if v.c.early != "" || v.s.early != "" || !v.c.ticketEarly {
		t.Errorf("0-RTT without a session: %q, %q; the ticket allows it: %v", v.c.early, v.s.early, v.c.ticketEarly)
	}
	return v
}

// wantEarly asserts what became of 0-RTT in the last visit. reason is the server's; empty: 0-RTT was not offered.
func (v *visits) wantEarly(accepted bool, reason string) {
	v.t.Helper()
	if !accepted && reason == "" {
		if v.c.early != "" || v.s.early != "" || v.c.write[handshake.EarlyData] != nil {
			v.t.Errorf("0-RTT was offered: %q, %q", v.c.early, v.s.early)
		}
		return
	}
	if v.s.early != reason || v.s.accepted != accepted || v.c.early == "" || v.c.accepted != accepted {
		v.t.Errorf("client: %v, %q; server: %v, %q; want %v, %q", v.c.accepted, v.c.early, v.s.accepted, v.s.early, accepted, reason)
	}
	ours, theirs := v.c.write[handshake.EarlyData], v.s.read[handshake.EarlyData]
	if len(ours) == 0 || accepted != (theirs != nil) || accepted && !bytes.Equal(ours, theirs) {
		v.t.Error("the 0-RTT secrets differ")
	}
}

func TestEarlyData(t *testing.T) {
	v := newEarlyVisits(t)
	for range 3 {
		v.meet().want(true, "then")
		v.wantEarly(true, "accepted")
		if !v.c.ticketEarly {
			t.Error("the next ticket does not allow 0-RTT")
		}
	}
}

// What ends without 0-RTT: a handshake of one round trip more, resumed or full, in which everything is told anew, and after which 0-RTT
// works again where it should.
func TestEarlyDataRejected(t *testing.T) {
	for _, test := range []struct {
		name    string
		change  func(v *visits)
		reason  string // empty: the client does not even offer it
		resumed bool
		again   bool // works with the ticket that comes then
	}{
		{"switched off at the client", func(v *visits) { v.cp.EarlyData = false }, "", true, false},
		{"switched off at the server", func(v *visits) { v.sp.EarlyData = false }, "disabled", true, false},
		{"another context", func(v *visits) { v.sp.EarlyContext = []byte("other settings") }, "quic_parameter_mismatch", true, true},
		{"another instance with the same keys", func(v *visits) {
			v.servers = newContext(v.t, false)
			v.servers.SetTicketKeys([][32]byte{{1}})
		}, "quic_parameter_mismatch", true, true},
		{"another protocol", func(v *visits) {
			v.server = v.server.Clone()
			v.server.NextProtos, v.client.NextProtos = []string{"b"}, []string{"b", alpn}
		}, "alpn_mismatch", true, true},
		{"a protocol that the client has no more", func(v *visits) {
			v.server = v.server.Clone()
			v.server.NextProtos, v.client.NextProtos = []string{"b"}, []string{"b"}
		}, "", true, true},
		{"another group", func(v *visits) {
			v.server = v.server.Clone()
			v.server.CurvePreferences = []tls.CurveID{tls.CurveP384}
		}, "hello_retry_request", true, false},
		{"other keys", func(v *visits) { v.servers.SetTicketKeys([][32]byte{{2}}) }, "session_not_resumed", false, true},
		{"no tickets", func(v *visits) {
			v.server = v.server.Clone()
			v.server.SessionTicketsDisabled = true
		}, "disabled", false, false},
		{"another QUIC version", func(v *visits) { v.sp.Version = 2 }, "session_not_resumed", false, true},
		{"another client auth", func(v *visits) {
			v.server = v.server.Clone()
			v.server.ClientAuth = tls.RequestClientCert
		}, "session_not_resumed", false, true},
		{"a ticket that is too old for the client's clock", func(v *visits) { v.server.Time = ahead(70 * time.Second) },
			"ticket_age_skew", true, true},
		{"a ticket from the future", func(v *visits) { v.client.Time = ahead(70 * time.Second) }, "ticket_age_skew", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVisits(t)
			v.servers.SetTicketKeys([][32]byte{{1}})
			v.cp.EarlyData, v.sp.EarlyData, v.sp.EarlyContext = true, true, []byte("settings")
			v.meet().want(false, "the first time")
			test.change(v)
			v.meet().want(test.resumed, "then")
			v.wantEarly(false, test.reason)
			if v.c.ticketEarly != (test.again || test.reason == "hello_retry_request" || test.reason == "") && len(v.c.sessions) > 0 {
				t.Errorf("the next ticket allows 0-RTT: %v", v.c.ticketEarly)
			}
			if test.again {
				v.meet().want(true, "again")
				v.wantEarly(true, "accepted")
			}
		})
	}
}

// A ClientHello is served in 0-RTT once, whatever the number of servers of the Context; and one that has been refused for that leads to a
// handshake of the usual length, whose ticket is good for 0-RTT.
func TestAttackB8Replay(t *testing.T) {
	v := newEarlyVisits(t)
	cp := v.cp
	cp.Session = v.session
	c := newOurs(t, v.clients, v.client, cp)
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	hello := c.pump()
	accepted := 0
	for i := range 1000 {
		s := newOurs(t, v.servers, v.server, v.sp)
		for _, m := range hello {
			s.feed(m.level, m.data)
		}
		s.pump()
		if s.early == "" || s.alerts > 0 || s.accepted != (s.read[handshake.EarlyData] != nil) {
			t.Fatalf("visit %d: %v, %q", i, s.accepted, s.early)
		}
		if s.accepted {
			accepted++
		} else if s.early != "replayed" {
			t.Fatalf("reason %q", s.early)
		}
		s.conn.Release()
	}
	if accepted != 1 {
		t.Fatalf("0-RTT was accepted %d times", accepted)
	}
	// The client's own handshake, as a late one of those.
	s := newOurs(t, v.servers, v.server, v.sp)
	for _, m := range hello {
		s.feed(m.level, m.data)
	}
	for _, m := range s.pump() {
		c.feed(m.level, m.data)
	}
	converse(c, s)
	v.c, v.s = c, s
	v.want(true, "replayed")
	v.wantEarly(false, "replayed")
	v.session = c.sessions[0]
	v.meet().want(true, "with the new ticket")
	v.wantEarly(true, "accepted")
	// Another ClientHello with the same ticket is another one.
	v.meet().want(true, "with the same ticket")
	v.wantEarly(true, "accepted")
}

// store is a program's ReplayStore.
type store struct {
	seen  map[[32]byte]time.Time
	fresh func(id [32]byte, expires time.Time) (bool, error)
}

func (s *store) Fresh(id [32]byte, expires time.Time) (bool, error) {
	if s.fresh != nil {
		return s.fresh(id, expires)
	}
	_, seen := s.seen[id]
	s.seen[id] = expires
	return !seen, nil
}

func TestReplayStore(t *testing.T) {
	s := &store{seen: map[[32]byte]time.Time{}}
	v := newVisits(t)
	v.cp.EarlyData, v.sp.EarlyData, v.sp.EarlyReplay = true, true, s
	v.servers.SetTicketKeys([][32]byte{{1}})
	v.meet().want(false, "the first time")
	// Another server that shares keys and store.
	v.servers = newContext(t, false)
	v.servers.SetTicketKeys([][32]byte{{1}})
	v.meet().want(true, "at another server")
	v.wantEarly(true, "accepted")
	if len(s.seen) != 1 || v.s.asks != 1 {
		t.Errorf("the store has %d, after %d asks", len(s.seen), v.s.asks)
	}
	for _, expires := range s.seen {
		if d := time.Until(expires); d < 120*time.Second || d > 130*time.Second {
			t.Errorf("an entry is to be kept for %v", d)
		}
	}
	for _, test := range []struct {
		reason string
		fresh  func([32]byte, time.Time) (bool, error)
	}{
		{"replay_store", func([32]byte, time.Time) (bool, error) { return false, nil }},
		{"replay_store_failed", func([32]byte, time.Time) (bool, error) { return true, errors.New("out of order") }},
		{"replay_store_failed", func([32]byte, time.Time) (bool, error) { panic("out of order") }},
	} {
		s.fresh = test.fresh
		v.meet().want(true, "with a store that says no")
		v.wantEarly(false, test.reason)
		s.fresh = nil
		v.meet().want(true, "with a store that works")
		v.wantEarly(true, "accepted")
	}
}

// VerifyConnection judges before anything early is sent or read, at a client on what is in the session, and again if the server rejects
// 0-RTT.
func TestEarlyDataVerified(t *testing.T) {
	v := newEarlyVisits(t)
	var calls []tls.ConnectionState
	verify := func(s tls.ConnectionState) error { calls = append(calls, s); return nil }
	v.client.VerifyConnection = verify
	v.meet().want(true, "accepted")
	v.wantEarly(true, "accepted")
	if len(calls) != 1 || !calls[0].DidResume || calls[0].NegotiatedProtocol != alpn || len(calls[0].VerifiedChains) == 0 ||
		calls[0].CipherSuite == 0 {
		t.Errorf("VerifyConnection: %+v", calls)
	}
	calls = nil
	v.servers.SetTicketKeys([][32]byte{{2}})
	v.meet().want(false, "rejected")
	v.wantEarly(false, "session_not_resumed")
	if len(calls) != 2 || !calls[0].DidResume || calls[1].DidResume {
		t.Errorf("VerifyConnection: %+v", calls)
	}
	calls = nil
	v.client.VerifyConnection = func(s tls.ConnectionState) error { return errCallback }
	v.meet()
	if !errors.Is(v.c.err, errCallback) || v.c.write[handshake.EarlyData] != nil {
		t.Errorf("the callback said no: %v", v.c.err)
	}
	v.client.VerifyConnection = nil

	v.meet().want(true, "without callbacks")
	v.server = v.server.Clone()
	v.server.VerifyConnection = func(s tls.ConnectionState) error {
		calls = append(calls, s)
		if v.s.read[handshake.EarlyData] != nil {
			t.Error("0-RTT before the callback was asked")
		}
		return nil
	}
	v.meet().want(true, "with a callback of the server")
	v.wantEarly(true, "accepted")
	if len(calls) != 1 || !calls[0].DidResume {
		t.Errorf("VerifyConnection of the server: %+v", calls)
	}
	v.server.VerifyConnection = func(s tls.ConnectionState) error { return errCallback }
	v.meet()
	if !errors.Is(v.s.err, errCallback) || v.s.read[handshake.EarlyData] != nil {
		t.Errorf("the server's callback said no: %v", v.s.err)
	}
}

// 0-RTT of a client with a certificate, which is judged before.
func TestEarlyDataWithClientCertificate(t *testing.T) {
	v := newVisits(t)
	v.cp.EarlyData, v.sp.EarlyData = true, true
	v.server.ClientAuth, v.server.ClientCAs = tls.RequireAndVerifyClientCert, authority().pool()
	v.client.Certificates = []tls.Certificate{leaf().tls}
	v.meet().want(false, "the first time")
	v.meet().want(true, "then")
	v.wantEarly(true, "accepted")
	if got := v.s.conn.ConnectionState(); len(got.PeerCertificates) == 0 || len(got.VerifiedChains) == 0 {
		t.Errorf("state %+v", got)
	}
	v.server = v.server.Clone()
	v.server.Time = ahead(40 * time.Second)
	v.meet().want(true, "a little later")
	v.wantEarly(true, "accepted")
	v.server.Time = ahead(2 * time.Hour) // the certificate has expired
	v.meet()
	if v.s.early != "session_not_resumed" {
		t.Errorf("0-RTT of an expired certificate: %q", v.s.early)
	}
	wantAlert(t, v.s, 45)
}
