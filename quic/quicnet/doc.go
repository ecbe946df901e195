// Package quicnet is QUIC in the manner of package net: Listen and Dial give connections, connections give streams, and a
// stream is an io.ReadWriteCloser. Calls that wait take a context or honour a deadline.
//
// An Endpoint is a socket with the connections that run over it, any number of them; it can listen and dial at once. Two
// goroutines serve it: one reads the socket, one keeps the timers of all connections. A connection or stream that has
// nothing to do has no goroutine, no timer and no buffer.
//
// What is written is queued and leaves at once, as far as flow control, congestion control and pacing allow; writes that
// goroutines make at about the same time leave together.
//
// # Closing
//
// Stream.Close ends what we send on the stream, and nothing else: what was written before still arrives. Conn.Close and
// Endpoint.Close, as QUIC has it, end everything at once: data that is on its way, in either direction, may be lost. A program
// that wants to be sure has the peer say that it has got everything, most simply by closing first. When Close returns, the
// peer has been sent word of it, so that the program may exit.
//
// A connection is let go of only when it is closed, by either side or by the idle timeout: a program that forgets a Conn
// without Close keeps it.
//
// # Errors
//
// An error of a connection that is over is why it is over: a *quic.ApplicationError, *quic.TransportError,
// *quic.IdleTimeoutError, *quic.StatelessResetError or *quic.VersionNegotiationError. All of them match net.ErrClosed. The
// error of a stream that was ended before its time, by either side, is a *quic.StreamError. Deadlines bring an error that
// matches os.ErrDeadlineExceeded and is a net.Error; contexts bring their own.
//
// # Limitations
//
//   - No session resumption and no 0-RTT: tickets and tokens of servers are not kept.
//   - A client stays on the network path that it began on; servers follow clients that move.
//   - One socket an endpoint, and so one goroutine that receives; what it costs is bounded by one core.
//   - Callbacks of quic.Config that run for each connection attempt (Retry) run under the endpoint's lock: they must be
//     quick and must not call it.
//   - Away from Linux, one datagram passes a system call (see package udp).
package quicnet
