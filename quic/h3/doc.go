// Package h3 is HTTP/3 (RFC 9114) without I/O: a state machine for clients and servers on top of a *quic.Conn. It opens no socket, starts no
// goroutine, reads no clock and takes no lock. Package http3 makes net/http's server and client of it.
//
// # Limitations
//
//   - It is young: of what is here, an exchange of a request and a response is tested, and little more.
package h3
