//go:build unix

package smallfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, n int64) string {
		name = filepath.Join(dir, name)
		f, err := os.Create(name)
		if err == nil {
			err = errors.Join(f.Truncate(n), f.Close()) // a hole, which takes no room
		}
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/dev/zero", link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		want int
		err  error
		says string
	}{
		{write("empty", 0), 0, nil, ""},
		{write("most", Most), Most, nil, ""},
		{write("more", Most+1), 0, ErrTooLarge, "it has more than 16 MiB"},
		{write("huge", 1<<40), 0, ErrTooLarge, ""},
		{pipe, 0, nil, ""}, // nobody writes
		{"/dev/zero", 0, ErrNoFile, "it is no file"},
		{link, 0, ErrNoFile, ""},
		{dir, 0, syscall.EISDIR, "is a directory"},
		{filepath.Join(dir, "nothing"), 0, fs.ErrNotExist, ""},
	} {
		b, err := Read(c.name)
		var perr *fs.PathError
		if len(b) != c.want || !errors.Is(err, c.err) || err != nil && (!errors.As(err, &perr) || perr.Path != c.name || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %d bytes, %v", c.name, len(b), err)
		}
	}
}

// A pipe that somebody writes to is read to its end, as that of a shell's <(COMMAND).
func TestReadPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("pipe"), 100000)
	go func() {
		_, _ = w.Write(want)
		_ = w.Close()
	}()
	if b, err := Read(pipe); err != nil || !bytes.Equal(b, want) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
