//go:build unix

package quic

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkHandshake measures what a full handshake costs a server, from the client's first datagram to the client's
// acknowledgement of HANDSHAKE_DONE: X25519 and a P-256 certificate. The clients' part, a batch at a time, is not in it.
func BenchmarkHandshake(b *testing.B) {
	const batch = 100
	x := newCrowd(b)
	var clients, servers [batch]*Conn
	var up, down [batch][][]byte
	b.ReportAllocs()
	b.ResetTimer()
	b.StopTimer()
	var cpu time.Duration
	for done := 0; done < b.N; done += batch {
		n := min(batch, b.N-done)
		for i := range n {
			clients[i] = x.connect(i)
			up[i] = x.flight(clients[i], x.clients)
		}
		for range 3 {
			b.StartTimer()
			start := cpuTime(b)
			for i := range n {
				if len(up[i]) > 0 {
					servers[i] = x.serve(i, up[i])
				}
				down[i] = x.flight(servers[i], x.server)
			}
			cpu += cpuTime(b) - start
			b.StopTimer()
			x.now = x.now.Add(time.Second)
			for i := range n {
				x.give(clients[i], i, down[i])
				clients[i].OnTimeout(x.now.Add(time.Second))
				up[i] = x.flight(clients[i], x.clients)
			}
		}
		for i, c := range servers[:n] {
			if c.signals.handshakeDone != sentAcked {
				b.Fatalf("the handshake is not over: confirmed %v", c.tls.confirmed)
			}
			x.part(clients[i], x.clients)
			x.part(c, x.server)
		}
	}
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// cpuTime returns what the process has spent, on all its threads.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
