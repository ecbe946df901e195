// Structs of programs that are older, and newer, than the library.
#include "check.h"

#include "../internal.h"

#include <stdarg.h>

static char error_text[256];

int32_t bq_fail(int32_t status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(error_text, sizeof error_text, format, args);
  va_end(args);
  return status;
}

atomic_int bq_gate;
int32_t bq_enter_first(void) { abort(); }
const char *bquic_error(void) { return error_text; }
const char *bquic_status_name(int32_t status) { return status ? "an error" : "BQUIC_OK"; }

typedef struct thing1 {
  uint32_t size, a;
} thing1;

typedef struct thing2 {
  uint32_t size, a;
  uint64_t b;
} thing2;

typedef struct thing3 {
  uint32_t size, a;
  uint64_t b;
  uint32_t c, d;
} thing3;

// The library has thing2, and its first version had thing1.
enum { BQ_LEAST_thing2 = sizeof(thing1) };

static int32_t take(const void *given, thing2 *got) {
  BQ_TAKE(thing2, own, given);
  *got = own;
  return BQUIC_OK;
}

static int32_t fill(thing2 *own) {
  *own = (thing2){.a = 5, .b = 6};
  return BQUIC_OK;
}

static int32_t give(void *given) { BQ_FILL(thing2, own, given, fill(&own)); }

static int32_t nothing(void *given) { BQ_FILL(thing2, own, given, BQUIC_ERR_STATE); }

int main(void) {
  thing2 got;
  thing1 older[2] = {{sizeof older[0], 1}, {7, 7}};
  GOOD(take(&older, &got));
  CHECK(got.a == 1 && got.b == 0);
  GOOD(give(&older));
  CHECK(older[0].size == sizeof older[0] && older[0].a == 5 && older[1].size == 7 && older[1].a == 7);

  thing2 same = {sizeof same, 1, 2};
  GOOD(take(&same, &got));
  CHECK(got.a == 1 && got.b == 2);
  GOOD(give(&same));
  CHECK(same.size == sizeof same && same.a == 5 && same.b == 6);

  thing3 newer = {.size = sizeof newer, .a = 1, .b = 2};
  GOOD(take(&newer, &got));
  CHECK(got.a == 1 && got.b == 2);
  newer.d = 1;
  FAILS(take(&newer, &got), BQUIC_ERR_UNSUPPORTED, "the thing2 has something at offset 20, where the library, which is older than its header, has no field");
  newer.c = 9;
  GOOD(give(&newer));
  CHECK(newer.size == sizeof newer && newer.a == 5 && newer.b == 6 && newer.c == 0 && newer.d == 0);
  newer.c = 9;
  FAILS(nothing(&newer), BQUIC_ERR_STATE, "");
  CHECK(newer.a == 5 && newer.c == 9);

  FAILS(take(NULL, &got), BQUIC_ERR_ARGUMENT, "the thing2 is NULL");
  older[0].size = 7;
  FAILS(take(&older, &got), BQUIC_ERR_ARGUMENT, "size of the thing2 is 7, and must be at least 8: set it to sizeof(thing2)");
  FAILS(give(&older), BQUIC_ERR_ARGUMENT, "size of the thing2 is 7");
  return 0;
}
