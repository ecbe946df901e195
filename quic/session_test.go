package quic

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

func sampleSession() *Session {
	return &Session{
		ticket: []byte("a ticket with secrets"), early: true, expires: time.Unix(1800000000, 0), version: 1, serverName: "server.test",
		alpn: "h3", token: []byte("token"), appData: []byte("settings"),
		limits: sessionLimits{maxIdleTimeout: 30000, maxUDPPayload: 1472, maxData: 1 << 20, maxStreamDataLocal: 1, maxStreamDataRemote: 2,
			maxStreamDataUni: 3, maxStreamsBidi: 1 << 60, maxStreamsUni: 100, activeConnIDLimit: 2, maxDatagramFrame: 65535,
			disableActiveMigration: true},
		path: sessionPath{local: netip.MustParseAddr("192.0.2.1"), remote: netip.MustParseAddr("2001:db8::1"),
			rtt: 25 * time.Millisecond, window: 123456},
	}
}

// A Session comes back as it was stored, whatever of it is set.
func TestSessionRoundTrip(t *testing.T) {
	bare := &Session{version: 1, limits: sessionLimits{maxUDPPayload: 1200, activeConnIDLimit: 2}}
	token := sampleSession()
	token.ticket, token.early, token.expires = nil, false, time.Time{}
	full := sampleSession()
	full.ticket, full.appData = make([]byte, maxSessionTicket), make([]byte, maxSessionAppData)
	for i, s := range []*Session{sampleSession(), bare, token, full} {
		b, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got Session
		if err := got.UnmarshalBinary(b); err != nil {
			t.Fatalf("session %d: %v", i, err)
		}
		if !reflect.DeepEqual(&got, s) {
			t.Errorf("session %d comes back as %+v, was %+v", i, got, *s)
		}
		clear(b) // UnmarshalBinary copies
		if !reflect.DeepEqual(&got, s) {
			t.Errorf("session %d refers to what it was read from", i)
		}
	}
}

// What is not a stored Session, or a damaged one, gives an error that says so, and leaves the Session as it was.
func TestSessionDamage(t *testing.T) {
	good, err := sampleSession().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, b []byte, want error) {
		t.Helper()
		s := sampleSession()
		if err := s.UnmarshalBinary(b); err != want {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		if !reflect.DeepEqual(s, sampleSession()) {
			t.Errorf("%s: the Session has changed", what)
		}
	}
	check("nothing", nil, errNotSession)
	check("text", []byte("-----BEGIN CERTIFICATE-----"), errNotSession)
	later := bytes.Clone(good)
	later[len(sessionMagic)-1]++
	check("another version's", later, errSessionVersion)
	for n := len(sessionMagic); n < len(good); n++ {
		check(fmt.Sprintf("the first %d bytes", n), good[:n], errSessionDamaged)
	}
	check("one byte more", append(bytes.Clone(good), 0), errSessionDamaged)
	for i := len(sessionMagic); i < len(good); i++ {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		check(fmt.Sprintf("byte %d changed", i), bad, errSessionDamaged)
	}
}

// A Session whose sum is right and whose contents are not, which takes somebody who means harm, is damaged too.
func TestSessionHostile(t *testing.T) {
	for name, change := range map[string]func(*Session){
		"max_udp_payload_size 1199":    func(s *Session) { s.limits.maxUDPPayload = 1199 },
		"2^60+1 streams":               func(s *Session) { s.limits.maxStreamsUni = 1<<60 + 1 },
		"active_connection_id_limit 1": func(s *Session) { s.limits.activeConnIDLimit = 1 },
		"a long ticket":                func(s *Session) { s.ticket = make([]byte, maxSessionTicket+1) },
		"a long token":                 func(s *Session) { s.token = make([]byte, maxTokenLen+1) },
		"a long name":                  func(s *Session) { s.serverName = strings.Repeat("n", 256) },
		"an RTT of days":               func(s *Session) { s.path.rtt = 25 * time.Hour },
	} {
		s := sampleSession()
		change(s)
		b, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := new(Session).UnmarshalBinary(b); err != errSessionDamaged {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := sampleSession()
	s.version = Version1
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	b[len(sessionMagic)+1+wire.SizeVarint(uint64(s.expires.Unix()))] = 0
	sum := sha256.Sum256(b[:len(b)-sessionSumLen])
	copy(b[len(b)-sessionSumLen:], sum[:])
	if err := new(Session).UnmarshalBinary(b); err != errSessionDamaged {
		t.Errorf("version 0: %v", err)
	}
	s.SetAppData(make([]byte, maxSessionAppData+1))
	if _, err := s.MarshalBinary(); err == nil {
		t.Error("AppData that is too long is stored")
	}
	if _, err := new(Session).MarshalBinary(); err == nil {
		t.Error("an empty Session is stored")
	}
}

// What prints a Session prints no secrets.
func TestSessionPrintsNoSecrets(t *testing.T) {
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(format, sampleSession()); strings.Contains(out, "secrets") || strings.Contains(out, "token") ||
			!strings.Contains(out, "server.test") {
			t.Errorf("%s prints %s", format, out)
		}
	}
}

// FuzzSession parses what it is given, with a sum that is right, so that all of the parser is reached.
func FuzzSession(f *testing.F) {
	good, err := sampleSession().MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[len(sessionMagic) : len(good)-sessionSumLen])
	f.Add([]byte{})
	rng := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 100)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	f.Add(random)
	f.Fuzz(func(t *testing.T, body []byte) {
		var s Session
		if err := s.UnmarshalBinary(body); err == nil {
			t.Fatal("what has no magic is a Session")
		}
		if !s.parse(body) {
			return
		}
		s.version = max(s.version, 1)
		b, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var again Session
		if err := again.UnmarshalBinary(b); err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%v: %+v came back as %+v", err, s, again)
		}
	})
}

// Sessions are told once for each ticket, the token goes with one that nobody has seen, and comes with the same ticket again if all were.
func TestSessionEvents(t *testing.T) {
	w := newNet(t)
	w.host(serverHost, endpointConfig(1))
	client := w.host(clientHost, nil)
	c := client.connect(endpointConfig(2), ConnectParams{})
	w.run(func() bool { return c.tls.confirmed })
	var got []*Session
	for _, ev := range client.events {
		if ev.Kind == EventSession {
			got = append(got, ev.Session)
		}
	}
	if len(got) == 0 {
		t.Fatal("no Session was told")
	}
	tokens := 0
	for _, s := range got {
		if s.ServerName() != scriptedName || s.ALPN() != "test" || s.Version() != 1 || len(s.ticket) == 0 || s.path.rtt == 0 {
			t.Errorf("%v, a ticket of %d bytes, RTT %v", s, len(s.ticket), s.path.rtt)
		}
		if len(s.token) > 0 {
			tokens++
		}
	}
	if tokens != 1 {
		t.Errorf("%d Sessions have the token", tokens)
	}
	last := got[len(got)-1]
	c.onNewToken([]byte("another"))
	ev, ok := c.NextEvent()
	if !ok || ev.Kind != EventSession || !ev.Session.SameTicket(last) || string(ev.Session.token) != "another" {
		t.Fatalf("a later token: %v, %v", ev.Kind, ev.Session)
	}
	c.onNewToken([]byte("third"))
	c.onNewToken([]byte("fourth"))
	if ev, _ = c.NextEvent(); string(ev.Session.token) != "fourth" {
		t.Errorf("the newest of two tokens is not the one that is told")
	}
	for range 100 {
		s := c.newSession()
		s.ticket = []byte("t")
		c.events.pushSession(s)
	}
	n := 0
	for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
		if ev.Kind == EventSession {
			n++
		}
	}
	if n != maxSessions {
		t.Errorf("of 100 Sessions %d wait", n)
	}
}
