// What the files of quiche.h share, C and Go.
#ifndef BORINGQUIC_CAPI_QUICHE_INTERNAL_H
#define BORINGQUIC_CAPI_QUICHE_INTERNAL_H

#include <stdlib.h>

#include "internal.h"
#include "quiche.h"

// bq_may tells whether Go may be called for an object. Else it notes why not: there is none, or no call may be made at all.
static inline bool bq_may(const void *object, const char *what) {
  if (object == NULL) {
    bq_fail(BQUIC_ERR_ARGUMENT, "%s is NULL", what);
    return false;
  }
  return bq_enter() == BQUIC_OK;
}
#define BQ_MAY(object) bq_may((object), #object)

// bq_null notes that an argument is NULL.
static inline int bq_null(const char *what) {
  bq_fail(BQUIC_ERR_ARGUMENT, "%s is NULL", what);
  return QUICHE_ERR_INVALID_STATE;
}

// BQ_CALL_OR returns what a call of Go returns, or refused where an argument is NULL, which good tells, or no call may be made; BQ_CALL and BQ_H3_CALL
// are that for most functions.
#define BQ_CALL_OR(refused, good, call)                                   \
  do {                                                                    \
    if (!(good)) {                                                        \
      bq_fail(BQUIC_ERR_ARGUMENT, "an argument of %s is NULL", __func__); \
      return refused;                                                     \
    }                                                                     \
    return bq_enter() ? refused : (call);                                 \
  } while (0)
#define BQ_CALL(good, call) BQ_CALL_OR(QUICHE_ERR_INVALID_STATE, good, call)
#define BQ_H3_CALL(good, call) BQ_CALL_OR(QUICHE_H3_TRANSPORT_ERR_INVALID_STATE, good, call)

_Static_assert(sizeof(quiche_stats) == 208, "as quiche 0.30.0 has it");
_Static_assert(sizeof(quiche_path_stats) == 448, "as quiche 0.30.0 has it");
_Static_assert(sizeof(quiche_send_info) == 288, "as quiche 0.30.0 has it");
_Static_assert(sizeof(quiche_recv_info) == 32, "as quiche 0.30.0 has it");
_Static_assert(sizeof(quiche_transport_params) == 104, "as quiche 0.30.0 has it");
_Static_assert(sizeof(quiche_h3_header) == 32, "as quiche 0.30.0 has it");
_Static_assert(sizeof(quiche_h3_priority) == 2, "as quiche 0.30.0 has it");
_Static_assert(sizeof(quiche_h3_stats) == 16, "as quiche 0.30.0 has it");

// BQ_HELD has a function of quiche.h return status, with a sentence, unless memory of the caller's is there and has at most 2^31-1 bytes, or elements.
#define BQ_HELD(status, pointer, length)                                  \
  do {                                                                    \
    if (bq_memory((pointer), (length), #pointer, #length)) {              \
      return (status);                                                    \
    }                                                                     \
  } while (0)

// A quiche_config and a quiche_h3_config are handles in the guise of pointers.

// bq_bytes are bytes that a connection has lent, or nothing.
typedef struct bq_bytes {
  uint8_t *data;
  size_t len;
} bq_bytes;

// What C was shown of streams, and what it has answered from that (quiche_ahead.go). It has somewhat less than 128 KiB, from where on the C library asks the
// system for memory each time.
enum { BQ_SHOWN = 96, BQ_SHOWN_EACH = 4096, BQ_SHOWN_BYTES = 56 << 10 };

typedef struct bq_shown {
  uint64_t id;
  uint32_t at, end;   // where in in[] the next of its bytes is, and where they end
  uint32_t taken;     // how many were read of which Go has not heard
  uint32_t room;      // bytes that may be written on it
  bool fin;           // the stream ends with its bytes
  bool over, ends;    // it was read to that end; Go has not heard of it
  bool writable;
} bq_shown;

typedef struct bq_written {
  uint64_t id;
  uint32_t len;
  bool fin;
} bq_written;

typedef struct bq_ahead {
  uint32_t shown, last;               // streams that are shown; the one that was looked for last
  uint32_t written, out_len;          // writes of which Go has not heard; their bytes
  uint64_t opens;                     // the stream that is opened by being written to; none if it cannot be
  uint32_t opens_room;                // bytes that may be written on it
  bq_shown streams[BQ_SHOWN];
  bq_written writes[BQ_SHOWN];
  uint8_t in[BQ_SHOWN_BYTES], out[BQ_SHOWN_BYTES];
} bq_ahead;

// A connection is a handle, and what its getters answer, which Go writes. What a call on streams has changed of it, and datagrams that wait, Go looks
// at when somebody asks: see bq_quiche_fresh.
struct quiche_conn {
  uint64_t handle;
  void *ssl;                 // the program's, or NULL; it lives as long as the connection
  uint64_t timeout;          // in ns of CLOCK_MONOTONIC; UINT64_MAX: never
  uint64_t due;              // the timeout of which quiche_conn_timeout_as_nanos has said that it is time
  uint64_t streams_left[2];  // bidirectional, unidirectional
  uint32_t max_payload, quantum;
  bool server, established, resumed, early, draining, closed, timed_out;
  bool begun;                // a datagram went in or out
  bool asked;                // quiche_conn_timeout_as_nanos was called since quiche_conn_send was
  bool busy;                 // Go is within it, and reads and writes the memory below: a callback may come to a function that has it as its own otherwise
  bool h3_news;              // quiche_h3_conn_poll may have something to tell
  bool h3_ends;              // what it tells next is that h3_ended is at its end, as quiche does right after a header section that was all of a message
  uint64_t h3_ended;
  bool stale;                // something has happened that Go has not told of here
  bool gathers;              // datagrams need not be looked at before the next call
  bool owed;                 // Go has not heard of all that was answered from ahead
  bq_ahead *ahead;           // or NULL

  // A train of datagrams that Go has written, of which those from train_at on were not handed out. train has BQ_TRAIN bytes, or is NULL.
  uint8_t *train;
  uint32_t train_at, train_end, train_seg;
  quiche_send_info train_info;
  size_t cap;                // bytes that a datagram has at most: whoever has less room gets no train

  // A train of datagrams that came and that Go has not seen, of one pair of addresses: that of the last datagram that it was given. in has BQ_TRAIN
  // bytes, or is NULL.
  uint8_t *in;
  uint32_t in_len, in_seg;
  struct sockaddr_storage in_from, in_to;
  socklen_t in_from_len, in_to_len;

  char trace[2 * QUICHE_MAX_CONN_ID_LEN];
  uint8_t source[QUICHE_MAX_CONN_ID_LEN], destination[QUICHE_MAX_CONN_ID_LEN];
  uint8_t trace_len, source_len, destination_len;
  bq_bytes alpn, name, cert, session, reason;

  uint8_t error_by;          // 0: no error to tell; 1: the peer's, 2: ours
  bool error_app;
  uint64_t error_code;
  uint8_t retired[QUICHE_MAX_CONN_ID_LEN];  // quiche_conn_retired_scid_next has lent it
};

enum { BQ_TRAIN = 1 << 16 };

// bq_spare returns memory that a connection works with: BQ_TRAIN bytes, or a bq_ahead; NULL if there is none.
enum { BQ_SPARE_TRAIN, BQ_SPARE_IN, BQ_SPARE_AHEAD, BQ_SPARES };
void *bq_spare(int kind);

// bq_quiche_fresh brings what C knows of a connection up to date, and returns it.
const quiche_conn *bq_quiche_fresh(const quiche_conn *conn);

// bq_ahead_recv and bq_ahead_send are quiche_conn_stream_recv and quiche_conn_stream_send, if they need not call Go: else false.
bool bq_ahead_recv(quiche_conn *conn, uint64_t id, uint8_t *out, size_t n, bool *fin, ssize_t *got);
bool bq_ahead_send(quiche_conn *conn, uint64_t id, const uint8_t *buf, size_t n, bool fin);

struct quiche_h3_conn {
  uint64_t handle;  // of its connection
};

// Iterators are one allocation each.
struct quiche_stream_iter {
  size_t at, count;
  uint64_t ids[];
};

struct quiche_connection_id_iter {
  size_t at, count;
  struct {
    uint8_t len, id[QUICHE_MAX_CONN_ID_LEN];
  } ids[];
};

struct quiche_socket_addr_iter {
  size_t at, count;
  struct {
    struct sockaddr_storage addr;
    socklen_t len;
  } addrs[];
};

struct quiche_path_event {
  enum quiche_path_event_type type;
  struct sockaddr_storage local, peer;
  socklen_t local_len, peer_len;
  size_t pmtu;
  struct sockaddr_storage old_local, old_peer;  // of a connection ID that is reused
  socklen_t old_local_len, old_peer_len;
  uint64_t seq;  // its number
};

// The fields' names and values lie behind them, in the same allocation.
struct quiche_h3_event {
  enum quiche_h3_event_type type;
  bool more;
  size_t count;
  quiche_h3_header fields[];
};

// The numbers of what a quiche_config is told: of quiche_config_set_*, and enable_*.
enum bq_quiche_key {
  BQ_VERIFY_PEER, BQ_GREASE, BQ_DISCOVER_PMTU, BQ_LOG_KEYS, BQ_EARLY_DATA, BQ_MAX_IDLE_TIMEOUT, BQ_MAX_SEND, BQ_MAX_DATA,
  BQ_MAX_STREAM_DATA_BIDI_LOCAL, BQ_MAX_STREAM_DATA_BIDI_REMOTE, BQ_MAX_STREAM_DATA_UNI, BQ_MAX_STREAMS_BIDI, BQ_MAX_STREAMS_UNI,
  BQ_MAX_ACK_DELAY, BQ_NO_MIGRATION, BQ_CC, BQ_MAX_CONNECTION_WINDOW, BQ_MAX_STREAM_WINDOW, BQ_DGRAM, BQ_DGRAM_RECV_QUEUE, BQ_DGRAM_SEND_QUEUE,
  BQ_MAX_RECV, BQ_AMPLIFICATION, BQ_ACK_DELAY_EXPONENT, BQ_WINDOW_PACKETS, BQ_HYSTART, BQ_PACING, BQ_PACING_RATE, BQ_CONN_IDS, BQ_NO_ID_REUSE,
  BQ_QUICHE_KEYS
};

// And of those that are bytes or text.
enum bq_quiche_text {
  BQ_CERT_FILE, BQ_KEY_FILE, BQ_ROOTS_FILE, BQ_ROOTS_FOLDER, BQ_CURVES, BQ_PROTOS, BQ_CC_NAME, BQ_RESET_TOKEN, BQ_TICKET_KEY
};

enum bq_quiche_h3_key { BQ_H3_FIELD_SECTION, BQ_H3_TABLE, BQ_H3_BLOCKED, BQ_H3_CONNECT, BQ_H3_PRIORITY_UPDATE };

// What is asked of datagrams, and of connection IDs.
enum bq_quiche_dgram {
  BQ_DGRAM_WRITABLE_LEN, BQ_DGRAM_FRONT_LEN, BQ_DGRAM_RECV_LEN, BQ_DGRAM_RECV_BYTES, BQ_DGRAM_SEND_LEN, BQ_DGRAM_SEND_BYTES, BQ_DGRAM_RECV_FULL,
  BQ_DGRAM_SEND_FULL
};
enum bq_quiche_ids { BQ_IDS_RETIRED, BQ_IDS_SPARE, BQ_IDS_LEFT, BQ_IDS_ACTIVE };

// bq_quiche_log calls the callback of quiche_enable_debug_logging, if there is one.
extern atomic_bool bq_logging;
void bq_quiche_log(const char *line);
static inline bool bq_is_logging(void) { return atomic_load_explicit(&bq_logging, memory_order_acquire); }

// Of SSLs of the program's: to free one, and quiche_conn_set_session for one.
void bq_quiche_free_ssl(void *ssl);
int bq_quiche_set_session(quiche_conn *conn, const uint8_t *buf, size_t n);

// bq_quiche_free_conn frees the memory of a connection that Go has let go; bq_quiche_bury_conn does so when the call that is under way on this thread, and
// may look at it once more, is surely over: when it is asked again.
void bq_quiche_free_conn(quiche_conn *conn);
void bq_quiche_bury_conn(quiche_conn *conn);

// bq_call_purge calls the function of quiche_conn_dgram_purge_outgoing, given as a number since a Go function cannot take it otherwise.
bool bq_call_purge(uintptr_t f, uint8_t *data, size_t n);

#endif
