package quicnet

import (
	"fmt"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// The allocator has classes of these sizes: a byte more would cost sixteen for each connection or stream.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 384 {
		t.Errorf("a Conn has %d bytes", n)
	}
	if n := unsafe.Sizeof(Stream{}); n > 128 {
		t.Errorf("a Stream has %d bytes", n)
	}
}

// answerer is a Protocol that answers a request when it is complete, by a Task that calls Conn.Do, and gives answers to those who wait
// for them.
type answerer struct {
	conn  *Conn
	calls map[uint64]*call
	free  []*answerTask
	buf   [2048]byte
}

// call is a request of a client's.
type call struct {
	id   uint64
	n    int // bytes of the answer
	done chan struct{}
}

// answerTask is a request at a server.
type answerTask struct {
	a  *answerer
	id uint64
}

func openAnswerer(t *Turn) Protocol { return &answerer{conn: t.Conn, calls: make(map[uint64]*call)} }

func (a *answerer) AfterEvents(*Turn) bool { return false }

func (a *answerer) HandleEvent(t *Turn, ev *quic.Event) (woke bool) {
	if ev.Kind != quic.EventReadable {
		return false
	}
	c := a.calls[ev.Stream]
	for {
		n, fin, err := t.Core.StreamRecv(ev.Stream, a.buf[:])
		if c != nil {
			c.n += n
		}
		switch {
		case err != nil || !fin && n == 0:
			return false
		case fin && c != nil:
			delete(a.calls, ev.Stream)
			c.done <- struct{}{}
			return true
		case fin:
			k := len(a.free) - 1
			if k < 0 {
				a.free, k = append(a.free, &answerTask{a: a}), 0
			}
			task := a.free[k]
			a.free = a.free[:k]
			task.id = ev.Stream
			t.Go(task)
			return false
		}
	}
}

func (s *answerTask) Serve() {
	s.a.conn.Do(func(t *Turn) {
		if n, err := t.Core.StreamSend(s.id, s.a.buf[:1024], true); n != 1024 || err != nil {
			panic(fmt.Sprint(n, err))
		}
		s.a.free = append(s.a.free, s)
	})
}

// ask has a request of 1 KiB answered.
func (a *answerer) ask(c *call) (err error) {
	c.n = 0
	a.conn.Do(func(t *Turn) {
		if c.id, err = t.Core.OpenStream(); err == nil {
			a.calls[c.id] = c
			_, err = t.Core.StreamSend(c.id, a.buf[:1024], true)
		}
	})
	if err != nil {
		return err
	}
	if <-c.done; c.n != 1024 {
		err = fmt.Errorf("the answer has %d bytes", c.n)
	}
	return err
}

func (a *answerer) Timeout() time.Time                                         { return time.Time{} }
func (a *answerer) OnTimeout(*Turn) bool                                       { return false }
func (a *answerer) StreamRecv(*Turn, uint64, []byte) (int, bool, error)        { return 0, false, errNoStream }
func (a *answerer) StreamSend(*Turn, uint64, []byte, bool) (int, error)        { return 0, errNoStream }
func (a *answerer) StreamShutdown(*Turn, uint64, quic.Direction, uint64) error { return errNoStream }

// answererPair is the client's Protocol of a connection that has one on both sides.
func answererPair(t testing.TB) *answerer {
	t.Helper()
	server := serverConfig()
	server.MaxStreamsBidi = 1000 // answered ones are acknowledged later
	ep, err := ListenConfig{Protocol: openAnswerer}.Listen("127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	client := listenWith(t, nil, udp.Options{})
	c, err := Dialer{Endpoint: client, Protocol: openAnswerer}.Dial(testContext(t), ep.Addr().String(), clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	return c.Protocol().(*answerer)
}

// TestProtocolAllocs guards that the seam allocates nothing for a request, at either side.
func TestProtocolAllocs(t *testing.T) {
	a := answererPair(t)
	c := &call{done: make(chan struct{}, 1)}
	run := func() {
		if err := a.ask(c); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		run()
	}
	n := testing.AllocsPerRun(500, run)
	t.Logf("%v allocations", n)
	if n > 1 { // what the core has for a stream is used again, and the runtime's own comes now and then
		t.Errorf("%v allocations for a request", n)
	}
}

// BenchmarkProtocolRequests is BenchmarkRequests through Protocols on both sides.
func BenchmarkProtocolRequests(b *testing.B) {
	for _, parallel := range []int{1, 100} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			a := answererPair(b)
			b.ReportAllocs()
			b.ResetTimer()
			requests := make(chan struct{}, b.N)
			for range b.N {
				requests <- struct{}{}
			}
			close(requests)
			var wg sync.WaitGroup
			for range parallel {
				wg.Go(func() {
					c := &call{done: make(chan struct{}, 1)}
					for range requests {
						if err := a.ask(c); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
