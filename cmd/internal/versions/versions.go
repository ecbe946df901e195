// Package versions reads and writes QUIC versions as the commands name them: 1 and 2.
package versions

import (
	"fmt"
	"slices"
	"strings"

	"github.com/boringquic/boringquic/quic"
)

// Parse returns the versions of a list such as "2,1", the preferred one first. flag is what the error says was wrong.
func Parse(flag, list string) (out []uint32, err error) {
	for name := range strings.SplitSeq(list, ",") {
		var v uint32
		switch strings.TrimSpace(name) {
		case "1":
			v = quic.Version1
		case "2":
			v = quic.Version2
		}
		if v == 0 || slices.Contains(out, v) {
			return nil, fmt.Errorf("%s %q: give 1, 2, or both in the order that you prefer, as in 2,1", flag, list)
		}
		out = append(out, v)
	}
	return out, nil
}

// Name returns what a version is called.
func Name(v uint32) string {
	switch v {
	case quic.Version1:
		return "1"
	case quic.Version2:
		return "2"
	}
	return fmt.Sprintf("0x%08x", v)
}
