package wire

import (
	"testing"

	"github.com/boringquic/boringquic/quic/internal/ranges"
)

// Neither parsing nor encoding allocates, but for transport parameters and Version Negotiation.
func TestNoAllocations(t *testing.T) {
	var encoded [][]byte
	for _, c := range frames {
		encoded = append(encoded, c.frame.append(nil))
	}
	initial := longPacket(Initial, Version1, []byte("12345678"), []byte("1234"), []byte("token"), 100)
	retry := append(AppendRetryWithoutTag(nil, Version1, []byte("12345678"), []byte("1234"), []byte("token"), 0), repeat(1, 16)...)
	buf := make([]byte, 0, 1<<16)
	list := manyRanges(roomForRanges).Ranges
	room := make([]ranges.Range, 0, roomForRanges)
	versions := []uint32{Version1}
	token := [16]byte{1}
	for name, f := range map[string]func(){
		"consume frames": func() {
			for _, b := range encoded {
				if consumeOnly(b, room) != len(b) {
					t.Errorf("%x is malformed", b)
				}
			}
		},
		"consume headers": func() {
			if _, n := ConsumeLongHeader(initial); n != len(initial) {
				t.Error("the Initial is malformed")
			}
			if _, n := ConsumeLongHeader(retry); n != len(retry) {
				t.Error("the Retry is malformed")
			}
			ConsumeInvariants(initial)
		},
		"append headers": func() {
			AppendLongHeader(buf, Initial, Version1, initial[6:14], initial[6:10], initial[:20], 1, 2)
			AppendShortHeader(buf, initial[6:14], true, true, 1, 4)
			AppendVersionNegotiation(buf, initial[6:14], initial[6:14], versions, 1)
			AppendRetryWithoutTag(buf, Version1, initial[6:14], initial[6:14], initial[:20], 1)
		},
		"append frames": func() {
			ecn := ECNCounts{ECT0: 1}
			AppendAck(buf, list, 5, &ecn, 1200)
			AppendResetStream(buf, 1, 2, 3)
			AppendStopSending(buf, 1, 2)
			AppendCryptoHeader(buf, 1, 2)
			AppendNewToken(buf, initial)
			AppendStreamHeader(buf, 1, 2, 3, true, true)
			AppendMaxData(buf, 1)
			AppendMaxStreamData(buf, 1, 2)
			AppendMaxStreams(buf, true, 1)
			AppendDataBlocked(buf, 1)
			AppendStreamDataBlocked(buf, 1, 2)
			AppendStreamsBlocked(buf, true, 1)
			AppendNewConnectionID(buf, 2, 1, initial[6:14], token)
			AppendRetireConnectionID(buf, 1)
			AppendPathChallenge(buf, [8]byte{1})
			AppendPathResponse(buf, [8]byte{1})
			AppendAckFrequency(buf, AckFrequency{1, 2, 3, 4})
			AppendConnectionClose(buf, ConnectionClose{Code: 1, Reason: initial[:9]})
			AppendDatagramHeader(buf, 100, true)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

// consumeOnly parses a frame as consumeAny does, and makes no value of it.
func consumeOnly(b []byte, room []ranges.Range) (n int) {
	switch typ, _ := ConsumeFrameType(b); typ {
	case FramePadding, FramePing, FrameHandshakeDone, FrameImmediateAck:
		n = 1
	case FrameAck, FrameAckECN:
		_, _, n = ConsumeAck(b, room)
	case FrameResetStream:
		_, _, _, n = ConsumeResetStream(b)
	case FrameStopSending:
		_, _, n = ConsumeStopSending(b)
	case FrameCrypto:
		_, _, n = ConsumeCrypto(b)
	case FrameNewToken:
		_, n = ConsumeNewToken(b)
	case FrameMaxData:
		_, n = ConsumeMaxData(b)
	case FrameMaxStreamData:
		_, _, n = ConsumeMaxStreamData(b)
	case FrameMaxStreamsBidi, FrameMaxStreamsUni:
		_, _, n = ConsumeMaxStreams(b)
	case FrameDataBlocked:
		_, n = ConsumeDataBlocked(b)
	case FrameStreamDataBlocked:
		_, _, n = ConsumeStreamDataBlocked(b)
	case FrameStreamsBlockedBidi, FrameStreamsBlockedUni:
		_, _, n = ConsumeStreamsBlocked(b)
	case FrameNewConnectionID:
		_, _, _, _, n = ConsumeNewConnectionID(b)
	case FrameRetireConnectionID:
		_, n = ConsumeRetireConnectionID(b)
	case FramePathChallenge:
		_, n = ConsumePathChallenge(b)
	case FramePathResponse:
		_, n = ConsumePathResponse(b)
	case FrameAckFrequency:
		_, n = ConsumeAckFrequency(b)
	case FrameConnectionClose, FrameConnectionCloseApp:
		_, n = ConsumeConnectionClose(b)
	case FrameDatagram, FrameDatagram | datagramLen:
		_, n = ConsumeDatagram(b)
	default:
		_, _, _, _, n = ConsumeStream(b)
	}
	return n
}
