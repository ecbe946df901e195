// A client and a server in one process, and what carries datagrams between them in place of sockets.
#ifndef PAIR_H
#define PAIR_H

#include "check.h"

typedef struct side {
  bquic_endpoint *endpoint;
  bquic_addr addr;
  void (*handle)(struct side *, const bquic_event *);
  bquic_train out[64];
  uint8_t buf[256 << 10];
  uint32_t out_len;
  uint64_t deadline;
  int closed, drained;
} side;

static inline bquic_addr address(const char *last, uint16_t port) {
  bquic_addr addr = {.in4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
  addr.in4.sin_addr.s_addr = htonl(0xc0000200u + (uint32_t)atoi(last)); // 192.0.2.0/24
  return addr;
}

// The time of the test, which no clock moves.
static uint64_t now;

// step gives a side what the other has sent, has it handle its events, and takes what it sends.
static inline void step(side *s, side *from) {
  bquic_event events[32];
  bquic_step in = {.size = sizeof in, .now = now, .in = from->out, .in_len = from->out_len, .events = events, .events_max = 32};
  for (uint32_t i = 0; i < in.in_len; i++) {
    CHECK(memcmp(&in.in[i].remote, &s->addr, sizeof s->addr.in4) == 0);
    in.in[i].local = s->addr;
    in.in[i].remote = from->addr;
  }
  do {
    GOOD(bquic_endpoint_step(s->endpoint, &in));
    for (uint32_t i = 0; i < in.events_len; i++) {
      s->closed += events[i].kind == BQUIC_EVENT_CLOSED;
      s->drained += events[i].kind == BQUIC_EVENT_DRAINED;
      s->handle(s, &events[i]);
    }
    in.in_len = 0;
  } while (in.more & BQUIC_MORE_EVENTS);
  from->out_len = 0;
  bquic_step out = {.size = sizeof out, .now = now, .out = s->out, .out_max = 64, .buf = s->buf, .buf_len = sizeof s->buf};
  GOOD(bquic_endpoint_step(s->endpoint, &out));
  s->out_len = out.out_len;
  s->deadline = out.deadline;
}

// play has both sides go on until done is not 0, and lets the time pass when nothing is on the way.
static inline void play(side *a, side *b, const int *done) {
  for (int i = 0; i < 100000 && !*done; i++) {
    step(b, a);
    step(a, b);
    if (!*done && a->out_len + b->out_len == 0) {
      uint64_t next = a->deadline < b->deadline ? a->deadline : b->deadline;
      CHECK(next != UINT64_MAX);
      now = next > now ? next : now + 1000000;
    }
  }
  CHECK(*done);
}

// settings makes a config of the files that each program is called with: chain and key.
static inline bquic_config *settings(char **argv, const char *alpn) {
  bquic_config *config = bquic_config_new();
  CHECK(config != NULL);
  GOOD(bquic_config_add_cert_files(config, argv[1], argv[2]));
  GOOD(bquic_config_add_roots_file(config, argv[1]));
  if (alpn != NULL) {
    char list[256];
    list[0] = (char)strlen(alpn);
    strcpy(list + 1, alpn);
    GOOD(bquic_config_set_bytes(config, BQUIC_ALPN, list, strlen(list)));
  }
  return config;
}

static inline void begin(side *server, side *client, bquic_config *server_config) {
  int32_t status = 1;
  now = bquic_now();
  server->addr = address("1", 443);
  client->addr = address("2", 50000);
  server->endpoint = bquic_endpoint_new(server_config, &status);
  GOOD(status);
  client->endpoint = bquic_endpoint_new(NULL, NULL);
  CHECK(server->endpoint != NULL && client->endpoint != NULL);
}

static inline bquic_conn *dial(side *client, side *server, bquic_config *config, uint64_t user_data) {
  bquic_connect connect = {.size = sizeof connect, .server_name = "localhost", .local = client->addr, .remote = server->addr, .user_data = user_data};
  int32_t status = 1;
  bquic_conn *conn = bquic_endpoint_connect(client->endpoint, config, &connect, &status);
  GOOD(status);
  CHECK(conn != NULL);
  return conn;
}

#endif
