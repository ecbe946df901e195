package http3

import (
	"errors"
	"net"
	"testing"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
)

func TestNameError(t *testing.T) {
	err := nameError(&quic.ApplicationError{Code: 0x107, Remote: true, Reason: "slow down"})
	if want := `http3: connection closed by the peer: H3_EXCESSIVE_LOAD: "slow down"`; err.Error() != want {
		t.Errorf("got %q", err)
	}
	app := (*quic.ApplicationError)(nil)
	if !errors.Is(err, net.ErrClosed) || !errors.As(err, &app) {
		t.Errorf("%v does not unwrap", err)
	}
	err = nameError(&quic.StreamError{StreamID: 4, Code: 0x10c})
	if !errors.Is(err, &StreamError{Stream: 4, Code: h3.ErrCodeRequestCancelled}) {
		t.Errorf("got %v", err)
	}
	if nameError(nil) != nil || nameError(net.ErrClosed) != net.ErrClosed {
		t.Error("an error that is none of the transport's does not stay what it is")
	}
	for code, clean := range map[uint64]bool{0: true, 0x100: true, 0x101: false} {
		if err := nameError(&quic.ApplicationError{Code: code}); isClean(err) != clean {
			t.Errorf("code 0x%x: %v", code, !clean)
		}
	}
}
