package quicnet

import (
	"net/netip"
	"sync/atomic"

	"github.com/boringquic/boringquic/quic/udp"
)

// socket is a UDP socket of a shard, with the goroutine that reads it. A shard has one, the first, at the endpoint's address, which stays
// as long as the endpoint. Others are at a server's preferred addresses, and those that connections of clients have opened for further paths.
type socket struct {
	shard  *shard
	sock   *udp.Socket
	local  netip.AddrPort
	kept   bool        // it stays though no connection uses it
	users  int         // connections that have opened it, or share it; guarded by shard.mu
	closed atomic.Bool // that it ends is wanted
}

// socketSet is all sockets of a shard that has more than one. It is never changed: another takes its place.
type socketSet struct {
	list    []*socket // the first one at the front
	byLocal map[netip.AddrPort]*socket
}

func newSocketSet(list []*socket) *socketSet {
	if len(list) == 1 {
		return nil
	}
	set := &socketSet{list, make(map[netip.AddrPort]*socket, len(list))}
	for _, s := range list {
		if set.byLocal[s.local] == nil {
			set.byLocal[s.local] = s
		}
	}
	return set
}

// find returns the socket that packets from a local address leave by, nil if it is gone. An address that is not known is the first one's.
func (set *socketSet) find(local netip.AddrPort) *socket {
	if !local.IsValid() || local.Port() == 0 {
		return set.list[0]
	}
	if s := set.byLocal[local]; s != nil {
		return s
	}
	for _, s := range set.list {
		if s.serves(local) {
			return s
		}
	}
	return nil
}

// serves tells whether packets to a local address arrive at the socket: it may be bound to all addresses of the machine.
func (s *socket) serves(local netip.AddrPort) bool {
	bound, a := s.local.Addr(), local.Addr()
	switch {
	case s.local == local:
		return true
	case s.local.Port() != local.Port():
		return false
	case a.IsUnspecified():
		return bound.Is4() == a.Is4() // its IP was not known when the path began
	}
	return bound.IsUnspecified() && (bound.Is6() || a.Is4())
}

// all returns the shard's sockets, the first one at the front.
func (sh *shard) all() []*socket {
	if set := sh.sockets.Load(); set != nil {
		return set.list
	}
	return []*socket{sh.first}
}

// socketAt returns the socket of a local address, nil if there is none.
func (sh *shard) socketAt(local netip.AddrPort) *socket {
	for _, s := range sh.all() {
		if s.local == local {
			return s
		}
	}
	for _, s := range sh.all() {
		if s.serves(local) {
			return s
		}
	}
	return nil
}

// add has the shard serve one more socket. sh.mu is held.
func (sh *shard) add(sock *udp.Socket, kept bool) *socket {
	s := &socket{shard: sh, sock: sock, local: sock.LocalAddr(), kept: kept}
	sh.sockets.Store(newSocketSet(append(append([]*socket(nil), sh.all()...), s)))
	return s
}

// remove has the shard forget a socket that is not its first, and closes it. sh.mu is held.
func (sh *shard) remove(s *socket) {
	if s.closed.Swap(true) {
		return
	}
	var rest []*socket
	for _, o := range sh.all() {
		if o != s {
			rest = append(rest, o)
		}
	}
	sh.sockets.Store(newSocketSet(rest))
	sh.past.Add(s.sock.Stats())
	go s.sock.Close() // which waits for whoever is using it
}

// start has a goroutine serve the socket until it ends.
func (s *socket) start() {
	sh := s.shard
	batch := recvBatch
	if !sh.ep.listen {
		batch = recvBatchDial
		s.sock.ReportErrors(sh.onNetErrors) // who listens would hear of every client that made up its address
	}
	in := newInbox(s, batch)
	sh.reader.Add(1)
	go func() {
		defer sh.reader.Done()
		err := in.read()
		if !s.closed.Load() {
			sh.onSocketEnd(s, err)
		}
	}()
}
