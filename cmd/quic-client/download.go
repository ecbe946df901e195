package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/progress"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// maxParallel bounds the files that are open at once; the server's stream limit may allow fewer.
const maxParallel = 100

// download fetches all of one server's files over one connection. The report is nil if there was no connection.
func (s *server) download(ctx context.Context, cfg *quic.Config, o *options, bar *progress.Bar, stdout io.Writer) (*report, error) {
	r := &report{server: s.hostPort}
	dialer := quicnet.Dialer{LocalAddr: o.local, ResendEarly: true, OnPath: func(_ *quicnet.Conn, ev quic.PathEvent) {
		if ev.Kind == quic.PathActivated {
			r.moves.Add(1)
		}
	}}
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
	n, errs := s.runJobs(ctx, conn, io.MultiWriter(bar, during), stdout)
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
func (s *server) runJobs(ctx context.Context, conn *quicnet.Conn, progress, stdout io.Writer) (n int64, errs []error) {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		bytes  atomic.Int64
		places = make(chan struct{}, maxParallel)
	)
	for _, j := range s.jobs {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			n, err := j.run(ctx, conn, progress, stdout)
			bytes.Add(n)
			if err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return bytes.Load(), errs
}

// run fetches one file. Under its final name it is complete or not there at all.
func (j *job) run(ctx context.Context, conn *quicnet.Conn, progress, stdout io.Writer) (n int64, err error) {
	stream, err := conn.OpenStream(ctx)
	if err != nil {
		return 0, fmt.Errorf("cannot ask for %s: %w", j.path, err)
	}
	defer stream.CancelRead(0)
	if j.file == "-" {
		return hq.Get(stream, j.path, io.MultiWriter(stdout, progress))
	}
	name, flag := j.file, os.O_WRONLY // of a device or a pipe, which keep their names; a folder fails to open
	info, err := os.Stat(j.file)
	partial := err != nil || info.Mode().IsRegular()
	if partial {
		name = filepath.Join(filepath.Dir(j.file), fmt.Sprintf(".quic-client-%016x.part", rand.Uint64()))
		flag |= os.O_CREATE | os.O_EXCL
		defer os.Remove(name) // after the rename there is nothing left to remove
	}
	f, err := os.OpenFile(name, flag, 0o666)
	if err != nil {
		stream.CancelWrite(0)
		return 0, fmt.Errorf("cannot write %s: %w", j.file, err)
	}
	n, err = hq.Get(stream, j.path, io.MultiWriter(f, progress))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && partial {
		err = os.Rename(name, j.file)
	}
	return n, err
}
