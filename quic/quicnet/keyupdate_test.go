package quicnet

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Data passes before, between and after key updates of either side; a second one is refused until the first is settled, and then is not;
// after the end there is none.
func TestKeyUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, _, _ := memPair(t, serverConfig(), clientConfig())
		go echo(s)
		ctx := testContext(t)
		for i, by := range []*Conn{c, s, c, s} {
			if err := exchange(ctx, c, randomBytes(50<<10)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second) // virtual: three probe timeouts
			if err := by.KeyUpdate(); err != nil {
				t.Fatalf("update %d: %v", i, err)
			}
			if err := by.KeyUpdate(); !errors.Is(err, quic.ErrKeyUpdateTooSoon) {
				t.Fatalf("two updates at once, at number %d: %v", i, err)
			}
			if err := exchange(ctx, c, randomBytes(50<<10)); err != nil {
				t.Fatalf("after update %d: %v", i, err)
			}
		}
		c.Close()
		if err := c.KeyUpdate(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close, KeyUpdate returned %v", err)
		}
		time.Sleep(time.Minute)
	})
}
