package quic

import (
	"fmt"
	"slices"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// The versions of QUIC that Config.Versions can name.
const (
	Version1 uint32 = wire.Version1 // RFC 9000
	Version2 uint32 = wire.Version2 // RFC 9369
)

// defaultVersions is what Config.Versions stands for if it is empty.
var defaultVersions = []uint32{Version1, Version2}

// maxVersions is how many versions there are at most in a list of ours, with a reserved one.
const maxVersions = 3

// versionNegotiation is the version number of a Version Negotiation packet (RFC 8999, section 6).
const versionNegotiation = 0

// isSupported tells whether packets of a version can be read at all: which versions an endpoint speaks, Config.Versions says.
func isSupported(version uint32) bool { return version == Version1 || version == Version2 }

// checkVersions judges Config.Versions.
func checkVersions(versions []uint32) error {
	for i, v := range versions {
		if !isSupported(v) {
			return fmt.Errorf("quic: Config.Versions has 0x%08x, which is not spoken here: Version1 (0x%08x) and Version2 (0x%08x) are",
				v, Version1, Version2)
		}
		if slices.Contains(versions[:i], v) {
			return fmt.Errorf("quic: Config.Versions has 0x%08x twice", v)
		}
	}
	return nil
}

// reservedVersion is one of the versions 0x?a?a?a?a, which nobody will ever speak (RFC 9000, section 15). Listing one keeps
// clients able to ignore versions that they do not know (section 6.3).
func reservedVersion(random uint32) uint32 { return random&0xf0f0f0f0 | 0x0a0a0a0a }

// Version returns the QUIC version of the connection.
func (c *Conn) Version() uint32 { return c.version }
