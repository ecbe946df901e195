// A program that has TLS objects of its own, for tests.
#ifndef BORINGQUIC_SSLTEST_H
#define BORINGQUIC_SSLTEST_H

#include <stddef.h>
#include <stdint.h>

// What can be made to say "later", by st_pend.
enum { ST_CERT, ST_SELECT, ST_KEY, ST_VERIFY, ST_TICKET, ST_NUM };

// How the peer's certificate is judged.
enum { ST_VERIFY_NONE, ST_VERIFY_STORE, ST_VERIFY_CUSTOM };

typedef struct {
  int server, x509, verify, require_cert, key_method, early_data, p384_only, verify_fails;
  const uint8_t *cert, *key, *root;
  size_t cert_len, key_len, root_len;
} st_options;

typedef struct st_program st_program;

st_program *st_new(const st_options *o);  // NULL: something is wrong
void st_free(st_program *p);
// st_ssl makes an SSL, with a server name and protocols in the wire's form, if they are not empty.
uintptr_t st_ssl(st_program *p, const char *name, const uint8_t *alpn, size_t alpn_len);
void st_pend(st_program *p, int what, int rounds);
void st_call(st_program *p, uintptr_t handle);  // has ssltestCall called by ST_VERIFY
int st_calls(const st_program *p, int what);  // how often it was asked
int st_key_log_lines(const st_program *p);
int st_resume(st_program *p, uintptr_t ssl);  // sets the last session that was told; 0: there is none
int st_freed(const st_program *p);            // how many SSLs were freed
int st_app_data(uintptr_t ssl);               // whether slot 0 and the program's own slot still hold what it put there
long st_verify_result(uintptr_t ssl);
int st_alpn(uintptr_t ssl, uint8_t *out);
int st_touched(uintptr_t ssl);  // 1: one of the settings that are the program's was changed
uint32_t st_error(void);        // the first error of the thread's queue, as library << 16 | reason, which stays there
void st_clear_errors(void);
void st_free_ssl(uintptr_t ssl);
uintptr_t st_dtls_ssl(void);  // one that QUIC cannot use

#endif
