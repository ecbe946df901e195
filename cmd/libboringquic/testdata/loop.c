// The event loop by calls that wait: a thread for each thing that is waited for.
#include "loop.h"

enum { CLIENTS = 8, ROUNDS = 6, MOST = 300000, CROWD = 64 };

static char **files;
static bquic_config *config;
static char to[64];

typedef struct stream {
  bquic_conn *conn;
  int64_t id;
} stream;

// echo sends back what comes, in pieces of other sizes, until the peer has ended or reset its part.
static void *echo(void *given) {
  stream s = *(stream *)given;
  free(given);
  uint8_t buf[3000];
  uint32_t flags = 0;
  uint64_t code = 0;
  int64_t n = 0;
  while (!(flags & BQUIC_FIN) && (n = bquic_stream_read(s.conn, (uint64_t)s.id, buf, sizeof buf, &flags, &code, SECONDS(20))) >= 0) {
    int64_t sent = bquic_stream_write(s.conn, (uint64_t)s.id, buf, (size_t)n, flags, SECONDS(20));
    if (sent != n) {
      break; // the client is gone, or wants no more
    }
  }
  if (n == BQUIC_ERR_RESET) {
    CHECK(code == 77);
    bquic_stream_shutdown(s.conn, (uint64_t)s.id, BQUIC_WRITE, 78);
  }
  return NULL;
}

// serve has a thread for each stream of a connection, and frees the connection when it is over.
static void *serve(void *conn) {
  int64_t id;
  pthread_t threads[CROWD + ROUNDS + 1];
  int n = 0;
  while ((id = bquic_stream_accept(conn, 0, EVER)) >= 0) {
    stream *s = malloc(sizeof *s);
    *s = (stream){conn, id};
    CHECK(n < (int)(sizeof threads / sizeof *threads));
    CHECK(pthread_create(&threads[n++], NULL, echo, s) == 0);
  }
  CHECK(id == BQUIC_ERR_CLOSED);
  while (n > 0) {
    CHECK(pthread_join(threads[--n], NULL) == 0);
  }
  GOOD(bquic_conn_free(conn));
  return NULL;
}

static atomic_int served;

// accept_all accepts until the socket is freed.
static void *accept_all(void *socket) {
  bquic_conn *conn;
  int32_t status;
  pthread_t threads[256];
  int n = 0;
  while ((conn = bquic_accept(socket, EVER, &status)) != NULL) {
    CHECK(n < 256);
    CHECK(pthread_create(&threads[n++], NULL, serve, conn) == 0);
    served++;
  }
  CHECK(status == BQUIC_ERR_HANDLE);
  while (n > 0) {
    CHECK(pthread_join(threads[--n], NULL) == 0);
  }
  return NULL;
}

// send_all is the writing half of a client's stream.
typedef struct sending {
  stream s;
  const uint8_t *data;
  size_t len;
  uint64_t seed;
} sending;

static void *send_all(void *given) {
  sending *w = given;
  size_t done = 0;
  do {
    size_t part = random_from(&w->seed) % 20000;
    part = part < w->len - done ? part : w->len - done;
    CHECK(GOOD(bquic_stream_write(w->s.conn, (uint64_t)w->s.id, w->data + done, part, done + part == w->len ? BQUIC_FIN : 0, SECONDS(20))) == (int64_t)part);
    done += part;
  } while (done < w->len);
  return NULL;
}

static void roundtrip(bquic_conn *conn, uint64_t *seed) {
  sending w = {.s = {conn, GOOD(bquic_stream_open(conn, 0))}, .len = 1 + random_from(seed) % MOST, .seed = random_from(seed)};
  uint8_t *data = malloc(w.len), buf[5000];
  for (size_t i = 0; i < w.len; i++) {
    data[i] = (uint8_t)random_from(seed);
  }
  w.data = data;
  pthread_t writer;
  CHECK(pthread_create(&writer, NULL, send_all, &w) == 0);
  uint32_t flags = 0;
  size_t got = 0;
  uint64_t check = 1;
  while (!(flags & BQUIC_FIN)) {
    int64_t n = GOOD(bquic_stream_read(conn, (uint64_t)w.s.id, buf, 1 + random_from(seed) % sizeof buf, &flags, NULL, SECONDS(20)));
    check = sum(check, buf, (size_t)n);
    got += (size_t)n;
  }
  CHECK(pthread_join(writer, NULL) == 0);
  CHECK(got == w.len && check == sum(1, data, w.len));
  free(data);
}

static void *client(void *number) {
  uint64_t seed = 0x9e3779b97f4a7c15 + (uint64_t)(uintptr_t)number;
  bquic_conn *conn = dial(config, to, NULL, NULL, SECONDS(20));
  for (int i = 0; i < ROUNDS; i++) {
    roundtrip(conn, &seed);
  }
  GOOD(bquic_conn_close(conn, 0, 0, NULL, 0));
  GOOD(bquic_conn_free(conn));
  return NULL;
}

// Both ends of a stream are written and read by threads of their own, on several connections at once.
static void echoes(void) {
  pthread_t threads[CLIENTS];
  for (uintptr_t i = 0; i < CLIENTS; i++) {
    CHECK(pthread_create(&threads[i], NULL, client, (void *)i) == 0);
  }
  for (int i = 0; i < CLIENTS; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
  CHECK(served >= CLIENTS);
}

// Many threads wait on one connection, each for its stream, and each gets what is its own.
static void *one_of_many(void *conn) {
  uint8_t buf[64];
  uint32_t flags = 0;
  int64_t id;
  while ((id = bquic_stream_open(conn, 0)) == BQUIC_ERR_LIMIT) {
    GOOD(bquic_conn_wait(conn, BQUIC_WAIT_STREAMS, SECONDS(20)));
  }
  int len = snprintf((char *)buf, sizeof buf, "stream %d", (int)GOOD(id));
  FAILS(bquic_stream_read(conn, (uint64_t)id, buf + 32, 32, &flags, NULL, 1000000), BQUIC_ERR_TIMEOUT, "nothing has come");
  GOOD(bquic_stream_write(conn, (uint64_t)id, buf, (size_t)len, BQUIC_FIN, SECONDS(20)));
  int got = 0;
  while (!(flags & BQUIC_FIN)) {
    got += (int)GOOD(bquic_stream_read(conn, (uint64_t)id, buf + 32 + got, 32 - (size_t)got, &flags, NULL, SECONDS(20)));
  }
  CHECK(got == len && memcmp(buf, buf + 32, (size_t)len) == 0);
  return NULL;
}

static void crowd(void) {
  bquic_conn *conn = dial(config, to, NULL, NULL, SECONDS(20));
  pthread_t threads[CROWD];
  for (int i = 0; i < CROWD; i++) {
    CHECK(pthread_create(&threads[i], NULL, one_of_many, conn) == 0);
  }
  for (int i = 0; i < CROWD; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
  GOOD(bquic_conn_wait(conn, BQUIC_WAIT_DELIVERED, SECONDS(20)));
  GOOD(bquic_conn_free(conn));
  FAILS(bquic_stream_open(conn, 0), BQUIC_ERR_HANDLE, "it was freed");
}

// What was written and ended has arrived before the connection is closed, and a reset is told with its code.
static void ends(void) {
  bquic_conn *conn = dial(config, to, NULL, NULL, SECONDS(20));
  uint8_t buf[100];
  uint32_t flags = 0;
  uint64_t code = 0;
  int64_t id = GOOD(bquic_stream_open(conn, 0));
  GOOD(bquic_stream_write(conn, (uint64_t)id, "x", 1, 0, 0));
  CHECK(GOOD(bquic_stream_read(conn, (uint64_t)id, buf, sizeof buf, &flags, &code, SECONDS(20))) == 1);
  GOOD(bquic_stream_shutdown(conn, (uint64_t)id, BQUIC_WRITE, 77));
  FAILS(bquic_stream_read(conn, (uint64_t)id, buf, sizeof buf, &flags, &code, SECONDS(20)), BQUIC_ERR_RESET, "");
  CHECK(code == 78);
  FAILS(bquic_stream_write(conn, (uint64_t)id, "x", 1, 0, 0), BQUIC_ERR_STREAM, "");
  bquic_conn_state state = {.size = sizeof state};
  GOOD(bquic_conn_info(conn, &state));
  CHECK(state.flags & BQUIC_CONN_HANDSHAKE_COMPLETE && strcmp((char *)state.alpn, "echo") == 0 && state.remote.in4.sin_port != 0);
  CHECK(state.local.in4.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
  GOOD(bquic_conn_wait(conn, BQUIC_WAIT_CONFIRMED, SECONDS(20)));
  GOOD(bquic_conn_close(conn, 0, 5, "bye", 3));
  GOOD(bquic_conn_wait(conn, BQUIC_WAIT_CLOSED, 0));
  FAILS(bquic_conn_wait(conn, BQUIC_WAIT_STREAMS_UNI, EVER), BQUIC_ERR_CLOSED, "bye");
  bquic_conn_end end = {.size = sizeof end};
  GOOD(bquic_conn_error(conn, &end));
  CHECK(end.kind == BQUIC_END_APPLICATION && end.code == 5 && !end.remote);
  GOOD(bquic_conn_free(conn));
}

// Times are kept: nothing returns before its own, and 0 does not wait.
static void times(void) {
  bquic_socket *s = listen_at(config, "127.0.0.1:0", NULL);
  int32_t status = 1;
  CHECK(bquic_accept(s, 0, &status) == NULL && status == BQUIC_ERR_TIMEOUT);
  uint64_t begin = bquic_now();
  CHECK(bquic_accept(s, 30000000, &status) == NULL && status == BQUIC_ERR_TIMEOUT);
  CHECK(bquic_now() - begin >= 30000000);
  char at[64];
  bquic_conn *client = dial(config, where(s, at), NULL, NULL, SECONDS(20));
  bquic_conn *server = bquic_accept(s, SECONDS(20), &status);
  CHECK(server != NULL);
  int64_t id = GOOD(bquic_stream_open(client, 0));
  // What nobody reads fills the windows, and then a write takes a part, or nothing.
  static uint8_t much[4 << 20];
  int64_t n = 0, taken = 0;
  while ((n = bquic_stream_write(client, (uint64_t)id, much, sizeof much, BQUIC_FIN, 30000000)) > 0) {
    taken += n;
    CHECK(n < (int64_t)sizeof much || taken < 64 << 20);
  }
  CHECK(n == BQUIC_ERR_TIMEOUT && taken > 0);
  CHECK(bquic_stream_write(client, (uint64_t)id, much, sizeof much, 0, 0) == BQUIC_ERR_TIMEOUT);
  // It goes on when it is read.
  CHECK(GOOD(bquic_stream_accept(server, 0, SECONDS(20))) == id);
  uint32_t flags;
  for (int64_t got = 0; got < taken;) {
    got += GOOD(bquic_stream_read(server, (uint64_t)id, much, sizeof much, &flags, NULL, SECONDS(20)));
  }
  CHECK(GOOD(bquic_stream_write(client, (uint64_t)id, "end", 3, BQUIC_FIN, SECONDS(20))) == 3);
  CHECK(bquic_conn_wait(client, BQUIC_WAIT_DELIVERED, SECONDS(20)) == BQUIC_OK);
  CHECK(bquic_stream_accept(server, 0, 0) == BQUIC_ERR_TIMEOUT);
  GOOD(bquic_conn_free(server)); // tells the client
  GOOD(bquic_conn_wait(client, BQUIC_WAIT_CLOSED, SECONDS(20)));
  FAILS(bquic_stream_read(client, (uint64_t)id, much, 1, &flags, NULL, EVER), BQUIC_ERR_CLOSED, "");
  GOOD(bquic_conn_free(client));
  GOOD(bquic_socket_free(s));
}

// Who waits in something that is freed returns at once.
typedef struct waiting {
  enum { ACCEPT, QUEUE, READ, STREAM, WAIT, WRITE, DELIVERED } in;
  void *object;
  uint64_t id;
  atomic_int *begun;
  int64_t got;
} waiting;

static void *wait_in(void *given) {
  waiting *w = given;
  static uint8_t much[32 << 20];
  uint8_t buf[10];
  uint32_t flags;
  int32_t status = 1;
  bquic_event event;
  (*w->begun)++;
  switch (w->in) {
    case ACCEPT:
      CHECK(bquic_accept(w->object, EVER, &status) == NULL);
      w->got = status;
      break;
    case QUEUE: w->got = bquic_queue_wait(w->object, &event, 1, EVER); break;
    case READ: w->got = bquic_stream_read(w->object, w->id, buf, sizeof buf, &flags, NULL, EVER); break;
    case STREAM: w->got = bquic_stream_accept(w->object, 1, EVER); break;
    case WAIT: w->got = bquic_conn_wait(w->object, BQUIC_WAIT_CLOSED, EVER); break;
    case WRITE: w->got = bquic_stream_write(w->object, w->id, much, sizeof much, 0, EVER); break;
    case DELIVERED: w->got = bquic_conn_wait(w->object, BQUIC_WAIT_DELIVERED, EVER); break;
  }
  return NULL;
}

// start has n threads wait, of which most are within when it returns.
static void start(pthread_t *threads, waiting *all, int n, atomic_int *begun) {
  for (int i = 0; i < n; i++) {
    CHECK(pthread_create(&threads[i], NULL, wait_in, &all[i]) == 0);
  }
  while (*begun < n) {
    usleep(1000);
  }
  usleep(20000);
}

static void freed_meanwhile(void) {
  bquic_socket *s = listen_at(config, "127.0.0.1:0", NULL);
  char at[64];
  bquic_conn *conn = dial(config, where(s, at), NULL, NULL, SECONDS(20));
  int32_t status = 1;
  bquic_conn *server = bquic_accept(s, SECONDS(20), &status);
  CHECK(server != NULL);
  bquic_queue *queue = bquic_queue_new(&status);
  CHECK(queue != NULL);
  uint64_t id = (uint64_t)GOOD(bquic_stream_open(conn, 0)), full = (uint64_t)GOOD(bquic_stream_open(conn, 0));
  atomic_int begun = 0;
  waiting all[] = {
      {ACCEPT, s, 0, &begun, 1},  {ACCEPT, s, 0, &begun, 1},    {QUEUE, queue, 0, &begun, 1}, {READ, conn, id, &begun, 1},     {READ, conn, id, &begun, 1},
      {STREAM, conn, 0, &begun, 1}, {WAIT, conn, 0, &begun, 1}, {WRITE, conn, full, &begun, 1}, {STREAM, server, 0, &begun, 1},
  };
  enum { N = sizeof all / sizeof *all };
  pthread_t threads[N];
  start(threads, all, N, &begun);
  GOOD(bquic_conn_free(conn));
  GOOD(bquic_conn_free(server));
  GOOD(bquic_queue_free(queue));
  GOOD(bquic_socket_free(s));
  for (int i = 0; i < N; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
    if (all[i].object == server && all[i].got == BQUIC_ERR_CLOSED) {
      continue; // the client was quicker
    }
    if (all[i].got != BQUIC_ERR_HANDLE) {
      fprintf(stderr, "waiting %d returned %d\n", all[i].in, (int)all[i].got);
      exit(1);
    }
  }
}

// Who waits for a part of a stream hears that another thread has ended it.
static void ended_meanwhile(void) {
  bquic_config *narrow = settings(files, "echo");
  GOOD(bquic_config_set_u64(narrow, BQUIC_STREAM_WINDOW, 1000));
  GOOD(bquic_config_set_u64(narrow, BQUIC_MAX_STREAM_WINDOW, 1000));
  bquic_socket *s = listen_at(narrow, "127.0.0.1:0", NULL);
  char at[64];
  static uint8_t much[50000];
  bquic_conn *conn = dial(config, where(s, at), NULL, NULL, SECONDS(20));
  uint64_t id[4];
  for (int i = 0; i < 4; i++) {
    id[i] = (uint64_t)GOOD(bquic_stream_open(conn, 0));
  }
  CHECK(bquic_stream_send(conn, id[2], much, sizeof much, BQUIC_FIN) == sizeof much);
  atomic_int begun = 0;
  waiting all[] = {{READ, conn, id[0], &begun, 1}, {WRITE, conn, id[1], &begun, 1}, {DELIVERED, conn, 0, &begun, 1}, {WRITE, conn, id[3], &begun, 1}};
  enum { N = sizeof all / sizeof *all };
  pthread_t threads[N];
  start(threads, all, N, &begun);
  GOOD(bquic_stream_shutdown(conn, id[0], BQUIC_READ, 1));
  GOOD(bquic_stream_shutdown(conn, id[1], BQUIC_WRITE, 2));
  GOOD(bquic_stream_shutdown(conn, id[2], BQUIC_WRITE, 3));
  for (int i = 0; i < 3; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
  CHECK((all[0].got == BQUIC_ERR_RESET || all[0].got == BQUIC_ERR_STREAM) && all[1].got == BQUIC_ERR_RESET && all[2].got == BQUIC_OK);
  GOOD(bquic_stream_send(conn, id[3], NULL, 0, BQUIC_FIN));
  CHECK(pthread_join(threads[3], NULL) == 0 && all[3].got == BQUIC_ERR_ENDED);
  GOOD(bquic_conn_free(conn));
  GOOD(bquic_socket_free(s));
  GOOD(bquic_config_free(narrow));
}

// REFUSED wants a function that makes an object to fail.
#define REFUSED(call, want, text)              \
  do {                                         \
    CHECK((call) == NULL);                     \
    FAILS((int64_t)status, (want), (text));    \
  } while (0)

// What cannot be dialled says why.
static void refused(void) {
  bquic_dial_options options = {.size = sizeof options, .server_name = "localhost"};
  int32_t status = 1;
  bquic_socket *s = listen_at(config, "127.0.0.1:0", NULL);
  char at[64];
  where(s, at);
  bquic_config *other = settings(files, "other");
  REFUSED(bquic_dial(other, at, &options, SECONDS(20), &status), BQUIC_ERR_CLOSED, "no application protocol");
  bquic_config *stranger = bquic_config_new(); // who knows the roots of the system alone
  GOOD(bquic_config_set_bytes(stranger, BQUIC_ALPN, "\4echo", 5));
  REFUSED(bquic_dial(stranger, at, &options, SECONDS(20), &status), BQUIC_ERR_CLOSED, "certificate");
  options.server_name = "example.net";
  REFUSED(bquic_dial(config, at, &options, SECONDS(20), &status), BQUIC_ERR_CLOSED, "example.net");
  options.server_name = "localhost";
  // The same without waiting, by what becomes of it.
  bquic_conn *conn = bquic_dial(other, at, &options, 0, &status);
  CHECK(conn != NULL);
  CHECK(bquic_conn_wait(conn, BQUIC_WAIT_HANDSHAKE, SECONDS(20)) == BQUIC_ERR_CLOSED);
  bquic_conn_end end = {.size = sizeof end};
  GOOD(bquic_conn_error(conn, &end));
  CHECK(end.kind == BQUIC_END_TRANSPORT && end.code == 0x100 + 120);
  CHECK(bquic_stream_open(conn, 0) == BQUIC_ERR_CLOSED);
  GOOD(bquic_conn_free(conn));
  GOOD(bquic_socket_free(s));
  // Nobody is there any more.
  REFUSED(bquic_dial(config, at, &options, SECONDS(20), &status), BQUIC_ERR_CLOSED, "refused");
  // Somebody is there, and does not answer.
  int silent = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof addr;
  CHECK(silent >= 0 && bind(silent, (struct sockaddr *)&addr, len) == 0 && getsockname(silent, (struct sockaddr *)&addr, &len) == 0);
  snprintf(at, sizeof at, "127.0.0.1:%d", ntohs(addr.sin_port));
  uint64_t begin = bquic_now();
  REFUSED(bquic_dial(config, at, &options, 30000000, &status), BQUIC_ERR_TIMEOUT, at);
  CHECK(bquic_now() - begin >= 30000000);
  // What is not there yet can only be waited for, and be freed.
  conn = bquic_dial(config, at, &options, 0, &status);
  CHECK(conn != NULL);
  FAILS(bquic_stream_open(conn, 0), BQUIC_ERR_STATE, "still being made");
  FAILS(bquic_conn_wait(conn, BQUIC_WAIT_HANDSHAKE, 10000000), BQUIC_ERR_TIMEOUT, "");
  GOOD(bquic_conn_set_user_data(conn, 1));
  waiting waits = {WAIT, conn, 0, &(atomic_int){0}, 1};
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, wait_in, &waits) == 0);
  GOOD(bquic_conn_free(conn));
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(waits.got == BQUIC_ERR_HANDLE);
  close(silent);
  GOOD(bquic_config_free(other));
  GOOD(bquic_config_free(stranger));
}

static atomic_int asked;

// judge is called on a thread of the library's, and finds only the first peer good.
static int32_t judge(void *context, const bquic_peer *peer) {
  CHECK(context == &asked && strcmp(peer->server_name, "localhost") == 0 && peer->chain_len == 1);
  return ++asked == 1 ? 0 : -1;
}

// The program's own judgement.
static void judged(void) {
  int32_t status = 1;
  bquic_config *own = settings(files, "echo");
  GOOD(bquic_config_set_verify(own, judge, &asked));
  bquic_socket *s = listen_at(config, "127.0.0.1:0", NULL);
  bquic_dial_options options = {.size = sizeof options, .server_name = "localhost"};
  char at[64];
  bquic_conn *conn = bquic_dial(own, where(s, at), &options, SECONDS(20), &status);
  GOOD(status);
  REFUSED(bquic_dial(own, at, &options, SECONDS(20), &status), BQUIC_ERR_CLOSED, "the program's callback has refused");
  CHECK(asked == 2);
  GOOD(bquic_conn_free(conn));
  GOOD(bquic_config_free(own));
  GOOD(bquic_socket_free(s));
}

// Datagrams come whole or not at all.
static void datagrams(void) {
  GOOD(bquic_config_set_u64(config, BQUIC_MAX_DATAGRAM_FRAME, 65535));
  bquic_socket *s = listen_at(config, "127.0.0.1:0", NULL);
  char at[64];
  bquic_conn *client = dial(config, where(s, at), NULL, NULL, SECONDS(20)), *server = bquic_accept(s, SECONDS(20), NULL);
  CHECK(server != NULL);
  static uint8_t buf[1 << 17];
  bquic_bytes got;
  CHECK(bquic_conn_wait(server, BQUIC_WAIT_DATAGRAM, 0) == BQUIC_ERR_TIMEOUT);
  for (int i = 0; i < 1000; i++) {
    GOOD(bquic_datagram_send(client, &i, sizeof i));
    GOOD(bquic_conn_wait(server, BQUIC_WAIT_DATAGRAM, SECONDS(20)));
    CHECK(bquic_datagram_recv_many(server, &got, 1, buf, sizeof buf) == 1 && got.len == sizeof i && memcmp(got.data, &i, sizeof i) == 0);
  }
  int32_t status;
  while ((status = bquic_datagram_send(client, buf, 1000)) == BQUIC_OK) {
  }
  CHECK(status == BQUIC_ERR_FULL);
  GOOD(bquic_conn_wait(client, BQUIC_WAIT_DATAGRAM_ROOM, SECONDS(20)));
  GOOD(bquic_datagram_send(client, buf, 1000));
  GOOD(bquic_conn_free(client));
  GOOD(bquic_conn_free(server));
  GOOD(bquic_socket_free(s));
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  files = argv;
  config = settings(files, "echo");
  bquic_listen_options options = {.size = sizeof options, .shards = 2};
  bquic_socket *s = bquic_listen(config, "127.0.0.1:0", &options, NULL);
  CHECK(s != NULL);
  where(s, to);
  pthread_t acceptor;
  CHECK(pthread_create(&acceptor, NULL, accept_all, s) == 0);
  echoes();
  crowd();
  ends();
  // The server goes away while a client reads.
  bquic_conn *left = dial(config, to, NULL, NULL, SECONDS(20));
  atomic_int begun = 0;
  waiting reader = {READ, left, (uint64_t)GOOD(bquic_stream_open(left, 0)), &begun, 1};
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, wait_in, &reader) == 0);
  GOOD(bquic_socket_free(s));
  CHECK(pthread_join(acceptor, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(reader.got == BQUIC_ERR_CLOSED);
  GOOD(bquic_conn_free(left));
  times();
  freed_meanwhile();
  ended_meanwhile();
  refused();
  judged();
  datagrams();
  GOOD(bquic_config_free(config));
  CHECK(bquic_live_objects() == 0);
  return 0;
}
