package h3

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qpack"
)

// insertX is an encoder stream that inserts x: y.
var insertX = []byte{0x3f, 0xe1, 0x1f, 0x41, 'x', 0x01, 'y'}

// A request whose end was read, and whose header section waits for the dynamic table, is cancelled like others when it is given up: the decoder does not count it as
// blocked any more, and the peer is told (RFC 9204, section 2.2.2.2).
func TestBlockedAndEndedIsCancelled(t *testing.T) {
	p := newScript(t, false, &Config{QPACKBlockedStreams: 3}, false)
	for round := range 4 {
		var ids []uint64
		for range 3 {
			ids = append(ids, p.bidi(true, frameOf(frameHeaders, []byte{2, 0, 0x80})))
		}
		if n := p.side.dec.Blocked(); n != 3 {
			t.Fatalf("round %d: %d streams are blocked, want 3", round, n)
		}
		p.pass(11 * time.Second)
		for _, id := range ids {
			p.wantReset(id, ErrCodeRequestIncomplete, "blocked for 10 s")
		}
		if n := p.side.dec.Blocked(); n != 0 {
			t.Fatalf("round %d: %d streams are blocked, and none is there", round, n)
		}
	}
	p.uni(false, varint(streamQPACKEncoder), insertX)
	p.wantServes("after four rounds of blocked requests")
}

// A client that gives up a response which is there to its end, but blocked, cancels it too.
func TestBlockedResponseIsCancelled(t *testing.T) {
	p := newScript(t, true, &Config{QPACKBlockedStreams: 1}, false)
	for range 3 {
		id, _, err := p.side.SendRequest(p.now, get("/"), nil, true)
		if err != nil {
			t.Fatal(err)
		}
		p.settle()
		p.send(id, true, frameOf(frameHeaders, []byte{2, 0, 0x80}))
		if n := p.side.dec.Blocked(); n != 1 {
			t.Fatalf("%d streams are blocked, want 1", n)
		}
		p.side.StreamShutdown(id, 3, ErrCodeRequestCancelled)
		p.side.read()
		p.settle()
		if n := p.side.dec.Blocked(); n != 0 {
			t.Fatalf("%d streams are blocked, and none is there", n)
		}
		if err := p.side.Check(); err != nil {
			t.Fatal(err)
		}
	}
	p.wantAlive("after three responses that were given up")
}

// More responses than are kept that cannot be decoded, since the peer takes no acknowledgements: those that are dropped are told with an error.
func TestLingeringBlockedAreTold(t *testing.T) {
	p := newScriptWith(t, true, &Config{QPACKBlockedStreams: 2 * maxLingering}, false, func(_, server *quic.Config) { server.MaxStreamsBidi = 2 * maxLingering })
	done, reset := 0, 0
	for range maxLingering + 20 {
		id, _, err := p.side.SendRequest(p.now, get("/"), nil, true)
		if err != nil {
			t.Fatal(err)
		}
		p.settle()
		p.send(id, true, frameOf(frameHeaders, []byte{2, 0, 0x80}))
		p.pass(time.Millisecond)
	}
	p.pass(100 * time.Millisecond)
	for _, ev := range p.side.events {
		switch ev.Kind {
		case EventReset:
			reset++
		case EventDone:
			done++
		}
	}
	if done == 0 || done != reset {
		t.Fatalf("%d requests are done, of which %d were told to have failed", done, reset)
	}
	if n := p.side.dec.Blocked(); n > maxLingering {
		t.Fatalf("%d streams are blocked", n)
	}
	if err := p.side.Check(); err != nil {
		t.Fatal(err)
	}
}

// Cancellations on the decoder stream that nothing waits for are bounded by rate: each has the encoder look at all sections in flight.
func TestVainCancellationsBound(t *testing.T) {
	p := newScript(t, false, nil, false, SettingQPACKTableCapacity, 4096, SettingQPACKBlockedStreams, 100)
	id := p.uni(false, varint(streamQPACKDecoder))
	p.send(id, false, bytes.Repeat([]byte{0x41}, 8*1000))
	p.wantServes("a thousand tokens' worth")
	for range 10 {
		p.send(id, false, bytes.Repeat([]byte{0x41}, 8*500))
	}
	p.wantClosed(ErrCodeExcessiveLoad, "cancellations of streams without sections")
}

// What is left of a large message when it is over does not stay with the connection, nor does its string stay for a Priority field in it.
func TestLargeMessageIsLetGo(t *testing.T) {
	p := newScript(t, false, &Config{MaxFieldSectionSize: 1 << 20}, false)
	used := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	fields := []qpack.Field{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "example.org"}, {Name: ":path", Value: "/"}}
	fields = append(fields, qpack.Field{Name: "priority", Value: "u=1"}, qpack.Field{Name: "x-large", Value: strings.Repeat("v", 900_000)})
	enc := qpack.NewEncoder(qpack.EncoderConfig{TableCapacity: -1})
	ask := func(i int) {
		fields[4].Value = "u=1" + strings.Repeat(",a", i)
		id := p.bidi(false)
		b := frameOf(frameHeaders, enc.AppendSection(nil, 0, fields, 0))
		for len(b) > 0 {
			n, err := p.peer.StreamSend(id, b, true)
			if err != nil {
				t.Fatal(err)
			}
			b = b[n:]
			p.pass(time.Millisecond)
		}
		for range 100 {
			p.pass(100 * time.Millisecond)
		}
		if ev := p.side.want(EventRequest); len(ev.Message.Fields) != 2 {
			t.Fatalf("%d fields", len(ev.Message.Fields))
		}
		if _, err := p.side.SendResponse(p.now, id, ok200(), nil, true); err != nil {
			t.Fatal(err)
		}
		p.pass(100 * time.Millisecond)
		p.side.events = nil
	}
	ask(0)
	before := used()
	for i := range 8 {
		ask(1 + i)
	}
	p.side.events = nil
	if grown := used() - before; grown > 500<<10 {
		t.Errorf("after eight requests with 900 kB of header the connection has %d bytes more", grown)
	}
	if len(p.side.work().fields) > 0 || cap(p.side.work().fields) > maxKeptFields || p.side.work().message.Fields != nil {
		t.Error("fields of the last message are kept")
	}
	runtime.KeepAlive(p)
}

// The memory of large datagrams that were read or dropped does not stay.
func TestDatagramQueueMemory(t *testing.T) {
	var q datagramQueue
	large := make([]byte, 60_000)
	for range maxDatagrams {
		q.push(large[:1], maxDatagramBytes)
	}
	for range 3 * maxDatagrams {
		q.push(large, maxDatagramBytes)
	}
	kept := 0
	for _, b := range q.ring {
		kept += cap(b)
	}
	if most := maxDatagramBytes + maxDatagrams*maxKeptDatagram; kept > most {
		t.Fatalf("a queue keeps %d bytes, want at most %d", kept, most)
	}
}

// Datagrams that nobody reads are bounded over all streams, and leave room for the stream that is read: it gets all of its own.
func TestDatagramsOfAllStreams(t *testing.T) {
	p := newScriptWith(t, false, &Config{EnableDatagrams: true}, false, func(client, server *quic.Config) {
		withDatagrams(client, server)
		server.MaxStreamsBidi = 1000
	}, SettingH3Datagram, 1)
	read := p.bidi(false, getFrame())
	var idle []uint64
	for range 300 {
		idle = append(idle, p.bidi(false, getFrame()))
	}
	b := make([]byte, 1000)
	send := func(id uint64, first byte) {
		b[0] = first
		if err := p.peer.DatagramSend(append(wire.AppendVarint(nil, id>>2), b...)); err != nil {
			t.Fatal(err)
		}
	}
	most, got := 0, 0
	var in [2000]byte
	for i := range maxDatagrams {
		for _, id := range idle {
			send(id, byte(i))
			if id&15 == 0 {
				send(read, byte(i))
			}
			p.pass(time.Millisecond)
			for {
				n, ok := p.side.RecvDatagram(read, in[:])
				if !ok {
					break
				}
				if got++; n != len(b) || in[0] != byte(i) {
					t.Fatalf("a datagram of %d bytes of round %d, in round %d", n, in[0], i)
				}
			}
			most = max(most, p.side.unread)
		}
		p.side.events = p.side.events[:0]
	}
	if want := maxDatagrams * len(idle) / 4; got != want {
		t.Errorf("the stream that is read got %d datagrams of %d", got, want)
	}
	if most > maxAllDatagramBytes+len(idle)*len(b) || most < maxAllDatagramBytes/2 {
		t.Errorf("%d bytes of datagrams waited", most)
	}
	for _, id := range idle {
		last := -1
		for {
			if _, ok := p.side.RecvDatagram(id, in[:]); !ok {
				break
			}
			last = int(in[0])
		}
		if last != maxDatagrams-1 {
			t.Fatalf("the newest datagram of stream %d is that of round %d", id, last)
		}
	}
	if err := p.side.Check(); err != nil || p.side.unread != 0 {
		t.Errorf("%d bytes wait: %v", p.side.unread, err)
	}
}

// An entry of the dynamic table is looked at when it is inserted, and a request that refers to one that is no field of HTTP's is malformed each time.
func TestMalformedEntries(t *testing.T) {
	for _, f := range []struct {
		name, value string
		ok          bool
	}{
		{"x", "y", true}, {"x", "a\nb", false}, {"x", " y", false}, {"X", "y", false}, {"x y", "z", false}, {"te", "gzip", false}, {"te", "trailers", true},
		{"upgrade", "h2c", false}, {":method", "GET", false}, {"content-length", "5x", false}, {"", "y", false},
	} {
		p := newScript(t, false, nil, false)
		insert := append([]byte{0x3f, 0xe1, 0x1f, 0x40 | byte(len(f.name))}, f.name...)
		insert = append(append(insert, byte(len(f.value))), f.value...)
		p.uni(false, varint(streamQPACKEncoder), insert)
		// :method GET, :scheme https and :path / of the static table, an :authority, and the entry.
		head := []byte{2, 0, 0xd1, 0xd7, 0xc1, 0x50, 1, 'a', 0x80}
		for range 3 {
			id := p.bidi(true, frameOf(frameHeaders, head))
			if f.ok {
				p.side.want(EventRequest)
			} else {
				p.wantReset(id, ErrCodeMessage, f.name+": "+f.value)
			}
		}
		p.wantServes(f.name + ": " + f.value)
	}
}

// What the application sends is looked at whatever it says of it.
func TestClassifiedFieldsAreChecked(t *testing.T) {
	p := newScript(t, false, nil, false)
	id := p.bidi(true, getFrame())
	p.side.want(EventRequest)
	m := &Message{Status: 200, Fields: []qpack.Field{{Name: "x", Value: "a\nb", Class: uint8(classField)}}}
	if _, err := p.side.SendResponse(p.now, id, m, nil, true); err == nil {
		t.Error("a value with a line feed is sent")
	}
}

// A request that was stopped while its header section, which is there to the end of the stream, waits for the dynamic table: nothing of it is left,
// else the connection never was without requests, and a shutdown would not end.
func TestStoppedWhileBlocked(t *testing.T) {
	p := newScript(t, false, nil, false)
	id := p.bidi(true, frameOf(frameHeaders, []byte{2, 0, 0x80}))
	if n := p.side.OpenRequests(); n != 1 || p.side.blocked.len != 1 {
		t.Fatalf("%d requests, %d blocked", n, p.side.blocked.len)
	}
	p.peer.StreamShutdown(id, quic.ReadDirection, 0x10c)
	p.pass(time.Second)
	c := p.side.Conn
	if c.requests != 0 || c.blocked.len != 0 || c.blocked.first != nil || c.held != 0 || c.dec.Blocked() != 0 {
		t.Errorf("%d requests, %d blocked, %v, %d bytes held, %d blocked with the decoder", c.requests, c.blocked.len, c.blocked.first, c.held, c.dec.Blocked())
	}
	second := p.bidi(true, getFrame())
	p.side.want(EventRequest)
	p.pass(20 * time.Second)
	p.side.wantNone("a request that is served for long")
	if _, err := p.side.SendResponse(p.now, second, ok200(), nil, true); err != nil {
		t.Error(err)
	}
	p.uni(false, varint(streamQPACKEncoder), insertX)
	p.wantAlive("at the end")
}

// Whichever way it is found out that a header section is too large, the peer is told once that no section of the stream is of use any more: neither that one, if
// it was not decoded, nor a trailer section (RFC 9204, section 2.2.2.2).
func TestTooLargeIsCancelled(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   int
		client bool
		want   []byte // behind the increment
	}{
		{"decoded", 1000, false, []byte{0x80, 0x40}}, {"by its length", 2000, false, []byte{0x40}},
		{"a response, decoded", 1000, true, []byte{0x80, 0x40}}, {"a response, by its length", 2000, true, []byte{0x40}},
	} {
		p := newScript(t, c.client, &Config{MaxFieldSectionSize: 1000}, false)
		p.uni(false, varint(streamQPACKEncoder), insertX)
		id := uint64(0)
		if c.client {
			id, _, _ = p.side.SendRequest(p.now, get("/"), nil, true)
			p.settle()
		} else {
			id = p.bidi(false)
		}
		head := append([]byte{2, 0, 0x80, 0x23, 'x', '-', 'y', 0x7f}, appendQPACKInt(c.size)...)
		p.send(id, false, frameOf(frameHeaders, append(head, make([]byte, c.size)...)))
		p.send(id, true, frameOf(frameHeaders, []byte{2, 0, 0x80}))
		p.settle()
		var b [100]byte
		n, _, err := p.peer.StreamRecv(p.side.local.ids[localDecoder], b[:])
		if want := append([]byte{streamQPACKDecoder, 1}, c.want...); err != nil || !bytes.Equal(b[:n], want) {
			t.Errorf("%s: the decoder stream has %x, %v, want %x", c.name, b[:n], err, want)
		}
	}
}

// appendQPACKInt is what follows the prefix of 7 bits, all ones, of an integer that is at least 127.
func appendQPACKInt(v int) (b []byte) {
	for v -= 127; v >= 128; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}
