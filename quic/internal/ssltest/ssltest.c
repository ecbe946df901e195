#include "../../../crypto/internal/boring/compat.h"

#include "ssltest.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

struct st_program {
  SSL_CTX *ctx;
  st_options o;
  EVP_PKEY *key;
  int pending[ST_NUM], calls[ST_NUM];
  int key_log_lines, freed;
  uintptr_t to_call;
  SSL_SESSION *session;
  uint8_t to_sign[4096];
  size_t to_sign_len;
  uint16_t sigalg;
};

static int own_index = -1;  // the program's slot of ex_data

static st_program *of(const SSL *ssl) { return SSL_get_ex_data(ssl, own_index); }

static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp) {
  if (ptr != NULL) ((st_program *)ptr)->freed++;
}

// later tells whether to say "later".
static int later(st_program *p, int what) {
  p->calls[what]++;
  if (p->pending[what] == 0) return 0;
  p->pending[what]--;
  return 1;
}

static int on_cert(SSL *ssl, void *arg) { return later(of(ssl), ST_CERT) ? -1 : 1; }

static enum ssl_select_cert_result_t on_select(const SSL_CLIENT_HELLO *hello) {
  return later(of(hello->ssl), ST_SELECT) ? ssl_select_cert_retry : ssl_select_cert_success;
}

extern void ssltestCall(uintptr_t handle);

static enum ssl_verify_result_t on_verify(SSL *ssl, uint8_t *out_alert) {
  st_program *p = of(ssl);
  if (p->to_call != 0) ssltestCall(p->to_call);
  if (later(p, ST_VERIFY)) return ssl_verify_retry;
  if (!p->o.verify_fails) return ssl_verify_ok;
  *out_alert = SSL_AD_CERTIFICATE_EXPIRED;
  return ssl_verify_invalid;
}

static enum ssl_private_key_result_t on_sign(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out, uint16_t sigalg, const uint8_t *in,
                                             size_t in_len) {
  st_program *p = of(ssl);
  if (in_len > sizeof p->to_sign) return ssl_private_key_failure;
  memcpy(p->to_sign, in, in_len);
  p->to_sign_len = in_len;
  p->sigalg = sigalg;
  return ssl_private_key_retry;
}

static enum ssl_private_key_result_t on_sign_complete(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out) {
  st_program *p = of(ssl);
  if (later(p, ST_KEY)) return ssl_private_key_retry;
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  *out_len = max_out;
  int ok = EVP_DigestSignInit(ctx, NULL, SSL_get_signature_algorithm_digest(p->sigalg), NULL, p->key) &&
           EVP_DigestSign(ctx, out, out_len, p->to_sign, p->to_sign_len);
  EVP_MD_CTX_free(ctx);
  return ok ? ssl_private_key_success : ssl_private_key_failure;
}

static const SSL_PRIVATE_KEY_METHOD key_method = {on_sign, NULL, on_sign_complete};

static int on_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in, unsigned in_len, void *arg) {
  static const uint8_t protos[] = "\x07" "program";
  uint8_t *selected;
  if (SSL_select_next_proto(&selected, out_len, protos, sizeof protos - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

static void on_key_log(const SSL *ssl, const char *line) { of(ssl)->key_log_lines++; }

static int on_session(SSL *ssl, SSL_SESSION *session) {
  st_program *p = of(ssl);
  SSL_SESSION_free(p->session);
  p->session = session;
  return 1;  // it is kept
}

// Tickets that are not encrypted, opened later.
static size_t ticket_overhead(SSL *ssl) { return 0; }

static int seal_ticket(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out, const uint8_t *in, size_t in_len) {
  if (in_len > max_out) return 0;
  memcpy(out, in, in_len);
  *out_len = in_len;
  return 1;
}

static enum ssl_ticket_aead_result_t open_ticket(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out, const uint8_t *in, size_t in_len) {
  if (later(of(ssl), ST_TICKET)) return ssl_ticket_aead_retry;
  if (in_len > max_out) return ssl_ticket_aead_error;
  memcpy(out, in, in_len);
  *out_len = in_len;
  return ssl_ticket_aead_success;
}

static const SSL_TICKET_AEAD_METHOD ticket_method = {ticket_overhead, seal_ticket, open_ticket};

static int use_cert(st_program *p) {
  const st_options *o = &p->o;
  if (o->cert_len == 0) return 1;
  CBS cbs;
  CBS_init(&cbs, o->key, o->key_len);
  p->key = EVP_parse_private_key(&cbs);
  if (p->key == NULL) return 0;
  if (o->x509) {
    if (!SSL_CTX_use_certificate_ASN1(p->ctx, o->cert_len, o->cert)) return 0;
    if (o->key_method) {
      SSL_CTX_set_private_key_method(p->ctx, &key_method);
      return 1;
    }
    return SSL_CTX_use_PrivateKey(p->ctx, p->key);
  }
  CRYPTO_BUFFER *cert = CRYPTO_BUFFER_new(o->cert, o->cert_len, NULL);
  int ok = SSL_CTX_set_chain_and_key(p->ctx, &cert, 1, o->key_method ? NULL : p->key, o->key_method ? &key_method : NULL);
  CRYPTO_BUFFER_free(cert);
  return ok;
}

static int set_verify(st_program *p) {
  const st_options *o = &p->o;
  int mode = SSL_VERIFY_PEER | (o->require_cert ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
  switch (o->verify) {
    case ST_VERIFY_NONE:  // a context without X509 objects cannot do without the callback
      if (!o->x509) SSL_CTX_set_custom_verify(p->ctx, SSL_VERIFY_NONE, on_verify);
      return 1;
    case ST_VERIFY_CUSTOM:
      SSL_CTX_set_custom_verify(p->ctx, mode, on_verify);
      return 1;
    case ST_VERIFY_STORE: {
      SSL_CTX_set_verify(p->ctx, mode, NULL);
      const uint8_t *in = o->root;
      X509 *root = o->root_len == 0 ? NULL : d2i_X509(NULL, &in, (long)o->root_len);
      int ok = root == NULL || X509_STORE_add_cert(SSL_CTX_get_cert_store(p->ctx), root);
      X509_free(root);
      return ok;
    }
  }
  return 1;
}

st_program *st_new(const st_options *o) {
  if (own_index < 0) own_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_free);
  st_program *p = calloc(1, sizeof *p);
  p->o = *o;
  p->ctx = SSL_CTX_new(o->x509 ? TLS_method() : TLS_with_buffers_method());
  static const uint16_t p384[] = {SSL_GROUP_SECP384R1};
  if (p->ctx == NULL || !use_cert(p) || !set_verify(p) || (o->p384_only && !SSL_CTX_set1_group_ids(p->ctx, p384, 1))) {
    st_free(p);
    return NULL;
  }
  p->o.cert = p->o.key = p->o.root = NULL;
  SSL_CTX_set_keylog_callback(p->ctx, on_key_log);
  SSL_CTX_set_cert_cb(p->ctx, on_cert, NULL);
  SSL_CTX_set_early_data_enabled(p->ctx, o->early_data);
  if (o->server) {
    static const uint8_t context[] = "program";
    SSL_CTX_set_session_id_context(p->ctx, context, sizeof context);
    SSL_CTX_set_select_certificate_cb(p->ctx, on_select);
    SSL_CTX_set_alpn_select_cb(p->ctx, on_alpn, NULL);
    SSL_CTX_set_ticket_aead_method(p->ctx, &ticket_method);
  } else {
    SSL_CTX_set_session_cache_mode(p->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(p->ctx, on_session);
  }
  return p;
}

void st_free(st_program *p) {
  SSL_CTX_free(p->ctx);
  EVP_PKEY_free(p->key);
  SSL_SESSION_free(p->session);
  free(p);
}

static char app_data;

uintptr_t st_ssl(st_program *p, const char *name, const uint8_t *alpn, size_t alpn_len) {
  SSL *ssl = SSL_new(p->ctx);
  SSL_set_app_data(ssl, &app_data);
  SSL_set_ex_data(ssl, own_index, p);
  // As a program does that speaks BoringSSL's interface for QUIC itself.
  if (p->o.early_data && p->o.server) SSL_set_quic_early_data_context(ssl, (const uint8_t *)"own", 3);
  if (name[0] != 0) SSL_set_tlsext_host_name(ssl, name);
  if (name[0] != 0 && p->o.verify == ST_VERIFY_STORE) SSL_set1_host(ssl, name);
  if (alpn_len > 0) SSL_set_alpn_protos(ssl, alpn, alpn_len);
  return (uintptr_t)ssl;
}

void st_pend(st_program *p, int what, int rounds) { p->pending[what] = rounds; }
void st_call(st_program *p, uintptr_t handle) { p->to_call = handle; }
int st_calls(const st_program *p, int what) { return p->calls[what]; }
int st_key_log_lines(const st_program *p) { return p->key_log_lines; }
int st_freed(const st_program *p) { return p->freed; }

int st_resume(st_program *p, uintptr_t ssl) { return p->session != NULL && SSL_set_session((SSL *)ssl, p->session); }

int st_app_data(uintptr_t ssl) {
  return SSL_get_app_data((SSL *)ssl) == &app_data && SSL_get_ex_data((SSL *)ssl, own_index) != NULL;
}

long st_verify_result(uintptr_t ssl) { return SSL_get_verify_result((SSL *)ssl); }

int st_alpn(uintptr_t ssl, uint8_t *out) {
  const uint8_t *alpn;
  unsigned len;
  SSL_get0_alpn_selected((SSL *)ssl, &alpn, &len);
  if (len > 0) memcpy(out, alpn, len);
  return (int)len;
}

int st_touched(uintptr_t address) {
  SSL *ssl = (SSL *)address;
  st_program *p = of(ssl);
  int mode = p->o.verify == ST_VERIFY_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER | (p->o.require_cert ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
  return SSL_get_verify_mode(ssl) != mode || SSL_get_SSL_CTX(ssl) != p->ctx || SSL_get_options(ssl) != SSL_CTX_get_options(p->ctx) ||
         !SSL_get_quiet_shutdown(ssl);
}

uint32_t st_error(void) {
  uint32_t err = ERR_peek_error();
  return (uint32_t)ERR_GET_LIB(err) << 16 | (uint32_t)ERR_GET_REASON(err);
}

void st_clear_errors(void) { ERR_clear_error(); }
void st_free_ssl(uintptr_t ssl) { SSL_free((SSL *)ssl); }

uintptr_t st_dtls_ssl(void) {
  SSL_CTX *ctx = SSL_CTX_new(DTLS_method());
  SSL *ssl = SSL_new(ctx);
  SSL_CTX_free(ctx);
  return (uintptr_t)ssl;
}
