package handshake_test

import (
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// The system's roots that could not be read are read again. A process does so for the first time once, so that there is one for it.
func TestRootsReadAgain(t *testing.T) {
	if file := os.Getenv("BORINGQUIC_TEST_ROOTS"); file != "" {
		rootsReadAgain(t, file)
		return
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "roots.pem")
	cmd := exec.Command(os.Args[0], "-test.run=^TestRootsReadAgain$")
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+file, "SSL_CERT_DIR="+filepath.Join(dir, "none"), "BORINGQUIC_TEST_ROOTS="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// rootsReadAgain has the roots be in a file that is a folder at first.
func rootsReadAgain(t *testing.T, file string) {
	server := issue(t, ecdsaKey(t, elliptic.P256()), nil, nil)
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	var unread x509.SystemRootsError
	if _, err := handshake.Verify(server.cert, x509.VerifyOptions{}); !errors.As(err, &unread) {
		t.Errorf("with a folder in place of roots: %v", err)
	}
	ctx := newContext(t, true)
	client, serves := clientConfig(), serverConfig()
	client.RootCAs, serves.Certificates = nil, []tls.Certificate{server.tls}
	if peerCert(t, ctx, client, serves) != nil {
		t.Error("a handshake succeeds without roots")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.cert.Raw})
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := handshake.Verify(server.cert, x509.VerifyOptions{}); err != nil {
		t.Errorf("with roots: %v", err)
	}
	if peerCert(t, ctx, client, serves) == nil {
		t.Error("the handshake fails, though there are roots now")
	}
}
