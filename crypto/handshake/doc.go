// Package handshake is the TLS 1.3 handshake of QUIC (RFC 9001) by BoringSSL, configured by a *crypto/tls.Config.
//
// A Context belongs to an endpoint and a role and makes a Conn for each connection. A Conn does no I/O and never blocks:
// the caller feeds it the peer's handshake bytes in order and takes events from it: secrets, bytes to be sent, the peer's
// transport parameters, the end of the handshake, an alert. Where TLS needs an answer that only the program has (which
// certificate, is this chain good, a signature) the event is an Ask; its Run executes the program's code, on any
// goroutine and without any lock, and Conn.Answer lets the handshake go on. A server with certificates and keys in memory,
// without callbacks and client certificates, gets no Ask at all; a client gets one for the server's certificate, also for that in a session.
//
// Sessions are resumed (Params.Session), in 0-RTT too (Params.EarlyData). What is in a session or a ticket is judged as in a full handshake:
// the chain of a server or of a client is verified again before a session is offered or accepted, and one that is not good any more leads
// to a full handshake. VerifyConnection is called for each connection, before anything early is sent or read, and VerifyPeerCertificate
// for those alone that are no resumptions. A ticket belongs to its server name, QUIC version, ClientAuth and names of ClientCAs; its 0-RTT
// to its ALPN protocol and EarlyContext. The keys of tickets are those of SetTicketKeys, of SessionTicketKey, or the Context's own, which
// change each day; a tls.Config that GetConfigForClient returns has those of its own SessionTicketKey, or else of the first one.
// A tls.Config's ClientSessionCache is not looked at here: package quicnet uses it.
//
// Fields of tls.Config mean what crypto/tls documents. Those that cannot be honoured (Rand, WrapSession, UnwrapSession,
// SetSessionTicketKeys, and, for now, those of Encrypted Client Hello) are refused with an error by Context.New and, if they come from
// GetConfigForClient, end the handshake.
// So is a certificate whose key usage has no digitalSignature (RFC 8446, section 4.4.2.2), of either role, by whatever way it
// comes. A tls.Config may serve TCP at the same time.
//
// A panic in the program's code, whichever goroutine runs it, ends its connection with a *PanicError, and not the process.
// crypto/tls lets it end the process.
//
// Adopt makes a Conn over an SSL of BoringSSL's that the program has made, whose context, certificates and callbacks are the program's: there is
// no tls.Config then, no Context and no Ask.
//
// Limitations:
//   - SetSessionTicketKeys is noticed if it was called before a Context saw the tls.Config, and else ignored.
//   - The age that a client tells of its ticket may differ by 60 seconds from what the server finds, for 0-RTT.
//   - CipherSuites of the tls.Config is ignored, as crypto/tls does for TLS 1.3; Params.CipherSuite is for clients that offer one alone, and
//     resume nothing.
//   - CurvePreferences: of those that crypto/tls knows, SecP256r1MLKEM768 and SecP384r1MLKEM1024 are left out. GODEBUG's
//     tlsmlkem has no effect.
//   - KeyLogWriter is called by NextEvent, on the caller's goroutine.
//   - VerifyConnection of a server runs after the client's Finished if the client sent no certificate, and before its
//     CertificateVerify otherwise. EventHandshakeComplete waits for it in either case.
//   - GetCertificate is asked about the first ClientHello, as GetConfigForClient is, and ClientHelloInfo.HelloRetryRequest
//     is never set; crypto/tls asks about the second one if there is one. That of ConnectionState is right in both.
//   - What a peer may send is bounded by BoringSSL: a ClientHello by 16 KiB (in crypto/tls by 64), what a client sends with its
//     certificates by 100 KiB and what a server sends with its own by 200 KiB (in crypto/tls one chain by 256); more ends
//     the handshake with illegal_parameter. Our own chain may have 64 certificates.
//   - runtime.Goexit ends the connection in what an Ask runs, but the caller's goroutine in KeyLogWriter and Time.
//   - The Context of ClientHelloInfo and of CertificateRequestInfo is done when the callback has returned, and not when the
//     connection is closed.
package handshake
