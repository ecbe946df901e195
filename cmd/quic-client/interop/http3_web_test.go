package interop

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
)

// suite is what HTTP/3 is tried on, as a handler:
//
//	/files/NAME  a file of the root; ranges, HEAD
//	/echo        sends back what comes, as it comes
//	/sum         reads all that comes, and answers with its SHA-256
//	/fields      tells how many bytes the values of the request's fields x-large-* have, and sends 60 such fields of 1000 bytes
//	/trailers    sends the request's trailer x-sum back as the body, and the body's SHA-256 as the trailer x-answer-sum
//	/early       answers 413 and reads nothing
//	/endless     sends until the client has enough of it
//	/broken      sends some, and resets the stream
//	/cancelled   tells of how many /endless that was so, once it was of one
//	/goaway      has the server shut down, and answers when it has begun to
type suite struct {
	http.Handler
	shutdown  func() // returns when the server has begun to shut down
	cancelled atomic.Int32
	wasSo     chan struct{} // closed after the first
	requests  atomic.Int32
}

func newSuite(root string) *suite {
	s := &suite{wasSo: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("/files/", http.StripPrefix("/files/", http.FileServer(http.Dir(root))))
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("POST /sum", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		if _, err := io.Copy(h, r.Body); err == nil {
			fmt.Fprintf(w, "%x", h.Sum(nil))
		}
	})
	mux.HandleFunc("/fields", serveFields)
	mux.HandleFunc("POST /trailers", serveTrailers)
	mux.HandleFunc("POST /early", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		io.WriteString(w, "too much")
	})
	mux.HandleFunc("/endless", s.serveEndless)
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "the first half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/cancelled", func(w http.ResponseWriter, r *http.Request) {
		<-s.wasSo
		fmt.Fprint(w, s.cancelled.Load())
	})
	mux.HandleFunc("/goaway", func(w http.ResponseWriter, r *http.Request) {
		s.shutdown()
		io.WriteString(w, "the last")
	})
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		mux.ServeHTTP(w, r)
	})
	return s
}

// web is a server of ours for HTTP/3, with the suite.
type web struct {
	*suite
	addr   string
	cert   tls.Certificate
	ca     string
	server *http3.Server
}

func listenWeb(t *testing.T, root string, configure func(*http3.Server)) *web {
	t.Helper()
	w := &web{suite: newSuite(root)}
	w.cert, w.ca = issued(t)
	w.server = &http3.Server{
		HTTP: &http.Server{Handler: w.suite, TLSConfig: &tls.Config{Certificates: []tls.Certificate{w.cert}}},
		QUIC: &quic.Config{},
	}
	w.shutdown = func() {
		begun := make(chan struct{})
		w.server.RegisterOnShutdown(func() { close(begun) })
		go w.server.Shutdown(context.Background())
		<-begun
	}
	if configure != nil {
		configure(w.server)
	}
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	w.addr = fmt.Sprintf("localhost:%d", pc.LocalAddr().(*net.UDPAddr).Port)
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(pc) }()
	t.Cleanup(func() {
		w.server.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("Serve ended with %v", err)
		}
	})
	return w
}

func serveFields(w http.ResponseWriter, r *http.Request) {
	n := 0
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Large-") {
			n += len(values[0])
		}
	}
	for i := range 60 {
		w.Header().Set(fmt.Sprintf("x-large-%d", i), strings.Repeat(string(rune('a'+i%26)), 1000))
	}
	fmt.Fprint(w, n)
}

func serveTrailers(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "X-Answer-Sum")
	h := sha256.New()
	if _, err := io.Copy(h, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, r.Trailer.Get("X-Sum"))
	w.Header().Set("X-Answer-Sum", hex.EncodeToString(h.Sum(nil)))
}

func (s *suite) serveEndless(w http.ResponseWriter, r *http.Request) {
	var piece [32 << 10]byte
	for {
		if _, err := w.Write(piece[:]); err != nil {
			break
		}
	}
	<-r.Context().Done()
	if s.cancelled.Add(1) == 1 {
		close(s.wasSo)
	}
}

// TestHTTP3PythonClients: clients for HTTP/3 from PyPI, our server. Between them are three implementations of HTTP/3 and QPACK (nghttp3,
// aioquic's with ls-qpack, qh3's), with the dynamic table and without.
func TestHTTP3PythonClients(t *testing.T) {
	for _, client := range []string{"pycurl", "curl_cffi", "chrome", "niquests", "aioquic"} {
		t.Run(client, func(t *testing.T) {
			root, got := webRoot(t), t.TempDir()
			w := listenWeb(t, root, nil)
			args := []string{"testdata/http3_client.py", client, w.addr, w.ca, root, got}
			for name := range files {
				args = append(args, name)
			}
			runOK(t, wantPython(t), args...)
			wantSame(t, got, root)
			if n := w.requests.Load(); n < 110 {
				t.Errorf("the server saw %d requests, want 110 at least", n)
			}
		})
	}
}
