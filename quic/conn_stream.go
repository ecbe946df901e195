package quic

import (
	"fmt"
	"iter"
	"time"
)

// The calls of Conn that are about streams.

// OpenStream opens a bidirectional stream and returns its ID. errors.Is(err, ErrStreamLimit) tells that the peer allows no
// more of them now: EventStreamsAvailable comes when it does. Nothing is sent before data is.
func (c *Conn) OpenStream() (id uint64, err error) { return c.open(false) }

// OpenUniStream opens a stream on which only we send.
func (c *Conn) OpenUniStream() (id uint64, err error) { return c.open(true) }

// OpenStreamID opens stream id, which must be one of ours (RFC 9000, section 2.1), and with it, since a stream that is used out of order
// opens them, all of its type with lower IDs: those exist from then on, and may be used by both sides. OpenStream goes on above the highest.
// StreamSend and StreamSendParts do the same by themselves; a program that lets OpenStream choose has no use for either.
//
// It does nothing if the stream is open. The error is ErrStreamLimit, as OpenStream's; ErrUnknownStream for a stream that is over, or that is
// the peer's to open; or ErrStreamsSkipped. Nothing is opened then.
func (c *Conn) OpenStreamID(id uint64) error {
	if c.err != nil {
		return c.err
	}
	return c.streams.openID(id)
}

func (c *Conn) open(uni bool) (uint64, error) {
	if c.err != nil {
		return 0, c.err
	}
	return c.streams.open(uni)
}

// StreamSend queues bytes of p for sending on stream id, and the stream's end after all of p if fin. It takes n bytes, which
// are copied; n < len(p) without an error says that buffers or flow control are full, in which case fin was not taken
// either, and EventWritable comes when there is room. That is kept free then until StreamSend is called again, if only with nothing,
// or the stream is ended or reset; but where other streams wait for room, no longer than 50 ms. Whoever comes later is served with
// what there is, and waits again if that is nothing. A *StreamError tells that the stream was reset. A stream of ours that is not open
// yet is opened, as OpenStreamID does, with its errors; but not where one of that ID was open before 0-RTT data was rejected (EventEarlyData): that is
// ErrUnknownStream until it is opened by OpenStream or OpenStreamID, so that who holds the ID of before does not write to another stream.
func (c *Conn) StreamSend(id uint64, p []byte, fin bool) (n int, err error) {
	if c.err != nil {
		return 0, c.err
	}
	return c.streams.send(c.clock.now, id, p, fin)
}

// StreamSendParts is StreamSend of the concatenation of parts, of which it takes n bytes, and keeps no slice. Several frames of a protocol
// leave so as one STREAM frame, with the stream's end, and nothing is copied once more to put them together.
func (c *Conn) StreamSendParts(id uint64, parts [][]byte, fin bool) (n int, err error) {
	if c.err != nil {
		return 0, c.err
	}
	return c.streams.sendParts(c.clock.now, id, parts, fin)
}

// StreamRoom returns how many bytes StreamSend would take now, so that a write of no more is taken whole, and its end too. EventWritable
// comes only after a StreamSend that took less than all: who wants to be told when there is more room writes more than there is, or
// asks again with the next event. The errors are those of StreamSend, but that a stream of ours that is not open is ErrUnknownStream: it is a
// question, which neither opens a stream nor takes the one *StreamError that StreamSend tells before a stream that was stopped can be forgotten.
func (c *Conn) StreamRoom(id uint64) (n int, err error) {
	if c.err != nil {
		return 0, c.err
	}
	return c.streams.room(id)
}

// StreamReserve returns how many bytes StreamSend takes whole on stream id in any case, whatever is written on other streams before: 4 KiB, less what
// waits there to be sent. Of a stream of ours that is not open it is what StreamSend takes as it opens it, if it can. It is 0 where nothing can be sent.
func (c *Conn) StreamReserve(id uint64) int {
	if c.err != nil {
		return 0
	}
	return c.streams.reserve(id)
}

// StreamCredit returns how many bytes StreamSend would take whole that the peer's flow control lets us send now, beyond those that wait: what is
// written within that waits for nothing but congestion control, if nothing of a higher priority is written meanwhile. What other streams of the same
// priority, or of a higher one, have waiting counts as sent. It is 0 where nothing can be sent.
func (c *Conn) StreamCredit(id uint64) int {
	if c.err != nil {
		return 0
	}
	return c.streams.credit(id)
}

// SendCapacity returns how many bytes of streams may leave now, by the peer's flow control and congestion control on the path in use, beyond those that
// wait. Who writes no more than that, and than StreamCredit, has what it writes wait for nothing but pacing.
func (c *Conn) SendCapacity() int {
	if c.err != nil {
		return 0
	}
	return c.streams.capacity(int64(c.path.rec.CC.Window()) - int64(c.path.rec.InFlight))
}

// StreamRecv copies what was received on stream id, in order, into p. n == 0 without fin and err says that there is nothing
// now; fin says that everything has been read. A *StreamError tells that the peer reset the stream. After the peer's end of the
// connection (KeepsReceived) it goes on until all that had arrived in order is read; then the error is that of the connection.
func (c *Conn) StreamRecv(id uint64, p []byte) (n int, fin bool, err error) {
	if err := c.readError(); err != nil {
		return 0, false, err
	}
	n, fin, err = c.streams.recv(c.clock.now, id, p)
	return n, fin, c.leftError(id, n, fin, err)
}

// StreamTake is StreamRecv without a copy: it hands over whole pieces of the memory that received data lies in, 16 KiB each but
// the first, and puts them, in order, into the elements of into, of which it fills n. They are the caller's, to be given back by
// StreamGive. What does not fill a piece yet stays for StreamRecv: n == 0 does not mean that there is nothing.
func (c *Conn) StreamTake(id uint64, into []Piece) (n int, fin bool, err error) {
	if err := c.readError(); err != nil {
		return 0, false, err
	}
	n, fin, err = c.streams.take(c.clock.now, id, into)
	return n, fin, c.leftError(id, n, fin, err)
}

// StreamGive gives pieces of StreamTake back, so that their memory is used again, and makes them empty. They may also be left to
// the garbage collector.
func (c *Conn) StreamGive(pieces []Piece) {
	for i, p := range pieces {
		if p.chunk != nil && c.streams.pool != nil {
			c.streams.pool.put(p.chunk)
		}
		pieces[i] = Piece{}
	}
}

// StreamPeek is a look at what StreamRecv would read next, without a copy. p is the first piece of it: it ends where the memory ends that
// it lies in, after 16 KiB at most, and what lies behind is seen once p is discarded. fin says that the stream ends with p. Nothing is
// consumed by it, neither data nor the end, which StreamDiscard, StreamRecv or StreamTake takes; but a *StreamError of the peer's reset is
// told once, as by StreamRecv. p is only to be read, and valid until the next call on the Conn.
//
// Who has looked and leaves what there is, since it is too little, is told of what comes behind it by another EventReadable.
func (c *Conn) StreamPeek(id uint64) (p []byte, fin bool, err error) {
	if err := c.readError(); err != nil {
		return nil, false, err
	}
	p, fin, err = c.streams.peek(id)
	return p, fin, c.leftError(id, len(p), fin, err)
}

// StreamDiscard consumes n bytes of what was received on stream id without copying them, as StreamRecv does with those that it
// copies; fin says that everything has been consumed, which it also says for n == 0 where StreamPeek has shown nothing but the end.
// It is an error if fewer bytes are there, and none is consumed then.
func (c *Conn) StreamDiscard(id uint64, n int) (fin bool, err error) {
	if err := c.readError(); err != nil {
		return false, err
	}
	fin, err = c.streams.skip(c.clock.now, id, n)
	return fin, c.leftError(id, n, fin, err)
}

// StreamAcked returns how many bytes of what was written on stream id, from its start, the peer has acknowledged; bytes beyond a gap
// do not count. On a stream that was reset it is what had been acknowledged by then. The error is ErrUnknownStream once the stream
// is over, also when all of it was acknowledged: EventStreamAcked tells that, also where the acknowledgement came with the peer's
// CONNECTION_CLOSE. After the end of the connection the error is that of the connection.
func (c *Conn) StreamAcked(id uint64) (n uint64, err error) {
	if c.err != nil {
		return 0, c.err
	}
	return c.streams.acked(id)
}

// StreamShutdown ends a part of stream id before its time, or both: ReadDirection asks the peer to stop sending
// (STOP_SENDING), WriteDirection resets what we send (RESET_STREAM). code is the application's; above MaxErrorCode it
// is an error, and nothing is done. A part that
// is already over is left as it is.
func (c *Conn) StreamShutdown(id uint64, dir Direction, code uint64) error {
	if err := c.mayShutdown(id, dir, code); err != nil {
		return err
	}
	return c.streams.shutdown(c.clock.now, id, dir, code)
}

// mayShutdown says why parts of a stream cannot be ended. After the end of the connection, what had arrived on it and was not read is dropped.
func (c *Conn) mayShutdown(id uint64, dir Direction, code uint64) error {
	switch {
	case c.err != nil:
		if dir&ReadDirection != 0 {
			c.streams.dropKept(id)
		}
		return c.err
	case code > MaxErrorCode:
		return errCodeTooLarge(code)
	}
	return nil
}

func errCodeTooLarge(code uint64) error {
	return fmt.Errorf("quic: error code 0x%x is above 2^62-1", code)
}

// StreamStopLater is StreamShutdown of ReadDirection for who answers without reading all: what comes is dropped from now on, but the peer is asked to
// stop only 100 ms after all that we send on the stream, with its end, is acknowledged. To a peer that is told of it while it writes, the end of the one
// may be that of both, and the answer that has come before is not looked at. Until then the peer can send what the stream's flow-control window has
// left, as it is given no more of it; the connection's is given back.
//
// STOP_SENDING leaves sooner if the end of what we send is not written within 100 ms of now; if we, or the peer, reset that; if the peer's flow control
// holds it back, since the peer may read nothing before it has sent all; where more than 256 of a connection wait for 100 ms to pass, of which the one
// leaves that has waited longest; and with StreamShutdown of ReadDirection, whose code counts then. On a stream that only the peer sends on it leaves at
// once, as where all that we send has been acknowledged before. On one whose reading was ended before, by either call, nothing changes, and that call's
// code stays. The errors are those of StreamShutdown.
func (c *Conn) StreamStopLater(now time.Time, id, code uint64) error {
	if err := c.mayShutdown(id, ReadDirection, code); err != nil {
		return err
	}
	return c.streams.stopLater(c.clock.read(now), id, code)
}

// Readable yields the streams that have data, their end or a reset to be read: the most urgent ones first (SetStreamPriority), of one urgency those
// that are not incremental, and then by ID.
func (c *Conn) Readable() iter.Seq[uint64] { return c.streams.readable }

// Writable yields the streams in use that StreamSend would take data for, in the order of Readable. Streams that are not open yet are not among them, nor are those that
// one above them has opened (OpenStreamID), before they are used.
func (c *Conn) Writable() iter.Seq[uint64] { return c.streams.writable }

// StreamReadable tells whether stream id has data, its end or a reset to be read.
func (c *Conn) StreamReadable(id uint64) bool {
	s := c.streams.live.get(id)
	return s != nil && s.recv.readable()
}

// StreamBytesReadable returns how many bytes StreamRecv would have to take of stream id now.
func (c *Conn) StreamBytesReadable(id uint64) int {
	s := c.streams.live.get(id)
	if s == nil || !s.recv.readable() || s.recv.reset {
		return 0
	}
	return int(s.recv.ready())
}

// StreamFinished tells whether there is nothing more to come of stream id: its end or a reset has been read, or has come after the application has
// ended its receiving part, or there is no such part or stream.
func (c *Conn) StreamFinished(id uint64) bool {
	if s := c.streams.live.get(id); s != nil {
		return s.recv.over
	}
	return c.streams.ended || !c.streams.receives(id) || !c.streams.implicit(id)
}

// StreamsOpenable returns how many more streams may be opened now, of bidirectional or unidirectional ones: the peer's limit less those
// that were opened. It is 0 where none can be, such as before the peer's limit is known and after the connection's end.
func (c *Conn) StreamsOpenable(uni bool) int {
	if c.err != nil {
		return 0
	}
	return c.streams.openable(uni)
}

// SetStreamData stores a value of the caller's with stream id. Events of the stream carry it (Event.Data), EventStreamFinished the last
// time; with that, or with the end of the connection, it is dropped. For a stream that is over, or was never opened, it does nothing.
func (c *Conn) SetStreamData(id uint64, v any) { c.streams.setUser(id, v) }

// StreamData returns what SetStreamData stored for stream id, nil if nothing did or the stream is over. It costs a few ns.
func (c *Conn) StreamData(id uint64) any { return c.streams.user(id) }

// SetStreamPriority sets in which order what is written on stream id leaves (RFC 9218), at any time while the stream lives: of more urgent
// streams all is sent before less urgent ones send anything, but for flow control; of those of one urgency that are not incremental, the
// one with the lowest ID; incremental ones take turns of 16 KiB. Where there are both of one urgency, half is for either, so that neither
// has the other wait for long (section 10). What was lost is sent again before what is new of the same urgency. Critical streams go before all
// others. Streams are told of room to write in the same order. A stream that no priority was set for takes turns with others, as
// Priority{Urgency: 3, Incremental: true}.
//
// It costs little, whatever waits to be sent. An urgency above 7 is an error; ErrUnknownStream tells that the stream is over.
func (c *Conn) SetStreamPriority(id uint64, p Priority) error {
	if c.err != nil {
		return c.err
	}
	return c.streams.setPriority(c.clock.now, id, p)
}

// PeerStreamLimit returns how many streams the peer may open over the connection's life, as it was told so far: their IDs are below four
// times that.
func (c *Conn) PeerStreamLimit(uni bool) uint64 { return c.streams.peerType(typeOf(!uni)).limit }
