package sim

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Attack B2: somebody sends 10,000 Initial packets a second that each hold a whole ClientHello, from addresses that he made up. Clients
// get in all the while, at a server with the default configuration, which makes no more connections than a fourth of MaxHandshakes and
// theirs.
func TestSpoofedInitials(t *testing.T) {
	const (
		perSecond  = 10_000
		lasts      = 6 * time.Second
		apart      = 250 * time.Millisecond // between clients
		mostServer = 4096/4 + 1 + int(lasts/apart)
	)
	w := NewWorld(1)
	clientConfig, serverConfig := Scenario{Seed: 1}.configs(w)
	serverEndpoint, err := quic.NewEndpoint(serverConfig)
	if err != nil {
		t.Fatal(err)
	}
	clientEndpoint, err := quic.NewEndpoint(nil)
	if err != nil {
		t.Fatal(err)
	}
	begun, established := 0, 0
	client := NewHost(w, ClientAddr, clientEndpoint, func(c *Conn, ev quic.Event) {
		switch ev.Kind {
		case quic.EventHandshakeConfirmed:
			established++
			c.Close(w.Now(), true, 0, "")
			c.Touch()
		case quic.EventClosed:
			if _, ok := c.Err().(*quic.ApplicationError); !ok {
				t.Errorf("a client that began at its turn ended at %v with %v", w.Elapsed(), c.Err())
			}
		}
	})
	server := NewHost(w, ServerAddr, serverEndpoint, func(*Conn, quic.Event) {})
	defer release(client, server)
	trace := &Trace{}
	toServer := NewLink(w, trace, "to server", []Stage{Delay(10*time.Millisecond, 0)}, server.Receive)
	client.Attach(toServer)
	server.Attach(NewLink(w, trace, "to client", []Stage{Delay(10*time.Millisecond, 0)}, func(d Datagram) {
		if d.To == ClientAddr {
			client.Receive(d) // the others go to where nobody is
		}
	}))
	connect := func() *quic.Conn {
		c, err := clientEndpoint.Connect(w.Now(), clientConfig, quic.ConnectParams{
			ServerName: ServerName, Local: ClientAddr, Remote: ServerAddr,
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	room := make([]byte, maxTrain)
	attacker := connect()
	hello := attacker.Send(w.Now(), room)
	attacker.Release()
	var spoof func(n uint32)
	spoof = func(n uint32) {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24+n))), 443)
		toServer.Send(Datagram{Data: bytes.Clone(room[:hello.N]), From: from, To: ServerAddr})
		if w.Elapsed() < lasts {
			w.After(time.Second/perSecond, func() { spoof(n + 1) })
		}
	}
	spoof(0)
	var join func()
	join = func() {
		begun++
		client.Add(connect())
		if w.Elapsed() < lasts {
			w.After(apart, join)
		}
	}
	join()
	most := 0
	err = w.Run(lasts+time.Second, func() bool {
		most = max(most, serverEndpoint.Conns())
		return w.Elapsed() > lasts && established == begun
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d of %d clients got in, the last after %v; the server had at most %d connections", established, begun, w.Elapsed(), most)
	if most > mostServer {
		t.Errorf("the server had %d connections, want at most %d", most, mostServer)
	}
}
