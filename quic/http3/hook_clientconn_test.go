//go:build go1.26

package http3

import (
	"context"
	"sync/atomic"
	"testing"

	"net/http"
)

// An http.ClientConn over ours.
func TestHookedClientConn(t *testing.T) {
	inHooked(t, func(t *testing.T, h *hooked) {
		tr := hookedClient(t, h.tls, &Transport{MaxResponseHeaderBytes: 1 << 14})
		cc, err := tr.NewClientConn(context.Background(), "https", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		var calls atomic.Int32
		cc.SetStateHook(func(*http.ClientConn) { calls.Add(1) })
		free := cc.Available()
		if err := cc.Reserve(); err != nil || cc.InFlight() != 1 || cc.Available() != free-1 {
			t.Errorf("%v, %d under way, %d of %d free", err, cc.InFlight(), cc.Available(), free)
		}
		if err := h.post(cc, "/"); err != nil {
			t.Error(err)
		}
		if err := cc.Reserve(); err != nil {
			t.Error(err)
		}
		cc.Release()
		if err := cc.Close(); err != nil || cc.Err() == nil || cc.Available() != 0 || calls.Load() == 0 {
			t.Errorf("%v; %v, %d free, %d calls of the hook", err, cc.Err(), cc.Available(), calls.Load())
		}
		if h.post(cc, "/") == nil {
			t.Error("a request on a connection that is closed")
		}
	})
}
