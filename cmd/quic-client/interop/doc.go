// Package interop tests quic-client and quic-server, and the library below them, against other implementations of QUIC
// over real sockets, in both roles, and compares every byte of every file: quic-go, in this process; aioquic, from
// PyPI in a virtual environment; ngtcp2's gtlsclient and gtlsserver, from Debian's packages, which speak HTTP/3 alone, so
// that the test brings the few frames of it that a GET needs; and quinn, s2n-quic and quiche, from crates, in the programs of the folder peers.
// The features_*_test.go do so with resumption, 0-RTT, QUIC version 2, key updates, migration and preferred addresses, as far as each peer has
// them, and look at what both sides tell of it. ngtcp2 of Debian 12 speaks a draft of version 2 under another number: there it is not tried.
//
// It is a module of its own, so that nobody who uses the library downloads its peers.
package interop
