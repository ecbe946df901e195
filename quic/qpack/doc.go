// Package qpack is the field compression of HTTP/3 (RFC 9204): an Encoder and a Decoder, one of each for a connection.
//
// The package is about bytes alone: it has no streams, no clock, no goroutines and no locks. Whoever has the streams gives the Decoder
// what the peer's encoder stream brings, and the Encoder what its decoder stream brings, and sends what Instructions of each returns on
// our own two streams.
//
// # What the Encoder puts into the table
//
// An insertion is a bet: bytes of the encoder stream and of the table now, against references of one byte later. For each field that no
// table has, the Encoder estimates how often it will come again, and takes that times the bytes saved by each use as what an entry would
// be worth.
//
//   - A field that comes for the first time is judged by its name: of the values that the name has had on this connection, how many came
//     a second time? Before there is experience, a name starts with a good reputation, and with a poor one if its values are known to
//     differ from message to message, as those of :path, etag or content-length.
//   - A field that came before, by the hashes of the last hundred or so that were not inserted, is judged by how often and how lately.
//   - From that goes what the insertion costs: two bytes where the section can refer to the entry at once; the whole instruction where it
//     cannot, because the peer lets no stream become blocked. While much of the table is not acknowledged, and so cannot be evicted, its
//     space has a price too.
//   - If the table is full, the oldest entries have to be worth less. The table is first in, first out: those of the oldest that are
//     worth more, by the byte, are duplicated, for a byte or two, and so become the newest.
//     While sections in flight keep the oldest from being evicted, a part of the table is left free, and the oldest entries that are
//     used are duplicated into it early, so that they can go when the peer has acknowledged what refers to them.
//   - A literal name that comes again and again with new values gets an entry of its own, without a value.
//
// A balance of what was saved and spent stops insertions on a connection where they do not pay.
//
// A section that refers to entries which the peer has not acknowledged may have to wait for the encoder stream. Only as many streams may
// be in that state as the peer allows, and EncoderConfig.BlockedStreams; a section that would save little takes no such place.
//
// # Secrets
//
// Whoever can choose fields of a connection and see how long its packets are can find out whether a field is in the table. Fields
// marked Sensitive, authorization and proxy-authorization are never-indexed literals; short cookies come into the table late, and not
// at all on a connection that has seen many (RFC 9204, section 7.1). Programs that send fields of several users on one connection should
// mark what must not be guessed.
//
// # What the Decoder allocates
//
// Fields that a table holds cost nothing: their names, in both forms, and values are strings that are shared. Literals of a section are
// cut from one string; those that a connection sends again and again, as peers without a dynamic table do, are found in a small cache by
// their encoded form, and are neither allocated nor decoded.
//
// # Limitations
//
//   - The capacity of the Encoder's table is set once, to the lower of the peer's setting and EncoderConfig.TableCapacity.
//   - The Encoder inserts only fields of the section at hand, of a section with at most 256, and never cancels what it has written:
//     instructions wait in Instructions until they are sent.
//   - The Decoder takes a section as a whole, not in pieces.
//   - All faults end the connection. RFC 9204, section 7.4, would let some of a request stream's be errors of that stream alone.
package qpack
