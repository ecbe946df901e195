// What cmd/libboringquic/quiche.md says of functions that do something else than quiche's: each claim is a line here, which is not the same where the
// program is linked to quiche and where it is linked to our library. TestDiffers knows both.
//
//	differs chain key chain-of-many
#include <arpa/inet.h>
#include <inttypes.h>
#include <quiche.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"

#define SAY(claim, ...) (printf("%s: ", claim), printf(__VA_ARGS__), printf("\n"))

typedef struct end {
  quiche_conn *quic;
  quiche_h3_conn *h3;
  struct sockaddr_in address;
} end;

static end client, server;
static char **files;
static uint8_t buf[1 << 20], next_id;
static uint64_t code;
static bool fin;

static const uint8_t reset_token[16] = "this is a token", ticket_key[48] = "a key of tickets";

static quiche_config *config_of(const char *protos) {
  quiche_config *config = quiche_config_new(QUICHE_PROTOCOL_VERSION);
  CHECK(config != NULL);
  CHECK(quiche_config_load_cert_chain_from_pem_file(config, files[0]) == 0 && quiche_config_load_priv_key_from_pem_file(config, files[1]) == 0);
  CHECK(quiche_config_set_application_protos(config, (const uint8_t *)protos, strlen(protos)) == 0);
  quiche_config_set_max_idle_timeout(config, 30000);
  quiche_config_set_initial_max_data(config, 1000000);
  quiche_config_set_initial_max_stream_data_bidi_local(config, 100000);
  quiche_config_set_initial_max_stream_data_bidi_remote(config, 100000);
  quiche_config_set_initial_max_stream_data_uni(config, 100000);
  quiche_config_set_initial_max_streams_bidi(config, 100);
  quiche_config_set_initial_max_streams_uni(config, 100);
  quiche_config_enable_dgram(config, true, 1000, 1000);
  return config;
}

static struct sockaddr_in address_of(uint16_t port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void begin(quiche_config *of_client, quiche_config *of_server) {
  uint8_t ids[2][16];
  memset(ids[0], ++next_id, 16), memset(ids[1], ++next_id, 16);
  client = (end){.address = address_of(4433)}, server = (end){.address = address_of(4434)};
  struct sockaddr *c = (struct sockaddr *)&client.address, *s = (struct sockaddr *)&server.address;
  CHECK((client.quic = quiche_connect("localhost", ids[0], 16, c, sizeof client.address, s, sizeof server.address, of_client)) != NULL);
  CHECK((server.quic = quiche_accept(ids[1], 16, NULL, 0, s, sizeof server.address, c, sizeof client.address, of_server)) != NULL);
}

static ssize_t give(end *to, const uint8_t *data, size_t len) {
  end *from = to == &client ? &server : &client;
  quiche_recv_info info = {(struct sockaddr *)&from->address, sizeof from->address, (struct sockaddr *)&to->address, sizeof to->address};
  uint8_t copy[1500];
  memcpy(copy, data, len);
  return quiche_conn_recv(to->quic, copy, len, &info);
}

static bool carry(end *from, end *to) {
  uint8_t out[1350];
  quiche_send_info info;
  bool any = false;
  for (ssize_t n; (n = quiche_conn_send(from->quic, out, sizeof out, &info)) > 0; any = true) {
    give(to, out, (size_t)n);
  }
  return any;
}

static void pass(uint64_t ns) { nanosleep(&(struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)}, NULL); }

static void on_timers(void) {
  for (int i = 0; i < 2; i++) {
    quiche_conn *quic = i ? server.quic : client.quic;
    if (quiche_conn_timeout_as_nanos(quic) == 0) {
      quiche_conn_on_timeout(quic);
    }
  }
}

// exchange has both ends say what they have to say, also what waits for a short timer.
static void exchange(void) {
  for (;;) {
    bool any = carry(&client, &server);
    if (carry(&server, &client) || any) {
      continue;
    }
    uint64_t c = quiche_conn_timeout_as_nanos(client.quic), s = quiche_conn_timeout_as_nanos(server.quic), wait = c < s ? c : s;
    if (wait > 400000000) {
      return;
    }
    pass(wait);
    on_timers();
  }
}

static void establish(quiche_config *of_client, quiche_config *of_server) {
  begin(of_client, of_server);
  exchange();
  CHECK(quiche_conn_is_established(client.quic) && quiche_conn_is_established(server.quic));
}

static void finish(void) {
  quiche_h3_conn_free(client.h3), quiche_h3_conn_free(server.h3);
  quiche_conn_free(client.quic), quiche_conn_free(server.quic);
}

static ssize_t send_on(end *e, uint64_t id, size_t n, bool last) { return quiche_conn_stream_send(e->quic, id, buf, n, last, &code); }
static ssize_t read_from(end *e, uint64_t id) { return quiche_conn_stream_recv(e->quic, id, buf, sizeof buf, &fin, &code); }

static void pair(void) {
  quiche_config *config = config_of("\4test");
  establish(config, config);
  quiche_config_free(config);
}

// What a config says.

static void versions(void) {
  SAY("versions: 2 is supported", "%d", quiche_version_is_supported(0x6b3343cf));
  quiche_config *config = config_of("\4test");
  quiche_config *reserved = quiche_config_new(0xbabababa);
  quiche_config_set_application_protos(reserved, (const uint8_t *)"\4test", 5);
  begin(reserved, config);
  quiche_send_info info;
  CHECK(quiche_conn_send(client.quic, buf, 1350, &info) > 0);
  SAY("versions: a reserved one", "%02x%02x%02x%02x", buf[1], buf[2], buf[3], buf[4]);
  SAY("connection IDs: bytes of what a client sends to first", "%d", buf[5]);
  finish();
  quiche_config_free(reserved);
  quiche_config_free(config);
}

static void settings(void) {
  quiche_config *config = config_of("\4test"), *plain = config_of("\4test"), *none = quiche_config_new(QUICHE_PROTOCOL_VERSION);
  quiche_config_set_initial_max_data(config, 0);
  quiche_config_set_initial_max_stream_data_bidi_remote(config, 1000);
  quiche_config_set_initial_max_stream_data_uni(config, 5000);
  quiche_config_set_initial_max_stream_data_bidi_local(config, 2000);
  quiche_config_set_initial_congestion_window_packets(config, 1);
  quiche_config_set_active_connection_id_limit(config, 100);
  quiche_config_set_initial_max_streams_bidi(config, (uint64_t)1 << 30);
  establish(plain, config);
  quiche_transport_params p;
  CHECK(quiche_conn_peer_transport_params(client.quic, &p));
  SAY("flow control: bidirectional streams", "%" PRIu64, p.peer_initial_max_stream_data_bidi_remote);
  SAY("flow control: a limit of 0", "%" PRIu64, p.peer_initial_max_data);
  SAY("streams: of a type", "%" PRIu64, p.peer_initial_max_streams_bidi);
  finish();
  establish(config, config);
  SAY("connection IDs: to be given", "%zu", quiche_conn_scids_left(client.quic));
  finish();
  begin(plain, config);
  quiche_path_stats path;
  CHECK(quiche_conn_path_stats(server.quic, 0, &path) == 0);
  SAY("settings: the initial window", "%zu", path.cwnd);
  uint64_t seq;
  SAY("connection IDs: before the handshake", "%d", quiche_conn_new_scid(server.quic, buf, 16, buf, false, &seq));
  finish();
  CHECK(quiche_config_load_cert_chain_from_pem_file(none, files[0]) == 0 && quiche_config_load_priv_key_from_pem_file(none, files[1]) == 0);
  quiche_conn *conn = quiche_accept(buf, 16, NULL, 0, (struct sockaddr *)&server.address, sizeof server.address, (struct sockaddr *)&client.address,
                                    sizeof client.address, none);
  SAY("protocols: a server without any", "%d", conn != NULL);
  quiche_conn_free(conn);
  quiche_config_free(config), quiche_config_free(plain), quiche_config_free(none);
}

// ids_wanted_by_peer is the peer's active_connection_id_limit. quiche 0.30.0 has another number in that field, since the layout of its struct is Rust's.
static uint64_t ids_wanted_by_peer(quiche_conn *quic) {
  quiche_transport_params p;
  CHECK(quiche_conn_peer_transport_params(quic, &p));
  return p.peer_active_conn_id_limit == 65536 ? quiche_conn_scids_left(quic) + 1 : p.peer_active_conn_id_limit;
}

// numbers are settings that are beyond what our library takes, and those that were not set.
static void numbers(void) {
  quiche_config *config = config_of("\4test"), *plain = config_of("\4test");
  quiche_config_set_initial_congestion_window_packets(config, 5000);
  quiche_config_set_active_connection_id_limit(config, 100);
  quiche_config_set_max_amplification_factor(config, 5);
  CHECK(quiche_config_load_cert_chain_from_pem_file(config, files[2]) == 0);
  begin(plain, config);
  quiche_path_stats path;
  CHECK(quiche_conn_path_stats(server.quic, 0, &path) == 0);
  SAY("settings: the largest initial window", "%zu", path.cwnd);
  quiche_send_info info;
  size_t to_server = 0, to_client = 0;
  for (ssize_t n; (n = quiche_conn_send(client.quic, buf, 1350, &info)) > 0; to_server += (size_t)n) {
    give(&server, buf, (size_t)n);
  }
  for (ssize_t n; (n = quiche_conn_send(server.quic, buf, 1350, &info)) > 0; to_client += (size_t)n) {
  }
  SAY("settings: sent to an address that nobody has validated", "%s", to_client > 3 * to_server ? "more" : "3 times what came");
  finish();
  establish(config, config);
  SAY("settings: connection IDs", "%" PRIu64, ids_wanted_by_peer(client.quic));
  finish();
  establish(plain, plain);
  SAY("settings: connection IDs if nothing is set", "%" PRIu64, ids_wanted_by_peer(server.quic));
  finish();
  quiche_config_free(config), quiche_config_free(plain);
}

// Datagrams of UDP, and of RFC 9221.

static void trains(void) {
  pair();
  quiche_send_info info;
  quiche_stats before, after;
  send_on(&client, 0, 8000, false);
  SAY("trains: out of 1000 bytes", "%d", quiche_conn_send(client.quic, buf, 1000, &info) > 0);
  quiche_conn_stats(client.quic, &before);
  CHECK(quiche_conn_send(client.quic, buf, 1350, &info) > 0);
  quiche_conn_stats(client.quic, &after);
  SAY("trains: sent with the first", "%s", after.sent - before.sent > 1 ? "several" : "one");
  finish();

  quiche_config *config = config_of("\4test");
  quiche_config_enable_pacing(config, false);
  establish(config, config);
  SAY("quantum: without pacing", "%s", quiche_conn_send_quantum(client.quic) > 60000 ? "64 KiB" : "less");
  finish();
  quiche_config_enable_pacing(config, true);
  begin(config, config);
  for (int i = 0; i < 8; i++) { // a round trip of 40 ms
    carry(&client, &server);
    pass(20000000);
    carry(&server, &client);
    pass(20000000);
  }
  CHECK(quiche_conn_is_established(client.quic));
  bool ahead = false;
  for (int i = 0; i < 4; i++) {
    send_on(&client, 0, 20000, false);
    for (ssize_t n; (n = quiche_conn_send(client.quic, buf, 1350, &info)) > 0;) {
      struct timespec now;
      clock_gettime(CLOCK_MONOTONIC, &now);
      ahead = ahead || (info.at.tv_sec - now.tv_sec) * 1000000000 + info.at.tv_nsec - now.tv_nsec > 1000000;
      give(&server, buf, (size_t)n);
    }
    pass(20000000);
    while (read_from(&server, 0) > 0) {
    }
    carry(&server, &client);
    pass(20000000);
  }
  SAY("pacing: cubic", "at is %s", ahead ? "ahead" : "now");
  finish();
  quiche_config_free(config);
}

static void datagrams(void) {
  pair();
  int n = 0;
  while (n < 200 && quiche_conn_dgram_send(client.quic, buf, 100) == 100) {
    n++;
  }
  SAY("datagrams: queued", "%d", n);
  exchange();
  ssize_t got = quiche_conn_dgram_recv(server.quic, buf, 10);
  SAY("short room: dgram_recv", "%zd, front %s", got, quiche_conn_dgram_recv_queue_len(server.quic) == n ? "stays" : "is gone");
  finish();
}

static void garbage(void) {
  quiche_config *config = config_of("\4test");
  begin(config, config);
  uint8_t data[100];
  memset(data, 0x40, sizeof data);
  data[0] = 0x80;
  ssize_t got = give(&server, data, sizeof data);
  SAY("garbage: first of all", "%zd closed %d", got, quiche_conn_local_error(server.quic, &fin, &code, &(const uint8_t *){NULL}, &(size_t){0}));
  finish();
  quiche_config_free(config);
}

// Time.

static void timers(void) {
  quiche_config *config = config_of("\4test");
  quiche_config_set_max_idle_timeout(config, 1200);
  quiche_config_set_stateless_reset_token(config, reset_token);
  uint8_t late[1350];
  ssize_t n;
  establish(config, config);
  send_on(&server, 1, 100, false);
  quiche_send_info info;
  n = quiche_conn_send(server.quic, buf, 1350, &info);
  CHECK(n > 0);
  memcpy(late, buf, (size_t)n);
  uint64_t left = quiche_conn_timeout_as_nanos(client.quic);
  CHECK(left > 10000000 && left < 2000000000);
  pass(left + 200000000);
  CHECK(quiche_conn_send(client.quic, buf, 1350, &info) == QUICHE_ERR_DONE);
  uint64_t first = quiche_conn_timeout_as_nanos(client.quic);
  SAY("timeout: due", "%" PRIu64 " %" PRIu64, first, quiche_conn_timeout_as_nanos(client.quic));
  give(&client, late, (size_t)n);
  SAY("timeout: a datagram that is too late", "closed %d", quiche_conn_is_closed(client.quic));
  finish();

  establish(config, config);
  memset(buf, 0x5a, 84);
  memcpy(buf + 84, reset_token, 16);
  SAY("stateless reset: recv", "%zd", give(&client, buf, 100));
  finish();
  quiche_config_free(config);
}

// Paths.

static void paths(void) {
  quiche_config *config = config_of("\4test");
  quiche_config_set_active_connection_id_limit(config, 4);
  establish(config, config);
  uint64_t seq = 0;
  uint8_t id[16], token[16];
  for (int i = 0; i < 2 && quiche_conn_scids_left(client.quic) > 0; i++) {
    memset(id, ++next_id, 16), memset(token, next_id, 16);
    CHECK(quiche_conn_new_scid(client.quic, id, 16, token, false, &seq) == 0);
    id[0] ^= 0xff, token[0] ^= 0xff;
    CHECK(quiche_conn_new_scid(server.quic, id, 16, token, false, &seq) == 0);
  }
  exchange();
  struct sockaddr_in other = address_of(4999);
  struct sockaddr *from = (struct sockaddr *)&other, *to = (struct sockaddr *)&server.address;
  seq = 99;
  CHECK(quiche_conn_probe_path(client.quic, from, sizeof other, to, sizeof server.address, &seq) == 0);
  SAY("paths: the number of a connection ID", "%" PRIu64, seq);
  ssize_t n = quiche_conn_send_ack_eliciting_on_path(client.quic, from, sizeof other, to, sizeof server.address);
  SAY("paths: send_ack_eliciting_on_path", "%s", n < 0 ? "refused" : "taken");
  finish();

  // What waits of a train has to leave before another path is asked for.
  establish(config, config);
  send_on(&client, 0, 8000, false);
  quiche_send_info info;
  CHECK(quiche_conn_send(client.quic, buf, 1350, &info) > 0);
  struct sockaddr_in strange = address_of(5000);
  SAY("trains: another path meanwhile", "%zd", quiche_conn_send_on_path(client.quic, buf, 1350, (struct sockaddr *)&strange, sizeof strange, to,
                                                                        sizeof server.address, &info));
  finish();
  quiche_config_free(config);
}

// Streams.

static uint64_t first_of(quiche_stream_iter *it) {
  uint64_t id = UINT64_MAX;
  quiche_stream_iter_next(it, &id);
  quiche_stream_iter_free(it);
  return id;
}

static void streams(void) {
  pair();
  ssize_t most = quiche_conn_stream_capacity(client.quic, 0), took;
  CHECK(send_on(&client, 0, 1, false) == 1);
  most = quiche_conn_stream_capacity(client.quic, 0);
  took = send_on(&client, 0, 90000, false);
  SAY("buffers: stream_send beyond the capacity", "%s", took > most ? "taken" : "not taken");
  send_on(&client, 8, 1, false);
  exchange();
  while (read_from(&server, 0) > 0) {
    exchange();
  }
  SAY("streams: one below another", "%zd", send_on(&server, 4, 1, false));
  send_on(&server, 8, 1, false), send_on(&server, 0, 1, false);
  exchange();
  CHECK(quiche_conn_stream_shutdown(client.quic, 8, QUICHE_SHUTDOWN_READ, 7) == 0);
  exchange();
  SAY("buffers: the first of those writable", "%" PRIu64, first_of(quiche_conn_writable(server.quic)));
  finish();

  pair();
  send_on(&client, 0, 10, false);
  exchange();
  CHECK(send_on(&server, 0, 10, false) == 10 && quiche_conn_stream_shutdown(client.quic, 0, QUICHE_SHUTDOWN_READ, 7) == 0);
  exchange();
  send_on(&client, 0, 0, true);
  exchange();
  CHECK(read_from(&server, 0) == 10 && fin);
  SAY("stopped: and all was read", "%zd", send_on(&server, 0, 10, false));

  send_on(&client, 4, 10, true);
  SAY("ended: capacity", "%d", quiche_conn_stream_capacity(client.quic, 4) > 0);
  SAY("ended: writable", "%d", quiche_conn_stream_writable(client.quic, 4, 10));

  send_on(&client, 8, 10, true);
  exchange();
  CHECK(quiche_conn_stream_shutdown(client.quic, 8, QUICHE_SHUTDOWN_WRITE, 7) == 0);
  exchange();
  SAY("shut down: when all had arrived", "%zd", read_from(&server, 8));

  send_on(&client, 12, 10, false);
  exchange();
  send_on(&server, 12, 10, true);
  exchange();
  CHECK(quiche_conn_stream_shutdown(server.quic, 12, QUICHE_SHUTDOWN_READ, 7) == 0);
  exchange();
  SAY("forgotten: stream_recv", "%zd", read_from(&server, 12));

  send_on(&client, 16, 10, false);
  exchange();
  CHECK(quiche_conn_close(server.quic, true, 7, NULL, 0) == 0);
  SAY("closed: stream_recv", "%zd", read_from(&server, 16));
  finish();
}

static void figures(void) {
  quiche_config *config = config_of("\4test");
  CHECK(quiche_config_set_cc_algorithm_name(config, "bbr2_gcongestion") == 0);
  establish(config, config);
  send_on(&client, 0, 10000, true);
  exchange();
  quiche_path_stats path;
  CHECK(quiche_conn_path_stats(client.quic, 0, &path) == 0);
  SAY("statistics: max_rtt", "%s", path.max_rtt ? "counted" : "0");
  SAY("congestion control: BBR's bandwidth", "%s", path.max_bandwidth ? "there" : "none");
  finish();
  quiche_config_free(config);
}

// Sessions.

static void sessions(void) {
  quiche_config *of_client = config_of("\4test"), *of_server = config_of("\4test"), *another = config_of("\4test");
  for (int i = 0; i < 3; i++) {
    quiche_config *config = i == 0 ? of_client : i == 1 ? of_server : another;
    quiche_config_enable_early_data(config);
    CHECK(i == 0 || quiche_config_set_ticket_key(config, ticket_key, sizeof ticket_key) == 0);
  }
  establish(of_client, of_server);
  const uint8_t *lent;
  size_t len;
  quiche_conn_session(client.quic, &lent, &len);
  CHECK(len > 9);
  uint8_t *session = memcpy(malloc(len), lent, len);
  SAY("session: of quiche's form", "%d", session[8] == 0x30);
  finish();
  begin(of_client, another);
  CHECK(quiche_conn_set_session(client.quic, session, len) == 0);
  carry(&client, &server);
  SAY("0-RTT: tickets of another config", "%d", quiche_conn_is_in_early_data(server.quic));
  finish();
  begin(of_client, of_server);
  CHECK(quiche_conn_set_session(client.quic, session, len) == 0);
  uint8_t flight[4][1350];
  ssize_t lens[4], count = 0;
  quiche_send_info info;
  while (count < 4 && (lens[count] = quiche_conn_send(client.quic, flight[count], sizeof *flight, &info)) > 0) {
    count++;
  }
  for (int i = 0; i < 2; i++) { // the second time at another connection
    for (ssize_t j = 0; j < count; j++) {
      give(&server, flight[j], (size_t)lens[j]);
    }
    bool taken = quiche_conn_is_in_early_data(server.quic);
    if (i == 0) {
      CHECK(taken);
      quiche_conn_free(server.quic);
      CHECK((server.quic = quiche_accept(buf, 16, NULL, 0, (struct sockaddr *)&server.address, sizeof server.address, (struct sockaddr *)&client.address,
                                         sizeof client.address, of_server)) != NULL);
    } else {
      SAY("0-RTT: the same packets again", "%d", taken);
    }
  }
  finish();
  free(session);
  quiche_config_free(of_client), quiche_config_free(of_server), quiche_config_free(another);
}

// HTTP/3.

#define TEXT(s) (const uint8_t *)(s), sizeof(s) - 1
#define FIELDS(...) (quiche_h3_header[]){__VA_ARGS__}, sizeof((quiche_h3_header[]){__VA_ARGS__}) / sizeof(quiche_h3_header)

static int poll(end *e, int64_t *id) {
  quiche_h3_event *ev;
  int64_t got = quiche_h3_conn_poll(e->h3, e->quic, &ev);
  if (got < 0) {
    return (int)got;
  }
  int type = (int)quiche_h3_event_type(ev);
  quiche_h3_event_free(ev);
  *id = got;
  return type;
}

static int note_setting(uint64_t id, uint64_t value, void *out) {
  if (id == 1) {
    *(uint64_t *)out = value;
  }
  return 0;
}

static int64_t request(bool last) {
  return quiche_h3_send_request(client.h3, client.quic,
                                FIELDS({TEXT(":method"), TEXT("GET")}, {TEXT(":scheme"), TEXT("https")}, {TEXT(":authority"), TEXT("localhost")}, {TEXT(":path"), TEXT("/")}), last);
}

static void http(void) {
  quiche_config *config = config_of("\2h3");
  establish(config, config);
  quiche_h3_config *h3 = quiche_h3_config_new();
  client.h3 = quiche_h3_conn_new_with_transport(client.quic, h3), server.h3 = quiche_h3_conn_new_with_transport(server.quic, h3);
  CHECK(client.h3 != NULL && server.h3 != NULL);
  int64_t id = 0;
  exchange();
  while (poll(&client, &id) >= 0 || poll(&server, &id) >= 0) {
  }
  uint64_t table = 0;
  quiche_h3_for_each_setting(client.h3, note_setting, &table);
  SAY("HTTP/3: QPACK's dynamic table", "%" PRIu64, table);
  SAY("HTTP/3: a request without a scheme", "%" PRId64,
      quiche_h3_send_request(client.h3, client.quic, FIELDS({TEXT(":method"), TEXT("GET")}, {TEXT(":authority"), TEXT("a")}, {TEXT(":path"), TEXT("/")}), true));
  int64_t stream = request(true);
  CHECK(stream >= 0);
  exchange();
  while (poll(&server, &id) != QUICHE_H3_EVENT_FINISHED || id != stream) {
  }
  CHECK(quiche_h3_send_response(server.h3, server.quic, (uint64_t)id, FIELDS({TEXT(":status"), TEXT("200")}, {TEXT("content-length"), TEXT("5")}), false) == 0);
  SAY("HTTP/3: a body longer than was declared", "%zd", quiche_h3_send_body(server.h3, server.quic, (uint64_t)id, buf, 6, true));
  quiche_h3_send_body(server.h3, server.quic, (uint64_t)id, buf, 5, true);
  exchange();
  while (poll(&client, &id) >= 0) {
    quiche_h3_recv_body(client.h3, client.quic, (uint64_t)id, buf, sizeof buf);
  }
  exchange();
  SAY("exchanges: send_body on one that has ended", "%zd", quiche_h3_send_body(server.h3, server.quic, (uint64_t)stream, buf, 5, true));

  // A request that is reset before the server polls.
  stream = request(false);
  CHECK(stream >= 0);
  exchange();
  CHECK(quiche_conn_stream_shutdown(client.quic, (uint64_t)stream, QUICHE_SHUTDOWN_WRITE, 0x10c) == 0);
  exchange();
  CHECK(poll(&server, &id) == QUICHE_H3_EVENT_RESET && id == stream && poll(&server, &id) < 0); // the same with either
  finish();
  quiche_h3_config_free(h3);
  quiche_config_free(config);
}

// A PRIORITY_UPDATE frame with a payload of 300 bytes (RFC 9218, section 7.2), on the client's control stream.
static void priority_update(void) {
  quiche_config *config = config_of("\2h3");
  establish(config, config);
  quiche_h3_config *h3 = quiche_h3_config_new();
  quiche_h3_config_set_max_priority_update_size(h3, 1000);
  client.h3 = quiche_h3_conn_new_with_transport(client.quic, h3), server.h3 = quiche_h3_conn_new_with_transport(server.quic, h3);
  CHECK(client.h3 != NULL && server.h3 != NULL);
  int64_t id = 0, stream = request(false);
  CHECK(stream == 0);
  exchange();
  int got;
  while ((got = poll(&server, &id)) >= 0) {
  }
  static const uint8_t head[] = {0x80, 0x0f, 0x07, 0x00, 0x41, 0x2c, 0x00, 'u', '=', '1'}; // type, length, stream, priority
  memset(buf, ' ', 6 + 300);
  memcpy(buf, head, sizeof head);
  CHECK(send_on(&client, 2, 6 + 300, false) == 6 + 300);
  exchange();
  got = poll(&server, &id);
  CHECK(got == QUICHE_H3_EVENT_PRIORITY_UPDATE || got < -1);
  SAY("settings: a long PRIORITY_UPDATE", "%s", got < 0 ? "an error" : "taken");
  finish();
  quiche_h3_config_free(h3);
  quiche_config_free(config);
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  files = argv + 1;
  versions();
  settings();
  numbers();
  trains();
  datagrams();
  garbage();
  timers();
  paths();
  streams();
  figures();
  sessions();
  http();
  priority_update();
  return 0;
}
