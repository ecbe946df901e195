// Settings, endpoints and connections: each function looks at its pointers, and calls Go. BoringSSL is not known here.
#include <unistd.h>

#include "_cgo_export.h"
#include "internal.h"

_Static_assert(sizeof(void *) == 8, "handles have 64 bits");

// Settings.

bquic_config *bquic_config_new(void) { return bq_enter() ? NULL : (bquic_config *)(uintptr_t)bq_go_config_new(); }

int32_t bquic_config_free(bquic_config *config) { BQ_GO(bq_go_config_free(BQ_HANDLE(config))); }

int32_t bquic_config_set_u64(bquic_config *config, uint32_t key, uint64_t value) { BQ_GO(bq_go_config_set_u64(BQ_HANDLE(config), key, value)); }

int32_t bquic_config_get_u64(bquic_config *config, uint32_t key, uint64_t *value) {
  BQ_WANT(value);
  BQ_GO(bq_go_config_get_u64(BQ_HANDLE(config), key, value));
}

int32_t bquic_config_set_bytes(bquic_config *config, uint32_t key, const void *data, size_t len) {
  BQ_BYTES(data, len);
  BQ_GO(bq_go_config_set_bytes(BQ_HANDLE(config), key, (uint8_t *)data, len));
}

int32_t bquic_config_add_cert_files(bquic_config *config, const char *chain_file, const char *key_file) {
  BQ_WANT(chain_file);
  BQ_WANT(key_file);
  BQ_GO(bq_go_config_add_cert_files(BQ_HANDLE(config), (char *)chain_file, (char *)key_file));
}

int32_t bquic_config_add_cert_pem(bquic_config *config, const void *chain, size_t chain_len, const void *key, size_t key_len) {
  BQ_BYTES(chain, chain_len);
  BQ_BYTES(key, key_len);
  BQ_GO(bq_go_config_add_cert(BQ_HANDLE(config), (uint8_t *)chain, chain_len, (uint8_t *)key, key_len));
}

int32_t bquic_config_add_roots_file(bquic_config *config, const char *file) {
  BQ_WANT(file);
  BQ_GO(bq_go_config_add_roots_file(BQ_HANDLE(config), (char *)file));
}

int32_t bquic_config_add_roots_pem(bquic_config *config, const void *pem, size_t len) {
  BQ_BYTES(pem, len);
  BQ_GO(bq_go_config_add_roots(BQ_HANDLE(config), (uint8_t *)pem, len));
}

int32_t bquic_config_set_verify(bquic_config *config, bquic_verify callback, void *context) {
  BQ_GO(bq_go_config_set_verify(BQ_HANDLE(config), callback, (uintptr_t)context));
}

int32_t bq_call_verify(bquic_verify callback, uintptr_t context, const bquic_peer *peer) { return callback((void *)context, peer); }

int32_t bquic_config_set_keylog_fd(bquic_config *config, int fd) { BQ_GO(bq_go_config_set_keylog_fd(BQ_HANDLE(config), fd)); }

int32_t bquic_config_set_make_ssl(bquic_config *config, bquic_make_ssl callback, void *context) {
  BQ_GO(bq_go_config_set_make_ssl(BQ_HANDLE(config), callback, (uintptr_t)context));
}

uintptr_t bq_call_make_ssl(bquic_make_ssl callback, uintptr_t context, const bquic_addr *remote) {
  struct ssl_st *ssl = callback((void *)context, remote);
  if (ssl == NULL) {
    return 0;
  }
  if (bq_takes_ssl(ssl)) {
    bq_log_error("bquic_make_ssl");
    return 0;
  }
  return (uintptr_t)ssl;
}

// Endpoints.

bquic_endpoint *bquic_endpoint_new(bquic_config *config, int32_t *status) { BQ_MADE(bquic_endpoint, bq_go_endpoint_new(BQ_HANDLE(config), &made_), status); }

int32_t bquic_endpoint_free(bquic_endpoint *endpoint) { BQ_GO(bq_go_endpoint_free(BQ_HANDLE(endpoint))); }

// no_family says that an address of a train has a family that it cannot have.
static int32_t no_family(const char *which, uint32_t i, int family) {
  return bq_fail(BQUIC_ERR_ARGUMENT, "%s of step->in[%u] has family %d, and must have AF_INET or AF_INET6%s", which, i, family, which[0] == 'l' ? ", or AF_UNSPEC" : "");
}

// ip tells whether an address has a family of IP.
static bool ip(const bquic_addr *a) { return a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6; }

// bquic_endpoint_step looks at all trains first: an error means that nothing was done.
int32_t bquic_endpoint_step(bquic_endpoint *endpoint, bquic_step *given) {
  BQ_TAKE(bquic_step, own, given);
  bquic_step *step = &own;
  BQ_LIST(step->in, step->in_len);
  BQ_LIST(step->events, step->events_max);
  BQ_LIST(step->out, step->out_max);
  BQ_BYTES(step->buf, step->buf_len);
  if (step->out_max > 0 && step->buf_len < 1200) {
    return bq_fail(BQUIC_ERR_ARGUMENT, "step->buf_len is %zu, and must be at least 1200 for what is to be sent", step->buf_len);
  }
  for (uint32_t i = 0; i < step->in_len; i++) {
    bquic_train *train = &step->in[i];
    if (train->data == NULL && train->len > 0) {
      return bq_fail(BQUIC_ERR_ARGUMENT, "data of step->in[%u] is NULL, and its len is %u", i, train->len);
    }
    if (train->len > 65535) {
      return bq_fail(BQUIC_ERR_ARGUMENT, "len of step->in[%u] is %u, and can be at most 65535", i, train->len);
    }
    if (!ip(&train->remote)) {
      return no_family("remote", i, train->remote.sa.sa_family);
    }
    if (!ip(&train->local) && train->local.sa.sa_family != AF_UNSPEC) {
      return no_family("local", i, train->local.sa.sa_family);
    }
  }
  int32_t status = bq_enter();
  if (status == BQUIC_OK) {
    status = bq_go_endpoint_step(BQ_HANDLE(endpoint), step);
  }
  if (status == BQUIC_OK) {
    bq_give(given, step, sizeof *step);
  }
  return status;
}

static int32_t connect_with(bquic_endpoint *endpoint, bquic_config *config, const bquic_connect *given, uint64_t *made) {
  BQ_TAKE(bquic_connect, own, given);
  bquic_connect *params = &own;
  int32_t taken = 0, status = params->ssl == NULL ? BQUIC_OK : bq_takes_ssl(params->ssl);
  if (status) {
    return status;
  }
  status = bq_memory(params->session.data, params->session.len, "params->session.data", "params->session.len");
  if (status == BQUIC_OK) {
    status = bq_go_endpoint_connect(BQ_HANDLE(endpoint), BQ_HANDLE(config), params, made, &taken);
  }
  if (params->ssl != NULL && !taken) {
    bq_free_ssl(params->ssl);
  }
  return status;
}

bquic_conn *bquic_endpoint_connect(bquic_endpoint *endpoint, bquic_config *config, const bquic_connect *params, int32_t *status) {
  BQ_MADE(bquic_conn, connect_with(endpoint, config, params, &made_), status);
}

int32_t bquic_endpoint_refuse(bquic_endpoint *endpoint, int on) { BQ_GO(bq_go_endpoint_refuse(BQ_HANDLE(endpoint), on)); }

int32_t bquic_endpoint_set_ticket_keys(bquic_endpoint *endpoint, const void *keys, size_t n) {
  BQ_LIST(keys, n);
  BQ_GO(bq_go_endpoint_set_ticket_keys(BQ_HANDLE(endpoint), (uint8_t *)keys, n));
}

int32_t bquic_endpoint_stats(bquic_endpoint *endpoint, bquic_endpoint_info *info) { BQ_FILL(bquic_endpoint_info, own, info, bq_go_endpoint_stats(BQ_HANDLE(endpoint), &own)); }

// Connections.

int32_t bquic_conn_close(bquic_conn *conn, int transport, uint64_t code, const char *reason, size_t len) {
  BQ_BYTES(reason, len);
  BQ_GO(bq_go_conn_close(BQ_HANDLE(conn), transport, code, (uint8_t *)reason, len));
}

int32_t bquic_conn_free(bquic_conn *conn) { BQ_GO(bq_go_conn_free(BQ_HANDLE(conn))); }

int32_t bquic_conn_set_user_data(bquic_conn *conn, uint64_t value) { BQ_GO(bq_go_conn_set_user_data(BQ_HANDLE(conn), value)); }

int32_t bquic_conn_info(bquic_conn *conn, bquic_conn_state *state) { BQ_FILL(bquic_conn_state, own, state, bq_go_conn_info(BQ_HANDLE(conn), &own)); }

struct ssl_st *bquic_conn_ssl(bquic_conn *conn) {
  uintptr_t ssl = 0;
  return bq_enter() || bq_go_conn_ssl(BQ_HANDLE(conn), &ssl) ? NULL : (struct ssl_st *)ssl;
}

int32_t bquic_conn_error(bquic_conn *conn, bquic_conn_end *end) { BQ_FILL(bquic_conn_end, own, end, bq_go_conn_error(BQ_HANDLE(conn), &own)); }

int32_t bquic_conn_stats(bquic_conn *conn, bquic_conn_figures *figures) { BQ_FILL(bquic_conn_figures, own, figures, bq_go_conn_stats(BQ_HANDLE(conn), &own)); }

int32_t bquic_conn_set_keep_alive(bquic_conn *conn, uint64_t ns) { BQ_GO(bq_go_conn_set_keep_alive(BQ_HANDLE(conn), ns)); }

int32_t bquic_conn_set_qlog_fd(bquic_conn *conn, int fd, const char *title, const char *description) {
  int32_t refused = bq_enter();
  if (refused != BQUIC_OK) {
    close(fd);
    return refused;
  }
  return bq_go_conn_qlog(BQ_HANDLE(conn), fd, (char *)title, (char *)description);
}

int32_t bquic_conn_ping(bquic_conn *conn) { BQ_GO(bq_go_conn_ping(BQ_HANDLE(conn))); }

int32_t bquic_conn_key_update(bquic_conn *conn) { BQ_GO(bq_go_conn_key_update(BQ_HANDLE(conn))); }

int32_t bquic_conn_export(bquic_conn *conn, const char *label, const void *context, size_t context_len, void *out, size_t len) {
  BQ_WANT(label);
  BQ_BYTES(context, context_len);
  BQ_BYTES(out, len);
  BQ_GO(bq_go_conn_export(BQ_HANDLE(conn), (char *)label, (uint8_t *)context, context_len, out, len));
}

int64_t bquic_conn_peer_cert(bquic_conn *conn, uint32_t index, void *buf, size_t len) {
  int64_t length = 0;
  BQ_BYTES(buf, len);
  BQ_COUNT(bq_go_conn_peer_cert(BQ_HANDLE(conn), index, buf, len, &length), length);
}

int32_t bquic_conn_source_ids(bquic_conn *conn, bquic_conn_id *ids, uint32_t max) {
  int32_t count = 0;
  BQ_LIST(ids, max);
  BQ_COUNT(bq_go_conn_source_ids(BQ_HANDLE(conn), ids, max, &count), count);
}

int32_t bquic_conn_renew_ids(bquic_conn *conn) { BQ_GO(bq_go_conn_renew_ids(BQ_HANDLE(conn))); }

int32_t bquic_conn_paths(bquic_conn *conn, bquic_path *paths, uint32_t max) {
  int32_t count = 0;
  BQ_LIST(paths, max);
  BQ_COUNT(bq_go_conn_paths(BQ_HANDLE(conn), paths, max, &count), count);
}

int32_t bquic_conn_probe_path(bquic_conn *conn, const bquic_addr *local, const bquic_addr *remote) {
  BQ_GO(bq_go_conn_path(BQ_HANDLE(conn), BQ_PATH_PROBE, (bquic_addr *)local, (bquic_addr *)remote, 0));
}

int32_t bquic_conn_migrate(bquic_conn *conn, const bquic_addr *local, const bquic_addr *remote) {
  BQ_GO(bq_go_conn_path(BQ_HANDLE(conn), BQ_PATH_MIGRATE, (bquic_addr *)local, (bquic_addr *)remote, 0));
}

int32_t bquic_conn_abandon_path(bquic_conn *conn, const bquic_addr *local, const bquic_addr *remote) {
  BQ_GO(bq_go_conn_path(BQ_HANDLE(conn), BQ_PATH_ABANDON, (bquic_addr *)local, (bquic_addr *)remote, 0));
}

int32_t bquic_conn_too_large(bquic_conn *conn, const bquic_addr *local, const bquic_addr *remote, uint32_t len) {
  BQ_GO(bq_go_conn_path(BQ_HANDLE(conn), BQ_PATH_TOO_LARGE, (bquic_addr *)local, (bquic_addr *)remote, len));
}
