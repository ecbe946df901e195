// Sessions: a client's, a server's tickets and their keys, and 0-RTT with both.
#include "shim_tls.h"

#include <string.h>

#include <openssl/aead.h>
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/rand.h>

// A session has the peer's whole chain in it, of 100 KiB at most, and a ticket takes its peer 18 bytes: so many of a
// connection are told, the first ones, of so many bytes in all.
enum { MAX_SESSIONS = 4, MAX_SESSION_BYTES = 64 << 10 };

// A ticket that goes into no ClientHello of 16 KiB is not issued: one with a long chain of the client's.
enum { MAX_TICKET = 12 << 10 };

// A ticket: the name of its key, the variant, a random nonce, the sealed session.
enum { NAME_LEN = 16, NONCE_LEN = 24, TAG_LEN = 16, HEADER_LEN = NAME_LEN + 1 + NONCE_LEN };

// How long a session can be resumed, in seconds: what RFC 8446, section 4.6.1, allows at most, and crypto/tls takes.
enum { SESSION_LIFETIME = 7 * 24 * 3600 };

// Keys of tickets.

typedef struct {
  uint8_t name[NAME_LEN];
  EVP_AEAD_CTX aead;
} ticket_key;

struct bq_ticket_keys {
  int64_t refs;
  size_t n;
  ticket_key keys[];
};

// derive_key makes a key of a secret. A secret that serves crypto/tls too has nothing in common with that use of it.
static int derive_key(ticket_key *out, const uint8_t *secret) {
  static const char name_label[] = "boringquic ticket key name", key_label[] = "boringquic ticket key";
  uint8_t digest[SHA256_DIGEST_LENGTH];
  unsigned len;
  if (HMAC(EVP_sha256(), secret, 32, (const uint8_t *)name_label, sizeof name_label - 1, digest, &len) == NULL) return 0;
  memcpy(out->name, digest, NAME_LEN);
  int ok = HMAC(EVP_sha256(), secret, 32, (const uint8_t *)key_label, sizeof key_label - 1, digest, &len) != NULL &&
           EVP_AEAD_CTX_init(&out->aead, EVP_aead_xchacha20_poly1305(), digest, sizeof digest, TAG_LEN, NULL);
  OPENSSL_cleanse(digest, sizeof digest);
  return ok;
}

bq_ticket_keys *bq_ticket_keys_new(const uint8_t *secrets, size_t n) {
  ERR_clear_error();
  bq_ticket_keys *keys = OPENSSL_zalloc(sizeof *keys + n * sizeof keys->keys[0]);
  if (keys == NULL) return NULL;
  keys->refs = 1;
  bq_count(1);
  for (; keys->n < n; keys->n++) {
    if (!derive_key(&keys->keys[keys->n], secrets + 32 * keys->n)) {
      bq_ticket_keys_free(keys);
      ERR_clear_error();
      return NULL;
    }
  }
  return keys;
}

void bq_ticket_keys_release(bq_ticket_keys *keys) {
  if (keys == NULL || __atomic_sub_fetch(&keys->refs, 1, __ATOMIC_ACQ_REL) != 0) return;
  for (size_t i = 0; i < keys->n; i++) EVP_AEAD_CTX_cleanup(&keys->keys[i].aead);
  OPENSSL_free(keys);  // which clears it
  bq_count(-1);
}

void bq_ticket_keys_free(bq_ticket_keys *keys) { bq_ticket_keys_release(keys); }

// A server's tickets.

static size_t ticket_overhead(SSL *ssl) { return HEADER_LEN + TAG_LEN; }

static int seal_ticket(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out, const uint8_t *in, size_t in_len) {
  bq_tls *t = bq_of_ssl(ssl);
  *out_len = 0;
  if (t->keys == NULL || t->keys->n == 0 || in_len > MAX_TICKET - HEADER_LEN - TAG_LEN) return 1;  // no ticket then
  const ticket_key *key = &t->keys->keys[0];
  memcpy(out, key->name, NAME_LEN);
  out[NAME_LEN] = t->early_context[SHA256_DIGEST_LENGTH];
  if (!RAND_bytes(out + NAME_LEN + 1, NONCE_LEN) ||
      !EVP_AEAD_CTX_seal(&key->aead, out + HEADER_LEN, out_len, max_out - HEADER_LEN, out + NAME_LEN + 1, NONCE_LEN, in,
                         in_len, out, NAME_LEN + 1)) {
    return 0;
  }
  *out_len += HEADER_LEN;
  return 1;
}

// ask_ticket asks whether a ticket is to be accepted, where that is in doubt.
static enum ssl_ticket_aead_result_t ask_ticket(bq_tls *t, const uint8_t *session, size_t len) {
  const int early = t->early_enabled && t->has_hello_id;
  if (!early && !t->client_auth) return ssl_ticket_aead_success;
  SSL_SESSION *s = SSL_SESSION_from_bytes(session, len, SSL_get_SSL_CTX(t->ssl));
  if (s == NULL) return ssl_ticket_aead_ignore_ticket;
  const STACK_OF(CRYPTO_BUFFER) *chain = t->client_auth ? SSL_SESSION_get0_peer_certificates(s) : NULL;
  if (!early && (chain == NULL || sk_CRYPTO_BUFFER_num(chain) == 0)) {
    SSL_SESSION_free(s);
    return ssl_ticket_aead_success;
  }
  uint8_t *p;
  CBB cbb;
  int ok = CBB_init(&cbb, 64) && (!early || CBB_add_bytes(&cbb, t->hello_id, sizeof t->hello_id)) && bq_add_chain(&cbb, chain) &&
           CBB_flush(&cbb);
  if (ok) {
    p = bq_put_space(t, BQ_EV_ASK_TICKET, t->read_level, (uint16_t)early, CBB_len(&cbb));
    if (p != NULL && CBB_len(&cbb) > 0) memcpy(p, CBB_data(&cbb), CBB_len(&cbb));
    ok = p != NULL;
  }
  CBB_cleanup(&cbb);
  SSL_SESSION_free(s);
  if (!ok) return ssl_ticket_aead_error;
  t->waiting = 1;
  return ssl_ticket_aead_retry;
}

static enum ssl_ticket_aead_result_t open_ticket(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out, const uint8_t *in,
                                                 size_t in_len) {
  bq_tls *t = bq_of_ssl(ssl);
  const ticket_key *key = NULL;
  if (in_len < HEADER_LEN + TAG_LEN || t->keys == NULL) return ssl_ticket_aead_ignore_ticket;
  for (size_t i = 0; i < t->keys->n && key == NULL; i++) {
    if (memcmp(t->keys->keys[i].name, in, NAME_LEN) == 0) key = &t->keys->keys[i];
  }
  if (key == NULL || !EVP_AEAD_CTX_open(&key->aead, out, out_len, max_out, in + NAME_LEN + 1, NONCE_LEN, in + HEADER_LEN,
                                        in_len - HEADER_LEN, in, NAME_LEN + 1)) {
    ERR_clear_error();
    return ssl_ticket_aead_ignore_ticket;
  }
  if (!t->ticket_answered) {
    enum ssl_ticket_aead_result_t r = ask_ticket(t, out, *out_len);
    if (r != ssl_ticket_aead_success) return r;
  } else if (!t->ticket_resumes) {
    return ssl_ticket_aead_ignore_ticket;
  }
  if (!t->early_enabled) return ssl_ticket_aead_success;
  const uint8_t variant = in[NAME_LEN];
  const int refused = t->ticket_answered && t->has_hello_id && !t->ticket_early;
  t->early_context[SHA256_DIGEST_LENGTH] = refused ? variant ^ 1 : variant;
  if (!SSL_set_quic_early_data_context(ssl, t->early_context, sizeof t->early_context)) return ssl_ticket_aead_error;
  return ssl_ticket_aead_success;
}

static const SSL_TICKET_AEAD_METHOD ticket_method = {ticket_overhead, seal_ticket, open_ticket};

int bq_tls_set_tickets(bq_tls *t, bq_ticket_keys *keys, const uint8_t *context, int resume) {
  if (keys != NULL) __atomic_add_fetch(&keys->refs, 1, __ATOMIC_RELAXED);
  bq_ticket_keys_release(t->keys);
  t->keys = keys;
  t->ticket_answered = resume == 0;
  int ok = SSL_set_session_id_context(t->ssl, context, SSL_MAX_SID_CTX_LENGTH);
  ERR_clear_error();
  return ok;
}

// 0-RTT.

int bq_tls_set_early_data(bq_tls *t, const uint8_t *context) {
  t->early_enabled = 1;
  SSL_set_early_data_enabled(t->ssl, 1);
  if (t->client) return 1;
  memcpy(t->early_context, context, SHA256_DIGEST_LENGTH);
  int ok = SSL_set_quic_early_data_context(t->ssl, t->early_context, sizeof t->early_context);
  ERR_clear_error();
  return ok;
}

int bq_put_early(bq_tls *t) {
  if (!t->early_offered || t->told_early) return 1;
  t->told_early = 1;
  const char *reason = SSL_early_data_reason_string(SSL_get_early_data_reason(t->ssl));
  return bq_put(t, BQ_EV_EARLY_DATA, t->read_level, (uint16_t)(SSL_early_data_accepted(t->ssl) != 0), reason,
                reason == NULL ? 0 : strlen(reason));
}

// on_hello notes whether a ClientHello comes with 0-RTT, and what tells it from all others: its first ticket and the binder of that,
// which is a MAC over the whole. What is malformed here BoringSSL refuses later.
static enum ssl_select_cert_result_t on_hello(const SSL_CLIENT_HELLO *hello) {
  bq_tls *t = bq_of_ssl(hello->ssl);
  const uint8_t *p;
  size_t len;
  CBS psk, identities, binders, ticket, binder;
  if (!SSL_early_callback_ctx_extension_get(hello, TLSEXT_TYPE_early_data, &p, &len)) return ssl_select_cert_success;
  t->early_offered = 1;
  if (!SSL_early_callback_ctx_extension_get(hello, TLSEXT_TYPE_pre_shared_key, &p, &len)) return ssl_select_cert_success;
  CBS_init(&psk, p, len);
  if (!CBS_get_u16_length_prefixed(&psk, &identities) || !CBS_get_u16_length_prefixed(&identities, &ticket) ||
      !CBS_get_u16_length_prefixed(&psk, &binders) || !CBS_get_u8_length_prefixed(&binders, &binder)) {
    return ssl_select_cert_success;
  }
  SHA256_CTX sha;
  SHA256_Init(&sha);
  SHA256_Update(&sha, CBS_data(&ticket), CBS_len(&ticket));
  SHA256_Update(&sha, CBS_data(&binder), CBS_len(&binder));
  SHA256_Final(t->hello_id, &sha);
  t->has_hello_id = 1;
  return ssl_select_cert_success;
}

// A client's sessions.

// chain_len returns the bytes that the certificates of a session have.
static size_t chain_len(const SSL_SESSION *session) {
  const STACK_OF(CRYPTO_BUFFER) *chain = SSL_SESSION_get0_peer_certificates(session);
  size_t len = 0, n = chain == NULL ? 0 : sk_CRYPTO_BUFFER_num(chain);
  for (size_t i = 0; i < n; i++) len += CRYPTO_BUFFER_len(sk_CRYPTO_BUFFER_value(chain, i));
  return len;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session) {
  bq_tls *t = bq_of_ssl(ssl);
  if ((SSL_get_options(ssl) & SSL_OP_NO_TICKET) || t->sessions == MAX_SESSIONS) return 0;
  t->sessions++;
  const size_t room = MAX_SESSION_BYTES - t->session_bytes;
  const uint32_t lifetime = SSL_SESSION_get_timeout(session);
  uint8_t *p;
  size_t len;
  // RFC 8446, section 4.6.1: a lifetime of zero is that of a ticket to be thrown away.
  if (lifetime == 0 || chain_len(session) > room || !SSL_SESSION_to_bytes(session, &p, &len)) return 0;  // a session less
  if (len <= room) {
    const uint16_t early = (uint16_t)(SSL_SESSION_early_data_capable(session) != 0);
    uint8_t *out = bq_put_space(t, BQ_EV_SESSION, ssl_encryption_application, early, 4 + len);
    if (out != NULL) {
      for (int i = 0; i < 4; i++) out[i] = (uint8_t)(lifetime >> (24 - 8 * i));
      memcpy(out + 4, p, len);
      t->session_bytes += (uint32_t)len;
    }
  }
  OPENSSL_free(p);
  return 0;
}

int bq_tls_set_session(bq_tls *t, const uint8_t *in, size_t len, uint32_t *out_pending) {
  ERR_clear_error();
  SSL_SESSION *session = SSL_SESSION_from_bytes(in, len, SSL_get_SSL_CTX(t->ssl));
  int ok = session != NULL && SSL_set_session(t->ssl, session) && bq_put_peer_certs(t) &&
           bq_put(t, BQ_EV_ASK_SESSION, ssl_encryption_initial, 0, NULL, 0);
  SSL_SESSION_free(session);
  if (ok) t->waiting = 1;
  *out_pending = (uint32_t)t->events_len;
  ERR_clear_error();
  return ok;
}

void bq_sessions_init(SSL_CTX *ctx, int client) {
  SSL_CTX_set_session_cache_mode(ctx, client ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_psk_dhe_timeout(ctx, SESSION_LIFETIME);
  SSL_CTX_sess_set_new_cb(ctx, on_new_session);
  if (client) {
    SSL_CTX_set_reverify_on_resume(ctx, 1);
    return;
  }
  // One ticket for each connection, as crypto/tls has it. Each further one is 2 % of a handshake's cost.
  SSL_CTX_set_num_tickets(ctx, 1);
  SSL_CTX_set_ticket_aead_method(ctx, &ticket_method);
  SSL_CTX_set_select_certificate_cb(ctx, on_hello);
}
