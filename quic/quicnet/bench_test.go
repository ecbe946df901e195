package quicnet

import (
	"fmt"
	"io"
	"sync"
	"testing"
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
