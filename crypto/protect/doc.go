// Package protect is QUIC packet protection (RFC 9001, section 5): the keys of a connection at its four encryption
// levels, header and payload protection of whole trains of packets in one call, key update, and the Retry integrity tag.
// BoringSSL does the cryptography.
//
// A connection has one Keys. Initial keys come from the client's Destination Connection ID, all others from secrets that
// TLS yields. Open and Seal work in place on a buffer that holds any number of packets, each named by a descriptor; a
// call crosses into C once, however many packets there are, and allocates nothing.
//
// Open changes no key: it tells under which generation a packet opened, and the caller, who knows the rules of RFC 9001,
// section 6, commits a key update with AdvanceRead. Whether a packet is a duplicate, whether its reserved bits are zero
// and how many packets failed is for the caller too.
//
// Limitations:
//   - QUIC versions 1 and 2 (RFC 9369) only; other versions are refused where a version is given.
//   - AES-128-GCM, AES-256-GCM and ChaCha20-Poly1305; AES-128-CCM is not in TLS's default offer and not here.
//   - The counts of packets sealed and of packets that failed, and the limits of RFC 9001, section 6.6, are the
//     caller's.
//   - Whether a slot has a key shows in the time that Open takes, and by its header a packet tells its slot anyway. Which
//     1-RTT key a packet failed under does not: the next key is made ahead, and stands in for a previous one that is gone
//     (RFC 9001, section 9.5). After Rest the current one and the next are made before a packet is looked at. That a key
//     update took place does, as AdvanceRead and AdvanceWrite derive keys.
package protect
