// Events: what a connection tells Go, in a buffer that Go drains.
#include "shim_tls.h"

#include <string.h>

#include <openssl/bytestring.h>
#include <openssl/mem.h>
#include <openssl/pool.h>

enum { EVENT_HEADER = 8 };

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

int bq_put_cbb(bq_tls *t, int kind, CBB *cbb, int ok) {
  ok = ok && CBB_flush(cbb) && bq_put(t, kind, t->read_level, 0, CBB_data(cbb), CBB_len(cbb));
  CBB_cleanup(cbb);
  return ok;
}

int bq_put_params(bq_tls *t) {
  if (t->told_params || (t->client && t->read_level == ssl_encryption_initial)) return 1;
  const uint8_t *p;
  size_t len;
  SSL_get_peer_quic_transport_params(t->ssl, &p, &len);
  t->told_params = 1;
  return bq_put(t, BQ_EV_PEER_PARAMS, t->read_level, 0, p, len);
}

int bq_put_info(bq_tls *t) {
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

int bq_put_cert_request(bq_tls *t) {
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

void bq_tls_drain(bq_tls *t, uint8_t *out, size_t out_len) {
  if (out_len > t->events_len) out_len = t->events_len;
  if (out_len > 0) memcpy(out, t->events, out_len);
  OPENSSL_free(t->events);
  t->events = NULL;
  t->events_len = t->events_cap = 0;
}
