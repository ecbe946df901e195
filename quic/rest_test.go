package quic

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/rest"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// A connection that was busy keeps memory for more of the same, and lets it go after a moment of silence. What it holds for
// somebody stays.
func TestRest(t *testing.T) {
	p := newPair(t, func(client, server *Config) {
		fullFrames(client, server)
		client.MaxDatagramFrameSize, server.MaxDatagramFrameSize = 1000, 1000
	})
	id := p.openStream()
	p.move(id, 8<<20, make([]byte, 64<<10))
	p.must(p.client.DatagramSend(make([]byte, 100)))
	p.must(p.client.DatagramSend(make([]byte, 200)))
	p.run(func() bool { return p.server.DatagramsReadable() == 2 && !p.step() })
	if n, ok := p.server.DatagramRecv(make([]byte, 1000)); n != 100 || !ok {
		t.Fatalf("a datagram of %d bytes was received, want 100", n)
	}
	if _, err := p.server.StreamSend(id, []byte("held"), false); err != nil {
		t.Fatal(err)
	}
	p.run(func() bool { return !p.step() })
	if n := len(p.server.streams.pool.free[chunkSizes-1]); n == 0 {
		t.Error("after 8 MiB nothing is kept for reuse")
	}
	for p.server.restAt() != 0 || p.client.restAt() != 0 {
		p.tick()
		for p.step() {
		}
	}
	if d := p.now.Sub(p.server.clock.time(p.server.idle.active)); d != time.Duration(rest.First) {
		t.Errorf("it rests after %v, want %v", d, time.Duration(rest.First))
	}
	for _, c := range []*Conn{p.client, p.server} {
		if s := &c.streams; s.pool.free != nil || s.unused != [3]*stream{} {
			t.Errorf("client=%v: chunks or %d streams are kept", c.client, s.spare)
		}
	}
	buf := make([]byte, 1000)
	if n, _, err := p.client.StreamRecv(id, buf); string(buf[:n]) != "held" || err != nil {
		t.Errorf("of what was received before the rest there is %q, %v", buf[:n], err)
	}
	if n, ok := p.server.DatagramRecv(buf); n != 200 || !ok {
		t.Errorf("a datagram of %d bytes was received, want 200", n)
	}
	p.move(id, 1<<20, make([]byte, 64<<10))
}

// What is no packet of a connection's, or one that it has had, wakes it four times a second at most, however often it comes.
func TestRestIsBounded(t *testing.T) {
	p := play(t, false)
	p.handshake()
	for p.conn.restAt() != 0 {
		p.advance()
	}
	rests := 0
	forged := p.encode(scriptedPacket{slot: protect.OneRTT, flip: true, frames: [][]byte{frame(wire.FramePing)}})
	for range 100 {
		p.now = p.now.Add(10 * time.Millisecond)
		p.recvFrom(p.remote, bytes.Clone(forged))
		if due, ok := p.conn.Timeout(); ok && !due.After(p.now) {
			p.conn.OnTimeout(p.now)
		}
		if p.conn.idle.rest == 0 {
			rests++
		}
	}
	if rests < 2 || rests > 4 {
		t.Errorf("it rested %d times in a second", rests)
	}
}

func (p *pair) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// A stream that has carried much, and rests, takes as little for a few bytes as a new one, wherever in a piece its offset is.
func TestLittleAfterRest(t *testing.T) {
	for _, sent := range []int{1, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize - 10, 5*chunkSize + 100} {
		p := newPair(t, fullFrames)
		id := p.openStream()
		p.move(id, sent, make([]byte, 64<<10))
		p.run(func() bool { return !p.step() })
		p.client.rest()
		p.server.rest()
		buf := make([]byte, 100)
		for i := range 2 {
			text := []byte{byte(i), 'f', 'e', 'w'}
			if _, err := p.server.StreamSend(id, text, false); err != nil {
				t.Fatal(err)
			}
			if pieces := p.server.streams.live.get(id).send.buf.data.pieces; len(pieces) != 1 || len(pieces[0]) != smallChunk {
				t.Errorf("after %d bytes four more lie in %d pieces, the first of %d bytes", sent, len(pieces), len(pieces[0]))
			}
			p.run(func() bool { return p.client.streams.live.get(id).recv.readable() })
			if pieces := p.client.streams.live.get(id).recv.data.pieces; len(pieces) != 1 || len(pieces[0]) != smallChunk {
				t.Errorf("after %d bytes four that came lie in %d pieces, the first of %d bytes", sent, len(pieces), len(pieces[0]))
			}
			if n, _, err := p.client.StreamRecv(id, buf); err != nil || string(buf[:n]) != string(text) {
				t.Errorf("%q came, %v, want %q", buf[:n], err, text)
			}
			p.run(func() bool { return !p.step() })
		}
		p.move(id, 3*chunkSize, make([]byte, 64<<10))
		p.move(id, 1<<20, make([]byte, 64<<10))
	}
}

// Chunks of each size are kept for reuse, as many as the bound allows.
func TestChunkPool(t *testing.T) {
	pool, sizes := new(chunkPool), 0
	for size := smallChunk; size <= chunkSize; size *= 2 {
		sizes++
		first := pool.get(size)
		pool.put(first)
		if again := pool.get(size); len(again) != size || &again[0] != &first[0] {
			t.Errorf("a chunk of %d bytes is not used again", size)
		}
		for range maxFreeChunks + 1 {
			pool.put(make([]byte, size))
		}
		if n := len(*pool.of(size)); n != maxFreeChunks {
			t.Errorf("%d chunks of %d bytes are kept, want %d", n, size, maxFreeChunks)
		}
	}
	if sizes != chunkSizes {
		t.Errorf("there are %d sizes, and room for %d", sizes, chunkSizes)
	}
}

// The parts that a unidirectional stream does not have are one value for all streams of all connections: nothing that happens to a
// stream may change it.
func TestMissingParts(t *testing.T) {
	p := newPair(t, fullFrames)
	for _, c := range []*Conn{p.client, p.server} {
		for range 3 {
			id, err := c.OpenUniStream()
			p.must(err)
			_, err = c.StreamSend(id, []byte("some"), id>>2 == 0)
			p.must(err)
			p.must(c.SetStreamPriority(id, Priority{Urgency: uint8(id >> 2)}))
		}
	}
	p.run(func() bool { return !p.step() })
	p.must(p.client.StreamShutdown(StreamTypeUni|4, WriteDirection, 1))
	p.must(p.server.StreamShutdown(StreamTypeUni|8, ReadDirection, 1))
	p.must(p.server.StreamShutdown(StreamTypeUni|5, WriteDirection, 1))
	buf := make([]byte, 10)
	for _, c := range []*Conn{p.client, p.server} {
		for s := range c.Readable() {
			c.StreamRecv(s, buf)
		}
	}
	p.run(func() bool { return !p.step() })
	for _, c := range []*Conn{p.client, p.server} {
		c.rest()
	}
	p.client.Close(p.now, true, 0, "")
	p.run(func() bool { return !p.step() })
	if !reflect.DeepEqual(noSend, sendPart{over: true}) || !reflect.DeepEqual(noRecv, recvPart{over: true}) {
		t.Errorf("the missing parts are %+v and %+v", noSend, noRecv)
	}
}
