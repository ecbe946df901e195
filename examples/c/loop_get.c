// loop_get HOST PORT PATH ROOTS [SECONDS]: get with the library's event loop, which has the socket: fetches https://HOST:PORT/PATH over HTTP/3,
// and writes the body to standard output. No call waits for longer than SECONDS, which is 10 where it is not told.
#include <boringquic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t good(int64_t status) {
  if (status < 0) {
    fprintf(stderr, "%s: %s\n", bquic_status_name((int32_t)status), bquic_error());
    exit(1);
  }
  return status;
}

static bquic_h3_field field(const char *name, const char *value) {
  return (bquic_h3_field){name, value, (uint32_t)strlen(name), (uint32_t)strlen(value)};
}

int main(int argc, char **argv) {
  static char to[300], body[65536];
  long seconds = argc == 6 ? strtol(argv[5], NULL, 10) : 10;
  if (argc < 5 || argc > 6 || seconds < 1 || seconds > 1000000) {
    fprintf(stderr, "usage: loop_get HOST PORT PATH ROOTS [SECONDS]\n");
    return 2;
  }
  uint64_t patience = (uint64_t)seconds * 1000000000; // ns
  snprintf(to, sizeof to, "%s:%s", argv[1], argv[2]);
  bquic_config *config = bquic_config_new();
  good(bquic_config_set_u64(config, BQUIC_H3, 1));
  good(bquic_config_add_roots_file(config, argv[4]));
  bquic_queue *queue = bquic_queue_new(NULL);
  bquic_dial_options options = {.size = sizeof options, .queue = queue};
  int32_t status;
  bquic_conn *conn = bquic_dial(config, to, &options, patience, &status);
  good(status);
  bquic_h3_field get[] = {field(":method", "GET"), field(":scheme", "https"), field(":authority", to), field(":path", argv[3])};
  uint64_t stream = (uint64_t)good(bquic_h3_request(conn, get, 4, NULL, 0, BQUIC_FIN, NULL));
  bquic_event ev = {0};
  while (ev.kind != BQUIC_EVENT_RESPONSE) {
    if (good(bquic_queue_wait(queue, &ev, 1, patience)) == 0 || ev.kind == BQUIC_EVENT_CLOSED) {
      fprintf(stderr, "there is no answer\n");
      return 1;
    }
  }
  int failed = ((const bquic_h3_message *)ev.data)->status != 200;
  for (uint32_t end = ev.flags & BQUIC_FIN; !end;) {
    fwrite(body, 1, (size_t)good(bquic_stream_read(conn, stream, body, sizeof body, &end, NULL, patience)), stdout);
  }
  good(bquic_conn_free(conn));
  good(bquic_queue_free(queue));
  good(bquic_config_free(config));
  return failed;
}
