package http3

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// A header is made in the connection's turn, for which all connections of a socket wait. Fields that a byte stands for each, since a table holds them, may be
// tens of thousands: each costs the same, also where all have one name.
func TestManyFieldsOfOneName(t *testing.T) {
	var fields []qpack.Field
	want := make(http.Header)
	for i := range 8000 {
		name := []string{"Age", "Expect", "X-Other", "X-" + fmt.Sprint(i%7)}[i%4]
		fields = append(fields, qpack.Field{Canonical: name, Value: fmt.Sprint(i)})
		want[name] = append(want[name], fmt.Sprint(i))
	}
	if got := makeHeader(fields); !reflect.DeepEqual(got, want) {
		t.Fatal("the fields are not those that came")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	makeHeader(fields)
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / uint64(len(fields)); n > 1000 {
		t.Errorf("%d bytes are allocated for each of %d fields", n, len(fields))
	}
}

// What is done for each field that a peer may send by the thousand does not grow with their number: Expect fields of a request, and trailers that a handler
// announces for a server behind it.
func TestManyFieldsCostAlike(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(n int) func()
	}{
		{"Expect", func(n int) func() {
			fields := slices.Repeat([]qpack.Field{{Name: "expect", Canonical: "Expect", Value: "x"}}, n)
			return func() {
				x := &exchange{bodiless: true}
				x.readFields(&http.Request{Header: makeHeader(fields)}, &h3.Message{Fields: fields})
			}
		}},
		{"announced trailers", func(n int) func() {
			header := make(http.Header)
			for i := range n {
				header.Add("Trailer", fmt.Sprint("X-", i))
				header.Set(fmt.Sprint(http.TrailerPrefix, "Y-", i), "1")
			}
			return func() {
				w := &response{state: new(responseState), header: header}
				w.declareTrailers(header["Trailer"])
				if got := w.trailerFields(); len(got) != n {
					t.Fatalf("%d trailers, want %d", len(got), n)
				}
			}
		}},
	} {
		each := func(n int) float64 { // of a field, in nanoseconds, at its best
			f, best := c.make(n), math.Inf(1)
			for range 10 {
				begun := time.Now()
				for range 16000 / n {
					f()
				}
				best = min(best, float64(time.Since(begun).Nanoseconds())/16000)
			}
			return best
		}
		few, many := each(250), each(16_000)
		if many > 10*few {
			t.Errorf("%s: each of 16,000 costs %.1f times what each of 250 does", c.name, many/few)
		}
	}
}

// What a client accepts is its own to say (SETTINGS_MAX_FIELD_SECTION_SIZE): that responses are larger fills no log.
func TestClientLimitIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(http.ResponseWriter, *http.Request) {})
		ctx := context.Background()
		cfg := quicnettest.ClientConfig()
		cfg.TLS.NextProtos = []string{"h3"}
		for range 2 {
			conn, err := ts.net.Listen(t, "", nil).Dial(ctx, ts.addr, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			control, err := conn.OpenUniStream(ctx)
			if err != nil {
				t.Fatal(err)
			}
			control.Write([]byte{0x00, 0x04, 0x02, 0x06, 0x01})
			p := &rawPeer{t: t, conn: conn}
			synctest.Wait()
			for range 10 {
				q := p.get("/" + strings.Repeat("long", 1000))
				if got := q.reply(); got.code() != h3.ErrCodeInternal {
					t.Fatalf("a response larger than the client accepts: %v", got)
				}
			}
		}
		if log := ts.log.String(); strings.Count(log, "could not be sent") != 2 || len(log) > 1000 {
			t.Errorf("two connections have it log %d bytes: %.1000s", len(log), log)
		}
	})
}
