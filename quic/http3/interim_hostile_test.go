package http3

import (
	"context"
	"errors"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// Interim responses without any field but :status wait for a trace hook that takes its time. There may be many, but not any number.
func TestBareInterimsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := quicnettest.NewNetwork(1, quicnettest.Link{})
		var sent atomic.Int64
		addr := rawServer(t, n, func(c *quicnet.Conn) {
			s, err := c.AcceptStream(context.Background())
			for ; err == nil && sent.Load() < 50_000; sent.Add(1) {
				time.Sleep(2 * time.Millisecond)
				_, err = s.Write(rawFrame(1, []byte{0, 0, 0xd8})) // :status 103
			}
			s.WriteFinal(rawFrame(1, []byte{0, 0, 0xd9}))
		})
		tr := transportOn(t, n, addr)
		tr.MaxResponseHeaderBytes = 10_000
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(int, textproto.MIMEHeader) error {
				time.Sleep(time.Minute)
				return nil
			},
		})
		_, err := tr.RoundTrip(newRequest(t, "GET", "https://localhost/", nil).WithContext(ctx))
		if !errors.Is(err, errInterimTooLarge) {
			t.Errorf("after %d interim responses: %v", sent.Load(), err)
		}
		if n, most := sent.Load(), int64(interimBurst/statusSize)+500; n > most {
			t.Errorf("%d interim responses came, and %d may wait", n, most)
		}
	})
}
