package handshake

import "github.com/boringquic/boringquic/crypto/internal/boring/suitetest"

// OfferOnly has clients offer one cipher suite, as suitetest.OfferOnly says.
func (x *Context) OfferOnly(suite uint16) { suitetest.OfferOnly(x.boring.Pointer(), suite) }

// MaxParsed is maxParsed, for tests.
const MaxParsed = maxParsed

// Parsed returns how many certificates of peers x keeps.
func (x *Context) Parsed() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.parsed)
}
