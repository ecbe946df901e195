package dotfile

import "testing"

func TestHidden(t *testing.T) {
	for name, want := range map[string]bool{
		"/": false, "": false, ".": false, "/a": false, "a.b": false, "/a/b.": false, "/..": false, "/../a": false,
		"/.a": true, ".a": true, "/a/.b": true, "/a/.b/c": true, "/a/../.b": true, "//.a": true, "/...": true, "/.a/../b": false,
		"/.well-known": false, "/.well-known/a": false, "/.well-known/.a": true, "/.well-knownx": true, "/a/.well-known": true,
	} {
		if Hidden(name) != want {
			t.Errorf("%q is hidden: %v, want %v", name, !want, want)
		}
	}
}
