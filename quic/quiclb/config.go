package quiclb

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// Config is what the servers of a fleet and its balancers agree on: how a server ID is written into connection IDs (section 4).
// Servers and balancers must have the same; how they get it is theirs to settle.
type Config struct {
	// Rotation, 0 to 6, is in the first three bits of each connection ID, and tells this configuration from those that are in use
	// beside it, while one takes the place of another (section 3.1).
	Rotation int

	// ServerIDLen is how many bytes a server ID has, 1 to 15, and NonceLen how many follow that make the connection ID unique, 4 to 18.
	// Together they may be 19. A nonce of 8 bytes never runs out; one of 4 does after 2^32 connection IDs, some of which each client
	// takes, each attempt that is refused, and each Retry.
	ServerIDLen, NonceLen int

	// Key, of 16 bytes, encrypts server ID and nonce; where they have 16 bytes together that is one AES block, the fastest, else a
	// Feistel network of four passes. Nil: they are legible. Then everybody can tell which server a client talks to, and that two
	// connection IDs belong to the same one, which makes clients that move easier to follow (section 8).
	Key []byte

	// EncodeLength has the lower five bits of the first byte tell the length of the connection ID less 1, for hardware that
	// must find the end of it (section 3.3). Else they are random.
	EncodeLength bool

	// ServerUse is how many bytes follow that mean nothing to balancers (section 5.4): they are random, but that a server with
	// quicnet.ListenConfig.Shards needs one of them. All servers of a configuration must have as many. With what precedes they make 20 bytes at most. Balancers need not know it.
	ServerUse int
}

// The bounds of the draft (section 5).
const (
	maxConnIDLen = 20
	maxBlock     = maxConnIDLen - 1 // of server ID and nonce
	minServerID  = 1
	minNonce     = 4
	keyLen       = 16
	unroutable   = 7 // in the first three bits
)

// Len returns how long the connection IDs are, in bytes, 6 to 20.
func (c *Config) Len() int { return 1 + c.block() + c.ServerUse }

// block is how long server ID and nonce are together.
func (c *Config) block() int { return c.ServerIDLen + c.NonceLen }

// Check says what of c is out of range, and what would be right.
func (c *Config) Check() error {
	switch {
	case c.Rotation == unroutable:
		return errors.New("quiclb: Rotation is 7, which marks connection IDs that cannot be routed: give 0 to 6")
	case c.Rotation < 0 || c.Rotation > unroutable:
		return fmt.Errorf("quiclb: Rotation is %d: give 0 to 6", c.Rotation)
	case c.ServerIDLen < minServerID || c.ServerIDLen > maxBlock-minNonce:
		return fmt.Errorf("quiclb: a server ID of %d bytes: give it 1 to 15", c.ServerIDLen)
	case c.NonceLen < minNonce || c.NonceLen > maxBlock-minServerID:
		return fmt.Errorf("quiclb: a nonce of %d bytes: give it 4 to 18", c.NonceLen)
	case c.block() > maxBlock:
		return fmt.Errorf("quiclb: a server ID of %d bytes and a nonce of %d are %d together: they can be 19 at most",
			c.ServerIDLen, c.NonceLen, c.block())
	case c.ServerUse < 0 || c.ServerUse > maxBlock-c.block():
		return fmt.Errorf("quiclb: ServerUse is %d: beside a server ID of %d bytes and a nonce of %d it can be 0 to %d",
			c.ServerUse, c.ServerIDLen, c.NonceLen, maxBlock-c.block())
	case c.Key != nil && len(c.Key) != keyLen:
		return fmt.Errorf("quiclb: a key of %d bytes: AES-128 needs 16; nil stands for no encryption", len(c.Key))
	}
	return nil
}

// newBlock returns the cipher of the key; nil if there is none.
func (c *Config) newBlock() (cipher.Block, error) {
	if c.Key == nil {
		return nil, nil
	}
	return aes.NewCipher(c.Key)
}
