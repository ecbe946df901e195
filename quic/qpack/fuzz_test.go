package qpack

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"
)

// Whatever a section is, the decoder neither panics nor passes its limit, says what a second one says that decodes line by line, and what
// it decodes survives being encoded again.
func FuzzSection(f *testing.F) {
	for _, s := range []string{"0000", "0000 d1 51 04 2f 61 62 63", "0200 80", "0381 10 11", "04 81 80 11 40 01 78 60 01 79 00 01 78 09 01 79",
		"0000 2f 01 25a8 49e9 5ba9 7d7f 89 25a8 49e9 5bb8 e8b4 bf", "ff ff ff ff", "0000 51 84 ff ff ff ff"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, section []byte) {
		const limit = 2000
		decoder := func() *Decoder {
			return decoderWith(t, 4096, 1, Field{Name: "a", Value: "1"}, Field{Name: "cookie", Value: "b=2"}, Field{Name: "", Value: ""})
		}
		got, err := decoder().Decode(0, section, nil, limit)
		again, errAgain := decoder().decodeByLine(section, limit)
		if !sameFields(got, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("%v, %v; then %v, %v", got, err, again, errAgain)
		}
		var q *Error
		if err != nil && err != ErrBlocked && err != ErrTooLarge && (!errors.As(err, &q) || q.Code != DecompressionFailed) {
			t.Fatal(err)
		}
		size := uint64(0)
		for _, x := range got {
			size += x.Size()
		}
		if size > limit {
			t.Fatalf("%d bytes were decoded", size)
		}
		if err == nil {
			e, d := NewEncoder(EncoderConfig{IndexSecrets: true}), NewDecoder(0, 0)
			back, err := d.Decode(0, e.AppendSection(nil, 0, got, 0), nil, limit)
			if err != nil || !sameFields(back, got) {
				t.Fatalf("%v became %v, %v", got, back, err)
			}
		}
	})
}

// Whatever comes on the encoder stream, whole or a byte at a time, comes to the same, within the table's bounds.
func FuzzEncoderStream(f *testing.F) {
	for _, s := range []string{"3f bd 01 c0 0f 7777 772e 6578 616d 706c 652e 636f 6d", "4a63 7573 746f 6d2d 6b65 790c 6375 7374 6f6d 2d76 616c 7565 00 00 20",
		"3f e1 1f 41 61 01 62 80 01 63 00 02", "c0 89 25a8 49e9 5bb8 e8b4 bf", "ff 80 ff ff ff 01"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, pieces := decoderWith(t, 300, 1), decoderWith(t, 300, 1)
		err := whole.HandleEncoderStream(in)
		var errPieces error
		for i := 0; i < len(in) && errPieces == nil; i++ {
			errPieces = pieces.HandleEncoderStream(in[i : i+1])
		}
		if fmt.Sprint(err) != fmt.Sprint(errPieces) {
			// A fault of an instruction may be seen before the end of it.
			if err == nil || errPieces == nil {
				t.Fatalf("whole: %v; in pieces: %v", err, errPieces)
			}
		}
		var q *Error
		if err != nil && (!errors.As(err, &q) || q.Code != EncoderStreamError) {
			t.Fatal(err)
		}
		for _, d := range []*Decoder{whole, pieces} {
			size := uint64(0)
			for i := d.table.inserted - d.table.count; i < d.table.inserted; i++ {
				size += d.table.at(i).Size()
			}
			if size != d.table.size || size > 300 || len(d.table.ring) > 16 || len(d.partial) > 4*300+2*maxIntLen {
				t.Fatalf("%d bytes in the table, counted as %d, %d places, %d bytes kept", size, d.table.size, len(d.table.ring), len(d.partial))
			}
		}
		if err == nil && (whole.table.inserted != pieces.table.inserted || !bytes.Equal(whole.partial, pieces.partial)) {
			t.Fatalf("%d entries and %x; in pieces %d and %x", whole.table.inserted, whole.partial, pieces.table.inserted, pieces.partial)
		}
	})
}

// Whatever comes on the decoder stream, whole or a byte at a time, comes to the same, and the encoder's account stays right.
func FuzzDecoderStream(f *testing.F) {
	for _, s := range []string{"80", "84 88", "01 80", "40 44 48", "3f", "00", "ff 80 80 80 80 80 80 80 80 80 00", "03 80 80"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		encoder := func() *Encoder {
			e := NewEncoder(EncoderConfig{})
			if err := e.SetPeer(200, 3); err != nil {
				t.Fatal(err)
			}
			for i := range 4 {
				e.AppendSection(nil, uint64(i%3)*4, []Field{{Name: "user-agent", Value: fmt.Sprint("an agent, number ", i/2)}}, math.MaxInt)
			}
			return e
		}
		whole, pieces := encoder(), encoder()
		err := whole.HandleDecoderStream(in)
		var errPieces error
		for i := 0; i < len(in) && errPieces == nil; i++ {
			errPieces = pieces.HandleDecoderStream(in[i : i+1])
		}
		if fmt.Sprint(err) != fmt.Sprint(errPieces) {
			t.Fatalf("whole: %v; in pieces: %v", err, errPieces)
		}
		var q *Error
		if err != nil && (!errors.As(err, &q) || q.Code != DecoderStreamError) {
			t.Fatal(err)
		}
		pins := uint32(0)
		for i := whole.table.oldest(); i < whole.table.inserted; i++ {
			pins += whole.table.at(i).pins
		}
		flying := uint32(0)
		for _, s := range whole.flight.sections {
			if !s.done {
				flying++
			}
		}
		if pins != flying || whole.flight.known > whole.table.inserted || len(whole.partial) > maxIntLen {
			t.Fatalf("%d pins for %d sections, %d entries known of %d", pins, flying, whole.flight.known, whole.table.inserted)
		}
	})
}

// The Huffman decoder against one that goes bit by bit.
func FuzzHuffman(f *testing.F) {
	for _, v := range huffmanVectors {
		f.Add(unhex(f, v.code))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, code []byte) {
		want, ok := slowHuffman(string(code))
		got, result := consumeHuffman([]byte("x"), code, 1<<20)
		if ok != (result == huffmanOK) || ok && string(got) != "x"+want {
			t.Fatalf("%q, %d; bit by bit %q, %v", got, result, want, ok)
		}
		if ok && !bytes.Equal(appendHuffman(nil, want), code) {
			t.Fatalf("%x stands for %q, which is encoded as %x", code, want, appendHuffman(nil, want))
		}
	})
}

// Lists that the input makes up, over a network that it chooses, come out as they went in, and no rule is broken. The bytes of the input
// are what is done next.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("\x10\x05 a few words to be sent and sent again, and again, and to be sent"))
	f.Add([]byte("\x40\x00aaaaaaaabbbbbbbbaaaaaaaaccccccccaaaaaaaaZZZZZZZaaaaaa"))
	f.Add(bytes.Repeat([]byte("\x7f\x02\xf1\xe2\xd3\xc4\xb5\xa6\x97\x88"), 20))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < 2 || len(in) > 4000 {
			return
		}
		l := newLink(t, EncoderConfig{}, uint64(in[0])*16, uint64(in[1]%8))
		names := []string{"user-agent", "cookie", ":path", "x-a", "x-b", "authorization", "", "accept"}
		var list []Field
		stream := uint64(0)
		for i, c := range in[2:] {
			switch c >> 5 {
			case 7:
				l.send(stream*4, list, int(c&31)*20)
				list = list[:0:0]
				stream++
			case 6:
				l.deliverInstructions(min(len(l.toDecoder), int(c&31)*4))
			case 5:
				if len(l.sections) > 0 {
					l.deliverSection(int(c&31) % len(l.sections))
				}
			case 4:
				l.deliverAcks(min(len(l.toEncoder), int(c&31)))
			case 3:
				if c&31 == 0 && len(l.sections) > 0 {
					l.cancel(l.sections[0].stream)
				}
			default:
				value := bytes.Repeat([]byte{'a' + c%26, byte(i) & 0x80}, int(c>>2))
				list = append(list, Field{Name: names[c%8], Value: string(value), Sensitive: c == 63})
			}
		}
		l.invariants()
		l.settle()
		l.invariants()
	})
}
