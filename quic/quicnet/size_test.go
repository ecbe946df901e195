package quicnet

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/boringquic/boringquic/quic/udp"
)

// Over real sockets datagrams of any size that IPv4 carries bring streams and DATAGRAM frames of the size that is promised.
func TestDatagramSizes(t *testing.T) {
	for _, size := range []int{1201, 9000, 32768, 65000, 65507} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			server, client := serverConfig(), clientConfig()
			server.MaxUDPPayload, client.MaxUDPPayload = size, size
			server.MaxDatagramFrameSize, client.MaxDatagramFrameSize = 65535, 65535
			sock, err := udp.Listen("udp4", "127.0.0.1:0", udp.Options{})
			if err != nil {
				t.Fatal(err)
			}
			ep := endpointOn(t, sock, server)
			c := dial(t, ep, client)
			ctx := testContext(t)
			s, err := ep.Accept(ctx)
			if err != nil {
				t.Fatal(err)
			}
			ss, cs := streamPair(t, s, c)
			content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
			go func() {
				cs.Write(content)
				cs.Close()
			}()
			if b, err := io.ReadAll(ss); err != nil || !bytes.Equal(b, content) {
				t.Fatalf("%d bytes came: %v", len(b), err)
			}
			largest := c.MaxDatagramSize()
			if largest < size-50 {
				t.Errorf("datagrams of %d bytes are promised", largest)
			}
			buf := make([]byte, 1<<16)
			for range 10 { // one at a time, so that no buffer of the system runs over
				if err := c.SendDatagram(ctx, content[:largest]); err != nil {
					t.Fatal(err)
				}
				if n, err := s.ReceiveDatagram(ctx, buf); err != nil || n != largest {
					t.Fatalf("%d bytes came: %v", n, err)
				}
			}
		})
	}
}
