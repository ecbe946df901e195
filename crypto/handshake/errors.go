package handshake

import (
	"crypto/tls"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// Alerts of RFC 8446, section 6.
const (
	alertUnexpectedMessage      = 10
	alertBadCertificate         = 42
	alertUnsupportedCertificate = 43
	alertCertificateExpired     = 45
	alertIllegalParameter       = 47
	alertUnknownCA              = 48
	alertDecodeError            = 50
	alertInternalError          = 80
	alertUnrecognizedName       = 112
	alertCertificateRequired    = 116
)

// Types of handshake messages (RFC 8446, section 4).
const (
	messageCertificateRequest = 13
	messageKeyUpdate          = 24
)

// ProtocolError says that the peer broke a rule of QUIC's use of TLS for which the connection error is PROTOCOL_VIOLATION,
// not a TLS alert: bytes that are left over at a level that TLS has left (RFC 9001, section 4.1.3), a legacy_session_id
// (section 8.4), a CertificateRequest after the handshake (section 4.4), a wrong max_early_data_size (section 4.6.1).
type ProtocolError struct {
	Reason string
}

// Error returns the reason.
func (e *ProtocolError) Error() string { return "handshake: " + e.Reason }

// PanicError is the error of a connection that ended because the program's code panicked: a callback of the tls.Config, its
// KeyLogWriter or Time, or a crypto.Signer.
type PanicError struct {
	Value any    // of the panic
	Stack []byte // of the goroutine, as debug.Stack writes it
}

// Error returns the panic's value, without the stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("handshake: the program's code panicked: %v", e.Value)
}

// Unwrap returns the panic's value if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// guard calls f, the program's code, and makes an error of a panic in it.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// guardApart is guard for code that crypto/tls would call: f gets a goroutine of its own, which it may end.
func guardApart(f func() error) error {
	result := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() { result <- err }()
		err = guard(f)
	}()
	return <-result
}

var errGoexit = errors.New("handshake: the program's code ended its goroutine")

// translate makes an error of what BoringSSL says of a failure.
func (c *Conn) translate(r *boring.TLSResult) error {
	switch {
	case r.Why == boring.WhyExcessData && c.readLevel == Initial:
		return &ProtocolError{"bytes beyond the last TLS message in Initial packets"}
	case r.Why == boring.WhySessionID:
		return &ProtocolError{"a ClientHello with a legacy_session_id"}
	case r.Why == boring.WhyEarlyDataSize:
		return &ProtocolError{"a session ticket with a max_early_data_size other than 0xffffffff"}
	case c.client && c.finished && r.LastMessage == messageCertificateRequest:
		return &ProtocolError{"a CertificateRequest after the handshake"}
	}
	return fmt.Errorf("handshake: BoringSSL: %s (%w)", r.Text, tls.AlertError(r.Alert))
}

// failLevel ends the connection because of bytes at a level that TLS does not read at; first is their first one.
func (c *Conn) failLevel(level Level, first byte) {
	if level == Handshake && first == messageKeyUpdate {
		// RFC 9001, section 6: at any level.
		c.fail(alertUnexpectedMessage, fmt.Errorf("handshake: a TLS KeyUpdate message (%w)",
			tls.AlertError(alertUnexpectedMessage)))
		return
	}
	c.fail(alertUnexpectedMessage, &ProtocolError{"TLS bytes at a level that TLS does not read at"})
}
