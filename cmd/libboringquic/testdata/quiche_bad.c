// What quiche.h is given that is no good: an error and a sentence, and the connection lives on.
#include "quiche_pair.h"

static uint8_t buf[2000];

// SAYS wants a call to fail, with a sentence that holds a text.
#define SAYS(call, want, text)                                                                                                     \
  do {                                                                                                                             \
    long long got_ = (long long)(call);                                                                                            \
    if (got_ != (want) || strstr(bquic_error(), (text)) == NULL) {                                                                 \
      fprintf(stderr, "%s:%d: %s: %lld \"%s\", want %lld \"%s\"\n", __FILE__, __LINE__, #call, got_, bquic_error(), (long long)(want), (text)); \
      exit(1);                                                                                                                     \
    }                                                                                                                              \
  } while (0)

static void configs(void) {
  quiche_config *config = config_with("\4test");
  const size_t lengths[] = {SIZE_MAX, (size_t)1 << 62, (size_t)1 << 48, 65536};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    SAYS(quiche_config_set_application_protos(config, buf, lengths[i]), QUICHE_ERR_INVALID_STATE, "at most 65535");
    SAYS(quiche_config_set_ticket_key(config, buf, lengths[i]), QUICHE_ERR_INVALID_STATE, "at most 65535");
  }
  SAYS(quiche_config_set_application_protos(config, NULL, 1), QUICHE_ERR_INVALID_STATE, "NULL");
  quiche_conn_free(client_of(config, "localhost"));
  quiche_config_free(config);
}

int main(int argc, char *argv[]) {
  arguments(argc, argv);
  configs();
  IS(bquic_live_objects(), 0);
  return 0;
}
