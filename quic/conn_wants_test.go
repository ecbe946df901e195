package quic

import (
	"net/netip"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Whatever a call of the application leaves for Send, or has Timeout be earlier by, WantsSend tells: a driver that asks nothing else loses nothing.
func TestWantsSend(t *testing.T) {
	none := netip.AddrPort{}
	client := func(t *testing.T, options ...scriptedOption) *scripted { return newWanderer(t, options...) }
	server := func(t *testing.T, options ...scriptedOption) *scripted {
		p := newScriptedClient(t, options...)
		p.handshake()
		p.sendFrames(protect.OneRTT, streamFrame(0, 0, string(make([]byte, 1000)), false))
		return p
	}
	small := func(p *scripted) { p.cfg.StreamReceiveWindow, p.cfg.MaxStreamReceiveWindow = 2000, 2000 }
	for _, c := range []struct {
		name   string
		side   func(*testing.T, ...scriptedOption) *scripted
		option scriptedOption
		before func(p *scripted)
		call   func(p *scripted) error
	}{
		{"StreamSend", server, small, nothing, func(p *scripted) error { _, err := p.conn.StreamSend(0, []byte("x"), false); return err }},
		{"StreamSend of an end", server, small, nothing, func(p *scripted) error { _, err := p.conn.StreamSend(0, nil, true); return err }},
		{"StreamSend that waits behind others", server, param(0x04, varint(0)), offerAll, func(p *scripted) error {
			_, err := p.conn.StreamSend(20, make([]byte, askedBytes), false)
			return err
		}},
		{"StreamRecv", server, small, nothing, func(p *scripted) error { _, _, err := p.conn.StreamRecv(0, make([]byte, 1000)); return err }},
		{"StreamDiscard", server, small, nothing, func(p *scripted) error { _, err := p.conn.StreamDiscard(0, 1000); return err }},
		{"StreamShutdown", server, small, nothing, func(p *scripted) error { return p.conn.StreamShutdown(0, ReadDirection, 1) }},
		{"StreamStopLater", server, small, nothing, func(p *scripted) error { return p.conn.StreamStopLater(p.now, 0, 1) }},
		{"SetKeepAlive", server, small, nothing, func(p *scripted) error { p.conn.SetKeepAlive(time.Second); return nil }},
		{"Ping", server, small, nothing, func(p *scripted) error { p.conn.Ping(); return nil }},
		{"KeyUpdate", server, small, nothing, func(p *scripted) error { return p.conn.KeyUpdate() }},
		{"DatagramSend", server, param(0x20, varint(1000)), nothing, func(p *scripted) error { return p.conn.DatagramSend([]byte("x")) }},
		{"Close", server, small, nothing, func(p *scripted) error { p.conn.Close(p.now, true, 1, ""); return nil }},
		{"Fail", server, small, nothing, func(p *scripted) error { p.conn.Fail(p.now, errIdleLate); return nil }},
		{"RetireDestinationID", client, small, nothing, func(p *scripted) error { return p.conn.RetireDestinationID(1) }},
		{"ProbePath", client, small, nothing, func(p *scripted) error { return p.conn.ProbePath(p.now, lte, none) }},
		{"Migrate", client, small, nothing, func(p *scripted) error { return p.conn.Migrate(p.now, lte, none) }},
		{"AbandonPath", client, small, func(p *scripted) { p.must(p.conn.ProbePath(p.now, lte, none)) }, func(p *scripted) error {
			return p.conn.AbandonPath(p.now, lte, none)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.side(t, c.option)
			for at, ok := p.conn.Timeout(); ok && at.Sub(p.now) < time.Second; at, ok = p.conn.Timeout() {
				p.advance() // what is kept for reuse is let go
			}
			c.before(p)
			if p.drain(); p.conn.WantsSend() {
				t.Fatal("it wants to send at rest")
			}
			at, armed := p.conn.Timeout()
			p.now = p.now.Add(5 * time.Millisecond)
			p.must(c.call(p))
			next, ok := p.conn.Timeout()
			wants, sooner, sent := p.conn.WantsSend(), ok && (!armed || next.Before(at)), p.datagrams
			p.drain()
			if sent = p.datagrams - sent; sent == 0 && !sooner {
				t.Fatal("nothing is sent, and no timer is earlier")
			}
			if !wants {
				t.Errorf("%d datagrams were sent, the timer was earlier: %v; and WantsSend did not tell", sent, sooner)
			}
			if p.conn.WantsSend() {
				t.Error("it wants to send when Send has nothing more")
			}
		})
	}
}

// offerAll has streams 4 to 16 be told of room, where the peer's limit lets nothing leave.
func offerAll(p *scripted) {
	for id := uint64(4); id <= 20; id += 4 {
		p.sendFrames(protect.OneRTT, streamFrame(id, 0, "", true))
	}
	for id, size := uint64(0), maxUnsent; id < 20; id, size = id+4, askedBytes {
		_, err := p.conn.StreamSend(id, make([]byte, size), false)
		p.must(err)
	}
	p.must(p.conn.StreamShutdown(0, WriteDirection, 1))
	p.drain()
	if n := len(p.conn.streams.admission.offers); n != maxOffers {
		p.t.Fatalf("%d streams are told of room, want %d", n, maxOffers)
	}
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	p.take(wire.FrameResetStream)
}
