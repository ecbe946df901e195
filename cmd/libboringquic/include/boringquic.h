// boringquic.h: QUIC (RFC 9000, RFC 9369) and HTTP/3 (RFC 9114) over BoringSSL.
//
// What holds for all functions:
//
//   Status     A function returns 0 (BQUIC_OK), or a number of what it did, above 0; or a BQUIC_ERR_*, below 0: then bquic_error says in one
//              sentence what was wrong. BQUIC_ERR_ARGUMENT, BQUIC_ERR_HANDLE, BQUIC_ERR_BUSY, BQUIC_ERR_STATE, BQUIC_ERR_FORKED, BQUIC_ERR_BORINGSSL
//              and BQUIC_ERR_INTERNAL may come from any; what else may come is said of each. Nothing that is passed in can crash the library but memory
//              that is not the caller's, or an SSL that is not BoringSSL's. Where there is no memory, or the system makes no more threads, the process
//              ends; so it does below 2 GiB of address space (RLIMIT_AS), of which the library takes most in advance and does not use it.
//   Handles    A bquic_* whose type is incomplete is a handle: a number in the guise of a pointer, which nothing follows. One that was
//              freed, or that is of another kind, is BQUIC_ERR_HANDLE. NULL is none.
//   Threads    An object is used by one thread at a time, whichever; an endpoint and its connections are one. A call while another is within the
//              object returns BQUIC_ERR_BUSY, and does nothing; so does a call from a callback. Objects are independent of each other. What takes
//              no object may be called by any thread at any time, and any number of threads may make endpoints and connections with one config.
//              Objects of the event loop are for any number of threads at once.
//   Memory     What a function is given it has read, or copied, when it returns. What it lends says how long it lasts.
//   Time       uint64_t, in nanoseconds of CLOCK_MONOTONIC. As an argument, 0 stands for now. Lengths of time are in nanoseconds, too.
//   Lengths    in bytes, if nothing else is said; none is above 2^31-1.
//   Structs    Those that begin with their size may grow. What is not set must be 0: write {.size = sizeof x}. A program that is older than the
//              library is answered what it knows; to one that is newer, and sets what the library does not know, that is BQUIC_ERR_UNSUPPORTED. Others, which
//              are elements of arrays, do not change.
//   Stack      A thread that calls the library should have 256 KiB of it.
//   Fork       A child that has not called exec gets BQUIC_ERR_FORKED from each function that has a status, if its parent had loaded the library. daemon(3)
//              forks: a program that calls it is not linked with the library, but loads it afterwards (dlopen).
//   Signals    No function may be called by a signal handler; see bquic_fix_signals for handlers that the library is interrupted by. Its own threads leave to the
//              program's what is sent to the process, but for SIGURG, SIGPIPE and SIGPROF: so signals can be blocked, and taken by sigwait or signalfd. With
//              the archive they leave only what is blocked before the library's threads begin: by a constructor of the program's that has a priority.
//              SIGURG is the library's; a call of the program's that blocks can end with EINTR for it.
//   Files      The library opens descriptors of its own, which nobody else may close. It begins with two, when a function is called for the first time: where
//              there are none, that is BQUIC_ERR_STATE. Who closes all that it has inherited does so before.
//   Loading    Linux with glibc; with musl no library written in Go loads. dlclose does nothing. A program can be linked with one archive written in
//              Go, and with any number of shared libraries.
#ifndef BORINGQUIC_H
#define BORINGQUIC_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define BQUIC_API __attribute__((visibility("default")))
#else
#define BQUIC_API
#endif

// What functions return. The numbers do not change.
enum {
  BQUIC_OK = 0,                 // it was done
  BQUIC_ERR_ARGUMENT = -1,      // NULL where a pointer must be, a number out of its range
  BQUIC_ERR_HANDLE = -2,        // the object was freed, or is of another kind, or was never made
  BQUIC_ERR_BUSY = -3,          // another call is within the object, or it is called from a callback
  BQUIC_ERR_STATE = -4,         // not now: the sentence says what must be first
  BQUIC_ERR_FORKED = -5,        // this process was forked from one that had loaded the library
  BQUIC_ERR_BORINGSSL = -6,     // there is another BoringSSL, or an OpenSSL, in the way
  BQUIC_ERR_MEMORY = -7,        // not returned: where there is no memory, the process ends
  BQUIC_ERR_INTERNAL = -8,      // a fault of the library: the object can only be freed; of a connection the peer is told INTERNAL_ERROR
  BQUIC_ERR_CONFIG = -9,        // the config lacks something, or contradicts itself
  BQUIC_ERR_FILE = -10,         // a file cannot be read or written; one that is read has more than 16 MiB, or is a device
  BQUIC_ERR_PEM = -11,          // what should be in PEM form is not, or is not what it should be
  BQUIC_ERR_CLOSED = -12,       // the connection is over
  BQUIC_ERR_STREAM = -13,       // there is no such stream, or it is over and forgotten
  BQUIC_ERR_DIRECTION = -14,    // the stream does not go in this direction
  BQUIC_ERR_LIMIT = -15,        // the peer allows no more streams now
  BQUIC_ERR_RESET = -16,        // the stream was reset
  BQUIC_ERR_ENDED = -17,        // the stream's sending part has ended
  BQUIC_ERR_UNSUPPORTED = -18,  // the peer, or this build, does not have it
  BQUIC_ERR_TOO_LARGE = -19,    // larger than the peer, or the path, takes
  BQUIC_ERR_FULL = -20,         // a queue is full
  BQUIC_ERR_MESSAGE = -21,      // no valid message of HTTP/3, or not at this point
  BQUIC_ERR_PATH = -22,         // no other path can be used now
  BQUIC_ERR_TIMEOUT = -23,      // it has not come about in the time that was given
  BQUIC_ERR_NETWORK = -24       // the system refuses, or knows no such name: the sentence is its own
};

// The library.

// BQUIC_ABI_VERSION is the version of this header: programs that were compiled with it run with all libraries of the same one.
#define BQUIC_ABI_VERSION 0

// bquic_version returns the library's version, as "0.1.0". The text lasts for ever.
BQUIC_API const char *bquic_version(void);

// bquic_abi_version returns BQUIC_ABI_VERSION of the library that is loaded.
BQUIC_API uint32_t bquic_abi_version(void);

// bquic_error returns a sentence on the last function that failed on this thread, an empty text if none has. It is never NULL, and
// lasts until a function is called on this thread.
BQUIC_API const char *bquic_error(void);

// bquic_status_name returns the name of a status, as "BQUIC_ERR_BUSY", and "BQUIC_ERR_?" for one that is not known. It lasts for ever.
BQUIC_API const char *bquic_status_name(int32_t status);

// bquic_options are what the library as a whole can be told.
typedef struct bquic_options {
  uint32_t size;          // sizeof(bquic_options)
  int32_t gc_percent;     // how much the library's memory may grow, in percent, before it is cleaned up, whatever GOGC says; 0: 100; below 0: only memory_limit counts
  uint64_t memory_limit;  // bytes that the library tries to keep below, its code and BoringSSL's memory not counted; 0: none
} bquic_options;

// bquic_init sets options, and says what keeps the library from working in this process: BQUIC_ERR_BORINGSSL if the functions of
// BoringSSL that the program calls are not those that the library does, since two of them number their data alike and know nothing of each
// other's objects; BQUIC_ERR_STATE if there are no descriptors to begin with; BQUIC_ERR_FORKED. Who does not call it has the defaults, and is told the same
// by each other function. options may be NULL.
BQUIC_API int32_t bquic_init(const bquic_options *options);

// bquic_now returns the time: CLOCK_MONOTONIC in nanoseconds.
BQUIC_API uint64_t bquic_now(void);

// bquic_fix_signals adds SA_ONSTACK to every signal handler of the process that lacks it, and returns how many it has changed. A handler
// without SA_ONSTACK that is set after the library was loaded runs, now and then, on a stack of the library's that has no room for it, and
// the process ends. Call it after signal handlers were set. A thread that has called the library has an alternate stack for them (sigaltstack), the library's
// if it had none: another one may take its place, but to disable it ends the process, too.
BQUIC_API int32_t bquic_fix_signals(void);

// bquic_live_objects returns how many objects there are that were made and not freed: for tests.
BQUIC_API int64_t bquic_live_objects(void);

// bquic_memory is what the library takes, in bytes.
typedef struct bquic_memory {
  uint32_t size;       // sizeof(bquic_memory)
  uint32_t threads;    // of the process that belong to the library
  uint64_t used;       // by objects, and by what is left of others until it is cleaned up
  uint64_t reserved;   // of the system, used included; BoringSSL's memory is the process's and not included
  uint64_t cleanups;   // how often memory was cleaned up
} bquic_memory;

// bquic_memory_stats fills in *memory. It takes some microseconds.
BQUIC_API int32_t bquic_memory_stats(bquic_memory *memory);

// bquic_log is told a sentence that the library has to say of itself: of a fault of its own, with the place in its code, which is what a report of it
// should hold, or of an SSL of bquic_make_ssl that no connection can have. It is called on the thread that is within the library, which may be one of the
// library's own: what is said at bquic_verify of functions that it may call holds for it. text lasts until it returns.
typedef void (*bquic_log)(void *context, const char *text);

// bquic_set_log has callback be called with context from now on. NULL, which is how it begins: nobody is told.
BQUIC_API int32_t bquic_set_log(bquic_log callback, void *context);

// What others are made of.

typedef struct bquic_config bquic_config;      // settings
typedef struct bquic_endpoint bquic_endpoint;  // what belongs to a socket: it knows which connection a datagram is for
typedef struct bquic_conn bquic_conn;          // a connection

// bquic_addr is an address of IPv4 or IPv6; sa.sa_family says which. AF_UNSPEC (0) stands for none, or for any.
typedef union bquic_addr {
  struct sockaddr sa;  // of whichever family: sa_family says it
  struct sockaddr_in in4;  // where that is AF_INET
  struct sockaddr_in6 in6;  // where it is AF_INET6
} bquic_addr;

// bquic_bytes is memory of somebody's.
typedef struct bquic_bytes {
  const void *data;  // NULL if len is 0
  size_t len;  // bytes
} bquic_bytes;

// Settings.

// Keys of bquic_config_set_u64. 0 stands for the default unless something else is said. Switches are 0 or 1, off by default.
enum {
  BQUIC_MAX_IDLE_TIMEOUT = 1,         // ns without anything received after which a connection ends; more than a day is a day. 0: 30 s; UINT64_MAX: never
  BQUIC_HANDSHAKE_TIMEOUT = 2,        // ns, at most a day. 0: 10 s
  BQUIC_KEEP_ALIVE = 3,               // ns, at most a day, after which a PING is sent if nothing else was. 0: never
  BQUIC_STREAM_WINDOW = 4,            // bytes that may arrive on a stream ahead of what is read, at first. 0: 512 KiB
  BQUIC_MAX_STREAM_WINDOW = 5,        // and what that may grow to, not less. 0: 6 MiB
  BQUIC_WINDOW = 6,                   // the same of all streams of a connection together. 0: 768 KiB
  BQUIC_MAX_WINDOW = 7,               // not less. 0: 15 MiB
  BQUIC_MAX_STREAMS_BIDI = 8,         // streams that the peer may have open, at most 2^60. 0: 100; UINT64_MAX: none
  BQUIC_MAX_STREAMS_UNI = 9,          // at most 2^60. 0: 100; UINT64_MAX: none
  BQUIC_STREAM_SEND_BUFFER = 10,      // bytes of a stream that are taken ahead of their acknowledgement. 0: 1 MiB
  BQUIC_MAX_STREAM_SEND_BUFFER = 11,  // and what that may grow to, not less. 0: 16 MiB
  BQUIC_MAX_DATAGRAM_FRAME = 12,      // bytes of the largest DATAGRAM frame that is accepted (RFC 9221). 0: none is; 65535: any
  BQUIC_MAX_UDP_PAYLOAD = 13,         // bytes of the largest UDP payload that is sent, 1200 to 65527. 0: what the path carries
  BQUIC_DISABLE_PMTUD = 14,           // switch: datagrams have BQUIC_MAX_UDP_PAYLOAD bytes (0: 1200), and nothing is tried out
  BQUIC_CONGESTION = 15,              // 0: CUBIC; 1: NewReno
  BQUIC_INITIAL_RTT = 16,             // ns, from 1 us to 60 s. 0: 333 ms
  BQUIC_MAX_ACK_DELAY = 17,           // ns, from 1 ms to below 2^14 ms. 0: 25 ms
  BQUIC_VERSIONS = 18,                // 0: QUIC 1, then 2; 1: 1 alone; 2: 2 alone; 3: 2, then 1
  BQUIC_NO_GREASE = 19,               // switch
  BQUIC_SPIN_BIT = 20,                // switch
  BQUIC_CONN_ID_LENGTH = 21,          // bytes of our connection IDs, 1 to 20. 0: 8
  BQUIC_RETRY = 22,                   // switch: clients must prove their address. Else they must only while there are very many
  BQUIC_DISABLE_MIGRATION = 23,       // switch: clients are told to stay at their address
  BQUIC_IGNORE_PREFERRED = 24,        // switch: a client does not go to its server's preferred address
  BQUIC_EARLY_DATA = 25,              // switch: a server accepts 0-RTT data
  BQUIC_MAX_HANDSHAKES = 26,          // of a server, at a time. 0: 4096
  BQUIC_NO_TICKETS = 27,              // switch: a server gives no session tickets, so that nothing is resumed
  BQUIC_VERIFY = 28,                  // of the peer's certificate: see BQUIC_VERIFY_*
  BQUIC_MAX_RECV_UDP_PAYLOAD = 29,    // bytes of the largest UDP payload that the peer is told to send, 1200 to 65527. 0: 65527
  BQUIC_INITIAL_WINDOW = 30,          // full datagrams that may be in flight at first, 2 to 1000. 0: 10
  BQUIC_DISABLE_HYSTART = 31,         // switch: slow start ends with a loss, not before (RFC 9406)
  BQUIC_DISABLE_PACING = 32,          // switch: all that the congestion window allows is sent at once
  BQUIC_MAX_PACING_RATE = 33,         // bytes per second, at most 2^62. 0: what the congestion window says
  BQUIC_ACK_DELAY_EXPONENT = 34,      // of ACK frames that are sent, at most 20 (RFC 9000, section 18.2). 0: 3; UINT64_MAX: 0
  BQUIC_ACTIVE_CONN_IDS = 35,         // connection IDs of the peer's that are kept, 2 to 16. 0: 4
  BQUIC_DISABLE_ID_REUSE = 36,        // switch: a client whose address changes is answered to another connection ID, whatever it sends to, or not at all while none is left
  BQUIC_AMPLIFICATION = 37,           // times what came from an unproven address that may be sent there, 1 to 3 (RFC 9000, section 8.1). 0: 3
  BQUIC_H3 = 64,                      // switch: connections speak HTTP/3; the protocol is "h3" if none is set
  BQUIC_H3_MAX_FIELD_SECTION = 65,    // bytes of the largest header section that is accepted, at most 16 MiB. 0: 64 KiB
  BQUIC_H3_TABLE_CAPACITY = 66,       // bytes of QPACK's dynamic table for what is received, at most 1 MiB. 0: 4096; UINT64_MAX: none
  BQUIC_H3_BLOCKED_STREAMS = 67,      // that may wait for it, at most 65536. 0: 100; UINT64_MAX: none
  BQUIC_H3_ENABLE_CONNECT = 68,       // switch: a server takes extended CONNECT (RFC 9220)
  BQUIC_H3_ENABLE_DATAGRAMS = 69,     // switch: HTTP datagrams (RFC 9297); BQUIC_MAX_DATAGRAM_FRAME must be set, too
  BQUIC_H3_HEADER_TIMEOUT = 70,       // ns in which the header section of a request must come, at most a day. 0: any
  BQUIC_H3_MAX_PRIORITY_UPDATE = 71   // bytes of the longest PRIORITY_UPDATE frame that a server reads, at most 264. 0: 264
};

// Values of BQUIC_VERIFY.
enum {
  BQUIC_VERIFY_DEFAULT = 0,   // a client verifies its server, a server asks for no certificate
  BQUIC_VERIFY_NONE = 1,      // a client accepts any certificate that bquic_verify does
  BQUIC_VERIFY_REQUEST = 2,   // a server asks for a certificate, and verifies it if there is one
  BQUIC_VERIFY_REQUIRE = 3    // a server takes no client without a certificate
};

// Keys of bquic_config_set_bytes.
enum {
  BQUIC_TOKEN_KEY = 1,      // 32 bytes: encrypts the tokens that prove addresses; servers that share it accept each other's. Default: random
  BQUIC_RESET_KEY = 2,      // 32 bytes: makes stateless reset tokens; a server that keeps it can end connections from before its start
  BQUIC_TICKET_KEYS = 3,    // n times 32 bytes, at most 64 times: the keys of session tickets, the newest first. Default: random ones
  BQUIC_EARLY_CONTEXT = 4,  // settings of the application that 0-RTT data depends on, at most 16 KiB: with another value it is rejected
  BQUIC_ALPN = 5            // application protocols, each after a byte with its length, the preferred one first
};

// bquic_config_new returns new settings, all of them the default; NULL if that is not possible (bquic_error). Settings can be used
// for any number of endpoints and connections, of clients and servers; each reads them when it is made, and what is changed later does
// not concern it.
BQUIC_API bquic_config *bquic_config_new(void);

// bquic_config_free frees settings. What was made of them stays.
BQUIC_API int32_t bquic_config_free(bquic_config *config);

// bquic_config_set_u64 sets one number. BQUIC_ERR_ARGUMENT: there is no such key, or the value is out of its range.
BQUIC_API int32_t bquic_config_set_u64(bquic_config *config, uint32_t key, uint64_t value);

// bquic_config_get_u64 stores in *value the number that was set with key, 0 where none was.
BQUIC_API int32_t bquic_config_get_u64(bquic_config *config, uint32_t key, uint64_t *value);

// bquic_config_set_bytes sets the value with key to the len bytes at data, which are copied; none: the default. BQUIC_ERR_ARGUMENT: there is no such key, or
// they are not what it says.
BQUIC_API int32_t bquic_config_set_bytes(bquic_config *config, uint32_t key, const void *data, size_t len);

// bquic_config_add_cert_files adds a certificate chain, the leaf first, and its key, from chain_file and key_file, which are in PEM form. A server with several takes
// the first that its client can use. The files are read within the call. BQUIC_ERR_FILE, BQUIC_ERR_PEM.
BQUIC_API int32_t bquic_config_add_cert_files(bquic_config *config, const char *chain_file, const char *key_file);

// bquic_config_add_cert_pem is the same from memory: chain of chain_len bytes, and key of key_len.
BQUIC_API int32_t bquic_config_add_cert_pem(bquic_config *config, const void *chain, size_t chain_len, const void *key, size_t key_len);

// bquic_config_add_roots_file adds those who may have signed the peer's certificate, from a file in PEM form. Without any, they are the system's, or those that the
// environment variables SSL_CERT_FILE and SSL_CERT_DIR name, which are read once in a process: when the first certificate is verified so.
// BQUIC_ERR_FILE; BQUIC_ERR_PEM: there is no certificate, or one that cannot be read.
BQUIC_API int32_t bquic_config_add_roots_file(bquic_config *config, const char *file);

// bquic_config_add_roots_pem is the same from memory: pem of len bytes.
BQUIC_API int32_t bquic_config_add_roots_pem(bquic_config *config, const void *pem, size_t len);

// bquic_peer is what bquic_verify judges.
typedef struct bquic_peer {
  uint32_t size;             // sizeof(bquic_peer)
  uint32_t resumed;          // 1: the session of an earlier connection is resumed, whose certificate this is
  const char *server_name;   // that the client asks for; empty if it asks for none
  const bquic_bytes *chain;  // certificates in DER form, the leaf first
  size_t chain_len;          // 0: a client that has sent none
} bquic_peer;

// bquic_verify judges a peer whose certificate BQUIC_VERIFY has found good, and returns 0 to accept it. All that it is given lasts until it
// returns. It is called within bquic_endpoint_step, on its thread. The functions that it may call are those that take no object; of objects,
// those that belong to another endpoint. It must return: neither longjmp nor an exception may leave it.
typedef int32_t (*bquic_verify)(void *context, const bquic_peer *peer);

// bquic_config_set_verify sets the callback, which is called with context; NULL: there is none.
BQUIC_API int32_t bquic_config_set_verify(bquic_config *config, bquic_verify callback, void *context);

// bquic_config_set_keylog_fd has the secrets of connections be written to the file descriptor fd, a line each, as Wireshark reads them. It
// stays the caller's, and must be open as long as there are connections; a line that cannot be written at once is lost. Below 0: none are written. A pipe, or a
// socket, whose reader has gone raises SIGPIPE where the process has said since the library was loaded what is to be done with it, also with SIG_DFL.
BQUIC_API int32_t bquic_config_set_keylog_fd(bquic_config *config, int fd);

// TLS by an SSL of the program's. Where the settings of certificates do not do, a program makes SSL objects of the BoringSSL that the library calls
// (pkg-config's bssl_cflags; the library's shared form exports it), with contexts, certificates and callbacks as it likes. The library sets TLS 1.3, the
// role, QUIC's interface and transport parameters, and quiet shutdown, and touches nothing else: neither ALPN, nor SNI, nor what is verified. The
// SSL belongs to the connection then, which frees it; it can be looked at as long as the connection is there (bquic_conn_ssl). Its callbacks are
// called within bquic_endpoint_step, and what is said at bquic_verify holds for them. One that has no answer yet is asked again by each step.
// Sessions are the program's, by BoringSSL's own functions: BQUIC_EVENT_SESSION brings what proves an address alone, for bquic_connect.session beside the SSL,
// and a client sends nothing in 0-RTT, also where its context has that enabled. A server accepts what its contexts do, with BQUIC_EARLY_DATA.

// bquic_make_ssl makes the SSL for a client that has just come, from address remote, which lasts until it returns. NULL: the client is refused; so it is
// where the SSL is another connection's, or another BoringSSL's: that stays the program's, and bquic_log is told.
typedef struct ssl_st *(*bquic_make_ssl)(void *context, const bquic_addr *remote);

// bquic_config_set_make_ssl has a server have its SSLs from the callback, which is called with context, and need no certificate; NULL: it has none.
BQUIC_API int32_t bquic_config_set_make_ssl(bquic_config *config, bquic_make_ssl callback, void *context);

// Endpoints. Whoever has the socket calls bquic_endpoint_step with what has arrived, sends what it gives out, acts on the events, and calls it
// again when its deadline has passed or something arrives.

// bquic_endpoint_new returns an endpoint whose server has the settings config; with NULL it is for clients alone. NULL: bquic_error says what
// is wrong, and the status, which is one of BQUIC_ERR_*, is stored in *status if that is not NULL.
BQUIC_API bquic_endpoint *bquic_endpoint_new(bquic_config *config, int32_t *status);

// bquic_endpoint_free frees an endpoint and all its connections at once. Nothing is sent: who wants the peers to know closes the connections
// (bquic_conn_close), and calls bquic_endpoint_step, before.
BQUIC_API int32_t bquic_endpoint_free(bquic_endpoint *endpoint);

// bquic_train is datagrams of one size, back to back, of one pair of addresses: what recvmsg with UDP_GRO yields, and sendmsg with UDP_SEGMENT
// takes. One datagram is a train, too.
typedef struct bquic_train {
  uint8_t *data;      // in: decrypted where it lies, and not kept. Out: within bquic_step.buf
  uint32_t len;       // at most 65535
  uint32_t seg_size;  // of each datagram but the last, which may be shorter. In: 0: it is one datagram
  bquic_addr local;   // ours; AF_UNSPEC if it is not known, or does not matter
  bquic_addr remote;  // the peer's
  uint32_t ecn;       // the two bits of the IP header (RFC 3168)
  uint32_t reserved;  // 0
} bquic_train;

// Kinds of events.
enum {
  BQUIC_EVENT_ACCEPTED = 1,            // conn is new: a client has begun it
  BQUIC_EVENT_HANDSHAKE_COMPLETE = 2,  // the peer is who it should be, and data may flow
  BQUIC_EVENT_CONFIRMED = 3,           // the peer knows that, too (RFC 9001, section 4.1.2)
  BQUIC_EVENT_STREAM_OPENED = 4,       // the peer has opened stream. Of HTTP/3 EVENT_REQUEST tells
  BQUIC_EVENT_READABLE = 5,            // stream has data, or its end, where there was nothing
  BQUIC_EVENT_WRITABLE = 6,            // stream, of which a send took less than all, has room
  BQUIC_EVENT_STREAMS = 7,             // more streams can be opened; value: 0 bidirectional ones, or requests, 2 unidirectional ones
  BQUIC_EVENT_STREAM_RESET = 8,        // the peer has reset its part; value: its code
  BQUIC_EVENT_STREAM_STOPPED = 9,      // the peer does not want what we send; value: its code
  BQUIC_EVENT_STREAM_ACKED = 10,       // all that was sent on stream, its end included, has arrived. Not with HTTP/3
  BQUIC_EVENT_STREAM_FINISHED = 11,    // both parts of stream are over, and it is forgotten. stream_data comes for the last time
  BQUIC_EVENT_DATAGRAM = 12,           // there are datagrams where there were none; with HTTP/3: of stream
  BQUIC_EVENT_DATAGRAM_WRITABLE = 13,  // their queue, which was full, has room
  BQUIC_EVENT_SESSION = 14,            // data: what a later connection can begin with, to be given to bquic_connect or bquic_dial once. It holds secrets
  BQUIC_EVENT_EARLY_READY = 15,        // a client may open streams and send before the handshake is complete
  BQUIC_EVENT_EARLY_DATA = 16,         // what became of 0-RTT data; value: 0 rejected, 1 accepted, 2 rejected and sent again
  BQUIC_EVENT_PATH = 17,               // data: a bquic_path; value: BQUIC_PATH_*
  BQUIC_EVENT_MTU = 18,                // UDP datagrams carry value bytes now
  BQUIC_EVENT_CLOSED = 19,             // the connection is over: see bquic_conn_error. What had arrived can still be read if the peer ended it
  BQUIC_EVENT_DRAINED = 20,            // the last event. conn is freed by the next step, or bquic_queue_wait
  BQUIC_EVENT_REQUEST = 32,            // a server of HTTP/3: data: a bquic_h3_message. BQUIC_FIN: nothing follows
  BQUIC_EVENT_TOO_LARGE = 33,          // the header section of a request was too large; it can be answered (431)
  BQUIC_EVENT_INTERIM = 34,            // a client: an interim response (1xx); data: a bquic_h3_message
  BQUIC_EVENT_RESPONSE = 35,           // data: a bquic_h3_message. BQUIC_FIN: nothing follows
  BQUIC_EVENT_TRAILERS = 36,           // data: a bquic_h3_message, of which fields alone count. The body has been read
  BQUIC_EVENT_REJECTED = 37,           // the server has not looked at the request, which can be made again
  BQUIC_EVENT_PRIORITY = 38,           // a client has changed the priority of its request; value: urgency + 256 if incremental
  BQUIC_EVENT_SETTINGS = 39,           // the peer's SETTINGS have come: see bquic_h3_settings
  BQUIC_EVENT_GOAWAY = 40,             // the peer shuts the connection down; value: its ID (RFC 9114, section 5.2)
  BQUIC_EVENT_SHUTDOWN = 41            // after bquic_h3_shutdown: no request is left, and the connection can be closed
};

// Flags of events, of sends and of what was received.
enum {
  BQUIC_FIN = 1  // the stream's end
};

// bquic_event is something that has happened, told once. The events of a step have all happened when the first of them is acted on: what that does
// may have ended a stream that a later one is about, which is BQUIC_ERR_STREAM then.
typedef struct bquic_event {
  uint32_t kind;  // BQUIC_EVENT_*
  uint32_t flags;        // BQUIC_FIN
  bquic_conn *conn;  // that it is about
  uint64_t user_data;    // what bquic_conn_set_user_data stored for conn, 0 if nothing was
  uint64_t stream;       // its ID, where the kind is about one
  uint64_t stream_data;  // what bquic_stream_set_user_data stored for it
  uint64_t value;  // what the kind says
  const void *data;      // lent until the next step of the endpoint, or bquic_queue_wait of the queue, or its end
  size_t data_len;  // bytes; 0: there is none
} bquic_event;

// Flags of bquic_step.more.
enum {
  BQUIC_MORE_EVENTS = 1,  // there are more: call it again at once
  BQUIC_MORE_TRAINS = 2   // there was no room for all that can be sent
};

// bquic_step is what goes in and comes out of one call. What is 0 or NULL is left out: who only wants to send gives neither in nor events.
typedef struct bquic_step {
  uint32_t size;        // sizeof(bquic_step)
  uint32_t more;        // out: BQUIC_MORE_*
  uint64_t now;         // 0: the library reads the clock
  uint64_t deadline;    // out: when to call it again, if nothing arrives before; UINT64_MAX: never. It may have passed
  bquic_train *in;      // what has arrived
  bquic_event *events;  // out: what has happened, in this order
  bquic_train *out;     // out: what is to be sent, in this order
  uint8_t *buf;         // memory for what is to be sent
  size_t buf_len;       // at least 1200. A datagram is never larger than buf_len, and a train has up to 64 KiB: 256 KiB serve well
  uint32_t in_len;      // trains
  uint32_t events_max;  // how many events have room
  uint32_t events_len;  // out: how many there are
  uint32_t out_max;  // how many trains have room
  uint32_t out_len;     // out: how many there are
  uint32_t reserved;    // 0
} bquic_step;

// bquic_endpoint_step does all there is to do, as *step says: takes in what has arrived, runs timers, tells events and gives out what is to be sent. Who acts on
// events calls it once with in and events, and then, after having acted, with out: so answers leave in the trains that acknowledge.
// Events must be read: a connection that has one waits for it with all else but sending. If out is NULL, nothing is sent meanwhile.
// BQUIC_ERR_ARGUMENT, for a train without data or with an address that is not of IP, as for the rest: nothing was done, not for the other trains either.
BQUIC_API int32_t bquic_endpoint_step(bquic_endpoint *endpoint, bquic_step *step);

// bquic_connect is what a client's connection begins with.
typedef struct bquic_connect {
  uint32_t size;              // sizeof(bquic_connect)
  uint32_t flags;             // BQUIC_CONNECT_*
  const char *server_name;    // for SNI and the certificate: a name or an IP address
  bquic_addr remote;          // the server's address
  bquic_addr local;           // ours; AF_UNSPEC: any
  bquic_bytes session;        // of BQUIC_EVENT_SESSION of an earlier connection to that server; NULL: none
  uint64_t user_data;         // as bquic_conn_set_user_data
  struct ssl_st *ssl;         // an SSL that was not used before; NULL: TLS is what the settings say. It is freed, also if NULL is returned, but
                              // with BQUIC_ERR_BORINGSSL, BQUIC_ERR_FORKED, and where size is not good, when it stays the caller's, and with
                              // BQUIC_ERR_STATE, when it belongs to another connection, which goes on
} bquic_connect;

enum {
  BQUIC_CONNECT_EARLY = 1,  // data may be sent in 0-RTT, if the session allows it: whoever records them can play them to the server again
  BQUIC_CONNECT_RESEND = 2  // if the server rejects them, they are sent again by themselves
};

// bquic_endpoint_connect begins a client's connection with the settings config, to where params says; the first datagram comes with the next step. NULL:
// bquic_error says what is wrong, and the status is stored in *status if that is not NULL.
BQUIC_API bquic_conn *bquic_endpoint_connect(bquic_endpoint *endpoint, bquic_config *config, const bquic_connect *params, int32_t *status);

// bquic_endpoint_refuse has new clients be refused from now on, or, with on 0, be accepted again: for a server that is about to end.
BQUIC_API int32_t bquic_endpoint_refuse(bquic_endpoint *endpoint, int on);

// bquic_endpoint_set_ticket_keys replaces the keys of a server's session tickets: n of 32 bytes each, the newest first; 0: random ones.
BQUIC_API int32_t bquic_endpoint_set_ticket_keys(bquic_endpoint *endpoint, const void *keys, size_t n);

// bquic_endpoint_info are figures of an endpoint, counted from its begin.
typedef struct bquic_endpoint_info {
  uint32_t size;         // sizeof(bquic_endpoint_info)
  uint32_t conns;        // that there are now, those that are over and not drained included
  uint64_t accepted;     // connections that clients began
  uint64_t refused;      // attempts that were refused
  uint64_t retries;               // Retry packets that were sent
  uint64_t version_negotiations;  // Version Negotiation packets that were sent
  uint64_t stateless_resets;      // that were sent
  uint64_t invalid_tokens;        // attempts with a token that is not good
  uint64_t replies_lost;  // answers to strangers for which there was no room, since nobody sent those before them
} bquic_endpoint_info;

// bquic_endpoint_stats fills in *info.
BQUIC_API int32_t bquic_endpoint_stats(bquic_endpoint *endpoint, bquic_endpoint_info *info);

// Connections. But for those of the event loop they belong to their endpoint: what is said of threads holds for all of them together.

// bquic_conn_close closes a connection with an error code, below 2^62, of the application's, or, with transport not 0, of the transport's (0: no
// error). reason is a text for people of len bytes, of which 256 travel. What was not delivered is lost. The peer is told with the next step;
// BQUIC_EVENT_DRAINED tells when it can be forgotten. A connection that is over stays as it is.
BQUIC_API int32_t bquic_conn_close(bquic_conn *conn, int transport, uint64_t code, const char *reason, size_t len);

// bquic_conn_free forgets a connection at once; the peer is told nothing but what bquic_conn_close and a step have sent. Who reads events to the
// end need not call it.
BQUIC_API int32_t bquic_conn_free(bquic_conn *conn);

// bquic_conn_set_user_data stores value, which may be a pointer of the caller's, and comes with each event of the connection that is told from now on: with
// BQUIC_EVENT_ACCEPTED, and with what was told in one array with it, comes 0.
BQUIC_API int32_t bquic_conn_set_user_data(bquic_conn *conn, uint64_t value);

// Bits of bquic_conn_state.flags.
enum {
  BQUIC_CONN_CLIENT = 1,              // we are the client
  BQUIC_CONN_HANDSHAKE_COMPLETE = 2,  // and not over
  BQUIC_CONN_CONFIRMED = 4,           // the handshake is confirmed (RFC 9001, section 4.1.2)
  BQUIC_CONN_RESUMED = 8,             // the session of an earlier connection was resumed
  BQUIC_CONN_ADDRESS_VALIDATED = 16,  // the peer has shown that it receives at its address
  BQUIC_CONN_CLOSED = 32,             // over: see bquic_conn_error
  BQUIC_CONN_KEEPS_RECEIVED = 64      // over, and what had arrived can still be read
};

// bquic_conn_state is what is known of a connection.
typedef struct bquic_conn_state {
  uint32_t size;  // sizeof(bquic_conn_state)
  uint32_t flags;  // BQUIC_CONN_*
  uint32_t version;             // of QUIC: 1 or 0x6b3343cf
  uint32_t early_data;          // 0: none; 1: offered; 2: accepted; 3: rejected
  uint32_t streams_bidi;        // that can be opened now; of HTTP/3: requests
  uint32_t streams_uni;  // that can be opened now
  uint32_t max_datagram;        // bytes of the largest datagram that can be sent now; 0: none
  uint32_t max_udp_payload;     // bytes
  uint16_t cipher_suite;        // of TLS; 0 before it is known
  uint16_t alpn_len;  // bytes; 0: none is known
  uint8_t alpn[256];            // the protocol, ended by a zero
  char server_name[256];        // ended by a zero
  bquic_addr local;             // of the path in use: ours
  bquic_addr remote;            // and the peer's
  uint64_t user_data;  // what bquic_conn_set_user_data stored
} bquic_conn_state;

// bquic_conn_info fills in *state, also of a connection that is over.
BQUIC_API int32_t bquic_conn_info(bquic_conn *conn, bquic_conn_state *state);

// bquic_conn_ssl returns the SSL of a connection that was made with one, NULL if there is none. It is lent until the connection is freed.
BQUIC_API struct ssl_st *bquic_conn_ssl(bquic_conn *conn);

// Kinds of bquic_conn_end.
enum {
  BQUIC_END_NONE = 0,                 // it is not over
  BQUIC_END_APPLICATION = 1,          // CONNECTION_CLOSE of the application, with its code
  BQUIC_END_TRANSPORT = 2,            // CONNECTION_CLOSE of the transport, with a code of RFC 9000, section 20.1; 256 and above: a TLS alert
  BQUIC_END_IDLE = 3,                 // nothing was received for the idle timeout
  BQUIC_END_HANDSHAKE_TIMEOUT = 4,    // the handshake did not come to its end in time
  BQUIC_END_VERSION = 5,              // the server speaks none of our versions
  BQUIC_END_RESET = 6,                // the peer no longer knows the connection
  BQUIC_END_DIAL = 7                  // bquic_dial with timeout 0 has not come to a connection: reason is what it would have said
};

// bquic_conn_end is why a connection is over.
typedef struct bquic_conn_end {
  uint32_t size;       // sizeof(bquic_conn_end)
  uint32_t kind;       // BQUIC_END_*
  uint64_t code;  // of CONNECTION_CLOSE
  uint32_t remote;     // 1: the peer ended it
  uint32_t reason_len;  // bytes
  char reason[512];    // a text for people, of the peer's if it ended it; ended by a zero
} bquic_conn_end;

// bquic_conn_error fills in *end: kind is BQUIC_END_NONE while the connection is not over.
BQUIC_API int32_t bquic_conn_error(bquic_conn *conn, bquic_conn_end *end);

// bquic_conn_figures are counts of a connection from its begin, and the state of the path in use.
typedef struct bquic_conn_figures {
  uint32_t size;  // sizeof(bquic_conn_figures)
  uint32_t ecn;   // 1: the path carries ECN marks
  uint64_t packets_sent;        // of all kinds
  uint64_t packets_received;    // that proved authentic
  uint64_t packets_dropped;     // that came, and could not be used
  uint64_t packets_lost;        // that were sent, and are taken for lost
  uint64_t packets_spurious;    // of those, acknowledged later
  uint64_t udp_sent;            // UDP datagrams
  uint64_t udp_received;        // UDP datagrams
  uint64_t bytes_sent;          // of UDP payload
  uint64_t bytes_received;      // of UDP payload
  uint64_t datagrams_sent;      // DATAGRAM frames
  uint64_t datagrams_received;  // DATAGRAM frames
  uint64_t datagrams_dropped;   // DATAGRAM frames that came, and for which there was no room
  uint64_t datagrams_unsent;    // DATAGRAM frames that were queued, and could not be sent
  uint64_t timeouts;            // probe timeouts
  uint64_t migrations;          // to another path
  uint64_t min_rtt;             // ns; 0 before the first sample
  uint64_t rtt;                 // smoothed, ns; 0 before the first sample
  uint64_t latest_rtt;          // ns; 0 before the first sample
  uint64_t congestion_window;   // bytes
  uint64_t in_flight;           // bytes
} bquic_conn_figures;

// bquic_conn_stats fills in *figures.
BQUIC_API int32_t bquic_conn_stats(bquic_conn *conn, bquic_conn_figures *figures);

// bquic_conn_set_keep_alive changes BQUIC_KEEP_ALIVE of one connection: ns, 0: never, UINT64_MAX: as its settings say.
BQUIC_API int32_t bquic_conn_set_keep_alive(bquic_conn *conn, uint64_t ns);

// bquic_conn_set_qlog_fd has the connection be traced to the descriptor fd as qlog from now on (draft-ietf-quic-qlog-main-schema, JSON text sequences: files of that kind are
// named .sqlog): packets, frames, losses, metrics, keys, parameters, states. title and description stand at the front, and may be NULL. It
// belongs to the connection from this call on, also if it fails, and is closed with it; it should not be one that blocks for long, since it is written to
// within bquic_endpoint_step. What cannot be written ends the trace and nothing else. BQUIC_ERR_STATE: the connection is traced already, or over;
// BQUIC_ERR_ARGUMENT: fd is below 0.
BQUIC_API int32_t bquic_conn_set_qlog_fd(bquic_conn *conn, int fd, const char *title, const char *description);

// bquic_conn_ping has the next step send something that the peer must acknowledge.
BQUIC_API int32_t bquic_conn_ping(bquic_conn *conn);

// bquic_conn_key_update replaces the keys, which the library does by itself in good time. BQUIC_ERR_STATE: too soon.
BQUIC_API int32_t bquic_conn_key_update(bquic_conn *conn);

// bquic_conn_export writes len bytes, at most 8160, to out, derived from the connection's secrets (RFC 8446, section 7.5) with a label of at most 249 bytes that
// is ended by a zero, and a context of context_len bytes. BQUIC_ERR_STATE before the handshake is complete.
BQUIC_API int32_t bquic_conn_export(bquic_conn *conn, const char *label, const void *context, size_t context_len, void *out, size_t len);

// bquic_conn_peer_cert copies certificate number index of the peer's chain, in DER form, the leaf being 0, into buf of len bytes, and returns
// how long it is: above len, nothing was copied. 0: there is no such certificate.
BQUIC_API int64_t bquic_conn_peer_cert(bquic_conn *conn, uint32_t index, void *buf, size_t len);

// bquic_conn_id is a connection ID.
typedef struct bquic_conn_id {
  uint8_t len;  // 0 to 20
  uint8_t id[20];  // of which the first len count
} bquic_conn_id;

// bquic_conn_source_ids writes to ids the connection IDs under which the peer may send, at most max, and returns how many there are.
BQUIC_API int32_t bquic_conn_source_ids(bquic_conn *conn, bquic_conn_id *ids, uint32_t max);

// bquic_conn_renew_ids has the peer be given others for all connection IDs that it has.
BQUIC_API int32_t bquic_conn_renew_ids(bquic_conn *conn);

// Paths (RFC 9000, section 9).

// What a path is, and what BQUIC_EVENT_PATH tells of one.
enum {
  BQUIC_PATH_PROBING = 0,  // states
  BQUIC_PATH_ACTIVE = 1,
  BQUIC_PATH_STANDBY = 2,
  BQUIC_PATH_NEW = 1,  // events
  BQUIC_PATH_VALIDATED = 2,
  BQUIC_PATH_FAILED = 3,
  BQUIC_PATH_CLOSED = 4,
  BQUIC_PATH_ACTIVATED = 5,
  BQUIC_PATH_REUSED = 6    // a client sends on it to a connection ID that it uses on another path, as behind a NAT
};

// bquic_path is a path. Of an event only the addresses are set.
typedef struct bquic_path {
  bquic_addr local;            // ours
  bquic_addr remote;           // the peer's
  uint32_t state;              // BQUIC_PATH_*
  uint32_t validated;          // 1: the peer has shown that it receives there
  uint32_t max_udp_payload;    // bytes
  uint32_t ecn;                // 1: the path carries ECN marks
  uint64_t min_rtt;            // ns; 0 before the first sample
  uint64_t rtt;                // smoothed, ns
  uint64_t latest_rtt;         // ns
  uint64_t congestion_window;  // bytes
  uint64_t in_flight;          // bytes
  uint64_t bytes_sent;         // of UDP payload
  uint64_t bytes_received;     // of UDP payload
} bquic_path;

// bquic_conn_paths writes the paths of the connection, at most max, the one in use first, and returns how many there are, at most four.
BQUIC_API int32_t bquic_conn_paths(bquic_conn *conn, bquic_path *paths, uint32_t max);

// bquic_conn_probe_path has a client validate the path from local to remote, to move to it later. NULL, or AF_UNSPEC, stands for the address in use.
// BQUIC_EVENT_PATH tells what becomes of it. BQUIC_ERR_PATH, BQUIC_ERR_ARGUMENT.
BQUIC_API int32_t bquic_conn_probe_path(bquic_conn *conn, const bquic_addr *local, const bquic_addr *remote);

// bquic_conn_migrate has a client move to the path from local to remote, which is validated first if it was not. Arguments and errors are the same.
BQUIC_API int32_t bquic_conn_migrate(bquic_conn *conn, const bquic_addr *local, const bquic_addr *remote);

// bquic_conn_abandon_path has a client forget the path from local to remote, such as one whose socket is gone. BQUIC_ERR_PATH, BQUIC_ERR_ARGUMENT. If it is the one in use, there must be another.
BQUIC_API int32_t bquic_conn_abandon_path(bquic_conn *conn, const bquic_addr *local, const bquic_addr *remote);

// bquic_conn_too_large tells that the system has refused to send datagrams of len bytes on the path from local to remote (EMSGSIZE): smaller ones are sent then.
BQUIC_API int32_t bquic_conn_too_large(bquic_conn *conn, const bquic_addr *local, const bquic_addr *remote, uint32_t len);

// Streams. With BQUIC_H3 they are those of requests, and what is sent and received is the body of a message.

// bquic_stream_open opens a stream, unidirectional if uni is not 0, and returns its ID. BQUIC_ERR_LIMIT: BQUIC_EVENT_STREAMS tells when
// there can be more. BQUIC_ERR_STATE with BQUIC_H3.
BQUIC_API int64_t bquic_stream_open(bquic_conn *conn, int uni);

// bquic_stream_send takes as much of len bytes as there is room for, which is copied, and returns how much that was. With BQUIC_FIN among
// flags the stream ends behind them, if all of them were taken. If less was taken, BQUIC_EVENT_WRITABLE tells when there is room.
// A stream of ours that is not open yet is opened by it, and with it those of its type with lower IDs: so a program may choose IDs itself. An ID that was in
// use before 0-RTT data was rejected (BQUIC_EVENT_EARLY_DATA) is BQUIC_ERR_STREAM until bquic_stream_open has given it out again.
// BQUIC_ERR_RESET, BQUIC_ERR_ENDED, BQUIC_ERR_STREAM, BQUIC_ERR_DIRECTION, BQUIC_ERR_LIMIT, BQUIC_ERR_CLOSED. With BQUIC_H3
// BQUIC_ERR_MESSAGE: no header section was sent that a body may follow, or its content-length tells of another length, and the stream is reset.
BQUIC_API int64_t bquic_stream_send(bquic_conn *conn, uint64_t stream, const void *data, size_t len, uint32_t flags);

// bquic_stream_recv copies what was received on stream into buf of len bytes, and returns how many bytes that was; 0: there is nothing now, or, with BQUIC_FIN in
// *flags, all has been read. flags may not be NULL. The errors are those of bquic_stream_send; with BQUIC_ERR_RESET *code, if code is not
// NULL, is the peer's error code.
BQUIC_API int64_t bquic_stream_recv(bquic_conn *conn, uint64_t stream, void *buf, size_t len, uint32_t *flags, uint64_t *code);

// bquic_h3_field is a field of a header section of HTTP/3. Names are lower case; those that begin with a colon come first.
typedef struct bquic_h3_field {
  const char *name;  // not ended by a zero
  const char *value;  // not ended by a zero
  uint32_t name_len;  // bytes
  uint32_t value_len;  // bytes
} bquic_h3_field;

// bquic_op is one call of many.
typedef struct bquic_op {
  bquic_conn *conn;  // of the endpoint
  uint64_t stream;  // its ID
  uint32_t kind;    // BQUIC_OP_*
  uint32_t flags;   // in and out: BQUIC_FIN. BQUIC_OP_STOP: BQUIC_LATER
  void *data;       // sent from, or received into
  size_t len;  // bytes
  uint64_t code;    // BQUIC_OP_STOP and BQUIC_OP_RESET: the code. BQUIC_OP_OPEN: 1: unidirectional. Out: that of BQUIC_ERR_RESET
  int64_t result;   // out: what the function returns
  const bquic_h3_field *fields;  // BQUIC_OP_RESPOND: the header section
  uint32_t fields_len;           // how many there are
} bquic_op;

enum {
  BQUIC_OP_SEND = 1,   // bquic_stream_send
  BQUIC_OP_RECV = 2,   // bquic_stream_recv
  BQUIC_OP_STOP = 3,   // bquic_stream_shutdown of BQUIC_READ, with BQUIC_LATER among flags: of BQUIC_READ | BQUIC_LATER
  BQUIC_OP_RESET = 4,  // bquic_stream_shutdown of BQUIC_WRITE
  BQUIC_OP_OPEN = 5,   // bquic_stream_open, which sets stream, and bquic_stream_send on it
  BQUIC_OP_RESPOND = 6  // bquic_h3_respond, whose body is data
};

// bquic_endpoint_ops does n calls on streams of connections of one endpoint, in order, in one crossing. It fails only if the endpoint or ops is no
// good; what became of each is its result.
BQUIC_API int32_t bquic_endpoint_ops(bquic_endpoint *endpoint, bquic_op *ops, size_t n);

// The parts of a stream that bquic_stream_shutdown ends, and when.
enum {
  BQUIC_READ = 1,   // what the peer sends
  BQUIC_WRITE = 2,  // what we send
  BQUIC_LATER = 4   // no part: with BQUIC_READ alone, the peer is asked to stop when it has what we send
};

// bquic_stream_shutdown ends parts of stream before their time, BQUIC_READ, BQUIC_WRITE or both (BQUIC_READ | BQUIC_WRITE): the peer is asked to stop sending, what we
// send is reset, with a code below 2^62. A part that is over stays as it is.
// BQUIC_READ | BQUIC_LATER is for who answers without reading all: what comes is dropped, but the peer is asked to stop only 100 ms after it has acknowledged
// all that we send on the stream, with its end. To some clients, curl with OpenSSL's QUIC among them, being asked while they write is an error, whatever
// answer has come. The peer is asked sooner if our end is not written within 100 ms, if what we send is reset, if the peer's flow control holds it back, or where more
// than 256 streams of a connection wait; and at once if all was acknowledged before, and on a stream that only the peer sends on.
BQUIC_API int32_t bquic_stream_shutdown(bquic_conn *conn, uint64_t stream, uint32_t parts, uint64_t code);

// bquic_stream_set_priority sets when stream sends among others: urgency 0 to 7, 0 first; incremental ones of one urgency take turns
// (RFC 9218).
BQUIC_API int32_t bquic_stream_set_priority(bquic_conn *conn, uint64_t stream, uint32_t urgency, int incremental);

// bquic_stream_set_user_data stores value, which comes with each event of stream (stream_data) that is told from now on, even if the stream is over by then. With
// the first event of a stream, BQUIC_EVENT_STREAM_OPENED, or BQUIC_EVENT_REQUEST or BQUIC_EVENT_TOO_LARGE with BQUIC_H3, and with what was told in one array with
// it, comes 0. It returns 1. For a stream that was never opened, or is over, as one can be that is only being told of, it stores nothing and returns 0: then no
// event brings value, and what was allocated for it is to be freed.
BQUIC_API int32_t bquic_stream_set_user_data(bquic_conn *conn, uint64_t stream, uint64_t value);

// bquic_stream_room returns how many bytes bquic_stream_send would take on stream now, or its error. A write of that size is taken whole. A longer one may be taken
// not at all while other streams have much waiting; BQUIC_EVENT_WRITABLE tells when to try again. With BQUIC_H3 the bytes include what frames them.
BQUIC_API int64_t bquic_stream_room(bquic_conn *conn, uint64_t stream);

// bquic_streams_readable writes to ids the IDs of streams that have something to be read, at most max, and returns how many it has written. Events tell
// the same as it happens. With BQUIC_H3 there may be streams among them that are the library's own.
BQUIC_API int32_t bquic_streams_readable(bquic_conn *conn, uint64_t *ids, uint32_t max);

// bquic_streams_writable writes to ids the IDs of streams in use that take data, at most max, and returns how many it has written.
BQUIC_API int32_t bquic_streams_writable(bquic_conn *conn, uint64_t *ids, uint32_t max);

// Datagrams (RFC 9221). BQUIC_MAX_DATAGRAM_FRAME has the peer be allowed to send them.

// bquic_datagram_send queues a datagram, the len bytes at data, which are copied. BQUIC_ERR_UNSUPPORTED, BQUIC_ERR_TOO_LARGE (see bquic_conn_state.max_datagram),
// BQUIC_ERR_FULL: BQUIC_EVENT_DATAGRAM_WRITABLE tells when there is room.
BQUIC_API int32_t bquic_datagram_send(bquic_conn *conn, const void *data, size_t len);

// bquic_datagram_send_many queues n datagrams, or as many as there is room for, and returns how many; an error if the first one fails.
BQUIC_API int32_t bquic_datagram_send_many(bquic_conn *conn, const bquic_bytes *datagrams, uint32_t n);

// bquic_datagram_recv_many copies received datagrams, at most max, one behind the other into buf of len bytes, and writes where each lies into
// datagrams. It returns how many: as many as surely fit, so that len must be at least BQUIC_MAX_DATAGRAM_FRAME.
BQUIC_API int32_t bquic_datagram_recv_many(bquic_conn *conn, bquic_bytes *datagrams, uint32_t max, void *buf, size_t len);

// HTTP/3: connections whose settings have BQUIC_H3.

// bquic_h3_message is a header section that has come, valid as RFC 9114 demands. It is lent as the event is; texts of several may be in one place.
typedef struct bquic_h3_message {
  const bquic_h3_field *fields;  // with the pseudo-header fields, which come first
  uint32_t fields_len;  // how many there are
  int32_t status;                // of a response
  int64_t content_length;        // -1: none is told
  uint32_t early;                // 1: the request came in 0-RTT data, and may be a recording
  uint32_t priority;             // of a request: urgency + 256 if incremental
} bquic_h3_message;

// bquic_h3_request makes a request of n fields, and sends as much of a body of len bytes as there is room for: *taken bytes of it, if taken is not NULL. With
// BQUIC_FIN among flags the request ends behind it, if all of it was taken. It returns the stream's ID. BQUIC_ERR_LIMIT: BQUIC_EVENT_STREAMS
// tells when there can be more; BQUIC_ERR_STATE: the connection is shutting down, or is not ready; BQUIC_ERR_MESSAGE, BQUIC_ERR_TOO_LARGE.
BQUIC_API int64_t bquic_h3_request(bquic_conn *conn, const bquic_h3_field *fields, uint32_t n, const void *body, size_t len, uint32_t flags,
                                   size_t *taken);

// bquic_h3_respond answers the request of stream with n fields, ":status" among them, and returns how much of the body of len bytes it has taken; BQUIC_FIN among
// flags is as there. BQUIC_ERR_STREAM, BQUIC_ERR_RESET, BQUIC_ERR_ENDED, BQUIC_ERR_MESSAGE, BQUIC_ERR_TOO_LARGE, BQUIC_ERR_CLOSED. A status of 1xx is an interim
// response, of which there may be several.
BQUIC_API int64_t bquic_h3_respond(bquic_conn *conn, uint64_t stream, const bquic_h3_field *fields, uint32_t n, const void *body, size_t len,
                                   uint32_t flags);

// bquic_h3_trailers ends the message of stream with a trailer section of n fields. The errors are those of bquic_h3_respond.
BQUIC_API int32_t bquic_h3_trailers(bquic_conn *conn, uint64_t stream, const bquic_h3_field *fields, uint32_t n);

// bquic_h3_priority has a client ask for another priority of the response of stream, and a server set one (RFC 9218): urgency and incremental are as
// bquic_stream_set_priority has them.
BQUIC_API int32_t bquic_h3_priority(bquic_conn *conn, uint64_t stream, uint32_t urgency, int incremental);

// bquic_h3_shutdown begins the end of a connection (GOAWAY): what is under way goes on, and BQUIC_EVENT_SHUTDOWN tells when nothing is left.
BQUIC_API int32_t bquic_h3_shutdown(bquic_conn *conn);

// bquic_h3_datagram_send sends an HTTP datagram of the request of stream (RFC 9297), the len bytes at data, which are copied. The errors are those of
// bquic_datagram_send, and those of bquic_stream_send: nothing is sent for a request whose own part has ended.
BQUIC_API int32_t bquic_h3_datagram_send(bquic_conn *conn, uint64_t stream, const void *data, size_t len);

// bquic_h3_datagram_recv copies the oldest HTTP datagram of the request of stream into buf of cap bytes, and stores in *len how many bytes those are; what does not
// fit is lost. It returns 1 if there was one, else 0.
BQUIC_API int32_t bquic_h3_datagram_recv(bquic_conn *conn, uint64_t stream, void *buf, size_t cap, size_t *len);

// bquic_h3_peer is what the peer's SETTINGS say.
typedef struct bquic_h3_peer {
  uint32_t size;                   // sizeof(bquic_h3_peer)
  uint32_t known;                  // 1: they have come. Before, the defaults are told
  uint64_t max_field_section;      // bytes; UINT64_MAX: any
  uint64_t table_capacity;         // bytes
  uint64_t blocked_streams;  // that may wait for the table
  uint32_t enable_connect;  // 1: it takes extended CONNECT (RFC 9220)
  uint32_t datagrams;  // 1: it takes HTTP datagrams (RFC 9297)
} bquic_h3_peer;

// bquic_h3_settings fills in *settings. BQUIC_ERR_STATE: there is no HTTP/3 on the connection, or not yet.
BQUIC_API int32_t bquic_h3_settings(bquic_conn *conn, bquic_h3_peer *settings);

// The event loop: for those who want sockets, timers and threads done for them. Sockets belong to the library, which reads them, and sends, on threads
// of its own. A connection that was dialled or accepted so is a bquic_conn as any other, for all functions of connections, streams, datagrams and
// HTTP/3 but those of paths and bquic_endpoint_ops; what is to be sent leaves by itself. There are two ways to wait, which go together:
//
//   Calls that wait   bquic_accept, bquic_dial, bquic_conn_wait and bquic_stream_accept, _read and _write return when there is something, or when their time
//                     is over: timeout nanoseconds of CLOCK_MONOTONIC; 0: they try once and do not wait; UINT64_MAX: however long. A program has
//                     a thread for each thing that it waits for. Nobody else waits for one that waits.
//   Events            go to a bquic_queue, if the socket or the connection was given one: those of bquic_endpoint_step, with their meaning there.
//                     bquic_queue_wait waits for them, or a descriptor tells poll, select and epoll that there are some. With BQUIC_H3 there must be a queue.
//
// These objects are for any number of threads at once; calls that are within one connection take turns, and what waits is not within it. Who frees one
// has those that wait in it return at once, with BQUIC_ERR_HANDLE. TLS is what the settings say: bquic_config_set_make_ssl is for endpoints. bquic_verify
// is called on a thread of the library's, and its connection alone waits for it. A fault of the library's own is told to bquic_set_log, and closes
// the connection that it strikes with INTERNAL_ERROR, on whichever thread; within a function it is BQUIC_ERR_INTERNAL, too.

typedef struct bquic_queue bquic_queue;    // events that wait to be told
typedef struct bquic_socket bquic_socket;  // a UDP socket, or several of one address, and connections over it

// bquic_queue_new returns a queue without events; NULL: bquic_error, and *status if status is not NULL.
BQUIC_API bquic_queue *bquic_queue_new(int32_t *status);

// bquic_queue_free frees a queue, and closes its descriptor. Sockets and connections stay; their events are dropped. But connections of which
// BQUIC_EVENT_ACCEPTED was not told are closed, and gone, and the queue's sockets refuse further ones; those of which BQUIC_EVENT_DRAINED was told are freed.
BQUIC_API int32_t bquic_queue_free(bquic_queue *queue);

// bquic_queue_fd returns a descriptor that is readable as long as there is something that bquic_queue_wait would look at, and at no other time: wait for it with
// poll, select or epoll, level-triggered or edge-triggered, and call bquic_queue_wait until it returns 0, or, level-triggered, once. Nobody else may
// read or close it. What makes it readable may have come to nothing by then.
BQUIC_API int bquic_queue_fd(bquic_queue *queue);

// bquic_queue_wait waits for events, and writes as many as there are, at most max, which must not be 0. It returns how many; 0: none came in timeout ns. They are
// BQUIC_EVENT_* of connections, each told once, those of a connection in their order; what they point to is lent until the next call. After
// BQUIC_EVENT_DRAINED the next call, or bquic_queue_free, frees the connection. One thread at a time may be in it: BQUIC_ERR_BUSY. Events must be read: a peer that
// sends more is slowed down by flow control. With BQUIC_H3 nothing more is read of a connection's streams while 128 of its events wait; when there is room for
// one, all that has come by then is.
BQUIC_API int32_t bquic_queue_wait(bquic_queue *queue, bquic_event *events, uint32_t max, uint64_t timeout);

// bquic_listen_options says how to listen. What is 0 or NULL is the default.
typedef struct bquic_listen_options {
  uint32_t size;       // sizeof(bquic_listen_options)
  uint32_t shards;     // sockets that share the address, each read by a thread of its own: for servers that keep several cores busy. 0: 1; at most 256
  bquic_queue *queue;  // where connections that are accepted tell their events, BQUIC_EVENT_ACCEPTED first. NULL: bquic_accept gives them out
} bquic_listen_options;

// bquic_listen opens a socket at an address, "IP:PORT", "[IP]:PORT" or "NAME:PORT": without IP on all addresses of the machine, of IPv4 and of IPv6, and so with
// 0.0.0.0 or [::]; port 0: one that is free. Clients are
// accepted with the settings config; with NULL it is for bquic_dial alone. options may be NULL. NULL: bquic_error, and *status if status is not NULL:
// BQUIC_ERR_ARGUMENT, BQUIC_ERR_CONFIG, BQUIC_ERR_NETWORK.
BQUIC_API bquic_socket *bquic_listen(bquic_config *config, const char *address, const bquic_listen_options *options, int32_t *status);

// bquic_socket_addr writes to *addr the address that a socket is bound to.
BQUIC_API int32_t bquic_socket_addr(bquic_socket *socket, bquic_addr *addr);

// bquic_socket_free closes a socket, and all its connections with code 0 (0x100 with BQUIC_H3), which their peers are told. Connections that the program has stay its own,
// to be freed; others are gone.
BQUIC_API int32_t bquic_socket_free(bquic_socket *socket);

// bquic_accept waits, at most timeout ns, for a client whose handshake is complete, or that has sent 0-RTT data which is accepted (BQUIC_EARLY_DATA). The connection is the caller's, who frees
// it by bquic_conn_free. At most 1024 wait to be accepted; others are refused. NULL: bquic_error, and *status if
// status is not NULL: BQUIC_ERR_TIMEOUT, BQUIC_ERR_HANDLE, or BQUIC_ERR_STATE if the socket has a queue or only dials.
BQUIC_API bquic_conn *bquic_accept(bquic_socket *socket, uint64_t timeout, int32_t *status);

// Flags of bquic_dial_options.
enum {
  BQUIC_DIAL_EARLY = 1,   // return as soon as 0-RTT data can be sent: what is said at BQUIC_CONNECT_EARLY holds
  BQUIC_DIAL_RESEND = 2,  // as BQUIC_CONNECT_RESEND
  BQUIC_DIAL_FOLLOW = 4   // move to another network of the machine when the one in use is gone
};

// bquic_dial_options says how to dial. What is 0 or NULL is the default.
typedef struct bquic_dial_options {
  uint32_t size;            // sizeof(bquic_dial_options)
  uint32_t flags;           // BQUIC_DIAL_*
  const char *server_name;  // for SNI and the certificate, if it is not the one in the address
  bquic_bytes session;      // of BQUIC_EVENT_SESSION of an earlier connection to that server
  uint64_t user_data;       // as bquic_conn_set_user_data
  bquic_queue *queue;       // where the connection's events go
  bquic_socket *socket;     // that it runs over. NULL: one of its own, with half a megabyte of buffers: for few connections
} bquic_dial_options;

// bquic_dial connects to address, "NAME:PORT" or "IP:PORT", with the settings config, and returns when the handshake is complete and the server is who it should be. Of a
// name's addresses it takes the first that answers. With timeout 0 it returns at once, and BQUIC_EVENT_HANDSHAKE_COMPLETE or BQUIC_EVENT_CLOSED, or bquic_conn_wait,
// tell what becomes of it; until then functions of the connection return BQUIC_ERR_STATE, but those that wait, bquic_conn_error, bquic_conn_set_user_data and
// bquic_conn_free, and BQUIC_ERR_CLOSED where it has come to nothing. The connection is the caller's, who frees it by bquic_conn_free, if BQUIC_EVENT_DRAINED has
// not. options may be NULL. NULL: bquic_error, and *status if status is not NULL:
// BQUIC_ERR_CLOSED: the handshake failed; BQUIC_ERR_TIMEOUT, BQUIC_ERR_NETWORK, BQUIC_ERR_ARGUMENT, BQUIC_ERR_CONFIG.
BQUIC_API bquic_conn *bquic_dial(bquic_config *config, const char *address, const bquic_dial_options *options, uint64_t timeout, int32_t *status);

// What bquic_conn_wait waits for.
enum {
  BQUIC_WAIT_HANDSHAKE = 1,      // the handshake is complete, or was when the connection ended
  BQUIC_WAIT_CONFIRMED = 2,      // and the peer knows it
  BQUIC_WAIT_STREAMS = 3,        // a bidirectional stream, or a request, can be opened
  BQUIC_WAIT_STREAMS_UNI = 4,    // a unidirectional one
  BQUIC_WAIT_DELIVERED = 5,      // all that was written on streams that were ended by BQUIC_FIN has arrived, or never will since it was reset. Before that,
                                 // bquic_conn_close and bquic_conn_free lose it
  BQUIC_WAIT_DATAGRAM = 6,       // bquic_datagram_recv_many has something
  BQUIC_WAIT_DATAGRAM_ROOM = 7,  // the queue of bquic_datagram_send is not full
  BQUIC_WAIT_CLOSED = 8          // the connection is over
};

// bquic_conn_wait waits until what, one of BQUIC_WAIT_*, is so, at most timeout ns, and returns BQUIC_OK. BQUIC_ERR_TIMEOUT; BQUIC_ERR_CLOSED: the connection is over, and it will never be.
BQUIC_API int32_t bquic_conn_wait(bquic_conn *conn, uint32_t what, uint64_t timeout);

// bquic_stream_accept waits for the next stream that the peer opens, bidirectional, or unidirectional if uni is not 0, at most timeout ns, and returns its ID. Events tell of the
// same streams. BQUIC_ERR_TIMEOUT, BQUIC_ERR_CLOSED; BQUIC_ERR_STATE with BQUIC_H3.
BQUIC_API int64_t bquic_stream_accept(bquic_conn *conn, int uni, uint64_t timeout);

// bquic_stream_read is bquic_stream_recv, of stream into buf, that waits until there is something, at most timeout ns: 0 is returned with BQUIC_FIN in *flags alone, or if len is 0. BQUIC_ERR_TIMEOUT, and
// the errors of bquic_stream_recv, with code as there. With BQUIC_H3 it reads the body of a message, of which BQUIC_EVENT_REQUEST or BQUIC_EVENT_RESPONSE
// has told without BQUIC_FIN: with it there is none. A stream of the peer's can be read when it has come: see bquic_stream_accept.
BQUIC_API int64_t bquic_stream_read(bquic_conn *conn, uint64_t stream, void *buf, size_t len, uint32_t *flags, uint64_t *code, uint64_t timeout);

// bquic_stream_write is bquic_stream_send, of data with flags, that waits until all is taken, at most timeout ns. It returns how much was taken: less than len only when the time is over, and then the
// stream has not ended; BQUIC_ERR_TIMEOUT if nothing was. That it is taken does not mean that it has arrived: BQUIC_WAIT_DELIVERED does.
BQUIC_API int64_t bquic_stream_write(bquic_conn *conn, uint64_t stream, const void *data, size_t len, uint32_t flags, uint64_t timeout);

// Without a connection: for programs that look at datagrams before an endpoint does, such as balancers. Nothing is kept, and any thread may call
// these at any time.

// Types of packets (RFC 9000, section 17).
enum {
  BQUIC_PACKET_INITIAL = 1,
  BQUIC_PACKET_ZERO_RTT = 2,
  BQUIC_PACKET_HANDSHAKE = 3,
  BQUIC_PACKET_RETRY = 4,
  BQUIC_PACKET_ONE_RTT = 5,  // it has a short header
  BQUIC_PACKET_VERSION_NEGOTIATION = 6,
  BQUIC_PACKET_OTHER = 7     // it has a long header of a version that is not known here
};

// bquic_header is what anybody can read of a packet. The memory is the packet's.
typedef struct bquic_header {
  uint32_t size;            // sizeof(bquic_header)
  uint32_t type;            // BQUIC_PACKET_*
  uint32_t version;         // 0: a short header, or Version Negotiation
  uint32_t len;             // bytes of the packet: where the next one of the datagram begins
  bquic_bytes destination;  // connection ID that its receiver has chosen
  bquic_bytes source;       // connection ID that its sender has chosen; none with a short header
  bquic_bytes token;        // of an Initial packet, or of Retry
} bquic_header;

// bquic_header_parse fills in *header from the packet that a datagram, or what is left of it, of len bytes begins with. short_len is how many bytes
// our own connection IDs have, 0 to 20, which a short header does not tell. BQUIC_ERR_MESSAGE: it is no packet of QUIC's.
BQUIC_API int32_t bquic_header_parse(const void *packet, size_t len, uint32_t short_len, bquic_header *header);

// bquic_write_version_negotiation writes an answer to a packet of a version that is not spoken, into out of cap bytes, and returns its length.
// destination and source are those of the packet that is answered. versions are n; 0: those that the library speaks. BQUIC_ERR_FULL: cap is too
// small, and nothing was written; 600 bytes suffice for 20 versions.
BQUIC_API int64_t bquic_write_version_negotiation(void *out, size_t cap, bquic_bytes destination, bquic_bytes source, const uint32_t *versions,
                                                  uint32_t n);

// bquic_write_retry writes a Retry packet, which has a client prove its address, into out of cap bytes, and returns its length. destination and source
// are those of the Initial packet that is answered, and version is its version; id is what the client will send to, and token, 1 to 900 bytes,
// what it will bring: nobody but the caller knows whether it is good. BQUIC_ERR_FULL: cap is too small; 1100 bytes suffice.
BQUIC_API int64_t bquic_write_retry(void *out, size_t cap, uint32_t version, bquic_bytes destination, bquic_bytes source, bquic_bytes id,
                                    bquic_bytes token);

// quiche.h.

// bquic_compat_supported tells whether a function of quiche.h does here what it does there, by its name: 1; 0 if it has no effect or always answers the same;
// BQUIC_ERR_ARGUMENT if there is none of that name.
BQUIC_API int32_t bquic_compat_supported(const char *name);

#ifdef __cplusplus
}
#endif

#endif
