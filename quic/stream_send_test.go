package quic

import "testing"

// What streams hold unsent is bounded in sum, but each takes a little whatever the others hold; and who was refused is told as soon as
// there is room, so that all of it arrives.
func TestUnsentBound(t *testing.T) {
	const streams, size = 20, 300_000
	p := newPair(t, fullFrames)
	p.run(func() bool { return !p.step() })
	data := make([]byte, size)
	sent := make(map[uint64]int)
	send := func(id uint64) {
		n, err := p.server.StreamSend(id, data[sent[id]:], true)
		if err != nil {
			t.Fatal(err)
		}
		sent[id] += n
	}
	for range streams {
		id, err := p.server.OpenUniStream()
		if err != nil {
			t.Fatal(err)
		}
		send(id)
	}
	total := 0
	for id, n := range sent {
		if total += n; n < sendBufferFloor {
			t.Errorf("stream %d took %d bytes, want at least %d", id, n, sendBufferFloor)
		}
	}
	if most := maxUnsent + streams*sendBufferFloor; total > most || total < maxUnsent {
		t.Errorf("%d bytes were taken before any was sent, want %d to %d", total, maxUnsent, most)
	}
	finished, buf := 0, make([]byte, 64<<10)
	for range 1_000_000 {
		moved := false
		for _, c := range []*Conn{p.client, p.server} {
			for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
				switch ev.Kind {
				case EventWritable:
					send(ev.Stream)
				case EventReadable:
					for n, fin := 1, false; n > 0 && !fin; {
						var err error
						if n, fin, err = c.StreamRecv(ev.Stream, buf); err != nil {
							t.Fatal(err)
						}
						if fin {
							finished++
						}
					}
				}
			}
		}
		if finished == streams {
			break
		}
		for c, to := range map[*Conn]*Conn{p.server: p.client, p.client: p.server} {
			if out := c.Send(p.now, p.buf); out.N > 0 {
				moved = true
				p.deliver(to, out)
			}
		}
		if !moved {
			p.tick()
		}
	}
	if finished != streams || p.server.streams.unsent != 0 {
		t.Errorf("%d of %d streams arrived, %d bytes count as unsent", finished, streams, p.server.streams.unsent)
	}
}
