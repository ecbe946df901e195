package wire

import "github.com/boringquic/boringquic/quic/internal/ranges"

// append1 and append2 append a one-byte type and one or two integers.
func append1(b []byte, typ byte, v uint64) []byte { return AppendVarint(append(b, typ), v) }

func append2(b []byte, typ byte, v, w uint64) []byte { return AppendVarint(append1(b, typ, v), w) }

// AppendAck appends an ACK frame for acks, ranges of packet numbers that ascend and are not none, in at most limit bytes: the
// newest range always, and as many older ones as fit. ecn, if not nil, makes it an ACK frame with ECN counts. ok is false if
// not even the newest range fits.
func AppendAck(b []byte, acks []ranges.Range, delayRaw uint64, ecn *ECNCounts, limit int) (out []byte, ok bool) {
	last := acks[len(acks)-1]
	largest, first := uint64(last.End-1), uint64(last.End-1-last.Start)
	size := 1 + SizeVarint(largest) + SizeVarint(delayRaw) + 1 + SizeVarint(first)
	typ := byte(FrameAck)
	if ecn != nil {
		typ = FrameAckECN
		size += SizeVarint(ecn.ECT0) + SizeVarint(ecn.ECT1) + SizeVarint(ecn.CE)
	}
	if size > limit {
		return b, false
	}
	count := 0 // below 64, so that the count takes one byte
	for i := len(acks) - 2; i >= 0 && count < 63; i-- {
		gap, length := gapAndLength(acks, i)
		size += SizeVarint(gap) + SizeVarint(length)
		if size > limit {
			break
		}
		count++
	}
	b = AppendVarint(append2(b, typ, largest, delayRaw), uint64(count))
	b = AppendVarint(b, first)
	for i := len(acks) - 2; count > 0; i, count = i-1, count-1 {
		gap, length := gapAndLength(acks, i)
		b = AppendVarint(AppendVarint(b, gap), length)
	}
	if ecn != nil {
		b = AppendVarint(AppendVarint(AppendVarint(b, ecn.ECT0), ecn.ECT1), ecn.CE)
	}
	return b, true
}

// gapAndLength are the two fields for range i as seen from the range above it (RFC 9000, section 19.3.1).
func gapAndLength(acks []ranges.Range, i int) (gap, length uint64) {
	return uint64(acks[i+1].Start - acks[i].End - 1), uint64(acks[i].End - acks[i].Start - 1)
}

// AppendResetStream appends a RESET_STREAM frame.
func AppendResetStream(b []byte, id, code, finalSize uint64) []byte {
	return AppendVarint(append2(b, FrameResetStream, id, code), finalSize)
}

// AppendStopSending appends a STOP_SENDING frame.
func AppendStopSending(b []byte, id, code uint64) []byte {
	return append2(b, FrameStopSending, id, code)
}

// CryptoHeaderLen returns how many bytes AppendCryptoHeader appends.
func CryptoHeaderLen(off uint64, dataLen int) int {
	return 1 + SizeVarint(off) + SizeVarint(uint64(dataLen))
}

// AppendCryptoHeader appends a CRYPTO frame up to its data, which the caller appends.
func AppendCryptoHeader(b []byte, off uint64, dataLen int) []byte {
	return append2(b, FrameCrypto, off, uint64(dataLen))
}

// AppendNewToken appends a NEW_TOKEN frame.
func AppendNewToken(b, token []byte) []byte {
	return append(append1(b, FrameNewToken, uint64(len(token))), token...)
}

// StreamHeaderLen returns how many bytes AppendStreamHeader appends.
func StreamHeaderLen(id, off uint64, dataLen int, withLen bool) int {
	n := 1 + SizeVarint(id)
	if off > 0 {
		n += SizeVarint(off)
	}
	if withLen {
		n += SizeVarint(uint64(dataLen))
	}
	return n
}

// AppendStreamHeader appends a STREAM frame up to its data, which the caller appends. Without withLen the data must
// reach to the end of the packet.
func AppendStreamHeader(b []byte, id, off uint64, dataLen int, fin, withLen bool) []byte {
	typ := byte(FrameStream)
	if fin {
		typ |= streamFin
	}
	if off > 0 {
		typ |= streamOff
	}
	if withLen {
		typ |= streamLen
	}
	b = append1(b, typ, id)
	if off > 0 {
		b = AppendVarint(b, off)
	}
	if withLen {
		b = AppendVarint(b, uint64(dataLen))
	}
	return b
}

// AppendMaxData appends a MAX_DATA frame.
func AppendMaxData(b []byte, limit uint64) []byte { return append1(b, FrameMaxData, limit) }

// AppendMaxStreamData appends a MAX_STREAM_DATA frame.
func AppendMaxStreamData(b []byte, id, limit uint64) []byte {
	return append2(b, FrameMaxStreamData, id, limit)
}

// AppendMaxStreams appends a MAX_STREAMS frame of either type.
func AppendMaxStreams(b []byte, bidi bool, limit uint64) []byte {
	return append1(b, typeFor(bidi, FrameMaxStreamsBidi, FrameMaxStreamsUni), limit)
}

// AppendDataBlocked appends a DATA_BLOCKED frame.
func AppendDataBlocked(b []byte, limit uint64) []byte { return append1(b, FrameDataBlocked, limit) }

// AppendStreamDataBlocked appends a STREAM_DATA_BLOCKED frame.
func AppendStreamDataBlocked(b []byte, id, limit uint64) []byte {
	return append2(b, FrameStreamDataBlocked, id, limit)
}

// AppendStreamsBlocked appends a STREAMS_BLOCKED frame of either type.
func AppendStreamsBlocked(b []byte, bidi bool, limit uint64) []byte {
	return append1(b, typeFor(bidi, FrameStreamsBlockedBidi, FrameStreamsBlockedUni), limit)
}

func typeFor(bidi bool, bidiType, uniType byte) byte {
	if bidi {
		return bidiType
	}
	return uniType
}

// AppendNewConnectionID appends a NEW_CONNECTION_ID frame.
func AppendNewConnectionID(b []byte, seq, retirePriorTo uint64, id []byte, token [16]byte) []byte {
	b = append(append2(b, FrameNewConnectionID, seq, retirePriorTo), byte(len(id)))
	return append(append(b, id...), token[:]...)
}

// AppendRetireConnectionID appends a RETIRE_CONNECTION_ID frame.
func AppendRetireConnectionID(b []byte, seq uint64) []byte {
	return append1(b, FrameRetireConnectionID, seq)
}

// AppendPathChallenge appends a PATH_CHALLENGE frame.
func AppendPathChallenge(b []byte, data [8]byte) []byte {
	return append(append(b, FramePathChallenge), data[:]...)
}

// AppendPathResponse appends a PATH_RESPONSE frame.
func AppendPathResponse(b []byte, data [8]byte) []byte {
	return append(append(b, FramePathResponse), data[:]...)
}

// AppendAckFrequency appends an ACK_FREQUENCY frame.
func AppendAckFrequency(b []byte, f AckFrequency) []byte {
	b = AppendVarint(AppendVarint(AppendVarint(b, FrameAckFrequency), f.Seq), f.Threshold)
	return AppendVarint(AppendVarint(b, f.MaxDelay), f.Reordering)
}

// AppendConnectionClose appends a CONNECTION_CLOSE frame of the type that c.App tells.
func AppendConnectionClose(b []byte, c ConnectionClose) []byte {
	if c.App {
		b = append1(b, FrameConnectionCloseApp, c.Code)
	} else {
		b = append2(b, FrameConnectionClose, c.Code, c.FrameType)
	}
	return append(AppendVarint(b, uint64(len(c.Reason))), c.Reason...)
}

// DatagramHeaderLen returns how many bytes AppendDatagramHeader appends.
func DatagramHeaderLen(dataLen int, withLen bool) int {
	if withLen {
		return 1 + SizeVarint(uint64(dataLen))
	}
	return 1
}

// AppendDatagramHeader appends a DATAGRAM frame up to its data, which the caller appends. Without withLen the data must
// reach to the end of the packet.
func AppendDatagramHeader(b []byte, dataLen int, withLen bool) []byte {
	if withLen {
		return append1(b, FrameDatagram|datagramLen, uint64(dataLen))
	}
	return append(b, FrameDatagram)
}
