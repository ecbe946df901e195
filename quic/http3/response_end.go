package http3

import (
	"errors"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// lockLast takes mu when the handler has returned. A goroutine that it has left behind and that writes must not keep us, and what it writes
// is not the whole response: that is broken off.
func (w *response) lockLast() {
	w.mu.Lock()
	for w.state != nil && w.state.busy {
		w.x.abort(h3.ErrCodeInternal)
		w.await()
	}
}

// errHandlerReturned is what calls of a ResponseWriter fail with whose handler has returned.
var errHandlerReturned = errors.New("http3: the handler of the request has returned")

// finish ends the response, when the handler has returned. What the client may not take for complete is reset.
func (w *response) finish() {
	x := w.x
	w.lockLast()
	defer w.mu.Unlock()
	st := w.state
	defer func() {
		w.state = nil
		st.release()
	}()
	if st.tookOver {
		return
	}
	if st.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	bodiless := w.isHead() || !bodyAllowed(st.status)
	if st.overrun || st.declared >= 0 && st.written < st.declared && !bodiless {
		x.abort(h3.ErrCodeInternal)
		return
	}
	if st.err != nil {
		x.abort(h3.ErrCodeInternal)
		return
	}
	w.conclude(bodiless)
}

// conclude sends what is left of a response, and its end. Nearly always that takes one turn.
func (w *response) conclude(bodiless bool) {
	x, sc := w.x, w.x.sc
	p := w.state.buf[:w.state.n]
	first := !w.state.sent
	if first {
		w.makeHead(p, true)
	} else if bodiless {
		x.settle()
		return
	}
	if bodiless {
		p = nil
	}
	trailers := w.trailerFields()
	fin := len(trailers) == 0 || bodiless
	done := false
	var err error
	sc.conn.Do(func(t *quicnet.Turn) {
		n := 0
		if first {
			n, err = w.sendHead(t, p, fin)
		} else {
			n, err = sc.h3.StreamSend(x.id, p, fin)
		}
		if p = p[n:]; err == nil && len(p) == 0 {
			if !fin {
				err = sc.h3.SendTrailers(t.Now, x.id, trailers)
			}
			done = true
			x.settleNow(t)
		}
		sc.drain(t)
	})
	w.state.sent = true
	if done || err != nil {
		if err != nil {
			w.logUnsendable(err)
			x.abort(h3.ErrCodeInternal)
		}
		return
	}
	st := w.state
	w.state = nil // who comes now, from a goroutine that was left behind, is told that the handler has returned, and need not wait with us
	w.mu.Unlock()
	w.concludeSlowly(p, fin, trailers)
	w.mu.Lock()
	w.state = st
}

// concludeSlowly is conclude where the client takes the rest only little by little.
func (w *response) concludeSlowly(p []byte, fin bool, trailers []qpack.Field) {
	x := w.x
	s := x.openStream()
	var err error
	if fin {
		_, err = s.WriteFinal(p)
	} else if _, err = s.Write(p); err == nil {
		x.sc.conn.Do(func(t *quicnet.Turn) {
			err = x.sc.h3.SendTrailers(t.Now, x.id, trailers)
			x.sc.drain(t)
		})
	}
	if err != nil {
		w.logUnsendable(err)
		x.abort(h3.ErrCodeInternal)
		return
	}
	x.settle()
}

// trailerFields returns the fields that follow the body: those that were declared, and those whose names begin with http.TrailerPrefix.
func (w *response) trailerFields() []qpack.Field {
	st := w.state
	start := len(st.fields)
	var done map[string]bool // names whose fields are there; nil: none, as mostly
	add := func(name string, values []string) {
		if done == nil {
			done = make(map[string]bool)
		}
		done[name] = true
		st.fields = appendTrailer(st.fields, name, values)
	}
	for key, values := range w.header {
		name, ok := strings.CutPrefix(key, http.TrailerPrefix)
		if !ok {
			continue
		}
		name = http.CanonicalHeaderKey(name)
		if !httpguts.ValidTrailerHeader(name) {
			w.x.sc.logf("http3: the trailer %q is not allowed, and not sent", name)
			continue
		}
		add(name, values)
	}
	for _, name := range st.trailers {
		if !done[name] {
			add(name, w.header[name])
		}
	}
	return st.fields[start:]
}

func appendTrailer(dst []qpack.Field, name string, values []string) []qpack.Field {
	if name, ok := wireName(name); ok && !connectionSpecific(name) {
		return appendField(dst, name, values)
	}
	return dst
}
