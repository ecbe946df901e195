// What the programs of the event loop share.
#ifndef LOOP_H
#define LOOP_H

#include "check.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define SECONDS(n) ((uint64_t)(n) * 1000000000)
#define EVER UINT64_MAX

// settings makes a config of the files that each program is called with: chain and key.
static inline bquic_config *settings(char **argv, const char *alpn) {
  char list[256];
  bquic_config *config = bquic_config_new();
  CHECK(config != NULL);
  GOOD(bquic_config_add_cert_files(config, argv[1], argv[2]));
  GOOD(bquic_config_add_roots_file(config, argv[1]));
  list[0] = (char)strlen(alpn);
  strcpy(list + 1, alpn);
  GOOD(bquic_config_set_bytes(config, BQUIC_ALPN, list, strlen(list)));
  return config;
}

static inline bquic_socket *listen_at(bquic_config *config, const char *address, bquic_queue *queue) {
  bquic_listen_options options = {.size = sizeof options, .queue = queue};
  int32_t status = 1;
  bquic_socket *s = bquic_listen(config, address, &options, &status);
  GOOD(status);
  CHECK(s != NULL);
  return s;
}

// where writes how to dial a socket, by the name that the certificate is for.
static inline const char *where(bquic_socket *s, char to[64]) {
  bquic_addr addr;
  GOOD(bquic_socket_addr(s, &addr));
  CHECK(addr.sa.sa_family == AF_INET && addr.in4.sin_port != 0);
  snprintf(to, 64, "127.0.0.1:%d", ntohs(addr.in4.sin_port));
  return to;
}

static inline bquic_conn *dial(bquic_config *config, const char *to, bquic_queue *queue, bquic_socket *from, uint64_t timeout) {
  bquic_dial_options options = {.size = sizeof options, .server_name = "localhost", .queue = queue, .socket = from};
  int32_t status = 1;
  bquic_conn *conn = bquic_dial(config, to, &options, timeout, &status);
  GOOD(status);
  CHECK(conn != NULL);
  return conn;
}

// random_from is a generator of its own for each thread (xorshift).
static inline uint64_t random_from(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  return *state ^= *state << 17;
}

// sum goes on with a checksum (FNV-1a).
static inline uint64_t sum(uint64_t before, const uint8_t *data, size_t len) {
  for (size_t i = 0; i < len; i++) {
    before = (before ^ data[i]) * 0x100000001b3;
  }
  return before;
}

#endif
