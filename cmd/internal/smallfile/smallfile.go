// Package smallfile reads files that people name and that are held in memory: certificates, keys, settings.
package smallfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Most is how many bytes a file of certificates, keys or settings may have: a hundred times all roots of the Web.
const Most = 16 << 20

// Read returns what a file holds, at most Most bytes. Errors are a *fs.PathError, also where the file is larger (ErrTooLarge), or neither a file nor a
// pipe (ErrNoFile), such as a device, which might have no end. A pipe that nobody writes to is empty; for one that somebody writes to, Read waits.
func Read(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // else opening a pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	}
	if info.Mode()&fs.ModeType&^fs.ModeNamedPipe != 0 {
		return nil, &fs.PathError{Op: "read", Path: name, Err: ErrNoFile}
	}
	b, err := ReadAll(f, Most)
	if errors.Is(err, ErrTooLarge) {
		err = &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return b, err
}

// ReadAll reads r to its end, but no more than most bytes: ErrTooLarge.
func ReadAll(r io.Reader, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(b)) > most {
		return nil, fmt.Errorf("%w %d MiB", ErrTooLarge, most>>20)
	}
	return b, err
}

// The errors of files that are not read.
var (
	ErrTooLarge = errors.New("it has more than")
	ErrNoFile   = errors.New("it is no file")
)
