// Package interop tests quic-client and quic-server, and the library below them, against other implementations of QUIC
// over real sockets, in both roles, and compares every byte of every file: quic-go, in this process; aioquic, from
// PyPI in a virtual environment; ngtcp2's gtlsclient and gtlsserver, from Debian's packages, which speak HTTP/3 alone, so
// that the test brings the few frames of it that a GET needs; and quinn, s2n-quic and quiche, from crates, in the programs of the folder peers.
// The features_*_test.go do so with resumption, 0-RTT, QUIC version 2, key updates, migration and preferred addresses, as far as each peer has
// them, and look at what both sides tell of it. ngtcp2 of Debian 12 speaks a draft of version 2 under another number: there it is not tried.
//
// The http3_*_test.go do so with HTTP/3, between quic/http3 and browsers (Chromium and Firefox of Debian), clients and servers in Python (pycurl,
// curl_cffi, niquests, aioquic, hypercorn), Go (quic-go, Caddy), Rust (h3-quinn, tokio-quiche), C (ngtcp2 with nghttp3; Bun with lsquic) and
// C++ (Envoy with Google's QUICHE): GET, HEAD, POST of 1 MiB, 100 requests at once, 60 KB of fields, trailers, early answers, cancelled ones, GOAWAY, as far as each peer has them. h3i breaks rules
// against our server, and what quic-server's pages look like is compared with pictures. What is left out, and why:
//
//   - GOAWAY of h3-quinn's and tokio-quiche's servers, which names the request under way as one that is not served (RFC 9114, section 5.2);
//   - early answers and cancelled requests with hypercorn's, which goes on reading after the one and writing after the other;
//   - 60 KB of fields for Bun's server, which takes less;
//   - trailers that come to tokio-quiche, which does not show them; and those of Bun, and of Python's clients that have no way to show trailers.
//
// aioquic's client holds the response to HEAD to its Content-Length (RFC 9114, section 4.1.2, does not), but for a line in its script.
//
// The curl_*_test.go build curl, of the crate curl-sys, with libboringquic as its quiche and its BoringSSL, and have it ask our servers, quic-go's and
// aioquic's.
//
// The dnsdist_*_test.go, which "build.sh dnsdist" runs and "go test" does not, as compiling takes some minutes, do so with dnsdist of Debian's sources, which
// OpenSSL is in besides: DNS over QUIC and HTTP/3, asked by quicnet, http3, aioquic, ngtcp2 (kdig), quic-go and that curl.
//
// It is a module of its own, so that nobody who uses the library downloads its peers.
package interop
