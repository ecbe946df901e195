// Faults of a program's own, one a run, which the checkers of memory and threads have to find: else they would find none of the library's either.
#include "check.h"
#include "../../../crypto/internal/boring/compat.h"
#include <openssl/ssl.h>
#include <pthread.h>
#include <unistd.h>

// The library is told of more room than there is: its code in Go writes beyond it.
static void overflow(void) {
  uint8_t *out = malloc(20);
  uint32_t version = 1;
  bquic_bytes id = {(const uint8_t *)"12345678", 8};
  CHECK(bquic_write_version_negotiation(out, 100, id, id, &version, 1) > 20);
  free(out);
}

// What was freed is read by the library.
static void freed(void) {
  char *volatile id = strdup("12345678"); // volatile: compilers know this fault, too
  free((char *)id);
  uint8_t out[100];
  uint32_t version = 1;
  bquic_bytes at = {(const uint8_t *)(char *)id, 8};
  CHECK(bquic_write_version_negotiation(out, sizeof out, at, at, &version, 1) > 20);
}

// An object of BoringSSL's is forgotten.
static void leak(void) {
  static SSL_CTX *volatile ctx;
  ctx = SSL_CTX_new(TLS_method());
  CHECK(ctx != NULL);
  ctx = NULL;
}

// A value that C has not set decides, in a part of a function, as compilers call them.
__attribute__((noinline)) static void unset(void) __asm__("unset.part.0");
static void unset(void) {
  volatile char *volatile value = malloc(16);
  if (value[7] == 'x') {
    puts("x");
  }
  free((char *)value);
}

// A value that C has not set leaves by a system call.
static void told(void) {
  char *volatile value = malloc(16);
  int fds[2];
  CHECK(pipe(fds) == 0 && write(fds[1], value, 16) == 16);
  free(value);
}

static int shared;
static void *adds(void *unused) {
  for (int i = 0; i < 1000; i++) {
    shared++;
  }
  return unused;
}

// Two threads write at once.
static void race(void) {
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) {
    CHECK(pthread_create(&threads[i], NULL, adds, NULL) == 0);
  }
  for (int i = 0; i < 2; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*make)(void);
  } faults[] = {{"overflow", overflow}, {"freed", freed}, {"leak", leak}, {"unset", unset}, {"told", told}, {"race", race}};
  GOOD(bquic_init(NULL));
  for (size_t i = 0; argc == 2 && i < sizeof faults / sizeof *faults; i++) {
    if (strcmp(argv[1], faults[i].name) == 0) {
      faults[i].make();
    }
  }
  return 0;
}
