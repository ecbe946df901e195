package quic

import (
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qlog"
)

// parse takes a payload apart, of a packet of ours or of the peer's, as far as it is well-formed; frames that follow are left out. exponent is that
// of the ACK delays in it. What it returns lasts until the next call. Stream data need not be there, only its room.
func (t *tracer) parse(b []byte, exponent uint8) []qlog.Frame {
	t.frames, t.ranges = t.frames[:0], t.ranges[:0]
	for len(b) > 0 && len(t.frames) < qlog.MaxFrames {
		var f qlog.Frame
		n := t.consume(b, exponent, &f)
		if n <= 0 {
			break
		}
		t.frames = append(t.frames, f)
		b = b[n:]
	}
	return t.frames
}

// consume fills f in with the frame at the front of b, and returns its length, -1 if it is malformed.
func (t *tracer) consume(b []byte, exponent uint8, f *qlog.Frame) (n int) {
	typ, size := wire.ConsumeFrameType(b)
	var data []byte
	switch {
	case size < 0:
		return -1
	case typ == wire.FramePadding:
		for n < len(b) && b[n] == 0 {
			n++
		}
		f.Kind, f.Length = qlog.Padding, n
	case typ == wire.FramePing:
		f.Kind, n = qlog.Ping, 1
	case typ == wire.FrameAck, typ == wire.FrameAckECN:
		n = t.consumeAck(b, exponent, f)
	case typ == wire.FrameCrypto:
		f.Kind = qlog.Crypto
		f.Offset, data, n = wire.ConsumeCrypto(b)
		f.Length = len(data)
	case typ == wire.FrameNewToken:
		f.Kind = qlog.NewToken
		data, n = wire.ConsumeNewToken(b)
		f.Length = len(data)
	case typ >= wire.FrameStream && typ < wire.FrameStream+8:
		f.Kind = qlog.Stream
		f.StreamID, f.Offset, f.Fin, data, n = wire.ConsumeStream(b)
		f.Length = len(data)
	case typ == wire.FrameDatagram, typ == wire.FrameDatagram+1:
		f.Kind = qlog.Datagram
		data, n = wire.ConsumeDatagram(b)
		f.Length = len(data)
	case typ == wire.FrameConnectionClose, typ == wire.FrameConnectionCloseApp:
		var cc wire.ConnectionClose
		cc, n = wire.ConsumeConnectionClose(b)
		f.Kind, f.Error, f.Text, f.Type = qlog.ConnectionClose, qlog.Error{App: cc.App, Code: cc.Code}, string(cc.Reason), cc.FrameType
	case typ == wire.FrameAckFrequency:
		f.Kind, f.Type = qlog.UnknownFrame, typ
		_, n = wire.ConsumeAckFrequency(b)
		f.Length = n
	case typ == wire.FrameImmediateAck:
		f.Kind, f.Type, f.Length, n = qlog.UnknownFrame, typ, 1, 1
	default:
		n = consumeNumbers(b, typ, f)
	}
	return n
}

// consumeNumbers is consume for frames that hold nothing but numbers and connection IDs.
func consumeNumbers(b []byte, typ uint64, f *qlog.Frame) (n int) {
	var bidi bool
	app := qlog.Error{App: true}
	switch typ {
	case wire.FrameResetStream:
		f.Kind = qlog.ResetStream
		f.StreamID, app.Code, f.Limit, n = wire.ConsumeResetStream(b)
		f.Error = app
	case wire.FrameStopSending:
		f.Kind = qlog.StopSending
		f.StreamID, app.Code, n = wire.ConsumeStopSending(b)
		f.Error = app
	case wire.FrameMaxData:
		f.Kind = qlog.MaxData
		f.Limit, n = wire.ConsumeMaxData(b)
	case wire.FrameMaxStreamData:
		f.Kind = qlog.MaxStreamData
		f.StreamID, f.Limit, n = wire.ConsumeMaxStreamData(b)
	case wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni:
		f.Kind = qlog.MaxStreams
		bidi, f.Limit, n = wire.ConsumeMaxStreams(b)
		f.Uni = !bidi
	case wire.FrameDataBlocked:
		f.Kind = qlog.DataBlocked
		f.Limit, n = wire.ConsumeDataBlocked(b)
	case wire.FrameStreamDataBlocked:
		f.Kind = qlog.StreamDataBlocked
		f.StreamID, f.Limit, n = wire.ConsumeStreamDataBlocked(b)
	case wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni:
		f.Kind = qlog.StreamsBlocked
		bidi, f.Limit, n = wire.ConsumeStreamsBlocked(b)
		f.Uni = !bidi
	case wire.FrameNewConnectionID:
		f.Kind = qlog.NewConnectionID
		f.Seq, f.Prior, f.Bytes, _, n = wire.ConsumeNewConnectionID(b)
	case wire.FrameRetireConnectionID:
		f.Kind = qlog.RetireConnectionID
		f.Seq, n = wire.ConsumeRetireConnectionID(b)
	case wire.FramePathChallenge, wire.FramePathResponse:
		f.Kind = qlog.PathChallenge
		if typ == wire.FramePathResponse {
			f.Kind = qlog.PathResponse
		}
		if _, n = wire.ConsumePathChallenge(b); n > 0 {
			f.Bytes = b[1:n]
		}
	case wire.FrameHandshakeDone:
		f.Kind, n = qlog.HandshakeDone, 1
	default:
		f.Kind, f.Type, f.Length, n = qlog.UnknownFrame, typ, len(b), len(b) // nobody knows where it ends
	}
	return n
}

func (t *tracer) consumeAck(b []byte, exponent uint8, f *qlog.Frame) (n int) {
	var room [qlog.MaxRanges]ranges.Range
	a, acked, n := wire.ConsumeAck(b, room[:0])
	if n < 0 {
		return n
	}
	from := len(t.ranges)
	for _, r := range acked {
		t.ranges = append(t.ranges, qlog.Range{Low: uint64(r.Start), High: uint64(r.End - 1)})
	}
	f.Kind, f.Ranges = qlog.Ack, t.ranges[from:len(t.ranges):len(t.ranges)]
	f.AckDelay = ackDelay(a.DelayRaw, exponent)
	f.HasECN, f.ECT0, f.ECT1, f.ECN = a.HasECN, a.ECN.ECT0, a.ECN.ECT1, a.ECN.CE
	return n
}
