package h3

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic"
)

// Rules of the public conformance checks for HTTP/3, by their numbers there, and where each is tried. Each with the exact code, in one piece and byte by byte:
//
//	35  DATA before HEADERS                              TestRequestFrames, TestResponseFrames
//	36  a pseudo-header field twice                      TestAttackF13F14MalformedRequests, TestMalformedResponses; 36 to 39 as stream errors, and
//	                                                     the connection serves the next request
//	37  neither :authority nor Host                      TestAttackF13F14MalformedRequests
//	38  an unknown pseudo-header field                   TestAttackF13F14MalformedRequests
//	39  a pseudo-header field behind a regular one       TestAttackF13F14MalformedRequests, TestMalformedResponses
//	40  MAX_PUSH_ID begins the control stream            TestControlStream
//	41  DATA on the control stream                       TestControlStream
//	42  HEADERS on the control stream                    TestControlStream
//	43  a second SETTINGS                                TestControlStream
//	44  a setting of HTTP/2, or twice                    TestControlStream, TestParseSettings
//	45  CANCEL_PUSH on a request stream, empty           TestRequestFrames
//	46  static index 99                                  TestRequestFrames, TestResponseFrames
//	47  a capacity above the setting                     TestUnidirectionalStreams
//	48  a critical stream ends, or is reset              TestUnidirectionalStreams; all three, in both roles: TestCriticalStreams
//	49  Insert Count Increment 0                         TestUnidirectionalStreams
//	57  HEADERS or DATA behind trailers, SETTINGS        TestRequestFrames, TestResponseFrames
//	59  reserved frames, settings and streams, streams   TestTolerated, TestUnidirectionalStreams, TestParseSettings
//	    that are reset before their type
//
// 58 is the transport's, and what 59 says of it too: package quic. Of the rules below that list:
//
//	GOAWAY that rises, or of no request                  TestControlStream, TestClientGoAway
//	push above MAX_PUSH_ID, in each part                 TestAttackF17Push
//	a bidirectional stream of the server's               TestUnidirectionalStreams
//	content-length, also with an empty FIN               TestAttackF12ContentLength, TestAttackF12WholeRequest, TestResponseBodies
//	second critical streams, STOP_SENDING on ours        TestUnidirectionalStreams, TestCriticalStreams
//	frame types of HTTP/2                                TestControlStream, TestRequestFrames, TestResponseFrames
//	lengths of frames, exact; the end within a frame     TestControlStream, TestRequestFrames, TestTruncatedResponses
//	malformed and incomplete messages                    TestAttackF13F14MalformedRequests, TestIncompleteRequest, TestMalformedResponses
//	early responses with STOP_SENDING                    TestServerEnds
//	trailers are validated                               TestUnreadRequest, TestMalformedTrailers
//	SETTINGS, and none waits for the peer's              TestParseSettings, TestLateSettings
//	0-RTT and settings                                   TestAttackF18SettingsLowered, TestEarlyRejected, TestRememberedSettings
//	QPACK: insert counts, Base, evicted entries,         package qpack: TestAttackF5Sections, TestAttackF5EncoderStream, TestAttackF7DecoderStreamLies,
//	integers of 62 bits, acknowledgements, the encoder   TestAttackF4BlockedStreams, TestRequiredInsertCountWraps, TestEncoderIsChecked
//	PRIORITY_UPDATE                                      TestControlStream, TestRequestFrames, TestParsePriority, TestAttackF11PriorityUpdates
//	extended CONNECT                                     TestExtendedConnectRequests, TestPeerLimits
//	HTTP datagrams                                       TestBadDatagrams

// What a peer may not do on its control stream (RFC 9114, sections 6.2.1 and 7.2).
func TestControlStream(t *testing.T) {
	settings := settingsFrame()
	for _, c := range []struct {
		name   string
		client bool // is under test
		bytes  [][]byte
		want   ErrorCode // 0: none
	}{
		{"MAX_PUSH_ID first", false, [][]byte{frameOf(frameMaxPushID, varint(3))}, ErrCodeMissingSettings},
		{"a reserved frame first", false, [][]byte{frameOf(reserved(7), nil)}, ErrCodeMissingSettings},
		{"GOAWAY first", true, [][]byte{frameOf(frameGoAway, varint(0))}, ErrCodeMissingSettings},
		{"DATA", false, [][]byte{settings, frameOf(frameData, nil)}, ErrCodeFrameUnexpected},
		{"HEADERS", false, [][]byte{settings, frameOf(frameHeaders, nil)}, ErrCodeFrameUnexpected},
		{"HEADERS to a client", true, [][]byte{settings, frameOf(frameHeaders, nil)}, ErrCodeFrameUnexpected},
		{"PUSH_PROMISE", true, [][]byte{settings, frameOf(framePushPromise, varint(0))}, ErrCodeFrameUnexpected},
		{"a second SETTINGS", false, [][]byte{settings, settings}, ErrCodeFrameUnexpected},
		{"HTTP/2's PRIORITY", false, [][]byte{settings, frameOf(2, nil)}, ErrCodeFrameUnexpected},
		{"HTTP/2's PING", false, [][]byte{settings, frameOf(6, nil)}, ErrCodeFrameUnexpected},
		{"HTTP/2's WINDOW_UPDATE", false, [][]byte{settings, frameOf(8, nil)}, ErrCodeFrameUnexpected},
		{"HTTP/2's CONTINUATION", true, [][]byte{settings, frameOf(9, nil)}, ErrCodeFrameUnexpected},
		{"a setting of HTTP/2", false, [][]byte{settingsFrame(2, 1)}, ErrCodeSettings},
		{"a setting twice", true, [][]byte{settingsFrame(6, 1, 6, 1)}, ErrCodeSettings},
		{"half a setting", false, [][]byte{frameOf(frameSettings, []byte{1})}, ErrCodeFrame},
		{"SETTINGS of 1 MiB", false, [][]byte{appendFrameHeader(nil, frameSettings, 1<<20)}, ErrCodeExcessiveLoad},
		{"MAX_PUSH_ID to a client", true, [][]byte{settings, frameOf(frameMaxPushID, varint(1))}, ErrCodeFrameUnexpected},
		{"MAX_PUSH_ID that falls", false, [][]byte{settings, frameOf(frameMaxPushID, varint(5)), frameOf(frameMaxPushID, varint(4))}, ErrCodeID},
		{"MAX_PUSH_ID that rises", false, [][]byte{settings, frameOf(frameMaxPushID, varint(5)), frameOf(frameMaxPushID, varint(6))}, 0},
		{"an empty MAX_PUSH_ID", false, [][]byte{settings, frameOf(frameMaxPushID, nil)}, ErrCodeFrame},
		{"MAX_PUSH_ID with more", false, [][]byte{settings, frameOf(frameMaxPushID, []byte{1, 1})}, ErrCodeFrame},
		{"CANCEL_PUSH to a server", false, [][]byte{settings, frameOf(frameMaxPushID, varint(5)), frameOf(frameCancelPush, varint(1))}, ErrCodeID},
		{"CANCEL_PUSH to a client", true, [][]byte{settings, frameOf(frameCancelPush, varint(0))}, ErrCodeID},
		{"an empty CANCEL_PUSH", true, [][]byte{settings, frameOf(frameCancelPush, nil)}, ErrCodeFrame},
		{"GOAWAY of 9 bytes", true, [][]byte{settings, frameOf(frameGoAway, make([]byte, 9))}, ErrCodeFrame},
		{"GOAWAY with half an integer", true, [][]byte{settings, frameOf(frameGoAway, []byte{0x40})}, ErrCodeFrame},
		{"GOAWAY of a stream that is no request", true, [][]byte{settings, frameOf(frameGoAway, varint(1))}, ErrCodeID},
		{"GOAWAY that rises", true, [][]byte{settings, frameOf(frameGoAway, varint(4)), frameOf(frameGoAway, varint(8))}, ErrCodeID},
		{"GOAWAY that falls", true, [][]byte{settings, frameOf(frameGoAway, varint(8)), frameOf(frameGoAway, varint(4))}, 0},
		{"GOAWAY to a server, any push ID", false, [][]byte{settings, frameOf(frameGoAway, varint(5)), frameOf(frameGoAway, varint(5))}, 0},
		{"GOAWAY to a server that rises", false, [][]byte{settings, frameOf(frameGoAway, varint(5)), frameOf(frameGoAway, varint(6))}, ErrCodeID},
		{"ORIGIN to a server is ignored", false, [][]byte{settings, frameOf(frameOrigin, []byte{0, 5, 'h'}), frameOf(frameGoAway, varint(0))}, 0},
		{"ORIGIN that ends early", true, [][]byte{settings, frameOf(frameOrigin, []byte{0, 5, 'h'})}, ErrCodeFrame},
		{"a long ORIGIN is skipped", true, [][]byte{settings, frameOf(frameOrigin, make([]byte, 1<<16)), frameOf(frameGoAway, varint(0))}, 0},
		{"PRIORITY_UPDATE to a client", true, [][]byte{settings, frameOf(framePriorityUpdateRequest, varint(0))}, ErrCodeFrameUnexpected},
		{"PRIORITY_UPDATE of a push to a client", true, [][]byte{settings, frameOf(framePriorityUpdatePush, varint(0))}, ErrCodeFrameUnexpected},
		{"PRIORITY_UPDATE of a push", false, [][]byte{settings, frameOf(framePriorityUpdatePush, varint(0))}, ErrCodeID},
		{"PRIORITY_UPDATE of a server's stream", false, [][]byte{settings, frameOf(framePriorityUpdateRequest, varint(1))}, ErrCodeID},
		{"PRIORITY_UPDATE of a unidirectional stream", false, [][]byte{settings, frameOf(framePriorityUpdateRequest, varint(2))}, ErrCodeID},
		{"PRIORITY_UPDATE beyond the limit", false, [][]byte{settings, frameOf(framePriorityUpdateRequest, varint(400))}, ErrCodeID},
		{"PRIORITY_UPDATE within the limit", false, [][]byte{settings, frameOf(framePriorityUpdateRequest, append(varint(396), "u=1"...))}, 0},
		{"PRIORITY_UPDATE of rubbish", false, [][]byte{settings, frameOf(framePriorityUpdateRequest, append(varint(0), "=;,"...))}, 0},
		{"an empty PRIORITY_UPDATE", false, [][]byte{settings, frameOf(framePriorityUpdateRequest, nil)}, ErrCodeFrame},
		{"PRIORITY_UPDATE with half an ID", false, [][]byte{settings, frameOf(framePriorityUpdateRequest, []byte{0x40})}, ErrCodeFrame},
		{"a long PRIORITY_UPDATE", false, [][]byte{settings, appendFrameHeader(nil, framePriorityUpdateRequest, 1000)}, ErrCodeExcessiveLoad},
		{"reserved frames", false, [][]byte{settings, frameOf(reserved(0), []byte("x")), frameOf(reserved(1<<40), nil)}, 0},
		{"an unknown frame without end", false, [][]byte{settings, appendFrameHeader(nil, 0x4242, 1<<62-1), make([]byte, 1000)}, 0},
	} {
		bothSpeeds(t, c.name, func(t *testing.T, slow bool) {
			if slow && len(slices.Concat(c.bytes...)) > 2000 {
				return
			}
			p := newScript(t, c.client, nil, true)
			p.slow = slow
			p.uni(false, append([][]byte{varint(streamControl)}, c.bytes...)...)
			if c.want != 0 {
				p.wantClosed(c.want, c.name)
				return
			}
			p.wantAlive(c.name)
			if !c.client {
				p.wantServes(c.name)
			}
		})
	}
}

// Unidirectional streams (RFC 9114, section 6.2; RFC 9204, section 4.2).
func TestUnidirectionalStreams(t *testing.T) {
	for _, c := range []struct {
		name   string
		client bool
		do     func(p *script)
		want   ErrorCode
	}{
		{"a second control stream", false, func(p *script) { p.uni(false, varint(streamControl)) }, ErrCodeStreamCreation},
		{"a second encoder stream", false, func(p *script) { p.uni(false, varint(2)); p.uni(false, varint(2)) }, ErrCodeStreamCreation},
		{"a second decoder stream", true, func(p *script) { p.uni(false, varint(3)); p.uni(false, varint(3)) }, ErrCodeStreamCreation},
		{"a push stream of a client", false, func(p *script) { p.uni(false, varint(1), varint(0)) }, ErrCodeStreamCreation},
		{"a push stream of a server", true, func(p *script) { p.uni(false, varint(1), varint(0)) }, ErrCodeID},
		{"the control stream ends", false, func(p *script) { p.send(p.control, true) }, ErrCodeClosedCriticalStream},
		{"the control stream is reset", true, func(p *script) { p.peer.StreamShutdown(p.control, 2, 0) }, ErrCodeClosedCriticalStream},
		{"the encoder stream ends", false, func(p *script) { p.uni(true, varint(2)) }, ErrCodeClosedCriticalStream},
		{"the encoder stream is reset", false, func(p *script) { id := p.uni(false, varint(2)); p.peer.StreamShutdown(id, 2, 0) }, ErrCodeClosedCriticalStream},
		{"the decoder stream ends", true, func(p *script) { p.uni(true, varint(3)) }, ErrCodeClosedCriticalStream},
		{"the decoder stream is reset", true, func(p *script) { id := p.uni(false, varint(3)); p.peer.StreamShutdown(id, 2, 0) }, ErrCodeClosedCriticalStream},
		{"our control stream is stopped", false, func(p *script) { p.peer.StreamShutdown(p.side.local.ids[localControl], 1, 0) }, ErrCodeClosedCriticalStream},
		{"our encoder stream is stopped", false, func(p *script) { p.peer.StreamShutdown(p.side.local.ids[localEncoder], 1, 0) }, ErrCodeClosedCriticalStream},
		{"our decoder stream is stopped", true, func(p *script) { p.peer.StreamShutdown(p.side.local.ids[localDecoder], 1, 0) }, ErrCodeClosedCriticalStream},
		{"a reserved stream", false, func(p *script) {
			id := p.uni(false, varint(reserved(9)), []byte("anything"))
			p.slow = false
			p.wantStopped(id, ErrCodeStreamCreation, "nobody reads it")
		}, 0},
		{"an unknown stream that ends", true, func(p *script) { p.uni(true, varint(0x4242), []byte("anything")) }, 0},
		{"a stream that ends before its type", false, func(p *script) { p.uni(true, []byte{0x40}) }, 0},
		{"an empty stream", false, func(p *script) { p.uni(true) }, 0},
		{"a stream that is reset before its type", false, func(p *script) { id := p.uni(false, []byte{0x80}); p.peer.StreamShutdown(id, 2, 0) }, 0},
		{"a bad capacity", false, func(p *script) { p.uni(false, varint(2), []byte{0x3f, 0xe1, 0xc7, 0xaf, 0xa0, 0x25}) }, ErrCodeEncoderStream},
		{"an increment of 0", false, func(p *script) { p.uni(false, varint(3), []byte{0}) }, ErrCodeDecoderStream},
		{"an acknowledgement of nothing", true, func(p *script) { p.uni(false, varint(3), []byte{0x84}) }, ErrCodeDecoderStream},
		{"a cancellation of nothing", true, func(p *script) { p.uni(false, varint(3), []byte{0x44}) }, 0},
		{"a bidirectional stream of a server", true, func(p *script) { p.bidi(false, []byte{0}) }, ErrCodeStreamCreation},
	} {
		bothSpeeds(t, c.name, func(t *testing.T, slow bool) {
			p := newScript(t, c.client, nil, false)
			p.slow = slow
			c.do(p)
			if c.want != 0 {
				p.wantClosed(c.want, c.name)
			} else if p.wantAlive(c.name); !c.client {
				p.slow = false
				p.wantServes(c.name)
			}
		})
	}
}

// Frames of request streams that end the connection, or that do not (RFC 9114, sections 4.1 and 7).
func TestRequestFrames(t *testing.T) {
	trailers := section("x-checksum", "1")
	for _, c := range []struct {
		name  string
		fin   bool
		bytes [][]byte
		want  ErrorCode
	}{
		{"DATA before HEADERS", false, [][]byte{frameOf(frameData, []byte("x"))}, ErrCodeFrameUnexpected},
		{"HEADERS behind trailers", false, [][]byte{postFrame(), trailers, trailers}, ErrCodeFrameUnexpected},
		{"DATA behind trailers", false, [][]byte{postFrame(), trailers, frameOf(frameData, []byte("x"))}, ErrCodeFrameUnexpected},
		{"a reserved frame behind trailers", true, [][]byte{postFrame(), trailers, frameOf(reserved(1), []byte("x"))}, 0},
		{"CANCEL_PUSH, empty", false, [][]byte{frameOf(frameCancelPush, nil)}, ErrCodeFrameUnexpected},
		{"SETTINGS", false, [][]byte{frameOf(frameSettings, nil)}, ErrCodeFrameUnexpected},
		{"SETTINGS behind a request", false, [][]byte{getFrame(), frameOf(frameSettings, nil)}, ErrCodeFrameUnexpected},
		{"GOAWAY", false, [][]byte{frameOf(frameGoAway, varint(0))}, ErrCodeFrameUnexpected},
		{"MAX_PUSH_ID", false, [][]byte{frameOf(frameMaxPushID, varint(0))}, ErrCodeFrameUnexpected},
		{"PUSH_PROMISE", false, [][]byte{frameOf(framePushPromise, varint(0))}, ErrCodeFrameUnexpected},
		{"PRIORITY_UPDATE", false, [][]byte{frameOf(framePriorityUpdateRequest, varint(0))}, ErrCodeFrameUnexpected},
		{"ORIGIN is ignored", true, [][]byte{frameOf(frameOrigin, nil), getFrame(), frameOf(frameOrigin, []byte{0, 5, 'h'})}, 0},
		{"HTTP/2's PRIORITY", false, [][]byte{frameOf(2, nil)}, ErrCodeFrameUnexpected},
		{"HTTP/2's PING", false, [][]byte{frameOf(6, nil)}, ErrCodeFrameUnexpected},
		{"HTTP/2's WINDOW_UPDATE", false, [][]byte{postFrame(), frameOf(8, nil)}, ErrCodeFrameUnexpected},
		{"HTTP/2's CONTINUATION", false, [][]byte{getFrame(), frameOf(9, nil)}, ErrCodeFrameUnexpected},
		{"the end within a type", true, [][]byte{{0x40}}, ErrCodeFrame},
		{"the end within a length", true, [][]byte{{0x01, 0x40}}, ErrCodeFrame},
		{"the end within HEADERS", true, [][]byte{getFrame()[:5]}, ErrCodeFrame},
		{"the end within DATA", true, [][]byte{postFrame(), appendFrameHeader(nil, frameData, 10), []byte("x")}, ErrCodeFrame},
		{"the end within a skipped frame", true, [][]byte{getFrame(), appendFrameHeader(nil, reserved(1), 10), []byte("x")}, ErrCodeFrame},
		{"static index 99", true, [][]byte{frameOf(frameHeaders, []byte{0, 0, 0xff, 0x24})}, ErrCodeDecompressionFailed},
		{"an empty section", true, [][]byte{frameOf(frameHeaders, nil)}, ErrCodeDecompressionFailed},
		{"a reserved frame before HEADERS", true, [][]byte{frameOf(reserved(3), []byte("xyz")), getFrame()}, 0},
		{"an unknown frame behind HEADERS", true, [][]byte{getFrame(), frameOf(0x4242, []byte("xyz"))}, 0},
		{"an empty DATA", true, [][]byte{postFrame(), frameOf(frameData, nil)}, 0},
	} {
		bothSpeeds(t, c.name, func(t *testing.T, slow bool) {
			p := newScript(t, false, nil, false)
			p.slow = slow
			p.side.handle = func(ev Event) {
				if ev.Kind == EventData {
					p.side.readAll(ev.Stream)
				}
			}
			id := p.bidi(c.fin, c.bytes...)
			if c.want != 0 {
				p.wantClosed(c.want, c.name)
				return
			}
			p.wantAlive(c.name)
			if ev := p.side.want(EventRequest); ev.Stream != id {
				t.Fatal(ev)
			}
			p.slow = false
			p.wantServes(c.name)
		})
	}
}

// Requests that are malformed: a stream error that nobody sees as a request, and the connection lives (RFC 9114, section 4.1.2).
func TestAttackF13F14MalformedRequests(t *testing.T) {
	swap := func(name, value string) []byte {
		pairs := slices.Clone(getPairs)
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				if value == "" {
					return section(slices.Delete(pairs, i, i+2)...)
				}
				pairs[i+1] = value
			}
		}
		return section(pairs...)
	}
	connect := func(pairs ...string) []byte { return section(append([]string{":method", "CONNECT"}, pairs...)...) }
	for _, c := range []struct {
		name string
		head []byte
		ok   bool
	}{
		{"the request that others are made of", getFrame(), true},
		{":method twice", section(slices.Concat([]string{":method", "GET"}, getPairs)...), false},
		{":path twice", section(slices.Concat(getPairs, []string{":path", "/"})...), false},
		{"no :authority and no Host", swap(":authority", ""), false},
		{"an empty :authority", section(":method", "GET", ":scheme", "https", ":authority", "", ":path", "/"), false},
		{"an empty :authority and a Host", section(":method", "GET", ":scheme", "https", ":authority", "", ":path", "/", "host", "example.org"), false},
		{"Host alone", section(":method", "GET", ":scheme", "https", ":path", "/", "host", "example.org"), true},
		{"an empty Host alone", section(":method", "GET", ":scheme", "https", ":path", "/", "host", ""), false},
		{":authority and the same Host", getFrame("host", "example.org"), true},
		{":authority and another Host", getFrame("host", "example.com"), false},
		{"two Hosts", getFrame("host", "example.org", "host", "example.org"), false},
		{"an unknown pseudo-header field", section(slices.Concat(getPairs, []string{":foo", "x"})...), false},
		{"an empty name", getFrame("", "x"), false},
		{"a bare colon", section(slices.Concat(getPairs, []string{":", "x"})...), false},
		{"a late pseudo-header field", section(":method", "GET", ":scheme", "https", ":authority", "example.org", "x", "y", ":path", "/"), false},
		{":status in a request", section(slices.Concat(getPairs, []string{":status", "200"})...), false},
		{":protocol without the setting", section(slices.Concat([]string{":method", "CONNECT", ":protocol", "websocket"}, getPairs[2:])...), false},
		{":protocol with GET", section(slices.Concat(getPairs, []string{":protocol", "websocket"})...), false},
		{"no :method", section(getPairs[2:]...), false},
		{"no :scheme", swap(":scheme", ""), false},
		{"no :path", swap(":path", ""), false},
		{"an empty :method", section(":method", "", ":scheme", "https", ":authority", "example.org", ":path", "/"), false},
		{"a bad :method", swap(":method", "GE T"), false},
		{"an empty :scheme", section(":method", "GET", ":scheme", "", ":authority", "example.org", ":path", "/"), false},
		{"a bad :scheme", swap(":scheme", "ht tps"), false},
		{"an empty :path", section(":method", "GET", ":scheme", "https", ":authority", "example.org", ":path", ""), false},
		{":path without a slash", swap(":path", "index.html"), false},
		{":path with a space", swap(":path", "/a b"), false},
		{":path with a line feed", swap(":path", "/a\nb"), false},
		{":path * with GET", swap(":path", "*"), false},
		{":path * with OPTIONS", section(":method", "OPTIONS", ":scheme", "https", ":authority", "example.org", ":path", "*"), true},
		{"user information", swap(":authority", "user@example.org"), false},
		{":authority with a path", swap(":authority", "example.org/x"), false},
		{":authority with a space", swap(":authority", "example .org"), false},
		{":authority with a port", swap(":authority", "[2001:db8::1]:8443"), true},
		{"an upper-case name", getFrame("Accept", "x"), false},
		{"a name with a space", getFrame("ac cept", "x"), false},
		{"a name with a colon", getFrame("accept:", "x"), false},
		{"a name with CR LF", getFrame("accept\r\nx", "y"), false},
		{"a name beyond ASCII", getFrame("accépt", "x"), false},
		{"a value with NUL", getFrame("accept", "a\x00b"), false},
		{"a value with LF", getFrame("accept", "a\nb"), false},
		{"a value with CR", getFrame("accept", "aaaaaaaaaaaaaaaaaaa\rb"), false},
		{"a value with DEL", getFrame("accept", "aaaaaaaa\x7faaaaaaaa"), false},
		{"a value with a control character", getFrame("accept", "a\x01"), false},
		{"a value with a tab", getFrame("accept", "a\tb ccccccccccc\tddddd"), true},
		{"a value beyond ASCII", getFrame("accept", "é\xff\x80"), true},
		{"a value that begins with a space", getFrame("accept", " x"), false},
		{"a value that ends with a tab", getFrame("accept", "x\t"), false},
		{"an empty value", getFrame("accept", ""), true},
		{"connection", getFrame("connection", "close"), false},
		{"keep-alive", getFrame("keep-alive", "1"), false},
		{"proxy-connection", getFrame("proxy-connection", "x"), false},
		{"transfer-encoding", getFrame("transfer-encoding", "chunked"), false},
		{"upgrade", getFrame("upgrade", "h2c"), false},
		{"te: gzip", getFrame("te", "gzip"), false},
		{"te: trailers, gzip", getFrame("te", "trailers, gzip"), false},
		{"te: trailers", getFrame("te", "trailers"), true},
		{"content-length +5", postFrame("content-length", "+5"), false},
		{"content-length -1", postFrame("content-length", "-1"), false},
		{"content-length 5,5", postFrame("content-length", "5,5"), false},
		{"content-length of nothing", postFrame("content-length", ""), false},
		{"content-length 0x5", postFrame("content-length", "0x5"), false},
		{"content-length above 2^63", postFrame("content-length", "9223372036854775808"), false},
		{"content-length of 20 digits", postFrame("content-length", "00000000000000000000"), false},
		{"two content-lengths", postFrame("content-length", "0", "content-length", "0"), false},
		{"content-length 5 and no body", postFrame("content-length", "5"), false},
		{"content-length 0 and no body", postFrame("content-length", "0"), true},
		{"CONNECT", connect(":authority", "example.org:443"), true},
		{"CONNECT with :path", connect(":authority", "example.org:443", ":path", "/"), false},
		{"CONNECT with :scheme", connect(":authority", "example.org:443", ":scheme", "https"), false},
		{"CONNECT without :authority", connect("host", "example.org:443"), false},
		{"CONNECT without a port", connect(":authority", "example.org"), false},
		{"CONNECT with a bad port", connect(":authority", "example.org:x"), false},
		{"CONNECT with port 0", connect(":authority", "example.org:0"), false},
		{"CONNECT with the last port", connect(":authority", "example.org:65535"), true},
		{"CONNECT with a port above the last", connect(":authority", "example.org:65536"), false},
	} {
		bothSpeeds(t, c.name, func(t *testing.T, slow bool) {
			p := newScript(t, false, nil, false)
			p.slow = slow
			id := p.bidi(true, c.head)
			if c.ok {
				if ev := p.side.want(EventRequest); ev.Stream != id || !ev.Fin || ev.Message.ContentLength != 0 {
					t.Fatalf("%+v %+v", ev, ev.Message)
				}
				return
			}
			p.side.wantNone(c.name)
			p.wantReset(id, ErrCodeMessage, c.name)
			id = p.bidi(false, c.head)
			if !bytes.Contains([]byte(c.name), []byte("no body")) {
				p.side.wantNone(c.name)
				p.wantStopped(id, ErrCodeMessage, c.name)
				p.wantReset(id, ErrCodeMessage, c.name)
			}
			p.slow = false
			p.wantServes(c.name)
		})
	}
}

// Extended CONNECT, where it is enabled (RFC 9220).
func TestExtendedConnectRequests(t *testing.T) {
	base := []string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "example.org", ":path", "/chat"}
	without := func(name string) []byte {
		i := slices.Index(base, name)
		return section(slices.Delete(slices.Clone(base), i, i+2)...)
	}
	for _, c := range []struct {
		name string
		head []byte
		ok   bool
	}{
		{"whole", section(base...), true},
		{"without :scheme", without(":scheme"), false},
		{"without :path", without(":path"), false},
		{"without :authority", without(":authority"), false},
		{"an empty :protocol", section(slices.Concat(without4(base), []string{":protocol", ""})...), false},
	} {
		p := newScript(t, false, &Config{EnableConnect: true}, false)
		id := p.bidi(false, c.head)
		if !c.ok {
			p.wantReset(id, ErrCodeMessage, c.name)
			continue
		}
		if m := p.side.want(EventRequest).Message; m.Protocol != "websocket" || m.Path != "/chat" || m.ContentLength != -1 {
			t.Errorf("%s: %+v", c.name, m)
		}
		// RFC 9114, section 4.4: nothing but DATA follows.
		p.send(id, false, section("x", "y"))
		p.wantClosed(ErrCodeFrameUnexpected, "HEADERS in a tunnel")
	}
}

func without4(pairs []string) []string { return slices.Delete(slices.Clone(pairs), 2, 4) }

// content-length is held to the bytes of DATA frames, the end with an empty STREAM frame included (CVE-2026-33555).
func TestAttackF12ContentLength(t *testing.T) {
	for _, c := range []struct {
		name   string
		length string
		bodies []string
		ok     bool
	}{
		{"exact", "5", []string{"hello"}, true},
		{"exact, in pieces", "5", []string{"he", "", "llo"}, true},
		{"too short", "6", []string{"hello"}, false},
		{"too long", "4", []string{"hello"}, false},
		{"too long, in pieces", "4", []string{"hell", "o"}, false},
		{"nothing", "1", nil, false},
	} {
		bothSpeeds(t, c.name, func(t *testing.T, slow bool) {
			p := newScript(t, false, nil, false)
			p.slow = slow
			id := p.bidi(false, postFrame("content-length", c.length))
			p.side.want(EventRequest)
			for _, b := range c.bodies {
				p.send(id, false, frameOf(frameData, []byte(b)))
			}
			p.send(id, true)
			body, fin, err := p.side.readAll(id)
			if c.ok {
				if want := strings.Join(c.bodies, ""); string(body) != want || !fin || err != nil {
					t.Fatalf("%q, %v, %v", body, fin, err)
				}
				return
			}
			if fin || err == nil {
				t.Fatalf("%q, fin %v, err %v: want a stream error", body, fin, err)
			}
			p.wantReset(id, ErrCodeMessage, c.name)
			p.wantAlive(c.name)
		})
	}
}

// Where all of a request is there at once, a wrong content-length keeps it from the application altogether.
func TestAttackF12WholeRequest(t *testing.T) {
	for _, body := range [][]byte{frameOf(frameData, []byte("four")), frameOf(frameData, []byte("sixsix")), frameOf(reserved(1), []byte("12345"))} {
		p := newScript(t, false, nil, false)
		id := p.bidi(true, postFrame("content-length", "5"), body)
		p.side.wantNone("the content-length is wrong")
		p.wantReset(id, ErrCodeMessage, "the content-length is wrong")
		p.wantServes("it was a stream error")
	}
	p := newScript(t, false, nil, false)
	id := p.bidi(true, postFrame("content-length", "5"), frameOf(frameData, []byte("fi")), frameOf(reserved(1), []byte("x")), frameOf(frameData, []byte("ve!")), section("a", "b"))
	p.side.want(EventRequest)
	if body, fin, err := p.side.readAll(id); string(body) != "five!" || !fin || err != nil {
		t.Fatalf("%q, %v, %v", body, fin, err)
	}
}

// What follows a header section is looked at though nobody reads the body.
func TestUnreadRequest(t *testing.T) {
	for _, c := range []struct {
		name   string
		bytes  [][]byte
		closed ErrorCode
		reset  ErrorCode
	}{
		{"a pseudo-header field in trailers", [][]byte{getFrame(), section(":path", "/")}, 0, ErrCodeMessage},
		{"HEADERS behind trailers", [][]byte{getFrame(), section("a", "b"), section("a", "b")}, ErrCodeFrameUnexpected, 0},
		{"HTTP/2's PING", [][]byte{getFrame(), frameOf(6, make([]byte, 8))}, ErrCodeFrameUnexpected, 0},
		{"the end within a frame", [][]byte{getFrame(), {0x01, 0x05}}, ErrCodeFrame, 0},
	} {
		bothSpeeds(t, c.name, func(t *testing.T, slow bool) {
			p := newScript(t, false, nil, false)
			p.slow = slow
			id := p.bidi(true, c.bytes...)
			if c.closed != 0 {
				p.wantClosed(c.closed, c.name)
			} else {
				p.wantReset(id, c.reset, c.name)
				p.wantAlive(c.name)
			}
		})
	}
}

// A request that ends before its header section.
func TestIncompleteRequest(t *testing.T) {
	for _, bytes := range [][]byte{nil, frameOf(reserved(1), []byte("x"))} {
		p := newScript(t, false, nil, false)
		id := p.bidi(true, bytes)
		p.wantReset(id, ErrCodeRequestIncomplete, "no header section")
		p.wantServes("it was a stream error")
	}
}

// The critical streams of both roles: to end or to reset one, or to ask for the end of one of ours, is an error, and so is a second one (RFC 9114, section 6.2.1;
// RFC 9204, section 4.2).
func TestCriticalStreams(t *testing.T) {
	for _, client := range []bool{false, true} {
		for i, typ := range localTypes {
			for _, how := range []string{"ends", "is reset", "is there twice", "is to be stopped"} {
				bothSpeeds(t, fmt.Sprintf("client %v: stream of type %d %s", client, typ, how), func(t *testing.T, slow bool) {
					p := newScript(t, client, nil, false)
					p.slow = slow
					id := p.control
					if typ != streamControl && how != "is to be stopped" {
						id = p.uni(false, varint(typ))
					}
					want := ErrCodeClosedCriticalStream
					switch how {
					case "ends":
						p.send(id, true)
					case "is reset":
						p.peer.StreamShutdown(id, quic.WriteDirection, 0)
					case "is there twice":
						p.uni(false, varint(typ))
						want = ErrCodeStreamCreation
					default:
						p.peer.StreamShutdown(p.side.local.ids[i], quic.ReadDirection, 0)
					}
					p.wantClosed(want, how)
				})
			}
		}
	}
}

// What is to be borne (RFC 9114, sections 6.2.3, 7.2.4.1, 7.2.8 and 9): reserved and unknown frames, settings and streams, also those that
// are reset or end before their type is there. Requests are made and answered as if they had not been.
func TestTolerated(t *testing.T) {
	for _, client := range []bool{false, true} {
		for _, n := range []uint64{0, 1, 7, 1 << 20, (1<<62 - 1 - 0x21) / 0x1f} {
			bothSpeeds(t, fmt.Sprintf("client %v: number %d", client, n), func(t *testing.T, slow bool) {
				odd := frameOf(reserved(n), []byte("whatever"))
				p := newScript(t, client, nil, true)
				p.slow = slow
				p.uni(false, varint(streamControl), settingsFrame(reserved(n), n, SettingMaxFieldSectionSize, 9999), odd, odd)
				p.side.want(EventSettings)
				if s, _ := p.side.PeerSettings(); s.MaxFieldSectionSize != 9999 {
					t.Fatalf("the settings are %+v", s)
				}
				p.uni(true, varint(reserved(n)), []byte("whatever"))
				p.peer.StreamShutdown(p.uni(false, varint(reserved(n))[:1]), quic.WriteDirection, 1)
				p.peer.StreamShutdown(p.uni(false), quic.WriteDirection, 1)
				p.uni(true)
				if client {
					id := p.request(get("/"))
					p.send(id, true, odd, section(":status", "200"), odd, frameOf(frameData, []byte("x")), odd)
					p.side.want(EventResponse)
					if body, fin, err := p.side.readAll(id); string(body) != "x" || !fin || err != nil {
						t.Fatalf("%q, %v, %v", body, fin, err)
					}
				} else {
					id := p.bidi(true, odd, postFrame(), odd, frameOf(frameData, []byte("x")), odd)
					p.side.want(EventRequest)
					if body, fin, err := p.side.readAll(id); string(body) != "x" || !fin || err != nil {
						t.Fatalf("%q, %v, %v", body, fin, err)
					}
					p.slow = false
					p.wantServes("nothing of this is an error")
				}
				p.wantAlive("nothing of this is an error")
			})
		}
	}
}

// A response that ends within a frame ends the connection (RFC 9114, section 7.1), at the latest when the application comes to that end.
func TestTruncatedResponses(t *testing.T) {
	head := section(":status", "200")
	for _, c := range []struct {
		name  string
		bytes [][]byte
	}{
		{"within a type", [][]byte{head, {0x40}}},
		{"within a length", [][]byte{head, {0x00, 0x40}}},
		{"within HEADERS", [][]byte{head[:len(head)-1]}},
		{"within DATA", [][]byte{head, appendFrameHeader(nil, frameData, 10), []byte("x")}},
		{"before DATA's first byte", [][]byte{head, appendFrameHeader(nil, frameData, 10)}},
		{"within a skipped frame", [][]byte{head, appendFrameHeader(nil, reserved(1), 10), []byte("x")}},
		{"within trailers", [][]byte{head, frameOf(frameData, []byte("x")), head[:3]}},
	} {
		bothSpeeds(t, c.name, func(t *testing.T, slow bool) {
			p := newScript(t, true, nil, false)
			p.slow = slow
			id := p.request(get("/"))
			p.send(id, true, c.bytes...)
			if _, fin, _ := p.side.readAll(id); fin {
				t.Error("it was taken for complete")
			}
			p.wantClosed(ErrCodeFrame, c.name)
		})
	}
}
