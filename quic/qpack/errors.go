package qpack

import (
	"errors"
	"fmt"
)

// The error codes of RFC 9204, section 6.
const (
	DecompressionFailed uint64 = 0x0200 // a field section that cannot be decoded
	EncoderStreamError  uint64 = 0x0201 // an instruction of the peer's encoder stream that cannot be followed
	DecoderStreamError  uint64 = 0x0202 // an instruction of the peer's decoder stream, or a setting, that cannot be followed
)

// Error is a fault of the peer that ends the connection with Code (RFC 9204, section 6). The Encoder or Decoder that returned it
// returns it again from then on.
type Error struct {
	Code uint64 // one of DecompressionFailed, EncoderStreamError, DecoderStreamError
	Text string // what was wrong, in words
}

// Error returns the name of the code and the text.
func (e *Error) Error() string {
	name := "QPACK_DECOMPRESSION_FAILED"
	switch e.Code {
	case EncoderStreamError:
		name = "QPACK_ENCODER_STREAM_ERROR"
	case DecoderStreamError:
		name = "QPACK_DECODER_STREAM_ERROR"
	}
	return "qpack: " + name + ": " + e.Text
}

func fault(code uint64, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Errors of Decoder.Decode that are no fault of the connection.
var (
	// ErrBlocked tells that the section needs entries that have not arrived. It is to be decoded again when NextUnblocked
	// names its stream (RFC 9204, section 2.2.1).
	ErrBlocked = errors.New("qpack: the field section needs table entries that have not arrived")

	// ErrTooLarge tells that the section's decoded size passed the limit. Decoding has stopped there; the connection lives on.
	ErrTooLarge = errors.New("qpack: the field section is larger than the limit")

	// ErrBacklog tells that the peer does not take what our decoder stream has for it. The section is to be decoded when Sent
	// has made room (RFC 9204, section 7.3).
	ErrBacklog = errors.New("qpack: too many decoder instructions wait to be sent")
)
