// Connections over SSL objects that the program has made, with contexts, credentials and callbacks of its own: whether those work with X509 objects
// or with buffers is its own affair.
#include "shim_tls.h"

#include <string.h>

#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/mem.h>

// prepare makes the settings that QUIC prescribes (RFC 9001, section 4), and none else.
static int prepare(SSL *ssl, int client) {
  if (SSL_is_dtls(ssl) || !SSL_in_init(ssl)) {
    OPENSSL_PUT_ERROR(SSL, ERR_R_SHOULD_NOT_HAVE_BEEN_CALLED);
    return 0;
  }
  if (client) {
    SSL_set_connect_state(ssl);
  } else {
    SSL_set_accept_state(ssl);
  }
  SSL_set_quiet_shutdown(ssl, 1);
  SSL_set_quic_use_legacy_codepoint(ssl, 0);
  return SSL_set_min_proto_version(ssl, TLS1_3_VERSION) && SSL_set_max_proto_version(ssl, TLS1_3_VERSION) &&
         SSL_set_quic_method(ssl, &bq_quic_method);
}

bq_tls *bq_tls_adopt(uintptr_t address, int client, int *out_verdict) {
  SSL *ssl = (SSL *)address;
  *out_verdict = BQ_ADOPT_FAILED;
  if (ssl == NULL) return NULL;
  if (bq_of_ssl(ssl) != NULL) {
    *out_verdict = BQ_ADOPT_TAKEN;
    return NULL;
  }
  bq_tls *t = OPENSSL_zalloc(sizeof *t);
  if (t == NULL || !prepare(ssl, client) || !bq_bind(ssl, t)) {
    OPENSSL_free(t);
    SSL_free(ssl);
    return NULL;
  }
  t->ssl = ssl;
  t->client = client != 0;
  t->foreign = 1;
  bq_count(1);
  *out_verdict = BQ_ADOPTED;
  return t;
}

int bq_tls_restart(bq_tls *t) {
  // Tickets belong to the version of their connection (RFC 9369, section 5).
  if (!SSL_clear(t->ssl) || !SSL_set_session(t->ssl, NULL)) return 0;
  OPENSSL_free(t->events);
  t->events = NULL;
  t->events_len = t->events_cap = 0;
  t->read_level = ssl_encryption_initial;
  t->suite = 0;
  t->stalled = t->told_params = t->early_offered = t->told_early = t->complete = t->lost = t->has_alert = t->last_message = 0;
  return 1;
}

int bq_tls_set_early_context(bq_tls *t, const uint8_t *context, size_t len) {
  return SSL_set_quic_early_data_context(t->ssl, context, len);
}

uint32_t bq_tls_put_certs(bq_tls *t) {
  bq_put_peer_certs(t);
  return (uint32_t)t->events_len;
}

const uint8_t *bq_tls_alpn(const bq_tls *t, size_t *out_len) {
  const uint8_t *alpn;
  unsigned len;
  SSL_get0_alpn_selected(t->ssl, &alpn, &len);
  *out_len = len;
  return alpn;
}

const uint8_t *bq_tls_peer_params(const bq_tls *t, size_t *out_len) {
  const uint8_t *p;
  SSL_get_peer_quic_transport_params(t->ssl, &p, out_len);
  return p;
}

int bq_tls_export(const bq_tls *t, uint8_t *out, size_t len, const char *label, size_t label_len, const uint8_t *context,
                  size_t context_len) {
  return SSL_export_keying_material(t->ssl, out, len, label, label_len, context, context_len, 1);
}
