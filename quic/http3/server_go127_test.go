//go:build go1.27

package http3

import (
	"net/http"
	"testing"
	"testing/synctest"
)

// TestMaxHeaderValueCount: S60.
func TestMaxHeaderValueCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {}, func(s *Server) { s.HTTP.MaxHeaderValueCount = 3 })
		p := ts.dial()
		wantFields(":status", "200")(t, p.get("/", "a: 1", "a: 2", "b: 3").reply())
		wantFields(":status", "431")(t, p.get("/", "a: 1", "a: 2", "b: 3", "c: 4").reply())
	})
}
