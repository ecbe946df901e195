package quic

import (
	"errors"
	"fmt"
	"slices"
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

// The token that a server gives for later is good for the version that the connection has in the end (RFC 9369, section 5; attack B10).
func TestAttackB10TokenOfVersion(t *testing.T) {
	for _, versions := range [][]uint32{{Version1}, {Version2}, {Version2, Version1}} {
		w := newNet(t)
		server := w.host(serverHost, endpointConfig(1, speaks(versions...)))
		client := w.host(clientHost, nil)
		first := []uint32{Version1, Version2}
		if len(versions) == 1 {
			first = versions
		}
		client.connect(endpointConfig(2, speaks(first...)), ConnectParams{})
		var token []byte
		w.run(func() bool {
			for _, ev := range client.events {
				if ev.Kind == EventSession && len(ev.Session.token) > 0 {
					token = ev.Session.token
				}
			}
			return token != nil
		})
		for _, version := range []uint32{Version1, Version2} {
			want := noToken
			if version == versions[0] {
				want = newTokenToken
			}
			if v := server.tokens.check(w.now, version, token, clientHost, &ConnID{}); v.kind != want {
				t.Errorf("server of %#x: in version %#x its token counts as %#x, want %#x", versions, version, v.kind, want)
			}
		}
		dst, _ := MakeConnID([]byte("first-dcid"))
		retry := slices.Clone(server.tokens.makeRetry(w.now, versions[0], clientHost, &dst, &dst))
		if v := server.tokens.check(w.now, Version1^Version2^versions[0], retry, clientHost, &dst); v.kind != badRetryToken {
			t.Errorf("a Retry token of %#x counts as %#x in the other version", versions[0], v.kind)
		}
	}
}

// Clients and servers with every list of versions agree on what RFC 9368 says, with and without Retry and connection IDs.
func TestVersionNegotiated(t *testing.T) {
	lists := [][]uint32{{Version1}, {Version2}, {Version1, Version2}, {Version2, Version1}}
	for _, ours := range lists {
		for _, theirs := range lists {
			for _, retry := range []bool{false, true} {
				for _, idLen := range []int{0, 8} {
					name := fmt.Sprintf("client %x, server %x, retry %v, IDs of %d bytes", ours, theirs, retry, idLen)
					t.Run(name, func(t *testing.T) { testVersionNegotiated(t, ours, theirs, retry, idLen) })
				}
			}
		}
	}
}

func testVersionNegotiated(t *testing.T, ours, theirs []uint32, retry bool, idLen int) {
	w := newNet(t)
	demand := func(*Config) {}
	if retry {
		demand = retryAlways
	}
	server := w.host(serverHost, endpointConfig(1, speaks(theirs...), demand, idsOf(idLen)))
	client := w.host(clientHost, nil)
	fromClient, fromServer := w.longVersions()
	c := client.connect(endpointConfig(2, speaks(ours...), idsOf(idLen)), ConnectParams{})
	w.run(func() bool { return c.tls.confirmed || c.IsClosed() })
	// RFC 9368, section 2.
	want := firstOf(theirs, ours)
	if want == 0 {
		var err *VersionNegotiationError
		if !errors.As(c.Err(), &err) || !slices.Contains(err.Offered, theirs[0]) {
			t.Errorf("the client's error is %v", c.Err())
		}
		return
	}
	original := ours[0]
	const flight = 2 // datagrams that a ClientHello takes
	negotiations := 0
	if !slices.Contains(theirs, original) {
		original, negotiations = firstOf(ours, theirs), flight
	}
	if c.Err() != nil || len(server.live) != 1 {
		t.Fatalf("the client's error is %v, the server has %d connections", c.Err(), len(server.live))
	}
	s := server.live[0]
	if c.Version() != want || s.Version() != want {
		t.Errorf("the client's version is %#x, the server's %#x, want %#x", c.Version(), s.Version(), want)
	}
	if n := int(server.counts.VersionNegotiations); n != negotiations || fromServer[0] != n {
		t.Errorf("%d Version Negotiation packets, want %d", n, negotiations)
	}
	delete(fromServer, 0)
	for _, side := range []map[uint32]int{fromClient, fromServer} {
		for version := range side {
			if version != want && version != original && version != ours[0] {
				t.Errorf("packets of version %#x were sent", version)
			}
		}
	}
	if fromServer[want] == 0 {
		t.Error("the server sent no packet of the negotiated version")
	}
	if !retry && original != want && fromServer[original] != 0 {
		t.Error("the server answered a whole ClientHello in the original version")
	}
	if retry && fromServer[original] != flight && original != want {
		t.Errorf("the server sent %d packets of the original version, want the Retries alone", fromServer[original])
	}
	// Each side keeps nothing of the other version, and data flows.
	if c.hello != nil || s.hello != nil {
		t.Error("the state of the handshake is still there")
	}
	id, err := c.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.StreamSend(id, []byte("hello"), true); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 10)
	n := 0
	w.run(func() bool {
		n, _, _ = s.StreamRecv(id, got)
		return n > 0 || c.IsClosed() || s.IsClosed()
	})
	if string(got[:n]) != "hello" {
		t.Errorf("received %q; %v, %v", got[:n], c.Err(), s.Err())
	}
	w.run(func() bool { return c.mayUpdateKeys() })
	if err := c.KeyUpdate(); err != nil {
		t.Error(err)
	}
	w.run(func() bool { return c.mayUpdateKeys() })
	if c.keys.WriteGen() != 1 || c.keys.ReadGen() != 1 {
		t.Errorf("generation %d sent and %d received after a key update", c.keys.WriteGen(), c.keys.ReadGen())
	}
}

// A server whose Config says nothing of versions stays with that of the client, which may have a session of it (RFC 9369, section 5).
func TestServerLeavesVersionToClients(t *testing.T) {
	for _, first := range []uint32{Version1, Version2} {
		w := newNet(t)
		server := w.host(serverHost, endpointConfig(1))
		client := w.host(clientHost, nil)
		c := client.connect(endpointConfig(2, speaks(first, Version1^Version2^first)), ConnectParams{})
		w.run(func() bool { return c.tls.confirmed || c.IsClosed() })
		if !c.IsEstablished() || c.Version() != first || server.live[0].Version() != first {
			t.Errorf("the client began with version %#x: its version is %#x, the server's %#x", first, c.Version(), server.live[0].Version())
		}
	}
}
