package h3

import (
	"encoding/binary"

	"github.com/boringquic/boringquic/quic"
)

// noise does something that is allowed, and of no consequence for any message.
func (g *gPlay) noise() {
	rng := g.rng
	id := uint64(rng.IntN(20)) * 4
	var frame []byte
	switch rng.IntN(8) {
	case 0:
		frame = frameOf(0x1f*uint64(rng.IntN(100))+0x21, make([]byte, rng.IntN(50)))
	case 1:
		if g.client {
			o := "https://example.org"
			frame = frameOf(frameOrigin, append(binary.BigEndian.AppendUint16(nil, uint16(len(o))), o...))
		} else {
			frame = frameOf(framePriorityUpdateRequest, append(varint(id), []string{"u=1", "i", "u=7, i", "", "u=9", "\xff", "u=1;x", "((("}[rng.IntN(8)]...))
		}
	case 2:
		if g.client {
			frame = frameOf(frameGoAway, varint(1<<62-4)) // of any request
			if g.gone {
				frame = nil
			}
		} else if g.pushID += uint64(rng.IntN(3)); g.gone {
			frame = frameOf(frameGoAway, varint(1<<61-g.pushID))
		} else {
			frame = frameOf(frameMaxPushID, varint(g.pushID))
		}
	case 3:
		g.peer.DatagramSend(append(varint(id>>2), make([]byte, rng.IntN(900))...))
	case 4, 5:
		if g.peer.StreamsOpenable(true) == 0 {
			return
		}
		uni, err := g.peer.OpenUniStream()
		if err != nil {
			return
		}
		b := append(varint(0x1f*uint64(rng.IntN(1<<20))+0x21), make([]byte, rng.IntN(100))...)
		n := rng.IntN(len(b) + 1)
		g.peer.StreamSend(uni, b[:n], rng.IntN(2) == 0)
		if rng.IntN(2) == 0 {
			g.peer.StreamShutdown(uni, quic.WriteDirection, uint64(rng.IntN(1000)))
		}
	case 6:
		if !g.client && g.pushID == 0 {
			g.gone = true // GOAWAY in the place of MAX_PUSH_ID from here on
		}
	case 7:
		g.side.SetPriority(id, quic.Priority{Urgency: uint8(rng.IntN(8)), Incremental: rng.IntN(2) == 0})
		var b [100]byte
		g.side.RecvDatagram(id, b[:])
		g.side.SendDatagram(id, b[:rng.IntN(100)])
	}
	if frame == nil || g.fault.wrong() && g.faultOf == nil {
		return
	}
	g.controlOut = append(g.controlOut, frame...)
	n, err := g.peer.StreamSend(g.control, g.controlOut[:rng.IntN(len(g.controlOut)+1)], false)
	if err == nil {
		g.controlOut = g.controlOut[n:]
	}
}
