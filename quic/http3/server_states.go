package http3

import (
	"net"
	"net/http"
	"sync"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// connStates calls http.Server.ConnState, outside of the connection's lock and in order. A nil one calls nobody.
type connStates struct {
	sc   *serverConn
	conn net.Conn
	hook func(net.Conn, http.ConnState)

	mu      sync.Mutex // guards waiting; taken after the connection's lock
	waiting []http.ConnState

	calling chan struct{} // has a token while the hook runs: a lock that, unlike a mutex, may be waited for in bubbles of testing/synctest. Taken before mu
}

func newConnStates(sc *serverConn, t *quicnet.Turn) *connStates {
	return &connStates{sc: sc, conn: sc.netConn(t), hook: sc.srv.http.ConnState, calling: make(chan struct{}, 1)}
}

// push notes a change of state, which a goroutine tells, or before it the next handler. The connection's lock is held.
func (s *connStates) push(t *quicnet.Turn, state http.ConnState) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, state)
	if len(s.waiting) == 1 {
		t.Go(s)
	}
}

// Serve tells what waits. It is a quicnet.Task. A hook that panics ends its connection, as net/http's does.
func (s *connStates) Serve() {
	defer func() {
		if v := recover(); v != nil {
			s.sc.end()
			s.sc.srv.logPanic(s.conn.RemoteAddr(), v)
		}
	}()
	s.tell()
}

func (s *connStates) tell() {
	if s == nil {
		return
	}
	s.calling <- struct{}{}
	defer func() { <-s.calling }()
	for {
		s.mu.Lock()
		waiting := s.waiting
		s.waiting = nil
		s.mu.Unlock()
		if len(waiting) == 0 {
			return
		}
		for _, state := range waiting {
			s.hook(s.conn, state)
		}
	}
}
