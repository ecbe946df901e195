package main

// #include "quiche_internal.h"
import "C"

import (
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
)

// quicheError is a QUICHE_ERR_*, or a QUICHE_H3_ERR_*. Only DONE is an error by itself: others come with a cause, as a quicheFault.
type quicheError int

func (e quicheError) Error() string { return "there is nothing now" }

const (
	quicheDone         quicheError = C.QUICHE_ERR_DONE
	quicheShort        quicheError = C.QUICHE_ERR_BUFFER_TOO_SHORT
	quicheVersion      quicheError = C.QUICHE_ERR_UNKNOWN_VERSION
	quicheFrame        quicheError = C.QUICHE_ERR_INVALID_FRAME
	quichePacket       quicheError = C.QUICHE_ERR_INVALID_PACKET
	quicheState        quicheError = C.QUICHE_ERR_INVALID_STATE
	quicheStreamState  quicheError = C.QUICHE_ERR_INVALID_STREAM_STATE
	quicheParams       quicheError = C.QUICHE_ERR_INVALID_TRANSPORT_PARAM
	quicheCrypto       quicheError = C.QUICHE_ERR_CRYPTO_FAIL
	quicheTLS          quicheError = C.QUICHE_ERR_TLS_FAIL
	quicheFlowControl  quicheError = C.QUICHE_ERR_FLOW_CONTROL
	quicheStreamLimit  quicheError = C.QUICHE_ERR_STREAM_LIMIT
	quicheFinalSize    quicheError = C.QUICHE_ERR_FINAL_SIZE
	quicheCongestion   quicheError = C.QUICHE_ERR_CONGESTION_CONTROL
	quicheStopped      quicheError = C.QUICHE_ERR_STREAM_STOPPED
	quicheReset        quicheError = C.QUICHE_ERR_STREAM_RESET
	quicheIDLimit      quicheError = C.QUICHE_ERR_ID_LIMIT
	quicheIDs          quicheError = C.QUICHE_ERR_OUT_OF_IDENTIFIERS
	quicheKeyUpdate    quicheError = C.QUICHE_ERR_KEY_UPDATE
	quicheCryptoBuffer quicheError = C.QUICHE_ERR_CRYPTO_BUFFER_EXCEEDED
	quicheTransport                = -1000 // what is added to an error of QUIC where it is one of HTTP/3
)

// quicheFault is a quicheError with its cause.
type quicheFault struct {
	code  quicheError
	cause error
}

func (e *quicheFault) Error() string { return e.cause.Error() }
func (e *quicheFault) Unwrap() error { return e.cause }

func quichefault(code quicheError, format string, args ...any) error {
	return &quicheFault{code, fmt.Errorf(format, args...)}
}

// quicheMap is what errors of the core are in quiche.h, the special ones first.
var quicheMap = []struct {
	code quicheError
	is   error
}{
	{quicheStreamState, quic.ErrUnknownStream}, {quicheStreamState, quic.ErrStreamDirection}, {quicheFinalSize, quic.ErrStreamEnded},
	{quicheStreamLimit, quic.ErrStreamLimit}, {quicheStreamLimit, quic.ErrStreamsSkipped}, {quicheDone, quic.ErrDatagramQueueFull},
	{quicheIDLimit, quic.ErrConnIDLimit}, {quicheIDs, quic.ErrNoConnIDs},
}

// quicheCode returns what an error of the core is in quiche.h.
func quicheCode(err error) quicheError {
	var own quicheError
	var fault *quicheFault
	var stream *quic.StreamError
	var transport *quic.TransportError
	var version *quic.VersionNegotiationError
	var large *quic.DatagramTooLargeError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &fault):
		return fault.code
	case errors.As(err, &stream):
		return quicheReset
	case errors.As(err, &transport):
		return quicheTransportCode(transport.Code)
	case errors.As(err, &version):
		return quicheVersion
	case errors.As(err, &large):
		return quicheShort
	}
	for _, m := range quicheMap {
		if errors.Is(err, m.is) {
			return m.code
		}
	}
	return quicheState
}

// quicheTransportCode returns which error of quiche.h closes a connection with a code.
func quicheTransportCode(code quic.TransportErrorCode) quicheError {
	switch code {
	case quic.FlowControlError:
		return quicheFlowControl
	case quic.StreamLimitError:
		return quicheStreamLimit
	case quic.StreamStateError:
		return quicheStreamState
	case quic.FinalSizeError:
		return quicheFinalSize
	case quic.FrameEncodingError:
		return quicheFrame
	case quic.TransportParameterError:
		return quicheParams
	case quic.ConnectionIDLimitError:
		return quicheIDLimit
	case quic.ProtocolViolation:
		return quichePacket
	case quic.CryptoBufferExceeded:
		return quicheCryptoBuffer
	case quic.KeyUpdateError:
		return quicheKeyUpdate
	case quic.AEADLimitReached:
		return quicheCrypto
	}
	if code >= quic.CryptoErrorBase && code < quic.CryptoErrorBase+0x100 {
		return quicheTLS
	}
	return quicheState
}

// The errors of quiche.h that HTTP/3 has of its own.
const (
	quicheH3Internal   quicheError = C.QUICHE_H3_ERR_INTERNAL_ERROR
	quicheH3Unexpected quicheError = C.QUICHE_H3_ERR_FRAME_UNEXPECTED
	quicheH3Blocked    quicheError = C.QUICHE_H3_ERR_STREAM_BLOCKED
	quicheH3Rejected   quicheError = C.QUICHE_H3_ERR_REQUEST_REJECTED
	quicheH3Message    quicheError = C.QUICHE_H3_ERR_MESSAGE_ERROR
)

var quicheH3Map = []struct {
	code quicheError
	is   error
}{
	{quicheTransport + quicheStreamLimit, h3.ErrStreamLimit}, {quicheH3Rejected, h3.ErrGoingAway}, {C.QUICHE_H3_ERR_EXCESSIVE_LOAD, h3.ErrFieldSectionTooLarge},
	{C.QUICHE_H3_ERR_SETTINGS_ERROR, h3.ErrConnectNotEnabled}, {quicheTransport + quicheStreamState, h3.ErrUnknownStream}, {quicheH3Message, h3.ErrContentLength},
	{quicheH3Unexpected, h3.ErrMessageOrder}, {quicheH3Blocked, h3.ErrInterimBacklog}, {quicheH3Blocked, h3.ErrControlBacklog}, {quicheH3Internal, h3.ErrRole},
}

// quicheH3Code returns what an error of the core or of HTTP/3 is in the functions quiche_h3_*.
func quicheH3Code(err error) quicheError {
	var own quicheError
	var fault *quicheFault
	var message *h3.MessageError
	var stream *h3.StreamError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &fault):
		return fault.code
	case errors.As(err, &message):
		return quicheH3Message
	}
	for _, m := range quicheH3Map { // some are the cause of a stream's end
		if errors.Is(err, m.is) {
			return m.code
		}
	}
	if errors.As(err, &stream) {
		return quicheTransport + quicheReset
	}
	return quicheTransport + quicheCode(err)
}

// quicheH3Fatal returns what the end of a connection is that HTTP/3 has brought about; done if it was something else.
func quicheH3Fatal(code uint64) quicheError {
	switch h3.ErrorCode(code) {
	case h3.ErrCodeGeneralProtocol, h3.ErrCodeInternal:
		return quicheH3Internal
	case h3.ErrCodeStreamCreation:
		return C.QUICHE_H3_ERR_STREAM_CREATION_ERROR
	case h3.ErrCodeClosedCriticalStream:
		return C.QUICHE_H3_ERR_CLOSED_CRITICAL_STREAM
	case h3.ErrCodeFrameUnexpected:
		return quicheH3Unexpected
	case h3.ErrCodeFrame:
		return C.QUICHE_H3_ERR_FRAME_ERROR
	case h3.ErrCodeExcessiveLoad:
		return C.QUICHE_H3_ERR_EXCESSIVE_LOAD
	case h3.ErrCodeID:
		return C.QUICHE_H3_ERR_ID_ERROR
	case h3.ErrCodeSettings:
		return C.QUICHE_H3_ERR_SETTINGS_ERROR
	case h3.ErrCodeMissingSettings:
		return C.QUICHE_H3_ERR_MISSING_SETTINGS
	case h3.ErrCodeDecompressionFailed, h3.ErrCodeEncoderStream, h3.ErrCodeDecoderStream:
		return C.QUICHE_H3_ERR_QPACK_DECOMPRESSION_FAILED
	}
	return quicheDone
}
