package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"slices"
	"time"
)

// The identifiers of transport parameters (RFC 9000, section 18.2; RFC 9221, section 3; RFC 9287, section 3; RFC 9368, section 10.1;
// draft-ietf-quic-ack-frequency-12, section 3).
const (
	paramOriginalDstConnID       = 0x00
	paramMaxIdleTimeout          = 0x01
	paramStatelessResetToken     = 0x02
	paramMaxUDPPayloadSize       = 0x03
	paramInitialMaxData          = 0x04
	paramMaxStreamDataBidiLocal  = 0x05
	paramMaxStreamDataBidiRemote = 0x06
	paramMaxStreamDataUni        = 0x07
	paramMaxStreamsBidi          = 0x08
	paramMaxStreamsUni           = 0x09
	paramAckDelayExponent        = 0x0a
	paramMaxAckDelay             = 0x0b
	paramDisableActiveMigration  = 0x0c
	paramPreferredAddress        = 0x0d
	paramActiveConnIDLimit       = 0x0e
	paramInitialSrcConnID        = 0x0f
	paramRetrySrcConnID          = 0x10
	paramVersionInformation      = 0x11
	paramMaxDatagramFrameSize    = 0x20
	paramGreaseQUICBit           = 0x2ab2
	paramMinAckDelay             = 0xff04de1b
)

// The defaults of absent parameters (RFC 9000, section 18.2).
const (
	defaultMaxUDPPayloadSize = 65527
	defaultAckDelayExponent  = 3
	defaultMaxAckDelay       = 25 * time.Millisecond
	defaultActiveConnIDLimit = 2
)

// MaxStreamsLimit is the largest stream limit, so that every stream ID fits a variable-length integer (RFC 9000, section 4.6).
const MaxStreamsLimit = 1 << 60

// TransportParameters are what an endpoint declares in its handshake (RFC 9000, section 18). Connection IDs are nil where the
// parameter is absent, and empty but not nil for a connection ID of length zero. Sizes and limits are in bytes or
// streams.
type TransportParameters struct {
	OriginalDstConnID       []byte // server only
	InitialSrcConnID        []byte
	RetrySrcConnID          []byte        // server only
	MaxIdleTimeout          time.Duration // 0: none
	StatelessResetToken     *[16]byte     // server only
	MaxUDPPayloadSize       uint64
	InitialMaxData          uint64
	MaxStreamDataBidiLocal  uint64 // for streams that the declaring endpoint opens
	MaxStreamDataBidiRemote uint64 // for streams that its peer opens
	MaxStreamDataUni        uint64
	MaxStreamsBidi          uint64
	MaxStreamsUni           uint64
	AckDelayExponent        uint8
	MaxAckDelay             time.Duration
	MinAckDelay             *time.Duration // nil: no ACK_FREQUENCY and IMMEDIATE_ACK frames
	DisableActiveMigration  bool
	PreferredAddress        *PreferredAddress // server only
	ActiveConnIDLimit       uint64
	MaxDatagramFrameSize    uint64             // 0: no DATAGRAM frames
	Version                 VersionInformation // Chosen is 0 where the parameter is absent
	GreaseQUICBit           bool               // packets whose fixed bit is 0 are taken (RFC 9287)
	Reserved                Reserved           // to be sent; none is parsed
}

// VersionInformation is the version_information transport parameter (RFC 9368, section 3).
type VersionInformation struct {
	Chosen    uint32   // the version of the connection
	Available []uint32 // a client's: to which its first packets can be turned, the preferred first; a server's: all that it speaks
}

// Reserved is a transport parameter that stands for nothing, and that a receiver has to ignore (RFC 9000, section 18.1).
type Reserved struct {
	N     uint64 // its identifier is 31*N+27
	Value []byte // nil: the parameter is not sent
}

// PreferredAddress is where a server would rather be reached after the handshake (RFC 9000, section 9.6).
type PreferredAddress struct {
	IPv4, IPv6          netip.AddrPort // the unspecified address: none
	ConnID              []byte
	StatelessResetToken [16]byte
}

// Append appends the parameters in their encoding (RFC 9000, section 18); those at their default are left out.
func (p *TransportParameters) Append(b []byte) []byte {
	b = appendParamID(b, paramOriginalDstConnID, p.OriginalDstConnID)
	b = appendParamInt(b, paramMaxIdleTimeout, uint64(p.MaxIdleTimeout/time.Millisecond), 0)
	if p.StatelessResetToken != nil {
		b = appendParam(b, paramStatelessResetToken, p.StatelessResetToken[:])
	}
	b = appendParamInt(b, paramMaxUDPPayloadSize, p.MaxUDPPayloadSize, defaultMaxUDPPayloadSize)
	b = appendParamInt(b, paramInitialMaxData, p.InitialMaxData, 0)
	b = appendParamInt(b, paramMaxStreamDataBidiLocal, p.MaxStreamDataBidiLocal, 0)
	b = appendParamInt(b, paramMaxStreamDataBidiRemote, p.MaxStreamDataBidiRemote, 0)
	b = appendParamInt(b, paramMaxStreamDataUni, p.MaxStreamDataUni, 0)
	b = appendParamInt(b, paramMaxStreamsBidi, p.MaxStreamsBidi, 0)
	b = appendParamInt(b, paramMaxStreamsUni, p.MaxStreamsUni, 0)
	b = appendParamInt(b, paramAckDelayExponent, uint64(p.AckDelayExponent), defaultAckDelayExponent)
	b = appendParamInt(b, paramMaxAckDelay, uint64(p.MaxAckDelay/time.Millisecond), uint64(defaultMaxAckDelay/time.Millisecond))
	if p.DisableActiveMigration {
		b = appendParam(b, paramDisableActiveMigration, nil)
	}
	if p.PreferredAddress != nil {
		b = appendParam(b, paramPreferredAddress, p.PreferredAddress.append(nil))
	}
	b = appendParamInt(b, paramActiveConnIDLimit, p.ActiveConnIDLimit, defaultActiveConnIDLimit)
	b = appendParamID(b, paramInitialSrcConnID, p.InitialSrcConnID)
	b = appendParamID(b, paramRetrySrcConnID, p.RetrySrcConnID)
	b = appendParamInt(b, paramMaxDatagramFrameSize, p.MaxDatagramFrameSize, 0)
	if p.MinAckDelay != nil {
		b = appendParamInt(b, paramMinAckDelay, uint64(*p.MinAckDelay/time.Microsecond), math.MaxUint64)
	}
	if p.Version.Chosen != 0 {
		b = p.Version.Append(b)
	}
	if p.GreaseQUICBit {
		b = appendParam(b, paramGreaseQUICBit, nil)
	}
	if p.Reserved.Value != nil {
		b = appendParam(b, 31*p.Reserved.N+27, p.Reserved.Value)
	}
	return b
}

// Append appends the parameter, which may be appended to others.
func (v *VersionInformation) Append(b []byte) []byte {
	b = AppendVarint(AppendVarint(b, paramVersionInformation), uint64(4+4*len(v.Available)))
	b = binary.BigEndian.AppendUint32(b, v.Chosen)
	for _, a := range v.Available {
		b = binary.BigEndian.AppendUint32(b, a)
	}
	return b
}

func appendParam(b []byte, id uint64, value []byte) []byte {
	b = AppendVarint(AppendVarint(b, id), uint64(len(value)))
	return append(b, value...)
}

func appendParamID(b []byte, id uint64, connID []byte) []byte {
	if connID == nil {
		return b
	}
	return appendParam(b, id, connID)
}

func appendParamInt(b []byte, id, v, absent uint64) []byte {
	if v == absent {
		return b
	}
	b = AppendVarint(AppendVarint(b, id), uint64(SizeVarint(v)))
	return AppendVarint(b, v)
}

func (a *PreferredAddress) append(b []byte) []byte {
	ipv4, ipv6 := [4]byte{}, [16]byte{}
	if a.IPv4.IsValid() {
		ipv4 = a.IPv4.Addr().As4()
	}
	if a.IPv6.IsValid() {
		ipv6 = a.IPv6.Addr().As16()
	}
	b = binary.BigEndian.AppendUint16(append(b, ipv4[:]...), a.IPv4.Port())
	b = binary.BigEndian.AppendUint16(append(b, ipv6[:]...), a.IPv6.Port())
	b = append(append(b, byte(len(a.ConnID))), a.ConnID...)
	return append(b, a.StatelessResetToken[:]...)
}

// ParseTransportParameters parses the parameters of a client or of a server, and fills in the defaults of those that are
// absent. Unknown parameters are ignored. Every error is a TRANSPORT_PARAMETER_ERROR (RFC 9000, section 7.4); its text
// names the parameter. What is returned does not alias b.
func ParseTransportParameters(b []byte, fromClient bool) (TransportParameters, error) {
	p := TransportParameters{
		MaxUDPPayloadSize: defaultMaxUDPPayloadSize,
		AckDelayExponent:  defaultAckDelayExponent,
		MaxAckDelay:       defaultMaxAckDelay,
		ActiveConnIDLimit: defaultActiveConnIDLimit,
	}
	var seen uint64 // a bit for each known parameter
	for len(b) > 0 {
		id, value, n, err := consumeParam(b)
		if err != nil {
			return p, err
		}
		b = b[n:]
		bit := id
		switch {
		case id == paramMinAckDelay:
			bit = paramMaxDatagramFrameSize + 1
		case id == paramGreaseQUICBit:
			bit = paramMaxDatagramFrameSize + 2
		case id > paramMaxDatagramFrameSize:
			continue // unknown, and not worth remembering
		}
		if seen&(1<<bit) != 0 {
			return p, fmt.Errorf("transport parameter 0x%x is given twice", id)
		}
		seen |= 1 << bit
		if err := p.set(id, value, fromClient); err != nil {
			return p, err
		}
	}
	if p.InitialSrcConnID == nil {
		return p, errors.New("transport parameter initial_source_connection_id is absent")
	}
	if p.MinAckDelay != nil && *p.MinAckDelay > p.MaxAckDelay {
		return p, fmt.Errorf("transport parameter min_ack_delay is %v, above the max_ack_delay of %v", *p.MinAckDelay, p.MaxAckDelay)
	}
	return p, nil
}

// OtherParameters yields the identifiers and values of parameters that are of neither RFC 9000, RFC 9221 nor RFC 9287, up to one that is cut short.
func OtherParameters(b []byte) iter.Seq2[uint64, []byte] {
	return func(yield func(uint64, []byte) bool) {
		for len(b) > 0 {
			id, value, n, err := consumeParam(b)
			if err != nil {
				return
			}
			b = b[n:]
			named := id <= paramRetrySrcConnID || id == paramMaxDatagramFrameSize || id == paramGreaseQUICBit
			if !named && !yield(id, value) {
				return
			}
		}
	}
}

// consumeParam parses the parameter at the front of b, of which it takes n bytes. The error says which one is cut short.
func consumeParam(b []byte) (id uint64, value []byte, n int, err error) {
	id, n = ConsumeVarint(b)
	if n < 0 {
		return 0, nil, 0, errors.New("transport parameters are cut short")
	}
	value, m := consumeBytes(b[n:])
	if m < 0 {
		return 0, nil, 0, fmt.Errorf("transport parameter 0x%x is cut short", id)
	}
	return id, value, n + m, nil
}

func (p *TransportParameters) set(id uint64, value []byte, fromClient bool) error {
	switch id {
	case paramOriginalDstConnID, paramStatelessResetToken, paramPreferredAddress, paramRetrySrcConnID:
		if fromClient {
			return fmt.Errorf("transport parameter 0x%x is for servers only", id)
		}
	}
	switch id {
	case paramOriginalDstConnID:
		return setConnID(&p.OriginalDstConnID, "original_destination_connection_id", value)
	case paramInitialSrcConnID:
		return setConnID(&p.InitialSrcConnID, "initial_source_connection_id", value)
	case paramRetrySrcConnID:
		return setConnID(&p.RetrySrcConnID, "retry_source_connection_id", value)
	case paramStatelessResetToken:
		if len(value) != 16 {
			return errors.New("transport parameter stateless_reset_token is not 16 bytes long")
		}
		p.StatelessResetToken = (*[16]byte)(slices.Clone(value))
		return nil
	case paramPreferredAddress:
		return p.setPreferredAddress(value)
	case paramDisableActiveMigration:
		if len(value) != 0 {
			return errors.New("transport parameter disable_active_migration is not empty")
		}
		p.DisableActiveMigration = true
		return nil
	case paramVersionInformation:
		return p.setVersion(value, fromClient)
	case paramGreaseQUICBit:
		if len(value) != 0 {
			return errors.New("transport parameter grease_quic_bit is not empty")
		}
		p.GreaseQUICBit = true
		return nil
	}
	return p.setInt(id, value)
}

// setVersion parses version_information. What is malformed, RFC 9368, section 4, says.
func (p *TransportParameters) setVersion(value []byte, fromClient bool) error {
	if len(value) < 4 || len(value)%4 != 0 {
		return fmt.Errorf("transport parameter version_information of %d bytes holds no whole versions", len(value))
	}
	v := VersionInformation{Chosen: binary.BigEndian.Uint32(value), Available: make([]uint32, 0, len(value)/4-1)}
	for b := value[4:]; len(b) > 0; b = b[4:] {
		v.Available = append(v.Available, binary.BigEndian.Uint32(b))
	}
	switch {
	case v.Chosen == 0 || slices.Contains(v.Available, 0):
		return errors.New("transport parameter version_information holds version 0")
	case fromClient && !slices.Contains(v.Available, v.Chosen):
		return errors.New("transport parameter version_information does not count the chosen version among the available ones")
	}
	p.Version = v
	return nil
}

func setConnID(to *[]byte, name string, value []byte) error {
	if len(value) > maxConnIDLen {
		return fmt.Errorf("transport parameter %s is longer than 20 bytes", name)
	}
	*to = append(make([]byte, 0, len(value)), value...) // not nil, even if empty
	return nil
}

// setInt sets a parameter whose value is an integer. The ranges are those of RFC 9000, section 18.2.
func (p *TransportParameters) setInt(id uint64, value []byte) error {
	v, n := ConsumeVarint(value)
	known := true
	low, high := uint64(0), uint64(MaxVarint)
	var name string
	switch id {
	case paramMaxIdleTimeout:
		name, p.MaxIdleTimeout = "max_idle_timeout", milliseconds(v)
	case paramMaxUDPPayloadSize:
		name, low, p.MaxUDPPayloadSize = "max_udp_payload_size", 1200, v
	case paramInitialMaxData:
		name, p.InitialMaxData = "initial_max_data", v
	case paramMaxStreamDataBidiLocal:
		name, p.MaxStreamDataBidiLocal = "initial_max_stream_data_bidi_local", v
	case paramMaxStreamDataBidiRemote:
		name, p.MaxStreamDataBidiRemote = "initial_max_stream_data_bidi_remote", v
	case paramMaxStreamDataUni:
		name, p.MaxStreamDataUni = "initial_max_stream_data_uni", v
	case paramMaxStreamsBidi:
		name, high, p.MaxStreamsBidi = "initial_max_streams_bidi", MaxStreamsLimit, v
	case paramMaxStreamsUni:
		name, high, p.MaxStreamsUni = "initial_max_streams_uni", MaxStreamsLimit, v
	case paramAckDelayExponent:
		name, high, p.AckDelayExponent = "ack_delay_exponent", 20, uint8(v)
	case paramMaxAckDelay:
		name, high, p.MaxAckDelay = "max_ack_delay", 1<<14-1, milliseconds(v)
	case paramMinAckDelay:
		delay := time.Duration(v) * time.Microsecond
		name, high, p.MinAckDelay = "min_ack_delay", (1<<14-1)*1000, &delay
	case paramActiveConnIDLimit:
		name, low, p.ActiveConnIDLimit = "active_connection_id_limit", 2, v
	case paramMaxDatagramFrameSize:
		name, p.MaxDatagramFrameSize = "max_datagram_frame_size", v
	default:
		known = false // between the known ones, and unknown
	}
	switch {
	case !known:
		return nil
	case n != len(value):
		return fmt.Errorf("transport parameter %s is not one integer", name)
	case v < low || v > high:
		return fmt.Errorf("transport parameter %s is %d, which is not within %d and %d", name, v, low, high)
	}
	return nil
}

// milliseconds saturates, so that no peer's value overflows a Duration.
func milliseconds(v uint64) time.Duration {
	const most = uint64(1<<63-1) / uint64(time.Millisecond)
	return time.Duration(min(v, most)) * time.Millisecond
}

func (p *TransportParameters) setPreferredAddress(value []byte) error {
	const fixed = 4 + 2 + 16 + 2
	errBad := errors.New("transport parameter preferred_address is malformed")
	if len(value) < fixed {
		return errBad
	}
	id, n := consumeShortBytes(value[fixed:])
	if n < 0 || len(value) != fixed+n+16 || len(id) > maxConnIDLen {
		return errBad
	}
	if len(id) == 0 {
		return errors.New("transport parameter preferred_address has a connection ID of length zero")
	}
	p.PreferredAddress = &PreferredAddress{
		IPv4:                netip.AddrPortFrom(netip.AddrFrom4([4]byte(value[:4])), binary.BigEndian.Uint16(value[4:])),
		IPv6:                netip.AddrPortFrom(netip.AddrFrom16([16]byte(value[6:22])), binary.BigEndian.Uint16(value[22:])),
		ConnID:              slices.Clone(id),
		StatelessResetToken: [16]byte(value[fixed+n:]),
	}
	return nil
}
