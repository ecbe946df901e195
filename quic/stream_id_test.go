package quic

import (
	"slices"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// limitStreams has the scripted peer allow n streams of each type.
func limitStreams(n uint64) scriptedOption {
	return func(p *scripted) {
		p.params[0x08], p.params[0x09] = varint(n), varint(n)
	}
}

// A stream is opened by the first write to it, and the lower ones of its type with it (RFC 9000, section 2.1).
func TestStreamIDChosen(t *testing.T) {
	p := newScriptedServer(t, limitStreams(10))
	p.handshake()
	if n, err := p.conn.StreamSend(8, []byte("third"), true); n != 5 || err != nil {
		t.Fatalf("StreamSend on a stream that is not open: %d, %v", n, err)
	}
	p.drain()
	p.wantStream("the stream was written to", 8, 0, "third", true)
	p.wantIdle("nothing is said of those below")
	if n := p.conn.StreamsOpenable(false); n != 7 {
		t.Errorf("%d streams can be opened, want 7 of 10", n)
	}
	if id, err := p.conn.OpenStream(); id != 12 || err != nil {
		t.Errorf("OpenStream: %d, %v; want the one above the highest", id, err)
	}
	if n, err := p.conn.StreamSendParts(14, [][]byte{[]byte("a"), []byte("b")}, false); n != 2 || err != nil {
		t.Fatalf("StreamSendParts on a unidirectional stream that is not open: %d, %v", n, err)
	}
	p.drain()
	p.wantStream("the other type has IDs of its own", 14, 0, "ab", false)
	// One of those below is used by the peer first, the other by the application.
	p.events = nil
	p.sendFrames(protect.OneRTT, streamFrame(0, 0, "early", true))
	p.wantEvents("the peer uses what it was given", Event{Kind: EventReadable, Stream: 0})
	if n, err := p.conn.StreamSend(4, []byte("second"), true); n != 6 || err != nil {
		t.Fatalf("StreamSend on a lower stream: %d, %v", n, err)
	}
	if n, err := p.conn.StreamSend(0, []byte("first"), true); n != 5 || err != nil {
		t.Fatalf("StreamSend on the stream that the peer has used: %d, %v", n, err)
	}
	p.drain()
	p.wantStream("a lower stream", 4, 0, "second", true)
	p.wantStream("the stream that the peer has used", 0, 0, "first", true)
	if n := p.conn.StreamsOpenable(false); n != 6 {
		t.Errorf("%d streams can be opened after two of them were used, want 6", n)
	}
}

// Questions about a stream that one above it has opened neither use it nor give it a state.
func TestStreamIDAsked(t *testing.T) {
	p := newScriptedServer(t, limitStreams(10))
	p.handshake()
	p.must(p.conn.OpenStreamID(8))
	p.must(p.conn.OpenStreamID(6))
	unused := uint64(4)
	if room, err := p.conn.StreamRoom(unused); room <= 0 || err != nil {
		t.Errorf("StreamRoom: %d, %v", room, err)
	}
	if n := p.conn.StreamCredit(unused); n <= 0 {
		t.Errorf("StreamCredit: %d", n)
	}
	if n, err := p.conn.StreamAcked(unused); n != 0 || err != nil {
		t.Errorf("StreamAcked: %d, %v", n, err)
	}
	if p.conn.StreamReadable(unused) || p.conn.StreamFinished(unused) || p.conn.StreamData(unused) != nil {
		t.Error("it is readable, or has ended, or has data of the program's")
	}
	if !p.conn.StreamFinished(2) {
		t.Error("from a unidirectional stream of ours something may come")
	}
	p.conn.SetStreamData(unused, nil)
	if got := slices.Collect(p.conn.Writable()); !slices.Equal(got, []uint64{6, 8}) {
		t.Errorf("Writable yields %d, want the streams in use, 6 and 8", got)
	}
	if _, err := p.conn.StreamRoom(12); err != ErrUnknownStream {
		t.Errorf("StreamRoom of a stream that is not open: %v", err)
	}
	p.conn.SetStreamData(unused, t)
	if got := slices.Collect(p.conn.Writable()); !slices.Equal(got, []uint64{4, 6, 8}) || p.conn.StreamData(unused) != t {
		t.Errorf("Writable yields %d after stream 4 was used", got)
	}
}

// A stream that is over is not opened again, whether or not others below it were skipped.
func TestStreamIDOver(t *testing.T) {
	p := newScriptedServer(t, limitStreams(10))
	p.handshake()
	for _, id := range []uint64{8, 4} {
		p.must(p.conn.OpenStreamID(id))
		_, err := p.conn.StreamSend(id, nil, true)
		p.must(err)
		p.drain()
		p.got = nil
		p.events = nil
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT), streamFrame(id, 0, "", true))
		if _, fin, err := p.conn.StreamRecv(id, nil); !fin || err != nil {
			t.Fatal(fin, err)
		}
		p.wantEvents("both parts are over", Event{Kind: EventReadable, Stream: id}, Event{Kind: EventStreamAcked, Stream: id},
			Event{Kind: EventStreamFinished, Stream: id})
		if _, err := p.conn.StreamSend(id, []byte("x"), false); err != ErrUnknownStream {
			t.Errorf("StreamSend on stream %d, which is over: %v", id, err)
		}
		if err := p.conn.OpenStreamID(id); err != ErrUnknownStream {
			t.Errorf("OpenStreamID of stream %d, which is over: %v", id, err)
		}
	}
	p.must(p.conn.OpenStreamID(0))
	p.must(p.conn.OpenStreamID(0)) // it is open already
	p.sendFrames(protect.OneRTT, streamFrame(8, 0, "", true), frame(wire.FrameMaxStreamData, 4, 1<<20))
	p.wantEvents("frames of streams that are over")
}

// What cannot be opened, and that nothing is opened then.
func TestStreamIDErrors(t *testing.T) {
	p := newScriptedServer(t, limitStreams(10))
	if _, err := p.conn.StreamSend(0, []byte("x"), false); err != ErrStreamLimit {
		t.Errorf("before the handshake: %v", err)
	}
	p.handshake()
	for _, c := range []struct {
		name string
		id   uint64
		want error
	}{
		{"one above the limit", 40, ErrStreamLimit},
		{"far above it", 1<<62 - 4, ErrStreamLimit},
		{"no stream ID at all", 1<<64 - 4, ErrStreamLimit},
		{"above the limit on unidirectional ones", 42, ErrStreamLimit},
		{"the peer's to open", 1, ErrUnknownStream},
	} {
		if err := p.conn.OpenStreamID(c.id); err != c.want {
			t.Errorf("%s: OpenStreamID: %v", c.name, err)
		}
		if _, err := p.conn.StreamSend(c.id, []byte("x"), true); err != c.want {
			t.Errorf("%s: StreamSend: %v", c.name, err)
		}
	}
	if _, err := p.conn.StreamSend(3, []byte("x"), true); err != ErrStreamDirection {
		t.Errorf("the peer's, unidirectional: StreamSend: %v", err)
	}
	for name, err := range map[string]error{
		"StreamShutdown":    p.conn.StreamShutdown(4, WriteDirection, 0),
		"SetStreamPriority": p.conn.SetStreamPriority(4, DefaultPriority),
	} {
		if err != ErrUnknownStream {
			t.Errorf("%s on a stream that is not open: %v", name, err)
		}
	}
	if bidi, uni := p.conn.StreamsOpenable(false), p.conn.StreamsOpenable(true); bidi != 10 || uni != 10 {
		t.Errorf("%d and %d streams can be opened, want all", bidi, uni)
	}
	p.drain()
	p.wantType("the application was refused one", protect.OneRTT, wire.FrameStreamsBlockedBidi)
	p.wantType("of both types", protect.OneRTT, wire.FrameStreamsBlockedUni)
	p.events = nil
	p.sendFrames(protect.OneRTT, frame(wire.FrameMaxStreamsBidi, 11))
	p.wantEvents("a higher limit", Event{Kind: EventStreamsAvailable, Stream: StreamTypeBidi})
	p.must(p.conn.OpenStreamID(40))
	p.conn.Close(p.now, true, 0, "")
	if err := p.conn.OpenStreamID(4); err != p.conn.Err() {
		t.Errorf("after the end: %v", err)
	}
}

// How many streams may be skipped is bounded, since the peer can use all of them.
func TestMaxSkippedStreams(t *testing.T) {
	p := newScriptedServer(t, limitStreams(1<<40))
	p.handshake()
	p.must(p.conn.OpenStreamID(4 * maxSkippedStreams))
	if err := p.conn.OpenStreamID(4 * (maxSkippedStreams + 2)); err != ErrStreamsSkipped {
		t.Errorf("one more: %v", err)
	}
	if _, err := p.conn.StreamSend(4*(maxSkippedStreams+2), nil, false); err != ErrStreamsSkipped {
		t.Errorf("one more, by a write: %v", err)
	}
	id, err := p.conn.OpenStream()
	if id != 4*(maxSkippedStreams+1) || err != nil {
		t.Errorf("OpenStream, which skips none: %d, %v", id, err)
	}
	p.must(p.conn.OpenStreamID(0))
	p.must(p.conn.OpenStreamID(4 * (maxSkippedStreams + 3))) // now there is room for one
	p.must(p.conn.OpenStreamID(2 + 4*maxSkippedStreams))     // the other type has a bound of its own
	for id := uint64(0); id < 4*maxSkippedStreams; id += 4 {
		p.sendFrames(protect.OneRTT, streamFrame(id, 0, "", false))
	}
	if n := p.conn.streams.live.len(); n > maxSkippedStreams+5 {
		t.Errorf("the peer had us make %d streams", n)
	}
	p.must(p.conn.Check())
}
