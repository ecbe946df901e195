// Connections on many threads at a time, all of one quiche_config, as Apache Traffic Server has them: its threads read it, and no lock is theirs.
#include "check.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <quiche.h>

enum { THREADS = 32, ROUNDS = 1000 };

typedef struct {
  pthread_t thread;
  const quiche_config *config;
  uint8_t number;
} worker;

#define SOCKADDR(a) (struct sockaddr *)&(a), sizeof(a)

// carry moves all that there is to send from one end to the other.
static void carry(quiche_conn *from, quiche_conn *to, struct sockaddr_in *src, struct sockaddr_in *dst) {
  uint8_t buf[1500];
  quiche_send_info out;
  quiche_recv_info in = {SOCKADDR(*src), SOCKADDR(*dst)};
  for (ssize_t n; (n = quiche_conn_send(from, buf, sizeof buf, &out)) != QUICHE_ERR_DONE;) {
    CHECK(n > 0);
    CHECK(quiche_conn_recv(to, buf, (size_t)n, &in) == n);
  }
}

// talk carries a message, which the other end reads whole.
static void talk(quiche_conn *from, quiche_conn *to, struct sockaddr_in *src, struct sockaddr_in *dst) {
  uint8_t got[6];
  uint64_t id, code;
  bool fin = false;
  carry(from, to, src, dst);
  carry(to, from, dst, src);
  quiche_stream_iter *iter = quiche_conn_readable(to);
  CHECK(quiche_stream_iter_next(iter, &id));
  CHECK(quiche_conn_stream_recv(to, id, got, sizeof got, &fin, &code) == 5 && fin && memcmp(got, "hello", 5) == 0);
  CHECK(!quiche_stream_iter_next(iter, &id));
  quiche_stream_iter_free(iter);
  if (quiche_conn_timeout_as_millis(to) == 0) {
    quiche_conn_on_timeout(to);
  }
}

static void *works(void *of) {
  worker *w = of;
  uint8_t client_id[16], server_id[16], got[5];
  memset(client_id, w->number, sizeof client_id);
  memset(server_id, w->number + 100, sizeof server_id);
  struct sockaddr_in client_at = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, server_at = client_at;
  server_at.sin_port = htons(2);
  quiche_conn *client = quiche_connect("localhost", client_id, 16, SOCKADDR(client_at), SOCKADDR(server_at), (quiche_config *)w->config);
  quiche_conn *server = quiche_accept(server_id, 16, NULL, 0, SOCKADDR(server_at), SOCKADDR(client_at), (quiche_config *)w->config);
  CHECK(client != NULL && server != NULL);
  bool fin = false, sent = false;
  uint64_t code;
  for (int i = 0; i < ROUNDS && !fin; i++) {
    carry(client, server, &client_at, &server_at);
    carry(server, client, &server_at, &client_at);
    if (!sent && quiche_conn_is_established(client)) {
      CHECK(quiche_conn_stream_send(client, 0, (const uint8_t *)"hello", 5, true, &code) == 5);
      sent = true;
    }
    ssize_t n = quiche_conn_stream_recv(server, 0, got, sizeof got, &fin, &code);
    CHECK(n < 0 || (n == 5 && memcmp(got, "hello", 5) == 0));
    if (quiche_conn_timeout_as_millis(client) == 0) {
      quiche_conn_on_timeout(client);
    }
  }
  CHECK(fin);
  for (uint64_t id = 4; id < 4 * ROUNDS / 10; id += 4) { // small messages, and datagrams that are gathered
    CHECK(quiche_conn_stream_send(client, id, (const uint8_t *)"hello", 5, true, &code) == 5);
    talk(client, server, &client_at, &server_at);
    CHECK(quiche_conn_stream_send(server, id, got, 5, true, &code) == 5);
    talk(server, client, &server_at, &client_at);
  }
  quiche_conn_free(client);
  quiche_conn_free(server);
  return NULL;
}

int main(int argc, char **argv) {
  CHECK(argc >= 3);
  quiche_config *config = quiche_config_new(QUICHE_PROTOCOL_VERSION);
  CHECK(config != NULL);
  CHECK(quiche_config_load_cert_chain_from_pem_file(config, argv[1]) == 0 && quiche_config_load_priv_key_from_pem_file(config, argv[2]) == 0);
  CHECK(quiche_config_set_application_protos(config, (const uint8_t *)"\1x", 2) == 0);
  quiche_config_set_initial_max_data(config, 10000);
  quiche_config_set_initial_max_stream_data_bidi_local(config, 1000);
  quiche_config_set_initial_max_stream_data_bidi_remote(config, 1000);
  quiche_config_set_initial_max_streams_bidi(config, 2 * ROUNDS);
  worker workers[THREADS];
  for (int i = 0; i < THREADS; i++) {
    workers[i].config = config;
    workers[i].number = (uint8_t)i;
    CHECK(pthread_create(&workers[i].thread, NULL, works, &workers[i]) == 0);
  }
  for (int i = 0; i < THREADS; i++) {
    CHECK(pthread_join(workers[i].thread, NULL) == 0);
  }
  quiche_config_free(config);
  CHECK(bquic_live_objects() == 0);
  return 0;
}
