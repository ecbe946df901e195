package quicnet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// resumeConfig is a client's configuration with a cache.
func resumeConfig(cache tls.ClientSessionCache) *quic.Config {
	cfg := clientConfig()
	cfg.TLS.ClientSessionCache = cache
	return cfg
}

// visit dials, waits until something came back and the sessions are there, and closes. It tells whether a session was resumed.
func visit(t *testing.T, d Dialer, addr string, cfg *quic.Config) bool {
	t.Helper()
	c, err := d.Dial(testContext(t), addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange(testContext(t), c, randomBytes(1000)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if d.Endpoint == nil {
		<-c.shard.ep.gone
	}
	resumed := c.ConnectionState().DidResume
	if st := c.Stats(); st.Resumed != resumed || resumed && c.Session() == nil {
		t.Errorf("Stats.Resumed %v, Session %v, DidResume %v", st.Resumed, c.Session(), resumed)
	}
	return resumed
}

// bytesCache is a cache that stores sessions by SessionState.Bytes, as one over a database does.
type bytesCache struct {
	mu      sync.Mutex
	entries map[string][2][]byte
	noEarly bool // the cache declines 0-RTT
}

func (b *bytesCache) Get(key string) (*tls.ClientSessionState, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[key]
	if !ok {
		return nil, false
	}
	state, err := tls.ParseSessionState(e[1])
	if err != nil {
		panic(err)
	}
	state.EarlyData = state.EarlyData && !b.noEarly
	cs, err := tls.NewResumptionState(e[0], state)
	if err != nil {
		panic(err)
	}
	return cs, true
}

func (b *bytesCache) Put(key string, cs *tls.ClientSessionState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.entries == nil {
		b.entries = make(map[string][2][]byte)
	}
	if cs == nil {
		delete(b.entries, key)
		return
	}
	ticket, state, err := cs.ResumptionState()
	if err != nil {
		panic(err)
	}
	encoded, err := state.Bytes()
	if err != nil {
		panic(err)
	}
	b.entries[key] = [2][]byte{ticket, encoded}
}

// With every kind of cache, the second connection resumes the first one's session, and so on; over a socket of its own or an endpoint's.
func TestResumption(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	own := listenWith(t, nil, udp.Options{})
	for name, cache := range map[string]tls.ClientSessionCache{
		"LRU": tls.NewLRUClientSessionCache(0), "bytes": &bytesCache{},
		"file": sessionCache(t, filepath.Join(t.TempDir(), "sessions")),
	} {
		t.Run(name, func(t *testing.T) {
			for i := range 5 {
				d := Dialer{}
				if i%2 == 1 {
					d.Endpoint = own
				}
				if got := visit(t, d, ep.Addr().String(), resumeConfig(cache)); got != (i > 0) {
					t.Errorf("connection %d: resumed is %v", i, got)
				}
			}
			other := resumeConfig(cache)
			other.TLS.ServerName = "localhost"
			if visit(t, Dialer{}, ep.Addr().String(), other) {
				t.Error("a session of 127.0.0.1 was resumed for localhost")
			}
			off := resumeConfig(cache)
			off.TLS.SessionTicketsDisabled = true
			if visit(t, Dialer{}, ep.Addr().String(), off) {
				t.Error("resumed although SessionTicketsDisabled is set")
			}
		})
	}
	for range 2 {
		if visit(t, Dialer{}, ep.Addr().String(), clientConfig()) {
			t.Error("resumed without a cache")
		}
	}
}

// A cache that crypto/tls uses over TCP, too, serves both, with sessions of one server name and one port.
func TestCacheSharedWithTLS(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	cert, roots := pki()
	tcp := &tls.Config{Certificates: []tls.Certificate{cert}}
	cache := tls.NewLRUClientSessionCache(0)
	for i := range 3 {
		if got := overTCP(t, tcp, &tls.Config{RootCAs: roots, ServerName: "localhost", ClientSessionCache: cache}); got != (i > 0) {
			t.Errorf("TCP, connection %d: resumed is %v", i, got)
		}
		cfg := resumeConfig(cache)
		cfg.TLS.ServerName = "localhost"
		if got := visit(t, Dialer{}, ep.Addr().String(), cfg); got != (i > 0) {
			t.Errorf("QUIC, connection %d: resumed is %v", i, got)
		}
	}
	// A cache that ignores keys gives a session of TCP: a full handshake.
	_, roots = pki()
	kept, ok := cache.Get("localhost")
	if !ok {
		t.Fatal("no session of TCP")
	}
	if visit(t, Dialer{}, ep.Addr().String(), resumeConfig(&confusedCache{kept})) {
		t.Error("QUIC resumed a session of TCP")
	}
}

// Connections that are dialled at once take different sessions, from whichever cache.
func TestSessionsServeOnce(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	own := listenWith(t, nil, udp.Options{})
	for name, cache := range map[string]tls.ClientSessionCache{
		"LRU": tls.NewLRUClientSessionCache(0), "file": sessionCache(t, filepath.Join(t.TempDir(), "sessions")),
	} {
		cfg := resumeConfig(cache)
		for range 2 {
			inParallel(t, maxSessionsEach+2, func(int) error {
				c, err := own.Dial(testContext(t), ep.Addr().String(), cfg)
				if err == nil {
					err = exchange(testContext(t), c, randomBytes(10))
					c.Close()
				}
				return err
			})
		}
		var mu sync.Mutex
		var offered []*quic.Session
		inParallel(t, 2*maxSessionsEach, func(int) error {
			c, err := own.DialEarly(testContext(t), ep.Addr().String(), cfg)
			if err != nil {
				return err
			}
			defer c.Close()
			if s := c.Session(); s != nil {
				mu.Lock()
				defer mu.Unlock()
				for _, o := range offered {
					if o.SameTicket(s) {
						t.Errorf("%s: a session was taken twice", name)
					}
				}
				offered = append(offered, s)
			}
			return nil
		})
		if len(offered) < maxSessionsEach {
			t.Errorf("%s: %d sessions were there, want %d at least", name, len(offered), maxSessionsEach)
		}
	}
}

// OnSession is told of sessions; one of them, given to a Dialer, by a program or in its stored form, is resumed, with what the
// application has put into it.
func TestDialerSession(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	sessions := make(chan *quic.Session, 8)
	d := Dialer{OnSession: func(s *quic.Session) {
		s.SetAppData([]byte("settings"))
		sessions <- s
	}}
	if visit(t, d, ep.Addr().String(), clientConfig()) {
		t.Error("the first connection was resumed")
	}
	stored, err := (<-sessions).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	d.Session = new(quic.Session)
	if err := d.Session.UnmarshalBinary(stored); err != nil {
		t.Fatal(err)
	}
	c, err := d.Dial(testContext(t), ep.Addr().String(), clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Session(); !c.ConnectionState().DidResume || s == nil || string(s.AppData()) != "settings" {
		t.Errorf("resumed %v, the session is %v", c.ConnectionState().DidResume, s)
	}
	c.shard.ep.Close()

	// What a session does not fit is a full handshake, or one that works.
	for name, test := range map[string]struct {
		change  func(*quic.Config)
		resumed bool
	}{
		"used again":    {func(*quic.Config) {}, true},
		"other name":    {func(cfg *quic.Config) { cfg.TLS.ServerName = "localhost" }, false},
		"no tickets":    {func(cfg *quic.Config) { cfg.TLS.SessionTicketsDisabled = true }, false},
		"other version": {func(cfg *quic.Config) { cfg.Versions = []uint32{quic.Version2} }, false},
	} {
		cfg := clientConfig()
		test.change(cfg)
		if got := visit(t, Dialer{Session: d.Session}, ep.Addr().String(), cfg); got != test.resumed {
			t.Errorf("%s: resumed is %v", name, got)
		}
	}
	inParallel(t, 8, func(int) error { // one Session, one Config
		c, err := Dialer{Session: d.Session, Endpoint: ep}.DialEarly(testContext(t), ep.Addr().String(), clientConfig())
		if err == nil {
			err = exchange(testContext(t), c, randomBytes(1000))
			c.Close()
		}
		return err
	})
}

// What the application adds in OnSession is in the cache, too.
func TestAppDataInCache(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	cfg := resumeConfig(tls.NewLRUClientSessionCache(0))
	told := make(chan struct{}, 8)
	c, err := Dialer{OnSession: func(s *quic.Session) {
		s.SetAppData([]byte("settings"))
		told <- struct{}{}
	}}.Dial(testContext(t), ep.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.shard.ep.Close()
	<-told
	for { // the cache has it a moment later
		c.mu.Lock()
		idle := !c.resume.telling
		c.mu.Unlock()
		if idle {
			break
		}
		runtime.Gosched()
	}
	again := dial(t, ep, cfg)
	if s := again.Session(); s == nil || string(s.AppData()) != "settings" {
		t.Errorf("the cache gave %v", s)
	}
}

// panicCache panics where it is told to.
type panicCache struct{ get, put, exit bool }

func (p *panicCache) Get(string) (*tls.ClientSessionState, bool) {
	if p.get {
		panic("the cache's Get")
	}
	return nil, false
}

func (p *panicCache) Put(string, *tls.ClientSessionState) {
	if p.exit {
		runtime.Goexit()
	}
	if p.put {
		panic("the cache's Put")
	}
}

// A panic in a cache, or in OnSession, ends the connection with an error that says so, and not the program.
func TestSessionCodePanics(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	addr := ep.Addr().String()
	var perr *quic.PanicError
	if _, err := Dial(testContext(t), addr, resumeConfig(&panicCache{get: true})); !errors.As(err, &perr) || perr.Value != "the cache's Get" {
		t.Errorf("Get: %v", err)
	}
	for name, test := range map[string]struct {
		dialer Dialer
		cache  tls.ClientSessionCache
	}{
		"the cache's Put": {Dialer{}, &panicCache{put: true}},
		"OnSession":       {Dialer{OnSession: func(*quic.Session) { panic("OnSession") }}, nil},
	} {
		c, err := test.dialer.Dial(testContext(t), addr, resumeConfig(test.cache))
		if err == nil {
			<-c.Context().Done()
			err = c.Err()
			<-c.shard.ep.gone
		}
		if perr = nil; !errors.As(err, &perr) || perr.Value != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Code that ends its goroutine ends nothing else.
	visit(t, Dialer{OnSession: func(*quic.Session) { runtime.Goexit() }}, addr, resumeConfig(&panicCache{exit: true}))
}

// OnSession may close the connection, and Close does not return before the cache has what the server gave.
func TestCloseAndSessions(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	closed := make(chan struct{})
	var c *Conn
	got := make(chan *Conn, 1)
	c, err := Dialer{OnSession: func(*quic.Session) {
		(<-got).Close()
		close(closed)
	}}.Dial(testContext(t), ep.Addr().String(), resumeConfig(tls.NewLRUClientSessionCache(0)))
	if err != nil {
		t.Fatal(err)
	}
	got <- c
	<-closed
	<-c.shard.ep.gone

	slow := &slowCache{begun: make(chan struct{}), resume: make(chan struct{})}
	c = dial(t, ep, resumeConfig(slow))
	<-slow.begun
	ended := make(chan struct{})
	go func() {
		c.Close()
		close(ended)
	}()
	<-c.Context().Done()
	select {
	case <-ended:
		t.Error("Close returned while the cache was storing")
	default:
	}
	close(slow.resume)
	<-ended
	if !slow.done {
		t.Error("the cache has not got the session")
	}
}

// slowCache waits in its first Put.
type slowCache struct {
	begun, resume chan struct{}
	done          bool
}

func (*slowCache) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

func (s *slowCache) Put(string, *tls.ClientSessionState) {
	if !s.done {
		close(s.begun)
		<-s.resume
		s.done = true
	}
}

// Servers that share ticket keys resume each other's sessions, those that do not make full handshakes; keys are replaced at work.
func TestTicketKeys(t *testing.T) {
	shared, other := [32]byte{1}, [32]byte{2}
	server := func(keys ...[32]byte) *Endpoint {
		cfg := serverConfig()
		cfg.TicketKeys = keys
		ep := listen(t, cfg)
		serveEcho(t, ep)
		return ep
	}
	a, b, c := server(shared), server(other, shared), server(other)
	sessions := make(chan *quic.Session, 8)
	visit(t, Dialer{OnSession: func(s *quic.Session) { sessions <- s }}, a.Addr().String(), clientConfig())
	d := Dialer{Session: <-sessions}
	for name, test := range map[string]struct {
		ep      *Endpoint
		resumed bool
	}{"the same key": {a, true}, "an older key": {b, true}, "another key": {c, false}} {
		if got := visit(t, d, test.ep.Addr().String(), clientConfig()); got != test.resumed {
			t.Errorf("%s: resumed is %v", name, got)
		}
	}
	if err := c.SetTicketKeys([][32]byte{{3}, shared}); err != nil {
		t.Fatal(err)
	}
	if !visit(t, d, c.Addr().String(), clientConfig()) {
		t.Error("not resumed with a key that came later")
	}
	if err := a.SetTicketKeys(make([][32]byte, 1000)); err == nil || !visit(t, d, a.Addr().String(), clientConfig()) {
		t.Errorf("a thousand keys: %v", err)
	}
	if err := listenWith(t, nil, udp.Options{}).SetTicketKeys(nil); err == nil {
		t.Error("an endpoint that only dials takes ticket keys")
	}
	disabled := serverConfig()
	disabled.TLS.SessionTicketsDisabled = true
	ep := listen(t, disabled)
	serveEcho(t, ep)
	cache := tls.NewLRUClientSessionCache(0)
	for range 2 {
		if visit(t, Dialer{}, ep.Addr().String(), resumeConfig(cache)) {
			t.Error("resumed by a server with SessionTicketsDisabled")
		}
	}
}

// A client's certificate is judged again when its session is resumed, and is there for the server.
func TestResumptionWithClientCertificate(t *testing.T) {
	cert, roots := pki()
	server := serverConfig()
	server.TLS.ClientAuth, server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, roots
	var mu sync.Mutex
	refuse, calls := false, 0
	server.TLS.VerifyConnection = func(cs tls.ConnectionState) error {
		mu.Lock()
		defer mu.Unlock()
		if calls++; len(cs.PeerCertificates) != 1 || len(cs.VerifiedChains) == 0 {
			return fmt.Errorf("%d certificates", len(cs.PeerCertificates))
		}
		if refuse {
			return errors.New("not today")
		}
		return nil
	}
	ep := listen(t, server)
	serveEcho(t, ep)
	cfg := resumeConfig(tls.NewLRUClientSessionCache(0))
	cfg.TLS.Certificates = []tls.Certificate{cert}
	for i := range 3 {
		if got := visit(t, Dialer{}, ep.Addr().String(), cfg); got != (i > 0) {
			t.Errorf("connection %d: resumed is %v", i, got)
		}
	}
	mu.Lock()
	if refuse = true; calls != 3 {
		t.Errorf("VerifyConnection was called %d times in 3 connections", calls)
	}
	mu.Unlock()
	c, err := Dial(testContext(t), ep.Addr().String(), cfg)
	if err == nil {
		_, err = c.AcceptStream(testContext(t))
		c.shard.ep.Close()
	}
	if terr := (*quic.TransportError)(nil); !errors.As(err, &terr) || !terr.Remote {
		t.Errorf("a client that is refused: %v", err)
	}
}

// A session of a server whose certificate is not trusted, or not good, any more does not keep a new one from being accepted.
func TestResumptionJudgesCertificates(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	cache := tls.NewLRUClientSessionCache(0)
	careless := resumeConfig(cache)
	careless.TLS.InsecureSkipVerify = true
	visit(t, Dialer{}, ep.Addr().String(), careless)
	strict := resumeConfig(cache)
	strict.TLS.RootCAs = x509.NewCertPool()
	var unknown x509.UnknownAuthorityError
	if _, err := Dial(testContext(t), ep.Addr().String(), strict); !errors.As(err, &unknown) {
		t.Errorf("a session from a connection without verification: %v", err)
	}
	visit(t, Dialer{}, ep.Addr().String(), careless)
	later := resumeConfig(cache)
	later.TLS.Time = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }
	if visit(t, Dialer{}, ep.Addr().String(), later) {
		t.Error("a session that is eight days old was resumed")
	}
	if !visit(t, Dialer{}, ep.Addr().String(), later) {
		t.Error("the session of a client whose tls.Config.Time is eight days ahead was not resumed")
	}
}

// Of several addresses only the first is offered the session, and each session goes to one alone.
func TestDialSeveralWithSession(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	cfg := resumeConfig(tls.NewLRUClientSessionCache(0))
	cfg.TLS.ServerName = "localhost"
	visit(t, Dialer{}, ep.Addr().String(), cfg)
	client := listenWith(t, nil, udp.Options{})
	tt, err := resolve(context.Background(), ep.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dead := tt
	dead.addrs = append([]netip.AddrPort{netip.MustParseAddrPort(silent(t))}, tt.addrs...)
	p := &dialing{}
	if err := p.findSession(testContext(t), dead, cfg); err != nil || p.session == nil {
		t.Fatal(err)
	}
	c, err := client.dial(testContext(t), dead, cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	if c.ConnectionState().DidResume || c.Session() != nil {
		t.Error("the second address was given the session of the first")
	}
	c.Close()
}

// Keys of a cache are different for what must not be confused.
func TestSessionKeys(t *testing.T) {
	seen := make(map[string]bool)
	for _, protos := range [][]string{nil, {"a"}, {"b"}, {"a", "b"}, {"a,b"}, {"a\",\"b"}, {"a", ""}} {
		for _, host := range [][2]string{{"a", "1"}, {"a", "2"}, {"::1", "1"}, {"b", "1"}} {
			key := sessionKey(protos, host[0], host[1])
			if seen[key] || !strings.HasPrefix(key, "quic ") {
				t.Errorf("key %q", key)
			}
			seen[key] = true
		}
	}
}

// stuckCache is busy until it is let go on.
type stuckCache struct{ resume chan struct{} }

func (*stuckCache) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (s *stuckCache) Put(string, *tls.ClientSessionState)      { <-s.resume }

// A server that gives token after token while the program's cache, or its OnSession, is busy: no more wait than a cache would keep, and
// the program has the newest in the end.
func TestAttackTokenFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &delayNet{delay: time.Millisecond}
		ep, client := over(t, n.open("192.0.2.1:443"), serverConfig()), over(t, n.open("192.0.2.2:50000"), nil)
		defer client.Close()
		defer ep.Close()
		resume := make(chan struct{})
		cfg := resumeConfig(&stuckCache{resume})
		cfg.TLS.ServerName = "localhost"
		told := 0
		d := Dialer{Endpoint: client, OnSession: func(*quic.Session) {
			if told++; told == 1 {
				<-resume
			}
		}}
		c, err := d.Dial(testContext(t), "192.0.2.1:443", cfg)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ep.Accept(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		flood := func() {
			for i := range 200 {
				s.mu.Lock()
				s.core.HandleReply(time.Now(), quic.EndpointReply{Token: fmt.Appendf(nil, "token %d", i)})
				claimed := s.claim()
				s.mu.Unlock()
				if claimed {
					s.flush()
				}
				time.Sleep(time.Minute / 10) // the core takes some of a minute
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if n := len(c.resume.fresh) + len(c.resume.told); n > 2*maxSessionsEach {
				t.Errorf("%d sessions wait", n)
			}
		}
		flood()
		resume <- struct{}{} // the cache; then OnSession is busy
		synctest.Wait()
		flood()
		close(resume)
		synctest.Wait()
		if told < 2 || told > 4*maxSessionsEach {
			t.Errorf("%d sessions were told", told)
		}
	})
}

// A cache whose Get does not return holds up those alone who want the same entry of it, and those no longer than their context: neither
// another server of the same cache, nor another cache.
func TestCacheHangs(t *testing.T) {
	for name, wrap := range map[string]func(hangingCache) tls.ClientSessionCache{
		"pointer":            func(h hangingCache) tls.ClientSessionCache { return &h },
		"cannot be compared": func(h hangingCache) tls.ClientSessionCache { return h },
	} {
		t.Run(name, func(t *testing.T) {
			ep := listen(t, serverConfig())
			serveEcho(t, ep)
			addr := ep.Addr().String()
			hung, end := make(chan struct{}), make(chan struct{})
			hang := sync.OnceFunc(func() {
				close(hung)
				<-end
			})
			cache := wrap(hangingCache{"Get": func(key string) {
				if strings.HasSuffix(key, addr) {
					hang()
				}
			}})
			var wg sync.WaitGroup
			wg.Go(func() { visit(t, Dialer{}, addr, resumeConfig(cache)) })
			<-hung
			ctx, cancel := context.WithCancel(context.Background())
			refused := make(chan error)
			go func() {
				_, err := Dial(ctx, addr, resumeConfig(cache))
				refused <- err
			}()
			visit(t, Dialer{}, addr, resumeConfig(tls.NewLRUClientSessionCache(0)))
			elsewhere := resumeConfig(cache)
			elsewhere.TLS.ServerName = "localhost"
			visit(t, Dialer{}, addr, elsewhere)
			cancel()
			if err := <-refused; !errors.Is(err, context.Canceled) {
				t.Errorf("Dial: %v", err)
			}
			close(end)
			wg.Wait()
		})
	}
	entryLocks.Lock()
	defer entryLocks.Unlock()
	if n := len(entryLocks.of); n != 0 {
		t.Errorf("%d locks of entries are left", n)
	}
}

// hangingCache is a cache that holds nothing, whose Get calls a function.
type hangingCache map[string]func(key string)

func (h hangingCache) Get(key string) (*tls.ClientSessionState, bool) {
	h["Get"](key)
	return nil, false
}

func (hangingCache) Put(string, *tls.ClientSessionState) {}

// A cache whose Put closes the connection, or hangs, does not keep Close from returning.
func TestCachePutCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &delayNet{delay: 10 * time.Millisecond}
		ep, client := over(t, n.open("192.0.2.1:443"), serverConfig()), over(t, n.open("192.0.2.2:50000"), nil)
		serveEcho(t, ep)
		dialled, closed := make(chan *Conn, 1), make(chan struct{})
		cfg := resumeConfig(putFunc(sync.OnceFunc(func() {
			c := <-dialled
			c.Close()
			close(closed)
			<-t.Context().Done()
		})))
		cfg.TLS.ServerName = "localhost"
		c, err := client.Dial(testContext(t), "192.0.2.1:443", cfg)
		if err != nil {
			t.Fatal(err)
		}
		dialled <- c
		<-closed
		c.Close()
		client.Close()
		ep.Close()
	})
}

// putFunc is a cache that holds nothing, and whose Put is a function.
type putFunc func()

func (putFunc) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (p putFunc) Put(string, *tls.ClientSessionState)      { p() }
