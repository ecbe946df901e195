package quicnet

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The format of a file of sessions: sessionMagic, one byte of version, the entries from the newest to the oldest, and the SHA-256 of
// all that. An entry is when it was stored (seconds of Unix, 8 bytes), and its key, ticket and tls.SessionState, each after its
// length (4 bytes). An empty file has no entries. The hash finds damage, and keeps nobody from writing what he likes.
const (
	sessionMagic   = "boringquic sessions\n"
	sessionVersion = 1
)

// sessionFile is the contents of a file of sessions.
type sessionFile struct {
	entries []sessionEntry // the newest first
	changed bool
	err     error // why a session was not taken
}

type sessionEntry struct {
	stored             int64 // seconds of Unix
	key, ticket, state []byte
}

// parseSessionFile returns the entries of a file, which data stays with, without those that are too old.
func parseSessionFile(data []byte, now time.Time) (*sessionFile, error) {
	f := new(sessionFile)
	switch {
	case len(data) == 0:
		return f, nil
	case len(data) > maxSessionFile:
		return nil, fmt.Errorf("it is larger than %d bytes, which no file of sessions is: give another name", maxSessionFile)
	case !bytes.HasPrefix(data, []byte(sessionMagic)) || len(data) <= len(sessionMagic):
		return nil, errors.New("it is another kind of file: give another name")
	}
	if v := data[len(sessionMagic)]; v != sessionVersion {
		return nil, fmt.Errorf("it has format %d, and this program knows format %d: give another name, or remove it", v, sessionVersion)
	}
	damaged := errors.New("it is damaged: remove it, and a new one is made")
	n := len(data) - sha256.Size
	if n <= len(sessionMagic) || sha256.Sum256(data[:n]) != [sha256.Size]byte(data[n:]) {
		return nil, damaged
	}
	for b := data[len(sessionMagic)+1 : n]; len(b) > 0; {
		var e sessionEntry
		if b = e.consume(b); b == nil {
			return nil, damaged
		}
		if now.Sub(time.Unix(e.stored, 0)) <= maxSessionAge {
			f.entries = append(f.entries, e)
		}
	}
	return f, nil
}

// consume reads an entry from b, and returns what follows it; nil if there is no entry.
func (e *sessionEntry) consume(b []byte) (rest []byte) {
	if len(b) < 8 {
		return nil
	}
	e.stored = int64(binary.BigEndian.Uint64(b))
	b = b[8:]
	for _, field := range []*[]byte{&e.key, &e.ticket, &e.state} {
		if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
			return nil
		}
		n := 4 + int(binary.BigEndian.Uint32(b))
		*field, b = b[4:n], b[n:]
	}
	return b
}

// size is how many bytes an entry takes.
func (e *sessionEntry) size() int { return 8 + 3*4 + len(e.key) + len(e.ticket) + len(e.state) }

func (f *sessionFile) encode() []byte {
	b := append([]byte(sessionMagic), sessionVersion)
	for _, e := range f.entries {
		b = binary.BigEndian.AppendUint64(b, uint64(e.stored))
		for _, field := range [][]byte{e.key, e.ticket, e.state} {
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
		}
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func (f *sessionFile) find(key string) int {
	return slices.IndexFunc(f.entries, func(e sessionEntry) bool { return string(e.key) == key })
}

// get returns the session of a key, nil if there is none. One that another version of Go has written, and this one cannot read, is none.
func (f *sessionFile) get(key string) *tls.ClientSessionState {
	i := f.find(key)
	if i < 0 {
		return nil
	}
	state, err := tls.ParseSessionState(f.entries[i].state)
	if err != nil {
		return nil
	}
	cs, err := tls.NewResumptionState(f.entries[i].ticket, state)
	if err != nil {
		return nil
	}
	return cs
}

// put stores a session as the newest, and drops what there is no room for any more. nil removes what the key has.
func (f *sessionFile) put(key string, cs *tls.ClientSessionState, now time.Time) {
	if i := f.find(key); i >= 0 {
		f.entries = slices.Delete(f.entries, i, i+1)
		f.changed = true
	}
	e, err := newSessionEntry(key, cs, now)
	if e == nil {
		f.err = err
		return
	}
	f.entries = slices.Insert(f.entries, 0, *e)
	f.changed = true
	left := maxSessionFile - len(sessionMagic) - 1 - sha256.Size
	for i := range f.entries {
		if left -= f.entries[i].size(); i == maxSessions || left < 0 {
			f.entries = f.entries[:i]
			return
		}
	}
}

// newSessionEntry returns nil where there is no session.
func newSessionEntry(key string, cs *tls.ClientSessionState, now time.Time) (*sessionEntry, error) {
	ticket, state, err := cs.ResumptionState()
	if err != nil || state == nil {
		return nil, err
	}
	encoded, err := state.Bytes()
	if err != nil {
		return nil, err
	}
	e := &sessionEntry{stored: now.Unix(), key: []byte(key), ticket: ticket, state: encoded}
	if n := e.size(); n > maxSessionLen {
		return nil, fmt.Errorf("it has %d bytes, more than %d", n, maxSessionLen)
	}
	return e, nil
}
