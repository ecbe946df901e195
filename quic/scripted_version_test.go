package quic

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// versionParam is the value of version_information: the chosen version, then those available.
func versionParam(versions ...uint32) []byte {
	b := []byte{}
	for _, v := range versions {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

const paramVersions = 0x11

func thousandVersions() (list []uint32) {
	for i := range uint32(1000) {
		list = append(list, 0xff000000+i)
	}
	return list
}

// RFC 9368, section 4, at a server; attack B11.
func TestAttackB11VersionInformationAtServer(t *testing.T) {
	for _, c := range []struct {
		name  string
		value []byte
		code  TransportErrorCode // 0: the handshake completes
	}{
		{"absent", nil, NoError},
		{"the version in use", versionParam(Version1, Version1), NoError},
		{"with a reserved one", versionParam(Version1, 0x1a2a3a4a, Version1), NoError},
		{"with a thousand others", versionParam(append([]uint32{Version1, Version1}, thousandVersions()...)...), NoError},
		{"chosen is not in use", versionParam(Version2, Version2, Version1), VersionNegotiationCode},
		{"chosen is not available", versionParam(Version1, Version2), TransportParameterError},
		{"chosen alone", versionParam(Version1), TransportParameterError},
		{"empty", []byte{}, TransportParameterError},
		{"three bytes", make([]byte, 3), TransportParameterError},
		{"no multiple of four", append(versionParam(Version1, Version1), 1), TransportParameterError},
		{"chosen is 0", versionParam(0, Version1), TransportParameterError},
		{"an available one is 0", versionParam(Version1, Version1, 0), TransportParameterError},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedClient(t, param(paramVersions, c.value))
			if c.code == NoError {
				p.handshake()
				return
			}
			p.sendTLS()
			p.wantClose(c.name, c.code)
		})
	}
}

// RFC 9368, section 4, at a client that has received no Version Negotiation packet.
func TestVersionInformationAtClient(t *testing.T) {
	for _, c := range []struct {
		name  string
		value []byte
		code  TransportErrorCode
	}{
		{"absent", nil, NoError},
		{"the version in use", versionParam(Version1, Version1, Version2), NoError},
		{"nothing available", versionParam(Version1), NoError},
		{"chosen is not in use", versionParam(Version2, Version1, Version2), VersionNegotiationCode},
		{"chosen was not offered", versionParam(0xff00001d, 0xff00001d), VersionNegotiationCode},
		{"empty", []byte{}, TransportParameterError},
		{"no multiple of four", append(versionParam(Version1), 1), TransportParameterError},
		{"chosen is 0", versionParam(0, Version1), TransportParameterError},
		{"an available one is 0", versionParam(Version1, 0), TransportParameterError},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedServer(t, param(paramVersions, c.value))
			if c.code == NoError {
				p.handshake()
				return
			}
			p.sendTLS()
			p.wantClose(c.name, c.code)
		})
	}
}

// negotiate has the scripted server refuse the version of the client's first packets, which begins anew then.
func (p *scripted) negotiate(versions ...uint32) {
	p.t.Helper()
	packet := wire.AppendVersionNegotiation(nil, p.dstID, p.origDstID, versions, 0)
	delete(p.params, 0x00)
	p.tls, p.got = nil, nil
	p.cryptoIn, p.cryptoOut = [4]uint64{}, [4][]byte{}
	p.received[0], p.largest[0] = nil, -1
	p.recvFrom(p.remote, packet)
	p.drain()
}

// RFC 9368, section 4: a client that has acted on a Version Negotiation packet finds out whether the server has sent it; attack B11.
func TestAttackB11Downgrade(t *testing.T) {
	v12, v21 := []uint32{Version1, Version2}, []uint32{Version2, Version1}
	for _, c := range []struct {
		name    string
		ours    []uint32
		offered []uint32
		value   []byte
		code    TransportErrorCode
	}{
		{"the server speaks version 2 alone", v12, []uint32{Version2}, versionParam(Version2, Version2), NoError},
		{"and a reserved one", v12, []uint32{0x0a0a0a0a, Version2}, versionParam(Version2, 0x1a1a1a1a, Version2), NoError},
		{"it is about to give version 2 up", v12, []uint32{Version2}, versionParam(Version2, 0xff00001d), NoError},
		{"a thousand versions", v12, append(thousandVersions(), Version2), versionParam(Version2, Version2), NoError},
		{"it speaks version 1 too", v12, []uint32{Version2}, versionParam(Version2, Version2, Version1), VersionNegotiationCode},
		{"nothing available", v12, []uint32{Version2}, versionParam(Version2), VersionNegotiationCode},
		{"absent", v12, []uint32{Version2}, nil, VersionNegotiationCode},
		{"absent in version 1, section 8", v21, []uint32{Version1}, nil, NoError},
		{"version 1 alone", v21, []uint32{Version1}, versionParam(Version1, Version1), NoError},
		{"version 1, and it speaks version 2", v21, []uint32{Version1}, versionParam(Version1, Version1, Version2),
			VersionNegotiationCode},
		{"chosen is not in use", v21, []uint32{Version1}, versionParam(Version2, Version1), VersionNegotiationCode},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedServer(t, param(paramVersions, c.value), func(p *scripted) {
				p.cfg.Versions, p.connect.Token = c.ours, []byte("t")
			})
			first := p.origDstID
			p.negotiate(c.offered...)
			if p.version != c.ours[1] || p.conn.Version() != c.ours[1] {
				t.Fatalf("the client goes on with version %#x, its packets with %#x", p.conn.Version(), p.version)
			}
			if string(first) == string(p.origDstID) || len(p.token) > 0 || p.received[0][0].Start != 0 {
				t.Errorf("the second attempt goes to %x, with token %q and packet number %d", p.origDstID, p.token, p.received[0][0].Start)
			}
			got := len(p.got)
			p.recvFrom(p.remote, wire.AppendVersionNegotiation(nil, p.dstID, p.origDstID, []uint32{c.ours[0]}, 0))
			p.drain()
			if len(p.got) != got || p.conn.Version() != c.ours[1] {
				t.Error("a second Version Negotiation packet was not ignored, RFC 9368, section 4")
			}
			if c.code == NoError {
				p.handshake()
				return
			}
			p.sendTLS()
			p.wantClose(c.name, c.code)
		})
	}
}

// What the error of a client without a version in common names is bounded.
func TestAttackB11ThousandVersions(t *testing.T) {
	p := newScriptedServer(t)
	p.recvFrom(p.remote, wire.AppendVersionNegotiation(nil, p.dstID, p.origDstID, thousandVersions(), 0))
	var err *VersionNegotiationError
	if !errors.As(p.conn.Err(), &err) || len(err.Offered) != maxOfferedVersions {
		t.Errorf("%v", p.conn.Err())
	}
}

// Nor is there more in the error of a client that finds a downgrade, whatever the server lists.
func TestAttackB11DowngradeThousandVersions(t *testing.T) {
	list := append([]uint32{Version2, Version2, Version1}, thousandVersions()...)
	p := newScriptedServer(t, param(paramVersions, versionParam(list...)))
	p.negotiate(Version2)
	p.sendTLS()
	p.wantClose("a downgrade among a thousand versions", VersionNegotiationCode)
	var err *TransportError
	if !errors.As(p.conn.Err(), &err) || strings.Count(err.Reason, "0xff0") != maxOfferedVersions-2 || len(err.Reason) > 1000 {
		t.Errorf("%v", p.conn.Err())
	}
}

// in has the scripted server go on in a version, with the keys of its Initial packets.
func (p *scripted) in(version uint32) {
	p.version = version
	p.installInitial()
}

// RFC 9369, section 4.1, at a client: the first long header of another version tells that the server has changed it; then CRYPTO frames
// come in that version alone; and what says in which version the connection is, version_information, has to be there.
func TestCompatibleVersionAtClient(t *testing.T) {
	for _, c := range []struct {
		name  string
		value []byte
		code  TransportErrorCode
	}{
		{"the server has changed it", versionParam(Version2, Version1, Version2), NoError},
		{"and does not say so", nil, VersionNegotiationCode},
		{"and says otherwise", versionParam(Version1, Version1, Version2), VersionNegotiationCode},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedServer(t, param(paramVersions, c.value), func(p *scripted) { p.secrets = Version2 })
			p.sendFrames(protect.Initial, p.ackReceived(protect.Initial)) // in version 1: the ClientHello is not complete yet, say
			if p.conn.Version() != Version1 {
				t.Fatal("an acknowledgement in version 1 changed the version")
			}
			p.in(Version2)
			if c.code == NoError {
				p.handshake()
				if p.conn.Version() != Version2 {
					t.Errorf("version %#x", p.conn.Version())
				}
				return
			}
			p.sendTLS()
			p.wantClose(c.name, c.code)
		})
	}
	t.Run("CRYPTO in the original version after a change", func(t *testing.T) {
		p := newScriptedServer(t)
		p.in(Version2)
		p.sendFrames(protect.Initial, frame(wire.FramePing))
		p.in(Version1)
		datagram := p.encode(scriptedPacket{slot: protect.Initial, frames: [][]byte{p.takeCrypto(protect.Initial)}})
		p.in(Version2)
		p.recvFrom(p.remote, datagram)
		p.wantClose("CRYPTO in version 1", ProtocolViolation)
	})
	t.Run("another version after CRYPTO in the original one", func(t *testing.T) {
		p := newScriptedServer(t)
		p.sendFrames(protect.Initial, p.ackReceived(protect.Initial), p.takeCrypto(protect.Initial))
		dropped := p.conn.Stats().PacketsDropped
		p.in(Version2)
		p.recvFrom(p.remote, p.encode(scriptedPacket{slot: protect.Initial, frames: [][]byte{frame(wire.FramePing)}}))
		if p.conn.Version() != Version1 || p.conn.Stats().PacketsDropped == dropped {
			t.Error("a packet of version 2 was taken")
		}
	})
}
