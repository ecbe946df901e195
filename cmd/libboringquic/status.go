package main

// #include <stdlib.h>
// #include "internal.h"
import "C"

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"syscall"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
)

// status is what functions return to C: a BQUIC_ERR_* of the header, or ok.
type status int32

const (
	ok             status = C.BQUIC_OK
	errArgument    status = C.BQUIC_ERR_ARGUMENT
	errHandle      status = C.BQUIC_ERR_HANDLE
	errBusy        status = C.BQUIC_ERR_BUSY
	errState       status = C.BQUIC_ERR_STATE
	errForked      status = C.BQUIC_ERR_FORKED
	errBoringSSL   status = C.BQUIC_ERR_BORINGSSL
	errMemory      status = C.BQUIC_ERR_MEMORY
	errInternal    status = C.BQUIC_ERR_INTERNAL
	errConfig      status = C.BQUIC_ERR_CONFIG
	errFile        status = C.BQUIC_ERR_FILE
	errPEM         status = C.BQUIC_ERR_PEM
	errClosed      status = C.BQUIC_ERR_CLOSED
	errStream      status = C.BQUIC_ERR_STREAM
	errDirection   status = C.BQUIC_ERR_DIRECTION
	errLimit       status = C.BQUIC_ERR_LIMIT
	errReset       status = C.BQUIC_ERR_RESET
	errEnded       status = C.BQUIC_ERR_ENDED
	errUnsupported status = C.BQUIC_ERR_UNSUPPORTED
	errTooLarge    status = C.BQUIC_ERR_TOO_LARGE
	errFull        status = C.BQUIC_ERR_FULL
	errMessage     status = C.BQUIC_ERR_MESSAGE
	errPath        status = C.BQUIC_ERR_PATH
	errTimeout     status = C.BQUIC_ERR_TIMEOUT
	errNetwork     status = C.BQUIC_ERR_NETWORK
)

// mapping is which errors of Go stand for a status.
type mapping struct {
	status status
	is     func(error) bool
}

func sentinel(s status, targets ...error) mapping {
	return mapping{s, func(err error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}}
}

func typed[E error](s status) mapping {
	return mapping{s, func(err error) bool {
		var e E
		return errors.As(err, &e)
	}}
}

// statusMap is asked from its begin: what is more special comes first.
var statusMap = []mapping{
	sentinel(errStream, quic.ErrUnknownStream, h3.ErrUnknownStream),
	sentinel(errDirection, quic.ErrStreamDirection),
	sentinel(errLimit, quic.ErrStreamLimit, h3.ErrStreamLimit),
	sentinel(errEnded, quic.ErrStreamEnded),
	sentinel(errFull, quic.ErrDatagramQueueFull, h3.ErrControlBacklog, h3.ErrInterimBacklog),
	sentinel(errUnsupported, quic.ErrDatagramUnsupported, quic.ErrDatagramsOff, h3.ErrConnectNotEnabled, h3.ErrDatagramsNotEnabled),
	sentinel(errTooLarge, h3.ErrFieldSectionTooLarge, h3.ErrTooLarge),
	sentinel(errPath, quic.ErrNotConfirmed, quic.ErrMigrationDisabled, quic.ErrNoConnIDs, quic.ErrNoOtherPath, quic.ErrTooManyPaths),
	sentinel(errMessage, h3.ErrContentLength, h3.ErrMessageOrder),
	typed[*h3.MessageError](errMessage),
	typed[*quic.DatagramTooLargeError](errTooLarge),
	typed[*quic.StreamError](errReset),
	typed[*h3.StreamError](errReset),
	typed[*quic.TransportError](errClosed),
	typed[*quic.ApplicationError](errClosed),
	typed[*quic.IdleTimeoutError](errClosed),
	typed[*quic.VersionNegotiationError](errClosed),
	typed[*quic.StatelessResetError](errClosed),
	typed[*fs.PathError](errFile),
	sentinel(errTimeout, context.DeadlineExceeded),
	sentinel(errClosed, net.ErrClosed),
	typed[*net.OpError](errNetwork),
	typed[*net.DNSError](errNetwork),
	typed[*net.AddrError](errNetwork),
	typed[syscall.Errno](errNetwork),
}

// setErrorText has bquic_error return text on this thread.
func setErrorText(text string) {
	b := unsafe.StringData(text)
	C.bq_set_error((*C.char)(unsafe.Pointer(b)), C.size_t(len(text)))
}
