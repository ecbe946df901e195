// What the C files of libboringquic share, and what its Go files are told of C.
#ifndef BORINGQUIC_CAPI_INTERNAL_H
#define BORINGQUIC_CAPI_INTERNAL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "boringquic.h"

// bq_gate is BQUIC_OK if functions may go on to Go. Else it is what they have to return, or 1: then bq_enter_first finds out.
extern atomic_int bq_gate;

int32_t bq_enter_first(void);

// bq_enter is asked by each function before it calls Go. What it returns, if not BQUIC_OK, is to be returned.
static inline int32_t bq_enter(void) {
  int32_t status = atomic_load_explicit(&bq_gate, memory_order_relaxed);
  return __builtin_expect(status == BQUIC_OK, 1) ? BQUIC_OK : bq_enter_first();
}

// BQ_GO returns what the Go function call returns, if Go may be called.
#define BQ_GO(call)                      \
  do {                                   \
    int32_t status_ = bq_enter();        \
    return status_ ? status_ : (call);   \
  } while (0)

// bq_fail has bquic_error return what the format says, and returns status.
int32_t bq_fail(int32_t status, const char *format, ...) __attribute__((format(printf, 2, 3)));

// bq_set_error has bquic_error return a text of n bytes on this thread, or as much of it as there is room for.
void bq_set_error(const char *text, size_t n);

// The sizes that structs which begin with their size had in the first version of the header: those of programs of then. They never change, and no struct
// becomes smaller. What is added to one stands behind what it had, and 0 means there what the library did before.
enum {
  BQ_LEAST_bquic_options = 16, BQ_LEAST_bquic_memory = 32, BQ_LEAST_bquic_step = 88, BQ_LEAST_bquic_connect = 104, BQ_LEAST_bquic_endpoint_info = 64,
  BQ_LEAST_bquic_conn_state = 616, BQ_LEAST_bquic_conn_end = 536, BQ_LEAST_bquic_conn_figures = 168, BQ_LEAST_bquic_h3_peer = 40,
  BQ_LEAST_bquic_header = 64, BQ_LEAST_bquic_listen_options = 16, BQ_LEAST_bquic_dial_options = 56
};

static inline uint32_t bq_size(const void *given) {
  uint32_t size;
  memcpy(&size, given, sizeof size);
  return size;
}

// bq_sized looks at a struct that begins with its size: BQUIC_ERR_ARGUMENT if it is NULL, or smaller than least. what is its type.
int32_t bq_sized(const void *given, uint32_t least, const char *what);

// bq_take makes the library's own struct of a program's. Fields that an older program does not have are 0; what a newer one has, and the library does
// not know, must be 0, or it is BQUIC_ERR_UNSUPPORTED. The program's size is kept.
int32_t bq_take(void *own, uint32_t own_size, const void *given, uint32_t least, const char *what);

// bq_give fills in a program's struct, but for its size, as far as it goes, from the library's own; what that does not have becomes 0.
void bq_give(void *given, const void *own, uint32_t own_size);

// What a function of the header returns from if an argument is no good: a pointer that may not be NULL, a struct that begins with its size, of which own is
// the library's, memory of so many bytes, an array of so many elements.
#define BQ_WANT(pointer)                                                  \
  do {                                                                    \
    if ((pointer) == NULL) {                                              \
      return bq_fail(BQUIC_ERR_ARGUMENT, "%s is NULL", #pointer);         \
    }                                                                     \
  } while (0)
#define BQ_TAKE(type, own, given)                                                                \
  type own;                                                                                      \
  do {                                                                                           \
    _Static_assert(sizeof(type) >= BQ_LEAST_##type, "a struct has become smaller");              \
    int32_t taken_ = bq_take(&own, sizeof own, (given), BQ_LEAST_##type, #type);                 \
    if (taken_) {                                                                                \
      return taken_;                                                                             \
    }                                                                                            \
  } while (0)

// BQ_FILL returns what the Go function call returns, which fills in own, of which a program's struct is filled in if it is BQUIC_OK.
#define BQ_FILL(type, own, given, call)                                                          \
  do {                                                                                           \
    _Static_assert(sizeof(type) >= BQ_LEAST_##type, "a struct has become smaller");              \
    int32_t status_ = bq_sized((given), BQ_LEAST_##type, #type);                                 \
    type own;                                                                                    \
    if (status_ == BQUIC_OK) {                                                                   \
      status_ = bq_enter();                                                                      \
    }                                                                                            \
    if (status_ == BQUIC_OK) {                                                                   \
      status_ = (call);                                                                          \
    }                                                                                            \
    if (status_ == BQUIC_OK) {                                                                   \
      bq_give((given), &own, sizeof own);                                                        \
    }                                                                                            \
    return status_;                                                                              \
  } while (0)
#define BQ_BYTES(pointer, length)                                         \
  do {                                                                    \
    if (bq_memory((pointer), (length), #pointer, #length)) {              \
      return BQUIC_ERR_ARGUMENT;                                          \
    }                                                                     \
  } while (0)
#define BQ_LIST(pointer, count) BQ_BYTES(pointer, count)

// BQ_HANDLE is the number that a handle is (see table.go).
#define BQ_HANDLE(object) ((uint64_t)(uintptr_t)(object))

// BQ_COUNT returns what the Go function call returns if that is an error, and else the value.
#define BQ_COUNT(call, value)                          \
  do {                                                 \
    int32_t status_ = bq_enter();                      \
    if (status_ == BQUIC_OK) {                         \
      status_ = (call);                                \
    }                                                  \
    return status_ ? status_ : (value);                \
  } while (0)

// BQ_MADE turns the status of a Go function that makes an object, which sets made_, into that object.
#define BQ_MADE(type, call, status)                \
  do {                                             \
    uint64_t made_ = 0;                            \
    int32_t got_ = bq_enter();                     \
    if (got_ == BQUIC_OK) {                        \
      got_ = (call);                               \
    }                                              \
    if ((status) != NULL) {                        \
      *(status) = got_;                            \
    }                                              \
    return got_ ? NULL : (type *)(uintptr_t)made_; \
  } while (0)

// bq_memory looks at memory and its length, which is at most 2^31-1: BQUIC_ERR_ARGUMENT if they are no good.
int32_t bq_memory(const void *pointer, size_t length, const char *pointer_name, const char *length_name);

// bq_received returns what bquic_stream_recv and bquic_stream_read do once op was done, or not, as status says.
int64_t bq_received(const bquic_op *op, int32_t status, uint32_t *flags, uint64_t *code);

// The calls of bq_go_conn_path.
enum { BQ_PATH_PROBE, BQ_PATH_MIGRATE, BQ_PATH_ABANDON, BQ_PATH_TOO_LARGE };

// bq_call_verify calls the program's callback.
int32_t bq_call_verify(bquic_verify callback, uintptr_t context, const bquic_peer *peer);

// bq_call_make_ssl calls the program's callback; 0: there is no SSL, or none that can be taken.
uintptr_t bq_call_make_ssl(bquic_make_ssl callback, uintptr_t context, const bquic_addr *remote);

// bq_free_ssl frees an SSL that no connection has taken.
void bq_free_ssl(struct ssl_st *ssl);

// bq_log_error has the program's callback be told what bquic_error says of a function.
void bq_log_error(const char *function);

// bq_log has the program's callback be told a text that is ended by a zero.
void bq_log(char *text);

// bq_takes_ssl tells whether a connection can be made over an SSL, and the library may free it if that fails: BQUIC_OK; or, with a sentence,
// BQUIC_ERR_BORINGSSL if it was made by another BoringSSL than the library calls, BQUIC_ERR_STATE if it belongs to a connection.
int32_t bq_takes_ssl(const void *ssl);

#endif
