package wire

// The types of frame (RFC 9000, section 12.4; RFC 9221, section 4; draft-ietf-quic-ack-frequency-12, section 11.2). All but
// FrameAckFrequency are one byte long.
const (
	FramePadding            = 0x00
	FramePing               = 0x01
	FrameAck                = 0x02
	FrameAckECN             = 0x03
	FrameResetStream        = 0x04
	FrameStopSending        = 0x05
	FrameCrypto             = 0x06
	FrameNewToken           = 0x07
	FrameStream             = 0x08 // to 0x0f: the three low bits are flags
	FrameMaxData            = 0x10
	FrameMaxStreamData      = 0x11
	FrameMaxStreamsBidi     = 0x12
	FrameMaxStreamsUni      = 0x13
	FrameDataBlocked        = 0x14
	FrameStreamDataBlocked  = 0x15
	FrameStreamsBlockedBidi = 0x16
	FrameStreamsBlockedUni  = 0x17
	FrameNewConnectionID    = 0x18
	FrameRetireConnectionID = 0x19
	FramePathChallenge      = 0x1a
	FramePathResponse       = 0x1b
	FrameConnectionClose    = 0x1c
	FrameConnectionCloseApp = 0x1d
	FrameHandshakeDone      = 0x1e
	FrameImmediateAck       = 0x1f
	FrameDatagram           = 0x30 // and 0x31, with a length
	FrameAckFrequency       = 0xaf
)

// The flags in a STREAM frame's type (RFC 9000, section 19.8).
const (
	streamFin = 0x01
	streamLen = 0x02
	streamOff = 0x04
)

// datagramLen is the flag in a DATAGRAM frame's type that says a length follows.
const datagramLen = 0x01

// ECNCounts are the counts of packets received with each ECN mark (RFC 9000, section 19.3.2).
type ECNCounts struct {
	ECT0, ECT1, CE uint64
}

// Ack is an ACK frame but for its ranges.
type Ack struct {
	Largest  int64  // the largest packet number acknowledged
	DelayRaw uint64 // the delay in units of 2^ack_delay_exponent microseconds
	HasECN   bool
	ECN      ECNCounts
}

// AckFrequency is an ACK_FREQUENCY frame (draft-ietf-quic-ack-frequency-12, section 4).
type AckFrequency struct {
	Seq        uint64 // a frame with a smaller or the same one is obsolete
	Threshold  uint64 // ack-eliciting packets that may be received without an acknowledgement
	MaxDelay   uint64 // microseconds
	Reordering uint64 // by how many packets one may be late before that is told at once; 0: it never is
}

// ConnectionClose is a CONNECTION_CLOSE frame (RFC 9000, section 19.19).
type ConnectionClose struct {
	App       bool // type 0x1d: Code is the application's, and FrameType is absent
	Code      uint64
	FrameType uint64
	Reason    []byte
}

// ConsumeFrameType parses a frame's type; it may be of any length and value.
func ConsumeFrameType(b []byte) (typ uint64, n int) { return ConsumeVarint(b) }
