package http3

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/quicnettest"
)

// A server that closes the connection while a trailer section waits for entries of the dynamic table, which it has not sent, does not have a reader of the
// body wait for ever.
func TestBlockedTrailersAndClose(t *testing.T) {
	for _, late := range []bool{false, true} { // the body is read when the connection is over
		synctest.Test(t, func(t *testing.T) {
			n := quicnettest.NewNetwork(1, quicnettest.Link{})
			cfg := quicnettest.ServerConfig()
			cfg.TLS.NextProtos = []string{"h3"}
			ep := n.Listen(t, "", cfg)
			go func() {
				ctx := context.Background()
				c, err := ep.Accept(ctx)
				if err != nil {
					return
				}
				control, _ := c.OpenUniStream(ctx)
				control.Write([]byte{0, 4, 0})
				s, _ := c.AcceptStream(ctx)
				head := append(rawFrame(1, rawSection(":status: 200")), rawFrame(0, []byte("hello"))...)
				s.WriteFinal(append(head, rawFrame(1, []byte{2, 0, 0x80})...))
				time.Sleep(time.Second)
				c.CloseWithError(0x100, "")
			}()
			tr := transportOn(t, n, ep.Addr().String())
			resp, err := tr.RoundTrip(newRequest(t, "GET", "https://localhost/", nil))
			if err != nil {
				t.Fatal(err)
			}
			if late {
				time.Sleep(2 * time.Second)
			}
			stop := time.AfterFunc(time.Hour, func() {
				t.Error("the body is read for an hour")
				resp.Body.Close()
			})
			if b, err := io.ReadAll(resp.Body); string(b) != "hello" || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q, %v", b, err)
			}
			stop.Stop()
		})
	}
}
