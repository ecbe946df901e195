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
func (s *server) download(ctx context.Context, cfg *quic.Config, bar *progress.Bar, stdout io.Writer) (*report, error) {
	start := time.Now()
	conn, err := quicnet.Dial(ctx, s.hostPort, cfg)
	if err != nil {
		return nil, errConn{fmt.Errorf("no connection to %s: %w", s.hostPort, err)}
	}
	r := &report{server: s.hostPort, handshake: time.Since(start)}
	stop := context.AfterFunc(ctx, func() { conn.CloseWithError(0, "interrupted") })
	defer stop()

	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		errs   []error
		bytes  atomic.Int64
		places = make(chan struct{}, maxParallel)
	)
	start = time.Now()
	for _, j := range s.jobs {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			n, err := j.run(ctx, conn, bar, stdout)
			bytes.Add(n)
			if err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.files, r.bytes, r.transfer = len(s.jobs)-len(errs), bytes.Load(), time.Since(start)
	r.tls, r.stats = conn.ConnectionState(), conn.Stats()
	return r, errors.Join(append(errs, conn.CloseWithError(0, ""))...)
}

// run fetches one file. Under its final name it is complete or not there at all.
func (j *job) run(ctx context.Context, conn *quicnet.Conn, bar *progress.Bar, stdout io.Writer) (n int64, err error) {
	stream, err := conn.OpenStream(ctx)
	if err != nil {
		return 0, fmt.Errorf("cannot ask for %s: %w", j.path, err)
	}
	defer stream.CancelRead(0)
	if j.file == "-" {
		return hq.Get(stream, j.path, io.MultiWriter(stdout, bar))
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
	n, err = hq.Get(stream, j.path, io.MultiWriter(f, bar))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && partial {
		err = os.Rename(name, j.file)
	}
	return n, err
}
