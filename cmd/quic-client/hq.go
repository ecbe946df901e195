package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/progress"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// download fetches all of one server's files over one connection, by HTTP/0.9. The report is nil if there was no connection.
func (s *server) download(ctx context.Context, cfg *quic.Config, o *options, bar *progress.Bar, stdout io.Writer) (*report, error) {
	r := &report{server: s.hostPort}
	dialer := quicnet.Dialer{LocalAddr: o.local, ResendEarly: true}
	dial := dialer.Dial
	if o.early {
		dial = dialer.DialEarly
	}
	start := time.Now()
	conn, err := dial(ctx, s.hostPort, cfg)
	if err != nil {
		return nil, errConn{fmt.Errorf("no connection to %s: %w", s.hostPort, err)}
	}
	stop := context.AfterFunc(ctx, func() { conn.CloseWithError(0, "interrupted") })
	defer stop()
	shaken := make(chan error, 1)
	go func() {
		err := conn.Handshake(ctx)
		r.handshake = time.Since(start)
		shaken <- err
	}()
	during := newDuring(ctx, conn, o)
	dialled := time.Now()
	n, errs := s.runJobs(ctx, conn, o.places(s), io.MultiWriter(bar, during), stdout)
	r.files, r.bytes, r.transfer = len(s.jobs)-len(errs), n, time.Since(dialled)
	errs = append(errs, during.end(&r.updates))
	if err := <-shaken; err != nil {
		conn.Close()
		return nil, errConn{fmt.Errorf("no connection to %s: %w", s.hostPort, err)} // which is why each of the files failed
	}
	r.tls, r.stats = conn.ConnectionState(), conn.Stats()
	return r, errors.Join(append(errs, conn.CloseWithError(0, ""))...)
}

// runJobs gets the files, many at a time, and tells progress of what has come. It returns how many bytes that was, and what failed.
func (s *server) runJobs(ctx context.Context, conn *quicnet.Conn, parallel int, progress, stdout io.Writer) (n int64, errs []error) {
	var bytes atomic.Int64
	errs = eachJob(len(s.jobs), parallel, func(i int) error {
		n, err := s.jobs[i].run(ctx, conn, progress, stdout)
		bytes.Add(n)
		return err
	})
	return bytes.Load(), errs
}

// eachJob does n jobs, some at a time, and returns the errors of those that failed.
func eachJob(n, parallel int, do func(i int) error) (errs []error) {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		places = make(chan struct{}, parallel)
	)
	for i := range n {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			if err := do(i); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errs
}

// run fetches one file.
func (j *job) run(ctx context.Context, conn *quicnet.Conn, progress, stdout io.Writer) (n int64, err error) {
	stream, err := conn.OpenStream(ctx)
	if err != nil {
		return 0, fmt.Errorf("cannot ask for %s: %w", j.path, err)
	}
	defer stream.CancelRead(0)
	to, err := openTarget(j.file, stdout)
	if err != nil {
		stream.CancelWrite(0)
		return 0, err
	}
	n, err = hq.Get(stream, j.path, io.MultiWriter(to, progress))
	return n, to.end(err)
}
