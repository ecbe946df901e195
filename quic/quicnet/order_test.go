package quicnet

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// TestRightToSend stops a goroutine in the system call that sends, that of the timers, which has trains of several turns leave together:
// what others write meanwhile does not overtake them, and Close does not return before they and the CONNECTION_CLOSE have left.
func TestRightToSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, ss, _ := memPair(t, serverConfig(), clientConfig())
		stream1, _ := streamPair(t, s, c)
		stream2, _ := streamPair(t, s, c)
		synctest.Wait()
		stopped, goOn := make(chan struct{}), make(chan struct{})
		var first atomic.Bool
		stop := func(int64) error {
			if first.CompareAndSwap(false, true) {
				close(stopped)
				<-goOn
			}
			return nil
		}
		ss.onWrite.Store(&stop)
		before := ss.writes.Load()
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { stream1.Write(make([]byte, trainRoom)) }) // so much is the scheduler's to send
		<-stopped
		wg.Go(func() { stream2.Write([]byte("x")) })
		synctest.Wait()
		if n := ss.writes.Load() - before; n != 1 {
			t.Errorf("%d datagrams have left while the first was on its way", n-1)
		}
		var closed atomic.Bool
		wg.Go(func() {
			s.Close()
			closed.Store(true)
		})
		synctest.Wait()
		if n := ss.writes.Load() - before; n != 1 || closed.Load() {
			t.Errorf("%d datagrams have left while the first was on its way, and that Close has returned is %v", n-1, closed.Load())
		}
		close(goOn)
		synctest.Wait()
		if !closed.Load() {
			t.Error("Close has not returned")
		}
		wantClosed(t, c, &quic.ApplicationError{Remote: true})
	})
}

// TestCloseAlwaysTells closes endpoints as soon as they have accepted a connection and a stream, while the handshake's last packets are
// under way: the client learns of the close each time.
func TestCloseAlwaysTells(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	ctx := testContext(t)
	cfg, client := serverConfig(), clientConfig()
	cep := listenWith(t, nil, udp.Options{})
	for i := range rounds {
		sep := listen(t, cfg)
		c, err := cep.Dial(ctx, sep.Addr().String(), client)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if s, err := c.OpenStream(ctx); err == nil {
				s.Write([]byte("x"))
			}
		}()
		s, err := sep.Accept(ctx)
		if err == nil {
			_, err = s.AcceptStream(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		sep.Close()
		select {
		case <-c.Context().Done():
		case <-ctx.Done():
			t.Fatalf("in round %d the client was told nothing", i)
		}
		if err := context.Cause(c.Context()); !errors.Is(err, &quic.ApplicationError{Remote: true}) {
			t.Fatalf("in round %d the client was told: %v", i, err)
		}
	}
}

// TestNothingOvertakes has connections over loopback, which loses and reorders nothing, exchange much at once: hardly a packet is taken for
// lost that was not.
func TestNothingOvertakes(t *testing.T) {
	const conns, rounds = 24, 10
	ep := listen(t, serverConfig())
	client := listenWith(t, nil, udp.Options{})
	ctx := testContext(t)
	var all []*Conn
	for range conns { // that come from one socket, so that one batch holds packets of many
		c, err := client.Dial(ctx, ep.Addr().String(), clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		s, err := ep.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		go echo(s)
		all = append(all, c, s)
	}
	inParallel(t, conns*16, func(i int) error {
		for range rounds {
			if err := exchange(ctx, all[i%conns*2], randomBytes(100+i*37)); err != nil {
				return err
			}
		}
		return nil
	})
	var sent, spurious uint64
	for _, c := range all {
		st := c.Stats()
		sent, spurious = sent+st.PacketsSent, spurious+st.PacketsSpurious
	}
	t.Logf("%d of %d packets were lost spuriously", spurious, sent)
	if spurious > 2 {
		t.Errorf("%d of %d packets were taken for lost that were not", spurious, sent)
	}
}
