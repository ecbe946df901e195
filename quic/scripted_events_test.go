package quic

import (
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// wantEvents asserts that just these events were told of streams since the last call.
func (p *scripted) wantEvents(reason string, want ...Event) {
	p.t.Helper()
	p.drain()
	var got []Event
	for _, ev := range p.events {
		if ev.Kind >= EventStreamOpened && ev.Kind <= EventStreamFinished {
			got = append(got, ev)
		}
	}
	p.events = nil
	same := len(got) == len(want)
	for i := 0; same && i < len(got); i++ {
		same = got[i].Kind == want[i].Kind && got[i].Stream == want[i].Stream && got[i].Code == want[i].Code
	}
	if !same {
		p.t.Fatalf("%s: told %v, want %v", reason, got, want)
	}
}

func (p *scripted) wantAcked(id, want uint64, wantErr error) {
	p.t.Helper()
	if n, err := p.conn.StreamAcked(id); n != want || err != wantErr {
		p.t.Fatalf("StreamAcked: %d, %v; want %d, %v", n, err, want, wantErr)
	}
}

// RFC 9000, figure 2: a sending part is in Data Recvd once its data and its end are acknowledged, though what carried them was lost
// before.
func TestEventStreamAcked(t *testing.T) {
	resend(t, func(t *testing.T, how string) {
		p := newScriptedServer(t)
		p.handshake()
		id, err := p.conn.OpenStream()
		p.must(err)
		if n, err := p.conn.StreamSend(id, []byte("hello"), false); n != 5 || err != nil {
			t.Fatalf("StreamSend: %d, %v", n, err)
		}
		p.drain()
		p.wantAcked(id, 0, nil)
		p.lose(how)
		p.wantAcked(id, 0, nil)
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		p.wantAcked(id, 5, nil)
		if n, err := p.conn.StreamSend(id, []byte(" world"), true); n != 6 || err != nil {
			t.Fatalf("StreamSend: %d, %v", n, err)
		}
		p.drain()
		p.wantEvents("the end is not acknowledged")
		p.lose(how)
		p.wantEvents("the end was lost")
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		p.wantEvents("all is acknowledged", Event{Kind: EventStreamAcked, Stream: id})
		p.wantAcked(id, 11, nil)
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT), streamFrame(id, 0, "", true))
		p.wantEvents("the peer ends its part", Event{Kind: EventReadable, Stream: id})
		if _, fin, err := p.conn.StreamRecv(id, nil); !fin || err != nil {
			t.Fatal(fin, err)
		}
		p.wantEvents("both parts are over", Event{Kind: EventStreamFinished, Stream: id})
		p.wantAcked(id, 0, ErrUnknownStream)
	})
}

// A stream that is read to its end before its own end is acknowledged is told to be acknowledged before it is told to be over.
func TestEventStreamAckedBeforeFinished(t *testing.T) {
	resend(t, func(t *testing.T, how string) {
		p := newScriptedServer(t)
		p.handshake()
		id, err := p.conn.OpenStream()
		p.must(err)
		_, err = p.conn.StreamSend(id, []byte("hello"), true)
		p.must(err)
		p.drain()
		p.sendFrames(protect.OneRTT, streamFrame(id, 0, "", true))
		_, _, err = p.conn.StreamRecv(id, nil)
		p.must(err)
		p.events = nil
		p.lose(how)
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		p.wantEvents("all is acknowledged", Event{Kind: EventStreamAcked, Stream: id}, Event{Kind: EventStreamFinished, Stream: id})
	})
}

// A stream that was reset is never told to be acknowledged; what was before still counts.
func TestResetStreamIsNotAcked(t *testing.T) {
	resend(t, func(t *testing.T, how string) {
		p := newScriptedServer(t)
		p.handshake()
		id, err := p.conn.OpenUniStream()
		p.must(err)
		_, err = p.conn.StreamSend(id, []byte("hello"), false)
		p.must(err)
		p.drain()
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		_, err = p.conn.StreamSend(id, []byte(" world"), true)
		p.must(err)
		p.must(p.conn.StreamShutdown(id, WriteDirection, 7))
		p.wantAcked(id, 5, nil)
		p.drain()
		p.lose(how)
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		p.wantEvents("the reset is acknowledged", Event{Kind: EventStreamFinished, Stream: id})
	})
}

// A reset of the peer's is told at once with its code, whether anybody reads or not, and once; not to somebody who wants no more.
func TestEventStreamReset(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.ignored[wire.FrameStopSending], p.ignored[wire.FrameMaxStreamsUni] = true, true
	reset := frame(wire.FrameResetStream, 2, 77, 100)
	p.sendFrames(protect.OneRTT, streamFrame(2, 0, "hello", false))
	p.wantEvents("data", Event{Kind: EventStreamOpened, Stream: 2}, Event{Kind: EventReadable, Stream: 2})
	p.sendFrames(protect.OneRTT, reset)
	p.wantEvents("a reset, while data is not read", Event{Kind: EventStreamReset, Stream: 2, Code: 77})
	p.sendFrames(protect.OneRTT, reset)
	p.wantEvents("the reset again")
	p.sendFrames(protect.OneRTT, frame(wire.FrameResetStream, 6, 78, 0))
	p.wantEvents("a reset that opens its stream", Event{Kind: EventStreamOpened, Stream: 6},
		Event{Kind: EventStreamReset, Stream: 6, Code: 78}, Event{Kind: EventReadable, Stream: 6})
	p.sendFrames(protect.OneRTT, streamFrame(10, 0, "hello", false))
	p.must(p.conn.StreamShutdown(10, ReadDirection, 1))
	p.events = nil
	p.sendFrames(protect.OneRTT, frame(wire.FrameResetStream, 10, 79, 5))
	p.wantEvents("a reset that was asked for", Event{Kind: EventStreamFinished, Stream: 10})

	// The reading part is shut down while the reset is still to be told.
	b := p.encode(oneRTT(frame(wire.FrameResetStream, 14, 80, 0)))
	p.recvFrom(p.remote, b)
	if ev, ok := p.conn.NextEvent(); !ok || ev.Kind != EventStreamOpened {
		t.Fatalf("got %+v, want a stream that is opened", ev)
	}
	p.must(p.conn.StreamShutdown(14, ReadDirection, 1))
	p.drain()
	p.wantEvents("a reset that nobody waits for any more", Event{Kind: EventStreamFinished, Stream: 14})
}

// STOP_SENDING is told at once with its code, also of a stream that was ended and so has nobody who writes; not of one that has no more
// to be stopped.
func TestEventStreamStopped(t *testing.T) {
	resend(t, func(t *testing.T, how string) {
		p := newScriptedServer(t)
		p.handshake()
		var ids [3]uint64
		for i := range ids {
			var err error
			ids[i], err = p.conn.OpenUniStream()
			p.must(err)
			_, err = p.conn.StreamSend(ids[i], []byte("hello"), i != 1)
			p.must(err)
			if i == 0 {
				p.drain()
				p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
			}
		}
		p.drain()
		p.got, p.events = nil, nil
		stop := func(i int) []byte { return frame(wire.FrameStopSending, ids[i], 70+uint64(i)) }
		p.sendFrames(protect.OneRTT, stop(0), stop(1), stop(2))
		p.wantEvents("all was acknowledged of the first one", Event{Kind: EventStreamStopped, Stream: ids[1], Code: 71},
			Event{Kind: EventWritable, Stream: ids[1]}, Event{Kind: EventStreamStopped, Stream: ids[2], Code: 72})
		p.lose(how)
		p.sendFrames(protect.OneRTT, stop(0), stop(1), stop(2))
		p.wantEvents("stopped again")
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
		p.wantEvents("the reset is acknowledged", Event{Kind: EventStreamFinished, Stream: ids[2]})
		if _, err := p.conn.StreamSend(ids[1], nil, false); err == nil {
			t.Error("StreamSend on a stopped stream")
		}
		p.wantEvents("the writer knows", Event{Kind: EventStreamFinished, Stream: ids[1]})
	})
}
