package qpack

import (
	"math"
	"slices"
)

// EncoderConfig is what an Encoder is made from. The zero value takes the defaults.
type EncoderConfig struct {
	// TableCapacity is the most that we use of the table that the peer allows, in bytes, which is also about the memory that it takes
	// here. 0 means DefaultTableCapacity; negative means none: sections then refer to the static table only; 1 GiB is the most.
	TableCapacity int

	// BlockedStreams is the most streams that we let run the risk of waiting for the encoder stream, of those that the peer allows.
	// 0 means DefaultBlockedStreams; negative means none: sections then refer only to entries that the peer has acknowledged.
	BlockedStreams int

	// IndexSecrets lets the table take what is kept from it otherwise: authorization and proxy-authorization fields, and cookies with
	// a value below eight bytes when many different ones have come. That is safe where nobody else can choose fields of the same connection and see how long its packets
	// are, and worth while where a large token is sent with each request (RFC 9204, section 7.1). Sensitive fields stay out of it.
	IndexSecrets bool
}

// Defaults of EncoderConfig.
const (
	DefaultTableCapacity  = 4096
	DefaultBlockedStreams = 100
)

// maxEncoderCapacity bounds EncoderConfig.TableCapacity, in bytes.
const maxEncoderCapacity = 1 << 30

// Encoder encodes the field sections that we send on one connection (RFC 9204). It has no lock: one goroutine at a time may use it.
type Encoder struct {
	capacityLimit, blockedLimit uint32 // ours
	maxCapacity, maxBlocked     uint64 // the peer's settings
	table                       encoderTable
	flight                      flight
	policy                      *policy // from the first section that may use the dynamic table
	classifier                  *Classifier
	out                         []byte // instructions that are to be sent
	partial                     []byte // the beginning of a decoder instruction, at most maxIntLen bytes
	err                         *Error // what ended it
	vain                        int32  // stream cancellations that no section waited on, since VainCancellations was asked
	indexSecrets                bool
	*encoderWork                // nil: nothing was encoded since Rest
}

// encoderWork is the section at work.
type encoderWork struct {
	stood    bool // all of fields are those of the section before, and in the tables
	dynamic  bool // it may use the dynamic table
	risk     bool // it may refer to entries that are not acknowledged
	fields   []Field
	plan     []line
	before   []line // those of the section before
	sight    tableSight
	room     int    // how long out may become
	drainEnd uint64 // entries below this absolute index are drained
	oldest   uint64 // the oldest entry that it refers to so far
	fixed    uint64 // size of the entries that are not acknowledged
}

// work has the Encoder have what it works with.
func (e *Encoder) work() {
	if e.encoderWork == nil {
		e.encoderWork = new(encoderWork)
	}
}

// NewEncoder returns an Encoder for a connection. Before SetPeer it uses the static table only, as RFC 9204, section 3.2.3, asks for.
func NewEncoder(config EncoderConfig) *Encoder {
	e := &Encoder{capacityLimit: DefaultTableCapacity, blockedLimit: DefaultBlockedStreams, classifier: unclassified, indexSecrets: config.IndexSecrets}
	if config.TableCapacity != 0 {
		e.capacityLimit = uint32(min(max(config.TableCapacity, 0), maxEncoderCapacity))
	}
	if config.BlockedStreams != 0 {
		e.blockedLimit = uint32(min(max(config.BlockedStreams, 0), math.MaxInt32))
	}
	return e
}

// SetPeer tells the peer's SETTINGS_QPACK_MAX_TABLE_CAPACITY, in bytes, and SETTINGS_QPACK_BLOCKED_STREAMS; 0 for one that is not there.
// A client that sends early data tells the remembered ones first; a server that then does not repeat a capacity other than 0 is in
// error: an *Error with DecoderStreamError (RFC 9204, section 3.2.3). That it must not allow fewer blocked streams than were remembered
// is HTTP/3's to check (RFC 9114, section 7.2.4.2).
func (e *Encoder) SetPeer(maxCapacity, blockedStreams uint64) error {
	if e.err != nil {
		return e.err
	}
	if e.maxCapacity != 0 && maxCapacity != e.maxCapacity {
		return e.fail("SETTINGS_QPACK_MAX_TABLE_CAPACITY is %d, and was remembered as %d", maxCapacity, e.maxCapacity)
	}
	e.maxCapacity, e.maxBlocked = maxCapacity, blockedStreams
	return nil
}

// SetClassifier has c classify fields for Prepare. It is called before anything is encoded; without it each Class is 0.
func (e *Encoder) SetClassifier(c *Classifier) { e.classifier = c }

// Prepare looks fields up in the tables and sets the Class of each, before anything is done that could not be undone: of fields that a table holds it
// is known, others are classified. If the fields are to be sent then, AppendPrepared follows, before any other call; until then they belong to e.
func (e *Encoder) Prepare(fields []Field) {
	e.begin(fields)
	for i := range fields {
		fields[i].Class = e.plan[i].class
	}
}

// AppendSection appends the encoded field section that stands for fields, in their order, to dst and returns the result. The section is
// to be sent on the stream: the Encoder counts on it, until the peer's decoder stream says what became of it. If it is not sent after
// all, the stream has to be reset.
//
// room is how many bytes our encoder stream can take now: flow-control credit of the stream and of the connection, beyond what is queued
// already (RFC 9204, section 2.1.3). Instructions that this makes take no more than that, less what Instructions holds already. They
// should be sent before the section, or in the same packet.
func (e *Encoder) AppendSection(dst []byte, streamID uint64, fields []Field, room int) []byte {
	e.begin(fields)
	return e.AppendPrepared(dst, streamID, room)
}

// MayInstruct tells whether AppendPrepared could make instructions, so that it matters what room there is for them. It cannot where all of the fields
// are those of the section before, and in the tables.
func (e *Encoder) MayInstruct() bool { return !e.stood || e.dynamic && e.mayDrain() }

// AppendPrepared is AppendSection of the fields that were given to Prepare.
func (e *Encoder) AppendPrepared(dst []byte, streamID uint64, room int) []byte {
	e.room = room
	if e.dynamic && e.flight.givenUp.has(streamID) {
		e.dynamic, e.risk = false, false
		e.look()
	}
	if e.dynamic {
		e.count(streamID)
		if len(e.plan) <= maxAdmitted {
			e.admit()
		}
	}
	return e.appendPlan(dst, streamID)
}

// capacity is the capacity that we give the table.
func (e *Encoder) capacity() uint64 { return min(e.maxCapacity, uint64(e.capacityLimit)) }

// Instructions returns what is to be sent on our encoder stream, of which Sent is told. The slice is valid until the next call of a
// method of e.
func (e *Encoder) Instructions() []byte { return e.out }

// Sent tells that the first n bytes of Instructions were sent, or are the transport's to send.
func (e *Encoder) Sent(n int) { e.out = slices.Delete(e.out, 0, n) }

// Rest lets go of memory that only makes the next sections faster. It is for connections that have had nothing to do for a while. The
// dynamic table, and what was learned of the fields, stays.
func (e *Encoder) Rest() {
	e.encoderWork, e.table.spare = nil, nil
	if len(e.out) == 0 {
		e.out = nil
	}
	if len(e.partial) == 0 {
		e.partial = nil
	}
	if len(e.flight.sections) == 0 {
		e.flight.sections = nil
	}
	if len(e.flight.risky) == 0 {
		e.flight.risky = nil
	}
}

// HandleDecoderStream follows the instructions in p, which the peer's decoder stream brought next (RFC 9204, section 4.4). It does not
// keep p. An error is an *Error with DecoderStreamError.
func (e *Encoder) HandleDecoderStream(p []byte) error {
	if e.err != nil {
		return e.err
	}
	if len(e.partial) > 0 {
		e.partial = append(e.partial, p...)
		p = e.partial
	}
	for len(p) > 0 {
		n := e.instruction(p)
		if e.err != nil {
			return e.err
		}
		if n == parseShort {
			break
		}
		p = p[n:]
	}
	e.partial = append(e.partial[:0], p...) // p may lie in partial, further on
	e.flight.compact()
	return nil
}

// Unacknowledged is how many sections that refer to the dynamic table wait for what the peer's decoder stream says of them. As long as they do, the
// entries that they refer to stay (RFC 9204, section 2.1.1).
func (e *Encoder) Unacknowledged() int { return len(e.flight.sections) }

// VainCancellations returns how many stream cancellations came that no section waited on, since it was asked last. A peer may send some
// (RFC 9204, section 2.2.2.2), and each costs a look at all sections that wait: who sends very many wants that.
func (e *Encoder) VainCancellations() (n int) {
	n, e.vain = int(e.vain), 0
	return n
}

// instruction follows the decoder instruction that p begins with and returns its length, or parseShort.
func (e *Encoder) instruction(p []byte) int {
	switch c := p[0]; {
	case c&0x80 != 0: // section 4.4.1, Section Acknowledgment
		stream, n := consumeInt(p, 7)
		if n > 0 {
			s, ok := e.flight.acknowledge(stream)
			if !ok {
				e.fail("a field section of stream %d is acknowledged, and none waits for it", stream)
			} else {
				e.table.unpin(s.oldest)
			}
		}
		return e.length(n)
	case c&0x40 != 0: // section 4.4.2, Stream Cancellation
		stream, n := consumeInt(p, 6)
		if n > 0 {
			s, ok := e.flight.cancel(stream)
			if !ok {
				e.vain++
			}
			e.flight.giveUp(stream)
			for ; ok; s, ok = e.flight.cancel(stream) {
				e.table.unpin(s.oldest)
			}
		}
		return e.length(n)
	default: // section 4.4.3, Insert Count Increment
		increment, n := consumeInt(p, 6)
		switch {
		case n <= 0:
		case increment == 0:
			e.fail("the Insert Count is to grow by 0")
		case increment > e.table.inserted-e.flight.known:
			e.fail("the Insert Count is to grow by %d from %d, and %d entries were inserted", increment, e.flight.known, e.table.inserted)
		default:
			e.flight.received(e.flight.known + increment)
		}
		return e.length(n)
	}
}

// length is the length of an instruction, with what consumeInt returned for it.
func (e *Encoder) length(n int) int {
	if n == parseBad {
		e.fail("an integer is above 2^62-1, or too long")
	}
	return n
}

func (e *Encoder) fail(format string, args ...any) error {
	e.err = fault(DecoderStreamError, format, args...)
	return e.err
}

// appendString appends a string literal whose length has a prefix of bits bits, in the Huffman code where that is shorter. first has the
// bits above (RFC 9204, section 4.1.2).
func appendString(b []byte, first byte, bits uint, s string) []byte {
	if n := huffmanLen(s); n < len(s) {
		return appendHuffman(appendInt(b, first|1<<bits, bits, uint64(n)), s)
	}
	return append(appendInt(b, first, bits, uint64(len(s))), s...)
}
