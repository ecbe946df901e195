#include "shim_tls.h"

#include <pthread.h>
#include <string.h>
#include <sys/time.h>

#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/rsa.h>

enum { MAX_GROUPS = 16, MAX_CERTS = 64, EVENT_HEADER = 8 };

static int64_t live;

int64_t bq_tls_live(void) { return __atomic_load_n(&live, __ATOMIC_RELAXED); }

void bq_count(int64_t n) { __atomic_add_fetch(&live, n, __ATOMIC_RELAXED); }

// The slot of ex_data that leads from an SSL to its connection. Slot 0 is the program's, whose SSL it may be.
static pthread_mutex_t ssl_index_mutex = PTHREAD_MUTEX_INITIALIZER;
static int ssl_index = -1;  // once it is there it does not change

int bq_bind(SSL *ssl, bq_tls *t) {
  pthread_mutex_lock(&ssl_index_mutex);
  int index = __atomic_load_n(&ssl_index, __ATOMIC_RELAXED);
  if (index < 0) {
    index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    __atomic_store_n(&ssl_index, index, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&ssl_index_mutex);
  return index >= 0 && SSL_set_ex_data(ssl, index, t);
}

bq_tls *bq_of_ssl(const SSL *ssl) {
  int index = __atomic_load_n(&ssl_index, __ATOMIC_ACQUIRE);
  return index < 0 ? NULL : SSL_get_ex_data(ssl, index);
}

// Events.

// bq_put_space appends the header of an event and room for its data, which it returns.
uint8_t *bq_put_space(bq_tls *t, int kind, int level, uint16_t code, size_t len) {
  size_t need = t->events_len + EVENT_HEADER + len;
  if (t->lost) return NULL;  // after a gap nothing more is told
  if (need > t->events_cap) {
    size_t cap = need < 1024 ? 1024 : need + need / 2;
    uint8_t *p = OPENSSL_realloc(t->events, cap);
    if (p == NULL) {
      t->lost = 1;
      return NULL;
    }
    t->events = p;
    t->events_cap = cap;
  }
  uint8_t *p = t->events + t->events_len;
  p[0] = (uint8_t)kind;
  p[1] = (uint8_t)level;
  p[2] = (uint8_t)code;
  p[3] = (uint8_t)(code >> 8);
  for (int i = 0; i < 4; i++) p[4 + i] = (uint8_t)(len >> (8 * i));
  t->events_len = need;
  return p + EVENT_HEADER;
}

int bq_put(bq_tls *t, int kind, int level, uint16_t code, const void *data, size_t len) {
  uint8_t *p = bq_put_space(t, kind, level, code, len);
  if (p == NULL) return 0;
  if (len > 0) memcpy(p, data, len);
  return 1;
}

// bq_put_cbb appends an event whose data is in cbb, and does away with cbb; ok tells whether building it went well.
int bq_put_cbb(bq_tls *t, int kind, CBB *cbb, int ok) {
  ok = ok && CBB_flush(cbb) && bq_put(t, kind, t->read_level, 0, CBB_data(cbb), CBB_len(cbb));
  CBB_cleanup(cbb);
  return ok;
}

// bq_put_params tells the peer's transport parameters, once it has them: a server from the first ClientHello on, a client when it has
// left the Initial level.
int bq_put_params(bq_tls *t) {
  if (t->told_params || (t->client && t->read_level == ssl_encryption_initial)) return 1;
  const uint8_t *p;
  size_t len;
  SSL_get_peer_quic_transport_params(t->ssl, &p, &len);
  t->told_params = 1;
  return bq_put(t, BQ_EV_PEER_PARAMS, t->read_level, 0, p, len);
}

static int put_info(bq_tls *t) {
  const uint8_t *alpn;
  unsigned alpn_len;
  uint16_t suite = t->suite, flags = 0;
  SSL_get0_alpn_selected(t->ssl, &alpn, &alpn_len);
  const char *name = t->client && !t->foreign ? NULL : SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
  size_t name_len = name == NULL ? 0 : strlen(name);
  if (name_len > 255) name_len = 255;
  if (SSL_session_reused(t->ssl)) flags |= BQ_INFO_RESUMED;
  if (t->client && t->read_level == ssl_encryption_initial) {
    flags |= BQ_INFO_RESUMED | BQ_INFO_EARLY;
    suite = SSL_CIPHER_get_protocol_id(SSL_SESSION_get0_cipher(SSL_get_session(t->ssl)));
  }
  if (SSL_used_hello_retry_request(t->ssl)) flags |= BQ_INFO_HELLO_RETRY;
  CBB cbb, child;
  if (!CBB_init(&cbb, 64)) return 0;
  int ok = CBB_add_u16(&cbb, suite) && CBB_add_u16(&cbb, SSL_get_group_id(t->ssl)) && CBB_add_u16(&cbb, flags) &&
           CBB_add_u8_length_prefixed(&cbb, &child) && CBB_add_bytes(&child, alpn, alpn_len) &&
           CBB_add_u8_length_prefixed(&cbb, &child) && CBB_add_bytes(&child, (const uint8_t *)name, name_len);
  return bq_put_cbb(t, BQ_EV_INFO, &cbb, ok);
}

int bq_add_chain(CBB *cbb, const STACK_OF(CRYPTO_BUFFER) *chain) {
  size_t n = chain == NULL ? 0 : sk_CRYPTO_BUFFER_num(chain);
  CBB child;
  int ok = 1;
  for (size_t i = 0; i < n && ok; i++) {
    const CRYPTO_BUFFER *cert = sk_CRYPTO_BUFFER_value(chain, i);
    ok = CBB_add_u24_length_prefixed(cbb, &child) &&
         CBB_add_bytes(&child, CRYPTO_BUFFER_data(cert), CRYPTO_BUFFER_len(cert));
  }
  return ok && CBB_flush(cbb);  // child must not be looked at any more
}

int bq_put_peer_certs(bq_tls *t) {
  CBB cbb;
  if (!CBB_init(&cbb, 2048)) return 0;
  int ok = bq_add_chain(&cbb, SSL_get0_peer_certificates(t->ssl));
  if (!bq_put_cbb(t, BQ_EV_PEER_CERTS, &cbb, ok)) return 0;
  const uint8_t *p;
  size_t len;
  SSL_get0_ocsp_response(t->ssl, &p, &len);
  if (len > 0 && !bq_put(t, BQ_EV_OCSP, t->read_level, 0, p, len)) return 0;
  SSL_get0_signed_cert_timestamp_list(t->ssl, &p, &len);
  return len == 0 || bq_put(t, BQ_EV_SCTS, t->read_level, 0, p, len);
}

static int put_cert_request(bq_tls *t) {
  CBB cbb, child;
  if (!CBB_init(&cbb, 64)) return 0;
  int ok = 1;
  if (t->client) {
    const uint16_t *sigalgs;
    size_t n = SSL_get0_peer_verify_algorithms(t->ssl, &sigalgs);
    ok = CBB_add_u16(&cbb, (uint16_t)n);
    for (size_t i = 0; i < n && ok; i++) ok = CBB_add_u16(&cbb, sigalgs[i]);
    const STACK_OF(CRYPTO_BUFFER) *names = SSL_get0_server_requested_CAs(t->ssl);
    n = names == NULL ? 0 : sk_CRYPTO_BUFFER_num(names);
    for (size_t i = 0; i < n && ok; i++) {
      const CRYPTO_BUFFER *name = sk_CRYPTO_BUFFER_value(names, i);
      ok = CBB_add_u16_length_prefixed(&cbb, &child) &&
           CBB_add_bytes(&child, CRYPTO_BUFFER_data(name), CRYPTO_BUFFER_len(name));
    }
  }
  return bq_put_cbb(t, BQ_EV_ASK_CERT, &cbb, ok);
}

// What BoringSSL tells.

static void note_alert(bq_tls *t, uint8_t alert) {
  if (t->has_alert) return;
  t->alert = alert;
  t->has_alert = 1;
}

static int on_secret(SSL *ssl, int kind, int level, const SSL_CIPHER *cipher, const uint8_t *secret, size_t len) {
  bq_tls *t = bq_of_ssl(ssl);
  t->suite = SSL_CIPHER_get_protocol_id(cipher);
  if (level == ssl_encryption_early_data && t->client) t->early_offered = 1;
  if (t->foreign && !t->client) {
    if (SSL_early_data_accepted(ssl)) t->early_offered = 1;
    if (!bq_put_params(t)) return 0;
  }
  if (level == ssl_encryption_application && (!bq_put_early(t) || !bq_put_params(t) || !put_info(t))) return 0;
  return bq_put(t, kind, level, t->suite, secret, len);
}

static int on_read_secret(SSL *ssl, enum ssl_encryption_level_t level, const SSL_CIPHER *cipher, const uint8_t *secret,
                          size_t len) {
  if (!on_secret(ssl, BQ_EV_READ_SECRET, level, cipher, secret, len)) return 0;
  if (level != ssl_encryption_early_data) bq_of_ssl(ssl)->read_level = (uint8_t)level;
  return 1;
}

static int on_write_secret(SSL *ssl, enum ssl_encryption_level_t level, const SSL_CIPHER *cipher, const uint8_t *secret,
                           size_t len) {
  return on_secret(ssl, BQ_EV_WRITE_SECRET, level, cipher, secret, len);
}

// offer_only has a ClientHello offer the only suite as often as BoringSSL would have it offer any, for which BoringSSL has no setting.
// PSK binders do not survive that: such a client has no session.
static void offer_only(const bq_tls *t, uint8_t *msg, size_t len) {
  CBS cbs, body, session_id, suites;
  uint8_t type;
  CBS_init(&cbs, msg, len);
  if (t->only_suite == 0 || !CBS_get_u8(&cbs, &type) || type != SSL3_MT_CLIENT_HELLO ||
      !CBS_get_u24_length_prefixed(&cbs, &body) || !CBS_skip(&body, 2 + SSL3_RANDOM_SIZE) ||
      !CBS_get_u8_length_prefixed(&body, &session_id) || !CBS_get_u16_length_prefixed(&body, &suites)) {
    return;
  }
  uint8_t *p = msg + (CBS_data(&suites) - msg);
  for (size_t i = 0; i + 1 < CBS_len(&suites); i += 2) {
    p[i] = (uint8_t)(t->only_suite >> 8);
    p[i + 1] = (uint8_t)t->only_suite;
  }
}

static int on_handshake_data(SSL *ssl, enum ssl_encryption_level_t level, const uint8_t *data, size_t len) {
  bq_tls *t = bq_of_ssl(ssl);
  uint8_t *p = bq_put_space(t, BQ_EV_HANDSHAKE_DATA, level, 0, len);
  if (p == NULL) return 0;
  if (len > 0) memcpy(p, data, len);
  if (level == ssl_encryption_initial) offer_only(t, p, len);
  return 1;
}

static int on_flush(SSL *ssl) { return 1; }

static int on_alert(SSL *ssl, enum ssl_encryption_level_t level, uint8_t alert) {
  note_alert(bq_of_ssl(ssl), alert);
  return 1;
}

const SSL_QUIC_METHOD bq_quic_method = {on_read_secret, on_write_secret, on_handshake_data, on_flush, on_alert};

// on_message sees each handshake message before it is acted on, and one of ours when it was copied to where it is sent from, and before it
// enters the transcript; the buffer is BoringSSL's own and no constant.
static void on_message(int is_write, int version, int content_type, const void *buf, size_t len, SSL *ssl, void *arg) {
  if (is_write && content_type == SSL3_RT_HANDSHAKE) offer_only(bq_of_ssl(ssl), (uint8_t *)buf, len);
  if (!is_write && content_type == SSL3_RT_HANDSHAKE && len > 0) bq_of_ssl(ssl)->last_message = *(const uint8_t *)buf;
}

static void on_key_log(const SSL *ssl, const char *line) {
  static const char exporter[] = "EXPORTER_SECRET ";
  bq_tls *t = bq_of_ssl(ssl);
  size_t len = strlen(line);
  if (t->log_keys) bq_put(t, BQ_EV_KEY_LOG, 0, 0, line, len);
  if (strncmp(line, exporter, sizeof exporter - 1) != 0) return;
  // The label, the client's random value, the secret; parted by one space, the latter two in hexadecimal.
  const char *hex = strrchr(line, ' ') + 1;
  uint8_t secret[SHA512_DIGEST_LENGTH];
  size_t n = strlen(hex) / 2;
  if (n > sizeof secret) return;
  for (size_t i = 0; i < n; i++) {
    uint8_t hi, lo;
    if (!OPENSSL_fromxdigit(&hi, hex[2 * i]) || !OPENSSL_fromxdigit(&lo, hex[2 * i + 1])) return;
    secret[i] = (uint8_t)(hi << 4 | lo);
  }
  bq_put(t, BQ_EV_EXPORTER_SECRET, 0, 0, secret, n);
  OPENSSL_cleanse(secret, sizeof secret);
}

// What BoringSSL asks.

// replace puts a copy of data in place of what *p holds.
static int replace(uint8_t **p, size_t *p_len, const uint8_t *data, size_t len) {
  OPENSSL_free(*p);
  *p = OPENSSL_memdup(data, len);
  *p_len = *p == NULL ? 0 : len;
  return len == 0 || *p != NULL;
}

static int on_cert(SSL *ssl, void *arg) {
  bq_tls *t = bq_of_ssl(ssl);
  if (t->cert_ok) {
    t->cert_ok = 0;
    return 1;
  }
  if (t->client && !t->ask_cert) return 1;
  if ((!t->client && !bq_put_params(t)) || !put_info(t) || !put_cert_request(t)) return 0;
  t->waiting = 1;
  return -1;
}

static enum ssl_verify_result_t on_verify(SSL *ssl, uint8_t *out_alert) {
  bq_tls *t = bq_of_ssl(ssl);
  if (t->verify_ok) {
    t->verify_ok = 0;  // it was said of this chain, and holds for no other
    return ssl_verify_ok;
  }
  if (!bq_put_params(t) || !put_info(t) || !bq_put_peer_certs(t) || !bq_put(t, BQ_EV_ASK_VERIFY, t->read_level, 0, NULL, 0)) {
    *out_alert = SSL_AD_INTERNAL_ERROR;
    return ssl_verify_invalid;
  }
  t->waiting = 1;
  return ssl_verify_retry;
}

static int on_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in, unsigned in_len, void *arg) {
  bq_tls *t = bq_of_ssl(ssl);
  CBS ours, theirs, a, b;
  CBS_init(&ours, t->alpn, t->alpn_len);
  while (CBS_get_u8_length_prefixed(&ours, &a)) {
    CBS_init(&theirs, in, in_len);
    while (CBS_get_u8_length_prefixed(&theirs, &b)) {
      if (CBS_mem_equal(&a, CBS_data(&b), CBS_len(&b))) {
        *out = CBS_data(&a);
        *out_len = (uint8_t)CBS_len(&a);
        return SSL_TLSEXT_ERR_OK;
      }
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static enum ssl_private_key_result_t on_sign(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out, uint16_t sigalg,
                                             const uint8_t *in, size_t in_len) {
  bq_tls *t = bq_of_ssl(ssl);
  uint64_t id = (uint64_t)(uintptr_t)SSL_get0_selected_credential(ssl);
  uint8_t *p = bq_put_space(t, BQ_EV_ASK_SIGN, t->read_level, sigalg, 8 + in_len);
  if (p == NULL) return ssl_private_key_failure;
  for (int i = 0; i < 8; i++) p[i] = (uint8_t)(id >> (8 * i));
  memcpy(p + 8, in, in_len);
  t->waiting = 1;
  t->has_signature = 0;
  return ssl_private_key_retry;
}

static enum ssl_private_key_result_t on_sign_complete(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out) {
  bq_tls *t = bq_of_ssl(ssl);
  if (!t->has_signature) return ssl_private_key_retry;
  if (t->signature_len > max_out) return ssl_private_key_failure;
  memcpy(out, t->signature, t->signature_len);
  *out_len = t->signature_len;
  t->has_signature = 0;
  return ssl_private_key_success;
}

static const SSL_PRIVATE_KEY_METHOD key_method = {on_sign, NULL, on_sign_complete};

// A key of ours signs in a crossing of its own. Go's monitor takes the processor away from a thread that it finds in the same
// crossing twice, and looks again and again once it has: with X25519 and P-256 in one crossing that is a tenth of a handshake's
// cost, and in two it hardly happens.

static pthread_mutex_t key_index_mutex = PTHREAD_MUTEX_INITIALIZER;
static int key_index = -1;  // of a credential's EVP_PKEY; once it is there it does not change

static void free_key(void *parent, void *key, CRYPTO_EX_DATA *ad, int index, long argl, void *argp) { EVP_PKEY_free(key); }

// make_key_index tries again if memory was short the last time.
static int make_key_index(void) {
  pthread_mutex_lock(&key_index_mutex);
  if (key_index < 0) key_index = SSL_CREDENTIAL_get_ex_new_index(0, NULL, NULL, NULL, free_key);
  int ok = key_index >= 0;
  pthread_mutex_unlock(&key_index_mutex);
  return ok;
}

static int own_sign(EVP_PKEY *key, uint16_t sigalg, uint8_t *out, size_t *out_len, const uint8_t *in, size_t in_len) {
  EVP_MD_CTX ctx;
  EVP_PKEY_CTX *pctx;
  EVP_MD_CTX_init(&ctx);
  int ok = EVP_DigestSignInit(&ctx, &pctx, SSL_get_signature_algorithm_digest(sigalg), NULL, key);
  if (ok && SSL_is_signature_algorithm_rsa_pss(sigalg)) {
    ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST);
  }
  ok = ok && EVP_DigestSign(&ctx, out, out_len, in, in_len);
  EVP_MD_CTX_cleanup(&ctx);
  return ok;
}

static enum ssl_private_key_result_t on_own_sign(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out, uint16_t sigalg,
                                                 const uint8_t *in, size_t in_len) {
  bq_tls *t = bq_of_ssl(ssl);
  if (!replace(&t->signature, &t->signature_len, in, in_len)) return ssl_private_key_failure;
  t->sigalg = sigalg;
  t->sign_due = 1;
  return ssl_private_key_retry;
}

static enum ssl_private_key_result_t on_own_sign_complete(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out) {
  bq_tls *t = bq_of_ssl(ssl);
  EVP_PKEY *key = SSL_CREDENTIAL_get_ex_data(SSL_get0_selected_credential(ssl), key_index);
  *out_len = max_out;
  int ok = own_sign(key, t->sigalg, out, out_len, t->signature, t->signature_len);
  replace(&t->signature, &t->signature_len, NULL, 0);
  t->sign_due = 0;
  return ok ? ssl_private_key_success : ssl_private_key_failure;
}

static const SSL_PRIVATE_KEY_METHOD own_key_method = {on_own_sign, NULL, on_own_sign_complete};

// thread_now is the time of the connection that the thread is at work for; 0: the system's clock.
static __thread int64_t thread_now;

static void on_time(const SSL *ssl, struct timeval *out) {
  if (thread_now == 0) {
    gettimeofday(out, NULL);
  } else {
    out->tv_sec = thread_now;
    out->tv_usec = 0;
  }
}

// Contexts and credentials.

bq_ctx *bq_ctx_new(int client) {
  static const uint16_t verify_sigalgs[] = {
      SSL_SIGN_RSA_PSS_RSAE_SHA256,    SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ED25519,
      SSL_SIGN_RSA_PSS_RSAE_SHA384,    SSL_SIGN_RSA_PSS_RSAE_SHA512,    SSL_SIGN_RSA_PKCS1_SHA256,
      SSL_SIGN_RSA_PKCS1_SHA384,       SSL_SIGN_RSA_PKCS1_SHA512,       SSL_SIGN_ECDSA_SECP384R1_SHA384,
      SSL_SIGN_ECDSA_SECP521R1_SHA512,
  };
  ERR_clear_error();
  SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());
  if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
      !SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) || !SSL_CTX_set_quic_method(ctx, &bq_quic_method) ||
      !SSL_CTX_set_verify_algorithm_prefs(ctx, verify_sigalgs, sizeof verify_sigalgs / sizeof verify_sigalgs[0])) {
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return NULL;
  }
  bq_sessions_init(ctx, client);
  SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
  SSL_CTX_set_keylog_callback(ctx, on_key_log);
  SSL_CTX_set_current_time_cb(ctx, on_time);
  SSL_CTX_set_msg_callback(ctx, on_message);
  bq_count(1);
  return (bq_ctx *)ctx;
}

void bq_ctx_free(bq_ctx *ctx) {
  SSL_CTX_free((SSL_CTX *)ctx);
  bq_count(-1);
}

// read_error writes the first error of the queue to text.
static void read_error(char *text, size_t len) {
  uint32_t err = ERR_peek_error();
  const char *reason = err == 0 ? NULL : ERR_reason_error_string(err);
  OPENSSL_strlcpy(text, reason == NULL ? "unknown error" : reason, len);
}

// read_blobs fills out with the buffers in data, each after a big-endian length of prefix bytes, and tells how many; -1 if
// it cannot.
static int read_blobs(CRYPTO_BUFFER **out, const uint8_t *data, size_t len, int prefix) {
  CBS cbs, one;
  CBS_init(&cbs, data, len);
  int n = 0;
  while (CBS_len(&cbs) > 0) {
    int ok = prefix == 3 ? CBS_get_u24_length_prefixed(&cbs, &one) : CBS_get_u16_length_prefixed(&cbs, &one);
    if (ok && n < MAX_CERTS) out[n] = CRYPTO_BUFFER_new_from_CBS(&one, NULL);
    if (!ok || n == MAX_CERTS || out[n] == NULL) {
      while (n > 0) CRYPTO_BUFFER_free(out[--n]);
      return -1;
    }
    n++;
  }
  return n;
}

static int set_chain(SSL_CREDENTIAL *cred, const uint8_t *chain, size_t len) {
  CRYPTO_BUFFER *certs[MAX_CERTS];
  int n = read_blobs(certs, chain, len, 3);
  if (n < 0) return 0;
  int ok = SSL_CREDENTIAL_set1_cert_chain(cred, certs, (size_t)n);
  while (n > 0) CRYPTO_BUFFER_free(certs[--n]);
  return ok;
}

static int set_key(SSL_CREDENTIAL *cred, const uint8_t *key, size_t len) {
  if (len == 0) return SSL_CREDENTIAL_set_private_key_method(cred, &key_method);
  CBS cbs;
  CBS_init(&cbs, key, len);
  EVP_PKEY *pkey = EVP_parse_private_key(&cbs);
  // The first of the two setters checks that certificate and key are a pair.
  int ok = pkey != NULL && SSL_CREDENTIAL_set1_private_key(cred, pkey) &&
           SSL_CREDENTIAL_set_private_key_method(cred, &own_key_method) && make_key_index() &&
           SSL_CREDENTIAL_set_ex_data(cred, key_index, pkey);
  if (!ok) EVP_PKEY_free(pkey);
  return ok;
}

static int set_staples(SSL_CREDENTIAL *cred, const uint8_t *ocsp, size_t ocsp_len, const uint8_t *scts,
                       size_t scts_len) {
  int ok = 1;
  if (ocsp_len > 0) {
    CRYPTO_BUFFER *b = CRYPTO_BUFFER_new(ocsp, ocsp_len, NULL);
    ok = b != NULL && SSL_CREDENTIAL_set1_ocsp_response(cred, b);
    CRYPTO_BUFFER_free(b);
  }
  if (ok && scts_len > 0) {
    CRYPTO_BUFFER *b = CRYPTO_BUFFER_new(scts, scts_len, NULL);
    ok = b != NULL && SSL_CREDENTIAL_set1_signed_cert_timestamp_list(cred, b);
    CRYPTO_BUFFER_free(b);
  }
  return ok;
}

bq_cred *bq_cred_new(const uint8_t *chain, size_t chain_len, const uint8_t *key, size_t key_len, const uint8_t *ocsp,
                     size_t ocsp_len, const uint8_t *scts, size_t scts_len, const uint16_t *sigalgs, size_t num_sigalgs,
                     uint8_t *text, size_t text_len) {
  ERR_clear_error();
  SSL_CREDENTIAL *cred = SSL_CREDENTIAL_new_x509();
  if (cred != NULL && set_chain(cred, chain, chain_len) && set_key(cred, key, key_len) &&
      set_staples(cred, ocsp, ocsp_len, scts, scts_len) &&
      (num_sigalgs == 0 || SSL_CREDENTIAL_set1_signing_algorithm_prefs(cred, sigalgs, num_sigalgs))) {
    bq_count(1);
    return (bq_cred *)cred;
  }
  read_error((char *)text, text_len);
  ERR_clear_error();
  SSL_CREDENTIAL_free(cred);
  return NULL;
}

void bq_cred_free(bq_cred *cred) {
  SSL_CREDENTIAL_free((SSL_CREDENTIAL *)cred);
  bq_count(-1);
}

uint64_t bq_cred_id(const bq_cred *cred) { return (uint64_t)(uintptr_t)cred; }

// Connections.

bq_tls *bq_tls_new(bq_ctx *ctx, int client) {
  ERR_clear_error();
  bq_tls *t = OPENSSL_zalloc(sizeof *t);
  if (t == NULL) return NULL;
  t->client = client != 0;
  t->ssl = SSL_new((SSL_CTX *)ctx);
  if (t->ssl == NULL || !bq_bind(t->ssl, t)) {
    SSL_free(t->ssl);
    OPENSSL_free(t);
    ERR_clear_error();
    return NULL;
  }
  SSL_set_cert_cb(t->ssl, on_cert, NULL);
  SSL_set_shed_handshake_config(t->ssl, 1);
  if (client) {
    SSL_set_connect_state(t->ssl);
    SSL_set_custom_verify(t->ssl, SSL_VERIFY_PEER, on_verify);
    SSL_enable_ocsp_stapling(t->ssl);
    SSL_enable_signed_cert_timestamps(t->ssl);
  } else {
    SSL_set_accept_state(t->ssl);
    SSL_set_options(t->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);  // speaks of groups too
  }
  bq_count(1);
  return t;
}

void bq_tls_free(bq_tls *t) {
  if (t == NULL) return;
  SSL_free(t->ssl);
  bq_ticket_keys_release(t->keys);
  OPENSSL_free(t->events);
  OPENSSL_free(t->alpn);
  OPENSSL_free(t->signature);
  OPENSSL_free(t);
  bq_count(-1);
}

static int done(int ok) {
  ERR_clear_error();
  return ok;
}

int bq_tls_set_params(bq_tls *t, const uint8_t *params, size_t len) {
  return done(SSL_set_quic_transport_params(t->ssl, params, len));
}

int bq_tls_set_alpn(bq_tls *t, const uint8_t *list, size_t len) {
  if (!t->client) return replace(&t->alpn, &t->alpn_len, list, len);
  return done(SSL_set_alpn_protos(t->ssl, list, len) == 0);
}

void bq_tls_offer_only(bq_tls *t, uint16_t suite) { t->only_suite = suite; }

int bq_tls_set_groups(bq_tls *t, const uint16_t *groups, size_t n) {
  uint32_t flags[MAX_GROUPS];
  if (n == 0 || n > MAX_GROUPS) return 0;
  // A server prefers a post-quantum group, and leaves the choice among the others to the client, who lists first what it has
  // sent a key share for.
  for (size_t i = 0; i < n; i++) {
    int equal = groups[i] != SSL_GROUP_X25519_MLKEM768 && i + 1 < n;
    flags[i] = equal ? SSL_GROUP_FLAG_EQUAL_PREFERENCE_WITH_NEXT : 0;
  }
  return done(SSL_set1_group_ids_with_flags(t->ssl, groups, flags, n));
}

int bq_tls_set_server_name(bq_tls *t, const uint8_t *name, size_t len) {
  char host[TLSEXT_MAXLEN_host_name + 1];
  if (len > TLSEXT_MAXLEN_host_name || memchr(name, 0, len) != NULL) return 0;
  memcpy(host, name, len);
  host[len] = 0;
  return done(SSL_set_tlsext_host_name(t->ssl, host));
}

int bq_tls_set_client_auth(bq_tls *t, int mode, const uint8_t *names, size_t len) {
  int verify = SSL_VERIFY_NONE;
  if (mode != BQ_CLIENT_AUTH_NONE) verify = SSL_VERIFY_PEER;
  if (mode == BQ_CLIENT_AUTH_REQUIRE) verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  t->client_auth = mode != BQ_CLIENT_AUTH_NONE;
  SSL_set_custom_verify(t->ssl, verify, on_verify);
  STACK_OF(CRYPTO_BUFFER) *stack = sk_CRYPTO_BUFFER_new_null();
  CBS cbs, one;
  CBS_init(&cbs, names, len);
  int ok = stack != NULL;
  while (ok && CBS_len(&cbs) > 0) {
    CRYPTO_BUFFER *b = CBS_get_u16_length_prefixed(&cbs, &one) ? CRYPTO_BUFFER_new_from_CBS(&one, NULL) : NULL;
    ok = b != NULL && sk_CRYPTO_BUFFER_push(stack, b) != 0;
    if (!ok) CRYPTO_BUFFER_free(b);
  }
  if (ok) {
    SSL_set0_client_CAs(t->ssl, stack);
  } else {
    sk_CRYPTO_BUFFER_pop_free(stack, CRYPTO_BUFFER_free);
  }
  return done(ok);
}

int bq_tls_add_cred(bq_tls *t, const bq_cred *cred) {
  return done(SSL_add1_credential(t->ssl, (const SSL_CREDENTIAL *)cred));
}

void bq_tls_set_flags(bq_tls *t, int ask_cert, int log_keys, int tickets) {
  t->ask_cert = ask_cert != 0;
  t->log_keys = log_keys != 0;
  if (tickets) {
    SSL_clear_options(t->ssl, SSL_OP_NO_TICKET);
  } else {
    SSL_set_options(t->ssl, SSL_OP_NO_TICKET);
  }
}

// apply does what op says; 0 is a failure.
static int apply(bq_tls *t, int op, const uint8_t *in, size_t len, int level) {
  switch (op) {
    case BQ_OP_START:
      if (len == 0 || in[0] == 0) SSL_set_session(t->ssl, NULL);
      t->waiting = 0;
      return 1;
    case BQ_OP_TICKET:
      t->ticket_answered = 1;
      t->ticket_resumes = len > 0 && (in[0] & BQ_TICKET_RESUME);
      t->ticket_early = len > 0 && (in[0] & BQ_TICKET_EARLY_DATA);
      t->waiting = 0;
      return 1;
    case BQ_OP_FEED:
      return SSL_provide_quic_data(t->ssl, (enum ssl_encryption_level_t)level, in, len);
    case BQ_OP_CERT:
      t->cert_ok = 1;
      t->waiting = 0;
      return 1;
    case BQ_OP_VERIFY:
      t->verify_ok = 1;
      t->waiting = 0;
      return 1;
    case BQ_OP_SIGN:
      t->has_signature = 1;
      t->waiting = 0;
      return replace(&t->signature, &t->signature_len, in, len);
  }
  return 1;
}

// advance runs TLS until it wants something.
static int advance(bq_tls *t) {
  t->stalled = 0;
  if (t->complete) return SSL_process_quic_post_handshake(t->ssl);
  for (;;) {
    int ret = SSL_do_handshake(t->ssl);
    if (ret == 1) {
      if (SSL_in_init(t->ssl)) return 1;  // 0-RTT may be used, and the handshake goes on
      t->complete = 1;
      return bq_put(t, BQ_EV_COMPLETE, t->read_level, 0, NULL, 0);
    }
    switch (SSL_get_error(t->ssl, ret)) {
      case SSL_ERROR_WANT_READ:
        return 1;
      case SSL_ERROR_WANT_X509_LOOKUP:
      case SSL_ERROR_WANT_CERTIFICATE_VERIFY:
      case SSL_ERROR_PENDING_TICKET:
      case SSL_ERROR_PENDING_SESSION:
      case SSL_ERROR_PENDING_CERTIFICATE:
      case SSL_ERROR_WANT_PRIVATE_KEY_OPERATION:
        t->stalled = t->foreign;
        return t->foreign || t->waiting || t->sign_due;
      case SSL_ERROR_EARLY_DATA_REJECTED:
        // The handshake goes on as one without 0-RTT, and all is judged anew.
        if (!bq_put_early(t)) return 0;
        SSL_reset_early_data_reject(t->ssl);
        t->verify_ok = 0;
        continue;
    }
    return 0;
  }
}

static int why(const bq_tls *t, uint32_t err) {
  if (ERR_GET_LIB(err) != ERR_LIB_SSL) return BQ_WHY_OTHER;
  switch (ERR_GET_REASON(err)) {
    case SSL_R_EXCESS_HANDSHAKE_DATA:
      return BQ_WHY_EXCESS_DATA;
    case SSL_R_UNEXPECTED_COMPATIBILITY_MODE:
      return t->client ? BQ_WHY_OTHER : BQ_WHY_SESSION_ID;
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
      return BQ_WHY_TOO_LONG;
    case SSL_R_DECODE_ERROR:
      if (t->complete && t->has_alert && t->alert == SSL_AD_ILLEGAL_PARAMETER &&
          t->last_message == SSL3_MT_NEW_SESSION_TICKET) {
        return BQ_WHY_EARLY_DATA_SIZE;
      }
  }
  return BQ_WHY_OTHER;
}

// run is what bq_tls_run does, but for time and the state of the error queue.
static void run(bq_tls *t, int op, int level, const uint8_t *in, size_t len, bq_result *r) {
  memset(r, 0, sizeof *r);
  ERR_clear_error();
  if (op == BQ_OP_FEED && level != t->read_level) {
    r->status = BQ_RUN_WRONG_LEVEL;
  } else if (!apply(t, op, in, len, level) || (!t->waiting && !advance(t)) || t->lost) {
    r->status = BQ_RUN_FAILED;
    r->why = (uint8_t)why(t, ERR_peek_error());
    if (r->why == BQ_WHY_TOO_LONG) note_alert(t, SSL_AD_ILLEGAL_PARAMETER);
    r->alert = t->has_alert ? t->alert : SSL_AD_INTERNAL_ERROR;
    read_error(r->text, sizeof r->text);
  } else if (t->sign_due) {
    r->status = BQ_RUN_MORE;
  }
  r->level = t->read_level;
  r->last_message = t->last_message;
  r->complete = t->complete;
  r->stalled = t->stalled;
  r->pending = (uint32_t)t->events_len;
}

void bq_tls_run(bq_tls *t, int op, int level, const uint8_t *in, size_t len, int64_t now, bq_result *r) {
  thread_now = now;
  run(t, op, level, in, len, r);
  thread_now = 0;
  ERR_clear_error();
}

void bq_tls_run_foreign(bq_tls *t, int op, int level, const uint8_t *in, size_t len, bq_result *r) {
  run(t, op, level, in, len, r);
}

void bq_tls_drain(bq_tls *t, uint8_t *out, size_t out_len) {
  if (out_len > t->events_len) out_len = t->events_len;
  if (out_len > 0) memcpy(out, t->events, out_len);
  OPENSSL_free(t->events);
  t->events = NULL;
  t->events_len = t->events_cap = 0;
}
