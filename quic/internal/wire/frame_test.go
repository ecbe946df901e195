package wire

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/ranges"
)

// frames are one or more of each type, with their bytes where these are worth a look.
var frames = []struct {
	name  string
	frame anyFrame
	want  string
}{
	{name: "PADDING", frame: simpleFrame{FramePadding}, want: "00"},
	{name: "PING", frame: simpleFrame{FramePing}, want: "01"},
	{name: "HANDSHAKE_DONE", frame: simpleFrame{FrameHandshakeDone}, want: "1e"},
	{name: "IMMEDIATE_ACK", frame: simpleFrame{FrameImmediateAck}, want: "1f"},
	{name: "ACK, one packet", frame: ackFrame{Ack: Ack{Largest: 0}, Ranges: spans(0, 1)}, want: "02 00 00 00 00"},
	{name: "ACK, one range", frame: ackFrame{Ack: Ack{Largest: 99, DelayRaw: 5}, Ranges: spans(90, 100)},
		want: "02 4063 05 00 09"},
	{name: "ACK, smallest gap and range", frame: ackFrame{Ack: Ack{Largest: 2}, Ranges: spans(0, 1, 2, 3)},
		want: "02 02 00 01 00 00 00"},
	{name: "ACK, three ranges", frame: ackFrame{Ack: Ack{Largest: 30, DelayRaw: 63}, Ranges: spans(3, 5, 10, 20, 25, 31)},
		want: "02 1e 3f 02 05 04 09 04 01"},
	{name: "ACK, with ECN counts", frame: ackFrame{Ack: Ack{Largest: 7, HasECN: true, ECN: ECNCounts{ECT0: 64, ECT1: 2, CE: 3}},
		Ranges: spans(7, 8)}, want: "03 07 00 00 00 4040 02 03"},
	{name: "ACK, everything there can be", frame: ackFrame{Ack: Ack{Largest: MaxPacketNumber, DelayRaw: MaxVarint, HasECN: true,
		ECN: ECNCounts{MaxVarint, MaxVarint, MaxVarint}}, Ranges: spans(0, MaxPacketNumber+1)}},
	{name: "ACK, the largest gap", frame: ackFrame{Ack: Ack{Largest: MaxPacketNumber},
		Ranges: spans(0, 1, MaxPacketNumber, MaxPacketNumber+1)}},
	{name: "ACK, 64 ranges", frame: manyRanges(roomForRanges)},
	{name: "RESET_STREAM", frame: resetStreamFrame{ID: 4, Code: 0x10c, FinalSize: 63}, want: "04 04 410c 3f"},
	{name: "RESET_STREAM, largest", frame: resetStreamFrame{MaxVarint, MaxVarint, MaxVarint}},
	{name: "STOP_SENDING", frame: stopSendingFrame{ID: 5, Code: 6}, want: "05 05 06"},
	{name: "STOP_SENDING, largest", frame: stopSendingFrame{MaxVarint, MaxVarint}},
	{name: "CRYPTO", frame: cryptoFrame{Off: 64, Data: []byte{0xaa, 0xbb}}, want: "06 4040 02 aabb"},
	{name: "CRYPTO, empty", frame: cryptoFrame{Data: []byte{}}, want: "06 00 00"},
	{name: "CRYPTO, to the last offset", frame: cryptoFrame{Off: MaxVarint - 3, Data: []byte{1, 2, 3}}},
	{name: "NEW_TOKEN", frame: newTokenFrame{[]byte{7}}, want: "07 01 07"},
	{name: "NEW_TOKEN, long", frame: newTokenFrame{repeat(7, 300)}},
	{name: "STREAM", frame: streamFrame{ID: 1, Data: []byte{0xaa}}, want: "0a 01 01 aa"},
	{name: "STREAM, FIN", frame: streamFrame{ID: 1, Data: []byte{0xaa}, Fin: true}, want: "0b 01 01 aa"},
	{name: "STREAM, offset", frame: streamFrame{ID: 1, Off: 64, Data: []byte{0xaa}}, want: "0e 01 4040 01 aa"},
	{name: "STREAM, offset and FIN, empty", frame: streamFrame{ID: 1, Off: 5, Data: []byte{}, Fin: true}, want: "0f 01 05 00"},
	{name: "STREAM, to the end", frame: streamFrame{ID: 1, Data: []byte{0xaa, 0xbb}, ToEnd: true}, want: "08 01 aabb"},
	{name: "STREAM, to the end, FIN", frame: streamFrame{ID: 1, Data: []byte{0xaa}, Fin: true, ToEnd: true}, want: "09 01 aa"},
	{name: "STREAM, to the end, offset", frame: streamFrame{ID: 1, Off: 5, Data: []byte{0xaa}, ToEnd: true}, want: "0c 01 05 aa"},
	{name: "STREAM, to the end, offset, FIN, empty", frame: streamFrame{ID: 1, Off: 5, Data: []byte{}, Fin: true, ToEnd: true},
		want: "0d 01 05"},
	{name: "STREAM, to the last offset", frame: streamFrame{ID: MaxVarint, Off: MaxVarint - 1, Data: []byte{1}, Fin: true}},
	{name: "STREAM, at the last offset", frame: streamFrame{ID: MaxVarint, Off: MaxVarint, Data: []byte{}, Fin: true}},
	{name: "MAX_DATA", frame: maxDataFrame{64}, want: "10 4040"},
	{name: "MAX_DATA, largest", frame: maxDataFrame{MaxVarint}},
	{name: "MAX_STREAM_DATA", frame: maxStreamDataFrame{ID: 3, Limit: 4}, want: "11 03 04"},
	{name: "MAX_STREAM_DATA, largest", frame: maxStreamDataFrame{MaxVarint, MaxVarint}},
	{name: "MAX_STREAMS, bidirectional", frame: maxStreamsFrame{Bidi: true, Limit: 9}, want: "12 09"},
	{name: "MAX_STREAMS, unidirectional", frame: maxStreamsFrame{Limit: 1 << 60}, want: "13 d000000000000000"},
	{name: "MAX_STREAMS, more than is legal is for package quic to judge", frame: maxStreamsFrame{Limit: MaxVarint}},
	{name: "DATA_BLOCKED", frame: dataBlockedFrame{5}, want: "14 05"},
	{name: "STREAM_DATA_BLOCKED", frame: streamDataBlockedFrame{ID: 6, Limit: 7}, want: "15 06 07"},
	{name: "STREAM_DATA_BLOCKED, largest", frame: streamDataBlockedFrame{MaxVarint, MaxVarint}},
	{name: "STREAMS_BLOCKED, bidirectional", frame: streamsBlockedFrame{Bidi: true, Limit: 8}, want: "16 08"},
	{name: "STREAMS_BLOCKED, unidirectional", frame: streamsBlockedFrame{Limit: 8}, want: "17 08"},
	{name: "NEW_CONNECTION_ID, one byte", frame: newConnectionIDFrame{Seq: 2, RetirePriorTo: 1, ID: []byte{0xcc}, Token: [16]byte{15: 1}},
		want: "18 02 01 01 cc 00000000000000000000000000000001"},
	{name: "NEW_CONNECTION_ID, 20 bytes", frame: newConnectionIDFrame{Seq: MaxVarint, RetirePriorTo: MaxVarint, ID: repeat(3, 20)}},
	{name: "RETIRE_CONNECTION_ID", frame: retireConnectionIDFrame{4}, want: "19 04"},
	{name: "RETIRE_CONNECTION_ID, largest", frame: retireConnectionIDFrame{MaxVarint}},
	{name: "PATH_CHALLENGE", frame: pathFrame{Data: [8]byte{1, 7: 8}}, want: "1a 0100000000000008"},
	{name: "PATH_RESPONSE", frame: pathFrame{Response: true, Data: [8]byte{1, 7: 8}}, want: "1b 0100000000000008"},
	{name: "CONNECTION_CLOSE", frame: closeFrame{ConnectionClose{Code: 0x0a, FrameType: 6, Reason: []byte("why")}}, want: "1c 0a 06 03 776879"},
	{name: "CONNECTION_CLOSE, largest", frame: closeFrame{ConnectionClose{Code: MaxVarint, FrameType: MaxVarint, Reason: repeat('x', 70)}}},
	{name: "CONNECTION_CLOSE, application", frame: closeFrame{ConnectionClose{App: true, Code: 0x100, Reason: []byte{}}}, want: "1d 4100 00"},
	{name: "ACK_FREQUENCY", frame: ackFrequencyFrame{AckFrequency{Seq: 1, Threshold: 10, MaxDelay: 25000, Reordering: 3}},
		want: "40af 01 0a 800061a8 03"},
	{name: "ACK_FREQUENCY, zeros", frame: ackFrequencyFrame{}, want: "40af 00 00 00 00"},
	{name: "ACK_FREQUENCY, largest", frame: ackFrequencyFrame{AckFrequency{MaxVarint, MaxVarint, MaxVarint, MaxVarint}}},
	{name: "DATAGRAM", frame: datagramFrame{Data: []byte{0xdd}}, want: "31 01 dd"},
	{name: "DATAGRAM, empty", frame: datagramFrame{Data: []byte{}}, want: "31 00"},
	{name: "DATAGRAM, to the end", frame: datagramFrame{Data: []byte{0xdd}, ToEnd: true}, want: "30 dd"},
	{name: "DATAGRAM, to the end, empty", frame: datagramFrame{Data: []byte{}, ToEnd: true}, want: "30"},
}

// manyRanges is an ACK frame of n ranges of different lengths.
func manyRanges(n int) ackFrame {
	var f ackFrame
	at := int64(3)
	for i := range n {
		f.Ranges = append(f.Ranges, ranges.Range{Start: at, End: at + 1 + int64(i%3)*100})
		at = f.Ranges[i].End + 1 + int64(i%5)*50
	}
	f.Largest = f.Ranges[n-1].End - 1
	return f
}

// Each frame comes out as it went in; alone, with something behind it, and never if it is cut short.
func TestFrames(t *testing.T) {
	for _, c := range frames {
		t.Run(c.name, func(t *testing.T) {
			b := c.frame.append([]byte{0xee})
			if b[0] != 0xee {
				t.Fatal("what stood before the frame is gone")
			}
			b = b[1:]
			if c.want != "" && !bytes.Equal(b, unhex(t, c.want)) {
				t.Errorf("encoded as %x, want %s", b, c.want)
			}
			got, n := consumeAny(b)
			if n != len(b) || !reflect.DeepEqual(got, c.frame) {
				t.Fatalf("parsed %+v, %d of %d bytes; want %+v", got, n, len(b), c.frame)
			}
			least, open := toEnd(c.frame)
			for cut := range b {
				switch _, n := consumeAny(b[:cut]); {
				case !open && n != -1, open && cut < least && n != -1:
					t.Errorf("cut to %d of %d bytes: length %d, want -1", cut, len(b), n)
				case open && cut >= least && n != cut:
					t.Errorf("cut to %d of %d bytes: length %d, want all", cut, len(b), n)
				}
			}
			if open {
				return
			}
			got, n = consumeAny(append(b, 0xff, 0xff, 0xff))
			if n != len(b) || !reflect.DeepEqual(got, c.frame) {
				t.Errorf("with bytes behind it: %+v, %d of %d bytes; want %+v", got, n, len(b), c.frame)
			}
		})
	}
}

// What is malformed by itself, whatever packet it is in.
func TestFramesMalformed(t *testing.T) {
	for _, c := range []struct{ name, in string }{
		{"ACK, first range below 0", "02 05 00 00 06"},
		{"ACK, first range far below 0", "02 05 00 00 ffffffffffffffff"},
		{"ACK, gap to below 0", "02 05 00 01 00 04 00"},
		{"ACK, gap far below 0", "02 05 00 01 00 ffffffffffffffff 00"},
		{"ACK, range below 0", "02 05 00 01 00 03 01"},
		{"ACK, range far below 0", "02 05 00 01 00 00 ffffffffffffffff"},
		{"ACK, second gap from packet 0", "02 02 00 02 00 00 00 00 00"},
		{"ACK, count one too many", "02 14 00 02 00 01 01"},
		{"ACK, count 2^62-1", "02 14 00 ffffffffffffffff 00 01 01"},
		{"ACK with ECN counts, and without", "03 14 00 00 00"},
		{"ACK with ECN counts, two of them", "03 14 00 00 00 01 02"},
		{"ACK with ECN counts, count of ranges takes them", "03 14 00 01 00 01 02"},
		{"CRYPTO, beyond 2^62-1", "06 ffffffffffffffff 01 aa"},
		{"CRYPTO, beyond 2^62-1 by one of three", "06 fffffffffffffffd 03 aabbcc"},
		{"CRYPTO, length 2^62-1", "06 00 ffffffffffffffff aa"},
		{"NEW_TOKEN, empty", "07 00"},
		{"STREAM, beyond 2^62-1", "0e 00 ffffffffffffffff 01 aa"},
		{"STREAM, beyond 2^62-1, to the end", "0c 00 ffffffffffffffff aa"},
		{"STREAM, length 2^62-1", "0a 00 ffffffffffffffff aa"},
		{"STREAM, length one too large", "0a 00 03 aabb"},
		{"NEW_CONNECTION_ID, Retire Prior To above the number", "18 01 02 01 cc 00000000000000000000000000000000"},
		{"NEW_CONNECTION_ID, no connection ID", "18 01 00 00 00000000000000000000000000000000"},
		{"NEW_CONNECTION_ID, 21 bytes", "18 01 00 15 000102030405060708090a0b0c0d0e0f1011121314 00000000000000000000000000000000"},
		{"NEW_CONNECTION_ID, length 255", "18 01 00 ff 000102030405060708090a0b0c0d0e0f1011121314 00000000000000000000000000000000"},
		{"NEW_CONNECTION_ID, length in two bytes", "18 01 00 4001 cc 00000000000000000000000000000000"},
		{"PATH_CHALLENGE, 7 bytes", "1a 01020304050607"},
		{"PATH_RESPONSE, 7 bytes", "1b 01020304050607"},
		{"CONNECTION_CLOSE, reason longer than what is there", "1c 00 00 02 aa"},
		{"CONNECTION_CLOSE, reason of 2^62-1 bytes", "1c 00 00 ffffffffffffffff aa"},
		{"CONNECTION_CLOSE, application, reason longer than what is there", "1d 00 02 aa"},
		{"DATAGRAM, length one too large", "31 02 aa"},
		{"DATAGRAM, length 2^62-1", "31 ffffffffffffffff aa"},
	} {
		if f, n := consumeAny(unhex(t, c.in)); n != -1 {
			t.Errorf("%s: length %d, %+v; want -1", c.name, n, f)
		}
	}
}

// Integers that are longer than need be are the same integers.
func TestFramesNotMinimal(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     anyFrame
	}{
		{"ACK", "02 4005 80000000 4001 4001 c000000000000000 4000",
			ackFrame{Ack: Ack{Largest: 5}, Ranges: spans(2, 3, 4, 6)}},
		{"CRYPTO", "06 4000 80000001 aa", cryptoFrame{Data: []byte{0xaa}}},
		{"STREAM, offset 0 is written", "0e 01 00 01 aa", streamFrame{ID: 1, Data: []byte{0xaa}}},
		{"STREAM", "0f 4001 c000000000000002 4001 aa", streamFrame{ID: 1, Off: 2, Data: []byte{0xaa}, Fin: true}},
		{"RESET_STREAM", "04 4001 80000002 c000000000000003", resetStreamFrame{1, 2, 3}},
		{"MAX_STREAMS", "13 c000000000000003", maxStreamsFrame{Limit: 3}},
		{"CONNECTION_CLOSE", "1c 400a 4006 4001 78", closeFrame{ConnectionClose{Code: 10, FrameType: 6, Reason: []byte("x")}}},
	} {
		b := unhex(t, c.in)
		if f, n := consumeAny(b); n != len(b) || !reflect.DeepEqual(f, c.want) {
			t.Errorf("%s: %+v, length %d; want %+v", c.name, f, n, c.want)
		}
	}
}

func TestConsumeFrameType(t *testing.T) {
	for _, c := range []struct {
		in  string
		typ uint64
		n   int
	}{{"06", 6, 1}, {"4006", 6, 2}, {"407f", 0x7f, 2}, {"c000000000000006", 6, 8}, {"ffffffffffffffff", MaxVarint, 8}, {"", 0, -1}, {"40", 0, -1}} {
		if typ, n := ConsumeFrameType(unhex(t, c.in)); typ != c.typ || n != c.n {
			t.Errorf("%s: type %#x, length %d; want %#x, %d", c.in, typ, n, c.typ, c.n)
		}
	}
}

// What a frame's header length is said to be, it is.
func TestHeaderLens(t *testing.T) {
	sizes := []uint64{0, 1, 63, 64, 16383, 16384, 1<<30 - 1, 1 << 30, MaxVarint}
	for _, off := range sizes {
		for _, n := range []int{0, 63, 64, 1200, 16383, 16384, 65535} {
			if got, want := CryptoHeaderLen(off, n), len(AppendCryptoHeader(nil, off, n)); got != want {
				t.Errorf("CryptoHeaderLen(%d, %d) = %d, want %d", off, n, got, want)
			}
			for _, withLen := range []bool{false, true} {
				if got, want := DatagramHeaderLen(n, withLen), len(AppendDatagramHeader(nil, n, withLen)); got != want {
					t.Errorf("DatagramHeaderLen(%d, %v) = %d, want %d", n, withLen, got, want)
				}
				for _, id := range sizes {
					if got, want := StreamHeaderLen(id, off, n, withLen), len(AppendStreamHeader(nil, id, off, n, true, withLen)); got != want {
						t.Errorf("StreamHeaderLen(%d, %d, %d, %v) = %d, want %d", id, off, n, withLen, got, want)
					}
				}
			}
		}
	}
}
