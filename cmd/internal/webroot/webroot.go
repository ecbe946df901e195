// Package webroot opens the files that a server's folder offers. No path and no symbolic link leads out of the folder, and what a server keeps to itself is
// as good as not there: names that begin with a dot, which are settings, histories and keys, and the files that the program says are its own.
package webroot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Root is the folder. Its methods take paths with slashes, relative to it; "." is the folder itself.
type Root struct {
	dir      *os.Root
	withheld func() []fs.FileInfo
}

// Open opens the folder dir. withheld returns the files that are not shown though they lie there, as they are now; nil: there are none.
func Open(dir string, withheld func() []fs.FileInfo) (*Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if withheld == nil {
		withheld = func() []fs.FileInfo { return nil }
	}
	return &Root{root, withheld}, nil
}

// Now returns the folder as it is for one request: the files that are not shown are looked up once, when one is needed. It is not to be closed.
func (r *Root) Now() *Root { return &Root{r.dir, sync.OnceValue(r.withheld)} }

// Close closes the folder; files that are open stay so.
func (r *Root) Close() error { return r.dir.Close() }

// Name is the folder as it was given to Open.
func (r *Root) Name() string { return r.dir.Name() }

// Stat tells what is under a name; it follows links.
func (r *Root) Stat(name string) (fs.FileInfo, error) {
	if Hidden(name) {
		return nil, notExist(name)
	}
	info, err := r.dir.Stat(name)
	if err == nil && r.withholds(info) {
		return nil, notExist(name)
	}
	return info, err
}

// OpenFile opens a file, which the caller closes, and tells what it was when it was opened: under its name there may be another one by now. A thing that is
// no file, such as a folder or a named pipe, is fs.ErrPermission.
func (r *Root) OpenFile(name string) (*os.File, fs.FileInfo, error) {
	if Hidden(name) {
		return nil, nil, notExist(name)
	}
	file, err := r.dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would not open until somebody writes to it
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a file: %w", name, fs.ErrPermission)
	case r.withholds(info):
		err = notExist(name)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// Entry is what a folder has under a name, or what a link of that name leads to.
type Entry struct {
	Name string
	Info fs.FileInfo
}

// ReadDir lists what may be shown of a folder, in no order; links that lead nowhere, or out, are left away.
func (r *Root) ReadDir(name string) (entries []Entry, err error) {
	if Hidden(name) {
		return nil, notExist(name)
	}
	dir, err := r.dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	all, err := dir.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	now := r.Now()
	for _, d := range all {
		if info, err := now.Stat(path.Join(name, d.Name())); err == nil {
			entries = append(entries, Entry{d.Name(), info})
		}
	}
	return entries, nil
}

// Hidden tells whether a part of a path below a server's folder begins with a dot, but for /.well-known (RFC 8615). Parts that lead up, and what they
// lead out of, do not count.
func Hidden(name string) bool {
	clean := path.Clean("/" + name)
	if rest, ok := strings.CutPrefix(clean, "/.well-known"); ok && (rest == "" || rest[0] == '/') {
		clean = rest
	}
	return strings.Contains(clean, "/.")
}

// Missing tells whether an error of a Root's says that there is nothing under the name, or that nothing can have such a name.
func Missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) ||
		errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ELOOP)
}

// Outside tells whether an error of a Root's says that the name leads out of the folder.
func Outside(err error) bool {
	return err != nil && strings.Contains(err.Error(), "path escapes from parent")
} // os has no value for it

func notExist(name string) error { return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist} }

func (r *Root) withholds(info fs.FileInfo) bool {
	return slices.ContainsFunc(r.withheld(), func(f fs.FileInfo) bool { return os.SameFile(f, info) })
}
