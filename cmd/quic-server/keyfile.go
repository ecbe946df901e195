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

	"github.com/boringquic/boringquic/cmd/internal/smallfile"
)

// A file of keys holds keys of one size, mostly 32 bytes, one a line, as hexadecimal digits. Empty lines and those that begin with # do not count.
// One that is not there is made, with one key.

// oneKey returns the key of a file that holds just one; what says what it is for.
func oneKey(name, what string) (*[32]byte, error) {
	key, err := soleKey(name, what, 32)
	if err != nil {
		return nil, err
	}
	return (*[32]byte)(key), nil
}

// soleKey is oneKey for a key of size bytes.
func soleKey(name, what string, size int) ([]byte, error) {
	keys, err := readKeys(name, what, size)
	if err == nil && len(keys) > 1 {
		err = fmt.Errorf("no %s: %s holds %d keys, and there can be one", what, name, len(keys))
	}
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}

// keyFile returns the keys of a file, of which there is at least one.
func keyFile(name, what string) (keys [][32]byte, err error) {
	all, err := readKeys(name, what, 32)
	for _, key := range all {
		keys = append(keys, [32]byte(key))
	}
	return keys, err
}

// readKeys is keyFile for keys of size bytes.
func readKeys(name, what string, size int) ([][]byte, error) {
	text, err := smallfile.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKeyFile(name, size); err == nil {
			text, err = smallfile.Read(name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("no %s: %w", what, err)
	}
	var keys [][]byte
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := hex.DecodeString(line)
		if err != nil || len(key) != size {
			return nil, fmt.Errorf("no %s: line %d of %s does not hold %d hexadecimal digits; give a file of keys, or one that is not there: it is made", what, n, name, 2*size)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no %s: %s holds no key; give a file of keys, or one that is not there: it is made", what, name)
	}
	return keys, nil
}

// makeKeyFile writes a new key of size bytes to a file that only its owner may read. A file that has appeared meanwhile stays as it is.
func makeKeyFile(name string, size int) error {
	key := make([]byte, size)
	rand.Read(key)
	f, err := os.CreateTemp(filepath.Dir(name), ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("%s is not there, and cannot be made: %w", name, errors.Unwrap(err)) // whose path is that of the other file
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
