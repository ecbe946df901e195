// Package interop tests quic-client and quic-server, and the library below them, against other implementations of QUIC
// over real sockets, in both roles, and compares every byte of every file: quic-go, in this process; aioquic, from
// PyPI in a virtual environment; ngtcp2's gtlsclient and gtlsserver, from Debian's packages, which speak HTTP/3 alone, so
// that the test brings the few frames of it that a GET needs.
//
// It is a module of its own, so that nobody who uses the library downloads its peers.
package interop
