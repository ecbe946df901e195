package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// timing is what httptrace tells of a request, for --timing and for errors.
type timing struct {
	url   string
	start time.Time

	mu               sync.Mutex // guards what follows: connections of several kinds may compete
	asked, connected bool       // a connection was asked for, or was there
	dialled          time.Time  // when the last dial began
	resolved         time.Time  // these are when it was done; zero: there was nothing to do
	tcp, tls         time.Time
	first, ended     time.Time
	status, proto    string
}

// newTiming begins to measure.
func (w *web) newTiming(url string) *timing {
	t := &timing{url: url, start: time.Now()}
	if w.o.timing {
		w.printing.Lock()
		w.timings = append(w.timings, t)
		w.printing.Unlock()
	}
	return t
}

// set notes that something is done now.
func (t *timing) set(what *time.Time) {
	t.mu.Lock()
	*what = time.Now()
	t.mu.Unlock()
}

// trace returns a context by which the request tells what is done, and over which connection it goes.
func (t *timing) trace(ctx context.Context, w *web) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			t.mu.Lock()
			t.asked, t.connected = true, false
			t.mu.Unlock()
		},
		DNSDone:      func(httptrace.DNSDoneInfo) { t.set(&t.resolved) },
		ConnectStart: func(string, string) { t.set(&t.dialled) },
		ConnectDone: func(network, _ string, err error) {
			if err == nil && network != "udp" {
				t.set(&t.tcp)
			}
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				t.set(&t.tls)
			}
		},
		GotConn: func(info httptrace.GotConnInfo) {
			t.mu.Lock()
			t.connected = true
			began := t.dialled
			t.mu.Unlock()
			if began.IsZero() {
				began = t.start
			}
			if c, ok := info.Conn.(interface{ QUIC() *quicnet.Conn }); ok {
				w.gotConn(ctx, c.QUIC(), began)
			}
		},
		GotFirstResponseByte: func() { t.set(&t.first) },
		Got1xxResponse: func(code int, fields textproto.MIMEHeader) error {
			if w.o.include {
				return w.show(fmt.Sprintf("%d %s", code, http.StatusText(code)), http.Header(fields))
			}
			return nil
		},
	})
}

// gotConn is told of the connection of QUIC that a request goes over.
func (w *web) gotConn(ctx context.Context, conn *quicnet.Conn, began time.Time) {
	if w.conns.add(ctx, conn, conn.RemoteAddr().String(), began) && w.during.Load() == nil {
		w.during.Store(newDuring(ctx, conn, w.o))
	}
}

func (t *timing) connection() (asked, connected bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.asked, t.connected
}

// answered is told of the response.
func (t *timing) answered(resp *http.Response) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status, t.proto = fmt.Sprint(resp.StatusCode), version(resp.Proto)
}

func (t *timing) end() { t.set(&t.ended) }

// printTimings prints a table. Times are from the begin of each request, as curl has them.
func printTimings(out io.Writer, timings []*timing) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "resolve\tconnect\tTLS\tfirst byte\ttotal\t status\t version\t  (milliseconds after the begin)\n")
	for _, t := range timings {
		t.mu.Lock()
		for _, done := range []time.Time{t.resolved, t.tcp, t.tls, t.first, t.ended} {
			if done.IsZero() {
				fmt.Fprint(table, "-\t")
			} else {
				fmt.Fprintf(table, "%.1f\t", float64(done.Sub(t.start))/1e6)
			}
		}
		fmt.Fprintf(table, "%s\t%s\t  %s\n", orDash(t.status), orDash(t.proto), t.url)
		t.mu.Unlock()
	}
	table.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
