package webroot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

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

// What a folder offers, and why it does not offer the rest.
func TestRoot(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "root")
	for _, name := range []string{"root/file", "root/sub/file", "root/.hidden", "root/key", "secret"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"in": "sub/file", "out": "../secret", "nowhere": "nothing", "loop": "loop", "alias": "key"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	looked := 0
	root, err := Open(dir, func() []fs.FileInfo {
		looked++
		key, err := os.Stat(filepath.Join(dir, "key"))
		if err != nil {
			t.Fatal(err)
		}
		return []fs.FileInfo{key}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	isPermission := func(err error) bool { return errors.Is(err, fs.ErrPermission) }
	for name, is := range map[string]func(error) bool{
		"file": nil, "in": nil, "sub/../file": nil,
		".hidden": Missing, "sub/../.hidden": Missing, "key": Missing, "alias": Missing, "nothing": Missing, "nowhere": Missing, "file/x": Missing, "loop": Missing,
		"zero\x00": Missing, strings.Repeat("a", 300): Missing, "out": Outside, "../secret": Outside, "/file": Outside, "sub": isPermission, ".": isPermission,
	} {
		file, info, err := root.OpenFile(name)
		if is == nil {
			if err != nil || !info.Mode().IsRegular() {
				t.Errorf("%.20q: %v, %v", name, info, err)
			}
			file.Close()
		} else if !is(err) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	entries, err := root.ReadDir(".")
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"file", "in", "sub"}) {
		t.Errorf("listed are %q, %v", names, err)
	}
	for _, name := range []string{".hidden", "key", "alias"} {
		if _, err := root.Stat(name); !Missing(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := root.ReadDir(".hidden"); !Missing(err) {
		t.Error(err)
	}

	looked = 0
	now := root.Now()
	now.Stat("nothing")
	now.Stat("key")
	now.Stat("file")
	if file, _, err := now.OpenFile("file"); err != nil {
		t.Error(err)
	} else {
		file.Close()
	}
	if looked != 1 {
		t.Errorf("what is withheld was looked up %d times for one request", looked)
	}
}
