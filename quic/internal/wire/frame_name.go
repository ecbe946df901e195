package wire

import "fmt"

// frameNames are the names that the RFCs give the frames, with the article that a sentence needs.
var frameNames = map[uint64]string{
	FramePadding:            "a PADDING frame",
	FramePing:               "a PING frame",
	FrameAck:                "an ACK frame",
	FrameAckECN:             "an ACK frame",
	FrameResetStream:        "a RESET_STREAM frame",
	FrameStopSending:        "a STOP_SENDING frame",
	FrameCrypto:             "a CRYPTO frame",
	FrameNewToken:           "a NEW_TOKEN frame",
	FrameMaxData:            "a MAX_DATA frame",
	FrameMaxStreamData:      "a MAX_STREAM_DATA frame",
	FrameMaxStreamsBidi:     "a MAX_STREAMS frame",
	FrameMaxStreamsUni:      "a MAX_STREAMS frame",
	FrameDataBlocked:        "a DATA_BLOCKED frame",
	FrameStreamDataBlocked:  "a STREAM_DATA_BLOCKED frame",
	FrameStreamsBlockedBidi: "a STREAMS_BLOCKED frame",
	FrameStreamsBlockedUni:  "a STREAMS_BLOCKED frame",
	FrameNewConnectionID:    "a NEW_CONNECTION_ID frame",
	FrameRetireConnectionID: "a RETIRE_CONNECTION_ID frame",
	FramePathChallenge:      "a PATH_CHALLENGE frame",
	FramePathResponse:       "a PATH_RESPONSE frame",
	FrameConnectionClose:    "a CONNECTION_CLOSE frame",
	FrameConnectionCloseApp: "a CONNECTION_CLOSE frame",
	FrameHandshakeDone:      "a HANDSHAKE_DONE frame",
	FrameImmediateAck:       "an IMMEDIATE_ACK frame",
	FrameDatagram:           "a DATAGRAM frame",
	FrameDatagram + 1:       "a DATAGRAM frame",
	FrameAckFrequency:       "an ACK_FREQUENCY frame",
}

// FrameName returns what a person calls a frame of that type: "a CRYPTO frame"; one that no RFC of ours knows has its number.
func FrameName(typ uint64) string {
	if typ >= FrameStream && typ <= FrameStream|streamFin|streamLen|streamOff {
		return "a STREAM frame"
	}
	if name, ok := frameNames[typ]; ok {
		return name
	}
	return fmt.Sprintf("a frame of the unknown type 0x%x", typ)
}
