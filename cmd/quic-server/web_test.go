package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic/http3"
)

// over returns a client for HTTP/3, or for HTTP/1.1 and HTTP/2.
func over(t *testing.T, h3 bool) *http.Client {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true}
	if h3 {
		tr := &http3.Transport{TLSClientConfig: cfg}
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr}
	}
	tr := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func fetch(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// One port number serves files over HTTP/3 and over TCP, where HTTP/3 is told of.
func TestWebsite(t *testing.T) {
	addr, stop := start(t, "--listen", "127.0.0.1:0", "--root", root(t))
	_, port, _ := net.SplitHostPort(addr)
	for h3, proto := range map[bool]string{true: "HTTP/3.0", false: "HTTP/2.0"} {
		resp, body := fetch(t, over(t, h3), "https://"+addr+"/file")
		if resp.StatusCode != 200 || resp.Proto != proto || body != "contents of file" {
			t.Errorf("%s %s %q, want %s 200 and the file", resp.Proto, resp.Status, body, proto)
		}
		want := `h3=":` + port + `"; ma=86400`
		if h3 {
			want = ""
		}
		if got := resp.Header.Get("Alt-Svc"); got != want {
			t.Errorf("%s: Alt-Svc %q, want %q", proto, got, want)
		}
	}
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// The server's own secrets are not served, though they lie in the folder that is, also under other names, over each protocol.
func TestSecretsAreNotServed(t *testing.T) {
	dir := root(t)
	t.Chdir(dir)
	writeCertificate(t, dir)
	t.Setenv("SSLKEYLOGFILE", filepath.Join(dir, "log"))
	addr, _ := start(t, "--listen", "127.0.0.1:0", "--root", ".", "--cert", "cert.pem", "--key", "key.pem", "--reset-key", "reset", "--token-key", "token",
		"--ticket-keys", "tickets", "--quic-lb", "server-id=0a,key-file=lb")
	if err := os.Symlink("key.pem", "alias"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove("index.html"); err != nil {
		t.Fatal(err)
	}
	_, page := fetch(t, over(t, true), "https://"+addr+"/")
	for _, name := range []string{"key.pem", "reset", "token", "tickets", "lb", "log", "alias"} {
		if resp, body := fetch(t, over(t, true), "https://"+addr+"/"+name); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s, %q", name, resp.Status, body)
		}
		if body, err := get(t, addr, "", "/"+name); err == nil {
			t.Errorf("%s over HTTP/0.9: %q", name, body)
		}
		if strings.Contains(page, `"./`+name+`"`) {
			t.Errorf("%s is listed", name)
		}
	}
	for _, name := range []string{"cert.pem", "file"} {
		if resp, _ := fetch(t, over(t, true), "https://"+addr+"/"+name); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
}

// The start page tells over what it came, and counts requests.
func TestStartPage(t *testing.T) {
	addr, _ := start(t, "--listen", "127.0.0.1:0", "--root", t.TempDir())
	c := over(t, true)
	fetch(t, c, "https://"+addr+"/?connection")
	_, page := fetch(t, c, "https://"+addr+"/")
	for _, want := range []string{
		"You came over HTTP/3.0", "<dt>QUIC version</dt><dd>1 (RFC 9000)</dd>", "<dt>Key share</dt><dd>X25519", "<dt>Encryption</dt><dd>TLS 1.3, TLS_",
		"<dt>Early data (0-RTT)</dt><dd>no</dd>", "<dt>Requests on this connection</dt><dd>2</dd>", "<dt>Round-trip time</dt><dd>", " bytes</dd>",
		"There is nothing in this folder.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
}

func TestNoTCP(t *testing.T) {
	addr, _ := start(t, "--listen", "127.0.0.1:0", "--root", root(t), "--no-tcp")
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("somebody listens on the TCP port")
	}
	fetch(t, over(t, true), "https://"+addr+"/file")
}

// With --proxy requests go to another server, which is told for whom; where it is gone, clients are answered 502.
func TestProxy(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Method+" "+r.URL.String()+" "+r.Host+" "+r.Header.Get("X-Forwarded-Proto"))
		w.Write(bytes.ToUpper(body))
	}))
	addr, _ := start(t, "--listen", "127.0.0.1:0", "--proxy", upstream.URL+"/base")
	c := over(t, true)
	resp, err := c.Post("https://"+addr+"/path?q=1", "text/plain", strings.NewReader("some text"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if got, want := resp.Header.Get("X-Seen"), "POST /base/path?q=1 "+addr+" https"; got != want || string(body) != "SOME TEXT" {
		t.Errorf("the server behind saw %q and answered %q, want %q", got, body, want)
	}
	upstream.Close()
	if resp, body := fetch(t, c, "https://"+addr+"/"); resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "cannot be reached") {
		t.Errorf("without a server behind: %s, %q", resp.Status, body)
	}
}

// A server behind that can be reached and does not answer, or not in HTTP, is not said to be out of reach.
func TestProxyNonsense(t *testing.T) {
	behind := httptest.NewTLSServer(http.NotFoundHandler())
	defer behind.Close()
	behind.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, test := range []struct{ name, scheme, answer, says string }{
		{"nothing", "http", "", "EOF"},
		{"no HTTP", "http", "220 mail.example ESMTP\r\n", "malformed HTTP"},
		{"no TLS", "https", "HTTP/1.1 400 Bad Request\r\n\r\n", "does not look like a TLS handshake"},
		{"no certificate for it", "https", "-", "certificate"},
		{"another protocol unasked", "http", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chess\r\n\r\n", "chess"},
		{"no such status", "http", "HTTP/1.1 099 Hm\r\nContent-Length: 0\r\n\r\n", "099 Hm"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					c.Read(make([]byte, 4096))
					io.WriteString(c, test.answer)
					c.Close()
				}
			}()
			addr := l.Addr().String()
			if test.answer == "-" {
				addr = behind.Listener.Addr().String()
			}
			var stderr bytes.Buffer
			web, err := newWebsite(t.Context(), &options{proxy: test.scheme + "://" + addr}, &logger{w: &stderr})
			if err != nil {
				t.Fatal(err)
			}
			rec := httptest.NewRecorder()
			web.handler.ServeHTTP(rec, httptest.NewRequest("GET", "https://localhost/", nil))
			want := "--proxy " + test.scheme + "://" + addr + " gives no answer that can be handed on: "
			if !strings.Contains(stderr.String(), want) || !strings.Contains(stderr.String(), test.says) || strings.Contains(stderr.String(), "cannot reach") {
				t.Errorf("it says %q, want %q and %q", &stderr, want, test.says)
			}
			if rec.Code != http.StatusBadGateway || !strings.Contains(rec.Body.String(), "gives no answer") {
				t.Errorf("the client gets %d, %q", rec.Code, rec.Body)
			}
		})
	}
}

// What the server behind says of its own ports is nothing that holds for ours, and what breaks off is told in the log as all else is.
func TestProxyHandsOn(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", `h3=":1"`)
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "short")
	}))
	defer upstream.Close()
	var stderr bytes.Buffer
	web, err := newWebsite(t.Context(), &options{proxy: upstream.URL}, &logger{w: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	func() {
		defer func() {
			if v := recover(); v != http.ErrAbortHandler {
				t.Errorf("an answer that ends too soon is not broken off: %v", v)
			}
		}()
		r := httptest.NewRequest("GET", "https://localhost/", nil)
		web.handler.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, new(http.Server)))) // as a server has it
	}()
	if rec.Code != http.StatusOK || rec.Header()["Alt-Svc"] != nil {
		t.Errorf("the client gets %d, Alt-Svc %q", rec.Code, rec.Header()["Alt-Svc"])
	}
	if got := stderr.String(); !strings.HasPrefix(got, "quic-server: httputil: ") || strings.Count(got, "\n") != 1 || !strings.Contains(got, "unexpected EOF") {
		t.Errorf("the log says %q", got)
	}
}

// Of the server behind, Alt-Svc is not handed on, not in interim responses either; ours is in the response, whatever came before.
func TestProxyAltSvc(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", `h3=":1"`)
		switch r.URL.Path {
		case "/hints":
			w.WriteHeader(http.StatusEarlyHints)
		case "/abort":
			panic(http.ErrAbortHandler)
		}
	}))
	defer upstream.Close()
	web, err := newWebsite(t.Context(), &options{proxy: upstream.URL}, &logger{w: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	const ours = `h3=":2"; ma=86400`
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", ours)
		web.handler.ServeHTTP(w, r)
	}))
	defer front.Close()
	for _, path := range []string{"/", "/hints", "/abort"} {
		interim := 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
			if interim++; h.Get("Alt-Svc") != "" {
				t.Errorf("%s: an interim response says %q", path, h.Values("Alt-Svc"))
			}
			return nil
		}})
		req, err := http.NewRequestWithContext(ctx, "GET", front.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := front.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header["Alt-Svc"]; !slices.Equal(got, []string{ours}) || (interim == 1) != (path == "/hints") || (resp.StatusCode == http.StatusBadGateway) != (path == "/abort") {
			t.Errorf("%s: Alt-Svc %q, behind %d interim responses", path, got, interim)
		}
	}
}

// A status of four digits, which HTTP/2 can carry, is answered 502.
func TestProxyStatus(t *testing.T) {
	answer := withStatus(1000)
	defer func(old http.RoundTripper) { http.DefaultTransport = old }(http.DefaultTransport)
	http.DefaultTransport = answer
	var stderr bytes.Buffer
	web, err := newWebsite(t.Context(), &options{proxy: "http://127.0.0.1:1"}, &logger{w: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	web.handler.ServeHTTP(rec, httptest.NewRequest("GET", "https://localhost/", nil))
	if rec.Code != http.StatusBadGateway || !strings.Contains(stderr.String(), "1000") {
		t.Errorf("the client gets %d; the log says %q", rec.Code, &stderr)
	}
}

// withStatus answers all requests with a status.
type withStatus int

func (s withStatus) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(s), Status: strconv.Itoa(int(s)), Header: make(http.Header), Body: http.NoBody, Request: req}, nil
}

// What changes to another protocol goes through over HTTP/1.1.
func TestProxyUpgrade(t *testing.T) {
	const answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, answer)
		io.CopyN(conn, rw, 4)
	}))
	defer upstream.Close()
	var stderr bytes.Buffer
	web, err := newWebsite(t.Context(), &options{proxy: upstream.URL}, &logger{w: &stderr, verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		web.handler.ServeHTTP(w, r)
	}))
	defer front.Close()
	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the client gets %v, %v", resp, err)
	}
	io.WriteString(conn, "ping")
	if got, err := io.ReadAll(in); err != nil || string(got) != "ping" {
		t.Errorf("the client hears %q, %v", got, err)
	}
	conn.Close()
	<-done
	if want := "HTTP/1.1 GET /chat: 101, 0 bytes"; !strings.Contains(stderr.String(), want) {
		t.Errorf("the log says %q, want %q in it", &stderr, want)
	}
}

func TestProxyErrors(t *testing.T) {
	for args, want := range map[string]string{
		"ftp://host": "is not a URL like", "127.0.0.1:80": "is not a URL like", "http://": "is not a URL like", "http://:": "is not a URL like", "http://u:p@host/": "is not a URL like", "": "is empty",
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), []string{"--listen", "127.0.0.1:0", "--proxy", args}, io.Discard, &stderr); code != exitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("--proxy %s: exit code %d, %q", args, code, &stderr)
		}
	}
	for _, test := range [][]string{{"--root", "/tmp", "--proxy", "http://127.0.0.1:1"}, {"--root", ""}} {
		var stderr bytes.Buffer
		if code := run(t.Context(), append(test, "--listen", "127.0.0.1:0"), io.Discard, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "--root") {
			t.Errorf("%q: exit code %d, %q", test, code, &stderr)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr bytes.Buffer
	warned := &options{listen: "127.0.0.1:0", proxy: "http://" + l.Addr().String()}
	if _, err := newWebsite(context.WithoutCancel(ctx), warned, &logger{w: &stderr}); err != nil {
		t.Fatal(err)
	}
	if want := "cannot reach --proxy http://" + l.Addr().String() + ": nobody listens there"; !strings.Contains(stderr.String(), want) {
		t.Errorf("the warning is %q, want %q in it", &stderr, want)
	}
}
