package perf

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Over HTTP an Exchange is a request for a path that is Exchange.Down as a decimal number: GET, or POST with a body of Exchange.Up bytes. The
// response has as many bytes as the path says. Every request has the RequestFields.

// RequestFields are the fields of each request over HTTP, as a browser sends them: 12.
var RequestFields = [][2]string{
	{"accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
	{"accept-encoding", "gzip, deflate, br, zstd"},
	{"accept-language", "en-US,en;q=0.9"},
	{"cookie", "session=0123456789abcdef; theme=dark"},
	{"priority", "u=0, i"},
	{"referer", "https://example.org/"},
	{"sec-ch-ua-platform", `"Linux"`},
	{"sec-fetch-dest", "document"},
	{"sec-fetch-mode", "navigate"},
	{"sec-fetch-site", "same-origin"},
	{"upgrade-insecure-requests", "1"},
	{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"},
}

// ContentType is the content-type field of responses.
const ContentType = "application/octet-stream"

// UsagePath is what our servers answer with the Usage of their process, as JSON.
const UsagePath = "/usage"

// PathOf returns the path that wants so many bytes.
func PathOf(down uint64) string { return "/" + strconv.FormatUint(down, 10) }

// ParsePath returns how many bytes a path wants.
func ParsePath(path string) (down uint64, ok bool) {
	number, ok := strings.CutPrefix(path, "/")
	down, err := strconv.ParseUint(number, 10, 64)
	return down, ok && err == nil
}

// ServeHTTP is the handler of all servers in Go: it reads a request to its end, and writes as many bytes as its path wants.
func ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == UsagePath {
		u, err := OwnUsage()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(u) // the client may have gone away
		return
	}
	want, ok := ParsePath(r.URL.Path)
	if !ok {
		http.Error(w, "the path is not a number of bytes", http.StatusBadRequest)
		return
	}
	if r.Body != http.NoBody {
		if _, err := Discard(r.Body, nil); err != nil {
			return // the client went away
		}
	}
	w.Header()["Content-Type"] = contentType
	if want > smallResponse {
		w.Header().Set("Content-Length", strconv.FormatUint(want, 10))
	}
	_ = SendZeros(w, want, nil) // likewise
}

// contentType is the field's value, which all responses share.
var contentType = []string{ContentType}

// smallResponse is a body in bytes whose length net/http finds out by itself.
const smallResponse = 2048

// Fetch makes the request of an Exchange by an http.RoundTripper, and reads the response to its end.
func (e *Exchange) Fetch(rt http.RoundTripper, authority string, header http.Header) error {
	method, body := http.MethodGet, io.Reader(nil)
	if e.Up > 0 {
		method, body = http.MethodPost, &zeroBody{e.Up, e.Count}
	}
	r, err := http.NewRequest(method, "https://"+authority+PathOf(e.Down), body)
	if err != nil {
		return err
	}
	r.Header, r.ContentLength = header, int64(e.Up)
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := Discard(resp.Body, e.Count)
	if err == nil && (resp.StatusCode != http.StatusOK || got != e.Down) {
		err = fmt.Errorf("the server sent %s and %d bytes in place of %d", resp.Status, got, e.Down)
	}
	return err
}

// FetchUsage asks a server for the Usage of its process; nil if it does not tell: others may answer a path that is no number in any way.
func FetchUsage(rt http.RoundTripper, authority string) (*Usage, error) {
	r, err := http.NewRequest(http.MethodGet, "https://"+authority+UsagePath, nil)
	if err != nil {
		return nil, err
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return nil, nil
	}
	defer resp.Body.Close()
	var u Usage
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, 4<<10)).Decode(&u) != nil || u.MaxRSS == 0 {
		return nil, nil
	}
	return &u, nil
}

// RequestHeader returns the RequestFields for net/http.
func RequestHeader() http.Header {
	h := make(http.Header, len(RequestFields))
	for _, f := range RequestFields {
		h.Set(f[0], f[1])
	}
	return h
}

// zeroBody is the body of a request.
type zeroBody struct {
	left  uint64
	count func(int)
}

// Read implements io.Reader.
func (z *zeroBody) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(uint64(len(p)), z.left)]
	clear(p)
	z.left -= uint64(len(p))
	if z.count != nil {
		z.count(len(p))
	}
	return len(p), nil
}
