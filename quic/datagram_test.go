package quic

import (
	"bytes"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// A datagram of the largest size fits no packet that is coalesced with another one. It waits for the next UDP datagram.
func TestDatagramBesideHandshake(t *testing.T) {
	p := newScriptedServer(t, param(0x20, varint(65535)))
	for range 4 { // up to the client's Finished, which is not acknowledged
		p.sendTLS()
	}
	if !p.conn.IsEstablished() {
		t.Fatalf("the handshake is not complete: %v", p.conn.Err())
	}
	p.got = nil
	at, ok := p.conn.Timeout()
	if !ok {
		t.Fatal("conn has no timer")
	}
	p.now = at
	p.conn.OnTimeout(p.now)
	data := bytes.Repeat([]byte("x"), p.conn.MaxDatagramSize())
	p.must(p.conn.DatagramSend(data))
	p.drain()
	p.wantType("the probe", protect.Handshake, wire.FrameCrypto)
	for {
		f, ok := p.next()
		if !ok {
			t.Fatal("the datagram was never sent")
		}
		if f.typ|1 != wire.FrameDatagram|1 {
			continue
		}
		if got, n := wire.ConsumeDatagram(f.raw); n < 0 || !bytes.Equal(got, data) {
			t.Errorf("a datagram of %d bytes was sent, want the %d bytes queued", len(got), len(data))
		}
		return
	}
}

// Datagrams of one size leave in one train, though their packets are smaller than the path allows; one of another size begins the
// next train.
func TestDatagramTrain(t *testing.T) {
	p := newPair(t, func(client, server *Config) {
		fullFrames(client, server)
		client.MaxDatagramFrameSize, server.MaxDatagramFrameSize = 65535, 65535
	})
	p.run(func() bool { return !p.step() })
	for range 40 {
		if err := p.client.DatagramSend(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := p.client.DatagramSend(make([]byte, 700)); err != nil {
			t.Fatal(err)
		}
	}
	var trains []int
	for {
		p.now = p.now.Add(time.Millisecond) // pacing
		out := p.client.Send(p.now, p.buf)
		if out.N == 0 {
			break
		}
		trains = append(trains, (out.N+out.SegSize-1)/out.SegSize)
		p.deliver(p.server, out)
		for {
			back := p.server.Send(p.now, p.buf)
			if back.N == 0 {
				break
			}
			p.deliver(p.client, back)
		}
	}
	sent := 0
	for _, n := range trains {
		sent += n
	}
	if sent > 43 || len(trains) > 8 {
		t.Errorf("43 datagrams left in trains of %v", trains)
	}
	if n := p.server.DatagramsReadable(); n != 43 {
		t.Errorf("%d of 43 datagrams arrived", n)
	}
	if st := p.client.Stats(); st.DatagramFramesSent != 43 || st.DatagramFramesUnsent != 0 {
		t.Errorf("%d datagrams are said to have been sent, and %d not", st.DatagramFramesSent, st.DatagramFramesUnsent)
	}
}

// Figures tell DATAGRAM frames from UDP datagrams, and which of them nobody will ever read, also once the connection is closed.
func TestDatagramStats(t *testing.T) {
	p := newPair(t, func(client, server *Config) {
		client.MaxDatagramFrameSize, server.MaxDatagramFrameSize = 65535, 65535
	})
	p.run(func() bool { return !p.step() })
	before := p.server.Stats().UDPDatagramsReceived
	const sent = maxDatagramQueue + 7
	for range sent {
		p.must(p.client.DatagramSend(make([]byte, 10)))
		p.run(func() bool { return !p.step() })
	}
	p.client.Close(p.now, true, 0, "")
	for _, c := range []struct {
		name      string
		got, want uint64
	}{
		{"sent", p.client.Stats().DatagramFramesSent, sent},
		{"received", p.server.Stats().DatagramFramesReceived, sent},
		{"dropped", p.server.Stats().DatagramFramesDropped, 7},
		{"sent by the server", p.server.Stats().DatagramFramesSent, 0},
	} {
		if c.got != c.want {
			t.Errorf("%d DATAGRAM frames %s, want %d", c.got, c.name, c.want)
		}
	}
	if n := p.server.Stats().UDPDatagramsReceived - before; n < sent {
		t.Errorf("%d DATAGRAM frames, sent one at a time, came in %d UDP datagrams", sent, n)
	}
	if n := p.client.Stats().MaxUDPPayload; n != minDatagramSize {
		t.Errorf("MaxUDPPayload is %d", n)
	}
}

// An application that sends datagrams as fast as it may leaves a share of the path to streams, of which what was lost is sent again too;
// and where streams have nothing to send, datagrams have all of it.
func TestDatagramsStarveNoStream(t *testing.T) {
	for _, size := range []int{100, 1000, 0} {
		p := newPair(t, func(client, server *Config) {
			fullFrames(client, server)
			client.MaxDatagramFrameSize = 65535
		})
		if size == 0 {
			size = p.server.MaxDatagramSize()
		}
		id := p.openStream()
		flood, stream := make([]byte, size), make([]byte, 1<<20)
		datagrams, sent, read := 0, 0, 0
		for step := 0; read < 300_000; step++ {
			if step == 20_000 {
				t.Fatalf("datagrams of %d bytes: %d of them went, and of a stream %d bytes", size, datagrams, read)
			}
			for p.server.DatagramSend(flood) == nil {
				datagrams++
			}
			n, err := p.server.StreamSend(id, stream[:min(len(stream), 1<<30-sent)], false)
			p.must(err)
			sent += n
			for _, c := range []*Conn{p.client, p.server} {
				for _, ok := c.NextEvent(); ok; _, ok = c.NextEvent() {
				}
			}
			if out := p.server.Send(p.now, p.buf[:min(len(p.buf), 20_000)]); out.N > 0 && step%50 != 0 { // else it is lost
				p.deliver(p.client, out)
			} else if out.N == 0 {
				p.tick()
			}
			if out := p.client.Send(p.now, p.buf); out.N > 0 {
				p.deliver(p.server, out)
			}
			for n := 1; n > 0; read += n {
				n, _, err = p.client.StreamRecv(id, stream)
				p.must(err)
			}
			for _, ok := p.client.DatagramRecv(stream); ok; _, ok = p.client.DatagramRecv(stream) {
			}
		}
		share := float64(read) / float64(read+datagrams*size)
		t.Logf("datagrams of %d bytes: the stream had %.0f %% of what was sent", size, 100*share)
		if share < 0.15 || share > 0.4 {
			t.Errorf("datagrams of %d bytes: the stream had %.0f %% of what was sent, want a quarter", size, 100*share)
		}
	}
}
