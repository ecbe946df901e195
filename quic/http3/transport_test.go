package http3

import (
	"context"
	"net"
	"testing"
)

// noDial is a Transport.Dial that must not be called.
func noDial(t *testing.T) func(context.Context, string) (net.PacketConn, net.Addr, error) {
	return func(_ context.Context, addr string) (net.PacketConn, net.Addr, error) {
		t.Errorf("%s was dialled", addr)
		return nil, nil, net.ErrClosed
	}
}

// failingDial is one that fails.
func failingDial(err error) func(context.Context, string) (net.PacketConn, net.Addr, error) {
	return func(context.Context, string) (net.PacketConn, net.Addr, error) { return nil, nil, err }
}
