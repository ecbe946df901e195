package wire

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// param encodes one transport parameter.
func param(id uint64, value ...byte) []byte { return appendParam(nil, id, value) }

// paramInt encodes one whose value is an integer.
func paramInt(id, v uint64) []byte { return param(id, AppendVarint(nil, v)...) }

// source is the parameter without which the rest is not looked at.
func source() []byte { return param(paramInitialSrcConnID, []byte("src")...) }

// preferred encodes a preferred_address with a connection ID of n bytes.
func preferred(n int) []byte {
	return bytes.Join([][]byte{{192, 0, 2, 1, 0x11, 0x22}, {0x20, 1, 0xd, 0xb8, 15: 1}, {0x33, 0x44, byte(n)}, repeat(5, n), repeat(6, 16)}, nil)
}

// filled has every parameter at a value of its own.
func filled() TransportParameters {
	return TransportParameters{
		OriginalDstConnID:       []byte("original"),
		InitialSrcConnID:        repeat(1, 20),
		RetrySrcConnID:          []byte{},
		MaxIdleTimeout:          30 * time.Second,
		StatelessResetToken:     &[16]byte{1, 2, 15: 3},
		MaxUDPPayloadSize:       1200,
		InitialMaxData:          1 << 20,
		MaxStreamDataBidiLocal:  1 << 14,
		MaxStreamDataBidiRemote: 1<<14 - 1,
		MaxStreamDataUni:        MaxVarint,
		MaxStreamsBidi:          MaxStreamsLimit,
		MaxStreamsUni:           3,
		AckDelayExponent:        20,
		MaxAckDelay:             (1<<14 - 1) * time.Millisecond,
		DisableActiveMigration:  true,
		PreferredAddress: &PreferredAddress{
			IPv4:                netip.MustParseAddrPort("192.0.2.1:4433"),
			IPv6:                netip.MustParseAddrPort("[2001:db8::1]:443"),
			ConnID:              []byte("preferred"),
			StatelessResetToken: [16]byte{15: 9},
		},
		ActiveConnIDLimit:    4,
		MaxDatagramFrameSize: 65535,
		MinAckDelay:          delay(1500),
		Version:              VersionInformation{Chosen: Version2, Available: []uint32{0x0a1a2a3a, Version1, Version2}},
		GreaseQUICBit:        true,
	}
}

// delay is a min_ack_delay of so many microseconds.
func delay(v time.Duration) *time.Duration { v *= time.Microsecond; return &v }

// defaults are what a peer declares that declares nothing but its connection ID.
func defaults() TransportParameters {
	return TransportParameters{
		InitialSrcConnID:  []byte("src"),
		MaxUDPPayloadSize: 65527,
		AckDelayExponent:  3,
		MaxAckDelay:       25 * time.Millisecond,
		ActiveConnIDLimit: 2,
	}
}

func TestTransportParametersRoundTrip(t *testing.T) {
	client := filled()
	client.OriginalDstConnID, client.RetrySrcConnID, client.StatelessResetToken, client.PreferredAddress = nil, nil, nil, nil
	zeros := defaults()
	zeros.InitialSrcConnID, zeros.AckDelayExponent, zeros.MaxAckDelay = []byte{}, 0, 0
	noIPv4, noIPv6 := filled(), filled()
	noIPv4.PreferredAddress.IPv4 = netip.AddrPort{}
	noIPv6.PreferredAddress.IPv6 = netip.AddrPort{}
	for _, c := range []struct {
		name       string
		in         TransportParameters
		fromClient bool
		edit       func(p *TransportParameters) // what comes out otherwise
	}{
		{name: "a server's", in: filled()},
		{name: "a client's", in: client, fromClient: true},
		{name: "defaults", in: defaults(), fromClient: true},
		{name: "zero, which is not the default", in: zeros},
		{name: "no preferred IPv4 address", in: noIPv4,
			edit: func(p *TransportParameters) { p.PreferredAddress.IPv4 = netip.MustParseAddrPort("0.0.0.0:0") }},
		{name: "no preferred IPv6 address", in: noIPv6,
			edit: func(p *TransportParameters) { p.PreferredAddress.IPv6 = netip.MustParseAddrPort("[::]:0") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.in.Append([]byte{0xee})
			got, err := ParseTransportParameters(b[1:], c.fromClient)
			if err != nil {
				t.Fatal(err)
			}
			clear(b) // what was parsed must not change with it
			want := c.in
			if c.edit != nil {
				c.edit(&want)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
	if b := (&TransportParameters{MaxUDPPayloadSize: 65527, AckDelayExponent: 3, MaxAckDelay: 25 * time.Millisecond,
		ActiveConnIDLimit: 2}).Append(nil); len(b) != 0 {
		t.Errorf("defaults are written as %x, want nothing", b)
	}
}

// Each parameter at the ends of its range and beyond (RFC 9000, section 18.2).
func TestTransportParameterRanges(t *testing.T) {
	for _, c := range []struct {
		name      string
		id        uint64
		low, high uint64
		get       func(p *TransportParameters) uint64
	}{
		{"max_idle_timeout", 0x01, 0, MaxVarint, nil},
		{"max_udp_payload_size", 0x03, 1200, MaxVarint, func(p *TransportParameters) uint64 { return p.MaxUDPPayloadSize }},
		{"initial_max_data", 0x04, 0, MaxVarint, func(p *TransportParameters) uint64 { return p.InitialMaxData }},
		{"initial_max_stream_data_bidi_local", 0x05, 0, MaxVarint, func(p *TransportParameters) uint64 { return p.MaxStreamDataBidiLocal }},
		{"initial_max_stream_data_bidi_remote", 0x06, 0, MaxVarint, func(p *TransportParameters) uint64 { return p.MaxStreamDataBidiRemote }},
		{"initial_max_stream_data_uni", 0x07, 0, MaxVarint, func(p *TransportParameters) uint64 { return p.MaxStreamDataUni }},
		{"initial_max_streams_bidi", 0x08, 0, 1 << 60, func(p *TransportParameters) uint64 { return p.MaxStreamsBidi }},
		{"initial_max_streams_uni", 0x09, 0, 1 << 60, func(p *TransportParameters) uint64 { return p.MaxStreamsUni }},
		{"ack_delay_exponent", 0x0a, 0, 20, func(p *TransportParameters) uint64 { return uint64(p.AckDelayExponent) }},
		{"max_ack_delay", 0x0b, 0, 1<<14 - 1, func(p *TransportParameters) uint64 { return uint64(p.MaxAckDelay / time.Millisecond) }},
		{"active_connection_id_limit", 0x0e, 2, MaxVarint, func(p *TransportParameters) uint64 { return p.ActiveConnIDLimit }},
		{"min_ack_delay", 0xff04de1b, 0, 25000, func(p *TransportParameters) uint64 { return uint64(*p.MinAckDelay / time.Microsecond) }},
		{"max_datagram_frame_size", 0x20, 0, MaxVarint, func(p *TransportParameters) uint64 { return p.MaxDatagramFrameSize }},
	} {
		for _, fromClient := range []bool{false, true} {
			for _, v := range []uint64{c.low, c.low + 1, c.high - 1, c.high} {
				p, err := ParseTransportParameters(append(source(), paramInt(c.id, v)...), fromClient)
				if err != nil || c.get != nil && c.get(&p) != v {
					t.Errorf("%s %d: %+v, %v", c.name, v, p, err)
				}
			}
			for _, v := range []uint64{c.low - 1, c.high + 1, MaxVarint} {
				if v <= c.high && v >= c.low || v > MaxVarint {
					continue
				}
				wantError(t, append(source(), paramInt(c.id, v)...), fromClient, c.name)
			}
			for _, value := range []string{"", "40", "0505", "c0000000000005", "400505"} {
				wantError(t, append(source(), param(c.id, unhex(t, value)...)...), fromClient, c.name)
			}
		}
		// An integer may take more bytes than it needs, as 1200 and 5 do here.
		v, encoded := uint64(5), "c000000000000005"
		if c.low > v {
			v, encoded = 1200, "c0000000000004b0"
		}
		if p, err := ParseTransportParameters(append(source(), param(c.id, unhex(t, encoded)...)...), true); err != nil ||
			c.get != nil && c.get(&p) != v {
			t.Errorf("%s %d in eight bytes: %+v, %v", c.name, v, p, err)
		}
	}
}

// wantError parses b and wants an error that names what is wrong.
func wantError(t *testing.T, b []byte, fromClient bool, names string) {
	t.Helper()
	if p, err := ParseTransportParameters(b, fromClient); err == nil || !strings.Contains(err.Error(), names) {
		t.Errorf("%x, from client %v: error %v, want one that names %s; parsed %+v", b, fromClient, err, names, p)
	}
}

// An idle timeout that no Duration can hold is as long as one can.
func TestTransportParameterIdleTimeoutSaturates(t *testing.T) {
	const most = (1<<63 - 1) / time.Millisecond * time.Millisecond
	for v, want := range map[uint64]time.Duration{
		0: 0, 1: time.Millisecond, 86_400_000: 24 * time.Hour,
		uint64(most / time.Millisecond): most, uint64(most/time.Millisecond) + 1: most, MaxVarint: most,
	} {
		p, err := ParseTransportParameters(append(source(), paramInt(paramMaxIdleTimeout, v)...), true)
		if err != nil || p.MaxIdleTimeout != want {
			t.Errorf("%d ms: %v, %v; want %v", v, p.MaxIdleTimeout, err, want)
		}
	}
}

// Parameters whose value is not an integer.
func TestTransportParameterShapes(t *testing.T) {
	for _, c := range []struct {
		name  string
		id    uint64
		value []byte
		good  bool
		names string
	}{
		{name: "original_destination_connection_id of 20 bytes", id: 0x00, value: make([]byte, 20), good: true},
		{name: "of 21 bytes", id: 0x00, value: make([]byte, 21), names: "original_destination_connection_id"},
		{name: "retry_source_connection_id of 20 bytes", id: 0x10, value: make([]byte, 20), good: true},
		{name: "of 21 bytes", id: 0x10, value: make([]byte, 21), names: "retry_source_connection_id"},
		{name: "stateless_reset_token", id: 0x02, value: make([]byte, 16), good: true},
		{name: "of 15 bytes", id: 0x02, value: make([]byte, 15), names: "stateless_reset_token"},
		{name: "of 17 bytes", id: 0x02, value: make([]byte, 17), names: "stateless_reset_token"},
		{name: "of no byte", id: 0x02, names: "stateless_reset_token"},
		{name: "disable_active_migration", id: 0x0c, good: true},
		{name: "not empty", id: 0x0c, value: []byte{0}, names: "disable_active_migration"},
		{name: "grease_quic_bit", id: 0x2ab2, good: true},
		{name: "not empty", id: 0x2ab2, value: []byte{0}, names: "grease_quic_bit"},
		{name: "version_information", id: 0x11, value: []byte{0, 0, 0, 1}, good: true},
		{name: "with available versions", id: 0x11, value: []byte{0, 0, 0, 1, 0x1a, 0x2a, 0x3a, 0x4a, 0, 0, 0, 2}, good: true},
		{name: "empty", id: 0x11, names: "version_information"},
		{name: "of 3 bytes", id: 0x11, value: make([]byte, 3), names: "version_information"},
		{name: "of 5 bytes", id: 0x11, value: []byte{0, 0, 0, 1, 0}, names: "version_information"},
		{name: "of 10 bytes", id: 0x11, value: []byte{0, 0, 0, 1, 0, 0, 0, 1, 0, 0}, names: "version_information"},
		{name: "chosen version 0", id: 0x11, value: []byte{0, 0, 0, 0, 0, 0, 0, 1}, names: "version_information holds version 0"},
		{name: "available version 0", id: 0x11, value: []byte{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0},
			names: "version_information holds version 0"},
		{name: "preferred_address", id: 0x0d, value: preferred(1), good: true},
		{name: "with the longest connection ID", id: 0x0d, value: preferred(20), good: true},
		{name: "with a connection ID of 21 bytes", id: 0x0d, value: preferred(21), names: "preferred_address"},
		{name: "with none", id: 0x0d, value: preferred(0), names: "preferred_address"},
		{name: "with a byte more", id: 0x0d, value: append(preferred(4), 0), names: "preferred_address"},
		{name: "with a length of 255", id: 0x0d, value: append(preferred(4)[:24], 255), names: "preferred_address"},
	} {
		b := append(source(), param(c.id, c.value...)...)
		if !c.good {
			wantError(t, b, false, c.names)
		} else if _, err := ParseTransportParameters(b, false); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	whole := preferred(8)
	for cut := range whole {
		wantError(t, append(source(), param(paramPreferredAddress, whole[:cut]...)...), false, "preferred_address")
	}
	p, err := ParseTransportParameters(append(source(), param(paramPreferredAddress, whole...)...), false)
	want := PreferredAddress{netip.MustParseAddrPort("192.0.2.1:4386"), netip.MustParseAddrPort("[2001:db8::1]:13124"), repeat(5, 8),
		[16]byte(repeat(6, 16))}
	if err != nil || !reflect.DeepEqual(*p.PreferredAddress, want) {
		t.Errorf("preferred_address: %+v, %v; want %+v", p.PreferredAddress, err, want)
	}
}

// A client's chosen version is one of those available (RFC 9368, section 4); a server's need not be.
func TestTransportParameterVersionInformation(t *testing.T) {
	for _, v := range []VersionInformation{
		{Chosen: Version1, Available: []uint32{}}, {Chosen: Version1, Available: []uint32{Version2, 0x0a0a0a0a}},
	} {
		b := append(source(), (&TransportParameters{Version: v, MaxUDPPayloadSize: 65527, AckDelayExponent: 3,
			MaxAckDelay: 25 * time.Millisecond, ActiveConnIDLimit: 2}).Append(nil)...)
		wantError(t, b, true, "does not count the chosen version among the available ones")
		if p, err := ParseTransportParameters(b, false); err != nil || !reflect.DeepEqual(p.Version, v) {
			t.Errorf("%+v from a server: %+v, %v", v, p.Version, err)
		}
	}
}

// What is sent to be ignored is ignored.
func TestTransportParameterReserved(t *testing.T) {
	for _, r := range []Reserved{{N: 0, Value: []byte{}}, {N: 7, Value: repeat(9, 16)}, {N: 1 << 40, Value: []byte{1}}} {
		p := defaults()
		p.Reserved = r
		b := p.Append(nil)
		if want := param(31*r.N+27, r.Value...); !bytes.Contains(b, want) {
			t.Errorf("%x, want %x in it", b, want)
		}
		if got, err := ParseTransportParameters(b, true); err != nil || !reflect.DeepEqual(got, defaults()) {
			t.Errorf("%x: %+v, %v", b, got, err)
		}
	}
}

// initial_source_connection_id must be there, though it may be empty (RFC 9000, section 7.3).
func TestTransportParameterSourceConnectionID(t *testing.T) {
	for _, fromClient := range []bool{false, true} {
		wantError(t, nil, fromClient, "initial_source_connection_id is absent")
		wantError(t, paramInt(paramInitialMaxData, 1), fromClient, "initial_source_connection_id is absent")
		wantError(t, param(paramInitialSrcConnID, make([]byte, 21)...), fromClient, "initial_source_connection_id")
		for _, n := range []int{0, 1, 20} {
			p, err := ParseTransportParameters(param(paramInitialSrcConnID, make([]byte, n)...), fromClient)
			if err != nil || p.InitialSrcConnID == nil || len(p.InitialSrcConnID) != n {
				t.Errorf("connection ID of %d bytes: %x, %v", n, p.InitialSrcConnID, err)
			}
			if p.OriginalDstConnID != nil || p.RetrySrcConnID != nil {
				t.Errorf("connection IDs that were not given: %x, %x; want nil", p.OriginalDstConnID, p.RetrySrcConnID)
			}
		}
	}
}

// min_ack_delay is in microseconds and no longer than max_ack_delay, whichever stands first (draft-ietf-quic-ack-frequency-12,
// section 3).
func TestTransportParameterMinAckDelay(t *testing.T) {
	for _, c := range []struct {
		least, most uint64 // microseconds and milliseconds
		good        bool
	}{
		{0, 0, true}, {1, 0, false}, {999, 1, true}, {1000, 1, true}, {1001, 1, false},
		{16_383_000, 1<<14 - 1, true}, {16_383_001, 1<<14 - 1, false}, {1 << 40, 1<<14 - 1, false},
	} {
		low, high := paramInt(paramMinAckDelay, c.least), paramInt(paramMaxAckDelay, c.most)
		for _, b := range [][]byte{bytes.Join([][]byte{source(), low, high}, nil), bytes.Join([][]byte{high, low, source()}, nil)} {
			if !c.good {
				wantError(t, b, true, "min_ack_delay")
			} else if p, err := ParseTransportParameters(b, true); err != nil || *p.MinAckDelay != *delay(time.Duration(c.least)) {
				t.Errorf("%d µs of %d ms: %v, %v", c.least, c.most, p.MinAckDelay, err)
			}
		}
	}
}

// What only a server may send (RFC 9000, section 18.2).
func TestTransportParametersServerOnly(t *testing.T) {
	for id, value := range map[uint64][]byte{0x00: []byte("original"), 0x02: make([]byte, 16), 0x0d: preferred(8), 0x10: []byte("retry")} {
		for _, b := range [][]byte{append(source(), param(id, value...)...), append(param(id, value...), source()...)} {
			if _, err := ParseTransportParameters(b, false); err != nil {
				t.Errorf("0x%x from a server: %v", id, err)
			}
			wantError(t, b, true, fmt.Sprintf("0x%x is for servers only", id))
		}
	}
}

// No known parameter may be given twice, the same value or not (RFC 9000, section 7.4).
func TestTransportParametersTwice(t *testing.T) {
	p := filled()
	for b := p.Append(nil); len(b) > 0; {
		id, n := ConsumeVarint(b)
		_, m := consumeBytes(b[n:])
		one := b[:n+m]
		b = b[n+m:]
		rest := source()
		if id == paramInitialSrcConnID {
			rest = nil
		}
		apart := append(append(bytes.Clone(one), rest...), paramIfAbsent(id)...)
		apart = append(apart, one...)
		wantError(t, apart, false, fmt.Sprintf("0x%x is given twice", id))
		wantError(t, append(rest, bytes.Repeat(one, 2)...), false, fmt.Sprintf("0x%x is given twice", id))
	}
	// Unknown ones are not remembered.
	for _, id := range []uint64{0x21, 0x3f, 0x40, 0x7fff} {
		if _, err := ParseTransportParameters(append(source(), bytes.Repeat(param(id, 1), 2)...), true); err != nil {
			t.Errorf("an unknown parameter, twice: %v", err)
		}
	}
}

// paramIfAbsent is some other parameter than id.
func paramIfAbsent(id uint64) []byte {
	if id == paramInitialMaxData {
		return paramInt(paramMaxStreamsUni, 1)
	}
	return paramInt(paramInitialMaxData, 1)
}

// Unknown and reserved parameters mean nothing, whatever they hold (RFC 9000, section 7.4.2).
func TestTransportParametersUnknown(t *testing.T) {
	b := source()
	for _, id := range []uint64{0x12, 0x1e, 0x21, 0x3f, 0x41, 31*7 + 27, 0xff04de1c, MaxVarint - 1} {
		b = append(b, param(id)...)
		b = append(b, param(id+1, repeat(0xff, 70)...)...)
	}
	p, err := ParseTransportParameters(append(b, paramInt(paramInitialMaxData, 9)...), true)
	want := defaults()
	want.InitialMaxData = 9
	if err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("%+v, %v; want %+v", p, err, want)
	}
	// Identifiers and lengths may take more bytes than they need.
	long := unhex(t, "c00000000000000f 80000003 737263 4004 c000000000000001 09")
	if p, err := ParseTransportParameters(long, true); err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("in long encodings: %+v, %v; want %+v", p, err, want)
	}
}

// Cut anywhere but between two parameters, they are malformed; a length may not reach beyond the end.
func TestTransportParametersCutShort(t *testing.T) {
	p := filled()
	b := append(source(), p.Append(nil)...)
	b = bytes.Replace(b, param(paramInitialSrcConnID, p.InitialSrcConnID...), nil, 1)
	between := map[int]bool{}
	for at := 0; at < len(b); {
		_, n := ConsumeVarint(b[at:])
		_, m := consumeBytes(b[at+n:])
		at += n + m
		between[at] = true
	}
	for cut := 1; cut <= len(b); cut++ {
		_, err := ParseTransportParameters(b[:cut], false)
		if whole := err == nil; whole != between[cut] {
			t.Errorf("cut to %d of %d bytes: %v, want an error: %v", cut, len(b), err, !between[cut])
		}
	}
	wantError(t, append(source(), unhex(t, "04 ffffffffffffffff 01")...), true, "0x4 is cut short")
	wantError(t, append(source(), unhex(t, "7fff 02 01")...), true, "0x3fff is cut short")
}

// Of all parameters that we send, those without a field in RFC 9000, RFC 9221 and RFC 9287 are the other ones.
func TestOtherParameters(t *testing.T) {
	p := filled()
	p.Reserved = Reserved{N: 3, Value: []byte("greasing")}
	b := append(p.Append(nil), param(paramRetrySrcConnID+2, 7)...)
	b = append(append(b, param(paramMaxDatagramFrameSize-1)...), paramMaxDatagramFrameSize+1, 9) // of which the last one is cut short
	want := []uint64{paramMinAckDelay, paramVersionInformation, 31*3 + 27, paramRetrySrcConnID + 2, paramMaxDatagramFrameSize - 1}
	var got []uint64
	for id, value := range OtherParameters(b) {
		got = append(got, id)
		if id == 31*3+27 && string(value) != "greasing" {
			t.Errorf("the value of the reserved one is %q", value)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the others are %x, want %x", got, want)
	}
}
