package quic

import (
	"encoding/binary"
	"slices"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// What is sent so that nobody on the way, and no peer, takes for fixed what is not (RFC 9000, sections 15 and 18.1; RFC 9287): a
// transport parameter and a version that stand for nothing, the QUIC bit as 0. And the spin bit, by which an observer can measure
// the round-trip time (RFC 9000, section 17.4).
//
// What is left to chance follows from eight bytes of Config.Rand, mixed with the packet number, so that no packet takes a call.

// chance returns 64 bits that nobody can foretell who does not see much of what they decide.
func (c *Conn) chance(n uint64) uint64 {
	return mix(binary.LittleEndian.Uint64(c.sending.random[:]) + n*0x9e3779b97f4a7c15)
}

// mix is the finisher of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// What chance is asked about that is no packet.
const (
	chanceParam uint64 = 1<<63 + iota
	chanceParamValue
	chanceVersion
	chanceSpin
)

// greaseParams adds to our transport parameters what the peer has to ignore: to half of all a reserved parameter of up to 16 bytes, and
// to version_information a reserved version. grease_quic_bit says that we take packets whose QUIC bit is 0.
func (c *Conn) greaseParams(p *wire.TransportParameters, value *[16]byte) {
	if c.cfg.NoGrease {
		return
	}
	p.GreaseQUICBit = true
	if r := c.chance(chanceParam); r&1 != 0 {
		low := c.chance(chanceParamValue)
		binary.LittleEndian.PutUint64(value[:8], low)
		binary.LittleEndian.PutUint64(value[8:], mix(low))
		p.Reserved = wire.Reserved{N: r >> 40, Value: value[:r>>8%(uint64(len(value))+1)]}
	}
}

// availableVersions is Available Versions of version_information: all that we speak, and with them a reserved one, in room.
func (c *Conn) availableVersions(room []uint32) []uint32 {
	list := append(room[:0], c.cfg.Versions...)
	if c.cfg.NoGrease {
		return list
	}
	r := c.chance(chanceVersion)
	return slices.Insert(list, int(r>>32%uint64(len(list)+1)), reservedVersion(uint32(r)))
}

// maskFirst sets the two bits of a packet's first byte that are left to chance: the QUIC bit, which is 0 in half of the packets once the
// peer has announced that it takes such (RFC 9287, section 3), and the spin bit of short headers.
func (c *Conn) maskFirst(b []byte, t *path, slot protect.Slot, pn int64) {
	r := c.chance(uint64(pn))
	if c.tls.greases && slot != protect.ZeroRTT && r&1 != 0 {
		wire.ClearFixedBit(b)
	}
	if slot != protect.OneRTT {
		return
	}
	if t.spin.of(c, t, pn) == spinOff {
		wire.SetSpinBit(b, r&2 != 0)
	} else {
		wire.SetSpinBit(b, t.spin.value)
	}
}

// spin is the spin bit of a path (RFC 9000, section 17.4): a client inverts what it has received in the packet with the highest number,
// and a server returns it, so that the bit changes once a round trip. It is 0 when the connection ID changes.
//
// Of sixteen connection IDs one has the bit at random, and all have where Config.SpinBit is false, so that to do so is nothing unusual.
type spin struct {
	seq   uint64 // of the connection ID that state and value are for
	state spinState
	value bool
}

type spinState uint8

const (
	spinUnknown spinState = iota
	spinOff               // at random
	spinOn
)

// of returns the state for the connection ID that a path sends to.
func (s *spin) of(c *Conn, p *path, pn int64) spinState {
	if s.state == spinUnknown || s.seq != p.dcidSeq {
		*s = spin{seq: p.dcidSeq, state: spinOn}
		if !c.cfg.SpinBit || c.chance(chanceSpin^uint64(pn))%16 == 0 {
			s.state = spinOff
		}
	}
	return s.state
}

// onSpin takes the spin bit of the 1-RTT packet with the highest number.
func (p *path) onSpin(client, value bool) { p.spin.value = value != client }
