//go:build !linux

package main

import "syscall"

// sign is a descriptor that is readable while it is up: a pipe that has a byte in it.
type sign [2]int

func newSign() (s sign, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err = syscall.Pipe(s[:]); err == nil {
		syscall.CloseOnExec(s[0])
		syscall.CloseOnExec(s[1])
	}
	return s, err
}

func (s sign) fd() int { return s[0] }

// raise and lower are called in turn: the pipe holds one byte or none.
func (s sign) raise() { _, _ = syscall.Write(s[1], []byte{1}) }

func (s sign) lower() {
	var one [1]byte
	_, _ = syscall.Read(s[0], one[:])
}

func (s sign) close() {
	_ = syscall.Close(s[0])
	_ = syscall.Close(s[1])
}
