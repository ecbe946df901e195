package trace

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/netem"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The server's Initial packets of RFC 9001, appendix A.3, and RFC 9369, appendix A.3.
const (
	serverInitial1 = "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb3" +
		"8cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84" +
		"022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee"
	serverInitial2 = "dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698baeea26b91eb761d9b89237bbf872630" +
		"17915358230035f7fd3945d88965cf17f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a393e42757507698075b2" +
		"c984c707f0a0812d8cd5a6881eaf21ceda98f4bd23f6fe1a3e2c43edd9ce7ca84bed8521e2e140"
)

// Sample packets open, are damaged for any flipped bit, and have the frames that the RFCs tell.
func TestVectors(t *testing.T) {
	dcid := unhex(t, "8394c8f03e515708")
	for number, sample := range map[uint32]string{Version1: serverInitial1, Version2: serverInitial2} {
		b := unhex(t, sample)
		const pnOff = 18
		plain, pn, _, ok := initialOpener(versions[number], dcid, false).open(b, pnOff, false)
		if !ok || pn != 1 {
			t.Fatalf("version %#x: packet number %d, %v", number, pn, ok)
		}
		frames, err := parseFrames(plain)
		if err != nil || len(frames) != 2 || frames[0].Type != FrameAck || frames[1].Type != FrameCrypto || frames[1].Data[0] != ServerHello {
			t.Errorf("version %#x: %+v, %v", number, frames, err)
		}
		if typ := versions[number].longTypes[b[0]>>4&3]; typ != Initial {
			t.Errorf("version %#x: type %v", number, typ)
		}
		for i := range b {
			c := bytes.Clone(b)
			c[i] ^= 1
			if _, _, _, ok := initialOpener(versions[number], dcid, false).open(c, pnOff, false); ok {
				t.Errorf("version %#x opens with byte %d changed", number, i)
			}
		}
	}
	secret := unhex(t, "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b")
	for number, sample := range map[uint32]string{Version1: "4cfe4189655e5cd55c41f69080575d7999c25a5bfb", Version2: "5558b1c60ae7b6b932bc27d786f4bc2bb20f2162ba"} {
		o := newOpener(versions[number], 0x1303, secret)
		o.largest = 654360563
		if plain, pn, _, ok := o.open(unhex(t, sample), 1, true); !ok || pn != 654360564 || !bytes.Equal(plain, []byte{1}) {
			t.Errorf("version %#x: ChaCha20 gives %x in packet %d, %v", number, plain, pn, ok)
		}
	}
}

// Whatever arrives, Read does not panic.
func FuzzRead(f *testing.F) {
	f.Add([]byte(serverInitial1), []byte("SERVER_HANDSHAKE_TRAFFIC_SECRET 00 00"))
	f.Fuzz(func(t *testing.T, b, keys []byte) {
		var rs []netem.Record
		for side := range 2 {
			for _, sent := range []bool{false, true} {
				rs = append(rs, netem.Record{Side: netem.Side(side), Sent: sent, Packet: netem.Packet{Data: b}})
			}
		}
		Read(rs, keys)
		parseFrames(b)
	})
}

// A crypto stream is put together from whatever pieces.
func TestAssembler(t *testing.T) {
	want := "0123456789abcdef"
	var a assembler
	for _, piece := range [][2]int{{4, 8}, {2, 6}, {12, 16}, {12, 14}, {0, 3}, {7, 13}} {
		a.add(uint64(piece[0]), []byte(want[piece[0]:piece[1]]))
	}
	if string(a.b) != want {
		t.Errorf("%q", a.b)
	}
}

// Packet numbers as RFC 9000, appendix A.3, has them.
func TestDecodePN(t *testing.T) {
	for _, c := range []struct {
		largest, truncated int64
		pnLen              int
		want               int64
	}{{0xa82f30ea, 0x9b32, 2, 0xa82f9b32}, {-1, 0, 1, 0}, {255, 0, 1, 256}, {256, 255, 1, 255}} {
		if got := decodePN(c.largest, c.truncated, c.pnLen); got != c.want {
			t.Errorf("%+v: %#x", c, got)
		}
	}
}
