package h3

import (
	"math/rand/v2"

	"github.com/boringquic/boringquic/quic/qpack"
)

// A grammar of what a peer sends, and what must come of it: each production says itself what it is, and that verdict is the grammar's own. Of the code under
// test some field sections are encoded by qpack's Encoder, and what the other side answers is read with consumeFrameHeader and qpack's Decoder.

// verdict is what a peer's misdeed must lead to, one of codes: for the connection, or the stream alone. None: nothing is wrong.
type verdict struct {
	conn  bool
	codes []ErrorCode
	why   string
}

func (v *verdict) wrong() bool { return v != nil && len(v.codes) > 0 }

func (v *verdict) allows(code ErrorCode) bool {
	for _, c := range v.codes {
		if c == code {
			return true
		}
	}
	return false
}

func connFault(why string, codes ...ErrorCode) *verdict   { return &verdict{true, codes, why} }
func streamFault(why string, codes ...ErrorCode) *verdict { return &verdict{false, codes, why} }

// gInt is a prefixed integer (RFC 7541, section 5.1), now and then longer than need be.
func gInt(rng *rand.Rand, first byte, bits uint, v uint64) []byte {
	limit := uint64(1)<<bits - 1
	if v < limit {
		return []byte{first | byte(v)}
	}
	b := []byte{first | byte(limit)}
	for v -= limit; v >= 128; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	if rng.IntN(8) == 0 {
		return append(b, byte(v)|0x80, 0)
	}
	return append(b, byte(v))
}

func gString(rng *rand.Rand, first byte, bits uint, s string) []byte {
	return append(gInt(rng, first, bits, uint64(len(s))), s...)
}

// gTable is the dynamic table that the peer builds. Nothing is ever evicted from it.
type gTable struct {
	entries []qpack.Field
	wire    []byte // of the encoder stream
	ends    []int  // where in it each entry is complete
}

var gStatic = map[string]int{":authority": 0, ":path": 1, "content-length": 4, "etag": 7, ":method": 17, ":scheme": 22, ":status": 24, "user-agent": 95}

var gStaticPairs = map[[2]string]int{{":method", "GET"}: 17, {":method", "POST"}: 20, {":method", "HEAD"}: 18, {":method", "CONNECT"}: 15, {":scheme", "https"}: 23,
	{":scheme", "http"}: 22, {":path", "/"}: 1, {":status", "200"}: 25, {":status", "103"}: 24, {":status", "304"}: 26, {":status", "204"}: 64, {"content-length", "0"}: 4}

// newGTable draws a table of the fields given.
func newGTable(rng *rand.Rand, fields []qpack.Field) *gTable {
	t := &gTable{wire: gInt(rng, 0x20, 5, 4096)}
	for _, f := range fields {
		n := len(t.entries)
		var same = -1
		for i := range t.entries {
			if t.entries[i].Name == f.Name {
				same = i
			}
		}
		static, isStatic := gStatic[f.Name]
		switch {
		case same >= 0 && t.entries[same].Value == f.Value:
			t.wire = append(t.wire, gInt(rng, 0, 5, uint64(n-1-same))...)
		case same >= 0 && rng.IntN(2) == 0:
			t.wire = append(append(t.wire, gInt(rng, 0x80, 6, uint64(n-1-same))...), gString(rng, 0, 7, f.Value)...)
		case isStatic && rng.IntN(2) == 0:
			t.wire = append(append(t.wire, gInt(rng, 0xc0, 6, uint64(static))...), gString(rng, 0, 7, f.Value)...)
		default:
			t.wire = append(append(t.wire, gString(rng, 0x40, 5, f.Name)...), gString(rng, 0, 7, f.Value)...)
		}
		t.entries = append(t.entries, f)
		t.ends = append(t.ends, len(t.wire))
	}
	return t
}

// section encodes fields, in one of all ways. required is how many entries it takes.
func (t *gTable) section(rng *rand.Rand, fields []qpack.Field) (b []byte, required int) {
	if rng.IntN(4) == 0 {
		return qpack.NewEncoder(qpack.EncoderConfig{TableCapacity: -1}).AppendSection(nil, 0, fields, 0), 0
	}
	dynamic := rng.IntN(3) > 0
	refs, names := make([]int, len(fields)), make([]int, len(fields))
	for i, f := range fields {
		refs[i], names[i] = -1, -1
		for k := range t.entries {
			if !dynamic || rng.IntN(3) == 0 {
				continue
			}
			if t.entries[k].Name == f.Name {
				names[i] = k
				if t.entries[k].Value == f.Value {
					refs[i] = k
				}
			}
		}
		required = max(required, refs[i]+1)
		if refs[i] < 0 {
			required = max(required, names[i]+1)
		}
	}
	base := 0
	if required > 0 {
		base = rng.IntN(required + 6)
		b = gInt(rng, 0, 8, uint64(required%256+1))
		if base >= required {
			b = append(b, gInt(rng, 0, 7, uint64(base-required))...)
		} else {
			b = append(b, gInt(rng, 0x80, 7, uint64(required-base-1))...)
		}
	} else {
		b = append(b, 0, byte(rng.IntN(3)))
	}
	for i, f := range fields {
		never := byte(rng.IntN(2))
		static, isStatic := gStatic[f.Name]
		pair, isPair := gStaticPairs[[2]string{f.Name, f.Value}]
		switch {
		case refs[i] >= base:
			b = append(b, gInt(rng, 0x10, 4, uint64(refs[i]-base))...)
		case refs[i] >= 0:
			b = append(b, gInt(rng, 0x80, 6, uint64(base-1-refs[i]))...)
		case names[i] >= base:
			b = append(append(b, gInt(rng, never<<3, 3, uint64(names[i]-base))...), gString(rng, 0, 7, f.Value)...)
		case names[i] >= 0:
			b = append(append(b, gInt(rng, 0x40|never<<5, 4, uint64(base-1-names[i]))...), gString(rng, 0, 7, f.Value)...)
		case isPair && rng.IntN(4) > 0:
			b = append(b, gInt(rng, 0xc0, 6, uint64(pair))...)
		case isStatic && rng.IntN(2) == 0:
			b = append(append(b, gInt(rng, 0x50|never<<5, 4, uint64(static))...), gString(rng, 0, 7, f.Value)...)
		default:
			b = append(append(b, gString(rng, 0x20|never<<4, 3, f.Name)...), gString(rng, 0, 7, f.Value)...)
		}
	}
	return b, required
}

// gMessage is what one stream of the peer's carries, and what must come of it.
type gMessage struct {
	wire     []byte
	fin      bool
	required int // entries of the table that it takes

	head     []qpack.Field // of the request, or the final response
	headEnd  int           // where in wire it ends
	body     []byte
	trailers []qpack.Field
	fault    *verdict
	faultAt  int // how much of wire must have come for it to be seen; with the end of the stream if that is len(wire)
	tooLarge bool
	interims int
}

func (m *gMessage) frame(rng *rand.Rand, typ uint64, payload []byte) {
	head := varint(typ)
	if rng.IntN(8) == 0 && typ < 64 { // longer than need be
		head = []byte{0x80, 0, 0, byte(typ)}
	}
	length := varint(uint64(len(payload)))
	if rng.IntN(8) == 0 && len(payload) < 64 {
		length = []byte{0x40, byte(len(payload))}
	}
	m.wire = append(append(append(m.wire, head...), length...), payload...)
}

func (m *gMessage) fail(v *verdict) {
	if m.fault == nil {
		m.fault, m.faultAt = v, len(m.wire)
	}
}

func (m *gMessage) odd(rng *rand.Rand) {
	for range rng.IntN(2) {
		m.frame(rng, 0x1f*uint64(rng.IntN(1000))+0x21, make([]byte, rng.IntN(40)))
	}
}

func gField(name, value string) qpack.Field { return qpack.Field{Name: name, Value: value} }

var gExtras = []qpack.Field{gField("x-a", "1"), gField("x-a", "2"), gField("x-b", ""), gField("etag", "\"q\""), gField("te", "trailers"),
	gField("accept", "a, b"), gField("x-utf", "\xc3\xa9"), gField("x-tab", "a\tb"), gField("user-agent", "gram/1"), gField("!#$%&'*+-.^_`|~09az", "odd")}

// gBadFields may stand in no header section, and the first 18 of them in no trailers.
var gBadFields = []qpack.Field{gField("X-Upper", "1"), gField("", "1"), gField("a b", "1"), gField("a:b", "1"), gField("x", "a\nb"), gField("x", "a\rb"),
	gField("x", "a\x00b"), gField("x", " a"), gField("x", "a "), gField("x", "\ta"), gField("connection", "close"), gField("keep-alive", "1"),
	gField("proxy-connection", "1"), gField("transfer-encoding", "chunked"), gField("upgrade", "h2c"), gField("te", "gzip"), gField("te", "trailers, gzip"),
	gField(":unknown", "1"), gField(":", "1"), gField("content-length", "+1"), gField("content-length", "1, 1"), gField("content-length", "-1"),
	gField("content-length", ""), gField("content-length", "0x1"), gField("content-length", "99999999999999999999"), gField("x\x7f", "1"),
	gField("x", "a\x7fb"), gField("\xc3\xa9", "1"), gField(":protocol", "a b")}

// requestHead draws the header section of a request; fault is what is wrong with it.
func requestHead(rng *rand.Rand) (fields []qpack.Field, method string, fault *verdict) {
	method = []string{"GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS"}[rng.IntN(6)]
	path := []string{"/", "/a?b=c", "/%41/..", "/e1"}[rng.IntN(4)]
	if method == "OPTIONS" && rng.IntN(2) == 0 {
		path = "*"
	}
	pseudo := []qpack.Field{gField(":method", method), gField(":scheme", []string{"https", "http"}[rng.IntN(2)]), gField(":authority", "example.org"), gField(":path", path)}
	if method == "CONNECT" {
		pseudo = []qpack.Field{gField(":method", method), gField(":authority", "example.org:443")}
		if rng.IntN(2) == 0 {
			pseudo = append(pseudo, gField(":protocol", "websocket"), gField(":scheme", "https"), gField(":path", path))
		}
	}
	rng.Shuffle(len(pseudo), func(i, j int) { pseudo[i], pseudo[j] = pseudo[j], pseudo[i] })
	bad := func(why string) { fault = streamFault(why, ErrCodeMessage) }
	var extra []qpack.Field
	for range rng.IntN(5) {
		extra = append(extra, gExtras[rng.IntN(len(gExtras))])
	}
	at := rng.IntN(len(pseudo))
	switch rng.IntN(22) {
	case 0:
		if n := pseudo[at].Name; n != ":protocol" { // without that a CONNECT with :scheme is as bad
			bad("no " + n)
		} else {
			bad(":scheme and :path of a plain CONNECT")
		}
		pseudo = append(pseudo[:at:at], pseudo[at+1:]...)
	case 1:
		bad(pseudo[at].Name + " twice")
		pseudo = append(pseudo, pseudo[at])
	case 2:
		bad(pseudo[at].Name + " behind a field")
		p := pseudo[at]
		pseudo = append(pseudo[:at:at], pseudo[at+1:]...)
		extra = append(extra, gField("x-a", "1"), p)
	case 3:
		bad(":status in a request")
		pseudo = append(pseudo, gField(":status", "200"))
	case 4:
		bad("another Host")
		extra = append(extra, gField("host", "example.net"))
	case 5:
		bad(pseudo[at].Name + " is empty")
		pseudo[at].Value = ""
	case 6:
		f := gBadFields[rng.IntN(len(gBadFields))]
		bad("the field " + f.Name + ": " + f.Value)
		i := rng.IntN(len(extra) + 1)
		extra = append(extra[:i:i], append([]qpack.Field{f}, extra[i:]...)...)
	case 7:
		bad("white space in " + pseudo[at].Name)
		pseudo[at].Value += " x"
	case 8:
		if method != "CONNECT" {
			bad(":protocol without CONNECT")
			pseudo = append(pseudo, gField(":protocol", "websocket"))
		}
	}
	return append(pseudo, extra...), method, fault
}

func responseHead(rng *rand.Rand, status string) (fields []qpack.Field, fault *verdict) {
	bad := func(why string) { fault = streamFault(why, ErrCodeMessage) }
	fields = append(fields, gField(":status", status))
	for range rng.IntN(5) {
		fields = append(fields, gExtras[rng.IntN(len(gExtras))])
	}
	switch rng.IntN(22) {
	case 0:
		bad("no :status")
		fields = fields[1:]
	case 1:
		bad(":status twice")
		fields = append([]qpack.Field{fields[0]}, fields...)
	case 2:
		bad(":status behind a field")
		fields = append(append([]qpack.Field{gField("x-a", "1")}, fields...), gField("x-b", ""))
	case 3:
		bad(":path in a response")
		fields = append([]qpack.Field{gField(":path", "/")}, fields...)
	case 4:
		bad("a status that is none")
		fields[0].Value = []string{"", "20", "2000", "abc", "101", "099", "+20", "20 "}[rng.IntN(8)]
	case 5:
		f := gBadFields[rng.IntN(len(gBadFields))]
		bad("the field " + f.Name + ": " + f.Value)
		fields = append(fields, f)
	}
	return fields, fault
}
