package site

import (
	"fmt"
	"github.com/boringquic/boringquic/cmd/internal/webroot"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newSite makes a site of files: names to contents; a name that ends in a slash is a folder.
func newSite(t *testing.T, files map[string]string) *Site {
	t.Helper()
	dir := t.TempDir()
	old := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, content := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(full, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte(content), 0o644))
		must(t, os.Chtimes(full, old, old))
	}
	root, err := webroot.Open(dir, nil)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return New(root, Options{Server: "test-server"})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ask(s *Site, method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestFiles(t *testing.T) {
	s := newSite(t, map[string]string{
		"a.txt": "0123456789", "sub/b.html": "<p>b", "with/index.html": "the index", ".secret": "no", ".git/config": "no",
		".well-known/security.txt": "yes", "näme ?.txt": "odd", "empty/": "",
	})
	for _, test := range []struct {
		method, target string
		headers        []string
		status         int
		body           string // a part of it
		field, value   string // of the answer
	}{
		{method: "GET", target: "/a.txt", status: 200, body: "0123456789", field: "Content-Type", value: "text/plain; charset=utf-8"},
		{method: "GET", target: "/a.txt", headers: []string{"Range", "bytes=2-4"}, status: 206, body: "234", field: "Content-Range", value: "bytes 2-4/10"},
		{method: "GET", target: "/a.txt", headers: []string{"Range", "bytes=20-"}, status: 416},
		{method: "GET", target: "/a.txt", headers: []string{"If-Modified-Since", "Sun, 01 Mar 2026 12:00:00 GMT"}, status: 304},
		{method: "GET", target: "/a.txt", headers: []string{"If-Match", `"other"`}, status: 412},
		{method: "HEAD", target: "/a.txt", status: 200, field: "Content-Length", value: "10"},
		{method: "GET", target: "/a.txt/", status: 301, field: "Location", value: "/a.txt"},
		{method: "GET", target: "/sub", status: 301, field: "Location", value: "/sub/"},
		{method: "GET", target: "/sub?sort=size", status: 301, field: "Location", value: "/sub/?sort=size"},
		{method: "GET", target: "//evil.example/..//sub", status: 301, field: "Location", value: "/sub/"},
		{method: "GET", target: "/sub/", status: 200, body: `<a href="./b.html">b.html</a>`},
		{method: "GET", target: "/with/", status: 200, body: "the index"},
		{method: "GET", target: "/empty/", status: 200, body: "There is nothing in this folder."},
		{method: "GET", target: "/n%C3%A4me%20%3F.txt", status: 200, body: "odd"},
		{method: "GET", target: "/", status: 200, body: `<a href="./n%C3%A4me%20%3F.txt">näme ?.txt</a>`},
		{method: "GET", target: "/?connection", status: 200, body: "You came over HTTP/1.1", field: "Cache-Control", value: "no-store"},
		{method: "GET", target: "/.secret", status: 404},
		{method: "GET", target: "/.git/config", status: 404},
		{method: "GET", target: "/sub/../.secret", status: 404},
		{method: "GET", target: "/.well-known/security.txt", status: 200, body: "yes"},
		{method: "GET", target: "/.well-known/.x", status: 404},
		{method: "GET", target: "/../../etc/passwd", status: 404},
		{method: "GET", target: "/a.txt%00", status: 404},
		{method: "GET", target: "/" + strings.Repeat("x", 300), status: 404},
		{method: "GET", target: "/a.txt/b", status: 404},
		{method: "POST", target: "/a.txt", status: 405, field: "Allow", value: allowed},
		{method: "OPTIONS", target: "/a.txt", status: 204, field: "Allow", value: allowed},
	} {
		t.Run(test.method+" "+test.target[:min(len(test.target), 40)]+strings.Join(test.headers, " "), func(t *testing.T) {
			w := ask(s, test.method, test.target, test.headers...)
			if w.Code != test.status {
				t.Errorf("status %d, want %d", w.Code, test.status)
			}
			if !strings.Contains(w.Body.String(), test.body) {
				t.Errorf("the body has no %q:\n%s", test.body, w.Body)
			}
			if got := w.Header().Get(test.field); test.field != "" && got != test.value {
				t.Errorf("%s: %q, want %q", test.field, got, test.value)
			}
			if test.method == "HEAD" && w.Body.Len() > 0 {
				t.Errorf("an answer to HEAD with %d bytes", w.Body.Len())
			}
		})
	}
}

// A name that a link leads out by, or that is not a file, is not served, and what is hidden is not listed.
func TestNothingOutside(t *testing.T) {
	s := newSite(t, map[string]string{"a.txt": "a", ".hidden": "x"})
	dir := s.root.Name()
	outside := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(outside, []byte("secret"), 0o644))
	must(t, os.Symlink(outside, filepath.Join(dir, "link")))
	must(t, os.Symlink("a.txt", filepath.Join(dir, "inside")))
	if w := ask(s, "GET", "/link"); w.Code != 404 {
		t.Errorf("a link that leads out: status %d, want 404", w.Code)
	}
	if w := ask(s, "GET", "/inside"); w.Code != 200 || w.Body.String() != "a" {
		t.Errorf("a link within: status %d, %q", w.Code, w.Body)
	}
	page := ask(s, "GET", "/").Body.String()
	if strings.Contains(page, ".hidden") || strings.Contains(page, `"./link"`) {
		t.Errorf("the page lists what is not served:\n%s", page)
	}
}

// A page shows names as they are, whatever they contain.
func TestNamesAreEscaped(t *testing.T) {
	name := `<script>alert(1)</script>`
	s := newSite(t, map[string]string{"x&y'\".txt": "1", "javascript:alert(1)": "2", "d/" + name[:8]: "3"})
	root, sub := ask(s, "GET", "/").Body.String(), ask(s, "GET", "/d/").Body.String()
	for _, page := range []string{root, sub} {
		if strings.Contains(page, "<script>") {
			t.Errorf("a name became markup:\n%s", page)
		}
	}
	if strings.Contains(root, `href="javascript:`) || !strings.Contains(root, `href="./javascript:alert%281%29"`) && !strings.Contains(root, `href="./javascript:alert(1)"`) {
		t.Errorf("a name became a scheme:\n%s", root)
	}
	for i, e := range []string{"/x&y'%22.txt", "/javascript:alert(1)"} {
		if w := ask(s, "GET", e); w.Code != 200 || w.Body.String() != fmt.Sprint(i+1) {
			t.Errorf("%s: status %d", e, w.Code)
		}
	}
}

func TestTwins(t *testing.T) {
	s := newSite(t, map[string]string{
		"a.css": "plain", "a.css.br": "as brotli", "a.css.gz": "as gzip", "data": "<!DOCTYPE html>", "data.gz": "x",
		"stale.txt": "new", "stale.txt.gz": "old", "alone.txt": "alone",
	})
	must(t, os.Chtimes(filepath.Join(s.root.Name(), "stale.txt.gz"), time.Unix(0, 0), time.Unix(0, 0)))
	for _, test := range []struct {
		target, accept, body, coding, vary string
	}{
		{"/a.css", "", "plain", "", "Accept-Encoding"},
		{"/a.css", "gzip", "as gzip", "gzip", "Accept-Encoding"},
		{"/a.css", "gzip, deflate, br, zstd", "as brotli", "br", "Accept-Encoding"},
		{"/a.css", "br;q=0.5, gzip;q=0.8", "as gzip", "gzip", "Accept-Encoding"},
		{"/a.css", "br;q=0, x-GZIP", "as gzip", "gzip", "Accept-Encoding"},
		{"/a.css", "*", "as brotli", "br", "Accept-Encoding"},
		{"/a.css", "*;q=0", "plain", "", "Accept-Encoding"},
		{"/a.css", "br;q=2, gzip;q=x", "plain", "", "Accept-Encoding"},
		{"/a.css", "identity, br;q=0.5", "plain", "", "Accept-Encoding"},
		{"/data", "gzip", "x", "gzip", "Accept-Encoding"},
		{"/stale.txt", "gzip", "new", "", ""},
		{"/alone.txt", "gzip", "alone", "", ""},
	} {
		w := ask(s, "GET", test.target, "Accept-Encoding", test.accept)
		h := w.Header()
		if w.Body.String() != test.body || h.Get("Content-Encoding") != test.coding || h.Get("Vary") != test.vary {
			t.Errorf("%s with %q: %q, coding %q, Vary %q; want %q, %q, %q", test.target, test.accept, w.Body, h.Get("Content-Encoding"), h.Get("Vary"), test.body, test.coding, test.vary)
		}
	}
	if typ := ask(s, "GET", "/data", "Accept-Encoding", "gzip").Header().Get("Content-Type"); typ != "text/html; charset=utf-8" {
		t.Errorf("the type of a compressed twin is %q, not that of its file", typ)
	}
	plain, br := ask(s, "GET", "/a.css").Header().Get("ETag"), ask(s, "GET", "/a.css", "Accept-Encoding", "br").Header().Get("ETag")
	if plain == "" || plain == br {
		t.Errorf("two forms of a file have the tags %s and %s", plain, br)
	}
	if w := ask(s, "GET", "/a.css", "Accept-Encoding", "br", "If-None-Match", br); w.Code != 304 {
		t.Errorf("the tag of a twin brings status %d, want 304", w.Code)
	}
}

// A twin that is made anew while its file stays is another representation: its tag and its time are others, so that nobody joins parts of the two.
func TestTwinMadeAnew(t *testing.T) {
	s := newSite(t, map[string]string{"a": "plain", "a.gz": "first form"})
	name := filepath.Join(s.root.Name(), "a.gz")
	before := ask(s, "GET", "/a", "Accept-Encoding", "gzip").Header()
	plain := ask(s, "GET", "/a").Header()
	must(t, os.WriteFile(name, []byte("other form"), 0o644))
	for _, field := range []string{"ETag", "Last-Modified"} {
		w := ask(s, "GET", "/a", "Accept-Encoding", "gzip", "Range", "bytes=2-", "If-Range", before.Get(field))
		if w.Code != 200 || w.Body.String() != "other form" || w.Header().Get(field) == before.Get(field) {
			t.Errorf("%s %s: status %d, %q, then %s", field, before.Get(field), w.Code, w.Body, w.Header().Get(field))
		}
		if got := ask(s, "GET", "/a").Header().Get(field); got != plain.Get(field) {
			t.Errorf("%s of the file was %s and is %s", field, plain.Get(field), got)
		}
	}
}

// A file, or a twin, that shrinks while it is sent is broken off, and does not look complete.
func TestShrinks(t *testing.T) {
	const size = 64 << 20
	s := newSite(t, map[string]string{"a": "plain", "a.gz": "", "b": ""})
	for _, name := range []string{"a", "b"} {
		file := map[string]string{"a": "a.gz", "b": "b"}[name]
		file = filepath.Join(s.root.Name(), file)
		must(t, os.Truncate(file, size))
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.ServeHTTP(&shrinking{ResponseWriter: w, file: file}, r)
		}))
		req, err := http.NewRequest("GET", server.URL+"/"+name, nil)
		must(t, err)
		req.Header.Set("Accept-Encoding", "gzip")
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		n, err := io.Copy(io.Discard, resp.Body)
		if resp.ContentLength != size || err == nil || n >= size {
			t.Errorf("%s: %d of %d bytes, %v", file, n, resp.ContentLength, err)
		}
		resp.Body.Close()
		server.Close()
		w := ask(s, "HEAD", "/"+name, "Accept-Encoding", "gzip")
		if w.Header().Get("Content-Length") != "1000" {
			t.Errorf("%s: the length is %q, want 1000", file, w.Header().Get("Content-Length"))
		}
		w = ask(s, "GET", "/"+name, "Accept-Encoding", "gzip", "Range", "bytes=0-9")
		if w.Code != 206 || w.Header().Get("Content-Length") != "10" {
			t.Errorf("%s: status %d, length %q of a range of 10 bytes", file, w.Code, w.Header().Get("Content-Length"))
		}
		for _, field := range []string{"If-Match", "If-None-Match"} {
			w = ask(s, "GET", "/"+name, "Accept-Encoding", "gzip", field, map[string]string{"If-Match": `"x"`, "If-None-Match": "*"}[field])
			if n := w.Header().Get("Content-Length"); w.Code == 200 || n != "" && n != "0" {
				t.Errorf("%s, %s: status %d, length %q", file, field, w.Code, n)
			}
		}
	}
}

// shrinking is a ResponseWriter during whose first Write a file loses most of what it has.
type shrinking struct {
	http.ResponseWriter
	file string
}

func (w *shrinking) Write(p []byte) (int, error) {
	if err := os.Truncate(w.file, 1000); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

func TestSorting(t *testing.T) {
	s := newSite(t, map[string]string{"b": "1", "A": "333", "c": "22", "dir/x": "", "Zdir/x": ""})
	for query, want := range map[string]string{
		"":                      "dir/ Zdir/ A b c",
		"?sort=name&order=desc": "Zdir/ dir/ c b A",
		"?sort=size":            "dir/ Zdir/ b c A",
		"?sort=size&order=desc": "dir/ Zdir/ A c b",
		"?sort=nonsense":        "dir/ Zdir/ A b c",
	} {
		r := httptest.NewRequest("GET", "/"+query, nil)
		f, err := s.list(r, ".", "/")
		must(t, err)
		var got []string
		for _, e := range f.Entries {
			got = append(got, e.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %s", query, got, want)
		}
	}
}

func TestMethodsOfStartPage(t *testing.T) {
	s := newSite(t, nil)
	if w := ask(s, http.MethodHead, "/"); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD /: status %d, %d bytes", w.Code, w.Body.Len())
	}
}
