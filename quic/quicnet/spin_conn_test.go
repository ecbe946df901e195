package quicnet_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// begin has one end of a connection do its work.
func (l *spinLink) begin(end int, c *quicnet.Conn) {
	d := rand.New(rand.NewPCG(l.seed, uint64(end)))
	fork := func() *rand.Rand { return rand.New(rand.NewPCG(d.Uint64(), d.Uint64())) }
	l.answer(fork(), c.AcceptStream, c.HandleStreams)
	l.answer(fork(), c.AcceptUniStream, c.HandleUniStreams)
	for range 1 + d.IntN(4) {
		d := fork()
		l.work.start(func() {
			for range 1 + d.IntN(6) {
				l.openStream(d, c)
			}
		})
	}
	if chance(d, 0.5) {
		d := fork()
		l.work.start(func() { l.sendDatagrams(d, c) })
	}
	if l.sp.configs[end].MaxDatagramFrameSize == 0 {
		if _, err := c.ReceiveDatagram(l.ctx, nil); !errors.Is(err, quic.ErrDatagramsOff) {
			l.wantEnd("ReceiveDatagram with datagrams off", err)
		}
	} else if chance(d, 0.8) {
		d := fork()
		l.answering.start(func() { l.receiveDatagrams(d, c, &l.datagrams[end]) })
	}
	if chance(d, 0.5) {
		d := fork()
		l.work.start(func() { l.look(d, c) })
	}
	if end == clientEnd && chance(d, 0.4) {
		d := fork()
		l.work.start(func() { l.move(d, c) })
	}
}

// answer serves the streams of a type that the peer opens.
func (l *spinLink) answer(d *rand.Rand, accept func(context.Context) (*quicnet.Stream, error), handle func(func(*quicnet.Stream))) {
	if chance(d, 0.4) {
		seed := d.Uint64()
		handle(func(s *quicnet.Stream) {
			l.answering.add(1)
			defer l.answering.add(-1)
			l.answerStream(rand.New(rand.NewPCG(seed, s.ID())), s, true)
		})
		return
	}
	for range 1 + d.IntN(2) {
		d := rand.New(rand.NewPCG(d.Uint64(), 1))
		l.answering.start(func() {
			for {
				s, err := accept(l.sp.briefly(l.ctx, d, 0.1))
				switch {
				case err == nil:
					seed := d.Uint64()
					l.answering.start(func() { l.answerStream(rand.New(rand.NewPCG(seed, 1)), s, false) })
				case l.ctx.Err() != nil:
					return
				case !errors.Is(err, context.DeadlineExceeded):
					l.wantEnd("AcceptStream", err)
					return
				}
			}
		})
	}
}

// datagramLog is which datagrams have arrived.
type datagramLog struct {
	mu   sync.Mutex
	seen map[uint64]bool
}

func (l *spinLink) sendDatagrams(d *rand.Rand, c *quicnet.Conn) {
	for range d.IntN(50) {
		size := c.MaxDatagramSize()
		n := 8 + d.IntN(1200)
		if size >= 8 && chance(d, 0.9) {
			n = 8 + d.IntN(size-7)
		}
		b := make([]byte, n)
		key := d.Uint64()
		binary.BigEndian.PutUint64(b, key)
		(&hand{key: key}).content(b[8:], 0)
		ctx := l.sp.briefly(context.Background(), d, 0.1)
		err := c.SendDatagram(ctx, b)
		var tooLarge *quic.DatagramTooLargeError
		switch {
		case err == nil:
			l.sp.count("datagrams")
		case errors.Is(err, quic.ErrDatagramUnsupported) && size == 0, errors.As(err, &tooLarge) && tooLarge.Size == n && n > tooLarge.Max:
		case ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		default:
			l.wantEnd("SendDatagram", err)
			return
		}
		if chance(d, 0.1) {
			l.sp.pause(time.Duration(d.IntN(int(100 * time.Millisecond))))
		}
	}
}

func (l *spinLink) receiveDatagrams(d *rand.Rand, c *quicnet.Conn, log *datagramLog) {
	b := make([]byte, 65536)
	for {
		n, err := c.ReceiveDatagram(l.sp.briefly(l.ctx, d, 0.1), b)
		switch {
		case err == nil:
			log.note(l.sp, b[:n])
		case l.ctx.Err() != nil:
			return
		case !errors.Is(err, context.DeadlineExceeded):
			l.wantEnd("ReceiveDatagram", err)
			return
		}
	}
}

// note checks a datagram: it is what was sent, and came once.
func (log *datagramLog) note(sp *spin, b []byte) {
	log.mu.Lock()
	defer log.mu.Unlock()
	if len(b) < 8 {
		sp.fault("a datagram of %d bytes arrived", len(b))
		return
	}
	key := binary.BigEndian.Uint64(b)
	want := make([]byte, len(b)-8)
	(&hand{key: key}).content(want, 0)
	if string(want) != string(b[8:]) {
		sp.fault("a datagram of %d bytes arrived that nobody sent", len(b))
	}
	if log.seen == nil {
		log.seen = make(map[uint64]bool)
	}
	if log.seen[key] {
		sp.fault("a datagram arrived twice")
	}
	log.seen[key] = true
}

// look calls what only tells.
func (l *spinLink) look(d *rand.Rand, c *quicnet.Conn) {
	for range d.IntN(30) {
		switch d.IntN(8) {
		case 0:
			c.Stats()
		case 1:
			c.ConnectionState()
		case 2:
			if c.LocalAddr() == nil || c.RemoteAddr() == nil {
				l.sp.fault("a connection without an address")
			}
		case 3:
			if err := c.Err(); err != nil {
				l.wantEnd("Err", err)
			}
		case 4:
			ctx := c.Context()
			if err := c.Err(); ctx.Err() != nil && err == nil {
				l.sp.fault("the context is done, and the connection is open")
			}
		case 5:
			c.MaxDatagramSize()
		case 6:
			c.ExportKeyingMaterial("look", []byte{1}, 32)
		case 7:
			l.sp.pause(time.Duration(d.IntN(int(300 * time.Millisecond))))
		}
	}
}

// drawSize draws how much goes over a stream in one direction: not so much over small windows that it takes all day.
func (sp *spin) drawSize(d *rand.Rand) int {
	most := 300_000
	for _, cfg := range sp.configs {
		if w := cfg.StreamReceiveWindow; w > 0 {
			most = min(most, 40*int(w))
		}
		if w := cfg.ReceiveWindow; w > 0 {
			most = min(most, 10*int(w))
		}
		if w := cfg.StreamSendBuffer; w > 0 {
			most = min(most, 100*w)
		}
	}
	return d.IntN(min(pick(d, 1, 100, 10_000, most), most))
}
