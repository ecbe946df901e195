package quic

import (
	"bytes"
	"errors"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// retryPacket is a Retry packet from a server that names itself srcID.
func (p *scripted) retryPacket(srcID, token []byte) []byte {
	p.t.Helper()
	b := wire.AppendRetryWithoutTag(nil, wire.Version1, p.dstID, srcID, token, 0)
	tag, err := protect.RetryTag(wire.Version1, p.origDstID, b)
	if err != nil {
		p.t.Fatal(err)
	}
	return append(b, tag[:]...)
}

// sendRetry has the scripted server demand its address of the client, and forget all that it had.
func (p *scripted) sendRetry(srcID, token []byte) {
	p.t.Helper()
	packet := p.retryPacket(srcID, token)
	p.params[0x10], p.params[0x0f] = srcID, srcID
	p.srcID = srcID
	p.tls, p.got = nil, nil
	p.cryptoIn, p.cryptoOut = [4]uint64{}, [4][]byte{}
	p.recvFrom(p.remote, packet)
	p.drain()
}

// RFC 9000, section 17.2.5: what a client does with Retry.
func TestRetry(t *testing.T) {
	p := newScriptedServer(t)
	hello := p.wantType("the ClientHello", protect.Initial, wire.FrameCrypto)
	p.sendRetry([]byte("retry-id"), []byte("the token"))
	again := p.wantType("the ClientHello after Retry", protect.Initial, wire.FrameCrypto)
	if !bytes.Equal(again.raw, hello.raw) {
		t.Error("the ClientHello changed after Retry, s17.2.5.3")
	}
	if again.pn <= hello.pn {
		t.Errorf("packet number %d after Retry, %d before: it must not be reset, s17.2.5.3", again.pn, hello.pn)
	}
	if string(p.token) != "the token" || string(p.origDstID) != "retry-id" {
		t.Errorf("the Initial packet after Retry has token %q and destination %q", p.token, p.origDstID)
	}
	if p.lastSize < minDatagramSize {
		t.Errorf("its datagram has %d bytes, want 1200 (s14.1)", p.lastSize)
	}
	p.recvFrom(p.remote, p.retryPacket([]byte("retry-2!"), []byte("another token")))
	p.drain()
	p.wantIdle("a second Retry is discarded")
	p.handshake()
}

func TestAttackB13RetryDiscarded(t *testing.T) {
	for _, c := range []struct {
		name   string
		packet func(p *scripted) []byte
	}{
		{"tag that does not fit, RFC 9001 s5.8", func(p *scripted) []byte {
			b := p.retryPacket([]byte("retry-id"), []byte("token"))
			b[len(b)-1] ^= 1
			return b
		}},
		{"empty token, s17.2.5.2", func(p *scripted) []byte { return p.retryPacket([]byte("retry-id"), nil) }},
		{"source is the client's own destination, s17.2.5.1", func(p *scripted) []byte {
			return p.retryPacket(p.origDstID, []byte("token"))
		}},
		{"destination is not the client, s17.2.5.2", func(p *scripted) []byte {
			p.dstID = []byte("somebody")
			return p.retryPacket([]byte("retry-id"), []byte("token"))
		}},
		{"shorter than its tag", func(p *scripted) []byte {
			return wire.AppendRetryWithoutTag(nil, wire.Version1, p.dstID, []byte("retry-id"), []byte("tok"), 0)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedServer(t)
			id := p.dstID
			p.got = nil
			p.recvFrom(p.remote, c.packet(p))
			p.dstID = id
			p.wantIdle(c.name)
			p.handshake()
		})
	}
	t.Run("after an Initial packet, s17.2.5.2", func(t *testing.T) {
		p := newScriptedServer(t)
		p.sendFrames(protect.Initial, p.ackReceived(protect.Initial))
		p.got = nil
		p.recvFrom(p.remote, p.retryPacket([]byte("retry-id"), []byte("token")))
		p.wantIdle("Retry after an Initial packet")
		p.handshake()
	})
}

// RFC 9000, section 7.3: the transport parameters tell whether there was a Retry.
func TestRetryParameters(t *testing.T) {
	for _, c := range []struct {
		name  string
		value []byte
	}{
		{"retry_source_connection_id absent", nil},
		{"retry_source_connection_id of another", []byte("another!")},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedServer(t)
			packet := p.retryPacket([]byte("retry-id"), []byte("token"))
			p.params[0x10], p.params[0x0f], p.srcID = c.value, []byte("retry-id"), []byte("retry-id")
			p.tls, p.got, p.cryptoIn, p.cryptoOut = nil, nil, [4]uint64{}, [4][]byte{}
			p.recvFrom(p.remote, packet)
			p.drain()
			p.sendTLS()
			p.wantClose(c.name, TransportParameterError)
		})
	}
}

// RFC 9000, section 6.2: what a client does with Version Negotiation.
func TestVersionNegotiationAtClient(t *testing.T) {
	negotiation := func(p *scripted, dcid, scid []byte, versions ...uint32) []byte {
		return wire.AppendVersionNegotiation(nil, dcid, scid, versions, 0)
	}
	t.Run("no version in common ends the attempt", func(t *testing.T) {
		p := newScriptedServer(t)
		p.recvFrom(p.remote, negotiation(p, p.dstID, p.origDstID, 0xff00001d, 0x1a2a3a4a))
		p.got = nil
		p.drain()
		var err *VersionNegotiationError
		if !errors.As(p.conn.Err(), &err) || len(err.Offered) != 2 || err.Offered[0] != 0xff00001d {
			t.Fatalf("Err is %v, want a VersionNegotiationError", p.conn.Err())
		}
		if f, ok := p.next(); ok {
			t.Errorf("got %v, want nothing: there is nobody to tell", f)
		}
	})
	for _, c := range []struct {
		name   string
		packet func(p *scripted) []byte
	}{
		{"our own version is listed", func(p *scripted) []byte {
			return negotiation(p, p.dstID, p.origDstID, 0xff00001d, wire.Version1)
		}},
		{"source is not echoed", func(p *scripted) []byte { return negotiation(p, p.dstID, []byte("another!"), 0xff00001d) }},
		{"destination is not echoed", func(p *scripted) []byte {
			return negotiation(p, []byte("another!"), p.origDstID, 0xff00001d)
		}},
	} {
		t.Run("ignored: "+c.name, func(t *testing.T) {
			p := newScriptedServer(t)
			p.got = nil
			p.recvFrom(p.remote, c.packet(p))
			p.wantIdle(c.name)
			p.handshake()
		})
	}
	t.Run("ignored: after another packet", func(t *testing.T) {
		p := newScriptedServer(t)
		p.sendFrames(protect.Initial, p.ackReceived(protect.Initial))
		p.got = nil
		p.recvFrom(p.remote, negotiation(p, p.dstID, p.origDstID, 0xff00001d))
		p.wantIdle("Version Negotiation after an Initial packet")
		p.handshake()
	})
	t.Run("ignored: after Retry", func(t *testing.T) {
		p := newScriptedServer(t)
		p.sendRetry([]byte("retry-id"), []byte("token"))
		p.got = nil
		p.recvFrom(p.remote, negotiation(p, p.dstID, []byte("retry-id"), 0xff00001d))
		p.wantIdle("Version Negotiation after Retry")
		p.handshake()
	})
}

// A token of the largest size leaves every Initial packet room for what it has to carry, whether it came in NEW_TOKEN or in Retry;
// a larger one is not taken (RFC 9000, sections 8.1.3 and 17.2.5.2).
func TestLongestToken(t *testing.T) {
	longest := bytes.Repeat([]byte("t"), maxTokenLen)
	for _, n := range []int{maxTokenLen, maxTokenLen + 1} {
		p := newScriptedServer(t)
		p.handshake()
		token := bytes.Repeat([]byte("t"), n)
		p.sendFrames(protect.OneRTT, append(frame(wire.FrameNewToken, uint64(n)), token...))
		told := 0
		for _, ev := range p.events {
			if ev.Kind == EventSession && bytes.Equal(ev.Session.token, token) {
				told++
			}
		}
		if want := maxTokenLen + 1 - n; told != want {
			t.Errorf("a token of %d bytes was told %d times, want %d", n, told, want)
		}
		p = newScriptedServer(t)
		p.got = nil
		p.recvFrom(p.remote, p.retryPacket([]byte("retry-id"), bytes.Repeat([]byte("t"), n)))
		p.tls, p.keys = nil, protect.NewKeys()
		t.Cleanup(p.keys.Release)
		p.cryptoIn, p.cryptoOut, p.params[0x10], p.params[0x0f], p.srcID = [4]uint64{}, [4][]byte{}, []byte("retry-id"),
			[]byte("retry-id"), []byte("retry-id")
		p.drain()
		if _, ok := p.next(); ok != (n == maxTokenLen) {
			t.Errorf("Retry with a token of %d bytes: an answer came: %v", n, ok)
		}
	}
	p := newScriptedServer(t, func(p *scripted) { p.connectToken = longest })
	if !bytes.Equal(p.token, longest) {
		t.Errorf("the first Initial packet has a token of %d bytes", len(p.token))
	}
	p.handshake()
}
