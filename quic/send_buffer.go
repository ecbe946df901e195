package quic

import "github.com/boringquic/boringquic/quic/internal/ranges"

// sendBuffer keeps the bytes that were written to a stream, or to a CRYPTO stream, until they are acknowledged, and knows
// which to send next: what was lost first, in order, and then what is new.
type sendBuffer struct {
	data chunks    // from the first byte that is not acknowledged
	end  int64     // offset after the last byte written
	sent int64     // offset after the last byte sent for the first time
	gaps *sendGaps // nil: nothing was lost of late
}

// sendGaps are the bytes of a sendBuffer that are out of order.
type sendGaps struct {
	acked ranges.Set // beyond data.base
	lost  ranges.Set // to be sent again
}

// write appends p.
func (s *sendBuffer) write(pool *chunkPool, p []byte) {
	s.data.write(pool, s.end, p)
	s.end += int64(len(p))
}

// writeParts appends n bytes of the concatenation of parts.
func (s *sendBuffer) writeParts(pool *chunkPool, parts [][]byte, n int) {
	s.data.writeParts(pool, s.end, parts, n)
	s.end += int64(n)
}

// held returns how many bytes are kept.
func (s *sendBuffer) held() int64 { return s.end - s.data.base }

// pending tells whether there is anything to send.
func (s *sendBuffer) pending() bool { return s.sent < s.end || s.resends() }

// resends tells whether anything is to be sent again.
func (s *sendBuffer) resends() bool { return s.gaps != nil && len(s.gaps.lost) > 0 }

func (s *sendBuffer) someGaps() *sendGaps {
	if s.gaps == nil {
		s.gaps = new(sendGaps)
	}
	return s.gaps
}

// next returns what to send next.
func (s *sendBuffer) next() (off int64, n int) {
	if s.resends() {
		first := s.gaps.lost[0]
		return first.Start, int(first.Len())
	}
	return s.sent, int(s.end - s.sent)
}

// onSent notes that n bytes from off on, as next said, were sent.
func (s *sendBuffer) onSent(off int64, n int) {
	if off < s.sent {
		if s.gaps != nil {
			s.gaps.lost.Sub(off, off+int64(n))
		}
		return
	}
	s.sent = off + int64(n)
}

// onAcked notes an acknowledgement and returns how many bytes at the front could be forgotten for it. A buffer without bytes holds no
// memory.
func (s *sendBuffer) onAcked(pool *chunkPool, off, n int64) (freed int64) {
	end := off + n
	if end <= s.data.base {
		return 0
	}
	if s.resends() {
		s.gaps.lost.Sub(off, end)
	}
	if off > s.data.base {
		s.someGaps().acked.Add(off, end)
		return 0
	}
	if g := s.gaps; g != nil && len(g.acked) > 0 && g.acked[0].Start <= end {
		g.acked.Add(s.data.base, end)
		end = g.acked[0].End
		g.acked.RemoveBelow(end)
	}
	freed = end - s.data.base
	if s.data.drop(pool, end); s.done() {
		s.data.empty(pool)
	}
	return freed
}

// onLost notes a loss: what of it is not acknowledged otherwise is sent again, and onLost tells whether there is any.
func (s *sendBuffer) onLost(off, n int64) (again bool) {
	start, end := max(off, s.data.base), off+n
	if start >= end {
		return false
	}
	g := s.someGaps()
	g.lost.Add(start, end)
	for _, r := range g.acked.From(start) {
		if r.Start >= end {
			break
		}
		g.lost.Sub(r.Start, r.End)
	}
	left := g.lost.From(start)
	return len(left) > 0 && left[0].Start < end
}

// done tells whether everything written is acknowledged.
func (s *sendBuffer) done() bool { return s.data.base == s.end }
