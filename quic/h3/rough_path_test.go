package h3

import (
	"bytes"
	"math/rand/v2"

	"github.com/boringquic/boringquic/quic"
)

// roughPath loses, delays and doubles the trains of a pair. Its zero value does none of that.
type roughPath struct {
	p    *pair
	rng  *rand.Rand
	loss int // how many trains in a hundred are lost, and how many of the others are late
	late []lateTrain
}

type lateTrain struct {
	to  *quic.Conn
	buf []byte
	t   quic.Transmit
}

func (r *roughPath) begin(p *pair, rng *rand.Rand, loss int) {
	*r = roughPath{p: p, rng: rng, loss: loss}
	p.mangle = r.spoil
}

// end has what is late arrive, and nothing more be spoilt.
func (r *roughPath) end() {
	if r.p != nil {
		r.p.mangle = nil
		r.flush()
	}
}

func (r *roughPath) spoil(to *quic.Conn, t quic.Transmit) bool {
	switch {
	case r.rng.IntN(100) < r.loss:
		return false
	case r.rng.IntN(100) < r.loss:
		r.late = append(r.late, lateTrain{to, bytes.Clone(r.p.buf[:t.N]), t})
		return r.rng.IntN(3) == 0
	case len(r.late) > 0 && r.rng.IntN(3) == 0:
		keep := bytes.Clone(r.p.buf[:t.N])
		r.flush()
		copy(r.p.buf, keep)
	}
	return true
}

func (r *roughPath) flush() {
	late := r.late
	r.late = nil
	for _, l := range late {
		l.to.Recv(r.p.now, quic.Train{Buf: l.buf, SegSize: l.t.SegSize, Local: l.t.Remote, Remote: l.t.Local, ECN: l.t.ECN})
	}
}
