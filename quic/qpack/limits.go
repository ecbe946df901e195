package qpack

// Every bound on what a peer can make us hold, besides what the settings name. Each has a test that reaches it.
const (
	// maxBacklog is how many bytes of decoder instructions may wait to be sent before Decode refuses to make more, which is a few
	// thousand acknowledgements. Stream cancellations, which cannot be refused, are dropped above maxCancelBacklog: a peer that
	// takes no instructions then keeps its own table from being reused.
	maxBacklog       = 8 << 10
	maxCancelBacklog = 16 << 10

	// maxFlight is how many sections that refer to the dynamic table may wait for their acknowledgement before further ones do
	// without it.
	maxFlight = 1024

	// maxAdmitted is how many fields a section may have of which some are inserted: the search for entries that can make way for one looks at all fields. What
	// has more is passed on for somebody, who could choose them.
	maxAdmitted = 256

	// maxGivenUp is of how many streams the encoder remembers that the peer has cancelled them: the last ones, more than most peers have open, since it is
	// soon known otherwise that nothing is to be sent on them.
	maxGivenUp = 128

	// The cache of literals of a connection has at most so many, of at most so many bytes each, as they come, and together, as they come
	// and decoded.
	maxCached      = 64
	maxCachedLen   = 512
	maxCachedBytes = 8 << 10

	// maxScratch is how many bytes of room for literals are kept from one section to the next.
	maxScratch = 4 << 10
)
