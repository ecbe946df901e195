package handshake_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// TestAttackT3ServerCertificates has servers show certificates that a client must refuse, and one that it must not.
func TestAttackT3ServerCertificates(t *testing.T) {
	named := func(c *x509.Certificate) { c.DNSNames = []string{"elsewhere.test"} }
	intermediate := issue(t, ecdsaKey(t, p256), authority(), func(c *x509.Certificate) { c.IsCA = true })
	chained := issue(t, ecdsaKey(t, p256), intermediate, nil)
	gap := issue(t, ecdsaKey(t, p256), intermediate, nil)
	gap.tls.Certificate = gap.tls.Certificate[:1]
	tests := []struct {
		name  string
		cert  *issued
		alert uint8
		check func(error) bool
	}{
		{"intermediate", chained, 0, nil},
		{"missing intermediate", gap, 48, isA[x509.UnknownAuthorityError]},
		{"unknown authority", issue(t, ecdsaKey(t, p256), nil, nil), 48, isA[x509.UnknownAuthorityError]},
		{"wrong name", issue(t, ecdsaKey(t, p256), authority(), named), 42, isA[x509.HostnameError]},
		{"address in place of a name", issue(t, ecdsaKey(t, p256), authority(), addresses), 42, isA[x509.HostnameError]},
		{"expired", issue(t, ecdsaKey(t, p256), authority(), func(c *x509.Certificate) {
			c.NotAfter = time.Now().Add(-time.Minute)
		}), 45, isA[x509.CertificateInvalidError]},
		{"not yet valid", issue(t, ecdsaKey(t, p256), authority(), func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(time.Minute)
		}), 45, isA[x509.CertificateInvalidError]},
		{"for clients alone", issue(t, ecdsaKey(t, p256), authority(), func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), 42, isA[x509.CertificateInvalidError]},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, server := clientConfig(), serverConfig()
			server.Certificates = []tls.Certificate{test.cert.tls}
			c, s := pair(t, client, server)
			if test.alert == 0 {
				wantComplete(t, c, s)
				return
			}
			wantAlert(t, c, test.alert)
			wantX509Error(t, c.err, test.cert)
			if !test.check(c.err) {
				t.Errorf("%v does not unwrap to what crypto/x509 said", c.err)
			}
			if s.complete {
				t.Error("the server's handshake is complete")
			}
			// The same certificate passes a client that does not look.
			client.InsecureSkipVerify = true
			c, s = pair(t, client, server)
			wantComplete(t, c, s)
		})
	}
}

func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// TestClientHellos has a server read ClientHellos that are not as RFC 9001 wants them.
func TestClientHellos(t *testing.T) {
	drop := func(kind uint16) func(testing.TB, message) []byte {
		return func(t testing.TB, m message) []byte { return editExtensions(t, m, without(kind)).bytes() }
	}
	tests := []struct {
		name     string
		edit     func(t testing.TB, m message) []byte
		alert    uint8
		protocol bool // a ProtocolError
	}{
		{"no quic_transport_parameters (RFC 9001, section 8.2)", drop(extTransportParameters), 109, false},
		{"transport parameters under the draft's number alone", func(t testing.TB, m message) []byte {
			return editExtensions(t, m, func(e extension) (extension, bool) {
				if e.kind == extTransportParameters {
					e.kind = 0xffa5
				}
				return e, true
			}).bytes()
		}, 109, false},
		{"no ALPN (section 8.1)", drop(extALPN), 120, false},
		{"unknown protocol", func(t testing.TB, m message) []byte {
			return editExtensions(t, m, func(e extension) (extension, bool) {
				if e.kind == extALPN {
					e.data = []byte("\x00\x06\x05dummy")
				}
				return e, true
			}).bytes()
		}, 120, false},
		{"TLS 1.2", drop(extSupportedVersions), 70, false},
		{"no key share", drop(extKeyShare), 109, false},
		{"no groups", drop(extSupportedGroups), 109, false},
		{"legacy_session_id (section 8.4)", func(t testing.TB, m message) []byte {
			body := bytes.Clone(m.body[:34])
			body = append(append(body, 32), make([]byte, 32)...)
			return message{m.kind, append(body, m.body[35:]...)}.bytes()
		}, 47, true},
		{"a byte behind it (section 4.1.3)", func(t testing.TB, m message) []byte { return append(m.bytes(), 1) }, 10, true},
		{"a message behind it", func(t testing.TB, m message) []byte { return append(m.bytes(), m.bytes()...) }, 10, true},
		{"another message first", func(t testing.TB, m message) []byte {
			return append(message{msgFinished, make([]byte, 32)}.bytes(), m.bytes()...)
		}, 10, false},
		{"too long a message", func(t testing.TB, m message) []byte {
			return message{msgClientHello, make([]byte, 16<<10+1)}.bytes()
		}, 47, false},
		{"nothing in it", func(t testing.TB, m message) []byte { return message{kind: msgClientHello}.bytes() }, 50, false},
		{"cut short", func(t testing.TB, m message) []byte { return message{m.kind, m.body[:60]}.bytes() }, 50, false},
	}
	for _, test := range tests {
		for _, callback := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, callback %v", test.name, callback), func(t *testing.T) {
				server := serverConfig()
				if callback {
					server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
				}
				c := newOurs(t, newContext(t, true), clientConfig(), handshake.Params{})
				s := newOurs(t, newContext(t, false), server, handshake.Params{})
				shake(t, changing(t, c, msgClientHello, func(m message) []byte { return test.edit(t, m) }), s)
				if test.protocol {
					wantProtocolError(t, s)
					return
				}
				wantAlert(t, s, test.alert)
				if !errors.Is(s.err, tls.AlertError(test.alert)) {
					t.Errorf("%v does not unwrap to the alert", s.err)
				}
			})
		}
	}
}

// TestServerFlights has a client read what no server may say.
func TestServerFlights(t *testing.T) {
	flip := func(m message) []byte {
		body := bytes.Clone(m.body)
		body[len(body)-1] ^= 1
		return message{m.kind, body}.bytes()
	}
	tests := []struct {
		name  string
		kind  byte
		edit  func(t testing.TB, m message) []byte
		alert uint8
	}{
		{"no ALPN selected (RFC 9001, section 8.1)", msgEncryptedExtensions, func(t testing.TB, m message) []byte {
			return editExtensions(t, m, without(extALPN)).bytes()
		}, 120},
		{"no transport parameters (section 8.2)", msgEncryptedExtensions, func(t testing.TB, m message) []byte {
			return editExtensions(t, m, without(extTransportParameters)).bytes()
		}, 109},
		{"a protocol that was not offered", msgEncryptedExtensions, func(t testing.TB, m message) []byte {
			return editExtensions(t, m, func(e extension) (extension, bool) {
				if e.kind == extALPN {
					e.data = []byte("\x00\x06\x05dummy")
				}
				return e, true
			}).bytes()
		}, 47},
		{"an extension that was not asked for", msgEncryptedExtensions, func(t testing.TB, m message) []byte {
			return editExtensions(t, m, func(e extension) (extension, bool) {
				if e.kind == extALPN {
					e = extension{0xfe00, []byte{1}}
				}
				return e, true
			}).bytes()
		}, 110},
		{"a key share of another group", msgServerHello, func(t testing.TB, m message) []byte {
			return editExtensions(t, m, func(e extension) (extension, bool) {
				if e.kind == extKeyShare {
					e.data = append(binary.BigEndian.AppendUint16(nil, uint16(tls.CurveP521)), e.data[2:]...)
				}
				return e, true
			}).bytes()
		}, 47},
		{"TLS 1.2", msgServerHello, func(t testing.TB, m message) []byte {
			return editExtensions(t, m, without(extSupportedVersions)).bytes()
		}, 70},
		{"a cipher suite of TLS 1.2", msgServerHello, func(t testing.TB, m message) []byte {
			body := bytes.Clone(m.body)
			binary.BigEndian.PutUint16(body[35:], tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
			return message{m.kind, body}.bytes()
		}, 47},
		{"a wrong signature", msgCertificateVerify, func(t testing.TB, m message) []byte { return flip(m) }, 51},
		{"a signature by an algorithm that was not offered", msgCertificateVerify, func(t testing.TB, m message) []byte {
			return message{m.kind, append([]byte{0x02, 0x01}, m.body[2:]...)}.bytes()
		}, 47},
		{"a wrong Finished", msgFinished, func(t testing.TB, m message) []byte { return flip(m) }, 51},
		{"no certificate", msgCertificate, func(t testing.TB, m message) []byte {
			return message{m.kind, make([]byte, 4)}.bytes()
		}, 50},
		{"a certificate that is none", msgCertificate, func(t testing.TB, m message) []byte {
			return message{m.kind, []byte{0, 0, 0, 8, 0, 0, 3, 1, 2, 3, 0, 0}}.bytes()
		}, 50},
		{"bytes behind Finished", msgFinished, func(t testing.TB, m message) []byte { return append(m.bytes(), 4) }, 10},
		{"KeyUpdate in the handshake (section 6)", msgFinished, func(t testing.TB, m message) []byte {
			return append([]byte{24, 0, 0, 1, 0}, m.bytes()...)
		}, 10},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newOurs(t, newContext(t, true), clientConfig(), handshake.Params{})
			s := newOurs(t, newContext(t, false), serverConfig(), handshake.Params{})
			changed := 0
			shake(t, c, changing(t, s, test.kind, func(m message) []byte {
				changed++
				return test.edit(t, m)
			}))
			if changed != 1 {
				t.Fatalf("%d messages were changed", changed)
			}
			wantAlert(t, c, test.alert)
		})
	}
}

// TestMessagesOutOfPlace feeds messages that TLS 1.3 or QUIC forbids where they come.
func TestMessagesOutOfPlace(t *testing.T) {
	keyUpdate := []byte{24, 0, 0, 1, 1}
	ticket := func(earlyData uint32) []byte {
		body := []byte{0, 0, 1, 0, 1, 2, 3, 4, 0, 0, 1, 'T', 0, 8, 0, 42, 0, 4}
		return message{msgNewSessionTicket, binary.BigEndian.AppendUint32(body, earlyData)}.bytes()
	}
	tests := []struct {
		name     string
		client   bool // it is a client that reads it
		early    bool // before the client's Finished
		level    handshake.Level
		data     []byte
		alert    uint8
		protocol bool
	}{
		{"KeyUpdate at a server's Handshake level, early", false, true, handshake.Handshake, keyUpdate, 10, false},
		{"KeyUpdate at a server's Handshake level", false, false, handshake.Handshake, keyUpdate, 10, false},
		{"KeyUpdate at a server", false, false, handshake.Application, keyUpdate, 10, false},
		{"KeyUpdate at a client", true, false, handshake.Application, keyUpdate, 10, false},
		{"EndOfEarlyData (section 8.3)", false, true, handshake.Handshake, []byte{msgEndOfEarlyData, 0, 0, 0}, 10, false},
		{"Initial bytes after the ClientHello (section 4.1.3)", false, true, handshake.Initial, []byte{0}, 10, true},
		{"Initial bytes at a client", true, false, handshake.Initial, []byte{0}, 10, true},
		{"Handshake bytes at a client", true, false, handshake.Handshake, []byte{0}, 10, true},
		{"1-RTT bytes before the end", false, true, handshake.Application, []byte{4}, 10, true},
		{"0-RTT bytes (section 8.3)", false, true, handshake.EarlyData, []byte{4}, 10, true},
		{"a ticket from a client", false, false, handshake.Application, ticket(0xffffffff), 10, false},
		{"CertificateRequest after the handshake (section 4.4)", true, false, handshake.Application,
			message{msgCertificateRequest, []byte{0, 0, 8, 0, 13, 0, 4, 0, 2, 8, 7}}.bytes(), 10, true},
		{"max_early_data_size 1 (section 4.6.1)", true, false, handshake.Application, ticket(1), 47, true},
		{"a broken ticket", true, false, handshake.Application, message{msgNewSessionTicket, []byte{0}}.bytes(), 50, false},
		{"Finished once more", true, false, handshake.Application, message{msgFinished, make([]byte, 32)}.bytes(), 10, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newOurs(t, newContext(t, true), clientConfig(), handshake.Params{})
			s := newOurs(t, newContext(t, false), serverConfig(), handshake.Params{})
			victim := s
			if test.client {
				victim = c
			}
			if test.early {
				if err := c.start(); err != nil {
					t.Fatal(err)
				}
				for _, m := range c.pump() {
					s.feed(m.level, m.data)
				}
				s.pump()
			} else {
				shake(t, c, s)
				wantComplete(t, c, s)
			}
			if err := victim.conn.Feed(test.level, test.data); err == nil {
				t.Error("Feed returned no error")
			}
			victim.pump()
			if test.protocol {
				wantProtocolError(t, victim)
			}
			if victim.alerts != 1 || victim.alert != test.alert && !test.protocol {
				t.Errorf("alert %d (%d times, %v), want %d", victim.alert, victim.alerts, victim.err, test.alert)
			}
		})
	}
	// What is not out of place.
	c, s := pair(t, clientConfig(), serverConfig())
	wantComplete(t, c, s)
	told := c.tickets
	if err := c.conn.Feed(handshake.Application, ticket(0xffffffff)); err != nil {
		t.Error(err)
	}
	if c.pump(); c.tickets != told+1 || c.alerts != 0 {
		t.Errorf("a good ticket: %d were told", c.tickets-told)
	}
}

// TestTamper changes each byte of each end's flight in turn: neither a panic nor an agreement may come of it.
func TestTamper(t *testing.T) {
	clients, servers := newContext(t, true), newContext(t, false)
	client, server := clientConfig(), serverConfig()
	client.CurvePreferences = []tls.CurveID{tls.X25519}
	// attempt changes the byte at an offset and tells how many bytes there are.
	attempt := func(fromClient bool, at int) int {
		c := newOurs(t, clients, client, handshake.Params{})
		s := newOurs(t, servers, server, handshake.Params{})
		defer c.conn.Release()
		defer s.conn.Release()
		spoiler := &spoiler{at: at, bit: byte(1) << rand.N(8)}
		if fromClient {
			spoiler.peer = c
			shake(t, spoiler, s)
		} else {
			spoiler.peer = s
			shake(t, c, spoiler)
		}
		if agreed := c.complete && s.complete; agreed != (at < 0) {
			t.Fatalf("complete %v, with byte %d changed (bit %02x, from the client: %v)", agreed, at, spoiler.bit, fromClient)
		}
		return spoiler.seen
	}
	for _, fromClient := range []bool{true, false} {
		for at := range attempt(fromClient, -1) {
			attempt(fromClient, at)
		}
	}
}

// spoiler changes one bit of what a peer sends.
type spoiler struct {
	peer
	at   int
	bit  byte
	seen int
}

func (p *spoiler) pump() []sent {
	out := p.peer.pump()
	for _, s := range out {
		if s.level == handshake.Application {
			continue // tickets, which no Finished protects
		}
		if i := p.at - p.seen; i >= 0 && i < len(s.data) {
			s.data[i] ^= p.bit
		}
		p.seen += len(s.data)
	}
	return out
}

// TestAttackT2ErrorQueues has handshakes fail and succeed in turns on many threads, each for its own reason: BoringSSL's error
// queues, one a thread, may not mix them up.
func TestAttackT2ErrorQueues(t *testing.T) {
	clients, servers := newContext(t, true), newContext(t, false)
	type kind struct {
		name  string
		edit  func(message) message
		alert uint8
		text  string
	}
	kinds := []kind{
		{"good", func(m message) message { return m }, 0, ""},
		{"no ALPN", func(m message) message { return editExtensions(t, m, without(extALPN)) }, 120, "NO_APPLICATION_PROTOCOL"},
		{"TLS 1.2", func(m message) message { return editExtensions(t, m, without(extSupportedVersions)) }, 70,
			"UNSUPPORTED_PROTOCOL"},
		{"cut", func(m message) message { return message{m.kind, m.body[:60]} }, 50, "CLIENTHELLO_PARSE_FAILED"},
		{"no parameters", func(m message) message { return editExtensions(t, m, without(extTransportParameters)) }, 109,
			"MISSING_EXTENSION"},
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 40 {
				k := kinds[(worker+i)%len(kinds)]
				c := newOurs(t, clients, clientConfig(), handshake.Params{})
				s := newOurs(t, servers, serverConfig(), handshake.Params{})
				edited := changing(t, c, msgClientHello, func(m message) []byte {
					runtime.Gosched() // so that the handshake goes on in another thread, maybe
					return k.edit(m).bytes()
				})
				shake(t, edited, s)
				switch {
				case k.alert == 0 && !(c.complete && s.complete):
					t.Errorf("%s: %v, %v", k.name, c.err, s.err)
				case k.alert != 0 && (s.alert != k.alert || !strings.Contains(s.err.Error(), k.text)):
					t.Errorf("%s: alert %d, %v", k.name, s.alert, s.err)
				}
			}
		})
	}
	wg.Wait()
}
