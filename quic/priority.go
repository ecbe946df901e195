package quic

import "errors"

// Priority is the place of a stream among those of its connection that have something to send (RFC 9218, section 4).
type Priority struct {
	Urgency     uint8 // 0 to 7: of 0 all is sent before anything of 1
	Incremental bool  // it takes turns with others of the same urgency: what came of it is of use before the rest has come
}

// DefaultPriority is what RFC 9218 has a request have that tells none.
var DefaultPriority = Priority{Urgency: 3}

var errNoPriorities = errors.New("quic: streams have no priorities yet")
