package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/quicnettest"
)

// What was read of a small response before its request was cancelled is dropped, and must not look like an empty one that has ended.
// The end may come before the server's word that it wants no more of the request, so that an upload can still fail then.
func TestCancelledSmallBody(t *testing.T) {
	cl := &call{wake: make(chan struct{}, 1), resp: new(http.Response), pre: []byte("hello"), readErr: io.EOF, over: true, finished: true}
	cl.abort(nil, context.Canceled, final)
	b, err := io.ReadAll(&respBody{cl: cl, resp: cl.resp})
	if len(b) > 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v", b, err)
	}
}

// TestIdleWhileUnread: a connection that is closed since it is idle takes nothing away from a small response that was not read yet, though the server
// has not acknowledged yet that the rest of the request will not come.
func TestIdleWhileUnread(t *testing.T) {
	nothing := func(*Transport) {}
	for name, idle := range map[string]struct{ before, after func(*Transport) }{
		"keep-alives disabled": {func(tr *Transport) { tr.DisableKeepAlives = true }, nothing},
		"idle timeout":         {func(tr *Transport) { tr.IdleConnTimeout = time.Millisecond }, nothing},
		"closed by the user":   {nothing, (*Transport).CloseIdleConnections},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 50 * time.Millisecond})
				tr := serveOver(t, n, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", "5")
					io.WriteString(w, "hello")
				}).transport()
				defer tr.CloseIdleConnections()
				idle.before(tr)
				rest, end := io.Pipe()
				defer end.Close()
				req := newRequest(t, "POST", "https://localhost/", io.MultiReader(strings.NewReader(strings.Repeat("x", 10_000)), rest))
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				time.Sleep(10 * time.Millisecond)
				idle.after(tr)
				if b, err := io.ReadAll(resp.Body); string(b) != "hello" || err != nil {
					t.Errorf("%q, %v", b, err)
				}
			})
		})
	}
}
