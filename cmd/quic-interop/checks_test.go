package main

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/trace"
)

// common are the checks of every scenario: nothing that was authentic was not understood, the version, the number of handshakes.
func (r *result) common() {
	r.Helper()
	for _, t := range []*trace.Trace{r.client, r.server} {
		for _, err := range t.Errors {
			r.Errorf("the trace has %v", err)
		}
	}
	if r.s.client != "v2" {
		want := uint32(trace.Version1)
		if r.s.version == "2" {
			want = trace.Version2
		}
		if vs := versions(r.server, trace.Initial, false); !slices.Equal(vs, []uint32{want}) {
			r.Errorf("the server's Initial packets have the versions %#x, want %#x", vs, want)
		}
	}
	if n, want := handshakes(r.server), max(r.s.handshakes, 1); n != want {
		r.Errorf("%d handshakes, want %d", n, want)
	}
}

// sent returns the packets of one kind from one side.
func sent(t *trace.Trace, fromClient bool, types ...trace.Type) (ps []*trace.Packet) {
	for _, p := range t.Packets {
		if p.FromClient == fromClient && slices.Contains(types, p.Type) {
			ps = append(ps, p)
		}
	}
	return ps
}

func versions(t *trace.Trace, typ trace.Type, fromClient bool) (vs []uint32) {
	for _, p := range sent(t, fromClient, typ) {
		if !slices.Contains(vs, p.Version) {
			vs = append(vs, p.Version)
		}
	}
	return vs
}

// handshakes counts the source connection IDs of the server's Initial packets.
func handshakes(t *trace.Trace) int { return len(serverIDs(t, trace.Initial)) }

func serverIDs(t *trace.Trace, typ trace.Type) (ids []string) {
	for _, p := range sent(t, false, typ) {
		if id := string(p.SCID); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func noRetry(r *result) {
	if n := len(sent(r.server, false, trace.Retry)); n > 0 {
		r.Errorf("%d Retry packets were sent", n)
	}
}

func twoHellos(r *result) {
	if n := r.client.Conns[0].Hellos; n < 2 {
		r.Errorf("%d ClientHellos were sent, want two at least", n)
	}
}

func onlyChaCha20(r *result) {
	for _, c := range r.client.Conns {
		if c.Suite != 0x1303 || len(c.Suites) == 0 || slices.ContainsFunc(c.Suites, func(s uint16) bool { return s != 0x1303 }) {
			r.Errorf("the client offers the suites %#x", c.Suites)
		}
	}
}

func streamLimit(r *result) {
	if n, ok := r.client.Conns[0].Varint(0x08); !ok || n > 1000 {
		r.Errorf("initial_max_streams_bidi is %d, %v", n, ok)
	}
}

func retryAnswered(r *result) {
	for _, t := range []*trace.Trace{r.client, r.server} {
		retries := sent(t, false, trace.Retry)
		if len(retries) == 0 || len(retries[0].Token) == 0 {
			r.Errorf("%d Retry packets, or one without a token", len(retries))
			return
		}
		before, found := int64(-1), false
		for _, p := range sent(t, true, trace.Initial) {
			switch {
			case !p.Opened:
				r.Error("an Initial packet of the client does not open")
			case p.Token == nil || len(p.Token) == 0:
				before = max(before, p.PN)
			case !bytes.Equal(p.Token, retries[0].Token):
				r.Errorf("the client's token is not the server's")
			default:
				found = true
				if p.PN <= before {
					r.Errorf("after Retry the client sends packet %d, and had sent %d", p.PN, before)
				}
			}
		}
		if !found {
			r.Error("no Initial packet has the token")
		}
	}
}

func keysUpdated(r *result) {
	for _, fromClient := range []bool{true, false} {
		if !slices.ContainsFunc(sent(r.server, fromClient, trace.OneRTT), func(p *trace.Packet) bool { return p.Opened && p.Gen == 1 }) {
			r.Errorf("no packet with the key phase 1 from the client: %v", fromClient)
		}
	}
}

func marksSeen(r *result) {
	for _, c := range []struct {
		t          *trace.Trace
		fromClient bool
	}{{r.client, true}, {r.server, false}} {
		var marked, acks int
		for _, p := range c.t.Packets {
			if p.FromClient != c.fromClient {
				continue
			}
			switch p.Record.ECN {
			case 1, 2:
				marked++
			case 3:
				r.Error("a sender marks CE")
			}
			if p.Has(trace.FrameAckECN) {
				acks++
			}
		}
		if marked == 0 || acks == 0 {
			r.Errorf("from the client %v: %d packets are marked, %d have ACK with ECN counts", c.fromClient, marked, acks)
		}
	}
}

// amplification: until the server has the client's first Handshake packet it sends no more than three times what it has received.
func amplification(r *result) {
	if n := r.server.Conns[0].CryptoEnd(false, trace.Handshake); n < 7500 {
		r.Errorf("the server's first flight has %d bytes", n)
	}
	in, out, last := 0, 0, -1
	for _, p := range r.server.Packets {
		switch {
		case p.Type == trace.VersionNegotiation:
			r.Error("Version Negotiation")
		case p.FromClient && p.Type == trace.Handshake:
			return
		case p.Datagram == last:
			continue
		}
		last = p.Datagram
		if p.FromClient {
			in += len(p.Record.Data)
		} else if out += len(p.Record.Data); out > 3*in {
			r.Errorf("%d bytes were sent for %d", out, in)
			return
		}
	}
	r.Error("no Handshake packet of the client arrived")
}

// onIPv6 has the server send no IPv4.
func onIPv6(r *result) {
	for _, p := range r.server.Packets {
		if !p.FromClient && !p.Record.Src.Addr().Is6() {
			r.Errorf("a packet from %v", p.Record.Src)
		}
	}
}

// version2: the client begins with version 1, and the server moves it to version 2.
func version2(r *result) {
	if vs := versions(r.client, trace.Initial, true); !slices.Contains(vs, trace.Version1) {
		r.Errorf("the client's Initial packets have the versions %#x", vs)
	}
	if vs := versions(r.server, trace.Initial, false); !slices.Contains(vs, trace.Version2) {
		r.Errorf("the server's Initial packets have the versions %#x", vs)
	}
	for _, fromClient := range []bool{true, false} {
		if vs := versions(r.server, trace.Handshake, fromClient); !slices.Equal(vs, []uint32{trace.Version2}) {
			r.Errorf("Handshake packets of the client %v have the versions %#x", fromClient, vs)
		}
	}
}

// pathsValidated: the server saw more than one path, its first packet on each new one has PATH_CHALLENGE, and every challenge that
// arrived is echoed.
func pathsValidated(r *result) {
	type path struct{ local, remote netip.AddrPort }
	seen := make(map[path]bool)
	var responses [][]byte
	challenges := 0
	for _, p := range r.server.Packets {
		if p.FromClient {
			continue
		}
		at := path{p.Record.Src, p.Record.Dst}
		if !seen[at] && len(seen) > 0 && !p.Has(trace.FramePathChallenge) {
			r.Errorf("the first packet to %v, at %v, is without PATH_CHALLENGE", at.remote, p.Record.At)
		}
		seen[at] = true
		for _, f := range p.Frames {
			if f.Type == trace.FramePathChallenge {
				challenges++
			}
		}
	}
	if len(seen) < 2 {
		r.Errorf("the server sent on %d paths", len(seen))
	}
	if challenges == 0 {
		r.Error("no PATH_CHALLENGE")
	}
	for _, p := range r.client.Packets { // what the client has sent may be lost, or come when the server is gone
		for _, f := range p.Frames {
			if f.Type == trace.FramePathResponse && p.FromClient {
				responses = append(responses, f.Data)
			}
		}
	}
	end := r.client.Packets[len(r.client.Packets)-1].Record.At
	for _, p := range r.client.Packets {
		for _, f := range p.Frames {
			if !p.FromClient && f.Type == trace.FramePathChallenge && end.Sub(p.Record.At) > 50*time.Millisecond &&
				!slices.ContainsFunc(responses, func(b []byte) bool { return bytes.Equal(b, f.Data) }) {
				r.Errorf("the challenge %x, which arrived at %v, is not echoed", f.Data, p.Record.At)
			}
		}
	}
}

// addressesChanged: and more than one address of the client was seen.
func addressesChanged(r *result) {
	var ips []netip.Addr
	for _, p := range sent(r.server, true, trace.OneRTT) {
		if ip := p.Record.Src.Addr(); !slices.Contains(ips, ip) {
			ips = append(ips, ip)
		}
	}
	if len(ips) < 2 {
		r.Errorf("the client was seen at %v", ips)
	}
	pathsValidated(r)
}

// moved: the server gave a preferred address, the client moved there, and used another connection ID.
func moved(r *result) {
	if _, ok := r.client.Conns[0].Params[0x0d]; !ok {
		r.Error("no preferred_address")
	}
	pathsValidated(r)
	used := make(map[string]netip.AddrPort)
	for _, p := range sent(r.client, true, trace.OneRTT) {
		id := string(p.DCID)
		if at, ok := used[id]; ok && at != p.Record.Dst {
			r.Errorf("connection ID %x was used to %v and %v", id, at, p.Record.Dst)
			return
		}
		used[id] = p.Record.Dst
	}
	if len(used) < 2 {
		r.Error("the client used one connection ID only")
	}
}

// resumed: the second of two handshakes is without a certificate.
func resumed(r *result) {
	cs := r.client.Conns
	if len(cs) != 2 || !cs[0].HasServer(trace.Certificate) || cs[1].HasServer(trace.Certificate) {
		r.Errorf("of %d connections, the first has a certificate and the second has none: that is not so", len(cs))
	}
	if ids := serverIDs(r.server, trace.Handshake); len(ids) != 2 {
		r.Errorf("Handshake packets have %d connection IDs of the server", len(ids))
	}
}

// early: requests went as 0-RTT data, and little else.
func early(r *result) {
	var zero, one int
	for _, p := range sent(r.client, true, trace.ZeroRTT, trace.OneRTT) {
		if !p.Opened {
			r.Errorf("a %v packet does not open", p.Type)
		} else if p.Type == trace.ZeroRTT {
			zero += p.Payload
		} else {
			one += p.Size
		}
	}
	if zero == 0 || one > 5000 {
		r.Errorf("the client sent %d bytes of 0-RTT and %d of 1-RTT payload", zero, one)
	}
}
