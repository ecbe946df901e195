package quicnet

import (
	"context"
	"crypto/tls"
	"reflect"
	"sync"

	"github.com/boringquic/boringquic/quic/internal/ctxerr"
)

// An entry of a tls.ClientSessionCache is read, changed and written again by one connection of this process at a time, so that no two
// take the same session. The cache is the program's code, which may be slow, or hang: that holds up nobody but those who want the same
// entry of it.

// entryKey names an entry of a cache.
type entryKey struct {
	cache tls.ClientSessionCache // nil: one that cannot be compared, so that all of those count as one
	key   string
}

// entryLock is held while an entry is in use.
type entryLock struct {
	held  chan struct{} // of one place: whoever has put something there holds it
	users int           // who hold it or wait for it; guarded by entryLocks
}

// entryLocks are those of all entries that are in use now.
var entryLocks = struct {
	sync.Mutex
	of map[entryKey]*entryLock
}{of: map[entryKey]*entryLock{}}

// lockEntry waits until nobody uses an entry of a cache, or ctx ends.
func lockEntry(ctx context.Context, cache tls.ClientSessionCache, key string) (unlock func(), err error) {
	if err := ctxerr.Of(ctx); err != nil {
		return nil, err
	}
	k := entryKey{cache, key}
	if !reflect.ValueOf(cache).Comparable() {
		k.cache = nil
	}
	entryLocks.Lock()
	l := entryLocks.of[k]
	if l == nil {
		l = &entryLock{held: make(chan struct{}, 1)}
		entryLocks.of[k] = l
	}
	l.users++
	entryLocks.Unlock()
	leave := func() {
		entryLocks.Lock()
		defer entryLocks.Unlock()
		if l.users--; l.users == 0 {
			delete(entryLocks.of, k)
		}
	}
	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctxerr.Of(ctx)
	}
}
