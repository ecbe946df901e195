package perf

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/boringquic/boringquic/cmd/internal/progress"
)

// clientOptions are flags that all of the client's commands have.
type clientOptions struct {
	json    bool
	payload int
	ca      string
}

func (o *clientOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print the result as one JSON object")
	f.IntVar(&o.payload, "udp-payload", DefaultPayload, "largest UDP payload to send, in `BYTES`, 1200 to 65527")
	f.StringVar(&o.ca, "ca", "", "PEM `FILE` of certificates to trust; without it any certificate is accepted")
}

// alpnFlag is for loads that send nothing: any server will do.
func alpnFlag(f *pflag.FlagSet, alpn *string) {
	f.StringVar(alpn, "alpn", ALPN, "`PROTOCOL` to name, for servers that do not speak perf")
}

func (o *clientOptions) target(addr string) (Target, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return Target{}, usageError{fmt.Errorf("%q is not HOST:PORT: %w", addr, err)}
	}
	conf, err := clientTLS(o.ca)
	return Target{Addr: addr, TLS: conf, UDPPayload: o.payload}, err
}

// load is one measurement as a client's command runs it.
type load struct {
	name  string
	total int64 // bytes or connections that there will be, -1 if nobody knows
	run   func(ctx context.Context, d driver, done func(Outcome) error) error
}

// driver is what a load is run with.
type driver struct {
	client Client // nil if the stack is a loop
	target Target
	count  func(n int) // is told of what passes
}

// runLoad is what a client's command does.
func (o *clientOptions) runLoad(cmd *cobra.Command, s *Stack, addr string, l load) error {
	ctx := cmd.Context()
	t, err := o.target(addr)
	if err != nil {
		return err
	}
	m := newMeter(cmd.ErrOrStderr(), l, o.json)
	defer m.stop()
	d := driver{target: t, count: m.count}
	if s.Client != nil {
		if d.client, err = s.Client(ctx, t); err != nil {
			return err
		}
		defer d.client.Close()
	}
	serverBefore, err := d.serverUsage(ctx)
	if err != nil {
		return err
	}
	before, err := OwnUsage()
	if err != nil {
		return err
	}
	return l.run(ctx, d, func(out Outcome) error {
		after, err := OwnUsage()
		if err != nil {
			return err
		}
		if out.Count == 0 {
			return fmt.Errorf("nothing was done in %v", out.Elapsed)
		}
		r := Report{Load: l.name, Count: out.Count, Sent: out.Sent, Seconds: out.Elapsed.Seconds(), Latency: PercentilesOf(out.Latencies),
			Client: after.since(before)}
		if serverBefore != nil {
			serverAfter, err := d.serverUsage(ctx)
			if err != nil {
				return err
			}
			u := serverAfter.since(*serverBefore)
			r.Server = &u
		}
		m.stop()
		return r.print(cmd.OutOrStdout(), o.json)
	})
}

// loop makes a load's function of one of a Loop.
func loop[T any](f func(context.Context, Target, *T, func(int)) (Outcome, error), l *T) func(context.Context, driver, func(Outcome) error) error {
	return func(ctx context.Context, d driver, done func(Outcome) error) error {
		o, err := f(ctx, d.target, l, d.count)
		if err != nil {
			return err
		}
		return done(o)
	}
}

// blocking makes a load's function of one that is run over a Client.
func blocking(f func(context.Context, Client, func(int)) (Outcome, error)) func(context.Context, driver, func(Outcome) error) error {
	return func(ctx context.Context, d driver, done func(Outcome) error) error {
		o, err := f(ctx, d.client, d.count)
		if err != nil {
			return err
		}
		return done(o)
	}
}

// meter shows progress ten times a second; what is measured pays no more for it than one addition.
type meter struct {
	n    atomic.Int64
	bar  *progress.Bar
	once sync.Once // closes quit
	quit chan struct{}
	done chan struct{}
}

func newMeter(w io.Writer, l load, quiet bool) *meter {
	m := &meter{quit: make(chan struct{}), done: make(chan struct{})}
	if l.name == LoadBulk {
		m.bar = progress.New(w, l.name, l.total, quiet)
	} else {
		m.bar = progress.Steps(w, l.name, int(l.total), quiet)
	}
	go m.show()
	return m
}

func (m *meter) count(n int) { m.n.Add(int64(n)) }

func (m *meter) show() {
	defer close(m.done)
	defer m.bar.Done()
	if !m.bar.Draws() {
		return
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for shown := int64(0); ; {
		select {
		case <-m.quit:
			return
		case <-ticker.C:
			n := m.n.Load()
			m.bar.Add(int(n - shown))
			shown = n
		}
	}
}

// stop takes the bar off the terminal. It may be called again.
func (m *meter) stop() {
	m.once.Do(func() { close(m.quit) })
	<-m.done
}
