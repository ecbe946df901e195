package qpack

import "slices"

// Decoder decodes the field sections that a peer sends on one connection (RFC 9204). It holds the dynamic table that the peer's encoder
// stream builds, and writes what goes on our decoder stream. It has no lock: one goroutine at a time may use it.
type Decoder struct {
	maxCapacity uint64 // SETTINGS_QPACK_MAX_TABLE_CAPACITY, as told to the peer
	maxBlocked  uint64 // SETTINGS_QPACK_BLOCKED_STREAMS, likewise
	classifier  *Classifier
	table       decoderTable
	err         *Error // what ended it

	partial []byte // the beginning of an encoder instruction whose end has not arrived
	need    int    // how long partial has to be before it is worth looking at again

	blocked []blockedStream // by falling requiredInsertCount: the last is the next to go on
	ready   []uint64        // streams that were blocked and are to be tried again

	known uint64 // what the peer will know as our Insert Count once it has read out
	out   []byte // decoder instructions that are to be sent

	*decoderWork // nil: nothing has come since Rest
}

// decoderWork is the section at work: how many bytes of decoded size it may still have; the bytes of its literals, and where in the list of
// fields they belong.
type decoderWork struct {
	left     uint64
	scratch  []byte
	literals []literal
	cache    literalCache
}

// work has the Decoder have what it works with.
func (d *Decoder) work() {
	if d.decoderWork == nil {
		d.decoderWork = new(decoderWork)
	}
}

type blockedStream struct {
	requiredInsertCount, stream uint64
}

// literal is the place of a string that lies in scratch until its section is decoded.
type literal struct {
	field, start, end uint32 // field is the index in the list, times four, and the part
}

// The parts of a field.
const (
	literalName = iota
	literalCanonical
	literalValue
)

// NewDecoder returns a Decoder for a connection on which we have told the peer these values of SETTINGS_QPACK_MAX_TABLE_CAPACITY, in
// bytes, and SETTINGS_QPACK_BLOCKED_STREAMS (RFC 9204, section 5). With capacity 0 there is no dynamic table. Memory is taken when the
// peer inserts entries: strings of at most maxCapacity bytes in all, and 56 bytes an entry.
func NewDecoder(maxCapacity, blockedStreams uint64) *Decoder {
	return &Decoder{maxCapacity: min(maxCapacity, maxInt), maxBlocked: blockedStreams, classifier: unclassified}
}

// SetClassifier has c classify the fields of tables, from the first that comes on. It is called before the first entry comes; without it each
// Class is 0.
func (d *Decoder) SetClassifier(c *Classifier) { d.classifier = c }

// Decode decodes the encoded field section (RFC 9204, section 4.5) that came on the stream, whole, and appends its fields to into, in
// their order. It does not keep section. The strings of the fields are the caller's for good; those that are not of a table are cut
// from one string for each section, so whoever keeps one of them for long may want to clone it.
//
// maxSize bounds the decoded size, in bytes as Field.Size counts: of what is appended, not of what into has already. Errors:
//   - ErrBlocked: nothing was decoded; the section is to be kept, best in the flow-control window of its stream, and decoded again when
//     NextUnblocked names the stream. Until then no other section of that stream may be decoded.
//   - ErrTooLarge: decoding stopped when the limit was passed; the fields up to there are returned. The section is acknowledged to the
//     peer, and the Decoder goes on.
//   - ErrBacklog: nothing was decoded, because too many instructions wait to be sent; see Instructions.
//   - *Error: the connection is to be closed with its code.
func (d *Decoder) Decode(streamID uint64, section []byte, into []Field, maxSize uint64) ([]Field, error) {
	if d.err != nil {
		return into, d.err
	}
	p, ok := d.consumePrefix(section)
	if !ok {
		return into, d.err
	}
	if len(d.blocked)+len(d.ready) > 0 {
		d.unblock(streamID)
	}
	if p.requiredInsertCount > 0 {
		if len(d.out) >= maxBacklog {
			return into, ErrBacklog
		}
		if p.requiredInsertCount > d.table.inserted {
			return into, d.block(streamID, p.requiredInsertCount)
		}
	}
	fields, err := d.decodeLines(section[p.len:], p, into, maxSize)
	if err != nil && err != ErrTooLarge {
		return into, err
	}
	if p.requiredInsertCount > 0 {
		// RFC 9204, section 4.4.1.
		d.out = appendInt(d.out, 0x80, 7, streamID)
		d.known = max(d.known, p.requiredInsertCount)
	}
	return fields, err
}

// block notes that the stream waits for entries (RFC 9204, section 2.2.1).
func (d *Decoder) block(streamID, requiredInsertCount uint64) error {
	if uint64(len(d.blocked)) >= d.maxBlocked {
		return d.fail(DecompressionFailed, "stream %d is blocked, and so are %d others already, as many as the setting allows", streamID, d.maxBlocked)
	}
	i, _ := slices.BinarySearchFunc(d.blocked, requiredInsertCount, func(b blockedStream, v uint64) int {
		if b.requiredInsertCount > v {
			return -1
		}
		return 1
	})
	d.blocked = slices.Insert(d.blocked, i, blockedStream{requiredInsertCount, streamID})
	return ErrBlocked
}

// unblock forgets what was noted of the stream.
func (d *Decoder) unblock(streamID uint64) {
	if i := slices.IndexFunc(d.blocked, func(b blockedStream) bool { return b.stream == streamID }); i >= 0 {
		d.blocked = slices.Delete(d.blocked, i, i+1)
	}
	if i := slices.Index(d.ready, streamID); i >= 0 {
		d.ready = slices.Delete(d.ready, i, i+1)
	}
}

// NextUnblocked returns a stream whose section was blocked and can be decoded now, each once; ok is false if there is none. It is to be
// asked after HandleEncoderStream.
func (d *Decoder) NextUnblocked() (streamID uint64, ok bool) {
	if len(d.ready) == 0 {
		return 0, false
	}
	streamID = d.ready[0]
	d.ready = slices.Delete(d.ready, 0, 1)
	return streamID, true
}

// CancelStream is to be called when the peer has reset the stream, or reading of it was given up, before the end of the stream was read
// (RFC 9204, section 2.2.2.2). The stream is no longer blocked, and the peer is told that we need no entries for it.
func (d *Decoder) CancelStream(streamID uint64) {
	d.unblock(streamID)
	// With a capacity of 0 no section can have references, and the instruction MAY be omitted.
	if d.err == nil && d.maxCapacity > 0 && len(d.out) < maxCancelBacklog {
		d.out = appendInt(d.out, 0x40, 6, streamID) // RFC 9204, section 4.4.2
	}
}

// Instructions returns what is to be sent on our decoder stream, of which Sent is told. It is best asked for once what has arrived
// together is dealt with: entries that no section has acknowledged until then are acknowledged by one Insert Count Increment (RFC 9204,
// sections 2.2.2.3 and 4.4.3). The slice is valid until the next call of a method of d.
//
// While the peer gives no flow-control credit for the stream the instructions wait; when 8 KiB wait, Decode returns ErrBacklog.
func (d *Decoder) Instructions() []byte {
	if d.known < d.table.inserted && d.err == nil && len(d.out) < maxBacklog {
		d.out = appendInt(d.out, 0x00, 6, d.table.inserted-d.known)
		d.known = d.table.inserted
	}
	return d.out
}

// Sent tells that the first n bytes of Instructions were sent, or are the transport's to send.
func (d *Decoder) Sent(n int) { d.out = slices.Delete(d.out, 0, n) }

// Rest lets go of memory that only makes the next sections faster. It is for connections that have had nothing to do for a while.
func (d *Decoder) Rest() {
	d.decoderWork = nil
	if len(d.out) == 0 {
		d.out = nil
	}
	if len(d.partial) == 0 {
		d.partial = nil
	}
	if len(d.blocked) == 0 {
		d.blocked = nil
	}
	if len(d.ready) == 0 {
		d.ready = nil
	}
}

// InsertCount is how many entries the peer has inserted into the dynamic table so far.
func (d *Decoder) InsertCount() uint64 { return d.table.inserted }

// Blocked is how many streams are blocked now.
func (d *Decoder) Blocked() int { return len(d.blocked) }

func (d *Decoder) fail(code uint64, format string, args ...any) error {
	d.err = fault(code, format, args...)
	return d.err
}
