// quiche.h: what needs no connection, and the log.
#include <inttypes.h>
#include <string.h>

#include "_cgo_export.h"
#include "quiche_internal.h"

int quiche_header_info(const uint8_t *buf, size_t buf_len, size_t dcil, uint32_t *version, uint8_t *type, uint8_t *scid, size_t *scid_len, uint8_t *dcid,
                       size_t *dcid_len, uint8_t *token, size_t *token_len) {
  if (!buf || !version || !type || !scid || !scid_len || !dcid || !dcid_len || !token || !token_len) {
    bq_fail(BQUIC_ERR_ARGUMENT, "an argument of quiche_header_info is NULL");
    return QUICHE_ERR_INVALID_STATE;
  }
  BQ_HELD(QUICHE_ERR_INVALID_STATE, buf, buf_len);
  BQ_HELD(QUICHE_ERR_INVALID_STATE, scid, *scid_len);
  BQ_HELD(QUICHE_ERR_INVALID_STATE, dcid, *dcid_len);
  BQ_HELD(QUICHE_ERR_INVALID_STATE, token, *token_len);
  if (buf_len > dcil && dcil <= *dcid_len && dcil <= QUICHE_MAX_CONN_ID_LEN && (buf[0] & 0x80) == 0) { // a short header: what most datagrams have
    *version = 0, *type = 5, *scid_len = *token_len = 0, *dcid_len = dcil;
    memcpy(dcid, buf + 1, dcil);
    return 0;
  }
  return bq_enter() ? QUICHE_ERR_INVALID_STATE
                    : (int)bq_go_quiche_header((uint8_t *)buf, buf_len, dcil, version, type, scid, scid_len, dcid, dcid_len, token, token_len);
}

ssize_t quiche_negotiate_version(const uint8_t *scid, size_t scid_len, const uint8_t *dcid, size_t dcid_len, uint8_t *out, size_t out_len) {
  BQ_HELD(QUICHE_ERR_INVALID_STATE, scid, scid_len);
  BQ_HELD(QUICHE_ERR_INVALID_STATE, dcid, dcid_len);
  BQ_HELD(QUICHE_ERR_INVALID_STATE, out, out_len);
  return bq_enter() ? QUICHE_ERR_INVALID_STATE : bq_go_quiche_negotiate((uint8_t *)scid, scid_len, (uint8_t *)dcid, dcid_len, out, out_len);
}

ssize_t quiche_retry(const uint8_t *scid, size_t scid_len, const uint8_t *dcid, size_t dcid_len, const uint8_t *new_scid, size_t new_scid_len,
                     const uint8_t *token, size_t token_len, uint32_t version, uint8_t *out, size_t out_len) {
  BQ_HELD(QUICHE_ERR_INVALID_STATE, scid, scid_len);
  BQ_HELD(QUICHE_ERR_INVALID_STATE, dcid, dcid_len);
  BQ_HELD(QUICHE_ERR_INVALID_STATE, new_scid, new_scid_len);
  BQ_HELD(QUICHE_ERR_INVALID_STATE, token, token_len);
  BQ_HELD(QUICHE_ERR_INVALID_STATE, out, out_len);
  return bq_enter() ? QUICHE_ERR_INVALID_STATE
                    : bq_go_quiche_retry((uint8_t *)scid, scid_len, (uint8_t *)dcid, dcid_len, (uint8_t *)new_scid, new_scid_len, (uint8_t *)token, token_len,
                                         version, out, out_len);
}

bool quiche_version_is_supported(uint32_t version) { return version == 1 || version == 0x6b3343cf; }

// room_for tells whether there are n bytes for an integer, by 0.
static int room_for(const uint8_t *buf, size_t buf_len, size_t n) {
  if (buf == NULL) {
    return bq_null("buf");
  }
  if (buf_len < n) {
    bq_fail(BQUIC_ERR_ARGUMENT, "buf_len is %zu, and the integer has %zu bytes", buf_len, n);
    return QUICHE_ERR_BUFFER_TOO_SHORT;
  }
  return 0;
}

int quiche_put_varint(uint8_t *buf, size_t buf_len, uint64_t val) {
  int log = val < 1 << 6 ? 0 : val < 1 << 14 ? 1 : val < 1 << 30 ? 2 : 3;
  size_t n = (size_t)1 << log;
  if (val >> 62) {
    bq_fail(BQUIC_ERR_ARGUMENT, "val is %" PRIu64 ", and must be below 2^62", val);
    return QUICHE_ERR_INVALID_STATE;
  }
  int status = room_for(buf, buf_len, n);
  if (status) {
    return status;
  }
  for (size_t i = n; i-- > 0; val >>= 8) {
    buf[i] = (uint8_t)val;
  }
  buf[0] |= (uint8_t)(log << 6);
  return 0;
}

ssize_t quiche_get_varint(const uint8_t *buf, size_t buf_len, uint64_t *val) {
  size_t n = buf && buf_len ? (size_t)1 << (buf[0] >> 6) : 1;
  int status = val ? room_for(buf, buf_len, n) : bq_null("val");
  if (status) {
    return status;
  }
  uint64_t v = buf[0] & 0x3f;
  for (size_t i = 1; i < n; i++) {
    v = v << 8 | buf[i];
  }
  *val = v;
  return (ssize_t)n;
}

atomic_bool bq_logging;
static void (*log_callback)(const char *, void *);
static void *log_argument;

int quiche_enable_debug_logging(void (*cb)(const char *line, void *argp), void *argp) {
  if (cb == NULL) {
    return bq_null("cb");
  }
  log_callback = cb;
  log_argument = argp;
  atomic_store_explicit(&bq_logging, true, memory_order_release);
  return 0;
}

void bq_quiche_log(const char *line) { log_callback(line, log_argument); }

bool bq_call_purge(uintptr_t f, uint8_t *data, size_t n) { return ((bool (*)(uint8_t *, size_t))f)(data, n); }
