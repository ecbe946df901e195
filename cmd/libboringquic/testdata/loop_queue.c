// The event loop by events: one thread, an epoll, many connections; HTTP/3; and when the descriptor is readable.
#include "loop.h"
#include <poll.h>
#include <sys/epoll.h>

enum { MOST = 60000, ROOM = 64 };

static bquic_config *config;

// peer is a client's connection, with its stream and what has come back.
typedef struct peer {
  bquic_conn *conn;
  uint64_t seed, sum, want;
  size_t len, sent, got;
  int64_t stream;
} peer;

static int finished, drained, accepted;

// send_on writes what there is room for.
static void send_on(peer *p) {
  uint8_t piece[7000];
  while (p->sent < p->len) {
    size_t n = p->len - p->sent < sizeof piece ? p->len - p->sent : sizeof piece;
    for (size_t i = 0; i < n; i++) {
      piece[i] = (uint8_t)(p->seed >> (i % 8 * 8)) ^ (uint8_t)(p->sent + i);
    }
    int64_t took = GOOD(bquic_stream_send(p->conn, (uint64_t)p->stream, piece, n, p->sent + n == p->len ? BQUIC_FIN : 0));
    p->want = sum(p->want, piece, (size_t)took);
    p->sent += (size_t)took;
    if (took < (int64_t)n) {
      return; // EVENT_WRITABLE
    }
  }
}

static void on_client(const bquic_event *ev) {
  peer *p = (peer *)ev->user_data;
  uint8_t buf[5000];
  uint32_t flags = 0;
  int64_t n;
  switch (ev->kind) {
    case BQUIC_EVENT_HANDSHAKE_COMPLETE:
      CHECK(ev->conn == p->conn);
      p->stream = GOOD(bquic_stream_open(p->conn, 0));
      send_on(p);
      break;
    case BQUIC_EVENT_WRITABLE:
      send_on(p);
      break;
    case BQUIC_EVENT_READABLE:
      do {
        n = bquic_stream_recv(p->conn, ev->stream, buf, sizeof buf, &flags, NULL);
        CHECK(n >= 0 || n == BQUIC_ERR_STREAM || n == BQUIC_ERR_CLOSED); // an event before has had it read to its end
        if (n <= 0) {
          break;
        }
        p->sum = sum(p->sum, buf, (size_t)n);
        p->got += (size_t)n;
      } while (!(flags & BQUIC_FIN));
      if (flags & BQUIC_FIN) {
        CHECK(p->sent == p->len && p->got == p->len && p->sum == p->want);
        finished++;
        GOOD(bquic_conn_close(p->conn, 0, 0, NULL, 0));
      }
      break;
    case BQUIC_EVENT_CLOSED:
      CHECK(p->got == p->len);
      break;
    case BQUIC_EVENT_DRAINED:
      drained++;
      break;
  }
}

// What the server could not send back yet is stored with the stream.
typedef struct rest {
  uint32_t fin;
  int64_t n, off;
  uint8_t buf[3000];
} rest;

static void echo(bquic_conn *conn, uint64_t stream, rest *r) {
  for (;;) {
    if (r->off == r->n && !r->fin) {
      r->off = 0;
      r->n = bquic_stream_recv(conn, stream, r->buf, sizeof r->buf, &r->fin, NULL);
      if (r->n < 0 || (r->n == 0 && !r->fin)) {
        r->n = 0;
        return;
      }
    }
    int64_t took = bquic_stream_send(conn, stream, r->buf + r->off, (size_t)(r->n - r->off), r->fin);
    if (took < 0) {
      return;
    }
    r->off += took;
    if (r->off < r->n || r->fin) {
      return;
    }
  }
}

static void on_server(const bquic_event *ev) {
  rest *r = (rest *)ev->stream_data;
  switch (ev->kind) {
    case BQUIC_EVENT_ACCEPTED:
      accepted++;
      break;
    case BQUIC_EVENT_STREAM_OPENED:
      r = calloc(1, sizeof *r);
      GOOD(bquic_stream_set_user_data(ev->conn, ev->stream, (uint64_t)(uintptr_t)r));
      echo(ev->conn, ev->stream, r);
      break;
    case BQUIC_EVENT_READABLE:
    case BQUIC_EVENT_WRITABLE:
      if (r != NULL) {
        echo(ev->conn, ev->stream, r);
      }
      break;
    case BQUIC_EVENT_STREAM_FINISHED:
      free(r);
      break;
    case BQUIC_EVENT_DRAINED:
      drained++;
      break;
  }
}

// many has n connections echo at once, in one thread that waits in epoll alone.
static void many(int n, uint32_t how) {
  bquic_queue *queues[] = {bquic_queue_new(NULL), bquic_queue_new(NULL)};
  bquic_socket *server = listen_at(config, "127.0.0.1:0", queues[0]), *clients = bquic_listen(NULL, "127.0.0.1:0", NULL, NULL);
  CHECK(clients != NULL);
  char to[64];
  where(server, to);
  peer *peers = calloc((size_t)n, sizeof *peers);
  uint64_t seed = 88172645463325252;
  printf("seed %" PRIu64 "\n", seed);
  for (int i = 0; i < n; i++) {
    peers[i] = (peer){.seed = random_from(&seed), .len = 1 + random_from(&seed) % MOST, .sum = 1, .want = 1};
    bquic_dial_options options = {
        .size = sizeof options, .server_name = "localhost", .queue = queues[1], .socket = clients, .user_data = (uint64_t)(uintptr_t)&peers[i],
    };
    peers[i].conn = bquic_dial(config, to, &options, 0, NULL);
    CHECK(peers[i].conn != NULL);
  }
  int poll = epoll_create1(EPOLL_CLOEXEC);
  for (uint32_t i = 0; i < 2; i++) {
    struct epoll_event ev = {.events = EPOLLIN | how, .data.u32 = i};
    CHECK(epoll_ctl(poll, EPOLL_CTL_ADD, bquic_queue_fd(queues[i]), &ev) == 0);
  }
  finished = drained = accepted = 0;
  while (drained < 2 * n) {
    struct epoll_event ready[2];
    int count = epoll_wait(poll, ready, 2, 20000);
    if (count == 0) { // something was not told
      fprintf(stderr, "accepted %d, finished %d, drained %d of %d\n", accepted, finished, drained, 2 * n);
      exit(1);
    }
    for (int i = 0; i < count; i++) {
      bquic_event events[ROOM];
      int got;
      do {
        got = (int)GOOD(bquic_queue_wait(queues[ready[i].data.u32], events, ROOM, 0));
        for (int j = 0; j < got; j++) {
          (ready[i].data.u32 ? on_client : on_server)(&events[j]);
        }
      } while (how & EPOLLET && got > 0);
    }
  }
  CHECK(finished == n && accepted == n);
  bquic_event none;
  for (int i = 0; i < 2; i++) {
    CHECK(bquic_queue_wait(queues[i], &none, 1, 0) == 0); // which frees those that are drained
    GOOD(bquic_queue_free(queues[i]));
  }
  close(poll);
  GOOD(bquic_socket_free(server));
  GOOD(bquic_socket_free(clients));
  CHECK(bquic_live_objects() == 1); // config
  free(peers);
}

static int readable(bquic_queue *queue) {
  struct pollfd fd = {.fd = bquic_queue_fd(queue), .events = POLLIN};
  return poll(&fd, 1, 0);
}

static void *wait_for_nothing(void *queue) {
  bquic_event event;
  int32_t got;
  while ((got = bquic_queue_wait(queue, &event, 1, SECONDS(20))) == BQUIC_ERR_BUSY) {
  }
  CHECK(got == BQUIC_ERR_HANDLE);
  return NULL;
}

// The descriptor is readable while there is something to be told, and not longer; and one thread at a time waits.
static void descriptor(void) {
  bquic_queue *queue = bquic_queue_new(NULL);
  bquic_socket *server = listen_at(config, "127.0.0.1:0", queue);
  char to[64];
  CHECK(!readable(queue));
  bquic_conn *client = dial(config, where(server, to), NULL, NULL, SECONDS(20));
  bquic_event event;
  CHECK(bquic_queue_wait(queue, &event, 1, SECONDS(20)) == 1 && event.kind == BQUIC_EVENT_ACCEPTED && event.user_data == 0);
  bquic_conn *conn = event.conn;
  GOOD(bquic_conn_set_user_data(conn, 7));
  int kinds = 0;
  while (kinds != 3) {
    CHECK(bquic_queue_wait(queue, &event, 1, SECONDS(20)) == 1 && event.conn == conn && event.user_data == 7);
    kinds |= event.kind == BQUIC_EVENT_HANDSHAKE_COMPLETE ? 1 : event.kind == BQUIC_EVENT_CONFIRMED ? 2 : 0;
  }
  while (bquic_queue_wait(queue, &event, 1, 0) > 0) {
  }
  CHECK(!readable(queue));
  uint64_t begin = bquic_now();
  CHECK(bquic_queue_wait(queue, &event, 1, 20000000) == 0 || event.kind == BQUIC_EVENT_MTU);
  CHECK(event.kind == BQUIC_EVENT_MTU || bquic_now() - begin >= 20000000);
  int64_t id = GOOD(bquic_stream_open(client, 0));
  GOOD(bquic_stream_send(client, (uint64_t)id, "hello", 5, 0));
  while (!readable(queue)) {
    usleep(1000);
  }
  for (int i = 0; i < 100; i++) {
    CHECK(readable(queue)); // it stays so
  }
  // The other ways to the same stream.
  uint8_t buf[10];
  uint32_t flags;
  CHECK(GOOD(bquic_stream_accept(conn, 0, SECONDS(20))) == id);
  CHECK(GOOD(bquic_stream_read(conn, (uint64_t)id, buf, sizeof buf, &flags, NULL, SECONDS(20))) == 5);
  pthread_t thread;
  while (bquic_queue_wait(queue, &event, 1, 0) > 0) {
  }
  CHECK(pthread_create(&thread, NULL, wait_for_nothing, queue) == 0);
  int32_t status;
  while ((status = bquic_queue_wait(queue, &event, 1, 0)) != BQUIC_ERR_BUSY) {
    CHECK(status >= 0);
  }
  CHECK(strstr(bquic_error(), "another thread is waiting") != NULL);
  GOOD(bquic_queue_free(queue));
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(bquic_queue_fd(queue) == BQUIC_ERR_HANDLE);
  GOOD(bquic_stream_send(conn, (uint64_t)id, "and on", 6, 0)); // without its queue
  CHECK(GOOD(bquic_stream_read(client, (uint64_t)id, buf, sizeof buf, &flags, NULL, SECONDS(20))) == 6);
  GOOD(bquic_conn_free(conn));
  GOOD(bquic_conn_free(client));
  GOOD(bquic_socket_free(server));
}

// forsaken frees a queue whose connections were not told of, the socket before or behind it: the clients hear of it, and nothing stays. hurry has the
// clients still be on their way then.
static void forsaken(int socket_first, int hurry) {
  enum { MANY = 10 };
  int64_t before = bquic_live_objects();
  bquic_queue *queue = bquic_queue_new(NULL);
  bquic_socket *server = listen_at(config, "127.0.0.1:0", queue), *clients = bquic_listen(NULL, "127.0.0.1:0", NULL, NULL);
  bquic_conn *conns[MANY];
  char to[64];
  where(server, to);
  for (int i = 0; i < MANY; i++) {
    conns[i] = hurry ? NULL : dial(config, to, NULL, clients, SECONDS(20));
    if (hurry) {
      bquic_dial_options options = {.size = sizeof options, .server_name = "localhost", .socket = clients};
      CHECK((conns[i] = bquic_dial(config, to, &options, 0, NULL)) != NULL);
    }
  }
  while (!readable(queue)) {
    usleep(100);
  }
  if (socket_first) {
    GOOD(bquic_socket_free(server));
  }
  GOOD(bquic_queue_free(queue));
  for (int i = 0; i < MANY; i++) {
    int32_t got = bquic_conn_wait(conns[i], BQUIC_WAIT_CLOSED, SECONDS(20));
    CHECK(got == BQUIC_OK || (hurry && got == BQUIC_ERR_CLOSED)); // the latter if it was refused
  }
  if (!socket_first) {
    // A later client is refused, before it hears that the handshake is complete or after.
    bquic_dial_options options = {.size = sizeof options, .server_name = "localhost", .socket = clients};
    bquic_conn *late = bquic_dial(config, to, &options, 0, NULL);
    bquic_conn_end end = {.size = sizeof end};
    int32_t got = bquic_conn_wait(late, BQUIC_WAIT_CLOSED, SECONDS(20));
    CHECK(got == BQUIC_OK || got == BQUIC_ERR_CLOSED);
    GOOD(bquic_conn_error(late, &end));
    CHECK(strstr(end.reason, "nobody accepts connections any more") != NULL);
    GOOD(bquic_conn_free(late));
    GOOD(bquic_socket_free(server));
  }
  for (int i = 0; i < MANY; i++) {
    GOOD(bquic_conn_free(conns[i]));
  }
  GOOD(bquic_socket_free(clients));
  CHECK(bquic_live_objects() == before);
}

// HTTP/3: heads are events; bodies are read and written by calls that wait.

#define FIELD(n, v) {.name = (n), .value = (v), .name_len = sizeof(n) - 1, .value_len = sizeof(v) - 1}

enum { BODY = 3000000 };

typedef struct answer {
  bquic_conn *conn;
  uint64_t stream;
} answer;

// reply reads the body of a request, and answers with it, or with as much as it was asked for.
static void *reply(void *given) {
  static const bquic_h3_field ok[] = {FIELD(":status", "200"), FIELD("server", "test")};
  answer *a = given;
  uint8_t *body = malloc(BODY);
  uint32_t flags = 0;
  int64_t n = 0;
  while (!(flags & BQUIC_FIN)) {
    n += GOOD(bquic_stream_read(a->conn, a->stream, body + n, (size_t)(BODY - n), &flags, NULL, SECONDS(20)));
  }
  GOOD(bquic_h3_respond(a->conn, a->stream, ok, 2, NULL, 0, 0));
  CHECK(GOOD(bquic_stream_write(a->conn, a->stream, body, (size_t)n, BQUIC_FIN, SECONDS(20))) == n);
  free(body);
  free(a);
  return NULL;
}

static void *serve(void *queue) {
  bquic_event events[ROOM];
  int32_t n;
  pthread_t threads[16];
  int started = 0;
  while ((n = bquic_queue_wait(queue, events, ROOM, EVER)) > 0) {
    for (int i = 0; i < n; i++) {
      if (events[i].kind == BQUIC_EVENT_REQUEST) {
        const bquic_h3_message *m = events[i].data;
        CHECK(m->fields_len == 4 && memcmp(m->fields[0].value, "POST", 4) == 0);
        answer *a = malloc(sizeof *a);
        *a = (answer){events[i].conn, events[i].stream};
        CHECK(started < 16);
        CHECK(pthread_create(&threads[started++], NULL, reply, a) == 0);
      }
    }
  }
  CHECK(n == BQUIC_ERR_HANDLE);
  while (started > 0) {
    CHECK(pthread_join(threads[--started], NULL) == 0);
  }
  return NULL;
}

static void http(char **argv) {
  bquic_config *h3 = settings(argv, "h3");
  GOOD(bquic_config_set_u64(h3, BQUIC_H3, 1));
  int32_t status = 1;
  CHECK(bquic_listen(h3, "127.0.0.1:0", NULL, &status) == NULL);
  FAILS((int64_t)status, BQUIC_ERR_CONFIG, "there must be a bquic_queue");
  bquic_queue *at_server = bquic_queue_new(NULL), *at_client = bquic_queue_new(NULL);
  bquic_socket *server = listen_at(h3, "127.0.0.1:0", at_server);
  char to[64];
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, serve, at_server) == 0);
  bquic_conn *conn = dial(h3, where(server, to), at_client, NULL, SECONDS(20));
  FAILS(bquic_stream_accept(conn, 0, 0), BQUIC_ERR_STATE, "BQUIC_EVENT_REQUEST");
  bquic_h3_field request[] = {FIELD(":method", "POST"), FIELD(":scheme", "https"), FIELD(":authority", "localhost"), FIELD(":path", "/")};
  uint8_t *body = malloc(BODY), *back = malloc(BODY);
  for (int i = 0; i < BODY; i++) {
    body[i] = (uint8_t)(i * 2654435761u >> 24);
  }
  for (int round = 0; round < 3; round++) {
    size_t len = round == 0 ? 0 : round == 1 ? 1 : BODY;
    uint64_t id = (uint64_t)GOOD(bquic_h3_request(conn, request, 4, NULL, 0, len == 0 ? BQUIC_FIN : 0, NULL));
    if (len > 0) {
      CHECK(GOOD(bquic_stream_write(conn, id, body, len, BQUIC_FIN, SECONDS(20))) == (int64_t)len);
    }
    bquic_event ev = {0};
    while (ev.kind != BQUIC_EVENT_RESPONSE) {
      CHECK(GOOD(bquic_queue_wait(at_client, &ev, 1, SECONDS(20))) == 1);
    }
    const bquic_h3_message *m = ev.data;
    CHECK(ev.stream == id && m->status == 200 && m->fields_len == 2 && memcmp(m->fields[1].value, "test", 4) == 0);
    uint32_t flags = ev.flags;
    size_t got = 0;
    while (!(flags & BQUIC_FIN)) {
      got += (size_t)GOOD(bquic_stream_read(conn, id, back + got, BODY - got + (got == BODY), &flags, NULL, SECONDS(20)));
    }
    CHECK(got == len && memcmp(back, body, len) == 0);
  }
  GOOD(bquic_conn_wait(conn, BQUIC_WAIT_DELIVERED, SECONDS(20)));
  GOOD(bquic_conn_free(conn));
  GOOD(bquic_socket_free(server));
  GOOD(bquic_queue_free(at_server));
  GOOD(bquic_queue_free(at_client));
  CHECK(pthread_join(thread, NULL) == 0);
  GOOD(bquic_config_free(h3));
  free(body);
  free(back);
}

// session waits for a session of a connection, and returns it in memory of the caller's.
static bquic_bytes session(bquic_queue *queue) {
  bquic_event ev = {0};
  while (ev.kind != BQUIC_EVENT_SESSION) {
    CHECK(GOOD(bquic_queue_wait(queue, &ev, 1, SECONDS(20))) == 1);
  }
  uint8_t *copy = malloc(ev.data_len);
  memcpy(copy, ev.data, ev.data_len);
  return (bquic_bytes){copy, ev.data_len};
}

static void *take_one(void *socket) {
  uint8_t buf[20];
  uint32_t flags = 0;
  bquic_conn *conn = bquic_accept(socket, SECONDS(20), NULL);
  CHECK(conn != NULL);
  uint64_t id = (uint64_t)GOOD(bquic_stream_accept(conn, 0, SECONDS(20)));
  int64_t n = 0;
  while (!(flags & BQUIC_FIN)) {
    n += GOOD(bquic_stream_read(conn, id, buf + n, sizeof buf - (size_t)n, &flags, NULL, SECONDS(20)));
  }
  GOOD(bquic_stream_write(conn, id, buf, (size_t)n, BQUIC_FIN, SECONDS(20)));
  GOOD(bquic_conn_wait(conn, BQUIC_WAIT_DELIVERED, SECONDS(20)));
  GOOD(bquic_conn_free(conn));
  return NULL;
}

// A session of one connection is what the next one begins with, and sends its request with, before the handshake is complete.
static void resumes(char **argv) {
  bquic_config *early = settings(argv, "echo");
  GOOD(bquic_config_set_u64(early, BQUIC_EARLY_DATA, 1));
  bquic_socket *server = listen_at(early, "127.0.0.1:0", NULL);
  bquic_queue *queue = bquic_queue_new(NULL);
  bquic_dial_options options = {.size = sizeof options, .server_name = "localhost", .queue = queue};
  char to[64];
  where(server, to);
  for (int round = 0; round < 2; round++) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, take_one, server) == 0);
    bquic_conn *conn = bquic_dial(early, to, &options, SECONDS(20), NULL);
    CHECK(conn != NULL);
    uint8_t buf[20];
    uint32_t flags = 0;
    bquic_conn_state state = {.size = sizeof state};
    GOOD(bquic_conn_info(conn, &state));
    CHECK(round == 0 ? state.early_data == 0 : state.early_data == 1 || state.early_data == 2); // offered, and accepted if the server was quick
    uint64_t id = (uint64_t)GOOD(bquic_stream_open(conn, 0));
    CHECK(GOOD(bquic_stream_write(conn, id, "request", 7, BQUIC_FIN, SECONDS(20))) == 7);
    while (!(flags & BQUIC_FIN)) {
      GOOD(bquic_stream_read(conn, id, buf, sizeof buf, &flags, NULL, SECONDS(20)));
    }
    GOOD(bquic_conn_wait(conn, BQUIC_WAIT_CLOSED, SECONDS(20)));
    GOOD(bquic_conn_wait(conn, BQUIC_WAIT_HANDSHAKE, 0)); // it was complete before that
    GOOD(bquic_conn_info(conn, &state));
    CHECK(state.early_data == (round ? 2u : 0u) && !(state.flags & BQUIC_CONN_RESUMED) == !round);
    if (round == 0) {
      options.session = session(queue);
      options.flags = BQUIC_DIAL_EARLY | BQUIC_DIAL_RESEND | BQUIC_DIAL_FOLLOW;
    }
    GOOD(bquic_conn_free(conn));
    CHECK(pthread_join(thread, NULL) == 0);
  }
  free((void *)options.session.data);
  GOOD(bquic_queue_free(queue));
  GOOD(bquic_socket_free(server));
  GOOD(bquic_config_free(early));
}

// A connection of which BQUIC_EVENT_DRAINED was told last is freed by whichever call of its queue comes next, the one that frees the queue, too.
static void told_last(void) {
  int64_t before = bquic_live_objects();
  bquic_queue *queue = bquic_queue_new(NULL), *at_server = bquic_queue_new(NULL);
  bquic_socket *server = listen_at(config, "127.0.0.1:0", at_server);
  char to[64];
  bquic_conn *conn = dial(config, where(server, to), queue, NULL, SECONDS(20));
  GOOD(bquic_conn_close(conn, 0, 0, NULL, 0));
  bquic_queue *all[] = {queue, at_server};
  for (int i = 0; i < 2; i++) {
    bquic_event ev = {0};
    while (ev.kind != BQUIC_EVENT_DRAINED) {
      CHECK(GOOD(bquic_queue_wait(all[i], &ev, 1, SECONDS(20))) == 1);
    }
    GOOD(bquic_queue_free(all[i]));
    FAILS(bquic_conn_free(ev.conn), BQUIC_ERR_HANDLE, "it was freed");
  }
  GOOD(bquic_socket_free(server));
  CHECK(bquic_live_objects() == before);
}

// with_stream returns a client of s that has sent on a stream, of which the event tells that it was opened.
static bquic_conn *with_stream(bquic_socket *s, bquic_queue *queue, bquic_event *event) {
  char to[64];
  bquic_conn *client = dial(config, where(s, to), NULL, NULL, SECONDS(20));
  uint64_t id = (uint64_t)GOOD(bquic_stream_open(client, 0));
  GOOD(bquic_stream_send(client, id, "x", 1, 0));
  event->kind = 0;
  while (event->kind != BQUIC_EVENT_STREAM_OPENED) {
    CHECK(bquic_queue_wait(queue, event, 1, SECONDS(20)) == 1);
  }
  CHECK(event->stream == id);
  return client;
}

// What was stored for a stream comes with what is told afterwards, also if it had happened before.
static void stored_late(void) {
  bquic_queue *queue = bquic_queue_new(NULL);
  bquic_socket *s = listen_at(config, "127.0.0.1:0", queue);
  bquic_event event;
  bquic_conn *client = with_stream(s, queue, &event);
  uint64_t id = event.stream;
  GOOD(bquic_stream_set_user_data(event.conn, event.stream, 77));
  CHECK(event.stream_data == 0 && bquic_queue_wait(queue, &event, 1, SECONDS(20)) == 1);
  CHECK(event.kind == BQUIC_EVENT_READABLE && event.stream == id && event.stream_data == 77);
  GOOD(bquic_conn_free(event.conn));
  GOOD(bquic_conn_free(client));
  GOOD(bquic_socket_free(s));
  GOOD(bquic_queue_free(queue));
}

// over_meanwhile has a stream come to its end while events of it wait: what was stored before comes with them all the same.
static void over_meanwhile(void) {
  bquic_queue *queue = bquic_queue_new(NULL);
  bquic_socket *s = listen_at(config, "127.0.0.1:0", queue);
  bquic_event event;
  bquic_conn *client = with_stream(s, queue, &event);
  uint64_t id = event.stream;
  CHECK(bquic_stream_set_user_data(event.conn, id, 76) == 1 && bquic_stream_set_user_data(event.conn, id, 77) == 1);
  GOOD(bquic_stream_shutdown(event.conn, id, BQUIC_READ | BQUIC_WRITE, 1));
  GOOD(bquic_stream_shutdown(client, id, BQUIC_READ | BQUIC_WRITE, 1));
  while (GOOD(bquic_stream_set_user_data(event.conn, id, 77)) == 1) {
    usleep(1000);
  }
  CHECK(bquic_queue_wait(queue, &event, 1, SECONDS(20)) == 1 && event.kind == BQUIC_EVENT_READABLE && event.stream == id);
  CHECK(event.stream_data == 77);
  while (event.kind != BQUIC_EVENT_STREAM_FINISHED) {
    CHECK(bquic_queue_wait(queue, &event, 1, SECONDS(20)) == 1);
    CHECK(event.stream != id || event.stream_data == 77 || event.kind == BQUIC_EVENT_MTU || event.kind == BQUIC_EVENT_PATH);
  }
  GOOD(bquic_conn_free(event.conn));
  GOOD(bquic_conn_free(client));
  GOOD(bquic_socket_free(s));
  GOOD(bquic_queue_free(queue));
}

static atomic_int waited; // wait_once has returned from it

// wait_once waits for the first event of a queue, and frees its connection if it is told of one.
static void *wait_once(void *queue) {
  bquic_event event;
  int32_t got = bquic_queue_wait(queue, &event, 1, SECONDS(20));
  atomic_store(&waited, 1);
  if (got == 1) {
    GOOD(bquic_conn_free(event.conn));
  } else {
    CHECK(got == BQUIC_ERR_HANDLE);
  }
  return NULL;
}

// freed_meanwhile frees a queue at the moment that a thread takes BQUIC_EVENT_ACCEPTED out of it: the connection is the program's, or gone.
static void freed_meanwhile(void) {
  bquic_socket *clients = bquic_listen(NULL, "127.0.0.1:0", NULL, NULL);
  for (int i = 0; i < 200; i++) {
    int64_t before = bquic_live_objects();
    bquic_queue *queue = bquic_queue_new(NULL);
    bquic_socket *server = listen_at(config, "127.0.0.1:0", queue);
    char to[64];
    pthread_t thread;
    atomic_store(&waited, 0);
    CHECK(pthread_create(&thread, NULL, wait_once, queue) == 0);
    bquic_conn *conn = dial(config, where(server, to), NULL, clients, 0);
    while (!readable(queue) && !atomic_load(&waited)) {
    }
    while (i % 2 == 0 && readable(queue) && !atomic_load(&waited)) {
    }
    GOOD(bquic_queue_free(queue));
    CHECK(pthread_join(thread, NULL) == 0);
    GOOD(bquic_conn_free(conn));
    GOOD(bquic_socket_free(server));
    CHECK(bquic_live_objects() == before);
  }
  GOOD(bquic_socket_free(clients));
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  config = settings(argv, "echo");
  told_last();
  stored_late();
  over_meanwhile();
  freed_meanwhile();
  descriptor();
  many(atoi(argv[3]), 0);
  many(20, EPOLLET);
  for (int i = 0; i < 12; i++) {
    forsaken(i & 1, i & 2);
  }
  http(argv);
  resumes(argv);
  GOOD(bquic_config_free(config));
  return 0;
}
