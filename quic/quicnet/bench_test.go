package quicnet

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/udp"
)

// BenchmarkDownload moves bytes over one connection, both sides of which are in this process.
func BenchmarkDownload(b *testing.B) {
	for _, streams := range []int{1, 16} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			server, client := serverConfig(), clientConfig()
			server.MaxUDPPayload, client.MaxUDPPayload = 1472, 1472
			s, c := pair(b, server, client)
			const block = 1 << 20
			b.SetBytes(block)
			b.ReportAllocs()
			var pairs [][2]*Stream
			for range streams {
				ss, cs := streamPair(b, s, c)
				pairs = append(pairs, [2]*Stream{ss, cs})
			}
			data := make([]byte, block/streams)
			b.ResetTimer()
			var wg sync.WaitGroup
			for _, p := range pairs {
				wg.Go(func() {
					for range b.N {
						if _, err := p[0].Write(data); err != nil {
							b.Error(err)
							return
						}
					}
				})
				wg.Go(func() {
					if _, err := io.CopyN(io.Discard, p[1], int64(b.N*len(data))); err != nil {
						b.Error(err)
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkRequests sends 1 KiB on a stream and receives it back, 1 or 100 at a time.
func BenchmarkRequests(b *testing.B) {
	for _, parallel := range []int{1, 100} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			ep := listen(b, serverConfig())
			serveEcho(b, ep)
			c := dial(b, ep, clientConfig())
			ctx := testContext(b)
			data := make([]byte, 1024)
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
					buf := make([]byte, 2048)
					for range requests {
						s, err := c.OpenStream(ctx)
						if err != nil {
							b.Error(err)
							return
						}
						s.Write(data)
						s.Close()
						if n, err := io.ReadFull(s, buf[:1024]); err != nil {
							b.Errorf("%d bytes: %v", n, err)
							return
						}
						if _, err := s.Read(buf); err != io.EOF {
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

// BenchmarkDial makes connections.
func BenchmarkDial(b *testing.B) {
	ep := listen(b, serverConfig())
	serveEcho(b, ep)
	client, err := Listen("127.0.0.1:0", serverConfig())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	ctx := testContext(b)
	cfg := clientConfig()
	b.ReportAllocs()
	for b.Loop() {
		c, err := client.Dial(ctx, ep.Addr().String(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkRequestsOfMany has 100 connections send a request of 1 KiB each at a time, and reports how many system calls and messages
// of the server's an answer takes.
func BenchmarkRequestsOfMany(b *testing.B) {
	const conns = 100
	ep := listen(b, serverConfig())
	serveEcho(b, ep)
	client := listenWith(b, nil, udp.Options{})
	ctx := testContext(b)
	data := make([]byte, 1024)
	var clients []*Conn
	for range conns {
		c, err := client.Dial(ctx, ep.Addr().String(), clientConfig())
		if err != nil {
			b.Fatal(err)
		}
		clients = append(clients, c)
	}
	before := ep.shards[0].sock.Stats()
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := request(ctx, c, data); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	s := ep.shards[0].sock.Stats()
	per := func(after, before uint64) float64 { return float64(after-before) / float64(b.N) }
	b.ReportMetric(per(s.SendCalls, before.SendCalls), "sends/op")
	b.ReportMetric(per(s.RecvCalls, before.RecvCalls), "recvs/op")
	b.ReportMetric(per(s.Sent, before.Sent), "sent/op")
	b.ReportMetric(per(s.Received, before.Received), "received/op")
}

// request sends data on a stream of its own and receives as much back.
func request(ctx context.Context, c *Conn, data []byte) error {
	s, err := c.OpenStream(ctx)
	if err != nil {
		return err
	}
	if _, err := s.Write(data); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	buf := make([]byte, 2*len(data))
	n, err := io.ReadFull(s, buf)
	if err != io.ErrUnexpectedEOF || n != len(data) {
		return fmt.Errorf("received %d bytes of %d: %w", n, len(data), err)
	}
	return nil
}

// BenchmarkScheduler measures the timers of a socket's connections: each of 10,000 sets its timer, again and again, to a later time, and
// has its turn when that has come. An operation is a timer that is set.
func BenchmarkScheduler(b *testing.B) {
	const n = 10_000
	var s scheduler
	s.init(new(shard))
	conns := make([]*Conn, n)
	for i := range conns {
		conns[i] = &Conn{heapIndex: -1}
		conns[i].heapAt.Store(never)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var now, turns int64
	for i := range b.N {
		c := conns[i%n]
		c.wantAt.Store(now + 100*int64(time.Microsecond)*(1+int64(i)%7))
		if c.wantAt.Load() < c.heapAt.Load() {
			s.insert(c)
		}
		if i%8 == 0 {
			now += int64(time.Microsecond)
			_, due, _ := s.take(s.base.Add(time.Duration(now)))
			turns += int64(len(due))
		}
	}
	b.ReportMetric(float64(turns)/float64(b.N), "turns/op")
}
