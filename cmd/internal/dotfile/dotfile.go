// Package dotfile says which files servers keep to themselves: those whose names begin with a dot are settings, histories and keys, and others may be
// named.
package dotfile

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Hidden tells whether a part of a path below a server's folder begins with a dot, but for /.well-known (RFC 8615). Parts that lead up, and what they
// lead out of, do not count.
func Hidden(name string) bool {
	clean := path.Clean("/" + name)
	if rest, ok := strings.CutPrefix(clean, "/.well-known"); ok && (rest == "" || rest[0] == '/') {
		clean = rest
	}
	return strings.Contains(clean, "/.")
}

// Withheld returns the files that are as good as not there, though they lie below a server's folder, as they are now; nil: there are none.
type Withheld func() []fs.FileInfo

// Now returns what tells of a file whether it is one of them.
func (w Withheld) Now() func(fs.FileInfo) bool {
	if w == nil {
		return func(fs.FileInfo) bool { return false }
	}
	files := w()
	return func(info fs.FileInfo) bool {
		return slices.ContainsFunc(files, func(f fs.FileInfo) bool { return os.SameFile(f, info) })
	}
}
