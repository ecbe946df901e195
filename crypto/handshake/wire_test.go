package handshake_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// Types of handshake messages and extensions (RFC 8446, sections 4 and 4.2) that the tests speak of.
const (
	msgClientHello         = 1
	msgServerHello         = 2
	msgNewSessionTicket    = 4
	msgEndOfEarlyData      = 5
	msgEncryptedExtensions = 8
	msgCertificate         = 11
	msgCertificateRequest  = 13
	msgCertificateVerify   = 15
	msgFinished            = 20

	extSupportedGroups     = 10
	extALPN                = 16
	extSupportedVersions   = 43
	extKeyShare            = 51
	extTransportParameters = 57
)

// message is a TLS handshake message.
type message struct {
	kind byte
	body []byte
}

func (m message) bytes() []byte {
	n := len(m.body)
	return append([]byte{m.kind, byte(n >> 16), byte(n >> 8), byte(n)}, m.body...)
}

// messages splits b into whole messages.
func messages(t testing.TB, b []byte) (out []message) {
	t.Helper()
	for len(b) > 0 {
		n := 4 + (int(b[1])<<16 | int(b[2])<<8 | int(b[3]))
		if n > len(b) {
			t.Fatalf("a message of %d bytes has %d", n, len(b))
		}
		out = append(out, message{b[0], b[4:n]})
		b = b[n:]
	}
	return out
}

// extension is one of a ClientHello, ServerHello or EncryptedExtensions.
type extension struct {
	kind uint16
	data []byte
}

// cutExtensions parts a message into what stands before its extensions, and those.
func cutExtensions(t testing.TB, m message) (before []byte, out []extension) {
	t.Helper()
	off := 0
	switch m.kind {
	case msgClientHello:
		off = 2 + 32
		off += 1 + int(m.body[off])                           // legacy_session_id
		off += 2 + int(binary.BigEndian.Uint16(m.body[off:])) // cipher_suites
		off += 1 + int(m.body[off])                           // legacy_compression_methods
	case msgServerHello:
		off = 2 + 32
		off += 1 + int(m.body[off]) + 2 + 1
	case msgEncryptedExtensions:
	default:
		t.Fatalf("message %d has no extensions known to the test", m.kind)
	}
	for b := m.body[off+2:]; len(b) > 0; {
		n := 4 + int(binary.BigEndian.Uint16(b[2:]))
		out = append(out, extension{binary.BigEndian.Uint16(b), b[4:n]})
		b = b[n:]
	}
	return m.body[:off], out
}

// editExtensions returns m with each extension as edit returns it, without those for which edit returns false.
func editExtensions(t testing.TB, m message, edit func(e extension) (extension, bool)) message {
	t.Helper()
	before, exts := cutExtensions(t, m)
	var b []byte
	for _, e := range exts {
		if e, keep := edit(e); keep {
			b = binary.BigEndian.AppendUint16(b, e.kind)
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(e.data))), e.data...)
		}
	}
	body := binary.BigEndian.AppendUint16(bytes.Clone(before), uint16(len(b)))
	return message{m.kind, append(body, b...)}
}

// without is an edit that leaves an extension out.
func without(kind uint16) func(extension) (extension, bool) {
	return func(e extension) (extension, bool) { return e, e.kind != kind }
}

// findExtension returns the value of an extension of m, nil if it is not there.
func findExtension(t testing.TB, m message, kind uint16) []byte {
	t.Helper()
	_, exts := cutExtensions(t, m)
	for _, e := range exts {
		if e.kind == kind {
			return e.data
		}
	}
	return nil
}

// tampered is a peer whose handshake bytes a test changes, message by message.
type tampered struct {
	peer
	t    testing.TB
	edit func(level handshake.Level, m message) []byte
}

func (p tampered) pump() []sent {
	out := p.peer.pump()
	for i, s := range out {
		var b []byte
		for _, m := range messages(p.t, s.data) {
			b = append(b, p.edit(s.level, m)...)
		}
		out[i].data = b
	}
	return out
}

// changing returns p with messages of one kind as edit makes them.
func changing(t testing.TB, p peer, kind byte, edit func(m message) []byte) peer {
	return tampered{p, t, func(_ handshake.Level, m message) []byte {
		if m.kind == kind {
			return edit(m)
		}
		return m.bytes()
	}}
}
