package perf

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"time"
)

// Errors of loads that resume sessions.
var (
	ErrNoTicket   = errors.New("the server gave no session ticket within 10 s: start it with --tickets")
	ErrNotResumed = errors.New("the server did not resume the session")
	ErrNotEarly   = errors.New("0-RTT was not accepted")
)

// TicketPatience is how long a server may take to give a session.
const TicketPatience = 10 * time.Second

// Session is a tls.ClientSessionCache that gives the first session that it was given, over and over.
type Session struct {
	once  sync.Once
	there chan struct{}
	state *tls.ClientSessionState
}

// NewSession returns a cache without a session.
func NewSession() *Session { return &Session{there: make(chan struct{})} }

// Wait waits for the session, no longer than TicketPatience.
func (s *Session) Wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, TicketPatience, ErrNoTicket)
	defer cancel()
	select {
	case <-s.there:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Put implements tls.ClientSessionCache.
func (s *Session) Put(_ string, state *tls.ClientSessionState) {
	if state != nil {
		s.once.Do(func() { s.state = state; close(s.there) })
	}
}

// Get implements tls.ClientSessionCache.
func (s *Session) Get(string) (*tls.ClientSessionState, bool) {
	select {
	case <-s.there:
		return s.state, true
	default:
		return nil, false
	}
}
