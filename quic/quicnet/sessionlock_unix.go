//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package quicnet

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// readLocked reads a file, which it makes if it is not there, and keeps others from doing the same until unlock is called. More than
// maxSessionFile bytes and one are not read.
func readLocked(path string) (data []byte, unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, nil, err
		}
		current, err := lock(f, path)
		if err == nil && current {
			data, err = io.ReadAll(io.LimitReader(f, maxSessionFile+1))
		}
		if err == nil && current {
			return data, func() { f.Close() }, nil
		}
		f.Close()
		if err != nil {
			return nil, nil, err
		}
	}
}

// lock waits for the lock of a file. current tells whether the file is still the one that has the name: who had the lock before has
// probably put another in its place.
func lock(f *os.File, path string) (current bool, err error) {
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return true, nil // a file system without locks
	}
	if err != nil {
		return false, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	ours, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(ours, named), nil
}
