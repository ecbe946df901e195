package quicnettest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// A test in virtual time: over a path by satellite on which, later, nothing arrives any more. It takes milliseconds.
func Example_synctest() {
	test := func(t *testing.T) { // func TestSatellite(t *testing.T)
		synctest.Test(t, func(t *testing.T) {
			network := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 300 * time.Millisecond})
			server, client := network.Pipe(t, nil, &quic.Config{MaxIdleTimeout: 20 * time.Second})
			go greet(t.Context(), server)

			start := time.Now()
			if _, err := ask(t.Context(), client, "gopher"); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < 600*time.Millisecond || took > time.Second {
				t.Errorf("an answer took %v, which is not one round trip", took)
			}

			network.SetLink(quicnettest.Link{Loss: 1})
			if answer, err := ask(t.Context(), client, "anybody"); err == nil {
				t.Errorf("from nowhere came %q", answer)
			}
		})
	}
	tests = append(tests, test) // for this example alone, which go test runs with them
}
