// Package h3 is HTTP/3 (RFC 9114) without I/O: a state machine for clients and servers on top of a *quic.Conn. It opens no socket, starts no
// goroutine, reads no clock and takes no lock. Package http3 makes net/http's server and client of it.
//
// # Limitations
//
//   - The types of the package are here, and what they will mean; its methods are not, and say so with an error.
package h3
