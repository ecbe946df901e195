// Package quicnettest helps to test protocols that run over QUIC, as net.Pipe and net/http/httptest do for others: connections of
// package quicnet without a socket, over a network in memory that delays, loses and reorders what the test wants.
//
// Pipe is all that most tests need: two ends of one connection, with a certificate and a protocol name (ALPN) for the test, which
// are closed when it ends. A Network with a Link of the test's choosing is for those that want to see what their protocol does on a
// slow, long or lossy path, when the peer falls silent, with several clients, or when a client moves from one address to another
// (quicnet.Conn.AddPath, Network.SetDown).
//
// # Virtual time
//
// Everything here works in a bubble of testing/synctest, in which no time passes while anybody has something to do, and hours
// pass at once when all wait: a test with a delay of 300 ms, a deadline of a minute and an idle timeout of an hour takes
// milliseconds and does not depend on the machine. The network and the connections must be made inside the bubble, and closed
// before it ends, which Pipe and Network.Listen see to, if they are given the bubble's own *testing.T. When everybody waits and
// no timer is left, synctest says so: a protocol that is stuck is found at once. Since bubbles begin in the year 2000, so does
// the validity of the certificate.
//
// # Limitations
//
//   - What a Link does is drawn from the seed of its Network, for each pair of addresses by itself. It repeats only as far as the
//     goroutines send the same datagrams in the same order, and TLS has randomness of its own.
//   - A net.PacketConn carries no ECN marks and no trains: one datagram passes a call, so transfers are slower than over sockets.
//   - A network is made for tests: all in it trust each other.
package quicnettest
