package quicnet

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// planted panics when it is used for the time with a number, and some times after that.
type planted struct {
	at, often int
	uses      atomic.Int64
}

func (p *planted) use() {
	if n := int(p.uses.Add(1)); n >= p.at && n < p.at+p.often {
		panic("planted")
	}
}

// plantedTrace is the trace of a connection, which writes when something happens a tenth of a second after it wrote last.
type plantedTrace struct{ *planted }

func (p plantedTrace) Write(b []byte) (int, error) {
	p.use()
	return len(b), nil
}

func (p plantedTrace) Close() error { return nil }

// plantedRand is where an endpoint and its connections have their random numbers.
type plantedRand struct{ of *atomic.Pointer[planted] }

func (r plantedRand) Read(b []byte) (int, error) {
	if p := r.of.Load(); p != nil {
		p.use()
	}
	return rand.Read(b)
}

var errPlanted = errors.New("the cause")

// Wherever in the core a connection panics, once or from then on, it ends, and nothing else: the next client is served, and nothing of the one that was
// struck stays.
func TestSurvivePanics(t *testing.T) {
	var told atomic.Int32
	SurvivePanics(func(value any, stack []byte) error {
		if told.Add(1); value != "planted" || !strings.Contains(string(stack), "(*planted).use") {
			t.Errorf("what panicked is %v, at %s", value, stack)
		}
		return errPlanted
	})
	defer SurvivePanics(nil)
	for _, c := range []struct {
		name     string
		often    int
		random   bool
		least    int // places
		internal int // clients that learn of an INTERNAL_ERROR
	}{
		{"trace", 1, false, 5, 3},
		{"trace, twice", 2, false, 5, 0},
		{"trace, from then on", 1 << 30, false, 5, 0},
		{"random numbers", 1, true, 5, 0},
		{"random numbers, twice", 2, true, 5, 0},
	} {
		internal, at := 0, 0
		for {
			at++
			p := &planted{at: at, often: c.often}
			told.Store(0)
			var err error
			synctest.Test(t, func(t *testing.T) { err = struck(t, p, c.random) })
			if int(p.uses.Load()) < at {
				break
			}
			if told.Load() == 0 {
				t.Errorf("%s: nobody is told of the panic at use %d", c.name, at)
			}
			var terr *quic.TransportError
			if errors.As(err, &terr) && terr.Remote && terr.Code == quic.InternalError {
				internal++
			}
		}
		t.Logf("%s: %d places, %d clients heard of it", c.name, at-1, internal)
		if at-1 < c.least || internal < c.internal || told.Load() != 0 {
			t.Errorf("%s: there were %d places, and %d clients heard of an INTERNAL_ERROR; %d", c.name, at-1, internal, told.Load())
		}
	}
}

// struck has a server serve clients one after another, the first of has p be struck at the server, and returns what that one found.
func struck(t *testing.T, p *planted, random bool) error {
	var n memNet
	notes := &framesNotes{delay: 150 * time.Millisecond}
	server := serverConfig()
	var first io.WriteCloser
	server.Qlog = func(bool, quic.ConnID) (w io.WriteCloser) {
		w, first = first, nil
		return w
	}
	if random {
		server.Rand = plantedRand{new(atomic.Pointer[planted])}
	}
	sep := overWith(t, ListenConfig{Protocol: notes.open}, n.open("192.0.2.1:443"), server)
	// Not what the endpoint tries its settings with.
	if random {
		server.Rand.(plantedRand).of.Store(p)
	} else {
		first = plantedTrace{p}
	}
	cep := over(t, n.open("192.0.2.2:50000"), nil)
	defer cep.Close()
	var found error
	for i := range 3 {
		before := int(p.uses.Load())
		client := clientConfig()
		client.TLS.ServerName, client.MaxIdleTimeout, client.HandshakeTimeout = "localhost", 5*time.Second, 5*time.Second
		c, err := Dialer{Endpoint: cep, Protocol: new(framesNotes).open}.Dial(context.Background(), "192.0.2.1:443", client)
		for _, word := range []string{"now", "later", "now", "later", "later", "later", "later"} {
			if err == nil {
				_, err = askAndRead(c, word)
			}
		}
		if c != nil {
			c.Close()
		}
		uses := int(p.uses.Load())
		if i == 0 {
			found = err
		} else if err != nil && (uses == before || uses < p.at || before >= p.at+p.often) { // random numbers are for all
			t.Errorf("panics at %d: client %d: %v", p.at, i, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := sep.Shutdown(ctx); err != nil {
		t.Errorf("panics at %d: a connection stays: %v", p.at, err)
	}
	if s := sep.Stats(); s.Handshaking != 0 || s.Established != 0 || s.Closing != 0 {
		t.Errorf("panics at %d: %+v", p.at, s)
	}
	return found
}

// Without SurvivePanics a panic goes on.
func TestPanicsGoOn(t *testing.T) {
	_, c := pair(t, serverConfig(), clientConfig())
	defer func() {
		if v := recover(); v != "planted" {
			t.Errorf("%v", v)
		}
	}()
	c.guarded(time.Now(), func() { panic("planted") })
}
