package h3

import (
	"math/rand/v2"
	"strconv"

	"github.com/boringquic/boringquic/quic/qpack"
)

// gLimit is Config.MaxFieldSectionSize of the side under test.
const gLimit = 2000

// gDraft is a message while it is drawn: head, body, trailers, tail.
type gDraft struct {
	*gMessage
	t      *gTable
	rng    *rand.Rand
	client bool // it is a response
	wild   bool // what ends the connection may be drawn
	ended  bool // it was, and nothing else of that kind may follow

	method   string // of the request
	connect  bool   // it opens a tunnel
	none     bool   // no body may follow
	size     int    // of the body
	declared int    // content-length; -1: there is none
	mismatch bool   // and the body has another size: what would end the connection might be seen before that, or behind
}

// newMessage draws a request, or a response to a request of a method where to is not empty. wild allows what ends the connection.
func (t *gTable) newMessage(rng *rand.Rand, to string, wild bool) *gMessage {
	d := &gDraft{gMessage: &gMessage{fin: rng.IntN(10) > 0}, t: t, rng: rng, client: to != "", wild: wild, method: to, declared: -1}
	d.odd(rng)
	d.misplace(12)
	if d.mayEnd() && rng.IntN(14) == 0 {
		d.frame(rng, frameData, make([]byte, rng.IntN(5)))
		d.fail(connFault("DATA before HEADERS", ErrCodeFrameUnexpected))
	}
	if !d.drawHead() {
		return d.gMessage
	}
	d.drawBody()
	d.drawTrailers()
	d.drawTail()
	return d.gMessage
}

// mayEnd tells whether something may be drawn that ends the connection.
func (d *gDraft) mayEnd() bool { return d.wild && !d.ended && !d.mismatch }

// section appends a HEADERS frame, which is spoiled now and then.
func (d *gDraft) section(fields []qpack.Field) {
	b, required := d.t.section(d.rng, fields)
	d.required = max(d.required, required)
	large := len(fields) > 0 && fields[len(fields)-1].Name == "x-large"
	if d.mayEnd() && !large && d.rng.IntN(6) == 0 {
		b = badSection(d.rng, d.gMessage, b)
	}
	d.frame(d.rng, frameHeaders, b)
}

// misplace appends a frame that may stand nowhere on a request stream, once in chance times.
func (d *gDraft) misplace(chance int) {
	if !d.mayEnd() || d.rng.IntN(chance) > 0 || d.fault != nil {
		return
	}
	typ := []uint64{2, 6, 8, 9, 3, 4, 5, 7, 0xd, 0xf0700, 0xf0701}[d.rng.IntN(11)]
	codes := []ErrorCode{ErrCodeFrameUnexpected}
	if typ == framePushPromise && d.client {
		codes = append(codes, ErrCodeID, ErrCodeFrame)
	}
	at := len(d.wire)
	d.frame(d.rng, typ, make([]byte, d.rng.IntN(12)))
	d.fail(connFault("a frame of type "+strconv.Itoa(int(typ)), codes...))
	d.faultAt = min(at+16, len(d.wire))
}

// drawHead draws interim responses and the header section, and what body is to follow; false: the message ends before its header section.
func (d *gDraft) drawHead() bool {
	rng, status := d.rng, "200"
	var fields []qpack.Field
	var fault *verdict
	if d.client {
		d.drawInterims()
		status = []string{"200", "404", "204", "304", "999", "500", "299"}[rng.IntN(7)]
		fields, fault = responseHead(rng, status)
	} else {
		fields, d.method, fault = requestHead(rng)
	}
	d.connect = d.method == "CONNECT" && status < "300"
	d.none = d.client && !d.connect && (d.method == "HEAD" || status == "204" || status == "304")
	if !d.none || rng.IntN(12) == 0 {
		d.size = []int{0, 0, 1, 5, 300, 5000}[rng.IntN(6)]
	}
	if rng.IntN(3) == 0 && fault == nil && d.method != "CONNECT" {
		d.declare()
		fields = append(fields, gField("content-length", strconv.Itoa(d.declared)))
	}
	if rng.IntN(16) == 0 && fault == nil {
		fields = append(fields, gField("x-large", stringOf(gLimit+rng.IntN(300))))
		d.tooLarge = true
		fault = streamFault("too large", ErrCodeExcessiveLoad)
	}
	if rng.IntN(30) == 0 && !d.client && d.fault == nil { // and no request
		d.fin = true
		d.fail(streamFault("no HEADERS", ErrCodeRequestIncomplete))
		return false
	}
	d.section(fields)
	if fault != nil {
		d.fail(fault)
	}
	d.head, d.headEnd = fields, len(d.wire)
	return true
}

// drawInterims draws interim responses.
func (d *gDraft) drawInterims() {
	for d.rng.IntN(3) == 0 {
		fields, fault := responseHead(d.rng, []string{"100", "103", "199"}[d.rng.IntN(3)])
		d.section(fields)
		d.interims++
		if fault != nil {
			d.fail(fault)
		}
		d.odd(d.rng)
	}
}

// declare draws a content-length, which may be wrong.
func (d *gDraft) declare() {
	d.declared = d.size
	switch {
	case d.none:
		d.declared = d.rng.IntN(100)
	case d.rng.IntN(3) == 0:
		d.declared = max(d.size+d.rng.IntN(7)-3, 0)
		d.mismatch = d.declared != d.size
	}
}

// drawBody draws the body, in DATA frames.
func (d *gDraft) drawBody() {
	for left := d.size; left > 0; {
		d.odd(d.rng)
		d.misplace(20)
		n := min(left, 1+d.rng.IntN(max(d.size, 3)))
		part := make([]byte, n)
		for i := range part {
			part[i] = byte(len(d.body) + i)
		}
		d.frame(d.rng, frameData, part)
		d.body = append(d.body, part...)
		left -= n
		switch {
		case d.none:
			d.fail(streamFault("a body where there is none", ErrCodeMessage))
		case d.declared >= 0 && len(d.body) > d.declared:
			d.fail(streamFault("a body that is too long", ErrCodeMessage))
		}
	}
	if d.rng.IntN(6) == 0 {
		d.frame(d.rng, frameData, nil)
	}
}

// drawTrailers draws trailers and what may not follow them, or a header section in a tunnel.
func (d *gDraft) drawTrailers() {
	rng := d.rng
	switch {
	case rng.IntN(4) == 0 && d.fin && !d.connect:
		var fault *verdict
		d.trailers, fault = trailerSection(rng)
		d.section(d.trailers)
		if fault != nil {
			d.fail(fault)
		}
		d.odd(rng)
		if d.mayEnd() && d.declared < 0 && rng.IntN(6) == 0 { // else DATA may be seen to be too much first, for the stream alone
			d.ended = true
			if rng.IntN(2) == 0 {
				d.section(d.trailers)
			} else {
				d.frame(rng, frameData, []byte("x"))
			}
			d.fail(connFault("behind trailers", ErrCodeFrameUnexpected))
		}
	case d.connect && d.mayEnd() && rng.IntN(5) == 0:
		d.ended = true
		d.section([]qpack.Field{gField("x-t", "1")})
		d.fail(connFault("HEADERS in a tunnel", ErrCodeFrameUnexpected))
	}
}

// trailerSection draws trailers; fault is what is wrong with them.
func trailerSection(rng *rand.Rand) (fields []qpack.Field, fault *verdict) {
	fields = []qpack.Field{gField("x-t", "1")}
	for range rng.IntN(4) {
		fields = append(fields, gExtras[rng.IntN(len(gExtras))])
	}
	switch rng.IntN(6) {
	case 0:
		fields = append(fields, gField([]string{":path", ":status", ":x"}[rng.IntN(3)], "200"))
		fault = streamFault("a pseudo-header field in trailers", ErrCodeMessage)
	case 1:
		fields = append(fields, gBadFields[rng.IntN(18)])
		fault = streamFault("a bad field in trailers", ErrCodeMessage)
	case 2:
		fields = append(fields, gField("x-large", stringOf(gLimit+rng.IntN(300))))
		fault = streamFault("trailers that are too large", ErrCodeExcessiveLoad, ErrCodeMessage)
	}
	return fields, fault
}

// drawTail draws what stands behind all, such as a frame that is cut off, and judges the size of the body.
func (d *gDraft) drawTail() {
	rng := d.rng
	d.misplace(15)
	d.odd(rng)
	if d.mayEnd() && rng.IntN(10) == 0 && d.fault == nil && !d.none && d.declared < 0 {
		typ := []uint64{0, 1, 0x21}[rng.IntN(3)]
		if d.trailers != nil || d.connect {
			typ = 0x21
		}
		b := frameOf(typ, make([]byte, 1+rng.IntN(60)))
		b = b[:1+rng.IntN(len(b)-1)]
		d.wire = append(d.wire, b...)
		if typ == frameData {
			d.body = append(d.body, b[min(2, len(b)):]...) // what has come of it
		}
		d.fin = true
		d.fail(connFault("a frame that is cut off", ErrCodeFrame))
	}
	if d.mismatch && d.fin {
		d.fail(streamFault("a body that is too short", ErrCodeMessage))
	}
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
