package quic

import (
	"bytes"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// The most urgent stream is sent first, whatever was written before it; of one urgency the one that was opened first, as a whole; and a
// priority may change while data waits. What was lost of a less urgent stream comes behind.
func TestStreamPriority(t *testing.T) {
	resend(t, func(t *testing.T, how string) {
		p := newScriptedServer(t)
		p.handshake()
		p.ignoreIDs()
		send := func(id uint64, data string, pr Priority) {
			t.Helper()
			p.must(p.conn.SetStreamPriority(id, pr))
			if n, err := p.conn.StreamSend(id, []byte(data), false); n != len(data) || err != nil {
				t.Fatal(n, err)
			}
		}
		var ids [5]uint64
		for i := range ids {
			id, err := p.conn.OpenStream()
			p.must(err)
			ids[i] = id
		}
		send(ids[4], "late", Priority{Urgency: 7, Incremental: false})
		send(ids[3], "turns", Priority{Urgency: 3, Incremental: true})
		send(ids[2], "second", DefaultPriority)
		send(ids[1], "first", DefaultPriority)
		send(ids[0], "urgent", Priority{Urgency: 5, Incremental: false})
		p.must(p.conn.SetStreamPriority(ids[0], Priority{Urgency: 0, Incremental: true}))
		p.drain()
		wantAll := func(what string) {
			t.Helper()
			p.wantStream(what, ids[0], 0, "urgent", false)
			p.wantStream(what, ids[1], 0, "first", false)
			p.wantStream(what, ids[2], 0, "second", false)
			p.wantStream(what, ids[3], 0, "turns", false)
			p.wantStream(what, ids[4], 0, "late", false)
		}
		wantAll("in the order of priorities")
		p.lose(how)
		wantAll("again, in the same order")
		p.wantIdle("nothing is left")
	})
}

// What is new of an urgent stream leaves before what was lost of another.
func TestUrgentBeforeLost(t *testing.T) {
	p := newScriptedServer(t)
	p.handshake()
	p.ignoreIDs()
	low, err := p.conn.OpenStream()
	p.must(err)
	p.must(p.conn.SetStreamPriority(low, Priority{Urgency: 6, Incremental: false}))
	p.conn.StreamSend(low, []byte("low"), false)
	p.drain()
	p.wantStream("the only one", low, 0, "low", false)
	high, err := p.conn.OpenStream()
	p.must(err)
	p.must(p.conn.SetStreamPriority(high, Priority{Urgency: 1, Incremental: false}))
	p.conn.streams.onFrameLost(recovery.Frame{Type: wire.FrameStream, ID: low, Len: 3})
	p.conn.StreamSend(high, []byte("high"), true)
	p.drain()
	p.wantStream("the urgent one", high, 0, "high", true)
	p.wantStream("what was lost", low, 0, "low", false)
}

func TestStreamPriorityErrors(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.sendFrames(protect.OneRTT, streamFrame(0, 0, "x", true), streamFrame(2, 0, "x", false))
	if err := p.conn.SetStreamPriority(0, Priority{Urgency: 8, Incremental: false}); err == nil || err.Error() != "quic: urgency 8 of stream 0; it may be 0 to 7" {
		t.Errorf("urgency 8: %v", err)
	}
	if err := p.conn.SetStreamPriority(2, DefaultPriority); err != ErrStreamDirection {
		t.Errorf("a stream of the peer's alone: %v", err)
	}
	if err := p.conn.SetStreamPriority(4, DefaultPriority); err != ErrUnknownStream {
		t.Errorf("a stream that is not there: %v", err)
	}
	p.conn.StreamSend(0, nil, true)
	if err := p.conn.SetStreamPriority(0, DefaultPriority); err != nil {
		t.Errorf("after the end was written: %v", err)
	}
	p.conn.Close(p.now, true, 0, "")
	if err := p.conn.SetStreamPriority(0, DefaultPriority); err != p.conn.Err() || err == nil {
		t.Errorf("after the end of the connection: %v", err)
	}
}

// A stream that writes much does not keep a more urgent one from writing, which is told of room before it; and a connection that has
// rested keeps the priorities of its streams.
func TestUrgentWriterIsNotHeldBack(t *testing.T) {
	p := newPair(t, fullFrames)
	big := bytes.Repeat([]byte("x"), 1<<20)
	for round := range 2 {
		low, high := p.openStream(), p.openStream()
		p.must(p.client.SetStreamPriority(low, Priority{Urgency: 5, Incremental: false}))
		p.must(p.client.SetStreamPriority(high, Priority{Urgency: 2, Incremental: false}))
		if round > 0 {
			p.client.streams.rest()
			if p.client.streams.order != nil {
				t.Fatal("the order is kept")
			}
		}
		if n, err := p.client.StreamSend(low, big, false); n < 1000 || n == len(big) || err != nil {
			t.Fatalf("the first write took %d bytes, %v", n, err)
		}
		n, err := p.client.StreamSend(high, big, false)
		if n < maxUnsent/2 || err != nil {
			t.Errorf("the more urgent one took %d bytes, %v", n, err)
		}
		if err := p.client.Check(); err != nil {
			t.Error(err)
		}
		p.must(p.client.StreamShutdown(low, WriteDirection|ReadDirection, 1))
		p.must(p.client.StreamShutdown(high, WriteDirection|ReadDirection, 1))
		p.run(func() bool { return !p.step() })
	}
}

// Attack: a peer changes the priorities of 10,000 streams, all of which have something to send and to send again and wait for room, as often as it
// can. Each change moves a few of them and allocates nothing. Streams that are reset leave the order at once, also where more urgent ones
// keep them from their turn.
func TestAttackPriorities(t *testing.T) {
	const streams = 10_000
	r := newOrderRig(t, 1, streams)
	for i, m := range r.models {
		r.write(m, 400, false)
		s := r.st.find(m.id)
		if i%2 == 0 {
			s.send.buf.sent = 200
			r.st.admission.recount(s)
			s.send.buf.onLost(0, 200)
			r.st.queueData(s)
		}
		r.write(m, 1<<20, false)
	}
	change := func() {
		m := r.models[r.rng.IntN(streams)]
		if err := r.st.setPriority(0, m.id, Priority{Urgency: uint8(r.rng.IntN(8)), Incremental: r.rng.IntN(2) == 0}); err != nil {
			t.Fatal(err)
		}
	}
	for range streams {
		change()
	}
	if err := r.st.check(); err != nil {
		t.Fatal(err)
	}
	if o := r.st.order; o.resend.len() < streams/3 || o.fresh.len() < streams/3 || r.st.admission.first() == nil {
		t.Errorf("few streams are queued: %d, %d", o.resend.len(), o.fresh.len())
	}
	places := func() (all [][3]int32) {
		for _, m := range r.models {
			all = append(all, r.st.live.get(m.id).place)
		}
		return all
	}
	before := places()
	for range 300 {
		change()
		moved, after := 0, places()
		for i := range after {
			for q := range after[i] {
				if after[i][q] != before[i][q] {
					moved++
				}
			}
		}
		if moved > 3*2*(14+1) { // of three heaps, in and out, one a level
			t.Fatalf("a change of one priority moved %d streams", moved)
		}
		before = after
	}
	if n := testing.AllocsPerRun(1000, change); n != 0 {
		t.Errorf("a change of priority allocates %v times", n)
	}
	for _, m := range r.models {
		r.shutdown(m)
	}
	if o := r.st.order; o.resend.len()+o.fresh.len() > 0 || r.st.admission.first() != nil {
		t.Error("streams that were reset are kept in the order")
	}
	if err := r.st.check(); err != nil {
		t.Error(err)
	}
}
