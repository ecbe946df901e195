// quiche.h: paths and connection IDs.
#include <string.h>

#include "_cgo_export.h"
#include "quiche_internal.h"

int quiche_conn_path_stats(const quiche_conn *conn, size_t idx, quiche_path_stats *out) {
  BQ_CALL(conn && out, (int)bq_go_quiche_path_stats(conn->handle, idx, out));
}

// Connection IDs.

quiche_connection_id_iter *quiche_conn_source_ids(quiche_conn *conn) {
  return !BQ_MAY(conn) ? NULL : bq_go_quiche_source_ids(conn->handle, false);
}

quiche_connection_id_iter *quiche_conn_retired_scid_iter(quiche_conn *conn) {
  return !BQ_MAY(conn) ? NULL : bq_go_quiche_source_ids(conn->handle, true);
}

bool quiche_connection_id_iter_next(quiche_connection_id_iter *iter, const uint8_t **out, size_t *out_len) {
  if (iter == NULL || out == NULL || out_len == NULL || iter->at == iter->count) {
    return false;
  }
  *out = iter->ids[iter->at].id;
  *out_len = iter->ids[iter->at++].len;
  return true;
}

void quiche_connection_id_iter_free(quiche_connection_id_iter *iter) { free(iter); }

bool quiche_conn_retired_scid_next(quiche_conn *conn, const uint8_t **out, size_t *out_len) {
  if (!BQ_MAY(out) || !BQ_MAY(out_len) || !BQ_MAY(conn)) {
    return false;
  }
  int64_t n = bq_go_quiche_retired_next(conn->handle);
  if (n < 0) {
    return false;
  }
  *out = conn->retired;
  *out_len = (size_t)n;
  return true;
}

static size_t count(const quiche_conn *conn, int what) {
  int64_t n = !BQ_MAY(conn) ? 0 : bq_go_quiche_ids(conn->handle, what);
  return n < 0 ? 0 : (size_t)n;
}

size_t quiche_conn_retired_scids(const quiche_conn *conn) { return count(conn, BQ_IDS_RETIRED); }
size_t quiche_conn_available_dcids(const quiche_conn *conn) { return count(conn, BQ_IDS_SPARE); }
size_t quiche_conn_scids_left(quiche_conn *conn) { return count(conn, BQ_IDS_LEFT); }
size_t quiche_conn_active_scids(quiche_conn *conn) { return count(conn, BQ_IDS_ACTIVE); }

int quiche_conn_new_scid(quiche_conn *conn, const uint8_t *scid, size_t scid_len, const uint8_t *reset_token, bool retire_if_needed, uint64_t *scid_seq) {
  BQ_HELD(QUICHE_ERR_INVALID_STATE, scid, scid_len);
  BQ_CALL(conn && scid && reset_token && scid_seq,
       (int)bq_go_quiche_new_scid(conn->handle, (uint8_t *)scid, scid_len, (uint8_t *)reset_token, retire_if_needed, scid_seq));
}

int quiche_conn_retire_dcid(quiche_conn *conn, uint64_t dcid_seq) { BQ_CALL(conn, (int)bq_go_quiche_retire_dcid(conn->handle, dcid_seq)); }

// Paths. The sequence number of the connection ID of a path is not told.

static int move(quiche_conn *conn, bool migrate, const struct sockaddr *local, socklen_t local_len, const struct sockaddr *peer, socklen_t peer_len,
                uint64_t *seq) {
  if (seq != NULL) {
    *seq = 0;
  }
  BQ_CALL(conn && local, (int)bq_go_quiche_migrate(conn->handle, migrate, (struct sockaddr *)local, local_len, (struct sockaddr *)peer, peer_len));
}

int quiche_conn_probe_path(quiche_conn *conn, const struct sockaddr *local, socklen_t local_len, const struct sockaddr *peer, socklen_t peer_len,
                           uint64_t *seq) {
  return move(conn, false, local, local_len, peer, peer_len, seq);
}

int quiche_conn_migrate_source(quiche_conn *conn, const struct sockaddr *local, socklen_t local_len, uint64_t *seq) {
  return move(conn, true, local, local_len, NULL, 0, seq);
}

int quiche_conn_migrate(quiche_conn *conn, const struct sockaddr *local, socklen_t local_len, const struct sockaddr *peer, socklen_t peer_len,
                        uint64_t *seq) {
  return move(conn, true, local, local_len, peer, peer_len, seq);
}

int quiche_conn_is_path_validated(const quiche_conn *conn, const struct sockaddr *from, size_t from_len, const struct sockaddr *to, size_t to_len) {
  BQ_CALL(conn && from && to,
       (int)bq_go_quiche_path_validated(conn->handle, (struct sockaddr *)from, (socklen_t)from_len, (struct sockaddr *)to, (socklen_t)to_len));
}

quiche_socket_addr_iter *quiche_conn_paths_iter(quiche_conn *conn, const struct sockaddr *from, size_t from_len) {
  return !BQ_MAY(from) || !BQ_MAY(conn) ? NULL : bq_go_quiche_paths(conn->handle, (struct sockaddr *)from, (socklen_t)from_len);
}

bool quiche_socket_addr_iter_next(quiche_socket_addr_iter *iter, struct sockaddr_storage *peer, size_t *peer_len) {
  if (iter == NULL || peer == NULL || peer_len == NULL || iter->at == iter->count) {
    return false;
  }
  *peer = iter->addrs[iter->at].addr;
  *peer_len = iter->addrs[iter->at++].len;
  return true;
}

void quiche_socket_addr_iter_free(quiche_socket_addr_iter *iter) { free(iter); }

// Events of paths.

quiche_path_event *quiche_conn_path_event_next(quiche_conn *conn) {
  quiche_path_event *ev = !BQ_MAY(conn) ? NULL : calloc(1, sizeof *ev);
  if (ev != NULL && bq_go_quiche_path_event(conn->handle, ev) <= 0) {
    free(ev);
    return NULL;
  }
  return ev;
}

enum quiche_path_event_type quiche_path_event_type(const quiche_path_event *ev) { return ev == NULL ? QUICHE_PATH_EVENT_CLOSED : ev->type; }

static void addresses(const quiche_path_event *ev, enum quiche_path_event_type type, struct sockaddr_storage *local, socklen_t *local_len,
                      struct sockaddr_storage *peer, socklen_t *peer_len) {
  bool right = ev != NULL && ev->type == type;
  if (local_len != NULL) {
    *local_len = right ? ev->local_len : 0;
  }
  if (peer_len != NULL) {
    *peer_len = right ? ev->peer_len : 0;
  }
  if (right && local != NULL) {
    *local = ev->local;
  }
  if (right && peer != NULL) {
    *peer = ev->peer;
  }
}

#define EVENT(name, type)                                                                                                              \
  void quiche_path_event_##name(const quiche_path_event *ev, struct sockaddr_storage *local, socklen_t *local_len, struct sockaddr_storage *peer, \
                                socklen_t *peer_len) {                                                                                 \
    addresses(ev, type, local, local_len, peer, peer_len);                                                                             \
  }

EVENT(new, QUICHE_PATH_EVENT_NEW)
EVENT(validated, QUICHE_PATH_EVENT_VALIDATED)
EVENT(failed_validation, QUICHE_PATH_EVENT_FAILED_VALIDATION)
EVENT(closed, QUICHE_PATH_EVENT_CLOSED)
EVENT(peer_migrated, QUICHE_PATH_EVENT_PEER_MIGRATED)

void quiche_path_event_reused_source_connection_id(const quiche_path_event *ev, uint64_t *id, struct sockaddr_storage *old_local, socklen_t *old_local_len,
                                                   struct sockaddr_storage *old_peer, socklen_t *old_peer_len, struct sockaddr_storage *local,
                                                   socklen_t *local_len, struct sockaddr_storage *peer, socklen_t *peer_len) {
  const enum quiche_path_event_type type = QUICHE_PATH_EVENT_REUSED_SOURCE_CONNECTION_ID;
  quiche_path_event old = {.type = QUICHE_PATH_EVENT_CLOSED};
  if (ev != NULL && ev->type == type) {
    old = (quiche_path_event){.type = type, .local = ev->old_local, .local_len = ev->old_local_len, .peer = ev->old_peer, .peer_len = ev->old_peer_len};
  }
  if (id != NULL) {
    *id = old.type == type ? ev->seq : 0;
  }
  addresses(&old, type, old_local, old_local_len, old_peer, old_peer_len);
  addresses(ev, type, local, local_len, peer, peer_len);
}

void quiche_path_event_pmtu_updated(const quiche_path_event *ev, struct sockaddr_storage *local, socklen_t *local_len, struct sockaddr_storage *peer,
                                    socklen_t *peer_len, size_t *pmtu) {
  addresses(ev, QUICHE_PATH_EVENT_PMTU_UPDATED, local, local_len, peer, peer_len);
  if (pmtu != NULL) {
    *pmtu = ev != NULL && ev->type == QUICHE_PATH_EVENT_PMTU_UPDATED ? ev->pmtu : 0;
  }
}

void quiche_path_event_free(quiche_path_event *ev) { free(ev); }
