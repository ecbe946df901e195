package http3

import "time"

const (
	// bufferSize is how much of a response's body waits, in bytes: one that is no larger and whose handler has returned leaves whole, with its
	// Content-Length.
	bufferSize = 8 << 10

	// maxHeaderBytes is the most that http.Server.MaxHeaderBytes can be, in bytes: what package h3 holds of a header.
	maxHeaderBytes = 16 << 20

	// keptAlive is how long a connection with an open request may be silent, if QUIC's idle timeout does not ask for less, which is
	// half of it: a request may take longer than that.
	keptAlive = time.Hour

	// clientReceiveWindow is how much of all responses on a connection a server may send that was not read yet, in bytes: beyond it no response comes, also to who
	// reads. It is 128 times quic.Config.StreamReceiveWindow's default, which is what a response has of it that nobody reads.
	clientReceiveWindow = 64 << 20

	// interimBurst is how much of interim responses may wait until RoundTrip tells an httptrace hook of them, in bytes as RFC 9114, section
	// 4.2.2, counts, if Transport.MaxResponseHeaderBytes is less.
	interimBurst = 256 << 10

	// keepFields is how many fields a list may have room for that is kept for other responses.
	keepFields = 128
)
