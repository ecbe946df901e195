package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is the kernel's struct mmsghdr, which x/sys does not have.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// recvmmsg and sendmmsg are the system calls. They do not wait, since the descriptor does not, so that the scheduler need not know.
func recvmmsg(fd uintptr, msgs []mmsghdr) (n int, errno syscall.Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(msgs))), uintptr(len(msgs)),
		0, 0, 0)
	return int(r), errno
}

func sendmmsg(fd uintptr, msgs []mmsghdr) (n int, errno syscall.Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(msgs))), uintptr(len(msgs)),
		0, 0, 0)
	return int(r), errno
}

// sockaddr holds the address of either family.
type sockaddr = unix.RawSockaddrInet6

// control holds the control messages of one message: at most packet info, ECN and GSO or GRO. It is made of words
// because the kernel wants them aligned.
type control [16]uint64

const controlLen = int(unsafe.Sizeof(control{}))

func (c *control) bytes() []byte { return (*[controlLen]byte)(unsafe.Pointer(c))[:] }

// header returns the header of the control message at off, a multiple of 8.
func (c *control) header(off int) *unix.Cmsghdr { return (*unix.Cmsghdr)(unsafe.Pointer(&c[off/8])) }

// put writes a control message of n bytes at off and returns where its data lies and where the next one begins.
func (c *control) put(off, level, kind, n int) (data []byte, next int) {
	h := c.header(off)
	h.Level, h.Type = int32(level), int32(kind)
	h.SetLen(unix.CmsgLen(n))
	return c.bytes()[off+unix.CmsgLen(0):][:n], off + unix.CmsgSpace(n)
}

// putECN appends the mark, in the option of the packet's IP version.
func (c *control) putECN(off int, inet6 bool, ecn uint8) int {
	level, kind := unix.IPPROTO_IP, unix.IP_TOS
	if inet6 {
		level, kind = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	data, off := c.put(off, level, kind, 4)
	binary.NativeEndian.PutUint32(data, uint32(ecn&0b11))
	return off
}

// putLocal appends the address to send from.
func (c *control) putLocal(off int, local netip.Addr) int {
	if local.Is4() {
		data, off := c.put(off, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		*(*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])) = unix.Inet4Pktinfo{Spec_dst: local.As4()}
		return off
	}
	data, off := c.put(off, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	*(*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])) = unix.Inet6Pktinfo{Addr: local.As16(), Ifindex: zones.index(local.Zone())}
	return off
}

// putGSO appends the segment size of a train.
func (c *control) putGSO(off, segSize int) int {
	data, off := c.put(off, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(data, uint16(segSize))
	return off
}

// read takes from the control messages, of length n, what they tell of a received train.
func (c *control) read(n int, t *Train) {
	n = min(n, controlLen)
	for off := 0; off+unix.SizeofCmsghdr <= n; {
		h := c.header(off)
		size := int(h.Len)
		if size < unix.CmsgLen(0) || size > n-off {
			return
		}
		c.readOne(h, c.bytes()[off+unix.CmsgLen(0):off+size], t)
		off += unix.CmsgSpace(size - unix.CmsgLen(0))
	}
}

func (c *control) readOne(h *unix.Cmsghdr, data []byte, t *Train) {
	switch {
	case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
		t.SegSize = int(int32(binary.NativeEndian.Uint32(data)))
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS && len(data) >= 1:
		t.ECN = data[0] & 0b11
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS && len(data) >= 4:
		t.ECN = uint8(binary.NativeEndian.Uint32(data)) & 0b11
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
		t.Local = netip.AddrPortFrom(netip.AddrFrom4(info.Addr), t.Local.Port())
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
		t.Local = netip.AddrPortFrom(zones.addr(info.Addr, info.Ifindex), t.Local.Port())
	}
}

// readSockaddr reads what the kernel wrote.
func readSockaddr(sa *sockaddr) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])
	switch sa.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port)
	case unix.AF_INET6:
		return netip.AddrPortFrom(zones.addr(sa.Addr, sa.Scope_id), port)
	}
	return netip.AddrPort{}
}

// writeSockaddr writes an address for a socket of the given family and returns its length.
func writeSockaddr(sa *sockaddr, a netip.AddrPort, inet6 bool) uint32 {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:], a.Port())
	if a.Addr().Is4() && !inet6 {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		v4.Family, v4.Addr = unix.AF_INET, a.Addr().As4()
		return unix.SizeofSockaddrInet4
	}
	sa.Family, sa.Flowinfo, sa.Scope_id = unix.AF_INET6, 0, 0
	sa.Addr = a.Addr().As16() // IPv4 is mapped
	if zone := a.Addr().Zone(); zone != "" {
		sa.Scope_id = zones.index(zone)
	}
	return unix.SizeofSockaddrInet6
}

// zoneCache remembers the names of network interfaces, which netip has where the kernel has numbers. Only link-local
// addresses have a zone.
type zoneCache struct {
	mu     sync.Mutex
	byName map[string]uint32
	byID   map[uint32]string
}

var zones = zoneCache{byName: make(map[string]uint32), byID: make(map[uint32]string)}

// maxZones bounds the cache; it begins anew when interfaces have come and gone that often.
const maxZones = 1024

// addr makes an address of its bytes, with a zone if it is link-local.
func (z *zoneCache) addr(b [16]byte, id uint32) netip.Addr {
	a := netip.AddrFrom16(b).Unmap()
	if id == 0 || !a.IsLinkLocalUnicast() || a.Is4() {
		return a
	}
	return a.WithZone(z.name(id))
}

func (z *zoneCache) name(id uint32) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	name, ok := z.byID[id]
	if !ok {
		name = strconv.Itoa(int(id))
		if i, err := net.InterfaceByIndex(int(id)); err == nil {
			name = i.Name
		}
		z.learn(name, id)
	}
	return name
}

func (z *zoneCache) index(name string) uint32 {
	if name == "" {
		return 0
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	id, ok := z.byName[name]
	if !ok {
		if i, err := net.InterfaceByName(name); err == nil {
			id = uint32(i.Index)
		} else {
			n, _ := strconv.ParseUint(name, 10, 32)
			id = uint32(n)
		}
		z.learn(name, id)
	}
	return id
}

func (z *zoneCache) learn(name string, id uint32) {
	if len(z.byName) >= maxZones {
		clear(z.byName)
		clear(z.byID)
	}
	z.byName[name], z.byID[id] = id, name
}
