package http3

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// A server that closes the connection while a trailer section waits for entries of the dynamic table, which it has not sent, does not have a reader of the
// body wait for ever.
func TestBlockedTrailersAndClose(t *testing.T) {
	for _, late := range []bool{false, true} { // the body is read when the connection is over
		synctest.Test(t, func(t *testing.T) {
			n := quicnettest.NewNetwork(1, quicnettest.Link{})
			addr := rawServer(t, n, func(c *quicnet.Conn) {
				s, err := c.AcceptStream(context.Background())
				if err != nil {
					return
				}
				head := append(rawFrame(1, rawSection(":status: 200")), rawFrame(0, []byte("hello"))...)
				s.WriteFinal(append(head, rawFrame(1, []byte{2, 0, 0x80})...))
				time.Sleep(time.Second)
				c.CloseWithError(0x100, "")
			})
			tr := transportOn(t, n, addr)
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

// A response without a body is over with its header, whenever its stream ends: a server that leaves that out does not keep the connection from being idle, nor a
// place from being used again. The tunnel of a CONNECT that is answered with 204 begins behind the header.
func TestBareResponsesWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := quicnettest.NewNetwork(1, quicnettest.Link{})
		addr := rawServer(t, n, func(c *quicnet.Conn) {
			for i := 0; ; i++ {
				s, err := c.AcceptStream(context.Background())
				if err != nil {
					return
				}
				b := rawFrame(1, rawSection(":status: "+[]string{"200", "304", "204"}[min(i, 2)]))
				if i == 3 {
					b = append(b, rawFrame(0, []byte("tunnel"))...)
				}
				s.Write(b)
				if i == 2 {
					time.AfterFunc(time.Minute, func() { s.Close() })
				}
			}
		})
		tr := transportOn(t, n, addr)
		for _, method := range []string{"HEAD", "GET", "GET"} {
			resp, err := tr.RoundTrip(newRequest(t, method, "https://localhost/", nil))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); len(b) > 0 || err != nil {
				t.Errorf("%s: %q, %v", method, b, err)
			}
		}
		tr.waitIdle(t)
		resp, err := tr.RoundTrip(newRequest(t, "CONNECT", "https://localhost:443/", nil))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 6)
		if _, err := io.ReadFull(resp.Body, b); string(b) != "tunnel" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		resp.Body.Close()
		time.Sleep(2 * time.Minute)
		tr.CloseIdleConnections()
		time.Sleep(time.Second)
		if n := tr.count(); n > 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}
