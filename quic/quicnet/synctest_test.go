package quicnet

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// TestBubbles runs endpoints in two bubbles of testing/synctest, with an ordinary test before, between and after them: what one has
// used, channels and timers above all, no other may be given.
func TestBubbles(t *testing.T) {
	for _, bubble := range []bool{false, true, false, true, false} {
		if bubble {
			synctest.Test(t, allThatWaits)
		} else {
			allThatWaits(t)
		}
	}
}

// allThatWaits has goroutines wait in every way that there is, many side by side.
func allThatWaits(t *testing.T) {
	var n memNet
	server := serverConfig()
	server.MaxStreamsBidi, server.MaxDatagramFrameSize = 4, 1200
	sep, cep := over(t, n.open("192.0.2.1:443"), server), over(t, n.open("192.0.2.2:50000"), nil)
	defer cep.Close()
	defer sep.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := sep.Accept(context.Background())
			if err != nil {
				return
			}
			c.HandleStreams(func(s *Stream) {
				io.Copy(s, s)
				s.Close()
			})
			go func() {
				for c.SendDatagram(context.Background(), []byte("x")) == nil {
					time.Sleep(time.Millisecond)
				}
			}()
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	client := clientConfig()
	client.TLS.ServerName, client.MaxDatagramFrameSize = "localhost", 1200
	inParallel(t, 4, func(int) error {
		c, err := cep.Dial(ctx, "192.0.2.1:443", client)
		if err != nil {
			return err
		}
		defer c.Close()
		inParallel(t, 20, func(int) error { return exchange(ctx, c, randomBytes(10<<10)) })
		if _, err := c.ReceiveDatagram(ctx, make([]byte, 1)); err != nil {
			return err
		}
		s, err := c.OpenStream(ctx)
		if err != nil {
			return err
		}
		s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		s.SetDeadline(time.Now().Add(time.Hour)) // a timer that is still set when all is over
		return nil
	})
	sep.Close()
	<-served
	if _, err := cep.Dial(ctx, "192.0.2.1:443", func() *quic.Config {
		cfg := clientConfig()
		cfg.HandshakeTimeout = 100 * time.Millisecond
		return cfg
	}()); !errors.Is(err, &quic.IdleTimeoutError{Handshake: true}) {
		t.Errorf("Dial of an endpoint that is closed returned %v", err)
	}
}
