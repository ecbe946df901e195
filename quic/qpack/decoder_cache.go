package qpack

// literalCache keeps strings that a connection has sent as literals again and again, because its encoder does without the dynamic table.
// It is asked with the literal as it came, so that what is found there need not be decoded either. A literal gets its place when it comes
// a second time, and keeps it from one other as long as it is used in between.
type literalCache struct {
	slots []cachedLiteral // none until the first literal
	bytes int
}

type cachedLiteral struct {
	tag             uint32 // of the literal that has the place, or of one that came once, if raw is empty
	used            bool
	raw             string
	text, canonical string
}

// find looks the literal up. Where it is there, c.raw is not empty. again tells that it came before, and that keep may be called.
func (c *literalCache) find(raw rawString, part uint32) (s *cachedLiteral, again bool) {
	if len(raw.bytes) == 0 || len(raw.bytes) > maxCachedLen {
		return nil, false
	}
	if c.slots == nil {
		c.slots = make([]cachedLiteral, maxCached)
	}
	hash := hashString(raw.bytes)
	tag := (uint32(hash>>32)|1)<<2 ^ part<<1
	if raw.huffman {
		tag ^= 1
	}
	s = &c.slots[(uint32(hash)+part)%maxCached]
	switch {
	case s.tag != tag:
		if s.used {
			s.used = false
			return nil, false
		}
		c.bytes -= s.size()
		*s = cachedLiteral{tag: tag}
		return nil, false
	case s.raw == "":
		return s, true
	case s.raw == string(raw.bytes):
		s.used = true
		return s, false
	}
	return nil, false
}

// keep gives the literal the place that find has returned; ok is false if there is no room for it.
func (c *literalCache) keep(s *cachedLiteral, raw rawString, text, canonical string) (ok bool) {
	kept := cachedLiteral{tag: s.tag, used: true, raw: string(raw.bytes), text: text, canonical: canonical}
	if c.bytes+kept.size() > maxCachedBytes {
		s.tag = 0
		return false
	}
	c.bytes += kept.size()
	*s = kept
	return true
}

func (s *cachedLiteral) size() int { return len(s.raw) + len(s.text) + len(s.canonical) }
