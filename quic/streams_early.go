package quic

// startOver is what becomes of the streams that a client has opened when the server rejects its 0-RTT data (RFC 9001, section 4.6.2): all of
// them are forgotten, or else begin anew, with what was written on them, under limits that are still to be told.
func (st *streams) startOver() {
	if st.rejected {
		bidi, uni := st.localType(StreamTypeBidi).opened, st.localType(StreamTypeUni).opened
		*st = streams{client: st.client, cfg: st.cfg, rejected: true, rtt: st.rtt, seldom: st.seldom}
		st.forgetStops()
		st.init(st.client, st.cfg)
		st.localType(StreamTypeBidi).done, st.localType(StreamTypeUni).done = bidi, uni
		return
	}
	st.sendSizes, st.sendWindow = [3]uint64{}, sendWindow{}
	for _, typ := range []uint64{StreamTypeBidi, StreamTypeUni} {
		t := st.localType(typ)
		t.limit, t.tell = 0, 0
	}
	st.each(func(id uint64) bool { st.rollBack(st.live.get(id)); return true }, func(*stream) bool { return true })
	st.barred = st.live.len() > 0
}

// rollBack has a stream be as if nothing was ever sent of it. It is barred until the peer's limit on streams is found to allow it.
func (st *streams) rollBack(s *stream) {
	s.barred = true
	if p := s.send; !p.over { // what a stream does not have is shared by all
		p.window = sendWindow{}
		p.buf.sent, p.buf.gaps = 0, nil
		switch {
		case p.cut:
			p.buf.end, p.size = 0, 0
			p.reset.set()
		case p.fin:
			p.end.set()
		}
		st.admission.recount(s)
	}
	if s.recv.stop != sentNone {
		s.recv.stop.set()
	}
}

// unbar lets streams go on that the peer's limits allow. If there are others, the peer is told that they wait.
func (st *streams) unbar() {
	st.barred = false
	allowed := func(s *stream) bool { return s.barred && s.id>>2 < st.types[s.id&3].limit }
	st.each(func(id uint64) bool {
		s := st.live.get(id)
		s.barred = false
		st.raiseFirst(s)
		st.queueData(s) // it may have an end to tell, and nothing else
		if s.send.reset.due() || s.recv.stop.due() {
			st.control.push(s, queueControl)
		}
		return true
	}, allowed)
	for s := range st.live.all {
		if s.barred {
			st.barred = true
			if t := &st.types[s.id&3]; t.tell.state() == sentNone {
				t.tell.set()
			}
		}
	}
}
