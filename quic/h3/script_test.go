package h3

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qpack"
)

// script is a pair of which one side is under test and the other a bare connection, on which the test writes what it likes.
type script struct {
	*pair
	t       *testing.T
	side    *side // under test
	peer    *quic.Conn
	control uint64 // the peer's
	slow    bool   // each byte is sent by itself
}

// newScript returns a script for the role under test. Without bare, the peer has sent the settings, or empty ones.
func newScript(t *testing.T, client bool, cfg *Config, bare bool, settings ...uint64) *script {
	t.Helper()
	return newScriptWith(t, client, cfg, bare, nil, settings...)
}

func newScriptWith(t *testing.T, client bool, cfg *Config, bare bool, configure func(client, server *quic.Config), settings ...uint64) *script {
	t.Helper()
	p := &script{pair: newPair(t, configure), t: t}
	core := p.pair.server
	p.peer = p.pair.client
	if client {
		core, p.peer = p.peer, core
	}
	p.side = p.newSide(core, cfg)
	if !bare {
		p.control = p.uni(false, appendPairs(streamControl), settingsFrame(settings...))
		p.settle()
		p.side.want(EventSettings)
	}
	return p
}

func settingsFrame(pairs ...uint64) []byte { return frameOf(frameSettings, appendPairs(pairs...)) }

func frameOf(typ uint64, payload []byte) []byte {
	return append(appendFrameHeader(nil, typ, uint64(len(payload))), payload...)
}

// uni opens a unidirectional stream of the peer's, and sends parts on it.
func (p *script) uni(fin bool, parts ...[]byte) uint64 {
	p.t.Helper()
	id, err := p.peer.OpenUniStream()
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(id, fin, parts...)
	return id
}

// bidi opens a bidirectional one.
func (p *script) bidi(fin bool, parts ...[]byte) uint64 {
	p.t.Helper()
	id, err := p.peer.OpenStream()
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(id, fin, parts...)
	return id
}

// send sends parts on a stream of the peer's. What is under test may end the stream or the connection meanwhile.
func (p *script) send(id uint64, fin bool, parts ...[]byte) {
	p.t.Helper()
	all := slices.Concat(parts...)
	if !p.slow {
		p.peer.StreamSend(id, all, fin)
		p.settle()
		return
	}
	for i := range all {
		p.peer.StreamSend(id, all[i:i+1], fin && i == len(all)-1)
		p.settle()
	}
	if fin && len(all) == 0 {
		p.peer.StreamSend(id, nil, true)
		p.settle()
	}
}

// section is a HEADERS frame of names and values.
func section(pairs ...string) []byte {
	var fields []qpack.Field
	for i := 0; i < len(pairs); i += 2 {
		fields = append(fields, qpack.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return frameOf(frameHeaders, qpack.NewEncoder(qpack.EncoderConfig{TableCapacity: -1}).AppendSection(nil, 0, fields, 0))
}

var getPairs = []string{":method", "GET", ":scheme", "https", ":authority", "example.org", ":path", "/"}

func getFrame(more ...string) []byte { return section(slices.Concat(getPairs, more)...) }

func postFrame(more ...string) []byte {
	return section(slices.Concat([]string{":method", "POST"}, getPairs[2:], more)...)
}

// wantClosed checks that the connection was closed with code, by the side under test.
func (p *script) wantClosed(code ErrorCode, why string) {
	p.t.Helper()
	p.settle()
	var e *quic.ApplicationError
	if err := p.peer.Err(); !errors.As(err, &e) || !e.Remote || ErrorCode(e.Code) != code {
		p.t.Fatalf("%s: the connection: %v, want %v", why, err, code)
	}
}

// wantAlive checks that the connection lives.
func (p *script) wantAlive(why string) {
	p.t.Helper()
	p.settle()
	if err := p.peer.Err(); err != nil {
		p.t.Fatalf("%s: the connection: %v", why, err)
	}
	if err := p.side.core.Err(); err != nil {
		p.t.Fatalf("%s: the connection: %v", why, err)
	}
}

// wantReset checks that the side under test has reset a stream with code.
func (p *script) wantReset(id uint64, code ErrorCode, why string) {
	p.t.Helper()
	p.settle()
	var e *quic.StreamError
	var b [1000]byte
	for range 100 {
		n, _, err := p.peer.StreamRecv(id, b[:])
		if errors.As(err, &e) && e.Remote && ErrorCode(e.Code) == code {
			return
		}
		if n == 0 || err != nil {
			p.t.Fatalf("%s: stream %d: %v, want a reset with %v; the connection: %v", why, id, err, code, p.peer.Err())
		}
	}
}

// wantStopped checks that the side under test has asked to stop sending on a stream, with code.
func (p *script) wantStopped(id uint64, code ErrorCode, why string) {
	p.t.Helper()
	p.settle()
	var e *quic.StreamError
	if _, err := p.peer.StreamSend(id, []byte{0}, false); !errors.As(err, &e) || !e.Remote || ErrorCode(e.Code) != code {
		p.t.Fatalf("%s: stream %d: %v, want STOP_SENDING with %v", why, id, err, code)
	}
}

// wantServes checks that a request is answered.
func (p *script) wantServes(why string) {
	p.t.Helper()
	p.wantAlive(why)
	p.pass(50 * time.Millisecond) // pacing may have something to wait for
	p.side.events = nil
	id := p.bidi(true, getFrame())
	p.pass(50 * time.Millisecond)
	ev := p.side.want(EventRequest)
	if ev.Stream != id {
		p.t.Fatalf("%s: a request on stream %d, want %d", why, ev.Stream, id)
	}
	if _, err := p.side.SendResponse(p.now, id, ok200(), nil, true); err != nil {
		p.t.Fatalf("%s: %v", why, err)
	}
	p.pass(50 * time.Millisecond)
	var b [100]byte
	if n, fin, err := p.peer.StreamRecv(id, b[:]); n == 0 || !fin || err != nil {
		p.t.Fatalf("%s: the response: %d bytes, %v, %v", why, n, fin, err)
	}
}

// exchange opens one of which the peer can send the message that begins with head: a request, or the response to one of ours.
func (p *script) exchange() (id uint64, head []byte) {
	p.t.Helper()
	if p.side.client {
		return p.request(get("/")), section(":status", "200")
	}
	return p.bidi(false), postFrame()
}

// fillDecoderStream has what is written to our decoder stream wait, so much that sections wait for it, too.
func (p *script) fillDecoderStream() {
	p.side.local.out[localDecoder] = []byte{0} // all else waits behind it
	for id := uint64(1 << 20); len(p.side.dec.Instructions()) < 9<<10; id += 4 {
		p.side.dec.CancelStream(id)
	}
}

// bothSpeeds runs a test with whole writes and byte by byte (P14).
func bothSpeeds(t *testing.T, name string, f func(t *testing.T, slow bool)) {
	t.Run(name, func(t *testing.T) { f(t, false) })
	t.Run(name+"/slow", func(t *testing.T) { f(t, true) })
}

func varint(v uint64) []byte { return wire.AppendVarint(nil, v) }
