package quic

import (
	"errors"
	"io"
)

// The types of stream, in the two low bits of a stream ID (RFC 9000, section 2.1). EventStreamsAvailable names them.
const (
	StreamTypeBidi = 0 // bidirectional
	StreamTypeUni  = 2 // unidirectional
)

// Errors of the stream calls of Conn. A stream that was reset gives a *StreamError.
var (
	// ErrStreamLimit: the peer allows no more streams of this type now (RFC 9000, section 4.6).
	ErrStreamLimit = errors.New("quic: the peer's limit on streams is reached")
	// ErrStreamsSkipped: the stream would open others below it of which there are too many already that were never used: 4096 of a type.
	ErrStreamsSkipped = errors.New("quic: too many streams with lower IDs were opened by that and never used")
	// ErrUnknownStream: there is no such stream, or it is over and forgotten.
	ErrUnknownStream = errors.New("quic: no such stream, or it is over")
	// ErrStreamDirection: the stream is unidirectional, and the call is for the other direction.
	ErrStreamDirection = errors.New("quic: the stream does not go in this direction")
	// ErrStreamEnded: the sending part was ended before, with fin. It matches io.ErrClosedPipe.
	ErrStreamEnded error = &sentinel{"quic: the stream's sending part has ended", io.ErrClosedPipe}
)

func isUni(id uint64) bool    { return id&2 != 0 }
func isServer(id uint64) bool { return id&1 != 0 }

// stream is a stream whose state has to be kept (RFC 9000, section 3). The parts are never nil: see noSend and noRecv.
type stream struct {
	id     uint64
	user   any // the application's
	send   *sendPart
	recv   *recvPart
	events streamEvents // to be told, and not yet read by NextEvent
	barred bool         // nothing of it is sent: the peer does not allow as many streams now as it did for 0-RTT data
	rank   rank         // its priority
	queued [numQueues]bool
	turn   int32    // bytes sent since its turn began
	place  [3]int32 // where it stands in queues by rank, from queueResend on: in the heap, or as a complement in the row
	next   [numQueues]*stream
}

// noSend and noRecv are the parts that unidirectional streams do not have: over from the start. All streams share them, and nothing is
// written to them.
var (
	noSend = sendPart{over: true}
	noRecv = recvPart{over: true}
)

// A stream lies in one piece with the parts that it has.
type (
	bidiStream struct {
		stream
		sendPart
		recvPart
	}
	sendStream struct {
		stream
		sendPart
	}
	recvStream struct {
		stream
		recvPart
	}
)

// newStream returns a stream with a part for each direction that it goes in.
func newStream(sends, receives bool) *stream {
	switch {
	case !receives:
		s := new(sendStream)
		s.send, s.recv = &s.sendPart, &noRecv
		return &s.stream
	case !sends:
		s := new(recvStream)
		s.send, s.recv = &noSend, &s.recvPart
		return &s.stream
	}
	s := new(bidiStream)
	s.send, s.recv = &s.sendPart, &s.recvPart
	return &s.stream
}

// renew makes a stream as new, but for room that its slices have.
func (s *stream) renew() {
	const most = 8 // what streams need that hold little; others let it go
	send, recv := s.send, s.recv
	if send != &noSend {
		pieces, gaps := send.buf.data.pieces, send.buf.gaps
		*send = sendPart{}
		if cap(pieces) <= most {
			send.buf.data.pieces = pieces[:0]
		}
		if gaps != nil && cap(gaps.acked)+cap(gaps.lost) <= most {
			gaps.acked, gaps.lost = gaps.acked[:0], gaps.lost[:0]
			send.buf.gaps = gaps
		}
	}
	if recv != &noRecv {
		got, pieces := recv.got, recv.data.pieces
		*recv = recvPart{}
		if cap(got) <= most {
			recv.got = got[:0]
		}
		if cap(pieces) <= most {
			recv.data.pieces = pieces[:0]
		}
	}
	*s = stream{send: send, recv: recv}
}

// streamEvents is a set of things that happened on a stream.
type streamEvents uint8

const (
	streamReset streamEvents = 1 << iota
	streamStopped
	streamReadable
	streamWritable
	streamAcked
	streamFinished
)

// The queues that a stream may stand in. Once a stream has a priority, those from queueResend to queueWaiting are rankedQueues.
const (
	queueControl = iota // it has frames other than STREAM to send
	queueResend         // it has data to send that needs no flow control credit: what was lost, or its bare end
	queueFresh          // it has data to send for the first time
	queueWaiting        // StreamSend took less than all of what it was given
	queueEvents         // it has events to tell; the last one
	numQueues
)

// streamQueue is a first-in, first-out queue of streams, each at most once.
type streamQueue struct {
	head, tail *stream
}

func (q *streamQueue) push(s *stream, queue int) {
	if s.queued[queue] {
		return
	}
	s.queued[queue] = true
	if q.tail == nil {
		q.head = s
	} else {
		q.tail.next[queue] = s
	}
	q.tail = s
}

func (q *streamQueue) pop(queue int) *stream {
	s := q.head
	q.head = s.next[queue]
	if q.head == nil {
		q.tail = nil
	}
	s.queued[queue], s.next[queue] = false, nil
	return s
}

// over tells whether nothing of the stream is left to be done, by us, the peer or the application.
func (s *stream) over() bool { return s.send.over && s.recv.over }
