package h3test_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/http3/h3test"
)

// sessionCount is a cache that takes its time, and counts what is put into it.
type sessionCount struct {
	tls.ClientSessionCache
	puts atomic.Int32
}

func (c *sessionCount) Put(key string, s *tls.ClientSessionState) {
	time.Sleep(100 * time.Millisecond) // of the bubble's time
	if s != nil {
		c.puts.Add(1)
	}
	c.ClientSessionCache.Put(key, s)
}

// A program may exit when CloseIdleConnections returns: sessions are in the cache.
func TestCloseIdleKeepsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := h3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
		defer srv.Close()
		cache := &sessionCount{ClientSessionCache: tls.NewLRUClientSessionCache(0)}
		client := srv.Client()
		tr := client.Transport.(*http3.Transport)
		tr.TLSClientConfig.ClientSessionCache = cache
		resp, err := client.Get(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()

		synctest.Wait() // for the session: it may come behind the response, and is under way into the cache then
		tr.CloseIdleConnections()
		if cache.puts.Load() == 0 {
			t.Error("no session is in the cache")
		}
	})
}
