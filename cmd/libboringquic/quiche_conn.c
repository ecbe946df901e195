// quiche.h: connections. Getters read what Go has left in the struct; what does something is a call of Go.
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "_cgo_export.h"
#include "quiche_internal.h"

// busy notes that a function was called from a callback.
static int busy(void) {
  bq_fail(BQUIC_ERR_BUSY, "another call is within the quiche_conn, of another thread or from a callback");
  return QUICHE_ERR_INVALID_STATE;
}

// Memory that a connection works with only while it has something to do. In between it is its thread's, for the next one: of many connections on a thread few
// are at work at a time.

static _Thread_local void *spares[BQ_SPARES];
static pthread_key_t spares_key;
static bool spares_end; // with their thread

static void free_spares(void *of) {
  for (int kind = 0; kind < BQ_SPARES; kind++) {
    free(((void **)of)[kind]);
    ((void **)of)[kind] = NULL;
  }
}

static void make_spares(void) { spares_end = pthread_key_create(&spares_key, free_spares) == 0; }

void *bq_spare(int kind) {
  void *spare = spares[kind];
  spares[kind] = NULL;
  return spare != NULL ? spare : malloc(kind == BQ_SPARE_AHEAD ? sizeof(bq_ahead) : BQ_TRAIN);
}

static void give_back(int kind, void *memory) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_spares);
  if (memory == NULL || spares[kind] != NULL || !spares_end || pthread_setspecific(spares_key, spares) != 0) {
    free(memory);
  } else {
    spares[kind] = memory;
  }
}

// Making and freeing.

void bq_quiche_free_conn(quiche_conn *conn) {
  free(conn->train);
  free(conn->in);
  free(conn->ahead);
  free(conn->alpn.data);
  free(conn->name.data);
  free(conn->cert.data);
  free(conn->session.data);
  free(conn->reason.data);
  free(conn);
}

// buried is the key of the connection that each thread has buried, which is freed with the thread at the latest. Without a key it stays.
static pthread_key_t buried;
static bool buries;

static void free_buried(void *conn) { bq_quiche_free_conn(conn); }

static void make_buried(void) { buries = pthread_key_create(&buried, free_buried) == 0; }

void bq_quiche_bury_conn(quiche_conn *conn) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_buried);
  quiche_conn *before = buries ? pthread_getspecific(buried) : NULL;
  if (buries && pthread_setspecific(buried, conn) == 0 && before != NULL) {
    bq_quiche_free_conn(before);
  }
}

static quiche_conn *begin(bool server, const char *name, const uint8_t *scid, size_t scid_len, const uint8_t *other, size_t other_len,
                          const struct sockaddr *local, socklen_t local_len, const struct sockaddr *peer, socklen_t peer_len, const quiche_config *config,
                          void *ssl) {
  bool taken = false;
  quiche_conn *conn = NULL;
  if (other == NULL) {
    other_len = 0;
  }
  if (peer == NULL || config == NULL) {
    bq_null(config == NULL ? "the quiche_config" : "the peer's address");
  } else if (!bq_memory(scid, scid_len, "scid", "scid_len") && !bq_memory(other, other_len, "the other ID", "its length") && !bq_enter()) {
    conn = calloc(1, sizeof *conn);
  }
  if (conn == NULL || bq_go_quiche_begin(conn, &taken, server, (char *)name, (uint8_t *)scid, scid_len, (uint8_t *)other, other_len, (struct sockaddr *)local, local_len,
                         (struct sockaddr *)peer, peer_len, BQ_HANDLE(config), (uintptr_t)ssl)) {
    free(conn);
    if (ssl != NULL && !taken) {
      bq_quiche_free_ssl(ssl);
    }
    return NULL;
  }
  conn->ssl = ssl;
  return conn;
}

quiche_conn *quiche_accept(const uint8_t *scid, size_t scid_len, const uint8_t *odcid, size_t odcid_len, const struct sockaddr *local, socklen_t local_len,
                           const struct sockaddr *peer, socklen_t peer_len, quiche_config *config) {
  return begin(true, NULL, scid, scid_len, odcid, odcid_len, local, local_len, peer, peer_len, config, NULL);
}

quiche_conn *quiche_connect(const char *server_name, const uint8_t *scid, size_t scid_len, const struct sockaddr *local, socklen_t local_len,
                            const struct sockaddr *peer, socklen_t peer_len, quiche_config *config) {
  return begin(false, server_name, scid, scid_len, NULL, 0, local, local_len, peer, peer_len, config, NULL);
}

// with_tls is begin for an SSL of the program's, which stays the program's if it cannot be taken.
static quiche_conn *with_tls(bool server, const uint8_t *scid, size_t scid_len, const uint8_t *other, size_t other_len, const struct sockaddr *local,
                             socklen_t local_len, const struct sockaddr *peer, socklen_t peer_len, const quiche_config *config, void *ssl) {
  if (ssl == NULL) {
    bq_null("the SSL");
    return NULL;
  }
  if (bq_enter() || bq_takes_ssl(ssl)) {
    return NULL;
  }
  return begin(server, NULL, scid, scid_len, other, other_len, local, local_len, peer, peer_len, config, ssl);
}

quiche_conn *quiche_conn_new_with_tls(const uint8_t *scid, size_t scid_len, const uint8_t *odcid, size_t odcid_len, const struct sockaddr *local,
                                      socklen_t local_len, const struct sockaddr *peer, socklen_t peer_len, const quiche_config *config, void *ssl,
                                      bool is_server) {
  return with_tls(is_server, scid, scid_len, is_server ? odcid : NULL, odcid_len, local, local_len, peer, peer_len, config, ssl);
}

quiche_conn *quiche_conn_new_with_tls_and_client_dcid(const uint8_t *scid, size_t scid_len, const uint8_t *dcid, size_t dcid_len,
                                                      const struct sockaddr *local, socklen_t local_len, const struct sockaddr *peer, socklen_t peer_len,
                                                      const quiche_config *config, void *ssl) {
  return with_tls(false, scid, scid_len, dcid, dcid_len, local, local_len, peer, peer_len, config, ssl);
}

void quiche_conn_free(quiche_conn *conn) {
  if (conn != NULL && !bq_enter()) {
    bq_go_quiche_free(conn->handle);
  }
}

// Datagrams in and out.

const quiche_conn *bq_quiche_fresh(const quiche_conn *conn) {
  if (conn != NULL && conn->stale && !conn->busy && !bq_enter()) {
    bq_go_quiche_settle(conn->handle);
  }
  return conn;
}

static bool same(const struct sockaddr *a, socklen_t a_len, const struct sockaddr_storage *b, socklen_t b_len) {
  return a != NULL && a_len == b_len && b_len > 0 && memcmp(a, b, a_len) == 0;
}

// usual tells whether a datagram is for the connection ID that the peer uses. Any other may be a stateless reset, of which the caller is told at once.
static bool usual(const quiche_conn *conn, const uint8_t *buf, size_t n) {
  return n > conn->source_len && memcmp(buf + 1, conn->source, conn->source_len) == 0;
}

// gather keeps a datagram for the next call of Go if it is one of those that may wait: a train is cheaper than its datagrams one by one. A train has
// datagrams of one size, but for the last one.
static bool gather(quiche_conn *conn, const uint8_t *buf, size_t n, const quiche_recv_info *info) {
  if (!conn->gathers || n > BQ_TRAIN / 2 || !usual(conn, buf, n) || !same(info->from, info->from_len, &conn->in_from, conn->in_from_len) ||
      !same(info->to, info->to_len, &conn->in_to, conn->in_to_len)) {
    return false;
  }
  if (conn->in_len > 0 && (n > conn->in_seg || conn->in_len % conn->in_seg != 0 || conn->in_len + n > BQ_TRAIN - 1)) {
    bq_quiche_fresh(conn);
    if (!conn->gathers || conn->in_len > 0) {
      return false;
    }
  }
  if (conn->in == NULL && (conn->in = bq_spare(BQ_SPARE_IN)) == NULL) {
    return false;
  }
  if (conn->in_len == 0) {
    conn->in_seg = (uint32_t)n;
  }
  memcpy(conn->in + conn->in_len, buf, n);
  conn->in_len += (uint32_t)n;
  conn->stale = true;
  return true;
}

// rests gives memory back that a connection does not need while it waits.
static void rests(quiche_conn *conn) {
  if (!conn->owed) {
    give_back(BQ_SPARE_AHEAD, conn->ahead);
    conn->ahead = NULL;
  }
  if (conn->in_len == 0) {
    give_back(BQ_SPARE_IN, conn->in);
    conn->in = NULL;
  }
  if (conn->train_at == conn->train_end) {
    give_back(BQ_SPARE_TRAIN, conn->train);
    conn->train = NULL;
  }
}

// keep notes an address that Go has found good.
static void keep(struct sockaddr_storage *to, socklen_t *to_len, const struct sockaddr *from, socklen_t from_len) {
  *to_len = 0;
  if (from != NULL && from_len <= sizeof *to) {
    memcpy(to, from, from_len);
    *to_len = from_len;
  }
}

enum { LATE = 100000000 }; // ns, after which whoever has a timer was not there

// overdue returns for how long quiche_conn_on_timeout has been wanted, in ns.
static uint64_t overdue(const quiche_conn *conn) {
  uint64_t now = bquic_now();
  return conn->closed || conn->timeout >= now ? 0 : now - conn->timeout;
}

ssize_t quiche_conn_recv(quiche_conn *conn, uint8_t *buf, size_t buf_len, const quiche_recv_info *info) {
  if (conn == NULL || buf == NULL || info == NULL) {
    return bq_null(conn == NULL ? "the quiche_conn" : buf == NULL ? "the buffer" : "the quiche_recv_info");
  }
  if (buf_len == 0) {
    bq_fail(BQUIC_ERR_ARGUMENT, "buf_len is 0, and a datagram has something in it");
    return QUICHE_ERR_BUFFER_TOO_SHORT;
  }
  if (info->from == NULL) {
    return bq_null("the address that the datagram came from");
  }
  BQ_HELD(QUICHE_ERR_INVALID_STATE, buf, buf_len);
  if (bq_enter()) {
    return QUICHE_ERR_INVALID_STATE;
  }
  if (conn->busy) {
    return busy();
  }
  conn->begun = true;
  conn->due = 0;
  // Of two ends that have timed out the peer knows nothing any more, whatever came from it before that. curl, which then has a request to send, makes
  // another connection if that fails, and not if this does.
  if (conn->in_len == 0 && overdue(conn) > LATE && overdue(bq_quiche_fresh(conn)) > LATE) {
    quiche_conn_on_timeout(conn);
  }
  if (gather(conn, buf, buf_len, info)) {
    return (ssize_t)buf_len;
  }
  ssize_t n = bq_go_quiche_recv(conn->handle, buf, buf_len, (quiche_recv_info *)info);
  conn->in_from_len = conn->in_to_len = 0;
  if (n >= 0) {
    keep(&conn->in_from, &conn->in_from_len, info->from, info->from_len);
    keep(&conn->in_to, &conn->in_to_len, info->to, info->to_len);
  }
  return n;
}

// waits tells whether there are datagrams of a train to be handed out.
static bool waits(const quiche_conn *conn) { return conn->train_at < conn->train_end; }

// next_of_train hands out a datagram that waits.
static ssize_t next_of_train(quiche_conn *conn, uint8_t *out, size_t out_len, quiche_send_info *info) {
  size_t n = conn->train_end - conn->train_at;
  if (n > conn->train_seg) {
    n = conn->train_seg;
  }
  if (out_len < n) {
    bq_fail(BQUIC_ERR_ARGUMENT, "out_len is %zu, and the datagram that waits has %zu bytes", out_len, n);
    return QUICHE_ERR_BUFFER_TOO_SHORT;
  }
  memcpy(out, conn->train + conn->train_at, n);
  *info = conn->train_info;
  conn->train_at += (uint32_t)n;
  return (ssize_t)n;
}

// whole tells whether an address, which may be left out, is a sockaddr_in or a sockaddr_in6.
static bool whole(const struct sockaddr *a, socklen_t len) {
  return a == NULL || (len >= sizeof(struct sockaddr_in) && (a->sa_family == AF_INET || (a->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6))));
}

// names tells whether an address, which is whole, is that of a train.
static bool names(const struct sockaddr *asked, const struct sockaddr_storage *of) {
  if (asked == NULL) {
    return true;
  }
  if (asked->sa_family != of->ss_family) {
    return false;
  }
  if (asked->sa_family == AF_INET) {
    const struct sockaddr_in *a = (const void *)asked, *b = (const void *)of;
    return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
  }
  const struct sockaddr_in6 *a = (const void *)asked, *b = (const void *)of;
  return a->sin6_port == b->sin6_port && a->sin6_scope_id == b->sin6_scope_id && memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0;
}

static ssize_t send_on(quiche_conn *conn, uint8_t *out, size_t out_len, const struct sockaddr *from, socklen_t from_len, const struct sockaddr *to,
                       socklen_t to_len, quiche_send_info *out_info) {
  if (conn == NULL || out == NULL || out_info == NULL) {
    return bq_null(conn == NULL ? "the quiche_conn" : out == NULL ? "the buffer" : "the quiche_send_info");
  }
  if (out_len == 0) {
    bq_fail(BQUIC_ERR_ARGUMENT, "out_len is 0, and a datagram has something in it");
    return QUICHE_ERR_BUFFER_TOO_SHORT;
  }
  BQ_HELD(QUICHE_ERR_INVALID_STATE, out, out_len);
  if (bq_enter()) {
    return QUICHE_ERR_INVALID_STATE;
  }
  if (conn->busy) {
    return busy();
  }
  if (conn->in_len > 0) {
    bq_quiche_fresh(conn); // it may end the connection
  }
  if (!whole(from, from_len) || !whole(to, to_len)) {
    bq_fail(BQUIC_ERR_ARGUMENT, "an address is neither a sockaddr_in nor a sockaddr_in6");
    return QUICHE_ERR_INVALID_STATE;
  }
  conn->asked = false;
  if (waits(conn)) {
    if (!names(from, &conn->train_info.from) || !names(to, &conn->train_info.to)) {
      return QUICHE_ERR_DONE; // what waits has to leave first
    }
    return next_of_train(conn, out, out_len, out_info);
  }
  if (conn->closed || out_len < QUICHE_MIN_CLIENT_INITIAL_LEN) {
    return QUICHE_ERR_DONE;
  }
  conn->begun = true;
  bool staged = out_len >= conn->cap && (conn->train != NULL || (conn->train = bq_spare(BQ_SPARE_TRAIN)) != NULL);
  ssize_t n = bq_go_quiche_send(conn->handle, out, out_len, out_info, (struct sockaddr *)from, from_len, (struct sockaddr *)to, to_len);
  if (n <= 0) {
    rests(conn); // as a rule its turn is over
    return n;
  }
  return staged ? next_of_train(conn, out, out_len, out_info) : n;
}

ssize_t quiche_conn_send(quiche_conn *conn, uint8_t *out, size_t out_len, quiche_send_info *out_info) {
  return send_on(conn, out, out_len, NULL, 0, NULL, 0, out_info);
}

ssize_t quiche_conn_send_on_path(quiche_conn *conn, uint8_t *out, size_t out_len, const struct sockaddr *from, socklen_t from_len, const struct sockaddr *to,
                                 socklen_t to_len, quiche_send_info *out_info) {
  return send_on(conn, out, out_len, from, from_len, to, to_len, out_info);
}

ssize_t quiche_conn_send_ack_eliciting(quiche_conn *conn) { BQ_CALL(conn, bq_go_quiche_ping(conn->handle, NULL, 0, NULL, 0)); }

ssize_t quiche_conn_send_ack_eliciting_on_path(quiche_conn *conn, const struct sockaddr *local, socklen_t local_len, const struct sockaddr *peer,
                                               socklen_t peer_len) {
  BQ_CALL(conn, bq_go_quiche_ping(conn->handle, (struct sockaddr *)local, local_len, (struct sockaddr *)peer, peer_len));
}

enum { LONG = 1000000000 }; // ns: nothing is on its way then, as a rule

static uint64_t time_left(const quiche_conn *conn) {
  bq_quiche_fresh(conn);
  if (conn == NULL) {
    return UINT64_MAX;
  }
  uint64_t now = bquic_now(), left = conn->timeout == UINT64_MAX || conn->closed ? UINT64_MAX : conn->timeout > now ? conn->timeout - now : 0;
  if (left > LONG && !conn->busy) {
    rests((quiche_conn *)conn); // whoever asks is about to wait
  }
  return left;
}

// 0 is now, and curl, which asks before it sends, calls quiche_conn_on_timeout for nothing else. But quiche's examples set a timer of libev to what they are
// told here, after they have sent, and 0 stops such a timer for good. So who asks first after quiche_conn_send is told of the shortest wait; but once, until
// quiche_conn_recv, since somebody may send and ask by turns.
uint64_t quiche_conn_timeout_as_nanos(const quiche_conn *conn) {
  uint64_t left = time_left(conn);
  if (conn == NULL || conn->asked) {
    return left;
  }
  quiche_conn *c = (quiche_conn *)conn;
  c->asked = true;
  if (left == 0 && conn->due != conn->timeout) {
    c->due = conn->timeout;
    return 1;
  }
  return left;
}

// Rounded up, so that who waits as long does not come too early, again and again.
uint64_t quiche_conn_timeout_as_millis(const quiche_conn *conn) {
  uint64_t left = time_left(conn);
  return left == UINT64_MAX ? left : (left + 999999) / 1000000;
}

void quiche_conn_on_timeout(quiche_conn *conn) {
  if (BQ_MAY(conn)) {
    bq_go_quiche_timeout(conn->handle);
  }
}

enum { MAX_REASON = 256 }; // bytes: the core sends no more of a reason

int quiche_conn_close(quiche_conn *conn, bool app, uint64_t err, const uint8_t *reason, size_t reason_len) {
  if (reason == NULL) {
    reason_len = 0;
  }
  BQ_HELD(QUICHE_ERR_INVALID_STATE, reason, reason_len);
  BQ_CALL(conn, (int)bq_go_quiche_close(conn->handle, app, err, (uint8_t *)reason, reason_len < MAX_REASON ? reason_len : MAX_REASON));
}

int quiche_conn_set_session(quiche_conn *conn, const uint8_t *buf, size_t buf_len) {
  BQ_HELD(QUICHE_ERR_INVALID_STATE, buf, buf_len);
  BQ_CALL(conn, buf == NULL ? bq_null("the session") : conn->ssl ? bq_quiche_set_session(conn, buf, buf_len) : (int)bq_go_quiche_set_session(conn->handle, (uint8_t *)buf, buf_len));
}

int quiche_conn_set_max_idle_timeout(quiche_conn *conn, uint64_t v) { BQ_CALL(conn, (int)bq_go_quiche_idle_timeout(conn->handle, v)); }

bool quiche_conn_set_keylog_path(quiche_conn *conn, const char *path) {
  return BQ_MAY(path) && BQ_MAY(conn) && bq_go_quiche_keylog(conn->handle, (char *)path, -1) > 0;
}

void quiche_conn_set_keylog_fd(quiche_conn *conn, int fd) {
  if (BQ_MAY(conn)) {
    bq_go_quiche_keylog(conn->handle, NULL, fd);
  } else {
    close(fd);
  }
}

bool quiche_conn_set_qlog_path(quiche_conn *conn, const char *path, const char *log_title, const char *log_desc) {
  return BQ_MAY(path) && BQ_MAY(conn) && bq_go_quiche_qlog(conn->handle, -1, (char *)path, (char *)log_title, (char *)log_desc) > 0;
}

void quiche_conn_set_qlog_fd(quiche_conn *conn, int fd, const char *log_title, const char *log_desc) {
  if (BQ_MAY(conn)) {
    bq_go_quiche_qlog(conn->handle, fd, NULL, (char *)log_title, (char *)log_desc);
  } else {
    close(fd);
  }
}

// Streams.

ssize_t quiche_conn_stream_recv(quiche_conn *conn, uint64_t stream_id, uint8_t *out, size_t buf_len, bool *fin, uint64_t *out_error_code) {
  BQ_HELD(QUICHE_ERR_INVALID_STATE, out, buf_len);
  if (fin == NULL || out_error_code == NULL) {
    return bq_null("an argument of quiche_conn_stream_recv");
  }
  ssize_t got;
  if (conn != NULL && !bq_enter() && bq_ahead_recv(conn, stream_id, out, buf_len, fin, &got)) {
    return got;
  }
  BQ_CALL(conn, bq_go_quiche_stream_recv(conn->handle, stream_id, out, buf_len, fin, out_error_code));
}

ssize_t quiche_conn_stream_send(quiche_conn *conn, uint64_t stream_id, const uint8_t *buf, size_t buf_len, bool fin, uint64_t *out_error_code) {
  BQ_HELD(QUICHE_ERR_INVALID_STATE, buf, buf_len);
  if (out_error_code == NULL) {
    return bq_null("an argument of quiche_conn_stream_send");
  }
  if (conn != NULL && !bq_enter() && bq_ahead_send(conn, stream_id, buf, buf_len, fin)) {
    return (ssize_t)buf_len;
  }
  BQ_CALL(conn, bq_go_quiche_stream_send(conn->handle, stream_id, (uint8_t *)buf, buf_len, fin, out_error_code));
}

int quiche_conn_stream_priority(quiche_conn *conn, uint64_t stream_id, uint8_t urgency, bool incremental) {
  BQ_CALL(conn, (int)bq_go_quiche_stream_priority(conn->handle, stream_id, urgency, incremental));
}

int quiche_conn_stream_shutdown(quiche_conn *conn, uint64_t stream_id, enum quiche_shutdown direction, uint64_t err) {
  BQ_CALL(conn, (int)bq_go_quiche_stream_shutdown(conn->handle, stream_id, (int)direction, err));
}

ssize_t quiche_conn_stream_capacity(quiche_conn *conn, uint64_t stream_id) { BQ_CALL(conn, bq_go_quiche_stream_capacity(conn->handle, stream_id)); }

int quiche_conn_stream_writable(quiche_conn *conn, uint64_t stream_id, size_t len) {
  BQ_CALL(conn, (int)bq_go_quiche_stream_writable(conn->handle, stream_id, len));
}

int64_t quiche_conn_stream_readable_next(quiche_conn *conn) {
  if (!BQ_MAY(conn)) {
    return -1;
  }
  int64_t id = bq_go_quiche_next(conn->handle, false);
  return id < 0 ? -1 : id;
}

int64_t quiche_conn_stream_writable_next(quiche_conn *conn) {
  if (!BQ_MAY(conn)) {
    return -1;
  }
  int64_t id = bq_go_quiche_next(conn->handle, true);
  return id < 0 ? -1 : id;
}

bool quiche_conn_stream_readable(const quiche_conn *conn, uint64_t stream_id) {
  return BQ_MAY(conn) && bq_go_quiche_stream_state(conn->handle, stream_id, false) > 0;
}

bool quiche_conn_stream_finished(const quiche_conn *conn, uint64_t stream_id) {
  return !BQ_MAY(conn) || bq_go_quiche_stream_state(conn->handle, stream_id, true) > 0;
}

bool quiche_conn_is_readable(const quiche_conn *conn) { return BQ_MAY(conn) && bq_go_quiche_is_readable(conn->handle) > 0; }

quiche_stream_iter *quiche_conn_readable(const quiche_conn *conn) {
  return !BQ_MAY(conn) ? NULL : bq_go_quiche_streams(conn->handle, false);
}

quiche_stream_iter *quiche_conn_writable(const quiche_conn *conn) {
  return !BQ_MAY(conn) ? NULL : bq_go_quiche_streams(conn->handle, true);
}

bool quiche_stream_iter_next(quiche_stream_iter *iter, uint64_t *stream_id) {
  if (iter == NULL || stream_id == NULL || iter->at == iter->count) {
    return false;
  }
  *stream_id = iter->ids[iter->at++];
  return true;
}

void quiche_stream_iter_free(quiche_stream_iter *iter) { free(iter); }

// Datagrams of RFC 9221.

#define DATAGRAMS(name, type, what) \
  type quiche_conn_##name(const quiche_conn *conn) { BQ_CALL(conn, (type)bq_go_quiche_dgram(conn->handle, what)); }

DATAGRAMS(dgram_max_writable_len, ssize_t, BQ_DGRAM_WRITABLE_LEN)
DATAGRAMS(dgram_recv_front_len, ssize_t, BQ_DGRAM_FRONT_LEN)
DATAGRAMS(dgram_recv_queue_len, ssize_t, BQ_DGRAM_RECV_LEN)
DATAGRAMS(dgram_recv_queue_byte_size, ssize_t, BQ_DGRAM_RECV_BYTES)
DATAGRAMS(dgram_send_queue_len, ssize_t, BQ_DGRAM_SEND_LEN)
DATAGRAMS(dgram_send_queue_byte_size, ssize_t, BQ_DGRAM_SEND_BYTES)

bool quiche_conn_is_dgram_send_queue_full(const quiche_conn *conn) {
  return BQ_MAY(conn) && bq_go_quiche_dgram(conn->handle, BQ_DGRAM_SEND_FULL) > 0;
}

bool quiche_conn_is_dgram_recv_queue_full(const quiche_conn *conn) {
  return BQ_MAY(conn) && bq_go_quiche_dgram(conn->handle, BQ_DGRAM_RECV_FULL) > 0;
}

ssize_t quiche_conn_dgram_recv(quiche_conn *conn, uint8_t *buf, size_t buf_len) {
  BQ_HELD(QUICHE_ERR_INVALID_STATE, buf, buf_len);
  BQ_CALL(conn, bq_go_quiche_dgram_recv(conn->handle, buf, buf_len));
}

ssize_t quiche_conn_dgram_send(quiche_conn *conn, const uint8_t *buf, size_t buf_len) {
  BQ_HELD(QUICHE_ERR_INVALID_STATE, buf, buf_len);
  BQ_CALL(conn, bq_go_quiche_dgram_send(conn->handle, (uint8_t *)buf, buf_len));
}

void quiche_conn_dgram_purge_outgoing(quiche_conn *conn, bool (*f)(uint8_t *, size_t)) {
  if (BQ_MAY(f) && BQ_MAY(conn)) {
    bq_go_quiche_dgram_purge(conn->handle, (uintptr_t)f);
  }
}

// What is known of a connection.

// arrived is bq_quiche_fresh for what calls on streams do not change, or what they keep up to date.
static const quiche_conn *arrived(const quiche_conn *conn) { return conn->in_len > 0 ? bq_quiche_fresh(conn) : conn; }

#define FIELD(name, type, look, field, missing) \
  type quiche_conn_##name(const quiche_conn *conn) { return conn == NULL ? (missing) : look(conn)->field; }

FIELD(send_quantum, size_t, arrived, quantum, 0)
FIELD(max_send_udp_payload_size, size_t, arrived, max_payload, 0)
FIELD(is_established, bool, arrived, established, false)
FIELD(is_resumed, bool, arrived, resumed, false)
FIELD(is_in_early_data, bool, arrived, early, false)
FIELD(is_closed, bool, bq_quiche_fresh, closed, true)
FIELD(is_timed_out, bool, bq_quiche_fresh, timed_out, false)
FIELD(is_server, bool, arrived, server, false)
FIELD(peer_streams_left_bidi, uint64_t, arrived, streams_left[0], 0)
FIELD(peer_streams_left_uni, uint64_t, arrived, streams_left[1], 0)

bool quiche_conn_is_draining(const quiche_conn *conn) { return conn != NULL && bq_quiche_fresh(conn)->draining && !waits(conn); }

size_t quiche_conn_send_quantum_on_path(const quiche_conn *conn, const struct sockaddr *local_addr, socklen_t local_len, const struct sockaddr *peer_addr,
                                        socklen_t peer_len) {
  if (!BQ_MAY(conn) ||
      bq_go_quiche_path_validated(conn->handle, (struct sockaddr *)local_addr, local_len, (struct sockaddr *)peer_addr, peer_len) < 0) {
    return 0;
  }
  return bq_quiche_fresh(conn)->quantum;
}

// lent stores bytes of the connection.
static void lent(const void *data, size_t len, const uint8_t **out, size_t *out_len) {
  if (out != NULL && out_len != NULL) {
    *out = data ? data : (const uint8_t *)"";
    *out_len = data ? len : 0;
  }
}

#define LENT(name, data, len) \
  void quiche_conn_##name(const quiche_conn *conn, const uint8_t **out, size_t *out_len) { \
    bq_quiche_fresh(conn);                                                                   \
    lent(conn ? (data) : NULL, conn ? (len) : 0, out, out_len);                              \
  }

LENT(trace_id, conn->trace, conn->trace_len)
LENT(source_id, conn->source, conn->source_len)
LENT(destination_id, conn->destination, conn->destination_len)
LENT(application_proto, conn->alpn.data, conn->alpn.len)
LENT(session, conn->session.data, conn->session.len)
LENT(server_name, conn->name.data, conn->name.len)

void quiche_conn_peer_cert(const quiche_conn *conn, const uint8_t **out, size_t *out_len) {
  if (BQ_MAY(conn)) {
    bq_go_quiche_cert(conn->handle);
  }
  lent(conn ? conn->cert.data : NULL, conn ? conn->cert.len : 0, out, out_len);
}

static bool error_by(const quiche_conn *conn, int by, bool *is_app, uint64_t *error_code, const uint8_t **reason, size_t *reason_len) {
  if (conn == NULL || bq_quiche_fresh(conn)->error_by != by) {
    return false;
  }
  if (is_app != NULL) {
    *is_app = conn->error_app;
  }
  if (error_code != NULL) {
    *error_code = conn->error_code;
  }
  lent(conn->reason.data, conn->reason.len, reason, reason_len);
  return true;
}

bool quiche_conn_peer_error(const quiche_conn *conn, bool *is_app, uint64_t *error_code, const uint8_t **reason, size_t *reason_len) {
  return error_by(conn, 1, is_app, error_code, reason, reason_len);
}

bool quiche_conn_local_error(const quiche_conn *conn, bool *is_app, uint64_t *error_code, const uint8_t **reason, size_t *reason_len) {
  return error_by(conn, 2, is_app, error_code, reason, reason_len);
}

void quiche_conn_stats(const quiche_conn *conn, quiche_stats *out) {
  if (out != NULL) {
    memset(out, 0, sizeof *out);
    if (BQ_MAY(conn)) {
      bq_go_quiche_stats(conn->handle, out);
    }
  }
}

bool quiche_conn_peer_transport_params(const quiche_conn *conn, quiche_transport_params *out) {
  return BQ_MAY(out) && BQ_MAY(conn) && bq_go_quiche_params(conn->handle, out) > 0;
}
