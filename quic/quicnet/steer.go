package quicnet

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// steering says which shard of an endpoint a datagram is for: its Destination Connection ID tells, if it is as long as ours. So
// the connection's shard gets all of its packets, wherever the client has moved to. One that a client has made up leads
// anywhere, but always to the same shard.
//
// A generator that leaves bytes of its connection IDs to the server (Config.ServerUse of package quiclb) has the last of them used, else
// a byte is added, since not every one may be changed.
//
// The last byte of a connection ID of ours is s + r*shards, masked with what hash makes of the four bytes before it, where s is the
// shard and r random. The hash is keyed, so that connection IDs do not tell an observer which shard they lead to, and
// with that which of them may be of one connection (RFC 9000, section 5.1).
type steering struct {
	shards int
	idLen  int
	own    bool // the last byte is one that the generator leaves to the server
	keys   [3]uint32
}

// serverUser is a generator of connection IDs whose last bytes, so many, mean nothing: a server may put there what it likes.
type serverUser interface{ ServerUseLen() int }

// hashedLen is how many bytes of a connection ID the hash covers.
const hashedLen = 4

// maxShards is how many shards one byte can tell apart.
const maxShards = 256

// defaultConnIDLen is the length of connection IDs if the Config does not say how they are made.
const defaultConnIDLen = 8

// newSteering returns a steering for connection IDs that are made with cfg, with keys of its own.
func newSteering(shards int, cfg *quic.Config) (*steering, error) {
	s := &steering{shards: shards, idLen: defaultConnIDLen}
	if g, ok := cfg.ConnIDs.(serverUser); ok {
		s.idLen, s.own = cfg.ConnIDs.Len(), true
		if g.ServerUseLen() < 1 || s.idLen <= hashedLen {
			return nil, fmt.Errorf("quicnet: Config.ConnIDs leaves no byte of its connection IDs to the server, and shards need one: "+
				"with package quiclb set ServerUse to 1, at all servers and in each configuration (it is %d)", g.ServerUseLen())
		}
	} else if cfg.ConnIDs != nil {
		s.idLen = cfg.ConnIDs.Len() + 1
		if s.idLen <= hashedLen || s.idLen > 20 {
			return nil, fmt.Errorf("quicnet: Config.ConnIDs makes connection IDs of %d bytes; with shards they must have %d to 19",
				s.idLen-1, hashedLen)
		}
	}
	var b [4 * len(s.keys)]byte
	random := cfg.Rand
	if random == nil {
		random = rand.Reader
	}
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, fmt.Errorf("quicnet: Config.Rand: %w", err)
	}
	for i := range s.keys {
		s.keys[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	s.keys[1] |= 1 // odd factors lose nothing
	s.keys[2] |= 1
	return s, nil
}

// hash returns what masks the byte after the four that stand in w.
func (s *steering) hash(w uint32) byte {
	w = (w ^ s.keys[0]) * s.keys[1]
	w = (w ^ w>>15) * s.keys[2]
	return byte(w >> 24)
}

// shardOf returns which shard a datagram is for; -1: it does not say.
func (s *steering) shardOf(d []byte) int {
	id := 1 // the offset of the Destination Connection ID (RFC 8999, sections 5.1 and 5.2)
	if len(d) > 5 && d[0]&0x80 != 0 {
		if int(d[5]) != s.idLen {
			return -1
		}
		id = 6
	}
	last := id + s.idLen - 1
	if len(d) <= last {
		return -1
	}
	return int(s.hash(binary.BigEndian.Uint32(d[last-hashedLen:]))^d[last]) % s.shards
}

// The instructions of the classic BSD packet filter (<linux/bpf_common.h>) that program needs.
const (
	bpfLoadWord    = 0x20 // A = the 4 bytes at K
	bpfLoadByte    = 0x30 // A = the byte at K
	bpfStore       = 0x02 // M[K] = A
	bpfLoadXMem    = 0x61 // X = M[K]
	bpfCopyToX     = 0x07 // X = A
	bpfJump        = 0x05
	bpfJumpEqual   = 0x15 // if A == K
	bpfJumpSet     = 0x45 // if A & K != 0
	bpfXor         = 0xa4 // A ^= K
	bpfXorX        = 0xac // A ^= X
	bpfMultiply    = 0x24 // A *= K
	bpfModulo      = 0x94 // A %= K
	bpfShiftRight  = 0x74 // A >>= K
	bpfReturn      = 0x06
	bpfReturnA     = 0x16
	bpfNoSocket    = 1<<32 - 1 // an answer that leaves the choice to the kernel
	bpfLongHeader  = 0x80
	bpfShardIsHere = 0 // in M
)

// program is shardOf for the kernel. Of a datagram that is too short it answers 0, as these programs do when they read past
// the end; whoever gets it drops it.
func (s *steering) program() []udp.Instruction {
	n := uint32(s.idLen)
	last := func(id uint32) uint32 { return id + n - 1 }
	return []udp.Instruction{
		{Code: bpfLoadByte, K: 0},
		{Code: bpfJumpSet, K: bpfLongHeader, False: 7},
		{Code: bpfLoadByte, K: 5}, // a long header
		{Code: bpfJumpEqual, K: n, True: 1},
		{Code: bpfReturn, K: bpfNoSocket},
		{Code: bpfLoadByte, K: last(6)},
		{Code: bpfStore, K: bpfShardIsHere},
		{Code: bpfLoadWord, K: last(6) - hashedLen},
		{Code: bpfJump, K: 3},
		{Code: bpfLoadByte, K: last(1)}, // a short header
		{Code: bpfStore, K: bpfShardIsHere},
		{Code: bpfLoadWord, K: last(1) - hashedLen},
		{Code: bpfXor, K: s.keys[0]}, // hash
		{Code: bpfMultiply, K: s.keys[1]},
		{Code: bpfCopyToX},
		{Code: bpfShiftRight, K: 15},
		{Code: bpfXorX},
		{Code: bpfMultiply, K: s.keys[2]},
		{Code: bpfShiftRight, K: 24},
		{Code: bpfLoadXMem, K: bpfShardIsHere},
		{Code: bpfXorX},
		{Code: bpfModulo, K: uint32(s.shards)},
		{Code: bpfReturnA},
	}
}

// ids returns a generator of connection IDs that lead to a shard.
func (s *steering) ids(shard int, inner quic.ConnIDGenerator) quic.ConnIDGenerator {
	switch {
	case s.own:
		return &shardIDs{inner, s, shard, 0}
	case inner == nil:
		inner = quic.RandomConnIDs(s.idLen - 1)
	}
	return &shardIDs{inner, s, shard, 1}
}

// shardIDs makes connection IDs that lead to a shard, of those of another generator.
type shardIDs struct {
	inner    quic.ConnIDGenerator
	steering *steering
	shard    int
	added    int // bytes
}

func (g *shardIDs) Len() int { return g.inner.Len() + g.added }

func (g *shardIDs) Generate(id []byte, random func([]byte)) error {
	last := len(id) - 1
	if len(id) != g.Len() || last < hashedLen {
		return errors.New("quicnet: connection IDs too short to lead to a shard")
	}
	if err := g.inner.Generate(id[:g.inner.Len()], random); err != nil {
		return err
	}
	random(id[last:])
	r := int(id[last])
	n := g.steering.shards
	r -= r % n
	if r+g.shard > 255 {
		r -= n
	}
	id[last] = byte(r+g.shard) ^ g.steering.hash(binary.BigEndian.Uint32(id[last-hashedLen:]))
	return nil
}
