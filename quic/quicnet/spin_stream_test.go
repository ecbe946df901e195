package quicnet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// What is done with a stream. Who opens it begins with a header that says how much goes each way; what follows is a pattern that
// the stream's key gives, which whoever reads compares. A calm stream is used in every way that loses nothing, and must
// arrive whole, both ways; on a wild one anything is done.

// header is what a stream begins with.
type header struct {
	key      uint64
	wild     bool
	up, down int // bytes of pattern
}

const headerLen = 17

func (h *header) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, h.key)
	b = append(b, 0)
	if h.wild {
		b[8] = 1
	}
	b = binary.BigEndian.AppendUint32(b, uint32(h.up))
	return binary.BigEndian.AppendUint32(b, uint32(h.down))
}

func decodeHeader(b []byte) header {
	return header{
		key: binary.BigEndian.Uint64(b), wild: b[8] == 1,
		up: int(binary.BigEndian.Uint32(b[9:])), down: int(binary.BigEndian.Uint32(b[13:])),
	}
}

// Directions of a stream.
const (
	up   = iota // from who opened it
	down        // back
)

type tallyKey struct {
	stream uint64
	dir    int
}

// tally is what became of one direction of a stream.
type tally struct {
	link  *spinLink
	calm  bool
	total int // bytes to be sent, the header included

	wrote int  // bytes that were accepted
	ended bool // Close came after all of them
	cut   bool // a Write was cut short by Close

	got int  // bytes that were read
	eof bool // and then the end
}

// tally changes the tally of a direction.
func (sp *spin) tally(key uint64, dir int, change func(*tally)) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	k := tallyKey{key, dir}
	if sp.tallies[k] == nil {
		sp.tallies[k] = new(tally)
	}
	change(sp.tallies[k])
}

// hand is somebody who uses a stream. Its two halves have hands of their own.
type hand struct {
	sp   *spin
	l    *spinLink
	d    *rand.Rand
	s    *quicnet.Stream
	key  uint64
	wild bool
	conn *atomic.Bool // the stream was closed as a net.Conn
	dir  int          // of what this hand writes or reads
	head []byte       // what comes before the pattern
}

// other returns a hand for the other half.
func (h *hand) other(dir int) *hand {
	o := *h
	o.d, o.dir, o.head = rand.New(rand.NewPCG(h.d.Uint64(), 1)), dir, nil
	return &o
}

// openStream opens a stream and uses it to its end.
func (l *spinLink) openStream(d *rand.Rand, c *quicnet.Conn) {
	oneWay := chance(d, 0.3)
	open := c.OpenStream
	if oneWay {
		open = c.OpenUniStream
	}
	ctx := l.sp.briefly(context.Background(), d, 0.1)
	s, err := open(ctx)
	if err != nil {
		if ctx.Err() == nil || !errors.Is(err, context.DeadlineExceeded) {
			l.wantEnd("OpenStream", err)
		}
		return
	}
	l.opened.Add(1)
	l.sp.left.add(s)
	hd := header{key: d.Uint64(), wild: chance(d, 0.4), up: l.sp.drawSize(d), down: l.sp.drawSize(d)}
	if oneWay {
		hd.down = 0
	}
	l.sp.count(pick(d, map[bool]string{true: "wild streams", false: "calm streams"}[hd.wild]))
	head := hd.encode()
	l.sp.tally(hd.key, up, func(t *tally) { t.link, t.calm, t.total = l, !hd.wild, len(head)+hd.up })
	h := &hand{sp: l.sp, l: l, d: d, s: s, key: hd.key, wild: hd.wild, conn: new(atomic.Bool), dir: up, head: head}
	if oneWay {
		h.write(hd.up)
		if h.wild {
			s.CancelWrite(h.code())
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, quic.ErrStreamDirection) && !errors.Is(err, os.ErrDeadlineExceeded) && c.Err() == nil {
				l.sp.fault("Read of a stream on which only we send returned %v", err)
			}
		}
		return
	}
	l.sp.tally(hd.key, down, func(t *tally) { t.link, t.calm, t.total = l, !hd.wild, hd.down })
	h.both(hd.up, h.other(down), hd.down)
}

// both writes and reads, each in a goroutine of its own.
func (h *hand) both(write int, reader *hand, read int) {
	var ctx context.Context
	if chance(h.d, 0.3) {
		ctx = h.s.Context()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		reader.read(len(reader.head), read)
		if h.wild {
			h.s.CancelRead(reader.code())
		}
	}()
	h.write(write)
	if h.wild {
		h.s.CancelWrite(h.code())
	}
	<-done
	if ctx != nil && ctx.Err() == nil {
		h.sp.fault("stream %d, wild %v: both parts are done with, but not its context", h.s.ID(), h.wild)
	}
}

// answerStream uses a stream that the peer opened. A handler may leave a stream as it is.
func (l *spinLink) answerStream(d *rand.Rand, s *quicnet.Stream, handler bool) {
	l.answered.Add(1)
	l.sp.left.add(s)
	oneWay := s.ID()&2 != 0
	head := make([]byte, headerLen)
	if n, err := io.ReadFull(s, head); err != nil {
		if err != io.EOF && err != io.ErrUnexpectedEOF && !isStreamError(err) {
			l.wantEnd("reading a header", err)
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			// Only a wild stream may do that; which one it is is known if its key arrived.
			if n >= 8 {
				l.sp.tally(binary.BigEndian.Uint64(head), up, func(t *tally) { t.got, t.eof = n, true })
			}
		}
		if !oneWay {
			s.CancelWrite(spinStreamCode)
		}
		s.CancelRead(spinStreamCode)
		return
	}
	hd := decodeHeader(head)
	if handler && hd.wild && chance(d, 0.2) {
		return
	}
	h := &hand{sp: l.sp, l: l, d: d, s: s, key: hd.key, wild: hd.wild, conn: new(atomic.Bool), dir: up, head: head}
	if oneWay {
		h.read(headerLen, hd.up)
		if h.wild {
			s.CancelRead(h.code())
		}
		return
	}
	w := h.other(down)
	w.both(hd.down, h, hd.up)
}

func (h *hand) code() uint64 { return spinStreamCode + uint64(h.d.IntN(spinCodes)) }

// content puts what stands at off into p.
func (h *hand) content(p []byte, off int) {
	n := 0
	if off < len(h.head) {
		n = copy(p, h.head[off:])
	}
	for i := n; i < len(p); i++ {
		x := (h.key + uint64(h.dir) + uint64(off+i)/8) * 0x9e3779b97f4a7c15
		p[i] = byte(x >> (8 * (uint64(off+i) % 8)))
	}
}

// write sends n bytes after the head, and ends what we send.
func (h *hand) write(n int) {
	off, total := 0, len(h.head)+n
	for off < total {
		if h.wild && chance(h.d, 0.1) && h.disturb() {
			return
		}
		deadline := h.deadline(h.s.SetWriteDeadline)
		k := min(total-off, 1+h.d.IntN(pick(h.d, 10, 2000, 100_000)))
		p := make([]byte, k)
		h.content(p, off)
		var m int
		var err error
		final, cut := false, false
		switch {
		case off+k == total && chance(h.d, 0.4):
			final = true
			m, err = h.s.WriteFinal(p)
		case chance(h.d, 0.1):
			m, err = h.s.NetConn().Write(p)
		case chance(h.d, 0.2):
			var m64 int64
			m64, err = h.s.ReadFrom(bytes.NewReader(p))
			m = int(m64)
		default:
			m, err = h.s.Write(p)
			cut = 0 < m && m < k && errors.Is(err, quic.ErrStreamEnded)
		}
		off += m
		h.sp.tally(h.key, h.dir, func(t *tally) { t.wrote = off })
		if err == nil && m != k {
			h.sp.fault("Write took %d bytes of %d without an error", m, k)
		}
		if err != nil && !h.goOn("Write", err, deadline) {
			h.sp.tally(h.key, h.dir, func(t *tally) { t.cut = cut })
			return
		}
		if err == nil && final {
			h.sp.tally(h.key, h.dir, func(t *tally) { t.ended = true })
			h.wantAcked(total)
			return
		}
		h.rest()
	}
	h.sp.tally(h.key, h.dir, func(t *tally) { t.ended = true })
	if err := h.s.Close(); err != nil {
		h.goOn("Close", err, false)
		return
	}
	h.wantAcked(total)
}

// wantAcked waits now and then until the peer has all.
func (h *hand) wantAcked(total int) {
	if !chance(h.d, 0.4) {
		return
	}
	ctx := h.sp.briefly(context.Background(), h.d, 0.3)
	switch err := h.s.Acked(ctx); {
	case err == nil:
		if n := h.s.AckedBytes(); n != uint64(total) {
			h.sp.fault("Acked has waited, and of %d bytes %d are acknowledged", total, n)
		}
	case ctx.Err() == nil || !errors.Is(err, context.DeadlineExceeded):
		h.goOn("Acked", err, false)
	}
}

// read reads what comes from off on, to the end.
func (h *hand) read(off, n int) {
	v := &verifier{h: h, off: off}
	total := len(h.head) + n
	for {
		if h.wild && chance(h.d, 0.1) && h.disturb() {
			return
		}
		deadline := h.deadline(h.s.SetReadDeadline)
		var err error
		if chance(h.d, 0.1) {
			if _, err = h.s.WriteTo(v); err == nil {
				err = io.EOF
			}
		} else {
			p := make([]byte, h.d.IntN(pick(h.d, 2, 2000, 100_000)))
			var m int
			m, err = h.s.Read(p)
			v.Write(p[:m])
		}
		if v.off > total {
			h.sp.fault("%d bytes came of %d", v.off, total)
			return
		}
		if err == io.EOF {
			h.sp.tally(h.key, h.dir, func(t *tally) { t.got, t.eof = v.off, true })
			return
		}
		if err != nil && !h.goOn("Read", err, deadline) {
			return
		}
		h.rest()
	}
}

// verifier compares what is written to it with what is to come.
type verifier struct {
	h   *hand
	off int
	bad bool
}

func (v *verifier) Write(p []byte) (int, error) {
	want := make([]byte, len(p))
	v.h.content(want, v.off)
	if !bytes.Equal(p, want) && !v.bad {
		v.bad = true
		v.h.sp.fault("stream %d, direction %d: what stands between %d and %d is not what was written", v.h.s.ID(), v.h.dir, v.off,
			v.off+len(p))
	}
	v.off += len(p)
	return len(p), nil
}

// deadline sets a deadline, or takes it away, now and then, and tells whether there may be one.
func (h *hand) deadline(set func(time.Time) error) bool {
	switch h.d.IntN(12) {
	case 0:
		set(time.Now().Add(h.sp.scale(time.Duration(h.d.IntN(int(200 * time.Millisecond))))))
	case 1:
		set(time.Now().Add(time.Hour)) // which outlives the stream
	case 2:
		set(time.Time{})
		return false
	}
	return true
}

// goOn judges an error, and tells whether the stream can be used all the same.
func (h *hand) goOn(what string, err error, deadline bool) bool {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		var timeout net.Error
		if !deadline && !h.wild || !errors.As(err, &timeout) || !timeout.Timeout() {
			h.sp.fault("%s returned %v", what, err)
		}
		h.s.SetDeadline(time.Time{})
		return true
	case h.wild && (isStreamError(err) || errors.Is(err, quic.ErrStreamEnded)):
	case h.conn.Load() && errors.Is(err, net.ErrClosed):
	default:
		h.l.wantEnd(what, err)
	}
	return false
}

// isStreamError tells whether somebody ended a stream with a code of the spinner's, or with 0, as Finish and handlers that return do.
func isStreamError(err error) bool {
	var se *quic.StreamError
	return errors.As(err, &se) && (se.Code == 0 || se.Code >= spinStreamCode && se.Code < spinStreamCode+spinCodes)
}

// rest does nothing for a while, now and then.
func (h *hand) rest() {
	if chance(h.d, 0.1) {
		h.sp.pause(time.Duration(h.d.IntN(int(pick(h.d, 5*time.Millisecond, 500*time.Millisecond)))))
	}
}

// disturb does to a stream what it must stand, and tells whether that was its end for this hand.
func (h *hand) disturb() bool {
	s := h.s
	switch h.d.IntN(10) {
	case 0:
		s.CancelRead(h.code())
	case 1:
		s.CancelWrite(h.code())
	case 2:
		s.Abort(h.code())
		return true
	case 3:
		code := h.code()
		h.l.work.start(func() { s.CancelWrite(code) })
	case 4:
		h.l.work.start(func() { s.Close() })
	case 5:
		s.Close()
		return chance(h.d, 0.5)
	case 6:
		s.SetDeadline(time.Now())
	case 7:
		return true
	case 8:
		s.Finish()
	case 9:
		h.conn.Store(true)
		s.NetConn().Close()
	}
	return false
}

// wantEnd judges an error that must be that of a connection's end.
func (l *spinLink) wantEnd(what string, err error) {
	switch {
	case !errors.Is(err, net.ErrClosed):
		l.sp.fault("%s returned %v", what, err)
	case !l.isDisturbed():
		l.sp.fault("%s returned %v, and nobody closed the connection", what, err)
	default:
		l.sp.wantCloseError(what, err)
	}
}

// wantCloseError wants an error of a connection that says how it was closed.
func (sp *spin) wantCloseError(what string, err error) {
	var app *quic.ApplicationError
	var transport *quic.TransportError
	var idle *quic.IdleTimeoutError
	switch {
	case errors.As(err, &app) && (app.Code == 0 || app.Code >= spinCloseCode && app.Code < spinCloseCode+spinCodes):
	case errors.As(err, &transport) && !transport.Remote && transport.Code == quic.InternalError && sp.allDisturbed.Load(): // no socket
	case errors.As(err, &transport) && transport.Remote && transport.Code == quic.ConnectionRefused && sp.refusing.Load():
	case errors.As(err, &transport) && transport.Remote && transport.Code == quic.ApplicationErrorCode: // RFC 9000, section 10.2.3
	case errors.Is(err, &quic.StatelessResetError{}) && !sp.perfect: // no word came either, and whoever closed it has forgotten it since
	case errors.As(err, &idle) && (sp.silence.Load() || !sp.perfect || sp.outlastsIdle()): // no word came of the close
	default:
		sp.fault("%s returned %v", what, err)
	}
}
