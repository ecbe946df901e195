package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// stdoutName and stdinName stand for standard output and input.
const (
	stdoutName   = "-"
	stdinName    = "-"
	stdoutDevice = "/dev/stdout" // opened anew, it would not go on where others have written
)

// target is where an answer is written. Under its final name a file is complete or not there at all.
type target struct {
	io.Writer
	file       *os.File // nil: standard output
	name, part string   // part is empty if the name is that of a device or a pipe
}

// openTarget opens what a job writes to. Of a symbolic link it is what the link leads to. A file that is replaced must be one that may be written; who may
// read it stays as it is.
func openTarget(name string, stdout io.Writer) (*target, error) {
	if name == stdoutName {
		return &target{Writer: stdout}, nil
	}
	t := &target{name: name}
	if real, err := filepath.EvalSymlinks(name); err == nil && !isDevice(name) {
		t.name = real
	}
	f, err := os.OpenFile(t.name, os.O_WRONLY|os.O_APPEND, 0) // a folder fails
	if !isDevice(name) {
		f, err = t.openPart(f, err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", name, err)
	}
	t.file, t.Writer = f, f
	return t, nil
}

// openPart opens a file for what is to stand in the place of the one that was opened, or is not there yet. A device or a pipe stays.
func (t *target) openPart(there *os.File, err error) (*os.File, error) {
	var before fs.FileInfo
	switch {
	case err == nil:
		if before, err = there.Stat(); err != nil || !before.Mode().IsRegular() {
			return there, err
		}
		there.Close()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	t.part = filepath.Join(filepath.Dir(t.name), fmt.Sprintf(".quic-client-%016x.part", rand.Uint64()))
	f, err := os.OpenFile(t.part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err == nil && before != nil {
		f.Chmod(before.Mode().Perm()) // as far as the file system knows of that
	}
	return f, err
}

// isDevice tells whether a name is that of a device, or of what is open already, such as /dev/fd/3: behind that there may be a file like any other.
func isDevice(name string) bool {
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	dir := filepath.Dir(name)
	return dir == "/dev" || dir == "/dev/fd" || strings.HasPrefix(dir, "/proc/")
}

// end closes the target, which gets its name if err is nil and is removed if not. It returns err, or what has failed here.
func (t *target) end(err error) error {
	if t.file == nil {
		return err
	}
	if closeErr := t.file.Close(); err == nil {
		err = closeErr
	}
	if t.part == "" {
		return err
	}
	if err == nil {
		err = os.Rename(t.part, t.name)
	}
	if err != nil {
		os.Remove(t.part)
	}
	return err
}
