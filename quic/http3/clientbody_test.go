package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
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
