package quic

// How large datagrams are, in bytes of UDP payload, is a matter of the path, and its one owner is the path's recovery.Path: window, pacer,
// trains, MaxDatagramSize, Stats and what is still to be sent ask it (recovery.Path.MaxDatagram). What bounds it on every path is here:
// whoever finds another bound tells it here, and is asked for nothing.

// sizeLimits is what bounds the datagrams of every path, beside Config.MaxUDPPayload. None is below minDatagramSize.
type sizeLimits struct {
	peer uint16 // the peer's max_udp_payload_size; before it is known, what every peer takes
	room uint16 // the length of the buffer that Send was given last
}

func (l *sizeLimits) init() { l.peer, l.room = minDatagramSize, maxUDPPayloadSize }

// largest returns how large datagrams may be on a path of which nothing else is known.
func (l *sizeLimits) largest(cfg *Config) int {
	return min(cfg.MaxUDPPayload, int(l.peer), int(l.room))
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
		p.rec.SetMaxDatagram(c.paths.sizes.largest(c.cfg))
	}
}

// maxDatagram is how large a path's datagrams are at most, in bytes.
func (p *path) maxDatagram() int { return p.rec.MaxDatagram() }
