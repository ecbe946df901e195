package perf

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// ALPN is the public perf protocol (draft-banks-quic-performance): on each bidirectional stream the client sends eight
// bytes, big-endian, that say how many bytes it wants, then any number of bytes of its own, and ends the stream; the
// server answers with as many bytes as were wanted and ends the stream.
const ALPN = "perf"

// ALPNUsage and ALPNDatagrams are additions of ours, of which other implementations know nothing. On a bidirectional
// stream that the client ends at once the server answers with JSON: under ALPNUsage the Usage of its process, under
// ALPNDatagrams how many datagrams (RFC 9221) it has received on this connection, as {"datagrams": NUMBER}.
const (
	ALPNUsage     = "boringquic-perf-usage"
	ALPNDatagrams = "boringquic-perf-datagrams"
)

// BlockSize is how many bytes are handed to, or taken from, a stream at once.
const BlockSize = 128 << 10

// HeaderSize is the length in bytes of what a request of the perf protocol begins with.
const HeaderSize = 8

// blocks lends buffers for what is received, and heads for what a request begins with, which are small: many streams may hold
// one while they wait.
var (
	blocks = sync.Pool{New: func() any { return new([BlockSize]byte) }}
	heads  = sync.Pool{New: func() any { return new([headSize]byte) }}
)

const headSize = 1280

// zeros is what is sent.
var zeros [BlockSize]byte

// Stream is a bidirectional stream. Close ends what we send.
type Stream = io.ReadWriteCloser

// Exchange is one request of the perf protocol: Up bytes after the header, Down bytes wanted.
type Exchange struct {
	Up, Down uint64
	Count    func(n int) // is told of bytes as they pass; nil: nobody
}

func (e *Exchange) count(n int) {
	if e.Count != nil {
		e.Count(n)
	}
}

// OnStream makes the request on a stream that was just opened, and reads the answer to its end.
func (e *Exchange) OnStream(s Stream) error {
	first, err := e.sendHead(s)
	if err != nil {
		return err
	}
	e.count(first)
	if err := SendZeros(s, e.Up-uint64(first), e.count); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	got, err := Discard(s, e.count)
	if err == nil && got != e.Down {
		err = fmt.Errorf("the server sent %d bytes in place of %d", got, e.Down)
	}
	return err
}

// sendHead writes the header and bytes behind it at once, and returns how many these are.
func (e *Exchange) sendHead(s Stream) (n int, err error) {
	if e.Down == 0 { // the header is zeros too
		m, err := s.Write(zeros[:min(HeaderSize+e.Up, BlockSize)])
		return max(m-HeaderSize, 0), err
	}
	head := heads.Get().(*[headSize]byte)
	defer heads.Put(head)
	first := head[:HeaderSize+min(e.Up, headSize-HeaderSize)]
	clear(first)
	binary.BigEndian.PutUint64(first, e.Down)
	m, err := s.Write(first)
	return max(m-HeaderSize, 0), err
}

// SendZeros writes n bytes and tells count, which may be nil, as they pass.
func SendZeros(w io.Writer, n uint64, count func(int)) error {
	for n > 0 {
		m, err := w.Write(zeros[:min(n, BlockSize)])
		if err != nil {
			return err
		}
		n -= uint64(m)
		if count != nil {
			count(m)
		}
	}
	return nil
}

// Discard reads r to its end and returns how many bytes that was.
func Discard(r io.Reader, count func(int)) (n uint64, err error) {
	if w, ok := r.(io.WriterTo); ok { // which may spare a copy
		m, err := w.WriteTo(counter(count))
		return uint64(m), err
	}
	block := blocks.Get().(*[BlockSize]byte)
	defer blocks.Put(block)
	for {
		m, err := r.Read(block[:])
		n += uint64(m)
		if count != nil && m > 0 {
			count(m)
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// counter is a writer that drops what it is given, and counts it.
type counter func(int)

func (c counter) Write(p []byte) (int, error) {
	if c != nil {
		c(len(p))
	}
	return len(p), nil
}

// ServerConn is a connection as a server sees it.
type ServerConn interface {
	Protocol() string // by ALPN
	AcceptStream(context.Context) (ServerStream, error)
	// ReceiveDatagram waits for a datagram and drops it.
	ReceiveDatagram(context.Context) error
	Close() error
}

// ServerStream is a Stream that can be given up: Abort ends both parts before their time.
type ServerStream interface {
	Stream
	Abort()
}

// ServeConn answers a client until the connection is over. A stream that fails ends alone: the client notices and says so.
func ServeConn(ctx context.Context, c ServerConn) {
	defer c.Close()
	answer := Answer(ctx, c)
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		go answer(s)
	}
}

// Answer returns what answers a stream of a connection by the connection's protocol.
func Answer(ctx context.Context, c ServerConn) func(ServerStream) {
	answer := answerPerf
	switch c.Protocol() {
	case ALPNUsage:
		answer = answerUsage
	case ALPNDatagrams:
		var received atomic.Uint64
		go func() {
			for c.ReceiveDatagram(ctx) == nil {
				received.Add(1)
			}
		}()
		answer = func(s Stream) error { return answerJSON(s, datagramCount{received.Load()}) }
	}
	return func(s ServerStream) {
		if err := answer(s); err != nil {
			s.Abort()
		}
	}
}

func answerPerf(s Stream) error {
	want, err := readHead(s)
	if err != nil {
		return err
	}
	if _, err := Discard(s, nil); err != nil {
		return err
	}
	if err := SendZeros(s, want, nil); err != nil {
		return err
	}
	return s.Close()
}

// readHead reads how many bytes are wanted, and drops what comes with it.
func readHead(s Stream) (want uint64, err error) {
	head := heads.Get().(*[headSize]byte)
	defer heads.Put(head)
	_, err = io.ReadAtLeast(s, head[:], HeaderSize)
	return binary.BigEndian.Uint64(head[:]), err
}

// datagramCount is what a server answers under ALPNDatagrams.
type datagramCount struct {
	Datagrams uint64 `json:"datagrams"`
}

func answerUsage(s Stream) error {
	u, err := OwnUsage()
	if err != nil {
		return err
	}
	return answerJSON(s, u)
}

func answerJSON(s Stream, v any) error {
	if err := json.NewEncoder(s).Encode(v); err != nil {
		return err
	}
	return s.Close()
}

// ask reads the server's answer in JSON on a stream that was just opened.
func ask(s Stream, v any) error {
	if err := s.Close(); err != nil {
		return err
	}
	return json.NewDecoder(io.LimitReader(s, 4<<10)).Decode(v)
}
