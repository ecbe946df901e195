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
	"github.com/boringquic/boringquic/cmd/internal/usage"
)

// clientOptions are flags that all of the client's commands have.
type clientOptions struct {
	json    bool
	pause   bool
	payload int
	ca      string
}

func (o *clientOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print the result as one JSON object")
	f.BoolVar(&o.pause, "pause", false, "print \"ready\" when all connections, or the session to be resumed, are there, and go on, and count CPU seconds, from when standard input has a line")
	f.IntVar(&o.payload, "udp-payload", DefaultPayload, "largest UDP payload to send, in `BYTES`, 1200 to 65527")
	f.StringVar(&o.ca, "ca", "", "PEM `FILE` of certificates to trust; without it any certificate is accepted")
}

// alpnFlag is for loads that send nothing: any server will do.
func alpnFlag(f *pflag.FlagSet, alpn *string) {
	f.StringVar(alpn, "alpn", ALPN, "`PROTOCOL` to name, for servers that do not speak perf")
}

// besideFlag is for loads whose cost may depend on what else is there.
func besideFlag(f *pflag.FlagSet, n *int) {
	f.IntVar(n, "beside", 0, "`NUMBER` of other connections, which are made first and stay idle")
}

func (o *clientOptions) target(addr string, tickets bool) (Target, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return Target{}, usage.Error(fmt.Errorf("%q is not HOST:PORT: %w", addr, err))
	}
	conf, err := clientTLS(o.ca, tickets)
	return Target{Addr: addr, TLS: conf, UDPPayload: o.payload}, err
}

// load is one measurement as a client's command runs it.
type load struct {
	name  string
	total int64 // bytes or connections that there will be, -1 if nobody knows
	run   func(ctx context.Context, d driver, done func(Outcome) error) error

	prepares bool // before it is ready it does what is not to be measured
}

// driver is what a load is run with.
type driver struct {
	client Client // nil if the stack is a loop
	target Target
	usage  func(context.Context, Target) (*Usage, error) // nil: the client tells, or nobody
	Hooks
}

// runLoad is what a client's command does.
func (o *clientOptions) runLoad(cmd *cobra.Command, s *Stack, addr string, l load) error {
	ctx := cmd.Context()
	t, err := o.target(addr, l.prepares)
	if err != nil {
		return err
	}
	m := newMeter(cmd.ErrOrStderr(), l, o.json)
	defer m.stop()
	d := driver{target: t}
	if s.Client != nil {
		if d.client, err = s.Client(ctx, t); err != nil {
			return err
		}
		defer d.client.Close()
	}
	if s.Loop != nil {
		d.usage = s.Loop.Usage
	}
	serverBefore, err := d.serverUsage(ctx)
	if err != nil {
		return err
	}
	before, err := OwnUsage()
	if err != nil {
		return err
	}
	d.Hooks = Hooks{Count: m.count, Ready: func() error {
		if !o.pause && !l.prepares {
			return nil
		}
		if serverBefore, err = d.serverUsage(ctx); err != nil {
			return err
		}
		if o.pause {
			fmt.Fprintln(cmd.OutOrStdout(), "ready")
			if err := skipLine(cmd.InOrStdin()); err != nil {
				return err
			}
		}
		before, err = OwnUsage()
		return err
	}}
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
func loop[T any](f func(context.Context, Target, *T, Hooks) (Outcome, error), l *T) func(context.Context, driver, func(Outcome) error) error {
	return reporting(func(ctx context.Context, d driver) (Outcome, error) { return f(ctx, d.target, l, d.Hooks) })
}

// skipLine reads a line from r, and nothing behind it.
func skipLine(r io.Reader) error {
	var b [1]byte
	for b[0] != '\n' {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return fmt.Errorf("no line came on standard input: %w", err)
		}
	}
	return nil
}

// reporting makes a load's function of one that returns what it did.
func reporting(f func(context.Context, driver) (Outcome, error)) func(context.Context, driver, func(Outcome) error) error {
	return func(ctx context.Context, d driver, done func(Outcome) error) error {
		o, err := f(ctx, d)
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
