package handshake

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"
)

// ReplayStore remembers the ClientHellos that came with 0-RTT, so that each is served in 0-RTT once (RFC 8446, section 8). A store of the
// program's own lets several servers that share ticket keys accept 0-RTT from each other's tickets, and a server those from before
// its start; without one neither does.
type ReplayStore interface {
	// Fresh notes a ClientHello, and tells whether it is the first with id. It is asked about tickets that the server's keys opened,
	// though it is not yet known that the client has their secrets. After expires, id may be forgotten: a ClientHello so old is not
	// accepted in 0-RTT. False or an error lets the handshake go on without 0-RTT. Fresh may be called by many goroutines at a
	// time, never under a connection's lock, and the handshake waits for it. A panic counts as an error.
	Fresh(id [32]byte, expires time.Time) (bool, error)
}

// replayWindow is for how long a ClientHello can be accepted in 0-RTT, in seconds: BoringSSL bears a difference of 60 seconds to either
// side between the age that a client tells of its ticket and the one that the server finds, both cut to seconds.
const replayWindow = 2*60 + 2

// maxReplayEntries bounds the ClientHellos that a replayFilter remembers of each of its two spans of time. An entry takes less than 40
// bytes, so that a filter has less than 20 MiB, and that only where so many come: 2,100 a second at all times. What comes beyond
// that goes without 0-RTT.
const maxReplayEntries = 1 << 18

// replayFilter is the ReplayStore of a Context. It remembers for one to two replayWindows, by 64 bits of a hash: that two ClientHellos are
// taken for one happens once in 2^45 of them, and then costs the second its 0-RTT.
type replayFilter struct {
	// nonce is bound into the 0-RTT of tickets. What was issued before the filter began, or elsewhere, is not accepted in 0-RTT, since
	// the filter cannot know what was used by then.
	nonce [32]byte

	mu         sync.Mutex
	since      int64 // when young began, in seconds since 1970
	forgotten  int64 // the latest time of what was forgotten; 0: nothing was
	young, old map[uint64]struct{}
}

func newReplayFilter() *replayFilter {
	f := new(replayFilter)
	rand.Read(f.nonce[:])
	return f
}

// Why there is no 0-RTT, as Event.Reason tells it.
const (
	reasonReplayed  = "replayed"
	reasonFull      = "replay_filter_full"
	reasonClockBack = "clock_went_back"
	reasonStore     = "replay_store"
	reasonStoreFail = "replay_store_failed"
)

// fresh notes a ClientHello at the time now, in seconds since 1970, and returns why it is not to be accepted in 0-RTT, "" if it is.
func (f *replayFilter) fresh(id [32]byte, now int64) (refused string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now >= f.since+replayWindow {
		if len(f.old) > 0 {
			f.forgotten = max(f.forgotten, f.since) // those in old came before that
		}
		f.old, f.young = f.young, nil
		if now >= f.since+2*replayWindow {
			if len(f.old) > 0 {
				f.forgotten = max(f.forgotten, f.since+replayWindow)
			}
			f.old = nil
		}
		f.since = now
	}
	if f.forgotten != 0 && now < f.forgotten+replayWindow {
		return reasonClockBack // and with it comes back what was forgotten
	}
	key := replayKey(id)
	if _, seen := f.young[key]; seen {
		return reasonReplayed
	}
	if _, seen := f.old[key]; seen {
		return reasonReplayed
	}
	if len(f.young) >= maxReplayEntries {
		return reasonFull
	}
	if f.young == nil {
		f.young = make(map[uint64]struct{})
	}
	f.young[key] = struct{}{}
	return ""
}

// forget takes back what fresh noted: the client did not have the ticket's secret, and its owner may still come.
func (f *replayFilter) forget(id [32]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.young, replayKey(id))
	delete(f.old, replayKey(id))
}

func replayKey(id [32]byte) uint64 { return binary.LittleEndian.Uint64(id[:]) }

// askStore asks a program's store.
func askStore(s ReplayStore, id [32]byte, now int64) (refused string) {
	fresh := false
	err := guard(func() (err error) {
		fresh, err = s.Fresh(id, time.Unix(now+replayWindow, 0))
		return err
	})
	switch {
	case err != nil:
		return reasonStoreFail
	case !fresh:
		return reasonStore
	}
	return ""
}
