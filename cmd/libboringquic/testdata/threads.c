// Objects of their own on many threads at a time; a config that all of them use, while another thread changes it; and one that two threads change, of
// which one is told that it may not.
#include "pair.h"
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 64 };

static char **files;

// Each thread has its own pair, and its own time: pair.h's is of all.
typedef struct peer {
  bquic_endpoint *endpoint;
  bquic_train out[16];
  uint8_t buf[65536];
  uint32_t n;
} peer;

static int take(peer *p, peer *from, int client) {
  bquic_event events[16];
  int done = 0;
  bquic_step in = {.size = sizeof in, .in = from->out, .in_len = from->n, .events = events, .events_max = 16};
  for (uint32_t i = 0; i < in.in_len; i++) {
    in.in[i].remote = in.in[i].local = address("1", client ? 1 : 2);
  }
  GOOD(bquic_endpoint_step(p->endpoint, &in));
  from->n = 0;
  for (uint32_t i = 0; i < in.events_len; i++) {
    done |= events[i].kind == BQUIC_EVENT_CONFIRMED;
  }
  bquic_step out = {.size = sizeof out, .out = p->out, .out_max = 16, .buf = p->buf, .buf_len = sizeof p->buf};
  GOOD(bquic_endpoint_step(p->endpoint, &out));
  p->n = out.out_len;
  return done;
}

// With a config of its own if shared is NULL.
static void *handshake(void *shared) {
  bquic_config *config = shared ? shared : settings(files, "x");
  peer *server = calloc(1, sizeof *server), *client = calloc(1, sizeof *client);
  CHECK(server != NULL && client != NULL);
  server->endpoint = bquic_endpoint_new(config, NULL);
  client->endpoint = bquic_endpoint_new(NULL, NULL);
  CHECK(server->endpoint != NULL && client->endpoint != NULL);
  bquic_connect connect = {.size = sizeof connect, .server_name = "localhost", .remote = address("1", 1)};
  CHECK(bquic_endpoint_connect(client->endpoint, config, &connect, NULL) != NULL);
  int confirmed = 0;
  for (int i = 0; i < 1000 && confirmed < 2; i++) {
    confirmed += take(server, client, 0) + take(client, server, 1);
  }
  CHECK(confirmed == 2);
  GOOD(bquic_endpoint_free(client->endpoint));
  GOOD(bquic_endpoint_free(server->endpoint));
  uint64_t value;
  GOOD(bquic_config_get_u64(config, BQUIC_KEEP_ALIVE, &value));
  if (config != shared) {
    GOOD(bquic_config_free(config));
  }
  free(server);
  free(client);
  return NULL;
}

static atomic_int over;

static void *change(void *config) {
  while (!over) {
    GOOD(bquic_config_set_u64(config, BQUIC_KEEP_ALIVE, 10000000000));
    GOOD(bquic_config_set_u64(config, BQUIC_KEEP_ALIVE, 0));
  }
  return NULL;
}

static void handshakes(void *config) {
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    CHECK(pthread_create(&threads[i], NULL, handshake, config) == 0);
  }
  for (int i = 0; i < THREADS; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
}

static bquic_config *contested;
static atomic_int told, stop;

// Until the other thread was refused, or a while is over in which it was not.
static void *contend(void *unused) {
  while (!stop) {
    int32_t status = bquic_config_add_roots_file(contested, files[1]);
    CHECK(status == BQUIC_OK || status == BQUIC_ERR_BUSY);
    if (status == BQUIC_ERR_BUSY) {
      CHECK(strstr(bquic_error(), "another call is within the config") != NULL);
      told++;
    }
    stop |= told > 0;
  }
  return unused;
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  files = argv;
  pthread_t threads[2];
  handshakes(NULL);
  CHECK(bquic_live_objects() == 0);
  bquic_config *config = settings(files, "x");
  handshakes(config);
  CHECK(pthread_create(&threads[0], NULL, change, config) == 0);
  handshakes(config);
  over = 1;
  CHECK(pthread_join(threads[0], NULL) == 0);
  GOOD(bquic_config_free(config));
  CHECK(bquic_live_objects() == 0);
  contested = bquic_config_new();
  for (int i = 0; i < 2; i++) {
    CHECK(pthread_create(&threads[i], NULL, contend, NULL) == 0);
  }
  for (int i = 0; i < 2; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
  CHECK(told > 0);
  GOOD(bquic_config_free(contested));
  return 0;
}
