//go:build unix

package h3

import (
	"syscall"
	"time"
)

// cpuTime returns how long the process has kept processors busy.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
