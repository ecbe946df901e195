// Package dotfile says which names servers keep to themselves: those that begin with a dot are settings, histories and keys.
package dotfile

import (
	"path"
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
