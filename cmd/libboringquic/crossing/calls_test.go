package crossing

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// allowed are the results of calls that are not quiche's, by what our library returns and what quiche does; quiche.md has them for people.
var allowed = []struct{ call, ours, theirs *regexp.Regexp }{
	// A stream that is over is forgotten; quiche keeps it for a while, or for good if it was shut down on both sides.
	differs(`stream_recv \d+ \d+`, `-7 0 4711`, `-1 0 4711`),
	differs(`stream_send \d+ \d+ [01]`, `-1 4711`, `-13 4711|0 4711`),
	differs(`stream_capacity \d+`, `-7`, `1`),
	differs(`stream_writable \d+ \d+`, `-7`, `1`),
	// One that its sender has shut down when all of it had arrived can be read; quiche drops what was not read.
	differs(`stream_recv \d+ \d+`, `\d+ [01] 4711`, `-1 0 4711`),
	differs(`stream_finished \d+`, `0 readable 1`, `1 readable [01]`),
	// A stream that was ended takes nothing; in quiche what it would have taken.
	differs(`stream_capacity \d+`, `0`, `1`),
	differs(`stream_writable \d+ \d+`, `0`, `1`),
	// That the peer has stopped a stream is told, also where quiche has forgotten it before that.
	differs(`stream_(capacity \d+|writable \d+ \d+)`, `-15`, `-7`),
	differs(`stream_send \d+ \d+ [01]`, `-15 \d+`, `-1 4711`),
	// The congestion windows are not the same when something was lost.
	differs(`stream_writable \d+ \d+`, `1`, `0`),
}

func differs(call, ours, theirs string) (d struct{ call, ours, theirs *regexp.Regexp }) {
	d.call, d.ours, d.theirs = regexp.MustCompile("^"+call+"$"), regexp.MustCompile("^("+ours+")$"), regexp.MustCompile("^("+theirs+")$")
	return d
}

// Calls of quiche.h at random return the same whichever library a program is linked to.
func TestCalls(t *testing.T) {
	exes := compile(t, "testdata/calls.c")
	dir := certificate(t)
	for seed := range uint64(12) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel() // they wait for timers, most of the time
			args := []string{strconv.FormatUint(seed, 10), "300", filepath.Join(dir, "cert.crt"), filepath.Join(dir, "cert.key")}
			got := strings.Split(run(t, 2*time.Minute, exes["ours"], args...), "\n")
			want := strings.Split(run(t, 2*time.Minute, exes["quiche"], args...), "\n")
			if len(got) != len(want) || len(got) < 250 {
				t.Errorf("there are %d lines, of quiche %d", len(got), len(want))
			}
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] && !isAllowed(got[:i], got[i], want[i]) {
					t.Errorf("%s, but quiche: %s", got[i], want[i])
				}
			}
		})
	}
}

// isAllowed tells whether two lines, "STEP END CALL: RESULT", differ in a way that is written down.
func isAllowed(before []string, ours, theirs string) bool {
	head, got, _ := strings.Cut(ours, ": ")
	same, want, _ := strings.Cut(theirs, ": ")
	words := strings.SplitN(head, " ", 3)
	if len(words) < 3 {
		return false
	}
	what, list, _ := strings.Cut(words[2], " ")
	switch {
	case what == "readable" || what == "writable":
		theirs, same := strings.CutPrefix(theirs, words[0]+" "+words[1]+" "+what)
		return same && mayList(before, words[1], what, strings.Fields(list), strings.Fields(theirs))
	case head != same:
		return false
	}
	for _, a := range allowed {
		if a.call.MatchString(words[2]) && a.ours.MatchString(got) && a.theirs.MatchString(want) {
			return true
		}
	}
	return false
}

// mayList tells whether the streams that an end may write on are those of quiche without some, and with those that the other end has stopped; or whether
// those that it may read are those of quiche, and some that the other end has shut down.
func mayList(before []string, end, what string, ours, theirs []string) bool {
	direction, ended := "0", map[string]bool{}
	if what == "readable" {
		direction = "1"
	}
	for _, line := range before {
		if words := strings.Fields(line); len(words) == 7 && words[1] != end && words[2] == "stream_shutdown" && words[4] == direction {
			ended[words[3]] = true
		}
	}
	more := slices.ContainsFunc(ours, func(id string) bool { return !slices.Contains(theirs, id) && !ended[id] })
	less := slices.ContainsFunc(theirs, func(id string) bool { return !slices.Contains(ours, id) })
	return !more && (!less || what == "writable")
}
