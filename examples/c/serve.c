// serve ADDRESS PORT CHAIN KEY: a server of HTTP/3 that answers GET /N with N bytes. It prints the port that it listens on, and
// ends on SIGTERM, when its clients have been told.
#include "socket.h"
#include <arpa/inet.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

static uint8_t body[1 << 16];
static volatile sig_atomic_t ended;

static void on_signal(int number) {
  (void)number;
  ended = 1;
}

// The connections that there are, so that their clients can be told when the server ends.
static bquic_conn **conns;
static size_t conns_len, conns_room;

static void add(bquic_conn *conn) {
  if (conns_len == conns_room) {
    conns_room = conns_room ? 2 * conns_room : 64;
    conns = realloc(conns, conns_room * sizeof *conns);
    if (conns == NULL) {
      die("realloc");
    }
  }
  conns[conns_len++] = conn;
}

static void forget(const bquic_conn *conn) {
  for (size_t i = 0; i < conns_len; i++) {
    if (conns[i] == conn) {
      conns[i] = conns[--conns_len];
      return;
    }
  }
}

#define FIELD(n, v) {.name = (n), .value = (v), .name_len = sizeof(n) - 1, .value_len = sizeof(v) - 1}

// asked returns how many bytes a request wants, -1 if it is not one that we answer.
static int64_t asked(const bquic_h3_message *request) {
  int64_t n = -1;
  int get = 0;
  for (uint32_t i = 0; i < request->fields_len; i++) {
    const bquic_h3_field *f = &request->fields[i];
    char value[20] = "";
    if (f->value_len < sizeof value) {
      memcpy(value, f->value, f->value_len);
    }
    if (f->name_len == 7 && memcmp(f->name, ":method", 7) == 0) {
      get = strcmp(value, "GET") == 0;
    }
    if (f->name_len == 5 && memcmp(f->name, ":path", 5) == 0 && value[0] == '/') {
      n = strtoll(value + 1, NULL, 10);
    }
  }
  return get && n >= 0 ? n : -1;
}

// more writes what is left of an answer, which is the stream's number, as far as there is room.
static void more(bquic_conn *conn, uint64_t stream, uint64_t left) {
  int64_t n;
  do {
    size_t part = left < sizeof body ? left : sizeof body;
    n = bquic_stream_send(conn, stream, body, part, part == left ? BQUIC_FIN : 0);
    if (n < 0) {
      return; // the client does not want it, or is gone
    }
    left -= (uint64_t)n;
  } while (n == sizeof body);
  bquic_stream_set_user_data(conn, stream, left);
}

static void handle(const bquic_event *ev) {
  static const bquic_h3_field found[] = {FIELD(":status", "200"), FIELD("content-type", "application/octet-stream")};
  static const bquic_h3_field missing[] = {FIELD(":status", "404")};
  switch (ev->kind) {
    case BQUIC_EVENT_ACCEPTED:
      add(ev->conn);
      break;
    case BQUIC_EVENT_DRAINED:
      forget(ev->conn);
      break;
    case BQUIC_EVENT_REQUEST: {
      int64_t n = asked(ev->data);
      if (n < 0) {
        bquic_h3_respond(ev->conn, ev->stream, missing, 1, NULL, 0, BQUIC_FIN);
      } else if (bquic_h3_respond(ev->conn, ev->stream, found, 2, NULL, 0, n == 0 ? BQUIC_FIN : 0) >= 0 && n > 0) {
        more(ev->conn, ev->stream, (uint64_t)n);
      }
      break;
    }
    case BQUIC_EVENT_WRITABLE:
      more(ev->conn, ev->stream, ev->stream_data);
      break;
    case BQUIC_EVENT_READABLE: // a body that nobody wants
      bquic_stream_shutdown(ev->conn, ev->stream, BQUIC_READ | BQUIC_LATER, 0x100);
      break;
  }
}

int main(int argc, char **argv) {
  static loop l;
  bquic_addr addr = {.in4 = {.sin_family = AF_INET}};
  if (argc != 5 || inet_pton(AF_INET, argv[1], &addr.in4.sin_addr) != 1) {
    fprintf(stderr, "usage: serve ADDRESS PORT CHAIN KEY\n");
    return 2;
  }
  addr.in4.sin_port = htons((uint16_t)atoi(argv[2]));
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
  sigaction(SIGTERM, &action, NULL);

  bquic_config *config = bquic_config_new();
  good(bquic_config_set_u64(config, BQUIC_H3, 1), "settings");
  good(bquic_config_add_cert_files(config, argv[3], argv[4]), "certificate");
  int32_t status;
  l.endpoint = bquic_endpoint_new(config, &status);
  good(status, "endpoint");
  good(bquic_config_free(config), "settings");
  open_loop(&l, &addr);
  printf("%d\n", ntohs(l.local.in4.sin_port));
  fflush(stdout);

  int poll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, l.fd, &event) != 0) {
    die("epoll");
  }
  while (!ended) {
    int wait = turn(&l, handle);
    if (epoll_wait(poll, &event, 1, wait) < 0 && errno != EINTR) {
      die("epoll_wait");
    }
  }
  for (size_t i = 0; i < conns_len; i++) {
    bquic_conn_close(conns[i], 0, 0x100, NULL, 0);
  }
  turn(&l, handle); // which sends that
  good(bquic_endpoint_free(l.endpoint), "endpoint");
  free(conns);
  return 0;
}
