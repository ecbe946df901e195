// get ADDRESS PORT PATH ROOTS: fetches https://localhost:PORT/PATH over HTTP/3, from a server whose certificate is for localhost, and writes
// the body to standard output.
#include "socket.h"
#include <arpa/inet.h>
#include <poll.h>

#define FIELD(n, v) {.name = (n), .value = (v), .name_len = sizeof(n) - 1, .value_len = sizeof(v) - 1}

static const char *path;
static int done, failed;

// lost ends the program: there is no whole answer.
static void lost(const char *why) {
  if (!done) {
    fprintf(stderr, "the answer has not come: %s\n", why);
    failed = done = 1;
  }
}

static void handle(const bquic_event *ev) {
  static uint8_t buf[65536];
  switch (ev->kind) {
    case BQUIC_EVENT_HANDSHAKE_COMPLETE: {
      bquic_h3_field request[] = {
          FIELD(":method", "GET"), FIELD(":scheme", "https"), FIELD(":authority", "localhost"),
          {.name = ":path", .name_len = 5, .value = path, .value_len = (uint32_t)strlen(path)},
      };
      good(bquic_h3_request(ev->conn, request, 4, NULL, 0, BQUIC_FIN, NULL), "request");
      break;
    }
    case BQUIC_EVENT_RESPONSE: {
      const bquic_h3_message *response = ev->data;
      failed = response->status != 200;
      fprintf(stderr, "status %d\n", response->status);
      if (ev->flags & BQUIC_FIN) {
        done = 1;
      }
      break;
    }
    case BQUIC_EVENT_READABLE: {
      int64_t n = 1;
      uint32_t flags;
      while (!done && n > 0) {
        n = bquic_stream_recv(ev->conn, ev->stream, buf, sizeof buf, &flags, NULL);
        if (n < 0) {
          lost(bquic_error());
        } else {
          fwrite(buf, 1, (size_t)n, stdout);
          done = flags & BQUIC_FIN;
        }
      }
      break;
    }
    case BQUIC_EVENT_STREAM_RESET:
      lost("the server has reset it");
      break;
    case BQUIC_EVENT_STREAM_FINISHED:
      lost("it was no valid message of HTTP/3");
      break;
    case BQUIC_EVENT_CLOSED: {
      bquic_conn_end end = {.size = sizeof end};
      good(bquic_conn_error(ev->conn, &end), "error");
      lost(end.reason);
      break;
    }
  }
}

int main(int argc, char **argv) {
  static loop l;
  bquic_addr any = {.in4 = {.sin_family = AF_INET}};
  bquic_connect connect = {.size = sizeof connect, .server_name = "localhost", .remote = {.in4 = {.sin_family = AF_INET}}};
  if (argc != 5 || inet_pton(AF_INET, argv[1], &connect.remote.in4.sin_addr) != 1) {
    fprintf(stderr, "usage: get ADDRESS PORT PATH ROOTS\n");
    return 2;
  }
  connect.remote.in4.sin_port = htons((uint16_t)atoi(argv[2]));
  path = argv[3];

  bquic_config *config = bquic_config_new();
  good(bquic_config_set_u64(config, BQUIC_H3, 1), "settings");
  good(bquic_config_add_roots_file(config, argv[4]), "roots");
  int32_t status;
  l.endpoint = bquic_endpoint_new(NULL, &status);
  good(status, "endpoint");
  open_loop(&l, &any);
  l.local = (bquic_addr){0}; // which of our addresses it is does not matter
  bquic_conn *conn = bquic_endpoint_connect(l.endpoint, config, &connect, &status);
  good(status, "connect");

  struct pollfd wait = {.fd = l.fd, .events = POLLIN};
  while (!done) {
    int ms = turn(&l, handle);
    if (!done && poll(&wait, 1, ms) < 0 && errno != EINTR) {
      die("poll");
    }
  }
  bquic_conn_close(conn, 0, 0x100, NULL, 0);
  turn(&l, handle);
  good(bquic_endpoint_free(l.endpoint), "endpoint");
  good(bquic_config_free(config), "settings");
  if (fflush(stdout) != 0 || ferror(stdout)) {
    die("standard output");
  }
  return failed;
}
