package quic

import (
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// recvTrain has conn receive packets as one train of datagrams of one size.
func (p *scripted) recvTrain(packets ...scriptedPacket) {
	p.t.Helper()
	const size = 100
	var train []byte
	for _, pkt := range packets {
		b := p.appendPacket(nil, pkt, size)
		if len(b) != size {
			p.t.Fatalf("a packet of %d bytes, want %d", len(b), size)
		}
		train = append(train, b...)
	}
	p.conn.Recv(p.now, Train{Buf: train, SegSize: size, Local: p.local, Remote: p.remote})
	p.drain()
}

func oneRTT(frames ...[]byte) scriptedPacket {
	return scriptedPacket{slot: protect.OneRTT, frames: frames}
}

func to(id string, pkt scriptedPacket) scriptedPacket {
	pkt.dstID = []byte(id)
	return pkt
}

// RFC 9000, section 5.1.2: a packet to a connection ID that was retired just before it, in the same train, is dropped as it is in
// the next one. It must not be taken for a packet to another connection ID.
func TestRetiredWithinTrain(t *testing.T) {
	p := newScriptedClient(t, param(0x0e, varint(4)))
	p.handshake()
	p.ignored[wire.FrameNewConnectionID] = true
	late := to("cid-0002", oneRTT(frame(wire.FrameRetireConnectionID, 0), streamFrame(0, 0, "x", false)))
	p.recvTrain(to("cid-0001", oneRTT(frame(wire.FrameRetireConnectionID, 2))), late)
	p.wantIdle("a late packet to a retired connection ID")
	if got := p.conn.Stats().PacketsDropped; got != 1 {
		t.Errorf("%d packets dropped, want 1", got)
	}
}
