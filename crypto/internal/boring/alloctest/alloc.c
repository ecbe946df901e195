#include "alloc.h"

#include <stddef.h>
#include <stdlib.h>

// BoringSSL allocates through these three functions if the program has them; its references to them are weak.
void *OPENSSL_memory_alloc(size_t size);
void OPENSSL_memory_free(void *p);
size_t OPENSSL_memory_get_size(void *p);

// The size stands before what is handed out, which stays aligned.
typedef union {
  size_t size;
  max_align_t align;
} header;

static int64_t live, peak, count, fail_at, fail_until;

int64_t bq_alloc_live(void) { return __atomic_load_n(&live, __ATOMIC_SEQ_CST); }

int64_t bq_alloc_peak(void) {
  const int64_t was = __atomic_load_n(&peak, __ATOMIC_SEQ_CST);
  __atomic_store_n(&peak, bq_alloc_live(), __ATOMIC_SEQ_CST);
  return was;
}

int64_t bq_alloc_count(void) { return __atomic_load_n(&count, __ATOMIC_SEQ_CST); }

void bq_alloc_fail(int64_t n, int more) {
  const int64_t now = bq_alloc_count();
  __atomic_store_n(&fail_until, more ? INT64_MAX : now + n, __ATOMIC_SEQ_CST);
  __atomic_store_n(&fail_at, n == 0 ? 0 : now + n, __ATOMIC_SEQ_CST);
}

void *OPENSSL_memory_alloc(size_t size) {
  const int64_t number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
  const int64_t from = __atomic_load_n(&fail_at, __ATOMIC_SEQ_CST);
  if (from != 0 && number >= from && number <= __atomic_load_n(&fail_until, __ATOMIC_SEQ_CST)) return NULL;
  header *h = malloc(sizeof *h + size);
  if (h == NULL) return NULL;
  h->size = size;
  const int64_t now = __atomic_add_fetch(&live, (int64_t)size, __ATOMIC_SEQ_CST);
  int64_t most = __atomic_load_n(&peak, __ATOMIC_SEQ_CST);
  while (now > most && !__atomic_compare_exchange_n(&peak, &most, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
  }
  return h + 1;
}

void OPENSSL_memory_free(void *p) {
  if (p == NULL) return;
  header *h = (header *)p - 1;
  __atomic_sub_fetch(&live, (int64_t)h->size, __ATOMIC_SEQ_CST);
  free(h);
}

size_t OPENSSL_memory_get_size(void *p) { return p == NULL ? 0 : ((header *)p - 1)->size; }
