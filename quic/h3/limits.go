package h3

// Every bound on what a peer can make us hold or do, in one place. Each has a test that reaches it.
const (
	// maxFieldSectionCap bounds Config.MaxFieldSectionSize, in bytes.
	maxFieldSectionCap = 16 << 20

	// maxTableCapacity bounds the dynamic tables of both directions, in bytes, and maxBlockedStreams the streams that may wait for one.
	maxTableCapacity  = 1 << 20
	maxBlockedStreams = 1 << 16

	// sectionSlack is how much longer than Config.MaxFieldSectionSize a HEADERS frame may be, in bytes: its prefix. A field takes fewer
	// bytes in it than it counts, unless it was encoded to be long.
	sectionSlack = 32

	// maxHeldSections bounds what is held of header sections that come in pieces, or wait to be decoded, in bytes; a single one may be longer.
	// Beyond it streams wait under flow control. Sections that came in one piece, of 16 KiB at most, and wait for the dynamic table
	// are held on top of that, as many as Config.QPACKBlockedStreams says.
	maxHeldSections = 256 << 10

	// maxSettingsFrame is the longest SETTINGS frame that is read, in bytes, and maxSettings how many settings it may have.
	maxSettingsFrame = 4 << 10
	maxSettings      = 256

	// maxOriginFrame is the longest ORIGIN frame that is read or sent, in bytes; a longer one is skipped: who does not know of an origin
	// makes a connection of its own for it.
	maxOriginFrame = 16<<10 - 1

	// maxPriorityField is the longest Priority Field Value that is read, in bytes (RFC 9218, section 7).
	maxPriorityField = 256

	// maxPriorityUpdate bounds Config.MaxPriorityUpdate, in bytes: a Priority Field Value as long as that behind an ID.
	maxPriorityUpdate = maxPriorityField + 8

	// maxQuoted is how much of a name or a value that the peer has sent stands in an error, in bytes: an error is kept as long as its stream.
	maxQuoted = 64

	// maxSessions is how many of a client's sessions wait for the server's SETTINGS: the newest.
	maxSessions = 4

	// maxLingering is how many streams are kept that are over but for the application, which has not read their end: the last ones.
	maxLingering = 256

	// maxControlBacklog is how many bytes may wait on our control stream before UpdatePriority makes no more, since the peer takes none.
	maxControlBacklog = 16 << 10

	// maxInterimBacklog is how many bytes of interim responses may wait for a client that takes none; what comes beyond is not sent.
	maxInterimBacklog = 64 << 10

	// maxDatagrams and maxDatagramBytes bound the HTTP datagrams that wait for RecvDatagram, of one stream; the oldest are dropped.
	// maxAllDatagramBytes bounds them over all streams, but for the newest of each: a stream has half of what the others leave of it, so that those that nobody
	// reads keep nobody else from theirs.
	// maxEarlyDatagrams and maxEarlyBytes bound those that came before their stream, of the whole connection.
	maxDatagrams        = 64
	maxDatagramBytes    = 128 << 10
	maxAllDatagramBytes = 2 << 20
	maxEarlyDatagrams   = 32
	maxEarlyBytes       = 64 << 10
)

// What the peer may do often, but not at any rate: each costs tokens of a bucket, and when that is empty the connection ends with
// H3_EXCESSIVE_LOAD. The bucket holds loadBurst tokens; loadRate come back each second, and one with each request that comes to its end: so
// who makes very many requests may cancel one of four of them.
const (
	loadBurst = 4000
	loadRate  = 1000

	costReset          = 4 // a request that was reset, stopped, malformed or incomplete: 250 a second (CVE-2023-44487)
	costEmptyData      = 1 // a DATA frame without data
	costUnknownFrame   = 1 // a frame of a type that is not known, on any stream
	costInterim        = 1 // an interim response
	costPriorityUpdate = 1
	costUnknownStream  = 4 // a unidirectional stream of an unknown type
	costControlFrame   = 1 // GOAWAY, MAX_PUSH_ID, ORIGIN
	costVain           = 1 // 8 stream cancellations on the decoder stream that no section waits on
	costEncoderKiB     = 1 // 1 KiB of the encoder stream: entries that are inserted, or doubled, a thousand in 1 KiB
)

// freeOddities is how many unknown or empty frames, or interim responses, each stream may have that cost nothing: some peers greet or end each
// request so.
const freeOddities = 2

// load is that bucket, in virtual time.
type load struct {
	tokens int64
	at     int64 // when tokens was right, in nanoseconds
	bytes  int   // of the encoder stream, that have not been charged for
	vain   int   // stream cancellations, likewise
}

// spendBytes is spend for n bytes of the encoder stream.
func (l *load) spendBytes(c *Conn, n int) (ok bool) {
	l.bytes += n
	kib := l.bytes >> 10
	l.bytes -= kib << 10
	return kib == 0 || l.spend(c, int64(kib)*costEncoderKiB)
}

// spendVain is spend for n stream cancellations that no section waits on.
func (l *load) spendVain(c *Conn, n int) (ok bool) {
	l.vain += n
	eights := l.vain >> 3
	l.vain &= 7
	return eights == 0 || l.spend(c, int64(eights)*costVain)
}

func (l *load) init(now int64) { *l = load{tokens: loadBurst, at: now} }

// odd is spend for a frame on a request stream that is of no use.
func (l *load) odd(c *Conn, s *stream, cost int64) (ok bool) {
	if s.recv.odd < freeOddities {
		s.recv.odd++
		return true
	}
	return l.spend(c, cost)
}

// onDone notes a request that has come to its end.
func (l *load) onDone() {
	if l.tokens < loadBurst {
		l.tokens++
	}
}

// spend takes tokens; ok is false if there are too few, and the connection was closed.
func (l *load) spend(c *Conn, cost int64) (ok bool) {
	if l.tokens < loadBurst {
		const unit = int64(1e9) / loadRate
		now := c.nanos
		if n := (now - l.at) / unit; n > 0 {
			l.tokens = min(l.tokens+n, loadBurst)
			l.at += n * unit
		}
	}
	if l.tokens == loadBurst {
		l.at = c.nanos
	}
	if l.tokens < cost {
		c.fail(connErr(ErrCodeExcessiveLoad, "too many resets, empty or unknown frames, or priority updates"))
		return false
	}
	l.tokens -= cost
	return true
}
