package qpack_test

import (
	"fmt"

	"github.com/boringquic/boringquic/quic/qpack"
)

// Two requests of one client: what its encoder writes goes to the decoder of the server, on the encoder stream and on the streams of the
// requests; what that says in return goes back on the decoder stream.
func Example() {
	client := qpack.NewEncoder(qpack.EncoderConfig{})
	server := qpack.NewDecoder(4096, 100)
	if err := client.SetPeer(4096, 100); err != nil { // as the server's SETTINGS say
		fmt.Println(err)
		return
	}
	request := []qpack.Field{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "www.example.org"},
		{Name: ":path", Value: "/"}, {Name: "user-agent", Value: "an example of a user agent"},
	}
	for stream := uint64(0); stream <= 4; stream += 4 {
		section := client.AppendSection(nil, stream, request, 1<<16)
		instructions := client.Instructions()
		fmt.Printf("stream %d: %d bytes, and %d of instructions\n", stream, len(section), len(instructions))

		if err := server.HandleEncoderStream(instructions); err != nil {
			fmt.Println(err)
			return
		}
		client.Sent(len(instructions))
		fields, err := server.Decode(stream, section, nil, 64<<10)
		if err != nil {
			fmt.Println(err)
			return
		}
		last := fields[len(fields)-1]
		fmt.Printf("%d fields, the last is %s: %s\n", len(fields), last.Canonical, last.Value)

		acknowledgement := server.Instructions()
		if err := client.HandleDecoderStream(acknowledgement); err != nil {
			fmt.Println(err)
			return
		}
		server.Sent(len(acknowledgement))
	}
	// Output:
	// stream 0: 7 bytes, and 39 of instructions
	// 5 fields, the last is User-Agent: an example of a user agent
	// stream 4: 7 bytes, and 0 of instructions
	// 5 fields, the last is User-Agent: an example of a user agent
}
