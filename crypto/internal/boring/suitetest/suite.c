#include "../compat.h"

#include "suite.h"

#include <openssl/bytestring.h>
#include <openssl/ssl.h>

// on_message sees each handshake message before it enters the transcript; the buffer is BoringSSL's own and not a constant.
static void on_message(int is_write, int version, int content_type, const void *buf, size_t len, SSL *ssl, void *arg) {
  const uint16_t suite = (uint16_t)(uintptr_t)arg;
  CBS cbs, body, session_id, suites;
  uint8_t type;
  CBS_init(&cbs, buf, len);
  if (!is_write || content_type != SSL3_RT_HANDSHAKE || !CBS_get_u8(&cbs, &type) || type != SSL3_MT_CLIENT_HELLO ||
      !CBS_get_u24_length_prefixed(&cbs, &body) || !CBS_skip(&body, 2 + SSL3_RANDOM_SIZE) ||
      !CBS_get_u8_length_prefixed(&body, &session_id) || !CBS_get_u16_length_prefixed(&body, &suites)) {
    return;
  }
  uint8_t *p = (uint8_t *)CBS_data(&suites);
  for (size_t i = 0; i + 1 < CBS_len(&suites); i += 2) {
    p[i] = (uint8_t)(suite >> 8);
    p[i + 1] = (uint8_t)suite;
  }
}

void bq_offer_only(void *ssl_ctx, uint16_t suite) {
  SSL_CTX_set_msg_callback(ssl_ctx, on_message);
  SSL_CTX_set_msg_callback_arg(ssl_ctx, (void *)(uintptr_t)suite);
}
