package ranges_test

import (
	"fmt"

	"github.com/boringquic/boringquic/quic/internal/ranges"
)

// Packet numbers received, with a gap that is filled later.
func Example() {
	var received ranges.Set
	received.Add(0, 5)
	received.Add(7, 9)
	fmt.Println(received, received.Contains(6), received.Max())
	received.Add(5, 7)
	fmt.Println(received, received.Contains(6), received.Size())
	// Output:
	// [{0 5} {7 9}] false 8
	// [{0 9}] true 9
}
