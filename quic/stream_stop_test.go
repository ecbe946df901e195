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

func (p *stopping) later() { p.t.Helper(); p.must(p.conn.StreamStopLater(p.now, 0, 7)) }

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

// download has another request of the client's be answered with more than its limit on all streams.
func (p *stopping) download(id uint64) {
	p.t.Helper()
	p.sendFrames(protect.OneRTT, streamFrame(id, 0, "a request", true))
	if n, err := p.conn.StreamSend(id, make([]byte, 100), false); n != 100 || err != nil {
		p.t.Fatal(n, err)
	}
	p.look()
}

func (p *stopping) wantNoneHeld() {
	p.t.Helper()
	if n := p.conn.streams.count(); n.held != 0 || n.stops != nil || p.conn.streams.stopTimer() != 0 {
		p.t.Errorf("%d are still held, %d for a time", n.held, len(n.stops))
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
		{"an answer that comes late, and is acknowledged soon", nil, func(p *stopping) {
			p.later()
			p.at(80 * ms)
			p.reply("no")
			p.at(90 * ms)
			p.acknowledge()
		}, 190 * ms, 7},
		{"after a time in which nothing happens", nil, func(p *stopping) {
			p.at(time.Second)
			p.later()
		}, 1100 * ms, 7},
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
		{"the peer's limit, which holds another stream back", []scriptedOption{param(0x04, varint(20))}, func(p *stopping) {
			p.reply("no")
			p.later()
			p.download(4)
			p.at(20 * ms)
			p.acknowledge()
		}, 120 * ms, 7},
		{"the peer's limit, which held another stream back before", []scriptedOption{param(0x04, varint(20))}, func(p *stopping) {
			p.reply("no")
			p.download(4)
			p.at(20 * ms)
			p.later()
			p.acknowledge()
		}, 120 * ms, 7},
		{"the peer's limit, which another stream has reached", []scriptedOption{param(0x04, varint(20))}, func(p *stopping) {
			p.later()
			p.download(4)
			p.at(20 * ms)
			p.reply("no")
		}, 20 * ms, 7},
		{"the peer's limit, which data has reached that is reset", []scriptedOption{param(0x04, varint(20))}, func(p *stopping) {
			p.reply("no")
			p.download(4)
			p.must(p.conn.StreamShutdown(4, WriteDirection, 9))
			p.later()
			p.at(20 * ms)
			p.acknowledge()
		}, 120 * ms, 7},
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
			if s := p.conn.streams.live.get(0); s == nil || !s.recv.stopHeld {
				p.wantNoneHeld()
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
		p.must(p.conn.StreamStopLater(p.now, id, 7))
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

// What was released takes no place: a peer that ends its streams soon after they were answered does not have others be asked to stop sooner.
func TestStopLaterPlaces(t *testing.T) {
	p := newStopping(t, func(p *scripted) { p.cfg.MaxStreamsBidi = 2 * maxHeldStops })
	p.must(p.conn.StreamStopLater(p.now, 0, 7))
	for id := uint64(4); id < 8*maxHeldStops; id += 4 {
		p.sendFrames(protect.OneRTT, streamFrame(id, 0, "the first part", false))
		p.must(p.conn.StreamStopLater(p.now, id, 7))
		p.sendFrames(protect.OneRTT, streamFrame(id, 14, " and the last", true))
	}
	p.drain()
	if got := len(p.take(wire.FrameStopSending)); got != 0 {
		t.Errorf("%d are asked to stop at once", got)
	}
	p.after = -1
	p.at(time.Second)
	if p.after != 100*time.Millisecond {
		t.Errorf("STOP_SENDING came after %v", p.after)
	}
	p.wantNoneHeld()
}

// A STOP_SENDING that was held is sent again as any other; and it waits for an acknowledgement of all that was sent, be that the second time.
func TestResendStopLater(t *testing.T) {
	resend(t, func(t *testing.T, how string) {
		p := newStopping(t)
		p.reply("no")
		p.later()
		p.acknowledge()
		p.at(100 * time.Millisecond)
		p.wantIdle("the first one has been looked at")
		p.lose(how)
		p.wantFrame("lost", protect.OneRTT, frame(wire.FrameStopSending, 0, 7))
	})
	resend(t, func(t *testing.T, how string) {
		p := newStopping(t)
		p.reply("no")
		p.later()
		p.look()
		p.lose(how)
		p.wantStream("lost", 0, 0, "no", true)
		p.start, p.after = p.now, -1
		p.at(30 * time.Millisecond)
		p.acknowledge()
		p.at(time.Second)
		if p.after != 130*time.Millisecond {
			t.Errorf("STOP_SENDING came %v after the answer was sent again", p.after)
		}
		p.wantNoneHeld()
	})
}

// The streams of 0-RTT data that is rejected are over, and what was held of them is not sent.
func TestStopLaterRejected(t *testing.T) {
	for _, ended := range []bool{false, true} {
		p := newEarlyServer(t, nothing, rejecting, ConnectParams{})
		id := write(t, p.conn, false, "early", ended)
		p.must(p.conn.StreamStopLater(p.now, id, 7))
		if n := p.conn.streams.count().held; n != 1 {
			t.Fatalf("%d are held", n)
		}
		p.drain()
		p.handshake()
		if s := (&stopping{scripted: p}); p.conn.EarlyData() != EarlyRejected {
			t.Errorf("0-RTT data is %v", p.conn.EarlyData())
		} else {
			s.wantNoneHeld()
		}
		p.got = nil
		p.advance()
		if len(p.take(wire.FrameStopSending)) > 0 {
			t.Error("the server is asked to stop on a stream that it does not know")
		}
	}
}
