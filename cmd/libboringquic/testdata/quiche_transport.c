// What callers of quiche.h rely on, for QUIC.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "quiche_pair.h"

static uint64_t code;
static bool fin;
static uint8_t buf[70000];

static ssize_t send_text(quiche_conn *conn, uint64_t id, const char *text, bool end) {
  return quiche_conn_stream_send(conn, id, (const uint8_t *)text, strlen(text), end, &code);
}

static ssize_t recv_text(quiche_conn *conn, uint64_t id) {
  fin = false;
  return quiche_conn_stream_recv(conn, id, buf, sizeof buf, &fin, &code);
}

// first returns the first stream of an iterator, and wants so many.
static uint64_t first(quiche_stream_iter *iter, size_t want) {
  uint64_t id = UINT64_MAX, next;
  size_t n = 0;
  while (quiche_stream_iter_next(iter, &next)) {
    id = n++ == 0 ? next : id;
  }
  IS(n, want);
  quiche_stream_iter_free(iter);
  return id;
}

// Streams come by their priority, and how much they take is what can leave: by the connection's limit, by congestion control.
static void order(void) {
  quiche_config *config = config_with("\1x");
  pair p = pair_of(config, config, NULL);
  establish(&p);
  IS(send_text(p.client, 0, "a", false), 1);
  IS(send_text(p.client, 4, "a", false), 1);
  IS(send_text(p.client, 8, "a", false), 1);
  exchange(&p);
  IS(first(quiche_conn_writable(p.client), 3), 0);
  IS(first(quiche_conn_readable(p.server), 3), 0);
  IS(quiche_conn_stream_priority(p.client, 8, 124, true), 0);
  IS(quiche_conn_stream_priority(p.server, 4, 127, false), 0); // before incremental ones of the same urgency
  IS(first(quiche_conn_writable(p.client), 3), 8);
  IS(first(quiche_conn_readable(p.server), 3), 4);
  IS(quiche_conn_stream_readable_next(p.server), 4);
  IS(quiche_conn_stream_writable_next(p.client), 8);
  // Congestion control lets some packets leave: what was written and waits is taken off.
  ssize_t capacity = quiche_conn_stream_capacity(p.client, 0);
  CHECK(capacity >= 5000 && capacity < 100000);
  IS(quiche_conn_stream_send(p.client, 4, buf, 2000, false, &code), 2000);
  IS(quiche_conn_stream_capacity(p.client, 0), capacity - 2000);
  IS(quiche_conn_stream_send(p.client, 4, buf, 60000, false, &code), 60000);
  IS(quiche_conn_stream_capacity(p.client, 0), 0);
  IS(first(quiche_conn_writable(p.client), 0), -1);
  exchange(&p);
  CHECK(quiche_conn_stream_capacity(p.client, 0) >= 5000);
  // Of streams that the peer has stopped is told before all others.
  IS(quiche_conn_stream_shutdown(p.server, 4, QUICHE_SHUTDOWN_READ, 1), 0);
  exchange(&p);
  IS(first(quiche_conn_writable(p.client), 3), 4);
  IS(quiche_conn_stream_capacity(p.client, 4), QUICHE_ERR_STREAM_STOPPED);
  IS(quiche_conn_stream_capacity(p.client, 4), QUICHE_ERR_STREAM_STOPPED);
  IS(send_text(p.client, 4, "a", false), QUICHE_ERR_STREAM_STOPPED);
  IS(quiche_conn_stream_capacity(p.client, 4), QUICHE_ERR_STREAM_STOPPED); // as long as the server has not ended its part
  // What the peer ends after nobody reads it any more is finished.
  IS(send_text(p.client, 8, "", true), 0);
  IS(quiche_conn_stream_shutdown(p.server, 8, QUICHE_SHUTDOWN_READ, 1), 0);
  CHECK(!quiche_conn_stream_finished(p.server, 8));
  exchange(&p);
  CHECK(quiche_conn_stream_finished(p.server, 8));
  free_pair(&p);
  quiche_config_free(config);
}

// A connection that is closed before anybody knows of it is over at once; what an application says before the handshake is complete is not told.
static void early_close(void) {
  quiche_config *config = config_with("\1x");
  pair p = pair_of(config, config, NULL);
  bool app = true;
  uint64_t number = 0;
  const uint8_t *reason;
  size_t reason_len = 9;
  IS(quiche_conn_close(p.client, true, 77, (const uint8_t *)"why", 3), 0);
  CHECK(quiche_conn_is_closed(p.client));
  CHECK(quiche_conn_local_error(p.client, &app, &number, &reason, &reason_len));
  CHECK(!app && reason_len == 0);
  IS(number, 0x0c);
  IS(quiche_conn_close(p.client, true, 77, (const uint8_t *)"why", 3), QUICHE_ERR_DONE);
  IS(quiche_conn_timeout_as_nanos(p.client), UINT64_MAX);
  IS(quiche_conn_send_ack_eliciting(p.client), 0);
  quiche_send_info info;
  IS(quiche_conn_send(p.client, buf, sizeof buf, &info), QUICHE_ERR_DONE);
  free_pair(&p);

  p = pair_of(config, config, NULL);
  carry(&p, p.client, p.server);
  carry(&p, p.server, p.client);
  IS(quiche_conn_close(p.server, true, 77, (const uint8_t *)"why", 3), 0);
  CHECK(!quiche_conn_is_closed(p.server)); // the client is to be told
  CHECK(quiche_conn_local_error(p.server, &app, &number, &reason, &reason_len) && !app);
  IS(number, 0x0c);
  IS(quiche_conn_send_ack_eliciting(p.server), 0);
  IS(quiche_conn_send_ack_eliciting_on_path(p.server, SOCKADDR(server_address), SOCKADDR(client_address)), 0);
  free_pair(&p);
  quiche_config_free(config);
}

// A key that does not belong to the chain before it is refused where it is loaded; a chain to which the key before it does not belong waits for its own.
static void keys(void) {
  quiche_config *config = quiche_config_new(QUICHE_PROTOCOL_VERSION);
  IS(quiche_config_load_cert_chain_from_pem_file(config, other_file), 0);
  IS(quiche_config_load_priv_key_from_pem_file(config, key_file), QUICHE_ERR_TLS_FAIL);
  CHECK(strstr(bquic_error(), key_file) != NULL && strstr(bquic_error(), "private key does not match public key") != NULL);
  IS(quiche_config_load_cert_chain_from_pem_file(config, cert_file), 0);
  IS(quiche_config_load_priv_key_from_pem_file(config, key_file), 0);
  IS(quiche_config_load_cert_chain_from_pem_file(config, other_file), 0);
  IS(quiche_config_load_cert_chain_from_pem_file(config, cert_file), 0);
  IS(quiche_config_load_priv_key_from_pem_file(config, key_file), 0);
  char name[] = "/tmp/boringquic-XXXXXX";
  int fd = mkstemp(name);
  CHECK(fd >= 0);
  FILE *f = fdopen(fd, "w"), *chain = fopen(cert_file, "r");
  CHECK(f != NULL && chain != NULL);
  fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", f);
  fwrite(buf, 1, fread(buf, 1, sizeof buf, chain), f);
  fclose(f);
  fclose(chain);
  IS(quiche_config_load_cert_chain_from_pem_file(config, name), QUICHE_ERR_TLS_FAIL);
  remove(name);
  quiche_config_free(config);
}

static void configs(void) {
  CHECK(strcmp(quiche_version(), "0.30.0") == 0);
  CHECK(quiche_config_new(5) == NULL && quiche_config_new(0) == NULL);
  quiche_config *config = quiche_config_new(0xbabababa);
  CHECK(config != NULL);
  IS(quiche_config_load_cert_chain_from_pem_file(config, "/nowhere"), QUICHE_ERR_TLS_FAIL);
  IS(quiche_config_load_cert_chain_from_pem_file(config, "/dev/zero"), QUICHE_ERR_TLS_FAIL); // which has no end
  IS(quiche_config_load_priv_key_from_pem_file(config, "/dev/zero"), QUICHE_ERR_TLS_FAIL);
  IS(quiche_config_load_verify_locations_from_file(config, "/dev/zero"), QUICHE_ERR_TLS_FAIL);
  IS(quiche_config_load_cert_chain_from_pem_file(config, key_file), QUICHE_ERR_TLS_FAIL);
  IS(quiche_config_load_priv_key_from_pem_file(config, cert_file), QUICHE_ERR_TLS_FAIL);
  IS(quiche_config_load_priv_key_from_pem_file(config, NULL), QUICHE_ERR_INVALID_STATE);
  IS(quiche_config_load_verify_locations_from_file(config, key_file), QUICHE_ERR_TLS_FAIL);
  IS(quiche_config_load_verify_locations_from_directory(config, "/nowhere"), QUICHE_ERR_TLS_FAIL);
  IS(quiche_config_set_curves_list(config, "X25519MLKEM768:X25519:P-256"), 0);
  IS(quiche_config_set_curves_list(config, "X25519:none"), QUICHE_ERR_TLS_FAIL);
  IS(quiche_config_set_cc_algorithm_name(config, "reno"), 0);
  IS(quiche_config_set_cc_algorithm_name(config, "bbr2_gcongestion"), 0);
  IS(quiche_config_set_cc_algorithm_name(config, "other"), QUICHE_ERR_CONGESTION_CONTROL);
  IS(quiche_config_set_application_protos(config, (const uint8_t *)"\2h", 2), QUICHE_ERR_TLS_FAIL);
  IS(quiche_config_set_ticket_key(config, buf, 48), 0);
  IS(quiche_config_set_ticket_key(config, buf, 47), QUICHE_ERR_TLS_FAIL);
  CHECK(quiche_connect(NULL, buf, 21, SOCKADDR(client_address), SOCKADDR(server_address), config) == NULL);
  CHECK(quiche_connect(NULL, buf, 8, SOCKADDR(client_address), NULL, 0, config) == NULL);
  struct sockaddr_storage other = {.ss_family = AF_UNIX};
  CHECK(quiche_connect(NULL, buf, 8, SOCKADDR(client_address), SOCKADDR(other), config) == NULL);
  CHECK(quiche_connect(NULL, buf, 8, SOCKADDR(client_address), SOCKADDR(server_address), NULL) == NULL);
  quiche_config_free(config);
  IS(quiche_config_set_cc_algorithm_name(config, "reno"), QUICHE_ERR_INVALID_STATE); // a config is a handle
}

static void integers(void) {
  const struct {
    uint64_t v;
    size_t len;
  } cases[] = {{0, 1}, {63, 1}, {64, 2}, {16383, 2}, {16384, 4}, {(1 << 30) - 1, 4}, {1 << 30, 8}, {(UINT64_C(1) << 62) - 1, 8}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint64_t v = 0;
    IS(quiche_put_varint(buf, cases[i].len, cases[i].v), 0);
    IS(quiche_put_varint(buf + 100, cases[i].len - 1, cases[i].v), QUICHE_ERR_BUFFER_TOO_SHORT);
    IS(quiche_get_varint(buf, 8, &v), cases[i].len);
    IS(v, cases[i].v);
    IS(quiche_get_varint(buf, cases[i].len - 1, &v), QUICHE_ERR_BUFFER_TOO_SHORT);
  }
}

// A client whose version nobody knows, one that has to prove its address, and a server's connection for the latter.
static void stateless(void) {
  quiche_config *config = config_with("\4test");
  quiche_conn *client = client_of(config, "localhost");
  uint8_t out[1500], answer[1500], scid[20], dcid[20], token[100];
  size_t scid_len = sizeof scid, dcid_len = sizeof dcid, token_len = sizeof token;
  uint32_t version;
  uint8_t type;
  quiche_send_info info;
  ssize_t n = quiche_conn_send(client, out, sizeof out, &info);
  IS(n, 1200);
  while (quiche_conn_send(client, answer, sizeof answer, &info) > 0) { // the rest of a ClientHello
  }
  IS(quiche_header_info(out, (size_t)n, 16, &version, &type, scid, &scid_len, dcid, &dcid_len, token, &token_len), 0);
  IS(version, 1);
  IS(type, 1);
  IS(scid_len, 16);
  IS(token_len, 0);
  CHECK(dcid_len >= 8);
  const uint8_t *source;
  size_t source_len;
  quiche_conn_source_id(client, &source, &source_len);
  CHECK(source_len == scid_len && memcmp(source, scid, scid_len) == 0);
  const uint8_t *trace;
  size_t trace_len;
  quiche_conn_trace_id(client, &trace, &trace_len);
  IS(trace_len, 32);
  scid_len = 15;
  dcid_len = sizeof dcid;
  IS(quiche_header_info(out, (size_t)n, 16, &version, &type, scid, &scid_len, dcid, &dcid_len, token, &token_len), QUICHE_ERR_DONE); // not BUFFER_TOO_SHORT
  CHECK(strstr(bquic_error(), "no room") != NULL);
  scid_len = sizeof scid;
  IS(quiche_header_info(out, 5, 16, &version, &type, scid, &scid_len, dcid, &dcid_len, token, &token_len), QUICHE_ERR_INVALID_PACKET);
  scid_len = dcid_len = 20;
  token_len = sizeof token;
  IS(quiche_header_info(out, (size_t)n, 16, &version, &type, scid, &scid_len, dcid, &dcid_len, token, &token_len), 0);
  CHECK(quiche_version_is_supported(1) && !quiche_version_is_supported(0xbabababa));
  IS(quiche_negotiate_version(scid, scid_len, dcid, dcid_len, answer, 10), QUICHE_ERR_BUFFER_TOO_SHORT);
  ssize_t len = quiche_negotiate_version(scid, scid_len, dcid, dcid_len, answer, sizeof answer);
  CHECK(len > 0);
  uint8_t s2[20], d2[20];
  size_t s2_len = 20, d2_len = 20, t2_len = sizeof token;
  IS(quiche_header_info(answer, (size_t)len, 16, &version, &type, s2, &s2_len, d2, &d2_len, token, &t2_len), 0);
  IS(type, 6);
  IS(version, 0);
  CHECK(d2_len == scid_len && memcmp(d2, scid, d2_len) == 0); // it goes back to where the packet came from

  uint8_t retry_id[16];
  fresh_id(retry_id);
  IS(quiche_retry(scid, scid_len, dcid, dcid_len, retry_id, 16, (const uint8_t *)"proof", 5, 5, answer, sizeof answer), QUICHE_ERR_UNKNOWN_VERSION);
  IS(quiche_retry(scid, scid_len, dcid, dcid_len, retry_id, 16, (const uint8_t *)"proof", 0, 1, answer, sizeof answer), QUICHE_ERR_INVALID_STATE);
  len = quiche_retry(scid, scid_len, dcid, dcid_len, retry_id, 16, (const uint8_t *)"proof", 5, 1, answer, sizeof answer);
  CHECK(len > 0);
  quiche_recv_info in = {(struct sockaddr *)&info.to, info.to_len, (struct sockaddr *)&info.from, info.from_len};
  IS(quiche_conn_recv(client, answer, (size_t)len, &in), len);
  n = quiche_conn_send(client, out, sizeof out, &info);
  IS(n, 1200);
  uint8_t new_dcid[20];
  size_t new_len = 20;
  t2_len = sizeof token, s2_len = 20;
  IS(quiche_header_info(out, (size_t)n, 16, &version, &type, s2, &s2_len, new_dcid, &new_len, token, &t2_len), 0);
  CHECK(t2_len == 5 && memcmp(token, "proof", 5) == 0 && new_len == 16 && memcmp(new_dcid, retry_id, 16) == 0);
  pair p = {client, quiche_accept(new_dcid, new_len, dcid, dcid_len, SOCKADDR(server_address), SOCKADDR(client_address), config), 0};
  CHECK(p.server != NULL);
  quiche_recv_info at_server = {(struct sockaddr *)&info.from, info.from_len, (struct sockaddr *)&info.to, info.to_len};
  IS(quiche_conn_recv(p.server, out, (size_t)n, &at_server), n);
  establish(&p);
  quiche_config_free(config);
  free_pair(&p);
}

static void streams(void) {
  quiche_config *config = config_with("\5other\4test");
  pair p = pair_of(config, config, "localhost");
  quiche_config_free(config); // connections outlive it
  IS(quiche_conn_peer_streams_left_bidi(p.client), 0);
  establish(&p);
  CHECK(quiche_conn_is_server(p.server) && !quiche_conn_is_server(p.client));
  const uint8_t *text;
  size_t len;
  quiche_conn_application_proto(p.server, &text, &len);
  CHECK(len == 5 && memcmp(text, "other", 5) == 0);
  quiche_conn_server_name(p.server, &text, &len);
  CHECK(len == 9 && memcmp(text, "localhost", 9) == 0);
  quiche_conn_peer_cert(p.client, &text, &len);
  CHECK(len > 100 && text[0] == 0x30);
  quiche_transport_params params;
  CHECK(quiche_conn_peer_transport_params(p.client, &params) && quiche_conn_peer_transport_params(p.server, &params));
  IS(params.peer_initial_max_data, 1000000);
  IS(params.peer_max_idle_timeout, 30000);
  IS(params.peer_max_datagram_frame_size, -1);

  IS(quiche_conn_peer_streams_left_bidi(p.client), 10);
  IS(recv_text(p.client, 4), QUICHE_ERR_INVALID_STREAM_STATE);
  IS(send_text(p.client, 4, "hello", false), 5); // the first, and not the lowest
  IS(quiche_conn_peer_streams_left_bidi(p.client), 8);
  IS(send_text(p.client, 40, "hello", false), QUICHE_ERR_STREAM_LIMIT);
  IS(send_text(p.client, 1, "hello", false), QUICHE_ERR_INVALID_STREAM_STATE); // the server's to open
  IS(recv_text(p.client, 4), QUICHE_ERR_DONE);
  exchange(&p);
  CHECK(quiche_conn_is_readable(p.server) && quiche_conn_stream_readable(p.server, 4) && !quiche_conn_stream_readable(p.server, 0));
  quiche_stream_iter *iter = quiche_conn_readable(p.server);
  uint64_t id = 0;
  CHECK(quiche_stream_iter_next(iter, &id) && id == 4 && !quiche_stream_iter_next(iter, &id));
  quiche_stream_iter_free(iter);
  IS(quiche_conn_stream_readable_next(p.server), 4);
  IS(quiche_conn_stream_readable_next(p.server), -1);
  IS(recv_text(p.server, 4), 5);
  CHECK(!fin && memcmp(buf, "hello", 5) == 0);
  IS(send_text(p.client, 4, "", true), 0); // the end alone
  IS(send_text(p.client, 4, "more", false), QUICHE_ERR_FINAL_SIZE);
  exchange(&p);
  IS(quiche_conn_stream_readable_next(p.server), 4);
  CHECK(quiche_conn_stream_finished(p.server, 4) && quiche_conn_stream_readable(p.server, 4)); // no bytes come any more
  IS(send_text(p.client, 4, "", true), 0); // which is nothing new
  IS(recv_text(p.server, 4), 0);
  CHECK(fin && quiche_conn_stream_finished(p.server, 4) && quiche_conn_stream_finished(p.server, 400));

  // More than the peer takes: a part of it, then nothing until there is room.
  memset(buf, 'x', sizeof buf);
  ssize_t took = 0, n;
  while ((n = quiche_conn_stream_send(p.server, 4, buf, sizeof buf, false, &code)) > 0) {
    took += n;
    exchange(&p);
    CHECK(took < 10000000);
  }
  IS(n, QUICHE_ERR_DONE);
  CHECK(took >= 100000);
  // What the client takes was written, and a little more.
  IS(quiche_conn_stream_capacity(p.server, 4), 0);
  IS(quiche_conn_stream_writable(p.server, 4, 1), 0);
  iter = quiche_conn_writable(p.server);
  CHECK(!quiche_stream_iter_next(iter, &id));
  quiche_stream_iter_free(iter);
  IS(quiche_conn_stream_writable_next(p.server), -1);
  for (ssize_t got = 0, r; got < took; exchange(&p)) {
    while ((r = recv_text(p.client, 4)) > 0) {
      got += r;
    }
  }
  ssize_t room = quiche_conn_stream_capacity(p.server, 4);
  CHECK(room > 0);
  IS(quiche_conn_stream_writable(p.server, 4, (size_t)room), 1);
  IS(quiche_conn_stream_writable(p.server, 4, (size_t)room + 1), 0);
  IS(quiche_conn_stream_writable_next(p.server), -1);
  IS(quiche_conn_stream_writable(p.server, 4, (size_t)room), 1);
  IS(quiche_conn_stream_writable_next(p.server), 4);
  iter = quiche_conn_writable(p.server);
  bool found = false;
  while (quiche_stream_iter_next(iter, &id)) {
    found = found || id == 4;
  }
  CHECK(found);
  quiche_stream_iter_free(iter);

  // Both parts of a stream can be ended from either side.
  IS(send_text(p.client, 8, "x", false), 1);
  exchange(&p);
  IS(quiche_conn_stream_shutdown(p.server, 8, QUICHE_SHUTDOWN_READ, 17), 0);
  CHECK(!quiche_conn_stream_finished(p.server, 8)); // the client may send more
  IS(quiche_conn_stream_shutdown(p.server, 8, QUICHE_SHUTDOWN_READ, 17), QUICHE_ERR_DONE);
  IS(quiche_conn_stream_shutdown(p.server, 8, QUICHE_SHUTDOWN_WRITE, 18), 0);
  IS(quiche_conn_stream_shutdown(p.server, 8, QUICHE_SHUTDOWN_WRITE, 18), QUICHE_ERR_DONE);
  IS(quiche_conn_stream_shutdown(p.server, 800, QUICHE_SHUTDOWN_WRITE, 18), QUICHE_ERR_DONE); // there is none
  IS(quiche_conn_stream_shutdown(p.server, 802, QUICHE_SHUTDOWN_WRITE, 18), QUICHE_ERR_INVALID_STREAM_STATE); // the client's to write
  IS(quiche_conn_stream_shutdown(p.client, 802, QUICHE_SHUTDOWN_READ, 18), QUICHE_ERR_INVALID_STREAM_STATE);
  IS(quiche_conn_stream_shutdown(p.server, 802, QUICHE_SHUTDOWN_READ, 18), QUICHE_ERR_DONE);
  exchange(&p);
  iter = quiche_conn_writable(p.client); // so that the program learns of it
  for (found = false; quiche_stream_iter_next(iter, &id);) {
    found = found || id == 8;
  }
  CHECK(found);
  quiche_stream_iter_free(iter);
  IS(quiche_conn_stream_capacity(p.client, 8), QUICHE_ERR_STREAM_STOPPED);
  IS(send_text(p.client, 8, "x", false), QUICHE_ERR_STREAM_STOPPED);
  IS(code, 17);
  IS(recv_text(p.client, 8), QUICHE_ERR_STREAM_RESET);
  IS(code, 18);
  IS(quiche_conn_stream_priority(p.client, 4, 127, true), 0);
  quiche_stats stats;
  quiche_conn_stats(p.client, &stats);
  CHECK(stats.recv > 0 && stats.sent > 0 && stats.recv_bytes > 100000 && stats.paths_count == 1);
  IS(stats.reset_stream_count_remote, 1);
  IS(stats.stopped_stream_count_remote, 1);
  quiche_path_stats path;
  IS(quiche_conn_path_stats(p.client, 0, &path), 0);
  CHECK(path.active && path.rtt > 0 && path.cwnd > 0 && path.pmtu == 1200 && path.peer_addr_len == sizeof(struct sockaddr_in));
  CHECK(memcmp(&path.peer_addr, &server_address, sizeof server_address) == 0);
  IS(quiche_conn_path_stats(p.client, 1, &path), QUICHE_ERR_DONE);
  free_pair(&p);
}

static void closing(void) {
  quiche_config *config = config_with("\4test");
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  const uint8_t *reason;
  size_t len;
  bool app;
  CHECK(!quiche_conn_local_error(p.client, &app, &code, &reason, &len) && !quiche_conn_peer_error(p.server, &app, &code, &reason, &len));
  IS(quiche_conn_close(p.client, true, 7, (const uint8_t *)"why", 3), 0);
  IS(quiche_conn_close(p.client, true, 8, NULL, 0), QUICHE_ERR_DONE);
  CHECK(quiche_conn_is_established(p.client) && !quiche_conn_is_draining(p.client) && !quiche_conn_is_closed(p.client));
  IS(carry(&p, p.client, p.server), 0);
  CHECK(quiche_conn_is_established(p.client) && quiche_conn_is_draining(p.client) && !quiche_conn_is_closed(p.client));
  CHECK(quiche_conn_is_established(p.server) && quiche_conn_is_draining(p.server) && !quiche_conn_is_closed(p.server));
  CHECK(quiche_conn_peer_error(p.server, &app, &code, &reason, &len) && app && code == 7 && len == 3 && memcmp(reason, "why", 3) == 0);
  CHECK(quiche_conn_local_error(p.client, &app, &code, &reason, &len) && app && code == 7);
  CHECK(!quiche_conn_peer_error(p.client, &app, &code, &reason, &len) && !quiche_conn_local_error(p.server, &app, &code, &reason, &len));
  IS(send_text(p.client, 0, "x", false), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_peer_streams_left_bidi(p.client), 0);
  struct sockaddr_in from = server_address, to = client_address;
  quiche_recv_info in = {SOCKADDR(from), SOCKADDR(to)};
  memset(buf, 0x40, 100);
  IS(quiche_conn_recv(p.client, buf, 100, &in), 100); // dropped
  let_pass(p.client);
  let_pass(p.server);
  CHECK(quiche_conn_is_closed(p.client) && quiche_conn_is_closed(p.server) && quiche_conn_is_established(p.client));
  CHECK(!quiche_conn_is_timed_out(p.client) && quiche_conn_is_draining(p.client) && quiche_conn_is_draining(p.server));
  IS(quiche_conn_timeout_as_nanos(p.client) == UINT64_MAX, 1);
  IS(quiche_conn_timeout_as_millis(p.client) == UINT64_MAX, 1);
  free_pair(&p);

  // When it is time that is told after quiche_conn_send as a wait, however late: libev stops a timer of 0.
  p = pair_of(config, config, "localhost");
  establish(&p);
  exchange(&p);
  quiche_send_info info;
  uint64_t before;
  for (;;) {
    IS(send_text(p.client, 0, "lost", false), 4);
    while (quiche_conn_send(p.client, buf, sizeof buf, &info) > 0) {
    }
    if ((before = quiche_conn_timeout_as_nanos(p.client)) > 1) {
      break;
    }
    quiche_conn_on_timeout(p.client); // the machine is busy, and it is time already: the next timeout is twice as long
  }
  uint64_t millis = quiche_conn_timeout_as_millis(p.client), left = quiche_conn_timeout_as_nanos(p.client);
  CHECK(millis >= left / 1000000 && millis <= before / 1000000 + 1);
  left += 200000000; // nobody who has a timer comes as late, unless the machine is busy
  nanosleep(&(struct timespec){(time_t)(left / 1000000000), (long)(left % 1000000000)}, NULL);
  IS(quiche_conn_timeout_as_nanos(p.client), 0); // curl waits for nothing else
  for (int told = 1; told >= 0; told--) { // once, even if somebody sends each time before he asks
    IS(quiche_conn_send(p.client, buf, sizeof buf, &info), QUICHE_ERR_DONE);
    IS(quiche_conn_timeout_as_nanos(p.client), told);
  }
  IS(quiche_conn_timeout_as_nanos(p.client), 0);
  IS(quiche_conn_timeout_as_millis(p.client), 0);
  free_pair(&p);

  quiche_config_set_max_idle_timeout(config, 1); // three PTOs, that is
  p = pair_of(config, config, "localhost");
  establish(&p);
  for (int i = 0; i < 100 && !quiche_conn_is_closed(p.client); i++) {
    let_pass(p.client);
    carry(&p, p.client, p.server); // never answered
  }
  CHECK(quiche_conn_is_closed(p.client) && quiche_conn_is_timed_out(p.client));
  free_pair(&p);

  // Who comes long after that finds it closed, whatever came in time. On a busy machine the probe timeouts may be long: then it has to wait longer.
  for (int seconds = 1;; seconds *= 2) {
    p = pair_of(config, config, "localhost");
    establish(&p);
    IS(quiche_conn_send_ack_eliciting(p.server), 0);
    ssize_t n = quiche_conn_send(p.server, buf, sizeof buf, &info);
    CHECK(n > 0);
    nanosleep(&(struct timespec){seconds, 0}, NULL);
    IS(quiche_conn_timeout_as_nanos(p.client), 0);
    IS(quiche_conn_recv(p.client, buf, (size_t)n, &in), n); // dropped
    if (quiche_conn_is_closed(p.client) || seconds > 16) {
      break;
    }
    free_pair(&p);
  }
  CHECK(quiche_conn_is_closed(p.client) && quiche_conn_is_timed_out(p.client));
  IS(quiche_conn_stream_send(p.client, 0, (const uint8_t *)"x", 1, true, &code), QUICHE_ERR_INVALID_STATE);
  free_pair(&p);
  quiche_config_free(config);
}

// A stateless reset (RFC 9000, section 10.3) has the connection be draining.
static void reset(void) {
  quiche_config *config = config_with("\4test");
  uint8_t datagram[60] = {0x40};
  memset(datagram + 44, 7, 16);
  quiche_config_set_stateless_reset_token(config, datagram + 44);
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  struct sockaddr_in from = server_address, to = client_address;
  quiche_recv_info in = {SOCKADDR(from), SOCKADDR(to)};
  IS(quiche_conn_recv(p.client, datagram, sizeof datagram - 1, &in), sizeof datagram - 1); // another token: dropped
  CHECK(!quiche_conn_is_draining(p.client));
  IS(quiche_conn_stream_send(p.server, 1, (const uint8_t *)"last", 4, true, &code), 4);
  IS(carry(&p, p.server, p.client), 0);
  datagram[0] = 0x40;
  memset(datagram + 44, 7, 16);
  IS(quiche_conn_recv(p.client, datagram, sizeof datagram, &in), QUICHE_ERR_DONE); // also while others wait that came before it
  CHECK(quiche_conn_is_draining(p.client) && quiche_conn_is_established(p.client));
  IS(carry(&p, p.client, p.server), 0);
  let_pass(p.client);
  CHECK(quiche_conn_is_closed(p.client) && !quiche_conn_is_timed_out(p.client));
  free_pair(&p);
  quiche_config_free(config);
}

static void trust(void) {
  quiche_config *server = config_with("\4test"), *client = config_with("\4test");
  quiche_config_verify_peer(client, true);
  const char *names[] = {"localhost", "other.example", NULL};
  for (int known = 0; known < 2; known++) {
    for (int i = 0; i < 3; i++) {
      pair p = pair_of(client, server, names[i]);
      bool good = known && i != 1; // a name that is not given is not checked
      IS(carry(&p, p.client, p.server), 0);
      ssize_t result = carry(&p, p.server, p.client);
      IS(result, good ? 0 : QUICHE_ERR_TLS_FAIL);
      bool app;
      const uint8_t *reason;
      size_t len;
      IS(quiche_conn_local_error(p.client, &app, &code, &reason, &len), !good);
      if (!good) {
        CHECK(!app && code >= 0x100 && code < 0x200 && !quiche_conn_is_established(p.client));
        IS(carry(&p, p.client, p.server), 0); // it is told why
        CHECK(quiche_conn_peer_error(p.server, &app, &code, &reason, &len) && code >= 0x100);
      }
      free_pair(&p);
    }
    IS(quiche_config_load_verify_locations_from_file(client, ca_file), 0);
  }
  quiche_config_free(server);
  quiche_config_free(client);
}

// What is set in a config later is not for the connections that were made with it.
static void later_roots(void) {
  quiche_config *server = config_with("\4test"), *client = config_with("\4test");
  quiche_config_verify_peer(client, true);
  IS(quiche_config_load_verify_locations_from_file(client, other_file), 0);
  pair p = pair_of(client, server, "localhost");
  IS(quiche_config_load_verify_locations_from_file(client, ca_file), 0);
  IS(carry(&p, p.client, p.server), 0);
  IS(carry(&p, p.server, p.client), QUICHE_ERR_TLS_FAIL);
  free_pair(&p);
  p = pair_of(client, server, "localhost");
  establish(&p);
  free_pair(&p);
  quiche_config_free(server);
  quiche_config_free(client);
}

static void datagrams(void) {
  quiche_config *none = config_with("\4test"), *config = config_with("\4test");
  quiche_config_enable_dgram(config, true, 2, 3);
  pair p = pair_of(none, config, "localhost");
  establish(&p);
  IS(quiche_conn_dgram_send(p.server, buf, 10), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_dgram_max_writable_len(p.server), QUICHE_ERR_DONE);
  free_pair(&p);
  p = pair_of(config, config, "localhost");
  establish(&p);
  ssize_t most = quiche_conn_dgram_max_writable_len(p.client);
  CHECK(most > 1000 && most < 1200);
  IS(quiche_conn_dgram_send(p.client, buf, (size_t)most + 1), QUICHE_ERR_BUFFER_TOO_SHORT);
  for (int i = 1; i <= 3; i++) {
    CHECK(!quiche_conn_is_dgram_send_queue_full(p.client));
    IS(quiche_conn_dgram_send(p.client, buf, (size_t)i * 10), i * 10);
  }
  CHECK(quiche_conn_is_dgram_send_queue_full(p.client));
  IS(quiche_conn_dgram_send(p.client, buf, 10), QUICHE_ERR_DONE);
  IS(quiche_conn_dgram_send_queue_len(p.client), 3);
  IS(quiche_conn_dgram_send_queue_byte_size(p.client), 60);
  exchange(&p);
  IS(quiche_conn_dgram_send_queue_len(p.client), 0);
  IS(quiche_conn_dgram_recv_queue_len(p.server), 2); // the oldest gave way
  IS(quiche_conn_dgram_recv_queue_byte_size(p.server), 50);
  CHECK(quiche_conn_is_dgram_recv_queue_full(p.server) && quiche_conn_is_readable(p.server));
  IS(quiche_conn_dgram_recv_front_len(p.server), 20);
  IS(quiche_conn_dgram_recv(p.server, buf, 19), QUICHE_ERR_BUFFER_TOO_SHORT);
  IS(quiche_conn_dgram_recv(p.server, buf, sizeof buf), 20);
  IS(quiche_conn_dgram_recv(p.server, buf, sizeof buf), 30);
  IS(quiche_conn_dgram_recv(p.server, buf, sizeof buf), QUICHE_ERR_DONE);
  IS(quiche_conn_dgram_recv_front_len(p.server), QUICHE_ERR_DONE);
  free_pair(&p);
  quiche_config_free(none);
  quiche_config_free(config);
}

// What waits to be handed out is for its path alone, and for nobody once the connection is over.
static void trains(void) {
  quiche_config *config = config_with("\4test");
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  uint8_t out[1500];
  quiche_send_info info;
  struct sockaddr_in other = address_of(5001);
  for (int i = 0; i < 2; i++) {
    IS(quiche_conn_stream_send(p.client, 0, buf, 5000, false, &code), 5000);
    CHECK(quiche_conn_send(p.client, out, sizeof out, &info) > 0);
    if (i == 0) {
      IS(quiche_conn_send_on_path(p.client, out, sizeof out, SOCKADDR(other), SOCKADDR(server_address), &info), QUICHE_ERR_DONE);
      IS(quiche_conn_send_on_path(p.client, out, sizeof out, SOCKADDR(client_address), SOCKADDR(other), &info), QUICHE_ERR_DONE);
      CHECK(quiche_conn_send_on_path(p.client, out, sizeof out, SOCKADDR(client_address), NULL, 0, &info) > 0);
      CHECK(quiche_conn_send_on_path(p.client, out, sizeof out, SOCKADDR(client_address), SOCKADDR(server_address), &info) > 0);
      exchange(&p);
    }
  }
  // A child of a fork sends nothing of what waits.
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK(quiche_conn_send(p.client, out, sizeof out, &info) == QUICHE_ERR_INVALID_STATE);
    _exit(0);
  }
  int how;
  CHECK(waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) == 0);
  IS(quiche_conn_send(p.client, out, 1300 - 200, &info), QUICHE_ERR_BUFFER_TOO_SHORT);
  IS(quiche_conn_close(p.server, true, 0, NULL, 0), 0);
  IS(carry(&p, p.server, p.client), 0);
  CHECK(quiche_conn_is_draining(p.client));
  IS(quiche_conn_send(p.client, out, sizeof out, &info), QUICHE_ERR_DONE);
  free_pair(&p);

  // Of a connection that the program itself has closed CONNECTION_CLOSE alone leaves.
  p = pair_of(config, config, "localhost");
  establish(&p);
  IS(quiche_conn_stream_send(p.client, 0, buf, 5000, false, &code), 5000);
  CHECK(quiche_conn_send(p.client, out, sizeof out, &info) > 1000);
  IS(quiche_conn_close(p.client, true, 0, NULL, 0), 0);
  ssize_t farewell = quiche_conn_send(p.client, out, sizeof out, &info);
  CHECK(farewell > 0 && farewell < 100);
  IS(quiche_conn_send(p.client, out, sizeof out, &info), QUICHE_ERR_DONE);
  free_pair(&p);
  quiche_config_free(config);
}

static bool is_short(uint8_t *data, size_t len) {
  memset(data, 0, len);
  return len < 15;
}

static void purge(void) {
  quiche_config *config = config_with("\4test");
  quiche_config_enable_dgram(config, true, 10, 10);
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  for (int i = 1; i <= 3; i++) {
    IS(quiche_conn_dgram_send(p.client, buf, (size_t)i * 10), i * 10);
  }
  quiche_conn_dgram_purge_outgoing(p.client, is_short);
  IS(quiche_conn_dgram_send_queue_len(p.client), 2);
  free_pair(&p);
  quiche_config_free(config);
}

static void connection_ids(void) {
  quiche_config *config = config_with("\4test");
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  IS(quiche_conn_active_scids(p.server), 1);
  size_t left = quiche_conn_scids_left(p.server);
  CHECK(left >= 1);
  uint8_t id[16], token[16];
  uint64_t seq = 0;
  for (size_t i = 0; i < left; i++) {
    fresh_id(id);
    fresh_id(token);
    IS(quiche_conn_new_scid(p.server, id, 16, token, false, &seq), 0);
    IS(seq, i + 1);
  }
  fresh_id(id);
  IS(quiche_conn_new_scid(p.server, id, 16, token, false, &seq), QUICHE_ERR_ID_LIMIT);
  IS(quiche_conn_new_scid(p.server, id, 15, token, false, &seq), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_available_dcids(p.client), 0);
  exchange(&p);
  CHECK(quiche_conn_available_dcids(p.client) >= 1);
  quiche_connection_id_iter *iter = quiche_conn_source_ids(p.server);
  const uint8_t *out;
  size_t len, n = 0;
  for (; quiche_connection_id_iter_next(iter, &out, &len); n++) {
    IS(len, 16);
  }
  IS(n, left + 1);
  quiche_connection_id_iter_free(iter);
  IS(quiche_conn_retire_dcid(p.client, 77), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_retire_dcid(p.client, 0), 0);
  exchange(&p);
  IS(quiche_conn_retired_scids(p.server), 1);
  iter = quiche_conn_retired_scid_iter(p.server);
  CHECK(quiche_connection_id_iter_next(iter, &out, &len) && len == 16 && !quiche_connection_id_iter_next(iter, &out, &len));
  quiche_connection_id_iter_free(iter);
  IS(quiche_conn_retired_scids(p.server), 0);
  CHECK(!quiche_conn_retired_scid_next(p.server, &out, &len));
  quiche_conn_destination_id(p.client, &out, &len);
  IS(len, 16);

  // Another path of the client's, to which it then moves.
  struct sockaddr_in other = address_of(5001);
  fresh_id(id);
  IS(quiche_conn_new_scid(p.server, id, 16, token, false, &seq), 0);
  fresh_id(id);
  IS(quiche_conn_new_scid(p.client, id, 16, token, false, &seq), 0);
  exchange(&p);
  IS(quiche_conn_is_path_validated(p.client, SOCKADDR(other), SOCKADDR(server_address)), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_probe_path(p.client, SOCKADDR(other), SOCKADDR(server_address), &seq), 0);
  exchange(&p);
  IS(quiche_conn_is_path_validated(p.client, SOCKADDR(other), SOCKADDR(server_address)), 1);
  quiche_socket_addr_iter *peers = quiche_conn_paths_iter(p.client, SOCKADDR(other));
  struct sockaddr_storage peer;
  CHECK(quiche_socket_addr_iter_next(peers, &peer, &len) && memcmp(&peer, &server_address, sizeof server_address) == 0);
  CHECK(!quiche_socket_addr_iter_next(peers, &peer, &len));
  quiche_socket_addr_iter_free(peers);
  quiche_path_event *ev = quiche_conn_path_event_next(p.client);
  CHECK(ev != NULL);
  IS(quiche_path_event_type(ev), QUICHE_PATH_EVENT_VALIDATED);
  struct sockaddr_storage local;
  socklen_t local_len, peer_len;
  quiche_path_event_new(ev, &local, &local_len, &peer, &peer_len); // of another type
  IS(local_len, 0);
  quiche_path_event_validated(ev, &local, &local_len, &peer, &peer_len);
  CHECK(local_len == sizeof other && memcmp(&local, &other, sizeof other) == 0);
  quiche_path_event_free(ev);
  CHECK(quiche_conn_path_event_next(p.client) == NULL);
  ev = quiche_conn_path_event_next(p.server);
  CHECK(ev != NULL && quiche_path_event_type(ev) == QUICHE_PATH_EVENT_NEW);
  quiche_path_event_free(ev);
  IS(quiche_conn_migrate_source(p.client, SOCKADDR(other), &seq), 0);
  IS(send_text(p.client, 0, "moved", false), 5);
  exchange(&p);
  bool moved = false;
  while ((ev = quiche_conn_path_event_next(p.server)) != NULL) {
    moved = moved || quiche_path_event_type(ev) == QUICHE_PATH_EVENT_PEER_MIGRATED;
    quiche_path_event_free(ev);
  }
  CHECK(moved);
  quiche_path_stats path;
  IS(quiche_conn_path_stats(p.client, 0, &path), 0);
  CHECK(memcmp(&path.local_addr, &other, sizeof other) == 0 && path.validation_state == 3);
  IS(quiche_conn_send_ack_eliciting(p.client), 0);
  size_t before = p.datagrams;
  carry(&p, p.client, p.server);
  IS(p.datagrams, before + 1);
  free_pair(&p);
  quiche_config_free(config);
}

static void sessions(void) {
  quiche_config *server = config_with("\4test"), *client = config_with("\4test");
  quiche_config_enable_early_data(server);
  quiche_config_enable_early_data(client);
  pair p = pair_of(client, server, "localhost");
  establish(&p);
  CHECK(!quiche_conn_is_resumed(p.client));
  const uint8_t *session;
  size_t len;
  quiche_conn_session(p.client, &session, &len);
  CHECK(len > 100 && len < sizeof buf);
  uint8_t buf2[10000];
  CHECK(len <= sizeof buf2);
  memcpy(buf, session, len);
  memcpy(buf2, session, len);
  free_pair(&p);

  p = pair_of(client, server, "localhost");
  IS(quiche_conn_set_session(p.client, buf, 20), QUICHE_ERR_CRYPTO_FAIL);
  IS(quiche_conn_set_session(p.client, buf, len), 0);
  CHECK(quiche_conn_is_in_early_data(p.client));
  IS(send_text(p.client, 0, "early", true), 5);
  IS(carry(&p, p.client, p.server), 0);
  CHECK(quiche_conn_is_in_early_data(p.server));
  IS(recv_text(p.server, 0), 5); // before the handshake is complete
  CHECK(fin && !quiche_conn_is_established(p.server));
  establish(&p);
  CHECK(quiche_conn_is_resumed(p.client) && quiche_conn_is_resumed(p.server) && !quiche_conn_is_in_early_data(p.client));
  free_pair(&p);

  // A server that rejects early data gets it after the handshake.
  quiche_config *other = config_with("\4test");
  p = pair_of(client, other, "localhost");
  IS(quiche_conn_set_session(p.client, buf2, len), 0);
  IS(send_text(p.client, 0, "early", true), 5);
  IS(carry(&p, p.client, p.server), 0);
  IS(recv_text(p.server, 0), QUICHE_ERR_INVALID_STREAM_STATE);
  establish(&p);
  CHECK(!quiche_conn_is_resumed(p.client));
  IS(recv_text(p.server, 0), 5);
  CHECK(fin);
  free_pair(&p);
  quiche_config_free(other);
  quiche_config_free(server);
  quiche_config_free(client);
}

static void key_log(void) {
  quiche_config *config = config_with("\4test"), *silent = config_with("\4test");
  quiche_config_log_keys(config);
  pair p = pair_of(config, silent, "localhost");
  FILE *f = tmpfile();
  CHECK(f != NULL);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(f));
  CHECK(!quiche_conn_set_keylog_path(p.client, "/nowhere/file"));
  CHECK(!quiche_conn_set_keylog_path(p.server, path)); // its config does not allow it
  CHECK(quiche_conn_set_keylog_path(p.client, path));
  establish(&p);
  free_pair(&p);
  rewind(f);
  size_t n = fread(buf, 1, sizeof buf - 1, f);
  buf[n] = 0;
  CHECK(strstr((char *)buf, "CLIENT_TRAFFIC_SECRET_0 ") != NULL);
  fclose(f);
  // Where nobody reads them any more, they are lost, and nothing else is.
  int fds[2];
  CHECK(pipe(fds) == 0);
  close(fds[0]);
  p = pair_of(config, silent, "localhost");
  quiche_conn_set_keylog_fd(p.client, fds[1]);
  establish(&p);
  free_pair(&p);
  // So it is with a FIFO that has a reader who does not read. One without a reader is refused at once.
  char fifo[4096];
  snprintf(fifo, sizeof fifo, "%s.fifo", cert_file); // in a folder of the test's
  CHECK(mkfifo(fifo, 0600) == 0);
  p = pair_of(config, silent, "localhost");
  CHECK(!quiche_conn_set_keylog_path(p.client, fifo) && strstr(bquic_error(), fifo) != NULL);
  int reader = open(fifo, O_RDONLY | O_NONBLOCK), filler = open(fifo, O_WRONLY | O_NONBLOCK);
  CHECK(reader >= 0 && filler >= 0 && quiche_conn_set_keylog_path(p.client, fifo));
  memset(buf, 'x', 4096);
  while (write(filler, buf, 4096) > 0) {
  }
  CHECK(errno == EAGAIN);
  establish(&p);
  free_pair(&p);
  size_t keys = 0;
  close(filler);
  for (ssize_t got; (got = read(reader, buf, 4096)) > 0;) {
    keys += memchr(buf, '_', (size_t)got) != NULL;
  }
  IS(keys, 0);
  close(reader);
  CHECK(unlink(fifo) == 0);
  quiche_config_free(config);
  quiche_config_free(silent);
}

static void nothing(void) {
  quiche_conn *none = NULL;
  quiche_send_info info;
  IS(quiche_conn_send(none, buf, sizeof buf, &info), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_recv(none, buf, 1, NULL), QUICHE_ERR_INVALID_STATE);
  IS(recv_text(none, 0), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_close(none, true, 0, NULL, 0), QUICHE_ERR_INVALID_STATE);
  CHECK(quiche_conn_is_closed(none) && quiche_conn_readable(none) == NULL);
  quiche_conn_free(none);
  quiche_config_free(NULL);
  quiche_config *config = config_with("\4test");
  quiche_conn *conn = client_of(config, NULL);
  IS(quiche_conn_send(conn, NULL, 10, &info), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_send(conn, buf, 0, &info), QUICHE_ERR_BUFFER_TOO_SHORT);
  IS(quiche_conn_send(conn, buf, 8, &info), QUICHE_ERR_DONE);
  IS(quiche_conn_recv(conn, buf, 0, &(quiche_recv_info){0}), QUICHE_ERR_BUFFER_TOO_SHORT);
  CHECK(quiche_conn_timeout_as_nanos(conn) != UINT64_MAX);
  quiche_conn_free(conn);
  quiche_config_free(config);
}

static int lines;
static void log_line(const char *line, void *argp) {
  CHECK(argp == &lines && strlen(line) > 0);
  lines++;
}

// Connections of a thread that are at work by turns share what they work with. The address sanitizer does not count what is allocated.
static void many(void) {
  enum { PAIRS = 30, FIRST = 5 };
  quiche_config *config = config_with("\4test");
  pair all[PAIRS];
  size_t before = 0;
  for (int i = 0; i < PAIRS; i++) {
    pair *p = &all[i];
    *p = pair_of(config, config, "localhost");
    establish(p);
    IS(send_text(p->client, 0, "hello", true), 5);
    exchange(p);
    quiche_stream_iter_free(quiche_conn_readable(p->server));
    IS(recv_text(p->server, 0), 5);
    IS(send_text(p->server, 0, "hello to you", true), 12);
    exchange(p);
    if (i == FIRST) {
      before = mallinfo2().uordblks;
    }
  }
  CHECK((mallinfo2().uordblks - before) / (PAIRS - 1 - FIRST) < 64 << 10);
  for (int i = 0; i < PAIRS; i++) {
    free_pair(&all[i]);
  }
  quiche_config_free(config);
}

int main(int argc, char *argv[]) {
  arguments(argc, argv);
  IS(quiche_enable_debug_logging(NULL, NULL), QUICHE_ERR_INVALID_STATE);
  IS(quiche_enable_debug_logging(log_line, &lines), 0);
  configs();
  keys();
  integers();
  stateless();
  streams();
  order();
  early_close();
  closing();
  reset();
  trust();
  later_roots();
  datagrams();
  trains();
  purge();
  connection_ids();
  sessions();
  key_log();
  nothing();
  many();
  CHECK(lines > 10);
  IS(bquic_live_objects(), 0);
  return 0;
}
