// Package examples_test runs each example as a reader of the README would.
package examples_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// The README's code compiles, as two functions of one program.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source := `package main

import (
	"context"
	"crypto/tls"
	"io"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func main() { _, _ = serve, fetch }
`
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of Go in the README, want 2", len(blocks))
	}
	for _, b := range blocks {
		source += string(b[1])
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("readme/main.go") // where it stands for the compiler alone
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{here: file}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(list, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-overlay", list, "-o", os.DevNull, "./readme").CombinedOutput(); err != nil {
		t.Errorf("the README's code does not compile: %v\n%s", err, out)
	}
}
