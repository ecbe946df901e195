package quic

import (
	"encoding/binary"
	"sort"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Frames and transport parameters for the scripted peer, built field by field, so that wrong ones can be built too.

func varint(v uint64) []byte { return wire.AppendVarint(nil, v) }

// frame is a frame's type and fields, each a variable-length integer.
func frame(typ uint64, fields ...uint64) []byte {
	b := varint(typ)
	for _, v := range fields {
		b = wire.AppendVarint(b, v)
	}
	return b
}

func cryptoFrame(off uint64, data []byte) []byte {
	return append(frame(wire.FrameCrypto, off, uint64(len(data))), data...)
}

// streamFrame is a STREAM frame with offset and length.
func streamFrame(id, off uint64, data string, fin bool) []byte {
	typ := uint64(wire.FrameStream | 0x04 | 0x02)
	if fin {
		typ |= 0x01
	}
	return append(frame(typ, id, off, uint64(len(data))), data...)
}

func newConnectionIDFrame(seq, retirePriorTo uint64, id string, token [16]byte) []byte {
	b := append(frame(wire.FrameNewConnectionID, seq, retirePriorTo), byte(len(id)))
	return append(append(b, id...), token[:]...)
}

// ackFrame acknowledges every packet up to largest.
func ackFrame(largest int64) []byte {
	return frame(wire.FrameAck, uint64(largest), 0, 0, uint64(largest))
}

// encodeParams encodes transport parameters in ascending order; a nil value leaves one out.
func encodeParams(params map[uint64][]byte) []byte {
	var ids []uint64
	for id, value := range params {
		if value != nil {
			ids = append(ids, id)
		}
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	var b []byte
	for _, id := range ids {
		b = wire.AppendVarint(b, id)
		b = wire.AppendVarint(b, uint64(len(params[id])))
		b = append(b, params[id]...)
	}
	return b
}

// param sets a transport parameter of the scripted peer; nil leaves it out.
func param(id uint64, value []byte) scriptedOption {
	return func(p *scripted) { p.params[id] = value }
}

func consumeStreamFrame(b []byte) (id, off uint64, fin bool, data []byte, n int) {
	return wire.ConsumeStream(b)
}

// frameFields is how many integers follow the type of frames that are made of nothing else.
var frameFields = map[uint64]int{
	wire.FramePing: 0, wire.FrameHandshakeDone: 0, wire.FrameResetStream: 3, wire.FrameStopSending: 2,
	wire.FrameMaxData: 1, wire.FrameMaxStreamData: 2, wire.FrameMaxStreamsBidi: 1, wire.FrameMaxStreamsUni: 1,
	wire.FrameDataBlocked: 1, wire.FrameStreamDataBlocked: 2, wire.FrameStreamsBlockedBidi: 1,
	wire.FrameStreamsBlockedUni: 1, wire.FrameRetireConnectionID: 1, wire.FrameImmediateAck: 0, wire.FrameAckFrequency: 4,
}

// consumeAnyFrame returns the type and length of the first frame in b, a run of PADDING being one; -1 if it is malformed.
func consumeAnyFrame(b []byte) (typ uint64, n int) {
	typ, n = wire.ConsumeFrameType(b)
	if n < 0 {
		return 0, -1
	}
	if fields, ok := frameFields[typ]; ok {
		for range fields {
			_, k := wire.ConsumeVarint(b[n:])
			if k < 0 {
				return typ, -1
			}
			n += k
		}
		return typ, n
	}
	switch {
	case typ == wire.FramePadding:
		for n < len(b) && b[n] == 0 {
			n++
		}
	case typ == wire.FrameAck || typ == wire.FrameAckECN:
		_, _, n = wire.ConsumeAck(b, nil)
	case typ == wire.FrameCrypto:
		_, _, n = wire.ConsumeCrypto(b)
	case typ == wire.FrameNewToken:
		_, n = wire.ConsumeNewToken(b)
	case typ >= wire.FrameStream && typ <= wire.FrameStream+7:
		_, _, _, _, n = wire.ConsumeStream(b)
	case typ == wire.FrameNewConnectionID:
		_, _, _, _, n = wire.ConsumeNewConnectionID(b)
	case typ == wire.FramePathChallenge:
		_, n = wire.ConsumePathChallenge(b)
	case typ == wire.FramePathResponse:
		_, n = wire.ConsumePathResponse(b)
	case typ == wire.FrameConnectionClose || typ == wire.FrameConnectionCloseApp:
		_, n = wire.ConsumeConnectionClose(b)
	case typ == wire.FrameDatagram || typ == wire.FrameDatagram+1:
		_, n = wire.ConsumeDatagram(b)
	default:
		n = -1
	}
	return typ, n
}

// TLS messages.

// tlsExtension is one extension of a TLS message.
type tlsExtension struct {
	typ  uint16
	data []byte
}

const tlsQUICTransportParameters = 0x39

// editClientHello changes session ID and extensions of a ClientHello message.
func editClientHello(msg []byte, edit func(sessionID []byte, exts []tlsExtension) ([]byte, []tlsExtension)) []byte {
	const fixed = 4 + 2 + 32 // header, version, random
	body := msg[fixed:]
	sessionID, body := body[1:1+int(body[0])], body[1+int(body[0]):]
	suites := 2 + int(binary.BigEndian.Uint16(body))
	rest := body[:suites+1+int(body[suites])]
	exts := parseExtensions(body[len(rest):])
	sessionID, exts = edit(sessionID, exts)

	out := append([]byte{}, msg[:fixed]...)
	out = append(append(append(out, byte(len(sessionID))), sessionID...), rest...)
	return finishMessage(appendExtensions(out, exts))
}

// editEncryptedExtensions changes the extensions of EncryptedExtensions, the first message of msgs, if it is there.
func editEncryptedExtensions(msgs []byte, edit func(exts []tlsExtension) []tlsExtension) []byte {
	const typeEncryptedExtensions = 8
	if len(msgs) < 4 || msgs[0] != typeEncryptedExtensions {
		return msgs
	}
	n := 4 + (int(msgs[1])<<16 | int(msgs[2])<<8 | int(msgs[3]))
	out := finishMessage(appendExtensions([]byte{typeEncryptedExtensions, 0, 0, 0}, edit(parseExtensions(msgs[4:n]))))
	return append(out, msgs[n:]...)
}

func parseExtensions(b []byte) (exts []tlsExtension) {
	for b = b[2:]; len(b) > 0; {
		n := int(binary.BigEndian.Uint16(b[2:]))
		exts = append(exts, tlsExtension{binary.BigEndian.Uint16(b), b[4 : 4+n]})
		b = b[4+n:]
	}
	return exts
}

func appendExtensions(b []byte, exts []tlsExtension) []byte {
	var body []byte
	for _, e := range exts {
		body = binary.BigEndian.AppendUint16(body, e.typ)
		body = binary.BigEndian.AppendUint16(body, uint16(len(e.data)))
		body = append(body, e.data...)
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
}

// finishMessage writes the length of a message of which all else is there.
func finishMessage(msg []byte) []byte {
	n := len(msg) - 4
	msg[1], msg[2], msg[3] = byte(n>>16), byte(n>>8), byte(n)
	return msg
}
