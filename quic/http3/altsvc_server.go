package http3

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// AltSvc is what an Alt-Svc field says of a server (RFC 7838).
type AltSvc struct {
	Port   int           // UDP port that clients reach the server at. Default: the one that it listens on
	MaxAge time.Duration // for how long clients remember it, in whole seconds. Default 24 hours; negative: nothing is advertised
}

// ErrNoAltSvc is what SetAltSvcHeader returns while there is nothing to advertise: the server does not listen, is shutting down, or is not to be advertised.
var ErrNoAltSvc = errors.New("http3: the server does not listen, and is not advertised")

// SetAltSvcHeader adds to the header of a response over HTTP/1.1 or HTTP/2 an Alt-Svc field, which tells clients that the same
// origin is reached over HTTP/3.
func (s *Server) SetAltSvcHeader(h http.Header) error {
	v := s.advert.Load()
	if v == nil {
		return ErrNoAltSvc
	}
	h.Add("Alt-Svc", *v)
	return nil
}

// AltSvcHandler returns a handler that does what next does, with an Alt-Svc field in responses that did not come over HTTP/3
// while the server listens. A nil next stands for http.DefaultServeMux.
func (s *Server) AltSvcHandler(next http.Handler) http.Handler {
	if next == nil {
		next = http.DefaultServeMux
	}
	return altSvcHandler{s, next}
}

type altSvcHandler struct {
	s    *Server
	next http.Handler
}

func (h altSvcHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor < 3 {
		h.s.SetAltSvcHeader(w.Header()) // without one where nobody listens
	}
	h.next.ServeHTTP(w, r)
}

// advertise makes the field anew when the server begins or ends to listen. s.mu is held.
func (s *Server) advertise() {
	s.advert.Store(nil)
	if s.AltSvc.MaxAge < 0 || s.ended {
		return
	}
	age := 24 * time.Hour
	if s.AltSvc.MaxAge > 0 {
		age = s.AltSvc.MaxAge
	}
	value, seen := "", make(map[int]bool)
	for _, l := range s.listening {
		if l.ep == nil {
			continue
		}
		port := s.AltSvc.Port
		if port == 0 {
			port = l.port()
		}
		if seen[port] {
			continue
		}
		if seen[port] = true; value != "" {
			value += ", "
		}
		value += fmt.Sprintf(`h3=":%d"; ma=%d`, port, int64(age/time.Second))
	}
	if value != "" {
		s.advert.Store(&value)
	}
}
