package quic

// What had arrived when a connection came to its end. Where the peer ended it, or fell silent, or forgot it, the application may still
// read that: streams and datagrams stay as they are, without their sending parts, until the application closes or releases the Conn.
// It is no more than flow control and the queue of datagrams had allowed.

// KeepsReceived tells whether the connection is over and what had arrived can still be read: so it is after the peer's
// CONNECTION_CLOSE, a stateless reset, a timeout or Abandon, until Close or Release. Where we closed the connection everything ends at once.
func (c *Conn) KeepsReceived() bool { return c.streams.ended }

// keepReceived lets go of all but what can still be read.
func (c *Conn) keepReceived() {
	c.streams.keepReceived()
	d := &c.datagrams
	*d = datagrams{in: d.in, readable: d.readable, counts: d.counts}
}

// dropReceived lets go of that too.
func (c *Conn) dropReceived() {
	c.streams.end()
	c.datagrams = datagrams{counts: c.datagrams.counts}
}

// readError returns why nothing can be read on any stream.
func (c *Conn) readError() error {
	if c.streams.ended {
		return nil
	}
	return c.err
}

// leftError returns the error of a read, given what it brought: once there is nothing left to be read of a stream, it is
// why the connection is over.
func (c *Conn) leftError(id uint64, n int, fin bool, err error) error {
	if c.streams.ended && n == 0 && !fin && (err == ErrUnknownStream || err == nil && !c.streams.left(id)) {
		return c.err
	}
	return err
}

func (st *streams) keepReceived() {
	for s := range st.live.all {
		if p := s.send; !p.over {
			p.buf = sendBuffer{data: chunks{base: p.buf.data.base}}
			p.over, p.told = true, true
		}
		s.events &^= streamWritable
		for queue := range queueEvents {
			s.queued[queue], s.next[queue] = false, nil
		}
		if !s.recv.readable() {
			st.live.remove(s)
		}
	}
	for i := range st.types {
		st.types[i].available = false
	}
	// Memory of what is read goes to the garbage collector, not to a pool.
	*st = streams{client: st.client, cfg: st.cfg, ended: true, untold: true, live: st.live, types: st.types, ready: st.ready, recvWindow: st.recvWindow, gaps: st.gaps,
		seldom: st.seldom}
}

// left tells whether there is something to be read of a stream.
func (st *streams) left(id uint64) bool {
	s := st.live.get(id)
	return s != nil && s.recv.readable()
}

// dropKept drops what is left to be read of a stream.
func (st *streams) dropKept(id uint64) {
	if s := st.live.get(id); s != nil && st.ended {
		s.recv.told = false // what waits to be told of it is no more
		s.events &^= streamReset
		st.live.remove(s)
	}
}
