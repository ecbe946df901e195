package quic

import "encoding/hex"

// ConnID is a connection ID: 0 to 20 bytes, chosen by the endpoint that receives packets under it (RFC 9000, section
// 5.1). It is a value: comparable, and a key of maps.
type ConnID struct {
	len uint8
	b   [maxConnIDLen]byte
}

// MakeConnID copies b, of at most 20 bytes, into a ConnID; ok is false if b is longer.
func MakeConnID(b []byte) (id ConnID, ok bool) {
	if len(b) > maxConnIDLen {
		return ConnID{}, false
	}
	id.len = uint8(copy(id.b[:], b))
	return id, true
}

// Bytes returns the connection ID's bytes, which live as long as id.
func (id *ConnID) Bytes() []byte { return id.b[:id.len] }

// Len returns the length in bytes, 0 to 20.
func (id ConnID) Len() int { return int(id.len) }

// String returns the connection ID in hexadecimal.
func (id ConnID) String() string { return hex.EncodeToString(id.b[:id.len]) }

// ConnIDGenerator makes the connection IDs that an endpoint gives its peers. Generators are called under the
// Endpoint's lock; one that several endpoints have, such as those of a quicnet.ListenConfig with Shards, by several at once.
type ConnIDGenerator interface {
	// Len is the length of every connection ID in bytes, 0 to 20, and never changes: packets with short headers do not tell it, and all
	// that reads them without knowing the connection goes by it.
	Len() int
	// Generate fills id, of Len bytes, reading randomness from the reader that the Endpoint was configured with.
	Generate(id []byte, rand func([]byte)) error
}

// RandomConnIDs is a ConnIDGenerator of unpredictable connection IDs of that many bytes.
type RandomConnIDs int

// Len returns the length in bytes.
func (g RandomConnIDs) Len() int { return int(g) }

// Generate fills id with random bytes.
func (g RandomConnIDs) Generate(id []byte, rand func([]byte)) error {
	rand(id)
	return nil
}
