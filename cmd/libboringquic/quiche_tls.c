// quiche.h: what is done to an SSL of the program's here. The rest the core does.
#include "../../crypto/internal/boring/compat.h"
#include <openssl/ssl.h>

#include "_cgo_export.h"
#include "quiche_internal.h"

void bq_quiche_free_ssl(void *ssl) { SSL_free(ssl); }

// part takes n bytes that stand behind their length, in eight bytes, from the front of a session.
static bool part(const uint8_t **p, size_t *left, const uint8_t **out, size_t *n) {
  if (*left < 8) {
    return false;
  }
  uint64_t len = 0;
  for (int i = 0; i < 8; i++) {
    len = len << 8 | (*p)[i];
  }
  if (len > *left - 8) {
    return false;
  }
  *out = *p + 8;
  *n = (size_t)len;
  *p += 8 + len;
  *left -= 8 + (size_t)len;
  return true;
}

// A session for an SSL of the program's is in two parts: what SSL_SESSION_to_bytes makes of BoringSSL's, and, for 0-RTT, the server's transport
// parameters (SSL_get_peer_quic_transport_params), which may be missing.
int bq_quiche_set_session(quiche_conn *conn, const uint8_t *buf, size_t n) {
  const uint8_t *ticket, *params = NULL;
  size_t ticket_len, params_len = 0;
  if (!part(&buf, &n, &ticket, &ticket_len) || (n > 0 && !part(&buf, &n, &params, &params_len))) {
    bq_fail(BQUIC_ERR_ARGUMENT, "this is no session: it is in two parts, each behind its length in eight bytes");
    return QUICHE_ERR_CRYPTO_FAIL;
  }
  if (conn->server || conn->begun) { // BoringSSL would end the process
    bq_fail(BQUIC_ERR_STATE, "a session is for a client that has not begun");
    return QUICHE_ERR_INVALID_STATE;
  }
  SSL_SESSION *session = SSL_SESSION_from_bytes(ticket, ticket_len, SSL_get_SSL_CTX(conn->ssl));
  int set = session != NULL && SSL_set_session(conn->ssl, session);
  SSL_SESSION_free(session);
  if (!set) {
    bq_fail(BQUIC_ERR_ARGUMENT, "this is no session of BoringSSL's");
    return QUICHE_ERR_CRYPTO_FAIL;
  }
  return params_len == 0 ? 0 : (int)bq_go_quiche_early_params(conn->handle, (uint8_t *)params, params_len);
}
