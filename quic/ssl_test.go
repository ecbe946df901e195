package quic

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/ssltest"
)

// sslCert is a certificate for scriptedName that BoringSSL's own verification takes at any time.
var sslCert = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: scriptedName}, DNSNames: []string{scriptedName},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

const sslProtocols = "\x05other\x07" + ssltest.Protocol

// sslPair is two programs, of which each has an SSL for a connection. A nil one's connection has Config.TLS.
type sslPair struct {
	*alone
	clientProgram, serverProgram *ssltest.Program
	clientSSL, serverSSL         uintptr
	change                       func(client, server *Config)
}

func program(t testing.TB, o ssltest.Options) *ssltest.Program {
	if o.Server || o.Cert != nil {
		o.Cert = sslCert().Certificate[0]
		var err error
		if o.Key, err = x509.MarshalPKCS8PrivateKey(sslCert().PrivateKey); err != nil {
			t.Fatal(err)
		}
	}
	p, err := ssltest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// newSSLPair makes programs; nil stands for a side whose TLS is Config.TLS.
func newSSLPair(t testing.TB, client, server *ssltest.Options) *sslPair {
	p := &sslPair{alone: &alone{t: t, now: scriptedEpoch}}
	if client != nil {
		p.clientProgram = program(t, *client)
	}
	if server != nil {
		server.Server = true
		p.serverProgram = program(t, *server)
	}
	t.Cleanup(func() {
		p.release()
		for _, program := range []*ssltest.Program{p.clientProgram, p.serverProgram} {
			if program != nil {
				program.Free()
			}
		}
	})
	return p
}

func (p *sslPair) release() {
	for _, c := range []*Conn{p.client, p.server} {
		if c != nil {
			c.Release()
		}
	}
}

func sslConfig(seed byte) *Config {
	cfg := aloneConfig(seed)
	roots := x509.NewCertPool()
	roots.AddCert(sslCert().Leaf)
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{sslCert()}, RootCAs: roots, ServerName: scriptedName, NextProtos: []string{ssltest.Protocol}}
	return cfg
}

// connect makes two connections, in place of those that are there.
func (p *sslPair) connect() {
	p.t.Helper()
	p.release()
	p.events = [2][]Event{}
	client, server := sslConfig(1), sslConfig(2)
	cp := ConnectParams{Local: aloneClient, Remote: aloneServer, SrcConnID: connIDOf(8, 1)}
	sp := AcceptParams{Local: aloneServer, Remote: aloneClient, SrcConnID: connIDOf(8, 2)}
	if p.clientProgram != nil {
		client.TLS = nil
		p.clientSSL = p.clientProgram.SSL(scriptedName, sslProtocols)
		cp.SSL = p.clientSSL
	}
	if p.serverProgram != nil {
		server.TLS = nil
		p.serverSSL = p.serverProgram.SSL("", "")
		sp.SSL = p.serverSSL
	}
	if p.change != nil {
		p.change(client, server)
	}
	var err error
	p.client, err = Connect(p.now, client, cp)
	p.must(err)
	p.server, err = Accept(p.now, server, sp)
	p.must(err)
}

func (p *sslPair) wantEnd(reason string, c *Conn, remote bool, alert uint8) {
	p.t.Helper()
	var err *TransportError
	if !errors.As(c.Err(), &err) || err.Code != CryptoErrorBase+TransportErrorCode(alert) || err.Remote != remote {
		p.t.Errorf("%s: client %v: %v; want alert %d, remote %v", reason, c.client, c.Err(), alert, remote)
	}
}

// Both roles, contexts of both kinds, and the other side with TLS of either sort.
func TestSSL(t *testing.T) {
	for _, x509 := range []bool{false, true} {
		verify := ssltest.VerifyCustom
		if x509 {
			verify = ssltest.VerifyStore
		}
		client := func() *ssltest.Options {
			return &ssltest.Options{X509: x509, Verify: verify, Root: sslCert().Certificate[0]}
		}
		server := func() *ssltest.Options { return &ssltest.Options{X509: x509} }
		for name, p := range map[string]*sslPair{
			"client": newSSLPair(t, client(), nil), "server": newSSLPair(t, nil, server()), "both": newSSLPair(t, client(), server()),
		} {
			t.Run(fmt.Sprintf("x509=%v,%s", x509, name), func(t *testing.T) {
				p.t = t
				p.connect()
				if p.clientProgram != nil {
					if p.clientProgram.KeyLogLines() != 0 || !p.client.TLSPending() || p.client.WantsSend() {
						t.Error("the handshake begins in Connect")
					}
				}
				p.run()
				p.wantWorking("over SSLs of the program's")
				p.wantResults()
				key, err := p.client.ExportKeyingMaterial("label", []byte("context"), 20)
				p.must(err)
				state := p.server.TLS()
				other, err := state.ExportKeyingMaterial("label", []byte("context"), 20)
				p.must(err)
				if !slices.Equal(key, other) {
					t.Errorf("keying material: %x and %x", key, other)
				}
				p.client.Close(p.now, true, 3, "")
				p.run()
				p.wantResults()
				for _, c := range []*Conn{p.client, p.server} {
					for at, ok := c.Timeout(); ok; at, ok = c.Timeout() {
						c.OnTimeout(at)
					}
				}
				p.wantResults() // still
				p.release()
				p.wantFreed(1)
			})
		}
	}
}

// wantResults asserts what can be read of the SSLs, and of the connections.
func (p *sslPair) wantResults() {
	p.t.Helper()
	for i, ssl := range []uintptr{p.clientSSL, p.serverSSL} {
		c := [...]*Conn{p.client, p.server}[i]
		if c.ALPN() != ssltest.Protocol || c.ServerName() != scriptedName || c.TLSPending() {
			p.t.Errorf("client %v: ALPN %q, server name %q, pending %v", c.client, c.ALPN(), c.ServerName(), c.TLSPending())
		}
		if ssl == 0 {
			continue
		}
		if ssltest.ALPN(ssl) != ssltest.Protocol || !ssltest.HasData(ssl) || ssltest.Touched(ssl) {
			p.t.Errorf("client %v: ALPN %q; its data are there: %v; its settings were changed: %v", c.client, ssltest.ALPN(ssl), ssltest.HasData(ssl),
				ssltest.Touched(ssl))
		}
		if params, ok := c.PeerParams(); !ok || params.InitialMaxData != 768<<10 || len(c.PeerParamsRaw()) == 0 {
			p.t.Errorf("client %v: the peer's parameters: %+v, %v", c.client, params, ok)
		}
	}
	if p.clientSSL != 0 {
		if certs := p.client.PeerCertificates(); len(certs) != 1 || !slices.Equal(certs[0], sslCert().Certificate[0]) {
			p.t.Errorf("the server's certificates: %x", certs)
		}
		if certs := p.client.TLS().PeerCertificates; len(certs) != 1 || !certs[0].Equal(sslCert().Leaf) {
			p.t.Errorf("the server's certificates, parsed: %v", certs)
		}
		if p.clientProgram.KeyLogLines() < 5 || ssltest.VerifyResult(p.clientSSL) != 0 {
			p.t.Errorf("%d lines of the key log; verification says %d", p.clientProgram.KeyLogLines(), ssltest.VerifyResult(p.clientSSL))
		}
	}
}

func (p *sslPair) wantFreed(n int) {
	p.t.Helper()
	for _, program := range []*ssltest.Program{p.clientProgram, p.serverProgram} {
		if program != nil && program.Freed() != n {
			p.t.Errorf("%d SSLs were freed, want %d", program.Freed(), n)
		}
	}
}

// A callback of the program's may call Go, with a stack that has to grow for it.
func TestSSLCallsGo(t *testing.T) {
	p := newSSLPair(t, &ssltest.Options{Verify: ssltest.VerifyCustom}, &ssltest.Options{})
	calls := 0
	p.clientProgram.OnVerify(func() {
		calls++
		deep(1000)
		if !p.client.TLSPending() && p.client.HandshakeComplete() {
			t.Error("the handshake is complete before the certificate was judged")
		}
		if chain := p.client.PeerCertificates(); chain != nil {
			t.Errorf("the Conn has a chain of %d certificates while the callback is asked, which asks the SSL", len(chain))
		}
		runtime.GC()
	})
	p.clientProgram.Pend(ssltest.Verify, 3)
	p.connect()
	for range 5 {
		p.run()
	}
	p.wantWorking("with callbacks that call Go")
	if calls != 4 {
		t.Errorf("%d calls, want 4", calls)
	}
}

// deep needs a stack of about 100 bytes for each level.
//
//go:noinline
func deep(n int) (sum int) {
	var room [64]byte
	room[n%64] = byte(n)
	if n > 0 {
		sum = deep(n - 1)
	}
	return sum + int(room[n%64])
}

// through has an Endpoint at the server's address route what the client sends, and answer it where that takes no connection.
func (p *sslPair) through(e *Endpoint) func(toServer bool, d []byte) bool {
	return func(toServer bool, d []byte) bool {
		if toServer {
			reply := make([]byte, 1500)
			r := e.Route(p.now, Train{Buf: d, Local: aloneServer, Remote: aloneClient}, reply)
			if r.New {
				p.server = r.Conn
			}
			if r.Reply > 0 {
				p.client.Recv(p.now, Train{Buf: reply[:r.Reply], Local: aloneClient, Remote: aloneServer})
			}
		}
		return true
	}
}

// A client whose server demands Retry first.
func TestSSLRetry(t *testing.T) {
	p := newSSLPair(t, &ssltest.Options{Verify: ssltest.VerifyCustom}, &ssltest.Options{})
	e, err := NewEndpoint(&Config{Retry: func(netip.AddrPort) bool { return true }, AcceptSSL: func(_, _ netip.AddrPort) uintptr { return p.serverProgram.SSL("", "") }})
	p.must(err)
	p.client, err = Connect(p.now, &Config{}, ConnectParams{Local: aloneClient, Remote: aloneServer, SSL: p.clientProgram.SSL(scriptedName, sslProtocols)})
	p.must(err)
	p.onDatagram = p.through(e)
	p.run()
	p.wantWorking("after Retry")
	if !p.client.retried || !p.server.retried {
		t.Error("there was no Retry")
	}
}

// A callback that has no answer yet is asked again by each later Send and Recv, and until then nothing moves.
func TestSSLPending(t *testing.T) {
	const rounds = 5
	for _, c := range []struct {
		name     string
		atServer bool
		what     ssltest.Callback
		client   ssltest.Options
		server   ssltest.Options
	}{
		{name: "server: certificate", atServer: true, what: ssltest.Cert},
		{name: "server: early choice", atServer: true, what: ssltest.Select},
		{name: "server: key", atServer: true, what: ssltest.Key, server: ssltest.Options{KeyMethod: true}},
		{name: "server: key, X509", atServer: true, what: ssltest.Key, server: ssltest.Options{KeyMethod: true, X509: true}},
		{name: "server: the client's certificate", atServer: true, what: ssltest.Verify, client: ssltest.Options{Cert: []byte{1}},
			server: ssltest.Options{Verify: ssltest.VerifyCustom, RequireCert: true}},
		{name: "client: certificate", what: ssltest.Cert, client: ssltest.Options{Cert: []byte{1}},
			server: ssltest.Options{Verify: ssltest.VerifyCustom, RequireCert: true}},
		{name: "client: key", what: ssltest.Key, client: ssltest.Options{Cert: []byte{1}, KeyMethod: true},
			server: ssltest.Options{Verify: ssltest.VerifyCustom, RequireCert: true}},
		{name: "client: the server's certificate", what: ssltest.Verify, client: ssltest.Options{Verify: ssltest.VerifyCustom}},
		{name: "client: the server's certificate, X509", what: ssltest.Verify, client: ssltest.Options{X509: true, Verify: ssltest.VerifyCustom}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newSSLPair(t, &c.client, &c.server)
			p.connect()
			pending, conn := p.clientProgram, p.client
			if c.atServer {
				pending, conn = p.serverProgram, p.server
			}
			pending.Pend(c.what, 1000)
			p.run()
			if !conn.TLSPending() || conn.HandshakeComplete() || conn.Err() != nil {
				t.Fatalf("pending %v, complete %v, %v", conn.TLSPending(), conn.HandshakeComplete(), conn.Err())
			}
			pending.Pend(c.what, rounds)
			for i := range rounds {
				before := pending.Calls(c.what)
				if tr := conn.Send(p.now, make([]byte, 65535)); tr.N != 0 {
					t.Fatalf("round %d: %d bytes to be sent", i, tr.N)
				}
				if n := pending.Calls(c.what) - before; n != 1 || !conn.TLSPending() {
					t.Fatalf("round %d: asked %d times; pending %v", i, n, conn.TLSPending())
				}
				p.must(conn.Check())
			}
			p.run()
			p.wantWorking("after the answer")
		})
	}
}

// A ticket that is opened later; 0-RTT; and what is remembered by the program.
func TestSSLResumption(t *testing.T) {
	for _, c := range []struct {
		name             string
		early, remembers bool // 0-RTT; the client knows what the server allowed
		pending          bool
		newVersion       bool // the server's settings have changed
	}{
		{name: "resumption"},
		{name: "a ticket that is opened later", pending: true},
		{name: "0-RTT", early: true, remembers: true},
		{name: "0-RTT, a ticket that is opened later", early: true, remembers: true, pending: true},
		{name: "0-RTT with nothing remembered", early: true},
		{name: "0-RTT that is rejected", early: true, remembers: true, newVersion: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newSSLPair(t, &ssltest.Options{Verify: ssltest.VerifyCustom, EarlyData: c.early}, &ssltest.Options{EarlyData: c.early})
			p.change = func(client, server *Config) { server.EarlyData = c.early }
			p.connect()
			p.run()
			p.wantWorking("the first connection")
			raw := p.client.PeerParamsRaw()
			if c.newVersion {
				p.change = func(client, server *Config) { server.EarlyData, server.EarlyContext = true, []byte("new") }
			}
			p.connect()
			if !p.clientProgram.Resume(p.clientSSL) {
				t.Fatal("the program was told of no session")
			}
			if c.remembers {
				p.must(p.client.SetEarlyParams(raw))
			}
			if c.pending {
				p.serverProgram.Pend(ssltest.Ticket, 3)
			}
			for p.carry(p.client, true) {
			}
			if p.client.InEarlyData() != c.early {
				t.Fatalf("0-RTT data can be sent: %v, want %v", !c.early, c.early)
			}
			_, err := p.client.StreamSend(0, []byte("early"), true)
			if want := map[bool]error{true: nil, false: ErrStreamLimit}[c.early && c.remembers]; err != want {
				t.Fatalf("a write before the handshake is complete: %v, want %v", err, want)
			}
			if err := p.client.SetEarlyParams(raw); err == nil {
				t.Error("SetEarlyParams is not too late")
			}
			for range 4 { // the ticket is asked for again and again
				p.run()
			}
			want := EarlyNone
			if c.early {
				want = EarlyAccepted
			}
			if c.newVersion {
				want = EarlyRejected
			}
			if !p.client.Resumed() || !p.server.Resumed() || p.client.EarlyData() != want || p.client.InEarlyData() || c.early && !c.newVersion && p.server.EarlyData() != want {
				t.Errorf("resumed %v and %v; 0-RTT data is %v, %v; want %v", p.client.Resumed(), p.server.Resumed(), p.client.EarlyData(), p.server.EarlyData(), want)
			}
			if want == EarlyAccepted && c.remembers {
				b := make([]byte, 10)
				if n, fin, err := p.server.StreamRecv(0, b); string(b[:n]) != "early" || !fin || err != nil {
					t.Errorf("0-RTT data: %q, %v, %v", b[:n], fin, err)
				}
			}
			p.wantWorking("the second connection")
		})
	}
}

// A server that takes no 0-RTT data says so to BoringSSL, whatever the program has set: it gives no tickets for it, and rejects it with those of before.
func TestSSLNoEarlyData(t *testing.T) {
	for _, before := range []bool{false, true} {
		p := newSSLPair(t, &ssltest.Options{EarlyData: true}, &ssltest.Options{EarlyData: true})
		p.change = func(client, server *Config) { server.EarlyData = before }
		p.connect()
		p.run()
		p.wantWorking("the first connection")
		raw := p.client.PeerParamsRaw()
		p.change = nil
		p.connect()
		if !p.clientProgram.Resume(p.clientSSL) {
			t.Fatal("the program was told of no session")
		}
		p.must(p.client.SetEarlyParams(raw))
		for p.carry(p.client, true) {
		}
		if p.client.InEarlyData() != before {
			t.Errorf("with a ticket of a server with EarlyData = %v 0-RTT data can be sent: %v", before, !before)
		}
		p.run()
		want := map[bool]EarlyDataState{false: EarlyNone, true: EarlyRejected}[before]
		if got := p.client.EarlyData(); !p.client.Resumed() || got != want || p.server.EarlyData() == EarlyAccepted {
			t.Errorf("resumed %v, 0-RTT data is %v, want %v", p.client.Resumed(), got, want)
		}
		p.wantWorking("the second connection")
	}
}

func TestSetEarlyParamsErrors(t *testing.T) {
	p := newSSLPair(t, &ssltest.Options{}, nil)
	p.connect()
	for name, raw := range map[string][]byte{"no parameters": {1, 2, 3}, "a client's": {0x0f, 0, 0x0e, 1, 1}, "too small packets": {0, 0, 0x0f, 0, 0x03, 2, 0x44, 0xaf},
		"too few connection IDs": {0, 0, 0x0f, 0, 0x0e, 1, 1}, "too many streams": {0, 0, 0x0f, 0, 0x08, 8, 0xd0, 0, 0, 0, 0, 0, 0, 1}} {
		if err := p.client.SetEarlyParams(raw); err == nil || errors.Unwrap(err) == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.must(p.client.SetEarlyParams([]byte{0, 0, 0x0f, 0, 0x03, 2, 0x44, 0xb0, 0x0e, 1, 2, 0x08, 8, 0xd0, 0, 0, 0, 0, 0, 0, 0}))
	if err := p.server.SetEarlyParams(nil); err == nil {
		t.Error("at a server: no error")
	}
	if err := p.client.SetSession(nil, false); err != errSessionLate {
		t.Errorf("SetSession: %v", err)
	}
}

// What TLS has against the other side ends the connection with its alert, and the program sees why.
func TestSSLFailures(t *testing.T) {
	for _, c := range []struct {
		name           string
		client, server ssltest.Options
		protocols      string
		byServer       bool
		alert          uint8
		verifyResult   int
	}{
		{name: "an unknown authority", client: ssltest.Options{X509: true, Verify: ssltest.VerifyStore}, alert: 48, verifyResult: 18},
		{name: "the program says no", client: ssltest.Options{Verify: ssltest.VerifyCustom, VerifyFails: true}, alert: 45},
		{name: "no certificate of the client", client: ssltest.Options{}, server: ssltest.Options{Verify: ssltest.VerifyCustom, RequireCert: true},
			byServer: true, alert: 116},
		{name: "the program does not like the client", client: ssltest.Options{Cert: []byte{1}}, byServer: true, alert: 45,
			server: ssltest.Options{Verify: ssltest.VerifyCustom, RequireCert: true, VerifyFails: true}},
		{name: "no common protocol", protocols: "\x05other", byServer: true, alert: 120},
		{name: "no common group", client: ssltest.Options{P384Only: true}, alert: 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			p := newSSLPair(t, &c.client, &c.server)
			p.connect()
			if c.protocols != "" {
				p.client.Release()
				p.clientSSL = p.clientProgram.SSL(scriptedName, c.protocols)
				var err error
				p.client, err = Connect(p.now, &Config{Rand: sslConfig(3).Rand}, ConnectParams{Local: aloneClient, Remote: aloneServer, SSL: p.clientSSL})
				p.must(err)
			}
			ssltest.ClearErrors()
			if c.alert == 0 { // it is no failure: the client begins with another group, and the server has that too
				p.run()
				p.wantWorking("another group")
				return
			}
			failed, other := p.client, p.server
			if c.byServer {
				failed, other = p.server, p.client
			}
			for i := 0; failed.Err() == nil; i++ {
				if i == 100 {
					t.Fatal("nothing fails")
				}
				p.carry(p.client, true)
				if failed.Err() == nil {
					p.carry(p.server, false)
				}
			}
			if library, reason := ssltest.Error(); library == 0 || reason == 0 {
				t.Error("the thread's error queue does not tell why")
			}
			p.run()
			p.wantEnd(c.name, failed, false, c.alert)
			p.wantEnd(c.name, other, true, c.alert)
			ssl := p.clientSSL
			if c.byServer {
				ssl = p.serverSSL
			}
			if got := ssltest.VerifyResult(ssl); c.verifyResult != 0 && got != c.verifyResult {
				t.Errorf("verification says %d, want %d", got, c.verifyResult)
			}
			if !ssltest.HasData(ssl) || ssltest.Touched(ssl) {
				t.Error("the SSL is not what the program made it")
			}
			p.release()
		})
	}
}

// HelloRetryRequest, and Retry before it.
func TestSSLHelloRetry(t *testing.T) {
	p := newSSLPair(t, &ssltest.Options{Verify: ssltest.VerifyCustom}, &ssltest.Options{P384Only: true})
	p.connect()
	p.run()
	p.wantWorking("with another group")
	if !p.client.TLS().HandshakeComplete || p.client.TLS().CurveID != tls.CurveP384 {
		t.Errorf("the group is %v", p.client.TLS().CurveID)
	}
}

// A client whose version the server does not speak begins anew with the same SSL.
func TestSSLVersionNegotiation(t *testing.T) {
	p := newSSLPair(t, &ssltest.Options{Verify: ssltest.VerifyCustom}, &ssltest.Options{})
	p.change = func(client, server *Config) {
		client.Versions, server.Versions = []uint32{Version2, Version1}, []uint32{Version1}
	}
	p.connect()
	negotiated := false
	p.onDatagram = func(toServer bool, d []byte) bool {
		if h, ok := ParseHeader(d, 8); toServer && ok && h.Version == Version2 {
			if !negotiated {
				negotiated = true
				b := AppendVersionNegotiation(nil, h.DstConnID, h.SrcConnID, []uint32{Version1}, 1)
				p.client.Recv(p.now, Train{Buf: b, Local: aloneClient, Remote: aloneServer})
			}
			return false
		}
		return true
	}
	p.run()
	p.wantWorking("with the other version")
	if !negotiated || p.client.Version() != Version1 {
		t.Errorf("version %#x", p.client.Version())
	}
	p.release()
	p.wantFreed(1)
}

// Both versions; the server does not leave the client's.
func TestSSLVersions(t *testing.T) {
	p := newSSLPair(t, &ssltest.Options{}, &ssltest.Options{})
	p.change = func(client, server *Config) {
		client.Versions, server.Versions = []uint32{Version1, Version2}, []uint32{Version2, Version1}
	}
	p.connect()
	p.run()
	p.wantWorking("each prefers another version")
	if v := p.server.Version(); v != Version1 {
		t.Errorf("version %#x", v)
	}
}

// Whose an SSL is, whatever happens.
func TestSSLOwnership(t *testing.T) {
	p := newSSLPair(t, &ssltest.Options{}, &ssltest.Options{})
	p.connect()
	for name, err := range map[string]error{
		"Connect": func() error {
			_, err := Connect(p.now, sslConfig(1), ConnectParams{Remote: aloneServer, SSL: p.clientSSL})
			return err
		}(),
		"Connect, as another role": func() error {
			_, err := Connect(p.now, sslConfig(1), ConnectParams{Remote: aloneServer, SSL: p.serverSSL})
			return err
		}(),
		"Accept": func() error {
			_, err := Accept(p.now, sslConfig(1), AcceptParams{Remote: aloneClient, SSL: p.serverSSL})
			return err
		}(),
	} {
		if err != ErrSSLAdopted {
			t.Errorf("%s with an SSL that is another's: %v", name, err)
		}
	}
	p.wantFreed(0)
	p.run()
	p.wantWorking("what was refused did no harm")

	bad := &Config{MaxUDPPayload: 5}
	e, err := NewEndpoint(nil)
	p.must(err)
	freed := 0
	for name, f := range map[string]func(ssl uintptr) error{
		"Connect": func(ssl uintptr) error {
			_, err := Connect(p.now, bad, ConnectParams{Remote: aloneServer, SSL: ssl})
			return err
		},
		"Connect, nil": func(ssl uintptr) error {
			_, err := Connect(p.now, nil, ConnectParams{Remote: aloneServer, SSL: ssl})
			return err
		},
		"Connect, token": func(ssl uintptr) error {
			_, err := Connect(p.now, &Config{}, ConnectParams{Remote: aloneServer, SSL: ssl, Token: make([]byte, 1000)})
			return err
		},
		"Endpoint.Connect": func(ssl uintptr) error {
			_, err := e.Connect(p.now, bad, ConnectParams{Remote: aloneServer, SSL: ssl})
			return err
		},
	} {
		freed++
		if err := f(p.clientProgram.SSL("", sslProtocols)); err == nil || p.clientProgram.Freed() != freed {
			t.Errorf("%s that fails: %v; %d SSLs were freed, want %d", name, err, p.clientProgram.Freed(), freed)
		}
	}
	if _, err := Accept(p.now, bad, AcceptParams{SSL: p.serverProgram.SSL("", "")}); err == nil || p.serverProgram.Freed() != 1 {
		t.Errorf("Accept that fails: %v; %d SSLs were freed", err, p.serverProgram.Freed())
	}
	if _, err := Connect(p.now, &Config{}, ConnectParams{SSL: ssltest.DTLS()}); err == nil || errors.Is(err, ErrSSLAdopted) {
		t.Errorf("an SSL for DTLS: %v", err)
	}
	freed++
	replay := &Config{EarlyReplay: anyReplay{}, AcceptSSL: func(local, remote netip.AddrPort) uintptr { return 0 }}
	if _, err := Accept(p.now, replay, AcceptParams{Remote: aloneClient, SSL: p.clientProgram.SSL("", "")}); err != errReplayStore {
		t.Errorf("a server with a ReplayStore: %v", err)
	}
	if _, err := NewEndpoint(replay); err != errReplayStore {
		t.Errorf("an Endpoint with a ReplayStore: %v", err)
	}
	if _, err := Connect(p.now, &Config{}, ConnectParams{Remote: aloneServer}); err == nil || err.Error() != "quic: Config.TLS is required" {
		t.Errorf("without TLS: %v", err)
	}
	p.client.Release()
	p.client.Release()
	if p.clientProgram.Freed() != freed+1 {
		t.Errorf("%d SSLs were freed, want %d", p.clientProgram.Freed(), freed+1)
	}
	if p.client.PeerCertificates() != nil || p.client.PeerParamsRaw() != nil || p.client.ALPN() != ssltest.Protocol {
		t.Error("after Release the SSL is looked at")
	}
	if _, err := p.client.ExportKeyingMaterial("label", nil, 10); err == nil {
		t.Error("keying material after Release")
	}
}

// Who has a ConnectionState may export keying material at any time, while the connection goes on, and while it is released.
func TestSSLExportAnywhere(t *testing.T) {
	p := newSSLPair(t, &ssltest.Options{}, &ssltest.Options{})
	for range 10 {
		p.connect()
		early := p.client.TLS()
		p.run()
		var want [2][]byte
		states := [2]tls.ConnectionState{p.client.TLS(), p.server.TLS()}
		begun, ended := make(chan struct{}), make(chan error)
		for i, state := range states {
			go func() {
				key, err := state.ExportKeyingMaterial("label", nil, 20)
				want[i] = key
				begun <- struct{}{}
				for err == nil { // until Release
					if key, err = state.ExportKeyingMaterial("label", nil, 20); err == nil && !slices.Equal(key, want[i]) {
						err = fmt.Errorf("%x, and then %x", want[i], key)
					}
				}
				ended <- err
			}()
		}
		<-begun
		<-begun
		if len(want[0]) != 20 || !slices.Equal(want[0], want[1]) {
			t.Fatalf("keying material: %x and %x", want[0], want[1])
		}
		p.run()
		p.release()
		for range states {
			if err := <-ended; err.Error() != "handshake: no keying material can be exported: the SSL was freed, or the label is too long" {
				t.Fatal(err)
			}
		}
		if _, err := early.ExportKeyingMaterial("label", nil, 20); err == nil {
			t.Fatal("a state from before the handshake has keying material")
		}
	}
}

// An Endpoint accepts over SSLs that the program makes.
func TestAcceptSSL(t *testing.T) {
	p := newSSLPair(t, &ssltest.Options{Verify: ssltest.VerifyCustom}, &ssltest.Options{})
	asked, refuse := 0, false
	e, err := NewEndpoint(&Config{AcceptSSL: func(local, remote netip.AddrPort) uintptr {
		if asked++; local != aloneServer || remote != aloneClient {
			t.Errorf("asked for a connection from %v to %v", remote, local)
		}
		if refuse {
			return 0
		}
		return p.serverProgram.SSL("", "")
	}})
	p.must(err)
	for _, refuse = range []bool{false, true} {
		p.client, err = Connect(p.now, &Config{}, ConnectParams{Local: aloneClient, Remote: aloneServer, SSL: p.clientProgram.SSL(scriptedName, sslProtocols)})
		p.must(err)
		p.server = nil
		p.onDatagram = p.through(e)
		p.run()
		if refuse {
			if want := (&TransportError{Code: ConnectionRefused, Remote: true}); p.client.Err() == nil || !want.Is(p.client.Err()) {
				t.Errorf("a client that is refused: %v", p.client.Err())
			}
		} else {
			p.wantWorking("over an Endpoint")
		}
		p.release()
	}
	if asked == 0 || p.serverProgram.Freed() != 1 {
		t.Errorf("asked for %d SSLs, %d were freed", asked, p.serverProgram.Freed())
	}
}
