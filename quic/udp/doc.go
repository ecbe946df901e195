// Package udp moves datagrams through UDP sockets in batches. It knows no QUIC.
//
// The unit is the Train: datagrams of equal size, but the last, between one pair of addresses and with one ECN mark. On
// Linux a train leaves in one message (UDP_SEGMENT, called GSO) and arrives in one (UDP_GRO), and several messages pass in
// one system call (sendmmsg, recvmmsg); with them come the ECN mark and the local address. Datagrams are never
// fragmented on the way. What a kernel cannot do is found out when the socket is opened or, where that does not tell, by the
// first send that is refused; from then on datagrams go one a message.
//
// Several sockets can share an address (ListenGroup), for servers that need more than one core, and a program in the kernel can
// choose among them (Socket.Steer).
//
// Elsewhere, and with a net.PacketConn that is no *net.UDPConn, one datagram passes a call, without ECN, unless it is a
// MarkedPacketConn, and without the local address.
//
// # When the kernel refuses
//
// Send waits, without trying again, while the kernel's buffer is full, on Linux for a second at most. What it refuses for another reason is lost, as it
// could be on the network, and counted: a datagram that is too long for the device (EMSGSIZE), a queue that is full (ENOBUFS), a
// firewall (EPERM). Nothing is sent twice. What the network says of earlier sends, such as a port that is unreachable, stops
// neither direction; Socket.ReportErrors tells it. Reads that fail slow down, and after a thousand in a row the socket is given up.
//
// # Limitations
//
//   - Without Linux: no batches, no ECN, no local address (of a socket that is bound to all addresses), one system call a
//     datagram. Fragmentation is ruled out on macOS, FreeBSD and Windows only, and on macOS not of IPv4 at a socket of both IP versions:
//     Features.DontFragment tells, and package quicnet looks for no size of datagrams above 1200 bytes where it is false.
//   - To an address to which the kernel has refused a train, datagrams go one a message for as long as the socket lives.
//   - The buffers of the kernel are as large as it lets us make them; Socket.Hint says what an administrator can do.
package udp
