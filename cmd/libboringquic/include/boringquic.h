// boringquic.h: QUIC (RFC 9000, RFC 9369) and HTTP/3 (RFC 9114) over BoringSSL.
//
// What holds for all functions:
//
//   Status     A function returns 0 (BQUIC_OK), or a number of what it did, above 0; or a BQUIC_ERR_*, below 0: then bquic_error says in one
//              sentence what was wrong. Nothing that is passed in can crash the library but memory that is not the caller's.
//   Handles    A bquic_* whose type is incomplete is a handle: a number in the guise of a pointer, which nothing follows. One that was
//              freed, or that is of another kind, is BQUIC_ERR_HANDLE. NULL is none.
//   Threads    An object is used by one thread at a time, whichever. A call while another is within the object returns
//              BQUIC_ERR_BUSY, and does nothing; so does a call from a callback. Objects are independent of each other.
//              What takes no object may be called by any thread at any time.
//   Memory     What a function is given it has read, or copied, when it returns. What it lends says how long it lasts.
//   Time       uint64_t, in nanoseconds of CLOCK_MONOTONIC. As an argument, 0 stands for now. Lengths of time are in nanoseconds, too.
//   Lengths    in bytes, if nothing else is said; none is above 2^31-1.
//   Stack      A thread that calls the library should have 256 KiB of it.
//   Fork       A child that has not called exec gets BQUIC_ERR_FORKED from each function.
#ifndef BORINGQUIC_H
#define BORINGQUIC_H

#include <stddef.h>
#include <stdint.h>

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
  BQUIC_OK = 0,
  BQUIC_ERR_ARGUMENT = -1,      // NULL where a pointer must be, a number out of its range
  BQUIC_ERR_HANDLE = -2,        // the object was freed, or is of another kind, or was never made
  BQUIC_ERR_BUSY = -3,          // another call is within the object, or it is called from a callback
  BQUIC_ERR_STATE = -4,         // not now: the sentence says what must be first
  BQUIC_ERR_FORKED = -5,        // this process was forked from one that had loaded the library
  BQUIC_ERR_BORINGSSL = -6,     // there is another BoringSSL, or an OpenSSL, in the way
  BQUIC_ERR_MEMORY = -7,        // there is no memory
  BQUIC_ERR_INTERNAL = -8,      // a fault of the library: the object can only be freed; of a connection the peer is told INTERNAL_ERROR
  BQUIC_ERR_CONFIG = -9,        // the config lacks something, or contradicts itself
  BQUIC_ERR_FILE = -10,         // a file cannot be read or written
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
  BQUIC_ERR_PATH = -22          // no other path can be used now
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
  int32_t gc_percent;     // how much the library's memory may grow, in percent, before it is cleaned up; 0: 100; below 0: only memory_limit counts
  uint64_t memory_limit;  // bytes that the library tries to keep below, its code and BoringSSL's memory not counted; 0: none
} bquic_options;

// bquic_init sets options, and says what keeps the library from working in this process: BQUIC_ERR_BORINGSSL if the functions of
// BoringSSL that the program calls are not those that the library does, since two of them number their data alike and know nothing of each
// other's objects; BQUIC_ERR_FORKED. Who does not call it has the defaults, and is told the same by each other function. options may be NULL.
BQUIC_API int32_t bquic_init(const bquic_options *options);

// bquic_now returns the time: CLOCK_MONOTONIC in nanoseconds.
BQUIC_API uint64_t bquic_now(void);

// bquic_fix_signals adds SA_ONSTACK to every signal handler of the process that lacks it, and returns how many it has changed. A handler
// without SA_ONSTACK that is set after the library was loaded runs, now and then, on a stack of the library's that has no room for it, and
// the process ends. Call it after signal handlers were set.
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

#ifdef __cplusplus
}
#endif

#endif
