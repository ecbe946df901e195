// Package h3 is HTTP/3 (RFC 9114) without I/O: a state machine for clients and servers on top of a *quic.Conn. It opens no socket, starts no
// goroutine, reads no clock and takes no lock. Package http3 makes net/http's server and client of it.
//
// # Driving it
//
// New is called for a connection whose handshake is complete, or that can send or has received 0-RTT data. From then on the core's events
// go to HandleEvent, and what they mean is read with NextEvent; so it is after any other call. Timeout and OnTimeout are for a few timers.
// Whoever drives the core sends as always: everything that is written here lies with the core.
//
// A server is told of a request by EventRequest, once its header section has come whole and is valid, and answers with SendResponse. A client
// calls SendRequest, and is told of EventResponse. Bodies are read with StreamRecv when EventData tells of them, and written with SendRequest,
// SendResponse, StreamSend and SendTrailers; what is not taken is written when EventWritable comes. A body that nobody reads stays with the core, under its flow control.
// Who does not want to read on, or to write on, says so with StreamShutdown; a server that answers without having read all, with StreamStopLater.
// EventDone is the last that is told of an exchange.
//
// # What a message costs
//
// The state of a stream lies with the core's stream (quic.Conn.SetStreamData), and is used again: in steady state nothing is allocated for
// an exchange but what QPACK makes of literals that its table does not hold. A header section is decoded where it lies with the core; header section, body and end
// of a small message are one write, one STREAM frame, and as a rule one packet. Whether a field is valid is found out once for each entry of QPACK's
// tables (qpack.Classifier). BenchmarkGet compares an exchange with the same bytes over bare streams, BenchmarkServer what it costs a server.
//
// # Where the rules are
//
//	RFC 9114, 4.1    messages, interim responses, trailers; early ends                 request.go, send.go, fail.go
//	RFC 9114, 4.1.2  malformed messages: RESET_STREAM, and STOP_SENDING, H3_MESSAGE_ERROR   fail.go, validate.go
//	RFC 9114, 4.2    field names and values, fields of connections, cookies            validate.go
//	RFC 9114, 4.2.2  the size of a field section, of either side                       request.go, send.go, held.go
//	RFC 9114, 4.3    pseudo-header fields, :authority and Host                         validate.go
//	RFC 9114, 4.4    CONNECT; RFC 9220 extended CONNECT                                validate.go, request.go
//	RFC 9114, 4.6    server push: refused                                              control.go, request.go
//	RFC 9114, 5.2    GOAWAY                                                            goaway.go
//	RFC 9114, 6.2    unidirectional streams, critical ones, unknown ones               control.go, local.go
//	RFC 9114, 7.1    the layout of frames; frames that end early                       frame.go, request.go, control.go
//	RFC 9114, 7.2    each frame, and where it may stand                                control.go, request.go
//	RFC 9114, 7.2.4  SETTINGS, and what of them is remembered for 0-RTT                settings.go, session.go
//	RFC 9114, 10.5   what a peer can make us hold or do                                limits.go
//	RFC 9204, 2.1.2  blocked streams; 4.2 encoder and decoder streams                  held.go, control.go, local.go
//	RFC 9218         priorities                                                        priority.go
//	RFC 9297         HTTP datagrams; capsules                                          datagram.go, capsule.go
//	RFC 9412         ORIGIN                                                            origin.go
//
// # What was decided
//
//   - A field value with white space around it is malformed, in either direction, and so are two content-length fields even if they are equal.
//   - :authority and Host must be the same, byte by byte.
//   - A request whose header section is too large is not malformed: the application is told (EventTooLarge) and can answer it.
//   - A stream that is reset before its type was seen is nothing to complain of, although it may have been a control stream: a reset drops what came before it.
//   - A peer that tells SETTINGS_H3_DATAGRAM without the transport parameter has datagrams off (RFC 9297, section 2.1.1), not the connection closed.
//   - A field section that cannot be decoded closes the connection (RFC 9204, section 2.2), also on a request stream.
//   - Where 0-RTT data is sent again (quic.ConnectParams.ResendEarly) to a server that has rejected it, extended CONNECT and datagrams are not: they rely on
//     settings that this server has not sent. The former is told as EventRejected, and can be made again when EventSettings has come.
//
// # Limitations
//
//   - Server push is neither made nor taken.
//   - 0-RTT data is encoded without the dynamic table: it may have to be sent again to a server that has forgotten it.
//   - Two Priority fields of one request are not joined: the first counts.
//   - The alt-svc frame and the protocols on top (WebTransport, MASQUE) are others' to make; Config.StreamType and TakeOver are for them.
package h3
