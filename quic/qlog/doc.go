// Package qlog writes what happens on a QUIC connection as a qlog file: typed events (draft-ietf-quic-qlog-quic-events, as of July 2026) in the form of JSON text
// sequences (draft-ietf-quic-qlog-main-schema, RFC 7464), which tools such as qvis read.
//
// Package quic traces its connections with it: see quic.Config.Qlog. A program can write traces of its own:
//
//	t := qlog.New(file, qlog.Header{Client: true, Start: start})
//	t.Event(time.Since(start), &qlog.MTUUpdated{Old: 1200, New: 1452})
//	t.Close()
//
// # Limitations
//
// The events are those that package quic has: packets with their frames, losses, recovery metrics, keys, parameters, versions, paths and the states of a
// connection. Those of streams' buffers, of timers and of HTTP/3 are not there, nor is the content of anything: of stream data, tokens and
// stateless reset tokens a trace has the length at most. Secrets are never in it.
//
// What a peer can choose, reasons and protocols, is escaped and cut; a file ends at Header.MaxSize.
package qlog
