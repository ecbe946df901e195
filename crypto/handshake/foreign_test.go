package handshake

import (
	"errors"
	"testing"
)

// What an SSL of the program's does is tested in package quic, which can have such a program. Here is what comes before it.
func TestAdoptNothing(t *testing.T) {
	for _, client := range []bool{true, false} {
		if c, err := Adopt(0, client); c != nil || err == nil || err.Error() != "handshake: there is no SSL" || errors.Is(err, ErrSSLAdopted) {
			t.Errorf("no SSL: %v, %v", c, err)
		}
	}
}

// What is for adopted SSLs alone does nothing to others.
func TestNotAdopted(t *testing.T) {
	c := new(Conn)
	if c.Stalled() || c.Continue() != nil || c.PeerTransportParameters() != nil || c.PeerCertificates() != nil || c.Restart() == nil {
		t.Error("a connection without an SSL of the program's is taken for one")
	}
}
