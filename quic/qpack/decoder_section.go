package qpack

// sectionPrefix is what an encoded field section begins with (RFC 9204, section 4.5.1).
type sectionPrefix struct {
	requiredInsertCount, base uint64
	len                       int
}

// consumePrefix parses the prefix of a section; ok is false if that failed, and d.err tells why.
func (d *Decoder) consumePrefix(b []byte) (p sectionPrefix, ok bool) {
	encoded, n := consumeInt(b, 8)
	if n <= 0 {
		d.failInt("the Required Insert Count", n)
		return p, false
	}
	if p.requiredInsertCount, ok = d.requiredInsertCount(encoded); !ok {
		d.fail(DecompressionFailed, "Required Insert Count %d, as encoded, cannot be with %d entries inserted and a table of %d bytes", encoded, d.table.inserted, d.maxCapacity)
		return p, false
	}
	delta, m := consumeInt(b[n:], 7)
	if m <= 0 {
		d.failInt("the Base", m)
		return p, false
	}
	p.len = n + m
	// RFC 9204, section 4.5.1.2.
	if b[n]&0x80 == 0 {
		p.base = p.requiredInsertCount + delta
		return p, true
	}
	if p.requiredInsertCount <= delta {
		d.fail(DecompressionFailed, "the Base is negative: Required Insert Count %d, Delta Base %d with the Sign bit", p.requiredInsertCount, delta)
		return p, false
	}
	p.base = p.requiredInsertCount - delta - 1
	return p, true
}

// requiredInsertCount undoes the wrapping of the Required Insert Count (RFC 9204, section 4.5.1.1): of the values that are encoded so it
// takes the one that the table can have or get to while no entry that the section may need is evicted.
func (d *Decoder) requiredInsertCount(encoded uint64) (v uint64, ok bool) {
	if encoded == 0 {
		return 0, true
	}
	maxEntries := d.maxCapacity / fieldOverhead
	fullRange := 2 * maxEntries
	if encoded > fullRange {
		return 0, false
	}
	maxValue := d.table.inserted + maxEntries
	v = maxValue/fullRange*fullRange + encoded - 1
	if v > maxValue {
		if v < fullRange {
			return 0, false
		}
		v -= fullRange
	}
	return v, v != 0
}

// decodeLines decodes the field lines that follow the prefix.
func (d *Decoder) decodeLines(b []byte, p sectionPrefix, into []Field, maxSize uint64) ([]Field, error) {
	d.work()
	d.scratch, d.literals, d.left = d.scratch[:0], d.literals[:0], maxSize
	fields, err := into, error(nil)
	for len(b) > 0 && err == nil {
		if len(fields) == cap(fields) {
			fields = growFields(fields, len(b), d.left)
		}
		if b, fields = d.takeShort(b, &p, fields); len(b) == 0 || len(fields) == cap(fields) {
			continue
		}
		fields = fields[:len(fields)+1]
		n := 0
		if n, err = d.decodeLine(b, p, fields); err != nil {
			fields[len(fields)-1] = Field{}
			fields = fields[:len(fields)-1]
		}
		b = b[n:]
	}
	d.cutLiterals(fields)
	return fields, err
}

// takeShort decodes the field lines at the front of b that are of one byte, references to whole entries, as most are, as long as there is room in
// fields. It returns what is left of b, and stops there before whatever is not so simple: that is for decodeLine.
func (d *Decoder) takeShort(b []byte, p *sectionPrefix, fields []Field) ([]byte, []Field) {
	const longer = 0x3f // a prefix of 6 bits that more bytes follow
	for len(b) > 0 && len(fields) < cap(fields) {
		index := b[0] & longer
		if b[0]&0x80 == 0 || index == longer {
			break
		}
		var f *Field
		if b[0]&0x40 != 0 {
			f = &d.classifier.static[index]
		} else if i := p.base - 1 - uint64(index); i < p.requiredInsertCount { // one below the table has wrapped
			f = d.table.at(i)
		}
		if f == nil || d.take(f.Size()) != nil {
			break
		}
		fields = fields[:len(fields)+1]
		fields[len(fields)-1] = *f // append would copy it twice
		b = b[1:]
	}
	return b, fields
}

// growFields makes room for more fields, for no more than bytes of input can stand for, or the limit on the decoded size lets in.
func growFields(fields []Field, bytes int, left uint64) []Field {
	most := uint64(min(bytes, 1<<20))
	most = min(most, left/fieldOverhead+1) // and the one that goes beyond
	n := max(minFields, 3*uint64(len(fields)))
	if len(fields) > 4*minFields {
		n = most // it grows twice at most, so that little is allocated in vain
	}
	n = min(n, most)
	return append(make([]Field, 0, len(fields)+int(n)), fields...)
}

// minFields is how many fields the first slice has room for.
const minFields = 24

// take counts n bytes of the decoded size; ok is false if that passes the limit.
func (d *Decoder) take(n uint64) error {
	if n > d.left {
		d.left = 0
		return ErrTooLarge
	}
	d.left -= n
	return nil
}

// decodeLine decodes the field line that b begins with into the last of the fields, and returns its length.
func (d *Decoder) decodeLine(b []byte, p sectionPrefix, fields []Field) (n int, err error) {
	f := &fields[len(fields)-1]
	switch c := b[0]; {
	case c&0x80 != 0: // section 4.5.2, Indexed Field Line
		index, n := consumeInt(b, 6)
		if n <= 0 {
			return 0, d.failInt("the index of a field line", n)
		}
		if c&0x40 != 0 {
			if index >= uint64(len(staticTable)) {
				return 0, d.fail(DecompressionFailed, "index %d is beyond the static table", index)
			}
			*f = d.classifier.static[index]
			return n, d.take(f.Size())
		}
		return n, d.useEntry(f, p, p.base-1-index, index < p.base)
	case c&0x40 != 0: // section 4.5.4, Literal Field Line with Name Reference
		index, n := consumeInt(b, 4)
		if n <= 0 {
			return 0, d.failInt("the index of a name", n)
		}
		if c&0x10 != 0 {
			if index >= uint64(len(staticTable)) {
				return 0, d.fail(DecompressionFailed, "index %d is beyond the static table", index)
			}
			s := &d.classifier.static[index]
			*f = Field{Name: s.Name, Canonical: s.Canonical}
		} else if err := d.useName(f, p, p.base-1-index, index < p.base); err != nil {
			return 0, err
		}
		f.Sensitive = c&0x20 != 0
		return d.decodeValue(b, n, fields)
	case c&0x20 != 0: // section 4.5.6, Literal Field Line with Literal Name
		*f = Field{Sensitive: c&0x10 != 0}
		n, err := d.decodeName(b, fields)
		if err != nil {
			return 0, err
		}
		return d.decodeValue(b, n, fields)
	case c&0x10 != 0: // section 4.5.3, Indexed Field Line with Post-Base Index
		index, n := consumeInt(b, 4)
		if n <= 0 {
			return 0, d.failInt("the index of a field line", n)
		}
		return n, d.useEntry(f, p, p.base+index, true)
	default: // section 4.5.5, Literal Field Line with Post-Base Name Reference
		index, n := consumeInt(b, 3)
		if n <= 0 {
			return 0, d.failInt("the index of a name", n)
		}
		if err := d.useName(f, p, p.base+index, true); err != nil {
			return 0, err
		}
		f.Sensitive = c&0x08 != 0
		return d.decodeValue(b, n, fields)
	}
}

// useEntry sets f to the entry with the absolute index i; ok is false if the relative index is below the table.
func (d *Decoder) useEntry(f *Field, p sectionPrefix, i uint64, ok bool) error {
	e, err := d.entry(p, i, ok)
	if err != nil {
		return err
	}
	*f = *e
	return d.take(f.Size())
}

// useName is useEntry for a field of which the table has only the name. The size is counted with the value.
func (d *Decoder) useName(f *Field, p sectionPrefix, i uint64, ok bool) error {
	e, err := d.entry(p, i, ok)
	if err == nil {
		*f = Field{Name: e.Name, Canonical: e.Canonical}
	}
	return err
}

func (d *Decoder) entry(p sectionPrefix, i uint64, ok bool) (*Field, error) {
	var e *Field
	if ok && i < p.requiredInsertCount {
		e = d.table.at(i)
	}
	switch {
	case e != nil:
		return e, nil
	case !ok: // i has wrapped
		return nil, d.fail(DecompressionFailed, "a relative index points before the first entry of the dynamic table")
	case i >= p.requiredInsertCount: // RFC 9204, section 2.2.3
		return nil, d.fail(DecompressionFailed, "entry %d of the dynamic table is referred to where the Required Insert Count is %d", i, p.requiredInsertCount)
	}
	return nil, d.fail(DecompressionFailed, "entry %d of the dynamic table is referred to, which was evicted", i)
}

// decodeName decodes the literal name of the field line b, and returns the length of the line up to there.
func (d *Decoder) decodeName(b []byte, fields []Field) (n int, err error) {
	raw, n := consumeString(b, 3)
	if n <= 0 {
		return 0, d.failInt("a literal name", n)
	}
	f := &fields[len(fields)-1]
	hit, place := d.cache.find(raw, literalName)
	if hit != nil {
		f.Name, f.Canonical = hit.text, hit.canonical
		return n, nil // the value's turn counts the length of a name that is there
	}
	start := len(d.scratch)
	if err := d.appendLiteral(raw); err != nil {
		return 0, err
	}
	name := d.scratch[start:]
	known, ok := knownNames[string(name)]
	if !ok && place != nil {
		known, ok = newFieldName(string(name)), true
	}
	if ok {
		f.Name, f.Canonical = known.wire, known.canonical
		d.scratch = d.scratch[:start]
		if place != nil {
			d.cache.keep(place, raw, known.wire, known.canonical)
		}
		return n, nil
	}
	if err := d.take(uint64(len(name))); err != nil {
		return 0, err
	}
	end := len(d.scratch)
	d.addLiteral(fields, literalName, start, end)
	d.scratch = appendCanonical(d.scratch, name)
	if string(d.scratch[end:]) == string(name) {
		d.scratch = d.scratch[:end]
		d.addLiteral(fields, literalCanonical, start, end)
	} else {
		d.addLiteral(fields, literalCanonical, end, len(d.scratch))
	}
	return n, nil
}

// decodeValue decodes the value at b[at:], counts the field's size, but for a literal name's, and returns the length of b up to there.
func (d *Decoder) decodeValue(b []byte, at int, fields []Field) (n int, err error) {
	raw, n := consumeString(b[at:], 7)
	if n <= 0 {
		return 0, d.failInt("a literal value", n)
	}
	f := &fields[len(fields)-1]
	if err := d.take(uint64(len(f.Name)) + fieldOverhead); err != nil { // a literal name that is not there yet was counted
		return 0, err
	}
	if len(raw.bytes) == 0 {
		return at + n, nil
	}
	hit, place := d.cache.find(raw, literalValue)
	if hit != nil {
		f.Value = hit.text
		return at + n, d.take(uint64(len(hit.text)))
	}
	start := len(d.scratch)
	if err := d.appendLiteral(raw); err != nil {
		return 0, err
	}
	size := len(d.scratch) - start
	if place != nil {
		f.Value = string(d.scratch[start:])
		d.cache.keep(place, raw, f.Value, "")
		d.scratch = d.scratch[:start]
	} else {
		d.addLiteral(fields, literalValue, start, len(d.scratch))
	}
	return at + n, d.take(uint64(size))
}

// appendLiteral appends what the string literal stands for to scratch, as far as the limit on the decoded size lets it.
func (d *Decoder) appendLiteral(raw rawString) error {
	limit := int(min(d.left, 1<<30))
	if !raw.huffman {
		if len(raw.bytes) > limit {
			return ErrTooLarge
		}
		d.scratch = append(d.scratch, raw.bytes...)
		return nil
	}
	var result huffmanResult
	d.scratch, result = consumeHuffman(d.scratch, raw.bytes, limit)
	switch result {
	case huffmanBad:
		return d.fail(DecompressionFailed, "a string literal is no Huffman code")
	case huffmanLong:
		return ErrTooLarge
	}
	return nil
}

// addLiteral notes that a part of the last of the fields lies in scratch.
func (d *Decoder) addLiteral(fields []Field, part, start, end int) {
	d.literals = append(d.literals, literal{uint32((len(fields)-1)*4 + part), uint32(start), uint32(end)})
}

// cutLiterals gives the fields their literals, cut from one string.
func (d *Decoder) cutLiterals(fields []Field) {
	if len(d.literals) > 0 {
		all := string(d.scratch)
		for _, l := range d.literals {
			i := int(l.field / 4)
			if i >= len(fields) {
				break // the line that the limit was passed in
			}
			f, s := &fields[i], all[l.start:l.end]
			switch l.field % 4 {
			case literalName:
				f.Name = s
			case literalCanonical:
				f.Canonical = s
			case literalValue:
				f.Value = s
			}
		}
	}
	if cap(d.scratch) > maxScratch {
		d.scratch = nil
	}
	if cap(d.literals) > maxScratch/16 {
		d.literals = nil
	}
}

// failInt is the error for a part of a section that could not be parsed, with what consumeInt or consumeString returned.
func (d *Decoder) failInt(what string, n int) error {
	if n == parseBad {
		return d.fail(DecompressionFailed, "%s: an integer is above 2^62-1, or too long", what)
	}
	return d.fail(DecompressionFailed, "%s: the field section ends within it", what)
}
