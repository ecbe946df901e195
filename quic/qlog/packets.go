package qlog

import "time"

// PacketType is the type of a packet.
type PacketType string

// The packet types.
const (
	Initial            PacketType = "initial"
	Handshake          PacketType = "handshake"
	ZeroRTT            PacketType = "0RTT"
	OneRTT             PacketType = "1RTT"
	Retry              PacketType = "retry"
	VersionNegotiation PacketType = "version_negotiation"
	Unknown            PacketType = "unknown"
)

// PacketHeader is what is known of a packet's header.
type PacketHeader struct {
	Type         PacketType
	Number       int64  // -1: not known
	KeyPhase     uint64 // of OneRTT: how often keys were updated before
	Version      uint32 // of long headers; 0: not known
	SrcID, DstID []byte // nil: not written
}

func (h *PacketHeader) write(e *encoder) {
	e.open("header")
	e.text("packet_type", string(h.Type))
	if h.Number >= 0 {
		if h.Type == OneRTT {
			e.uint("key_phase", h.KeyPhase)
		}
		e.uint("packet_number", uint64(h.Number))
	}
	if h.Version != 0 {
		e.version("version", h.Version)
	}
	if h.SrcID != nil {
		e.uint("scil", uint64(len(h.SrcID)))
		e.hex("scid", h.SrcID)
	}
	if h.DstID != nil {
		e.uint("dcil", uint64(len(h.DstID)))
		e.hex("dcid", h.DstID)
	}
	e.close()
}

// raw writes a RawInfo with a length.
func (e *encoder) raw(length, payload int) {
	e.open("raw")
	e.uint("length", uint64(length))
	e.some("payload_length", uint64(payload))
	e.close()
}

// PacketSent: a packet is about to leave.
type PacketSent struct {
	Header        PacketHeader
	Length        int // bytes, tag included
	Payload       int // bytes of its frames
	Frames        []Frame
	MTUProbe, PTO bool // it finds out the size of datagrams; a probe timeout has it be sent
}

func (*PacketSent) name() string { return "quic:packet_sent" }

func (ev *PacketSent) fields(e *encoder) {
	ev.Header.write(e)
	e.frames(ev.Frames)
	e.raw(ev.Length, ev.Payload)
	if ev.MTUProbe {
		e.bool("is_mtu_probe_packet", true)
	}
	if ev.PTO {
		e.text("trigger", "pto_probe")
	}
}

// PacketReceived: a packet has come that was authentic and new.
type PacketReceived struct {
	Header   PacketHeader
	Length   int // bytes, tag included
	Payload  int // bytes of its frames
	Frames   []Frame
	Buffered bool // it had to wait for its keys
}

func (*PacketReceived) name() string { return "quic:packet_received" }

func (ev *PacketReceived) fields(e *encoder) {
	ev.Header.write(e)
	if ev.Header.Type != Retry && ev.Header.Type != VersionNegotiation {
		e.frames(ev.Frames)
	}
	e.raw(ev.Length, ev.Payload)
	if ev.Buffered {
		e.text("trigger", "keys_available")
	}
}

// DropTrigger says why a packet was dropped.
type DropTrigger string

// The triggers of PacketDropped.
const (
	DropInvalid        DropTrigger = "invalid"            // no packet, or one that may not stand there
	DropDuplicate      DropTrigger = "duplicate"          // a packet number that was there before
	DropUndecryptable  DropTrigger = "decryption_failure" // it does not open
	DropKeyUnavailable DropTrigger = "key_unavailable"    // its keys are gone, or never were
	DropRejected       DropTrigger = "rejected"           // authentic, and not wanted
	DropUnknown        DropTrigger = "connection_unknown" // to a connection ID that is not this connection's
)

// PacketDropped: a packet was of no use.
type PacketDropped struct {
	Header  PacketHeader
	Length  int // bytes
	Trigger DropTrigger
}

func (*PacketDropped) name() string { return "quic:packet_dropped" }

func (ev *PacketDropped) fields(e *encoder) {
	ev.Header.write(e)
	e.raw(ev.Length, 0)
	e.text("trigger", string(ev.Trigger))
}

// LossTrigger says which threshold of loss detection a packet has passed (RFC 9002, section 6.1).
type LossTrigger string

// The triggers of PacketLost.
const (
	LostByReordering LossTrigger = "reordering_threshold"
	LostByTime       LossTrigger = "time_threshold"
)

// PacketLost: a packet is taken for lost.
type PacketLost struct {
	Header   PacketHeader
	MTUProbe bool
	Trigger  LossTrigger // empty: neither threshold
}

func (*PacketLost) name() string { return "quic:packet_lost" }

func (ev *PacketLost) fields(e *encoder) {
	ev.Header.write(e)
	if ev.MTUProbe {
		e.bool("is_mtu_probe_packet", true)
	}
	e.optional("trigger", string(ev.Trigger))
}

// FrameKind is the kind of a frame, as qlog names it.
type FrameKind string

// The frames.
const (
	Padding            FrameKind = "padding"
	Ping               FrameKind = "ping"
	Ack                FrameKind = "ack"
	ResetStream        FrameKind = "reset_stream"
	StopSending        FrameKind = "stop_sending"
	Crypto             FrameKind = "crypto"
	NewToken           FrameKind = "new_token"
	Stream             FrameKind = "stream"
	MaxData            FrameKind = "max_data"
	MaxStreamData      FrameKind = "max_stream_data"
	MaxStreams         FrameKind = "max_streams"
	DataBlocked        FrameKind = "data_blocked"
	StreamDataBlocked  FrameKind = "stream_data_blocked"
	StreamsBlocked     FrameKind = "streams_blocked"
	NewConnectionID    FrameKind = "new_connection_id"
	RetireConnectionID FrameKind = "retire_connection_id"
	PathChallenge      FrameKind = "path_challenge"
	PathResponse       FrameKind = "path_response"
	ConnectionClose    FrameKind = "connection_close"
	HandshakeDone      FrameKind = "handshake_done"
	Datagram           FrameKind = "datagram"
	UnknownFrame       FrameKind = "unknown" // Type tells, of extensions too
)

// Range is a range of packet numbers, both of which are in it.
type Range struct{ Low, High uint64 }

// Frame is a frame. Which fields mean something its Kind says.
type Frame struct {
	Kind     FrameKind
	Type     uint64 // UnknownFrame: the frame type; ConnectionClose of the transport: that of the frame that brought it
	StreamID uint64
	Offset   uint64 // Stream, Crypto
	Limit    uint64 // of MaxData and the like; the final size of ResetStream
	Seq      uint64 // NewConnectionID and RetireConnectionID
	Prior    uint64 // NewConnectionID: Retire Prior To
	Length   int    // bytes of data, or of the whole frame for Padding and UnknownFrame
	Fin      bool
	Uni      bool   // MaxStreams and StreamsBlocked: of unidirectional streams
	Error    Error  // ResetStream, StopSending and ConnectionClose
	Text     string // ConnectionClose: the reason
	Bytes    []byte // NewConnectionID: the connection ID; of PathChallenge and PathResponse: the data

	AckDelay        time.Duration
	Ranges          []Range // Ack: descending
	HasECN          bool
	ECT0, ECT1, ECN uint64 // Ack: counts; ECN is that of CE
}

// frames writes the frames of a packet, MaxFrames of them at most.
func (e *encoder) frames(all []Frame) {
	e.list("frames")
	for i := range all {
		if i == MaxFrames {
			break
		}
		e.open("")
		e.text("frame_type", string(all[i].Kind))
		all[i].fields(e)
		e.close()
	}
	e.endList()
}

func streamType(uni bool) string {
	if uni {
		return "unidirectional"
	}
	return "bidirectional"
}

// fields writes what a frame has beside its type.
func (f *Frame) fields(e *encoder) {
	switch f.Kind {
	case Ack:
		f.ack(e)
	case ResetStream:
		e.uint("stream_id", f.StreamID)
		e.error("error", f.Error)
		e.uint("final_size", f.Limit)
	case StopSending:
		e.uint("stream_id", f.StreamID)
		e.error("error", f.Error)
	case Crypto:
		e.uint("offset", f.Offset)
		e.payload(f.Length)
	case NewToken:
		e.open("token")
		e.text("type", "resumption")
		e.raw(f.Length, 0)
		e.close()
	case Stream:
		e.uint("stream_id", f.StreamID)
		e.uint("offset", f.Offset)
		if f.Fin {
			e.bool("fin", true)
		}
		e.payload(f.Length)
	case MaxData:
		e.uint("maximum", f.Limit)
	case MaxStreamData:
		e.uint("stream_id", f.StreamID)
		e.uint("maximum", f.Limit)
	case MaxStreams:
		e.text("stream_type", streamType(f.Uni))
		e.uint("maximum", f.Limit)
	case DataBlocked:
		e.uint("limit", f.Limit)
	case StreamDataBlocked:
		e.uint("stream_id", f.StreamID)
		e.uint("limit", f.Limit)
	case StreamsBlocked:
		e.text("stream_type", streamType(f.Uni))
		e.uint("limit", f.Limit)
	case NewConnectionID:
		e.uint("sequence_number", f.Seq)
		e.uint("retire_prior_to", f.Prior)
		e.hex("connection_id", f.Bytes)
	case RetireConnectionID:
		e.uint("sequence_number", f.Seq)
	case PathChallenge, PathResponse:
		e.hex("data", f.Bytes)
	case ConnectionClose:
		f.close(e)
	case Datagram:
		e.payload(f.Length)
	case Padding:
		e.raw(f.Length, 0)
	case UnknownFrame:
		e.uint("frame_type_bytes", f.Type)
		e.raw(f.Length, 0)
	}
}

// payload writes a RawInfo of which the payload alone is told.
func (e *encoder) payload(length int) {
	e.open("raw")
	e.uint("payload_length", uint64(length))
	e.close()
}

func (f *Frame) ack(e *encoder) {
	e.ms("ack_delay", f.AckDelay)
	if len(f.Ranges) > 0 {
		e.list("acked_ranges")
		for i, r := range f.Ranges {
			if i == MaxRanges {
				break
			}
			e.next()
			e.b = append(e.b, '[')
			e.number(r.Low)
			if r.High != r.Low {
				e.number(r.High)
			}
			e.b = append(e.b, ']')
		}
		e.endList()
	}
	if f.HasECN {
		e.uint("ect1", f.ECT1)
		e.uint("ect0", f.ECT0)
		e.uint("ce", f.ECN)
	}
}

func (f *Frame) close(e *encoder) {
	space := "transport"
	if f.Error.App {
		space = "application"
	}
	e.text("error_space", space)
	e.error("error", f.Error)
	e.optional("reason", f.Text)
	if !f.Error.App && f.Type != 0 {
		e.uint("trigger_frame_type", f.Type)
	}
}
