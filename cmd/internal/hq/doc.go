// Package hq speaks HTTP/0.9 over QUIC streams, as the public QUIC interop runner does under the ALPN "hq-interop": a
// client opens a bidirectional stream, sends "GET /path" and a line end, and finishes its side; the server answers with
// the bytes of the file and the end of the stream, or resets the stream.
//
// HTTP/0.9 has no status and no length. What a server here cannot serve it resets with one of the Code constants, which
// are ours: other servers reset with codes of their own, or send an empty file.
package hq
