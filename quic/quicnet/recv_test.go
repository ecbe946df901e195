package quicnet

import (
	"net"
	"runtime"
	"testing"

	"github.com/boringquic/boringquic/quic/udp"
)

// A socket whose datagrams come one at a time has two buffers to receive into; where many wait there are more, up to its batch.
func TestInboxGrows(t *testing.T) {
	ep := listen(t, serverConfig())
	for _, c := range []struct {
		name         string
		waiting      int // datagrams that are there when it begins to read
		later        int // those that come one after the other
		batch, wants int
	}{
		{"one at a time", 0, 20, recvBatch, recvBatchFirst},
		{"many at once", 40, 0, recvBatch, recvBatch},
		{"many at once, dialled", 40, 0, recvBatchDial, recvBatchDial},
	} {
		pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		sock, err := udp.New(pc, udp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		peer, err := net.DialUDP("udp4", nil, pc.LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		send := func() {
			if _, err := peer.Write([]byte("no packet")); err != nil {
				t.Fatal(err)
			}
		}
		for range c.waiting {
			send()
		}
		in := newInbox(&socket{shard: ep.shards[0], sock: sock}, c.batch)
		if n := len(in.trains); n != recvBatchFirst {
			t.Errorf("%s: %d buffers at first", c.name, n)
		}
		done := make(chan error)
		go func() { done <- in.read() }()
		for i := range c.later {
			send()
			for sock.Stats().Received <= uint64(i) {
				runtime.Gosched()
			}
		}
		for sock.Stats().Received < uint64(c.waiting) {
			runtime.Gosched()
		}
		sock.Close()
		if err := <-done; err == nil {
			t.Errorf("%s: reading ended without an error", c.name)
		}
		if n := len(in.trains); n != c.wants || cap(in.trains[n-1].Buf) != udp.RecvBufSize {
			t.Errorf("%s: %d buffers, the last of %d bytes", c.name, n, cap(in.trains[n-1].Buf))
		}
		peer.Close()
	}
}

// A batch that is as large as it can be, now and then, is no reason for more buffers.
func TestInboxStays(t *testing.T) {
	ep := listen(t, serverConfig())
	in := newInbox(ep.shards[0].first, recvBatch)
	for i, step := range []struct{ came, wants int }{{2, 2}, {1, 2}, {2, 2}, {2, 4}, {4, 4}, {3, 4}, {4, 4}, {4, 8}, {8, 8}, {8, 8}} {
		if in.onBatch(step.came); len(in.trains) != step.wants {
			t.Errorf("step %d: %d buffers after %d trains, not %d", i, len(in.trains), step.came, step.wants)
		}
	}
}
