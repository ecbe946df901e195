package quicnet

import (
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// earlyNet is two servers with the same keys of tickets, of which the second does not take early data, and a client; all have frames.
type earlyNet struct {
	takes, rejects, dials framesNotes
	client                *Endpoint
	cfg                   *quic.Config
}

// inEarlyNet calls test in virtual time.
func inEarlyNet(t *testing.T, test func(t *testing.T, n *earlyNet)) {
	synctest.Test(t, func(t *testing.T) {
		var n earlyNet
		one, two := earlyServer(), serverConfig()
		one.TicketKeys = [][32]byte{{1}}
		two.TicketKeys = one.TicketKeys
		net := &delayNet{delay: 10 * time.Millisecond}
		a := overWith(t, ListenConfig{Protocol: n.takes.open}, net.open("192.0.2.1:443"), one)
		b := overWith(t, ListenConfig{Protocol: n.rejects.open}, net.open("192.0.2.3:443"), two)
		n.client = over(t, net.open("192.0.2.2:50000"), nil)
		defer func() {
			n.client.Close()
			a.Close()
			b.Close()
		}()
		n.cfg = clientConfig()
		n.cfg.TLS.ServerName = "localhost"
		test(t, &n)
	})
}

// dial begins a connection with a session of the server that takes early data.
func (n *earlyNet) dial(t *testing.T, d Dialer, addr string) *Conn {
	t.Helper()
	sessions := make(chan *quic.Session, 8)
	first := Dialer{Endpoint: n.client, OnSession: func(s *quic.Session) { sessions <- s }, Protocol: (&framesNotes{}).open}
	c, err := first.Dial(testContext(t), "192.0.2.1:443", n.cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.Endpoint, d.Session, d.Protocol = n.client, <-sessions, n.dials.open
	c.Close()
	c, err = d.DialEarly(testContext(t), addr, n.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if c.EarlyData() != quic.EarlyOffered || n.dials.asked.Load() != 1 {
		t.Fatalf("early data is %v, and the Protocol was asked for %d times", c.EarlyData(), n.dials.asked.Load())
	}
	return c
}

// Both sides have their Protocol before the handshake is complete, and an answer comes after one round trip.
func TestProtocolEarlyAccepted(t *testing.T) {
	inEarlyNet(t, func(t *testing.T, n *earlyNet) {
		before := n.takes.asked.Load()
		c := n.dial(t, Dialer{}, "192.0.2.1:443")
		start := time.Now()
		if then, err := askAndRead(c, "now"); then != "then" || err != nil {
			t.Errorf("%q, %v", then, err)
		}
		if d := time.Since(start); d > 30*time.Millisecond {
			t.Errorf("an answer to early data took %v", d)
		}
		if err := askEcho(c, "echo", randomBytes(10000)); err != nil {
			t.Error(err)
		}
		if err := c.Handshake(testContext(t)); err != nil || c.EarlyData() != quic.EarlyAccepted {
			t.Errorf("%v, early data %v", err, c.EarlyData())
		}
		if n := n.takes.asked.Load() - before; n != 2 {
			t.Errorf("two connections of the server asked %d times", n)
		}
		s := n.takes.of(n.takes.early())
		synctest.Wait()
		if i, j := slices.Index(s.kinds, quic.EventStreamOpened), slices.Index(s.kinds, quic.EventHandshakeComplete); i < 0 || j < i {
			t.Errorf("the server's events: %v", s.kinds)
		}
	})
}

// early returns the connection of this side that had early data.
func (n *framesNotes) early() (c *Conn) {
	n.all.Range(func(k, _ any) bool {
		if k.(*Conn).EarlyData() == quic.EarlyAccepted {
			c = k.(*Conn)
		}
		return c == nil
	})
	return c
}

// What was rejected is sent again, and the Protocol notices nothing.
func TestProtocolEarlySentAgain(t *testing.T) {
	inEarlyNet(t, func(t *testing.T, n *earlyNet) {
		c := n.dial(t, Dialer{ResendEarly: true}, "192.0.2.3:443")
		inParallel(t, 10, func(i int) error { return askEcho(c, "echo", randomBytes(i*1000)) })
		if c.EarlyData() != quic.EarlyRejected {
			t.Errorf("early data is %v", c.EarlyData())
		}
	})
}

// What was rejected is over, also for those who wait; what is opened then begins anew, and old Streams do not disturb it.
func TestProtocolEarlyRejected(t *testing.T) {
	inEarlyNet(t, func(t *testing.T, n *earlyNet) {
		c := n.dial(t, Dialer{}, "192.0.2.3:443")
		old, err := ask(c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := old.Write([]byte("early")); err != nil {
			t.Error(err)
		}
		gone, err := ask(c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := old.Read(make([]byte, 1)); !errors.Is(err, quic.ErrEarlyDataRejected) {
			t.Errorf("a read that waited: %v", err)
		}
		fresh, err := ask(c, "echo")
		if err != nil || fresh.ID() != old.ID() {
			t.Fatalf("%v, stream %d after stream %d", err, fresh.ID(), old.ID())
		}
		if _, err := old.Write([]byte("more")); !errors.Is(err, quic.ErrEarlyDataRejected) {
			t.Errorf("a write on a stream that is over: %v", err)
		}
		old.Abort(1)
		old.Finish()
		c.Do(func(t *Turn) { t.WakeWrite(gone) })
		if next, err := ask(c, "echo"); err != nil || next.ID() != fresh.ID()+4 {
			t.Errorf("%v, stream %d after stream %d: an old Stream has opened one", err, next.ID(), fresh.ID())
		}
		if _, err := fresh.WriteFinal([]byte("late")); err != nil {
			t.Error(err)
		}
		if b, err := io.ReadAll(fresh); string(b) != "late" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	})
}

// A Protocol that keeps sessions says when they are stored, and which.
func TestProtocolKeepsSessions(t *testing.T) {
	inEarlyNet(t, func(t *testing.T, n *earlyNet) {
		cache := tls.NewLRUClientSessionCache(0)
		n.cfg.TLS.ClientSessionCache = cache
		told := make(chan *quic.Session, 8)
		k := &keeper{}
		d := Dialer{Endpoint: n.client, OnSession: func(s *quic.Session) { told <- s }, Protocol: func(t *Turn) Protocol {
			k.frames = n.dials.open(t).(*frames)
			return k
		}}
		c, err := d.Dial(testContext(t), "192.0.2.1:443", n.cfg)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(told) != 0 || len(k.sessions) == 0 {
			t.Fatalf("%d sessions were told of, and %d kept", len(told), len(k.sessions))
		}
		c.Do(func(t *Turn) {
			s := k.sessions[len(k.sessions)-1]
			s.SetAppData([]byte("settings"))
			t.StoreSession(s)
		})
		if s := <-told; string(s.AppData()) != "settings" {
			t.Errorf("the session has %q", s.AppData())
		}
		c.Close()
		c, err = Dialer{Endpoint: n.client, Protocol: n.dials.open}.DialEarly(testContext(t), "192.0.2.1:443", n.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if s := c.Session(); s == nil || string(s.AppData()) != "settings" {
			t.Errorf("the cache gave %v", s)
		}
	})
}

type keeper struct {
	*frames
	sessions []*quic.Session
}

func (k *keeper) KeepsSessions() bool { return true }

func (k *keeper) HandleEvent(t *Turn, ev *quic.Event) bool {
	if ev.Kind == quic.EventSession {
		k.sessions = append(k.sessions, ev.Session)
	}
	return k.frames.HandleEvent(t, ev)
}
