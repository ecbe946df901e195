package sim

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

var (
	testFrom = netip.MustParseAddrPort("192.0.2.1:1000")
	testTo   = netip.MustParseAddrPort("192.0.2.2:443")
)

type arrival struct {
	at time.Duration
	d  Datagram
}

// pass sends n datagrams of size bytes, one every gap, through stages and returns what arrives. Byte 0 counts them.
func pass(t *testing.T, seed uint64, n, size int, gap time.Duration, stages ...Stage) []arrival {
	t.Helper()
	w := NewWorld(seed)
	var got []arrival
	link := NewLink(w, &Trace{}, "test", stages, func(d Datagram) { got = append(got, arrival{w.Elapsed(), d}) })
	for i := range n {
		w.After(time.Duration(i)*gap, func() {
			data := make([]byte, size)
			data[0] = byte(i)
			link.Send(Datagram{Data: data, From: testFrom, To: testTo, ECN: quic.ECT0})
		})
	}
	over := false
	w.After(time.Duration(n)*gap+time.Hour, func() { over = true })
	if err := w.Run(1000*time.Hour, func() bool { return over }); err != nil {
		t.Fatal(err)
	}
	if link.Sent != n || link.Delivered != len(got) || link.Bytes != n*size {
		t.Errorf("link counts %d sent, %d delivered, %d bytes", link.Sent, link.Delivered, link.Bytes)
	}
	return got
}

func wantCount(t *testing.T, got []arrival, low, high int) {
	t.Helper()
	if len(got) < low || len(got) > high {
		t.Errorf("%d datagrams arrived, want %d to %d", len(got), low, high)
	}
}

func TestLossStages(t *testing.T) {
	wantCount(t, pass(t, 1, 10000, 10, time.Millisecond), 10000, 10000)
	wantCount(t, pass(t, 1, 10000, 10, time.Millisecond, Loss(0.3)), 6800, 7200)
	wantCount(t, pass(t, 1, 10000, 10, time.Millisecond, Loss(0)), 10000, 10000)
	wantCount(t, pass(t, 1, 10000, 10, time.Millisecond, Loss(1)), 0, 0)
	wantCount(t, pass(t, 1, 10000, 10, time.Millisecond, Duplicate(0.05, time.Millisecond)), 10400, 10600)
	wantCount(t, pass(t, 1, 10000, 10, time.Millisecond, BurstLoss(0.01, 0.25)), 9300, 9800)
	wantCount(t, pass(t, 1, 100, 1300, time.Millisecond, MTU(1299)), 0, 0)
	wantCount(t, pass(t, 1, 100, 1300, time.Millisecond, MTU(1300)), 100, 100)
	wantCount(t, pass(t, 1, 100, 10, time.Millisecond, Blackhole(20*time.Millisecond, 30*time.Millisecond)), 90, 90)

	for n := 1; n <= 5; n++ {
		got := pass(t, 1, 5, 10, time.Millisecond, DropNth(n))
		wantCount(t, got, 4, 4)
		for _, a := range got {
			if int(a.d.Data[0]) == n-1 {
				t.Errorf("DropNth(%d) let it pass", n)
			}
		}
	}
}

func TestDelayStages(t *testing.T) {
	for i, a := range pass(t, 1, 100, 10, time.Millisecond, Delay(50*time.Millisecond, 0)) {
		if want := time.Duration(i)*time.Millisecond + 50*time.Millisecond; a.at != want || int(a.d.Data[0]) != i {
			t.Fatalf("datagram %d arrived at %v, want %v", i, a.at, want)
		}
	}
	overtaken := 0
	got := pass(t, 1, 100, 10, time.Millisecond, Reorder(0.1, 20*time.Millisecond))
	wantCount(t, got, 100, 100)
	for i := 1; i < len(got); i++ {
		if got[i].d.Data[0] < got[i-1].d.Data[0] {
			overtaken++
		}
	}
	if overtaken < 3 || overtaken > 30 {
		t.Errorf("%d datagrams were overtaken, want about 10", overtaken)
	}
}

func TestRateStage(t *testing.T) {
	// 1,000 bytes at 1 Mbit/s take 8 ms; five fit the queue, of which one is on the line.
	got := pass(t, 1, 10, 1000, 0, Rate(1e6, 5000, 2500))
	wantCount(t, got, 5, 5)
	for i, a := range got {
		if want := time.Duration(i+1) * 8 * time.Millisecond; a.at != want {
			t.Errorf("datagram %d arrived at %v, want %v", i, a.at, want)
		}
		want := quic.ECT0
		if i >= 3 {
			want = quic.CE
		}
		if a.d.ECN != want {
			t.Errorf("datagram %d carries ECN %d, want %d", i, a.d.ECN, want)
		}
	}
	wantCount(t, pass(t, 1, 10, 1000, 8*time.Millisecond, Rate(1e6, 1000, 0)), 10, 10)
}

func TestChangingStages(t *testing.T) {
	corrupted := 0
	for _, a := range pass(t, 1, 1000, 100, time.Millisecond, Corrupt(0.5)) {
		if !bytes.Equal(a.d.Data[1:], make([]byte, 99)) {
			corrupted++
		}
	}
	if corrupted < 400 || corrupted > 600 {
		t.Errorf("%d of 1000 datagrams were corrupted, want about half", corrupted)
	}
	marked := 0
	for _, a := range pass(t, 1, 1000, 100, time.Millisecond, MarkCE(0.2)) {
		if a.d.ECN == quic.CE {
			marked++
		}
	}
	if marked < 150 || marked > 250 {
		t.Errorf("%d of 1000 datagrams were marked, want about 200", marked)
	}
	for _, a := range pass(t, 1, 10, 100, time.Millisecond, ClearECN(), MarkCE(1)) {
		if a.d.ECN != quic.NotECT {
			t.Error("a datagram without ECN was marked")
		}
	}
}

func TestNAT(t *testing.T) {
	outside := netip.MustParseAddrPort("198.51.100.1:4000")
	nat := &NAT{Outside: outside, Rebind: []time.Duration{5 * time.Millisecond}}
	w := NewWorld(1)
	var back []Datagram
	in := NewLink(w, &Trace{}, "in", []Stage{nat.In()}, func(d Datagram) { back = append(back, d) })
	var seen []netip.AddrPort
	out := NewLink(w, &Trace{}, "out", []Stage{nat.Out()}, func(d Datagram) {
		seen = append(seen, d.From)
		in.Send(Datagram{From: d.To, To: d.From})
		in.Send(Datagram{From: d.To, To: outside}) // lost after rebinding
	})
	out.Send(Datagram{From: testFrom, To: testTo})
	w.After(6*time.Millisecond, func() { out.Send(Datagram{From: testFrom, To: testTo}) })
	if err := w.Run(time.Second, func() bool { return len(seen) == 2 }); err != nil {
		t.Fatal(err)
	}
	rebound := netip.AddrPortFrom(outside.Addr(), outside.Port()+1)
	if want := []netip.AddrPort{outside, rebound}; !reflect.DeepEqual(seen, want) {
		t.Errorf("outer addresses %v, want %v", seen, want)
	}
	if len(back) != 3 || back[0].To != testFrom {
		t.Errorf("%d datagrams came back, want 3, to %v", len(back), testFrom)
	}
}

func TestOneSeedOneFate(t *testing.T) {
	run := func(seed uint64) []arrival {
		return pass(t, seed, 500, 50, time.Millisecond, Loss(0.1), Duplicate(0.1, time.Second), Corrupt(0.1),
			Reorder(0.1, time.Second), Delay(time.Millisecond, time.Millisecond))
	}
	if !reflect.DeepEqual(run(7), run(7)) {
		t.Error("one seed, two fates")
	}
	if reflect.DeepEqual(run(7), run(8)) {
		t.Error("two seeds, one fate")
	}
}

func TestRunEnds(t *testing.T) {
	w := NewWorld(1)
	never := func() bool { return false }
	if err := w.Run(time.Second, never); err == nil {
		t.Error("Run without events did not end")
	}
	var again func()
	again = func() { w.After(100*time.Millisecond, again) }
	again()
	if err := w.Run(time.Second, never); err == nil || w.Elapsed() != time.Second {
		t.Errorf("Run ended with %v at %v, want an error at 1s", err, w.Elapsed())
	}
}
