package quic

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/netip"
	"time"
)

// resets makes the stateless reset tokens of our own connection IDs, and knows those of our peers' (RFC 9000, section 10.3).
type resets struct {
	mac     hash.Hash
	conceal cipher.Block
	peers   map[[statelessResetTokenLen]byte]*Conn // by concealed token
	bucket  resetBucket

	id  [maxConnIDLen]byte // room that need not be allocated each time
	sum [sha256.Size]byte
	key [statelessResetTokenLen]byte
}

// init takes Config.StatelessResetKey, and a key for what conceal does, which no other endpoint needs to know.
func (r *resets) init(resetKey, concealKey *[32]byte) error {
	r.mac = hmac.New(sha256.New, resetKey[:])
	r.peers = make(map[[statelessResetTokenLen]byte]*Conn)
	var err error
	r.conceal, err = aes.NewCipher(concealKey[:])
	return err
}

// token returns the stateless reset token of a connection ID (RFC 9000, section 10.3.2).
func (r *resets) token(id *ConnID) [statelessResetTokenLen]byte {
	n := copy(r.id[:], id.Bytes())
	r.mac.Reset()
	r.mac.Write(r.id[:n])
	return [statelessResetTokenLen]byte(r.mac.Sum(r.sum[:0]))
}

// hide returns the key under which a peer's token is kept: the token passed through a cipher, so that how long a look-up
// takes tells nothing of the tokens that are known (section 10.3.1).
func (r *resets) hide(token []byte) [statelessResetTokenLen]byte {
	r.conceal.Encrypt(r.key[:], token)
	return r.key
}

// firstFlight returns the firstFlight of a client's packets to dst, by the same cipher.
func (r *resets) firstFlight(dst *ConnID, remote netip.AddrPort) firstFlight {
	r.key = remote.Addr().As16()
	r.conceal.Encrypt(r.key[:], r.key[:])
	for i, b := range dst.b[:16] {
		r.key[i] ^= b
	}
	r.conceal.Encrypt(r.key[:], r.key[:])
	r.key[0] ^= dst.len
	for i, b := range dst.b[16:] {
		r.key[1+i] ^= b
	}
	binary.BigEndian.PutUint16(r.key[8:], binary.BigEndian.Uint16(r.key[8:])^remote.Port())
	r.conceal.Encrypt(r.key[:], r.key[:])
	return firstFlight(binary.BigEndian.Uint64(r.key[:]))
}

// add has datagrams that end in token go to c. Of two connections that name the same token the first one keeps it: a peer
// cannot take the resets of another's connection away.
func (r *resets) add(token []byte, c *Conn) (key [statelessResetTokenLen]byte, ok bool) {
	key = r.hide(token)
	if r.peers[key] != nil {
		return key, false
	}
	r.peers[key] = c
	return key, true
}

// find returns the connection that a datagram to no known connection ID is a stateless reset for, nil if it is none.
func (r *resets) find(datagram []byte) *Conn {
	if len(r.peers) == 0 || len(datagram) < minStatelessReset {
		return nil
	}
	return r.peers[r.hide(datagram[len(datagram)-statelessResetTokenLen:])]
}

// resetLen returns how long the stateless reset for a datagram of that many bytes is, 0 if there is to be none. It is always
// shorter, so that two endpoints which have both lost a connection do not answer each other for ever (RFC 9000, section
// 10.3.3), and like a short packet of a living connection otherwise.
func resetLen(trigger int, random byte) int {
	if trigger <= minStatelessReset {
		return 0
	}
	if trigger <= longResetTrigger {
		return trigger - 1
	}
	return min(trigger-1, longResetTrigger-1+int(random&0x0f))
}

// longResetTrigger is up to which length a datagram is answered with a stateless reset of just one byte less (section 10.3):
// 1 byte, a connection ID of 20, a packet number and a payload of 4 to 6 and the tag of 16.
const longResetTrigger = 43

// resetBucket bounds the stateless resets that an endpoint sends: statelessResetBurst of them, and statelessResetRate more
// each second.
type resetBucket struct {
	spent float64 // resets above what the rate has made good
	at    time.Time
}

// take tells whether one more may be sent.
func (b *resetBucket) take(now time.Time) bool {
	good := max(0, now.Sub(b.at).Seconds()) * statelessResetRate
	b.spent, b.at = max(0, b.spent-good), now
	if b.spent+1 > statelessResetBurst {
		return false
	}
	b.spent++
	return true
}
