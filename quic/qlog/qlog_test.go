package qlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

type file struct {
	bytes.Buffer
	writes, closed int
	fail           error
}

func (f *file) Close() error { f.closed++; return nil }

func (f *file) Write(b []byte) (int, error) {
	f.writes++
	if f.fail != nil {
		return 0, f.fail
	}
	return f.Buffer.Write(b)
}

// records returns the records of a trace, each of which must be valid.
func records(t *testing.T, f *file) []map[string]any {
	t.Helper()
	var out []map[string]any
	for _, r := range strings.Split(f.String(), "\x1e")[1:] {
		var v map[string]any
		if err := json.Unmarshal([]byte(r), &v); err != nil || !strings.HasSuffix(r, "\n") {
			t.Fatalf("%q: %v", r, err)
		}
		out = append(out, v)
	}
	return out
}

// Texts that a peer chose are escaped, and cut; what is no UTF-8 is replaced.
func TestHostileText(t *testing.T) {
	for _, s := range []string{"", "plain", "\"}{\"", "\\", "\x00\x01\x1e\x1f\x7f\u0085\u2028\u2029", "\xff\xfe\xed\xa0\x80", strings.Repeat("\x00", 10_000),
		strings.Repeat("\xf0\x9f\x98\x80", 1000), "</script>\x1b[31m"} {
		f := new(file)
		tr := New(f, Header{Title: s, Description: s})
		tr.Event(0, &ConnectionClosed{Reason: s, Trigger: ClosedByError})
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
		r := records(t, f)
		want := strings.ToValidUTF8(s, "\ufffd")
		got, _ := r[1]["data"].(map[string]any)["reason"].(string)
		if len(s) <= MaxText && !strings.Contains(s, "\xff") && got != want || len(got) > 3*MaxText+4 {
			t.Errorf("%.40q became %.40q, of %d bytes", s, got, len(got))
		}
		if i := strings.IndexAny(f.String(), "\x00\x01\x1b\x7f\u2028\u0085"); i >= 0 {
			t.Errorf("%.40q is written as it is", s)
		}
	}
}

// A file has no more bytes than MaxSize, and says at its end that it is full.
func TestMaxSize(t *testing.T) {
	const most = 5000
	f := new(file)
	tr := New(f, Header{MaxSize: most})
	for i := range 1000 {
		tr.Event(time.Duration(i)*time.Second, &MTUUpdated{Old: 1200, New: 1452})
	}
	if !tr.Over() {
		t.Error("a trace that is full takes more")
	}
	tr.Close()
	r := records(t, f)
	if f.Len() > most || f.Len() < most-2*lastRecord-100 || r[len(r)-1]["name"] != "loglevel:warning" {
		t.Errorf("%d bytes, the last record is %v", f.Len(), r[len(r)-1])
	}
}

// What waits is written in pieces, or after some time, and never after an error.
func TestWrites(t *testing.T) {
	f := new(file)
	tr := New(f, Header{})
	for i := range 1000 {
		tr.Event(time.Duration(i), &MTUUpdated{New: i})
	}
	if f.writes < 2 || f.writes > 10 {
		t.Errorf("%d writes of a thousand events at once", f.writes)
	}
	before := f.writes
	tr.Event(time.Second, &MTUUpdated{New: 1})
	if f.writes != before+1 {
		t.Errorf("%d writes after a second", f.writes-before)
	}
	tr.Event(time.Second+1, &MTUUpdated{New: 1})
	if tr.Rest(); f.writes != before+2 || cap(tr.e.b) != 0 || tr.Over() {
		t.Errorf("%d writes for a rest, after which %d bytes are kept; over: %v", f.writes-before-1, cap(tr.e.b), tr.Over())
	}
	f.fail = errors.New("the disk is full")
	tr.Event(3*time.Second, &MTUUpdated{New: 1})
	tr.Event(4*time.Second, &MTUUpdated{New: 1})
	before = f.writes
	tr.Event(9*time.Second, &MTUUpdated{New: 1})
	if f.writes != before || !errors.Is(tr.Err(), f.fail) || !tr.Over() || !errors.Is(tr.Close(), f.fail) || f.closed != 1 {
		t.Errorf("%d writes after an error: %v, closed %d", f.writes-before, tr.Err(), f.closed)
	}
	tr.Close()
	tr.Event(time.Hour, &MTUUpdated{New: 1})
	if f.closed != 1 || f.writes != before {
		t.Error("a trace that is closed goes on")
	}
}

// Times are milliseconds, to the nanosecond, and never fall.
func TestTimes(t *testing.T) {
	f := new(file)
	tr := New(f, Header{})
	for _, at := range []time.Duration{-5, 0, 1, 1500 * time.Microsecond, time.Millisecond, 2*time.Second + 30*time.Nanosecond} {
		tr.Event(at, &MTUUpdated{New: 1})
	}
	tr.Close()
	var got []string
	for line := range strings.Lines(f.String()) {
		if _, after, found := strings.Cut(line, `{"time":`); found {
			at, _, _ := strings.Cut(after, ",")
			got = append(got, at)
		}
	}
	if want := "0 0 0.000001 1.5 1.5 2000.00003"; strings.Join(got, " ") != want {
		t.Errorf("times %v, want %s", got, want)
	}
}
