package quic

import (
	"net/netip"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// preferred_address in both roles (RFC 9000, section 9.6).

var (
	preferred4 = netip.MustParseAddrPort("192.0.2.200:8443")
	preferred6 = netip.MustParseAddrPort("[2001:db8::200]:8443")
)

// preferredParam is a server's preferred_address, with the connection ID "pref-cid".
func preferredParam(v4, v6 netip.AddrPort) scriptedOption {
	b := make([]byte, 0, 61)
	ip4, ip6 := [4]byte{}, [16]byte{}
	if v4.IsValid() {
		ip4 = v4.Addr().As4()
	}
	if v6.IsValid() {
		ip6 = v6.Addr().As16()
	}
	b = append(append(b, ip4[:]...), byte(v4.Port()>>8), byte(v4.Port()))
	b = append(append(b, ip6[:]...), byte(v6.Port()>>8), byte(v6.Port()))
	b = append(append(b, 8), "pref-cid"...)
	return param(0x0d, append(b, make([]byte, 16)...))
}

// newPreferring returns a server that prefers another address, and what its client sent when the handshake was confirmed.
func newPreferring(t *testing.T, options ...scriptedOption) (p *scripted, first []gotFrame) {
	t.Helper()
	p = newScriptedServer(t, options...)
	for range 10 {
		p.sendTLS()
		if p.complete && len(p.cryptoOut[protect.OneRTT]) == 0 {
			break
		}
	}
	p.got = nil
	p.ignored[wire.FrameNewConnectionID] = true
	p.sendFrames(protect.OneRTT, frame(wire.FrameHandshakeDone), p.ackReceived(protect.OneRTT))
	for _, f := range p.got {
		if f.to != p.remote {
			first = append(first, f)
		}
	}
	return p, first
}

// The client validates the address that the server prefers, with a connection ID of its own, and moves there once that has succeeded; before
// it drops what comes from there. With IgnorePreferredAddress, or where it cannot be reached or must not be, it stays.
func TestClientOfPreferredAddress(t *testing.T) {
	t.Run("moves", func(t *testing.T) {
		p, first := newPreferring(t, preferredParam(preferred4, preferred6))
		if len(first) == 0 || first[0].typ != wire.FramePathChallenge || first[0].to != preferred4 || first[0].dstID != "pref-cid" ||
			first[0].size != minDatagramSize {
			t.Fatalf("the client sent %v, want PATH_CHALLENGE to %v", first, preferred4)
		}
		p.got = nil
		p.wantFrom("before the answer", p.local, "peer-cid")
		p.recvAt(p.local, preferred4, p.encode(oneRTT(answerTo(first[0]), filler(1150))))
		p.drain()
		if p.conn.RemoteAddr() != preferred4 {
			t.Fatalf("the client is at %v", p.conn.RemoteAddr())
		}
		if f := p.take(wire.FramePing); len(f) == 0 || f[0].to != preferred4 || f[0].dstID != "pref-cid" {
			t.Errorf("the server is told by %v", f)
		}
		// Section 9: the client may move from now on, whatever disable_active_migration says; the old address is still heard.
		p.deliver(p.local, frame(wire.FramePing))
		if p.conn.RemoteAddr() != preferred4 {
			t.Error("a packet from the first address moved the client")
		}
	})
	t.Run("fails", func(t *testing.T) {
		p, first := newPreferring(t, preferredParam(preferred4, netip.AddrPort{}))
		for len(p.conn.paths.list) > 1 {
			p.advance()
		}
		for _, f := range p.got {
			if f.to == preferred4 && f.typ != wire.FramePathChallenge && f.typ != wire.FramePadding {
				t.Errorf("%v went there", f)
			}
		}
		if n := len(p.take(wire.FramePathChallenge)); n != maxPathChallenges || len(first) == 0 {
			t.Errorf("%d probes, want %d (A8)", n, maxPathChallenges)
		}
		p.wantFrom("it failed", p.local, "peer-cid")
	})
	stays := func(name string, options ...scriptedOption) {
		t.Run(name, func(t *testing.T) {
			p, first := newPreferring(t, options...)
			if len(first) > 0 {
				t.Errorf("the client sent %v", first)
			}
			p.recvAt(p.local, preferred4, p.encode(oneRTT(frame(wire.FramePing))))
			p.drain()
			p.wantFrom("it stays", p.local, "peer-cid")
		})
	}
	stays("ignored", preferredParam(preferred4, preferred6), func(p *scripted) { p.cfg.IgnorePreferredAddress = true })
	stays("of the other family", preferredParam(netip.AddrPort{}, preferred6))
	// A8: no client is led into networks where the server is not itself (section 21.5.3).
	for _, a := range []string{"127.0.0.1:53", "10.0.0.1:53", "192.168.1.1:80", "169.254.169.254:80", "100.64.0.1:1", "224.0.0.1:1", "255.255.255.255:1",
		"192.0.2.9:0", "0.0.0.1:1"} {
		stays("at "+a, preferredParam(netip.MustParseAddrPort(a), netip.AddrPort{}))
	}
	t.Run("beside a server on this machine", func(t *testing.T) {
		there := netip.MustParseAddrPort("127.0.0.1:8443")
		_, first := newPreferring(t, preferredParam(there, netip.AddrPort{}), func(p *scripted) {
			p.local, p.remote = netip.MustParseAddrPort("127.0.0.1:5000"), netip.MustParseAddrPort("127.0.0.1:443")
		})
		if len(first) == 0 || first[0].to != there {
			t.Errorf("the client sent %v", first)
		}
	})
	t.Run("with disable_active_migration", func(t *testing.T) {
		p, first := newPreferring(t, preferredParam(preferred4, preferred6), param(0x0c, []byte{}))
		if err := p.conn.Migrate(p.now, wlan, p.remote); err != ErrMigrationDisabled {
			t.Errorf("before it moved: %v", err)
		}
		p.recvAt(p.local, preferred4, p.encode(oneRTT(answerTo(first[0]))))
		p.drain()
		p.sendFrames(protect.OneRTT, newConnectionIDFrame(2, 0, "peercid2", [16]byte{2}))
		if err := p.conn.Migrate(p.now, wlan, preferred4); err != nil {
			t.Errorf("after it moved: %v", err)
		}
	})
}

// A client that moves before it was at the preferred address validates both addresses of the server from its new one, and ends at the preferred one
// (section 9.6.3).
func TestClientMovesTwice(t *testing.T) {
	for _, preferredFirst := range []bool{false, true} {
		p, first := newPreferring(t, preferredParam(preferred4, preferred6))
		p.sendFrames(protect.OneRTT, newConnectionIDFrame(2, 0, "peercid2", [16]byte{2}))
		p.got = nil
		p.must(p.conn.Migrate(p.now, wlan, p.remote))
		p.drain()
		p.sendFrames(protect.OneRTT, newConnectionIDFrame(3, 0, "peercid3", [16]byte{3}))
		cs := p.challenges()
		if len(cs[p.remote]) != 1 || len(cs[preferred4]) != 1 || cs[p.remote][0].from != wlan || cs[preferred4][0].from != wlan ||
			cs[p.remote][0].dstID == cs[preferred4][0].dstID || cs[preferred4][0].dstID == first[0].dstID {
			t.Fatalf("challenges %v, want one to each address from %v", cs, wlan)
		}
		p.deliver(wlan, answerTo(first[0])) // of the path that it has left: nothing
		if p.conn.LocalAddr() != p.local {
			t.Fatal("the answer to the probe from the first address counts")
		}
		order := []netip.AddrPort{p.remote, preferred4}
		if preferredFirst {
			order = []netip.AddrPort{preferred4, p.remote}
		}
		for _, a := range order {
			p.recvAt(wlan, a, p.encode(oneRTT(answerTo(cs[a][0]))))
			p.drain()
		}
		if p.conn.LocalAddr() != wlan || p.conn.RemoteAddr() != preferred4 {
			t.Errorf("the client sends from %v to %v", p.conn.LocalAddr(), p.conn.RemoteAddr())
		}
	}
}

// newPreferred returns a client whose server, conn, prefers another address: its transport parameter has connection ID "cid-pref".
func newPreferred(t *testing.T) *scripted {
	t.Helper()
	p := newScriptedClient(t, param(0x0e, varint(4)), func(p *scripted) { p.cfg.PreferredAddress.IPv4 = preferred4 }, func(p *scripted) {
		id, _ := MakeConnID([]byte("cid-pref"))
		p.preferred = &IssuedConnID{ID: id, Seq: 1, ResetToken: [16]byte{7}}
		p.nextSeq = 2
	})
	p.handshake()
	p.ignored[wire.FrameNewConnectionID] = true
	p.sendFrames(protect.OneRTT, newConnectionIDFrame(1, 0, "peercid1", [16]byte{1}))
	p.advance()
	p.got, p.events = nil, nil
	return p
}

// A client that has moved to the preferred address, and has forgotten the path to the first one, takes what the server still sends from
// there: it may lack what it needs to follow, a connection ID or a validated path (section 9.6.2).
func TestServerHasNotFollowed(t *testing.T) {
	p, first := newPreferring(t, preferredParam(preferred4, preferred6))
	p.sendFrames(protect.OneRTT, newConnectionIDFrame(2, 0, "peercid2", [16]byte{2}))
	p.recvAt(p.local, preferred4, p.encode(oneRTT(answerTo(first[0]))))
	p.drain()
	if p.conn.RemoteAddr() != preferred4 {
		t.Fatalf("the client is at %v", p.conn.RemoteAddr())
	}
	p.must(p.conn.AbandonPath(p.now, p.local, p.remote))
	p.drain()
	p.sendFrames(protect.OneRTT, streamFrame(0x3, 0, "late", false))
	if n, _, err := p.conn.StreamRecv(0x3, make([]byte, 10)); n != 4 || err != nil {
		t.Errorf("%d bytes were received from the first address: %v", n, err)
	}
	if n := len(p.conn.Paths()); n != 1 || p.conn.RemoteAddr() != preferred4 {
		t.Errorf("there are %d paths, the client is at %v", n, p.conn.RemoteAddr())
	}
	dropped := p.conn.Stats().PacketsDropped
	p.recvAt(p.local, farHost, p.encode(oneRTT(frame(wire.FramePing))))
	if p.conn.Stats().PacketsDropped == dropped {
		t.Error("a packet from an address that is none of the server's was taken")
	}
}

// A server announces its preferred address with the connection ID of sequence number 1. What the client sends there is answered from there, probes it,
// and moves nothing before both is there: a packet that is no probe, and the answer to the server's own probe (section 9.6.2).
func TestServerOfPreferredAddress(t *testing.T) {
	p := newPreferred(t)
	tp, err := wire.ParseTransportParameters(p.peerTP, false)
	p.must(err)
	if a := tp.PreferredAddress; a == nil || a.IPv4 != preferred4 || a.IPv6.Port() != 0 || string(a.ConnID) != "cid-pref" || a.StatelessResetToken[0] != 7 {
		t.Fatalf("preferred_address is %+v", a)
	}
	for _, nonProbingFirst := range []bool{false, true} {
		p := newPreferred(t)
		there := func(frames ...[]byte) {
			t.Helper()
			p.recvAt(preferred4, p.remote, p.encode(to("cid-pref", oneRTT(frames...))))
			p.drain()
		}
		there(append(frame(wire.FramePathChallenge), "12345678"...), filler(1100))
		answers, probes := p.take(wire.FramePathResponse), p.take(wire.FramePathChallenge)
		if len(answers) != 1 || answers[0].from != preferred4 || len(probes) != 1 || probes[0].from != preferred4 || probes[0].dstID != "peercid1" ||
			probes[0].size != minDatagramSize {
			t.Fatalf("answers %v, probes %v, want one each from %v", answers, probes, preferred4)
		}
		from := func(reason string, local netip.AddrPort) {
			t.Helper()
			p.got = nil
			p.conn.Ping()
			p.drain()
			if f := p.take(wire.FramePing); len(f) != 1 || f[0].from != local {
				t.Errorf("%s: conn sends %v, want from %v", reason, f, local)
			}
		}
		from("probed", p.local)
		if nonProbingFirst {
			there(frame(wire.FramePing))
			from("not yet validated", p.local)
			there(answerTo(probes[0]))
		} else {
			there(answerTo(probes[0]))
			from("only validated", p.local)
			there(frame(wire.FramePing))
		}
		from("validated and moved to", preferred4)
		if s := p.conn.Stats(); s.Migrations != 1 {
			t.Errorf("%d migrations", s.Migrations)
		}
	}
	// A client that thinks better of it, and never answers.
	p = newPreferred(t)
	p.recvAt(preferred4, p.remote, p.encode(to("cid-pref", oneRTT(frame(wire.FramePing), filler(1100)))))
	p.sendFrames(protect.OneRTT, frame(wire.FramePing))
	if n := p.conn.Stats().Migrations; n != 0 || p.conn.LocalAddr() != p.local {
		t.Errorf("%d migrations, conn is at %v", n, p.conn.LocalAddr())
	}
	for len(p.conn.paths.list) > 1 {
		p.advance()
	}
}

// What Config.PreferredAddress refuses.
func TestPreferredAddressConfig(t *testing.T) {
	for _, c := range []struct {
		name string
		a    PreferredAddress
		ids  int
		ok   bool
	}{
		{"none", PreferredAddress{}, 8, true},
		{"both", PreferredAddress{preferred4, preferred6}, 8, true},
		{"of the other family", PreferredAddress{IPv4: preferred6}, 8, false},
		{"mapped", PreferredAddress{IPv6: netip.MustParseAddrPort("[::ffff:192.0.2.1]:1")}, 8, false},
		{"unspecified", PreferredAddress{IPv4: netip.MustParseAddrPort("0.0.0.0:1")}, 8, false},
		{"no port", PreferredAddress{IPv4: netip.MustParseAddrPort("192.0.2.1:0")}, 8, false},
		{"empty connection IDs", PreferredAddress{IPv4: preferred4}, 0, false},
	} {
		cfg := &Config{TLS: newScripted(t, false, nil).cfg.TLS, PreferredAddress: c.a, ConnIDs: RandomConnIDs(c.ids)}
		if _, err := NewEndpoint(cfg); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// RFC 9000, section 9.3: a server whose client has proved to be at another IP address gives it a token for that.
func TestNewTokenAfterMigration(t *testing.T) {
	for _, c := range []struct {
		remote netip.AddrPort
		want   int
	}{{farHost, 1}, {otherPort, 0}} {
		p := newMobile(t)
		p.take(wire.FrameNewToken) // the one of the first address
		p.tokensAsked = 0
		p.sendFrom(c.remote, "cid-0001", frame(wire.FramePing), filler(1000))
		if p.tokensAsked > 0 {
			t.Error("a token was asked for before the address was validated")
		}
		p.sendFrom(c.remote, "cid-0001", answerTo(p.challenges()[c.remote][0]))
		got := p.take(wire.FrameNewToken)
		if p.tokensAsked != c.want || len(got) != c.want {
			t.Fatalf("moved to %v: %d tokens were asked for and %v came, want %d", c.remote, p.tokensAsked, got, c.want)
		}
		if c.want == 1 && (got[0].to != farHost || string(got[0].raw[2:]) != "token for "+farHost.String()) {
			t.Errorf("got %v", got[0])
		}
	}
}
