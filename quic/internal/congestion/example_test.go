package congestion_test

import (
	"fmt"
	"time"

	"github.com/boringquic/boringquic/quic/internal/congestion"
)

// A window that grows, a loss, and how fast packets leave.
func Example() {
	const ms = int64(time.Millisecond)
	var c congestion.Controller = congestion.NewNewReno(1200)
	fmt.Println(c.Window(), c.SlowStart())
	c.OnAck(1100*ms, congestion.Ack{Bytes: 12000, NewestSent: 1000 * ms})
	fmt.Println(c.Window(), c.SlowStart())
	c.OnCongestion(1200*ms, 1100*ms)
	fmt.Println(c.Window(), c.SlowStart())
	fmt.Println(congestion.Rate(c.Window(), 100*time.Millisecond, c.SlowStart()), "bytes a second")
	// Output:
	// 12000 true
	// 24000 true
	// 12000 false
	// 150000 bytes a second
}
