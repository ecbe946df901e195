// Package netem is an emulated network for tests, quic-interop's harness above all: a link between clients and servers with the models of
// the public interop runner's simulator, ns-3, and some more. It carries UDP between net.PacketConns in memory, in virtual time if it is used in
// a bubble of testing/synctest, or, as a Relay, between sockets of the machine.
//
// Each direction of the link sends packets at a rate from a queue that drops its tail, and delays them. As in the simulator, what
// is lost to a Model is lost at the receiving end, when it has used the link; what an address translator does, it does at the client's end.
// Packets count with their headers of IP, UDP and PPP. Nothing is fragmented.
//
// # Limitations
//
//   - The TCP flow that competes in the case crosstraffic is one made here (see Flow): Cubic with SACK, as far as it matters to a queue,
//     but no kernel's. Those would need TUN devices, and real time.
//   - What is drawn at random is drawn from the Network's seed in the order in which packets come, which goroutines decide in part.
package netem
