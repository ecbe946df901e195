package qpack

// HandleEncoderStream follows the instructions in p, which the peer's encoder stream brought next (RFC 9204, section 4.3). It does not
// keep p; the beginning of an instruction that has not arrived whole is copied, up to four times the table's capacity. Streams that can
// go on because of it are told by NextUnblocked. An error is an *Error with EncoderStreamError.
func (d *Decoder) HandleEncoderStream(p []byte) error {
	if d.err != nil {
		return d.err
	}
	d.work()
	if len(d.partial) > 0 {
		d.partial = append(d.partial, p...)
		if len(d.partial) < d.need {
			return nil
		}
		p = d.partial
	}
	for len(p) > 0 {
		n, need := d.instruction(p)
		if d.err != nil {
			return d.err
		}
		if n == parseShort {
			d.need = need
			break
		}
		p = p[n:]
	}
	d.partial = append(d.partial[:0], p...) // p may lie in partial, further on
	if cap(d.partial) > maxScratch && len(p) == 0 {
		d.partial = nil
	}
	d.wakeBlocked()
	return nil
}

// wakeBlocked moves the streams that have what they need from blocked to ready.
func (d *Decoder) wakeBlocked() {
	n := len(d.blocked)
	for n > 0 && d.blocked[n-1].requiredInsertCount <= d.table.inserted {
		n--
		d.ready = append(d.ready, d.blocked[n].stream)
	}
	d.blocked = d.blocked[:n]
}

// instruction follows the instruction that p begins with and returns its length, or parseShort and how long p has to be for another try.
func (d *Decoder) instruction(p []byte) (n, need int) {
	switch c := p[0]; {
	case c&0x80 != 0: // section 4.3.2, Insert with Name Reference
		index, n := consumeInt(p, 6)
		if n <= 0 {
			return d.shortInstruction(n, len(p)+1)
		}
		var name fieldName
		if c&0x40 != 0 {
			if index >= uint64(len(staticTable)) {
				return d.failStream("index %d is beyond the static table", index)
			}
			s := &d.classifier.static[index]
			name = fieldName{s.Name, s.Canonical}
		} else if e := d.table.at(d.table.inserted - 1 - index); e != nil {
			name = fieldName{e.Name, e.Canonical}
		} else {
			return d.failStream("an entry takes its name from relative index %d of a table of %d entries", index, d.table.count)
		}
		value, m, need := d.tableString(p[n:], 7, uint64(len(name.wire)))
		if m <= 0 {
			return d.shortInstruction(m, n+need)
		}
		return d.insert(name, value, n+m)
	case c&0x40 != 0: // section 4.3.3, Insert with Literal Name
		name, n, need := d.tableString(p, 5, 0)
		if n <= 0 {
			return d.shortInstruction(n, need)
		}
		value, m, need := d.tableString(p[n:], 7, name.least())
		if m <= 0 {
			return d.shortInstruction(m, n+need)
		}
		return d.insertLiteral(name, value, n+m)
	case c&0x20 != 0: // section 4.3.1, Set Dynamic Table Capacity
		capacity, n := consumeInt(p, 5)
		if n <= 0 {
			return d.shortInstruction(n, len(p)+1)
		}
		if capacity > d.maxCapacity {
			return d.failStream("capacity %d is above the setting, %d", capacity, d.maxCapacity)
		}
		d.table.capacity = capacity
		d.table.evict(capacity)
		return n, 0
	default: // section 4.3.4, Duplicate
		index, n := consumeInt(p, 5)
		if n <= 0 {
			return d.shortInstruction(n, len(p)+1)
		}
		e := d.table.at(d.table.inserted - 1 - index)
		if e == nil {
			return d.failStream("relative index %d of a table of %d entries is to be duplicated", index, d.table.count)
		}
		if !d.table.insert(*e) { // it was in the table, and has not become larger
			panic("qpack: an entry is larger than the table that it is in")
		}
		return n, 0
	}
}

// tableString parses a string literal of an entry, of which besides bytes are known already: its length, or parseShort and how long b has to be for
// another try, or parseBad where the entry cannot fit into the table, whatever the string stands for.
func (d *Decoder) tableString(b []byte, bits uint, besides uint64) (s rawString, n, need int) {
	if len(b) == 0 {
		return s, parseShort, 1
	}
	length, n := consumeInt(b, bits)
	if n <= 0 {
		return s, n, len(b) + 1
	}
	huffman := b[0]&(1<<bits) != 0
	if leastString(length, huffman)+besides+fieldOverhead > d.table.capacity {
		return s, parseBad, 0
	}
	if length > uint64(len(b)-n) {
		return s, parseShort, n + int(length)
	}
	end := n + int(length)
	return rawString{huffman, b[n:end]}, end, 0
}

// leastString is how many bytes a string literal stands for at the least.
func leastString(length uint64, huffman bool) uint64 {
	if huffman && length < maxInt/8 {
		return length * 8 / huffmanMaxBits // at least so many bytes, but for the padding
	}
	return length
}

func (s rawString) least() uint64 { return leastString(uint64(len(s.bytes)), s.huffman) }

// shortInstruction is the end of instruction if a part could not be parsed, with what consumeInt or tableString returned.
func (d *Decoder) shortInstruction(n, need int) (int, int) {
	if n == parseBad {
		const text = "an integer is above 2^62-1, or too long, or the length of a string with which the entry does not fit into a table of %d bytes"
		return d.failStream(text, d.table.capacity)
	}
	return parseShort, need
}

// insert inserts an entry whose name another has; n is the length of the instruction.
func (d *Decoder) insert(name fieldName, value rawString, n int) (int, int) {
	d.scratch = d.scratch[:0]
	v, ok := d.entryString(value)
	if !ok {
		return parseBad, 0
	}
	return d.insertEntry(Field{Name: name.wire, Canonical: name.canonical, Value: string(v)}, n)
}

// insertLiteral inserts an entry with a name of its own. The name has memory of its own, which may outlive the entry as that of others.
func (d *Decoder) insertLiteral(name, value rawString, n int) (int, int) {
	d.scratch = d.scratch[:0]
	raw, ok := d.entryString(name)
	if !ok {
		return parseBad, 0
	}
	known, ok := knownNames[string(raw)]
	if !ok {
		known = newFieldName(string(raw))
	}
	d.scratch = d.scratch[:0]
	v, ok := d.entryString(value)
	if !ok {
		return parseBad, 0
	}
	return d.insertEntry(Field{Name: known.wire, Canonical: known.canonical, Value: string(v)}, n)
}

// entryString decodes a string literal of an entry into scratch; ok is false if it is malformed or larger than the table.
func (d *Decoder) entryString(raw rawString) (v []byte, ok bool) {
	if !raw.huffman {
		return raw.bytes, true
	}
	start := len(d.scratch)
	var result huffmanResult
	d.scratch, result = consumeHuffman(d.scratch, raw.bytes, int(min(d.table.capacity, 1<<40)))
	switch result {
	case huffmanBad:
		d.failStream("a string literal is no Huffman code")
		return nil, false
	case huffmanLong:
		d.failStream("a string does not fit into a table of %d bytes", d.table.capacity)
		return nil, false
	}
	return d.scratch[start:], true
}

func (d *Decoder) insertEntry(e Field, n int) (int, int) {
	e.Class = d.classifier.class(e.Name, e.Value)
	if !d.table.insert(e) { // RFC 9204, section 3.2.2
		return d.failStream("an entry of %d bytes is larger than the table, of %d", e.Size(), d.table.capacity)
	}
	return n, 0
}

func (d *Decoder) failStream(format string, args ...any) (n, need int) {
	d.fail(EncoderStreamError, format, args...)
	return parseBad, 0
}
