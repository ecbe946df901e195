package http3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/boringquic/boringquic/quic/internal/ownfile"
)

const (
	altSvcFileBytes = 4 << 20 // of a file that are read
	altSvcFileSlack = 100     // lines that a file may have beyond the origins in it and as many again, before it is written anew
)

// AltSvcFile is an AltSvcCache in a file, for programs that run again and again. Its methods are for any number of goroutines; a file is for one
// process at a time.
//
// Each change is a line at the end of the file, in the form of an Alt-Svc field after the origin and the time, and what is out of date goes when
// the file is written anew. What cannot be written is kept in memory; Err tells.
type AltSvcFile struct {
	path string

	mu      sync.Mutex
	origins map[string][]Alternative
	order   []string // keys of origins, the one put last at the end
	lines   int      // of the file; -1: it is to be written anew
	err     error
}

// NewAltSvcFile reads the file, which need not exist; its folder must. What has expired, and lines that are not of this form, are left out. What is no file,
// such as a device, is an error: to write it anew would put a file in its place.
func NewAltSvcFile(path string) (*AltSvcFile, error) {
	path, err := ownfile.Find(path)
	if err != nil {
		return nil, fmt.Errorf("http3: no alternatives in %s: %w", path, err)
	}
	f := &AltSvcFile{path: path, origins: make(map[string][]Alternative)}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("http3: no file for alternatives can be there: %w", err)
		}
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("http3: the file of alternatives: %w", err)
	}
	defer file.Close()
	if err := f.read(io.LimitReader(file, altSvcFileBytes), time.Now()); err != nil {
		return nil, fmt.Errorf("http3: the file of alternatives: %w", err)
	}
	return f, nil
}

// Get implements AltSvcCache.
func (f *AltSvcFile) Get(origin string) []Alternative {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.origins[origin]
}

// Put implements AltSvcCache.
func (f *AltSvcFile) Put(origin string, alternatives []Alternative) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(alternatives) == 0 && f.origins[origin] == nil {
		return
	}
	now := time.Now()
	f.set(origin, alternatives)
	if f.lines < 0 || f.lines > 2*len(f.origins)+altSvcFileSlack {
		f.err = f.rewrite(now)
	} else if f.err = f.append(altSvcLine(origin, alternatives, now)); f.err == nil {
		f.lines++
	}
	if f.err != nil {
		f.lines = -1
	}
}

// Err returns why the last change could not be written; nil if it could.
func (f *AltSvcFile) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// set notes the alternatives of an origin. There are as many origins as AutoTransport knows, at most.
func (f *AltSvcFile) set(origin string, alternatives []Alternative) {
	if f.origins[origin] != nil {
		f.order = slices.DeleteFunc(f.order, func(o string) bool { return o == origin })
		delete(f.origins, origin)
	}
	if len(alternatives) == 0 {
		return
	}
	f.origins[origin] = alternatives
	f.order = append(f.order, origin)
	if len(f.order) > maxOrigins {
		delete(f.origins, f.order[0])
		f.order = f.order[1:]
	}
}

// altSvcLine is "origin unix-time field", and "clear" for an origin that has no alternatives any more.
func altSvcLine(origin string, alternatives []Alternative, now time.Time) []byte {
	line := fmt.Appendf(nil, "%s %d ", origin, now.Unix())
	if len(alternatives) == 0 {
		return append(line, "clear\n"...)
	}
	for i, a := range alternatives {
		if i > 0 {
			line = append(line, ", "...)
		}
		host := a.Host
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		line = fmt.Appendf(line, `h3="%s:%d"; ma=%d`, host, a.Port, max(0, a.Expires.Unix()-now.Unix()))
		if a.Persist {
			line = append(line, "; persist=1"...)
		}
	}
	return append(line, '\n')
}

// read takes over what the lines of a file say.
func (f *AltSvcFile) read(r io.Reader, now time.Time) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		f.lines++
		origin, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		at, field, _ := strings.Cut(rest, " ")
		unix, err := strconv.ParseInt(at, 10, 64)
		if origin == "" || err != nil {
			continue
		}
		then := time.Unix(unix, 0)
		alts, told := alternatives(map[string][]string{"Alt-Svc": {field}}, then)
		if told && !then.After(now) {
			f.set(origin, slices.DeleteFunc(alts, func(a Alternative) bool { return !now.Before(a.Expires) }))
		}
	}
	if len(data) == altSvcFileBytes || len(data) > 0 && data[len(data)-1] != '\n' {
		f.lines = -1 // it was cut short
	}
	return nil
}

func (f *AltSvcFile) append(line []byte) error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(line)
	return errors.Join(err, file.Close())
}

// rewrite writes all that holds to a new file, which takes the place of the old one.
func (f *AltSvcFile) rewrite(now time.Time) error {
	var all bytes.Buffer
	f.order = slices.DeleteFunc(f.order, func(origin string) bool {
		left := slices.DeleteFunc(slices.Clone(f.origins[origin]), func(a Alternative) bool { return !now.Before(a.Expires) })
		if len(left) == 0 {
			delete(f.origins, origin)
			return true
		}
		all.Write(altSvcLine(origin, left, now))
		return false
	})
	if err := ownfile.Replace(f.path, filepath.Base(f.path)+".*", all.Bytes()); err != nil {
		return err
	}
	f.lines = len(f.order)
	return nil
}
