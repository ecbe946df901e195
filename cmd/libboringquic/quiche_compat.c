// quiche.h: which of its functions do what they say.
#include <string.h>

#include "quiche_internal.h"

// All names, in order; a "-" before one says that it has no effect, or always answers the same. quiche.md says what.
static const char *const names[] = {
    "quiche_accept", "quiche_config_discover_pmtu", "quiche_config_enable_dgram", "quiche_config_enable_early_data", "quiche_config_enable_hystart",
    "quiche_config_enable_pacing", "quiche_config_free", "quiche_config_grease", "quiche_config_load_cert_chain_from_pem_file",
    "quiche_config_load_priv_key_from_pem_file", "quiche_config_load_verify_locations_from_directory",
    "quiche_config_load_verify_locations_from_file", "quiche_config_log_keys", "quiche_config_new", "quiche_config_set_ack_delay_exponent",
    "quiche_config_set_active_connection_id_limit", "quiche_config_set_application_protos", "quiche_config_set_cc_algorithm",
    "quiche_config_set_cc_algorithm_name", "quiche_config_set_curves_list", "quiche_config_set_disable_active_migration",
    "quiche_config_set_disable_dcid_reuse", "-quiche_config_set_enable_cubic_idle_restart_fix",
    "quiche_config_set_initial_congestion_window_packets", "quiche_config_set_initial_max_data",
    "quiche_config_set_initial_max_stream_data_bidi_local", "quiche_config_set_initial_max_stream_data_bidi_remote",
    "quiche_config_set_initial_max_stream_data_uni", "quiche_config_set_initial_max_streams_bidi", "quiche_config_set_initial_max_streams_uni",
    "quiche_config_set_max_ack_delay", "quiche_config_set_max_amplification_factor", "quiche_config_set_max_connection_window",
    "quiche_config_set_max_idle_timeout", "quiche_config_set_max_pacing_rate", "quiche_config_set_max_recv_udp_payload_size",
    "quiche_config_set_max_send_udp_payload_size", "quiche_config_set_max_stream_window", "quiche_config_set_stateless_reset_token",
    "quiche_config_set_ticket_key", "quiche_config_set_use_initial_max_data_as_flow_control_win", "quiche_config_verify_peer",
    "quiche_conn_active_scids", "quiche_conn_application_proto", "quiche_conn_available_dcids", "quiche_conn_close", "quiche_conn_destination_id",
    "quiche_conn_dgram_max_writable_len", "quiche_conn_dgram_purge_outgoing", "quiche_conn_dgram_recv", "quiche_conn_dgram_recv_front_len",
    "quiche_conn_dgram_recv_queue_byte_size", "quiche_conn_dgram_recv_queue_len", "quiche_conn_dgram_send", "quiche_conn_dgram_send_queue_byte_size",
    "quiche_conn_dgram_send_queue_len", "quiche_conn_free", "quiche_conn_is_closed", "quiche_conn_is_dgram_recv_queue_full",
    "quiche_conn_is_dgram_send_queue_full", "quiche_conn_is_draining", "quiche_conn_is_established", "quiche_conn_is_in_early_data",
    "quiche_conn_is_path_validated", "quiche_conn_is_readable", "quiche_conn_is_resumed", "quiche_conn_is_server", "quiche_conn_is_timed_out",
    "quiche_conn_local_error", "quiche_conn_max_send_udp_payload_size", "quiche_conn_migrate", "quiche_conn_migrate_source", "quiche_conn_new_scid",
    "quiche_conn_new_with_tls", "quiche_conn_new_with_tls_and_client_dcid", "quiche_conn_on_timeout", "quiche_conn_path_event_next",
    "quiche_conn_path_stats", "quiche_conn_paths_iter", "quiche_conn_peer_cert", "quiche_conn_peer_error", "quiche_conn_peer_streams_left_bidi",
    "quiche_conn_peer_streams_left_uni", "quiche_conn_peer_transport_params", "quiche_conn_probe_path", "quiche_conn_readable", "quiche_conn_recv",
    "quiche_conn_retire_dcid", "quiche_conn_retired_scid_iter", "quiche_conn_retired_scid_next", "quiche_conn_retired_scids",
    "quiche_conn_scids_left", "quiche_conn_send", "quiche_conn_send_ack_eliciting", "quiche_conn_send_ack_eliciting_on_path",
    "quiche_conn_send_on_path", "quiche_conn_send_quantum", "quiche_conn_send_quantum_on_path", "quiche_conn_server_name", "quiche_conn_session",
    "quiche_conn_set_keylog_fd", "quiche_conn_set_keylog_path", "quiche_conn_set_max_idle_timeout", "quiche_conn_set_qlog_fd",
    "quiche_conn_set_qlog_path", "quiche_conn_set_session", "quiche_conn_source_id", "quiche_conn_source_ids", "quiche_conn_stats",
    "quiche_conn_stream_capacity", "quiche_conn_stream_finished", "quiche_conn_stream_priority", "quiche_conn_stream_readable",
    "quiche_conn_stream_readable_next", "quiche_conn_stream_recv", "quiche_conn_stream_send", "quiche_conn_stream_shutdown",
    "quiche_conn_stream_writable", "quiche_conn_stream_writable_next", "quiche_conn_timeout_as_millis", "quiche_conn_timeout_as_nanos",
    "quiche_conn_trace_id", "quiche_conn_writable", "quiche_connect", "quiche_connection_id_iter_free", "quiche_connection_id_iter_next",
    "quiche_enable_debug_logging", "quiche_get_varint", "quiche_h3_config_enable_extended_connect", "quiche_h3_config_free", "quiche_h3_config_new",
    "quiche_h3_config_set_max_field_section_size", "quiche_h3_config_set_max_priority_update_size", "quiche_h3_config_set_qpack_blocked_streams",
    "quiche_h3_config_set_qpack_max_table_capacity", "quiche_h3_conn_free", "quiche_h3_conn_new_with_transport", "quiche_h3_conn_poll",
    "quiche_h3_conn_stats", "quiche_h3_dgram_enabled_by_peer", "quiche_h3_event_for_each_header", "quiche_h3_event_free",
    "quiche_h3_event_headers_has_body", "quiche_h3_event_headers_has_more_frames", "quiche_h3_event_type",
    "quiche_h3_extended_connect_enabled_by_peer", "quiche_h3_for_each_setting", "quiche_h3_parse_extensible_priority", "quiche_h3_recv_body",
    "quiche_h3_send_additional_headers", "quiche_h3_send_body", "quiche_h3_send_goaway", "quiche_h3_send_priority_update_for_request",
    "quiche_h3_send_request", "quiche_h3_send_response", "quiche_h3_send_response_with_priority", "quiche_h3_take_last_priority_update",
    "quiche_header_info", "quiche_negotiate_version", "quiche_path_event_closed", "quiche_path_event_failed_validation", "quiche_path_event_free",
    "quiche_path_event_new", "quiche_path_event_peer_migrated", "quiche_path_event_pmtu_updated", "quiche_path_event_reused_source_connection_id",
    "quiche_path_event_type", "quiche_path_event_validated", "quiche_put_varint", "quiche_retry", "quiche_socket_addr_iter_free",
    "quiche_socket_addr_iter_next", "quiche_stream_iter_free", "quiche_stream_iter_next", "quiche_version", "quiche_version_is_supported",
};

int32_t bquic_compat_supported(const char *name) {
  for (size_t i = 0; name != NULL && i < sizeof names / sizeof *names; i++) {
    if (strcmp(names[i] + (names[i][0] == '-'), name) == 0) {
      return names[i][0] != '-';
    }
  }
  return bq_fail(BQUIC_ERR_ARGUMENT, "quiche.h has no such function");
}
