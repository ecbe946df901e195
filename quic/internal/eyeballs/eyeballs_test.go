package eyeballs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// way is how one try goes: it takes so long, and fails or not.
type way struct {
	takes time.Duration
	fails bool
}

func TestRace(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		name    string
		ways    []way
		want    int // which one wins; -1: none
		after   time.Duration
		begun   int
		dropped []int
	}{
		{"one", []way{{takes: s}}, 0, s, 1, nil},
		{"one fails", []way{{takes: s, fails: true}}, -1, s, 1, nil},
		{"the first is quick", []way{{takes: Delay / 2}, {takes: s}}, 0, Delay / 2, 1, nil},
		{"the first is silent", []way{{takes: time.Hour}, {takes: s}}, 1, Delay + s, 2, nil},
		{"the first fails at once", []way{{fails: true}, {takes: s}}, 1, s, 2, nil},
		{"all fail", []way{{takes: s, fails: true}, {takes: s, fails: true}, {takes: s, fails: true}}, -1, s + 2*Delay, 3, nil},
		{"two at the same time", []way{{takes: 2 * Delay}, {takes: Delay}}, -2, 2 * Delay, 2, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var begun atomic.Int32
				dropped := make(chan int, 8)
				got, err := Race(t.Context(), len(test.ways), func(ctx context.Context, i int) (int, error) {
					begun.Add(1)
					w := test.ways[i]
					select {
					case <-time.After(w.takes):
					case <-ctx.Done():
						return 0, ctx.Err()
					}
					if w.fails {
						return 0, fmt.Errorf("way %d", i)
					}
					return i, nil
				}, func(i int) { dropped <- i })
				if took := time.Since(begin); took != test.after {
					t.Errorf("it took %v, want %v", took, test.after)
				}
				if n := int(begun.Load()); n != test.begun {
					t.Errorf("%d were begun, want %d", n, test.begun)
				}
				synctest.Wait()
				close(dropped)
				late := slices.Collect(func(yield func(int) bool) {
					for i := range dropped {
						if !yield(i) {
							return
						}
					}
				})
				switch {
				case test.want == -1 && (err == nil || err.Error() != "way 0"):
					t.Errorf("the error is %v, want that of the first", err)
				case test.want == -2 && (err != nil || len(late) > 1 || len(late) == 1 && late[0] == got):
					t.Errorf("%d won, %v, and %v came too late", got, err, late)
				case test.want >= 0 && (err != nil || got != test.want || len(late) > 0):
					t.Errorf("%d won, %v, want %d; %v came too late", got, err, test.want, late)
				}
			})
		})
	}
}

// When the context ends nothing more is begun.
func TestRaceContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), Delay/2)
		defer cancel()
		var begun atomic.Int32
		_, err := Race(ctx, 3, func(ctx context.Context, i int) (int, error) {
			begun.Add(1)
			<-ctx.Done()
			return 0, ctx.Err()
		}, func(int) { t.Error("something won") })
		if !errors.Is(err, context.DeadlineExceeded) || begun.Load() != 1 {
			t.Errorf("%v, and %d were begun, want 1", err, begun.Load())
		}
	})
}

// A context that has ended before: nothing is tried, and the error tells of the context and of the reason.
func TestRaceEnded(t *testing.T) {
	reason := errors.New("the reason")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	try := func(context.Context, int) (int, error) { t.Error("one was begun"); return 0, nil }
	find := func(context.Context, int) ([]int, error) { t.Error("a place was looked for"); return nil, nil }
	_, one := Race(ctx, 2, try, nil)
	_, two := RacePlaces(ctx, 2, find, try, nil)
	for _, err := range []error{one, two} {
		if !errors.Is(err, reason) || !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
	}
}

// place is one that is found after some time, or not, with addresses: how each try of them goes.
type place struct {
	takes time.Duration
	fails bool
	ways  []string // names
}

// One pace holds for the addresses of all places, since attempts are not to be made at the same time (RFC 8305, section 5), and no place waits for the name
// of another.
func TestRacePlaces(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	slow, fast, bad := way{takes: time.Hour}, way{takes: 10 * ms}, way{takes: 20 * ms, fails: true}
	for _, test := range []struct {
		name   string
		places []place
		ways   map[string]way
		want   string // the name that wins, or the error
		begun  []string
		after  time.Duration
	}{
		{"the first", []place{{ways: []string{"a"}}, {ways: []string{"b"}}}, map[string]way{"a": fast, "b": fast}, "a", []string{"find 0 0s", "a 0s"}, 10 * ms},
		{"one place alone", []place{{takes: s, ways: []string{"a", "b"}}}, map[string]way{"a": slow, "b": fast}, "b",
			[]string{"find 0 0s", "a 1s", "b 1.25s"}, 1260 * ms},
		{"one pace", []place{{ways: []string{"a", "b"}}, {ways: []string{"c", "d"}}}, map[string]way{"a": slow, "b": slow, "c": slow, "d": fast}, "d",
			[]string{"find 0 0s", "a 0s", "b 250ms", "find 1 500ms", "c 500ms", "d 750ms"}, 760 * ms},
		{"a name that is not answered for", []place{{takes: time.Hour}, {ways: []string{"b", "c"}}}, map[string]way{"b": slow, "c": fast}, "c",
			[]string{"find 0 0s", "find 1 250ms", "b 250ms", "c 500ms"}, 510 * ms},
		{"a name that is answered for late", []place{{takes: 300 * ms, ways: []string{"a", "b"}}, {ways: []string{"c", "d"}}},
			map[string]way{"a": slow, "b": slow, "c": slow, "d": fast}, "d",
			[]string{"find 0 0s", "find 1 250ms", "c 250ms", "a 500ms", "b 750ms", "d 1s"}, 1010 * ms},
		{"both are late", []place{{takes: 400 * ms, ways: []string{"a", "b"}}, {takes: 100 * ms, ways: []string{"c"}}}, map[string]way{"a": slow, "b": fast, "c": slow},
			"b", []string{"find 0 0s", "find 1 250ms", "c 350ms", "a 600ms", "b 850ms"}, 860 * ms},
		{"failures do not wait", []place{{fails: true, takes: 30 * ms}, {ways: []string{"b", "c"}}}, map[string]way{"b": bad, "c": fast}, "c",
			[]string{"find 0 0s", "find 1 30ms", "b 30ms", "c 50ms"}, 60 * ms},
		{"an address that two have", []place{{ways: []string{"a"}}, {ways: []string{"a"}}, {ways: []string{"b"}}}, map[string]way{"a": slow, "b": fast}, "b",
			[]string{"find 0 0s", "a 0s", "find 1 250ms", "find 2 250ms", "b 250ms"}, 260 * ms},
		{"all fail", []place{{ways: []string{"a"}}, {fails: true}}, map[string]way{"a": bad}, "no a", []string{"find 0 0s", "a 0s", "find 1 20ms"}, 20 * ms},
		{"none is found", []place{{fails: true}, {fails: true}}, nil, "no place 0", []string{"find 0 0s", "find 1 0s"}, 0},
		{"they have none", []place{{}, {}}, nil, "there is no address", []string{"find 0 0s", "find 1 0s"}, 0},
		{"time is up", []place{{takes: time.Hour}, {ways: []string{"b"}}}, map[string]way{"b": slow}, "context deadline exceeded",
			[]string{"find 0 0s", "find 1 250ms", "b 250ms"}, 5 * s},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*s)
				defer cancel()
				begin := time.Now()
				var mu sync.Mutex
				var begun []string
				note := func(what string) {
					mu.Lock()
					defer mu.Unlock()
					begun = append(begun, fmt.Sprint(what, " ", time.Since(begin)))
				}
				wait := func(ctx context.Context, d time.Duration) error {
					select {
					case <-time.After(d):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				got, err := RacePlaces(ctx, len(test.places), func(ctx context.Context, i int) ([]string, error) {
					note(fmt.Sprint("find ", i))
					p := test.places[i]
					if err := wait(ctx, p.takes); err != nil {
						return nil, err
					}
					if p.fails {
						return nil, fmt.Errorf("no place %d", i)
					}
					return p.ways, nil
				}, func(ctx context.Context, a string) (string, error) {
					note(a)
					if err := wait(ctx, test.ways[a].takes); err != nil {
						return "", err
					}
					if test.ways[a].fails {
						return "", fmt.Errorf("no %s", a)
					}
					return a, nil
				}, func(a string) { t.Errorf("%s came too late", a) })
				if err != nil {
					got = err.Error()
				}
				if took := time.Since(begin); got != test.want || took != test.after {
					t.Errorf("%q after %v, want %q after %v", got, took, test.want, test.after)
				}
				mu.Lock()
				defer mu.Unlock()
				if !slices.Equal(begun, test.begun) {
					t.Errorf("begun:\n%q, want\n%q", begun, test.begun)
				}
			})
		})
	}
}
