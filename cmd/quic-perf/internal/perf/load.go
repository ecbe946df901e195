package perf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Bulk moves Bytes, over as many connections, and as many streams of each, at once, and does so Repeat times, on new streams of the
// same connections.
type Bulk struct {
	Bytes                uint64
	Streams, Connections int
	Repeat               int
	Upload               bool
}

// Count returns how many bytes are moved in all.
func (b *Bulk) Count() uint64 { return b.Bytes * uint64(b.Repeat) }

// Exchanges returns the requests of the perf protocol that move the bytes once, one for each stream.
func (b *Bulk) Exchanges() []Exchange {
	n := b.Streams * b.Connections
	es := make([]Exchange, n)
	for i := range es {
		share := b.Bytes / uint64(n)
		if i == 0 {
			share += b.Bytes % uint64(n)
		}
		if b.Upload {
			es[i].Up = share
		} else {
			es[i].Down = share
		}
	}
	return es
}

// Requests makes requests for a time, on as many connections, and as many at once on each.
type Requests struct {
	Duration              time.Duration
	Parallel, Connections int
	Beside                int    // connections that are there too, and idle
	Up, Down              uint64 // bytes
}

// Handshakes makes connections for a time, Parallel at once, and closes each as soon as its handshake is complete. Resumed has all
// resume the session of a first one.
type Handshakes struct {
	Duration time.Duration
	Parallel int
	ALPN     string
	Resumed  bool
}

// Early makes connections for a time, Parallel at once, that resume the session of a first one, makes a request on each in 0-RTT, and
// closes it when the answer is there.
type Early struct {
	Duration time.Duration
	Parallel int
	Up, Down uint64 // bytes
}

// Datagrams sends datagrams of Size bytes for a time on one connection, as fast as it takes them.
type Datagrams struct {
	Duration time.Duration
	Size     int
}

// Idle makes Connections connections, when Beside others are there, and holds them until Until ends.
type Idle struct {
	Connections, Beside int
	ALPN                string
	Until               io.Reader
}

// Hooks are whom a load tells how far it is.
type Hooks struct {
	Count func(n int)  // is told of bytes, requests or connections as they pass, one way or the other
	Ready func() error // is called when all connections are there; the work begins when it returns
}

// Outcome is what a load did.
type Outcome struct {
	Count, Sent uint64
	Elapsed     time.Duration
	Latencies   []time.Duration
}

// Client makes connections to one server, over one socket where that makes sense.
type Client interface {
	// Dial returns a connection whose handshake is complete.
	Dial(ctx context.Context, alpn string) (Conn, error)
	Close() error
}

// Resumer is a Client that resumes sessions.
type Resumer interface {
	Client
	// Prepare makes a connection, and keeps the session that its server gives for later ones.
	Prepare(ctx context.Context, alpn string) error
	// Resume returns a connection that resumes this session, which it may do over and over: one whose handshake is complete, and was a
	// resumed one.
	Resume(ctx context.Context, alpn string) (Conn, error)
	// ResumeEarly returns one that streams can be opened on in 0-RTT.
	ResumeEarly(ctx context.Context, alpn string) (EarlyConn, error)
}

// EarlyConn is a connection that begins with 0-RTT.
type EarlyConn interface {
	Conn
	// Accepted waits for the handshake's end, and fails if the server has not accepted 0-RTT.
	Accepted(context.Context) error
}

// Conn is a connection as a client sees it.
type Conn interface {
	// Do makes a request of the perf protocol on a new stream.
	Do(context.Context, *Exchange) error
	Close() error
}

// QUICConn is a Conn that has all that QUIC has.
type QUICConn interface {
	Conn
	OpenStream(context.Context) (Stream, error)
	// SendDatagram waits until the datagram is queued.
	SendDatagram(ctx context.Context, p []byte) error
}

// dialAll makes n connections, parallel at once.
func dialAll(ctx context.Context, c Client, alpn string, n, parallel int, count func(int)) ([]Conn, error) {
	conns := make([]Conn, n)
	var next atomic.Int64
	err := together(parallel, func() error {
		for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
			conn, err := c.Dial(ctx, alpn)
			if err != nil {
				return fmt.Errorf("connection %d: %w", i+1, err)
			}
			conns[i] = conn
			count(1)
		}
		return nil
	})
	if err != nil {
		closeAll(conns)
		return nil, err
	}
	return conns, nil
}

func closeAll(conns []Conn) {
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
}

// together runs f n times at once and returns the first error.
func together(n int, f func() error) error {
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for range n {
		wg.Go(func() {
			if err := f(); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	wg.Wait()
	return first
}

// dialIdle makes connections that are there while others work.
func dialIdle(ctx context.Context, c Client, alpn string, n int, count func(int)) ([]Conn, error) {
	return dialAll(ctx, c, alpn, n, min(dialsAtOnce, n), count)
}

// dialsAtOnce is how many idle connections are made at once.
const dialsAtOnce = 16

func (b *Bulk) run(ctx context.Context, d driver) (Outcome, error) {
	conns, err := dialAll(ctx, d.client, ALPN, b.Connections, 1, func(int) {})
	if err != nil {
		return Outcome{}, err
	}
	defer closeAll(conns)
	if err := d.Ready(); err != nil {
		return Outcome{}, err
	}
	es := b.Exchanges()
	var next atomic.Int64
	start := time.Now()
	err = together(len(es), func() error {
		i := int(next.Add(1) - 1)
		e := &es[i]
		e.Count = d.Count
		for range b.Repeat {
			if err := conns[i%len(conns)].Do(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
	return Outcome{Count: b.Count(), Elapsed: time.Since(start)}, err
}

func (r *Requests) run(ctx context.Context, d driver) (Outcome, error) {
	idle, err := dialIdle(ctx, d.client, ALPN, r.Beside, func(int) {})
	if err != nil {
		return Outcome{}, err
	}
	defer closeAll(idle)
	conns, err := dialAll(ctx, d.client, ALPN, r.Connections, 1, func(int) {})
	if err != nil {
		return Outcome{}, err
	}
	defer closeAll(conns)
	if err := d.Ready(); err != nil {
		return Outcome{}, err
	}
	var mu sync.Mutex
	var all []time.Duration
	var next atomic.Int64
	start := time.Now()
	err = together(r.Parallel*len(conns), func() error {
		conn := conns[int(next.Add(1)-1)%len(conns)]
		var latencies []time.Duration
		for now := time.Now(); now.Sub(start) < r.Duration; {
			if err := conn.Do(ctx, &Exchange{Up: r.Up, Down: r.Down}); err != nil {
				return err
			}
			d.Count(1)
			before := now
			now = time.Now()
			latencies = append(latencies, now.Sub(before))
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, latencies...)
		return nil
	})
	return Outcome{Count: uint64(len(all)), Elapsed: time.Since(start), Latencies: all}, err
}

func (h *Handshakes) run(ctx context.Context, d driver) (Outcome, error) {
	dial := d.client.Dial
	if h.Resumed {
		r, err := prepare(ctx, d, h.ALPN)
		if err != nil {
			return Outcome{}, err
		}
		dial = r.Resume
	}
	var done atomic.Uint64
	start := time.Now()
	err := together(h.Parallel, func() error {
		for time.Since(start) < h.Duration {
			conn, err := dial(ctx, h.ALPN)
			if err != nil {
				return err
			}
			conn.Close()
			done.Add(1)
			d.Count(1)
		}
		return nil
	})
	return Outcome{Count: done.Load(), Elapsed: time.Since(start)}, err
}

// prepare has the client get a session.
func prepare(ctx context.Context, d driver, alpn string) (Resumer, error) {
	r, ok := d.client.(Resumer)
	if !ok {
		return nil, errors.New("sessions are not resumed")
	}
	if err := r.Prepare(ctx, alpn); err != nil {
		return nil, fmt.Errorf("no session to be resumed: %w", err)
	}
	return r, d.Ready()
}

func (e *Early) run(ctx context.Context, d driver) (Outcome, error) {
	r, err := prepare(ctx, d, ALPN)
	if err != nil {
		return Outcome{}, err
	}
	var mu sync.Mutex
	var all []time.Duration
	start := time.Now()
	err = together(e.Parallel, func() error {
		var latencies []time.Duration
		for time.Since(start) < e.Duration {
			latency, err := e.once(ctx, r)
			if err != nil {
				return err
			}
			d.Count(1)
			latencies = append(latencies, latency)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, latencies...)
		return nil
	})
	return Outcome{Count: uint64(len(all)), Elapsed: time.Since(start), Latencies: all}, err
}

// once returns how long it took from the beginning of the connection to the answer's last byte.
func (e *Early) once(ctx context.Context, r Resumer) (latency time.Duration, err error) {
	start := time.Now()
	conn, err := r.ResumeEarly(ctx, ALPN)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.Do(ctx, &Exchange{Up: e.Up, Down: e.Down}); err != nil {
		if rejected := conn.Accepted(ctx); errors.Is(rejected, ErrNotEarly) {
			return 0, rejected // the request failed for that
		}
		return 0, err
	}
	latency = time.Since(start)
	return latency, conn.Accepted(ctx)
}

func (l *Datagrams) run(ctx context.Context, d driver) (o Outcome, err error) {
	conn, err := d.client.Dial(ctx, ALPNDatagrams)
	if err != nil {
		return o, err
	}
	defer conn.Close()
	q, ok := conn.(QUICConn)
	if !ok {
		return o, errors.New("there are no datagrams")
	}
	payload := make([]byte, l.Size)
	start := time.Now()
	// In a short time on a busy machine the server may have read none of those that came.
	for tries := 1; o.Count == 0 && tries <= 10; tries++ {
		for time.Since(start) < time.Duration(tries)*l.Duration {
			if err := q.SendDatagram(ctx, payload); err != nil {
				return o, err
			}
			o.Sent++
			d.Count(1)
		}
		s, err := q.OpenStream(ctx)
		if err != nil {
			return o, err
		}
		var got datagramCount
		if err := ask(s, &got); err != nil {
			return o, err
		}
		o.Count, o.Elapsed = got.Datagrams, time.Since(start)
	}
	return o, nil
}

// run holds the connections after it has told done.
func (i *Idle) run(ctx context.Context, d driver, done func(Outcome) error) error {
	beside, err := dialIdle(ctx, d.client, i.ALPN, i.Beside, func(int) {})
	if err != nil {
		return err
	}
	defer closeAll(beside)
	if err := d.Ready(); err != nil {
		return err
	}
	start := time.Now()
	conns, err := dialIdle(ctx, d.client, i.ALPN, i.Connections, d.Count)
	if err != nil {
		return err
	}
	defer closeAll(conns)
	if err := done(Outcome{Count: uint64(len(conns)), Elapsed: time.Since(start)}); err != nil {
		return err
	}
	select {
	case <-untilEnd(i.Until):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// untilEnd returns a channel that is closed when r ends.
func untilEnd(r io.Reader) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, r) // an error is an end too
		close(done)
	}()
	return done
}
