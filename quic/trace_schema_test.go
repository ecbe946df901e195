package quic

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qlog"
)

// What the drafts say of names and types, of events and frames: draft-ietf-quic-qlog-quic-events, sections 4 to 8, draft-ietf-quic-qlog-main-schema,
// section 8. A field is "name type" or, if it must be there, "name! type"; types are text, hex, uint, float, bool, a list of words joined by "|", "{" and
// the name of another table, "[" and a type.
var traceSchema = map[string]string{
	"quic:connection_started":       "local! {endpoint, remote! {endpoint",
	"quic:connection_closed":        "initiator local|remote, connection_error error, application_error unknown, error_code uint, reason text, trigger idle_timeout|application|error|version_mismatch|stateless_reset|aborted|unspecified",
	"quic:connection_state_updated": "old {state, new! {state",
	"quic:connection_id_updated":    "initiator! local|remote, old hex, new hex",
	"quic:migration_state_updated":  "old {migration, new! {migration, tuple_remote {endpoint, tuple_local {endpoint",
	"quic:mtu_updated":              "old uint, new! uint, done bool",
	"quic:version_information":      "server_versions [hex, client_versions [hex, chosen_version hex",
	"quic:alpn_information":         "chosen_alpn {alpn",
	"quic:parameters_set": "initiator local|remote, original_destination_connection_id hex, initial_source_connection_id hex, retry_source_connection_id hex, " +
		"disable_active_migration bool, max_idle_timeout uint, max_udp_payload_size uint, ack_delay_exponent uint, max_ack_delay uint, " +
		"active_connection_id_limit uint, initial_max_data uint, initial_max_stream_data_bidi_local uint, initial_max_stream_data_bidi_remote uint, " +
		"initial_max_stream_data_uni uint, initial_max_streams_bidi uint, initial_max_streams_uni uint, max_datagram_frame_size uint, grease_quic_bit bool, " +
		"stateless_reset_token hex, preferred_address {preferred, resumption_allowed bool, early_data_enabled bool, tls_cipher text, unknown_parameters [{parameter",
	"preferred":            "ip_v4 text, port_v4 uint, ip_v6 text, port_v6 uint, connection_id! hex, stateless_reset_token! hex",
	"parameter":            "id! uint, value hex",
	"quic:packet_sent":     "header! {header, frames [{frame, raw {raw, is_mtu_probe_packet bool, trigger retransmit_reordered|retransmit_timeout|pto_probe",
	"quic:packet_received": "header! {header, frames [{frame, raw {raw, trigger keys_available",
	"quic:packet_dropped":  "header {header, raw {raw, trigger internal_error|rejected|unsupported|invalid|duplicate|connection_unknown|decryption_failure|key_unavailable|general",
	"quic:packet_lost":     "header {header, frames [{frame, is_mtu_probe_packet bool, trigger reordering_threshold|time_threshold|pto_expired",
	"quic:key_updated":     "key_type! {key, key_phase uint, trigger tls|remote_update|local_update",
	"quic:key_discarded":   "key_type! {key, key_phase uint, trigger tls|remote_update|local_update",
	"quic:recovery_metrics_updated": "min_rtt float, smoothed_rtt float, latest_rtt float, rtt_variance float, pto_count uint, congestion_window uint, " +
		"bytes_in_flight uint, ssthresh uint, packets_in_flight uint, pacing_rate uint",
	"quic:congestion_state_updated": "old text, new! text, trigger text",

	"endpoint": "ip_v4 text, port_v4 uint, ip_v6 text, port_v6 uint, connection_ids [hex",
	"alpn":     "byte_value hex, string_value text",
	"raw":      "length uint, payload_length uint",
	"header": "packet_type! initial|handshake|0RTT|1RTT|retry|version_negotiation|stateless_reset|unknown, key_phase uint, packet_number uint, version hex, " +
		"scil uint, dcil uint, scid hex, dcid hex",
	"token": "type retry|resumption, raw {raw",

	"padding":              "raw {raw",
	"ping":                 "raw {raw",
	"ack":                  "ack_delay float, acked_ranges [{range, ect1 uint, ect0 uint, ce uint, raw {raw",
	"reset_stream":         "stream_id! uint, error! unknown, error_code uint, final_size! uint, raw {raw",
	"stop_sending":         "stream_id! uint, error! unknown, error_code uint, raw {raw",
	"crypto":               "offset! uint, raw! {raw",
	"new_token":            "token! {token, raw {raw",
	"stream":               "stream_id! uint, offset uint, fin bool, raw {raw",
	"max_data":             "maximum! uint, raw {raw",
	"max_stream_data":      "stream_id! uint, maximum! uint, raw {raw",
	"max_streams":          "stream_type! unidirectional|bidirectional, maximum! uint, raw {raw",
	"data_blocked":         "limit! uint, raw {raw",
	"stream_data_blocked":  "stream_id! uint, limit! uint, raw {raw",
	"streams_blocked":      "stream_type! unidirectional|bidirectional, limit! uint, raw {raw",
	"new_connection_id":    "sequence_number! uint, retire_prior_to! uint, connection_id_length uint, connection_id! hex, raw {raw",
	"retire_connection_id": "sequence_number! uint, raw {raw",
	"path_challenge":       "data hex, raw {raw",
	"path_response":        "data hex, raw {raw",
	"connection_close":     "error_space transport|application, error error, error_code uint, reason text, trigger_frame_type uint, raw {raw",
	"handshake_done":       "raw {raw",
	"unknown":              "frame_type_bytes! uint, raw {raw",
	"datagram":             "raw {raw",
}

var traceWords = map[string][]string{
	"state":     {"attempted", "handshake_started", "handshake_complete", "closed", "peer_validated", "early_write", "handshake_confirmed", "closing", "draining"},
	"migration": {"probing_started", "probing_abandoned", "probing_successful", "migration_started", "migration_abandoned", "migration_complete"},
	"key": {"server_initial_secret", "client_initial_secret", "server_handshake_secret", "client_handshake_secret", "server_0rtt_secret", "client_0rtt_secret",
		"server_1rtt_secret", "client_1rtt_secret"},
	"error": {"no_error", "internal_error", "connection_refused", "flow_control_error", "stream_limit_error", "stream_state_error", "final_size_error",
		"frame_encoding_error", "transport_parameter_error", "connection_id_limit_error", "protocol_violation", "invalid_token", "application_error",
		"crypto_buffer_exceeded", "key_update_error", "aead_limit_reached", "no_viable_path", "unknown"},
}

// schemaFault returns what is wrong with a value of a type, "" if nothing is.
func schemaFault(typ string, v any) string {
	word, isText := v.(string)
	switch {
	case typ == "text":
		if !isText {
			return fmt.Sprintf("%v is no text", v)
		}
	case typ == "hex":
		if !isText || strings.Trim(word, "0123456789abcdef") != "" {
			return fmt.Sprintf("%v is no hexstring", v)
		}
	case typ == "uint" || typ == "float":
		f, ok := v.(float64)
		if !ok || f < 0 || typ == "uint" && f != math.Trunc(f) {
			return fmt.Sprintf("%v is no %s", v, typ)
		}
	case typ == "bool":
		if _, ok := v.(bool); !ok {
			return fmt.Sprintf("%v is no bool", v)
		}
	case typ == "error":
		if !slices.Contains(traceWords["error"], word) && !(len(word) == 18 && strings.HasPrefix(word, "crypto_error_0x1")) {
			return fmt.Sprintf("%v is no error", v)
		}
	case typ[0] == '[':
		list, ok := v.([]any)
		if !ok {
			return fmt.Sprintf("%v is no list", v)
		}
		for _, x := range list {
			if fault := schemaFault(typ[1:], x); fault != "" {
				return fault
			}
		}
	case typ == "{range":
		list, ok := v.([]any)
		if !ok || len(list) == 0 || len(list) > 2 || schemaFault("[uint", v) != "" || len(list) == 2 && list[0].(float64) >= list[1].(float64) {
			return fmt.Sprintf("%v is no range", v)
		}
	case typ == "{frame":
		f, ok := v.(map[string]any)
		kind, _ := f["frame_type"].(string)
		if !ok || kind == "" || strings.Contains(kind, ":") {
			return fmt.Sprintf("%v is no frame", v)
		}
		rest := map[string]any{}
		for k, x := range f {
			if k != "frame_type" {
				rest[k] = x
			}
		}
		return tableFault(kind, rest)
	case typ[0] == '{' && traceWords[typ[1:]] != nil:
		if !slices.Contains(traceWords[typ[1:]], word) {
			return fmt.Sprintf("%v is none of %v", v, traceWords[typ[1:]])
		}
	case typ[0] == '{':
		return tableFault(typ[1:], v)
	default:
		if !slices.Contains(strings.Split(typ, "|"), word) {
			return fmt.Sprintf("%v is none of %s", v, typ)
		}
	}
	return ""
}

// tableFault is schemaFault for an object of a table.
func tableFault(table string, v any) string {
	fields, known := traceSchema[table]
	object, ok := v.(map[string]any)
	if !known || !ok {
		return fmt.Sprintf("%v is no %s", v, table)
	}
	seen := 0
	for field := range strings.SplitSeq(fields, ", ") {
		name, typ, _ := strings.Cut(field, " ")
		name, must := strings.CutSuffix(name, "!")
		x, there := object[name]
		switch {
		case there:
			seen++
			if fault := schemaFault(typ, x); fault != "" {
				return table + "." + name + ": " + fault
			}
		case must:
			return table + "." + name + " is not there"
		}
	}
	if seen != len(object) {
		return fmt.Sprintf("%s has fields that it does not have in the drafts: %v", table, object)
	}
	return ""
}

// wantSchema reads a trace and compares its events with what the drafts say.
func wantSchema(t *testing.T, b []byte) {
	t.Helper()
	for _, ev := range readTrace(t, b) {
		if fault := tableFault(ev.Name, ev.Data); fault != "" {
			t.Errorf("%s: %s", ev.Name, fault)
		}
	}
}

// The header of a trace has what draft-ietf-quic-qlog-main-schema, sections 3 to 6, requires.
func TestTraceHeader(t *testing.T) {
	f := new(traceFile)
	p := newPair(t, nil)
	p.client.Trace(f, "", "")
	p.client.Release()
	var h struct {
		FileSchema string `json:"file_schema"`
		Format     string `json:"serialization_format"`
		Trace      struct {
			Common struct {
				Group     string `json:"group_id"`
				Time      string `json:"time_format"`
				Reference struct {
					Clock string `json:"clock_type"`
					Epoch string `json:"epoch"`
				} `json:"reference_time"`
			} `json:"common_fields"`
			Vantage struct {
				Type string `json:"type"`
			} `json:"vantage_point"`
			Schemas []string `json:"event_schemas"`
		} `json:"trace"`
	}
	first, _, _ := strings.Cut(f.String()[1:], "\x1e")
	if err := json.Unmarshal([]byte(first), &h); err != nil {
		t.Fatal(err)
	}
	if h.FileSchema != "urn:ietf:params:qlog:file:sequential" || h.Format != "application/qlog+json-seq" || h.Trace.Common.Time != "relative_to_epoch" ||
		h.Trace.Common.Reference.Clock != "monotonic" || h.Trace.Common.Reference.Epoch != "unknown" || h.Trace.Vantage.Type != "client" ||
		!slices.Contains(h.Trace.Schemas, "urn:ietf:params:qlog:events:quic") || h.Trace.Common.Group == "" {
		t.Errorf("%+v", h)
	}
}

// Every frame, as it is parsed from a packet, and every event that the core tells of, is as the drafts have it.
func TestTraceSchema(t *testing.T) {
	f := new(traceFile)
	p := newPair(t, nil)
	p.client.Trace(f, "", "")
	p.server.Release()
	tr := p.client.trace
	id := []byte("12345678")
	token := [16]byte{1}
	ack := []byte{wire.FrameAckECN, 50, 8, 1, 3, 2, 5, 7, 0, 1}
	for _, payload := range [][]byte{
		{wire.FramePing, 0, 0, 0, wire.FrameHandshakeDone},
		ack,
		wire.AppendNewConnectionID(nil, 3, 1, id, token),
		append([]byte{wire.FramePathChallenge}, id...), append([]byte{wire.FramePathResponse}, id...),
		wire.AppendRetireConnectionID(nil, 7),
		wire.AppendNewToken(nil, id),
		{wire.FrameResetStream, 4, 9, 20}, {wire.FrameStopSending, 4, 9}, {wire.FrameCrypto, 1, 2, 'a', 'b'},
		{wire.FrameStream + 7, 4, 10, 2, 'a', 'b'}, {wire.FrameStream, 4, 'a'},
		{wire.FrameMaxData, 9}, {wire.FrameMaxStreamData, 4, 9}, {wire.FrameMaxStreamsBidi, 9}, {wire.FrameMaxStreamsUni, 9},
		{wire.FrameDataBlocked, 9}, {wire.FrameStreamDataBlocked, 4, 9}, {wire.FrameStreamsBlockedBidi, 9}, {wire.FrameStreamsBlockedUni, 9},
		{wire.FrameConnectionClose, 0x41, 0x28, 6, 2, 'n', 0xff}, {wire.FrameConnectionClose, 10, 6, 0}, {wire.FrameConnectionClose, 0x3f, 0, 0},
		{wire.FrameConnectionCloseApp, 9, 0},
		{wire.FrameDatagram, 'x'}, {wire.FrameDatagram + 1, 1, 'x'}, wire.AppendAckFrequency(nil, wire.AckFrequency{Seq: 1}), {wire.FrameImmediateAck},
		{0x2f, 1, 2}, // unknown
	} {
		tr.event(p.client, &qlog.PacketReceived{Header: qlog.PacketHeader{Type: qlog.OneRTT, Number: 1}, Length: 40, Payload: len(payload), Frames: tr.parse(payload, 3)})
	}
	for _, err := range []error{&StatelessResetError{}, &VersionNegotiationError{}, &IdleTimeoutError{}, &ApplicationError{Code: 9, Remote: true},
		&TransportError{Code: CryptoErrorBase + 42, Remote: true}, &TransportError{Code: 99}, errRand} {
		tr.event(p.client, closedBecause(err))
	}
	p.client.Release()
	wantSchema(t, f.Bytes())
	kinds := map[string]bool{}
	for _, ev := range readTrace(t, f.Bytes()) {
		if frames, ok := ev.Data["frames"].([]any); ok && ev.Name == "quic:packet_received" {
			for _, f := range frames {
				kinds[f.(map[string]any)["frame_type"].(string)] = true
			}
		}
	}
	if len(kinds) != 22 {
		t.Errorf("%d kinds of frames: %v", len(kinds), kinds)
	}
}

// Whatever a packet holds, of which a peer chooses every byte, is parsed to an end, and written as JSON that is valid.
func FuzzTraceFrames(f *testing.F) {
	f.Add([]byte{wire.FrameAck, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}, uint8(255))
	f.Add([]byte{wire.FrameConnectionClose, 1, 2, 3, '"', 0xff, 0}, uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, exponent uint8) {
		file := new(traceFile)
		tr := &tracer{out: qlog.New(file, qlog.Header{})}
		c := &Conn{}
		tr.event(c, &qlog.PacketReceived{Header: qlog.PacketHeader{Type: qlog.OneRTT}, Frames: tr.parse(b, exponent)})
		tr.out.Close()
		wantSchema(t, file.Bytes())
	})
}
