package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// core is a role of a process: server and client run on a core each, if there are two.
type core int

const (
	serverCore core = iota
	clientCore
)

// startOn starts a program on one of the cores that we may use: a process inherits the affinity of the thread that starts it.
// Pinning is for steadier figures only, so that its failure is not worth a word.
func startOn(c core, cmd *exec.Cmd) error {
	var before, set unix.CPUSet
	if unix.SchedGetaffinity(0, &before) != nil || before.Count() < 2 {
		return cmd.Start()
	}
	for i, seen := 0, core(0); ; i++ {
		if !before.IsSet(i) {
			continue
		}
		if seen == c {
			set.Set(i)
			break
		}
		seen++
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.SchedSetaffinity(0, &set)
	defer unix.SchedSetaffinity(0, &before)
	return cmd.Start()
}

// cpuSeconds is the user and system time that all threads of a process have used: what getrusage says there, read from outside.
func cpuSeconds(pid int) (float64, error) {
	const schedClock = 2 // the kernel's numbering of clocks of other processes: clock_getcpuclockid(3) makes the same
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &t); err != nil {
		return 0, fmt.Errorf("the CPU time of process %d: %w", pid, err)
	}
	return float64(t.Nano()) / 1e9, nil
}

// openFiles is how many files a process may have open.
func openFiles() uint64 {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return math.MaxUint64
	}
	return r.Max // the runtime of Go raises its own limit to that
}

// residentBytes is the resident set of a process.
func residentBytes(pid int) (int64, error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	var size, resident int64
	if _, err := fmt.Fscan(bytes.NewReader(statm), &size, &resident); err != nil {
		return 0, err
	}
	return resident * int64(os.Getpagesize()), nil
}
