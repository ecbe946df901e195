package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/smallfile"
)

// What --data gives is held in memory, and bounded: a file without an end is an error.
func TestReadForm(t *testing.T) {
	name := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(name, []byte("b=2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := readForm([]string{"a=1", "@" + name}); err != nil || string(b) != "a=1&b=2" {
		t.Errorf("%q, %v", b, err)
	}
	if err := os.Truncate(name, mostForm+1); err != nil {
		t.Fatal(err)
	}
	if b, err := readForm([]string{"@" + name}); !errors.Is(err, smallfile.ErrTooLarge) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
