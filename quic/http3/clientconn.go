package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// ClientConn is one HTTP/3 connection to a server, as http.ClientConn is. A Transport keeps its own; Transport.DialClientConn makes one for a
// program that decides itself what goes over which connection. All its methods are for any number of goroutines. It must be closed unless it
// has ended by itself (Err).
type ClientConn struct {
	t         *Transport
	addr      string // "HOST:PORT" that it was dialled for
	cfg       *h3.Config
	maxHeader uint64  // bytes
	keepAlive bool    // it is set while there are requests
	hook      func()  // DialClientConn's; nil: none
	verdict   verdict // the route's; nil: none

	qc          *quicnet.Conn                       // set by the first turn
	tls         atomic.Pointer[tls.ConnectionState] // nil: the handshake is not complete
	established chan struct{}                       // closed when it is, or never will be
	settings    chan struct{}                       // closed when the server's settings are there, or never will be
	connects    atomic.Bool                         // the settings have extended CONNECT
	worked      atomic.Bool                         // a response came
	used        atomic.Bool                         // a request was given a place
	wanted      atomic.Bool                         // requests of the pool wait for a place

	// Guarded by the connection's lock.
	h3      *h3.Conn
	openErr error // why there is none
	live    liveness
	began   time.Time        // when the handshake was complete
	ended   time.Time        // when the connection was over
	proved  bool             // a response came whole
	breaks  bool             // it was told that the end shows that HTTP/3 does not work
	first   *call            // of the list of those that HTTP/3 tells of
	fresh   []*call          // whose response came in this turn
	tunnels map[uint64]*call // those that are CONNECT without a Body, by their streams; nil: there were none

	requests  uint64 // that were sent
	brokenOff uint64 // of those, how many there were when it was told that a response was broken off

	mu                  sync.Mutex // guards what follows; nothing is locked while it is held
	places              places
	err                 error           // why the connection is over; nil: it is not
	over                bool            // its end was dealt with
	done                func()          // gives back its socket
	queue               []chan struct{} // requests that wait for a place without a pool
	hooking, hookWanted bool            // a goroutine calls hook, and is to call it again

	pool pooled // guarded by Transport.mu
}

// places is how many requests a connection takes. What is openable changes with the server's MAX_STREAMS and with each stream that is
// opened; a place that is reserved is one of those.
type places struct {
	openable int  // streams that may be opened now
	reserved int  // places that were promised and not used yet
	kept     int  // of those, by Reserve
	open     int  // requests under way
	retired  bool // there are no new ones: the connection is over or comes to its end
	suspect  bool // nor now, since the server seems to be dead
}

// pooled is what a Transport notes of a connection.
type pooled struct {
	host       *host // nil: it is not of a pool, or not yet
	dropped    bool  // somebody closes it
	over       bool
	idleSince  time.Time
	idle       bool // in Transport.idle
	prev, next *ClientConn
	timer      *time.Timer // of IdleConnTimeout; nil: none runs
}

// errClientConnClosed is what requests fail with that come after Close.
var errClientConnClosed = fmt.Errorf("http3: the client connection is closed: %w", net.ErrClosed)

// errIdleClosed is what a connection ends with that a Transport needs no more.
var errIdleClosed = fmt.Errorf("http3: the connection was idle and was closed: %w", net.ErrClosed)

// errNoPlace is Reserve's.
var errNoPlace = errors.New("http3: the client connection takes no further request now")

// DialClientConn connects to addr, "HOST:PORT", for a program that manages its connections itself; the connection is not in the Transport's
// pool and does not count against its limits. cfg, if not nil, is in the place of TLSClientConfig. It returns when the handshake is
// complete or, with EarlyData and a session that allows it, when requests can be sent as early data; ctx is for the time until then.
// stateHook, if not nil, is called in a goroutine of its own, one call at a time, after Available may have increased, InFlight may have decreased or Err
// may have become an error.
func (t *Transport) DialClientConn(ctx context.Context, addr string, cfg *tls.Config, stateHook func()) (*ClientConn, error) {
	if cfg == nil {
		cfg = t.TLSClientConfig
	}
	return t.dial(ctx, &dialing{route: &route{origin: addr}, tls: cfg, hook: stateHook})
}

// RoundTrip sends a request on this connection, whatever host its URL names, and waits for a place for it if there is none. Nothing is sent again; apart from
// that it is Transport.RoundTrip.
func (cc *ClientConn) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := cc.try(req)
	return resp, unwrapFailure(err)
}

// try is RoundTrip whose error is a *failure where more is known of the request.
func (cc *ClientConn) try(req *http.Request) (*http.Response, error) {
	err := checkRequest(req)
	if err == nil {
		err = requestEnded(req.Context(), req)
	}
	if err != nil {
		cc.Release()
		closeBody(req)
		return nil, err
	}
	r := attempt{req: req, trace: httptrace.ContextClientTrace(req.Context())}
	r.begin()
	for {
		if err := cc.wait(req.Context(), req); err != nil {
			r.closeBody()
			return nil, err
		}
		r.got(cc, 0)
		resp, err := cc.roundTrip(&r)
		if err == nil {
			resp.Request = req
			return resp, nil
		}
		if kind := kindOf(err); kind == crowded || kind == tooEarly && r.rewind(err) == nil {
			continue
		}
		r.closeBody()
		return nil, err
	}
}

// Close ends the connection at once. Requests that are under way fail, and so do later ones, with an error that matches net.ErrClosed, as Err does then.
func (cc *ClientConn) Close() error {
	cc.close(errClientConnClosed)
	return nil
}

// Err returns why the connection can no longer be used, nil if it can.
func (cc *ClientConn) Err() error {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.err == nil && cc.places.retired {
		return h3.ErrGoingAway
	}
	return cc.err
}

// Reserve keeps a place for a request: the next call of RoundTrip does not wait for one. Each is followed by one RoundTrip, or by Release.
// The error says that the connection takes no request, or none now.
func (cc *ClientConn) Reserve() error {
	if cc.reserve(true) {
		return nil
	}
	if err := cc.Err(); err != nil {
		return err
	}
	if cc.refresh(); cc.reserve(true) {
		return nil
	}
	return errNoPlace
}

// Release gives back a place that Reserve kept; without one it does nothing.
func (cc *ClientConn) Release() {
	if cc.takeKept() {
		cc.unreserve()
	}
}

// Available returns how many requests can be made now without waiting, 0 if the connection is over or comes to its end.
func (cc *ClientConn) Available() int {
	cc.refresh()
	cc.mu.Lock()
	defer cc.mu.Unlock()
	return cc.places.free()
}

// InFlight returns how many requests are under way, places that were reserved included; 0 if the connection is over.
func (cc *ClientConn) InFlight() int {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.err != nil {
		return 0
	}
	return cc.places.open + cc.places.reserved
}

// QUIC returns the connection beneath, for its figures, its addresses and what else does not concern streams.
func (cc *ClientConn) QUIC() *quicnet.Conn { return cc.qc }
