package tlsfiles

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
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

// A certificate that is made on the spot has names as DNS has them.
func TestSelfSignedNames(t *testing.T) {
	cfg, err := Server("", "", []string{"bücher.example", "localhost", "_name.example", "::1", ""})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(cfg.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"xn--bcher-kva.example", "localhost", "_name.example"}; !slices.Equal(cert.DNSNames, want) || len(cert.IPAddresses) != 1 {
		t.Errorf("it is for %q and %v", cert.DNSNames, cert.IPAddresses)
	}
	if _, err := Server("", "", []string{"xn--a"}); err == nil || !strings.Contains(err.Error(), "no name of a host") {
		t.Errorf("of no name: %v", err)
	}
}
