// Settings of quiche.h that few programs change: what each has the peer be told, or does.
#include "quiche_pair.h"
#include "qlog.h"

static quiche_config *config;

static void begin(void) { config = config_with("\4test"); }

// told returns what the client of a pair was told by its server, whose idle timeout is changed when it is made.
static quiche_transport_params told(uint64_t idle, quiche_path_stats *path) {
  pair p = pair_of(config, config, "localhost");
  IS(quiche_conn_set_max_idle_timeout(p.server, idle), 0);
  establish(&p);
  IS(quiche_conn_set_max_idle_timeout(p.server, idle), QUICHE_ERR_INVALID_STATE);
  IS(quiche_conn_path_stats(p.server, 0, path), 0);
  quiche_transport_params params;
  CHECK(quiche_conn_peer_transport_params(p.client, &params));
  free_pair(&p);
  return params;
}

// The environment names those who are trusted, also if the program has set it; it is read when the first certificate is verified by the system's roots.
static void environment(void) {
  IS(bquic_init(NULL), 0); // Go has its copy
  CHECK(setenv("SSL_CERT_FILE", cert_file, 1) == 0);
  begin();
  quiche_config *client = quiche_config_new(QUICHE_PROTOCOL_VERSION); // without roots of its own
  IS(quiche_config_set_application_protos(client, (const uint8_t *)"\4test", 5), 0);
  quiche_config_verify_peer(client, true);
  pair p = pair_of(client, config, "localhost");
  establish(&p);
  free_pair(&p);
  quiche_config_free(client);
  quiche_config_free(config);
  CHECK(strcmp(getenv("SSL_CERT_FILE"), cert_file) == 0);
}

static void declared(void) {
  begin();
  quiche_path_stats path;
  quiche_transport_params usual = told(0, &path);
  IS(usual.peer_max_udp_payload_size, 65527);
  IS(usual.peer_ack_delay_exponent, 3);
  IS(usual.peer_active_conn_id_limit, 4);
  IS(usual.peer_max_idle_timeout, 0);
  size_t window = path.cwnd;
  CHECK(window >= 12000 && window < 24000);

  quiche_config_set_max_recv_udp_payload_size(config, 1350);
  quiche_config_set_ack_delay_exponent(config, 12);
  quiche_config_set_active_connection_id_limit(config, 7);
  quiche_config_set_active_connection_id_limit(config, 1); // is ignored
  quiche_config_set_initial_congestion_window_packets(config, 40);
  quiche_transport_params ours = told(5000, &path);
  IS(ours.peer_max_udp_payload_size, 1350);
  IS(ours.peer_ack_delay_exponent, 12);
  IS(ours.peer_active_conn_id_limit, 7);
  IS(ours.peer_max_idle_timeout, 5000);
  CHECK(path.cwnd >= 48000 && path.cwnd < 60000);

  // What is out of range is what is next to it.
  quiche_config_set_max_recv_udp_payload_size(config, 1);
  quiche_config_set_ack_delay_exponent(config, UINT64_MAX);
  quiche_config_set_active_connection_id_limit(config, UINT64_MAX);
  quiche_config_set_initial_congestion_window_packets(config, SIZE_MAX);
  quiche_config_set_max_amplification_factor(config, SIZE_MAX);
  ours = told(UINT64_MAX, &path);
  IS(ours.peer_max_udp_payload_size, 1200);
  IS(ours.peer_ack_delay_exponent, 20);
  IS(ours.peer_active_conn_id_limit, 16);
  IS(ours.peer_max_idle_timeout, 24 * 3600 * 1000);
  quiche_config_set_ack_delay_exponent(config, 0);
  IS(told(1, &path).peer_ack_delay_exponent, 0);
  quiche_config_free(config);
}

// ahead writes much on a stream, and returns by how many milliseconds the last datagram is to leave later than now. All of them are given out.
static long ahead(void) {
  static uint8_t data[50000];
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  uint64_t code;
  IS(quiche_conn_stream_send(p.client, 0, data, sizeof data, false, &code), sizeof data);
  uint8_t out[1500];
  quiche_send_info info;
  size_t total = 0;
  long last = 0;
  ssize_t n;
  while ((n = quiche_conn_send(p.client, out, sizeof out, &info)) > 0) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long at = (info.at.tv_sec - now.tv_sec) * 1000 + (info.at.tv_nsec - now.tv_nsec) / 1000000;
    CHECK(at + 100 >= last); // a busy machine's time passes in between
    last = at;
    total += (size_t)n;
  }
  IS(n, QUICHE_ERR_DONE);
  CHECK(total > sizeof data);
  free_pair(&p);
  return last;
}

static void pacing(void) {
  begin();
  quiche_config_set_initial_congestion_window_packets(config, 100);
  quiche_config_enable_hystart(config, false);
  quiche_config_set_max_pacing_rate(config, 100000);
  long paced = ahead();
  CHECK(paced > 200 && paced < 600); // 50 KB less a burst, at 100 KB a second
  quiche_config_enable_pacing(config, false);
  CHECK(ahead() <= 0);
  quiche_config_free(config);
}

// A NAT gives the client another port: the server is told that it goes on with the same connection ID, and answers to the same one or to another.
static void reuse(bool disabled) {
  begin();
  quiche_config_set_disable_dcid_reuse(config, disabled);
  pair p = pair_of(config, config, "localhost");
  establish(&p);
  uint8_t spare[16], token[16] = {1};
  uint64_t given;
  fresh_id(spare);
  IS(quiche_conn_new_scid(p.client, spare, sizeof spare, token, false, &given), 0);
  exchange(&p);
  const uint8_t *id;
  uint8_t before[QUICHE_MAX_CONN_ID_LEN];
  size_t before_len, len;
  quiche_conn_destination_id(p.server, &id, &before_len);
  memcpy(before, id, before_len);

  uint8_t out[1500];
  quiche_send_info info;
  IS(quiche_conn_send_ack_eliciting(p.client), 0);
  ssize_t n = quiche_conn_send(p.client, out, sizeof out, &info);
  CHECK(n > 0);
  struct sockaddr_in other = address_of(6000);
  quiche_recv_info in = {SOCKADDR(other), (struct sockaddr *)&info.to, info.to_len};
  IS(quiche_conn_recv(p.server, out, (size_t)n, &in), n);
  quiche_conn_destination_id(p.server, &id, &len);
  bool same = len == before_len && memcmp(id, before, len) == 0;
  IS(same, !disabled);

  bool found = false;
  quiche_path_event *ev;
  while ((ev = quiche_conn_path_event_next(p.server)) != NULL) {
    uint64_t seq = 99;
    struct sockaddr_storage old_local, old_peer, local, peer;
    socklen_t old_local_len = 0, old_peer_len = 0, local_len = 0, peer_len = 0;
    quiche_path_event_reused_source_connection_id(ev, &seq, &old_local, &old_local_len, &old_peer, &old_peer_len, &local, &local_len, &peer, &peer_len);
    if (quiche_path_event_type(ev) != QUICHE_PATH_EVENT_REUSED_SOURCE_CONNECTION_ID) {
      IS(seq + old_local_len + old_peer_len + local_len + peer_len, 0);
    } else {
      found = true;
      IS(seq, 0);
      IS(ntohs(((struct sockaddr_in *)&old_peer)->sin_port), 5000);
      IS(ntohs(((struct sockaddr_in *)&peer)->sin_port), 6000);
      IS(ntohs(((struct sockaddr_in *)&old_local)->sin_port), 443);
      IS(ntohs(((struct sockaddr_in *)&local)->sin_port), 443);
    }
    quiche_path_event_free(ev);
  }
  CHECK(found);
  free_pair(&p);
  quiche_config_free(config);
}

// A connection is traced in a descriptor, which belongs to it, or in a file.
static void qlog(void) {
  begin();
  pair p = pair_of(config, config, "localhost");
  int fd = qlog_fd(), again = dup(fd), none = dup(fd);
  quiche_conn_set_qlog_fd(p.client, fd, "title", "description");
  quiche_conn_set_qlog_fd(p.client, again, "title", NULL);
  quiche_conn_set_qlog_fd(NULL, none, NULL, NULL);
  CHECK(!closed_fd(fd) && closed_fd(again) && closed_fd(none));
  CHECK(!quiche_conn_set_qlog_path(p.server, "/nowhere/trace.sqlog", "title", "description"));
  CHECK(!quiche_conn_set_qlog_path(p.server, NULL, "title", "description"));
  CHECK(quiche_conn_set_qlog_path(p.server, "/dev/null", "title", "description"));
  CHECK(!quiche_conn_set_qlog_path(p.server, "/dev/null", "title", "description"));
  establish(&p);
  free_pair(&p);
  CHECK(closed_fd(fd) && qlog_has("\"type\":\"client\"") && qlog_has("\"description\":\"description\"") && qlog_has("quic:packet_received"));
  quiche_config_free(config);
}

int main(int argc, char *argv[]) {
  arguments(argc, argv);
  environment();
  declared();
  pacing();
  reuse(false);
  reuse(true);
  qlog();
  IS(bquic_live_objects(), 0);
  return 0;
}
