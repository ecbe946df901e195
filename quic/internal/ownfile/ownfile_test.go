package ownfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	file, link, broken := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "broken")
	for _, err := range []error{os.WriteFile(file, nil, 0o600), os.Symlink(file, link), os.Symlink(filepath.Join(dir, "none"), broken)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path string
		err        error
	}{
		{file, real, nil}, {link, real, nil}, {broken, broken, nil}, {filepath.Join(dir, "new"), filepath.Join(dir, "new"), nil}, {os.DevNull, os.DevNull, ErrNoFile},
	} {
		if path, err := Find(test.name); path != test.path || err != test.err {
			t.Errorf("Find(%q): %q, %v, want %q, %v", test.name, path, err, test.path, test.err)
		}
	}
}

// What cannot be replaced stays, and nothing is left beside it.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	for _, text := range []string{"one", "another"} {
		if err := Replace(file, ".new-*", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); string(got) != text || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "folder", "inside"), 0o755); err != nil {
		t.Fatal(err)
	}
	if Replace(filepath.Join(dir, "folder"), ".new-*", nil) == nil {
		t.Error("a folder was replaced")
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 || err != nil {
		t.Errorf("%q are left, %v", left, err)
	}
}
