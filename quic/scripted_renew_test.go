package quic

import (
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// renewed returns the sequence numbers of the connection IDs that came, all of which ask to retire those before the first of want.
func renewed(p *scripted, want ...uint64) {
	p.t.Helper()
	p.drain()
	var got []uint64
	for _, f := range p.take(wire.FrameNewConnectionID) {
		seq, retirePriorTo, _, _, n := wire.ConsumeNewConnectionID(f.raw)
		if n < 0 || retirePriorTo != want[0] {
			p.t.Errorf("connection ID %d has Retire Prior To %d, want %d", seq, retirePriorTo, want[0])
		}
		got = append(got, seq)
	}
	if len(got) != len(want) || len(got) > 0 && (got[0] != want[0] || got[len(got)-1] != want[len(want)-1]) {
		p.t.Errorf("connection IDs %d came, want %d", got, want)
	}
	p.must(p.conn.Check())
}

// newRenewer is a server whose client knows the connection IDs 0, 1 and 2.
func newRenewer(t *testing.T) *scripted {
	p := newScriptedClient(t, param(0x0e, varint(4)))
	p.handshake()
	p.ignored[wire.FrameNewConnectionID], p.ignored[wire.FrameNewToken] = true, true
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	p.drain()
	p.got = nil
	return p
}

func retires(seqs ...uint64) (out [][]byte) {
	for _, seq := range seqs {
		out = append(out, frame(wire.FrameRetireConnectionID, seq))
	}
	return out
}

// RenewConnIDs replaces all connection IDs at once; a second time while the peer has not answered the first, once it has.
func TestRenewConnIDs(t *testing.T) {
	p := newRenewer(t)
	p.conn.RenewConnIDs()
	renewed(p, 3, 4, 5)
	if n := len(p.conn.local.ids); n != 6 {
		t.Errorf("%d connection IDs are good while the peer has not answered, want 6", n)
	}
	p.conn.RenewConnIDs()
	p.conn.RenewConnIDs()
	if p.drain(); len(p.take(wire.FrameNewConnectionID)) > 0 {
		t.Error("connection IDs came before those of the first time were acknowledged")
	}
	// The packet is sent to an old connection ID, which still leads here, and retires only the others.
	p.sendFrames(protect.OneRTT, append(retires(1, 2), p.ackReceived(protect.OneRTT))...)
	if p.drain(); len(p.take(wire.FrameNewConnectionID)) > 0 {
		t.Error("connection IDs came before all of the first were retired")
	}
	fresh := p.conn.local.ids[1].id
	p.recvFrom(p.remote, p.encode(scriptedPacket{slot: protect.OneRTT, dstID: fresh.Bytes(), frames: retires(0)}))
	renewed(p, 6, 7, 8)
}

// What the peer may not have heard of is told first: it would never retire it.
func TestRenewWaitsForAcks(t *testing.T) {
	p := newRenewer(t)
	p.sendFrames(protect.OneRTT, retires(1)...)
	p.drain()
	if f := p.take(wire.FrameNewConnectionID); len(f) != 1 {
		t.Fatalf("for the one that was retired %v came", f)
	}
	p.conn.RenewConnIDs()
	if p.drain(); len(p.take(wire.FrameNewConnectionID)) > 0 {
		t.Error("connection IDs came that replace one which was not acknowledged")
	}
	p.must(p.conn.Check())
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	renewed(p, 4, 5, 6)
}

// During the handshake it waits for the end of that, and after the connection nothing happens.
func TestRenewInHandshake(t *testing.T) {
	p := newScriptedClient(t, param(0x0e, varint(4)))
	p.ignored[wire.FrameNewConnectionID], p.ignored[wire.FrameNewToken] = true, true
	p.conn.RenewConnIDs()
	p.handshake()
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	p.drain()
	if l := &p.conn.local; l.retirePriorTo != 3 || l.next != 6 {
		t.Errorf("connection IDs before %d are to be retired, and the next is %d", l.retirePriorTo, l.next)
	}
	p.must(p.conn.Check())
	p.conn.Close(p.now, true, 1, "")
	p.conn.RenewConnIDs()
	p.drain()
}
