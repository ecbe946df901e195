package h3

import (
	"math/rand/v2"
	"strconv"

	"github.com/boringquic/boringquic/quic/qpack"
)

// gLimit is Config.MaxFieldSectionSize of the side under test.
const gLimit = 2000

// newMessage draws a request, or a response to a request of a method where to is not empty. wild allows what ends the connection.
func (t *gTable) newMessage(rng *rand.Rand, to string, extended, wild bool) *gMessage {
	m := &gMessage{fin: rng.IntN(10) > 0}
	client := to != ""
	section := func(fields []qpack.Field) {
		b, required := t.section(rng, fields)
		m.required = max(m.required, required)
		large := len(fields) > 0 && fields[len(fields)-1].Name == "x-large"
		if wild && !large && rng.IntN(6) == 0 {
			b = badSection(rng, m, b)
		}
		m.frame(rng, frameHeaders, b)
	}
	misplace := func(chance int) bool {
		if !wild || rng.IntN(chance) > 0 || m.fault != nil {
			return false
		}
		typ := []uint64{2, 6, 8, 9, 3, 4, 5, 7, 0xd, 0xf0700, 0xf0701}[rng.IntN(11)]
		codes := []ErrorCode{ErrCodeFrameUnexpected}
		if typ == framePushPromise && client {
			codes = append(codes, ErrCodeID, ErrCodeFrame)
		}
		at := len(m.wire)
		m.frame(rng, typ, make([]byte, rng.IntN(12)))
		m.fail(connFault("a frame of type "+strconv.Itoa(int(typ)), codes...))
		m.faultAt = min(at+16, len(m.wire))
		return true
	}
	m.odd(rng)
	misplace(12)
	if wild && rng.IntN(14) == 0 {
		m.frame(rng, frameData, make([]byte, rng.IntN(5)))
		m.fail(connFault("DATA before HEADERS", ErrCodeFrameUnexpected))
	}
	var method, status string
	var fields []qpack.Field
	var fault *verdict
	if client {
		method = to
		for rng.IntN(3) == 0 {
			f, v := responseHead(rng, []string{"100", "103", "199"}[rng.IntN(3)])
			section(f)
			m.interims++
			if v != nil {
				m.fail(v)
			}
			m.odd(rng)
		}
		status = []string{"200", "404", "204", "304", "999", "500", "299"}[rng.IntN(7)]
		fields, fault = responseHead(rng, status)
	} else {
		fields, method, fault = requestHead(rng)
		for _, f := range fields {
			extended = extended || f.Name == ":protocol"
		}
	}
	connect := method == "CONNECT" && (!client || status < "300")
	if !client {
		status = "200"
	}
	none := client && !connect && (method == "HEAD" || status == "204" || status == "304")
	size := 0
	if !none || rng.IntN(12) == 0 {
		size = []int{0, 0, 1, 5, 300, 5000}[rng.IntN(6)]
	}
	declared, mismatch := -1, false
	if rng.IntN(3) == 0 && fault == nil && method != "CONNECT" {
		declared = size
		switch {
		case none:
			declared = rng.IntN(100)
		case rng.IntN(3) == 0:
			declared = max(size+rng.IntN(7)-3, 0)
			mismatch = declared != size
			wild = wild && !mismatch // else either fault may be seen first
		}
		fields = append(fields, gField("content-length", strconv.Itoa(declared)))
	}
	if rng.IntN(16) == 0 && fault == nil {
		fields = append(fields, gField("x-large", stringOf(gLimit+rng.IntN(300))))
		m.tooLarge = true
		fault = streamFault("too large", ErrCodeExcessiveLoad)
	}
	if rng.IntN(30) == 0 && !client && m.fault == nil { // and no request
		m.fin = true
		m.fail(streamFault("no HEADERS", ErrCodeRequestIncomplete))
		return m
	}
	section(fields)
	if fault != nil {
		m.fail(fault)
	}
	m.head, m.headEnd = fields, len(m.wire)
	for left := size; left > 0; {
		m.odd(rng)
		misplace(20)
		n := min(left, 1+rng.IntN(max(size, 3)))
		part := make([]byte, n)
		for i := range part {
			part[i] = byte(len(m.body) + i)
		}
		before := len(m.body)
		m.frame(rng, frameData, part)
		m.body = append(m.body, part...)
		left -= n
		if none && m.fault == nil {
			m.fail(streamFault("a body where there is none", ErrCodeMessage))
		}
		if !none && declared >= 0 && before+n > declared && m.fault == nil {
			m.fail(streamFault("a body that is too long", ErrCodeMessage))
		}
	}
	if rng.IntN(6) == 0 {
		m.frame(rng, frameData, nil)
	}
	if rng.IntN(4) == 0 && m.fin && !connect {
		trailers := []qpack.Field{gField("x-t", "1")}
		var v *verdict
		for range rng.IntN(4) {
			trailers = append(trailers, gExtras[rng.IntN(len(gExtras))])
		}
		switch rng.IntN(6) {
		case 0:
			trailers = append(trailers, gField([]string{":path", ":status", ":x"}[rng.IntN(3)], "200"))
			v = streamFault("a pseudo-header field in trailers", ErrCodeMessage)
		case 1:
			trailers = append(trailers, gBadFields[rng.IntN(18)])
			v = streamFault("a bad field in trailers", ErrCodeMessage)
		case 2:
			trailers = append(trailers, gField("x-large", stringOf(gLimit+rng.IntN(300))))
			v = streamFault("trailers that are too large", ErrCodeExcessiveLoad, ErrCodeMessage)
		}
		section(trailers)
		if v != nil {
			m.fail(v)
		}
		m.trailers = trailers
		m.odd(rng)
		if wild && declared < 0 && rng.IntN(6) == 0 { // else DATA may be seen to be too much first, for the stream alone
			if wild = false; rng.IntN(2) == 0 {
				section(trailers)
			} else {
				m.frame(rng, frameData, []byte("x"))
			}
			m.fail(connFault("behind trailers", ErrCodeFrameUnexpected))
		}
	} else if connect && wild && rng.IntN(5) == 0 {
		wild = false
		section([]qpack.Field{gField("x-t", "1")})
		m.fail(connFault("HEADERS in a tunnel", ErrCodeFrameUnexpected))
	}
	misplace(15)
	m.odd(rng)
	if wild && rng.IntN(10) == 0 && m.fault == nil && !none && declared < 0 {
		typ := []uint64{0, 1, 0x21}[rng.IntN(3)]
		if m.trailers != nil || connect {
			typ = 0x21
		}
		b := frameOf(typ, make([]byte, 1+rng.IntN(60)))
		b = b[:1+rng.IntN(len(b)-1)]
		m.wire = append(m.wire, b...)
		if typ == frameData {
			m.body = append(m.body, b[min(2, len(b)):]...) // what has come of it
		}
		m.fin = true
		m.fail(connFault("a frame that is cut off", ErrCodeFrame))
	}
	if mismatch && m.fault == nil && m.fin {
		m.fail(streamFault("a body that is too short", ErrCodeMessage))
	}
	return m
}

// badSection spoils a section.
func badSection(rng *rand.Rand, m *gMessage, b []byte) []byte {
	if m.fault != nil {
		return b
	}
	at := len(m.wire)
	defer func() { m.faultAt = max(m.faultAt, at+len(b)+16) }()
	why, end := "", []byte(nil)
	switch rng.IntN(8) {
	case 0:
		why, end = "static index 99", []byte{0xff, 0x24}
	case 1:
		why, end = "a literal that is cut off", []byte{0x23, 'a'}
	case 2:
		why, end = "an EOS in Huffman", []byte{0x51, 0x84, 0xff, 0xff, 0xff, 0xff}
	case 3:
		why, end = "an integer above 2^62", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	case 4:
		b = nil
		why = "an empty section"
	case 5:
		b = append([]byte{0x00, 0x00}, 0x80)
		why = "a reference with Required Insert Count 0"
	case 6:
		b = []byte{0xff, 0x80, 0x02, 0x00, 0xc0}
		why = "a Required Insert Count that cannot be"
	case 7:
		b = []byte{0x02, 0x81, 0xc0}
		why = "a negative Base"
	}
	b = append(b, end...)
	m.fault, m.faultAt = connFault(why, ErrCodeDecompressionFailed), len(m.wire)
	return b
}
