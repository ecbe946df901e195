package h3test_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/http3/h3test"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// tunnelEnd is one side of a tunnel: it reads what comes, by two goroutines, and sends what the dice say, until it stops in the way that they say.
type tunnelEnd struct {
	t      *testing.T
	s      *http3.Stream
	dice   *rand.Rand
	out    []byte // what it sends on the stream
	in     []byte // what has come
	whole  bool   // up to the end
	frames int    // datagrams that came
}

// The ways in which a side stops.
var tunnelStops = []string{"Close", "Abort", "CancelWrite", "CancelRead", "Close and CancelRead", "the connection", "silence"}

// run returns when nothing can come any more. stop is how the side ends what it does, unless the other one was first.
func (e *tunnelEnd) run(stop string, network *quicnettest.Network) {
	var reading sync.WaitGroup
	reading.Go(func() {
		var got bytes.Buffer
		_, err := io.Copy(&got, e.s)
		e.in, e.whole = got.Bytes(), err == nil
	})
	reading.Go(func() {
		b := make([]byte, 2000)
		for {
			n, err := e.s.ReceiveDatagram(context.Background(), b)
			if err != nil {
				return
			}
			e.frames++
			if n < 1 || bytes.Count(b[:n], b[:1]) != n {
				e.t.Errorf("a datagram of %d bytes is not what was sent", n)
			}
		}
	})
	sent := 0
	for range e.dice.IntN(20) {
		var err error
		switch e.dice.IntN(4) {
		case 0:
			time.Sleep(time.Duration(e.dice.IntN(30)) * time.Millisecond)
		case 1:
			err = e.s.SendDatagram(bytes.Repeat([]byte{byte(e.dice.Uint32())}, 1+e.dice.IntN(1000)))
		default:
			n := min(e.dice.IntN(1<<e.dice.IntN(16)), len(e.out)-sent) // which ends within a capsule, as a rule
			_, err = e.s.Write(e.out[sent : sent+n])
			sent += n
		}
		if err != nil {
			break
		}
	}
	e.out = e.out[:sent]
	switch stop {
	case "Close":
		e.s.Close()
	case "Abort":
		e.s.Abort(uint64(http3.ErrorCode(0x10c)))
	case "CancelWrite":
		e.s.CancelWrite(0x10c)
	case "CancelRead":
		e.s.CancelRead(0x10c)
	case "Close and CancelRead":
		e.s.Close()
		e.s.CancelRead(0x100)
	case "the connection":
		e.s.Conn().Close()
	case "silence":
		network.SetLink(quicnettest.Link{Loss: 1})
	}
	reading.Wait()
	e.s.Finish()
}

// A tunnel whose other end stops midway, in whichever way, has all that waits for something of it return: reads, and those of datagrams. What had come by
// then is the beginning of what was sent, and all of it where the end came.
func TestTunnelStopsMidway(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, clientStops := range tunnelStops {
		for _, serverStops := range tunnelStops {
			synctest.Test(t, func(t *testing.T) {
				dice := rand.New(rand.NewPCG(seed, uint64(len(clientStops)*100+len(serverStops))))
				for range 6 {
					playTunnel(t, dice, clientStops, serverStops)
				}
				if t.Failed() {
					t.Errorf("the client stops by %q, the server by %q", clientStops, serverStops)
				}
			})
		}
	}
}

func playTunnel(t *testing.T, dice *rand.Rand, clientStops, serverStops string) {
	newEnd := func() *tunnelEnd {
		e := &tunnelEnd{t: t, dice: rand.New(rand.NewPCG(dice.Uint64(), 0)), out: make([]byte, 1<<17)}
		for i := range e.out {
			e.out[i] = byte(e.dice.Uint32())
		}
		return e
	}
	client, server := newEnd(), newEnd()
	returned := make(chan struct{})
	network := quicnettest.NewNetwork(dice.Uint64(), quicnettest.Link{Delay: 5 * time.Millisecond, Jitter: 5 * time.Millisecond})
	s := h3test.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(returned)
		var err error
		if server.s, err = http3.TakeOver(w); err != nil {
			t.Error(err)
			return
		}
		if _, err := http3.TakeOver(w); err == nil {
			t.Error("a stream was taken over twice")
		}
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("the ResponseWriter of a stream that was taken over writes on")
		}
		if n, err := r.Body.Read(make([]byte, 1)); n > 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("the Body of a stream that was taken over gives %d bytes, %v", n, err)
		}
		server.run(serverStops, network)
	}))
	s.Network = network
	s.HTTP3.ExtendedConnect, s.HTTP3.Datagrams = true, true
	s.HTTP3.QUIC = &quic.Config{MaxIdleTimeout: 5 * time.Second}
	s.Start()
	tr := s.Client().Transport.(*http3.Transport)
	tr.EnableDatagrams = true
	req, err := http.NewRequest("CONNECT", s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header[":protocol"] = []string{"test"}
	begun := time.Now()
	if resp, err := tr.RoundTrip(req); err == nil {
		if client.s, err = http3.StreamOf(resp); err != nil {
			t.Error(err)
			resp.Body.Close()
		} else {
			client.run(clientStops, network)
		}
	} else {
		client.out = nil
		if serverStops == "Close" || serverStops == "CancelRead" || serverStops == "Close and CancelRead" { // else it was faster than the response
			t.Error(err)
		}
	}
	<-returned
	if d := time.Since(begun); d > time.Minute {
		t.Errorf("it took %v", d)
	}
	for _, way := range []struct {
		name     string
		from, to *tunnelEnd
	}{{"to the server", client, server}, {"to the client", server, client}} {
		in, out := way.to.in, way.from.out
		if len(in) > len(out) || !bytes.Equal(in, out[:len(in)]) || way.to.whole && len(in) != len(out) {
			t.Errorf("%s came %d bytes, of %d, the end %v", way.name, len(in), len(out), way.to.whole)
		}
	}
	network.SetLink(quicnettest.Link{})
	s.Close()
}
