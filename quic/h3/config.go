package h3

import (
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Config is what connections are made of. The zero value of every field stands for its default. A Config must not be changed once
// it is in use; many connections share one, of both roles.
type Config struct {
	// MaxFieldSectionSize is the largest header or trailer section that is accepted, in bytes: the lengths of all names and values,
	// and 32 for each field (RFC 9114, section 4.2.2), counted while the section is decoded. It is told to the peer. Default 64 KiB.
	MaxFieldSectionSize uint64

	// QPACKTableCapacity is how large a dynamic table the peer's encoder may use, in bytes, and QPACKBlockedStreams how many
	// streams may wait for entries of it (RFC 9204, section 5). Defaults 4096 and 100; negative: none.
	QPACKTableCapacity, QPACKBlockedStreams int

	// EncoderTableCapacity is how much of the table that the peer allows our encoder uses at the most, in bytes. Default 4096;
	// negative: none.
	EncoderTableCapacity int

	// EnableConnect has a server tell that it takes extended CONNECT (RFC 9220): requests with Message.Protocol.
	EnableConnect bool

	// EnableDatagrams tells the peer that HTTP datagrams are understood (RFC 9297). The connection must take DATAGRAM frames too: see
	// quic.Config.MaxDatagramFrameSize.
	EnableDatagrams bool

	// AdditionalSettings are sent with ours (RFC 9114, section 7.2.4.1), at most 32. IDs that this package sends by itself, and those
	// that HTTP/3 forbids, are refused by New's connection: see Check.
	AdditionalSettings []Setting

	// Origins are what a server tells that it answers for (RFC 9412), each like "https://example.org" or with a port, in lower
	// case. Default: none, and no ORIGIN frame is sent.
	Origins []string

	// NoGrease has nothing reserved be sent: by default a setting, a frame and a unidirectional stream of reserved types remind the
	// peer that unknown ones are to be ignored (RFC 9114, sections 6.2.3, 7.2.4.1 and 7.2.8).
	NoGrease bool

	// MaxPriorityUpdate is the longest PRIORITY_UPDATE frame that a server reads, in bytes of its payload, 1 to 264 (RFC 9218, section 7); a
	// longer one ends the connection with H3_EXCESSIVE_LOAD. Default 264: an ID, and a Priority Field Value of 256 bytes.
	MaxPriorityUpdate int

	// HeaderTimeout ends a request whose header section has not arrived whole that long after its stream was opened, with
	// H3_REQUEST_INCOMPLETE. Servers only. More than a day is a day. Default 0: never.
	HeaderTimeout time.Duration

	// BlockedTimeout ends a stream whose header section waits for entries of the dynamic table for that long, a day at most. Default 10 s.
	BlockedTimeout time.Duration

	// StreamType tells whether a stream of an unknown type that the peer has opened is for the application, as WebTransport's are: then
	// EventRawStream tells of it, and the stream is the application's as if TakeOver had been called. For a unidirectional stream (uni) typ
	// is the type that it begins with (RFC 9114, section 6.2), for a bidirectional one that of its first frame. Default nil: there are
	// none; such streams are stopped with H3_STREAM_CREATION_ERROR, and such frames skipped.
	StreamType func(typ uint64, uni bool) bool

	// Rand is where random bytes for greasing come from. Default crypto/rand.Reader.
	Rand io.Reader

	resolved bool
}

// Setting is a parameter of a SETTINGS frame (RFC 9114, section 7.2.4). Both numbers are at most 2^62-1.
type Setting struct{ ID, Value uint64 }

// maxAdditionalSettings is how many settings of the application's are sent.
const maxAdditionalSettings = 32

// maxTimeout is what a longer HeaderTimeout or BlockedTimeout is taken for, so that any can be added to a time.
const maxTimeout = 24 * time.Hour

// Check tells what is wrong with a Config, in one sentence; nil if nothing is.
func (c *Config) Check() error {
	switch {
	case c.MaxFieldSectionSize > maxFieldSectionCap:
		return fmt.Errorf("h3: Config.MaxFieldSectionSize is %d; at most %d can be held", c.MaxFieldSectionSize, maxFieldSectionCap)
	case c.QPACKTableCapacity > maxTableCapacity:
		return fmt.Errorf("h3: Config.QPACKTableCapacity is %d; at most %d can be held", c.QPACKTableCapacity, maxTableCapacity)
	case c.QPACKBlockedStreams > maxBlockedStreams:
		return fmt.Errorf("h3: Config.QPACKBlockedStreams is %d; at most %d can wait", c.QPACKBlockedStreams, maxBlockedStreams)
	case c.EncoderTableCapacity > maxTableCapacity:
		return fmt.Errorf("h3: Config.EncoderTableCapacity is %d; at most %d can be held", c.EncoderTableCapacity, maxTableCapacity)
	case c.MaxPriorityUpdate < 0 || c.MaxPriorityUpdate > maxPriorityUpdate:
		return fmt.Errorf("h3: Config.MaxPriorityUpdate is %d, which is not within 1 and %d", c.MaxPriorityUpdate, maxPriorityUpdate)
	case c.HeaderTimeout < 0 || c.BlockedTimeout < 0:
		return fmt.Errorf("h3: Config.HeaderTimeout and BlockedTimeout are durations, not %v and %v", c.HeaderTimeout, c.BlockedTimeout)
	case len(c.AdditionalSettings) > maxAdditionalSettings:
		return fmt.Errorf("h3: Config.AdditionalSettings has %d settings; at most %d are sent", len(c.AdditionalSettings), maxAdditionalSettings)
	}
	for i, s := range c.AdditionalSettings {
		if s.ID > wire.MaxVarint || s.Value > wire.MaxVarint {
			return fmt.Errorf("h3: Config.AdditionalSettings: 0x%x = %d is above 2^62-1", s.ID, s.Value)
		}
		if isOwnSetting(s.ID) || isForbiddenSetting(s.ID) {
			return fmt.Errorf("h3: Config.AdditionalSettings: 0x%x is not the application's to send", s.ID)
		}
		for _, before := range c.AdditionalSettings[:i] {
			if before.ID == s.ID {
				return fmt.Errorf("h3: Config.AdditionalSettings: 0x%x is there twice", s.ID)
			}
		}
	}
	size := 0
	for _, o := range c.Origins {
		if size += 2 + len(o); len(o) == 0 || !isOrigin(o) {
			return fmt.Errorf("h3: Config.Origins: %q is not an origin such as https://example.org", o)
		}
	}
	if size > maxOriginFrame {
		return fmt.Errorf("h3: Config.Origins takes %d bytes; at most %d are sent", size, maxOriginFrame)
	}
	return nil
}

// resolve returns a copy in which defaults are filled in.
func (c *Config) resolve() (*Config, error) {
	if c == nil {
		c = &Config{}
	}
	if c.resolved {
		return c, nil
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	r := *c
	if r.MaxFieldSectionSize == 0 {
		r.MaxFieldSectionSize = 64 << 10
	}
	capacity := func(v *int, usual int) {
		if *v == 0 {
			*v = usual
		}
		*v = max(*v, 0)
	}
	capacity(&r.QPACKTableCapacity, 4096)
	capacity(&r.QPACKBlockedStreams, 100)
	capacity(&r.EncoderTableCapacity, 4096)
	if r.MaxPriorityUpdate == 0 {
		r.MaxPriorityUpdate = maxPriorityUpdate
	}
	if r.BlockedTimeout == 0 {
		r.BlockedTimeout = 10 * time.Second
	}
	r.HeaderTimeout, r.BlockedTimeout = min(r.HeaderTimeout, maxTimeout), min(r.BlockedTimeout, maxTimeout)
	if r.Rand == nil {
		r.Rand = rand.Reader
	}
	r.resolved = true
	return &r, nil
}

// Prepare returns a copy of the Config with its defaults filled in, and what Check says. New does the same for each connection unless the
// Config was prepared before: a server that makes many connections prepares its Config once.
func (c *Config) Prepare() (*Config, error) { return c.resolve() }
