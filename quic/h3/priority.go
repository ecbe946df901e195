package h3

import (
	"strings"

	"github.com/dunglas/httpsfv"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Priorities of requests (RFC 9218): what a client asks for goes to the core's scheduler.

// priorities is what a server knows of the priorities of requests.
type priorities struct {
	early map[uint64]quic.Priority // of PRIORITY_UPDATE frames for streams that have not been opened, at most as many as may be
	cache []parsedPriority         // of field values, at most maxParsedPriorities: browsers send the same few again and again
	next  uint8                    // of cache, to be replaced
}

const maxParsedPriorities = 8

type parsedPriority struct {
	value    string
	priority quic.Priority
}

// ParsePriority reads a Priority field value (RFC 9218, sections 4 and 5), a dictionary of structured fields (RFC 8941). Parameters that are not
// there, or out of their range, have their default; a value that is no dictionary has both.
func ParsePriority(value string) quic.Priority {
	p := quic.DefaultPriority
	dict, err := httpsfv.UnmarshalDictionary([]string{value})
	if err != nil {
		return p
	}
	if m, ok := dict.Get("u"); ok {
		if item, ok := m.(httpsfv.Item); ok {
			if u, ok := item.Value.(int64); ok && u >= 0 && u <= 7 {
				p.Urgency = uint8(u)
			}
		}
	}
	if m, ok := dict.Get("i"); ok {
		if item, ok := m.(httpsfv.Item); ok {
			if i, ok := item.Value.(bool); ok {
				p.Incremental = i
			}
		}
	}
	return p
}

// FormatPriority returns p as a Priority field value, empty for the default.
func FormatPriority(p quic.Priority) string {
	u, i := [...]string{"u=0", "u=1", "u=2", "", "u=4", "u=5", "u=6", "u=7"}[p.Urgency&7], p.Incremental
	switch {
	case !i:
		return u
	case u == "":
		return "i"
	}
	return u + ", i"
}

// parse is ParsePriority, which looks into the values that came before first.
func (p *priorities) parse(value string) quic.Priority {
	for i := range p.cache {
		if e := &p.cache[i]; e.value == value && value != "" {
			return e.priority
		}
	}
	if len(value) > maxPriorityField {
		return quic.DefaultPriority
	}
	out := ParsePriority(value)
	parsed := parsedPriority{strings.Clone(value), out} // it may lie in a string of the whole section's
	if len(p.cache) < maxParsedPriorities {
		p.cache = append(p.cache, parsed)
	} else {
		p.cache[p.next%maxParsedPriorities] = parsed
		p.next++
	}
	return out
}

// setRequestPriority gives a server's stream the priority that its request asks for: by the value of its Priority field, empty if it has none.
func (c *Conn) setRequestPriority(s *stream, m *Message, value string) {
	if !s.updated && value != "" {
		s.priority = c.priorities.parse(value)
	}
	m.Priority = s.priority
	c.core.SetStreamPriority(s.id, s.priority)
}

// setOwnPriority gives a client's stream the priority of its own request: uploads leave in the order in which responses are wanted.
func (c *Conn) setOwnPriority(s *stream, value string) {
	if value != "" {
		s.priority = c.priorities.parse(value)
	}
	c.core.SetStreamPriority(s.id, s.priority)
}

// SetPriority sets the priority with which a stream is sent on this side. On a server it takes the place of what the client asked for, until that asks
// again.
func (c *Conn) SetPriority(id uint64, p quic.Priority) error {
	s := c.find(id)
	if s == nil {
		return c.unknown()
	}
	s.priority = p
	return c.core.SetStreamPriority(id, p)
}

// UpdatePriority has a client ask its server for another priority of a request's response (PRIORITY_UPDATE, RFC 9218, section 7), and
// sets it for what is sent on the stream too.
func (c *Conn) UpdatePriority(id uint64, p quic.Priority) error {
	if !c.client {
		return ErrRole
	}
	if err := c.SetPriority(id, p); err != nil {
		return err
	}
	if len(c.local.out[localControl]) > maxControlBacklog {
		return ErrControlBacklog
	}
	value := FormatPriority(p)
	b := appendFrameHeader(nil, framePriorityUpdateRequest, uint64(wire.SizeVarint(id)+len(value)))
	c.local.write(c, localControl, append(wire.AppendVarint(b, id), value...))
	return nil
}

// onPriorityUpdate acts on a PRIORITY_UPDATE frame (RFC 9218, section 7.2).
func (c *Conn) onPriorityUpdate(typ uint64, p []byte) *connError {
	id, n := wire.ConsumeVarint(p)
	if n < 0 {
		return connErr(ErrCodeFrame, "a PRIORITY_UPDATE frame that ends within its ID")
	}
	if !c.load.spend(c, costPriorityUpdate) {
		return connErr(ErrCodeExcessiveLoad, "too many PRIORITY_UPDATE frames")
	}
	if typ == framePriorityUpdatePush {
		return connErr(ErrCodeID, "PRIORITY_UPDATE of a push that was not promised")
	}
	if id&3 != 0 || id>>2 >= c.core.PeerStreamLimit(false) {
		return connErr(ErrCodeID, "PRIORITY_UPDATE of a stream that is no request, or beyond the limit on streams")
	}
	priority := c.priorities.parse(string(p[n:]))
	if s := c.find(id); s != nil {
		c.updatePriority(s, priority)
	} else if id >= c.goaway.next && c.goaway.takes(id) {
		if c.priorities.early == nil {
			c.priorities.early = make(map[uint64]quic.Priority)
		}
		c.priorities.early[id] = priority
	}
	return nil
}

// updatePriority changes the priority of a request at the client's wish.
func (c *Conn) updatePriority(s *stream, p quic.Priority) {
	s.updated = true
	if s.priority == p {
		return
	}
	s.priority = p
	c.core.SetStreamPriority(s.id, p)
	if s.known { // else the request's message tells it
		c.tell(s, newsPriority)
	}
}

// takeEarly gives a stream that was opened what came for it before.
func (c *Conn) takeEarly(s *stream) {
	if p, ok := c.priorities.early[s.id]; ok {
		delete(c.priorities.early, s.id)
		s.priority, s.updated = p, true
	}
	c.datagrams.takeFor(c, s)
}
