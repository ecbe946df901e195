package quiclb

import (
	"crypto/cipher"
	"fmt"
	"sync"
)

// Decoder finds for a balancer which server a datagram is for. It knows one configuration for each value of the rotation bits. Its methods are
// for any number of goroutines, and allocate nothing.
type Decoder struct {
	configs [unroutable]*decoding
	rooms   sync.Pool // of *room
}

type decoding struct {
	cfg   Config
	block cipher.Block // nil: no key
}

type room struct {
	permuter permuter
	b        [maxBlock]byte
}

// NewDecoder returns a Decoder for configurations with different rotation bits. With none, everything is unroutable. The error says
// which is out of range.
func NewDecoder(cfgs ...Config) (*Decoder, error) {
	d := &Decoder{rooms: sync.Pool{New: func() any { return new(room) }}}
	for _, cfg := range cfgs {
		if err := cfg.Check(); err != nil {
			return nil, err
		}
		at := &d.configs[cfg.Rotation]
		if *at != nil {
			return nil, fmt.Errorf("quiclb: two configurations with Rotation %d: each needs its own", cfg.Rotation)
		}
		block, err := cfg.newBlock()
		if err != nil {
			return nil, err
		}
		*at = &decoding{cfg, block}
	}
	return d, nil
}

// Datagram appends to dst the server ID that the Destination Connection ID of a datagram's first packet leads to. Ok is false if that is
// unroutable (section 4.1); it is also so, which the caller has to find out, if there is no such server: clients make up their
// first connection IDs. Then the balancer goes by something else, the addresses for one. QUIC versions need not be known (RFC 8999,
// section 5).
func (d *Decoder) Datagram(dst, datagram []byte) (serverID []byte, ok bool) {
	const longHeader, idAt = 0x80, 6
	switch {
	case len(datagram) == 0:
		return dst, false
	case datagram[0]&longHeader == 0:
		return d.append(dst, datagram[1:min(len(datagram), 1+maxConnIDLen)], false)
	case len(datagram) < idAt || len(datagram) < idAt+int(datagram[idAt-1]):
		return dst, false
	}
	return d.append(dst, datagram[idAt:idAt+int(datagram[idAt-1])], true)
}

// ConnID appends to dst the server ID that a connection ID leads to; ok as in Datagram. What follows the part that counts makes no difference, so id may be longer than a
// connection ID.
func (d *Decoder) ConnID(dst, id []byte) (serverID []byte, ok bool) { return d.append(dst, id, false) }

// append does so, also for an id that is known to end where it does.
func (d *Decoder) append(dst, id []byte, whole bool) ([]byte, bool) {
	if len(id) == 0 || id[0]>>5 == unroutable {
		return dst, false
	}
	c := d.configs[id[0]>>5]
	if c == nil || len(id) < 1+c.cfg.block() {
		return dst, false
	}
	if told := 1 + int(id[0]&0x1f); c.cfg.EncodeLength && (told < 1+c.cfg.block() || whole && told != len(id)) {
		return dst, false
	}
	if c.block == nil {
		return append(dst, id[1:1+c.cfg.ServerIDLen]...), true
	}
	r := d.rooms.Get().(*room)
	b := r.b[:copy(r.b[:], id[1:1+c.cfg.block()])]
	r.permuter.decrypt(c.block, b, idPasses, c.cfg.ServerIDLen)
	dst = append(dst, b[:c.cfg.ServerIDLen]...)
	d.rooms.Put(r)
	return dst, true
}
