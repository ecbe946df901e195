package quic

import "github.com/boringquic/boringquic/quic/internal/ranges"

// sendBuffer keeps the bytes that were written to a stream, or to a CRYPTO stream, until they are acknowledged, and knows
// which to send next: what was lost first, in order, and then what is new.
type sendBuffer struct {
	data  chunks     // from the first byte that is not acknowledged
	end   int64      // offset after the last byte written
	sent  int64      // offset after the last byte sent for the first time
	acked ranges.Set // beyond data.base
	lost  ranges.Set // to be sent again
}

// write appends p.
func (s *sendBuffer) write(pool *chunkPool, p []byte) {
	s.data.write(pool, s.end, p)
	s.end += int64(len(p))
}

// reserve has the next n bytes lie in pieces that are not replaced by larger ones, though they come by several writes.
func (s *sendBuffer) reserve(pool *chunkPool, n int) {
	if n > 0 {
		s.data.piece(pool, s.end, n)
	}
}

// held returns how many bytes are kept.
func (s *sendBuffer) held() int64 { return s.end - s.data.base }

// pending tells whether there is anything to send.
func (s *sendBuffer) pending() bool { return len(s.lost) > 0 || s.sent < s.end }

// next returns what to send next.
func (s *sendBuffer) next() (off int64, n int) {
	if len(s.lost) > 0 {
		return s.lost[0].Start, int(s.lost[0].Len())
	}
	return s.sent, int(s.end - s.sent)
}

// onSent notes that n bytes from off on, as next said, were sent.
func (s *sendBuffer) onSent(off int64, n int) {
	if off < s.sent {
		s.lost.Sub(off, off+int64(n))
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
	if len(s.lost) > 0 {
		s.lost.Sub(off, end)
	}
	if off > s.data.base {
		s.acked.Add(off, end)
		return 0
	}
	if len(s.acked) > 0 && s.acked[0].Start <= end {
		s.acked.Add(s.data.base, end)
		end = s.acked[0].End
		s.acked.RemoveBelow(end)
	}
	freed = end - s.data.base
	if s.data.drop(pool, end); s.done() {
		s.data.empty(pool)
	}
	return freed
}

// onLost notes a loss: what of it is not acknowledged otherwise is sent again.
func (s *sendBuffer) onLost(off, n int64) {
	start, end := max(off, s.data.base), off+n
	if start >= end {
		return
	}
	s.lost.Add(start, end)
	for _, r := range s.acked.From(start) {
		if r.Start >= end {
			break
		}
		s.lost.Sub(r.Start, r.End)
	}
}

// done tells whether everything written is acknowledged.
func (s *sendBuffer) done() bool { return s.data.base == s.end }
