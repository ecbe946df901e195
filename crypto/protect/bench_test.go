package protect

import (
	"fmt"
	"testing"
)

const benchSize = 1200

func train(n int, gen uint32) (buf []byte, seal []SealDesc, open []OpenDesc) {
	buf = make([]byte, n*benchSize)
	for i := range n {
		fillPacket(buf[i*benchSize:(i+1)*benchSize], gen, int64(i))
		seal = append(seal, sealDesc(i*benchSize, benchSize, gen, int64(i)))
		open = append(open, openDesc(i*benchSize, benchSize, -1))
	}
	return buf, seal, open
}

// reseal writes the headers that sealing before has protected.
func reseal(buf []byte, n int) {
	for i := range n {
		p := buf[i*benchSize:]
		p[0] = 0x43
		p[testPNOff], p[testPNOff+1], p[testPNOff+2], p[testPNOff+3] = 0, 0, 0, byte(i)
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, suite := range suites {
		for _, n := range []int{1, 8, 45} {
			b.Run(fmt.Sprintf("%s/%d", suite, n), func(b *testing.B) {
				send, _ := pair(b, suite)
				buf, seal, _ := train(n, 0)
				b.SetBytes(int64(len(buf)))
				b.ReportAllocs()
				for b.Loop() {
					reseal(buf, n)
					if !send.Seal(buf, seal) {
						b.Fatal("Seal refused")
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/packet")
			})
		}
	}
}

// BenchmarkOpen copies the sealed train before it opens it, since opening is in place.
func BenchmarkOpen(b *testing.B) {
	for _, suite := range suites {
		for _, n := range []int{1, 8, 45} {
			b.Run(fmt.Sprintf("%s/%d", suite, n), func(b *testing.B) {
				send, recv := pair(b, suite)
				sealed, seal, open := train(n, 0)
				if !send.Seal(sealed, seal) {
					b.Fatal("Seal refused")
				}
				buf := make([]byte, len(sealed))
				b.SetBytes(int64(len(buf)))
				b.ReportAllocs()
				for b.Loop() {
					copy(buf, sealed)
					recv.Open(buf, open)
					if open[n-1].Status != Opened {
						b.Fatal("not opened")
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/packet")
			})
		}
	}
}

// BenchmarkInstallInitial is what a server pays for the keys of a new connection.
func BenchmarkInstallInitial(b *testing.B) {
	dcid := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	b.ReportAllocs()
	for b.Loop() {
		k := NewKeys()
		if err := k.InstallInitial(version1, dcid, false); err != nil {
			b.Fatal(err)
		}
		k.Release()
	}
}

// BenchmarkForged opens what is not authentic under each of the keys that a 1-RTT packet can call for: the times must be
// alike (RFC 9001, section 9.5).
func BenchmarkForged(b *testing.B) {
	for _, c := range []struct {
		name string
		gen  uint32 // of the two that the phase bit tells apart
		pn   int64
		drop bool
	}{
		{"current", 1, 20, false}, {"next", 0, 20, false}, {"previous", 0, 5, false}, {"dropped", 0, 5, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			send, recv := pair(b, AES128GCMSHA256)
			if c.gen == 1 {
				send.AdvanceWrite()
			}
			recv.AdvanceRead(10)
			if c.drop {
				recv.DropPrevious()
			}
			packet := sealOne(b, send, c.pn, benchSize)
			packet[len(packet)-1] ^= 1
			buf := make([]byte, benchSize)
			for b.Loop() {
				copy(buf, packet)
				d := [1]OpenDesc{openDesc(0, benchSize, 10)}
				if recv.Open(buf, d[:]); d[0].Status != Failed {
					b.Fatal("it opened")
				}
			}
		})
	}
}

// BenchmarkSealPieces seals trains whose stream data lies elsewhere, as it does when much is sent.
func BenchmarkSealPieces(b *testing.B) {
	for _, suite := range suites {
		for _, n := range []int{1, 45} {
			b.Run(fmt.Sprintf("%s/%d", suite, n), func(b *testing.B) {
				send, _ := pair(b, suite)
				buf, seal, _ := train(n, 0)
				const prefix = 9
				piece := make([]byte, prefix+n*benchSize)
				for i := range seal {
					seal[i].Piece, seal[i].PieceOff, seal[i].Prefix = 1, uint16(prefix+i*(benchSize-50)), prefix
				}
				b.SetBytes(int64(len(buf)))
				for b.Loop() {
					reseal(buf, n)
					if !send.Seal(buf, seal, piece) {
						b.Fatal("Seal refused")
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/packet")
			})
		}
	}
}
