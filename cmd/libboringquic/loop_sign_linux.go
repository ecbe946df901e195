package main

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// sign is a descriptor that is readable while it is up: an eventfd.
type sign int

func newSign() (sign, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return sign(fd), err
}

func (s sign) fd() int { return int(s) }

// raise and lower are called in turn, and cannot fail: the counter is 0 or 1.
func (s sign) raise() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(int(s), one[:])
}

func (s sign) lower() {
	var count [8]byte
	_, _ = unix.Read(int(s), count[:])
}

func (s sign) close() { _ = unix.Close(int(s)) }
