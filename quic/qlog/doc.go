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
// connection. Those of streams' buffers, of timers and of HTTP/3 are not there, nor is what is secret: of the data of streams, datagrams and TLS, of tickets
// and of tokens a trace has the length at most, of stateless reset tokens nothing, and keys have names only. The field stateless_reset_token of a
// preferred address, without which readers take none, is empty.
//
// What a peer can choose, reasons, protocols and the values of parameters that the drafts have no field for, is escaped and cut; a file ends at
// Header.MaxSize. Addresses and connection IDs are told as they are: who may read traces learns who has talked with whom, and when.
package qlog
