package quic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// What people read of errors is sentences, with the names of things.
func TestErrorTexts(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&TransportError{Code: CryptoErrorBase + 120, Remote: true, FrameType: wire.FrameCrypto},
			"quic: connection closed by the peer: CRYPTO_ERROR(alert 120, no application protocol), for a CRYPTO frame"},
		{&TransportError{Code: CryptoErrorBase + 200}, "quic: connection closed by this side: CRYPTO_ERROR(alert 200)"},
		{&TransportError{Code: StreamLimitError, FrameType: wire.FrameStream | 7, Reason: "more"},
			`quic: connection closed by this side: STREAM_LIMIT_ERROR, for a STREAM frame: "more"`},
		{&TransportError{Code: FrameEncodingError, FrameType: 0x4711},
			"quic: connection closed by this side: FRAME_ENCODING_ERROR, for a frame of the unknown type 0x4711"},
		{&TransportError{Code: 0x77, Remote: true, Cause: io.EOF}, "quic: connection closed by the peer: error 0x77: EOF"},
		{&ApplicationError{Code: 42, Remote: true, Reason: "enough"},
			`quic: connection closed by the peer's application: code 0x2a: "enough"`},
		{&ApplicationError{}, "quic: connection closed by this side's application: code 0x0"},
		{&StreamError{StreamID: 4, Code: 1, Remote: true}, "quic: stream 4 ended early by the peer: code 0x1"},
		{&DatagramTooLargeError{Size: 2000, Max: 1170}, "quic: a datagram of 2000 bytes is too large: at most 1170 can be sent"},
		{&VersionNegotiationError{[]uint32{0xfa2aba1a, 1, Version2}}, "quic: the server speaks none of our versions, only 0x00000001, 0x6b3343cf"},
		{&VersionNegotiationError{[]uint32{0xfa2aba1a}}, "quic: the server speaks none of our versions, and names none that it speaks"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%#v says\n%s, not\n%s", c.err, got, c.want)
		}
	}
	for typ, rule := range frameRules {
		if name := wire.FrameName(uint64(typ)); rule != 0 && strings.Contains(name, "0x") {
			t.Errorf("people would read %q", name)
		}
	}
}

func TestErrorsMatch(t *testing.T) {
	alert := tls.AlertError(0)
	for _, err := range []error{
		&TransportError{Code: CryptoErrorBase + 42, Remote: true},
		fmt.Errorf("dial: %w", &TransportError{Code: CryptoErrorBase + 42, Cause: errors.New("bad certificate")}),
	} {
		if !errors.As(err, &alert) || alert != 42 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("errors.As finds alert %d, not 42, in %v", alert, err)
		}
	}
	for _, code := range []TransportErrorCode{InternalError, CryptoErrorBase - 1, CryptoErrorBase + 0x100} {
		if err := error(&TransportError{Code: code}); errors.As(err, &alert) {
			t.Errorf("errors.As finds an alert in %v", err)
		}
	}
	if !errors.Is(ErrStreamEnded, io.ErrClosedPipe) {
		t.Error("ErrStreamEnded is not io.ErrClosedPipe")
	}
}

func TestIsCleanClose(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{io.EOF, false},
		{net.ErrClosed, false},
		{ErrStreamEnded, false},
		{&ApplicationError{}, true},
		{fmt.Errorf("accept stream: %w", &ApplicationError{Remote: true}), true},
		{&ApplicationError{Code: 1}, false},
		{&TransportError{Remote: true}, true},
		{&TransportError{Code: InternalError}, false},
		{&TransportError{Code: InternalError, Cause: &ApplicationError{Code: 1}}, false},
		{&StreamError{}, false},
		{&IdleTimeoutError{}, false},
		{&StatelessResetError{}, false},
		{&VersionNegotiationError{}, false},
	} {
		if IsCleanClose(c.err) != c.want {
			t.Errorf("IsCleanClose(%v) is %v", c.err, !c.want)
		}
	}
}
