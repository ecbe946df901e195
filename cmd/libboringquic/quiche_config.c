// quiche.h: the config. What is set Go keeps; setters only name it.
#include <string.h>

#include "_cgo_export.h"
#include "quiche_internal.h"

const char *quiche_version(void) { return "0.30.0"; }

quiche_config *quiche_config_new(uint32_t version) {
  return bq_enter() ? NULL : (quiche_config *)(uintptr_t)bq_go_quiche_config_new(version);
}

void quiche_config_free(quiche_config *config) {
  if (config != NULL && !bq_enter()) {
    bq_go_quiche_config_free(BQ_HANDLE(config));
  }
}

static void set(quiche_config *config, int key, uint64_t v) {
  if (!bq_enter()) {
    bq_go_quiche_config_set(BQ_HANDLE(config), key, v);
  }
}

enum { MAX_TEXT = 65535 }; // bytes: TLS takes no longer list of protocols, and Linux no longer path

static int set_text(quiche_config *config, int key, const void *p, size_t n) {
  if (n > MAX_TEXT) {
    bq_fail(BQUIC_ERR_ARGUMENT, "a text has %zu bytes, and can have at most %d", n, MAX_TEXT);
    return QUICHE_ERR_INVALID_STATE;
  }
  if (p == NULL && n > 0) {
    bq_fail(BQUIC_ERR_ARGUMENT, "a text is NULL");
    return QUICHE_ERR_INVALID_STATE;
  }
  return bq_enter() ? QUICHE_ERR_INVALID_STATE : (int)bq_go_quiche_config_text(BQ_HANDLE(config), key, (uint8_t *)p, n);
}

static int set_string(quiche_config *config, int key, const char *s) { return set_text(config, key, s, s ? strlen(s) : 1); }

#define STRING(name, key) \
  int quiche_config_##name(quiche_config *config, const char *s) { return set_string(config, key, s); }

STRING(load_cert_chain_from_pem_file, BQ_CERT_FILE)
STRING(load_priv_key_from_pem_file, BQ_KEY_FILE)
STRING(load_verify_locations_from_file, BQ_ROOTS_FILE)
STRING(load_verify_locations_from_directory, BQ_ROOTS_FOLDER)
STRING(set_curves_list, BQ_CURVES)
STRING(set_cc_algorithm_name, BQ_CC_NAME)

int quiche_config_set_application_protos(quiche_config *config, const uint8_t *protos, size_t protos_len) {
  return set_text(config, BQ_PROTOS, protos, protos_len);
}

int quiche_config_set_ticket_key(quiche_config *config, const uint8_t *key, size_t key_len) { return set_text(config, BQ_TICKET_KEY, key, key_len); }

void quiche_config_set_stateless_reset_token(quiche_config *config, const uint8_t *v) { set_text(config, BQ_RESET_TOKEN, v, 16); }

#define VALUE(name, type, key) \
  void quiche_config_##name(quiche_config *config, type v) { set(config, key, (uint64_t)v); }

VALUE(verify_peer, bool, BQ_VERIFY_PEER)
VALUE(grease, bool, BQ_GREASE)
VALUE(discover_pmtu, bool, BQ_DISCOVER_PMTU)
VALUE(set_max_idle_timeout, uint64_t, BQ_MAX_IDLE_TIMEOUT)
VALUE(set_max_send_udp_payload_size, size_t, BQ_MAX_SEND)
VALUE(set_initial_max_data, uint64_t, BQ_MAX_DATA)
VALUE(set_initial_max_stream_data_bidi_local, uint64_t, BQ_MAX_STREAM_DATA_BIDI_LOCAL)
VALUE(set_initial_max_stream_data_bidi_remote, uint64_t, BQ_MAX_STREAM_DATA_BIDI_REMOTE)
VALUE(set_initial_max_stream_data_uni, uint64_t, BQ_MAX_STREAM_DATA_UNI)
VALUE(set_initial_max_streams_bidi, uint64_t, BQ_MAX_STREAMS_BIDI)
VALUE(set_initial_max_streams_uni, uint64_t, BQ_MAX_STREAMS_UNI)
VALUE(set_max_ack_delay, uint64_t, BQ_MAX_ACK_DELAY)
VALUE(set_disable_active_migration, bool, BQ_NO_MIGRATION)
VALUE(set_cc_algorithm, enum quiche_cc_algorithm, BQ_CC)
VALUE(set_max_connection_window, uint64_t, BQ_MAX_CONNECTION_WINDOW)
VALUE(set_max_stream_window, uint64_t, BQ_MAX_STREAM_WINDOW)

void quiche_config_log_keys(quiche_config *config) { set(config, BQ_LOG_KEYS, 1); }

void quiche_config_enable_early_data(quiche_config *config) { set(config, BQ_EARLY_DATA, 1); }

void quiche_config_enable_dgram(quiche_config *config, bool enabled, size_t recv_queue_len, size_t send_queue_len) {
  set(config, BQ_DGRAM, enabled);
  set(config, BQ_DGRAM_RECV_QUEUE, recv_queue_len);
  set(config, BQ_DGRAM_SEND_QUEUE, send_queue_len);
}

VALUE(set_max_amplification_factor, size_t, BQ_AMPLIFICATION)
VALUE(set_max_recv_udp_payload_size, size_t, BQ_MAX_RECV)
VALUE(set_ack_delay_exponent, uint64_t, BQ_ACK_DELAY_EXPONENT)
VALUE(set_initial_congestion_window_packets, size_t, BQ_WINDOW_PACKETS)
VALUE(enable_hystart, bool, BQ_HYSTART)
VALUE(enable_pacing, bool, BQ_PACING)
VALUE(set_max_pacing_rate, uint64_t, BQ_PACING_RATE)
VALUE(set_disable_dcid_reuse, bool, BQ_NO_ID_REUSE)

void quiche_config_set_active_connection_id_limit(quiche_config *config, uint64_t v) {
  if (v >= 2) { // RFC 9000, section 18.2
    set(config, BQ_CONN_IDS, v);
  }
}

// What has no effect in quiche 0.30.0 either, and what the library does in one way.
void quiche_config_set_use_initial_max_data_as_flow_control_win(quiche_config *config, bool v) { (void)config, (void)v; }
void quiche_config_set_enable_cubic_idle_restart_fix(quiche_config *config, bool v) { (void)config, (void)v; }

quiche_h3_config *quiche_h3_config_new(void) { return bq_enter() ? NULL : (quiche_h3_config *)(uintptr_t)bq_go_quiche_h3_config_new(); }

void quiche_h3_config_free(quiche_h3_config *config) {
  if (config != NULL && !bq_enter()) {
    bq_go_quiche_h3_config_free(BQ_HANDLE(config));
  }
}

#define H3_VALUE(name, type, key)                                     \
  void quiche_h3_config_##name(quiche_h3_config *config, type v) {    \
    if (!bq_enter()) {                                                \
      bq_go_quiche_h3_config_set(BQ_HANDLE(config), key, (uint64_t)v); \
    }                                                                 \
  }

H3_VALUE(set_max_field_section_size, uint64_t, BQ_H3_FIELD_SECTION)
H3_VALUE(set_qpack_max_table_capacity, uint64_t, BQ_H3_TABLE)
H3_VALUE(set_qpack_blocked_streams, uint64_t, BQ_H3_BLOCKED)
H3_VALUE(enable_extended_connect, bool, BQ_H3_CONNECT)
H3_VALUE(set_max_priority_update_size, uint64_t, BQ_H3_PRIORITY_UPDATE)
