package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/progress"
)

// tally is what many requests have brought.
type tally struct {
	mu       sync.Mutex // guards what follows
	times    []time.Duration
	statuses map[int]int
	versions map[string]int
	bytes    int64
	errs     map[string]int
	first    error
}

// load makes the same request many times, and says how long that took.
func (w *web) load(ctx context.Context, s *server) error {
	j, n := &s.jobs[0], w.o.requests
	bar := progress.Steps(w.stderr, j.path, n, w.o.quiet)
	sum := &tally{statuses: make(map[int]int), versions: make(map[string]int), errs: make(map[string]int)}
	begin := time.Now()
	eachJob(n, min(w.o.parallel, n), func(int) error {
		if ctx.Err() != nil {
			return nil
		}
		w.once(ctx, j, sum)
		bar.Add(1)
		return nil
	})
	took := time.Since(begin)
	bar.Done()
	reports, err := w.conns.end(ctx)
	if err != nil {
		return err
	}
	if ctx.Err() == nil {
		if err := sum.print(w.stdout, w.o, j, took); err != nil {
			return err
		}
	}
	if w.o.stats {
		for _, r := range reports {
			r.files, r.bytes, r.transfer = len(sum.times), sum.bytes, took
			r.print(w.stderr)
		}
	}
	return sum.err(n)
}

// once makes one of the requests.
func (w *web) once(ctx context.Context, j *job, sum *tally) {
	begin := time.Now()
	req, err := w.request(j)
	if err != nil {
		sum.failed(err)
		return
	}
	t := w.newTiming(j.url.String())
	resp, err := w.client.Do(req.WithContext(t.trace(ctx, w)))
	if err != nil {
		sum.failed(t.explain(req, err))
		return
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil {
		err = w.refused(resp)
	} else {
		err = fmt.Errorf("%s broke off after %d bytes: %w", j.url, n, err)
	}
	took := time.Since(begin)
	sum.mu.Lock()
	defer sum.mu.Unlock()
	sum.statuses[resp.StatusCode]++
	sum.versions[version(resp.Proto)]++
	sum.bytes += n
	if err != nil {
		sum.failedLocked(err)
		return
	}
	sum.times = append(sum.times, took)
}

func (y *tally) failed(err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.failedLocked(err)
}

func (y *tally) failedLocked(err error) {
	if y.errs[err.Error()]++; y.first == nil {
		y.first = err
	}
}

// err is nil if no request has failed.
func (y *tally) err(n int) error {
	if y.first == nil {
		return nil
	}
	if len(y.times) == 0 && errors.As(y.first, &errConn{}) {
		return y.first
	}
	return fmt.Errorf("%d of %d requests failed: %w", n-len(y.times), n, y.first)
}

func (y *tally) print(to io.Writer, o *options, j *job, took time.Duration) error {
	done, out := len(y.times), new(strings.Builder)
	fmt.Fprintf(out, "%d of %d requests for %s done, %d at once, over %s\n", done, o.requests, j.url, min(o.parallel, o.requests),
		orDash(strings.Join(slices.Sorted(maps.Keys(y.versions)), " and ")))
	fmt.Fprintf(out, "%.3f s: %.0f requests/s, %d bytes of contents\n", took.Seconds(), float64(done)/took.Seconds(), y.bytes)
	if done > 0 {
		slices.Sort(y.times)
		at := func(part float64) float64 { return float64(y.times[min(int(part*float64(done)), done-1)]) / 1e6 }
		fmt.Fprintf(out, "milliseconds a request: median %.2f, 90 %% within %.2f, 99 %% within %.2f, longest %.2f\n", at(0.5), at(0.9), at(0.99), at(1))
	}
	for _, code := range slices.Sorted(maps.Keys(y.statuses)) {
		fmt.Fprintf(out, "status %d: %d\n", code, y.statuses[code])
	}
	for _, text := range slices.Sorted(maps.Keys(y.errs)) {
		fmt.Fprintf(out, "%d times: %s\n", y.errs[text], text)
	}
	if _, err := io.WriteString(to, out.String()); err != nil {
		return fmt.Errorf("cannot write the figures to standard output: %w", err)
	}
	return nil
}
