package quicnet

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

func testSteering(t *testing.T, shards int, cfg quic.Config) *steering {
	t.Helper()
	s, err := newSteering(shards, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// makeID makes a connection ID.
func makeID(t *testing.T, g quic.ConnIDGenerator, rng *rand.Rand) []byte {
	t.Helper()
	id := make([]byte, g.Len())
	err := g.Generate(id, func(b []byte) {
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func shortHeader(id []byte, payload int) []byte {
	return append(append([]byte{0x40}, id...), make([]byte, payload)...)
}

func longHeader(id []byte, payload int) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0xc0}, 1)
	return append(append(append(b, byte(len(id))), id...), make([]byte, payload)...)
}

// TestIDsLeadToShard checks that each connection ID leads to the shard whose generator made it, in both forms of header.
func TestIDsLeadToShard(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, inner := range []quic.ConnIDGenerator{nil, quic.RandomConnIDs(4), quic.RandomConnIDs(8), quic.RandomConnIDs(19)} {
		for _, shards := range []int{2, 3, 7, 64, 255, 256} {
			s := testSteering(t, shards, quic.Config{ConnIDs: inner})
			for shard := range shards {
				g := s.ids(shard, inner)
				want := defaultConnIDLen
				if inner != nil {
					want = inner.Len() + 1
				}
				if g.Len() != want {
					t.Fatalf("connection IDs of %d bytes, want %d", g.Len(), want)
				}
				for range 10 {
					id := makeID(t, g, rng)
					if a, b := s.shardOf(shortHeader(id, 0)), s.shardOf(longHeader(id, 0)); a != shard || b != shard {
						t.Fatalf("%d shards: %x leads to %d and %d, not %d", shards, id, a, b, shard)
					}
				}
			}
		}
	}
}

// TestIDsHideShard looks for what connection IDs tell without the keys: of those that lead to one shard, and of those that lead to
// any, each value of the last byte, and of its sum with any of the bytes before, is as frequent.
func TestIDsHideShard(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const shards, n = 4, 64 << 10
	s := testSteering(t, shards, quic.Config{})
	g := s.ids(1, nil)
	var counts [defaultConnIDLen][256]int
	for range n {
		id := makeID(t, g, rng)
		last := id[len(id)-1]
		counts[0][last]++
		for i, b := range id[:len(id)-1] {
			counts[i+1][last^b]++
		}
	}
	for i := range counts {
		for v, k := range counts[i] {
			if mean := n / 256; k < mean/2 || k > 2*mean { // 8 standard deviations away
				t.Errorf("with byte %d, value %#x comes %d times in %d", i-1, v, k, n)
			}
		}
	}
}

// TestClientsIDsSpread checks that connection IDs which clients make up lead to all shards, about evenly.
func TestClientsIDsSpread(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const shards, n = 8, 8000
	s := testSteering(t, shards, quic.Config{})
	var counts [shards]int
	for range n {
		counts[s.shardOf(longHeader(makeID(t, quic.RandomConnIDs(8), rng), 1180))]++
	}
	for i, k := range counts {
		if k < n/shards*3/4 || k > n/shards*5/4 {
			t.Errorf("shard %d has %d of %d clients", i, k, n)
		}
	}
}

// TestKernelSteersAlike sends datagrams of all kinds to sockets with the program, and compares where they come with shardOf.
func TestKernelSteersAlike(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, inner := range []quic.ConnIDGenerator{nil, quic.RandomConnIDs(4), quic.RandomConnIDs(19)} {
		for _, shards := range []int{2, 5} {
			s := testSteering(t, shards, quic.Config{ConnIDs: inner})
			send := steered(t, s, shards)
			for range 200 {
				id := makeID(t, quic.RandomConnIDs(s.idLen), rng)
				if got, want := send(shortHeader(id, 30)), s.shardOf(shortHeader(id, 30)); got != want {
					t.Fatalf("the short header of %x came to %d, not %d", id, got, want)
				}
				if got, want := send(longHeader(id, 1180)), s.shardOf(longHeader(id, 1180)); got != want {
					t.Fatalf("the long header of %x came to %d, not %d", id, got, want)
				}
			}
			other := longHeader(make([]byte, s.idLen-1), 30) // leads nowhere, but always to the same shard
			if s.shardOf(other) != -1 || send(other) != send(other) {
				t.Error("datagrams of one client come to different shards")
			}
			for _, short := range [][]byte{{}, {0x40}, {0xc0}, {0xc0, 0, 0, 0, 1}, {0xc0, 0, 0, 0, 1, byte(s.idLen)},
				shortHeader(make([]byte, s.idLen-1), 0), longHeader(make([]byte, s.idLen), 0)[:5+s.idLen]} {
				if i := s.shardOf(short); i != -1 {
					t.Errorf("%x, which is cut off, leads to %d", short, i)
				}
				send(short) // anywhere, but it arrives
			}
		}
	}
}

// steered opens sockets with the program of s, and returns a function that sends them a datagram and tells which one got it.
func steered(t *testing.T, s *steering, shards int) func([]byte) int {
	t.Helper()
	socks, err := udp.ListenGroup("udp4", "127.0.0.1:0", shards, udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := socks[0].Steer(s.program()); err != nil {
		t.Fatal(err)
	}
	arrived := make(chan int)
	for i, sock := range socks {
		t.Cleanup(func() { sock.Close() })
		go func() {
			for ts := []udp.Train{{Buf: make([]byte, 2000)}}; ; {
				if _, err := sock.Recv(ts); err != nil {
					return
				}
				arrived <- i
			}
		}()
	}
	c, err := net.Dial("udp4", socks[0].LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return func(b []byte) int {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		return <-arrived
	}
}

func BenchmarkShardOf(b *testing.B) {
	s, err := newSteering(8, &quic.Config{})
	if err != nil {
		b.Fatal(err)
	}
	d := shortHeader([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 1000)
	sum := 0
	for b.Loop() {
		sum += s.shardOf(d)
	}
	if sum == -1 {
		b.Fatal()
	}
}
