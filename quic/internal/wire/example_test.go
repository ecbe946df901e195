package wire_test

import (
	"fmt"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// A STREAM frame, there and back.
func Example() {
	data := []byte("hello")
	b := wire.AppendStreamHeader(nil, 4, 0, len(data), true, true)
	b = append(b, data...)
	fmt.Printf("%x\n", b)

	id, off, fin, data, n := wire.ConsumeStream(b)
	fmt.Printf("stream %d, offset %d: %q, fin %v, %d bytes\n", id, off, data, fin, n)
	_, _, _, _, n = wire.ConsumeStream(b[:4])
	fmt.Println(n)
	// Output:
	// 0b040568656c6c6f
	// stream 4, offset 0: "hello", fin true, 8 bytes
	// -1
}
