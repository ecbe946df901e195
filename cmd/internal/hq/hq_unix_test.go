//go:build unix

package hq

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A named pipe, which would not open until somebody writes to it, is refused as every other thing that is no file.
func TestNamedPipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &stream{Reader: strings.NewReader("GET /pipe\r\n")}
	if _, _, err := Serve(s, open(t, dir)); err == nil || s.reset != CodeForbidden {
		t.Errorf("reset %d, %v", s.reset, err)
	}
}
