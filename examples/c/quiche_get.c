// quiche_get ADDRESS PORT PATH ROOTS: get, written as for quiche: fetches https://localhost:PORT/PATH over HTTP/3, from a server whose certificate
// is for localhost, and writes the body to standard output.
#include "quiche_socket.h"

static quiche_conn *conn;
static struct sockaddr_in local, remote;
static int done, failed;

static void take(uint8_t *data, size_t len, struct sockaddr_in *from) {
  quiche_recv_info info = {(struct sockaddr *)from, sizeof *from, (struct sockaddr *)&local, sizeof local};
  quiche_conn_recv(conn, data, len, &info); // what is no good is dropped, or closes the connection
}

static int look(uint8_t *name, size_t name_len, uint8_t *value, size_t value_len, void *argp) {
  (void)argp;
  if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
    fprintf(stderr, "status %.*s\n", (int)value_len, value);
    failed = value_len != 3 || memcmp(value, "200", 3) != 0;
  }
  return 0;
}

static void handle(quiche_h3_conn *http, int64_t stream, quiche_h3_event *ev) {
  static uint8_t buf[65536];
  ssize_t n;
  switch (quiche_h3_event_type(ev)) {
    case QUICHE_H3_EVENT_HEADERS:
      quiche_h3_event_for_each_header(ev, look, NULL);
      break;
    case QUICHE_H3_EVENT_DATA:
      while ((n = quiche_h3_recv_body(http, conn, (uint64_t)stream, buf, sizeof buf)) > 0) {
        fwrite(buf, 1, (size_t)n, stdout);
      }
      break;
    case QUICHE_H3_EVENT_RESET:
      failed = 1; // fall through
    case QUICHE_H3_EVENT_FINISHED:
      done = 1;
      break;
    default:
      break;
  }
}

int main(int argc, char **argv) {
  local = remote = (struct sockaddr_in){.sin_family = AF_INET};
  if (argc != 5 || inet_pton(AF_INET, argv[1], &remote.sin_addr) != 1) {
    fprintf(stderr, "usage: quiche_get ADDRESS PORT PATH ROOTS\n");
    return 2;
  }
  remote.sin_port = htons((uint16_t)atoi(argv[2]));
  quiche_config *config = settings();
  quiche_config_verify_peer(config, true);
  if (quiche_config_load_verify_locations_from_file(config, argv[4]) != 0) {
    fprintf(stderr, "%s holds no certificates\n", argv[4]);
    return 1;
  }
  int poll, fd = open_socket(&local, &poll);
  uint8_t id[ID_LEN];
  getrandom(id, sizeof id, 0);
  conn = quiche_connect("localhost", id, sizeof id, (struct sockaddr *)&local, sizeof local, (struct sockaddr *)&remote, sizeof remote, config);
  quiche_h3_config *http_config = quiche_h3_config_new();
  quiche_h3_conn *http = NULL;
  quiche_h3_header request[] = {field(":method", "GET"), field(":scheme", "https"), field(":authority", "localhost"), field(":path", argv[3])};

  while (!quiche_conn_is_closed(conn)) {
    send_all(fd, conn);
    struct epoll_event event;
    uint64_t ms = quiche_conn_timeout_as_millis(conn);
    if (epoll_wait(poll, &event, 1, ms > 60000 ? 60000 : (int)ms) == 0) {
      quiche_conn_on_timeout(conn);
    }
    receive(fd, take);
    if (http == NULL && quiche_conn_is_established(conn)) {
      http = quiche_h3_conn_new_with_transport(conn, http_config);
      quiche_h3_send_request(http, conn, request, 4, true);
    }
    quiche_h3_event *ev;
    int64_t stream;
    while (http != NULL && (stream = quiche_h3_conn_poll(http, conn, &ev)) >= 0) {
      handle(http, stream, ev);
      quiche_h3_event_free(ev);
    }
    if (done) {
      quiche_conn_close(conn, true, 0x100, NULL, 0);
      send_all(fd, conn);
      break;
    }
  }
  if (!done) {
    fprintf(stderr, "the connection is over before the answer\n");
  }
  if (http != NULL) {
    quiche_h3_conn_free(http);
  }
  quiche_conn_free(conn);
  quiche_h3_config_free(http_config);
  quiche_config_free(config);
  return failed || !done;
}
