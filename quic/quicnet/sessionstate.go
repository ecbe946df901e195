package quicnet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"sync"
	"time"
)

// A tls.ClientSessionCache holds sessions of crypto/tls. Ours travel in one as entries of tls.SessionState.Extra, which is what that is
// for. Everything else in it must only be such that caches can store it, by SessionState.Bytes and tls.ParseSessionState, whose
// format is the Go version's own business. So it is that of a session which crypto/tls itself has made.

// newSessionState returns a client's session that holds entries for tls.SessionState.Extra; early is its EarlyData.
func newSessionState(extra [][]byte, early bool) (*tls.ClientSessionState, error) {
	template, err := sessionTemplate()
	if err != nil {
		return nil, err
	}
	state, err := tls.ParseSessionState(template)
	if err != nil {
		return nil, err
	}
	state.Extra, state.EarlyData = extra, early
	return tls.NewResumptionState([]byte("quic"), state)
}

// sessionTemplate returns a tls.SessionState in its encoded form: that of a handshake of crypto/tls with itself, which takes a
// millisecond, once.
var sessionTemplate = sync.OnceValues(func() ([]byte, error) {
	cert, err := blankCertificate()
	if err != nil {
		return nil, err
	}
	var kept keptSession
	client := tls.QUICClient(&tls.QUICConfig{TLSConfig: &tls.Config{
		ServerName: "quic", InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, ClientSessionCache: &kept}})
	server := tls.QUICServer(&tls.QUICConfig{TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}})
	defer client.Close()
	defer server.Close()
	for _, conn := range []*tls.QUICConn{client, server} {
		conn.SetTransportParameters(nil)
		if err := conn.Start(context.Background()); err != nil {
			return nil, err
		}
	}
	for range 3 { // ClientHello and its answer; Finished and the ticket; what is left
		if err := passTLS(client, server); err != nil {
			return nil, err
		}
		if err := passTLS(server, client); err != nil {
			return nil, err
		}
	}
	if kept.state == nil && kept.err == nil {
		kept.err = errors.New("quicnet: crypto/tls has made no session")
	}
	return kept.state, kept.err
})

// passTLS gives one end what the other one has to say.
func passTLS(from, to *tls.QUICConn) error {
	for {
		switch ev := from.NextEvent(); ev.Kind {
		case tls.QUICNoEvent:
			return nil
		case tls.QUICWriteData:
			if err := to.HandleData(ev.Level, ev.Data); err != nil {
				return err
			}
		case tls.QUICHandshakeDone:
			from.SendSessionTicket(tls.QUICSessionTicketOptions{}) // which a client refuses: the error says no more
		}
	}
}

// keptSession is a tls.ClientSessionCache that keeps the last session.
type keptSession struct {
	state []byte
	err   error
}

func (*keptSession) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

func (k *keptSession) Put(_ string, cs *tls.ClientSessionState) {
	if _, state, err := cs.ResumptionState(); err != nil || state == nil {
		k.err = err
	} else {
		k.state, k.err = state.Bytes()
	}
}

// blankCertificate returns a certificate for nothing.
func blankCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
