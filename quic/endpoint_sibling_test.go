package quic

import "testing"

// What one of two siblings has given to a client is good at the other.
func TestSibling(t *testing.T) {
	w := newNet(t)
	a := w.host(serverHost, endpointConfig(1, retryAlways))
	e, err := a.Sibling(RandomConnIDs(9))
	if err != nil {
		t.Fatal(err)
	}
	b := &testHost{Endpoint: e, net: w, addr: serverHost}

	_, answer := a.one(initialSpec{}.datagram(t), clientHost)
	id, token := takeRetry(t, answer, "first-dcid", "peer-cid")
	c := accepted(t, b, initialSpec{dst: id, token: token})
	defer c.Release()
	if !c.path.validated || string(c.hello.origDst.Bytes()) != "first-dcid" {
		t.Error("the Retry token of the sibling did not count")
	}
	if a.Conns() != 0 || b.Conns() != 1 {
		t.Errorf("the siblings have %d and %d connections, want none and one", a.Conns(), b.Conns())
	}
	if n := c.local.first.Len(); n != 9 {
		t.Errorf("the connection has a connection ID of %d bytes, not the 9 of the sibling's generator", n)
	}
	if id := *mustID(t, "some id"); a.resets.token(&id) != b.resets.token(&id) {
		t.Error("the stateless reset tokens differ")
	}
	if a.serverTLS != b.serverTLS {
		t.Error("the TLS contexts, which have the ticket keys, differ")
	}
	other := w.host(otherHost, endpointConfig(2))
	if id := *mustID(t, "some id"); a.resets.token(&id) == other.resets.token(&id) {
		t.Error("an endpoint that is no sibling has the same keys")
	}
}

func TestSiblingErrors(t *testing.T) {
	client, err := NewEndpoint(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Sibling(RandomConnIDs(8)); err == nil {
		t.Error("an endpoint without a Config has a sibling")
	}
	server, err := NewEndpoint(endpointConfig(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Sibling(RandomConnIDs(21)); err == nil {
		t.Error("connection IDs of 21 bytes brought no error")
	}
}

func TestHas(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1))
	first := initialSpec{}.datagram(t)
	train := Train{Buf: append(first, first...), SegSize: len(first), Remote: clientHost}
	if server.Has(train) || server.Has(Train{Remote: clientHost}) {
		t.Error("an endpoint without connections has the one of a first packet, or of nothing")
	}
	c := accepted(t, server, initialSpec{})
	if !server.Has(train) {
		t.Error("not found by the client's connection ID")
	}
	if !server.Has(Train{Buf: shortPacket(c.local.first, 40), Remote: otherHost}) {
		t.Error("not found by our connection ID")
	}
	train.Remote = otherHost
	if server.Has(train) {
		t.Error("the client's connection ID led to the connection from another address")
	}
}
