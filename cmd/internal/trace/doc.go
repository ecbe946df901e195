// Package trace reads what was seen on a network, with the key log of TLS, as the public interop runner does with tshark: packets,
// frames, handshake messages and transport parameters of QUIC versions 1 and 2 (RFC 9000, 9001, 9369).
//
// It is written apart from the library on purpose, from the RFCs and on Go's own cryptography, so that a mistake there is not repeated here.
// Only ChaCha20-Poly1305, which Go's standard library does not have, is opened by package protect.
//
// # Limitations
//
//   - Clients must have connection IDs that are not empty: by them long headers are told apart.
//   - Connections begin in the trace. No AES-CCM.
package trace
