package udp

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// plainPacket moves one datagram a call through any net.PacketConn.
type plainPacket struct {
	s     *Socket
	pc    net.PacketConn
	pause pause
}

func (p *plainPacket) gso() bool { return false }

func (p *plainPacket) recv(ts []Train, wait bool) (int, error) {
	if len(ts) == 0 || !wait {
		return 0, nil
	}
	for {
		b := ts[0].Buf[:cap(ts[0].Buf)]
		n, from, err := p.pc.ReadFrom(b)
		if err != nil {
			if err := p.pause.after(err); err != nil {
				return 0, err
			}
			continue
		}
		p.pause = 0
		if remote, ok := addrPort(from); ok {
			ts[0] = Train{Buf: b[:n], SegSize: n, Local: p.s.local, Remote: remote}
			return 1, nil
		}
	}
}

func (p *plainPacket) send(ts []Train) error {
	return sendSingly(ts, &p.s.stats.sendErrors, func(b []byte, remote netip.AddrPort) error {
		_, err := p.pc.WriteTo(b, net.UDPAddrFromAddrPort(remote))
		return err
	})
}

// plainUDP moves one datagram a call through a *net.UDPConn.
type plainUDP struct {
	s     *Socket
	c     *net.UDPConn
	pause pause
}

func (p *plainUDP) gso() bool { return false }

func (p *plainUDP) recv(ts []Train, wait bool) (int, error) {
	if len(ts) == 0 || !wait {
		return 0, nil
	}
	for {
		b := ts[0].Buf[:cap(ts[0].Buf)]
		n, _, _, remote, err := p.c.ReadMsgUDPAddrPort(b, nil)
		if err != nil {
			if err := p.pause.after(err); err != nil {
				return 0, err
			}
			continue
		}
		p.pause = 0
		ts[0] = Train{Buf: b[:n], SegSize: n, Local: p.s.local, Remote: unmap(remote)}
		return 1, nil
	}
}

func (p *plainUDP) send(ts []Train) error {
	return sendSingly(ts, &p.s.stats.sendErrors, func(b []byte, remote netip.AddrPort) error {
		_, _, err := p.c.WriteMsgUDPAddrPort(b, nil, remote)
		return err
	})
}

// sendSingly hands each datagram of ts to write.
func sendSingly(ts []Train, failed *atomic.Uint64, write func([]byte, netip.AddrPort) error) error {
	var lost error
	for i := range ts {
		t := &ts[i]
		seg := t.segSize()
		for b := t.Buf; ; b = b[seg:] {
			seg = min(seg, len(b))
			if err := write(b[:seg], t.Remote); err != nil {
				if errors.Is(err, net.ErrClosed) {
					return err
				}
				failed.Add(1)
				lost = err
			}
			if len(b) == seg {
				break
			}
		}
	}
	return lost
}

// pause counts failed reads in a row.
type pause int

// maxFailedReads is after how many failed reads in a row a socket is given up.
const maxFailedReads = 1000

// after decides on a failed read: nil says to read again. What the network reports about earlier sends, such as a port
// that is unreachable, is no reason to stop; a read that fails over and over is.
func (p *pause) after(err error) error {
	*p++
	if errors.Is(err, net.ErrClosed) || *p >= maxFailedReads {
		return err
	}
	if *p > 10 {
		time.Sleep(time.Millisecond)
	}
	return nil
}
