// quiche.h: HTTP/3.
#include <string.h>

#include "_cgo_export.h"
#include "quiche_internal.h"

enum { FORBIDDEN = QUICHE_H3_TRANSPORT_ERR_INVALID_STATE };

quiche_h3_conn *quiche_h3_conn_new_with_transport(quiche_conn *quiche_conn, quiche_h3_config *config) {
  quiche_h3_conn *conn = BQ_MAY(quiche_conn) && BQ_MAY(config) ? malloc(sizeof *conn) : NULL;
  if (conn == NULL || bq_go_quiche_h3_new(quiche_conn->handle, BQ_HANDLE(config)) < 0) {
    free(conn);
    return NULL;
  }
  conn->handle = quiche_conn->handle;
  return conn;
}

void quiche_h3_conn_free(quiche_h3_conn *conn) { free(conn); }

int64_t quiche_h3_conn_poll(quiche_h3_conn *conn, quiche_conn *quic_conn, quiche_h3_event **ev) {
  if (conn != NULL && quic_conn != NULL && ev != NULL && quic_conn->h3_ends && !quic_conn->busy && !bq_enter() && (*ev = calloc(1, sizeof **ev)) != NULL) {
    (*ev)->type = QUICHE_H3_EVENT_FINISHED;
    quic_conn->h3_ends = false;
    return (int64_t)quic_conn->h3_ended;
  }
  if (conn != NULL && quic_conn != NULL && !quic_conn->stale && !quic_conn->h3_news && !quic_conn->busy) {
    return QUICHE_H3_ERR_DONE;
  }
  BQ_H3_CALL(conn && quic_conn && ev, bq_go_quiche_h3_poll(conn->handle, ev));
}

// Events.

enum quiche_h3_event_type quiche_h3_event_type(quiche_h3_event *ev) { return ev == NULL ? QUICHE_H3_EVENT_RESET : ev->type; }

bool quiche_h3_event_headers_has_more_frames(quiche_h3_event *ev) { return ev != NULL && ev->more; }

bool quiche_h3_event_headers_has_body(quiche_h3_event *ev) { return quiche_h3_event_headers_has_more_frames(ev); }

int quiche_h3_event_for_each_header(quiche_h3_event *ev, int (*cb)(uint8_t *name, size_t name_len, uint8_t *value, size_t value_len, void *argp),
                                    void *argp) {
  for (size_t i = 0; ev != NULL && cb != NULL && i < ev->count; i++) {
    const quiche_h3_header *f = &ev->fields[i];
    int result = cb((uint8_t *)f->name, f->name_len, (uint8_t *)f->value, f->value_len, argp);
    if (result != 0) {
      return result;
    }
  }
  return 0;
}

void quiche_h3_event_free(quiche_h3_event *ev) { free(ev); }

// Messages.

// held is BQ_HELD for fields.
static int held(const quiche_h3_header *headers, size_t headers_len) {
  BQ_HELD(FORBIDDEN, headers, headers_len);
  for (const quiche_h3_header *field = headers; field < headers + headers_len; field++) {
    BQ_HELD(FORBIDDEN, field->name, field->name_len);
    BQ_HELD(FORBIDDEN, field->value, field->value_len);
  }
  return 0;
}

// CALL_WITH is BQ_H3_CALL for what takes fields.
#define CALL_WITH(headers, headers_len, good, call) \
  do {                                              \
    if (held((headers), (headers_len))) {           \
      return FORBIDDEN;                             \
    }                                               \
    BQ_H3_CALL(good, call);                               \
  } while (0)

int64_t quiche_h3_send_request(quiche_h3_conn *conn, quiche_conn *quic_conn, const quiche_h3_header *headers, size_t headers_len, bool fin) {
  CALL_WITH(headers, headers_len, conn && quic_conn, bq_go_quiche_h3_request(conn->handle, (quiche_h3_header *)headers, headers_len, fin));
}

int quiche_h3_send_response(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t stream_id, const quiche_h3_header *headers, size_t headers_len, bool fin) {
  return quiche_h3_send_response_with_priority(conn, quic_conn, stream_id, headers, headers_len, NULL, fin);
}

int quiche_h3_send_response_with_priority(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t stream_id, const quiche_h3_header *headers,
                                          size_t headers_len, quiche_h3_priority *priority, bool fin) {
  CALL_WITH(headers, headers_len, conn && quic_conn,
            (int)bq_go_quiche_h3_response(conn->handle, stream_id, (quiche_h3_header *)headers, headers_len, priority, fin));
}

int quiche_h3_send_additional_headers(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t stream_id, quiche_h3_header *headers, size_t headers_len,
                                      bool is_trailer_section, bool fin) {
  if (!is_trailer_section) {
    return quiche_h3_send_response(conn, quic_conn, stream_id, headers, headers_len, fin);
  }
  CALL_WITH(headers, headers_len, conn && quic_conn, (int)bq_go_quiche_h3_trailers(conn->handle, stream_id, headers, headers_len));
}

ssize_t quiche_h3_send_body(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t stream_id, const uint8_t *body, size_t body_len, bool fin) {
  BQ_HELD(FORBIDDEN, body, body_len);
  BQ_H3_CALL(conn && quic_conn, bq_go_quiche_h3_send_body(conn->handle, stream_id, (uint8_t *)body, body_len, fin));
}

ssize_t quiche_h3_recv_body(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t stream_id, uint8_t *out, size_t out_len) {
  BQ_HELD(FORBIDDEN, out, out_len);
  BQ_H3_CALL(conn && quic_conn, bq_go_quiche_h3_recv_body(conn->handle, stream_id, out, out_len));
}

int quiche_h3_send_goaway(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t id) {
  (void)id;
  BQ_H3_CALL(conn && quic_conn, (int)bq_go_quiche_h3_goaway(conn->handle));
}

// Settings.

int quiche_h3_for_each_setting(quiche_h3_conn *conn, int (*cb)(uint64_t identifier, uint64_t value, void *argp), void *argp) {
  if (!BQ_MAY(conn) || !BQ_MAY(cb)) {
    return FORBIDDEN;
  }
  uint64_t *pairs = NULL;
  int64_t n = bq_go_quiche_h3_settings(conn->handle, &pairs);
  int result = n < 0 ? (int)n : 0;
  for (int64_t i = 0; i < n && result == 0; i++) {
    result = cb(pairs[2 * i], pairs[2 * i + 1], argp);
  }
  free(pairs);
  return result;
}

bool quiche_h3_extended_connect_enabled_by_peer(quiche_h3_conn *conn) { return BQ_MAY(conn) && bq_go_quiche_h3_peer(conn->handle, false) > 0; }

bool quiche_h3_dgram_enabled_by_peer(quiche_h3_conn *conn, quiche_conn *quic_conn) {
  (void)quic_conn;
  return BQ_MAY(conn) && bq_go_quiche_h3_peer(conn->handle, true) > 0;
}

// Priorities.

int quiche_h3_parse_extensible_priority(uint8_t *priority, size_t priority_len, quiche_h3_priority *parsed) {
  BQ_HELD(FORBIDDEN, priority, priority_len);
  BQ_H3_CALL(parsed, bq_go_quiche_h3_parse_priority(priority, priority_len, parsed));
}

int quiche_h3_send_priority_update_for_request(quiche_h3_conn *conn, quiche_conn *quic_conn, uint64_t stream_id, quiche_h3_priority *priority) {
  BQ_H3_CALL(conn && quic_conn && priority, (int)bq_go_quiche_h3_update_priority(conn->handle, stream_id, priority));
}

int quiche_h3_take_last_priority_update(quiche_h3_conn *conn, uint64_t prioritized_element_id,
                                        int (*cb)(uint8_t *priority_field_value, uint64_t priority_field_value_len, void *argp), void *argp) {
  if (!BQ_MAY(conn) || !BQ_MAY(cb)) {
    return FORBIDDEN;
  }
  uint8_t text[32];
  int64_t n = bq_go_quiche_h3_take_priority(conn->handle, prioritized_element_id, text, sizeof text);
  return n < 0 ? (int)n : cb(text, (uint64_t)n, argp);
}

void quiche_h3_conn_stats(const quiche_h3_conn *conn, quiche_h3_stats *out) {
  if (out == NULL) {
    return;
  }
  memset(out, 0, sizeof *out);
  if (conn != NULL && !bq_enter()) {
    bq_go_quiche_h3_stats(conn->handle, out);
  }
}
