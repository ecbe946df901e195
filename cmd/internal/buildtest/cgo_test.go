package buildtest

import (
	"path/filepath"
	"strings"
	"testing"
)

// What the go command says, once, where BoringSSL is not built, without cgo, and among OpenSSL's headers.
func TestGoBuildErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		built bool
		env   []string
		says  string
	}{
		{"no BoringSSL", false, nil, "BoringSSL is not built: run ./build.sh in boringquic's tree"},
		{"no cgo", true, []string{"CGO_ENABLED=0"}, "boringquic_needs_cgo__install_a_C_compiler_and_set_CGO_ENABLED_to_1"},
		{"OpenSSL's headers", true, []string{"CGO_CFLAGS=-I" + filepath.Join(openSSL(t), "include")},
			"OpenSSL's headers are in the way of BoringSSL's: take their -I out of CGO_CFLAGS, or run bash build.sh env"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := copyTree(t)
			relocate(t, tree)
			if c.built {
				newScript(t, tree, "BORINGQUIC_BSSL_PATH="+custom(t, "lib", "lib")).ok(t)
			}
			for _, verb := range []string{"build", "vet"} {
				_, stderr, err := runIn(tree, c.env, "go", verb, "./...")
				if err == nil || !strings.Contains(stderr, c.says) || strings.Count(stderr, "error:") > 1 {
					t.Errorf("go %s: %v: %q, want %q, once", verb, err, stderr, c.says)
				}
			}
		})
	}
}
