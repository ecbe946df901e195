package qpack

// admit decides of each field of the plan whether it is to be inserted, and counts its uses.
func (e *Encoder) admit() {
	e.fixed = e.table.sizeFrom(e.flight.known)
	e.beginDrain()
	for i := range e.plan {
		l, f := &e.plan[i], &e.fields[i]
		switch {
		case l.kind == lineStatic:
		case l.kind == lineEntry:
			e.used(l, l.index)
			if l.index < e.drainEnd {
				e.drain(f, l)
			}
		case l.never:
			e.takeName(f, l)
		default:
			e.admitField(f, l)
		}
	}
}

// used counts a use of the entry that has the line's field.
func (e *Encoder) used(l *line, i uint64) {
	w := &e.table.at(i).worth
	w.use(e.policy.section)
	e.policy.balance += int(w.saves)
	if w.times == 2 {
		e.policy.name(e.table.name(i), l.nameHash).second()
	}
}

// admitField deals with a field that is in no table, or in one that cannot be referred to yet.
func (e *Encoder) admitField(f *Field, l *line) {
	if i := e.table.find(f, l.pairHash, e.table.inserted); i != nothing {
		e.used(l, i)
		if i < e.usable() { // this section has inserted it
			e.refer(l, lineEntry, i)
		} else {
			e.takeName(f, l)
		}
		return
	}
	p := e.policy
	before := p.see(l.pairHash)
	if before == 0 && shortCookie(f) {
		p.guesses++
		e.takeName(f, l)
		return
	}
	history := p.name(f.Name, l.nameHash)
	var expected float32
	switch {
	case before < 0.05:
		expected = history.first() * usesAfterSecond
	case e.risk:
		expected = before * usesPerUse
	default:
		expected = before * usesPerUseSafe
	}
	if before >= 0.05 && before <= 1 {
		history.second()
	}
	// What the field takes as a literal, but for the reference to its name: that is what a use of the entry saves.
	saves := min(huffmanLen(f.Value), len(f.Value)) + 1
	instruction := saves + 1
	if l.kind == lineLiteral && e.table.findName(f.Name, l.nameHash, e.table.inserted) == nothing {
		saves += len(f.Name)
		instruction += len(f.Name)
	}
	cost, part := 2, maxPart // the index of the name, or of the entry, besides what a literal would take
	if !e.risk {             // all of the instruction comes on top
		cost, part = instruction, maxPartSafe
	}
	size := f.Size()
	worth := expected*float32(saves) - float32(cost) - e.fixedPrice()*float32(size)
	if worth > 0 && p.solvent(before) && float64(size) <= float64(e.capacity())*part && e.makeRoom(size, e.reserve(), saves+len(f.Name)+maxIntLen, worth) {
		i := e.insert(f.Name, f.Value, l.kind == lineStaticName, l)
		w := &e.table.at(i).worth
		w.uses, w.saves = uses{max(before+1, expected), p.section}, int32(saves)
		w.times = 1
		if before >= 0.05 {
			w.times = 2
		}
		p.balance -= cost
		if e.risk {
			e.refer(l, lineEntry, i)
			return
		}
	}
	e.takeName(f, l)
	if l.kind == lineLiteral {
		e.admitName(f, l)
	}
}

// solvent tells whether an insertion of a field with so many uses before can be afforded.
func (p *policy) solvent(before float32) bool {
	return p.balance > 0 || before >= 0.05 && p.balance > -startBalance
}

// fixedPrice is what a byte of the table costs at present.
func (e *Encoder) fixedPrice() float32 {
	if e.fixed == 0 {
		return 0
	}
	part := float32(e.fixed) / float32(e.table.capacity)
	return part * part * fixedPrice
}

// takeName lets a line that is a literal take its name from the dynamic table where that is shorter.
func (e *Encoder) takeName(f *Field, l *line) {
	if l.kind == lineStaticName && (l.index < 15 || e.oldest == nothing) || !e.dynamic {
		return // an index below 15 is one byte; and for one byte no section becomes one that has to be acknowledged
	}
	i := e.table.findName(f.Name, l.nameHash, e.usable())
	if i == nothing || l.kind == lineStaticName && e.table.inserted-i > 15 {
		return
	}
	if l.kind == lineLiteral {
		w := &e.table.at(i).worth
		if e.table.at(i).valueLen == 0 {
			w.use(e.policy.section)
			e.policy.balance += int(w.saves)
		} else { // a part of what the entry saves
			w.uses = uses{w.now(e.policy.section) + float32(len(f.Name))/float32(w.saves), e.policy.section}
		}
	}
	e.refer(l, lineName, i)
}

// admitName deals with a literal whose name is in no table: a name that comes again is inserted with an empty value.
func (e *Encoder) admitName(f *Field, l *line) {
	if e.table.findName(f.Name, l.nameHash, e.table.inserted) != nothing {
		return
	}
	named := Field{Name: f.Name}
	hash := hashPair(l.nameHash, hashString(""))
	before := e.policy.see(hash)
	saves := min(huffmanLen(f.Name), len(f.Name))
	worth := before*float32(saves) - float32(saves+1)*0.25
	if before < 0.5 || worth <= 0 || !e.policy.solvent(before) || !e.makeRoom(named.Size(), e.reserve(), saves+maxIntLen, worth) {
		return
	}
	literal := line{nameHash: l.nameHash, pairHash: hash, class: e.classifier.class(f.Name, "")}
	i := e.insert(f.Name, "", false, &literal)
	w := &e.table.at(i).worth
	w.uses, w.saves, w.times = uses{before + 1, e.policy.section}, int32(saves), 2
	e.policy.balance -= saves + 2
	if e.risk {
		e.refer(l, lineName, i)
	}
}

// maxWalk bounds how many of the oldest entries are looked at to make room for one.
const maxWalk = 32

// drainSections is for how many sections draining goes on after an insertion was refused, and drainPart which part of the table, the
// oldest, is drained. reservePart is the part of the table that insertions leave to duplicates while sections are in flight.
const (
	drainSections = 16
	drainPart     = 4
	reservePart   = 8
)

// beginDrain sets drainEnd, the absolute index below which entries are drained: sections in flight keep refering to the oldest entries,
// so that nothing can be evicted, and there was something to insert (RFC 9204, section 2.1.1.1).
func (e *Encoder) beginDrain() {
	t := &e.table
	if e.drainEnd = 0; !e.mayDrain() {
		return
	}
	i := t.oldest()
	for size := uint64(0); i < min(t.inserted, e.flight.known); i++ {
		if size += t.at(i).size(); size > t.capacity/drainPart {
			break
		}
	}
	e.drainEnd = i
}

// mayDrain tells whether entries were refused of late.
func (e *Encoder) mayDrain() bool {
	p := e.policy
	return p != nil && p.refused != 0 && p.section-p.refused <= drainSections
}

// drain duplicates an entry that the section refers to, so that sections to come refer to the duplicate.
func (e *Encoder) drain(f *Field, l *line) {
	t, i := &e.table, l.index
	if t.find(f, l.pairHash, t.inserted) != i {
		return // there is a duplicate already
	}
	entry := t.at(i)
	value := entry.worth.now(e.policy.section) * float32(entry.worth.saves)
	if !e.makeRoom(entry.size(), 0, maxIntLen, value) || l.kind != lineEntry || l.index != i {
		return
	}
	e.out = appendInt(e.out, 0, 5, t.inserted-1-i)
	e.fixed += entry.size()
	to := t.duplicate(i)
	t.at(i).worth.count = 0
	if e.risk {
		e.redirect(i, to)
	}
}

// makeRoom makes room for an entry of size bytes, whose instruction takes up to so many bytes and which is worth so much, if the oldest
// entries may be evicted and are worth less; those that are worth more are kept, by duplicating them. What it decides it does, and
// writes.
func (e *Encoder) makeRoom(size, reserve uint64, instruction int, worth float32) bool {
	t := &e.table
	if t.capacity == 0 {
		if !e.fits(instruction + maxIntLen) {
			return false
		}
		t.capacity = e.capacity()
		e.out = appendInt(e.out, 0x20, 5, t.capacity) // RFC 9204, section 4.3.1
	}
	keep, walked, ok := e.chooseOldest(size, reserve, worth)
	if !ok || !e.fits(instruction+walked*maxIntLen/2) {
		return false
	}
	first := t.oldest()
	for k := range uint64(walked) {
		if keep>>k&1 == 0 {
			continue
		}
		from := first + k
		e.out = appendInt(e.out, 0, 5, t.inserted-1-from) // RFC 9204, section 4.3.4
		e.fixed += t.at(from).size()
		e.redirect(from, t.duplicate(from))
	}
	return true
}

// reserve is how much of the table insertions leave free.
func (e *Encoder) reserve() uint64 {
	if len(e.flight.sections) == 0 || e.flight.known == 0 {
		return 0
	}
	return e.capacity() / reservePart
}

// fits tells whether so many bytes of instructions can be sent now.
func (e *Encoder) fits(n int) bool { return n <= e.room-len(e.out) }

// chooseOldest looks at the oldest entries until size bytes are free without those that are not to be kept; keep has a bit for each that
// was walked over. ok is false where that cannot be, or costs more than it is worth.
func (e *Encoder) chooseOldest(size, reserve uint64, worth float32) (keep uint32, walked int, ok bool) {
	t := &e.table
	density := worth / float32(size) * keepAbove
	free, lost := t.free(), float32(0)
	for ; free < size+reserve; walked++ {
		i := t.oldest() + uint64(walked)
		// RFC 9204, section 2.1.1.
		if walked == maxWalk || i >= t.inserted || i >= e.flight.known || t.at(i).pins > 0 {
			if walked < maxWalk && i < e.flight.known && i < t.inserted {
				e.policy.refused = e.policy.section
			}
			return 0, 0, false
		}
		entry := t.at(i)
		value := entry.worth.now(e.policy.section) * float32(entry.worth.saves)
		referred := e.refers(i)
		if referred || value > density*float32(entry.size()) {
			keep |= 1 << walked
			lost += 2
			if referred && !e.risk { // its line becomes a literal
				lost += float32(entry.worth.saves)
			}
		} else {
			lost += value * lostPart
			free += entry.size()
		}
	}
	return keep, walked, lost <= worth
}

// insert writes the instruction for an entry and inserts it (RFC 9204, sections 4.3.2 and 4.3.3); makeRoom has made room.
func (e *Encoder) insert(name, value string, static bool, l *line) uint64 {
	t := &e.table
	i := t.findName(name, l.nameHash, t.inserted)
	switch {
	case static && (l.index < 63 || i == nothing || t.inserted-1-i >= 63):
		e.out = appendInt(e.out, 0xc0, 6, l.index)
	case i != nothing:
		e.out = appendInt(e.out, 0x80, 6, t.inserted-1-i)
	default:
		e.out = appendString(e.out, 0x40, 5, name)
	}
	e.out = appendString(e.out, 0, 7, value)
	size := uint64(len(name)+len(value)) + fieldOverhead
	t.evict(size)
	e.fixed += size
	i = t.insert(name, value, l.nameHash, l.pairHash)
	t.at(i).class = l.class
	return i
}
