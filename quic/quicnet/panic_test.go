package quicnet

import (
	"crypto/tls"
	"errors"
	"runtime"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/quic"
)

// What a callback of the tls.Config does to its goroutine ends its connection at once, and nothing else.
func TestCallbackPanics(t *testing.T) {
	server := serverConfig()
	server.TLS.VerifyConnection = func(cs tls.ConnectionState) error {
		if _, err := cs.ExportKeyingMaterial("label", nil, 32); err != nil {
			t.Error(err)
		}
		switch cs.ServerName {
		case "panics":
			panic("the server's callback")
		case "exits":
			runtime.Goexit()
		}
		return nil
	}
	ep := listen(t, server)
	for _, name := range []string{"panics", "exits"} {
		client := clientConfig()
		client.TLS.ServerName, client.TLS.InsecureSkipVerify = name, true
		var terr *quic.TransportError
		c, err := Dial(testContext(t), ep.Addr().String(), client)
		if err == nil { // a client is done before the server
			_, err = c.AcceptStream(testContext(t))
			c.shard.ep.Close()
		}
		if !errors.As(err, &terr) || terr.Code != quic.CryptoErrorBase+80 {
			t.Errorf("%s: %v, want the server's internal_error", name, err)
		}
	}
	client := clientConfig()
	client.TLS.VerifyConnection = func(tls.ConnectionState) error { panic("the client's callback") }
	_, err := Dial(testContext(t), ep.Addr().String(), client)
	var perr *handshake.PanicError
	if !errors.As(err, &perr) || perr.Value != "the client's callback" {
		t.Errorf("Dial: %v", err)
	}
	dial(t, ep, clientConfig()) // goes on serving
}
