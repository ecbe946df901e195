// Which BoringSSL is in the process. It is linked with a second one, or not.
#include "check.h"
#include <openssl/ssl.h>

int main(int argc, char **argv) {
  (void)argv;
  SSL_CTX *context = SSL_CTX_new(TLS_method());
  CHECK(context != NULL);
  SSL_CTX_free(context);
  bquic_memory memory = {.size = sizeof memory};
  if (argc > 1) {
    FAILS(bquic_init(NULL), BQUIC_ERR_BORINGSSL, "there are two BoringSSLs in the process");
    FAILS(bquic_memory_stats(&memory), BQUIC_ERR_BORINGSSL, "link the program with one of them");
  } else {
    GOOD(bquic_init(NULL));
    GOOD(bquic_memory_stats(&memory));
  }
  return 0;
}
