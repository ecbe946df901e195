package quic

import (
	"slices"
	"testing"
	"time"

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

// A packet to a connection ID that was retired just before it, in the same train, was sent before: it counts.
func TestRetiredWithinTrain(t *testing.T) {
	p := newScriptedClient(t, param(0x0e, varint(4)))
	p.handshake()
	p.ignored[wire.FrameNewConnectionID] = true
	late := to("cid-0002", oneRTT(frame(wire.FrameRetireConnectionID, 0), streamFrame(0, 0, "x", false)))
	p.recvTrain(to("cid-0001", oneRTT(frame(wire.FrameRetireConnectionID, 2))), late)
	if got := p.conn.Stats().PacketsDropped; got != 0 {
		t.Errorf("%d packets dropped", got)
	}
	if n, _, err := p.conn.StreamRecv(0, make([]byte, 10)); n != 1 || err != nil {
		t.Errorf("%d bytes were read, %v", n, err)
	}
}

// A connection ID that was retired leads to the connection for three probe timeouts, and maxLateConnIDs of them at most; then the Endpoint is told.
func TestRetiredLate(t *testing.T) {
	p := newMobile(t)
	retire := func(seqs ...uint64) {
		frames := [][]byte{p.ackReceived(protect.OneRTT)}
		for _, seq := range seqs {
			frames = append(frames, frame(wire.FrameRetireConnectionID, seq))
		}
		p.sendFrames(protect.OneRTT, frames...)
	}
	counts := func(id string) bool {
		before := p.conn.Stats().PacketsReceived
		p.sendFrom(p.remote, id, frame(wire.FramePing))
		return p.conn.Stats().PacketsReceived > before
	}
	pto := time.Duration(p.conn.pto(p.conn.path.rec))
	retire(1)
	p.now = p.now.Add(3*pto - time.Millisecond)
	p.conn.OnTimeout(p.now)
	if p.drain(); !counts("cid-0001") || len(p.retired) != 0 {
		t.Errorf("before three probe timeouts are over: the Endpoint was told of %d", p.retired)
	}
	p.now = p.now.Add(time.Millisecond)
	if at, ok := p.conn.Timeout(); !ok || at.After(p.now) {
		t.Errorf("the timer is set to %v, now it is %v", at, p.now)
	}
	p.conn.OnTimeout(p.now)
	if p.drain(); counts("cid-0001") || !slices.Equal(p.retired, []uint64{1}) {
		t.Errorf("after them the Endpoint was told of %d", p.retired)
	}
	for seq := uint64(2); seq < 2+maxLateConnIDs+2; seq += 2 {
		retire(seq, seq+1)
	}
	if !slices.Equal(p.retired, []uint64{1, 2, 3}) || counts("cid-0003") || !counts("cid-0004") {
		t.Errorf("above the bound the Endpoint was told of %d", p.retired)
	}
}
