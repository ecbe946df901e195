package qpack

import "strings"

// line is how one field of the section at work is to be represented.
type line struct {
	kind               lineKind
	never              bool   // a never-indexed literal
	class              uint8  // the field's
	index              uint64 // of the entry that it refers to, in its table
	nameHash, pairHash uint64
	name, value        string // the field, for recall; empty if never
}

// is tells whether a line is that of a field which may be found in a table.
func (l *line) is(f *Field) bool { return l.value == f.Value && l.name == f.Name && !l.never }

type lineKind uint8

const (
	lineLiteral    lineKind = iota // literal name and value
	lineStaticName                 // the name of an entry of the static table
	lineName                       // the name of an entry of the dynamic table
	lineStatic                     // an entry of the static table
	lineEntry                      // an entry of the dynamic table
)

func (k lineKind) dynamic() bool { return k == lineEntry || k == lineName }

// begin finds what of the fields is in the tables, and so makes the plan of the section at work, if it may refer to every entry.
func (e *Encoder) begin(fields []Field) {
	e.work()
	e.fields = fields
	e.dynamic = e.capacity() >= fieldOverhead && e.err == nil && len(e.flight.sections) < maxFlight
	e.risk = e.dynamic
	e.look()
}

// count counts the section, and plans anew without the entries that are not acknowledged if it may not refer to them, or should not.
func (e *Encoder) count(streamID uint64) {
	if e.policy == nil {
		e.policy = &policy{balance: startBalance}
	}
	e.policy.section++
	e.policy.balance = min(e.policy.balance+1, maxBalance)
	e.risk = e.flight.mayRisk(streamID, min(e.maxBlocked, uint64(e.blockedLimit))) && e.worthRisk()
	if !e.risk {
		e.look()
	}
}

// look plans each field's line. Lines at the front that stand as they did in the section before are left as they are.
func (e *Encoder) look() {
	sight := tableSight{e.dynamic, e.table.inserted, e.usable()}
	same := e.sight == sight // so that what the lines before refer to is what would be found
	e.sight = sight
	wary, next := e.isWary(), 0
	if !wary {
		next = e.standing(same)
	}
	if e.stood = next == len(e.fields) && next == len(e.plan); e.stood {
		return
	}
	e.before, e.plan = e.plan, append(e.before[:0], e.plan[:next]...)
	for i := next; i < len(e.fields); i++ {
		f := &e.fields[i]
		e.plan = append(e.plan, line{})
		l, at := &e.plan[i], -1
		if !f.Sensitive && !(wary && shortCookie(f)) {
			at = e.recall(f, next)
		}
		if at >= 0 {
			*l = e.before[at]
			next = at + 1
		} else {
			e.newLine(l, f)
		}
		if !l.stands(same) {
			e.lookUp(l, f)
		}
	}
	e.oldest = nothing
	for i := range e.plan {
		if l := &e.plan[i]; l.kind == lineEntry {
			e.oldest = min(e.oldest, l.index)
		}
	}
}

// standing returns how many lines at the front of the last plan are right for the fields at hand.
func (e *Encoder) standing(same bool) int {
	n := min(len(e.fields), len(e.plan))
	fields, plan := e.fields[:n], e.plan[:n]
	for i := range fields {
		if f, l := &fields[i], &plan[i]; f.Sensitive || !l.stands(same) || !l.is(f) {
			return i
		}
	}
	return n
}

// stands tells whether a line of the section before refers to what would be found for its field again. same tells that the dynamic table is what it was.
func (l *line) stands(same bool) bool { return l.kind == lineStatic || same && l.kind == lineEntry }

// tableSight is what a section sees of the dynamic table.
type tableSight struct {
	dynamic          bool
	inserted, usable uint64
}

// recall finds a field among the lines before, those of the last section: at next, where it stands if its neighbour stood before it there, or else
// anywhere. It returns its place, -1 if it is not there.
func (e *Encoder) recall(f *Field, next int) int {
	if next < len(e.before) && e.before[next].is(f) {
		return next
	}
	for at := range min(len(e.before), maxRecall) {
		if e.before[at].is(f) {
			return at
		}
	}
	return -1
}

// maxRecall is among how many lines a field is looked for.
const maxRecall = 32

// newLine begins the line of a field that was not recalled.
func (e *Encoder) newLine(l *line, f *Field) {
	l.never = f.Sensitive || e.secret(f)
	l.nameHash = hashString(f.Name)
	if !l.never {
		l.pairHash = hashPair(l.nameHash, hashString(f.Value))
		l.name, l.value = f.Name, f.Value
	}
}

// lookUp finds what of a line's field is in the tables.
func (e *Encoder) lookUp(l *line, f *Field) {
	l.kind, l.index = lineLiteral, 0
	if !l.never {
		if j := staticPair(f, l.pairHash); j >= 0 {
			l.kind, l.index, l.class = lineStatic, uint64(j), e.classifier.static[j].Class
			return
		}
		if e.dynamic {
			if j := e.table.find(f, l.pairHash, e.usable()); j != nothing {
				l.kind, l.index, l.class = lineEntry, j, e.table.at(j).class
				return
			}
		}
	}
	if l.class == 0 {
		l.class = e.classifier.class(f.Name, f.Value)
	}
	if j := staticName(f.Name, l.nameHash); j >= 0 {
		l.kind, l.index = lineStaticName, uint64(j)
	}
}

// secret tells whether a field is sent as a never-indexed literal although nobody has asked for it: credentials, and short cookies once
// too many of them were tried (RFC 9204, section 7.1).
func (e *Encoder) secret(f *Field) bool {
	if e.indexSecrets {
		return false
	}
	switch f.Name {
	case "authorization", "proxy-authorization":
		return true
	}
	return e.isWary() && shortCookie(f)
}

// isWary tells whether too many short cookies were tried.
func (e *Encoder) isWary() bool {
	return !e.indexSecrets && e.policy != nil && e.policy.guesses >= maxGuesses
}

// shortCookie tells whether a field is a cookie whose value is so short that it could be guessed.
func shortCookie(f *Field) bool {
	return f.Name == "cookie" && len(f.Value)-strings.IndexByte(f.Value, '=')-1 < minCookie
}

// worthRisk tells whether the section saves enough by entries that are not acknowledged to count as one that could become blocked. As
// long as no other could, it does.
func (e *Encoder) worthRisk() bool {
	if len(e.flight.risky) == 0 {
		return true
	}
	saved := float32(0)
	for i := range e.plan {
		if l := &e.plan[i]; l.kind == lineEntry && l.index >= e.flight.known {
			saved += float32(e.table.at(l.index).worth.saves)
		}
	}
	enough := saved >= e.policy.saving*riskPart
	e.policy.saving += (saved - e.policy.saving) / 16
	return enough
}

// usable is the absolute index below which the section may refer to entries.
func (e *Encoder) usable() uint64 {
	if e.risk {
		return e.table.inserted
	}
	return e.flight.known
}

// refer lets the line refer to the entry.
func (e *Encoder) refer(l *line, kind lineKind, i uint64) {
	l.kind, l.index = kind, i
	e.oldest = min(e.oldest, i)
}

// refers tells whether the section refers to the entry.
func (e *Encoder) refers(i uint64) bool {
	if i < e.oldest {
		return false
	}
	for k := range e.plan {
		if l := &e.plan[k]; l.kind.dynamic() && l.index == i {
			return true
		}
	}
	return false
}

// redirect lets the lines that refer to the entry from refer to its duplicate, or be literals where that cannot be used yet.
func (e *Encoder) redirect(from, to uint64) {
	if from < e.oldest {
		return
	}
	e.oldest = nothing
	for k := range e.plan {
		l := &e.plan[k]
		if !l.kind.dynamic() {
			continue
		}
		if l.index == from {
			if to < e.usable() {
				l.index = to
			} else if j := staticName(e.fields[k].Name, l.nameHash); j >= 0 {
				l.kind, l.index = lineStaticName, uint64(j)
				continue
			} else {
				l.kind = lineLiteral
				continue
			}
		}
		e.oldest = min(e.oldest, l.index)
	}
}

// appendPlan appends the section as it was planned (RFC 9204, section 4.5). The Base is the Required Insert Count, so that all
// references are relative to it and short.
func (e *Encoder) appendPlan(dst []byte, streamID uint64) []byte {
	plan, required := e.plan, uint64(0)
	for i := range plan {
		if l := &plan[i]; l.kind.dynamic() {
			required = max(required, l.index+1)
		}
	}
	if required == 0 {
		dst = append(dst, 0, 0)
	} else {
		dst = appendInt(dst, 0, 8, required%(2*(e.maxCapacity/fieldOverhead))+1)
		dst = append(dst, 0)
		e.table.pin(e.oldest)
		e.flight.add(flyingSection{stream: streamID, requiredInsertCount: required, oldest: e.oldest})
	}
	for i := range plan {
		switch l := &plan[i]; l.kind {
		case lineStatic:
			dst = appendInt(dst, 0xc0, 6, l.index)
		case lineEntry:
			dst = appendInt(dst, 0x80, 6, required-1-l.index)
		default:
			dst = l.appendLiteral(dst, &e.fields[i], required)
		}
	}
	e.fields = nil
	return dst
}

// appendLiteral appends a line that has at least the value as a literal.
func (l *line) appendLiteral(dst []byte, f *Field, required uint64) []byte {
	never := byte(0)
	if l.never {
		never = 1
	}
	switch l.kind {
	case lineStaticName:
		dst = appendInt(dst, 0x50|never<<5, 4, l.index)
	case lineName:
		dst = appendInt(dst, 0x40|never<<5, 4, required-1-l.index)
	case lineLiteral:
		dst = appendString(dst, 0x20|never<<4, 3, f.Name)
	}
	return appendString(dst, 0, 7, f.Value)
}
