package h3test_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/http3/h3test"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// A server whose IdleTimeout passes ends the connection at the very time at which the client sends a POST, and the network fails for a while: however that
// meets, the POST is handled once and its client is told so, since it learns by GOAWAY that the server has not taken it (RFC 9114, section 5.2).
func TestPostMeetsGoAway(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const (
		delay = 10 * time.Millisecond
		idle  = 2 * time.Second
	)
	synctest.Test(t, func(t *testing.T) {
		dice := rand.New(rand.NewPCG(seed, 0))
		var handled atomic.Int32
		s := h3test.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			handled.Add(1)
		}))
		link := quicnettest.Link{Delay: delay}
		s.Network = quicnettest.NewNetwork(seed, link)
		s.Config.IdleTimeout = idle
		s.Start()
		defer s.Close()
		post := func() {
			resp, err := s.Client().Post(s.URL, "", nil)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
		}
		// upTo is a time within some round trips.
		upTo := func(trips int) time.Duration { return time.Duration(dice.Int64N(int64(trips) * int64(2*delay))) }
		const rounds = 300
		for range rounds {
			post()
			time.Sleep(idle - 2*delay)
			begin, length, at := upTo(4), upTo(4), upTo(8)
			down := time.AfterFunc(begin, func() { s.Network.SetLink(quicnettest.Link{Loss: 1}) })
			up := time.AfterFunc(begin+length, func() { s.Network.SetLink(link) })
			time.Sleep(at)
			post()
			down.Stop()
			up.Stop()
			s.Network.SetLink(link)
			if t.Failed() {
				t.Fatalf("idle for %v, the network was down from %v for %v, and the POST came after %v", idle, begin-2*delay, length, at-2*delay)
			}
			time.Sleep(2 * idle) // until the connection has ended
		}
		if n := handled.Load(); n != 2*rounds {
			t.Errorf("%d requests were handled, of %d", n, 2*rounds)
		}
	})
}
