// The event loop: each function looks at its pointers, and calls Go.
#include "_cgo_export.h"
#include "internal.h"

bquic_queue *bquic_queue_new(int32_t *status) { BQ_MADE(bquic_queue, bq_go_queue_new(&made_), status); }

int32_t bquic_queue_free(bquic_queue *queue) { BQ_GO(bq_go_queue_free(BQ_HANDLE(queue))); }

int bquic_queue_fd(bquic_queue *queue) {
  int32_t fd = -1;
  BQ_COUNT(bq_go_queue_fd(BQ_HANDLE(queue), &fd), fd);
}

int32_t bquic_queue_wait(bquic_queue *queue, bquic_event *events, uint32_t max, uint64_t timeout) {
  int32_t count = 0;
  BQ_WANT(events);
  BQ_LIST(events, max);
  if (max == 0) {
    return bq_fail(BQUIC_ERR_ARGUMENT, "max is 0, and must be at least 1");
  }
  BQ_COUNT(bq_go_queue_wait(BQ_HANDLE(queue), events, max, timeout, &count), count);
}

static int32_t listen_at(bquic_config *config, const char *address, const bquic_listen_options *options, uint64_t *made) {
  static const bquic_listen_options defaults = {.size = sizeof defaults};
  BQ_WANT(address);
  BQ_TAKE(bquic_listen_options, own, options ? options : &defaults);
  return bq_go_listen(BQ_HANDLE(config), (char *)address, own.shards, BQ_HANDLE(own.queue), made);
}

bquic_socket *bquic_listen(bquic_config *config, const char *address, const bquic_listen_options *options, int32_t *status) {
  BQ_MADE(bquic_socket, listen_at(config, address, options, &made_), status);
}

int32_t bquic_socket_addr(bquic_socket *socket, bquic_addr *addr) {
  BQ_WANT(addr);
  BQ_GO(bq_go_socket_addr(BQ_HANDLE(socket), addr));
}

int32_t bquic_socket_free(bquic_socket *socket) { BQ_GO(bq_go_socket_free(BQ_HANDLE(socket))); }

bquic_conn *bquic_accept(bquic_socket *socket, uint64_t timeout, int32_t *status) { BQ_MADE(bquic_conn, bq_go_accept(BQ_HANDLE(socket), timeout, &made_), status); }

static int32_t dial_to(bquic_config *config, const char *address, const bquic_dial_options *options, uint64_t timeout, uint64_t *made) {
  static const bquic_dial_options defaults = {.size = sizeof defaults};
  BQ_WANT(address);
  BQ_TAKE(bquic_dial_options, own, options ? options : &defaults);
  if (bq_memory(own.session.data, own.session.len, "options->session.data", "options->session.len")) {
    return BQUIC_ERR_ARGUMENT;
  }
  return bq_go_dial(BQ_HANDLE(config), (char *)address, &own, BQ_HANDLE(own.queue), BQ_HANDLE(own.socket), timeout, made);
}

bquic_conn *bquic_dial(bquic_config *config, const char *address, const bquic_dial_options *options, uint64_t timeout, int32_t *status) {
  BQ_MADE(bquic_conn, dial_to(config, address, options, timeout, &made_), status);
}

int32_t bquic_conn_wait(bquic_conn *conn, uint32_t what, uint64_t timeout) { BQ_GO(bq_go_conn_wait(BQ_HANDLE(conn), what, timeout)); }

int64_t bquic_stream_accept(bquic_conn *conn, int uni, uint64_t timeout) {
  uint64_t id = 0;
  BQ_COUNT(bq_go_stream_accept(BQ_HANDLE(conn), uni, timeout, &id), (int64_t)id);
}

int64_t bquic_stream_read(bquic_conn *conn, uint64_t stream, void *buf, size_t len, uint32_t *flags, uint64_t *code, uint64_t timeout) {
  bquic_op op = {.stream = stream, .kind = BQUIC_OP_RECV, .data = buf, .len = len};
  BQ_WANT(flags);
  int32_t status = bq_enter();
  return bq_received(&op, status ? status : bq_go_stream_read(BQ_HANDLE(conn), &op, timeout), flags, code);
}

int64_t bquic_stream_write(bquic_conn *conn, uint64_t stream, const void *data, size_t len, uint32_t flags, uint64_t timeout) {
  bquic_op op = {.stream = stream, .kind = BQUIC_OP_SEND, .flags = flags, .data = (void *)data, .len = len};
  BQ_COUNT(bq_go_stream_write(BQ_HANDLE(conn), &op, timeout), op.result);
}
