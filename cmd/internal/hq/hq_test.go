package hq

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/webroot"
	"github.com/boringquic/boringquic/quic"
)

// stream is a Stream in memory: what is read from it, and what became of it.
type stream struct {
	io.Reader
	written bytes.Buffer
	reset   uint64
	closed  bool
	stopped bool  // no more is to be read
	refuses error // what writing and closing return
}

func (s *stream) Write(p []byte) (int, error) {
	if s.refuses != nil {
		return 0, s.refuses
	}
	return s.written.Write(p)
}

func (s *stream) Close() error { s.closed = true; return s.refuses }
func (s *stream) WriteFinal(p []byte) (n int, err error) {
	s.closed = true
	return s.Write(p)
}
func (s *stream) Finish() error           { s.closed, s.stopped = true, true; return nil }
func (s *stream) CancelRead(uint64)       { s.stopped = true }
func (s *stream) CancelWrite(code uint64) { s.reset = code }

func open(t *testing.T, dir string) *webroot.Root {
	t.Helper()
	f, err := webroot.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestServe(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "root")
	for name, data := range map[string]string{"root/file": "file", "root/index.html": "index", "root/sub/index.html": "sub",
		"root/a b": "space", "secret": "secret", "root/.git/config": "secret", "root/sub/.env": "secret", "root/.well-known/x": "known"} {
		name = filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"out": "../secret", "absolute": filepath.Join(top, "secret"), "in": "file", "up": ".."} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	f := open(t, root)
	for _, c := range []struct {
		request, answer string
		reset           uint64
	}{
		{request: "GET /file\r\n", answer: "file"},
		{request: "GET /file\n", answer: "file"},
		{request: "GET /file", answer: "file"},
		{request: "GET /file\r\nHost: x\r\n", answer: "file"},
		{request: "GET /file?a=b\r\n", answer: "file"},
		{request: "GET /%66ile\r\n", answer: "file"},
		{request: "GET /a%20b\r\n", answer: "space"},
		{request: "GET /in\r\n", answer: "file"},
		{request: "GET /\r\n", answer: "index"},
		{request: "GET /sub/\r\n", answer: "sub"},
		{request: "GET /sub/../file\r\n", answer: "file"},
		{request: "", reset: CodeBadRequest},
		{request: "\r\n", reset: CodeBadRequest},
		{request: "GET file\r\n", reset: CodeBadRequest},
		{request: "GET https://host/file\r\n", reset: CodeBadRequest},
		{request: "POST /file\r\n", reset: CodeBadRequest},
		{request: "get /file\r\n", reset: CodeBadRequest},
		{request: "GET /%zz\r\n", reset: CodeBadRequest},
		{request: "\x00\xff\x16\x03", reset: CodeBadRequest},
		{request: "GET /" + strings.Repeat("a", maxRequest), reset: CodeBadRequest},
		{request: "GET /sub\r\n", reset: CodeForbidden},
		{request: "GET /../secret\r\n", reset: CodeForbidden},
		{request: "GET /%2e%2e/secret\r\n", reset: CodeForbidden},
		{request: "GET /..%2fsecret\r\n", reset: CodeForbidden},
		{request: "GET /sub/../../secret\r\n", reset: CodeForbidden},
		{request: "GET /out\r\n", reset: CodeForbidden},
		{request: "GET /absolute\r\n", reset: CodeForbidden},
		{request: "GET /up/secret\r\n", reset: CodeForbidden},
		{request: "GET /.well-known/x\r\n", answer: "known"},
		{request: "GET /.git/config\r\n", reset: CodeNotFound},
		{request: "GET /sub/%2eenv\r\n", reset: CodeNotFound},
		{request: "GET /.git/\r\n", reset: CodeNotFound},
		{request: "GET //.git/config\r\n", reset: CodeNotFound},
		{request: "GET /nothing\r\n", reset: CodeNotFound},
		{request: "GET /file/below\r\n", reset: CodeNotFound},
		{request: "GET /zero%00\r\n", reset: CodeNotFound},
		{request: "GET /" + strings.Repeat("a", 300) + "\r\n", reset: CodeNotFound},
		{request: "GET /" + filepath.ToSlash(filepath.Join(top, "secret")) + "\r\n", reset: CodeForbidden},
	} {
		s := &stream{Reader: strings.NewReader(c.request)}
		path, n, err := Serve(s, f)
		if !s.stopped {
			t.Errorf("%.60q: the receiving part is left open", c.request)
		}
		if s.written.String() != c.answer || n != int64(len(c.answer)) || s.reset != c.reset || s.closed != (c.reset == 0) || (err == nil) != s.closed {
			t.Errorf("%.60q: path %.60q, %q, reset %d, %v; want %q, reset %d", c.request, path, s.written.String(), s.reset, err, c.answer, c.reset)
		}
	}
}

// What Get says when the server refuses.
func TestRefusals(t *testing.T) {
	for code, says := range map[uint64]string{CodeBadRequest: "did not understand the request for /x", CodeForbidden: "does not give out /x",
		CodeNotFound: "has no file /x", CodeInternal: "broke off /x", 7: "broke off /x"} {
		s := &stream{Reader: io.MultiReader(strings.NewReader("beginning"), failing{&quic.StreamError{Code: code, Remote: true}})}
		var got bytes.Buffer
		n, err := Get(s, "/x", &got)
		if n != 9 || got.String() != "beginning" || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("code %d: %d bytes, %v, want %q", code, n, err, says)
		}
		if s.written.String() != "GET /x\r\n" || !s.closed {
			t.Errorf("the request is %q, ended %v", s.written.String(), s.closed)
		}
	}
	lost := errors.New("gone")
	if _, err := Get(&stream{Reader: failing{lost}}, "/x", io.Discard); !errors.Is(err, lost) || !strings.Contains(err.Error(), "/x broke off after 0 bytes") {
		t.Errorf("a connection that is lost gives %v", err)
	}
}

// A server that has read the request's line may ask to have no more sent before the request has ended.
func TestStopBeforeEnd(t *testing.T) {
	s := &stream{Reader: strings.NewReader("the file"), refuses: &quic.StreamError{Code: 0, Remote: true}}
	var got bytes.Buffer
	if n, err := Get(s, "/x", &got); n != 8 || err != nil || got.String() != "the file" {
		t.Errorf("%d bytes, %q, %v", n, got.String(), err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
