package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/progress"
	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
)

// webServer is a server for HTTP of all versions on one port number.
type webServer struct {
	url string
}

func (s *webServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Server", "test")
	switch r.URL.Path {
	case "/file":
		h.Set("Content-Length", "11")
		if r.Method != http.MethodHead {
			io.WriteString(w, "hello, file")
		}
	case "/echo":
		fmt.Fprintf(w, "%s %s %s %d\n", r.Method, r.URL, r.Header.Get("Content-Type"), r.ContentLength)
		io.Copy(w, r.Body)
	case "/fields":
		for _, name := range []string{"User-Agent", "X-One", "X-Two", "Accept-Encoding", "Authorization"} {
			fmt.Fprintf(w, "%s=%q\n", name, r.Header[name])
		}
		fmt.Fprintf(w, "host=%s\n", r.Host)
	case "/trailers":
		h.Set("Trailer", "X-Sum")
		io.WriteString(w, "body\n")
		h.Set("X-Sum", "17")
	case "/early-hints":
		h.Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "body\n")
	case "/moved":
		http.Redirect(w, r, "/file", http.StatusFound)
	case "/kept":
		http.Redirect(w, r, "/echo", http.StatusTemporaryRedirect)
	case "/circle":
		http.Redirect(w, r, "/circle", http.StatusFound)
	case "/nowhere":
		w.WriteHeader(http.StatusMultipleChoices)
	case "/gone":
		http.Error(w, "not here any more", http.StatusGone)
	case "/unmodified":
		w.WriteHeader(http.StatusNotModified)
	case "/gzip":
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			defer z.Close()
			io.WriteString(z, "was small")
			return
		}
		io.WriteString(w, "was large")
	case "/broken":
		h.Set("Content-Length", "1000000")
		w.Write(make([]byte, 100_000))
		panic(http.ErrAbortHandler)
	case "/over":
		io.WriteString(w, r.Proto)
	default:
		http.NotFound(w, r)
	}
}

func serveWeb(t *testing.T) *webServer {
	t.Helper()
	conf, err := tlsfiles.Server("", "", []string{"localhost", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	s := new(webServer)
	ln, pc, err := http3.ListenAll("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "https://" + ln.Addr().String()
	srv := &http3.Server{QUIC: new(quic.Config), HTTP: &http.Server{Handler: s, TLSConfig: conf, Protocols: new(http.Protocols)}}
	srv.HTTP.Protocols.SetHTTP1(true)
	srv.HTTP.Protocols.SetHTTP2(true)
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeAll(ln, pc, "", "") }()
	t.Cleanup(func() {
		srv.HTTP.Close()
		srv.Close()
		<-ended
	})
	return s
}

// run runs the client against the server, wants that exit code, and returns what was printed.
func (s *webServer) run(t *testing.T, code int, path string, args ...string) (stdout, stderr string) {
	t.Helper()
	got, stdout, stderr := client(t.Context(), append(args, "--insecure", s.url+path)...)
	if got != code {
		t.Errorf("%v %s: exit code %d, want %d; it printed %q and %q", args, path, got, code, stdout, stderr)
	}
	return stdout, stderr
}

func wantHas(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is without %q", text, want)
		}
	}
}

// What GET brings goes to files, several over one connection; what other methods bring goes to standard output.
func TestMethods(t *testing.T) {
	s, dir := serveWeb(t), t.TempDir()
	code, stdout, stderr := client(t.Context(), "--insecure", "--stats", "--dir", dir, s.url+"/file", s.url+"/over")
	if code != exitOK || stdout != "" || strings.Count(stderr, "files: 2; 19 bytes") != 1 {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	for name, want := range map[string]string{"file": "hello, file", "over": "HTTP/3.0"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	file := filepath.Join(dir, "data")
	if err := os.WriteFile(file, []byte("of a file"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		args []string
		path string
		want string
	}{
		{[]string{"-d", "a=1", "-d", "b=2"}, "/echo", "POST /echo " + form + " 7\na=1&b=2"},
		{[]string{"-d", "@" + file}, "/echo", "POST /echo " + form + " 9\nof a file"},
		{[]string{"-d", "", "-o", "-"}, "/echo", "POST /echo " + form + " 0\n"},
		{[]string{"-d", "{}", "-H", "content-type: application/json", "-X", "PUT"}, "/echo", "PUT /echo application/json 2\n{}"},
		{[]string{"--upload", file}, "/echo", "PUT /echo  9\nof a file"},
		{[]string{"--upload", file, "-X", "POST"}, "/echo?q=1", "POST /echo?q=1  9\nof a file"},
		{[]string{"-X", "DELETE"}, "/echo", "DELETE /echo  0\n"},
		{[]string{"-X", "GET", "-o", "-"}, "/file", "hello, file"},
		{[]string{"-o", "-", s.url + "/file"}, "/over", "hello, fileHTTP/3.0"},
		{[]string{"-L", "-d", "x=y"}, "/kept", "POST /echo " + form + " 3\nx=y"},
	} {
		if out, _ := s.run(t, exitOK, c.path, c.args...); out != c.want {
			t.Errorf("%v: %q, want %q", c.args, out, c.want)
		}
	}
	wantEmpty(t, ".")
}

// A URL that ends with a slash is a folder that a file is put into; standard input is sent, too.
func TestUpload(t *testing.T) {
	s, dir := serveWeb(t), t.TempDir()
	file := filepath.Join(dir, "echo")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, _ := s.run(t, exitOK, "/", "--upload", file); !strings.HasPrefix(out, "PUT /echo  1048576\n\x00") || len(out) != 1<<20+19 {
		t.Errorf("%d bytes came: %.40q", len(out), out)
	}
	stdin, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func(old *os.File) { os.Stdin = old }(os.Stdin)
	os.Stdin = stdin
	if out, _ := s.run(t, exitOK, "/echo", "--upload", "-"); !strings.HasPrefix(out, "PUT /echo  -1\n\x00") || len(out) != 1<<20+14 {
		t.Errorf("%d bytes came: %.40q", len(out), out)
	}
	for arg, want := range map[string]string{"/no/such": "cannot send /no/such: ", dir: "it is a folder"} {
		_, stderr := s.run(t, exitFailed, "/echo", "--upload", arg)
		wantHas(t, stderr, want)
	}
	_, stderr := s.run(t, exitFailed, "/echo", "-d", "@/no/such")
	wantHas(t, stderr, "cannot send @/no/such: ")
}

// A file whose size is not told is sent whole, and one that changes while it is sent is a failure.
func TestUploadSizes(t *testing.T) {
	s := serveWeb(t)
	if version, err := os.ReadFile("/proc/version"); err == nil { // Linux has it
		if out, _ := s.run(t, exitOK, "/echo", "--upload", "/proc/version"); out != "PUT /echo  -1\n"+string(version) {
			t.Errorf("what came of /proc/version is %q", out)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	for size, want := range map[int64]string{999: "has fewer than the 1000 bytes", 1001: "has more than the 1000 bytes"} {
		if err := os.WriteFile(file, make([]byte, 1000), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := (&web{o: &options{upload: file}, bar: new(progress.Bar)}).body()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, size); err != nil {
			t.Fatal(err)
		}
		body, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(body); err == nil || !strings.Contains(err.Error(), want) || c.size != 1000 {
			t.Errorf("%d bytes in place of %d: %v", size, c.size, err)
		}
		body.Close()
	}
}

func TestFields(t *testing.T) {
	s := serveWeb(t)
	out, _ := s.run(t, exitOK, "/fields", "-o", "-", "-H", "X-One: 1", "-H", "x-one:2", "-H", "X-Two: a: b", "-H", "Host: other.example")
	wantHas(t, out, `X-One=["1" "2"]`, `X-Two=["a: b"]`, `User-Agent=["quic-client"]`, "host=other.example\n", "Accept-Encoding=[]")
	out, _ = s.run(t, exitOK, "/fields", "-o", "-", "-H", "User-Agent:", "--compressed")
	wantHas(t, out, "User-Agent=[]", `Accept-Encoding=["gzip"]`, "host="+strings.TrimPrefix(s.url, "https://"))
	code, out, _ := client(t.Context(), "--insecure", "-o", "-", strings.Replace(s.url, "https://", "https://me:secret@", 1)+"/fields")
	wantHas(t, out, `Authorization=["Basic bWU6c2VjcmV0"]`)
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestAnswersAreShown(t *testing.T) {
	s, dir := serveWeb(t), t.TempDir()
	for _, c := range []struct {
		path  string
		args  []string
		wants []string
	}{
		{"/file", []string{"-I"}, []string{"HTTP/3 200 OK\n", "Content-Length: 11\n", "Server: test\n\n"}},
		{"/file", []string{"-X", "HEAD", "--http-version", "1.1"}, []string{"HTTP/1.1 200 OK\n", "Content-Length: 11\n"}},
		{"/file", []string{"-i", "-o", "-"}, []string{"HTTP/3 200 OK\n", "Server: test\n\nhello, file"}},
		{"/file", []string{"-i", "--dir", dir}, []string{"HTTP/3 200 OK\n", "Server: test\n\n"}},
		{"/trailers", []string{"-i", "-o", "-"}, []string{"\nbody\nX-Sum: 17\n"}},
		{"/early-hints", []string{"-i", "-o", "-", "--http-version", "2"}, []string{"103 Early Hints\n", "Link: </style.css>\nServer: test\n\nHTTP/2 200 OK\n"}},
		{"/early-hints", []string{"-i", "-o", "-"}, []string{"103 Early Hints\n", "Link: </style.css>\nServer: test\n\nHTTP/3 200 OK\n"}},
		{"/gone", []string{"-o", "-", "--any-status"}, []string{"not here any more"}},
		{"/moved", []string{"-i", "-o", "-", "--any-status"}, []string{"HTTP/3 302 Found\n", "Location: /file\n"}},
		{"/moved", []string{"-L", "-o", "-"}, []string{"hello, file"}},
		{"/gzip", []string{"-o", "-"}, []string{"was large"}},
		{"/gzip", []string{"-o", "-", "--compressed"}, []string{"was small"}},
	} {
		out, _ := s.run(t, exitOK, c.path, c.args...)
		wantHas(t, out, c.wants...)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(got) != "hello, file" {
		t.Errorf("with -i the file is %q, %v", got, err)
	}
	out, stderr := s.run(t, exitOK, "/unmodified", "-o", filepath.Join(dir, "new"))
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil || out != "" || !strings.Contains(stderr, "not modified; nothing is written") {
		t.Errorf("not modified: %v, %q, %q", err, out, stderr)
	}
}

// What is no success is exit code 1, a sentence, and no file; whatever the version.
func TestStatusOfFailure(t *testing.T) {
	s := serveWeb(t)
	for _, v := range []string{"1.1", "2", "3", "auto"} {
		for path, want := range map[string]string{
			"/gone":    "GET " + s.url + "/gone: the server answered 410 Gone\n",
			"/moved":   "the server answered 302 Found, to /file: give --location to follow\n",
			"/nowhere": "the server answered 300 Multiple Choices, and does not say where to go\n",
			"/broken":  s.url + "/broken", // a reset may overtake the fields
		} {
			dir := t.TempDir()
			out, stderr := s.run(t, exitFailed, path, "--http-version", v, "--dir", dir)
			wantHas(t, stderr, want)
			if out != "" {
				t.Errorf("%s: %q was printed", path, out)
			}
			wantEmpty(t, dir)
		}
	}
	_, stderr := s.run(t, exitFailed, "/circle", "-L", "-o", "-")
	wantHas(t, stderr, "more than 10 redirects")
	_, stderr = s.run(t, exitFailed, "/gone", "-d", "x", "-i")
	wantHas(t, stderr, "POST "+s.url+"/gone: the server answered 410 Gone\n")
}

func TestHTTPVersions(t *testing.T) {
	s := serveWeb(t)
	for v, want := range map[string]string{"1.1": "HTTP/1.1", "2": "HTTP/2.0", "3": "HTTP/3.0"} {
		if out, _ := s.run(t, exitOK, "/over", "-o", "-", "--http-version", v); out != want {
			t.Errorf("--http-version %s: %q", v, out)
		}
	}
	// The server tells of HTTP/3 in its first answer, so the third URL at the latest goes over it; a file remembers for the next run.
	known := filepath.Join(t.TempDir(), "alt-svc")
	auto := []string{"--http-version", "auto", "--alt-svc", known, "-o", "-"}
	out, stderr := s.run(t, exitOK, "/over", append(auto, s.url+"/over", s.url+"/file", s.url+"/over")...)
	if !strings.HasPrefix(out, "HTTP/2.0") || !strings.HasSuffix(out, "HTTP/3.0") {
		t.Errorf("auto: %q, %q", out, stderr)
	}
	wantHas(t, stderr, "/over: over HTTP/2\n", "/over: over HTTP/3\n")
	if out, stderr := s.run(t, exitOK, "/over", auto...); out != "HTTP/3.0" {
		t.Errorf("auto, a second run: %q, %q", out, stderr)
	}
	if out, stderr := s.run(t, exitOK, "/over", "--http-version", "auto", "-o", "-", "-q"); out != "HTTP/2.0" || stderr != "" {
		t.Errorf("auto without a file: %q, %q", out, stderr)
	}
}

func TestTiming(t *testing.T) {
	s := serveWeb(t)
	for _, v := range []string{"1.1", "2", "3"} {
		_, stderr := s.run(t, exitOK, "/file", "--timing", "-o", "-", "--http-version", v, s.url+"/over")
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		if len(lines) != 3 || !strings.HasPrefix(strings.TrimSpace(lines[0]), "resolve  connect") {
			t.Fatalf("--timing: %q", stderr)
		}
		first, second := strings.Fields(lines[1]), strings.Fields(lines[2])
		wantHas(t, lines[1], " 200 ", " HTTP/"+v+"  "+s.url+"/over")
		if first[0] != "-" || (first[1] == "-") != (v == "3") || slices.Contains(first[2:], "-") {
			t.Errorf("HTTP/%s: the first request's times are %v", v, first)
		}
		if second[1] != "-" || second[2] != "-" || second[3] == "-" || second[4] == "-" {
			t.Errorf("HTTP/%s: the second request's times are %v", v, second)
		}
	}
	code, _, stderr := client(t.Context(), "--insecure", "--timing", "-o", "-", strings.Replace(s.url, "127.0.0.1", "localhost", 1)+"/file")
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if code != exitOK || len(lines) < 2 || strings.Fields(lines[1])[0] == "-" {
		t.Errorf("exit code %d: a name was resolved in no time: %q", code, stderr)
	}
}

func TestRequests(t *testing.T) {
	s := serveWeb(t)
	for _, v := range []string{"1.1", "2", "3"} {
		out, _ := s.run(t, exitOK, "/file", "--requests", "1000", "--parallel", "50", "--http-version", v)
		wantHas(t, out, "1000 of 1000 requests for "+s.url+"/file done, 50 at once, over HTTP/"+v, "11000 bytes of contents", "requests/s", "median",
			"status 200: 1000\n")
	}
	out, stderr := s.run(t, exitOK, "/echo", "--requests", "30", "-d", "x=y", "--stats")
	wantHas(t, out, "30 of 30 requests", "over HTTP/3")
	wantHas(t, stderr, "files: 30;")
	if strings.Count(stderr, "QUIC version") != 1 {
		t.Errorf("more than one connection: %q", stderr)
	}
	out, stderr = s.run(t, exitFailed, "/gone", "--requests", "5")
	wantHas(t, out, "0 of 5 requests", "status 410: 5\n", "5 times: GET "+s.url+"/gone: the server answered 410 Gone\n")
	wantHas(t, stderr, "5 of 5 requests failed: GET ")
	code, _, stderr := client(t.Context(), "--insecure", "--requests", "5", "https://127.0.0.1:9/x", "--timeout", "1s")
	if code != exitNoConn || !strings.Contains(stderr, "no connection to 127.0.0.1:9: ") {
		t.Errorf("nobody there: exit code %d, %q", code, stderr)
	}
}

// No connection is exit code 3 over each version, said once however many files were wanted.
func TestWebExitCodes(t *testing.T) {
	s := serveWeb(t)
	for _, v := range []string{"1.1", "2", "3", "auto"} {
		code, _, stderr := client(t.Context(), "--insecure", "--http-version", v, "--timeout", "1s", "--dir", t.TempDir(), "https://127.0.0.1:9/x", "https://127.0.0.1:9/y")
		if code != exitNoConn || strings.Count(stderr, "no connection to 127.0.0.1:9: ") != 1 || strings.Contains(stderr, "http3: dial") {
			t.Errorf("HTTP/%s: nobody there: exit code %d, %q", v, code, stderr)
		}
		code, _, stderr = client(t.Context(), "--http-version", v, "--dir", t.TempDir(), s.url+"/file")
		if code != exitNoConn || !strings.Contains(stderr, "\nCertificates that the system does not trust are named with --ca") {
			t.Errorf("HTTP/%s: certificate: exit code %d, %q", v, code, stderr)
		}
	}
	dir := t.TempDir()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	code, _, stderr := client(ctx, "--insecure", "--dir", dir, s.url+"/file")
	if code != exitInterrupted {
		t.Errorf("interrupted: exit code %d, %q", code, stderr)
	}
	wantEmpty(t, dir)
	code, _, stderr = client(t.Context(), "--insecure", "--dir", "/no/such", s.url+"/file")
	if code != exitFailed || !strings.Contains(stderr, "cannot write /no/such/file: ") {
		t.Errorf("no folder: exit code %d, %q", code, stderr)
	}
	if full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		defer full.Close()
		var errs bytes.Buffer
		code := run(t.Context(), []string{"--insecure", "-I", s.url + "/file"}, full, &errs)
		if code != exitFailed || !strings.Contains(errs.String(), "cannot write the fields to standard output: ") {
			t.Errorf("fields, disk full: exit code %d, %q", code, errs.String())
		}
		errs.Reset()
		code = run(t.Context(), []string{"--insecure", "--requests", "2", s.url + "/file"}, full, &errs)
		if code != exitFailed || !strings.Contains(errs.String(), "cannot write the figures to standard output: ") {
			t.Errorf("figures, disk full: exit code %d, %q", code, errs.String())
		}
		code, _, stderr = client(t.Context(), "--insecure", "-o", "/dev/full", s.url+"/file")
		if code != exitFailed || !strings.Contains(stderr, "cannot write /dev/full: ") {
			t.Errorf("disk full: exit code %d, %q", code, stderr)
		}
	}
}

func TestFlagsOfHTTP(t *testing.T) {
	const url = "https://127.0.0.1:9/x"
	for want, args := range map[string]string{
		"--data does not go with --protocol hq-interop, which has nothing but GET": "--protocol hq-interop -d x",
		"--include does not go with --protocol hq-interop":                         "--protocol hq-interop -i",
		"--protocol \"spdy\" is neither h3 nor hq-interop":                         "--protocol spdy",
		"--http-version \"4\" is none of 1.1, 2, 3 and auto":                       "--http-version 4",
		"--migrate is for QUIC, and --http-version 2 goes over TCP":                "--http-version 2 --migrate :0",
		"--stats is for QUIC, and --http-version 1.1 goes over TCP":                "--http-version 1.1 --stats",
		"--key-update needs --http-version 3: with auto":                           "--http-version auto --key-update",
		"--alt-svc is for --http-version auto":                                     "--alt-svc file",
		"--parallel 0 is not within 1 and 10000":                                   "--parallel 0",
		"--requests 0 is not within 1 and 100000000":                               "--requests 0",
		"--requests 99999999999999 is not within 1 and 100000000":                  "--requests 99999999999999",
		"--requests takes one URL and 2 are given":                                 "--requests 2 " + url,
		"--requests cannot send standard input more than once: give a file":        "--requests 2 --upload -",
		"--output does not go with --requests, which throws the answers away":      "--requests 2 -o f",
		"--data and --upload exclude each other: give one of them":                 "-d x --upload f",
		"--head sends nothing and is a method itself":                              "-I -d x",
		"--request \"G T\" is not a method":                                        "-X|G T",
		"--request CONNECT: tunnels are not for this command":                      "-X CONNECT",
		"--header \"nonsense\" is not of the form \"NAME: VALUE\"":                 "-H nonsense",
		"--header \"a b: c\" is not of the form":                                   "-H|a b: c",
		"\"http://127.0.0.1/x\" is not of the form https://HOST:PORT/PATH":         "http://127.0.0.1/x",
		"\"ftp://127.0.0.1/x\" is not of the form https://HOST:PORT/PATH":          "--http-version auto ftp://127.0.0.1/x",
	} {
		sep := " "
		if strings.Contains(args, "|") {
			sep = "|"
		}
		code, _, stderr := client(t.Context(), append(strings.Split(args, sep), url)...)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %q, want %q", args, code, stderr, want)
		}
	}
}

// Over plain http there is HTTP/1.1.
func TestPlain(t *testing.T) {
	ln, pc, err := http3.ListenAll("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc.Close()
	srv := &http.Server{Handler: new(webServer)}
	go srv.Serve(ln)
	defer srv.Close()
	for _, v := range []string{"1.1", "auto"} {
		code, out, stderr := client(t.Context(), "--http-version", v, "-o", "-", "http://"+ln.Addr().String()+"/over")
		if code != exitOK || out != "HTTP/1.1" {
			t.Errorf("exit code %d, %q, %q", code, out, stderr)
		}
	}
}
