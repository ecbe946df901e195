// Package qpack is the field compression of HTTP/3 (RFC 9204): an Encoder and a Decoder, one of each for a connection.
//
// The package is about bytes alone: it has no streams, no clock and no goroutines. Whoever has the streams gives the Decoder what the
// peer's encoder stream brings, and the Encoder what its decoder stream brings, and sends what Instructions of each returns on our own two.
//
// # Limitations
//
// The Encoder does not use the dynamic table yet.
package qpack
