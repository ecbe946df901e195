package wire

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
)

// FuzzHeaders parses a datagram packet by packet, and encodes again what it found.
func FuzzHeaders(f *testing.F) {
	id := []byte("12345678")
	var whole []byte
	for _, version := range []uint32{Version1, Version2} {
		for _, typ := range []PacketType{Initial, ZeroRTT, Handshake} {
			p := longPacket(typ, version, id, id[:4], []byte("token"), 40)
			f.Add(p)
			whole = append(whole, p...)
		}
		f.Add(append(AppendRetryWithoutTag(nil, version, id, id, []byte("token"), 5), repeat(1, 16)...))
	}
	short, _ := AppendShortHeader(nil, id, true, true, 7, 4)
	f.Add(append(whole, short...))
	f.Add(short)
	f.Add(AppendVersionNegotiation(nil, repeat(1, 255), id, []uint32{Version1, 0x1a2a3a4a}, 0x3f))
	f.Add(appendInvariants([]byte{0x80}, 0xff00001d, repeat(1, 21), nil))
	f.Add([]byte{0xc0, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0xe0, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		fuzzInvariants(t, datagram)
		for b := datagram; len(b) > 0; {
			h, n := ConsumeLongHeader(b)
			if n == -1 {
				return
			}
			if n <= 0 || n > len(b) || h.Len != n || h.PNOffset < 0 || h.PNOffset > n {
				t.Fatalf("%x: length %d, %+v", b, n, h)
			}
			if h.Type == Retry && h.PNOffset != 0 || h.Type != Initial && h.Type != Retry && h.Token != nil {
				t.Fatalf("%x: %+v", b, h)
			}
			fuzzHeaderAgain(t, b[:n], h)
			b = b[n:]
		}
	})
}

// fuzzInvariants parses what all versions share, and Version Negotiation; both have one encoding only.
func fuzzInvariants(t *testing.T, b []byte) {
	version, dcid, scid, n := ConsumeInvariants(b)
	if n == -1 {
		return
	}
	if again := appendInvariants(b[:1:1], version, dcid, scid); !bytes.Equal(again, b[:n]) {
		t.Fatalf("%x: encoded again as %x", b[:n], again)
	}
	dcid, scid, versions, n := ConsumeVersionNegotiation(b)
	if n == -1 {
		return
	}
	again := AppendVersionNegotiation(nil, dcid, scid, versions, b[0])
	if again[0] &^= fixedBit &^ b[0]; n != len(b) || !bytes.Equal(again, b) {
		t.Fatalf("%x: length %d, encoded again as %x", b, n, again)
	}
}

// fuzzHeaderAgain encodes the packet b with header h again and parses that.
func fuzzHeaderAgain(t *testing.T, b []byte, h LongHeader) {
	if h.Type == Retry {
		again := AppendRetryWithoutTag(nil, h.Version, h.DstConnID, h.SrcConnID, h.Token, b[0])
		again = append(again, b[len(b)-retryTagLen:]...)
		if again[0] &^= fixedBit &^ b[0]; !bytes.Equal(again, b) {
			t.Fatalf("%x: encoded again as %x", b, again)
		}
		return
	}
	payload := b[h.PNOffset:]
	if len(payload) >= 1<<14 {
		return // more than AppendLongHeader leaves room for
	}
	pnLen := 1 + int(b[0]&3)
	again, lengthOff, pnOff := AppendLongHeader(nil, h.Type, h.Version, h.DstConnID, h.SrcConnID, h.Token, 0, pnLen)
	if got := LongHeaderLen(h.Type, len(h.DstConnID), len(h.SrcConnID), len(h.Token), pnLen); got != len(again) {
		t.Fatalf("%x: LongHeaderLen says %d, it is %d", b, got, len(again))
	}
	again = append(again[:pnOff], payload...)
	PutVarint2(again[lengthOff:], uint64(len(payload)))
	g, n := ConsumeLongHeader(again)
	if n != len(again) || g.Len-g.PNOffset != h.Len-h.PNOffset || g.TooShortToOpen() != h.TooShortToOpen() {
		t.Fatalf("%x: %+v; encoded again: length %d, %+v", b, h, n, g)
	}
	g.Len, g.PNOffset = h.Len, h.PNOffset
	if !reflect.DeepEqual(g, h) {
		t.Fatalf("%x: %+v; encoded again: %+v", b, h, g)
	}
}

// FuzzFrames parses a packet's payload frame by frame, encodes each again and parses that: it must be the same.
func FuzzFrames(f *testing.F) {
	var all []byte
	for _, c := range frames {
		b := c.frame.append(nil)
		f.Add(b)
		if _, open := toEnd(c.frame); !open {
			all = append(all, b...)
		}
	}
	f.Add(all)
	f.Add(manyRanges(63).append(nil))
	f.Add([]byte{FrameAck, 0x40, 0x05, 0x80, 0, 0, 0, 0x40, 1, 0, 0x40, 0, 0x40, 0}) // none the shortest
	f.Add([]byte{0x40, FramePing})
	f.Add([]byte{0x40, FrameAckFrequency, 0xc0})
	f.Add([]byte{0x80, 0, 0, FrameAckFrequency, 1, 1, 1, 1})                                           // not the shortest type
	f.Add([]byte{0x40, FrameAckFrequency, 0x40, 1, 0x80, 0, 0, 9, 0xc0, 0, 0, 0, 0, 0, 0, 1, 0x40, 3}) // nor its fields
	f.Add([]byte{0x20})
	f.Fuzz(func(t *testing.T, payload []byte) {
		for b := payload; len(b) > 0; {
			frame, n := consumeAny(b)
			if n == -1 {
				return
			}
			if n <= 0 || n > len(b) {
				t.Fatalf("%x: length %d of %d bytes", b, n, len(b))
			}
			again := frame.append(nil)
			got, m := consumeAny(again)
			if m != len(again) || m > n || !reflect.DeepEqual(got, frame) {
				t.Fatalf("%x: %+v; encoded again as %x: %+v, length %d", b[:n], frame, again, got, m)
			}
			b = b[n:]
		}
	})
}

// FuzzTransportParameters parses parameters, encodes them again and parses that: they must be the same.
func FuzzTransportParameters(f *testing.F) {
	server, plain := filled(), defaults()
	client := server
	client.OriginalDstConnID, client.RetrySrcConnID, client.StatelessResetToken, client.PreferredAddress = nil, nil, nil, nil
	f.Add(server.Append(nil), false)
	f.Add(server.Append(nil), true)
	f.Add(client.Append(nil), true)
	f.Add(plain.Append(nil), false)
	f.Add(append(source(), paramInt(paramMaxIdleTimeout, MaxVarint)...), true)
	f.Add(append(source(), param(0x7fff, repeat(1, 50)...)...), true)
	f.Add(append(source(), param(paramGreaseQUICBit)...), true)
	f.Add(append(source(), paramInt(paramMinAckDelay, 25_001)...), true)
	f.Add(append(append(source(), paramInt(paramMinAckDelay, 1)...), paramInt(paramMinAckDelay, 2)...), false)
	f.Add(append(source(), 0x04, 0x40), true)
	f.Add(append(source(), source()...), false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, b []byte, fromClient bool) {
		p, err := ParseTransportParameters(b, fromClient)
		fuzzOtherParameters(t, b)
		if err != nil {
			if err.Error() == "" {
				t.Fatalf("%x: an error without a text", b)
			}
			return
		}
		if p.InitialSrcConnID == nil || p.MaxUDPPayloadSize < 1200 || p.AckDelayExponent > 20 || p.MaxAckDelay >= 1<<14*1e6 ||
			p.ActiveConnIDLimit < 2 || p.MaxStreamsBidi > MaxStreamsLimit || p.MaxStreamsUni > MaxStreamsLimit || p.MaxIdleTimeout < 0 ||
			p.MinAckDelay != nil && (*p.MinAckDelay < 0 || *p.MinAckDelay > p.MaxAckDelay) {
			t.Fatalf("%x: %+v", b, p)
		}
		if fromClient && (p.OriginalDstConnID != nil || p.RetrySrcConnID != nil || p.StatelessResetToken != nil || p.PreferredAddress != nil) {
			t.Fatalf("%x from a client: %+v", b, p)
		}
		again := p.Append(nil)
		if q, err := ParseTransportParameters(again, fromClient); err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%x: %+v; encoded again as %x: %+v, %v", b, p, again, q, err)
		}
	})
}

// fuzzOtherParameters: what is told of b is all there again if it is encoded, before parameters that have names, of which nothing is told.
func fuzzOtherParameters(t *testing.T, b []byte) {
	type parameter struct {
		id    uint64
		value string
	}
	others := func(b []byte) (out []parameter) {
		for id, value := range OtherParameters(b) {
			out = append(out, parameter{id, string(value)})
		}
		return out
	}
	var again []byte
	want := others(b)
	for _, p := range want {
		again = appendParam(again, p.id, []byte(p.value))
	}
	named := filled()
	named.MinAckDelay, named.Version = nil, VersionInformation{}
	all := named.Append(nil)
	if got := others(append(again[:len(again):len(again)], all...)); !slices.Equal(got, want) || len(again) > len(b) {
		t.Fatalf("%x: other parameters %v; encoded again as %x, and with named ones behind: %v", b, want, again, got)
	}
	if got := others(append(all, again...)); !slices.Equal(got, want) {
		t.Fatalf("%x: other parameters %v; behind named ones %v", b, want, got)
	}
}
