package qpack

// Of a field that is not in the table the policy asks how often it will probably be used again; that times the bytes that a reference
// saves is what inserting it is worth, in bytes. doc.go has the whole of it.

// What the estimates rest on. Half of a field's uses are forgotten in halfLife sections. The prior numbers say of how many values of a
// name, seen before any, how many came again.
const (
	halfLife   = 20  // sections
	priorNew   = 2   // values of a name
	priorAgain = 1.5 // of which so many came a second time

	// Of names whose values are known to differ from one message to the next.
	priorNewVarying   = 1
	priorAgainVarying = 0.1

	usesAfterSecond = 1.6   // uses that a value has, if it comes a second time
	usesPerUse      = 2     // uses to come for each one counted, of a value that came again
	usesPerUseSafe  = 1.6   // the same where each insertion has to be sent besides the literal
	nameDecay       = 0.998 // what is kept of the counts of a name with each new value

	// fixedPrice is what a byte of the table costs, in bytes saved, when all of it holds entries that are not acknowledged. The price
	// falls with the square of their part: while there are none, an insertion is easily made good.
	fixedPrice = 0.35

	// keepAbove is how much denser an old entry has to be than the new one, in worth for each byte of the table, to be kept by
	// duplicating it. The worth of those that go counts as a part, lostPart, as they have been insured against being old.
	keepAbove = 0.9
	lostPart  = 0.5

	// A section takes one of the streams that may become blocked only if it saves this part of what sections of late have saved so.
	riskPart = 0.03

	// An entry takes at most this part of the table; where each insertion has to be sent besides the literal, the smaller.
	maxPart     = 0.75
	maxPartSafe = 0.25

	// The balance of bytes saved and bytes spent on insertions begins at startBalance and stays below maxBalance; below 0 there are no
	// insertions of what is seen for the first time, below -startBalance none at all. Each section adds a byte.
	startBalance = 1024
	maxBalance   = 8192
)

// Whoever can choose fields of a connection and see how long its packets are could find out a cookie by trying: what is in the table
// becomes short. The value of a cookie that is at least minCookie bytes long, 40 bits and more of a random identifier, takes too many
// tries. Shorter ones go into the table only when they come a second time, and once maxGuesses of them have come that were not
// known, none is looked up any more: the penalty that RFC 9204, section 7.1.2, describes.
const (
	minCookie  = 8
	maxGuesses = 16
)

// varying are names whose values, at least in their first uses on a connection, say little of the next.
var varying = map[string]bool{
	":path": true, "accept": true, "age": true, "content-length": true, "content-md5": true, "content-range": true, "date": true,
	"digest": true, "etag": true, "expires": true, "if-modified-since": true, "if-none-match": true, "last-modified": true,
	"location": true, "range": true, "set-cookie": true, "traceparent": true, "x-request-id": true,
}

// policy is what the encoder remembers of the fields that it has sent.
type policy struct {
	section uint32 // number of the section at work
	saving  float32
	balance int
	refused uint32                                    // number of the last section that could not evict what it wanted to
	guesses int                                       // short cookies that were not known when they came
	past    sparse[pastField, [pastFields]uint8]      // in sets of pastSet by their hash
	names   sparse[nameHistory, [nameHistories]uint8] // by the hash of the name
}

const (
	pastFields    = 128
	pastSet       = 4
	nameHistories = 64
)

// sparse is an array whose elements take memory when they are first used: most connections send few fields.
type sparse[T any, P [pastFields]uint8 | [nameHistories]uint8] struct {
	places P // of each element the index in used plus one; 0: it was never used
	used   []T
}

// at returns element i, nil if it was never used. The pointer is valid until the next call of use.
func (a *sparse[T, P]) at(i int) *T {
	if place := a.places[i]; place > 0 {
		return &a.used[place-1]
	}
	return nil
}

// use returns element i, which at did not find.
func (a *sparse[T, P]) use(i int) *T {
	if a.used == nil {
		a.used = make([]T, 0, 4)
	}
	var unused T
	a.used = append(a.used, unused)
	a.places[i] = uint8(len(a.used))
	return &a.used[len(a.used)-1]
}

// decay is what is left of a count after so many sections.
var decay [256]float32

func init() {
	const perSection = 0.96593632892484555 // 2^(-1/halfLife)
	v := float32(1)
	for i := range decay {
		decay[i] = v
		v *= perSection
	}
	decay[255] = 0 // or more
}

// uses counts uses of a field; older ones count less.
type uses struct {
	count float32
	at    uint32 // number of the section that count is of
}

func (u uses) now(at uint32) float32 { return u.count * decay[min(at-u.at, 255)] }

// worth is what the table's entry is good for.
type worth struct {
	uses
	saves int32 // bytes saved by each use
	times uint8 // uses since the field was first seen, up to 255
}

func (w *worth) use(at uint32) {
	w.uses = uses{w.now(at) + 1, at}
	if w.times < 255 {
		w.times++
	}
}

// pastField is a field that was sent and is not in the table, by its hash.
type pastField struct {
	tag uint32
	uses
}

// see counts a use of the field with the hash and returns the count of those before; 0 if none is remembered.
func (p *policy) see(hash uint64) (before float32) {
	tag := uint32(hash>>32) | 1
	set := int(hash) & (pastFields - 1) &^ (pastSet - 1)
	var least *pastField // that is to be forgotten
	for i := set; i < set+pastSet; i++ {
		f := p.past.at(i)
		if f == nil { // and none behind it was used
			if least == nil || least.now(p.section) > 0 {
				least = p.past.use(i)
			}
			break
		}
		if f.tag == tag {
			before = f.now(p.section)
			f.uses = uses{before + 1, p.section}
			return before
		}
		if least == nil || f.now(p.section) < least.now(p.section) {
			least = f
		}
	}
	*least = pastField{tag, uses{1, p.section}}
	return 0
}

// nameHistory tells of the values of a name how many came a second time.
type nameHistory struct {
	tag             uint32
	fresh, recurred float32
}

// name returns the history of the name.
func (p *policy) name(name string, hash uint64) *nameHistory {
	tag := uint32(hash>>32) | 1
	const probes = 4
	var h *nameHistory
	for i := range uint64(probes) {
		place := int((hash + i) % nameHistories)
		if h = p.names.at(place); h == nil {
			h = p.names.use(place)
			break
		}
		if h.tag == tag {
			return h
		}
	}
	*h = nameHistory{tag: tag, fresh: priorNew, recurred: priorAgain}
	if varying[name] {
		h.fresh, h.recurred = priorNewVarying, priorAgainVarying
	}
	return h
}

// first counts a value that was not seen before, and returns the probability that it comes again.
func (h *nameHistory) first() float32 {
	p := min(1, h.recurred/h.fresh)
	h.fresh = h.fresh*nameDecay + 1
	h.recurred *= nameDecay
	return p
}

// second counts a value that came a second time.
func (h *nameHistory) second() { h.recurred++ }
