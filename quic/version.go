package quic

import "github.com/boringquic/boringquic/quic/internal/wire"

// supportedVersions are the QUIC versions that an Endpoint speaks, as it lists them in Version Negotiation.
var supportedVersions = [...]uint32{wire.Version1}

// versionNegotiation is the version number of a Version Negotiation packet (RFC 8999, section 6).
const versionNegotiation = 0

func isSupported(version uint32) bool {
	for _, v := range supportedVersions {
		if v == version {
			return true
		}
	}
	return false
}

// reservedVersion is one of the versions 0x?a?a?a?a, which nobody will ever speak (RFC 9000, section 15). Listing one keeps
// clients able to ignore versions that they do not know (section 6.3).
func reservedVersion(random uint32) uint32 { return random&0xf0f0f0f0 | 0x0a0a0a0a }
