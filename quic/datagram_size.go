package quic

import (
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// How large datagrams are, in bytes of UDP payload, is a matter of the path, and its one owner is the path's recovery.Path: window, pacer,
// trains, MaxDatagramSize, Stats and what is still to be sent ask it (recovery.Path.MaxDatagram), and it finds out what the path carries.
// What bounds it on every path is here: whoever finds another bound tells it here, and is asked for nothing.

// sizeLimits is what bounds the datagrams of every path, beside Config.MaxUDPPayload. None is below minDatagramSize.
type sizeLimits struct {
	peer   uint16 // the peer's max_udp_payload_size; before it is known, what every peer takes
	room   uint16 // the length of the buffer that Send was given last
	told   uint16 // what the application was told last
	wanted bool   // the application had a DATAGRAM frame for which there was no room: one more size is to be tried
}

func (l *sizeLimits) init() {
	l.peer, l.room, l.told = minDatagramSize, maxUDPPayloadSize, minDatagramSize
}

// ceiling returns how large datagrams to an address may be, whatever the path carries.
func (l *sizeLimits) ceiling(cfg *Config, remote netip.AddrPort) int {
	return min(l.roomy(cfg, remote), int(l.room))
}

// roomy is ceiling for a Send whose buffer is large enough.
func (l *sizeLimits) roomy(cfg *Config, remote netip.AddrPort) int {
	most := maxUDPPayloadSize
	if remote.Addr().Unmap().Is4() {
		most = maxUDPPayloadIPv4
	}
	return min(cfg.MaxUDPPayload, int(l.peer), most)
}

// limitPeer takes the peer's max_udp_payload_size (RFC 9000, section 18.2).
func (c *Conn) limitPeer(limit uint64) {
	c.paths.sizes.peer = uint16(min(limit, maxUDPPayloadSize))
	c.resizeDatagrams()
}

// limitRoom takes the length of Send's buffer.
func (c *Conn) limitRoom(n int) {
	if room := uint16(min(n, maxUDPPayloadSize)); room != c.paths.sizes.room {
		c.paths.sizes.room = room
		c.resizeDatagrams()
	}
}

// resizeDatagrams brings every path up to date.
func (c *Conn) resizeDatagrams() {
	for _, p := range c.paths.list {
		p.rec.SetCeiling(c.paths.sizes.ceiling(c.cfg, p.remote))
	}
}

// maxDatagram is how large a path's datagrams are at most, in bytes.
func (p *path) maxDatagram() int { return p.rec.MaxDatagram() }

// tellSize tells the application if the datagrams of the path in use have another size than before.
func (c *Conn) tellSize() {
	s := &c.paths.sizes
	if size := uint16(c.path.maxDatagram()); size != s.told && c.tls.complete && c.state == stateActive {
		s.told = size
		c.events.pushSize(int(size))
	}
}

// wantLarger has another size be tried for a DATAGRAM frame that is too large, though nothing else is to be sent.
func (c *Conn) wantLarger() { c.paths.sizes.wanted = c.tls.complete && c.path.rec.WantLarger() }

// HandleTooLarge tells that the system has refused to send datagrams of size bytes of UDP payload from local to remote, since the device
// takes none as large (EMSGSIZE). A probe of the path's MTU is no longer waited for then; and where datagrams of that size were in use, there
// is another device or another route: they fall to 1200 bytes, and the search for more begins anew. Of 1200 bytes and less nothing is
// believed: every path of QUIC carries them (RFC 9000, section 14), so that what the network claims, in ICMP messages, cannot make a
// connection worse. What was refused is sent again as if it were lost.
func (c *Conn) HandleTooLarge(now time.Time, local, remote netip.AddrPort, size int) {
	n := c.clock.read(now)
	if p := c.paths.find(local, remote, c.path); p != nil && c.state == stateActive {
		c.loss.OnTooLarge(n, p.rec, size)
		c.tellSize()
	}
}

// sizeProbe returns the size of the probe of the path's MTU that is to be sent, 0 if none is.
//
// A probe leaves in front of data that waits, when full datagrams were sent before it: whoever has nothing to send, or little, or only
// receives, has no use for larger ones. So an idle connection stays idle.
func (c *Conn) sizeProbe() int {
	p, s := c.path, &c.paths.sizes
	size := p.rec.ProbeSize(c.clock.now)
	switch {
	case size == 0 || !c.tls.confirmed || !p.validated || p.challenge.at != 0 || c.sending.probes != [numSpaces]uint8{}:
		return 0
	case !s.wanted && !c.streams.wantsData() && c.datagrams.out.len() == 0:
		return 0
	}
	return size
}

// packSizeProbe makes a datagram that finds out whether the path carries one as large: PING and PADDING, which are not sent again if it
// does not (RFC 9000, section 14.4). It waits for the congestion window as data does.
func (c *Conn) packSizeProbe(t *outTrain) int {
	size := c.sizeProbe()
	c.paths.sizes.wanted = false // for now: whoever wants it asks again
	if size == 0 || size > cap(t.buf) || c.held(t) {
		return 0
	}
	c.beginPacket(t, recovery.AppSpace, size)
	pkt := &t.pkt
	pkt.b = append(pkt.b, wire.FramePing)
	pkt.ackEliciting, pkt.probe = true, true
	pkt.pad(t.pkt.header.start, size-protect.Overhead)
	c.endPacket(t)
	return len(t.buf)
}
