package sim

import (
	"errors"

	"github.com/boringquic/boringquic/quic"
)

// act does what an Act says.
func (a *spinApp) act(act Act) {
	c, r := a.conn, a.r
	if c == nil {
		return
	}
	switch act.What {
	case "datagrams":
		a.sendDatagrams(act.N)
	case "ping":
		c.Ping()
	case "key update":
		if err := c.KeyUpdate(); err != nil && c.Err() == nil && !a.monitor.complete {
			return // and else it may be too early as well
		}
	case "close":
		r.closing[a.side] = &closeAct{act.N%4 > 0, act.Code, "enough"}
		if act.N%4 == 0 {
			r.closing[a.side].code = 0 // NO_ERROR
		}
		cl := r.closing[a.side]
		c.Close(r.w.Now(), cl.app, cl.code, cl.reason)
		c.Close(r.w.Now(), true, 99, "twice")
	case "vanish":
		r.vanished[a.side] = true
		c.host.Endpoint.HandleEvent(c.Conn, quic.EndpointEvent{Kind: quic.ConnDrained})
		c.Release()
		c.Drained = true
	case "shut":
		if len(a.order) == 0 {
			return
		}
		s := a.order[act.N%len(a.order)]
		if s.r != nil && !s.finished {
			s.stop()
		}
		if s.w != nil && !s.w.over() {
			s.w.End = Reset
			s.endWriting()
		}
	case "misuse":
		misuses[act.N%len(misuses)](a, act)
	default:
		panic("sim: a plan has an act " + act.What)
	}
}

// wantErr has a call have failed with one of these errors.
func (a *spinApp) wantErr(what string, err error, want ...error) {
	if a.conn.Err() != nil {
		return
	}
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	a.fail("misuse", "%s: %v, want %v", what, err, want)
}

// misuses are calls that are wrong and must do no harm. Each is refused with the error that its documentation names.
var misuses = []func(a *spinApp, act Act){
	func(a *spinApp, act Act) { // a stream that was never opened
		id := uint64(1<<20|act.N<<2) &^ 2
		_, err := a.conn.StreamSend(id, []byte("x"), true)
		if a.side == clientSide { // its own to open, but too many
			a.wantErr("StreamSend of a stream far above the others", err, quic.ErrStreamLimit, quic.ErrStreamsSkipped)
			a.far = a.far || errors.Is(err, quic.ErrStreamLimit)
		} else {
			a.wantErr("StreamSend of an unknown stream", err, quic.ErrUnknownStream)
		}
		_, _, err = a.conn.StreamRecv(id, make([]byte, 1))
		a.wantErr("StreamRecv of an unknown stream", err, quic.ErrUnknownStream)
		a.wantErr("StreamShutdown of an unknown stream", a.conn.StreamShutdown(id, quic.ReadDirection|quic.WriteDirection, 1),
			quic.ErrUnknownStream)
	},
	func(a *spinApp, act Act) { // the wrong direction
		ours, theirs := uint64(2+a.side), uint64(3-a.side)
		_, err := a.conn.StreamSend(theirs, nil, true)
		a.wantErr("StreamSend of a stream that only the peer sends on", err, quic.ErrStreamDirection)
		_, _, err = a.conn.StreamRecv(ours, nil)
		a.wantErr("StreamRecv of a stream that only we send on", err, quic.ErrStreamDirection)
		a.wantErr("StreamShutdown in the wrong direction", a.conn.StreamShutdown(ours, quic.ReadDirection, 1), quic.ErrStreamDirection)
	},
	func(a *spinApp, act Act) { // codes out of range
		for _, s := range a.order {
			if err := a.conn.StreamShutdown(s.id, quic.ReadDirection|quic.WriteDirection, 1<<62); err == nil && a.conn.Err() == nil {
				a.fail("misuse", "StreamShutdown with the code 2^62")
			}
		}
	},
	func(a *spinApp, act Act) { // after the end
		for _, s := range a.order {
			o := s.other()
			if s.w != nil && s.w.finished && !s.w.reset && !(o != nil && o.r.stopped) {
				_, err := a.conn.StreamSend(s.id, []byte("x"), act.N%2 == 0)
				a.wantErr("StreamSend after the end", err, quic.ErrStreamEnded, quic.ErrUnknownStream)
			}
			if s.r != nil && s.r.end {
				_, _, err := a.conn.StreamRecv(s.id, make([]byte, 1))
				a.wantErr("StreamRecv after the end", err, quic.ErrUnknownStream)
			}
		}
	},
	func(a *spinApp, act Act) { // huge datagrams, and none
		if a.conn.DatagramSend(make([]byte, 1<<20)) == nil {
			a.fail("misuse", "a datagram of 1 MiB is taken")
		}
	},
	func(a *spinApp, act Act) { // trains that are none
		w := a.r.w
		a.conn.Recv(w.Now(), quic.Train{})
		junk := make([]byte, act.N)
		for i := range junk {
			junk[i] = byte(w.rng.Uint32())
		}
		a.conn.Recv(w.Now(), quic.Train{Buf: junk, SegSize: act.N/3 + 1, Local: a.conn.LocalAddr(), Remote: a.conn.RemoteAddr()})
		if t := a.conn.Send(w.Now(), make([]byte, 1199)); t.N != 0 {
			a.fail("misuse", "Send writes %d bytes into a buffer of 1199", t.N)
		}
	},
	func(a *spinApp, act Act) { // timers out of turn, and the clock of before
		w := a.r.w
		a.conn.OnTimeout(w.Now())
		a.conn.OnTimeout(w.Now().Add(-1e9))
	},
	func(a *spinApp, act Act) { // answers that nobody asked for
		a.conn.HandleReply(a.r.w.Now(), quic.EndpointReply{IDs: []quic.IssuedConnID{{Seq: 1 << 40}}})
		a.conn.StreamGive(make([]quic.Piece, 3))
		if _, err := a.conn.ExportKeyingMaterial("EXPORTER-spin", nil, 32); (err == nil) != a.monitor.complete && a.conn.Err() == nil {
			a.fail("misuse", "ExportKeyingMaterial: %v; complete %v", err, a.monitor.complete)
		}
	},
}
