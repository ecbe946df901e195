// Package quiclb makes and reads connection IDs that lead a load balancer to the right one of several servers
// (draft-ietf-quic-load-balancers-21 and what followed it until May 2026; sections are its). Packets of one connection come from
// several addresses, since clients move and NATs change their minds, so a balancer that goes by addresses loses connections. One
// that goes by connection IDs keeps them, and need remember nothing.
//
// A server has a Generator in quic.Config.ConnIDs, which writes its server ID, encrypted, into each connection ID that its clients get. A
// balancer, which this package does not contain, has a Decoder. What a fleet of servers needs beside that is that all have the same
// quic.Config.TokenKey, StatelessResetKey and TicketKeys: then what one of them has given to a client is good at each, and clients of one that is
// gone learn so from whichever is asked.
//
// A client's first packets bear a connection ID that it made up. A balancer must give all of them to one server; a hash of the addresses
// does that. What a server answers, Retry included, has connection IDs of the server's own, which the client uses from then on.
// A connection ID that was made up has by chance the rotation bits of some configuration once in eight times, or with
// Config.EncodeLength more rarely, and then leads anywhere: server IDs longer than needed have it lead to no server at all, mostly.
//
// # Rotation
//
// A configuration takes the place of another in three steps: balancers get a Decoder that knows both; servers call Generator.Rotate and
// quicnet.Endpoint.RenewConnIDs; and balancers forget the old one when the connections that still use it, of clients that are slow to
// answer, are gone.
//
// # Limitations
//
//   - All connection IDs of an endpoint have one length, so a rotation cannot change it. Config.ServerUse makes up for a shorter nonce or
//     server ID. Whoever may want longer ones later takes a few bytes of it from the beginning.
//   - A Generator has one server ID. A server process that answers to several has an endpoint for each.
//   - Stateless reset tokens do not depend on the configuration. If a value of the rotation bits is used again with a key of before, which
//     Generator.Rotate refuses and a process that was started anew cannot know, two clients may get the same token.
//   - A nonce is used for each Retry and each refused attempt, too: who can send from made-up addresses uses up those of 4 bytes in hours.
//   - What the balancer does with datagrams that are unroutable is its own affair; ICMP messages, too.
package quiclb
