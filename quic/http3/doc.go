// Package http3 is HTTP/3 (RFC 9114) for net/http: Server serves any http.Handler, and Transport is an http.RoundTripper for any
// http.Client, over this module's QUIC.
//
// # Serving
//
// A Server is made from an http.Server, whose fields mean for HTTP/3 what net/http documents: Handler, BaseContext, ConnContext,
// ConnState, ErrorLog, the four timeouts, MaxHeaderBytes, DisableGeneralOptionsHandler, TLSConfig. What a handler may rely on is what it
// may rely on over HTTP/2: http.ResponseController, trailers, interim responses, full duplex, http.ErrAbortHandler. A handler that panics,
// or writes other than it declared, has its stream reset: the client is never shown a success that was none.
//
// The request's context is done as soon as the client gives the request up (RESET_STREAM or STOP_SENDING), the connection ends or the
// handler returns, also while the handler neither reads nor writes.
//
// A handler may answer without reading all of the request. What comes behind is dropped, and the client is asked to stop (RFC 9114, section 4.1) when it
// has had time to read the response: there are clients that look at nothing any more once they are asked. Until then it can send what flow control
// has left of the stream.
//
// Server.MinBodyRate bounds how slowly a request's body may come, beside http.Server's timeouts. A connection that is idle, and any at Shutdown, is ended in
// two steps: clients are told to make no more requests, and when what was under way has come, which requests were taken; the connection stays until they
// know, so that no request is in doubt (RFC 9114, section 5.2).
//
// # Fetching
//
// A Transport is for http.Client what http.Transport is, over HTTP/3 alone:
//
//	client := &http.Client{Transport: &http3.Transport{}}
//
// It keeps connections and shares them by net/http's rules. A dial ends with no request; a request waits for the server's limit on requests
// at once. When a request is sent and nothing at all is received for a while, the server is suspected to be gone: another connection is made, and if that
// succeeds while the old one stays silent, the old one is given up. What the server cannot have processed is sent again by itself, and what may
// be done twice is, too; a POST that may have been processed fails. Errors match those of contexts, io.ErrUnexpectedEOF where a body ends too
// soon, and net.ErrClosed where the connection is over; errors.As finds a *StreamError or a *ConnError with the code.
//
// # Early data
//
// With quic.Config.EarlyData a request can come before the handshake is complete (0-RTT). Such data can be recorded and sent again by
// anybody who sees it, so a request in it must not change anything (RFC 8470). EarlyData tells of a request whether it came so. Those whose
// method is not safe (GET, HEAD, OPTIONS and TRACE are) are answered 425 (Too Early), with which clients repeat them after the handshake;
// Server.Early has them wait for the handshake, or be served at once. A handler that forwards an early request to another server adds
// "Early-Data: 1" and hands a 425 back.
//
// A Transport sends nothing as early data but requests that are safe and have no body (Transport.EarlyData). AutoTransport sends them at once, too, and
// tries TCP as well where the handshake is not complete when AutoTransport.RaceDelay is over. If TCP is connected first, the request is cancelled over
// HTTP/3 and goes over TCP, so that a path that carries no UDP costs no more than without early data. The server may have processed it by then, if what it
// has sent was only late: it does so twice, which to do is harmless for such requests (RFC 9110, section 9.2.2), and which whoever sets EarlyData has taken
// upon himself, since anybody could bring it about. What else could be done is worse: to send no early data until the network has carried UDP once takes it
// from programs that run for one request; to hold TCP back until the handshake has failed takes as long as that.
//
// # All versions at once
//
// ListenAndServeAll, and methods of Server, serve HTTP/1.1, HTTP/2 and HTTP/3 at one address, and tell clients of HTTP/3 by Alt-Svc:
//
//	http3.ListenAndServeAll(":443", "cert.pem", "key.pem", handler)
//
// AutoTransport is an http.RoundTripper that goes over HTTP/3 where a server has it, and over HTTP/2 or HTTP/1.1 where it does not or where UDP
// does not get through. It learns of HTTP/3 from Alt-Svc fields and HTTPS records:
//
//	client := &http.Client{Transport: new(http3.AutoTransport)}
//
// # What a request costs
//
// A server reads header sections in the goroutine that reads the socket, and starts a goroutine, used again, for a handler alone. A response of
// at most 8 KiB whose handler has not flushed leaves whole when the handler returns, in one packet if it fits. A GET with 12 header fields costs some
// ten allocations and 2.1 KiB, the http.Request and its header included, of which nothing is used again: a handler may keep them. A
// connection without a request has no goroutine, timer or buffer here. What a slow client does not take of a response is held up to
// quic.Config.StreamSendBuffer; http.Server.WriteTimeout bounds for how long, also when the handler has returned.
//
// While a request is open the server keeps its connection alive, so that QUIC's idle timeout does not end a handler that takes long.
//
// # Limitations
//
//   - http.Server.Shutdown begins Server.Shutdown but does not wait for it, and http.Server.Close knows nothing of it: a program that
//     uses both servers calls both, or Server.ServeAll. Functions registered with http.Server.RegisterOnShutdown are called by
//     http.Server.Shutdown alone. http.Server.SetKeepAlivesEnabled has no effect here, since nothing tells of it.
//   - http.Server.MaxHeaderBytes can be 16 MiB at most. It counts what is decoded, 32 bytes a field on top (RFC 9114, section 4.2.2).
//   - The net.Conn that ConnState and ConnContext get has addresses and Close; it cannot be read or written. There is no http.Hijacker (TakeOver
//     takes its place) and no server push, which no browser takes any more.
//   - The response to HEAD that is flushed is over for the client; a panic after that it may not see.
//   - A Transport decompresses gzip alone, and has no proxies of its own: Transport.Dial is where they come in.
//   - StreamOf needs the response as RoundTrip has returned it: an http.Client with a Timeout wraps its Body.
//   - Where the server has gone and a request that must not be done twice was sent, it fails after about a second rather than being held back
//     until the connection has shown that it is alive.
//   - Of HTTPS records AutoTransport uses what concerns HTTP/3: connections over TCP go where they always went, and plain http stays as it is.
//     Encrypted ClientHello is not done: a record for which it is mandatory is as good as none (RFC 9460, section 8), and a tls.Config
//     that asks for it is refused.
//   - Alt-Svc fields and HTTPS records name addresses that AutoTransport sends QUIC's first packets to, whichever they are (RFC 9000, section 21.5).
//     Who must not let servers choose them checks them in Transport.Dial.
//   - HTTPS records of the places that Alt-Svc fields name are not asked for, as RFC 9460, section 9.3, recommends: that would hold up each connection to
//     one by 50 ms where name servers do not answer, and take early data from it where the answer has several addresses. Without Encrypted ClientHello the
//     same section allows connections by Alt-Svc alone.
//   - ALTSVC frames of HTTP/2 are neither seen nor sent, since net/http does not tell of them. A server tells of HTTP/3 by the field or by the
//     frame (RFC 9114, section 3.1.1); the frame is an extension, which who does not know it ignores (RFC 7838, section 4).
//   - Two Content-Length fields in one request are refused though they be equal, as RFC 9110, section 8.6, allows: net/http takes the first, and
//     what takes another one elsewhere has a request smuggled past it (RFC 9112, section 11.2).
//
// # In net/http's own Server and Transport
//
// net/http of Go 1.27 and 1.28 has a hook for an HTTP/3 that is not its own. RegisterServer and RegisterTransport use it, with what the running
// version has, found out by trial. Servers can be reached by exported means with 1.28 alone, so far (PacketListener); all else takes that
// http.Protocols has HTTP3, which no exported function sets. Where it cannot be, the error says so and matches errors.ErrUnsupported. Nothing needs
// the hook: Server and Transport work with all versions.
package http3
