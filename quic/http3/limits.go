package http3

const (
	// bufferSize is how much of a response's body waits, in bytes: one that is no larger and whose handler has returned leaves whole, with its
	// Content-Length.
	bufferSize = 8 << 10

	// keepFields is how many fields a list may have room for that is kept for other responses.
	keepFields = 128
)
