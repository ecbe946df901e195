package handshake_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// theirs is crypto/tls's end of a handshake.
type theirs struct {
	t      testing.TB
	conn   *tls.QUICConn
	client bool

	read, write map[handshake.Level][]byte
	params      []byte
	complete    bool
	early       bool // a server: tickets allow 0-RTT
	err         error
}

func newTheirs(t testing.TB, cfg *tls.Config, client bool) *theirs {
	t.Helper()
	cfg = cfg.Clone()
	cfg.MinVersion = tls.VersionTLS13
	p := &theirs{t: t, client: client, read: map[handshake.Level][]byte{}, write: map[handshake.Level][]byte{}}
	if client {
		p.conn = tls.QUICClient(&tls.QUICConfig{TLSConfig: cfg})
	} else {
		p.conn = tls.QUICServer(&tls.QUICConfig{TLSConfig: cfg})
	}
	p.conn.SetTransportParameters([]byte("our params"))
	t.Cleanup(func() { p.conn.Close() })
	return p
}

func (p *theirs) start() error {
	p.err = p.conn.Start(context.Background())
	return p.err
}

func (p *theirs) feed(level handshake.Level, data []byte) {
	if p.err == nil {
		p.err = p.conn.HandleData(tls.QUICEncryptionLevel(level), data)
	}
}

func (p *theirs) pump() (out []sent) {
	for {
		ev := p.conn.NextEvent()
		level := handshake.Level(ev.Level)
		switch ev.Kind {
		case tls.QUICNoEvent:
			return out
		case tls.QUICSetReadSecret:
			p.read[level] = clone(ev.Data)
		case tls.QUICSetWriteSecret:
			p.write[level] = clone(ev.Data)
		case tls.QUICWriteData:
			out = append(out, sent{level, clone(ev.Data)})
		case tls.QUICTransportParameters:
			p.params = clone(ev.Data)
		case tls.QUICHandshakeDone:
			p.complete = true
			if !p.client {
				p.err = p.conn.SendSessionTicket(tls.QUICSessionTicketOptions{EarlyData: p.early})
			}
		}
	}
}

// wantAgree asserts that ours and theirs are done with the same secrets, parameters and keying material.
func wantAgree(t testing.TB, o *ours, p *theirs) {
	t.Helper()
	if !o.complete || !p.complete {
		t.Fatalf("complete: ours %v (alert %d, %v), theirs %v (%v)", o.complete, o.alert, o.err, p.complete, p.err)
	}
	for _, level := range []handshake.Level{handshake.Handshake, handshake.Application} {
		if !bytes.Equal(o.write[level], p.read[level]) || !bytes.Equal(o.read[level], p.write[level]) {
			t.Fatalf("secrets of level %d differ", level)
		}
	}
	if string(o.params) != "our params" || string(p.params) != "our params" {
		t.Fatalf("transport parameters %q and %q", o.params, p.params)
	}
	a, b := o.conn.ConnectionState(), p.conn.ConnectionState()
	if a.CipherSuite != b.CipherSuite || a.CurveID != b.CurveID || a.NegotiatedProtocol != b.NegotiatedProtocol ||
		a.DidResume != b.DidResume || a.ServerName != b.ServerName {
		t.Errorf("states differ: %+v and %+v", a, b)
	}
	mine, err := a.ExportKeyingMaterial("EXPORTER-x", nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.ExportKeyingMaterial("EXPORTER-x", nil, 64)
	if err != nil || !bytes.Equal(mine, other) {
		t.Errorf("keying material differs (%v)", err)
	}
}
