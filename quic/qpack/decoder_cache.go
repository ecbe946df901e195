package qpack

// literalCache keeps strings that a connection has sent as literals again and again, because its encoder does without the dynamic table.
// It is asked with the literal as it came, so that what is found there need not be decoded either. A literal gets its place when it comes
// a second time, and keeps it from one other as long as it is used in between.
type literalCache struct {
	places []cachePlace    // none until the first literal
	kept   []cachedLiteral // what the places that have something have
	bytes  int
}

// cachePlace is a place of the cache, found by the hash of a literal.
type cachePlace struct {
	tag  uint32 // of the literal that has the place, or of one that came once
	full bool
	used bool  // since another literal wanted the place
	at   uint8 // index in kept plus one, 0 if the place never was full
}

type cachedLiteral struct {
	raw             string
	text, canonical string
}

// find returns what is kept of the literal, nil if it is not there. Where it came before, place is what keep takes.
func (c *literalCache) find(raw rawString, part uint32) (hit *cachedLiteral, place *cachePlace) {
	if len(raw.bytes) == 0 || len(raw.bytes) > maxCachedLen {
		return nil, nil
	}
	if c.places == nil {
		c.places = make([]cachePlace, maxCached)
	}
	hash := hashString(raw.bytes)
	tag := (uint32(hash>>32)|1)<<2 ^ part<<1
	if raw.huffman {
		tag ^= 1
	}
	p := &c.places[(uint32(hash)+part)%maxCached]
	switch {
	case p.tag == tag && !p.full:
		return nil, p
	case p.tag == tag:
		if hit = &c.kept[p.at-1]; hit.raw != string(raw.bytes) {
			return nil, nil
		}
		p.used = true
		return hit, nil
	case p.used:
		p.used = false
		return nil, nil
	}
	if p.full {
		kept := &c.kept[p.at-1]
		c.bytes -= kept.size()
		*kept = cachedLiteral{}
	}
	p.tag, p.full = tag, false
	return nil, nil
}

// keep gives the literal the place that find has returned; ok is false if there is no room for it.
func (c *literalCache) keep(p *cachePlace, raw rawString, text, canonical string) (ok bool) {
	kept := cachedLiteral{raw: string(raw.bytes), text: text, canonical: canonical}
	if c.bytes+kept.size() > maxCachedBytes {
		return false
	}
	if p.at == 0 {
		c.kept = append(c.kept, cachedLiteral{})
		p.at = uint8(len(c.kept))
	}
	c.kept[p.at-1] = kept
	c.bytes += kept.size()
	p.full, p.used = true, true
	return true
}

func (s *cachedLiteral) size() int { return len(s.raw) + len(s.text) + len(s.canonical) }
