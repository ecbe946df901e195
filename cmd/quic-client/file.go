package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// stdoutName and stdinName stand for standard output and input.
const (
	stdoutName = "-"
	stdinName  = "-"
)

// target is where an answer is written. Under its final name a file is complete or not there at all.
type target struct {
	io.Writer
	file       *os.File // nil: standard output
	name, part string   // part is empty if the name is that of a device or a pipe
}

// openTarget opens what a job writes to.
func openTarget(name string, stdout io.Writer) (*target, error) {
	if name == stdoutName {
		return &target{Writer: stdout}, nil
	}
	t, flag := &target{name: name}, os.O_WRONLY // a device or a pipe keeps its name; a folder fails to open
	opened := name
	if info, err := os.Stat(name); err != nil || info.Mode().IsRegular() {
		t.part = filepath.Join(filepath.Dir(name), fmt.Sprintf(".quic-client-%016x.part", rand.Uint64()))
		opened, flag = t.part, flag|os.O_CREATE|os.O_EXCL
	}
	f, err := os.OpenFile(opened, flag, 0o666)
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", name, err)
	}
	t.file, t.Writer = f, f
	return t, nil
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
