package handshake_test

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
)

const day = 24 * time.Hour

// longLived has certificates at both ends that a test can use for a month.
func (v *visits) longLived() {
	cert := issue(v.t, ed25519Key(v.t), nil, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-30*day), time.Now().Add(30*day)
	})
	v.server.Certificates, v.client.RootCAs = []tls.Certificate{cert.tls}, cert.pool()
}

// A Context's own keys change each day, and open tickets for seven days from when they began.
func TestTicketKeysRotate(t *testing.T) {
	v := newVisits(t)
	v.longLived()
	var now time.Duration
	begin := time.Now()
	v.server.Time = func() time.Time { return begin.Add(now) }
	v.client.Time = v.server.Time
	v.meet().want(false, "the first time")
	first := v.session
	for _, step := range []struct {
		at      time.Duration
		resumed bool
	}{
		{23 * time.Hour, true},
		{25 * time.Hour, true}, // opened by the first key still, and what comes then is sealed by a second
		{50 * time.Hour, true},
		{6 * day, true},
		{7*day - time.Minute, true},
	} {
		now = step.at
		v.session = first
		v.meet().want(step.resumed, step.at.String())
	}
	// When the first key goes, a ticket of it goes with it that is not too old in itself.
	v.servers = newContext(t, false)
	for _, step := range []struct {
		at      time.Duration
		resumed bool
	}{{0, false}, {23 * time.Hour, false}, {7*day - time.Hour, true}, {7*day + time.Hour, false}} {
		now = step.at
		if v.session = nil; step.at > day {
			v.session = first
		}
		v.meet().want(step.resumed, step.at.String())
		if step.at == 23*time.Hour {
			first = v.session
		}
	}
	// A clock that goes back does not leave a server without keys.
	now = -day
	v.client.Time = nil
	v.session = nil
	v.server.Time = nil
	v.meet().want(false, "back in time")
	v.meet().want(true, "back in time")
}

// What SetTicketKeys is given is used from then on, by connections of all configurations.
func TestSetTicketKeys(t *testing.T) {
	a, b, c := [32]byte{1}, [32]byte{2}, [32]byte{3}
	v := newVisits(t)
	set := func(keys ...[32]byte) {
		t.Helper()
		if err := v.servers.SetTicketKeys(keys); err != nil {
			t.Fatal(err)
		}
	}
	set(a)
	v.meet().want(false, "the first time")
	ofA := v.session
	set(b, a)
	v.meet().want(true, "with the old key")
	ofB := v.session
	v.servers = newContext(t, false)
	set(b)
	v.meet().want(true, "another server, with the key that was new")
	v.session = ofA
	v.meet().want(false, "another server, with a ticket of the old key")
	set(c, b)
	v.session = ofB
	v.meet().want(true, "the old key again")
	set()
	v.session = ofB
	v.meet().want(false, "keys of its own")
	v.meet().want(true, "keys of its own")
	set(make([][32]byte, handshake.MaxTicketKeys)...)
	if err := v.servers.SetTicketKeys(make([][32]byte, handshake.MaxTicketKeys+1)); err == nil {
		t.Error("too many keys were taken")
	}
}

// Keys may be exchanged while connections are at work.
func TestSetTicketKeysAtWork(t *testing.T) {
	clients, servers := newContext(t, true), newContext(t, false)
	client, server := clientConfig(), serverConfig()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := byte(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				servers.SetTicketKeys([][32]byte{{i}, {i - 1}, {i - 2}})
			}
		}
	})
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			var session []byte
			for range 50 {
				c := newOurs(t, clients, client, handshake.Params{Session: session, EarlyData: true})
				s := newOurs(t, servers, server, handshake.Params{EarlyData: true})
				shake(t, c, s)
				if !c.complete || !s.complete || len(c.sessions) == 0 {
					t.Errorf("complete: %v (%v), %v (%v)", c.complete, c.err, s.complete, s.err)
					return
				}
				session = c.sessions[0]
				c.conn.Release()
				s.conn.Release()
			}
		})
	}
	workers.Wait()
	close(stop)
	wg.Wait()
}

// A key of the tls.Config is one that all servers with it have in common; SetTicketKeys goes before it.
func TestSessionTicketKey(t *testing.T) {
	v := newVisits(t)
	v.server.SessionTicketKey = [32]byte{5}
	v.meet().want(false, "the first time")
	v.meet().want(true, "the same server")
	v.servers = newContext(t, false)
	v.meet().want(true, "another server with the same key")
	v.servers.SetTicketKeys([][32]byte{{6}})
	v.meet().want(false, "SetTicketKeys")
	// crypto/tls writes keys of its own into a tls.Config, which are none of the program's.
	v.server = serverConfig()
	v.servers = newContext(t, false)
	theirs := newTheirs(t, clientConfig(), true)
	shake(t, theirs, newTheirs(t, v.server, false))
	copy(v.server.SessionTicketKey[:], "DEPRECATED")
	v.session = nil
	v.meet().want(false, "with a key of crypto/tls's making")
	v.servers = newContext(t, false)
	v.meet().want(false, "which is not one that servers share")
}

// The keys of a tls.Config that GetConfigForClient returns are its own, or those of the one that was replaced, as crypto/tls documents.
func TestTicketsOfConfigForClient(t *testing.T) {
	with := func(edit func(*tls.Config)) *tls.Config {
		cfg := serverConfig()
		edit(cfg)
		return cfg
	}
	plain := with(func(*tls.Config) {})
	keyed := with(func(c *tls.Config) { c.SessionTicketKey = [32]byte{7} })
	off := with(func(c *tls.Config) { c.SessionTicketsDisabled = true })
	asking := with(func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })
	for _, test := range []struct {
		name         string
		edit         func(*tls.Config)
		first, then  *tls.Config // that the callback returns
		resumed      bool
		otherContext bool
	}{
		{"none at all", func(*tls.Config) {}, nil, nil, true, false},
		{"the same", func(*tls.Config) {}, plain, plain, true, false},
		{"none, and one without a key", func(*tls.Config) {}, nil, plain, true, false},
		{"none, and one with a key", func(*tls.Config) {}, nil, keyed, false, false},
		{"with a key", func(*tls.Config) {}, keyed, keyed, true, true},
		{"without a key, of one with a key", func(c *tls.Config) { c.SessionTicketKey = [32]byte{8} }, plain, plain, true, true},
		{"without tickets", func(*tls.Config) {}, nil, off, false, false},
		{"of one without tickets", func(c *tls.Config) { c.SessionTicketsDisabled = true }, plain, plain, false, false},
		{"with a key, of one without tickets", func(c *tls.Config) { c.SessionTicketsDisabled = true }, keyed, keyed, true, false},
		{"asks for a certificate", func(*tls.Config) {}, nil, asking, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVisits(t)
			test.edit(v.server)
			next := test.first
			v.server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return next, nil }
			v.meet().want(false, "the first time")
			if test.otherContext {
				v.servers = newContext(t, false)
			}
			next = test.then
			v.meet().want(test.resumed, "then")
		})
	}
}
