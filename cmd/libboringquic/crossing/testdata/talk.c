// A client and a server by quiche's names, to be linked to quiche or to our library. The client plays a scenario, and ends with 1 if anything is
// other than it has to be; the server does for all of them what its clients ask.
#include <arpa/inet.h>
#include <poll.h>
#include <quiche.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { ID = 16, PAYLOAD = 1350, CONNS = 4, STREAMS = 16, BIG = 300000, RESET_CODE = 42, STOP_CODE = 43, CLOSE_CODE = 77 };

// answer is what a server has of a stream: it sends back what comes.
typedef struct answer {
  uint8_t *data;
  size_t len, sent;
  bool ended, done;
} answer;

typedef struct conn {
  quiche_conn *quic;
  uint8_t first[QUICHE_MAX_CONN_ID_LEN];  // that a client made up for its server
  size_t first_len;
  answer answers[STREAMS];
} conn;

static quiche_config *config;
static int fds[2];
static struct sockaddr_in locals[2], server_addr;
static size_t sockets;
static conn conns[CONNS];
static size_t count;
static const char *scenario;
static bool server;

static void random_bytes(uint8_t *to, size_t n) { CHECK(getrandom(to, n, 0) == (ssize_t)n); }

static void open_socket(void) {
  socklen_t len = sizeof *locals;
  locals[sockets] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  fds[sockets] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  CHECK(bind(fds[sockets], (struct sockaddr *)&locals[sockets], len) == 0 && getsockname(fds[sockets], (struct sockaddr *)&locals[sockets], &len) == 0);
  sockets++;
}

static bool is(const char *name) { return strcmp(scenario, name) == 0; }

// give_ids gives the peer all the connection IDs that it can have, which migration needs.
static void give_ids(quiche_conn *quic) {
  uint8_t id[ID], token[16];
  uint64_t sequence;
  while (is("migrate") && quiche_conn_is_established(quic) && quiche_conn_scids_left(quic) > 0) {
    random_bytes(id, sizeof id);
    random_bytes(token, sizeof token);
    CHECK(quiche_conn_new_scid(quic, id, sizeof id, token, false, &sequence) == 0);
  }
}

static void flush(quiche_conn *quic) {
  uint8_t out[PAYLOAD];
  quiche_send_info info;
  for (ssize_t n; (n = quiche_conn_send(quic, out, sizeof out, &info)) != QUICHE_ERR_DONE;) {
    CHECK(n > 0);
    const struct sockaddr_in *from = (const struct sockaddr_in *)&info.from;
    int fd = sockets == 2 && from->sin_port == locals[1].sin_port ? fds[1] : fds[0];
    CHECK(sendto(fd, out, (size_t)n, 0, (struct sockaddr *)&info.to, info.to_len) == n);
  }
}

// find returns whom a datagram is for, NULL if nobody.
static conn *find(const uint8_t *id, size_t len) {
  for (size_t i = 0; i < count; i++) {
    if (len == conns[i].first_len && memcmp(id, conns[i].first, len) == 0) {
      return &conns[i];
    }
    const uint8_t *own;
    size_t own_len;
    bool found = false;
    quiche_connection_id_iter *ids = quiche_conn_source_ids(conns[i].quic);
    while (!found && quiche_connection_id_iter_next(ids, &own, &own_len)) {
      found = own_len == len && memcmp(own, id, len) == 0;
    }
    quiche_connection_id_iter_free(ids);
    if (found) {
      return &conns[i];
    }
  }
  return NULL;
}

static void take(int at) {
  uint8_t buf[65535];
  struct sockaddr_in from;
  socklen_t from_len = sizeof from;
  for (ssize_t n; (n = recvfrom(fds[at], buf, sizeof buf, 0, (struct sockaddr *)&from, &from_len)) >= 0; from_len = sizeof from) {
    conn *c = &conns[count - 1];
    if (server) {
      uint8_t type, scid[20], dcid[20], token[256], id[ID], out[PAYLOAD];
      size_t scid_len = sizeof scid, dcid_len = sizeof dcid, token_len = sizeof token;
      uint32_t version;
      CHECK(quiche_header_info(buf, (size_t)n, ID, &version, &type, scid, &scid_len, dcid, &dcid_len, token, &token_len) >= 0);
      c = find(dcid, dcid_len);
      if (c == NULL && type != 1) {
        continue;  // of a connection that is over
      }
      if (c == NULL && is("retry") && token_len == 0) {
        // The token is the ID that the client made up: this is a test.
        random_bytes(id, sizeof id);
        ssize_t size = quiche_retry(scid, scid_len, dcid, dcid_len, id, sizeof id, dcid, dcid_len, version, out, sizeof out);
        CHECK(size > 0 && sendto(fds[at], out, (size_t)size, 0, (struct sockaddr *)&from, from_len) == size);
        continue;
      }
      if (c == NULL) {
        CHECK(count < CONNS);
        c = &conns[count++];
        bool retried = is("retry");
        random_bytes(id, sizeof id);
        memcpy(c->first, dcid, c->first_len = dcid_len);
        c->quic = quiche_accept(retried ? dcid : id, retried ? dcid_len : sizeof id, retried ? token : NULL, token_len, (struct sockaddr *)&locals[at],
                                sizeof *locals, (struct sockaddr *)&from, from_len, config);
        CHECK(c->quic != NULL);
      }
    }
    quiche_recv_info info = {(struct sockaddr *)&from, from_len, (struct sockaddr *)&locals[at], sizeof *locals};
    ssize_t took = quiche_conn_recv(c->quic, buf, (size_t)n, &info);
    CHECK(took == n || took == QUICHE_ERR_DONE);
  }
}

// wait waits for datagrams, or until a connection wants a call, and does then what is due.
static void wait_once(void) {
  uint64_t left = 1000000000;
  for (size_t i = 0; i < count; i++) {
    uint64_t t = quiche_conn_timeout_as_nanos(conns[i].quic);
    left = t < left ? t : left;
  }
  struct pollfd polls[2] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}};
  poll(polls, sockets, (int)((left + 999999) / 1000000));
  for (size_t i = 0; i < sockets; i++) {
    take((int)i);
  }
  for (size_t i = 0; i < count; i++) {
    if (quiche_conn_timeout_as_nanos(conns[i].quic) <= 1) {
      quiche_conn_on_timeout(conns[i].quic);
    }
    give_ids(conns[i].quic);
  }
}

// The server.

static bool begins(const answer *a, const char *with) { return a->len >= strlen(with) && memcmp(a->data, with, strlen(with)) == 0; }

static void read_stream(conn *c, uint64_t id) {
  CHECK(id % 4 == 0 && id / 4 < STREAMS);
  answer *a = &c->answers[id / 4];
  static uint8_t buf[65536];
  uint64_t code = 0;
  bool fin = false;
  for (ssize_t n; !fin && (n = quiche_conn_stream_recv(c->quic, id, buf, sizeof buf, &fin, &code)) != QUICHE_ERR_DONE;) {
    if (n == QUICHE_ERR_STREAM_RESET) {
      CHECK(is("reset") && code == STOP_CODE);  // what we asked for
      return;
    }
    CHECK(n >= 0);
    a->data = realloc(a->data, a->len + (size_t)n + 1);
    CHECK(a->data != NULL);
    memcpy(a->data + a->len, buf, (size_t)n);
    a->len += (size_t)n;
  }
  a->ended |= fin;
  if (begins(a, "reset") && !a->done) {
    CHECK(quiche_conn_stream_shutdown(c->quic, id, QUICHE_SHUTDOWN_WRITE, RESET_CODE) == 0);
    CHECK(quiche_conn_stream_shutdown(c->quic, id, QUICHE_SHUTDOWN_READ, STOP_CODE) == 0);
    a->done = true;
  }
  if (begins(a, "close") && !a->done) {
    CHECK(quiche_conn_close(c->quic, true, CLOSE_CODE, (const uint8_t *)"enough", 6) == 0);
    a->done = true;
  }
}

static void write_streams(conn *c) {
  for (uint64_t i = 0; i < STREAMS; i++) {
    answer *a = &c->answers[i];
    uint64_t code;
    while (a->ended && !a->done) {
      ssize_t n = quiche_conn_stream_send(c->quic, 4 * i, a->data + a->sent, a->len - a->sent, true, &code);
      if (n == QUICHE_ERR_DONE) {
        break;
      }
      CHECK(n >= 0);
      a->sent += (size_t)n;
      a->done = a->sent == a->len;
    }
  }
}

static void serve(void) {
  server = true;
  printf("%d\n", ntohs(locals[0].sin_port));
  fflush(stdout);
  for (;;) {
    wait_once();
    for (size_t i = 0; i < count; i++) {
      conn *c = &conns[i];
      uint64_t id;
      uint8_t buf[2000];
      quiche_stream_iter *streams = quiche_conn_readable(c->quic);
      while (quiche_stream_iter_next(streams, &id)) {
        read_stream(c, id);
      }
      quiche_stream_iter_free(streams);
      if (quiche_conn_is_established(c->quic) || quiche_conn_is_in_early_data(c->quic)) {
        write_streams(c);
      }
      for (ssize_t n; (n = quiche_conn_dgram_recv(c->quic, buf, sizeof buf)) >= 0;) {
        CHECK(quiche_conn_dgram_send(c->quic, buf, (size_t)n) >= 0);
      }
      flush(c->quic);
      if (quiche_conn_is_closed(c->quic)) {
        quiche_conn_free(c->quic);
        for (size_t k = 0; k < STREAMS; k++) {
          free(c->answers[k].data);
        }
        *c = conns[--count];
        memset(&conns[count], 0, sizeof *conns);
        i--;
      }
    }
  }
}

// The client.

// UNTIL turns until something is so, at most 8 s.
#define UNTIL(...)                                        \
  do {                                                    \
    time_t began_ = time(NULL);                           \
    for (flush(c->quic); !(__VA_ARGS__); flush(c->quic)) { \
      wait_once();                                        \
      CHECK(time(NULL) < began_ + 8 && "in time");        \
    }                                                     \
  } while (0)

static conn *dial(void) {
  uint8_t id[ID];
  random_bytes(id, sizeof id);
  conn *c = &conns[0];
  memset(c, 0, sizeof *c);
  c->quic = quiche_connect("localhost", id, sizeof id, (struct sockaddr *)&locals[0], sizeof *locals, (struct sockaddr *)&server_addr, sizeof server_addr, config);
  CHECK(c->quic != NULL);
  count = 1;
  return c;
}

static uint8_t byte_of(uint64_t id, size_t at) { return (uint8_t)(at * 7 + at / 251 + id); }

// echo sends n bytes on a stream, and wants them back.
static void echo(conn *c, uint64_t id, size_t n) {
  static uint8_t out[BIG], in[BIG + 1];
  size_t sent = 0, got = 0;
  bool fin = false;
  uint64_t code;
  for (size_t i = 0; i < n; i++) {
    out[i] = byte_of(id, i);
  }
  time_t began = time(NULL);
  while (!fin) {
    if (sent < n) {
      ssize_t k = quiche_conn_stream_send(c->quic, id, out + sent, n - sent, true, &code);
      CHECK(k >= 0 || k == QUICHE_ERR_DONE);
      sent += k > 0 ? (size_t)k : 0;
    }
    flush(c->quic);
    wait_once();
    ssize_t k = QUICHE_ERR_DONE;
    while (!fin && quiche_conn_stream_readable(c->quic, id) && (k = quiche_conn_stream_recv(c->quic, id, in + got, sizeof in - got, &fin, &code)) > 0) {
      got += (size_t)k;
    }
    CHECK(k >= 0 || k == QUICHE_ERR_DONE);
    CHECK(time(NULL) < began + 8);
  }
  CHECK(got == n && memcmp(in, out, n) == 0);
  CHECK(quiche_conn_stream_finished(c->quic, id));
}

// bye closes the connection, and waits until it is over.
static void bye(conn *c) {
  CHECK(quiche_conn_close(c->quic, true, 0, (const uint8_t *)"bye", 3) == 0);
  CHECK(quiche_conn_close(c->quic, true, 0, (const uint8_t *)"bye", 3) == QUICHE_ERR_DONE);
  UNTIL(quiche_conn_is_closed(c->quic));
  CHECK(quiche_conn_is_established(c->quic) && !quiche_conn_is_timed_out(c->quic));
  quiche_conn_free(c->quic);
}

static void streams(conn *c) {
  static const size_t sizes[] = {1, 100, 5000, 70000, BIG};
  for (uint64_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    echo(c, 4 * i, sizes[i]);
  }
  quiche_stats stats;
  quiche_conn_stats(c->quic, &stats);
  CHECK(stats.recv > 250 && stats.sent > 250 && stats.paths_count == 1);
  bye(c);
}

static void reset(conn *c) {
  uint8_t buf[10];
  uint64_t code = 0;
  bool fin;
  CHECK(quiche_conn_stream_send(c->quic, 0, (const uint8_t *)"reset", 5, false, &code) == 5);
  ssize_t n;
  UNTIL((n = quiche_conn_stream_send(c->quic, 0, (const uint8_t *)"more", 4, false, &code)) != 4);
  CHECK(n == QUICHE_ERR_STREAM_STOPPED && code == STOP_CODE);
  code = 0;
  UNTIL((n = quiche_conn_stream_recv(c->quic, 0, buf, sizeof buf, &fin, &code)) != QUICHE_ERR_DONE);
  CHECK(n == QUICHE_ERR_STREAM_RESET && code == RESET_CODE);
  echo(c, 4, 1000);
  bye(c);
}

static void datagrams(conn *c) {
  static uint8_t buf[60000];
  size_t got = 0;
  for (size_t i = 0; i < 20; i++) {
    memset(buf, (int)i, 1 + 40 * i);
    CHECK(quiche_conn_dgram_send(c->quic, buf, 1 + 40 * i) >= 0);
  }
  CHECK(quiche_conn_dgram_send(c->quic, buf, sizeof buf) == QUICHE_ERR_BUFFER_TOO_SHORT);
  UNTIL(({
    for (ssize_t n; (n = quiche_conn_dgram_recv(c->quic, buf, sizeof buf)) >= 0; got++) {
      CHECK((size_t)n == 1 + 40 * (size_t)buf[0] && buf[0] == buf[n - 1]);
    }
    got == 20;  // over loopback, and few: none is lost
  }));
  bye(c);
}

static void closed(conn *c) {
  uint64_t code;
  bool app;
  const uint8_t *reason;
  size_t len;
  CHECK(!quiche_conn_peer_error(c->quic, &app, &code, &reason, &len));
  CHECK(quiche_conn_stream_send(c->quic, 0, (const uint8_t *)"close", 5, true, &code) == 5);
  UNTIL(quiche_conn_is_draining(c->quic));
  CHECK(quiche_conn_peer_error(c->quic, &app, &code, &reason, &len) && app && code == CLOSE_CODE && len == 6 && memcmp(reason, "enough", 6) == 0);
  UNTIL(quiche_conn_is_closed(c->quic));
  quiche_conn_free(c->quic);
}

static void early(conn *c) {
  const uint8_t *session;
  size_t len;
  uint64_t code;
  echo(c, 0, 10);
  UNTIL((quiche_conn_session(c->quic, &session, &len), len > 0));
  uint8_t *kept = malloc(len);
  CHECK(kept != NULL && !quiche_conn_is_resumed(c->quic));
  memcpy(kept, session, len);
  bye(c);
  c = dial();
  CHECK(quiche_conn_set_session(c->quic, kept, len) == 0);
  flush(c->quic);
  CHECK(quiche_conn_is_in_early_data(c->quic) && !quiche_conn_is_established(c->quic));
  CHECK(quiche_conn_stream_send(c->quic, 4, (const uint8_t *)"early", 5, false, &code) == 5);
  flush(c->quic);
  CHECK(quiche_conn_stream_send(c->quic, 4, NULL, 0, true, &code) == 0);
  uint8_t buf[10];
  bool fin = false;
  size_t got = 0;
  UNTIL(({
    ssize_t n = quiche_conn_stream_readable(c->quic, 4) ? quiche_conn_stream_recv(c->quic, 4, buf + got, sizeof buf - got, &fin, &code) : 0;
    got += n > 0 ? (size_t)n : 0;
    fin;
  }));
  CHECK(got == 5 && memcmp(buf, "early", 5) == 0 && quiche_conn_is_resumed(c->quic));
  UNTIL(quiche_conn_is_established(c->quic));
  CHECK(!quiche_conn_is_in_early_data(c->quic));
  free(kept);
  bye(c);
}

static void retry(conn *c) {
  echo(c, 0, 1000);
  bye(c);
}

static void migrate(conn *c) {
  uint64_t sequence;
  quiche_path_event *ev;
  bool validated = false;
  echo(c, 0, 1000);
  UNTIL(quiche_conn_available_dcids(c->quic) > 0);
  while ((ev = quiche_conn_path_event_next(c->quic)) != NULL) {
    quiche_path_event_free(ev);
  }
  open_socket();
  CHECK(quiche_conn_probe_path(c->quic, (struct sockaddr *)&locals[1], sizeof *locals, (struct sockaddr *)&server_addr, sizeof server_addr, &sequence) == 0);
  UNTIL(({
    while ((ev = quiche_conn_path_event_next(c->quic)) != NULL) {
      validated |= quiche_path_event_type(ev) == QUICHE_PATH_EVENT_VALIDATED;
      quiche_path_event_free(ev);
    }
    validated;
  }));
  echo(c, 4, 70000);
  CHECK(quiche_conn_migrate_source(c->quic, (struct sockaddr *)&locals[1], sizeof *locals, &sequence) == 0);
  close(fds[0]);  // from here on the new path alone leads anywhere
  fds[0] = -1;
  echo(c, 8, 70000);
  bye(c);
}

int main(int argc, char **argv) {
  CHECK(argc >= 4);
  bool serves = strcmp(argv[1], "server") == 0;
  scenario = argv[serves ? 2 : 1];
  config = quiche_config_new(QUICHE_PROTOCOL_VERSION);
  CHECK(config != NULL && quiche_config_set_application_protos(config, (const uint8_t *)"\4talk", 5) == 0);
  quiche_config_set_max_idle_timeout(config, 10000);
  quiche_config_set_max_recv_udp_payload_size(config, PAYLOAD);
  quiche_config_set_max_send_udp_payload_size(config, PAYLOAD);
  quiche_config_set_initial_max_data(config, 1 << 20);
  quiche_config_set_initial_max_stream_data_bidi_local(config, 1 << 17);
  quiche_config_set_initial_max_stream_data_bidi_remote(config, 1 << 17);
  quiche_config_set_initial_max_streams_bidi(config, STREAMS);
  quiche_config_set_active_connection_id_limit(config, 4);
  quiche_config_enable_dgram(config, true, 64, 64);
  quiche_config_enable_early_data(config);
  open_socket();
  if (serves) {
    CHECK(argc == 5 && quiche_config_load_cert_chain_from_pem_file(config, argv[3]) == 0 && quiche_config_load_priv_key_from_pem_file(config, argv[4]) == 0);
    serve();
  }
  CHECK(quiche_config_load_verify_locations_from_file(config, argv[3]) == 0);
  quiche_config_verify_peer(config, true);
  server_addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)atoi(argv[2]))};
  static const struct {
    const char *name;
    void (*play)(conn *);
  } plays[] = {{"streams", streams}, {"reset", reset}, {"datagrams", datagrams}, {"closed", closed}, {"early", early}, {"retry", retry}, {"migrate", migrate}};
  for (size_t i = 0; i < sizeof plays / sizeof *plays; i++) {
    if (is(plays[i].name)) {
      conn *c = dial();
      UNTIL(quiche_conn_is_established(c->quic));
      plays[i].play(c);
      quiche_config_free(config);
      return 0;
    }
  }
  fprintf(stderr, "no scenario %s\n", scenario);
  return 1;
}
