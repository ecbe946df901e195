// Package quicnet is QUIC in the manner of package net: Listen and Dial give connections, connections give streams, and a
// stream is an io.ReadWriteCloser. Calls that wait take a context or honour a deadline.
//
// An Endpoint is a socket with the connections that run over it, any number of them; it can listen and dial at once. The socket
// can be any net.PacketConn (udp.New); over one in memory all of it runs in bubbles of testing/synctest. Two goroutines serve it: one reads it, one keeps the timers of all connections. A
// connection or stream that has nothing to do has no goroutine, no timer and no buffer.
//
// What is written is queued and leaves at once, as far as flow control, congestion control and pacing allow; writes that
// goroutines make at about the same time leave together, and so do small ones that a goroutine makes in a row. Writes of 64 KiB and
// more are sent by the goroutine of the timers while their writer goes on, or by the writer if that one is busy and there is
// another processor.
//
// # More than one core
//
// A socket is read by one goroutine, which also decrypts and encrypts for connections that answer at once: for all but busy
// servers that is the cheapest way. ListenConfig.Shards has several sockets share the address (SO_REUSEPORT). Each has its own
// goroutines, timers and connections. The last byte of a connection ID says which shard it leads to, masked with a keyed hash of
// the bytes before it; a program in the kernel evaluates it (SO_ATTACH_REUSEPORT_CBPF), so that a connection stays in its shard
// when the client's address changes. What comes to another shard all the same is handed over.
//
// What shards gain has been measured only where no core was left for them: on two cores that server and client shared, with 8
// connections, bulk and requests were as fast with two shards as with one, and cost the same CPU time, within the noise of the
// machine (quic-perf server --shards 2, and against it quic-perf bulk --connections 8, with and without --upload, and quic-perf
// requests --connections 8 --parallel 16). So they cost nothing there; on a machine with more cores, measure before you set them.
//
// # Closing
//
// Stream.Close ends what we send on the stream, and nothing else: what was written before still arrives. Conn.Close and
// Endpoint.Close, as QUIC has it, end everything at once: data that is on its way, in either direction, may be lost. When they
// return, the peer has been sent word of it, so that the program may exit.
//
// So the three calls Write, Stream.Close and Conn.Close in a row lose what was written, nearly always. A program that has the last
// word waits in between, with Stream.Acked for one stream or with Conn.CloseGracefully, in place of Conn.Close, for all that were
// ended. Better still the side that reads last closes the connection: then its program has got everything, not only its QUIC.
//
// What had arrived when the peer closed the connection can still be read, to its end: streams, those that were not accepted yet
// included, and datagrams, as with a net.Conn. Only then comes the error, though Conn.Err and Conn.Context tell of it before. The
// same holds where the connection ended by a timeout, a stateless reset or a failure of the socket. It is lost when Conn.Close is
// called; the end of the Endpoint leaves it.
//
// A connection is let go of only when it is closed, by either side or by the idle timeout: a program that forgets a Conn
// without Close keeps it.
//
// # Errors
//
// An error of a connection that is over is why it is over: a *quic.ApplicationError, *quic.TransportError,
// *quic.IdleTimeoutError, *quic.StatelessResetError or *quic.VersionNegotiationError. All of them match net.ErrClosed. The
// error of a stream that was ended before its time, by either side, is a *quic.StreamError. Deadlines bring an error that
// matches os.ErrDeadlineExceeded and is a net.Error; contexts bring their own, with the cause that they were cancelled for.
//
// Since net.ErrClosed matches failures too, it does not tell a good end from a bad one. quic.IsCleanClose does:
//
//	for {
//		s, err := conn.AcceptStream(ctx)
//		switch {
//		case quic.IsCleanClose(err):
//			return nil // one of the sides called Close
//		case err != nil:
//			return err // a timeout, a violation of the protocol, another error code, the end of ctx
//		}
//		go serve(s)
//	}
//
// A tls.AlertError in an error, which errors.As finds, says which alert of TLS ended the handshake, whichever side sent it. That a
// server refuses a client's certificate the client learns after Dial has returned, from the next call, as in TLS 1.3 over TCP.
//
// A panic in code that the tls.Config brings along (its callbacks, KeyLogWriter, Time, a crypto.Signer) does not end the process, as
// with crypto/tls, but its connection, with an error that errors.As finds a *handshake.PanicError in. One of this package's own, of the core or of a
// Protocol ends it, as in any Go program; for a library in a process of others there is SurvivePanics.
//
// # Sessions and early data
//
// A client that has a session of an earlier connection resumes it: the server sends no certificate again, which spares both sides most
// of the handshake's work. As with crypto/tls, that takes a tls.Config.ClientSessionCache, such as tls.NewLRUClientSessionCache, or
// NewFileSessionCache, which outlives the program; a Dialer can be given a session, too. Sessions come with tokens, by which servers know
// the client's address. Each serves once; a cache holds up to four a server, so that several connections can be resumed at once.
//
// With a session, DialEarly sends what is written before the handshake is complete, and saves a round trip. There are two prices: that
// data can be recorded and sent to the server again, and the server may reject it. See Dialer.DialEarly and Dialer.ResendEarly.
//
// A server accepts early data with quic.Config.EarlyData. Then Accept returns connections whose handshake is not complete yet, as soon as early
// data has come; Stream.Early says which streams that concerns, Conn.Handshake waits until the client has shown that it is there, and
// fails if it does not. Without quic.Config.EarlyData nothing is different from ever.
//
// # When nobody is there
//
// On Linux an endpoint that only dials learns from the kernel that nobody listens on the peer's port (ICMP). In the handshake, before
// anything was received, Dial then fails at once. A connection that works is given up when three packets in a row were
// refused, for a second and three probe timeouts at least, and nothing was received meanwhile: anybody could send ICMP, so it
// must quote a connection ID of ours, and what the peer sends counts for more (RFC 9000, section 14.2.1). The error is a
// *quic.TransportError with quic.NoViablePath that unwraps to syscall.ECONNREFUSED. A client that sends nothing learns nothing:
// quic.Config.KeepAlive has it ask. Elsewhere, and at an endpoint that also listens, timeouts decide.
//
// # When a client moves
//
// A connection survives that its client gets another address. Servers follow, and tell of it (ListenConfig.OnPath). A client moves by
// Conn.Migrate to a local address of its choice; Conn.AddPath opens a further path before it is needed, and Dialer.FollowNetwork has the
// connection find another when the system says that its network is gone. Each path has a socket of its own, which goes with it. A server
// can ask its clients to come to another address (quic.Config.PreferredAddress): Listen listens there, too, and clients go there
// by themselves.
//
// # Protocols
//
// What is said so far serves a goroutine for each stream. A protocol that has many small messages can live in the connection's turn
// (Protocol): it has the core's events where they come, and starts a goroutine only for what may take its time. HTTP/3 is one, and the event
// loop of the C API another.
//
// # Limitations
//
//   - Where a name has several addresses, only the first is offered a session, and early data is for it alone.
//   - Away from Unix, processes that use one FileSessionCache at the same time may take the same session, or lose one.
//   - A client whose socket is bound to all addresses, as Dial's is, does not notice when the system sends from another address, because the
//     one before is gone: the server sees it move, under the same connection ID. With Dialer.FollowNetwork it moves by the book where the
//     system refuses to send, by the errors that Unix has for it: on Windows, whose are others, it does not notice. That two networks are
//     there at once, of which the other is better, it does not find out.
//   - The socket that a connection began on stays open to its end, though it has moved.
//   - Without packet info, which is to say away from Linux, the address that a socket on all addresses sends from is not known.
//   - While the kernel's buffer for sending is full, the goroutine that reads and that of the timers may wait for it, as long as the
//     device takes to make room: 150 and 215 ms at most were seen at 500 Mbit/s. Nothing could leave meanwhile, but nothing is read either.
//   - One core receives for all connections of a socket. Shards are for Linux alone.
//   - The hash that masks the shard in connection IDs is what the kernel's filter language can compute: somebody who watches
//     many connections and takes the trouble may find out which connection IDs lead to the same shard.
//   - Of tokens that serve once, and of stateless resets, each shard keeps its own account.
//   - Another program of the same user could join the sockets of a sharded endpoint, if it asks to share their address.
//   - Callbacks of quic.Config (Retry, MayMigrate, ConnIDs, Rand) run under a lock of the endpoint or of a connection: they must be
//     quick and must not call either. Those of tls.Config run under none.
//   - A goroutine for each stream is a cost of its own where thousands work at once on a connection: with 10,000 requests under
//     way each costs a server two thirds more CPU time than with 100, and a client nearly three times as much, most of it for the
//     goroutines' stacks, which are too many for the caches and which the garbage collector looks through (quic-perf compare
//     --only growth-streams).
//   - Away from Linux, one datagram passes a system call (see package udp).
package quicnet
