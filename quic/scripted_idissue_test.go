package quic

import (
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Connection IDs that are retired several at a time are replaced, as often as the peer likes: what the Endpoint has issued is what the
// connection has given to the peer.
func TestRetireSeveralAtOnce(t *testing.T) {
	p := newMobile(t)
	next := uint64(1) // the oldest one that is not retired, after the first
	for round := range 5 {
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT), frame(wire.FrameRetireConnectionID, next),
			frame(wire.FrameRetireConnectionID, next+1))
		next += 2
		l := &p.conn.local
		if len(l.ids) != maxIssuedConnIDs || l.next != next+2 || p.nextSeq != l.next {
			t.Fatalf("round %d: the peer has %d connection IDs, the next is %d, and %d were issued", round, len(l.ids), l.next, p.nextSeq)
		}
		if p.conn.IsClosed() {
			t.Fatal(p.conn.Err())
		}
	}
}

// An Endpoint that had no connection ID to give is asked again when the next one is retired.
func TestRetireWithNoneLeft(t *testing.T) {
	p := newMobile(t)
	for i := range uint64(2) {
		p.recvFrom(p.remote, p.encode(oneRTT(frame(wire.FrameRetireConnectionID, 1+i))))
		asked := 0
		for ev, ok := p.conn.NextEvent(); ok; ev, ok = p.conn.NextEvent() {
			if ev.Kind == EventEndpoint && ev.Endpoint.Kind == NeedConnectionIDs {
				asked = ev.Endpoint.Count
				p.conn.HandleReply(p.now, EndpointReply{none: true})
			}
		}
		if asked != 1+int(i) {
			t.Errorf("the Endpoint was asked for %d connection IDs, want %d", asked, 1+i)
		}
	}
}
