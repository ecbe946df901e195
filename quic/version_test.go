package quic

import (
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

func speaks(versions ...uint32) func(*Config) { return func(c *Config) { c.Versions = versions } }

// longVersions notes the versions of the long headers that each side sent.
func (n *testNet) longVersions() (fromClient, fromServer map[uint32]int) {
	fromClient, fromServer = map[uint32]int{}, map[uint32]int{}
	n.tap = func(d testDatagram) {
		from := fromClient
		if d.from == serverHost {
			from = fromServer
		}
		if wire.IsLongHeader(d.b[0]) {
			version, _, _, _ := wire.ConsumeInvariants(d.b)
			from[version]++
		}
	}
	return fromClient, fromServer
}

// A client that speaks nothing but version 2, or begins with it, has a connection of version 2 at a server that speaks both.
func TestVersion2(t *testing.T) {
	for _, retry := range []func(*Config){func(*Config) {}, retryAlways} {
		w := newNet(t)
		server := w.host(serverHost, endpointConfig(1, retry))
		client := w.host(clientHost, nil)
		fromClient, fromServer := w.longVersions()
		c := client.connect(endpointConfig(2, speaks(Version2)), ConnectParams{})
		w.run(func() bool { return c.tls.confirmed })
		if c.Version() != Version2 || server.live[0].Version() != Version2 {
			t.Errorf("the client's version is %#x, the server's %#x", c.Version(), server.live[0].Version())
		}
		if len(fromClient) != 1 || len(fromServer) != 1 || fromServer[Version2] == 0 || fromClient[Version2] == 0 {
			t.Errorf("long headers of these versions were sent: %v by the client, %v by the server", fromClient, fromServer)
		}
		if err := c.KeyUpdate(); err != nil {
			t.Error(err)
		}
		c.Ping()
		w.run(func() bool { return c.mayUpdateKeys() })
		if c.keys.WriteGen() != 1 || c.keys.ReadGen() != 1 {
			t.Errorf("generation %d sent and %d received after a key update", c.keys.WriteGen(), c.keys.ReadGen())
		}
	}
}

func TestVersionsConfig(t *testing.T) {
	for _, c := range []struct {
		versions []uint32
		want     string
	}{
		{[]uint32{Version1, 0xff00001d}, "quic: Config.Versions has 0xff00001d, which is not spoken here: " +
			"Version1 (0x00000001) and Version2 (0x6b3343cf) are"},
		{[]uint32{2}, "Config.Versions has 0x00000002, which is not spoken here"},
		{[]uint32{0}, "Config.Versions has 0x00000000, which is not spoken here"},
		{[]uint32{Version2, Version2}, "quic: Config.Versions has 0x6b3343cf twice"},
	} {
		_, err := NewEndpoint(endpointConfig(1, speaks(c.versions...)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("versions %#x: %v, want %q", c.versions, err, c.want)
		}
	}
	for _, versions := range [][]uint32{nil, {}, {Version2}, {Version2, Version1}} {
		if _, err := NewEndpoint(endpointConfig(1, speaks(versions...))); err != nil {
			t.Errorf("versions %#x: %v", versions, err)
		}
	}
}
