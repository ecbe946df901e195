package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// MaxSegments is how many datagrams one message holds at most; a longer train takes several.
	MaxSegments = 64

	// MaxMessage is how many bytes one message holds at most: the largest UDP payload over IPv4.
	MaxMessage = 65507

	// RecvBufSize is how large the buffers of Recv must be to hold any train, in bytes.
	RecvBufSize = 64 << 10

	// defaultBuffer is what we want of the kernel's buffers, in bytes: about 5 ms at 10 Gbit/s.
	defaultBuffer = 7 << 20
)

// Train is one or more datagrams between one pair of addresses with one ECN mark, all of SegSize bytes but the last,
// which may be shorter.
type Train struct {
	Buf     []byte         // the payloads, back to back
	SegSize int            // bytes of each datagram but the last; 0: Buf is one datagram
	Local   netip.AddrPort // our address; to send: if it is not valid or unspecified, the kernel chooses
	Remote  netip.AddrPort // the peer's; IPv4 is never mapped into IPv6
	ECN     uint8          // the two bits of the IP header (RFC 3168)
	Err     error          // set by Send, where something of the train could not be sent: why, a syscall.Errno if the system says one
}

// segSize returns the size of each datagram but the last.
func (t *Train) segSize() int {
	if t.SegSize <= 0 || t.SegSize > len(t.Buf) {
		return len(t.Buf)
	}
	return t.SegSize
}

// Options are what a socket is opened with. The zero value is what most programs want.
type Options struct {
	// ReadBuffer and WriteBuffer are the sizes that we want of the kernel's buffers, in bytes. Default 7 MiB; negative:
	// they are left as they are.
	ReadBuffer, WriteBuffer int

	// NoGSO has every datagram leave in a message of its own, NoGRO has every one arrive in one.
	NoGSO, NoGRO bool

	// KeepOpen has Close leave open the net.PacketConn that New was given, for others to go on with, such as a server that follows on another
	// one: when Close returns, no call is under way, no deadline is set, and on Linux the socket's options are as New has
	// found them, but for its buffers, which stay as large. The PacketConn's SetReadDeadline must work and have a ReadFrom that waits return; if it
	// fails, Close closes the PacketConn all the same, and returns the error. Default false: Close closes it.
	KeepOpen bool
}

// Features says what a socket can do.
type Features struct {
	GSO        bool // trains leave in one message; false after the kernel refused them to several addresses and sent none
	GRO        bool // trains arrive in one message
	ECN        bool // marks are read and set
	PacketInfo bool // the local address of each train is known, also on a socket that is bound to all addresses

	// DontFragment: what is too large for a device on the way is lost, or refused here (EMSGSIZE, see IsTooLarge), and not cut into
	// fragments. Of a net.PacketConn that is no socket it is what its method DontFragment() bool says; false if it has none.
	DontFragment bool

	// ReadBuffer and WriteBuffer are the sizes of the kernel's buffers in bytes; 0: not known.
	ReadBuffer, WriteBuffer int
}

// Stats counts what passed, and what did not go as it should.
type Stats struct {
	SendCalls, RecvCalls uint64 // system calls, or calls of a net.PacketConn
	Sent, Received       uint64 // messages, each of which held a train or a datagram

	GSORefused uint64 // messages that the kernel refused as a train and took one datagram at a time
	SendErrors uint64 // messages that could not be sent; their datagrams are lost
	Truncated  uint64 // messages that were larger than the buffer, and dropped
	Overflowed uint64 // datagrams, and trains of them, that the kernel dropped, as a rule since its buffer was full; Linux alone tells
}

// Add adds the counts of other to those of s.
func (s *Stats) Add(other Stats) {
	s.SendCalls += other.SendCalls
	s.RecvCalls += other.RecvCalls
	s.Sent += other.Sent
	s.Received += other.Received
	s.GSORefused += other.GSORefused
	s.SendErrors += other.SendErrors
	s.Truncated += other.Truncated
	s.Overflowed += other.Overflowed
}

// Socket is a UDP socket. Recv and TryRecv are for one goroutine at a time; everything else is for any number.
type Socket struct {
	io     driver
	pc     net.PacketConn
	local  netip.AddrPort
	feat   Features
	hint   string
	stats  counters
	closed atomic.Bool
	kept   *kept // nil: Close closes pc
}

type counters struct {
	sendCalls, recvCalls, sent, received, gsoRefused, sendErrors, truncated, overflowed atomic.Uint64
}

// driver is how datagrams pass: in batches, or one a call.
type driver interface {
	recv(ts []Train, wait bool) (int, error)
	wake()
	send(ts []Train) error
	gso() bool
	report(f func([]NetError)) bool
}

// Listen opens a socket. network is "udp", "udp4" or "udp6"; address is as in net.ListenPacket: with "udp" and no host the
// socket takes both IPv6 and IPv4.
func Listen(network, address string, o Options) (*Socket, error) {
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	o.KeepOpen = false // nobody else has it
	s, err := New(pc, o)
	if err != nil {
		pc.Close()
	}
	return s, err
}

// errNoConn is what New says of nil, also of a *net.UDPConn that is: what net.ListenUDP returns with an error that nobody has looked at.
var errNoConn = errors.New("udp: there is no net.PacketConn, it is nil")

// New makes a Socket of any net.PacketConn, which it takes over; a deadline that was set is taken away. Only a *net.UDPConn
// itself is fast. Others, such as a wrapper around one or a network in memory, pass one datagram a call of ReadFrom and WriteTo;
// if they are a syscall.Conn, the socket beneath is told not to fragment, and its buffers are enlarged. Addresses that they
// give must be a *net.UDPAddr or print like one, those that they are given are a *net.UDPAddr, and Close must have calls that wait
// return. A MarkedPacketConn carries ECN marks, too.
func New(pc net.PacketConn, o Options) (*Socket, error) {
	if c, ok := pc.(*net.UDPConn); pc == nil || ok && c == nil {
		return nil, errNoConn
	}
	local, ok := addrPort(pc.LocalAddr())
	if !ok {
		return nil, fmt.Errorf("udp: %v is not an IP address with a port", pc.LocalAddr())
	}
	pc.SetDeadline(time.Time{})
	s := &Socket{pc: pc, local: local}
	if o.KeepOpen {
		s.kept = newKept(pc)
		defer func() { s.io = keptDriver{s.io, s.kept} }()
	}
	if c, ok := pc.(*net.UDPConn); ok {
		if err := s.open(c, o); err != nil {
			return nil, fmt.Errorf("udp: %w", err)
		}
		return s, nil
	}
	if c, ok := pc.(syscall.Conn); ok {
		s.tune(c, o)
	}
	if d, ok := pc.(interface{ DontFragment() bool }); ok {
		s.feat.DontFragment = d.DontFragment()
	}
	s.io = &plainPacket{s: s, pc: pc}
	if marked, ok := pc.(MarkedPacketConn); ok {
		s.feat.ECN = true
		s.io = &plainMarked{plainPacket{s: s, pc: pc}, marked}
	}
	return s, nil
}

// addrPort reads an address; IPv4 that is mapped into IPv6 is unmapped.
func addrPort(a net.Addr) (netip.AddrPort, bool) {
	if u, ok := a.(*net.UDPAddr); ok {
		return unmap(u.AddrPort()), u != nil
	}
	if a == nil {
		return netip.AddrPort{}, false
	}
	ap, err := netip.ParseAddrPort(a.String())
	return unmap(ap), err == nil
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// LocalAddr returns the address that the socket is bound to; its IP may be unspecified.
func (s *Socket) LocalAddr() netip.AddrPort { return s.local }

// Features says what the socket can do now.
func (s *Socket) Features() Features {
	f := s.feat
	f.GSO = s.io.gso()
	return f
}

// Stats returns what has been counted so far.
func (s *Socket) Stats() Stats {
	c := &s.stats
	return Stats{
		SendCalls: c.sendCalls.Load(), RecvCalls: c.recvCalls.Load(), Sent: c.sent.Load(), Received: c.received.Load(),
		GSORefused: c.gsoRefused.Load(), SendErrors: c.sendErrors.Load(), Truncated: c.truncated.Load(),
		Overflowed: s.overflowed(),
	}
}

// overflowed asks the kernel how much it has dropped; of a socket that is closed it is what was known last.
func (s *Socket) overflowed() uint64 {
	if c, ok := s.pc.(syscall.Conn); ok {
		if rc, err := c.SyscallConn(); err == nil {
			rc.Control(func(fd uintptr) {
				if n, ok := kernelDrops(fd); ok {
					s.stats.overflowed.Store(n)
				}
			})
		}
	}
	return s.stats.overflowed.Load()
}

// Hint is one sentence for an administrator if the kernel granted smaller buffers than were wanted, and empty if not.
func (s *Socket) Hint() string { return s.hint }

// Recv waits for datagrams and receives what is there, at most len(ts) trains. Each ts[i].Buf lends a buffer, all of its
// capacity, which is best RecvBufSize; the first n are cut to what was received, and the other fields of those are set.
// What does not fit into its buffer is dropped. The error is about the socket as a whole: net.ErrClosed after Close.
func (s *Socket) Recv(ts []Train) (n int, err error) { return s.io.recv(ts, true) }

// TryRecv is Recv that returns 0 in place of waiting. Where that cannot be done it always returns 0.
func (s *Socket) TryRecv(ts []Train) (n int, err error) { return s.io.recv(ts, false) }

// Wake has a Recv that waits return 0 now, or else the next call of Recv or TryRecv. Go's scheduler does not look at sockets while
// goroutines are ready to run that leave no processor idle: one of those can have the socket looked at all the same, by whoever
// reads it. Where that cannot be done it does nothing.
func (s *Socket) Wake() { s.io.wake() }

// Send sends trains, in order, in as few messages and system calls as the kernel allows. It waits while the kernel's buffer is
// full, on Linux for a second at most: what has no room then is lost, and further ones do not wait until there was room. Only an error
// that is net.ErrClosed is about the socket as a whole; any other says why something of ts was lost, the rest having been sent. Train.Err tells of which trains; it is left alone at those that went.
func (s *Socket) Send(ts []Train) error { return s.io.send(ts) }

// NetError is what the network has said of a datagram that was sent before (ICMP).
type NetError struct {
	Remote netip.AddrPort // where it was sent
	Quote  []byte         // how it began, as far as the network quotes it, at most 64 bytes
	Err    error          // a syscall.Errno, such as ECONNREFUSED: nobody listens on that port
}

// ReportErrors has Recv call f with what the network says of datagrams sent before, which f may keep until it returns. It is to be
// called before anything is sent or received, and only where datagrams go to few peers: others could have much be reported. false
// says that it cannot be done, which is so away from Linux and with a net.PacketConn that is no *net.UDPConn.
func (s *Socket) ReportErrors(f func([]NetError)) bool { return s.io.report(f) }

// Close closes the socket, or with Options.KeepOpen leaves it. Calls that wait return net.ErrClosed. It must not be called by what Recv
// calls.
func (s *Socket) Close() error {
	s.closed.Store(true)
	if s.kept != nil {
		return s.kept.close(s.pc)
	}
	return s.pc.Close()
}
