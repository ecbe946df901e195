package qlog

import (
	"net/netip"
	"time"
)

// Initiator tells who has done something.
type Initiator string

// The initiators.
const (
	Local  Initiator = "local"
	Remote Initiator = "remote"
)

// ConnectionStarted: a client connects, or a server accepts.
type ConnectionStarted struct {
	Local, Remote           netip.AddrPort
	LocalConnID, PeerConnID []byte // at that time; empty: not known
}

func (*ConnectionStarted) name() string { return "quic:connection_started" }

func (ev *ConnectionStarted) fields(e *encoder) {
	e.endpoint("local", ev.Local, ev.LocalConnID)
	e.endpoint("remote", ev.Remote, ev.PeerConnID)
}

// endpoint writes a TupleEndpointInfo.
func (e *encoder) endpoint(name string, a netip.AddrPort, id []byte) {
	e.open(name)
	if ip := a.Addr().Unmap(); ip.Is4() {
		e.text("ip_v4", ip.String())
		e.uint("port_v4", uint64(a.Port()))
	} else if ip.IsValid() {
		e.text("ip_v6", ip.WithZone("").String())
		e.uint("port_v6", uint64(a.Port()))
	}
	if len(id) > 0 {
		e.list("connection_ids")
		e.hexValue(id)
		e.endList()
	}
	e.close()
}

// Error is the error code of a CONNECTION_CLOSE frame, or of a stream's end.
type Error struct {
	App  bool
	Code uint64
}

// transportErrors are the names of RFC 9000, section 20.1.
var transportErrors = [...]string{"no_error", "internal_error", "connection_refused", "flow_control_error", "stream_limit_error", "stream_state_error",
	"final_size_error", "frame_encoding_error", "transport_parameter_error", "connection_id_limit_error", "protocol_violation", "invalid_token",
	"application_error", "crypto_buffer_exceeded", "key_update_error", "aead_limit_reached", "no_viable_path"}

// error writes an error code under a name.
func (e *encoder) error(name string, v Error) {
	switch {
	case !v.App && v.Code < uint64(len(transportErrors)):
		e.text(name, transportErrors[v.Code])
	case !v.App && v.Code >= 0x100 && v.Code <= 0x1ff:
		e.text(name, "crypto_error_0x1"+string(hexDigits[v.Code>>4&15])+string(hexDigits[v.Code&15]))
	default:
		e.text(name, "unknown")
		e.uint("error_code", v.Code)
	}
}

// The triggers of ConnectionClosed.
const (
	ClosedIdle            = "idle_timeout"
	ClosedByApplication   = "application"
	ClosedByError         = "error"
	ClosedVersionMismatch = "version_mismatch"
	ClosedStatelessReset  = "stateless_reset"
	ClosedAborted         = "aborted"
)

// ConnectionClosed: the connection is over.
type ConnectionClosed struct {
	Initiator Initiator // empty: neither
	Error     *Error    // nil: there is no code
	Reason    string
	Trigger   string
}

func (*ConnectionClosed) name() string { return "quic:connection_closed" }

func (ev *ConnectionClosed) fields(e *encoder) {
	e.optional("initiator", string(ev.Initiator))
	if ev.Error != nil {
		name := "connection_error"
		if ev.Error.App {
			name = "application_error"
		}
		e.error(name, *ev.Error)
	}
	e.optional("reason", ev.Reason)
	e.optional("trigger", ev.Trigger)
}

// The states of ConnectionStateUpdated.
const (
	StateAttempted          = "attempted"
	StateHandshakeStarted   = "handshake_started"
	StateHandshakeComplete  = "handshake_complete"
	StateHandshakeConfirmed = "handshake_confirmed"
	StateClosing            = "closing"
	StateDraining           = "draining"
	StateClosed             = "closed"
)

// ConnectionStateUpdated: the connection has another state.
type ConnectionStateUpdated struct {
	Old, New string // Old is empty at first
}

func (*ConnectionStateUpdated) name() string { return "quic:connection_state_updated" }

func (ev *ConnectionStateUpdated) fields(e *encoder) {
	e.optional("old", ev.Old)
	e.text("new", ev.New)
}

// ConnectionIDUpdated: packets are sent to another connection ID (Remote has given it), or come to another (Local has).
type ConnectionIDUpdated struct {
	Initiator Initiator
	Old, New  []byte
}

func (*ConnectionIDUpdated) name() string { return "quic:connection_id_updated" }

func (ev *ConnectionIDUpdated) fields(e *encoder) {
	e.text("initiator", string(ev.Initiator))
	e.hex("old", ev.Old)
	e.hex("new", ev.New)
}

// MigrationStateUpdated: another path is probed or in use.
type MigrationStateUpdated struct {
	New           string // one of Probing*, Migration*
	Local, Remote netip.AddrPort
}

// The states of MigrationStateUpdated.
const (
	ProbingStarted    = "probing_started"
	ProbingAbandoned  = "probing_abandoned"
	ProbingSuccessful = "probing_successful"
	MigrationComplete = "migration_complete"
)

func (*MigrationStateUpdated) name() string { return "quic:migration_state_updated" }

func (ev *MigrationStateUpdated) fields(e *encoder) {
	e.text("new", ev.New)
	e.endpoint("tuple_remote", ev.Remote, nil)
	e.endpoint("tuple_local", ev.Local, nil)
}

// MTUUpdated: UDP datagrams have another size, in bytes of payload.
type MTUUpdated struct{ Old, New int }

func (*MTUUpdated) name() string { return "quic:mtu_updated" }

func (ev *MTUUpdated) fields(e *encoder) {
	e.some("old", uint64(ev.Old))
	e.uint("new", uint64(ev.New))
}

// VersionInformation: the QUIC versions of the side that writes the trace, and the one that was chosen; 0: none yet.
type VersionInformation struct {
	Client   bool
	Versions []uint32
	Chosen   uint32
}

func (*VersionInformation) name() string { return "quic:version_information" }

func (ev *VersionInformation) fields(e *encoder) {
	name := "server_versions"
	if ev.Client {
		name = "client_versions"
	}
	e.list(name)
	for _, v := range ev.Versions {
		e.next()
		e.versionValue(v)
	}
	e.endList()
	if ev.Chosen != 0 {
		e.version("chosen_version", ev.Chosen)
	}
}

// ALPNInformation: the application protocol.
type ALPNInformation struct{ Chosen string }

func (*ALPNInformation) name() string { return "quic:alpn_information" }

func (ev *ALPNInformation) fields(e *encoder) {
	e.open("chosen_alpn")
	e.text("string_value", ev.Chosen)
	e.close()
}

// ParametersSet: the transport parameters of one side (RFC 9000, section 18.2), but for stateless reset tokens: who reads the token of a connection that
// is still there can end it (section 21.11). Numbers that are 0 count as not sent, but for limits.
type ParametersSet struct {
	Initiator                                                         Initiator
	OriginalDstConnID, InitialSrcConnID, RetrySrcConnID               []byte // nil: not sent
	MaxIdleTimeout                                                    time.Duration
	MaxUDPPayloadSize, ActiveConnIDLimit                              uint64
	AckDelayExponent                                                  uint8
	MaxAckDelay                                                       time.Duration
	InitialMaxData                                                    uint64
	MaxStreamDataBidiLocal, MaxStreamDataBidiRemote, MaxStreamDataUni uint64
	MaxStreamsBidi, MaxStreamsUni                                     uint64
	MaxDatagramFrameSize                                              uint64
	DisableActiveMigration, GreaseQUICBit                             bool
	PreferredAddress                                                  *PreferredAddress // nil: not sent
	Unknown                                                           []Parameter       // those that the drafts of qlog have no field for
}

// PreferredAddress is where a server would rather be reached (RFC 9000, section 9.6).
type PreferredAddress struct {
	IPv4, IPv6 netip.AddrPort // not valid, or unspecified: none
	ConnID     []byte
}

// Parameter is a transport parameter in its encoding.
type Parameter struct {
	ID    uint64
	Value []byte // nil: not told
}

func (*ParametersSet) name() string { return "quic:parameters_set" }

func (ev *ParametersSet) fields(e *encoder) {
	e.text("initiator", string(ev.Initiator))
	for _, f := range []struct {
		name string
		id   []byte
	}{
		{"original_destination_connection_id", ev.OriginalDstConnID},
		{"initial_source_connection_id", ev.InitialSrcConnID},
		{"retry_source_connection_id", ev.RetrySrcConnID},
	} {
		if f.id != nil {
			e.hex(f.name, f.id)
		}
	}
	e.bool("disable_active_migration", ev.DisableActiveMigration)
	e.some("max_idle_timeout", uint64(ev.MaxIdleTimeout/time.Millisecond))
	e.some("max_udp_payload_size", ev.MaxUDPPayloadSize)
	e.uint("ack_delay_exponent", uint64(ev.AckDelayExponent))
	e.uint("max_ack_delay", uint64(ev.MaxAckDelay/time.Millisecond))
	e.some("active_connection_id_limit", ev.ActiveConnIDLimit)
	e.uint("initial_max_data", ev.InitialMaxData)
	e.uint("initial_max_stream_data_bidi_local", ev.MaxStreamDataBidiLocal)
	e.uint("initial_max_stream_data_bidi_remote", ev.MaxStreamDataBidiRemote)
	e.uint("initial_max_stream_data_uni", ev.MaxStreamDataUni)
	e.uint("initial_max_streams_bidi", ev.MaxStreamsBidi)
	e.uint("initial_max_streams_uni", ev.MaxStreamsUni)
	e.some("max_datagram_frame_size", ev.MaxDatagramFrameSize)
	if ev.GreaseQUICBit {
		e.bool("grease_quic_bit", true)
	}
	ev.PreferredAddress.field(e)
	e.list("unknown_parameters") // which readers expect, qlog 0.18 of Rust among them
	for _, p := range ev.Unknown {
		e.open("")
		e.uint("id", p.ID)
		if p.Value != nil {
			e.hex("value", p.Value)
		}
		e.close()
	}
	e.endList()
}

func (a *PreferredAddress) field(e *encoder) {
	if a == nil {
		return
	}
	e.open("preferred_address")
	if a.IPv4.IsValid() && !a.IPv4.Addr().IsUnspecified() {
		e.text("ip_v4", a.IPv4.Addr().String())
		e.uint("port_v4", uint64(a.IPv4.Port()))
	}
	if a.IPv6.IsValid() && !a.IPv6.Addr().IsUnspecified() {
		e.text("ip_v6", a.IPv6.Addr().WithZone("").String())
		e.uint("port_v6", uint64(a.IPv6.Port()))
	}
	e.hex("connection_id", a.ConnID)
	e.hex("stateless_reset_token", nil) // Deviation: the drafts want the token here, and readers the field, so that it stands there empty
	e.close()
}

// TLSParametersSet is ParametersSet for what TLS has agreed on: a server's answer once the handshake is complete, and that a client has a ticket of it.
type TLSParametersSet struct {
	Initiator         Initiator // who the server is
	Cipher            string    // as crypto/tls calls it, without TLS_; empty: nothing new
	EarlyData         bool      // accepted; counts if Cipher is there
	ResumptionAllowed bool      // a ticket was received
}

func (*TLSParametersSet) name() string { return "quic:parameters_set" }

func (ev *TLSParametersSet) fields(e *encoder) {
	e.text("initiator", string(ev.Initiator))
	if ev.ResumptionAllowed {
		e.bool("resumption_allowed", true)
	}
	if ev.Cipher != "" {
		e.bool("early_data_enabled", ev.EarlyData)
		e.text("tls_cipher", ev.Cipher)
	}
	e.list("unknown_parameters") // as in ParametersSet
	e.endList()
}

// KeyType names a secret by its side and level.
type KeyType struct {
	Client bool
	Level  PacketType // Initial, Handshake, ZeroRTT or OneRTT
}

func (e *encoder) keyType(k KeyType) {
	side := "server"
	if k.Client {
		side = "client"
	}
	level := map[PacketType]string{Initial: "initial", Handshake: "handshake", ZeroRTT: "0rtt", OneRTT: "1rtt"}[k.Level]
	e.text("key_type", side+"_"+level+"_secret")
}

// The triggers of keys.
const (
	KeyByTLS    = "tls"
	KeyByRemote = "remote_update"
	KeyByLocal  = "local_update"
)

// KeyUpdated: there is a new key. Phase counts the updates of 1-RTT keys, from 0 on.
type KeyUpdated struct {
	Key     KeyType
	Phase   uint64
	Trigger string
}

func (*KeyUpdated) name() string { return "quic:key_updated" }

func (ev *KeyUpdated) fields(e *encoder) {
	e.keyType(ev.Key)
	if ev.Key.Level == OneRTT {
		e.uint("key_phase", ev.Phase)
	}
	e.optional("trigger", ev.Trigger)
}

// KeyDiscarded: a key is gone.
type KeyDiscarded struct{ Key KeyType }

func (*KeyDiscarded) name() string         { return "quic:key_discarded" }
func (ev *KeyDiscarded) fields(e *encoder) { e.keyType(ev.Key) }

// Metrics are what loss detection and congestion control go by. Bytes, but where the name says otherwise.
type Metrics struct {
	MinRTT, SmoothedRTT, LatestRTT, RTTVariance time.Duration
	PTOCount                                    int
	CongestionWindow, BytesInFlight             uint64
	PacingRate                                  uint64 // bits per second; 0: there is no pacing
}

// MetricsUpdated: some of the metrics are others than before. Those that are the same are left out.
type MetricsUpdated struct {
	Old, New Metrics
	First    bool // all of them are written
}

func (*MetricsUpdated) name() string { return "quic:recovery_metrics_updated" }

func (ev *MetricsUpdated) fields(e *encoder) {
	o, n := &ev.Old, &ev.New
	for _, f := range [...]struct {
		name     string
		old, new time.Duration
	}{
		{"min_rtt", o.MinRTT, n.MinRTT}, {"smoothed_rtt", o.SmoothedRTT, n.SmoothedRTT}, {"latest_rtt", o.LatestRTT, n.LatestRTT},
		{"rtt_variance", o.RTTVariance, n.RTTVariance},
	} {
		if ev.First || f.old != f.new {
			e.ms(f.name, f.new)
		}
	}
	for _, f := range [...]struct {
		name     string
		old, new uint64
	}{
		{"pto_count", uint64(o.PTOCount), uint64(n.PTOCount)}, {"congestion_window", o.CongestionWindow, n.CongestionWindow},
		{"bytes_in_flight", o.BytesInFlight, n.BytesInFlight}, {"pacing_rate", o.PacingRate, n.PacingRate},
	} {
		if ev.First || f.old != f.new {
			e.uint(f.name, f.new)
		}
	}
}

// The states of CongestionStateUpdated.
const (
	SlowStart           = "slow_start"
	CongestionAvoidance = "congestion_avoidance"
)

// CongestionStateUpdated: the congestion controller has another state.
type CongestionStateUpdated struct{ Old, New string }

func (*CongestionStateUpdated) name() string { return "quic:congestion_state_updated" }

func (ev *CongestionStateUpdated) fields(e *encoder) {
	e.optional("old", ev.Old)
	e.text("new", ev.New)
}
