package handshake_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// crumbled is a peer whose bytes arrive in pieces of a size.
type crumbled struct {
	peer
	size int
}

func (p crumbled) pump() (out []sent) {
	for _, s := range p.peer.pump() {
		for piece := range slices.Chunk(s.data, p.size) {
			out = append(out, sent{s.level, piece})
		}
	}
	return out
}

// TestCrumbs feeds handshakes of all kinds in small pieces, in both roles.
func TestCrumbs(t *testing.T) {
	retry := serverConfig()
	retry.CurvePreferences = []tls.CurveID{tls.CurveP256}
	asking := serverConfig()
	asking.ClientAuth, asking.ClientCAs = tls.RequireAndVerifyClientCert, authority().pool()
	asking.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
	asking.Certificates = []tls.Certificate{leaf().tls}
	asking.Certificates[0].PrivateKey = opaque{leaf().key}
	client := clientConfig()
	client.Certificates = []tls.Certificate{leaf().tls}
	for name, server := range map[string]*tls.Config{"plain": serverConfig(), "HelloRetryRequest": retry, "asking": asking} {
		for _, size := range []int{1, 2, 7, 1000} {
			t.Run(fmt.Sprintf("%s by %d", name, size), func(t *testing.T) {
				c := newOurs(t, newContext(t, true), client, handshake.Params{})
				s := newOurs(t, newContext(t, false), server, handshake.Params{})
				shake(t, crumbled{c, size}, crumbled{s, size})
				wantComplete(t, c, s)

				o, p := newOurs(t, newContext(t, true), client, handshake.Params{}), newTheirs(t, server, false)
				shake(t, o, crumbled{p, size})
				wantAgree(t, o, p)

				o, p = newOurs(t, newContext(t, false), server, handshake.Params{}), newTheirs(t, client, true)
				shake(t, crumbled{p, size}, o)
				wantAgree(t, o, p)
			})
		}
	}
}

// TestClientHelloSpansPackets has the default ClientHello not fit into one Initial packet, its key shares being those of
// crypto/tls.
func TestClientHelloSpansPackets(t *testing.T) {
	c := newOurs(t, newContext(t, true), clientConfig(), handshake.Params{})
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	var hello []byte
	for _, s := range c.pump() {
		hello = append(hello, s.data...)
	}
	if len(hello) < 1250 {
		t.Errorf("a ClientHello of %d bytes", len(hello))
	}
	p := newTheirs(t, clientConfig(), true)
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	var theirHello []byte
	for _, s := range p.pump() {
		theirHello = append(theirHello, s.data...)
	}
	ours := keyShares(t, messages(t, hello)[0])
	theirs := keyShares(t, messages(t, theirHello)[0])
	if want := []tls.CurveID{tls.X25519MLKEM768, tls.X25519}; !slices.Equal(ours, want) || !slices.Equal(theirs, want) {
		t.Errorf("our key shares %v, those of crypto/tls %v", ours, theirs)
	}
	groups := findExtension(t, messages(t, hello)[0], extSupportedGroups)
	var offered []tls.CurveID
	for b := groups[2:]; len(b) > 0; b = b[2:] {
		offered = append(offered, tls.CurveID(binary.BigEndian.Uint16(b)))
	}
	if want := []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}; !slices.Equal(offered, want) {
		t.Errorf("groups %v", offered)
	}
}

// keyShares are the groups for which a ClientHello has a key share, or a ServerHello has one.
func keyShares(t *testing.T, m message) (out []tls.CurveID) {
	t.Helper()
	b := findExtension(t, m, extKeyShare)
	if m.kind == msgServerHello {
		return []tls.CurveID{tls.CurveID(binary.BigEndian.Uint16(b))}
	}
	for b = b[2:]; len(b) > 0; b = b[4+int(binary.BigEndian.Uint16(b[2:])):] {
		out = append(out, tls.CurveID(binary.BigEndian.Uint16(b)))
	}
	return out
}

// TestServerChoosesGroup has a server choose as crypto/tls does: post-quantum first, and then what saves a round trip.
func TestServerChoosesGroup(t *testing.T) {
	tests := []struct {
		name   string
		client []tls.CurveID // offered, in this order; a key share for the first
		server []tls.CurveID
		want   tls.CurveID
	}{
		{"post-quantum, although it stands last", []tls.CurveID{tls.X25519, tls.X25519MLKEM768}, nil, tls.X25519MLKEM768},
		{"a key share that is there", []tls.CurveID{tls.CurveP256, tls.X25519}, nil, tls.CurveP256},
		{"a key share for the last of ours", []tls.CurveID{tls.CurveP521, tls.X25519}, nil, tls.CurveP521},
		{"what both have", []tls.CurveID{tls.X25519, tls.CurveP384}, []tls.CurveID{tls.CurveP521, tls.CurveP384}, tls.CurveP384},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, server := clientConfig(), serverConfig()
			client.CurvePreferences, server.CurvePreferences = test.client[:1], test.server
			reorder := func(m message) []byte {
				return editExtensions(t, m, func(e extension) (extension, bool) {
					if e.kind == extSupportedGroups {
						e.data = binary.BigEndian.AppendUint16(nil, uint16(2*len(test.client)))
						for _, group := range test.client {
							e.data = binary.BigEndian.AppendUint16(e.data, uint16(group))
						}
					}
					return e, true
				}).bytes()
			}
			// Both servers see the same ClientHello; the handshake cannot go on behind it.
			c := newOurs(t, newContext(t, true), client, handshake.Params{})
			s := newOurs(t, newContext(t, false), server, handshake.Params{})
			p := newTheirs(t, server, false)
			for _, err := range []error{c.start(), p.start()} {
				if err != nil {
					t.Fatal(err)
				}
			}
			hello := changing(t, c, msgClientHello, reorder).pump()[0]
			for name, server := range map[string]peer{"ours": s, "crypto/tls": p} {
				server.feed(hello.level, hello.data)
				out := server.pump()
				if len(out) == 0 {
					t.Fatalf("%s says nothing: %v, %v", name, s.err, p.err)
				}
				if got := keyShares(t, messages(t, out[0].data)[0])[0]; got != test.want {
					t.Errorf("%s chose %v, want %v", name, got, test.want)
				}
			}
		})
	}
}

// TestCipherSuite has a client offer one suite by Params.CipherSuite, to both servers, with HelloRetryRequest too; a server that chooses
// another one all the same, and suites that cannot be offered, are refused.
func TestCipherSuite(t *testing.T) {
	for suite := uint16(tls.TLS_AES_128_GCM_SHA256); suite <= tls.TLS_CHACHA20_POLY1305_SHA256; suite++ {
		for _, retry := range []bool{false, true} {
			server := serverConfig()
			if retry {
				server.CurvePreferences = []tls.CurveID{tls.CurveP256}
			}
			c := newOurs(t, newContext(t, true), clientConfig(), handshake.Params{CipherSuite: suite, Session: []byte("none")})
			s := newOurs(t, newContext(t, false), server, handshake.Params{})
			shake(t, c, s)
			wantComplete(t, c, s)
			o := newOurs(t, newContext(t, true), clientConfig(), handshake.Params{CipherSuite: suite})
			p := newTheirs(t, server, false)
			shake(t, o, p)
			wantAgree(t, o, p)
			for _, o := range []*ours{c, s, o} {
				if got := o.conn.ConnectionState().CipherSuite; got != suite || o.suite != suite {
					t.Errorf("%s, HelloRetryRequest %v: got %#x, told %#x", tls.CipherSuiteName(suite), retry, got, o.suite)
				}
			}
		}
		c := newOurs(t, newContext(t, true), clientConfig(), handshake.Params{CipherSuite: suite})
		if err := c.start(); err != nil {
			t.Fatal(err)
		}
		hello := messages(t, c.pump()[0].data)[0]
		off := 2 + 32
		off += 1 + int(hello.body[off])
		suites := hello.body[off+2 : off+2+int(binary.BigEndian.Uint16(hello.body[off:]))]
		for ; len(suites) > 0; suites = suites[2:] {
			if got := binary.BigEndian.Uint16(suites); got != suite {
				t.Errorf("%s: the client offers %#x too", tls.CipherSuiteName(suite), got)
			}
			other := uint16(tls.TLS_AES_128_GCM_SHA256)
			if suite == other {
				other = tls.TLS_AES_256_GCM_SHA384
			}
			binary.BigEndian.PutUint16(suites, other)
		}
		s := newOurs(t, newContext(t, false), serverConfig(), handshake.Params{})
		s.feed(handshake.Initial, hello.bytes())
		for _, f := range s.pump() {
			c.feed(f.level, f.data)
		}
		c.pump()
		if c.err == nil || c.alert != 47 {
			t.Errorf("a server chose what was not offered: alert %d, %v", c.alert, c.err)
		}
	}
	for _, suite := range []uint16{1, 0x1304, 0xc02f} {
		if _, err := newContext(t, true).New(clientConfig(), handshake.Params{CipherSuite: suite}); err == nil {
			t.Errorf("suite %#x was taken", suite)
		}
	}
}

// offering is a client of ours that offers one cipher suite alone.
func offering(t *testing.T, suite uint16) (*ours, peer) {
	ctx := newContext(t, true)
	ctx.OfferOnly(suite)
	o := newOurs(t, ctx, clientConfig(), handshake.Params{})
	return o, changing(t, o, msgClientHello, func(m message) []byte {
		off := 2 + 32
		off += 1 + int(m.body[off]) // legacy_session_id
		n := int(binary.BigEndian.Uint16(m.body[off:]))
		for suites := m.body[off+2 : off+2+n]; len(suites) > 0; suites = suites[2:] {
			binary.BigEndian.PutUint16(suites, suite)
		}
		return m.bytes()
	})
}

// TestSuites has a client offer each cipher suite alone, to both servers, also with HelloRetryRequest.
func TestSuites(t *testing.T) {
	for _, suite := range []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256} {
		t.Run(tls.CipherSuiteName(suite), func(t *testing.T) {
			c, onlyC := offering(t, suite)
			s := newOurs(t, newContext(t, false), serverConfig(), handshake.Params{})
			shake(t, onlyC, s)
			wantComplete(t, c, s)
			o, onlyO := offering(t, suite)
			p := newTheirs(t, serverConfig(), false)
			shake(t, onlyO, p)
			wantAgree(t, o, p)
			retry := serverConfig()
			retry.CurvePreferences = []tls.CurveID{tls.CurveP256}
			r, onlyR := offering(t, suite)
			p = newTheirs(t, retry, false)
			shake(t, onlyR, p)
			wantAgree(t, r, p)
			for _, o := range []*ours{c, s, o, r} {
				if got := o.conn.ConnectionState().CipherSuite; got != suite || o.suite != suite {
					t.Errorf("suite %04x", got)
				}
			}
			a, errA := c.conn.ExportKeyingMaterial("label", []byte{1}, 100)
			b, errB := s.conn.ExportKeyingMaterial("label", []byte{1}, 100)
			if errA != nil || errB != nil || !bytes.Equal(a, b) {
				t.Errorf("keying material: %v, %v", errA, errB)
			}
		})
	}
}

func TestExportKeyingMaterial(t *testing.T) {
	c, s := pair(t, clientConfig(), serverConfig())
	wantComplete(t, c, s)
	export := func(o *ours, label string, context []byte, n int) string {
		b, err := o.conn.ExportKeyingMaterial(label, context, n)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != n {
			t.Fatalf("%d bytes, want %d", len(b), n)
		}
		return string(b)
	}
	one := export(c, "label", []byte("context"), 32)
	for name, other := range map[string]string{
		"label": export(s, "label2", []byte("context"), 32), "context": export(s, "label", []byte("contexts"), 32),
		"length": export(s, "label", []byte("context"), 33)[:32],
	} {
		if one == other {
			t.Errorf("the %s makes no difference", name)
		}
	}
	if export(c, "label", nil, 32) != export(c, "label", []byte{}, 32) {
		t.Error("an empty context is not the same as none (RFC 8446, section 7.5)")
	}
	export(c, "label", nil, 0)
	for name, export := range map[string]func() ([]byte, error){
		"too much": func() ([]byte, error) { return c.conn.ExportKeyingMaterial("label", nil, 255*64+1) },
		"negative": func() ([]byte, error) { return c.conn.ExportKeyingMaterial("label", nil, -1) },
		"label":    func() ([]byte, error) { return c.conn.ExportKeyingMaterial(string(make([]byte, 300)), nil, 1) },
		"too early": func() ([]byte, error) {
			return newOurs(t, newContext(t, true), clientConfig(), handshake.Params{}).conn.ExportKeyingMaterial("label", nil, 1)
		},
	} {
		if _, err := export(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestAnswers hands back Asks that are not to be answered, and feeds a Conn that waits for an answer.
func TestAnswers(t *testing.T) {
	server := serverConfig()
	server.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &leaf().tls, nil }
	c := newOurs(t, newContext(t, true), clientConfig(), handshake.Params{})
	s := newOurs(t, newContext(t, false), server, handshake.Params{})
	var ask *handshake.Ask
	s.onAsk = func(a *handshake.Ask) { ask = a }
	shake(t, c, s)
	if ask == nil || s.complete || len(s.write) != 0 {
		t.Fatal("the server did not wait for an answer")
	}
	if err := s.conn.Answer(ask); err == nil {
		t.Error("an Ask was answered that had not run")
	}
	if err := s.conn.Answer(nil); err == nil {
		t.Error("nil was an answer")
	}
	if err := s.conn.Answer(&handshake.Ask{}); err == nil {
		t.Error("another Ask was an answer")
	}
	ask.Run()
	if err := s.conn.Answer(ask); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.Answer(ask); err == nil {
		t.Error("an Ask was answered twice")
	}
	s.onAsk = nil
	converse(c, s)
	wantComplete(t, c, s)
	if err := s.conn.Answer(ask); err == nil {
		t.Error("an Ask was answered after the handshake")
	}

	// What arrives meanwhile waits, up to a bound.
	s = newOurs(t, newContext(t, false), server, handshake.Params{})
	s.onAsk = func(a *handshake.Ask) { ask = a }
	c = newOurs(t, newContext(t, true), clientConfig(), handshake.Params{})
	shake(t, c, s)
	n := 0
	for ; n < 1<<20 && s.conn.Feed(handshake.Initial, make([]byte, 1000)) == nil; n += 1000 {
	}
	if s.pump(); n > 64<<10 || s.alerts != 1 {
		t.Errorf("%d bytes were kept behind a ClientHello, %d alerts", n, s.alerts)
	}
	ask.Run()
	if err := s.conn.Answer(ask); err == nil {
		t.Error("a failed Conn took an answer")
	}
}

// TestLateTransportParameters has a server know its transport parameters after the client's alone.
func TestLateTransportParameters(t *testing.T) {
	server := serverConfig()
	server.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &leaf().tls, nil }
	c := newOurs(t, newContext(t, true), clientConfig(), handshake.Params{})
	s := newOurs(t, newContext(t, false), server, handshake.Params{TransportParameters: []byte("too early")})
	s.onParams = func() { s.conn.SetTransportParameters([]byte("our params")) }
	shake(t, c, s)
	wantComplete(t, c, s)
}

// TestMessageLimits has a client and a server send what is just not too long, and more.
func TestMessageLimits(t *testing.T) {
	filler := issue(t, ed25519Key(t), authority(), func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: make([]byte, 9<<10)}}
	}).tls.Certificate[0]
	long := func(n int) []tls.Certificate {
		cert := leaf().tls
		cert.Certificate = append(slices.Clone(cert.Certificate), slices.Repeat([][]byte{filler}, n)...)
		return []tls.Certificate{cert}
	}
	for _, test := range []struct {
		name                             string
		params, clientChain, serverChain int // bytes of transport parameters, certificates beside the leaf
		reads                            string
		want                             uint8
	}{
		{name: "a ClientHello of 15 KB", params: 14 << 10, reads: "server"},
		{name: "a ClientHello of 17 KB", params: 17 << 10, reads: "server", want: 47},
		{name: "a server's chain of 192 KB", serverChain: 20, reads: "client"},
		{name: "a server's chain of 211 KB", serverChain: 22, reads: "client", want: 47},
		{name: "a client's chain of 96 KB", clientChain: 10, reads: "server"},
		{name: "a client's chain of 115 KB", clientChain: 12, reads: "server", want: 47},
	} {
		client, server := clientConfig(), serverConfig()
		client.Certificates, server.Certificates = long(test.clientChain), long(test.serverChain)
		if test.clientChain > 0 {
			server.ClientAuth = tls.RequireAnyClientCert
		}
		c := newOurs(t, newContext(t, true), client, handshake.Params{TransportParameters: make([]byte, 10+test.params)})
		s := newOurs(t, newContext(t, false), server, handshake.Params{})
		shake(t, crumbled{c, 1000}, crumbled{s, 1000})
		victim := c
		if test.reads == "server" {
			victim = s
		}
		if test.want == 0 && !victim.complete || test.want != 0 && victim.alert != test.want {
			t.Errorf("%s: complete %v, %v", test.name, victim.complete, victim.err)
		}
	}
}

// TestLongest has names and parameters of the greatest length.
func TestLongest(t *testing.T) {
	client, server := clientConfig(), serverConfig()
	long := string(bytes.Repeat([]byte("a"), 255))
	client.NextProtos, server.NextProtos = []string{long}, []string{long}
	client.InsecureSkipVerify, client.ServerName = true, long
	params := bytes.Repeat([]byte("p"), 4000)
	c := newOurs(t, newContext(t, true), client, handshake.Params{TransportParameters: params})
	s := newOurs(t, newContext(t, false), server, handshake.Params{TransportParameters: params})
	shake(t, c, s)
	if !c.complete || !s.complete || !bytes.Equal(s.params, params) || !bytes.Equal(c.params, params) {
		t.Fatalf("complete %v and %v, %v, %v", c.complete, s.complete, c.err, s.err)
	}
	if state := s.conn.ConnectionState(); state.NegotiatedProtocol != long || state.ServerName != long {
		t.Errorf("state %+v", state)
	}
}
