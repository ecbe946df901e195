package main

// #include "internal.h"
import "C"

import (
	"context"
	"net"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/udp"
)

// socket is a bquic_socket: an Endpoint of quicnet's.
type socket struct {
	object
	endpoint *quicnet.Endpoint
	settings *settings // of the server; nil: it only dials
	queue    *queue    // nil: bquic_accept

	waiting atomic.Int64 // connections of which the queue has not told that they are accepted

	mu     sync.Mutex // taken after the lock of a connection, never before
	ripe   []*netConn // that wait to be accepted
	bell   bell
	closed bool
}

// maxWaiting is how many connections wait to be accepted.
const maxWaiting = 1024

// checkAddress looks at what is to be "HOST:PORT" with a number for a port, from least on.
func checkAddress(text string, least uint64) error {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		if n, e := strconv.ParseUint(port, 10, 16); e == nil && n >= least {
			return nil
		}
		return faultf(errArgument, "the address %q is not HOST:PORT: its port must be a number from %d to 65535", text, least)
	}
	return faultf(errArgument, "the address %q is not HOST:PORT: %v", text, err)
}

// queueOf returns the queue of a handle, nil for NULL.
func queueOf(h handle) (*queue, error) {
	if h == 0 {
		return nil, nil
	}
	return find[queue](h, kindQueue)
}

//export bq_go_listen
func bq_go_listen(cfg C.uint64_t, at *C.char, shards C.uint32_t, queue_ C.uint64_t, h *C.uint64_t) C.int32_t {
	return C.int32_t(call(func() (err error) {
		l := &socket{}
		if cfg != 0 {
			if l.settings, err = useConfig(cfg); err != nil {
				return err
			}
		}
		if l.queue, err = queueOf(handle(queue_)); err != nil {
			return err
		}
		if err := checkAddress(text(at), 0); err != nil {
			return err
		}
		if shards > 256 {
			return faultf(errArgument, "shards is %d, and can be at most 256", shards)
		}
		if err := l.open(text(at), int(shards)); err != nil {
			return err
		}
		l.object.self = l
		register(&l.object, kindSocket)
		*h = C.uint64_t(l.handle)
		return nil
	}))
}

// open opens the socket.
func (l *socket) open(at string, shards int) (err error) {
	if l.settings == nil {
		sock, err := udp.Listen("udp", at, udp.Options{})
		if err != nil {
			return err
		}
		if l.endpoint, err = quicnet.NewEndpoint(sock, nil); err != nil {
			sock.Close()
		}
		return err
	}
	server := l.settings.server
	switch {
	case server.TLS == nil:
		return faultf(errConfig, "bquic_config_set_make_ssl is for endpoints: a socket of the event loop has certificates")
	case len(server.TLS.Certificates) == 0:
		return errNoCertificate
	case l.settings.http != nil && l.queue == nil:
		return errNoQueue
	}
	if err := hasProtocol(server); err != nil {
		return err
	}
	l.endpoint, err = quicnet.ListenConfig{Shards: shards, Protocol: l.accepts}.Listen(at, server)
	return instead(errConfig, err) // what is neither the system's nor the peer's is one of the settings
}

var (
	errNoCertificate = &fault{errConfig, "a server needs a certificate: bquic_config_add_cert_files or bquic_config_add_cert_pem adds one"}
	errNoQueue       = &fault{errConfig, "HTTP/3 tells of requests and responses by events: there must be a bquic_queue for them"}
)

// accepts has a client's connection, whose turn it is, wait to be accepted. It may not wait itself.
func (l *socket) accepts(t *quicnet.Turn) quicnet.Protocol {
	n := newNetConn(t, l.settings, l.queue)
	n.from = l
	if refusal := l.offer(n); refusal != "" {
		n.freed = true
		t.Core.Close(t.Now, false, uint64(quic.ConnectionRefused), refusal)
	}
	return n
}

// offer has a connection be accepted, or says why not. One that is over makes way.
func (l *socket) offer(n *netConn) (refusal string) {
	const nobody, tooMany = "nobody accepts connections any more", "too many connections wait to be accepted"
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.queue != nil && l.queue.isFreed() {
		return nobody
	}
	if l.queue != nil {
		if l.waiting.Load() >= maxWaiting {
			return tooMany
		}
		l.waiting.Add(1)
		n.conn.accepted, n.live, n.untold = true, true, true
		register(&n.conn.object, kindConn)
		return ""
	}
	if len(l.ripe) == maxWaiting {
		dead := slices.IndexFunc(l.ripe, func(n *netConn) bool { return n.over.Load() })
		if dead < 0 {
			return tooMany
		}
		l.ripe = slices.Delete(l.ripe, dead, dead+1)
	}
	l.ripe = append(l.ripe, n)
	l.bell.ring()
	return ""
}

//export bq_go_accept
func bq_go_accept(h, timeout C.uint64_t, out *C.uint64_t) C.int32_t {
	return C.int32_t(in(handle(h), kindSocket, func(l *socket) error {
		switch {
		case l.settings == nil:
			return faultf(errState, "the socket was opened without settings, and only dials")
		case l.queue != nil:
			return faultf(errState, "the socket's queue tells of connections that are accepted")
		}
		n, err := l.accept(handle(h), timeout)
		if err == nil {
			*out = C.uint64_t(n.conn.handle)
		}
		return err
	}))
}

func (l *socket) accept(h handle, timeout C.uint64_t) (*netConn, error) {
	p := patience{timeout: timeout, over: timeout == 0}
	defer p.end()
	for {
		n, bell := l.take()
		switch {
		case n != nil:
			register(&n.conn.object, kindConn)
			return n, nil
		case bell == nil:
			return nil, handleError(h, kindSocket)
		case p.over:
			return nil, errExpired
		}
		p.wait(bell)
	}
}

// take returns a connection that waits, or what rings when one has come, or neither if the socket is closed.
func (l *socket) take() (*netConn, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil
	}
	if len(l.ripe) > 0 {
		n := l.ripe[0]
		l.ripe = slices.Delete(l.ripe, 0, 1)
		return n, nil
	}
	return nil, l.bell.listen()
}

//export bq_go_socket_addr
func bq_go_socket_addr(h C.uint64_t, at *C.bquic_addr) C.int32_t {
	return C.int32_t(in(handle(h), kindSocket, func(l *socket) error {
		setAddr(at, l.endpoint.Addr().(*net.UDPAddr).AddrPort())
		return nil
	}))
}

//export bq_go_socket_free
func bq_go_socket_free(h C.uint64_t) C.int32_t {
	return C.int32_t(in(handle(h), kindSocket, func(l *socket) error {
		if !unregister(&l.object) {
			return handleError(handle(h), kindSocket)
		}
		l.mu.Lock()
		l.closed, l.ripe = true, nil
		l.bell.ring()
		l.mu.Unlock()
		return l.endpoint.Close()
	}))
}

//export bq_go_dial
func bq_go_dial(cfg C.uint64_t, to *C.char, o *C.bquic_dial_options, queue_, socket_, timeout C.uint64_t, out *C.uint64_t) C.int32_t {
	return C.int32_t(call(func() error {
		s, err := useConfig(cfg)
		if err != nil {
			return err
		}
		d, err := newDialing(s, text(to), o, handle(queue_), handle(socket_))
		if err != nil {
			return err
		}
		n := d.begun
		ctx, cancel := context.WithCancel(context.Background())
		n.cancel = cancel
		n.conn.userData = uint64(o.user_data)
		register(&n.conn.object, kindConn)
		h := n.conn.handle
		if timeout == 0 {
			*out = C.uint64_t(h)
			go d.runUnwaited(ctx)
			return nil
		}
		if timeout <= maxDuration {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(timeout))
			defer cancel()
		}
		if err := d.run(ctx); err != nil {
			_ = freeConn(h)
			return err
		}
		*out = C.uint64_t(h)
		return nil
	}))
}

// dialing is a call of bquic_dial.
type dialing struct {
	quicnet.Dialer
	begun  *netConn // that has the handle until there is a connection
	to     string
	config *quic.Config
	early  bool
}

func newDialing(s *settings, to string, o *C.bquic_dial_options, queue_, socket_ handle) (*dialing, error) {
	if err := checkAddress(to, 1); err != nil {
		return nil, err
	}
	q, err := queueOf(queue_)
	switch {
	case err != nil:
		return nil, err
	case o.flags&^(C.BQUIC_DIAL_EARLY|C.BQUIC_DIAL_RESEND|C.BQUIC_DIAL_FOLLOW) != 0:
		return nil, faultf(errArgument, "flags of bquic_dial_options is %d, and has bits that are not known", o.flags)
	case s.http != nil && q == nil:
		return nil, errNoQueue
	}
	if err := hasProtocol(s.client); err != nil {
		return nil, err
	}
	d := &dialing{to: to, config: s.client, early: o.flags&C.BQUIC_DIAL_EARLY != 0}
	d.ResendEarly, d.FollowNetwork = o.flags&C.BQUIC_DIAL_RESEND != 0, o.flags&C.BQUIC_DIAL_FOLLOW != 0
	d.Protocol = func(t *quicnet.Turn) quicnet.Protocol { return newNetConn(t, s, q) }
	if socket_ != 0 {
		from, err := find[socket](socket_, kindSocket)
		if err != nil {
			return nil, err
		}
		d.Endpoint = from.endpoint
	}
	if name := text(o.server_name); name != "" {
		own := *s.client
		own.TLS = own.TLS.Clone()
		own.TLS.ServerName = name
		d.config = &own
	}
	if d.Session, err = sessionOf(&o.session); err != nil {
		return nil, err
	}
	n := &netConn{queue: q, conn: &conn{settings: s, at: -1}}
	n.conn.net, n.conn.object.self = n, n.conn
	d.begun = n
	return d, nil
}

// runUnwaited is run of a connection that the program has, and hears of by events and by the calls that wait. Of one that it waits for it must not hear so:
// bquic_dial has said then that there is none.
func (d *dialing) runUnwaited(ctx context.Context) error {
	err := d.run(ctx)
	if err != nil {
		d.begun.fail(err)
	}
	return err
}

// run dials, and gives the handle to what has come of it. It is on a goroutine of ours, or a thread of C's.
func (d *dialing) run(ctx context.Context) (err error) {
	defer d.begun.cancel()
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v, debug.Stack())
		}
	}()
	dial := d.Dial
	if d.early {
		dial = d.DialEarly
	}
	c, err := dial(ctx, d.to, d.config)
	if err != nil {
		return instead(errConfig, err)
	}
	if n := c.Protocol().(*netConn); !d.begun.move(n) {
		n.leave()
	}
	return nil
}

// fail has a connection not come about.
func (n *netConn) fail(err error) {
	_ = n.within(func(c *conn) error {
		n.failed = err
		if n.queue != nil && !n.freed {
			n.told = []found{{kind: toldCore, core: quic.Event{Kind: quic.EventClosed}}, {kind: toldCore, core: quic.Event{Kind: quic.EventDrained}}}
		}
		n.ringAll()
		return nil
	})
}

// move gives the handle to the connection that n has become; false: it was freed meanwhile.
func (n *netConn) move(to *netConn) bool {
	n.solo.Lock()
	defer n.solo.Unlock()
	if n.freed || !replace(&n.conn.object, &to.conn.object) {
		return false
	}
	_ = to.within(func(c *conn) error {
		c.userData = n.conn.userData
		c.net.live = true
		return nil
	})
	n.moved = to
	n.ringAll()
	return true
}
