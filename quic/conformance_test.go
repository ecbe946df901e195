package quic

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// The numbered checks of public conformance tools, with the exact code that each must bring. The sections are those of
// RFC 9000 unless said.

const maxStreams = 1 << 60 // RFC 9000, section 4.6

// One frame in a 1-RTT packet from a client.
func TestConformanceFramesToServer(t *testing.T) {
	token := [16]byte{1}
	for _, c := range []struct {
		name  string
		frame []byte
		want  TransportErrorCode
	}{
		{"1 STREAM beyond flow control, s4.1", streamFrame(0, 100_000_000, "", true), FlowControlError},
		{"2 STREAM beyond the stream limit, s4.6", streamFrame(1_000_000_000, 0, "x", false), StreamLimitError},
		{"11 unknown frame type, s12.4", frame(0x20), FrameEncodingError},
		{"12 no frames, s12.4", nil, ProtocolViolation},
		{"16 RESET_STREAM on a send-only stream, s19.4", frame(wire.FrameResetStream, 3, 0, 0), StreamStateError},
		{"17 STOP_SENDING on a stream not opened, s19.5", frame(wire.FrameStopSending, 101, 0), StreamStateError},
		{"18 NEW_TOKEN from a client, s19.7", append(frame(wire.FrameNewToken, 3), "tok"...), ProtocolViolation},
		{"19 STREAM on a stream not opened, s19.8", streamFrame(1, 0, "x", false), StreamStateError},
		{"20 STREAM on a send-only stream, s19.8", streamFrame(3, 0, "x", false), StreamStateError},
		{"21 MAX_STREAM_DATA on a stream not opened, s19.10", frame(wire.FrameMaxStreamData, 101, 9), StreamStateError},
		{"22 MAX_STREAM_DATA on a receive-only stream, s19.10", frame(wire.FrameMaxStreamData, 2, 9), StreamStateError},
		{"23 MAX_STREAMS bidi above 2^60, s19.11", frame(wire.FrameMaxStreamsBidi, maxStreams+1), FrameEncodingError},
		{"23 MAX_STREAMS uni above 2^60, s19.11", frame(wire.FrameMaxStreamsUni, maxStreams+1), FrameEncodingError},
		{"24 STREAMS_BLOCKED bidi above 2^60, s19.14", frame(wire.FrameStreamsBlockedBidi, maxStreams+1),
			FrameEncodingError},
		{"24 STREAMS_BLOCKED uni above 2^60, s19.14", frame(wire.FrameStreamsBlockedUni, maxStreams+1),
			FrameEncodingError},
		{"25 NEW_CONNECTION_ID retiring above its own, s19.15", newConnectionIDFrame(1, 2, "12345678", token),
			FrameEncodingError},
		{"26 NEW_CONNECTION_ID of 0 bytes, s19.15", newConnectionIDFrame(1, 0, "", token), FrameEncodingError},
		{"26 NEW_CONNECTION_ID of 21 bytes, s19.15", newConnectionIDFrame(1, 0, "123456789012345678901", token),
			FrameEncodingError},
		{"27 HANDSHAKE_DONE from a client, s19.20", frame(wire.FrameHandshakeDone), ProtocolViolation},
		{"55 STREAM past 2^62-1, s19.8", streamFrame(0, wire.MaxVarint, "x", false), FrameEncodingError},
		{"STREAM_DATA_BLOCKED on a send-only stream, s19.13", frame(wire.FrameStreamDataBlocked, 3, 0), StreamStateError},
		{"RESET_STREAM on a stream not opened, s19.4", frame(wire.FrameResetStream, 1, 0, 0), StreamStateError},
		{"STOP_SENDING on a receive-only stream, s19.5", frame(wire.FrameStopSending, 2, 0), StreamStateError},
		{"RESET_STREAM beyond the stream limit, s4.6", frame(wire.FrameResetStream, 1_000_000_000, 0, 0),
			StreamLimitError},
		{"RESET_STREAM beyond flow control, s4.5", frame(wire.FrameResetStream, 0, 0, 100_000_000), FlowControlError},
		{"E5 STOP_SENDING beyond the stream limit, s4.6", frame(wire.FrameStopSending, 1_000_000_000, 0), StreamLimitError},
		{"E5 MAX_STREAM_DATA beyond the stream limit, s4.6", frame(wire.FrameMaxStreamData, 1_000_000_000, 0), StreamLimitError},
		{"E5 STREAM_DATA_BLOCKED beyond the stream limit, s4.6", frame(wire.FrameStreamDataBlocked, 1_000_000_000, 0),
			StreamLimitError},
		{"STREAM_DATA_BLOCKED on a stream not opened, s19.13", frame(wire.FrameStreamDataBlocked, 1, 0), StreamStateError},
		{"E10 frame type in two bytes, s12.4", []byte{0x40, wire.FramePing}, ProtocolViolation},
		{"E10 frame type in four bytes, s12.4", []byte{0x80, 0, 0, wire.FramePing}, ProtocolViolation},
		{"E10 frame type in eight bytes, s12.4", []byte{0xc0, 0, 0, 0, 0, 0, 0, wire.FramePadding}, ProtocolViolation},
		{"E10 frame type cut short, s12.4", []byte{wire.FramePing, 0x40}, FrameEncodingError},
		{"E10 unknown type of eight bytes, s12.4", frame(wire.MaxVarint), FrameEncodingError},
		{"C3 ACK Range Count 2^62-1, s19.3", frame(wire.FrameAck, 0, 0, wire.MaxVarint, 0), FrameEncodingError},
		{"ACK with ECN counts cut short, s19.3.2", frame(wire.FrameAckECN, 0, 0, 0, 0, 1, 1), FrameEncodingError},
		{"PATH_CHALLENGE of 7 bytes, s19.17", append(frame(wire.FramePathChallenge), "1234567"...), FrameEncodingError},
		{"CONNECTION_CLOSE with a reason cut short, s19.19", frame(wire.FrameConnectionClose, 0, 0, 9), FrameEncodingError},
		{"NEW_CONNECTION_ID with a token of 15 bytes, s19.15", newConnectionIDFrame(1, 0, "12345678", token)[:27],
			FrameEncodingError},
		{"DATAGRAM longer than the packet, RFC 9221 s4", frame(wire.FrameDatagram|1, 9), FrameEncodingError},
		{"RETIRE_CONNECTION_ID never issued, s19.16", frame(wire.FrameRetireConnectionID, 1000), ProtocolViolation},
		{"RETIRE_CONNECTION_ID in use, s19.16", frame(wire.FrameRetireConnectionID, 0), ProtocolViolation},
		{"C2 ACK of a packet never sent, s13.1", ackFrame(1_000_000), ProtocolViolation},
		{"C2 ACK below packet 0, s19.3.1", frame(wire.FrameAck, 5, 0, 0, 6), FrameEncodingError},
		{"frame cut short, s12.4", frame(wire.FrameMaxStreamData, 0), FrameEncodingError},
		{"STREAM longer than the packet, s19.8", frame(wire.FrameStream|2, 0, 5), FrameEncodingError},
		{"CRYPTO past 2^62-1, s19.6", cryptoFrame(wire.MaxVarint, []byte("x")), FrameEncodingError},
		{"DATAGRAM that was not offered, RFC 9221 s3", frame(wire.FrameDatagram|1, 0), ProtocolViolation},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedClient(t)
			p.handshake()
			p.sendFrames(protect.OneRTT, c.frame)
			p.wantClose(c.name, c.want)
		})
	}
}

// The final size of a stream is what its first FIN or RESET_STREAM says (section 4.5).
func TestConformanceFinalSize(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second []byte
	}{
		{"data past FIN", streamFrame(0, 0, "abc", true), streamFrame(0, 3, "d", false)},
		{"second FIN lower", streamFrame(0, 0, "abc", true), streamFrame(0, 0, "ab", true)},
		{"second FIN higher", streamFrame(0, 0, "abc", true), streamFrame(0, 4, "", true)},
		{"FIN below received data", streamFrame(0, 0, "abc", false), streamFrame(0, 0, "a", true)},
		{"RESET_STREAM below received data", streamFrame(0, 0, "abc", false), frame(wire.FrameResetStream, 0, 0, 2)},
		{"RESET_STREAM changes the size", streamFrame(0, 0, "abc", true), frame(wire.FrameResetStream, 0, 0, 4)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedClient(t)
			p.handshake()
			p.sendFrames(protect.OneRTT, c.first)
			p.ignored[wire.FrameMaxData], p.ignored[wire.FrameMaxStreamData] = true, true
			p.wantIdle("the first frame is good")
			p.sendFrames(protect.OneRTT, c.second)
			p.wantClose(c.name, FinalSizeError)
		})
	}
}

// The same frames are judged from a server's side.
func TestConformanceFramesToClient(t *testing.T) {
	token := [16]byte{1}
	for _, c := range []struct {
		name  string
		frame []byte
		want  TransportErrorCode
	}{
		{"1 STREAM beyond flow control, s4.1", streamFrame(1, 100_000_000, "", true), FlowControlError},
		{"2 STREAM beyond the stream limit, s4.6", streamFrame(1_000_000_001, 0, "x", false), StreamLimitError},
		{"11 unknown frame type, s12.4", frame(0x20), FrameEncodingError},
		{"12 no frames, s12.4", nil, ProtocolViolation},
		{"16 RESET_STREAM on a send-only stream, s19.4", frame(wire.FrameResetStream, 2, 0, 0), StreamStateError},
		{"17 STOP_SENDING on a stream not opened, s19.5", frame(wire.FrameStopSending, 100, 0), StreamStateError},
		{"19 STREAM on a stream not opened, s19.8", streamFrame(0, 0, "x", false), StreamStateError},
		{"20 STREAM on a send-only stream, s19.8", streamFrame(2, 0, "x", false), StreamStateError},
		{"21 MAX_STREAM_DATA on a stream not opened, s19.10", frame(wire.FrameMaxStreamData, 100, 9), StreamStateError},
		{"22 MAX_STREAM_DATA on a receive-only stream, s19.10", frame(wire.FrameMaxStreamData, 3, 9), StreamStateError},
		{"23 MAX_STREAMS bidi above 2^60, s19.11", frame(wire.FrameMaxStreamsBidi, maxStreams+1), FrameEncodingError},
		{"24 STREAMS_BLOCKED uni above 2^60, s19.14", frame(wire.FrameStreamsBlockedUni, maxStreams+1), FrameEncodingError},
		{"STREAM_DATA_BLOCKED on a send-only stream, s19.13", frame(wire.FrameStreamDataBlocked, 2, 0), StreamStateError},
		{"STREAM_DATA_BLOCKED on a stream not opened, s19.13", frame(wire.FrameStreamDataBlocked, 0, 0), StreamStateError},
		{"RESET_STREAM on a stream not opened, s19.4", frame(wire.FrameResetStream, 0, 0, 0), StreamStateError},
		{"STOP_SENDING on a receive-only stream, s19.5", frame(wire.FrameStopSending, 3, 0), StreamStateError},
		{"STOP_SENDING beyond the stream limit, s4.6", frame(wire.FrameStopSending, 1_000_000_001, 0), StreamLimitError},
		{"25 NEW_CONNECTION_ID retiring above its own, s19.15", newConnectionIDFrame(1, 2, "12345678", token),
			FrameEncodingError},
		{"NEW_TOKEN without a token, s19.7", frame(wire.FrameNewToken, 0), FrameEncodingError},
		{"NEW_CONNECTION_ID beyond the limit, s5.1.1", concat(newConnectionIDFrame(1, 0, "11111111", token),
			newConnectionIDFrame(2, 0, "22222222", [16]byte{2}), newConnectionIDFrame(3, 0, "33333333", [16]byte{3}),
			newConnectionIDFrame(4, 0, "44444444", [16]byte{4})), ConnectionIDLimitError},
		{"NEW_CONNECTION_ID twice with another ID, s19.15", concat(newConnectionIDFrame(1, 0, "11111111", token),
			newConnectionIDFrame(1, 0, "22222222", token)), ProtocolViolation},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedServer(t)
			p.handshake()
			p.sendFrames(protect.OneRTT, c.frame)
			p.wantClose(c.name, c.want)
		})
	}
}

func concat(frames ...[]byte) (b []byte) {
	for _, f := range frames {
		b = append(b, f...)
	}
	return b
}

// Transport parameters that a client must not send (sections 7.3, 7.4 and 18.2).
func TestConformanceParametersToServer(t *testing.T) {
	preferred := append(make([]byte, 4+2+16+2), append([]byte{4, 1, 2, 3, 4}, make([]byte, 16)...)...)
	for _, c := range []struct {
		name   string
		option scriptedOption
	}{
		{"3 initial_source_connection_id absent", param(0x0f, nil)},
		{"initial_source_connection_id of another", param(0x0f, []byte("another!"))},
		{"4 original_destination_connection_id", param(0x00, []byte("first-dcid"))},
		{"5 preferred_address", param(0x0d, preferred)},
		{"6 retry_source_connection_id", param(0x10, []byte("retry-id"))},
		{"7 stateless_reset_token", param(0x02, make([]byte, 16))},
		{"8 max_udp_payload_size 1090", param(0x03, varint(1090))},
		{"8 max_udp_payload_size 1199", param(0x03, varint(1199))},
		{"9 ack_delay_exponent 30", param(0x0a, varint(30))},
		{"9 ack_delay_exponent 21", param(0x0a, varint(21))},
		{"10 max_ack_delay 2^15", param(0x0b, varint(1<<15))},
		{"10 max_ack_delay 2^14", param(0x0b, varint(1<<14))},
		{"min_ack_delay above max_ack_delay, draft-ietf-quic-ack-frequency-12 s3", param(paramMinAckDelay, varint(25001))},
		{"52 initial_max_streams_bidi above 2^60", param(0x08, varint(maxStreams+1))},
		{"52 initial_max_streams_uni above 2^60", param(0x09, varint(maxStreams+1))},
		{"53 initial_source_connection_id of 21 bytes", param(0x0f, make([]byte, 21))},
		{"53 disable_active_migration not empty", param(0x0c, []byte{1})},
		{"53 grease_quic_bit not empty, RFC 9287 s3", param(0x2ab2, []byte{1})},
		{"active_connection_id_limit 1", param(0x0e, varint(1))},
		{"integer of the wrong length", param(0x04, []byte{0x40})},
		{"integer with more behind it", param(0x04, []byte{0x01, 0x01})},
		{"a parameter twice", func(p *scripted) {
			p.mutate = editParams(func(b []byte) []byte { return append(b, 0x04, 1, 1) })
		}},
		{"cut short", func(p *scripted) {
			p.mutate = editParams(func(b []byte) []byte { return append(b, 0x05, 4, 1) })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedClient(t, c.option)
			p.sendTLS()
			p.wantClose(c.name, TransportParameterError)
		})
	}
}

// editParams changes the encoded transport parameters in a ClientHello.
func editParams(edit func([]byte) []byte) func(tls.QUICEncryptionLevel, []byte) []byte {
	return editHello(func(id []byte, exts []tlsExtension) ([]byte, []tlsExtension) {
		for i, e := range exts {
			if e.typ == tlsQUICTransportParameters {
				exts[i].data = edit(e.data[:len(e.data):len(e.data)])
			}
		}
		return id, exts
	})
}

func editHello(edit func([]byte, []tlsExtension) ([]byte, []tlsExtension)) func(tls.QUICEncryptionLevel, []byte) []byte {
	return func(level tls.QUICEncryptionLevel, data []byte) []byte {
		if level == tls.QUICEncryptionLevelInitial {
			return editClientHello(data, edit)
		}
		return data
	}
}

// The largest and smallest legal values of what the checks above reject.
func TestConformanceParametersAtTheirBounds(t *testing.T) {
	for _, client := range []bool{false, true} {
		t.Run(fmt.Sprintf("client=%v", client), func(t *testing.T) {
			options := []scriptedOption{
				param(0x03, varint(1200)), param(0x0a, varint(20)), param(0x0b, varint(1<<14-1)),
				param(0x08, varint(maxStreams)), param(0x09, varint(maxStreams)), param(0x0e, varint(2)),
				param(0x0c, []byte{}), param(0x01, varint(wire.MaxVarint)), param(0x04, varint(wire.MaxVarint)),
				param(paramMinAckDelay, varint((1<<14-1)*1000)),
				// 59: unknown and reserved parameters are ignored (section 7.4.2).
				param(31*7+27, []byte("reserved")), param(wire.MaxVarint, []byte{}), param(0x7fff, make([]byte, 100)),
			}
			p := play(t, client, options...)
			p.handshake()
			p.wantIdle("legal parameters")
		})
	}
}

// play returns a scripted peer for a server or a client under test.
func play(t testing.TB, client bool, options ...scriptedOption) *scripted {
	if client {
		return newScriptedServer(t, options...)
	}
	return newScriptedClient(t, options...)
}

// Transport parameters that a server must not send (sections 7.3 and 18.2).
func TestConformanceParametersToClient(t *testing.T) {
	for _, c := range []struct {
		name   string
		option scriptedOption
	}{
		{"original_destination_connection_id absent", param(0x00, nil)},
		{"original_destination_connection_id of another", param(0x00, []byte("another!"))},
		{"3 initial_source_connection_id absent", param(0x0f, nil)},
		{"initial_source_connection_id of another", param(0x0f, []byte("another!"))},
		{"retry_source_connection_id without Retry", param(0x10, []byte("retry-id"))},
		{"8 max_udp_payload_size 1090", param(0x03, varint(1090))},
		{"9 ack_delay_exponent 30", param(0x0a, varint(30))},
		{"10 max_ack_delay 2^15", param(0x0b, varint(1<<15))},
		{"min_ack_delay above max_ack_delay, draft-ietf-quic-ack-frequency-12 s3", param(paramMinAckDelay, varint(25001))},
		{"52 initial_max_streams_bidi above 2^60", param(0x08, varint(maxStreams+1))},
		{"52 initial_max_streams_uni above 2^60", param(0x09, varint(maxStreams+1))},
		{"53 original_destination_connection_id of 21 bytes", param(0x00, make([]byte, 21))},
		{"53 initial_source_connection_id of 21 bytes", param(0x0f, make([]byte, 21))},
		{"53 retry_source_connection_id of 21 bytes", param(0x10, make([]byte, 21))},
		{"53 stateless_reset_token of 15 bytes", param(0x02, make([]byte, 15))},
		{"53 stateless_reset_token of 17 bytes", param(0x02, make([]byte, 17))},
		{"53 disable_active_migration not empty", param(0x0c, []byte{1})},
		{"53 grease_quic_bit not empty, RFC 9287 s3", param(0x2ab2, []byte{1})},
		{"preferred_address cut short", param(0x0d, make([]byte, 4+2+16+2))},
		{"preferred_address with a connection ID of 21 bytes", param(0x0d, append(append(make([]byte, 4+2+16+2), 21),
			make([]byte, 21+16)...))},
		{"preferred_address with an empty connection ID", param(0x0d, make([]byte, 4+2+16+2+1+16))},
		{"active_connection_id_limit 1", param(0x0e, varint(1))},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedServer(t, c.option)
			p.sendTLS()
			p.wantClose(c.name, TransportParameterError)
		})
	}
}

// 13 and 15: reserved bits (sections 17.2 and 17.3.1).
func TestConformanceReservedBits(t *testing.T) {
	for _, bits := range []byte{0x04, 0x08, 0x0c} {
		t.Run(fmt.Sprintf("13 Handshake packet with Finished, %#x", bits), func(t *testing.T) {
			p := newScriptedClient(t)
			p.sendTLS()
			p.send(scriptedPacket{slot: protect.Handshake, reserved: bits,
				frames: [][]byte{p.takeCrypto(protect.Handshake)}})
			p.wantClose("reserved bits in a Handshake packet", ProtocolViolation)
		})
		t.Run(fmt.Sprintf("13 Initial packet, %#x", bits), func(t *testing.T) {
			p := newScriptedClient(t)
			p.send(scriptedPacket{slot: protect.Initial, reserved: bits,
				frames: [][]byte{p.takeCrypto(protect.Initial)}})
			p.wantClose("reserved bits in an Initial packet", ProtocolViolation)
		})
	}
	for _, bits := range []byte{0x08, 0x10, 0x18} {
		for _, client := range []bool{false, true} {
			t.Run(fmt.Sprintf("15 short header, %#x, client=%v", bits, client), func(t *testing.T) {
				p := play(t, client)
				p.handshake()
				p.send(scriptedPacket{slot: protect.OneRTT, reserved: bits, frames: [][]byte{frame(wire.FramePing)}})
				p.wantClose("reserved bits in a 1-RTT packet", ProtocolViolation)
			})
		}
	}
}

// 14, 56 and their like: frames that may not stand in Initial and Handshake packets (section 12.4, table 3).
func TestConformanceFrameInWrongPacket(t *testing.T) {
	token := [16]byte{1}
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"14 PATH_CHALLENGE", append(frame(wire.FramePathChallenge), "12345678"...)},
		{"56 CONNECTION_CLOSE of the application", frame(wire.FrameConnectionCloseApp, 0, 0)},
		{"PATH_RESPONSE", append(frame(wire.FramePathResponse), "12345678"...)},
		{"STREAM", streamFrame(0, 0, "x", false)},
		{"RESET_STREAM", frame(wire.FrameResetStream, 0, 0, 0)},
		{"STOP_SENDING", frame(wire.FrameStopSending, 0, 0)},
		{"NEW_TOKEN", append(frame(wire.FrameNewToken, 1), 1)},
		{"MAX_DATA", frame(wire.FrameMaxData, 1)},
		{"MAX_STREAM_DATA", frame(wire.FrameMaxStreamData, 0, 1)},
		{"MAX_STREAMS", frame(wire.FrameMaxStreamsBidi, 1)},
		{"DATA_BLOCKED", frame(wire.FrameDataBlocked, 1)},
		{"STREAM_DATA_BLOCKED", frame(wire.FrameStreamDataBlocked, 0, 1)},
		{"STREAMS_BLOCKED", frame(wire.FrameStreamsBlockedUni, 1)},
		{"NEW_CONNECTION_ID", newConnectionIDFrame(1, 0, "12345678", token)},
		{"RETIRE_CONNECTION_ID", frame(wire.FrameRetireConnectionID, 0)},
		{"HANDSHAKE_DONE", frame(wire.FrameHandshakeDone)},
		{"DATAGRAM", frame(wire.FrameDatagram|1, 0)},
		{"ACK_FREQUENCY, draft-ietf-quic-ack-frequency-12", ackFrequencyFrame(0, 1, 1000, 1)},
		{"IMMEDIATE_ACK, draft-ietf-quic-ack-frequency-12", frame(wire.FrameImmediateAck)},
	} {
		t.Run(c.name+" in Handshake to a server", func(t *testing.T) {
			p := newScriptedClient(t)
			p.sendTLS()
			p.sendFrames(protect.Handshake, c.frame)
			p.wantClose(c.name, ProtocolViolation)
		})
		t.Run(c.name+" in Initial to a server", func(t *testing.T) {
			p := newScriptedClient(t)
			p.sendFrames(protect.Initial, p.takeCrypto(protect.Initial), c.frame)
			p.wantClose(c.name, ProtocolViolation)
		})
		t.Run(c.name+" in Handshake to a client", func(t *testing.T) {
			p := newScriptedServer(t)
			initial := scriptedPacket{slot: protect.Initial, frames: [][]byte{p.takeCrypto(protect.Initial)}}
			p.send(initial)
			p.sendFrames(protect.Handshake, c.frame)
			p.wantClose(c.name, ProtocolViolation)
		})
	}
}

// 28, 29 and 33: TLS messages that QUIC does without (RFC 9001, sections 6 and 8.3).
func TestConformanceTLSMessages(t *testing.T) {
	const unexpectedMessage = CryptoErrorBase + 10
	keyUpdate := []byte{0x18, 0, 0, 1, 1}
	t.Run("28 KeyUpdate after Finished, one frame", func(t *testing.T) {
		p := newScriptedClient(t)
		p.sendTLS()
		p.cryptoOut[protect.Handshake] = append(p.cryptoOut[protect.Handshake], keyUpdate...)
		p.sendTLS()
		p.wantClose("KeyUpdate at Handshake level", unexpectedMessage)
	})
	t.Run("28 KeyUpdate after Finished, two frames", func(t *testing.T) {
		p := newScriptedClient(t)
		p.sendTLS()
		finished := p.takeCrypto(protect.Handshake)
		p.sendFrames(protect.Handshake, finished, cryptoFrame(p.cryptoOff[protect.Handshake], keyUpdate))
		p.wantClose("KeyUpdate at Handshake level", unexpectedMessage)
	})
	for _, client := range []bool{false, true} {
		t.Run(fmt.Sprintf("29 KeyUpdate in 1-RTT, client=%v", client), func(t *testing.T) {
			p := play(t, client)
			p.handshake()
			p.sendFrames(protect.OneRTT, cryptoFrame(p.cryptoOff[protect.OneRTT], keyUpdate))
			p.wantClose("KeyUpdate at 1-RTT level", unexpectedMessage)
		})
	}
	t.Run("33 EndOfEarlyData before Finished", func(t *testing.T) {
		p := newScriptedClient(t)
		p.sendTLS()
		p.sendFrames(protect.Handshake, cryptoFrame(0, []byte{5, 0, 0, 0}))
		p.wantClose("EndOfEarlyData", unexpectedMessage)
	})
}

// 30, 31, 32 and 51: a ClientHello that QUIC does not take (RFC 9001, sections 8.1, 8.2 and 8.4).
func TestConformanceClientHello(t *testing.T) {
	extension := func(edit func(e tlsExtension) (tlsExtension, bool)) scriptedOption {
		return func(p *scripted) {
			p.mutate = editHello(func(id []byte, exts []tlsExtension) ([]byte, []tlsExtension) {
				var out []tlsExtension
				for _, e := range exts {
					if e, keep := edit(e); keep {
						out = append(out, e)
					}
				}
				return id, out
			})
		}
	}
	const alpn = 16
	for _, c := range []struct {
		name   string
		option scriptedOption
		want   TransportErrorCode
	}{
		{"30 ALPN of another protocol", func(p *scripted) { p.tlsConfig.NextProtos = []string{"dummy"} },
			CryptoErrorBase + 120},
		{"30 no ALPN", extension(func(e tlsExtension) (tlsExtension, bool) { return e, e.typ != alpn }),
			CryptoErrorBase + 120},
		{"31 no quic_transport_parameters", extension(func(e tlsExtension) (tlsExtension, bool) {
			return e, e.typ != tlsQUICTransportParameters
		}), CryptoErrorBase + 109},
		{"32 quic_transport_parameters of a draft only", extension(func(e tlsExtension) (tlsExtension, bool) {
			if e.typ == tlsQUICTransportParameters {
				e.typ = 0xffa5
			}
			return e, true
		}), CryptoErrorBase + 109},
		{"51 legacy_session_id", func(p *scripted) {
			p.mutate = editHello(func(id []byte, exts []tlsExtension) ([]byte, []tlsExtension) {
				return make([]byte, 32), exts
			})
		}, ProtocolViolation},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newScriptedClient(t, c.option)
			p.sendTLS()
			p.wantClose(c.name, c.want)
		})
	}
}

// 50: bytes left over at a level that TLS has left (RFC 9001, section 4.1.3).
func TestConformanceLeftOverCrypto(t *testing.T) {
	t.Run("50 behind the ClientHello", func(t *testing.T) {
		p := newScriptedClient(t)
		p.sendTLS()
		p.sendFrames(protect.Initial, cryptoFrame(p.cryptoOff[protect.Initial], []byte{1}))
		p.wantClose("CRYPTO data past the ClientHello", ProtocolViolation)
	})
	t.Run("50 in the ClientHello's frame", func(t *testing.T) {
		p := newScriptedClient(t)
		p.cryptoOut[protect.Initial] = append(p.cryptoOut[protect.Initial], 1)
		p.sendTLS()
		p.wantClose("CRYPTO data past the ClientHello", ProtocolViolation)
	})
	for _, early := range []bool{true, false} {
		for _, client := range []bool{false, true} {
			for _, slot := range []protect.Slot{protect.Initial, protect.Handshake} {
				t.Run(fmt.Sprintf("level %d, behind a gap, client=%v, early=%v", slot, client, early), func(t *testing.T) {
					p := play(t, client)
					if slot == protect.Handshake {
						p.send(scriptedPacket{slot: protect.Initial, frames: [][]byte{p.takeCrypto(protect.Initial)}})
					}
					rest := p.takeCrypto(slot)
					beyond := cryptoFrame(p.cryptoOff[slot]+1, []byte{1})
					if early {
						p.sendFrames(slot, beyond)
						p.sendFrames(slot, rest)
					} else {
						p.sendFrames(slot, rest, beyond)
					}
					p.wantClose("CRYPTO data that TLS never comes to", ProtocolViolation)
				})
			}
		}
	}
	t.Run("ClientHello again is no error", func(t *testing.T) {
		p := newScriptedClient(t)
		hello := p.takeCrypto(protect.Initial)
		p.sendFrames(protect.Initial, hello)
		p.sendFrames(protect.Initial, hello)
		p.handshake()
	})
}

// 54: connection IDs where there are none (sections 19.15 and 19.16).
func TestConformanceZeroLengthConnectionIDs(t *testing.T) {
	t.Run("54 NEW_CONNECTION_ID to one that sends to zero-length IDs", func(t *testing.T) {
		p := newScriptedClient(t, func(p *scripted) { p.srcID = []byte{} })
		p.handshake()
		p.sendFrames(protect.OneRTT, newConnectionIDFrame(1, 0, "12345678", [16]byte{1}))
		p.wantClose("NEW_CONNECTION_ID from a peer with a zero-length connection ID", ProtocolViolation)
	})
	t.Run("54 RETIRE_CONNECTION_ID to one that issued a zero-length ID", func(t *testing.T) {
		p := newScriptedServer(t, func(p *scripted) { p.cfg.ConnIDs = RandomConnIDs(0) })
		p.handshake()
		if len(p.dstID) != 0 {
			t.Fatalf("the client's connection ID is %x, want a zero-length one", p.dstID)
		}
		p.sendFrames(protect.OneRTT, frame(wire.FrameRetireConnectionID, 0))
		p.wantClose("RETIRE_CONNECTION_ID of a zero-length connection ID", ProtocolViolation)
	})
}

// 58, the transport's half: what a client does with an odd server.
func TestConformanceOddServer(t *testing.T) {
	t.Run("58 no ALPN selected, RFC 9001 s8.1", func(t *testing.T) {
		p := newScriptedServer(t, func(p *scripted) { p.tlsConfig.NextProtos = nil })
		p.sendTLS()
		p.wantClose("no ALPN", CryptoErrorBase+120)
	})
	t.Run("58 EncryptedExtensions without transport parameters, RFC 9001 s8.2", func(t *testing.T) {
		p := newScriptedServer(t, func(p *scripted) {
			p.mutate = func(level tls.QUICEncryptionLevel, data []byte) []byte {
				return editEncryptedExtensions(data, func(exts []tlsExtension) (out []tlsExtension) {
					for _, e := range exts {
						if e.typ != tlsQUICTransportParameters {
							out = append(out, e)
						}
					}
					return out
				})
			}
		})
		p.sendTLS()
		p.wantClose("no transport parameters", CryptoErrorBase+109)
	})
	t.Run("58 second Initial packet with another Source Connection ID, s7.2", func(t *testing.T) {
		p := newScriptedServer(t)
		initial := p.takeCrypto(protect.Initial)
		p.sendFrames(protect.Initial, p.ackReceived(protect.Initial))
		p.send(scriptedPacket{slot: protect.Initial, srcID: []byte("other-id"), frames: [][]byte{
			frame(wire.FrameConnectionClose, uint64(InternalError), 0, 0)}})
		p.got = nil
		p.wantIdle("a packet to be discarded")
		p.sendFrames(protect.Initial, initial)
		p.handshake()
	})
}

// 59, the transport's half: what is to be tolerated. Unknown transport parameters are in
// TestConformanceParametersAtTheirBounds.
func TestConformanceTolerated(t *testing.T) {
	t.Run("59 PATH_RESPONSE on another path, s8.2.3", func(t *testing.T) {
		p := newScriptedClient(t)
		p.handshake()
		elsewhere := netip.AddrPortFrom(p.remote.Addr(), p.remote.Port()+1)
		p.recvFrom(elsewhere, p.encode(scriptedPacket{slot: protect.OneRTT, frames: [][]byte{
			append(frame(wire.FramePathResponse), "12345678"...)}}))
		p.drain()
		p.got = nil
		p.echo()
	})
	t.Run("59 PATH_RESPONSE that nobody asked for, s19.18", func(t *testing.T) {
		p := newScriptedClient(t)
		p.handshake()
		p.sendFrames(protect.OneRTT, append(frame(wire.FramePathResponse), "12345678"...))
		p.wantIdle("a PATH_RESPONSE without a challenge")
		p.echo()
	})
	t.Run("PATH_CHALLENGE is answered, s8.2.2", func(t *testing.T) {
		p := newScriptedClient(t)
		p.handshake()
		p.sendFrames(protect.OneRTT, append(frame(wire.FramePathChallenge), "12345678"...))
		p.wantFrame("the answer to PATH_CHALLENGE", protect.OneRTT, append(frame(wire.FramePathResponse), "12345678"...))
		if p.lastSize < minDatagramSize {
			t.Errorf("the datagram with PATH_RESPONSE has %d bytes, want 1200", p.lastSize)
		}
		p.ignored[wire.FramePing] = true
		p.wantIdle("one answer")
	})
	t.Run("MAX_STREAM_DATA on a stream not yet opened by its initiator opens it, s3.2", func(t *testing.T) {
		p := newScriptedClient(t)
		p.handshake()
		p.sendFrames(protect.OneRTT, frame(wire.FrameMaxStreamData, 4, 1<<20))
		p.wantIdle("legal")
	})
}

// echo has the client send a request on stream 0 and the server under test answer it.
func (p *scripted) echo() {
	p.t.Helper()
	p.sendFrames(protect.OneRTT, streamFrame(0, 0, "request", true))
	buf := make([]byte, 100)
	n, fin, err := p.conn.StreamRecv(0, buf)
	if err != nil || !fin || string(buf[:n]) != "request" {
		p.t.Fatalf("StreamRecv: %q, fin %v, %v", buf[:n], fin, err)
	}
	if n, err := p.conn.StreamSend(0, []byte("answer"), true); err != nil || n != 6 {
		p.t.Fatalf("StreamSend: %d, %v", n, err)
	}
	p.ignored[wire.FrameMaxStreamsBidi] = true
	p.drain()
	p.wantStream("the answer", 0, 0, "answer", true)
}
