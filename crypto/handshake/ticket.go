package handshake

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// MaxTicketKeys is how many keys SetTicketKeys takes.
const MaxTicketKeys = 64

// As crypto/tls has it: keys of a server's own are used for a day, and open tickets for seven.
const (
	ticketKeyRotation = 24 * 3600
	ticketKeyLifetime = 7 * 24 * 3600
)

// ticketKeys are the keys that a Context has for its tickets.
type ticketKeys struct {
	explicit atomic.Pointer[boring.TicketKeys] // of SetTicketKeys

	mu      sync.Mutex
	secrets []ticketSecret // keys of its own, the newest first
	own     *boring.TicketKeys
	byKey   map[[32]byte]*boring.TicketKeys
}

type ticketSecret struct {
	secret  [32]byte
	created int64 // seconds since 1970
}

// SetTicketKeys sets the keys of session tickets, the newest first, of 32 random bytes each: the first one seals tickets, and all open
// them, so that servers with the same keys resume each other's sessions. It may be called while connections are at work, which is how a
// program exchanges its keys (RFC 8446 has tickets live for seven days at most). With none, which is also how a Context begins, it has
// keys of its own, which change by themselves each day. It goes before tls.Config.SessionTicketKey, but for that of a tls.Config that
// GetConfigForClient returns. It fails, and changes nothing, with more than MaxTicketKeys keys, or if C memory is short.
func (x *Context) SetTicketKeys(keys [][32]byte) error {
	if len(keys) > MaxTicketKeys {
		return fmt.Errorf("handshake: %d ticket keys, more than %d", len(keys), MaxTicketKeys)
	}
	if len(keys) == 0 {
		x.tickets.explicit.Store(nil)
		return nil
	}
	k, err := boring.NewTicketKeys(keys)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	x.tickets.explicit.Store(k)
	return nil
}

// rotating returns the keys of the Context's own for the time now, in seconds since 1970. It keeps those it has where it can make none.
func (k *ticketKeys) rotating(now int64) *boring.TicketKeys {
	k.mu.Lock()
	defer k.mu.Unlock()
	due := k.own == nil || now >= k.secrets[0].created+ticketKeyRotation
	if !due && now < k.secrets[len(k.secrets)-1].created+ticketKeyLifetime {
		return k.own
	}
	var secrets []ticketSecret
	if due {
		secrets = append(secrets, ticketSecret{created: now})
		rand.Read(secrets[0].secret[:])
	}
	for _, s := range k.secrets {
		if now < s.created+ticketKeyLifetime {
			secrets = append(secrets, s)
		}
	}
	var all [][32]byte
	for _, s := range secrets {
		all = append(all, s.secret)
	}
	made, err := boring.NewTicketKeys(all)
	if err != nil {
		return k.own
	}
	k.own, k.secrets = made, secrets
	return made
}

// maxConfigKeys bounds the keys of tls.Configs that a Context keeps.
const maxConfigKeys = 64

// of returns the keys of a tls.Config's SessionTicketKey.
func (k *ticketKeys) of(key [32]byte) (*boring.TicketKeys, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if made := k.byKey[key]; made != nil {
		return made, nil
	}
	made, err := boring.NewTicketKeys([][32]byte{key})
	if err != nil {
		return nil, err
	}
	if k.byKey == nil || len(k.byKey) >= maxConfigKeys {
		k.byKey = make(map[[32]byte]*boring.TicketKeys)
	}
	k.byKey[key] = made
	return made, nil
}

// proceed lets a server go on from the ClientHello, with tickets as the tls.Config says that is in force now.
func (c *Conn) proceed() {
	if err := c.bindTickets(); err != nil {
		c.fail(alertInternalError, err)
		return
	}
	c.run(boring.OpCert, c.readLevel, nil)
}

// bindTickets says by which keys tickets are sealed and opened, and what a connection that issues one and a connection that uses it must
// have in common: server name and QUIC version (RFC 9369, section 5), and what clients have to show. With anything else a ticket
// leads to a full handshake.
func (c *Conn) bindTickets() error {
	s := c.setup
	var keys *boring.TicketKeys
	if s.settings.tickets {
		var err error
		if keys, err = s.ticketKeys(); err != nil {
			return err
		}
	}
	b := make([]byte, 0, 320)
	b = append(b, "boringquic ticket"...)
	b = binary.BigEndian.AppendUint32(b, s.params.Version)
	b = append(b, byte(c.cfg.ClientAuth))
	b = append(b, s.clientCAs[:]...)
	b = append(b, c.state.serverName...)
	context := sha256.Sum256(b)
	if !c.tls.SetTickets(keys, &context, !s.newVersion) {
		return errMemory
	}
	if !s.params.EarlyData || keys == nil {
		return nil
	}
	b = append(b[:0], "boringquic 0-RTT"...)
	if s.params.EarlyReplay == nil {
		b = append(b, s.ctx.replays.nonce[:]...)
	}
	context = sha256.Sum256(append(b, s.params.EarlyContext...))
	if !c.tls.SetEarlyData(&context) {
		return errMemory
	}
	return nil
}

// ticketKeys returns the keys for a connection's tickets, nil if there are to be none.
func (s *setup) ticketKeys() (*boring.TicketKeys, error) {
	own := &s.ctx.tickets
	if s.settings.ticketKeys != nil && s.replaced {
		return s.settings.ticketKeys, nil
	}
	if s.replaced && !s.first.tickets {
		return nil, nil
	}
	if explicit := own.explicit.Load(); explicit != nil {
		return explicit, nil
	}
	if s.first.ticketKeys != nil {
		return s.first.ticketKeys, nil
	}
	if keys := own.rotating(s.unixNow()); keys != nil {
		return keys, nil
	}
	return nil, errMemory
}

// unixNow is the time that the connection goes by, in seconds since 1970.
func (s *setup) unixNow() int64 {
	if s.now != 0 {
		return s.now
	}
	return time.Now().Unix()
}
