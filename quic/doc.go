// Package quic is the QUIC protocol engine: versions 1 and 2 (RFC 9000, RFC 9369) and the choice between them (RFC 9368), with TLS 1.3
// (RFC 9001), loss recovery and congestion control (RFC 9002, RFC 9438) and datagrams (RFC 9221), as state machines without I/O. It
// opens no socket, starts no goroutine, reads no clock and takes no lock; datagrams, the time and randomness are given to it. Programs
// that want sockets, blocking reads and contexts use package quicnet, which is built on this one.
//
// # Driving it
//
// A Conn is one connection, an Endpoint what finds the connection for a datagram. Neither calls the other, and neither is for
// concurrent use; each may stand under a lock of its own. Whoever owns the socket, the driver, does this:
//
//   - What arrives goes to Endpoint.Route, piece by piece. It names the Conn that the piece is for, whose Recv takes it, or
//     writes an answer that is to be sent back.
//   - After any call on a Conn, NextEvent is read until there is nothing, Send is called until it has nothing, and a timer is
//     set for Timeout. When that fires, OnTimeout is called, and the same follows.
//   - Of the events, EventEndpoint goes to Endpoint.HandleEvent and the reply to Conn.HandleReply; EventAsk is run, without any
//     lock, and handed to Conn.Answer; EventDrained says that the Conn can be released, which drops what
//     had arrived and was not read. The rest is for the application.
//
// A driver that lets go of a Conn before it is drained tells the Endpoint so, with an EndpointEvent of kind ConnDrained. Addresses
// must be written the same way each time, an IPv4 address always as one or always mapped into IPv6.
//
// An Endpoint can be done without: Connect and Accept make connections by themselves, and whoever finds them for datagrams has ParseHeader to
// read what datagrams begin with, and AppendVersionNegotiation and AppendRetry for those whose client has to come again. Of the events of kind
// EventEndpoint there is none that must be answered then.
//
// The unit of both directions is the train: datagrams of one size, back to back, of one 4-tuple, as the kernel's generic receive
// and segmentation offloads handle them. All packets of a train cross into BoringSSL together.
//
// TLS is what Config.TLS says, or an SSL of BoringSSL's that the program has made (ConnectParams.SSL, AcceptParams.SSL, Config.AcceptSSL), with a
// context and callbacks of its own, as programs in C have them. MIGRATION.md, beside this file, is for those who come from quiche.
//
// # What comes before a connection
//
// A client is told what it can begin the next connection with: a Session, by EventSession, to be given to Connect once. The server's
// certificate is then judged from the session, off the connection's lock (EventAsk comes before the first packet), and with
// ConnectParams.EarlyData the application may send before the handshake is complete. Whatever a server makes of the session, old, damaged,
// or of another server's keys, the connection comes about; EventEarlyData tells what became of what was sent.
//
// Servers give session tickets unless tls.Config.SessionTicketsDisabled is set, and accept 0-RTT data with Config.EarlyData. Whatever a
// client has sent so may be a recording (Conn.StreamEarly), and may come from an address that the client does not have
// (Conn.AddressValidated). The endpoint takes each ClientHello's 0-RTT data once, and only with tickets that it, or a sibling,
// has given itself, unless Config.EarlyReplay knows more.
//
// # What an Endpoint keeps of strangers
//
// Nothing, but for 0-RTT packets that have overtaken the first packet of their connection, where the server accepts 0-RTT data: a few, for 100 ms.
// A client's first packet makes a connection only after it was opened with the keys that anybody can derive from it.
// That proves nothing about the client, but it takes a datagram that is damaged, or made up at no cost, for what it is. It costs
// 2.5 µs, allocates nothing and is a quarter of what making the connection costs (BenchmarkStray), so it is always done; the other
// way, to make the connection and drop it if nothing in it opens, would have the driver undo what Route did.
//
// A Retry packet, Version Negotiation, a stateless reset, and a refusal are written from what is at hand. None is longer than the
// datagram that it answers. What Retry needs to know later travels in its token, encrypted. Retry does not look into the packet
// that it answers, since that would cost more than the answer; a refusal does, since it is made with the same keys.
//
// Connections whose handshake is not complete take at most a fourth of the places that Config.MaxHandshakes allows as long as their
// clients have not proved their address: above that the endpoint demands Retry, whatever Config.Retry says. So who makes up addresses
// costs the others a round trip each, and keeps nobody out. Those who have proved theirs have the other places, and are the only ones
// to be refused. An Endpoint and its siblings each count for themselves.
//
// Of clients' connection IDs no map of an Endpoint depends on the order or the bits: maps are Go's, with a secret of the process.
// The one that finds a client's first packets, by the connection ID that it made up and its address, keeps its entry as
// long as the connection lives, since a copy of such a packet that comes late would be taken for another client.
//
// # Acknowledgements
//
// Once a train was received, it is acknowledged if it brought the second packet that elicits an acknowledgement since the last one,
// or a gap, or what fills one, or an ECN mark of congestion (RFC 9000, section 13.2). On a path that is seen to reorder packets
// there is one after an eighth of a round trip, or for sixteen packets (see acks.go for that deviation). A peer may ask for fewer of them with
// ACK_FREQUENCY, or for one with IMMEDIATE_ACK (draft-ietf-quic-ack-frequency-12). We ask a peer that knows the draft for fewer while
// much data is under way with a queue before it, but not while slow start has the window grow: for one a sixteenth of the
// window or less, and 128 packets at most; and for one at once in each probe.
//
// # Paths
//
// A connection sends on one path, and a client may prepare others: ProbePath validates one, Migrate moves to it, or back, AbandonPath
// leaves it. Each pair of addresses has a connection ID of its own, and a server gives three: the one in use and two more; when a
// path is abandoned its connection ID is replaced after a round trip. A server follows where its client goes, and asks on the new path whether it is really there;
// until it knows, it sends three bytes for each one that came from there. It goes back to where the client was if there is no answer,
// and keeps the other's connection ID until it hears the client there. Once it knows, it sends a new token, if the client's IP address is another.
// EventPath and Paths tell both roles what there is.
//
// Config.PreferredAddress has a server's clients move to another address of its once their handshake is confirmed; see there.
//
// # The order of streams
//
// Streams take turns, 16 KiB each, and what was lost of any is sent again first, until one is given a priority (Conn.SetStreamPriority;
// RFC 9218): then the more urgent ones send first, new data before what less urgent ones have lost, and are let write first. A less urgent stream
// may then have to wait for as long as more urgent ones have data. Of one urgency, streams that are not incremental together have half of what is
// sent while there are incremental ones.
//
// # The size of datagrams
//
// Each path is searched for the largest UDP datagram that it carries (DPLPMTUD: RFC 8899; RFC 9000, section 14.3), from 1200 bytes up to
// Config.MaxUDPPayload, what the peer takes, and what the buffer given to Send holds: Ethernet's size first, then that of jumbo frames,
// then all that is allowed, and where one is too large, likely sizes below it. A probe is a packet of PING and PADDING that leaves
// alone; one is under way at a time, its loss is no sign of congestion, three lost ones rule a size out for ten minutes. None is sent
// but before data that waits, when full datagrams were sent since the last one: a connection that is idle, sends little or only receives
// has no probe and no timer.
//
// If three packets larger than 1200 bytes are lost in a row while what was sent behind them arrives, the path has become a black hole
// for them: datagrams fall to 1200 bytes, the search goes on below that size, and above it after 30 seconds, which double each time. So
// that this is found out, one of two packets that a probe timeout sends has 1200 bytes at most. What a router says of MTUs (ICMP) is not
// believed; what the device of the machine refuses is (Conn.HandleTooLarge), down to 1200 bytes. A path that differs from another in its
// ports alone begins with what was found on that, any other one with 1200. Config.DisablePMTUD switches all this off.
//
// # Limitations
//
//   - Over an SSL of the program's a server does not move its client to another version (RFC 9368), and 0-RTT data is not guarded against
//     replays: that is the program's to do.
//   - Over an SSL of the program's what TLS has against a ticket's limit of 0-RTT data, or a CertificateRequest after the handshake, is told as a TLS
//     alert, and not as PROTOCOL_VIOLATION (RFC 9001, sections 4.4 and 4.6.1): BoringSSL does not say which message it was.
//   - The congestion window of a Session is not made use of: a resumed connection begins with the window of any other.
//   - What a client sends counts wherever it comes from, but if it is heard from more than 32 new addresses a second,
//     nothing is sent to some of them, the answers to its challenges included.
//   - With empty connection IDs there is one connection for each remote address, and peers cannot migrate. Nor does a client leave a
//     server that has empty ones.
//   - Of draft-ietf-quic-ack-frequency-12, section 8, neither the last packet before a pause nor the first one after it asks for an
//     acknowledgement at once; nor does PTO leave max_ack_delay out where it could.
//   - Traces (qlog) have no events of streams' buffers, of timers and of HTTP/3, and none of what an Endpoint sends by itself: Retry, Version
//     Negotiation, stateless resets.
//   - An Endpoint remembers the last 4096 tokens of NEW_TOKEN that were used. One that was used before them serves again, and so
//     does one that another server of the same TokenKey has seen.
//   - Stateless resets are limited to 1000 a second for the whole Endpoint.
package quic
