// What the test programs share: a fault is told on standard error, with its line, and ends the program.
#ifndef CHECK_H
#define CHECK_H

#include <boringquic.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                                     \
  do {                                                                  \
    if (!(what)) {                                                      \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
      exit(1);                                                          \
    }                                                                   \
  } while (0)

// GOOD wants a call to succeed; it has the value of what it returned.
static inline int64_t good(int64_t status, const char *what, const char *file, int line) {
  if (status < 0) {
    fprintf(stderr, "%s:%d: %s: %s: %s\n", file, line, what, bquic_status_name((int32_t)status), bquic_error());
    exit(1);
  }
  return status;
}
#define GOOD(call) good((call), #call, __FILE__, __LINE__)

// FAILS wants a call to fail with a status, and with a sentence that holds a text.
#define FAILS(call, want, text)                                                                                                        \
  do {                                                                                                                                 \
    int64_t got_ = (call);                                                                                                             \
    if (got_ != (want) || strstr(bquic_error(), (text)) == NULL) {                                                                     \
      fprintf(stderr, "%s:%d: %s: %" PRId64 " \"%s\", want %s \"%s\"\n", __FILE__, __LINE__, #call, got_, bquic_error(), #want, (text)); \
      exit(1);                                                                                                                         \
    }                                                                                                                                  \
  } while (0)

#endif
