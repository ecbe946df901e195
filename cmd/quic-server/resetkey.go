package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// resetKey reads the key of stateless resets from a file, which is made if it is not there: 64 hexadecimal digits, for its owner
// alone, since whoever has it can end the server's connections (RFC 9000, section 10.3.2).
func resetKey(name string) (*[32]byte, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeResetKey(name); err == nil {
			text, err = os.ReadFile(name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("no key for stateless resets: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("no key for stateless resets: %s does not hold 64 hexadecimal digits; remove it, and a new one is made", name)
	}
	return (*[32]byte)(key), nil
}

// makeResetKey makes a new key. Under its name it is complete or not there at all; if another server was faster, its key stays.
func makeResetKey(name string) error {
	var key [32]byte
	rand.Read(key[:])
	f, err := os.CreateTemp(filepath.Dir(name), ".reset-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintf(f, "%x\n", key)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Link(f.Name(), name)
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return err
}
