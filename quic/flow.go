package quic

// recvWindow is a flow-control window for what the peer sends (RFC 9000, section 4), of a stream or of the connection. The peer is
// told when a quarter of it was taken, or more at once. It grows when it is taken at a rate of more than a quarter of it in a round
// trip, so that it never is what limits the rate for long: also where the application takes all of it in one piece, and there is
// but one update in a round trip.
type recvWindow struct {
	limit    uint64 // what the peer may send up to, as told or about to be told
	consumed uint64 // what the application has taken, or will never ask for
	size     uint64 // how far limit is set beyond consumed
	updated  int64  // when limit was last raised
	dropped  uint64 // of what was taken since then, bytes that nobody read
	update   sentVal
}

func newRecvWindow(size uint64) recvWindow { return recvWindow{limit: size, size: size} }

// drop counts n more bytes as taken that nobody has read, of which most may never have come: their sender has reset the stream, or the
// application reads no more of it. The credit for them is given back, but they are no reason for a larger window.
func (w *recvWindow) drop(now, rtt int64, n, most uint64) bool {
	w.dropped += n
	return w.consume(now, rtt, n, most)
}

// consume counts n more bytes as taken and tells whether the peer should be told of a higher limit. The window may grow up to most bytes.
func (w *recvWindow) consume(now, rtt int64, n, most uint64) bool {
	w.consumed += n
	left := w.limit - w.consumed
	if left > w.size/4*3 {
		return false
	}
	taken := float64(w.size - left - min(w.dropped, w.size-left)) // since limit was raised
	if w.updated != 0 && float64(now-w.updated)*float64(w.size) < 4*float64(rtt)*taken {
		w.size = max(w.size, min(2*w.size, most))
	}
	w.updated, w.dropped = now, 0
	w.limit = w.consumed + w.size
	w.update.set()
	return true
}

// sendWindow is what the peer allows us to send.
type sendWindow struct {
	limit   uint64
	used    uint64
	blocked sentVal // that we were held back by limit, told once for each limit
}

func (w *sendWindow) available() uint64 { return w.limit - w.used }

// beyond returns what of available is left once so many bytes more have left.
func (w *sendWindow) beyond(waits int64) uint64 {
	return max(w.available(), uint64(waits)) - uint64(waits)
}

// raise sets a higher limit, and tells whether it was higher.
func (w *sendWindow) raise(limit uint64) bool {
	if limit <= w.limit {
		return false
	}
	w.limit = limit
	w.blocked.become(sentNone)
	return true
}

// isBlocked tells whether there is data that the limit holds back.
func (w *sendWindow) isBlocked() bool { return w.blocked.state() != sentNone }

// noteBlocked records that there was data which the limit held back.
func (w *sendWindow) noteBlocked() bool {
	if w.isBlocked() {
		return false
	}
	w.blocked.set()
	return true
}
