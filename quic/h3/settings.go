package h3

import (
	"slices"
	"strings"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Identifiers of settings (RFC 9114, section 7.2.4.1; RFC 9204, section 5; RFC 9220, section 5; RFC 9297, section 5.1).
const (
	SettingQPACKTableCapacity  = 0x01
	SettingMaxFieldSectionSize = 0x06
	SettingQPACKBlockedStreams = 0x07
	SettingEnableConnect       = 0x08
	SettingH3Datagram          = 0x33
)

// Settings are what a peer's SETTINGS frame says.
type Settings struct {
	MaxFieldSectionSize uint64 // bytes, NoLimit if none is told
	QPACKTableCapacity  uint64 // bytes
	QPACKBlockedStreams uint64
	EnableConnect       bool      // a server takes extended CONNECT (RFC 9220)
	H3Datagram          bool      // HTTP datagrams are understood (RFC 9297)
	Other               []Setting // unknown ones, in their order
}

// NoLimit stands for no limit on the size of field sections.
const NoLimit = 1<<64 - 1

func defaultSettings() Settings { return Settings{MaxFieldSectionSize: NoLimit} }

// ownSettings is how many settings remember adds at most to those that came.
const ownSettings = 5

// isOwnSetting tells whether a setting is one that this package sends by itself.
func isOwnSetting(id uint64) bool {
	switch id {
	case SettingQPACKTableCapacity, SettingMaxFieldSectionSize, SettingQPACKBlockedStreams, SettingEnableConnect, SettingH3Datagram:
		return true
	}
	return false
}

// isForbiddenSetting tells whether a setting is one of HTTP/2 that HTTP/3 forbids (RFC 9114, sections 7.2.4.1 and 11.2.2).
func isForbiddenSetting(id uint64) bool { return id == 0 || id >= 0x02 && id <= 0x05 }

// appendSettings appends the payload of our SETTINGS frame. Booleans are sent where they are set, so that what is not used costs nothing.
func (c *Config) appendSettings(b []byte, client bool) []byte {
	b = appendSetting(b, SettingQPACKTableCapacity, uint64(c.QPACKTableCapacity))
	b = appendSetting(b, SettingMaxFieldSectionSize, c.MaxFieldSectionSize)
	b = appendSetting(b, SettingQPACKBlockedStreams, uint64(c.QPACKBlockedStreams))
	if c.EnableConnect && !client {
		b = appendSetting(b, SettingEnableConnect, 1)
	}
	if c.EnableDatagrams {
		b = appendSetting(b, SettingH3Datagram, 1)
	}
	for _, s := range c.AdditionalSettings {
		b = appendSetting(b, s.ID, s.Value)
	}
	return b
}

func appendSetting(b []byte, id, value uint64) []byte {
	return wire.AppendVarint(wire.AppendVarint(b, id), value)
}

// parseSettings reads the payload of a SETTINGS frame (RFC 9114, section 7.2.4). The error is that of the connection.
func parseSettings(p []byte) (Settings, *connError) { return readSettings(p, maxSettings) }

// readSettings is parseSettings for at most so many settings.
func readSettings(p []byte, most int) (Settings, *connError) {
	out := defaultSettings()
	var ids []uint64
	for len(p) > 0 {
		id, n := wire.ConsumeVarint(p)
		if n < 0 {
			return out, connErr(ErrCodeFrame, "a SETTINGS frame that ends within a setting")
		}
		v, m := wire.ConsumeVarint(p[n:])
		if m < 0 {
			return out, connErr(ErrCodeFrame, "a SETTINGS frame that ends within a setting")
		}
		p = p[n+m:]
		if ids = append(ids, id); len(ids) > most {
			return out, connErr(ErrCodeExcessiveLoad, "too many settings")
		}
		if err := out.set(id, v); err != nil {
			return out, err
		}
	}
	slices.Sort(ids)
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] {
			return out, connErr(ErrCodeSettings, "a setting that is there twice")
		}
	}
	return out, nil
}

func (s *Settings) set(id, v uint64) *connError {
	if isForbiddenSetting(id) {
		return connErr(ErrCodeSettings, "a setting of HTTP/2")
	}
	switch id {
	case SettingQPACKTableCapacity:
		s.QPACKTableCapacity = v
	case SettingMaxFieldSectionSize:
		s.MaxFieldSectionSize = v
	case SettingQPACKBlockedStreams:
		s.QPACKBlockedStreams = v
	case SettingEnableConnect:
		if v > 1 {
			return connErr(ErrCodeSettings, "SETTINGS_ENABLE_CONNECT_PROTOCOL is neither 0 nor 1")
		}
		s.EnableConnect = v == 1
	case SettingH3Datagram:
		if v > 1 {
			return connErr(ErrCodeSettings, "SETTINGS_H3_DATAGRAM is neither 0 nor 1")
		}
		s.H3Datagram = v == 1
	default:
		if (id-0x21)%0x1f != 0 || id < 0x21 { // not one for greasing
			s.Other = append(s.Other, Setting{id, v})
		}
	}
	return nil
}

// append writes settings in the form in which a client remembers them with a Session (RFC 9114, section 7.2.4.2): as a SETTINGS frame's
// payload.
func (s *Settings) append(b []byte) []byte {
	b = appendSetting(b, SettingQPACKTableCapacity, s.QPACKTableCapacity)
	b = appendSetting(b, SettingQPACKBlockedStreams, s.QPACKBlockedStreams)
	if s.MaxFieldSectionSize != NoLimit {
		b = appendSetting(b, SettingMaxFieldSectionSize, s.MaxFieldSectionSize)
	}
	b = appendSetting(b, SettingEnableConnect, boolInt(s.EnableConnect))
	b = appendSetting(b, SettingH3Datagram, boolInt(s.H3Datagram))
	for _, o := range s.Other {
		b = appendSetting(b, o.ID, o.Value)
	}
	return b
}

func boolInt(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// rememberedMagic begins what this package stores with a Session; its last byte is the version of the format.
const rememberedMagic = "h3\x01"

// remember returns what is stored with a Session.
func (s *Settings) remember() []byte { return s.append([]byte(rememberedMagic)) }

// recall reads what remember has made; ok is false if it is something else.
func recall(p []byte) (s Settings, ok bool) {
	rest, ok := strings.CutPrefix(string(p), rememberedMagic)
	if !ok {
		return defaultSettings(), false
	}
	s, err := readSettings([]byte(rest), maxSettings+ownSettings)
	return s, err == nil
}

// lowered tells in which way settings are less than those that 0-RTT data was sent under, or lack one that was there, which the server must not do that
// accepts it (RFC 9114, section 7.2.4.2; RFC 9204, section 3.2.3; RFC 9220, section 3; RFC 9297, section 2.1.1). nil: in none.
func (s *Settings) lowered(before *Settings) *connError {
	switch {
	case before.QPACKTableCapacity != 0 && s.QPACKTableCapacity != before.QPACKTableCapacity:
		return connErr(ErrCodeDecoderStream, "SETTINGS_QPACK_MAX_TABLE_CAPACITY is not what it was for 0-RTT data")
	case s.QPACKBlockedStreams < before.QPACKBlockedStreams:
		return connErr(ErrCodeSettings, "SETTINGS_QPACK_BLOCKED_STREAMS is lower than it was for 0-RTT data")
	case s.MaxFieldSectionSize < before.MaxFieldSectionSize:
		return connErr(ErrCodeSettings, "SETTINGS_MAX_FIELD_SECTION_SIZE is lower than it was for 0-RTT data")
	case before.MaxFieldSectionSize != NoLimit && s.MaxFieldSectionSize == NoLimit: // more than before, but omitted
		return connErr(ErrCodeSettings, "SETTINGS_MAX_FIELD_SECTION_SIZE is not there, and was for 0-RTT data")
	case before.EnableConnect && !s.EnableConnect:
		return connErr(ErrCodeSettings, "SETTINGS_ENABLE_CONNECT_PROTOCOL is 0 and was 1 for 0-RTT data")
	case before.H3Datagram && !s.H3Datagram:
		return connErr(ErrCodeSettings, "SETTINGS_H3_DATAGRAM is 0 and was 1 for 0-RTT data")
	}
	return nil
}

// EarlyContext is what of a server's settings its clients remember for 0-RTT data, for quic.Config.EarlyContext: a ticket that was given
// under other settings has the server reject 0-RTT data, rather than break its word (RFC 9114, section 7.2.4.2).
func (c *Config) EarlyContext() ([]byte, error) {
	r, err := c.resolve()
	if err != nil {
		return nil, err
	}
	return r.appendSettings([]byte(rememberedMagic), false), nil
}
