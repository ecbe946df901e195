package quicnet

import (
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/boringquic/boringquic/quic/internal/ownfile"
)

// FileSessionCache is a tls.ClientSessionCache that keeps sessions in a file, so that a program resumes those of an earlier run, and
// programs that run at the same time share them. It serves crypto/tls over TCP as well. The file holds secrets: who reads them can
// read the early data of these sessions, and pass for the client where a session stands for a login. Its mode is 0600.
//
// The file is replaced as a whole whenever something changes, so that it is never half written. On Unix processes wait for each
// other meanwhile, and of two that connect at once none takes the same session of QUIC; elsewhere they may, and what one writes may be
// lost to the other. It holds 128 entries and 1 MiB at most, of which the oldest go first, and none that is older than a week, when
// TLS has it expire (RFC 8446, section 4.6.1).
type FileSessionCache struct {
	path string

	mu  sync.Mutex
	err error // what failed last
}

// NewFileSessionCache returns a cache over the file path, which is made if it is not there; the folder must be, and must be
// writable. A file that cannot be read, that is none of ours, damaged, or written by a newer version of this package is left as it is,
// and the error says in one sentence what is wrong with it: a program may go on without a cache then, with full handshakes.
func NewFileSessionCache(path string) (*FileSessionCache, error) {
	path, err := ownfile.Find(path)
	if err != nil {
		return nil, fmt.Errorf("quicnet: no sessions in %s: %w", path, err)
	}
	c := &FileSessionCache{path: path}
	c.with(func(*sessionFile) {})
	if c.err != nil {
		return nil, c.err
	}
	return c, nil
}

// Get returns the session that Put stored last under a key. It is read from the file, which another process may have written.
func (c *FileSessionCache) Get(key string) (session *tls.ClientSessionState, ok bool) {
	c.with(func(f *sessionFile) { session = f.get(key) })
	return session, session != nil
}

// Put stores a session under a key, in the place of the one that was there; nil removes that. What fails Err tells.
func (c *FileSessionCache) Put(key string, cs *tls.ClientSessionState) {
	c.with(func(f *sessionFile) { f.put(key, cs, time.Now()) })
}

// update has change make a new entry of an old one; both may be nil. No other process comes in between.
func (c *FileSessionCache) update(key string, change func(*tls.ClientSessionState) *tls.ClientSessionState) {
	c.with(func(f *sessionFile) {
		before := f.get(key)
		if after := change(before); after != before {
			f.put(key, after, time.Now())
		}
	})
}

// Err returns what went wrong when the file was read or written last, nil if nothing did. The interface of crypto/tls has no other
// way to tell of it.
func (c *FileSessionCache) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// with calls use with what the file holds, and writes the file anew if that has changed it.
func (c *FileSessionCache) with(use func(*sessionFile)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = c.access(use)
}

func (c *FileSessionCache) access(use func(*sessionFile)) error {
	data, unlock, err := readLocked(c.path)
	if err != nil {
		return fmt.Errorf("quicnet: no sessions: %w", err)
	}
	defer unlock()
	f, err := parseSessionFile(data, time.Now())
	if err != nil {
		return fmt.Errorf("quicnet: no sessions in %s: %w", c.path, err)
	}
	use(f)
	if f.err != nil {
		err = fmt.Errorf("quicnet: a session is not kept in %s: %w", c.path, f.err)
	}
	if f.changed {
		if failed := ownfile.Replace(c.path, ".sessions-*", f.encode()); failed != nil {
			return fmt.Errorf("quicnet: sessions are not kept: %w", failed)
		}
	}
	return err
}
