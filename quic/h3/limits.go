package h3

// Every bound on what a peer can make us hold or do, in one place. Each has a test that reaches it.
const (
	// maxFieldSectionCap bounds Config.MaxFieldSectionSize, in bytes.
	maxFieldSectionCap = 16 << 20

	// maxTableCapacity bounds the dynamic tables of both directions, in bytes, and maxBlockedStreams the streams that may wait for one.
	maxTableCapacity  = 1 << 20
	maxBlockedStreams = 1 << 16

	// maxSettingsFrame is the longest SETTINGS frame that is read, in bytes, and maxSettings how many settings it may have.
	maxSettingsFrame = 4 << 10
	maxSettings      = 256

	// maxOriginFrame is the longest ORIGIN frame that is read or sent, in bytes; a longer one is skipped: who does not know of an origin
	// makes a connection of its own for it.
	maxOriginFrame = 16<<10 - 1

	// maxPriorityField is the longest Priority Field Value that is read, in bytes (RFC 9218, section 7).
	maxPriorityField = 256
)
