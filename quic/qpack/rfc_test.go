package qpack

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The exchange of RFC 9204, appendix B, as the decoder has it.
func TestDecoderExamples(t *testing.T) {
	d := NewDecoder(220, 10)
	encoderStream := func(s string) {
		t.Helper()
		if err := d.HandleEncoderStream(unhex(t, s)); err != nil {
			t.Fatal(err)
		}
	}
	section := func(stream uint64, s string, want ...Field) {
		t.Helper()
		got, err := d.Decode(stream, unhex(t, s), nil, 1<<16)
		if err != nil || !sameFields(got, want) {
			t.Fatalf("stream %d: %v, %v, want %v", stream, got, err, want)
		}
	}
	wantInstructions := func(s string) {
		t.Helper()
		if got := d.Instructions(); !bytes.Equal(got, unhex(t, s)) {
			t.Fatalf("instructions %x, want %s", got, s)
		}
		d.Sent(len(d.Instructions()))
	}
	wantTable := func(size uint64, entries ...string) {
		t.Helper()
		if d.table.size != size || d.table.count != uint64(len(entries)) {
			t.Fatalf("table of %d bytes and %d entries, want %d and %d", d.table.size, d.table.count, size, len(entries))
		}
		for i, want := range entries {
			if e := d.table.at(d.table.inserted - d.table.count + uint64(i)); e.Name+"="+e.Value != want {
				t.Fatalf("entry %d is %v, want %s", i, e, want)
			}
		}
	}
	// B.1
	section(0, "0000 510b 2f69 6e64 6578 2e68 746d 6c", Field{Name: ":path", Value: "/index.html"})
	wantInstructions("")
	// B.2, and the section comes first
	if _, err := d.Decode(4, unhex(t, "0381 10 11"), nil, 1<<16); err != ErrBlocked {
		t.Fatalf("%v, want ErrBlocked", err)
	}
	encoderStream("3fbd01 c00f 7777 772e 6578 616d 706c 652e 636f 6d c10c 2f73 616d 706c 652f 7061 7468")
	if id, ok := d.NextUnblocked(); !ok || id != 4 {
		t.Fatalf("stream %d, %v is unblocked, want 4", id, ok)
	}
	section(4, "0381 10 11", Field{Name: ":authority", Value: "www.example.com"}, Field{Name: ":path", Value: "/sample/path"})
	wantInstructions("84")
	wantTable(106, ":authority=www.example.com", ":path=/sample/path")
	// B.3
	encoderStream("4a63 7573 746f 6d2d 6b65 790c 6375 7374 6f6d 2d76 616c 7565")
	wantInstructions("01")
	wantTable(160, ":authority=www.example.com", ":path=/sample/path", "custom-key=custom-value")
	// B.4
	if _, err := d.Decode(8, unhex(t, "0500 80 c1 81"), nil, 1<<16); err != ErrBlocked {
		t.Fatalf("%v, want ErrBlocked", err)
	}
	d.CancelStream(8)
	wantInstructions("48")
	encoderStream("02")
	wantTable(217, ":authority=www.example.com", ":path=/sample/path", "custom-key=custom-value", ":authority=www.example.com")
	if id, ok := d.NextUnblocked(); ok {
		t.Fatalf("stream %d is unblocked, and was cancelled", id)
	}
	section(8, "0500 80 c1 81", Field{Name: ":authority", Value: "www.example.com"}, Field{Name: ":path", Value: "/"},
		Field{Name: "custom-key", Value: "custom-value"})
	wantInstructions("88")
	// B.5
	encoderStream("810d 6375 7374 6f6d 2d76 616c 7565 32")
	wantTable(215, ":path=/sample/path", "custom-key=custom-value", ":authority=www.example.com", "custom-key=custom-value2")
	wantInstructions("01")
}

// Strings of RFC 7541, appendix C.4 and C.6, in the Huffman code.
var huffmanVectors = []struct{ plain, code string }{
	{"www.example.com", "f1e3 c2e5 f23a 6ba0 ab90 f4ff"},
	{"no-cache", "a8eb 1064 9cbf"},
	{"custom-key", "25a8 49e9 5ba9 7d7f"},
	{"custom-value", "25a8 49e9 5bb8 e8b4 bf"},
	{"302", "6402"},
	{"private", "aec3 771a 4b"},
	{"Mon, 21 Oct 2013 20:13:21 GMT", "d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff"},
	{"https://www.example.com", "9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3"},
	{"307", "640e ff"},
	{"gzip", "9bd9 ab"},
	{"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
		"94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07"},
}

func TestHuffmanVectors(t *testing.T) {
	for _, v := range huffmanVectors {
		code := unhex(t, v.code)
		if got := appendHuffman(nil, v.plain); !bytes.Equal(got, code) || huffmanLen(v.plain) != len(code) {
			t.Errorf("%q: code %x of %d bytes, want %x", v.plain, got, huffmanLen(v.plain), code)
		}
		if got, result := consumeHuffman(nil, code, 1000); string(got) != v.plain || result != huffmanOK {
			t.Errorf("%q: decoded %q, %d", v.plain, got, result)
		}
	}
}

func TestCanonical(t *testing.T) {
	for name, want := range map[string]string{
		"content-type": "Content-Type", "etag": "Etag", "x-forwarded-for": "X-Forwarded-For", ":path": ":path", "www-authenticate": "Www-Authenticate",
		"a b-c": "a b-c", "": "", "-": "-", "x--y": "X--Y", "FOO-bAR": "Foo-Bar", "1a-2b": "1a-2b", "ü-x": "ü-x",
	} {
		if got := string(appendCanonical(nil, name)); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
