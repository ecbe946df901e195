package quic

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// stopping plays a client whose request on stream 0 is answered before it has come to its end.
type stopping struct {
	*scripted
	start time.Time
	code  uint64 // of the STOP_SENDING that came
	after time.Duration
}

func newStopping(t *testing.T, options ...scriptedOption) *stopping {
	p := newScriptedClient(t, options...)
	p.handshake()
	p.sendFrames(protect.OneRTT, streamFrame(0, 0, "the first part", false))
	p.got = nil
	return &stopping{scripted: p, start: p.now}
}

func (p *stopping) reply(text string) {
	p.t.Helper()
	if n, err := p.conn.StreamSend(0, []byte(text), true); n != len(text) || err != nil {
		p.t.Fatal(n, err)
	}
}

func (p *stopping) later() { p.t.Helper(); p.must(p.conn.StreamStopLater(0, 7)) }

// at has the time be so much after the start, with all that happens until then.
func (p *stopping) at(d time.Duration) {
	p.t.Helper()
	for p.look(); ; {
		at, ok := p.conn.Timeout()
		if !ok || at.Sub(p.start) > d {
			break
		}
		p.advance()
		p.look()
	}
	if p.now.Sub(p.start) < d {
		p.now = p.start.Add(d)
	}
}

// look takes what has come.
func (p *stopping) look() {
	p.t.Helper()
	p.drain()
	for _, f := range p.got {
		if f.typ != wire.FrameStopSending {
			continue
		}
		for code := range uint64(10) {
			if bytes.Equal(f.raw, frame(wire.FrameStopSending, 0, code)) {
				p.code = code
			}
		}
		if p.after < 0 {
			p.after = p.now.Sub(p.start).Round(time.Millisecond)
		}
	}
	p.got = nil
}

func (p *stopping) acknowledge() {
	p.t.Helper()
	p.look()
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
}

// RFC 9000, section 3.5, and RFC 9114, section 4.1: STOP_SENDING leaves when the peer can have read the answer, unless there is a reason why it would read
// it only then.
func TestStreamStopLater(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name    string
		options []scriptedOption
		play    func(p *stopping)
		after   time.Duration // when STOP_SENDING comes; below 0: not in 2 seconds
		code    uint64
	}{
		{"100 ms after the acknowledgement", nil, func(p *stopping) {
			p.reply("no")
			p.later()
			p.at(50 * ms)
			p.acknowledge()
		}, 150 * ms, 7},
		{"never without one", nil, func(p *stopping) {
			p.reply("no")
			p.later()
		}, -1, 0},
		{"the peer ends the stream", nil, func(p *stopping) {
			p.reply("no")
			p.later()
			p.acknowledge()
			p.at(90 * ms)
			p.sendFrames(protect.OneRTT, streamFrame(0, 14, " and the last", true))
			if !p.conn.StreamFinished(0) || p.conn.StreamShutdown(0, ReadDirection, 1) != ErrUnknownStream {
				p.t.Error("the stream is not over")
			}
		}, -1, 0},
		{"the peer resets the stream", nil, func(p *stopping) {
			p.reply("no")
			p.later()
			p.acknowledge()
			p.sendFrames(protect.OneRTT, frame(wire.FrameResetStream, 0, 1, 14))
		}, -1, 0},
		{"an answer without an end", nil, func(p *stopping) {
			p.conn.StreamSend(0, []byte("to be continued"), false)
			p.later()
			p.acknowledge()
		}, 100 * ms, 7},
		{"an answer that comes late", nil, func(p *stopping) {
			p.later()
			p.at(80 * ms)
			p.reply("no")
			p.at(120 * ms)
			p.acknowledge()
		}, 220 * ms, 7},
		{"an answer that was acknowledged before", nil, func(p *stopping) {
			p.reply("no")
			p.acknowledge()
			p.at(30 * ms)
			p.later()
		}, 30 * ms, 7},
		{"the peer's limit on the stream", []scriptedOption{param(0x05, varint(3))}, func(p *stopping) {
			p.reply("more than that")
			p.later()
		}, 0, 7},
		{"the peer's limit on all streams", []scriptedOption{param(0x04, varint(3))}, func(p *stopping) {
			p.reply("more than that")
			p.later()
		}, 0, 7},
		{"the peer's limit, which was reached before", []scriptedOption{param(0x04, varint(3))}, func(p *stopping) {
			p.reply("more than that")
			p.at(20 * ms)
			p.later()
		}, 20 * ms, 7},
		{"the peer does not want the answer", nil, func(p *stopping) {
			p.reply("no")
			p.later()
			p.at(10 * ms)
			p.sendFrames(protect.OneRTT, frame(wire.FrameStopSending, 0, 1))
		}, 10 * ms, 7},
		{"the answer is reset", nil, func(p *stopping) {
			p.reply("no")
			p.later()
			p.at(10 * ms)
			p.must(p.conn.StreamShutdown(0, WriteDirection, 9))
		}, 10 * ms, 7},
		{"both parts are ended", nil, func(p *stopping) {
			p.reply("no")
			p.later()
			p.at(10 * ms)
			p.must(p.conn.StreamShutdown(0, ReadDirection|WriteDirection, 9))
		}, 10 * ms, 9},
		{"it is not to wait any longer", nil, func(p *stopping) {
			p.reply("no")
			p.later()
			p.acknowledge()
			p.at(10 * ms)
			p.must(p.conn.StreamShutdown(0, ReadDirection, 9))
			p.later()
		}, 10 * ms, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newStopping(t, c.options...)
			p.after = -1
			c.play(p)
			p.at(2 * time.Second)
			if p.after != c.after || p.code != c.code {
				t.Errorf("STOP_SENDING came after %v with code %d, want %v, %d", p.after, p.code, c.after, c.code)
			}
			if err := p.conn.Err(); err != nil {
				t.Error(err)
			}
			if n := len(p.conn.streams.count().stops); n != 0 {
				t.Errorf("%d are still held", n)
			}
		})
	}
}

// What comes while STOP_SENDING waits is dropped: the connection's window is given back, and the stream's is not, so that a peer that goes on for ever, or
// acknowledges nothing, sends no more than that.
func TestStopLaterBounds(t *testing.T) {
	p := newStopping(t, func(p *scripted) {
		p.cfg.StreamReceiveWindow, p.cfg.MaxStreamReceiveWindow = 2000, 2000
		p.cfg.ReceiveWindow, p.cfg.MaxReceiveWindow = 3000, 3000
	})
	p.reply("no")
	p.later()
	text := string(make([]byte, 1000))
	p.sendFrames(protect.OneRTT, streamFrame(0, 14, text, false))
	p.sendFrames(protect.OneRTT, streamFrame(0, 1014, text[:986], false))
	if len(p.take(wire.FrameMaxStreamData)) > 0 {
		t.Error("credit is given for a stream that nobody reads")
	}
	if p.conn.StreamReadable(0) || p.conn.streams.live.get(0).recv.data.pieces != nil {
		t.Error("what was dropped is kept")
	}
	for id := uint64(4); id < 40; id += 4 { // far more than the window of all
		p.sendFrames(protect.OneRTT, streamFrame(id, 0, text, true))
		if n, fin, err := p.conn.StreamRecv(id, make([]byte, 2000)); n != 1000 || !fin || err != nil {
			t.Fatalf("stream %d beside it: %d, %v, %v", id, n, fin, err)
		}
	}
	p.sendFrames(protect.OneRTT, streamFrame(0, 2000, "x", false))
	if err := (*TransportError)(nil); !errors.As(p.conn.Err(), &err) || err.Code != FlowControlError {
		t.Errorf("more than the stream's window: %v", p.conn.Err())
	}
}

// Who has very many answered early is asked to stop sooner.
func TestStopLaterMany(t *testing.T) {
	p := newStopping(t, func(p *scripted) { p.cfg.MaxStreamsBidi = 400 })
	const n = maxHeldStops + 50
	for id := uint64(0); id < 4*n; id += 4 {
		p.sendFrames(protect.OneRTT, streamFrame(id, 0, "the first part", false))
		p.must(p.conn.StreamStopLater(id, 7))
	}
	p.drain()
	if got := len(p.take(wire.FrameStopSending)); got != n-maxHeldStops {
		t.Errorf("%d are asked to stop at once, want %d", got, n-maxHeldStops)
	}
	p.at(99 * time.Millisecond)
	if held := len(p.conn.streams.count().stops); held != maxHeldStops {
		t.Errorf("%d are held, want %d", held, maxHeldStops)
	}
	p.at(time.Second)
	if held := p.conn.streams.count().stops; held != nil {
		t.Errorf("%d are still held", len(held))
	}
}
