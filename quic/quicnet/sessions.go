package quicnet

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Sessions of clients. They come from a tls.ClientSessionCache when a connection is dialled, and go there when the server gives them,
// outside of all locks of connections. A session serves once: it is taken out of the cache. Since a cache has one entry for a
// key, and servers give several tickets so that a client can connect several times at once, an entry holds up to maxSessionsEach of
// ours, as elements of tls.SessionState.Extra, the newest first.

// sessionStore is where the sessions of one server come from and go to.
type sessionStore struct {
	cache     tls.ClientSessionCache // nil: none
	key       string
	onSession func(*quic.Session) // nil: none
}

// newSessionStore returns nil if nobody wants sessions.
func newSessionStore(cfg *tls.Config, t target, onSession func(*quic.Session)) *sessionStore {
	if cfg.ClientSessionCache == nil && onSession == nil {
		return nil
	}
	st := &sessionStore{cache: cfg.ClientSessionCache, onSession: onSession}
	name := cfg.ServerName
	if name == "" {
		name = t.host
	}
	_, port, _ := net.SplitHostPort(t.text)
	st.key = sessionKey(cfg.NextProtos, name, port)
	return st
}

// sessionKey returns the key of a server's sessions in a cache. No key of crypto/tls looks like it: those are host names and addresses.
func sessionKey(protos []string, name, port string) string {
	quoted := make([]string, len(protos))
	for i, p := range protos {
		quoted[i] = strconv.Quote(p)
	}
	return "quic " + strings.Join(quoted, ",") + " " + net.JoinHostPort(name, port)
}

// sessionPrefix begins each element of tls.SessionState.Extra that is one of our sessions. What follows is quic.Session.MarshalBinary.
const sessionPrefix = "boringquic: "

// updater is a cache that lets nobody come between reading an entry and writing it.
type updater interface {
	update(key string, change func(*tls.ClientSessionState) *tls.ClientSessionState)
}

// update changes the sessions of the entry; early is its tls.SessionState.EarlyData. The error is a panic of the cache's, or that of ctx,
// which bounds how long it waits for others to be done with the entry.
func (st *sessionStore) update(ctx context.Context, change func(held []*quic.Session, early bool) []*quic.Session) error {
	changeEntry := func(cs *tls.ClientSessionState) *tls.ClientSessionState {
		held, others, early := st.unpack(cs)
		changed := change(slices.Clone(held), early)
		if slices.Equal(changed, held) {
			return cs
		}
		return packSessions(changed, others)
	}
	if c, ok := st.cache.(updater); ok {
		return guard(func() { c.update(st.key, changeEntry) })
	}
	unlock, err := lockEntry(ctx, st.cache, st.key)
	if err != nil {
		return err
	}
	defer unlock()
	return guard(func() {
		before, _ := st.cache.Get(st.key)
		if after := changeEntry(before); after != before {
			st.cache.Put(st.key, after)
		}
	})
}

// take takes the newest session out of the cache; nil if there is none. early is false if the cache wants no early data sent.
func (st *sessionStore) take(ctx context.Context) (taken *quic.Session, early bool, err error) {
	if st.cache == nil {
		return nil, false, nil
	}
	err = st.update(ctx, func(held []*quic.Session, allowed bool) []*quic.Session {
		if len(held) == 0 {
			return nil
		}
		taken, early = held[0], allowed
		return held[1:]
	})
	return taken, early, err
}

// put stores a session. One with a ticket that the connection has stored before takes its place, if nobody has taken that since.
func (st *sessionStore) put(s *quic.Session, again bool) error {
	if st.cache == nil {
		return nil
	}
	return st.update(context.Background(), func(held []*quic.Session, _ bool) []*quic.Session {
		for i, h := range held {
			if h.SameTicket(s) {
				held[i] = s
				return held
			}
		}
		if again {
			return held
		}
		held = slices.Insert(held, 0, s)
		return held[:min(len(held), maxSessionsEach)]
	})
}

// unpack returns the sessions in an entry of a cache that are of use, and what others have put there.
func (st *sessionStore) unpack(cs *tls.ClientSessionState) (held []*quic.Session, others [][]byte, early bool) {
	_, state, err := cs.ResumptionState()
	if err != nil || state == nil {
		return nil, nil, false
	}
	for _, extra := range state.Extra {
		b, ours := bytes.CutPrefix(extra, []byte(sessionPrefix))
		if !ours {
			others = append(others, extra)
			continue
		}
		s := new(quic.Session)
		if s.UnmarshalBinary(b) != nil || len(held) == maxSessionsEach {
			continue // damaged, or of another version of this package
		}
		if exp := s.Expires(); exp.IsZero() || time.Now().Before(exp) { // by the core's clock, whatever tls.Config.Time says
			held = append(held, s)
		}
	}
	return held, others, state.EarlyData
}

// packSessions makes an entry of a cache; nil, which removes it, if there are no sessions.
func packSessions(held []*quic.Session, others [][]byte) *tls.ClientSessionState {
	var extra [][]byte
	early := false
	for _, s := range held {
		b, err := s.MarshalBinary()
		if err != nil {
			continue // the application's part is too long
		}
		extra = append(extra, append([]byte(sessionPrefix), b...))
		early = early || s.EarlyData()
	}
	if len(extra) == 0 {
		return nil
	}
	cs, err := newSessionState(append(extra, others...), early)
	if err != nil {
		return nil
	}
	return cs
}

// guard calls code of the program's, and makes an error of a panic in it, as crypto/handshake does.
func guard(f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &quic.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	f()
	return nil
}

// resumption is what a client's connection has to do with sessions. It is guarded by the connection's lock, but for offered.
type resumption struct {
	offered *quic.Session // nil: none
	store   *sessionStore // nil: nobody wants new ones
	ready   bool          // streams can be opened
	notSent error         // why the first datagram was not

	fresh   []*quic.Session // to be stored
	told    []*quic.Session // that were, and are to be told of
	telling bool            // a goroutine does
	storing bool            // somebody does
	stored  waiter          // for nobody to
	last    *quic.Session   // that was stored
}

// onSession has a session stored and told of. c.mu is held.
func (r *resumption) onSession(c *Conn, s *quic.Session) {
	r.fresh = appendSession(r.fresh, s)
	if !r.telling {
		r.telling = true
		go c.tellSessions()
	}
}

// appendSession adds to sessions that wait for the program's code, which may be slow: one with the ticket of the last takes its place,
// and no more wait than an entry of a cache would hold, the newest. So a server's flood of tokens fills nothing.
func appendSession(list []*quic.Session, s *quic.Session) []*quic.Session {
	if n := len(list); n > 0 && list[n-1].SameTicket(s) {
		list[n-1] = s
		return list
	}
	list = append(list, s)
	return list[max(len(list)-maxSessionsEach, 0):]
}

// storeSessions stores the sessions that wait for it. When it returns, all are stored that the server had given, so that the program may
// exit; unless ctx ends while another goroutine is in the cache's code. A program that is just being told of a session may call it, too, by
// closing the connection.
func (c *Conn) storeSessions(ctx context.Context) {
	r := c.resume
	if r == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer r.stored.wake() // it is so for all
	for r.storing || len(r.fresh) > 0 {
		if r.storing {
			if r.stored.waitContext(ctx, &c.mu) != nil {
				return
			}
			continue
		}
		if err := c.storeNext(); err != nil {
			c.core.Fail(time.Now(), err)
		}
	}
}

// storeNext stores one session. c.mu is held, but not meanwhile.
func (c *Conn) storeNext() error {
	r := c.resume
	s, last := r.fresh[0], r.last
	r.fresh, r.last, r.storing = r.fresh[1:], s, true
	c.mu.Unlock()
	defer func() { // also if the cache's code ends the goroutine
		c.mu.Lock()
		r.storing = false
		r.told = appendSession(r.told, s)
		r.stored.wake()
	}()
	return r.store.put(s, last != nil && last.SameTicket(s))
}

// tellSessions stores sessions and tells the program of them, until there are none left.
func (c *Conn) tellSessions() {
	r := c.resume
	more := true
	for more {
		c.storeSessions(context.Background())
		var s *quic.Session
		c.mu.Lock()
		if more = len(r.told) > 0; more {
			s, r.told = r.told[0], r.told[1:]
		}
		r.telling = more
		c.mu.Unlock()
		if more {
			more = c.tellSession(s)
		}
	}
	c.flushFailure()
}

// tellSession tells the program of a session, and stores what that has added to it. It is false if the program's code has failed.
func (c *Conn) tellSession(s *quic.Session) (ok bool) {
	st := c.resume.store
	if st.onSession == nil {
		return true
	}
	before := s.AppData()
	err := guard(func() { st.onSession(s) })
	if err == nil && !bytes.Equal(before, s.AppData()) {
		err = st.put(s, true)
	}
	if err != nil {
		c.mu.Lock()
		c.core.Fail(time.Now(), err)
		c.mu.Unlock()
	}
	return err == nil
}

// flushFailure has the connection's end told that a failure of the program's code has brought, if there was one.
func (c *Conn) flushFailure() {
	c.mu.Lock()
	c.handleEvents(time.Now())
	claimed := c.core.WantsSend() && c.claim()
	c.mu.Unlock()
	if claimed {
		c.flush()
	}
}

// noteNotSent notes why the first datagram of a client could not be sent, if that was after a session was looked at.
func (c *Conn) noteNotSent(err error) {
	if err == nil || c.resume == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.resume; !c.established && r.notSent == nil {
		r.notSent = err
		c.handshake.wake()
	}
}

// notSent returns what noteNotSent noted.
func (c *Conn) notSent() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resume == nil {
		return nil
	}
	return c.resume.notSent
}
