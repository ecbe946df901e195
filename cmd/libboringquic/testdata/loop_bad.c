// What no program should do with the event loop: each function has an error and a sentence for it.
#include "loop.h"
#include <sys/wait.h>

// MADE_NOT wants a function that makes an object to fail.
#define MADE_NOT(call, want, text)           \
  do {                                       \
    status = 1;                              \
    CHECK((call) == NULL);                   \
    FAILS((int64_t)status, (want), (text));  \
  } while (0)

static int32_t status;

static void queues(void) {
  bquic_event event;
  bquic_queue *queue = bquic_queue_new(&status);
  CHECK(queue != NULL && status == BQUIC_OK && bquic_live_objects() == 2);
  FAILS(bquic_queue_wait(NULL, &event, 1, 0), BQUIC_ERR_ARGUMENT, "the queue is NULL");
  FAILS(bquic_queue_wait(queue, NULL, 1, 0), BQUIC_ERR_ARGUMENT, "events is NULL");
  FAILS(bquic_queue_wait(queue, &event, 0, 0), BQUIC_ERR_ARGUMENT, "max is 0");
  FAILS(bquic_queue_wait((bquic_queue *)4711, &event, 1, 0), BQUIC_ERR_HANDLE, "no such queue");
  CHECK(bquic_queue_wait(queue, &event, 1, 0) == 0 && bquic_queue_wait(queue, &event, 1, 1) == 0);
  CHECK(bquic_queue_fd(queue) >= 0);
  FAILS(bquic_queue_fd(NULL), BQUIC_ERR_ARGUMENT, "the queue is NULL");
  GOOD(bquic_queue_free(queue));
  FAILS(bquic_queue_free(queue), BQUIC_ERR_HANDLE, "it was freed");
  FAILS(bquic_queue_fd(queue), BQUIC_ERR_HANDLE, "it was freed");
  FAILS(bquic_queue_wait(queue, &event, 1, EVER), BQUIC_ERR_HANDLE, "it was freed");
}

static void sockets(bquic_config *config) {
  bquic_listen_options options = {0};
  bquic_addr addr;
  MADE_NOT(bquic_listen(config, NULL, NULL, &status), BQUIC_ERR_ARGUMENT, "address is NULL");
  MADE_NOT(bquic_listen(config, "127.0.0.1:0", &options, &status), BQUIC_ERR_ARGUMENT, "size of the bquic_listen_options is 0");
  options.size = sizeof options;
  options.shards = 257;
  MADE_NOT(bquic_listen(config, "127.0.0.1:0", &options, &status), BQUIC_ERR_ARGUMENT, "at most 256");
  options.shards = 0;
  options.queue = (bquic_queue *)config;
  MADE_NOT(bquic_listen(config, "127.0.0.1:0", &options, &status), BQUIC_ERR_HANDLE, "this is no queue but another object: a config");
  static const char *const texts[] = {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", "::1:443", "[::1]443", ":-1"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    MADE_NOT(bquic_listen(config, texts[i], NULL, &status), BQUIC_ERR_ARGUMENT, "is not HOST:PORT");
    MADE_NOT(bquic_dial(config, texts[i], NULL, EVER, &status), BQUIC_ERR_ARGUMENT, "is not HOST:PORT");
  }
  MADE_NOT(bquic_listen(config, "192.0.2.1:0", NULL, &status), BQUIC_ERR_NETWORK, "192.0.2.1");
  MADE_NOT(bquic_listen((bquic_config *)4711, "127.0.0.1:0", NULL, &status), BQUIC_ERR_HANDLE, "no such config");
  bquic_config *empty = bquic_config_new();
  MADE_NOT(bquic_listen(empty, "127.0.0.1:0", NULL, &status), BQUIC_ERR_CONFIG, "a server needs a certificate");
  MADE_NOT(bquic_dial(empty, "127.0.0.1:1", NULL, EVER, &status), BQUIC_ERR_CONFIG, "no application protocol");
  GOOD(bquic_config_free(empty));
  bquic_socket *s = bquic_listen(config, "127.0.0.1:0", NULL, &status), *dials = bquic_listen(NULL, "127.0.0.1:0", NULL, NULL);
  CHECK(s != NULL && dials != NULL);
  FAILS(bquic_socket_addr(s, NULL), BQUIC_ERR_ARGUMENT, "addr is NULL");
  FAILS(bquic_socket_addr(NULL, &addr), BQUIC_ERR_ARGUMENT, "the socket is NULL");
  GOOD(bquic_socket_addr(s, &addr));
  char to[64];
  MADE_NOT(bquic_listen(config, where(s, to), NULL, &status), BQUIC_ERR_NETWORK, "address already in use");
  MADE_NOT(bquic_accept(NULL, 0, &status), BQUIC_ERR_ARGUMENT, "the socket is NULL");
  MADE_NOT(bquic_accept(dials, EVER, &status), BQUIC_ERR_STATE, "only dials");
  bquic_queue *queue = bquic_queue_new(NULL);
  bquic_socket *told = listen_at(config, "127.0.0.1:0", queue);
  MADE_NOT(bquic_accept(told, EVER, &status), BQUIC_ERR_STATE, "the socket's queue tells");
  GOOD(bquic_socket_free(told));
  GOOD(bquic_queue_free(queue));
  GOOD(bquic_socket_free(dials));
  GOOD(bquic_socket_free(s));
  FAILS(bquic_socket_free(s), BQUIC_ERR_HANDLE, "it was freed");
  MADE_NOT(bquic_accept(s, EVER, &status), BQUIC_ERR_HANDLE, "it was freed");
}

static void dials(bquic_config *config) {
  bquic_dial_options options = {0};
  MADE_NOT(bquic_dial(config, NULL, NULL, EVER, &status), BQUIC_ERR_ARGUMENT, "address is NULL");
  MADE_NOT(bquic_dial(NULL, "127.0.0.1:1", NULL, EVER, &status), BQUIC_ERR_ARGUMENT, "the config is NULL");
  MADE_NOT(bquic_dial(config, "127.0.0.1:1", &options, EVER, &status), BQUIC_ERR_ARGUMENT, "size of the bquic_dial_options");
  options.size = sizeof options;
  options.flags = 64;
  MADE_NOT(bquic_dial(config, "127.0.0.1:1", &options, EVER, &status), BQUIC_ERR_ARGUMENT, "not known");
  options.flags = 0;
  options.session = (bquic_bytes){"nonsense", 8};
  MADE_NOT(bquic_dial(config, "127.0.0.1:1", &options, EVER, &status), BQUIC_ERR_ARGUMENT, "");
  options.session.data = NULL;
  MADE_NOT(bquic_dial(config, "127.0.0.1:1", &options, EVER, &status), BQUIC_ERR_ARGUMENT, "options->session.data is NULL");
  options.session.len = 0;
  options.socket = (bquic_socket *)4711;
  MADE_NOT(bquic_dial(config, "127.0.0.1:1", &options, EVER, &status), BQUIC_ERR_HANDLE, "no such socket");
  options.socket = NULL;
  MADE_NOT(bquic_dial(config, "127.0.0.1:0", NULL, EVER, &status), BQUIC_ERR_ARGUMENT, "from 1 to 65535");
  MADE_NOT(bquic_dial(config, "name.invalid:443", NULL, SECONDS(30), &status), BQUIC_ERR_NETWORK, "name.invalid");
}

static void connections(bquic_config *config) {
  bquic_socket *s = listen_at(config, "127.0.0.1:0", NULL);
  char to[64], buf[10];
  uint32_t flags;
  bquic_conn *client = dial(config, where(s, to), NULL, NULL, SECONDS(20)), *server = bquic_accept(s, SECONDS(20), NULL);
  CHECK(server != NULL);
  FAILS(bquic_conn_wait(NULL, BQUIC_WAIT_CLOSED, 0), BQUIC_ERR_ARGUMENT, "the connection is NULL");
  FAILS(bquic_conn_wait(client, 0, EVER), BQUIC_ERR_ARGUMENT, "with number 0");
  FAILS(bquic_conn_wait(client, 99, EVER), BQUIC_ERR_ARGUMENT, "with number 99");
  FAILS(bquic_conn_wait(client, BQUIC_WAIT_DATAGRAM, EVER), BQUIC_ERR_UNSUPPORTED, "");
  FAILS(bquic_stream_accept(NULL, 0, EVER), BQUIC_ERR_ARGUMENT, "the connection is NULL");
  FAILS(bquic_stream_read(client, 0, buf, 10, NULL, NULL, EVER), BQUIC_ERR_ARGUMENT, "flags is NULL");
  FAILS(bquic_stream_read(client, 0, buf, 10, &flags, NULL, EVER), BQUIC_ERR_STREAM, "no such stream");
  FAILS(bquic_stream_read(client, 2, buf, 10, &flags, NULL, EVER), BQUIC_ERR_DIRECTION, "");
  FAILS(bquic_stream_write(client, 3, buf, 10, 0, EVER), BQUIC_ERR_DIRECTION, "");
  uint64_t id = (uint64_t)GOOD(bquic_stream_open(client, 0));
  FAILS(bquic_stream_read(client, id, NULL, 10, &flags, NULL, EVER), BQUIC_ERR_ARGUMENT, "data is NULL");
  FAILS(bquic_stream_read(client, id, buf, (size_t)1 << 31, &flags, NULL, EVER), BQUIC_ERR_ARGUMENT, "2^31-1");
  FAILS(bquic_stream_write(client, id, NULL, 10, 0, EVER), BQUIC_ERR_ARGUMENT, "data is NULL");
  CHECK(bquic_stream_read(client, id, NULL, 0, &flags, NULL, EVER) == 0 && bquic_stream_write(client, id, NULL, 0, 0, EVER) == 0);
  FAILS(bquic_conn_migrate(client, NULL, NULL), BQUIC_ERR_STATE, "BQUIC_DIAL_FOLLOW");
  FAILS(bquic_conn_close(client, 0, UINT64_MAX, NULL, 0), BQUIC_ERR_ARGUMENT, "2^62");
  FAILS(bquic_h3_shutdown(client), BQUIC_ERR_STATE, "does not speak HTTP/3");
  // Those of an endpoint do not wait, and its calls do not reach others.
  bquic_endpoint *endpoint = bquic_endpoint_new(NULL, NULL);
  bquic_connect connect = {.size = sizeof connect, .remote = {.in4 = {.sin_family = AF_INET, .sin_port = 1, .sin_addr.s_addr = 0x0100007f}}};
  bquic_conn *other = bquic_endpoint_connect(endpoint, config, &connect, NULL);
  CHECK(other != NULL);
  FAILS(bquic_conn_wait(other, BQUIC_WAIT_CLOSED, EVER), BQUIC_ERR_STATE, "belongs to an endpoint");
  FAILS(bquic_stream_read(other, 0, buf, 10, &flags, NULL, EVER), BQUIC_ERR_STATE, "belongs to an endpoint");
  bquic_op op = {.conn = client, .stream = id, .kind = BQUIC_OP_SEND};
  GOOD(bquic_endpoint_ops(endpoint, &op, 1));
  CHECK(op.result == BQUIC_ERR_ARGUMENT && strstr(bquic_error(), "another endpoint") != NULL);
  GOOD(bquic_endpoint_free(endpoint));
  GOOD(bquic_conn_free(client));
  FAILS(bquic_conn_free(client), BQUIC_ERR_HANDLE, "it was freed");
  FAILS(bquic_stream_read(client, id, buf, 10, &flags, NULL, EVER), BQUIC_ERR_HANDLE, "it was freed");
  GOOD(bquic_conn_free(server));
  // A child cannot use what its parent has, and does not hang.
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    bquic_event event;
    FAILS(bquic_queue_wait(NULL, &event, 1, EVER), BQUIC_ERR_FORKED, "was forked");
    FAILS(bquic_conn_wait(server, BQUIC_WAIT_CLOSED, EVER), BQUIC_ERR_FORKED, "was forked");
    FAILS(bquic_stream_accept(server, 0, EVER), BQUIC_ERR_FORKED, "was forked");
    MADE_NOT(bquic_accept(s, EVER, &status), BQUIC_ERR_FORKED, "was forked");
    MADE_NOT(bquic_dial(config, to, NULL, EVER, &status), BQUIC_ERR_FORKED, "was forked");
    FAILS(bquic_socket_free(s), BQUIC_ERR_FORKED, "was forked");
    _exit(0);
  }
  int ended;
  CHECK(waitpid(child, &ended, 0) == child && ended == 0);
  GOOD(bquic_socket_free(s));
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  bquic_config *config = settings(argv, "echo");
  queues();
  sockets(config);
  dials(config);
  connections(config);
  GOOD(bquic_config_free(config));
  CHECK(bquic_live_objects() == 0);
  return 0;
}
