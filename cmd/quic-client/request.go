package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/boringquic/boringquic/cmd/internal/smallfile"
	"github.com/boringquic/boringquic/cmd/internal/usage"
)

// userAgent is the User-Agent of requests, unless --header has another.
const userAgent = "quic-client"

// request makes the request of a job.
func (w *web) request(j *job) (*http.Request, error) {
	body, err := w.body()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(w.o.method, j.url.String(), nil)
	if err != nil {
		return nil, usage.Error(err)
	}
	req.Header.Set("User-Agent", userAgent)
	if body != nil {
		if err := body.set(req); err != nil {
			return nil, err
		}
	}
	given := make(map[string]bool)
	for _, h := range w.o.headers {
		name, value, _ := parseHeader(h) // check has tried
		key := http.CanonicalHeaderKey(name)
		switch {
		case key == "Host":
			req.Host = value
			continue
		case key == "User-Agent" && value == "":
			req.Header[key] = []string{""} // net/http's word for none
			continue
		case !given[key]:
			req.Header.Del(key)
		}
		if given[key] = true; value != "" {
			req.Header.Add(key, value)
		}
	}
	return req, nil
}

// contents is what a request carries.
type contents struct {
	kind string // Content-Type; empty: none
	size int64  // -1: not known
	open func() (io.ReadCloser, error)
	once bool // it cannot be opened again
}

// body returns what --data and --upload say, nil for nothing.
func (w *web) body() (*contents, error) {
	switch {
	case w.o.data != nil:
		w.form.Do(func() { w.formData, w.formErr = readForm(w.o.data) })
		if w.formErr != nil {
			return nil, w.formErr
		}
		data := w.formData
		return &contents{kind: "application/x-www-form-urlencoded", size: int64(len(data)), open: func() (io.ReadCloser, error) {
			return w.counted(io.NopCloser(bytes.NewReader(data))), nil
		}}, nil
	case w.o.upload == stdinName:
		return &contents{size: -1, once: true, open: func() (io.ReadCloser, error) { return w.counted(os.Stdin), nil }}, nil
	case w.o.upload != "":
		return w.fileContents(w.o.upload)
	}
	return nil, nil
}

func (w *web) fileContents(name string) (*contents, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot send %s: %w", name, err)
	case info.IsDir():
		return nil, fmt.Errorf("cannot send %s: it is a folder", name)
	}
	c := &contents{size: -1, once: !info.Mode().IsRegular()} // a pipe, for instance
	if info.Mode().IsRegular() {
		if c.size = info.Size(); c.size == 0 && !isEmpty(name) {
			c.size = -1 // one of /proc, for instance
		}
	}
	c.open = func() (io.ReadCloser, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("cannot send %s: %w", name, err)
		}
		if c.size < 0 {
			return w.counted(f), nil
		}
		return w.counted(&steadyFile{f: f, size: c.size, left: c.size}), nil
	}
	return c, nil
}

// isEmpty tells whether a file that says that it has no bytes has none.
func isEmpty(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return true // opening it to send it says why
	}
	defer f.Close()
	n, _ := f.Read(make([]byte, 1))
	return n == 0
}

// steadyFile is a file that is sent with the size that it told of.
type steadyFile struct {
	f    *os.File
	size int64
	left int64 // bytes that are still to come
}

func (s *steadyFile) Read(p []byte) (int, error) {
	n, err := s.f.Read(p)
	s.left -= int64(n)
	switch {
	case s.left < 0:
		return 0, fmt.Errorf("cannot send %s: it has more than the %d bytes that it told of", s.f.Name(), s.size)
	case err == io.EOF && s.left > 0:
		return 0, fmt.Errorf("cannot send %s: it has fewer than the %d bytes that it told of", s.f.Name(), s.size)
	}
	return n, err
}

func (s *steadyFile) Close() error { return s.f.Close() }

// set gives the contents to a request.
func (c *contents) set(req *http.Request) (err error) {
	if c.kind != "" {
		req.Header.Set("Content-Type", c.kind)
	}
	if c.size == 0 {
		req.Body = http.NoBody
		return nil
	}
	if req.Body, err = c.open(); err != nil {
		return err
	}
	req.ContentLength = c.size
	if !c.once {
		req.GetBody = c.open
	}
	return nil
}

// mostForm is how many bytes a file of --data may have. All are held in memory, where those of --upload are not.
const mostForm = 256 << 20

// readForm puts together what --data gives.
func readForm(data []string) ([]byte, error) {
	var parts [][]byte
	for _, d := range data {
		name, isFile := strings.CutPrefix(d, "@")
		part := []byte(d)
		var err error
		switch {
		case isFile && name == stdinName:
			part, err = smallfile.ReadAll(os.Stdin, mostForm)
		case isFile:
			var f *os.File
			if f, err = os.Open(name); err == nil {
				part, err = smallfile.ReadAll(f, mostForm)
				f.Close()
			}
		}
		if err != nil {
			return nil, fmt.Errorf("cannot send %s: %w", d, err)
		}
		parts = append(parts, part)
	}
	return bytes.Join(parts, []byte("&")), nil
}

// counted counts what is read.
func (w *web) counted(r io.ReadCloser) io.ReadCloser { return &sending{r, w} }

type sending struct {
	io.ReadCloser
	w *web
}

func (s *sending) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.w.moved(p[:n])
	return n, err
}
