// Package sim is a network in virtual time, for tests: two quic endpoints, the links between them, and everything that
// the internet does to datagrams. Nothing sleeps and no real clock is read, so that a minute of a bad network costs
// milliseconds.
//
// A World holds the clock and the queue of events. A Link carries datagrams in one direction through a chain of stages,
// each of which passes a datagram on, now or later, once, twice or never, as it is or changed. A Host is an Endpoint with
// its connections, driven as a program with a socket would drive them: datagrams of one instant come in as trains, asks
// are answered at once, timers fire when they are due. A Scenario puts two Hosts and two Links together and moves data.
//
// A Plan is a whole connection drawn from a seed: how both sides are configured, what their applications do on streams, with
// datagrams and out of turn, what befalls the network, and where the client moves. After a time the network heals and readers that
// were slow read on; from then on everything must come to its end. A plan is played under watch: no byte lost, doubled or in another
// place; events told once and in their order, as quic.Event documents; every close for a cause that there was; no timer that stays
// in the past, no sending without end; at rest nothing in flight and nothing to be sent. What stalls is explained: what each side
// waits for. A plan that fails can be made smaller while it fails in the same way, and printed.
//
// All chance comes from one seeded generator, in the order of events, and certificates and keys of the scenario have
// fixed sizes: two runs of one seed send datagrams of the same lengths at the same times. Their bytes differ, because
// BoringSSL's randomness is its own.
//
// Limitations:
//   - Hosts have infinitely fast processors: what they do takes no virtual time.
//   - One Link is one path; a host with several addresses is made with stages that rewrite addresses (see NAT and Roamer).
//   - The IP header is reduced to addresses and ECN: there is no TTL and no ICMP.
package sim
