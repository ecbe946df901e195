package wire

import (
	"bytes"
	"slices"

	"github.com/boringquic/boringquic/quic/internal/ranges"
)

// anyFrame is a frame of any type as a value that can be compared and encoded again.
type anyFrame interface {
	append(b []byte) []byte
}

type (
	simpleFrame struct{ Type byte } // PADDING, PING, HANDSHAKE_DONE, IMMEDIATE_ACK
	ackFrame    struct {
		Ack
		Ranges []ranges.Range // ascending
	}
	resetStreamFrame struct{ ID, Code, FinalSize uint64 }
	stopSendingFrame struct{ ID, Code uint64 }
	cryptoFrame      struct {
		Off  uint64
		Data []byte
	}
	newTokenFrame struct{ Token []byte }
	streamFrame   struct {
		ID, Off uint64
		Data    []byte
		Fin     bool
		ToEnd   bool // without a length
	}
	maxDataFrame       struct{ Limit uint64 }
	maxStreamDataFrame struct{ ID, Limit uint64 }
	maxStreamsFrame    struct {
		Bidi  bool
		Limit uint64
	}
	dataBlockedFrame       struct{ Limit uint64 }
	streamDataBlockedFrame struct{ ID, Limit uint64 }
	streamsBlockedFrame    struct {
		Bidi  bool
		Limit uint64
	}
	newConnectionIDFrame struct {
		Seq, RetirePriorTo uint64
		ID                 []byte
		Token              [16]byte
	}
	retireConnectionIDFrame struct{ Seq uint64 }
	pathFrame               struct {
		Response bool
		Data     [8]byte
	}
	ackFrequencyFrame struct{ AckFrequency }
	closeFrame        struct{ ConnectionClose }
	datagramFrame     struct {
		Data  []byte
		ToEnd bool
	}
)

// roomForRanges is how many ranges an ACK frame that AppendAck writes can have.
const roomForRanges = 64

// consumeAny parses one frame as package quic does: by its type, in its shortest encoding. n is -1 for unknown and malformed ones.
func consumeAny(b []byte) (f anyFrame, n int) {
	typ, n := ConsumeFrameType(b)
	if n != SizeVarint(typ) {
		return nil, -1
	}
	switch typ {
	case FramePadding, FramePing, FrameHandshakeDone, FrameImmediateAck:
		return simpleFrame{byte(typ)}, 1
	case FrameAck, FrameAckECN:
		a, list, n := ConsumeAck(b, make([]ranges.Range, 0, roomForRanges))
		slices.Reverse(list)
		return ackFrame{a, list}, n
	case FrameResetStream:
		id, code, size, n := ConsumeResetStream(b)
		return resetStreamFrame{id, code, size}, n
	case FrameStopSending:
		id, code, n := ConsumeStopSending(b)
		return stopSendingFrame{id, code}, n
	case FrameCrypto:
		off, data, n := ConsumeCrypto(b)
		return cryptoFrame{off, notNil(data)}, n
	case FrameNewToken:
		token, n := ConsumeNewToken(b)
		return newTokenFrame{notNil(token)}, n
	case FrameMaxData:
		limit, n := ConsumeMaxData(b)
		return maxDataFrame{limit}, n
	case FrameMaxStreamData:
		id, limit, n := ConsumeMaxStreamData(b)
		return maxStreamDataFrame{id, limit}, n
	case FrameMaxStreamsBidi, FrameMaxStreamsUni:
		bidi, limit, n := ConsumeMaxStreams(b)
		return maxStreamsFrame{bidi, limit}, n
	case FrameDataBlocked:
		limit, n := ConsumeDataBlocked(b)
		return dataBlockedFrame{limit}, n
	case FrameStreamDataBlocked:
		id, limit, n := ConsumeStreamDataBlocked(b)
		return streamDataBlockedFrame{id, limit}, n
	case FrameStreamsBlockedBidi, FrameStreamsBlockedUni:
		bidi, limit, n := ConsumeStreamsBlocked(b)
		return streamsBlockedFrame{bidi, limit}, n
	case FrameNewConnectionID:
		seq, retire, id, token, n := ConsumeNewConnectionID(b)
		f := newConnectionIDFrame{Seq: seq, RetirePriorTo: retire, ID: notNil(id)}
		copy(f.Token[:], token)
		return f, n
	case FrameRetireConnectionID:
		seq, n := ConsumeRetireConnectionID(b)
		return retireConnectionIDFrame{seq}, n
	case FramePathChallenge:
		data, n := ConsumePathChallenge(b)
		return pathFrame{Data: data}, n
	case FramePathResponse:
		data, n := ConsumePathResponse(b)
		return pathFrame{Response: true, Data: data}, n
	case FrameAckFrequency:
		f, n := ConsumeAckFrequency(b)
		return ackFrequencyFrame{f}, n
	case FrameConnectionClose, FrameConnectionCloseApp:
		c, n := ConsumeConnectionClose(b)
		c.Reason = notNil(c.Reason)
		return closeFrame{c}, n
	case FrameDatagram, FrameDatagram | datagramLen:
		data, n := ConsumeDatagram(b)
		return datagramFrame{notNil(data), typ&datagramLen == 0}, n
	default:
		if typ&^7 == FrameStream {
			id, off, fin, data, n := ConsumeStream(b)
			return streamFrame{id, off, notNil(data), fin, typ&streamLen == 0}, n
		}
	}
	return nil, -1
}

// notNil copies b, so that empty data compares equal however it came to be empty.
func notNil(b []byte) []byte { return append([]byte{}, b...) }

func (f simpleFrame) append(b []byte) []byte { return append(b, f.Type) }

func (f ackFrame) append(b []byte) []byte {
	var ecn *ECNCounts
	if f.HasECN {
		ecn = &f.ECN
	}
	b, ok := AppendAck(b, f.Ranges, f.DelayRaw, ecn, 1<<20)
	if !ok {
		panic("a megabyte is not enough for an ACK frame")
	}
	return b
}

func (f resetStreamFrame) append(b []byte) []byte {
	return AppendResetStream(b, f.ID, f.Code, f.FinalSize)
}

func (f stopSendingFrame) append(b []byte) []byte { return AppendStopSending(b, f.ID, f.Code) }

func (f cryptoFrame) append(b []byte) []byte {
	return append(AppendCryptoHeader(b, f.Off, len(f.Data)), f.Data...)
}

func (f newTokenFrame) append(b []byte) []byte { return AppendNewToken(b, f.Token) }

func (f streamFrame) append(b []byte) []byte {
	return append(AppendStreamHeader(b, f.ID, f.Off, len(f.Data), f.Fin, !f.ToEnd), f.Data...)
}

func (f maxDataFrame) append(b []byte) []byte       { return AppendMaxData(b, f.Limit) }
func (f maxStreamDataFrame) append(b []byte) []byte { return AppendMaxStreamData(b, f.ID, f.Limit) }
func (f maxStreamsFrame) append(b []byte) []byte    { return AppendMaxStreams(b, f.Bidi, f.Limit) }
func (f dataBlockedFrame) append(b []byte) []byte   { return AppendDataBlocked(b, f.Limit) }

func (f streamDataBlockedFrame) append(b []byte) []byte {
	return AppendStreamDataBlocked(b, f.ID, f.Limit)
}

func (f streamsBlockedFrame) append(b []byte) []byte { return AppendStreamsBlocked(b, f.Bidi, f.Limit) }

func (f newConnectionIDFrame) append(b []byte) []byte {
	return AppendNewConnectionID(b, f.Seq, f.RetirePriorTo, f.ID, f.Token)
}

func (f retireConnectionIDFrame) append(b []byte) []byte { return AppendRetireConnectionID(b, f.Seq) }

func (f pathFrame) append(b []byte) []byte {
	if f.Response {
		return AppendPathResponse(b, f.Data)
	}
	return AppendPathChallenge(b, f.Data)
}

func (f ackFrequencyFrame) append(b []byte) []byte { return AppendAckFrequency(b, f.AckFrequency) }

func (f closeFrame) append(b []byte) []byte { return AppendConnectionClose(b, f.ConnectionClose) }

func (f datagramFrame) append(b []byte) []byte {
	return append(AppendDatagramHeader(b, len(f.Data), !f.ToEnd), f.Data...)
}

// toEnd tells whether the frame reaches to the end of its packet whatever its length, and how long it is at least.
func toEnd(f anyFrame) (least int, open bool) {
	switch f := f.(type) {
	case streamFrame:
		return StreamHeaderLen(f.ID, f.Off, len(f.Data), false), f.ToEnd
	case datagramFrame:
		return 1, f.ToEnd
	}
	return 0, false
}

// spans returns ranges from their starts and ends.
func spans(v ...int64) (list []ranges.Range) {
	for i := 0; i < len(v); i += 2 {
		list = append(list, ranges.Range{Start: v[i], End: v[i+1]})
	}
	return list
}

// repeat returns n times the byte v.
func repeat(v byte, n int) []byte { return bytes.Repeat([]byte{v}, n) }
