package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/boringquic/boringquic/quic"
)

// requestLen is what stands before the upload on each stream: how many bytes the server is to send, in 8 bytes.
const requestLen = 8

// content is what transfers carry: one block, whose length is prime, over and over.
type content []byte

func newContent(seed uint64) content {
	c := make(content, 65521)
	chacha := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24), 'c'})
	chacha.Read(c)
	return c
}

// at returns up to n bytes from offset off on.
func (c content) at(off, n int) []byte {
	off %= len(c)
	return c[off:min(off+n, len(c))]
}

// matches tells whether p stands at offset off.
func (c content) matches(p []byte, off int) bool {
	for len(p) > 0 {
		part := c.at(off, len(p))
		if !bytes.Equal(part, p[:len(part)]) {
			return false
		}
		p, off = p[len(part):], off+len(part)
	}
	return true
}

// transfer is the application of a Scenario: the client opens streams, on each of which it sends a request and uploads,
// and the server downloads to it. Every byte is compared.
type transfer struct {
	world                      *World
	content                    content
	streams, upload, download  int // bytes of each stream
	opened                     int
	early                      int // streams that the server saw opened by 0-RTT data
	clientReceived, serverDone int // streams whose peer's part was read to the end
	scratch                    []byte
	datagrams                  int
	toServer, toClient         Datagrams
}

// Datagrams are the DATAGRAM frames that went one way.
type Datagrams struct {
	Sent, Received int
	Largest        int // bytes of the largest that was sent

	from *Conn
}

// exchange is one side of a stream.
type exchange struct {
	request         []byte // the client's: what is still to be sent of it
	asked           []byte // the server's: what it has received of the request
	toSend, sent    int    // toSend is -1 before the server knows
	toRead, read    int
	finSent, finned bool
}

type exchanges map[uint64]*exchange

// done tells whether all streams were received, and all datagrams left.
func (t *transfer) done() bool {
	return t.clientReceived == t.streams && t.serverDone == t.streams && t.toServer.left(t.datagrams) && t.toClient.left(t.datagrams)
}

// left tells whether n datagrams have.
func (d *Datagrams) left(n int) bool {
	if d.Sent < n {
		return false
	}
	if n == 0 {
		return true
	}
	stats := d.from.Stats()
	return stats.DatagramFramesSent+stats.DatagramFramesUnsent >= uint64(n)
}

func (t *transfer) fail(c *Conn, format string, args ...any) {
	t.world.Fail(fmt.Errorf("sim: at %v, %v: %s", t.world.Elapsed(), c.host.Addr, fmt.Sprintf(format, args...)))
}

func (t *transfer) onClientEvent(c *Conn, ev quic.Event) {
	t.onDatagramEvent(c, ev, &t.toServer, &t.toClient)
	switch ev.Kind {
	case quic.EventEarlyReady:
		c.App = exchanges{}
		t.open(c)
	case quic.EventEarlyData:
		if !ev.Accepted && !ev.Resent {
			c.App, t.opened = exchanges{}, 0
		}
	case quic.EventHandshakeComplete:
		if c.App == nil {
			c.App = exchanges{}
		}
		t.open(c)
	case quic.EventStreamsAvailable:
		t.open(c)
	default:
		t.onStreamEvent(c, ev, true)
	}
}

// onDatagramEvent sends datagrams as large as they may be, and takes those that come.
func (t *transfer) onDatagramEvent(c *Conn, ev quic.Event, out, in *Datagrams) {
	switch ev.Kind {
	case quic.EventHandshakeConfirmed, quic.EventDatagramWritable:
		out.from = c
		for out.Sent < t.datagrams {
			b := make([]byte, c.MaxDatagramSize())
			switch err := c.DatagramSend(b); err {
			case nil:
				out.Sent, out.Largest = out.Sent+1, max(out.Largest, len(b))
			case quic.ErrDatagramQueueFull:
				return // EventDatagramWritable comes
			default:
				t.fail(c, "DatagramSend of %d bytes: %v", len(b), err)
				return
			}
		}
	case quic.EventDatagram:
		for {
			if _, ok := c.DatagramRecv(t.scratch); !ok {
				return
			}
			in.Received++
		}
	}
}

func (t *transfer) open(c *Conn) {
	for t.opened < t.streams {
		id, err := c.OpenStream()
		if err != nil {
			return // EventStreamsAvailable comes
		}
		t.opened++
		x := &exchange{request: binary.BigEndian.AppendUint64(nil, uint64(t.download)), toSend: t.upload,
			toRead: t.download}
		c.App.(exchanges)[id] = x
		t.write(c, id, x)
	}
}

func (t *transfer) onServerEvent(c *Conn, ev quic.Event) {
	t.onDatagramEvent(c, ev, &t.toClient, &t.toServer)
	if c.App == nil {
		c.App = exchanges{}
	}
	if ev.Kind == quic.EventStreamOpened {
		if c.StreamEarly(ev.Stream) {
			t.early++
		}
		c.App.(exchanges)[ev.Stream] = &exchange{toSend: -1, toRead: t.upload}
		t.readStream(c, ev.Stream, false)
		return
	}
	t.onStreamEvent(c, ev, false)
}

func (t *transfer) onStreamEvent(c *Conn, ev quic.Event, client bool) {
	switch ev.Kind {
	case quic.EventReadable:
		t.readStream(c, ev.Stream, client)
	case quic.EventWritable:
		if x := c.App.(exchanges)[ev.Stream]; x != nil {
			t.write(c, ev.Stream, x)
		}
	case quic.EventClosed:
		if !t.done() {
			t.fail(c, "closed early: %v", c.Err())
		}
	}
}

func (t *transfer) readStream(c *Conn, id uint64, client bool) {
	x := c.App.(exchanges)[id]
	if x == nil {
		t.fail(c, "stream %d is readable, which nobody opened", id)
		return
	}
	if x.finned {
		return // EventStreamOpened and EventReadable both told of it
	}
	for !x.finned {
		n, fin, err := c.StreamRecv(id, t.scratch)
		if err != nil {
			t.fail(c, "StreamRecv on stream %d: %v", id, err)
			return
		}
		p := t.scratch[:n]
		if !client && len(x.asked) < requestLen {
			k := min(requestLen-len(x.asked), n)
			x.asked, p = append(x.asked, p[:k]...), p[k:]
		}
		if !t.content.matches(p, x.read) {
			t.fail(c, "stream %d: the bytes from %d on are not those that were sent", id, x.read)
			return
		}
		x.read += len(p)
		x.finned = fin
		if n == 0 && !fin {
			break
		}
	}
	if !client && len(x.asked) == requestLen && x.toSend < 0 {
		x.toSend = int(binary.BigEndian.Uint64(x.asked))
		t.write(c, id, x)
	}
	if x.finned {
		t.onFinished(c, id, x, client)
	}
}

func (t *transfer) onFinished(c *Conn, id uint64, x *exchange, client bool) {
	if x.read != x.toRead {
		t.fail(c, "stream %d ended after %d bytes, want %d", id, x.read, x.toRead)
	}
	if client {
		t.clientReceived++
	} else {
		t.serverDone++
	}
}

// write sends as much of the stream as is taken.
func (t *transfer) write(c *Conn, id uint64, x *exchange) {
	for !x.finSent && x.toSend >= 0 {
		part := x.request
		if len(part) == 0 {
			part = t.content.at(x.sent, x.toSend-x.sent)
		}
		last := len(x.request) == 0 && x.sent+len(part) == x.toSend
		n, err := c.StreamSend(id, part, last)
		if err != nil {
			t.fail(c, "StreamSend on stream %d: %v", id, err)
			return
		}
		if len(x.request) > 0 {
			x.request = x.request[n:]
		} else {
			x.sent += n
		}
		if n < len(part) {
			return // EventWritable comes
		}
		x.finSent = last
	}
}
