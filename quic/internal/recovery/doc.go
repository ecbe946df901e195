// Package recovery keeps the record of sent packets and decides which are acknowledged, which are lost and when to probe
// (RFC 9002), per packet number space; and, per path, the round-trip time, what is in flight, ECN validation
// (RFC 9000, section 13.4.2) and, through package congestion, what may be sent.
//
// It knows what a packet carried only as Frames, 24 bytes each and without pointers, in a ring: when the packet is
// acknowledged or lost they go to the Handler that the caller passes in. All times are nanoseconds on the connection's
// clock, which never reads 0.
package recovery
