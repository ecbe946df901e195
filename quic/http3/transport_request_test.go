package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// closeCounter is a body that counts how often it is read and closed.
type closeCounter struct {
	io.Reader
	reads, closes int
}

func (c *closeCounter) Read(p []byte) (int, error) { c.reads++; return c.Reader.Read(p) }
func (c *closeCounter) Close() error               { c.closes++; return nil }

// TestClientBadRequests sends requests that must not be sent: they fail before anything is dialled, and their bodies are closed (C1, C2, C4).
func TestClientBadRequests(t *testing.T) {
	for _, tt := range []struct {
		name, method, url string
		header, trailer   http.Header
		want              string // in the error
	}{
		{name: "method", method: "GE T", want: "invalid method"},
		{name: "empty name", header: http.Header{"": {"v"}}, want: `invalid header field name ""`},
		{name: "name", header: http.Header{"a b": {"v"}}, want: `invalid header field name "a b"`},
		{name: "name with a colon", header: http.Header{":path": {"/"}}, want: "invalid header field name"},
		{name: "value", header: http.Header{"A": {"secret\nB: c"}}, want: `invalid header field value for "A"`},
		{name: "NUL", header: http.Header{"A": {"secret\x00"}}, want: `invalid header field value for "A"`},
		{name: "trailer name", trailer: http.Header{"a\r": nil}, want: "invalid trailer field name"},
		{name: "trailer value", trailer: http.Header{"A": {"secret\r"}}, want: "invalid trailer field value"},
		{name: "protocol as trailer", trailer: http.Header{":protocol": {"x"}}, want: "invalid trailer field name"},
		{name: "forbidden trailer", trailer: http.Header{"Content-Length": nil}, want: `invalid Trailer key "Content-Length"`},
		{name: "forbidden trailer by another spelling", trailer: http.Header{"transfer-encoding": nil}, want: "invalid Trailer key"},
		{name: "upgrade", header: http.Header{"Upgrade": {"websocket"}}, want: "invalid Upgrade request header"},
		{name: "transfer-encoding", header: http.Header{"Transfer-Encoding": {"gzip"}}, want: "invalid Transfer-Encoding"},
		{name: "connection", header: http.Header{"Connection": {"secret"}}, want: "invalid Connection"},
		{name: "two connections", header: http.Header{"Connection": {"close", "close"}}, want: "invalid Connection"},
		{name: "scheme", url: "http://example.test/", want: "unsupported scheme"},
		{name: "no host", url: "https:///x", want: "no Host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := &closeCounter{Reader: strings.NewReader("x")}
			u, err := url.Parse("https://example.test/")
			if tt.url != "" {
				u, err = url.Parse(tt.url)
			}
			if err != nil {
				t.Fatal(err)
			}
			req := &http.Request{Method: tt.method, URL: u, Header: tt.header, Trailer: tt.trailer, Body: body, ContentLength: 1}
			if req.Header == nil {
				req.Header = http.Header{}
			}
			tr := &Transport{Dial: noDial(t)}
			_, err = tr.RoundTrip(req)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("RoundTrip returned %v, not one with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret\n") {
				t.Errorf("the error tells the value: %v", err)
			}
			if body.reads != 0 || body.closes != 1 {
				t.Errorf("the body was read %d times and closed %d times", body.reads, body.closes)
			}
		})
	}
}

// TestClientDialFails has the body be closed once when there is no connection (C2), and the error tell why.
func TestClientDialFails(t *testing.T) {
	failure := errors.New("no network")
	tr := &Transport{Dial: failingDial(failure)}
	body := &closeCounter{Reader: strings.NewReader("x")}
	req, _ := http.NewRequest("POST", "https://example.test/", body)
	if _, err := tr.RoundTrip(req); !errors.Is(err, failure) {
		t.Errorf("RoundTrip returned %v", err)
	}
	if body.reads != 0 || body.closes != 1 {
		t.Errorf("the body was read %d times and closed %d times", body.reads, body.closes)
	}
	tr.mu.Lock()
	if len(tr.hosts) != 0 {
		t.Errorf("%d hosts are kept", len(tr.hosts))
	}
	tr.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	body = &closeCounter{Reader: strings.NewReader("x")}
	req, _ = http.NewRequestWithContext(ctx, "POST", "https://example.test/", body)
	if _, err := tr.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("RoundTrip returned %v", err)
	}
	if body.closes != 1 {
		t.Errorf("the body was closed %d times", body.closes)
	}
}

// TestClientHeaderSection says how a request looks on the wire (C3 to C7, C9).
func TestClientHeaderSection(t *testing.T) {
	for _, tt := range []struct {
		name, method, url, host string
		header, trailer         http.Header
		length                  int64
		want                    []string // sorted
	}{
		{name: "plain", url: "https://example.test/a?b=c",
			want: []string{":authority example.test", ":method GET", ":path /a?b=c", ":scheme https", "user-agent Go-http-client/3.0"}},
		{name: "default port", url: "https://example.test:443/",
			want: []string{":authority example.test:443", ":method GET", ":path /", ":scheme https", "user-agent Go-http-client/3.0"}},
		{name: "host", url: "https://192.0.2.1:8443", host: "bücher.test:99", header: http.Header{"User-Agent": {""}},
			want: []string{":authority xn--bcher-kva.test:99", ":method GET", ":path /", ":scheme https"}},
		{name: "zone", url: "https://[fe80::1%25eth0]:8443/", header: http.Header{"User-Agent": nil},
			want: []string{":authority [fe80::1]:8443", ":method GET", ":path /", ":scheme https"}},
		{name: "fields", url: "https://a.test/", header: http.Header{"User-Agent": {"a", "b"}, "Cookie": {"a=1; b=2;c=3", "d=4"}, "Host": {"x"},
			"Connection": {"keep-alive"}, "Keep-Alive": {"x"}, "Proxy-Connection": {"x"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {""},
			"Te": {"deflate, trailers"}, "Content-Length": {"77"}, "X-A": {"1", "2"}, "x-lower": {"3"}},
			want: []string{":authority a.test", ":method GET", ":path /", ":scheme https", "cookie a=1", "cookie b=2", "cookie c=3", "cookie d=4", "te trailers",
				"user-agent a", "x-a 1", "x-a 2", "x-lower 3"}},
		{name: "post of nothing", method: "POST", url: "https://a.test/", header: http.Header{"User-Agent": nil},
			want: []string{":authority a.test", ":method POST", ":path /", ":scheme https", "content-length 0"}},
		{name: "post", method: "POST", url: "https://a.test/", header: http.Header{"User-Agent": nil}, length: 5,
			trailer: http.Header{"b-b": nil, "A": nil},
			want:    []string{":authority a.test", ":method POST", ":path /", ":scheme https", "content-length 5", "trailer A,B-B"}},
		{name: "of unknown length", method: "PUT", url: "https://a.test/", header: http.Header{"User-Agent": nil}, length: -1,
			want: []string{":authority a.test", ":method PUT", ":path /", ":scheme https"}},
		{name: "connect", method: "CONNECT", url: "https://a.test:80/ignored", header: http.Header{"User-Agent": nil},
			want: []string{":authority a.test:80", ":method CONNECT"}},
		{name: "extended connect", method: "CONNECT", url: "https://a.test/chat?x", header: http.Header{"User-Agent": nil, ":protocol": {"websocket"}},
			want: []string{":authority a.test", ":method CONNECT", ":path /chat?x", ":protocol websocket", ":scheme https"}},
		{name: "star", method: "OPTIONS", url: "https://a.test", header: http.Header{"User-Agent": nil},
			want: []string{":authority a.test", ":method OPTIONS", ":path *", ":scheme https"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := url.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			if tt.name == "star" {
				u.Path, u.Opaque = "*", ""
			}
			req := &http.Request{Method: tt.method, URL: u, Host: tt.host, Header: tt.header, Trailer: tt.trailer}
			if req.Header == nil {
				req.Header = http.Header{}
			}
			var o outgoing
			if err := o.fill(&attempt{req: req, length: tt.length}, false); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range tracedSection(&o) {
				got = append(got, f.name+" "+f.value)
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("sent\n%q, want\n%q", got, tt.want)
			}
		})
	}
}

// TestClientAsksForGzip (C9).
func TestClientAsksForGzip(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		header       http.Header
		disabled     bool
		want         bool
	}{
		{name: "get", want: true},
		{name: "head", method: "HEAD"},
		{name: "connect", method: "CONNECT"},
		{name: "range", header: http.Header{"Range": {"bytes=0-1"}}},
		{name: "own", header: http.Header{"Accept-Encoding": {"br"}}},
		{name: "disabled", disabled: true},
	} {
		if got := (&Transport{DisableCompression: tt.disabled}).asksForGzip(&http.Request{Method: tt.method, Header: tt.header}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// TestClientAuthorityAddr says where is dialled to.
func TestClientAuthorityAddr(t *testing.T) {
	for in, want := range map[string]string{
		"https://example.test": "example.test:443", "https://example.test:8443": "example.test:8443", "https://example.test:": "example.test:443",
		"https://bücher.test": "xn--bcher-kva.test:443", "https://[::1]": "[::1]:443", "https://[fe80::1%25eth0]:4": "[fe80::1%eth0]:4",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := authorityAddr(u); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", in, got, err, want)
		}
	}
}
