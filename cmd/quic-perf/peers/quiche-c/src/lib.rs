//! quiche's C functions as a static archive, libquiche_c.a, with the BoringSSL that they call: what C programs are linked to that are written
//! for quiche. It is built like the peers beside it, for the largest speed.
pub use quiche;
