package quic

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
)

// A token proves that a client receives at its address (RFC 9000, section 8.1). It is
//
//	kind (1) | nonce (16) | AES-256-GCM of the contents | tag (16)
//
// where the contents are the time of issue in Unix milliseconds (8) and, in a Retry token, the Destination Connection ID of the
// client's first Initial packet, with its length before it (21). What a token is bound to is not in it but authenticated with
// it: the kind, the version, the client's IP address and, with Retry, its port and the connection ID of the Retry packet.
// A token for another address, connection ID, version or server does not open.
//
// The kind is legible, so that a Retry token that does not open is told from a token of somebody else: the one ends the
// connection, the other counts for nothing (section 8.1.3). The nonce is longer than GCM's usual 12 bytes, so that servers
// which share a key may choose theirs at random for as long as they like.
type tokens struct {
	aead   cipher.AEAD
	random func([]byte) bool // fills its argument
	seen   seenTokens
	life   time.Duration       // of a Retry token
	buf    [retryTokenLen]byte // room that need not be allocated each time
	in     [retryContentLen]byte
	aad    [1 + 4 + 16 + 2 + 1 + maxConnIDLen]byte
}

// tokenKind is a token's first byte.
type tokenKind byte

const (
	noToken       tokenKind = 0
	retryToken    tokenKind = 0xb1
	newTokenToken tokenKind = 0xb2
	badRetryToken tokenKind = 0xff // a verdict: meant to be a Retry token, and not valid
)

const (
	tokenNonceLen   = 16
	newContentLen   = 8
	retryContentLen = 8 + 1 + maxConnIDLen
	newTokenLen     = 1 + tokenNonceLen + newContentLen + 16
	retryTokenLen   = 1 + tokenNonceLen + retryContentLen + 16
)

// tokenVerdict is what became of the token of an Initial packet.
type tokenVerdict struct {
	kind    tokenKind // noToken stands also for a token that counts for nothing
	origDst ConnID    // retryToken: what the client first sent to
	nonce   [tokenNonceLen]byte
}

// init derives the key that tokens are encrypted with from Config.TokenKey. A Retry token is good for as long as a handshake may take,
// since the packets that carry it may be lost; a client whose token has expired cannot get another (RFC 9000, section 8.1.3).
func (k *tokens) init(key *[32]byte, handshake time.Duration, random func([]byte) bool) error {
	k.random, k.life = random, max(retryTokenLife, handshake)
	sub := protect.ExpandLabel(crypto.SHA256, key[:], "address token", nil, 32)
	if sub == nil {
		return errors.New("no key for tokens could be derived")
	}
	block, err := aes.NewCipher(sub)
	if err != nil {
		return err
	}
	k.aead, err = cipher.NewGCMWithNonceSize(block, tokenNonceLen)
	return err
}

// bind sets what a token is authenticated with.
func (k *tokens) bind(version uint32, kind tokenKind, remote netip.AddrPort, retrySrc *ConnID) []byte {
	b := append(k.aad[:0], byte(kind))
	b = binary.BigEndian.AppendUint32(b, version)
	ip := remote.Addr().As16()
	b = append(b, ip[:]...)
	if kind == retryToken {
		b = binary.BigEndian.AppendUint16(b, remote.Port())
		b = append(b, byte(retrySrc.Len()))
		b = append(b, retrySrc.Bytes()...)
	}
	return b
}

// makeRetry makes the token of a Retry packet whose Source Connection ID is retrySrc, which answers an Initial packet sent to
// origDst. The slice is good until the next one is made; nil: there is no randomness.
func (k *tokens) makeRetry(now time.Time, version uint32, remote netip.AddrPort, origDst, retrySrc *ConnID) []byte {
	b := binary.BigEndian.AppendUint64(k.in[:0], uint64(now.UnixMilli()))
	b = append(b, origDst.len)
	b = append(b, origDst.b[:]...)
	return k.seal(k.buf[:0], retryToken, b, k.bind(version, retryToken, remote, retrySrc))
}

// makeNew makes a token for NEW_TOKEN, for a later connection from the same IP address; nil: there is no randomness.
func (k *tokens) makeNew(now time.Time, version uint32, remote netip.AddrPort) []byte {
	b := binary.BigEndian.AppendUint64(k.in[:0], uint64(now.UnixMilli()))
	return k.seal(make([]byte, 0, newTokenLen), newTokenToken, b, k.bind(version, newTokenToken, remote, nil))
}

func (k *tokens) seal(b []byte, kind tokenKind, content, aad []byte) []byte {
	b = append(b, byte(kind))
	nonce := b[1 : 1+tokenNonceLen]
	if !k.random(nonce) {
		return nil
	}
	return k.aead.Seal(b[:1+tokenNonceLen], nonce, content, aad)
}

// check judges the token of an Initial packet of a version that came from remote to connection ID dst.
func (k *tokens) check(now time.Time, version uint32, token []byte, remote netip.AddrPort, dst *ConnID) tokenVerdict {
	var v tokenVerdict
	var life time.Duration
	switch {
	case len(token) == retryTokenLen && tokenKind(token[0]) == retryToken:
		v.kind, life = badRetryToken, k.life
	case len(token) == newTokenLen && tokenKind(token[0]) == newTokenToken:
		life = newTokenLife
	default:
		return v
	}
	kind := tokenKind(token[0])
	nonce := token[1 : 1+tokenNonceLen]
	content, err := k.aead.Open(k.in[:0], nonce, token[1+tokenNonceLen:], k.bind(version, kind, remote, dst))
	if err != nil {
		return v
	}
	issued := time.UnixMilli(int64(binary.BigEndian.Uint64(content)))
	if age := now.Sub(issued); age > life || age < -tokenClockSkew {
		return v
	}
	v.nonce = [tokenNonceLen]byte(nonce)
	if kind == retryToken {
		id, ok := MakeConnID(content[9:min(9+int(content[8]), len(content))])
		if ok && id.len == content[8] {
			v.kind, v.origDst = retryToken, id
		}
		return v
	}
	if !k.seen.has(v.nonce) {
		v.kind = newTokenToken
	}
	return v
}

// use notes that a NEW_TOKEN token has served, and will not again (RFC 9000, section 8.1.4).
func (k *tokens) use(v *tokenVerdict) {
	if v.kind == newTokenToken {
		k.seen.add(v.nonce)
	}
}

// seenTokens remembers the maxSeenTokens tokens that were used last, by their nonces.
type seenTokens struct {
	set    map[[tokenNonceLen]byte]struct{}
	ring   [][tokenNonceLen]byte
	oldest int // index in ring, once that is full
}

func (s *seenTokens) has(nonce [tokenNonceLen]byte) bool {
	_, ok := s.set[nonce]
	return ok
}

func (s *seenTokens) add(nonce [tokenNonceLen]byte) {
	if s.set == nil {
		s.set = make(map[[tokenNonceLen]byte]struct{})
	}
	s.set[nonce] = struct{}{}
	if len(s.ring) < maxSeenTokens {
		s.ring = append(s.ring, nonce)
		return
	}
	delete(s.set, s.ring[s.oldest])
	s.ring[s.oldest] = nonce
	s.oldest = (s.oldest + 1) % maxSeenTokens
}
