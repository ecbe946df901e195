package http3

import (
	"compress/gzip"
	"io"
	"io/fs"
	"sync"
)

// gzipReaders are decompressors that nobody uses: one takes some 40 KiB.
var gzipReaders sync.Pool

// gzipBody is a body that the transport has asked to be compressed. It decompresses from the first Read on, and not when the response comes.
type gzipBody struct {
	body io.ReadCloser
	mu   sync.Mutex // Close may come while a Read is under way
	zr   *gzip.Reader
	err  error // of Read, once there is one
	busy bool
}

// Read implements io.Reader.
func (g *gzipBody) Read(p []byte) (n int, err error) {
	g.mu.Lock()
	if g.err != nil {
		defer g.mu.Unlock()
		return 0, g.err
	}
	g.busy = true
	zr := g.zr
	g.mu.Unlock()
	if zr == nil {
		zr, err = newGzipReader(g.body)
	}
	if err == nil {
		n, err = zr.Read(p)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy, g.zr = false, zr
	if err != nil && g.err == nil {
		g.err = err
	}
	if g.err != nil {
		g.release()
	}
	return n, err
}

func newGzipReader(r io.Reader) (*gzip.Reader, error) {
	if zr, ok := gzipReaders.Get().(*gzip.Reader); ok {
		return zr, zr.Reset(r)
	}
	return gzip.NewReader(r)
}

// release gives the decompressor to others. g.mu is held, and no Read is under way.
func (g *gzipBody) release() {
	if g.zr != nil {
		gzipReaders.Put(g.zr)
		g.zr = nil
	}
}

// Close implements io.Closer.
func (g *gzipBody) Close() error {
	g.mu.Lock()
	if g.err == nil || g.err == io.EOF {
		g.err = fs.ErrClosed
	}
	if !g.busy {
		g.release()
	}
	g.mu.Unlock()
	return g.body.Close()
}
