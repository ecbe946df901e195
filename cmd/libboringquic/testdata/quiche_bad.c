// What quiche.h is given that is no good: an error and a sentence, and the connection lives on.
#include "quiche_pair.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

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
#define NO_LENGTH(call) SAYS(call, QUICHE_ERR_INVALID_STATE, "at most 2^31-1")
#define NO_H3_LENGTH(call) SAYS(call, QUICHE_H3_TRANSPORT_ERR_INVALID_STATE, "at most 2^31-1")

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

// works sees that a stream carries bytes both ways.
static void works(pair *p, uint64_t id) {
  uint64_t code;
  bool fin;
  IS(quiche_conn_stream_send(p->client, id, (const uint8_t *)"ping", 4, true, &code), 4);
  exchange(p);
  IS(quiche_conn_stream_recv(p->server, id, buf, sizeof buf, &fin, &code), 4);
  IS(quiche_conn_stream_send(p->server, id, (const uint8_t *)"pong!", 5, true, &code), 5);
  exchange(p);
  IS(quiche_conn_stream_recv(p->client, id, buf, sizeof buf, &fin, &code), 5);
  CHECK(fin && !quiche_conn_is_draining(p->client) && !quiche_conn_is_draining(p->server));
}

static void transport(void) {
  quiche_config *config = config_with("\4test");
  quiche_config_enable_dgram(config, true, 10, 10);
  const size_t lengths[] = {SIZE_MAX, (size_t)1 << 63, (size_t)1 << 40, (size_t)1 << 31};
  quiche_send_info info;
  quiche_recv_info in = {SOCKADDR(server_address), SOCKADDR(client_address)};
  uint64_t code, seq;
  bool fin;
  pair p = pair_of(config, config, "localhost");
  SAYS(quiche_conn_set_session(p.client, buf, SIZE_MAX), QUICHE_ERR_INVALID_STATE, "at most 2^31-1");
  establish(&p);
  works(&p, 0);
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    size_t n = lengths[i];
    NO_LENGTH(quiche_conn_stream_send(p.client, 4, buf, n, false, &code));
    NO_LENGTH(quiche_conn_stream_recv(p.client, 0, buf, n, &fin, &code));
    NO_LENGTH(quiche_conn_send(p.client, buf, n, &info));
    NO_LENGTH(quiche_conn_send_on_path(p.client, buf, n, NULL, 0, NULL, 0, &info));
    NO_LENGTH(quiche_conn_recv(p.client, buf, n, &in));
    NO_LENGTH(quiche_conn_dgram_send(p.client, buf, n));
    NO_LENGTH(quiche_conn_dgram_recv(p.client, buf, n));
    NO_LENGTH(quiche_conn_set_session(p.client, buf, n));
    NO_LENGTH(quiche_conn_close(p.client, true, 0, buf, n));
    NO_LENGTH(quiche_conn_new_scid(p.client, buf, n, buf, false, &seq));
    SAYS((intptr_t)quiche_connect("localhost", buf, n, SOCKADDR(client_address), SOCKADDR(server_address), config), 0, "at most 2^31-1");
    SAYS((intptr_t)quiche_accept(buf, 8, buf, n, SOCKADDR(server_address), SOCKADDR(client_address), config), 0, "at most 2^31-1");
  }
  works(&p, 4);

  // A reason is cut, whatever its length.
  uint8_t reason[1000];
  memset(reason, 'x', sizeof reason);
  IS(quiche_conn_close(p.client, true, 7, reason, sizeof reason), 0);
  exchange(&p);
  const uint8_t *told;
  size_t told_len;
  bool app;
  CHECK(quiche_conn_peer_error(p.server, &app, &code, &told, &told_len) && app && code == 7 && told_len == 256);
  free_pair(&p);
  quiche_config_free(config);
}

// part_of returns the first len bytes of an address in memory that ends there, so that the sanitizer sees who reads on.
static struct sockaddr *part_of(const void *address, socklen_t len) {
  struct sockaddr *part = malloc(len ? len : 1);
  memcpy(part, address, len);
  return part;
}

#define NO_ADDRESS(call) SAYS(call, QUICHE_ERR_INVALID_STATE, "neither a sockaddr_in nor a sockaddr_in6")

// Addresses that are cut off, or of another family, wherever one is taken; and the connection lives on. A train waits at send_on_path, or does not.
static void cut_off(void) {
  quiche_config *config = config_with("\4test");
  uint64_t seq, code;
  quiche_send_info info;
  static uint8_t much[20000];
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(1), .sin6_addr = in6addr_loopback};
  struct sockaddr_in other = client_address;
  other.sin_family = AF_UNIX;
  for (int train = 0; train < 2; train++) {
    if (train) {
      IS(quiche_conn_stream_send(p.client, 0, much, sizeof much, true, &code), sizeof much);
      CHECK(quiche_conn_send(p.client, buf, sizeof buf, &info) > 1000);
      quiche_recv_info in = {SOCKADDR(client_address), SOCKADDR(server_address)};
      IS(quiche_conn_recv(p.server, buf, 1200, &in) < 0, false);
    }
    for (int i = 0; i < 16 + 28 + 1; i++) {
      socklen_t len = (socklen_t)(i < 16 ? i : i < 44 ? i - 16 : 16);
      struct sockaddr *bad = part_of(i < 16 ? (void *)&client_address : i < 44 ? (void *)&v6 : (void *)&other, len);
      quiche_recv_info from = {bad, len, SOCKADDR(client_address)}, to = {SOCKADDR(server_address), bad, len};
      NO_ADDRESS(quiche_conn_send_on_path(p.client, buf, sizeof buf, bad, len, NULL, 0, &info));
      NO_ADDRESS(quiche_conn_send_on_path(p.client, buf, sizeof buf, NULL, 0, bad, len, &info));
      for (int again = 0; again < 2; again++) {
        NO_ADDRESS(quiche_conn_recv(p.client, buf, 100, &from));
        NO_ADDRESS(quiche_conn_recv(p.client, buf, 100, &to));
      }
      NO_ADDRESS(quiche_conn_send_ack_eliciting_on_path(p.client, bad, len, NULL, 0));
      NO_ADDRESS(quiche_conn_probe_path(p.client, bad, len, SOCKADDR(server_address), &seq));
      NO_ADDRESS(quiche_conn_migrate(p.client, SOCKADDR(client_address), bad, len, &seq));
      NO_ADDRESS(quiche_conn_migrate_source(p.client, bad, len, &seq));
      NO_ADDRESS(quiche_conn_is_path_validated(p.client, SOCKADDR(client_address), bad, len));
      SAYS(quiche_conn_send_quantum_on_path(p.client, bad, len, SOCKADDR(server_address)), 0, "neither");
      SAYS(quiche_conn_paths_iter(p.client, bad, len) == NULL, true, "neither");
      SAYS((intptr_t)quiche_connect("localhost", buf, 8, bad, len, SOCKADDR(server_address), config), 0, "neither");
      SAYS((intptr_t)quiche_accept(buf, 8, NULL, 0, SOCKADDR(server_address), bad, len, config), 0, "neither");
      free(bad);
    }
  }
  exchange(&p);
  works(&p, 4);
  free_pair(&p);
  quiche_config_free(config);
}

static void packets(void) {
  uint32_t version;
  uint8_t type, scid[20], dcid[20], token[10];
  size_t scid_len, dcid_len, token_len, none = 0;
  memset(buf, 0x40, sizeof buf);
#define HEADER(len, a, b, c) \
  (scid_len = (a), dcid_len = (b), token_len = (c), quiche_header_info(buf, (len), 8, &version, &type, scid, &scid_len, dcid, &dcid_len, token, &token_len))
  IS(HEADER(20, 20, 20, 10), 0);
  NO_LENGTH(HEADER(SIZE_MAX, 20, 20, 10));
  NO_LENGTH(HEADER(20, SIZE_MAX, 20, 10));
  NO_LENGTH(HEADER(20, 20, SIZE_MAX, 10));
  NO_LENGTH(HEADER(20, 20, 20, SIZE_MAX));
  NO_LENGTH(quiche_negotiate_version(buf, SIZE_MAX, buf, 8, buf, sizeof buf));
  NO_LENGTH(quiche_negotiate_version(buf, 8, buf, SIZE_MAX, buf, sizeof buf));
  NO_LENGTH(quiche_negotiate_version(buf, 8, buf, 8, buf, SIZE_MAX));
  for (int i = 0; i < 5; i++) {
    size_t n[] = {8, 8, 8, 8, sizeof buf};
    n[i] = SIZE_MAX;
    NO_LENGTH(quiche_retry(scid, n[0], dcid, n[1], token, n[2], scid, n[3], 1, buf, n[4]));
  }
  SAYS(quiche_retry(NULL, 8, dcid, 8, token, 8, scid, 8, 1, buf, sizeof buf), QUICHE_ERR_INVALID_STATE, "scid is NULL");
  SAYS(quiche_header_info(buf, 20, 8, &version, &type, scid, &none, dcid, NULL, token, &none), QUICHE_ERR_INVALID_STATE, "NULL");
}

// What is no good says what, and why.
static void sentences(void) {
  quiche_config *config = config_with("\4test");
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  uint32_t version;
  uint8_t type, id[20], token[10];
  size_t id_len = 20, token_len = 10;
  uint64_t code, v;
  bool fin;
  quiche_send_info info;
  quiche_recv_info in = {SOCKADDR(server_address), SOCKADDR(client_address)};
  SAYS(quiche_header_info(buf, 20, 21, &version, &type, id, &id_len, id, &id_len, token, &token_len), QUICHE_ERR_INVALID_PACKET, "dcil is 21, and can be at most 20");
  SAYS(quiche_header_info(buf, 0, 8, &version, &type, id, &id_len, id, &id_len, token, &token_len), QUICHE_ERR_INVALID_PACKET, "no packet of QUIC's");
  SAYS(quiche_negotiate_version(buf, 256, buf, 8, buf, sizeof buf), QUICHE_ERR_INVALID_STATE, "have 255 at most");
  SAYS(quiche_negotiate_version(buf, 8, buf, 8, buf, 10), QUICHE_ERR_BUFFER_TOO_SHORT, "there is room for 10");
  SAYS(quiche_retry(id, 8, id, 8, id, 8, token, 0, 5, buf, sizeof buf), QUICHE_ERR_UNKNOWN_VERSION, "version 0x00000005 is not supported");
  SAYS(quiche_retry(id, 8, id, 8, buf, 21, token, 8, 1, buf, sizeof buf), QUICHE_ERR_INVALID_STATE, "has 21 bytes, and can have 20");
  SAYS(quiche_put_varint(buf, 8, UINT64_MAX), QUICHE_ERR_INVALID_STATE, "below 2^62");
  SAYS(quiche_put_varint(NULL, 8, 1), QUICHE_ERR_INVALID_STATE, "buf is NULL");
  SAYS(quiche_put_varint(buf, 1, 100), QUICHE_ERR_BUFFER_TOO_SHORT, "buf_len is 1, and the integer has 2 bytes");
  SAYS(quiche_get_varint(buf, 1, NULL), QUICHE_ERR_INVALID_STATE, "val is NULL");
  SAYS(quiche_get_varint(buf, 0, &v), QUICHE_ERR_BUFFER_TOO_SHORT, "buf_len is 0");
  SAYS(quiche_enable_debug_logging(NULL, NULL), QUICHE_ERR_INVALID_STATE, "cb is NULL");
  SAYS(quiche_conn_recv(p.client, buf, 0, &in), QUICHE_ERR_BUFFER_TOO_SHORT, "buf_len is 0");
  SAYS(quiche_conn_send(p.client, buf, 0, &info), QUICHE_ERR_BUFFER_TOO_SHORT, "out_len is 0");
  SAYS(quiche_conn_stream_shutdown(p.client, 0, 7, 0), QUICHE_ERR_INVALID_STATE, "direction is 7");
  SAYS(quiche_conn_stream_send(p.client, 3, buf, 1, false, &code), QUICHE_ERR_INVALID_STREAM_STATE, "stream");
  IS(quiche_conn_stream_priority(p.client, 4000, 1, false), QUICHE_ERR_STREAM_LIMIT);
  IS(quiche_conn_retire_dcid(p.client, 0), QUICHE_ERR_OUT_OF_IDENTIFIERS);
  IS(quiche_conn_retire_dcid(p.client, 5), QUICHE_ERR_OUT_OF_IDENTIFIERS); // nor one that there is not
  IS(quiche_conn_stream_send(p.client, 0, buf, 1, false, &code), 1);
  IS(quiche_conn_stream_shutdown(p.client, 0, QUICHE_SHUTDOWN_WRITE, 0), 0);
  SAYS(quiche_conn_stream_send(p.client, 0, buf, 1, false, &code), QUICHE_ERR_FINAL_SIZE, "ended early by this side");
  SAYS(quiche_conn_set_keylog_path(p.client, NULL), false, "path is NULL");
  SAYS(quiche_conn_set_keylog_path(p.client, "/no/such/file"), false, "the config says nothing of keys");
  SAYS(quiche_conn_readable(NULL) == NULL, true, "conn is NULL");
  SAYS(quiche_conn_paths_iter(p.client, NULL, 0) == NULL, true, "from is NULL");
  SAYS(quiche_h3_for_each_setting(NULL, NULL, NULL), QUICHE_H3_TRANSPORT_ERR_INVALID_STATE, "conn is NULL");
  SAYS(quiche_h3_take_last_priority_update(NULL, 0, NULL, NULL), QUICHE_H3_TRANSPORT_ERR_INVALID_STATE, "conn is NULL");
  // An end is the reason of all that comes after it.
  IS(quiche_conn_close(p.client, true, 7, (const uint8_t *)"enough", 6), 0);
  exchange(&p);
  SAYS(quiche_conn_stream_send(p.server, 1, buf, 1, false, &code), QUICHE_ERR_INVALID_STATE, "enough");
  IS(quiche_conn_stream_recv(p.server, 1, buf, 1, &fin, &code), QUICHE_ERR_DONE);
  free_pair(&p);
  quiche_config_free(config);
}

static void http3(void) {
  quiche_config *config = config_with(QUICHE_H3_APPLICATION_PROTOCOL);
  quiche_h3_config *h3 = quiche_h3_config_new();
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  quiche_h3_conn *client = quiche_h3_conn_new_with_transport(p.client, h3), *server = quiche_h3_conn_new_with_transport(p.server, h3);
  CHECK(client != NULL && server != NULL);
  exchange(&p);
#define TEXT(s) (const uint8_t *)(s), sizeof(s) - 1
  quiche_h3_header request[] = {{TEXT(":method"), TEXT("GET")}, {TEXT(":scheme"), TEXT("https")}, {TEXT(":authority"), TEXT("localhost")}, {TEXT(":path"), TEXT("/")}};
  quiche_h3_header bad[] = {{TEXT(":method"), TEXT("GET")}, {TEXT("name"), TEXT("value")}};
  quiche_h3_priority priority;
  bad[1].name_len = SIZE_MAX;
  NO_H3_LENGTH(quiche_h3_send_request(client, p.client, bad, 2, true));
  bad[1].name_len = 4;
  bad[1].value_len = (size_t)1 << 47;
  NO_H3_LENGTH(quiche_h3_send_request(client, p.client, bad, 2, true));
  NO_H3_LENGTH(quiche_h3_send_response(server, p.server, 0, bad, 2, true));
  NO_H3_LENGTH(quiche_h3_send_additional_headers(server, p.server, 0, bad, 2, true, true));
  NO_H3_LENGTH(quiche_h3_send_request(client, p.client, request, SIZE_MAX, true));
  NO_H3_LENGTH(quiche_h3_send_body(client, p.client, 0, buf, SIZE_MAX, true));
  NO_H3_LENGTH(quiche_h3_recv_body(client, p.client, 0, buf, SIZE_MAX));
  NO_H3_LENGTH(quiche_h3_parse_extensible_priority(buf, SIZE_MAX, &priority));
  bad[1].value_len = 5;
  bad[1].value = NULL;
  SAYS(quiche_h3_send_request(client, p.client, bad, 2, true), QUICHE_H3_TRANSPORT_ERR_INVALID_STATE, "is NULL");
  IS(quiche_h3_send_request(client, p.client, request, 4, true), 0);
  exchange(&p);
  quiche_h3_event *ev;
  IS(quiche_h3_conn_poll(server, p.server, &ev), 0);
  quiche_h3_event_free(ev);
  quiche_h3_conn_free(client);
  quiche_h3_conn_free(server);
  free_pair(&p);
  quiche_h3_config_free(h3);
  quiche_config_free(config);
}

// A datagram comes from somewhere; where it arrived may be left out.
static void addresses(void) {
  quiche_config *config = config_with("\4test");
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  works(&p, 0);
  quiche_send_info info;
  IS(quiche_conn_send_ack_eliciting(p.client), 0);
  ssize_t n = quiche_conn_send(p.client, buf, sizeof buf, &info);
  CHECK(n > 0);
  quiche_recv_info in = {NULL, 0, (struct sockaddr *)&info.to, info.to_len};
  SAYS(quiche_conn_recv(p.server, buf, (size_t)n, &in), QUICHE_ERR_INVALID_STATE, "NULL");
  quiche_stats stats;
  quiche_conn_stats(p.server, &stats);
  IS(stats.paths_count, 1);
  works(&p, 4);
  free_pair(&p);
  quiche_config_free(config);
}

// A callback frees the connection that calls it. Its memory is freed with the thread at the latest, which the address sanitizer sees.
static _Thread_local quiche_conn *unwanted;

static bool frees(uint8_t *data, size_t n) {
  (void)data, (void)n;
  quiche_conn_free(unwanted);
  return false;
}

static void *freed_within(void *config) {
  for (int i = 0; i < 2; i++) {
    uint8_t id[16] = {(uint8_t)i, 1};
    pair p = {.client = quiche_connect("localhost", id, sizeof id, SOCKADDR(client_address), SOCKADDR(server_address), config)};
    id[1] = 2;
    p.server = quiche_accept(id, sizeof id, NULL, 0, SOCKADDR(server_address), SOCKADDR(client_address), config);
    establish(&p);
    IS(quiche_conn_dgram_send(p.client, (const uint8_t *)"x", 1), 1);
    unwanted = p.client;
    quiche_conn_dgram_purge_outgoing(p.client, frees);
    quiche_conn_free(p.server);
  }
  return NULL;
}

static void in_callbacks(void) {
  quiche_config *config = config_with("\4test");
  quiche_config_enable_dgram(config, true, 10, 10);
  for (int i = 0; i < 30; i++) { // so that Go has forgotten the first ones
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, freed_within, config) == 0 && pthread_join(thread, NULL) == 0);
  }
  quiche_config_free(config);
}

// A descriptor that is given away is closed, also where nothing can be written to it.
static quiche_conn *asked;
static int given[2];

static bool gives(uint8_t *data, size_t n) {
  (void)data, (void)n;
  quiche_conn_set_keylog_fd(asked, given[0]);
  quiche_conn_set_qlog_fd(asked, given[1], NULL, NULL);
  return false;
}

static void want_closed(void) {
  for (int i = 0; i < 2; i++) {
    CHECK(fcntl(given[i], F_GETFD) == -1);
  }
}

static void descriptors(void) {
  quiche_config *config = config_with("\4test");
  quiche_config_enable_dgram(config, true, 10, 10);
  quiche_config_log_keys(config);
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  CHECK(pipe(given) == 0);
  asked = NULL;
  gives(NULL, 0);
  want_closed();
  CHECK(pipe(given) == 0);
  IS(quiche_conn_dgram_send(p.client, (const uint8_t *)"x", 1), 1);
  asked = p.client;
  quiche_conn_dgram_purge_outgoing(p.client, gives);
  want_closed();
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK(pipe(given) == 0);
    gives(NULL, 0);
    want_closed();
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  SAYS(quiche_conn_set_qlog_path(NULL, "/no/such/file", NULL, NULL), false, "conn is NULL");
  SAYS(quiche_conn_set_qlog_path(p.client, NULL, NULL, NULL), false, "path is NULL");
  free_pair(&p);
  quiche_config_free(config);
}

int main(int argc, char *argv[]) {
  arguments(argc, argv);
  configs();
  transport();
  cut_off();
  packets();
  sentences();
  http3();
  addresses();
  in_callbacks();
  descriptors();
  IS(bquic_live_objects(), 0);
  return 0;
}
