// Package examples_test runs each example as a reader of the README would.
package examples_test

import (
	"os/exec"
	"strings"
	"testing"
)

func TestExamples(t *testing.T) {
	for dir, want := range map[string]string{
		"echo":     `the server answered "hello over QUIC"`,
		"download": "67108864 bytes, checksum right",
		"coreloop": `the server answered "HELLO OVER THE BARE CORE"`,
	} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command("go", "run", "./"+dir).CombinedOutput()
			if err != nil {
				t.Fatalf("go run ./%s: %v\n%s", dir, err, out)
			}
			if !strings.Contains(string(out), want) {
				t.Errorf("go run ./%s printed\n%s\nwithout %q", dir, out, want)
			}
		})
	}
}
