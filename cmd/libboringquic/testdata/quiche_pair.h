// A client and a server of quiche.h in one process, whose datagrams are handed over in memory.
#ifndef QUICHE_PAIR_H
#define QUICHE_PAIR_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <quiche.h>
#include <time.h>

#include "check.h"

// want_sentence wants bquic_error to say why the call before it has failed.
static inline void want_sentence(const char *what, const char *file, int line) {
  const char *text = bquic_error();
  if (strcmp(text, "the config is NULL") == 0 || strchr(text, ' ') == NULL || strstr(text, "QUICHE_") == text) {
    fprintf(stderr, "%s:%d: %s says no more than \"%s\"\n", file, line, what, text);
    exit(1);
  }
}

// IS wants an expression to be a number, and tells both and the library's sentence if it is not. An error of a function of
// quiche.h, which DONE is not, has to come with a sentence.
#define IS(got, want)                                                                                              \
  do {                                                                                                             \
    bquic_config_free(NULL); /* so that a sentence of before is known */                                           \
    long long got_ = (long long)(got), want_ = (long long)(want);                                                  \
    if (strncmp(#got, "quiche_", 7) == 0 && got_ == want_ && want_ < -1 && want_ != QUICHE_H3_TRANSPORT_ERR_DONE) { \
      want_sentence(#got, __FILE__, __LINE__);                                                                     \
    }                                                                                                              \
    if (got_ != want_) {                                                                                           \
      fprintf(stderr, "%s:%d: %s is %lld, want %lld; %s\n", __FILE__, __LINE__, #got, got_, want_, bquic_error()); \
      exit(1);                                                                                                     \
    }                                                                                                              \
  } while (0)

static const char *cert_file, *key_file, *ca_file;
static const char *other_file; // a certificate of somebody else

static struct sockaddr_in address_of(uint16_t port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return a;
}

static struct sockaddr_in client_address, server_address;

#define SOCKADDR(a) (struct sockaddr *)&(a), sizeof(a)

static inline quiche_config *config_with(const char *protos) {
  quiche_config *config = quiche_config_new(QUICHE_PROTOCOL_VERSION);
  CHECK(config != NULL);
  IS(quiche_config_load_cert_chain_from_pem_file(config, cert_file), 0);
  IS(quiche_config_load_priv_key_from_pem_file(config, key_file), 0);
  IS(quiche_config_set_application_protos(config, (const uint8_t *)protos, strlen(protos)), 0);
  quiche_config_set_initial_max_data(config, 1000000);
  quiche_config_set_initial_max_stream_data_bidi_local(config, 100000);
  quiche_config_set_initial_max_stream_data_bidi_remote(config, 100000);
  quiche_config_set_initial_max_stream_data_uni(config, 100000);
  quiche_config_set_initial_max_streams_bidi(config, 10);
  quiche_config_set_initial_max_streams_uni(config, 10);
  quiche_config_set_max_idle_timeout(config, 30000);
  return config;
}

typedef struct {
  quiche_conn *client, *server;
  size_t datagrams;
} pair;

static uint8_t next_id;

static void fresh_id(uint8_t id[16]) {
  memset(id, ++next_id, 16);
}

static inline quiche_conn *client_of(quiche_config *config, const char *name) {
  uint8_t id[16];
  fresh_id(id);
  quiche_conn *conn = quiche_connect(name, id, sizeof id, SOCKADDR(client_address), SOCKADDR(server_address), config);
  if (conn == NULL) {
    fprintf(stderr, "quiche_connect: %s\n", bquic_error());
    exit(1);
  }
  return conn;
}

static inline pair pair_of(quiche_config *client, quiche_config *server, const char *name) {
  uint8_t id[16];
  pair p = {.client = client_of(client, name)};
  fresh_id(id);
  p.server = quiche_accept(id, sizeof id, NULL, 0, SOCKADDR(server_address), SOCKADDR(client_address), server);
  if (p.server == NULL) {
    fprintf(stderr, "quiche_accept: %s\n", bquic_error());
    exit(1);
  }
  return p;
}

// carry hands over what from has to send, and returns the last error of to, 0 if there was none.
static ssize_t carry(pair *p, quiche_conn *from, quiche_conn *to) {
  ssize_t result = 0, n;
  uint8_t out[1500];
  quiche_send_info info;
  while ((n = quiche_conn_send(from, out, sizeof out, &info)) >= 0) {
    quiche_recv_info in = {(struct sockaddr *)&info.from, info.from_len, (struct sockaddr *)&info.to, info.to_len};
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK(info.at.tv_sec <= now.tv_sec + 60); // pacing may have it leave later, by a round trip, which valgrind makes long
    p->datagrams++;
    ssize_t got = quiche_conn_recv(to, out, (size_t)n, &in);
    if (got < 0) {
      result = got;
    } else {
      IS(got, n);
    }
  }
  IS(n, QUICHE_ERR_DONE);
  return result;
}

// let_pass waits for the timer of a connection, and has it go off.
static void let_pass(quiche_conn *conn) {
  uint64_t left = quiche_conn_timeout_as_nanos(conn);
  CHECK(left != UINT64_MAX);
  struct timespec t = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
  nanosleep(&t, NULL);
  quiche_conn_on_timeout(conn);
}

// paced tells whether a connection has something to do within milliseconds.
static bool paced(quiche_conn *conn) { return quiche_conn_timeout_as_nanos(conn) < 5000000; }

// exchange goes on until neither side has anything to send, now or soon.
static void exchange(pair *p) {
  for (;;) {
    size_t before = p->datagrams;
    IS(carry(p, p->client, p->server), 0);
    IS(carry(p, p->server, p->client), 0);
    if (p->datagrams != before) {
      continue;
    }
    if (!paced(p->client) && !paced(p->server)) {
      return;
    }
    let_pass(paced(p->client) ? p->client : p->server);
  }
}

static void free_pair(pair *p) {
  quiche_conn_free(p->client);
  quiche_conn_free(p->server);
}

static void establish(pair *p) {
  exchange(p);
  CHECK(quiche_conn_is_established(p->client) && quiche_conn_is_established(p->server));
}

static void arguments(int argc, char *argv[]) {
  CHECK(argc >= 3);
  cert_file = argv[1];
  key_file = argv[2];
  ca_file = cert_file;
  other_file = argc > 3 ? argv[3] : NULL;
  client_address = address_of(5000);
  server_address = address_of(443);
}

#endif
