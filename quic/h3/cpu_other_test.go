//go:build !unix

package h3

import "time"

var cpuEpoch = time.Now()

// cpuTime is the time that has passed: for the processor's there is no portable way.
func cpuTime() time.Duration { return time.Since(cpuEpoch) }
