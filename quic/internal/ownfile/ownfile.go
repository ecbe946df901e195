// Package ownfile is about files of the program's own that are written anew, as a whole: there is the old one or the new one under the name, and
// nothing else.
package ownfile

import (
	"errors"
	"os"
	"path/filepath"
)

// ErrNoFile is the error for what cannot be written anew, such as a device: a file would take its place.
var ErrNoFile = errors.New("it is not a file")

// Find returns where the file of a name is, which need not exist: what is replaced is the file, not a link to it.
func Find(name string) (path string, err error) {
	path = name
	if resolved, err := filepath.EvalSymlinks(name); err == nil {
		path = resolved
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return path, ErrNoFile
	}
	return path, nil
}

// Replace writes a file, readable for its owner alone, under a name that os.CreateTemp makes of pattern in the same folder, and gives it its own when it
// is complete.
func Replace(path, pattern string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), pattern)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing left to remove
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
