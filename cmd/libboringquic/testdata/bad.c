// What no program should do: each function has an error and a sentence for it.
#include "pair.h"
#include <fcntl.h>
#include <unistd.h>

// Packets without a connection.
static void packets(void) {
  uint8_t out[1200];
  bquic_bytes dst = {"destination", 11}, src = {"source", 6}, none = {NULL, 0}, token = {"token", 5}, id = {"new", 3}, null = {NULL, 3};
  bquic_header header = {.size = sizeof header};
  static const uint8_t nonsense[] = {0xc0, 0, 0, 0, 1, 21};
  uint32_t versions[] = {1, 0x6b3343cf};
  int64_t n = GOOD(bquic_write_retry(out, sizeof out, 1, dst, src, id, token));
  GOOD(bquic_header_parse(out, (size_t)n, 8, &header));
  CHECK(header.type == BQUIC_PACKET_RETRY && header.version == 1 && header.len == n);
  CHECK(header.destination.len == 6 && memcmp(header.destination.data, "source", 6) == 0 && header.source.len == 3 && memcmp(header.source.data, "new", 3) == 0);
  CHECK(header.token.len == 5 && header.token.data > (void *)out && memcmp(header.token.data, "token", 5) == 0);
  FAILS(bquic_write_retry(out, (size_t)n - 1, 1, dst, src, id, token), BQUIC_ERR_FULL, "there is room for");
  FAILS(bquic_write_retry(out, sizeof out, 7, dst, src, id, token), BQUIC_ERR_ARGUMENT, "not supported");
  FAILS(bquic_write_retry(out, sizeof out, 1, dst, src, dst, token), BQUIC_ERR_ARGUMENT, "another connection ID");
  FAILS(bquic_write_retry(out, sizeof out, 1, dst, src, id, none), BQUIC_ERR_ARGUMENT, "token");
  FAILS(bquic_write_retry(out, sizeof out, 1, dst, null, id, token), BQUIC_ERR_ARGUMENT, "source.data is NULL");
  n = GOOD(bquic_write_version_negotiation(out, sizeof out, dst, src, versions, 2));
  GOOD(bquic_header_parse(out, (size_t)n, 8, &header));
  CHECK(header.type == BQUIC_PACKET_VERSION_NEGOTIATION && header.version == 0 && header.source.len == 11 && n == 7 + 6 + 11 + 8);
  CHECK(GOOD(bquic_write_version_negotiation(out, sizeof out, dst, src, NULL, 0)) == n + 4);
  FAILS(bquic_write_version_negotiation(out, 10, dst, src, versions, 2), BQUIC_ERR_FULL, "there is room for 10");
  out[0] = 0x40;
  GOOD(bquic_header_parse(out, 20, 8, &header));
  CHECK(header.type == BQUIC_PACKET_ONE_RTT && header.destination.len == 8 && header.source.len == 0 && header.token.data == NULL && header.len == 20);
  FAILS(bquic_header_parse(out, 8, 8, &header), BQUIC_ERR_MESSAGE, "no packet");
  FAILS(bquic_header_parse(out, 20, 21, &header), BQUIC_ERR_ARGUMENT, "at most 20");
  FAILS(bquic_header_parse(nonsense, sizeof nonsense, 8, &header), BQUIC_ERR_MESSAGE, "no packet");
  FAILS(bquic_header_parse(NULL, 0, 8, &header), BQUIC_ERR_MESSAGE, "no packet");
}

// A step with a train that is no good takes none of them.
static void all_or_nothing(char **files) {
  static uint8_t buf[64 << 10];
  bquic_config *config = bquic_config_new();
  GOOD(bquic_config_set_bytes(config, BQUIC_ALPN, "\4test", 5));
  GOOD(bquic_config_add_cert_files(config, files[0], files[1]));
  bquic_endpoint *server = bquic_endpoint_new(config, NULL), *client = bquic_endpoint_new(NULL, NULL);
  bquic_connect connect = {.size = sizeof connect, .remote = address("1", 443)};
  CHECK(bquic_endpoint_connect(client, config, &connect, NULL) != NULL);
  bquic_train trains[2];
  bquic_step out = {.size = sizeof out, .out = trains, .out_max = 1, .buf = buf, .buf_len = sizeof buf};
  GOOD(bquic_endpoint_step(client, &out));
  CHECK(out.out_len == 1);
  trains[0].remote = address("2", 50000);
  trains[1] = trains[0];
  trains[1].remote.sa.sa_family = AF_UNIX;
  bquic_step in = {.size = sizeof in, .in = trains, .in_len = 2};
  bquic_endpoint_info info = {.size = sizeof info};
  FAILS(bquic_endpoint_step(server, &in), BQUIC_ERR_ARGUMENT, "remote of step->in[1] has family 1");
  GOOD(bquic_endpoint_stats(server, &info));
  CHECK(info.accepted == 0);
  in.in_len = 1;
  GOOD(bquic_endpoint_step(server, &in));
  GOOD(bquic_endpoint_stats(server, &info));
  CHECK(info.accepted == 1);
  GOOD(bquic_endpoint_free(client));
  GOOD(bquic_endpoint_free(server));
  GOOD(bquic_config_free(config));
}

// A program of a later version of the header, whose structs are larger.
static void newer(bquic_endpoint *endpoint) {
  struct {
    bquic_step step;
    uint64_t more;
  } step = {.step = {.size = sizeof step}};
  GOOD(bquic_endpoint_step(endpoint, &step.step));
  CHECK(step.step.deadline != 0 && step.step.size == sizeof step);
  step.more = 1;
  FAILS(bquic_endpoint_step(endpoint, &step.step), BQUIC_ERR_UNSUPPORTED, "the bquic_step has something at offset 88");
  struct {
    bquic_endpoint_info info;
    uint64_t more;
  } info = {.info = {.size = sizeof info, .refused = 7}, .more = 7};
  GOOD(bquic_endpoint_stats(endpoint, &info.info));
  CHECK(info.info.size == sizeof info && info.info.refused == 0 && info.more == 0);
}

// The clock is the program's, which may be far from the library's: what is called between steps happens by it, too.
static void own_clock(void) {
  const uint64_t second = 1000000000;
  bquic_config *config = bquic_config_new();
  GOOD(bquic_config_set_bytes(config, BQUIC_ALPN, "\1x", 2));
  bquic_endpoint *endpoint = bquic_endpoint_new(NULL, NULL);
  static uint8_t out_buf[256 << 10];
  bquic_train out[4];
  bquic_step step = {.size = sizeof step, .now = second, .out = out, .out_max = 4, .buf = out_buf, .buf_len = sizeof out_buf};
  GOOD(bquic_endpoint_step(endpoint, &step));
  CHECK(step.deadline == UINT64_MAX);
  bquic_connect connect = {.size = sizeof connect, .server_name = "localhost", .remote = address("1", 1)};
  bquic_conn *conn = bquic_endpoint_connect(endpoint, config, &connect, NULL);
  CHECK(conn != NULL);
  GOOD(bquic_endpoint_step(endpoint, &step));
  CHECK(step.out_len == 1 && step.deadline > second && step.deadline < 5 * second);
  GOOD(bquic_conn_close(conn, 0, 1, NULL, 0));
  GOOD(bquic_endpoint_step(endpoint, &step));
  CHECK(step.deadline < 15 * second);
  GOOD(bquic_endpoint_free(endpoint));
  GOOD(bquic_config_free(config));
}

// A key log that nobody reads, or that nobody reads any more, is no concern of connections.
static int confirmed;

static void on_confirmed(side *s, const bquic_event *ev) {
  (void)s;
  CHECK(ev->kind != BQUIC_EVENT_CLOSED);
  confirmed += ev->kind == BQUIC_EVENT_CONFIRMED;
}

static void key_log(char **files, int read) {
  static side server, client;
  static const char dust[65536];
  int fds[2];
  CHECK(pipe(fds) == 0);
  if (read) {
    CHECK(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
    while (write(fds[1], dust, sizeof dust) > 0) {
    }
    CHECK(fcntl(fds[1], F_SETFL, 0) == 0); // it would block
  } else {
    close(fds[0]);
  }
  bquic_config *config = settings(files, "echo");
  GOOD(bquic_config_set_keylog_fd(config, fds[1]));
  server.handle = client.handle = on_confirmed;
  begin(&server, &client, config);
  dial(&client, &server, config, 0);
  confirmed = 0;
  for (int i = 0; i < 100 && confirmed < 2; i++) {
    step(&server, &client);
    step(&client, &server);
  }
  CHECK(confirmed == 2);
  GOOD(bquic_endpoint_free(client.endpoint));
  GOOD(bquic_endpoint_free(server.endpoint));
  GOOD(bquic_config_free(config));
  close(fds[1]);
  if (read) {
    close(fds[0]);
  }
}

// The least and the largest value of each number but the switches; both can be used, and what is beyond is refused at once.
static void numbers(char **files) {
  static const struct {
    uint32_t key;
    uint64_t least, most;
    int unbounded; // UINT64_MAX is no number
    uint32_t first; // a number that may not be larger
  } spans[] = {
      {BQUIC_MAX_IDLE_TIMEOUT, 1, INT64_MAX, 1, 0}, {BQUIC_HANDSHAKE_TIMEOUT, 1, 86400000000000, 0, 0}, {BQUIC_KEEP_ALIVE, 1, 86400000000000, 0, 0},
      {BQUIC_STREAM_WINDOW, 1, (1ull << 62) - 1, 0, 0}, {BQUIC_MAX_STREAM_WINDOW, 1, (1ull << 62) - 1, 0, BQUIC_STREAM_WINDOW},
      {BQUIC_WINDOW, 1, (1ull << 62) - 1, 0, 0}, {BQUIC_MAX_WINDOW, 1, (1ull << 62) - 1, 0, BQUIC_WINDOW},
      {BQUIC_MAX_STREAMS_BIDI, 1, 1ull << 60, 1, 0}, {BQUIC_MAX_STREAMS_UNI, 1, 1ull << 60, 1, 0},
      {BQUIC_STREAM_SEND_BUFFER, 1, INT32_MAX, 0, 0}, {BQUIC_MAX_STREAM_SEND_BUFFER, 1, INT32_MAX, 0, BQUIC_STREAM_SEND_BUFFER},
      {BQUIC_MAX_DATAGRAM_FRAME, 1, 65535, 0, 0}, {BQUIC_MAX_UDP_PAYLOAD, 1200, 65527, 0, 0}, {BQUIC_CONGESTION, 1, 1, 0, 0},
      {BQUIC_INITIAL_RTT, 1000, 60000000000, 0, 0}, {BQUIC_MAX_ACK_DELAY, 1000000, 16383999999, 0, 0}, {BQUIC_VERSIONS, 1, 3, 0, 0},
      {BQUIC_CONN_ID_LENGTH, 1, 20, 0, 0}, {BQUIC_MAX_HANDSHAKES, 1, INT32_MAX, 0, 0}, {BQUIC_VERIFY, 1, BQUIC_VERIFY_REQUIRE, 0, 0},
      {BQUIC_MAX_RECV_UDP_PAYLOAD, 1200, 65527, 0, 0}, {BQUIC_INITIAL_WINDOW, 2, 1000, 0, 0}, {BQUIC_MAX_PACING_RATE, 1, 1ull << 62, 0, 0},
      {BQUIC_ACK_DELAY_EXPONENT, 1, 20, 1, 0}, {BQUIC_ACTIVE_CONN_IDS, 2, 16, 0, 0}, {BQUIC_AMPLIFICATION, 1, 3, 0, 0},
      {BQUIC_H3_MAX_FIELD_SECTION, 1, 16 << 20, 0, 0}, {BQUIC_H3_TABLE_CAPACITY, 1, 1 << 20, 1, 0}, {BQUIC_H3_BLOCKED_STREAMS, 1, 1 << 16, 1, 0},
      {BQUIC_H3_HEADER_TIMEOUT, 1, 86400000000000, 0, 0}, {BQUIC_H3_MAX_PRIORITY_UPDATE, 1, 264, 0, 0},
  };
  for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
    bquic_config *config = settings(files, NULL);
    GOOD(bquic_config_set_u64(config, BQUIC_H3, 1));
    if (spans[i].least > 1) {
      FAILS(bquic_config_set_u64(config, spans[i].key, spans[i].least - 1), BQUIC_ERR_ARGUMENT, "must be at least");
    }
    FAILS(bquic_config_set_u64(config, spans[i].key, spans[i].most + 1), BQUIC_ERR_ARGUMENT, "can be at most");
    if (!spans[i].unbounded) {
      FAILS(bquic_config_set_u64(config, spans[i].key, UINT64_MAX), BQUIC_ERR_ARGUMENT, "can be at most");
    }
    uint64_t values[] = {spans[i].least, spans[i].most, spans[i].unbounded ? UINT64_MAX : spans[i].most, 0};
    for (int j = 0; j < 4; j++) {
      GOOD(bquic_config_set_u64(config, spans[i].key, values[j]));
      if (spans[i].first != 0) {
        GOOD(bquic_config_set_u64(config, spans[i].first, j == 0));
      }
      int32_t status = 1;
      bquic_endpoint *endpoint = bquic_endpoint_new(config, &status);
      GOOD(status);
      GOOD(bquic_endpoint_free(endpoint));
    }
    if (spans[i].first != 0) {
      int32_t status = BQUIC_OK;
      GOOD(bquic_config_set_u64(config, spans[i].key, 1000));
      CHECK(bquic_endpoint_new(config, &status) == NULL);
      FAILS((int64_t)status, BQUIC_ERR_CONFIG, "more at first than there may be later");
    }
    GOOD(bquic_config_free(config));
  }
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  int32_t status;
  uint64_t value;
  uint32_t flags;
  size_t n;
  char buf[10];

  packets();
  own_clock();
  all_or_nothing(argv + 1);
  numbers(argv);
  key_log(argv, 0);
  key_log(argv, 1);

  // Settings.
  bquic_config *config = bquic_config_new();
  CHECK(config != NULL && bquic_live_objects() == 1);
  FAILS(bquic_config_set_u64(NULL, BQUIC_H3, 1), BQUIC_ERR_ARGUMENT, "the config is NULL");
  FAILS(bquic_config_set_u64(config, 0, 1), BQUIC_ERR_ARGUMENT, "no number with key 0");
  FAILS(bquic_config_set_u64(config, BQUIC_H3, 2), BQUIC_ERR_ARGUMENT, "at most 1");
  FAILS(bquic_config_set_u64(config, BQUIC_MAX_UDP_PAYLOAD, 1199), BQUIC_ERR_ARGUMENT, "at least 1200");
  FAILS(bquic_config_get_u64(config, BQUIC_H3, NULL), BQUIC_ERR_ARGUMENT, "value is NULL");
  FAILS(bquic_config_get_u64(config, 1000, &value), BQUIC_ERR_ARGUMENT, "no number with key 1000");
  GOOD(bquic_config_set_u64(config, BQUIC_KEEP_ALIVE, 5));
  GOOD(bquic_config_get_u64(config, BQUIC_KEEP_ALIVE, &value));
  CHECK(value == 5);
  FAILS(bquic_config_set_bytes(config, BQUIC_ALPN, "\5h3", 3), BQUIC_ERR_ARGUMENT, "no list of protocols");
  FAILS(bquic_config_set_bytes(config, BQUIC_ALPN, "\0", 1), BQUIC_ERR_ARGUMENT, "no list of protocols");
  FAILS(bquic_config_set_bytes(config, BQUIC_ALPN, NULL, 1), BQUIC_ERR_ARGUMENT, "data is NULL, and len is 1");
  FAILS(bquic_config_set_bytes(config, BQUIC_ALPN, "x", SIZE_MAX), BQUIC_ERR_ARGUMENT, "at most 2^31-1");
  FAILS(bquic_config_set_bytes(config, BQUIC_TOKEN_KEY, "short", 5), BQUIC_ERR_ARGUMENT, "must have 32");
  FAILS(bquic_config_set_bytes(config, BQUIC_TICKET_KEYS, "short", 5), BQUIC_ERR_ARGUMENT, "multiple of 32");
  FAILS(bquic_config_set_bytes(config, 77, "short", 5), BQUIC_ERR_ARGUMENT, "no bytes with key 77");
  FAILS(bquic_config_add_cert_files(config, NULL, argv[2]), BQUIC_ERR_ARGUMENT, "chain_file is NULL");
  FAILS(bquic_config_add_cert_files(config, "/no/such", argv[2]), BQUIC_ERR_FILE, "/no/such");
  FAILS(bquic_config_add_cert_files(config, argv[2], argv[2]), BQUIC_ERR_PEM, "no certificate with its key");
  FAILS(bquic_config_add_cert_files(config, "/dev/zero", argv[2]), BQUIC_ERR_FILE, "/dev/zero: it is no file");
  FAILS(bquic_config_add_cert_files(config, argv[1], "/dev/zero"), BQUIC_ERR_FILE, "/dev/zero: it is no file");
  FAILS(bquic_config_add_roots_file(config, "/dev/zero"), BQUIC_ERR_FILE, "/dev/zero: it is no file");
  FAILS(bquic_config_add_cert_pem(config, "no", 2, "key", 3), BQUIC_ERR_PEM, "no certificate with its key");
  FAILS(bquic_config_add_roots_file(config, "/no/such"), BQUIC_ERR_FILE, "/no/such");
  FAILS(bquic_config_add_roots_file(config, argv[2]), BQUIC_ERR_PEM, "holds no certificate");
  FAILS(bquic_config_add_roots_pem(config, "x", 1), BQUIC_ERR_PEM, "holds no certificate");

  // Endpoints.
  status = 5;
  CHECK(bquic_endpoint_new(config, &status) == NULL && status == BQUIC_ERR_CONFIG && strstr(bquic_error(), "BQUIC_ALPN must name one") != NULL);
  GOOD(bquic_config_set_bytes(config, BQUIC_ALPN, "\2h3", 3));
  CHECK(bquic_endpoint_new(config, &status) == NULL && status == BQUIC_ERR_CONFIG && strstr(bquic_error(), "a server needs a certificate") != NULL);
  CHECK(bquic_endpoint_new((bquic_config *)"no config at all", &status) == NULL && status == BQUIC_ERR_HANDLE);
  bquic_endpoint *endpoint = bquic_endpoint_new(NULL, &status);
  GOOD(status);
  bquic_step one = {.size = sizeof one};
  FAILS(bquic_endpoint_step(endpoint, NULL), BQUIC_ERR_ARGUMENT, "the bquic_step is NULL");
  FAILS(bquic_endpoint_step(NULL, &one), BQUIC_ERR_ARGUMENT, "the endpoint is NULL");
  FAILS(bquic_endpoint_step((bquic_endpoint *)config, &one), BQUIC_ERR_HANDLE, "another object: a config");
  one.in_len = 1;
  FAILS(bquic_endpoint_step(endpoint, &one), BQUIC_ERR_ARGUMENT, "step->in is NULL");
  bquic_train train = {.data = NULL, .len = 1};
  one.in = &train;
  FAILS(bquic_endpoint_step(endpoint, &one), BQUIC_ERR_ARGUMENT, "data of step->in[0] is NULL");
  train = (bquic_train){.data = (uint8_t *)buf, .len = 65536};
  FAILS(bquic_endpoint_step(endpoint, &one), BQUIC_ERR_ARGUMENT, "at most 65535");
  memset(buf, 0x40, sizeof buf);
  train = (bquic_train){.data = (uint8_t *)buf, .len = sizeof buf, .remote.sa.sa_family = AF_UNIX};
  FAILS(bquic_endpoint_step(endpoint, &one), BQUIC_ERR_ARGUMENT, "remote of step->in[0] has family 1");
  train.remote.sa.sa_family = AF_INET6;
  train.local.sa.sa_family = AF_UNIX;
  FAILS(bquic_endpoint_step(endpoint, &one), BQUIC_ERR_ARGUMENT, "local of step->in[0] has family 1");
  train.local.sa.sa_family = AF_UNSPEC;
  GOOD(bquic_endpoint_step(endpoint, &one)); // bytes of nobody
  train.remote.sa.sa_family = AF_UNSPEC;
  FAILS(bquic_endpoint_step(endpoint, &one), BQUIC_ERR_ARGUMENT, "remote of step->in[0] has family 0");
  train.remote.sa.sa_family = AF_INET6;
  GOOD(bquic_endpoint_step(endpoint, &one));
  CHECK(one.deadline == UINT64_MAX && one.more == 0);
  one.in_len = 0;
  one.out_max = 1;
  FAILS(bquic_endpoint_step(endpoint, &one), BQUIC_ERR_ARGUMENT, "step->out is NULL");
  one.out = &train;
  FAILS(bquic_endpoint_step(endpoint, &one), BQUIC_ERR_ARGUMENT, "must be at least 1200");
  FAILS(bquic_endpoint_set_ticket_keys(endpoint, NULL, 0), BQUIC_ERR_STATE, "for clients alone");
  FAILS(bquic_endpoint_stats(endpoint, NULL), BQUIC_ERR_ARGUMENT, "is NULL");
  newer(endpoint);

  // Connections.
  bquic_connect connect = {.size = sizeof connect};
  CHECK(bquic_endpoint_connect(endpoint, config, NULL, &status) == NULL && status == BQUIC_ERR_ARGUMENT);
  CHECK(bquic_endpoint_connect(endpoint, config, &connect, &status) == NULL && status == BQUIC_ERR_ARGUMENT && strstr(bquic_error(), "remote") != NULL);
  connect.remote = address("1", 443);
  CHECK(bquic_endpoint_connect(endpoint, NULL, &connect, &status) == NULL && status == BQUIC_ERR_ARGUMENT && strstr(bquic_error(), "config is NULL") != NULL);
  connect.session = (bquic_bytes){"no session", 10};
  CHECK(bquic_endpoint_connect(endpoint, config, &connect, &status) == NULL && status == BQUIC_ERR_ARGUMENT);
  connect.session = (bquic_bytes){NULL, 0};
  connect.flags = 4;
  CHECK(bquic_endpoint_connect(endpoint, config, &connect, &status) == NULL && status == BQUIC_ERR_ARGUMENT && strstr(bquic_error(), "bits that are not known") != NULL);
  connect.flags = 0;
  bquic_conn *conn = bquic_endpoint_connect(endpoint, config, &connect, NULL);
  CHECK(conn != NULL);
  bquic_conn_state state = {.size = sizeof state};
  GOOD(bquic_conn_info(conn, &state));
  CHECK(state.flags == (BQUIC_CONN_CLIENT | BQUIC_CONN_ADDRESS_VALIDATED) && state.alpn_len == 0 && state.cipher_suite == 0);
  state.size = 4;
  FAILS(bquic_conn_info(conn, &state), BQUIC_ERR_ARGUMENT, "size of the bquic_conn_state is 4");
  FAILS(bquic_conn_export(conn, "label", NULL, 0, buf, 10), BQUIC_ERR_STATE, "");
  FAILS(bquic_conn_export(conn, NULL, NULL, 0, buf, 10), BQUIC_ERR_ARGUMENT, "label is NULL");
  char label[251] = "";
  memset(label, 'x', 250);
  FAILS(bquic_conn_export(conn, label, NULL, 0, buf, 10), BQUIC_ERR_ARGUMENT, "can have 249");
  FAILS(bquic_conn_export(conn, "label", NULL, 0, NULL, 10), BQUIC_ERR_ARGUMENT, "out is NULL");
  FAILS(bquic_conn_key_update(conn), BQUIC_ERR_STATE, "too soon");
  FAILS(bquic_conn_migrate(conn, NULL, NULL), BQUIC_ERR_PATH, "not confirmed");
  FAILS(bquic_stream_open(conn, 0), BQUIC_ERR_LIMIT, "limit on streams");
  FAILS(bquic_stream_recv(conn, 0, buf, sizeof buf, NULL, NULL), BQUIC_ERR_ARGUMENT, "flags is NULL");
  FAILS(bquic_stream_recv(conn, 0, NULL, 1, &flags, NULL), BQUIC_ERR_ARGUMENT, "data is NULL");
  FAILS(bquic_stream_send(conn, 0, NULL, 1, 0), BQUIC_ERR_ARGUMENT, "data is NULL");
  FAILS(bquic_stream_send(conn, 0, buf, SIZE_MAX, 0), BQUIC_ERR_ARGUMENT, "at most 2^31-1");
  FAILS(bquic_stream_send(conn, UINT64_MAX - 2, buf, 1, 0), BQUIC_ERR_STREAM, "no such stream");
  for (uint32_t parts = 0; parts <= 8; parts += 1 + (parts == 0) * 3) { // of which BQUIC_READ | BQUIC_LATER is one
    if (parts != (BQUIC_READ | BQUIC_LATER)) {
      FAILS(bquic_stream_shutdown(conn, 0, parts, 0), BQUIC_ERR_ARGUMENT, "must be BQUIC_READ, BQUIC_WRITE or both, or BQUIC_READ | BQUIC_LATER");
    }
  }
  static const uint32_t beyond[] = {0x101, 0x102, 0x103, 0x105, 1u << 31 | BQUIC_WRITE};
  for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
    FAILS(bquic_stream_shutdown(conn, 0, beyond[i], 0), BQUIC_ERR_ARGUMENT, "must be BQUIC_READ");
  }
  FAILS(bquic_stream_shutdown(conn, 0, BQUIC_READ, UINT64_MAX), BQUIC_ERR_ARGUMENT, "below 2^62");
  FAILS(bquic_stream_set_priority(conn, 0, 8, 0), BQUIC_ERR_ARGUMENT, "at most 7");
  FAILS(bquic_datagram_send(conn, "x", 1), BQUIC_ERR_UNSUPPORTED, "takes no datagrams");
  FAILS(bquic_datagram_send(conn, NULL, 1), BQUIC_ERR_ARGUMENT, "data is NULL");
  FAILS(bquic_h3_datagram_recv(conn, 0, buf, sizeof buf, NULL), BQUIC_ERR_ARGUMENT, "len is NULL");
  FAILS(bquic_h3_datagram_recv(conn, 0, buf, sizeof buf, &n), BQUIC_ERR_STATE, "does not speak HTTP/3");
  bquic_op ops[] = {
      {.conn = conn, .kind = 9},
      {.conn = NULL, .kind = BQUIC_OP_SEND},
      {.conn = (bquic_conn *)config, .kind = BQUIC_OP_SEND},
      {.conn = conn, .kind = BQUIC_OP_SEND, .stream = 1},
      {.conn = conn, .kind = BQUIC_OP_RESET, .stream = 1, .len = 5}, // left from a send
      {.conn = conn, .kind = BQUIC_OP_STOP, .stream = 1, .len = 5},
      {.conn = conn, .kind = 9, .len = 5},
      {.conn = conn, .kind = BQUIC_OP_RESPOND}, // it does not speak HTTP/3
  };
  GOOD(bquic_endpoint_ops(endpoint, ops, 8));
  CHECK(ops[4].result == BQUIC_ERR_STREAM && ops[5].result == BQUIC_ERR_STREAM && ops[6].result == BQUIC_ERR_ARGUMENT && ops[7].result == BQUIC_ERR_STATE);
  GOOD(bquic_conn_ping(conn)); // it lives on
  CHECK(ops[0].result == BQUIC_ERR_ARGUMENT && ops[1].result == BQUIC_ERR_ARGUMENT && ops[2].result == BQUIC_ERR_HANDLE && ops[3].result == BQUIC_ERR_STREAM);
  FAILS(bquic_endpoint_ops(endpoint, NULL, 4), BQUIC_ERR_ARGUMENT, "ops is NULL");

  // What is freed is an error, also if another object has its place, and is freed once.
  GOOD(bquic_conn_free(conn));
  FAILS(bquic_conn_free(conn), BQUIC_ERR_HANDLE, "no such connection");
  bquic_conn *second = bquic_endpoint_connect(endpoint, config, &connect, NULL);
  CHECK(second != NULL && second != conn);
  FAILS(bquic_conn_ping(conn), BQUIC_ERR_HANDLE, "it was freed");
  GOOD(bquic_config_free(config));
  FAILS(bquic_config_free(config), BQUIC_ERR_HANDLE, "it was freed");
  one = (bquic_step){.size = sizeof one};
  GOOD(bquic_endpoint_step(endpoint, &one)); // its connection lives on without the config
  GOOD(bquic_endpoint_free(endpoint));
  FAILS(bquic_conn_ping(second), BQUIC_ERR_HANDLE, "it was freed");
  FAILS(bquic_endpoint_free(endpoint), BQUIC_ERR_HANDLE, "it was freed");
  CHECK(bquic_live_objects() == 0);
  return 0;
}
