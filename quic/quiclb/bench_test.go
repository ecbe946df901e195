package quiclb

import "testing"

// BenchmarkDecoder is what a balancer pays for each datagram, BenchmarkGenerator what a server pays for each connection ID.
func BenchmarkDecoder(b *testing.B) {
	for _, v := range benchmarks {
		b.Run(v.name, func(b *testing.B) {
			g, err := NewGenerator(v.cfg, make([]byte, v.cfg.ServerIDLen))
			if err != nil {
				b.Fatal(err)
			}
			d, err := NewDecoder(v.cfg)
			if err != nil {
				b.Fatal(err)
			}
			datagram := make([]byte, 1200)
			datagram[0] = 0x40
			if err := g.Generate(datagram[1:1+g.Len()], func([]byte) {}); err != nil {
				b.Fatal(err)
			}
			serverID := make([]byte, 0, maxBlock)
			for b.Loop() {
				if _, ok := d.Datagram(serverID, datagram); !ok {
					b.Fatal("unroutable")
				}
			}
		})
	}
}

func BenchmarkGenerator(b *testing.B) {
	for _, v := range benchmarks {
		b.Run(v.name, func(b *testing.B) {
			g, err := NewGenerator(v.cfg, make([]byte, v.cfg.ServerIDLen))
			if err != nil {
				b.Fatal(err)
			}
			id := make([]byte, g.Len())
			for b.Loop() {
				g.Generate(id, func([]byte) {})
			}
		})
	}
}

var benchmarks = []struct {
	name string
	cfg  Config
}{
	{"legible", Config{ServerIDLen: 2, NonceLen: 8}},
	{"single-pass", Config{ServerIDLen: 4, NonceLen: 12, Key: make([]byte, keyLen)}},
	{"four-pass", Config{ServerIDLen: 2, NonceLen: 8, Key: make([]byte, keyLen)}},
	{"four-pass-long-id", Config{ServerIDLen: 8, NonceLen: 4, Key: make([]byte, keyLen)}},
}
