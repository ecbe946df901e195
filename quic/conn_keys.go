package quic

import (
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
)

// keyring is the connection's packet-protection keys with what RFC 9001, sections 4.9 and 6, want counted of their use.
type keyring struct {
	*protect.Keys

	failures       uint64 // packets that did not authenticate, over all keys
	integrityLimit uint64
	sealed         uint64 // 1-RTT packets sealed with the current key
	updateAfter    uint64
	sealLimit      uint64

	firstSent    int64 // the first packet number sealed with the current 1-RTT key, -1: none was yet
	firstRead    int64 // the lowest packet number opened with the current 1-RTT key, -1: none was yet
	lastOldRead  int64 // the highest packet number received before the current key or opened with the previous one, -1: none
	readAcked    bool  // an acknowledgement of a packet opened with the current key was sent
	previousDrop int64 // when the previous read key goes; 0: there is none
}

func (k *keyring) init() {
	if k.Keys == nil {
		k.Keys = protect.NewKeys()
	}
	k.firstSent, k.firstRead, k.lastOldRead = -1, -1, -1
	k.integrityLimit, k.updateAfter, k.sealLimit = integrityLimitChaCha, keyUpdateAfter, confidentialityLimitGCM
}

func (k *keyring) release() {
	if k.Keys != nil {
		k.Release()
	}
}

// setLimits sets the limits of the negotiated cipher suite (RFC 9001, section 6.6).
func (k *keyring) setLimits(suite protect.Suite) {
	if suite == protect.ChaCha20Poly1305SHA256 {
		k.integrityLimit, k.sealLimit = integrityLimitChaCha, 1<<62
		return
	}
	k.integrityLimit, k.sealLimit = integrityLimitGCM, confidentialityLimitGCM
}

// failed counts a packet that did not authenticate.
func (k *keyring) failed() *TransportError {
	k.failures++
	if k.failures >= k.integrityLimit {
		return transportError(AEADLimitReached, "too many packets do not authenticate")
	}
	return nil
}

// onOpened notes a 1-RTT packet that opened with the key of generation gen, and commits the key update if it is the first
// one of the next. largest is the largest packet number received so far.
func (k *keyring) onOpened(now, pn, largest int64, gen uint32, pto int64) *TransportError {
	current := k.ReadGen()
	if gen > current {
		// RFC 9001, section 6.2: a peer that updates again before it has seen an acknowledgement for a packet of the
		// current phase violates the protocol. One that follows our own update does not wait for anything.
		if gen > k.WriteGen() && current > 0 && !k.readAcked {
			return transportError(KeyUpdateError, "a second key update before the first was acknowledged")
		}
		if err := k.follow(now, pn, pto); err != nil {
			return err
		}
		current, k.lastOldRead = gen, largest
	}
	if gen < current {
		k.lastOldRead = max(k.lastOldRead, pn)
	} else if k.firstRead < 0 || pn < k.firstRead {
		k.firstRead = pn
	}
	// RFC 9001, section 6.4: "An endpoint that successfully removes protection with old keys when newer keys were used for
	// packets with lower packet numbers MUST treat this as a connection error of type KEY_UPDATE_ERROR."
	if k.firstRead >= 0 && k.lastOldRead > k.firstRead {
		return transportError(KeyUpdateError, "an old key on a packet number above one of a newer key")
	}
	return nil
}

// follow makes the next read key the current one, and answers a peer who has updated first.
func (k *keyring) follow(now, pn, pto int64) *TransportError {
	if err := k.AdvanceRead(pn); err != nil {
		return &TransportError{Code: InternalError, Cause: err}
	}
	k.firstRead, k.readAcked = -1, false
	k.previousDrop = now + 3*pto // RFC 9001, section 6.5
	if k.WriteGen() < k.ReadGen() {
		return k.advanceWrite() // before anything else is sent
	}
	return nil
}

func (k *keyring) advanceWrite() *TransportError {
	if err := k.AdvanceWrite(); err != nil {
		return &TransportError{Code: InternalError, Cause: err}
	}
	k.sealed, k.firstSent = 0, -1
	return nil
}

// onSealed counts a 1-RTT packet that is about to be sealed.
func (k *keyring) onSealed(pn int64) {
	k.sealed++
	if k.firstSent < 0 {
		k.firstSent = pn
	}
}

// onAckSent notes that an acknowledgement up to largest was sent.
func (k *keyring) onAckSent(largest int64) {
	if k.firstRead >= 0 && largest >= k.firstRead {
		k.readAcked = true
	}
}

// checkAck judges an acknowledgement that arrived in a packet of generation gen: who has seen our new key must
// have answered with his (RFC 9001, section 6.2).
func (k *keyring) checkAck(gen uint32, largest int64) *TransportError {
	if gen < k.WriteGen() && k.firstSent >= 0 && largest >= k.firstSent {
		return transportError(KeyUpdateError, "an old key acknowledges packets of the new one")
	}
	return nil
}

// ErrKeyUpdateTooSoon is what KeyUpdate returns before the handshake is confirmed and while the update before is not acknowledged, or
// was so recently that old packets may still arrive (RFC 9001, sections 6.1 and 6.5): a later call will do.
var ErrKeyUpdateTooSoon = errors.New("quic: too soon for a key update")

// KeyUpdate replaces the keys of 1-RTT packets (RFC 9001, section 6); the connection does so by itself in good time. The error
// matches ErrKeyUpdateTooSoon where the call may be made again later.
func (c *Conn) KeyUpdate() error {
	switch {
	case c.err != nil:
		return c.err
	case !c.tls.confirmed:
		return fmt.Errorf("%w: the handshake is not confirmed", ErrKeyUpdateTooSoon)
	case !c.mayUpdateKeys():
		return fmt.Errorf("%w: the last one is not acknowledged", ErrKeyUpdateTooSoon)
	}
	if err := c.keys.advanceWrite(); err != nil {
		return err
	}
	c.signals.ping = true // so that there is something to acknowledge
	return nil
}

// mayUpdateKeys tells whether the peer has acknowledged a packet of the current generation, so that it has both keys
// (RFC 9001, section 6.1), and whether the key before it is gone (section 6.5).
func (c *Conn) mayUpdateKeys() bool {
	k := &c.keys
	return c.tls.confirmed && k.WriteGen() == k.ReadGen() && k.previousDrop == 0 && k.firstSent >= 0 &&
		c.loss.LargestAcked(recovery.AppSpace) >= k.firstSent
}

// beforeSeal is called before 1-RTT packets are made: it updates the key in time.
func (c *Conn) beforeSeal() *TransportError {
	k := &c.keys
	if k.sealed >= k.updateAfter && c.mayUpdateKeys() {
		return k.advanceWrite()
	}
	if k.sealed+maxTrainPackets >= k.sealLimit {
		return transportError(AEADLimitReached, "too many packets under one key")
	}
	return nil
}

// dropSpace forgets a packet number space and its keys (RFC 9001, section 4.9).
func (c *Conn) dropSpace(sp recovery.Space) {
	if c.spaces[sp] == nil {
		return
	}
	c.spaces[sp] = nil
	c.keys.Drop(slotOfSpace[sp])
	c.loss.Discard(sp)
	c.sending.probes[sp] = 0
	c.hello.early.drop(slotOfSpace[sp])
	if sp == recovery.InitialSpace {
		c.hello.negotiation.release()
	}
}
