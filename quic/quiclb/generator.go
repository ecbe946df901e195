package quiclb

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
)

// Generator makes connection IDs that lead balancers to one server: it is for quic.Config.ConnIDs. Several endpoints may
// share it; its methods are for any number of goroutines.
//
// No two of its connection IDs have the same nonce. The nonces are those of a counter that begins anywhere, as section 8.6 has it,
// but pass through a permutation, so that nobody can tell from one what the next is. With a key the permutation belongs to the
// key: a server that is started again with the same configuration would have to begin its counter by chance where the one before has been. Of n connection IDs in
// the one life and n in the other, the chance that any are the same is 2n in 2^(8*NonceLen). Without a key it has to differ
// each time, and the chance is n*n in 2^(8*NonceLen).
type Generator struct {
	len int

	mu        sync.Mutex
	now       *generation // nil: without configuration
	serverUse int
	keys      [][]byte // of all configurations so far
	permuter  permuter
}

// generation is what belongs to one configuration.
type generation struct {
	cfg      Config
	serverID []byte
	block    cipher.Block // nil: no key
	nonces   nonces
}

// NewGenerator returns a Generator for a server with that ID. The error says what is wrong with cfg or serverID. Both are
// copied.
func NewGenerator(cfg Config, serverID []byte) (*Generator, error) {
	now, err := newGeneration(cfg, serverID)
	if err != nil {
		return nil, err
	}
	g := &Generator{len: cfg.Len(), serverUse: cfg.ServerUse}
	g.begin(now)
	return g, nil
}

// NewUnroutable returns a Generator for a server that has no configuration yet: its connection IDs, of length bytes, 8 to 20, say
// that they cannot be routed (section 3.2), and balancers then go by addresses. So such a server should set quic.Config.DisableActiveMigration.
// serverUse is what Config.ServerUse says, of configurations that come later.
//
// Deviation: clients get more than one connection ID of a server without configuration, since an Endpoint cannot do otherwise.
func NewUnroutable(length, serverUse int) (*Generator, error) {
	const least = 8
	if length < least || length > maxConnIDLen {
		return nil, fmt.Errorf("quiclb: unroutable connection IDs of %d bytes: give them 8 to 20", length)
	}
	if most := length - 1 - minServerID - minNonce; serverUse < 0 || serverUse > most {
		return nil, fmt.Errorf("quiclb: ServerUse is %d: of %d bytes it can be 0 to %d", serverUse, length, most)
	}
	return &Generator{len: length, serverUse: serverUse}, nil
}

func newGeneration(cfg Config, serverID []byte) (*generation, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if len(serverID) != cfg.ServerIDLen {
		return nil, fmt.Errorf("quiclb: the server ID %q has %d bytes, and those of the configuration have %d",
			hex.EncodeToString(serverID), len(serverID), cfg.ServerIDLen)
	}
	cfg.Key = bytes.Clone(cfg.Key)
	g := &generation{cfg: cfg, serverID: bytes.Clone(serverID)}
	var err error
	if g.block, err = cfg.newBlock(); err != nil {
		return nil, err
	}
	return g, g.nonces.init(&cfg)
}

// begin has g use a configuration. g.mu is held, or g is new.
func (g *Generator) begin(now *generation) {
	g.now, g.serverUse = now, now.cfg.ServerUse
	if now.cfg.Key != nil {
		g.keys = append(g.keys, now.cfg.Key)
	}
}

// Rotate makes all further connection IDs by another configuration, of which balancers should know already. Those that there are stay valid:
// quicnet.Endpoint.RenewConnIDs has clients be given others for them, as section 3.1 demands.
//
// The new configuration must make connection IDs of the same length (ServerUse can make up the difference), with other rotation bits and
// another key than before. The error says what is wrong, and then nothing was changed.
func (g *Generator) Rotate(cfg Config, serverID []byte) error {
	next, err := newGeneration(cfg, serverID)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch old := g.now; {
	case cfg.Len() != g.len:
		return fmt.Errorf("quiclb: the connection IDs would have %d bytes, and those in use have %d, which cannot change: "+
			"let NonceLen or ServerUse make up for it", cfg.Len(), g.len)
	case g.serverUse > 0 && cfg.ServerUse == 0:
		return errors.New("quiclb: ServerUse is 0, and so far the server had bytes of its own, which it may need")
	case old == nil:
	case cfg.Rotation == old.cfg.Rotation:
		return fmt.Errorf("quiclb: Rotation is %d, as in the configuration that is in use: give another", cfg.Rotation)
	case (cfg.Key == nil) != (old.cfg.Key == nil) && bytes.Equal(serverID, old.serverID):
		// Section 8.7: whoever knows a plaintext can attack the encryption.
		return fmt.Errorf("quiclb: server ID %x is used with a key and without: give it another", serverID)
	}
	if slices.ContainsFunc(g.keys, func(k []byte) bool { return subtle.ConstantTimeCompare(k, cfg.Key) == 1 }) {
		return errors.New("quiclb: the key is that of an earlier configuration, whose connection IDs could repeat: give a new one")
	}
	g.begin(next)
	return nil
}

// Len returns how long the connection IDs are, in bytes.
func (g *Generator) Len() int { return g.len }

// ServerUseLen returns how many bytes at the end of each connection ID are random, and may be used by the server: Config.ServerUse. It is never 0
// if it was not at first.
func (g *Generator) ServerUseLen() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.serverUse
}

// Remaining returns how many more connection IDs the configuration in use is good for; math.MaxUint64 stands for more than
// anybody needs. When there are none left, connection IDs are made that say that they cannot be routed, until Rotate is called; so whoever
// has nonces of less than 8 bytes should look at it now and then.
func (g *Generator) Remaining() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == nil {
		return 0
	}
	return g.now.nonces.left
}

// Generate fills id, of Len bytes, with a connection ID.
func (g *Generator) Generate(id []byte, random func([]byte)) error {
	if len(id) != g.len {
		return fmt.Errorf("quiclb: room of %d bytes for connection IDs of %d", len(id), g.len)
	}
	random(id)
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now
	if now == nil || now.nonces.left == 0 {
		id[0] = unroutable<<5 | byte(g.len-1) // section 3.2: the length is told
		return nil
	}
	id[0] = byte(now.cfg.Rotation)<<5 | id[0]&0x1f
	if now.cfg.EncodeLength {
		id[0] = byte(now.cfg.Rotation)<<5 | byte(g.len-1)
	}
	b := id[1 : 1+now.cfg.block()]
	n := copy(b, now.serverID)
	now.nonces.take(b[n:], &g.permuter)
	if now.block != nil {
		g.permuter.encrypt(now.block, b, idPasses)
	}
	return nil
}

// nonces are values of a counter that have passed through a permutation.
type nonces struct {
	block cipher.Block
	next  []byte // the counter, big-endian
	left  uint64
}

func (s *nonces) init(cfg *Config) (err error) {
	s.next = make([]byte, cfg.NonceLen)
	rand.Read(s.next)
	s.left = math.MaxUint64
	if cfg.NonceLen < 8 {
		s.left = 1 << (8 * cfg.NonceLen)
	}
	key := make([]byte, keyLen)
	rand.Read(key)
	if cfg.Key != nil {
		if key, err = hkdf.Key(sha256.New, cfg.Key, nil, "boringquic quiclb nonces", keyLen); err != nil {
			return err
		}
	}
	s.block, err = aes.NewCipher(key)
	return err
}

// take writes the next nonce, of which at least one is left.
func (s *nonces) take(b []byte, p *permuter) {
	copy(b, s.next)
	p.encrypt(s.block, b, noncePasses)
	for i := len(s.next) - 1; i >= 0; i-- {
		s.next[i]++
		if s.next[i] != 0 {
			break
		}
	}
	s.left--
}
