// The handshake: contexts, connections, what BoringSSL tells of them and asks, and running it.
#include "shim_tls.h"

#include <pthread.h>
#include <string.h>
#include <sys/time.h>

#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pool.h>

enum { MAX_GROUPS = 16 };

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
  if (level == ssl_encryption_application && (!bq_put_early(t) || !bq_put_params(t) || !bq_put_info(t))) return 0;
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

int bq_replace(uint8_t **p, size_t *p_len, const uint8_t *data, size_t len) {
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
  if ((!t->client && !bq_put_params(t)) || !bq_put_info(t) || !bq_put_cert_request(t)) return 0;
  t->waiting = 1;
  return -1;
}

static enum ssl_verify_result_t on_verify(SSL *ssl, uint8_t *out_alert) {
  bq_tls *t = bq_of_ssl(ssl);
  if (t->verify_ok) {
    t->verify_ok = 0;  // it was said of this chain, and holds for no other
    return ssl_verify_ok;
  }
  if (!bq_put_params(t) || !bq_put_info(t) || !bq_put_peer_certs(t) || !bq_put(t, BQ_EV_ASK_VERIFY, t->read_level, 0, NULL, 0)) {
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

// Contexts.

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

void bq_read_error(char *text, size_t len) {
  uint32_t err = ERR_peek_error();
  const char *reason = err == 0 ? NULL : ERR_reason_error_string(err);
  OPENSSL_strlcpy(text, reason == NULL ? "unknown error" : reason, len);
}

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
  if (!t->client) return bq_replace(&t->alpn, &t->alpn_len, list, len);
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
      return bq_replace(&t->signature, &t->signature_len, in, len);
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
    bq_read_error(r->text, sizeof r->text);
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
