// Streams, datagrams, HTTP/3 and packets: each function looks at its pointers, and calls Go.
#include "_cgo_export.h"
#include "internal.h"

int64_t bquic_stream_open(bquic_conn *conn, int uni) {
  uint64_t id = 0;
  BQ_COUNT(bq_go_stream_open(BQ_HANDLE(conn), uni, &id), (int64_t)id);
}

int64_t bquic_stream_send(bquic_conn *conn, uint64_t stream, const void *data, size_t len, uint32_t flags) {
  bquic_op op = {.stream = stream, .kind = BQUIC_OP_SEND, .flags = flags, .data = (void *)data, .len = len};
  BQ_COUNT(bq_go_stream_op(BQ_HANDLE(conn), &op), op.result);
}

int64_t bq_received(const bquic_op *op, int32_t status, uint32_t *flags, uint64_t *code) {
  *flags = op->flags;
  if (code != NULL && status == BQUIC_ERR_RESET) {
    *code = op->code;
  }
  return status ? status : op->result;
}

int64_t bquic_stream_recv(bquic_conn *conn, uint64_t stream, void *buf, size_t len, uint32_t *flags, uint64_t *code) {
  bquic_op op = {.stream = stream, .kind = BQUIC_OP_RECV, .data = buf, .len = len};
  BQ_WANT(flags);
  int32_t status = bq_enter();
  return bq_received(&op, status ? status : bq_go_stream_op(BQ_HANDLE(conn), &op), flags, code);
}

int32_t bquic_endpoint_ops(bquic_endpoint *endpoint, bquic_op *ops, size_t n) {
  BQ_LIST(ops, n);
  BQ_GO(bq_go_endpoint_ops(BQ_HANDLE(endpoint), ops, n));
}

int32_t bquic_stream_shutdown(bquic_conn *conn, uint64_t stream, uint32_t parts, uint64_t code) {
  BQ_GO(bq_go_stream_shutdown(BQ_HANDLE(conn), stream, parts, code));
}

int32_t bquic_stream_set_priority(bquic_conn *conn, uint64_t stream, uint32_t urgency, int incremental) {
  BQ_GO(bq_go_stream_set_priority(BQ_HANDLE(conn), stream, urgency, incremental));
}

int32_t bquic_stream_set_user_data(bquic_conn *conn, uint64_t stream, uint64_t value) {
  int32_t stored = 0;
  BQ_COUNT(bq_go_stream_set_user_data(BQ_HANDLE(conn), stream, value, &stored), stored);
}

int64_t bquic_stream_room(bquic_conn *conn, uint64_t stream) {
  int64_t room = 0;
  BQ_COUNT(bq_go_stream_room(BQ_HANDLE(conn), stream, &room), room);
}

int32_t bquic_streams_readable(bquic_conn *conn, uint64_t *ids, uint32_t max) {
  int32_t count = 0;
  BQ_LIST(ids, max);
  BQ_COUNT(bq_go_streams(BQ_HANDLE(conn), 0, ids, max, &count), count);
}

int32_t bquic_streams_writable(bquic_conn *conn, uint64_t *ids, uint32_t max) {
  int32_t count = 0;
  BQ_LIST(ids, max);
  BQ_COUNT(bq_go_streams(BQ_HANDLE(conn), 1, ids, max, &count), count);
}

int32_t bquic_datagram_send(bquic_conn *conn, const void *data, size_t len) {
  bquic_bytes one = {data, len};
  int32_t count = 0;
  BQ_BYTES(data, len);
  BQ_GO(bq_go_datagrams_send(BQ_HANDLE(conn), &one, 1, &count));
}

int32_t bquic_datagram_send_many(bquic_conn *conn, const bquic_bytes *datagrams, uint32_t n) {
  int32_t count = 0;
  BQ_LIST(datagrams, n);
  BQ_COUNT(bq_go_datagrams_send(BQ_HANDLE(conn), (bquic_bytes *)datagrams, n, &count), count);
}

int32_t bquic_datagram_recv_many(bquic_conn *conn, bquic_bytes *datagrams, uint32_t max, void *buf, size_t len) {
  int32_t count = 0;
  BQ_LIST(datagrams, max);
  BQ_BYTES(buf, len);
  BQ_COUNT(bq_go_datagrams_recv(BQ_HANDLE(conn), datagrams, max, buf, len, &count), count);
}

int64_t bquic_h3_request(bquic_conn *conn, const bquic_h3_field *fields, uint32_t n, const void *body, size_t len, uint32_t flags, size_t *taken) {
  uint64_t id = 0;
  size_t took = 0;
  BQ_LIST(fields, n);
  BQ_BYTES(body, len);
  int32_t status = bq_enter();
  if (status == BQUIC_OK) {
    status = bq_go_h3_request(BQ_HANDLE(conn), (bquic_h3_field *)fields, n, (uint8_t *)body, len, flags, &id, &took);
  }
  if (taken != NULL) {
    *taken = took;
  }
  return status ? status : (int64_t)id;
}

int64_t bquic_h3_respond(bquic_conn *conn, uint64_t stream, const bquic_h3_field *fields, uint32_t n, const void *body, size_t len, uint32_t flags) {
  int64_t taken = 0;
  BQ_LIST(fields, n);
  BQ_BYTES(body, len);
  BQ_COUNT(bq_go_h3_respond(BQ_HANDLE(conn), stream, (bquic_h3_field *)fields, n, (uint8_t *)body, len, flags, &taken), taken);
}

int32_t bquic_h3_trailers(bquic_conn *conn, uint64_t stream, const bquic_h3_field *fields, uint32_t n) {
  BQ_LIST(fields, n);
  BQ_GO(bq_go_h3_trailers(BQ_HANDLE(conn), stream, (bquic_h3_field *)fields, n));
}

int32_t bquic_h3_priority(bquic_conn *conn, uint64_t stream, uint32_t urgency, int incremental) {
  BQ_GO(bq_go_h3_priority(BQ_HANDLE(conn), stream, urgency, incremental));
}

int32_t bquic_h3_shutdown(bquic_conn *conn) { BQ_GO(bq_go_h3_shutdown(BQ_HANDLE(conn))); }

int32_t bquic_h3_datagram_send(bquic_conn *conn, uint64_t stream, const void *data, size_t len) {
  BQ_BYTES(data, len);
  BQ_GO(bq_go_h3_datagram_send(BQ_HANDLE(conn), stream, (uint8_t *)data, len));
}

int32_t bquic_h3_datagram_recv(bquic_conn *conn, uint64_t stream, void *buf, size_t cap, size_t *len) {
  int32_t got = 0;
  BQ_WANT(len);
  BQ_BYTES(buf, cap);
  BQ_COUNT(bq_go_h3_datagram_recv(BQ_HANDLE(conn), stream, buf, cap, len, &got), got);
}

int32_t bquic_h3_settings(bquic_conn *conn, bquic_h3_peer *settings) { BQ_FILL(bquic_h3_peer, own, settings, bq_go_h3_settings(BQ_HANDLE(conn), &own)); }

int32_t bquic_header_parse(const void *packet, size_t len, uint32_t short_len, bquic_header *header) {
  BQ_BYTES(packet, len);
  BQ_FILL(bquic_header, own, header, bq_go_header_parse((uint8_t *)packet, len, short_len, &own));
}

int64_t bquic_write_version_negotiation(void *out, size_t cap, bquic_bytes destination, bquic_bytes source, const uint32_t *versions, uint32_t n) {
  int64_t length = 0;
  BQ_BYTES(out, cap);
  BQ_BYTES(destination.data, destination.len);
  BQ_BYTES(source.data, source.len);
  BQ_LIST(versions, n);
  BQ_COUNT(bq_go_write_version_negotiation(out, cap, &destination, &source, (uint32_t *)versions, n, &length), length);
}

int64_t bquic_write_retry(void *out, size_t cap, uint32_t version, bquic_bytes destination, bquic_bytes source, bquic_bytes id, bquic_bytes token) {
  int64_t length = 0;
  BQ_BYTES(out, cap);
  BQ_BYTES(destination.data, destination.len);
  BQ_BYTES(source.data, source.len);
  BQ_BYTES(id.data, id.len);
  BQ_BYTES(token.data, token.len);
  BQ_COUNT(bq_go_write_retry(out, cap, version, &destination, &source, &id, &token, &length), length);
}
