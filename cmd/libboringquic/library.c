// What concerns the library as a whole: its errors, what it finds in the process, signals, fork.
#define _GNU_SOURCE // dladdr
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../../crypto/internal/boring/compat.h"
#include "../../crypto/internal/boring/shim_tls.h"
#include <openssl/ssl.h>

#include "_cgo_export.h"
#include "internal.h"

atomic_int bq_gate = 1;

static _Thread_local char error_text[512];

const char *bquic_error(void) { return error_text; }

void bq_set_error(const char *text, size_t n) {
  if (n >= sizeof error_text) {
    n = sizeof error_text - 1;
  }
  if (n > 0) {
    memcpy(error_text, text, n);
  }
  error_text[n] = 0;
}

int32_t bq_fail(int32_t status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(error_text, sizeof error_text, format, args);
  va_end(args);
  return status;
}

int32_t bq_memory(const void *pointer, size_t length, const char *pointer_name, const char *length_name) {
  if (length > INT32_MAX) {
    return bq_fail(BQUIC_ERR_ARGUMENT, "%s is %zu, and can be at most 2^31-1", length_name, length);
  }
  return pointer == NULL && length > 0 ? bq_fail(BQUIC_ERR_ARGUMENT, "%s is NULL, and %s is %zu", pointer_name, length_name, length) : BQUIC_OK;
}

// Fork. The child has one thread, and none of Go's: the first call that needs another would wait for ever.

static void in_child(void) { atomic_store(&bq_gate, BQUIC_ERR_FORKED); }

__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, in_child); }

// BoringSSL.

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

// The name that a function of BoringSSL has for the linker.
#ifdef BORINGSSL_PREFIX
#define LINKED(name) TEXT(BORINGSSL_PREFIX) "_" name
#else
#define LINKED(name) name
#endif

// same_object tells whether two functions are of one object of the dynamic linker: the program, or a shared library. A program that was linked with
// -static is none, and has one function of each name.
static int same_object(void *a, void *b) {
  Dl_info in_a, in_b;
  int known = dladdr(a, &in_a) != 0;
  return known == (dladdr(b, &in_b) != 0) && (!known || in_a.dli_fbase == in_b.dli_fbase);
}

// exports tells whether the object that symbol is of lets others call it under name.
static int exports(void *symbol, const char *name) {
  Dl_info at;
  void *object = dladdr(symbol, &at) ? dlopen(at.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
  if (object == NULL) {
    return 0; // the program itself, as a rule
  }
  int found = dlsym(object, name) == symbol;
  dlclose(object);
  return found;
}

// own_boringssl looks for another BoringSSL where the program was meant to call ours: that of our shared library, or one that this was linked
// with. Programs that are linked with our archive bring BoringSSL themselves, and hide it or do not.
static int32_t own_boringssl(void) {
  // The scope of the program is asked, and not RTLD_DEFAULT: that is the scope of the caller, which, for -Bsymbolic, begins with our library.
  void *program = dlopen(NULL, RTLD_LAZY), *ours = (void *)SSL_CTX_new, *first = program ? dlsym(program, LINKED("SSL_CTX_new")) : NULL;
  if (program != NULL) {
    dlclose(program);
  }
  if (!same_object(ours, (void *)SSL_CREDENTIAL_new_x509)) { // which OpenSSL does not have
    return bq_fail(BQUIC_ERR_BORINGSSL, "the SSL_CTX_new that the library calls is not BoringSSL's: an OpenSSL that was loaded before stands in its way");
  }
  if (first != NULL && first != ours && exports(ours, LINKED("SSL_CTX_new"))) {
    Dl_info at = {0};
    dladdr(first, &at);
    return bq_fail(BQUIC_ERR_BORINGSSL, "there are two BoringSSLs in the process: the library calls its own, and the program's calls of " LINKED("SSL_CTX_new") " go to that in %s: "
                   "link the program with one of them", at.dli_fname ? at.dli_fname : "the program");
  }
  return BQUIC_OK;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int32_t refused;
static char refusal[sizeof error_text];

static void find_out(void) {
  refused = own_boringssl();
  if (refused != BQUIC_OK) {
    memcpy(refusal, error_text, sizeof refusal);
  }
}

int32_t bq_enter_first(void) {
  if (atomic_load(&bq_gate) == 1) {
    pthread_once(&once, find_out);
    int32_t begun = refused ? refused : bq_go_begin();
    if (begun == BQUIC_ERR_STATE) {
      return begun; // for now
    }
    int unknown = 1;
    atomic_compare_exchange_strong(&bq_gate, &unknown, begun);
  }
  int32_t status = atomic_load(&bq_gate);
  if (status == BQUIC_ERR_FORKED) {
    return bq_fail(status, "this process was forked from one that had loaded boringquic, and has not called exec: the library cannot work in it");
  }
  return status == BQUIC_OK ? BQUIC_OK : bq_fail(status, "%s", refusal);
}

// The ciphers of an SSL point into a table of the BoringSSL that made it, and so does what is found by a number in ours: the same address only
// if the two are one.
static int32_t same_boringssl(const void *given) {
  const STACK_OF(SSL_CIPHER) *ciphers = SSL_get_ciphers((const SSL *)given);
  if (ciphers == NULL || sk_SSL_CIPHER_num(ciphers) == 0) {
    return BQUIC_OK; // nothing tells
  }
  const SSL_CIPHER *theirs = sk_SSL_CIPHER_value(ciphers, 0);
  if (theirs != SSL_get_cipher_by_value(SSL_CIPHER_get_protocol_id(theirs))) {
    return bq_fail(BQUIC_ERR_BORINGSSL, "this SSL was made by another BoringSSL than the one that the library calls: link the program with one of them");
  }
  return BQUIC_OK;
}

int32_t bq_takes_ssl(const void *ssl) {
  int32_t status = same_boringssl(ssl);
  return status || bq_of_ssl(ssl) == NULL ? status : bq_fail(BQUIC_ERR_STATE, "this SSL belongs to another connection");
}

void bq_free_ssl(struct ssl_st *ssl) { SSL_free(ssl); }

// The functions of the header.

const char *bquic_version(void) { return "0.1.0"; }

uint32_t bquic_abi_version(void) { return BQUIC_ABI_VERSION; }

const char *bquic_status_name(int32_t status) {
  static const char *const names[] = {
      "BQUIC_OK",           "BQUIC_ERR_ARGUMENT",  "BQUIC_ERR_HANDLE", "BQUIC_ERR_BUSY",   "BQUIC_ERR_STATE",       "BQUIC_ERR_FORKED",
      "BQUIC_ERR_BORINGSSL", "BQUIC_ERR_MEMORY",   "BQUIC_ERR_INTERNAL", "BQUIC_ERR_CONFIG", "BQUIC_ERR_FILE",      "BQUIC_ERR_PEM",
      "BQUIC_ERR_CLOSED",   "BQUIC_ERR_STREAM",    "BQUIC_ERR_DIRECTION", "BQUIC_ERR_LIMIT", "BQUIC_ERR_RESET",     "BQUIC_ERR_ENDED",
      "BQUIC_ERR_UNSUPPORTED", "BQUIC_ERR_TOO_LARGE", "BQUIC_ERR_FULL", "BQUIC_ERR_MESSAGE", "BQUIC_ERR_PATH",
      "BQUIC_ERR_TIMEOUT",  "BQUIC_ERR_NETWORK",
  };
  int32_t count = sizeof names / sizeof *names;
  return status <= 0 && status > -count ? names[-status] : "BQUIC_ERR_?";
}

int32_t bquic_init(const bquic_options *options) {
  if (options == NULL) {
    return bq_enter();
  }
  BQ_TAKE(bquic_options, own, options);
  BQ_GO(bq_go_init(own.gc_percent, own.memory_limit));
}

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static bquic_log log_callback;
static void *log_context;

int32_t bquic_set_log(bquic_log callback, void *context) {
  int32_t status = bq_enter();
  if (status) {
    return status; // in a child nobody may ever unlock it
  }
  pthread_mutex_lock(&log_lock);
  log_callback = callback;
  log_context = context;
  pthread_mutex_unlock(&log_lock);
  return BQUIC_OK;
}

void bq_log(char *text) {
  pthread_mutex_lock(&log_lock);
  bquic_log callback = log_callback;
  void *context = log_context;
  pthread_mutex_unlock(&log_lock);
  if (callback != NULL) {
    callback(context, text);
  }
}

void bq_log_error(const char *function) {
  char text[sizeof error_text + 64];
  snprintf(text, sizeof text, "%s: %s", function, error_text);
  bq_log(text);
}

uint64_t bquic_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int32_t bquic_fix_signals(void) {
  int32_t changed = 0;
  for (int number = 1; number < NSIG; number++) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) != 0 || action.sa_flags & SA_ONSTACK) {
      continue;
    }
    if (!(action.sa_flags & SA_SIGINFO) && (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)) {
      continue;
    }
    action.sa_flags |= SA_ONSTACK;
    changed += sigaction(number, &action, NULL) == 0;
  }
  return changed;
}

int64_t bquic_live_objects(void) {
  int32_t status = bq_enter();
  return status ? status : bq_go_live_objects();
}

int32_t bquic_memory_stats(bquic_memory *memory) { BQ_FILL(bquic_memory, own, memory, bq_go_memory_stats(&own)); }
