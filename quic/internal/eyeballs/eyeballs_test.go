package eyeballs

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
