// Memory of the program's, and of malloc's, need not have a value when the library writes pointers there: Go looks at none that is overwritten. Here it is full
// of addresses in Go's heap, many of which are of nothing any more, while Go collects garbage all the time.
#include "pair.h"
#include <pthread.h>
#include <stdatomic.h>

enum { ROUNDS = 40, CONFIGS = 100 };

static char **files;
static atomic_int over;

// churn makes and frees so much that Go has memory that was in use.
static void *churn(void *unused) {
  (void)unused;
  for (int round = 0; round < ROUNDS; round++) {
    bquic_config *configs[CONFIGS];
    for (int i = 0; i < CONFIGS; i++) {
      configs[i] = bquic_config_new();
      for (int k = 0; k < 5; k++) {
        GOOD(bquic_config_add_roots_file(configs[i], files[1]));
      }
    }
    for (int i = 0; i < CONFIGS; i++) {
      GOOD(bquic_config_free(configs[i]));
    }
  }
  atomic_store(&over, 1);
  return NULL;
}

static uint64_t from, to, seed = 88172645463325252; // of Go's heap

// find_heap finds where Go's heap lies: it is the only thing in its part of the address space.
static void find_heap(void) {
  char line[512];
  FILE *maps = fopen("/proc/self/maps", "r");
  CHECK(maps != NULL);
  while (to == 0 && fgets(line, sizeof line, maps) != NULL) {
    uint64_t first, end;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64, &first, &end) == 2 && first >= (uint64_t)1 << 36 && first < (uint64_t)5 << 44 && strstr(line, " rw-p ") != NULL) {
      from = first;
      to = end;
    }
  }
  fclose(maps);
  CHECK(to - from >= 1 << 20);
}

static void fill(void *p, size_t n) {
  for (uint64_t *at = p; n >= sizeof *at; n -= sizeof *at) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    *at++ = from + seed % (to - from) / 8192 * 8192 + 64;
  }
}

// fill_malloc fills what malloc gives out next.
static void fill_malloc(void) {
  void *p[4];
  for (int i = 0; i < 4; i++) {
    p[i] = malloc(16 << 10);
    fill(p[i], 16 << 10);
  }
  for (int i = 0; i < 4; i++) {
    free(p[i]);
  }
}

static int confirmed, verified;
static bquic_conn *accepted;

static void on_any(side *s, const bquic_event *ev) {
  (void)s;
  confirmed += ev->kind == BQUIC_EVENT_CONFIRMED;
  if (ev->kind == BQUIC_EVENT_ACCEPTED) {
    accepted = ev->conn;
  }
}

static int32_t verify(void *context, const bquic_peer *peer) {
  (void)context;
  CHECK(strcmp(peer->server_name, "localhost") == 0 && peer->chain_len == 1 && peer->chain[0].len > 100);
  verified++;
  return 0;
}

// exchange makes a connection, and has datagrams arrive on it.
static void exchange(bquic_config *config) {
  static side server, client;
  static uint8_t room[1 << 17];
  server = client = (side){.handle = on_any};
  begin(&server, &client, config);
  bquic_conn *conn = dial(&client, &server, config, 0);
  for (confirmed = 0; confirmed < 2;) {
    fill_malloc();
    fill(client.out, sizeof client.out);
    step(&client, &server);
    fill(server.out, sizeof server.out);
    step(&server, &client);
  }
  for (int i = 0; i < 200; i++) {
    bquic_bytes list[32];
    for (int k = 0; k < 32; k++) {
      bquic_datagram_send(conn, "hello", 5);
    }
    step(&client, &server);
    step(&server, &client);
    now += 10000000;
    fill(list, sizeof list);
    int64_t n = GOOD(bquic_datagram_recv_many(accepted, list, 32, room, sizeof room));
    for (int64_t k = 0; k < n; k++) {
      CHECK(list[k].len == 5 && memcmp(list[k].data, "hello", 5) == 0);
    }
  }
  GOOD(bquic_endpoint_free(client.endpoint));
  GOOD(bquic_endpoint_free(server.endpoint));
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  files = argv;
  bquic_options often = {.size = sizeof often, .gc_percent = 5};
  GOOD(bquic_init(&often));
  bquic_config *config = settings(argv, "test");
  GOOD(bquic_config_set_u64(config, BQUIC_MAX_DATAGRAM_FRAME, 1200));
  GOOD(bquic_config_set_verify(config, verify, NULL));
  find_heap();
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, churn, NULL) == 0);
  int rounds = 0;
  for (; !atomic_load(&over); rounds++) {
    exchange(config);
  }
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(rounds > 0 && verified == rounds);
  GOOD(bquic_config_free(config));
  return 0;
}
