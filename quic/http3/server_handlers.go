package http3

import (
	"slices"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// handlers bounds how many handlers of a connection run at once: as many as the client may have streams open. The transport alone does not see
// to that. It lets the client open another stream when both parts of one are over, and the client can bring that about while the handler
// runs, with RESET_STREAM and STOP_SENDING (CVE-2023-44487, CVE-2023-39325); so can a handler that goes on behind the end of its response. Requests
// above that wait. There are no more of these than streams may be open either: who gives one up takes it out of the queue.
type handlers struct {
	most    int32
	running int32
	waiting []*exchange // the oldest first
}

// startHandler has the handler of a request run, at once or when another one has returned.
func (sc *serverConn) startHandler(t *quicnet.Turn, x *exchange) {
	h := &sc.handlers
	if h.running >= h.most {
		x.waits = true
		h.waiting = append(h.waiting, x)
		return
	}
	h.running++
	t.Go(x)
}

// onReturn notes that a handler has returned.
func (sc *serverConn) onReturn(t *quicnet.Turn) {
	h := &sc.handlers
	h.running--
	if len(h.waiting) > 0 {
		x := h.waiting[0]
		h.waiting = slices.Delete(h.waiting, 0, 1)
		x.waits = false
		h.running++
		t.Go(x)
	}
}

// stopWaiting takes a request out of the queue whose stream is over.
func (sc *serverConn) stopWaiting(x *exchange) {
	if !x.waits {
		return
	}
	x.waits = false
	h := &sc.handlers
	if i := slices.Index(h.waiting, x); i >= 0 {
		h.waiting = slices.Delete(h.waiting, i, i+1)
	}
}
