package trace

import (
	"encoding/binary"
	"fmt"
)

// Frame is a frame of a packet (RFC 9000, section 19), as far as checks look at it.
type Frame struct {
	Type uint64
	ID   uint64 // of a stream, or the sequence number of NEW_CONNECTION_ID and RETIRE_CONNECTION_ID
	Off  uint64 // CRYPTO, STREAM
	Data []byte // CRYPTO, STREAM, DATAGRAM; PATH_CHALLENGE, PATH_RESPONSE; the connection ID of NEW_CONNECTION_ID; NEW_TOKEN
}

// The types that checks look for.
const (
	FrameAck            = 0x02
	FrameAckECN         = 0x03
	FrameCrypto         = 0x06
	FrameNewToken       = 0x07
	FrameStream         = 0x08 // to 0x0f
	FrameNewConnID      = 0x18
	FramePathChallenge  = 0x1a
	FramePathResponse   = 0x1b
	FrameClose          = 0x1c
	FrameCloseApp       = 0x1d
	FrameHandshakeDone  = 0x1e
	frameDatagram       = 0x30
	frameAckFrequency   = 0xaf
	frameImmediateAck   = 0x1f
	frameResetStream    = 0x04
	frameStopSending    = 0x05
	frameMaxData        = 0x10
	frameMaxStreamData  = 0x11
	frameStreamsBlocked = 0x17
	frameRetireConnID   = 0x19
)

// reader reads the front of b; bad says that there was too little.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n uint64) []byte {
	if uint64(len(r.b)) < n {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uint(n uint64) (v uint64) {
	for _, c := range r.bytes(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *reader) varint() uint64 {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	n := uint64(1) << (r.b[0] >> 6)
	return r.uint(n) &^ (3 << (8*n - 2))
}

func (r *reader) skip(varints int) {
	for range varints {
		r.varint()
	}
}

// parseFrames takes the plaintext of a packet apart.
func parseFrames(b []byte) (frames []Frame, err error) {
	r := &reader{b: b}
	for len(r.b) > 0 {
		f := Frame{Type: r.varint()}
		switch t := f.Type; {
		case t == 0:
			continue
		case t == 0x01 || t == FrameHandshakeDone || t == frameImmediateAck:
		case t == FrameAck || t == FrameAckECN:
			r.skip(2)
			for n := r.varint()*2 + 1; n > 0 && !r.bad; n-- {
				r.varint()
			}
			if t == FrameAckECN {
				r.skip(3)
			}
		case t == frameResetStream:
			r.skip(3)
		case t == frameStopSending || t == frameMaxStreamData || t == 0x15:
			r.skip(2)
		case t == FrameCrypto:
			f.Off = r.varint()
			f.Data = r.bytes(r.varint())
		case t == FrameNewToken:
			f.Data = r.bytes(r.varint())
		case t >= FrameStream && t < frameMaxData:
			f.ID = r.varint()
			if t&4 != 0 {
				f.Off = r.varint()
			}
			n := uint64(len(r.b))
			if t&2 != 0 {
				n = r.varint()
			}
			f.Data = r.bytes(n)
		case t >= frameMaxData && t <= frameStreamsBlocked:
			r.varint()
		case t == FrameNewConnID:
			f.ID = r.varint()
			r.varint()
			f.Data = r.bytes(r.uint(1))
			r.bytes(16)
		case t == frameRetireConnID:
			f.ID = r.varint()
		case t == FramePathChallenge || t == FramePathResponse:
			f.Data = r.bytes(8)
		case t == FrameClose || t == FrameCloseApp:
			f.ID = r.varint()
			if t == FrameClose {
				r.varint()
			}
			f.Data = r.bytes(r.varint())
		case t == frameDatagram:
			f.Data = r.bytes(uint64(len(r.b)))
		case t == frameDatagram+1:
			f.Data = r.bytes(r.varint())
		case t == frameAckFrequency:
			r.skip(4)
		default:
			return frames, fmt.Errorf("frame of type %#x", t)
		}
		if r.bad {
			return frames, fmt.Errorf("frame of type %#x is cut short", f.Type)
		}
		frames = append(frames, f)
	}
	return frames, nil
}

// assembler puts a crypto stream together.
type assembler struct {
	b   []byte
	gap map[uint64][]byte
}

func (a *assembler) add(off uint64, data []byte) {
	if a.gap == nil {
		a.gap = make(map[uint64][]byte)
	}
	if len(data) > len(a.gap[off]) {
		a.gap[off] = data
	}
	for again := true; again; {
		again = false
		for off, data := range a.gap {
			end := off + uint64(len(data))
			if off > uint64(len(a.b)) {
				continue
			}
			if end > uint64(len(a.b)) {
				a.b = append(a.b, data[uint64(len(a.b))-off:]...)
			}
			delete(a.gap, off)
			again = true
		}
	}
}

// Message is a TLS handshake message (RFC 8446, section 4).
type Message struct {
	Type byte
	Body []byte
}

// The types of message that checks look for.
const (
	ClientHello         = 1
	ServerHello         = 2
	NewSessionTicket    = 4
	EncryptedExtensions = 8
	Certificate         = 11
)

func (a *assembler) messages() (ms []Message) {
	b := a.b
	for len(b) >= 4 {
		n := int(binary.BigEndian.Uint32(b) & 0xffffff)
		if len(b) < 4+n {
			break
		}
		ms = append(ms, Message{b[0], b[4 : 4+n]})
		b = b[4+n:]
	}
	return ms
}
