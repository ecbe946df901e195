package congestion

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	for _, c := range []struct {
		name      string
		window    int64
		srtt      time.Duration
		slowStart bool
		want      int64
	}{
		{name: "congestion avoidance", window: 100_000, srtt: 100 * time.Millisecond, want: 1_250_000},
		{name: "slow start", window: 100_000, srtt: 100 * time.Millisecond, slowStart: true, want: 2_000_000},
		{name: "no RTT known", window: 100_000, want: 0},
		{name: "a round trip of a nanosecond", window: 12000, srtt: 1, want: 15_000_000_000_000},
		{name: "the largest window", window: MaxWindow, srtt: 10 * time.Microsecond, slowStart: true, want: 2 * MaxWindow * 100_000},
		{name: "never zero, which would mean no pacing", window: 1, srtt: time.Hour, want: 1},
	} {
		if got := Rate(c.window, c.srtt, c.slowStart); got < c.want-1 || got > c.want {
			t.Errorf("%s: %d bytes a second, want %d", c.name, got, c.want)
		}
	}
}

func TestTrain(t *testing.T) {
	const wide = int64(1) << 40
	for _, c := range []struct {
		name         string
		rate, window int64
		want         int64
	}{
		{"1 ms of 100 Mbit/s", 12_500_000, wide, 12_500},
		{"1 ms of 400 Mbit/s", 50_000_000, wide, 50_000},
		{"what a system call takes", 1_250_000_000, wide, 64 << 10},
		{"one datagram where it takes longer", 125_000, wide, datagram},
		{"10 Mbit/s", 1_250_000, wide, 1250},
		{"an eighth of the window", 125_000_000, 100_000, 12_500},
		{"one datagram, however small the window is", 125_000_000, 2 * datagram, datagram},
		{"no rate is known", 0, 10 * datagram, datagram},
	} {
		if got := Train(c.rate, c.window, datagram); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
	}
}

// trainAt is a train at a rate when the window is no bound.
func trainAt(rate int64) int64 { return Train(rate, 1<<40, datagram) }

// However often the pacer is asked, trains are whole once the first burst has left: nothing leaves between the end of one and the time
// that is enough for the next.
func TestPacerTrains(t *testing.T) {
	for _, rate := range []int64{125_000, 12_500_000, 125_000_000, 1_250_000_000} {
		var p Pacer
		train, step := trainAt(rate), trainAt(rate)*int64(time.Second)/rate/7
		now, sent, trains := 1000*ms, int64(0), 0
		for range 1000 {
			size := int64(0)
			for p.Next(now, rate, datagram, train) == now {
				p.OnSent(datagram)
				size += datagram
			}
			if size > 0 {
				if trains++; trains > 1 && (size < train || size > 2*train) {
					t.Errorf("%d bytes a second: a train of %d bytes, want %d", rate, size, train)
				}
				sent += size
			}
			now += step
		}
		if mean := sent / int64(trains); mean < train {
			t.Errorf("%d bytes a second: trains of %d bytes on average, want %d", rate, mean, train)
		}
	}
}

// Without a rate there is no pacing.
func TestPacerUnpaced(t *testing.T) {
	var p Pacer
	for range 1000 {
		if at := p.Next(5*ms, 0, datagram, 0); at != 5*ms {
			t.Fatalf("next at %d, want now", at)
		}
		p.OnSent(datagram)
	}
	if p.Next(6*ms, 1_000_000, datagram, trainAt(1_000_000)); p.credit != 10*datagram {
		t.Errorf("credit %d when pacing begins, want a burst of 10 datagrams", p.credit)
	}
}

// Ten datagrams may always leave at once; at high rates as much as two milliseconds bring, up to a bound.
func TestPacerBurst(t *testing.T) {
	for _, c := range []struct {
		name string
		rate int64
		want int64
	}{
		{"slow", 1000, 10 * datagram},
		{"where a quantum is ten datagrams", 5 * datagram * 1000, 10 * datagram},
		{"100 Mbit/s", 12_500_000, 25_000},
		{"1 Gbit/s", 125_000_000, 250_000},
		{"100 Gbit/s", 12_500_000_000, 256 << 10},
	} {
		var p Pacer
		now, sent := 1000*ms, int64(0)
		for p.Next(now, c.rate, datagram, trainAt(c.rate)) == now {
			p.OnSent(datagram)
			sent += datagram
		}
		if sent < c.want || sent >= c.want+datagram {
			t.Errorf("%s: %d bytes leave at once, want %d", c.name, sent, c.want)
		}
		p.Next(now+int64(time.Hour), c.rate, datagram, trainAt(c.rate))
		if p.credit != c.want {
			t.Errorf("%s: credit %d after an hour, want a burst, %d", c.name, p.credit, c.want)
		}
	}
}

// What leaves keeps to the rate, whatever the rate is: never a burst ahead of it, and never far behind. Whoever waits until
// Next says may send then, and what is sent beyond the credit is at most one packet.
func TestPacerRate(t *testing.T) {
	for _, c := range []struct {
		name    string
		rate    int64
		packets int
	}{
		{"two datagrams in ten seconds", 240, 100},
		{"two datagrams in five seconds", 480, 100},
		{"1 kB/s", 1000, 100},
		{"10 kB/s", 10_000, 1000},
		{"1 MB/s", 1_000_000, 10_000},
		{"1 Gbit/s", 125_000_000, 100_000},
		{"10 Gbit/s", 1_250_000_000, 100_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p Pacer
			start := 1000 * ms
			now, sent, full := start, int64(0), burst(c.rate, datagram)
			for range c.packets {
				if at := p.Next(now, c.rate, datagram, trainAt(c.rate)); at != now {
					if at < now {
						t.Fatalf("next at %d, which is %d ns ago", at, now-at)
					}
					now = at
					if again := p.Next(now, c.rate, datagram, trainAt(c.rate)); again != now {
						t.Fatalf("at the time that was told it tells another, %d ns later", again-now)
					}
				}
				if p.credit <= 0 || p.credit > full {
					t.Fatalf("credit %d when a packet may leave", p.credit)
				}
				p.OnSent(datagram)
				if sent += datagram; p.credit <= -datagram {
					t.Fatalf("credit %d after a packet", p.credit)
				}
				if most := float64(full+datagram) + 1.002*float64(c.rate)*float64(now-start)/1e9; float64(sent) > most {
					t.Fatalf("%d bytes after %d ns, want at most %.0f", sent, now-start, most)
				}
			}
			// At the end the bucket holds no more than a train.
			least := float64(full-trainAt(c.rate)-datagram) + 0.999*float64(c.rate)*float64(now-start)/1e9
			if float64(sent) < least {
				t.Errorf("%d bytes in %v, want at least %.0f", sent, time.Duration(now-start), least)
			}
		})
	}
}

// Credit is neither made nor lost by asking often, nor by a clock that stands still or goes back.
func TestPacerAskedOften(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, rate := range []int64{700, 33_333, 1_000_003, 77_777_777} {
		var p Pacer
		now := 1000 * ms
		p.Next(now, rate, datagram, trainAt(rate))
		p.OnSent(burst(rate, datagram))
		end := now + 9*burst(rate, datagram)/10*int64(time.Second)/rate // the bucket is not yet full by then
		start := now
		for range 5000 {
			now = min(now+random.Int64N((end-start)/2500), end)
			p.Next(now, rate, datagram, trainAt(rate))
			p.Next(now-random.Int64N(1000), rate, datagram, trainAt(rate))
		}
		p.Next(end, rate, datagram, trainAt(rate))
		want := float64(rate) * float64(end-start) / 1e9
		if got := float64(p.credit); got < want-2 || got > want*1.002+2 {
			t.Errorf("%d bytes a second: %.0f bytes of credit after %v, want %.0f", rate, got, time.Duration(end-start), want)
		}
	}
}

// A rate that falls leaves no more than its own burst.
func TestPacerRateFalls(t *testing.T) {
	var p Pacer
	p.Next(1000*ms, 125_000_000, datagram, trainAt(125_000_000))
	if p.Next(1001*ms, 1_000_000, datagram, trainAt(1_000_000)); p.credit != 10*datagram {
		t.Errorf("credit %d, want %d", p.credit, 10*datagram)
	}
}
