package handshake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// A connection over an SSL of BoringSSL's that the program has made: with a context, certificates and callbacks of its own, of which nothing is
// known here. There is no tls.Config and no Ask: where TLS wants an answer, a callback of the program's gives it, at once or when it is called
// again.

// ErrSSLAdopted: the SSL belongs to another connection, and goes on to. Nothing was done to it.
var ErrSSLAdopted = errors.New("handshake: the SSL belongs to another connection")

// noConfig stands for the tls.Config of connections that have none.
var noConfig = new(tls.Config)

// Adopt returns a connection over ssl, the address of an SSL (of the BoringSSL that this package is linked with) that was made and not used. It
// belongs to the connection from then on, and is freed by Release; if Adopt fails it was freed at once, but after ErrSSLAdopted. Until Release the
// program may look at it as it likes, also after the connection has failed.
//
// TLS 1.3, the role, BoringSSL's interface for QUIC and quiet shutdown are set on it; all else is the program's. A client's handshake begins with
// the first call of Continue. The program's callbacks run on the goroutine, and the thread, that calls Feed and Continue.
func Adopt(ssl uintptr, client bool) (*Conn, error) {
	if ssl == 0 {
		return nil, errors.New("handshake: there is no SSL")
	}
	t, err := boring.Adopt(ssl, client)
	switch {
	case errors.Is(err, boring.ErrAdopted):
		return nil, ErrSSLAdopted
	case err != nil:
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return &Conn{tls: t, cfg: noConfig, setup: new(setup), client: client, stalled: client, readLevel: Initial}, nil
}

// foreign tells whether the SSL is the program's.
func (c *Conn) foreign() bool { return c.cfg == noConfig }

// Stalled tells whether Continue is to be called: a callback of the program's has said that it will know later, or a client has not begun.
func (c *Conn) Stalled() bool { return c.stalled && c.err == nil && !c.released }

// Continue begins a client's handshake over an SSL of the program's, and has its callbacks asked again that had no answer yet. An error comes as
// EventAlert too.
func (c *Conn) Continue() error {
	if c.Stalled() {
		c.run(boring.OpMore, c.readLevel, nil)
	}
	return c.err
}

// Restart has a client over an SSL of the program's begin its handshake anew, without a session.
func (c *Conn) Restart() error {
	switch {
	case c.err != nil:
		return c.err
	case !c.foreign() || !c.client || c.released:
		return errReleased
	}
	c.dropQueue()
	if !c.tls.Restart() {
		return errors.New("handshake: the SSL cannot begin anew")
	}
	c.stalled, c.readLevel, c.state, c.setup = true, Initial, state{}, new(setup)
	return nil
}

// SetEarlyContext sets what 0-RTT is bound to at a server over an SSL of the program's, as Params.EarlyContext does, in place of what the program
// has set. With nil none is accepted, whatever the program's context says.
func (c *Conn) SetEarlyContext(b []byte) {
	if c.tls != nil && c.err == nil && !c.tls.SetEarlyContext(b) {
		c.fail(alertInternalError, errMemory)
	}
}

// PeerTransportParameters returns the peer's quic_transport_parameters as they came, over an SSL of the program's; nil before, and after Release.
func (c *Conn) PeerTransportParameters() []byte {
	if !c.foreign() || c.tls == nil {
		return nil
	}
	return c.tls.PeerParams()
}

// noteALPN takes the protocol that BoringSSL names, in 0-RTT that of the session.
func (c *Conn) noteALPN() {
	if p := c.tls.ALPN(); string(p) != c.state.protocol {
		c.state.protocol = string(p)
	}
}

// foreignChain returns what the peer of an adopted SSL has shown; nothing while a callback runs, which can ask the SSL.
func (c *Conn) foreignChain() [][]byte {
	if c.tls == nil || c.tls.Running() {
		return nil
	}
	c.tls.PutPeerCertificates()
	b := c.tls.Drain(nil)
	var chain [][]byte
	for ev, n := boring.ConsumeEvent(b); n > 0; ev, n = boring.ConsumeEvent(b) {
		if ev.Kind == boring.EvPeerCerts {
			chain = splitChain(ev.Data)
		}
		b = b[n:]
	}
	return chain
}

// parseForeignChain is foreignChain for tls.ConnectionState, as far as crypto/x509 can read it.
func (c *Conn) parseForeignChain() []*x509.Certificate {
	certs, err := x509.ParseCertificates(bytes.Join(c.foreignChain(), nil))
	if err != nil {
		return nil
	}
	return certs
}

// exporter returns what ExportKeyingMaterial does over an adopted SSL. It does not look at the connection: whoever has a ConnectionState may call it
// while the connection goes on, and ends.
func (c *Conn) exporter() boring.Exporter {
	t := c.tls
	if t == nil || !c.state.complete {
		return func(string, []byte, int) ([]byte, error) { return nil, errNoExporter }
	}
	return func(label string, context []byte, n int) ([]byte, error) {
		const most = 255 * 32
		if n < 0 || n > most {
			return nil, errors.New("handshake: so much keying material cannot be exported")
		}
		out := make([]byte, n)
		if !t.Export(out, label, context) {
			return nil, errors.New("handshake: no keying material can be exported: the SSL was freed, or the label is too long")
		}
		return out, nil
	}
}
