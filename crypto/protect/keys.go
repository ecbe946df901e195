package protect

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// Slot is an encryption level's place among a connection's keys. The numbers are those of handshake.Level.
type Slot = boring.Slot

// The slots, in the order in which a handshake comes by their keys.
const (
	Initial Slot = iota
	ZeroRTT
	Handshake
	OneRTT
	numSlots
)

// Suite is a TLS 1.3 cipher suite by its registered number.
type Suite uint16

// The cipher suites of RFC 8446, appendix B.4, that QUIC packets are protected with here.
const (
	AES128GCMSHA256        Suite = 0x1301
	AES256GCMSHA384        Suite = 0x1302
	ChaCha20Poly1305SHA256 Suite = 0x1303
)

// String returns the suite's registered name.
func (s Suite) String() string {
	switch s {
	case AES128GCMSHA256:
		return "TLS_AES_128_GCM_SHA256"
	case AES256GCMSHA384:
		return "TLS_AES_256_GCM_SHA384"
	case ChaCha20Poly1305SHA256:
		return "TLS_CHACHA20_POLY1305_SHA256"
	}
	return fmt.Sprintf("suite 0x%04x", uint16(s))
}

// secretLen is the length of the suite's secrets in bytes, that of its hash; 0 for an unknown suite.
func (s Suite) secretLen() int {
	switch s {
	case AES128GCMSHA256, ChaCha20Poly1305SHA256:
		return crypto.SHA256.Size()
	case AES256GCMSHA384:
		return crypto.SHA384.Size()
	}
	return 0
}

// Overhead is what sealing adds to a packet, in bytes: the length of the authentication tag.
const Overhead = 16

var errReleased = errors.New("protect: the keys were released, or C memory is short")

// Keys are the packet-protection keys of one connection. They lie in C memory, which Release frees, or else the garbage
// collector once the Keys are unreachable; a key takes about 600 bytes. A Keys is not for concurrent use. After Release
// nothing opens and nothing seals.
type Keys struct {
	boring boring.PacketKeys // not live after Release

	suites      [numSlots]Suite
	read, write slotSet
	labels      boring.Labels // of SetVersion

	readRests, writeRests bool // the 1-RTT keys are to be made again

	// 1-RTT key update: the current generations, and the secrets that their keys were made from.
	readGen, writeGen       uint32
	readSecret, writeSecret [48]byte
}

// slotSet is a set of slots.
type slotSet uint8

func (s *slotSet) add(slot Slot)     { *s |= 1 << slot }
func (s *slotSet) remove(slot Slot)  { *s &^= 1 << slot }
func (s slotSet) has(slot Slot) bool { return s>>slot&1 != 0 }

// NewKeys returns Keys without any key. Where C memory is short, they take none either, as after Release.
func NewKeys() *Keys {
	k := new(Keys)
	k.boring.Init()
	return k
}

// Live tells whether k can take keys.
func (k *Keys) Live() bool { return k.boring.Live() }

// Release frees all keys, exactly once however often it is called.
func (k *Keys) Release() {
	if !k.boring.Live() {
		return
	}
	k.boring.Free()
	*k = Keys{}
}

// InstallRead derives the keys that open packets of slot s from a TLS traffic secret (RFC 9001, section 5.1), with the labels of the
// version that SetVersion named. The secret has 32 bytes, or 48 for AES-256-GCM; the secret is copied. A key that the slot had is freed. At OneRTT generation 0 begins.
func (k *Keys) InstallRead(s Slot, suite Suite, secret []byte) error {
	return k.install(s, suite, secret, false)
}

// InstallWrite is InstallRead for the keys that seal.
func (k *Keys) InstallWrite(s Slot, suite Suite, secret []byte) error {
	return k.install(s, suite, secret, true)
}

func (k *Keys) install(s Slot, suite Suite, secret []byte, write bool) error {
	n := suite.secretLen()
	switch {
	case !k.boring.Live():
		return errReleased
	case s >= numSlots:
		return fmt.Errorf("protect: no slot %d", s)
	case n == 0:
		return fmt.Errorf("protect: unknown cipher suite 0x%04x", uint16(suite))
	case len(secret) != n:
		return fmt.Errorf("protect: a secret of %d bytes for %s, which takes %d", len(secret), suite, n)
	}
	var buf [48]byte
	defer clear(buf[:])
	own := buf[:copy(buf[:], secret)]
	if !k.boring.Install(k.labels, write, s, uint16(suite), own) {
		return errors.New("protect: BoringSSL could not make the key")
	}
	k.suites[s] = suite
	if write {
		k.write.add(s)
	} else {
		k.read.add(s)
	}
	if s == OneRTT && write {
		k.writeSecret, k.writeGen, k.writeRests = buf, 0, false
	} else if s == OneRTT {
		k.readSecret, k.readGen, k.readRests = buf, 0, false
	}
	return nil
}

// HasRead tells whether packets of slot s can be opened.
func (k *Keys) HasRead(s Slot) bool { return k.read.has(s) }

// HasWrite tells whether packets of slot s can be sealed.
func (k *Keys) HasWrite(s Slot) bool { return k.write.has(s) }

// Suite returns the cipher suite of slot s, 0 if it never had a key.
func (k *Keys) Suite(s Slot) Suite {
	if s >= numSlots {
		return 0
	}
	return k.suites[s]
}

// Drop frees the keys of slot s in both directions (RFC 9001, section 4.9). A slot without keys is left as it is.
func (k *Keys) Drop(s Slot) {
	if s >= numSlots || !k.boring.Live() {
		return
	}
	k.boring.Drop(s)
	k.read.remove(s)
	k.write.remove(s)
	if s == OneRTT {
		k.readRests, k.writeRests = false, false
		clear(k.readSecret[:])
		clear(k.writeSecret[:])
	}
}

// ReadGen returns the generation of the current 1-RTT read key: 0 for the one that TLS gave, one more with each
// AdvanceRead. Its lowest bit is the key phase of the packets that it opens.
func (k *Keys) ReadGen() uint32 { return k.readGen }

// WriteGen returns the generation of the current 1-RTT write key; its lowest bit is the key phase to send.
func (k *Keys) WriteGen() uint32 { return k.writeGen }

// AdvanceRead makes the next 1-RTT read key the current one and keeps the current one as the previous, until
// DropPrevious or the next AdvanceRead. firstPN is the packet number of the packet that opened with the next key: packets
// of the old phase with lower numbers go on being opened with the previous key (RFC 9001, section 6.5).
func (k *Keys) AdvanceRead(firstPN int64) error {
	if !k.HasRead(OneRTT) {
		return errors.New("protect: no 1-RTT read key to update")
	}
	k.wakeRead()
	suite := k.suites[OneRTT]
	if !k.boring.AdvanceRead(k.labels, uint16(suite), k.readSecret[:suite.secretLen()], firstPN) {
		return errors.New("protect: BoringSSL could not make the next read key")
	}
	k.readGen++
	return nil
}

// AdvanceWrite replaces the 1-RTT write key by its successor, which is made at this moment.
func (k *Keys) AdvanceWrite() error {
	if !k.HasWrite(OneRTT) {
		return errors.New("protect: no 1-RTT write key to update")
	}
	k.wakeWrite()
	suite := k.suites[OneRTT]
	if !k.boring.AdvanceWrite(k.labels, uint16(suite), k.writeSecret[:suite.secretLen()]) {
		return errors.New("protect: BoringSSL could not make the next write key")
	}
	k.writeGen++
	return nil
}

// DropPrevious frees the 1-RTT read key of the generation before the current one, three PTO after the update (RFC 9001,
// section 6.5).
func (k *Keys) DropPrevious() {
	if k.boring.Live() {
		k.boring.DropPrevious()
	}
}

// Rest frees the 1-RTT keys until there are packets again, for connections that have had nothing to do for a while: the read keys are made again
// from their secret by the next Open, the write key by the next Seal.
func (k *Keys) Rest() {
	if k.boring.Live() {
		k.boring.Rest()
		k.readRests, k.writeRests = k.HasRead(OneRTT), k.HasWrite(OneRTT)
	}
}

// wakeRead makes the 1-RTT read keys again that Rest freed. If C memory is short it is tried again the next time, and until then there are none.
func (k *Keys) wakeRead() {
	if k.readRests {
		k.readRests = !k.wake(false, &k.readSecret)
	}
}

// wakeWrite is wakeRead for the write key.
func (k *Keys) wakeWrite() {
	if k.writeRests {
		k.writeRests = !k.wake(true, &k.writeSecret)
	}
}

func (k *Keys) wake(write bool, secret *[48]byte) bool {
	suite := k.suites[OneRTT]
	return k.boring.Wake(k.labels, write, uint16(suite), secret[:suite.secretLen()])
}

// ExpandLabel is HKDF-Expand-Label(secret, label, context, n) of RFC 8446, section 7.1, over hash, which is crypto.SHA256
// or crypto.SHA384; label comes without its "tls13 " prefix, label and context have at most 249 and 255 bytes, and n is
// at most 255 times the hash's length. It returns nil if one of these does not hold.
func ExpandLabel(hash crypto.Hash, secret []byte, label string, context []byte, n int) []byte {
	if hash != crypto.SHA256 && hash != crypto.SHA384 || n < 0 || n > 255*hash.Size() {
		return nil
	}
	out := make([]byte, n)
	if !boring.ExpandLabel(hash.Size(), out, secret, label, context) {
		return nil
	}
	return out
}
