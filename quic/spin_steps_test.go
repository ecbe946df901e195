package quic

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// step does one step of an attack.
func (x *attacker) step(kind string, n int) {
	switch kind {
	case "frames":
		for range min(n, 200) {
			var frames [][]byte
			level := x.level()
			for range 1 + x.rng.IntN(5) {
				frames = append(frames, x.anyFrame(level))
			}
			x.quick(x.remote, level, frames...)
		}
	case "gaps":
		id, at := x.theirs(), uint64(x.rng.IntN(int(x.room())))
		for i := range n {
			if off := at + uint64(2*i*(1+x.rng.IntN(40))); !x.ended[id] && (x.attack.rude || off < x.room()) {
				x.quick(x.remote, protect.OneRTT, streamFrame(id, off, "x", false))
			}
		}
	case "crypto gaps":
		level, most := x.level(), maxCryptoBufferApp
		if x.attack.rude {
			most *= 5
		} else if level == protect.OneRTT {
			n = min(n, 100)
		}
		for range n {
			x.quick(x.remote, level, cryptoFrame(uint64(1000+x.rng.IntN(most-1001)), []byte("x")))
		}
	case "paths":
		for i := range min(n, 300) {
			x.quick(x.elsewhere(i), protect.OneRTT, x.anyFrame(protect.OneRTT), filler(1+x.rng.IntN(1000)))
		}
	case "challenges":
		for i := range n {
			data := binary.BigEndian.AppendUint64(frame(wire.FramePathChallenge), x.rng.Uint64())
			x.quick(x.elsewhere(i%3), protect.OneRTT, data)
		}
	case "pings", "pings apart":
		x.floodPings(n, kind == "pings apart")
	case "controls":
		x.floodControls(n)
	case "ids":
		x.floodIDs(min(n, 100))
	case "datagrams":
		for range n {
			size := x.rng.IntN(200)
			x.quick(x.remote, protect.OneRTT, append(wire.AppendDatagramHeader(nil, size, true), make([]byte, size)...))
		}
	case "wait":
		for range 1 + n%20 {
			x.wait()
		}
	case "key update":
		if x.keys.HasWrite(protect.OneRTT) && x.conn.tls.complete && x.attack.flights > 3 {
			x.updateKeys()
			x.quick(x.remote, protect.OneRTT, frame(wire.FramePing))
			x.drain()
		}
	case "handshake":
		x.sendTLS()
	case "junk":
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(x.rng.Uint32())
		}
		x.recvFrom(x.remote, b)
		x.drain()
	default:
		x.stepAcks(kind, n)
	}
	x.drain()
}

// stepAcks does the steps of the application, and those by which the peer acknowledges.
func (x *attacker) stepAcks(kind string, n int) {
	level := x.level()
	got := x.received[spaceOf(level)]
	switch kind {
	case "acks": // of anything, or of some of what came
		for range min(n, 50) {
			if !x.attack.rude {
				x.quick(x.remote, level, x.ackOf(x.someOf(got), uint64(x.rng.IntN(1<<20))))
				continue
			}
			from := int64(x.rng.IntN(int(x.largest[spaceOf(level)]) + 3))
			x.quick(x.remote, level, x.ackOf(ranges.Set{{Start: from, End: from + 1 + int64(x.rng.IntN(5))}}, uint64(x.rng.IntN(1<<20))))
		}
	case "ack all":
		x.quick(x.remote, level, x.ackOf(got, 0))
	case "ack all but one":
		if len(got) > 0 && got.Max() > got[0].Start+1 {
			x.quick(x.remote, level, x.ackOf(ranges.Set{{Start: got.Max(), End: got.Max() + 1}}, 0))
		}
	case "late ack": // which makes for a long round trip
		x.conn.Ping()
		x.drain()
		x.now = x.now.Add(time.Duration(min(n, 9)) * time.Second)
		x.quick(x.remote, level, x.ackOf(x.received[spaceOf(level)], 0))
	case "write", "write much":
		data := make([]byte, n)
		if kind == "write much" {
			data = make([]byte, 500*n)
		}
		for i := range 1 + n%5 {
			if id, err := x.conn.OpenStream(); err == nil {
				x.opened = append(x.opened, id)
			}
			if len(x.opened) > 0 {
				x.conn.StreamSend(x.opened[i%len(x.opened)], data, x.rng.IntN(4) == 0)
			}
		}
		x.conn.DatagramSend(make([]byte, x.conn.MaxDatagramSize()))
	case "read":
		for id := range x.conn.Readable() {
			x.conn.StreamRecv(id, x.buf[:n])
		}
	case "serve":
		x.serve(n)
	default:
		panic("an attack has a step " + kind)
	}
}

// elsewhere is another address of the peer; only a client has some.
func (x *attacker) elsewhere(i int) netip.AddrPort {
	if x.client {
		return x.remote
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(100 + i%2), byte(i)}), uint16(1000+x.rng.IntN(1000)))
}

// theirs is a stream on which the peer may send, ours one on which it may receive; a rude one takes any.
func (x *attacker) theirs() uint64 {
	switch {
	case x.attack.rude && x.rng.IntN(10) == 0:
		return uint64(x.rng.IntN(500))
	case len(x.opened) > 0 && x.rng.IntN(3) == 0:
		return x.opened[x.rng.IntN(len(x.opened))]
	}
	return uint64(x.rng.IntN(100))<<2 | uint64(x.rng.IntN(2))<<1 | x.bit()
}

func (x *attacker) ours() uint64 {
	id := x.theirs()
	if !x.attack.rude {
		id &^= 2
	}
	return id
}

// bit is the one by which streams of the peer are told from the connection's.
func (x *attacker) bit() uint64 {
	if x.client {
		return 1
	}
	return 0
}

// room is how far data on a stream may reach: so far that a hundred streams are within the window of the connection.
func (x *attacker) room() uint64 {
	if x.attack.buffers > 0 {
		return max(uint64(x.attack.buffers)/200, 1)
	}
	return 4 << 10
}

// someOf is some of the ranges of what came.
func (x *attacker) someOf(got ranges.Set) (some ranges.Set) {
	for _, r := range got {
		if from := r.Start + x.rng.Int64N(r.End-r.Start); x.rng.IntN(3) > 0 {
			some.Add(from, from+1+x.rng.Int64N(r.End-from))
		}
	}
	return some
}

// number draws a number for a field: small, about a limit, or near the largest.
func (x *attacker) number() uint64 {
	large := uint64(1<<60 - 1)
	if x.attack.rude {
		large = 1<<62 - 1
	}
	switch x.rng.IntN(6) {
	case 0:
		return large - uint64(x.rng.IntN(3))
	case 1:
		return x.rng.Uint64() & large >> x.rng.IntN(60)
	case 2:
		return uint64(x.attack.window + x.rng.IntN(3) - 1)
	}
	return uint64(x.rng.IntN(200))
}

// anyFrame is a well-formed frame of any type that may stand at that level; a rude one's may be any.
func (x *attacker) anyFrame(level protect.Slot) []byte {
	if level != protect.OneRTT && !(x.attack.rude && x.rng.IntN(50) == 0) {
		switch x.rng.IntN(3) {
		case 0:
			return filler(1 + x.rng.IntN(100))
		case 1:
			return x.ackOf(x.someOf(x.received[spaceOf(level)]), x.number())
		}
		return frame(wire.FramePing)
	}
	n := x.number()
	switch x.rng.IntN(22) {
	case 0:
		return x.ending(frame(wire.FrameResetStream), true)
	case 1:
		return frame(wire.FrameStopSending, x.ours(), n)
	case 2:
		return frame(wire.FrameMaxData, n)
	case 3:
		return frame(wire.FrameMaxStreamData, x.ours(), n)
	case 4:
		return frame(wire.FrameMaxStreamsBidi+uint64(x.rng.IntN(2)), n)
	case 5:
		return frame(wire.FrameDataBlocked, n)
	case 6:
		return frame(wire.FrameStreamDataBlocked, x.theirs(), n)
	case 7:
		return frame(wire.FrameStreamsBlockedBidi+uint64(x.rng.IntN(2)), n)
	case 8:
		return x.newID()
	case 9:
		return x.retireID()
	case 10:
		return binary.BigEndian.AppendUint64(frame(wire.FramePathChallenge), n)
	case 11:
		return binary.BigEndian.AppendUint64(frame(wire.FramePathResponse), n)
	case 12:
		size := x.rng.IntN(100)
		return append(wire.AppendDatagramHeader(nil, size, true), make([]byte, size)...)
	case 13:
		return frame(wire.FrameAckFrequency, uint64(x.rng.IntN(1000)), uint64(x.rng.IntN(100)), uint64(1000+x.rng.IntN(1<<14)),
			uint64(x.rng.IntN(10)))
	case 14:
		return frame(wire.FrameImmediateAck)
	case 15:
		if x.client {
			return wire.AppendNewToken(nil, make([]byte, 1+x.rng.IntN(1000)))
		}
	case 16:
		return x.ackOf(x.someOf(x.received[2]), n)
	case 17:
		return x.ending(nil, true)
	default:
		return x.ending(nil, false)
	}
	return frame(wire.FramePing)
}

// ending is a STREAM frame, with or without the end, or a RESET_STREAM frame where the type of that is given.
func (x *attacker) ending(reset []byte, fin bool) []byte {
	id, end := x.theirs(), x.room()
	if x.ended[id] && !x.attack.rude {
		return frame(wire.FramePing)
	}
	x.ended[id] = x.ended[id] || fin
	if reset != nil {
		return append(append(append(reset, varint(id)...), varint(x.number())...), varint(end)...)
	}
	from := uint64(x.rng.IntN(int(end)))
	if fin {
		return streamFrame(id, from, string(make([]byte, min(end-from, 1000))), end-from <= 1000)
	}
	return streamFrame(id, from, string(make([]byte, min(end-from, uint64(x.rng.IntN(1000))))), false)
}

// newID is a NEW_CONNECTION_ID frame for the next connection ID, which takes those before it back.
func (x *attacker) newID() []byte {
	if !x.attack.rude && len(x.conn.peer.retiring) > (retiredConnIDs-1)*usualConnIDLimit {
		return x.ackOf(x.received[2], 0) // it is told first that those before are retired
	}
	x.ids++
	seq, retire := x.ids, x.ids
	if x.attack.rude {
		seq, retire = seq+uint64(x.rng.IntN(3)), x.rng.Uint64N(seq+1)
	}
	id := binary.BigEndian.AppendUint64(nil, seq)
	return newConnectionIDFrame(seq, retire, string(id), [16]byte{byte(seq), byte(seq >> 8)})
}

// retireID is a RETIRE_CONNECTION_ID frame for a connection ID that is not in use.
func (x *attacker) retireID() []byte {
	if x.attack.rude {
		return frame(wire.FrameRetireConnectionID, uint64(x.rng.IntN(4)))
	}
	if x.nextSeq < 2 {
		return frame(wire.FramePing)
	}
	return frame(wire.FrameRetireConnectionID, 1+x.rng.Uint64N(x.nextSeq-1))
}

// floodPings sends PINGs, apart from each other such that each is to be acknowledged at once.
func (x *attacker) floodPings(n int, apart bool) {
	level := x.level()
	ping := frame(wire.FramePing)
	if n > 10_000 && level == protect.OneRTT && !x.conn.canOpen(level) {
		return
	}
	for range n {
		if apart {
			x.nextPN[spaceOf(level)]++
		}
		x.quick(x.remote, level, ping)
		if x.conn.IsClosed() {
			return
		}
	}
}

// floodControls sends frames that each say a little more than the one before.
func (x *attacker) floodControls(n int) {
	id, kind := x.ours(), x.rng.IntN(6)
	for i := range uint64(n) {
		f := [][]byte{
			frame(wire.FrameMaxData, i), frame(wire.FrameMaxStreamData, id, i), frame(wire.FrameDataBlocked, i),
			frame(wire.FrameMaxStreamsBidi, i), frame(wire.FrameStreamsBlockedUni, i%100), frame(wire.FrameStopSending, id, i),
		}[kind]
		x.quick(x.remote, protect.OneRTT, f)
	}
}

// floodIDs gives connection IDs and takes them back.
func (x *attacker) floodIDs(n int) {
	for range n {
		f := x.newID
		if x.rng.IntN(3) == 0 {
			f = x.retireID
		}
		x.quick(x.remote, protect.OneRTT, f())
		x.answer()
	}
}

// serve takes for some time what the connection sends, as an honest peer would over a network that loses some: all that it has to send
// must arrive.
func (x *attacker) serve(n int) {
	if !x.conn.tls.complete || !x.complete || x.conn.Stats().SmoothedRTT > time.Second {
		return // or silence may be long
	}
	x.serves = true
	defer func() { x.serves = false }()
	if x.client && !x.conn.tls.confirmed {
		x.quick(x.remote, protect.OneRTT, frame(wire.FrameHandshakeDone)) // without which no timer is set
	}
	x.quick(x.remote, protect.OneRTT, frame(wire.FrameMaxData, 1<<30))
	lost, sent, wanted := x.rng.IntN(6), x.now, false
	for silent := 0; silent < 60 && !x.conn.IsClosed(); {
		came, frames := false, [][]byte(nil)
		for t := x.conn.Send(x.now, x.buf); t.N > 0; t = x.conn.Send(x.now, x.buf) {
			sent = x.now
			if x.rng.IntN(10) >= lost {
				x.read(x.buf[:t.N], t)
				came = true
			}
		}
		x.answer()
		for _, f := range x.got {
			if f.typ == wire.FramePathChallenge {
				frames = append(frames, answerTo(f))
			}
		}
		for _, id := range x.opened[:min(len(x.opened), 20)] {
			frames = append(frames, frame(wire.FrameMaxStreamData, id, 1<<30))
		}
		x.got = nil
		x.now = x.now.Add(20 * time.Millisecond)
		wanted = x.conn.WantsSend()
		if came {
			silent = 0
			x.quick(x.remote, protect.OneRTT, append(frames, x.ackOf(x.received[2], 0))...)
		} else if silent++; !wanted {
			return
		} else {
			if at, ok := x.conn.Timeout(); ok && at.After(x.now) {
				x.now = at
			}
			x.conn.OnTimeout(x.now)
		}
	}
	patience := max(25*time.Second, 8*x.conn.loss.PTO(x.conn.path.rec)) // which late acknowledgements may have made long
	if x.conn.WantsSend() || wanted && x.conn.IsClosed() && x.now.Sub(sent) > patience {
		x.t.Fatalf("stall: the connection wants to send, is answered, and sends nothing for %v: %+v", x.now.Sub(sent), x.conn.Stats())
	}
}
