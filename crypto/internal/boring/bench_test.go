package boring_test

import (
	"testing"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// BenchmarkCrossing measures the way into C and back alone. What is in it besides is one atomic read.
func BenchmarkCrossing(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		boring.TLSLive()
	}
}
