// A BoringSSL of its own, hidden, in a shared library.
#include <openssl/ssl.h>

__attribute__((visibility("default"))) SSL *make(void) {
  SSL_CTX *context = SSL_CTX_new(TLS_method());
  SSL *ssl = SSL_new(context);
  SSL_CTX_free(context);
  return ssl;
}

__attribute__((visibility("default"))) void unmake(SSL *ssl) { SSL_free(ssl); }
