package quic

// eventQueue are the events of the connection as a whole; streams and datagrams keep their own.
type eventQueue struct {
	queue []Event
	head  int
}

// init makes room for the events of a handshake.
func (q *eventQueue) init() { q.queue = make([]Event, 0, 8) }

func (q *eventQueue) push(ev Event) { q.queue = append(q.queue, ev) }

func (q *eventQueue) pushEndpoint(ev EndpointEvent) {
	q.push(Event{Kind: EventEndpoint, Endpoint: &ev})
}

// pushSession tells of what a server gives for later connections; the newest are kept.
func (q *eventQueue) pushSession(s *Session) {
	q.pushBounded(Event{Kind: EventSession, Session: s}, maxSessions)
}

// lastSession returns the newest Session that waits to be told, nil if there is none.
func (q *eventQueue) lastSession() *Session {
	for i := len(q.queue) - 1; i >= q.head; i-- {
		if s := q.queue[i].Session; s != nil {
			return s
		}
	}
	return nil
}

// pushSize tells of the size of datagrams; an event that waits already tells the new one.
func (q *eventQueue) pushSize(size int) {
	for i := q.head; i < len(q.queue); i++ {
		if ev := &q.queue[i]; ev.Kind == EventMTU {
			ev.MaxUDPPayload = size
			return
		}
	}
	q.push(Event{Kind: EventMTU, MaxUDPPayload: size})
}

func (q *eventQueue) pushBounded(ev Event, most int) {
	waiting, oldest := 0, -1
	for i := len(q.queue) - 1; i >= q.head; i-- {
		if q.queue[i].Kind == ev.Kind {
			waiting++
			oldest = i
		}
	}
	if waiting >= most {
		q.queue = append(q.queue[:oldest], q.queue[oldest+1:]...)
	}
	q.push(ev)
}

func (q *eventQueue) pop() (Event, bool) {
	if q.head == len(q.queue) {
		return Event{}, false
	}
	ev := q.queue[q.head]
	q.queue[q.head] = Event{}
	q.head++
	if q.head == len(q.queue) {
		q.queue, q.head = q.queue[:0], 0
	}
	return ev, true
}

// rest lets go of room for more: a connection has few of these events once its handshake is confirmed.
func (q *eventQueue) rest() {
	if len(q.queue) == 0 {
		q.queue = nil
	}
}

// next returns the kind of the event that pop would return, 0 if there is none.
func (q *eventQueue) next() EventKind {
	if q.head == len(q.queue) {
		return 0
	}
	return q.queue[q.head].Kind
}

// NextEvent returns what has happened, in order; ok is false if there is nothing to tell.
func (c *Conn) NextEvent() (ev Event, ok bool) {
	ok = c.ReadEvent(&ev)
	return ev, ok
}

// ReadEvent is NextEvent into memory of the caller's, for who reads so many that copies of them count. It overwrites all of *ev.
func (c *Conn) ReadEvent(ev *Event) (ok bool) {
	own := c.events.next()
	ending := c.streams.ended && own == EventClosed // what had arrived is told before
	if !ending && (own != 0 || c.state != stateActive) {
		*ev, ok = c.events.pop()
		c.onTold(ev)
		return ok
	}
	*ev = Event{}
	if c.streams.nextEvent(ev); ev.Kind == 0 {
		ev.Kind = c.datagrams.nextEvent()
	}
	if ev.Kind != 0 {
		return true
	}
	if ending {
		*ev, ok = c.events.pop()
		return ok
	}
	if c.tls.confirmed {
		c.events.rest()
	}
	return false
}

// onTold completes an event of the connection at the moment that it is read, and does what waited for that.
func (c *Conn) onTold(ev *Event) {
	switch ev.Kind {
	case EventSession:
		c.onSessionTold(ev.Session)
	case EventEarlyData:
		c.streams.rejected = false
	}
}
