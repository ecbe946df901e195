package main

import (
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// startOn starts a program on one core, if there is more than one: a process inherits the affinity of the thread that
// starts it. Pinning is for steadier figures only, so that its failure is not worth a word.
func startOn(core int, cmd *exec.Cmd) error {
	var before, set unix.CPUSet
	if runtime.NumCPU() < 2 || unix.SchedGetaffinity(0, &before) != nil {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	set.Set(core)
	_ = unix.SchedSetaffinity(0, &set)
	defer unix.SchedSetaffinity(0, &before)
	return cmd.Start()
}
