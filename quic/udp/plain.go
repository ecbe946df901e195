package udp

import (
	"fmt"
	"net"
	"net/netip"
)

// plainPacket moves one datagram a call through any net.PacketConn.
type plainPacket struct {
	s      *Socket
	pc     net.PacketConn
	failed failures
}

func (p *plainPacket) gso() bool { return false }
func (p *plainPacket) wake()     {}

func (p *plainPacket) report(func([]NetError)) bool { return false }

func (p *plainPacket) recv(ts []Train, wait bool) (int, error) {
	return p.s.recvSingly(ts, wait, &p.failed, func(b []byte) (int, netip.AddrPort, uint8, error) {
		n, from, err := p.pc.ReadFrom(b)
		remote, _ := addrPort(from)
		return n, remote, 0, err
	})
}

func (p *plainPacket) send(ts []Train) error {
	return p.s.sendSingly(ts, func(b []byte, remote netip.AddrPort, _ uint8) error {
		_, err := p.pc.WriteTo(b, net.UDPAddrFromAddrPort(remote))
		return err
	})
}

// MarkedPacketConn is a net.PacketConn that carries the two bits of ECN (RFC 3168) with each datagram, as a network in memory can. New
// makes use of it.
type MarkedPacketConn interface {
	net.PacketConn
	// ReadFromECN is ReadFrom that tells which mark the datagram came with, 0 to 3.
	ReadFromECN(p []byte) (n int, addr net.Addr, ecn uint8, err error)
	// WriteToECN is WriteTo with a mark, 0 to 3.
	WriteToECN(p []byte, addr net.Addr, ecn uint8) (n int, err error)
}

// plainMarked is plainPacket with ECN marks.
type plainMarked struct {
	plainPacket
	pc MarkedPacketConn
}

func (p *plainMarked) recv(ts []Train, wait bool) (int, error) {
	return p.s.recvSingly(ts, wait, &p.failed, func(b []byte) (int, netip.AddrPort, uint8, error) {
		n, from, ecn, err := p.pc.ReadFromECN(b)
		remote, _ := addrPort(from)
		return n, remote, ecn & 3, err
	})
}

func (p *plainMarked) send(ts []Train) error {
	return p.s.sendSingly(ts, func(b []byte, remote netip.AddrPort, ecn uint8) error {
		_, err := p.pc.WriteToECN(b, net.UDPAddrFromAddrPort(remote), ecn)
		return err
	})
}

// plainUDP moves one datagram a call through a *net.UDPConn.
type plainUDP struct {
	s      *Socket
	c      *net.UDPConn
	failed failures
}

func (p *plainUDP) gso() bool { return false }
func (p *plainUDP) wake()     {}

func (p *plainUDP) report(func([]NetError)) bool { return false }

func (p *plainUDP) recv(ts []Train, wait bool) (int, error) {
	return p.s.recvSingly(ts, wait, &p.failed, func(b []byte) (int, netip.AddrPort, uint8, error) {
		n, _, _, remote, err := p.c.ReadMsgUDPAddrPort(b, nil)
		return n, unmap(remote), 0, err
	})
}

func (p *plainUDP) send(ts []Train) error {
	connected := p.c.RemoteAddr() != nil
	return p.s.sendSingly(ts, func(b []byte, remote netip.AddrPort, _ uint8) error {
		if connected {
			remote = netip.AddrPort{} // package net refuses any
		}
		_, _, err := p.c.WriteMsgUDPAddrPort(b, nil, remote)
		return err
	})
}

// recvSingly receives one datagram from read.
func (s *Socket) recvSingly(ts []Train, wait bool, failed *failures, read func([]byte) (int, netip.AddrPort, uint8, error)) (int, error) {
	if len(ts) == 0 || !wait {
		return 0, nil
	}
	b := ts[0].Buf[:cap(ts[0].Buf)]
	for {
		n, remote, ecn, err := read(b)
		s.stats.recvCalls.Add(1)
		if err == nil && (n < 0 || n > len(b)) {
			err = fmt.Errorf("udp: a net.PacketConn has read %d bytes into %d", n, len(b))
		}
		switch {
		case err != nil && s.closed.Load():
			return 0, net.ErrClosed
		case err != nil:
			if err := failed.after(err); err != nil {
				return 0, err
			}
		case remote.IsValid():
			failed.n = 0
			s.stats.received.Add(1)
			ts[0] = Train{Buf: b[:n], SegSize: n, Local: s.local, Remote: remote, ECN: ecn}
			return 1, nil
		}
	}
}

// setErr notes why trains were not sent.
func setErr(ts []Train, err error) {
	for i := range ts {
		ts[i].Err = err
	}
}

// sendSingly hands each datagram of ts to write.
func (s *Socket) sendSingly(ts []Train, write func([]byte, netip.AddrPort, uint8) error) (lost error) {
	for i := range ts {
		t := &ts[i]
		seg := t.segSize()
		for b := t.Buf; ; b = b[seg:] {
			seg = min(seg, len(b))
			err := write(b[:seg], t.Remote, t.ECN)
			s.stats.sendCalls.Add(1)
			switch {
			case err == nil:
				s.stats.sent.Add(1)
			case isClosed(err) || s.closed.Load():
				setErr(ts[i:], net.ErrClosed)
				return net.ErrClosed
			default:
				s.stats.sendErrors.Add(1)
				t.Err, lost = err, err
			}
			if len(b) == seg {
				break
			}
		}
	}
	return lost
}
