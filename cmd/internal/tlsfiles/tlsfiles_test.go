package tlsfiles

import (
	"errors"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/smallfile"
)

// A device, which may have no end, is no certificate.
func TestDevices(t *testing.T) {
	if _, err := Server("/dev/zero", "/dev/zero", nil); !errors.Is(err, smallfile.ErrNoFile) {
		t.Errorf("a server's certificate: %v", err)
	}
	if _, err := Client(false, "/dev/zero"); !errors.Is(err, smallfile.ErrNoFile) {
		t.Errorf("a client's roots: %v", err)
	}
}
