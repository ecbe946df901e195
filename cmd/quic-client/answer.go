package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// answer deals with a response, and returns how many bytes of contents came.
func (w *web) answer(resp *http.Response, j *job) (n int64, err error) {
	if w.o.include || resp.Request.Method == http.MethodHead {
		if err := w.show(statusLine(resp.Proto, resp.StatusCode, resp.Status), resp.Header); err != nil {
			return 0, err
		}
	}
	if w.o.httpVersion == overAny && !w.o.quiet {
		w.say("%s: over %s", j.url, version(resp.Proto))
	}
	if err := w.refused(resp); err != nil {
		return 0, err
	}
	if resp.StatusCode == http.StatusNotModified || resp.Request.Method == http.MethodHead {
		if resp.StatusCode == http.StatusNotModified && !w.o.quiet {
			w.say("%s: not modified; nothing is written", j.url)
		}
		return 0, nil
	}
	n, err = w.save(resp, j)
	if err == nil && w.o.include && len(resp.Trailer) > 0 {
		err = w.show("", resp.Trailer)
	}
	return n, err
}

// refused tells whether a status is a failure.
func (w *web) refused(resp *http.Response) error {
	code := resp.StatusCode
	switch {
	case w.o.anyStatus || code < 300 || code == http.StatusNotModified:
		return nil
	case code >= 400:
		return fmt.Errorf("%s %s: the server answered %s", resp.Request.Method, resp.Request.URL, status(resp))
	}
	where := resp.Header.Get("Location")
	switch {
	case where == "":
		return fmt.Errorf("%s %s: the server answered %s, and does not say where to go", resp.Request.Method, resp.Request.URL, status(resp))
	case w.o.follow:
		return fmt.Errorf("%s %s: the server answered %s, to %s, which cannot be followed", resp.Request.Method, resp.Request.URL, status(resp), where)
	}
	return fmt.Errorf("%s %s: the server answered %s, to %s: give --location to follow", resp.Request.Method, resp.Request.URL, status(resp), where)
}

// status is a status with its text, where there is one.
func status(resp *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
}

// save writes the contents to where the job has them.
func (w *web) save(resp *http.Response, j *job) (n int64, err error) {
	to, err := openTarget(j.file, w.stdout)
	if err != nil {
		return 0, err
	}
	out := &receiving{to: to, w: w, count: w.o.data == nil && w.o.upload == ""}
	_, err = io.Copy(out, resp.Body)
	switch {
	case err != nil && out.err == nil:
		err = fmt.Errorf("%s broke off after %d bytes: %w", j.url, out.n, err)
	case err != nil:
		err = fmt.Errorf("cannot write %s: %w", j.file, err)
	}
	return out.n, to.end(err)
}

// receiving is where contents go.
type receiving struct {
	to    io.Writer
	w     *web
	count bool // for the progress bar: it is not for what was sent
	n     int64
	err   error // of writing
}

func (r *receiving) Write(p []byte) (int, error) {
	n, err := r.to.Write(p)
	r.n += int64(n)
	r.err = err
	if r.count {
		r.w.moved(p[:n])
	}
	return n, err
}

// show prints a status line and fields on standard output.
func (w *web) show(line string, fields http.Header) error {
	var b strings.Builder
	if line != "" {
		b.WriteString(line + "\n")
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		for _, value := range fields[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	b.WriteString("\n")
	w.printing.Lock()
	defer w.printing.Unlock()
	w.bar.Done()
	if _, err := io.WriteString(w.stdout, b.String()); err != nil {
		return fmt.Errorf("cannot write the fields to standard output: %w", err)
	}
	return nil
}

// say prints a sentence beside what was asked for.
func (w *web) say(format string, args ...any) {
	w.printing.Lock()
	defer w.printing.Unlock()
	w.bar.Done()
	fmt.Fprintf(w.stderr, "quic-client: "+format+"\n", args...)
}

// statusLine is "HTTP/3 200 OK".
func statusLine(proto string, code int, text string) string {
	if text == "" || text == fmt.Sprint(code) {
		text = strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
	}
	return version(proto) + " " + text
}

// version is an HTTP version as people write it.
func version(proto string) string {
	if proto == "HTTP/1.1" || proto == "HTTP/1.0" {
		return proto
	}
	return strings.TrimSuffix(proto, ".0")
}
