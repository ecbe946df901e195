package udp_test

import (
	"fmt"
	"log"

	"github.com/boringquic/boringquic/quic/udp"
)

func Example() {
	a, err := udp.Listen("udp4", "127.0.0.1:0", udp.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	b, err := udp.Listen("udp4", "127.0.0.1:0", udp.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()

	// Three datagrams, the last of which is shorter, leave in one call.
	train := udp.Train{Buf: []byte("one two three"), SegSize: 5, Remote: b.LocalAddr()}
	if err := a.Send([]udp.Train{train}); err != nil {
		log.Fatal(err)
	}
	in := []udp.Train{{Buf: make([]byte, udp.RecvBufSize)}, {Buf: make([]byte, udp.RecvBufSize)}}
	for got := 0; got < len(train.Buf); {
		n, err := b.Recv(in)
		if err != nil {
			log.Fatal(err)
		}
		for _, t := range in[:n] { // in one train where the kernel can do that
			got += len(t.Buf)
			for ; len(t.Buf) > 0; t.Buf = t.Buf[min(t.SegSize, len(t.Buf)):] {
				fmt.Printf("%q\n", t.Buf[:min(t.SegSize, len(t.Buf))])
			}
		}
	}
	// Output:
	// "one t"
	// "wo th"
	// "ree"
}
