package quicnet

import "fmt"

// HandleStreams has handle called for each stream that the peer opens on which both sides send, those included that wait already, in
// a goroutine that may have handled other streams before, and handles no other meanwhile. It takes the place of AcceptStream, and
// spares the goroutine that waits in it on each of many connections. handle does not change while a connection lives: the first one
// stays. A nil handle is a mistake, and panics.
//
// The stream is over when handle returns, as a request of net/http is: what it has not ended is ended for it. If it has not called
// Close, what it wrote is not known to be complete, and the stream is reset as by CancelWrite(0); if it has not read to the end, the
// peer is asked to stop as by CancelRead(0). So a handler calls Close, or Finish, when its answer is complete, returns without
// when it is not, and gives the stream to nobody who outlives it. What was written before Close arrives all the same.
//
// A panic in handle ends the program, as it does in any goroutine that is not net/http's; what is printed names the stream and the
// connection. A handler that is to survive its panics recovers from them itself.
func (c *Conn) HandleStreams(handle func(*Stream)) { c.handle(bidi, handle) }

// HandleUniStreams is HandleStreams for streams on which only the peer sends.
func (c *Conn) HandleUniStreams(handle func(*Stream)) { c.handle(uni, handle) }

func (c *Conn) handle(typ int, handle func(*Stream)) {
	if handle == nil {
		panic("quicnet: a nil handler of streams")
	}
	serve := func(s *Stream) { s.serve(handle) }
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.peers[typ]
	if p.handle != nil {
		return
	}
	p.handle = serve
	p.waiter.wake() // those that wait in AcceptStream are told
	for c.waits(typ) {
		c.shard.workers.start(serve, c.take(typ))
	}
}

// serve calls a handler, and ends what it leaves open.
func (s *Stream) serve(handle func(*Stream)) {
	defer func() {
		if r := recover(); r != nil {
			panic(fmt.Sprintf("quicnet: the handler of stream %d of the connection from %v panicked: %v", s.id, s.c.RemoteAddr(), r))
		}
		s.leave() // also where the handler has called runtime.Goexit
	}()
	handle(s)
}
