package wire

import "github.com/boringquic/boringquic/quic/internal/ranges"

// Each consumer takes b from the frame's type on, which is already looked at, and returns the length of the whole frame, or -1. A
// type is one byte long, but for that of ACK_FREQUENCY.

// consume2 parses two integers after the type.
func consume2(b []byte) (v, w uint64, n int) {
	v, n = ConsumeVarint(b[1:])
	if n < 0 {
		return 0, 0, -1
	}
	w, m := ConsumeVarint(b[1+n:])
	if m < 0 {
		return 0, 0, -1
	}
	return v, w, 1 + n + m
}

// consume1 parses one integer after the type.
func consume1(b []byte) (v uint64, n int) {
	v, n = ConsumeVarint(b[1:])
	if n < 0 {
		return 0, -1
	}
	return v, 1 + n
}

// ConsumeAck parses an ACK frame and appends its ranges of packet numbers, descending, to acks as far as its capacity goes;
// older ranges are checked and left out. A range that reaches below packet number 0 is malformed (RFC 9000, section 19.3.1).
func ConsumeAck(b []byte, acks []ranges.Range) (a Ack, out []ranges.Range, n int) {
	largest, delay, n := consume2(b)
	if n < 0 {
		return Ack{}, acks, -1
	}
	count, first, m := consume2(b[n-1:]) // consume2 skips one byte, as if it were the type
	if m < 0 || first > largest {
		return Ack{}, acks, -1
	}
	n += m - 1
	a = Ack{Largest: int64(largest), DelayRaw: delay}
	start := int64(largest - first)
	acks = appendRange(acks, start, int64(largest)+1)
	for ; count > 0; count-- {
		gap, length, m := consume2(b[n-1:])
		end := start - int64(gap) - 1
		if m < 0 || end <= 0 || int64(length) >= end {
			return Ack{}, acks, -1
		}
		n += m - 1
		start = end - int64(length) - 1
		acks = appendRange(acks, start, end)
	}
	if b[0] == FrameAckECN {
		m := a.consumeECN(b[n:])
		if m < 0 {
			return Ack{}, acks, -1
		}
		n += m
	}
	return a, acks, n
}

func appendRange(acks []ranges.Range, start, end int64) []ranges.Range {
	if len(acks) < cap(acks) {
		acks = append(acks, ranges.Range{Start: start, End: end})
	}
	return acks
}

func (a *Ack) consumeECN(b []byte) (n int) {
	for _, v := range [...]*uint64{&a.ECN.ECT0, &a.ECN.ECT1, &a.ECN.CE} {
		count, m := ConsumeVarint(b[n:])
		if m < 0 {
			return -1
		}
		*v = count
		n += m
	}
	a.HasECN = true
	return n
}

// ConsumeResetStream parses a RESET_STREAM frame.
func ConsumeResetStream(b []byte) (id, code, finalSize uint64, n int) {
	id, code, n = consume2(b)
	if n < 0 {
		return 0, 0, 0, -1
	}
	finalSize, m := ConsumeVarint(b[n:])
	if m < 0 {
		return 0, 0, 0, -1
	}
	return id, code, finalSize, n + m
}

// ConsumeStopSending parses a STOP_SENDING frame.
func ConsumeStopSending(b []byte) (id, code uint64, n int) { return consume2(b) }

// ConsumeCrypto parses a CRYPTO frame. Data that would reach beyond offset 2^62-1 is malformed.
func ConsumeCrypto(b []byte) (off uint64, data []byte, n int) {
	off, n = consume1(b)
	if n < 0 {
		return 0, nil, -1
	}
	data, m := consumeBytes(b[n:])
	if m < 0 || off+uint64(len(data)) > MaxVarint {
		return 0, nil, -1
	}
	return off, data, n + m
}

// ConsumeNewToken parses a NEW_TOKEN frame. An empty token is malformed (RFC 9000, section 19.7).
func ConsumeNewToken(b []byte) (token []byte, n int) {
	token, n = consumeBytes(b[1:])
	if n < 0 || len(token) == 0 {
		return nil, -1
	}
	return token, 1 + n
}

// ConsumeStream parses a STREAM frame. Data that would reach beyond offset 2^62-1 is malformed.
func ConsumeStream(b []byte) (id, off uint64, fin bool, data []byte, n int) {
	typ := b[0]
	id, n = consume1(b)
	if n < 0 {
		return 0, 0, false, nil, -1
	}
	if typ&streamOff != 0 {
		var m int
		if off, m = ConsumeVarint(b[n:]); m < 0 {
			return 0, 0, false, nil, -1
		}
		n += m
	}
	data, n = consumeRest(b, n, typ&streamLen != 0)
	if n < 0 || off+uint64(len(data)) > MaxVarint {
		return 0, 0, false, nil, -1
	}
	return id, off, typ&streamFin != 0, data, n
}

// consumeRest parses what stands in b from n on: a length and that many bytes, or all bytes to the end.
func consumeRest(b []byte, n int, withLen bool) (data []byte, end int) {
	if !withLen {
		return b[n:], len(b)
	}
	data, m := consumeBytes(b[n:])
	if m < 0 {
		return nil, -1
	}
	return data, n + m
}

// ConsumeMaxData parses a MAX_DATA frame.
func ConsumeMaxData(b []byte) (limit uint64, n int) { return consume1(b) }

// ConsumeMaxStreamData parses a MAX_STREAM_DATA frame.
func ConsumeMaxStreamData(b []byte) (id, limit uint64, n int) { return consume2(b) }

// ConsumeMaxStreams parses a MAX_STREAMS frame of either type.
func ConsumeMaxStreams(b []byte) (bidi bool, limit uint64, n int) {
	limit, n = consume1(b)
	return b[0] == FrameMaxStreamsBidi, limit, n
}

// ConsumeDataBlocked parses a DATA_BLOCKED frame.
func ConsumeDataBlocked(b []byte) (limit uint64, n int) { return consume1(b) }

// ConsumeStreamDataBlocked parses a STREAM_DATA_BLOCKED frame.
func ConsumeStreamDataBlocked(b []byte) (id, limit uint64, n int) { return consume2(b) }

// ConsumeStreamsBlocked parses a STREAMS_BLOCKED frame of either type.
func ConsumeStreamsBlocked(b []byte) (bidi bool, limit uint64, n int) {
	limit, n = consume1(b)
	return b[0] == FrameStreamsBlockedBidi, limit, n
}

// ConsumeNewConnectionID parses a NEW_CONNECTION_ID frame. token is 16 bytes. A connection ID of no or of more than 20
// bytes, or a retirePriorTo above seq, is malformed (RFC 9000, section 19.15).
func ConsumeNewConnectionID(b []byte) (seq, retirePriorTo uint64, id, token []byte, n int) {
	seq, retirePriorTo, n = consume2(b)
	if n < 0 || retirePriorTo > seq {
		return 0, 0, nil, nil, -1
	}
	id, m := consumeShortBytes(b[n:])
	if m < 0 || len(id) == 0 || len(id) > maxConnIDLen {
		return 0, 0, nil, nil, -1
	}
	n += m
	if len(b) < n+16 {
		return 0, 0, nil, nil, -1
	}
	return seq, retirePriorTo, id, b[n : n+16 : n+16], n + 16
}

// ConsumeRetireConnectionID parses a RETIRE_CONNECTION_ID frame.
func ConsumeRetireConnectionID(b []byte) (seq uint64, n int) { return consume1(b) }

// ConsumePathChallenge parses a PATH_CHALLENGE frame.
func ConsumePathChallenge(b []byte) (data [8]byte, n int) {
	if len(b) < 9 {
		return data, -1
	}
	return [8]byte(b[1:9]), 9
}

// ConsumePathResponse parses a PATH_RESPONSE frame.
func ConsumePathResponse(b []byte) (data [8]byte, n int) { return ConsumePathChallenge(b) }

// ConsumeAckFrequency parses an ACK_FREQUENCY frame.
func ConsumeAckFrequency(b []byte) (f AckFrequency, n int) {
	n = SizeVarint(FrameAckFrequency)
	for _, v := range [...]*uint64{&f.Seq, &f.Threshold, &f.MaxDelay, &f.Reordering} {
		field, m := ConsumeVarint(b[n:])
		if m < 0 {
			return AckFrequency{}, -1
		}
		*v = field
		n += m
	}
	return f, n
}

// ConsumeConnectionClose parses a CONNECTION_CLOSE frame of either type.
func ConsumeConnectionClose(b []byte) (c ConnectionClose, n int) {
	c.App = b[0] == FrameConnectionCloseApp
	c.Code, n = consume1(b)
	if n < 0 {
		return ConnectionClose{}, -1
	}
	if !c.App {
		var m int
		if c.FrameType, m = ConsumeVarint(b[n:]); m < 0 {
			return ConnectionClose{}, -1
		}
		n += m
	}
	reason, m := consumeBytes(b[n:])
	if m < 0 {
		return ConnectionClose{}, -1
	}
	c.Reason = reason
	return c, n + m
}

// ConsumeDatagram parses a DATAGRAM frame.
func ConsumeDatagram(b []byte) (data []byte, n int) { return consumeRest(b, 1, b[0]&datagramLen != 0) }
