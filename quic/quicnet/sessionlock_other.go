//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package quicnet

import (
	"io"
	"os"
)

// readLocked reads a file, which it makes if it is not there. Others are not kept from doing the same.
func readLocked(path string) (data []byte, unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() // on Windows a file that is open cannot be replaced
	data, err = io.ReadAll(io.LimitReader(f, maxSessionFile+1))
	return data, func() {}, err
}
