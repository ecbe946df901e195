// Package wire turns bytes into values and values into bytes: variable-length integers, packet headers, packet numbers,
// frames and transport parameters of QUIC version 1 (RFC 8999, RFC 9000, RFC 9221, draft-ietf-quic-ack-frequency-12). It keeps
// no state and decides nothing: which frame may stand in which packet, and what a value means, is the business of package
// quic.
//
// Functions named ConsumeX parse the front of a slice and return how many bytes X took, or -1 if it is malformed or
// cut short; what they return aliases the slice. Functions named AppendX encode. No function allocates but those for
// transport parameters and Version Negotiation.
//
// Besides the standard library it uses package ranges, so that the ranges of an ACK frame are written from, and parsed into, the
// type that their owners keep them in.
package wire
