package interop

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
	"github.com/boringquic/boringquic/quic/http3"
)

// What users put in front of their servers first: nginx and haproxy, in front of one in Go that speaks HTTP/1.1 and HTTP/2.

// startBehind starts the suite over TCP, for proxies, and returns its address.
func startBehind(t *testing.T, root string, pair tls.Certificate) string {
	s := httptest.NewUnstartedServer(newSuite(root))
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// nginxConfig has nginx demand Retry, as those do that are attacked.
const nginxConfig = `
user root;
worker_processes 1;
daemon off;
pid DIR/pid;
error_log stderr warn;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
  client_max_body_size 100m;
  large_client_header_buffers 8 128k;
  server {
    listen ADDR quic;
    quic_retry on;
    ssl_certificate CERT;
    ssl_certificate_key KEY;
    location / {
      proxy_pass https://BEHIND;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_buffer_size 128k;
      proxy_buffers 8 128k;
    }
  }
}
`

// TestHTTP3NginxServer: our client; nginx 1.26 in front of a server in Go. When it has read its configuration again it no longer knows its
// tokens and refuses them, and is asked without.
func TestHTTP3NginxServer(t *testing.T) {
	root, dir := webRoot(t), t.TempDir()
	pair, cert, key := certificate(t)
	addr := "127.0.0.1:" + strconv.Itoa(freeport.Take(t))
	config := fill(t, nginxConfig, "DIR", dir, "ADDR", addr, "CERT", cert, "KEY", key, "BEHIND", startBehind(t, root, pair))
	nginx := debian13Command(t, "sbin/nginx", "-e", "stderr", "-c", config)
	startCommand(t, nginx)
	askWeb(t, addr, cert, root, serverFeatures{echo: true, fields: true, early: true, cancel: true, told: true})
	t.Run("a new configuration", func(t *testing.T) {
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(leaf)
		tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(8)}}
		defer tr.CloseIdleConnections()
		for range 5 {
			resp, err := (&http.Client{Transport: tr, Timeout: limit}).Get("https://" + addr + "/files/small")
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); len(b) != files["small"] || err != nil {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			resp.Body.Close()
			tr.CloseIdleConnections()
			before := children(t, nginx.Process.Pid)
			if err := nginx.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			for since := time.Now(); !gone(before, children(t, nginx.Process.Pid)); time.Sleep(10 * time.Millisecond) {
				if time.Since(since) > limit { // a token of one worker's Retry is nothing to the next one
					t.Fatal("nginx goes on with what it had read before")
				}
			}
		}
	})
}

// children returns the processes that one has begun, in the kernel's words.
func children(t *testing.T, pid int) []string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(b))
}

// gone tells whether others are there in place of those before.
func gone(before, now []string) bool {
	return len(now) > 0 && !slices.ContainsFunc(now, func(pid string) bool { return slices.Contains(before, pid) })
}

// haproxyConfig has haproxy work with OpenSSL, which has too little of QUIC for 0-RTT.
const haproxyConfig = `
global
  limited-quic
  tune.bufsize 131072
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend front
  bind quic4@ADDR ssl crt BOTH alpn h3
  default_backend behind
backend behind
  server one BEHIND ssl verify none alpn h2
`

// TestHTTP3HaproxyServer: our client; haproxy 3.0 in front of a server in Go.
func TestHTTP3HaproxyServer(t *testing.T) {
	root := webRoot(t)
	pair, cert, key := certificate(t)
	var both []byte
	for _, file := range []string{cert, key} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, b...)
	}
	pem := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(pem, both, 0o600); err != nil {
		t.Fatal(err)
	}
	addr := "127.0.0.1:" + strconv.Itoa(freeport.Take(t))
	config := fill(t, haproxyConfig, "ADDR", addr, "BOTH", pem, "BEHIND", startBehind(t, root, pair))
	startCommand(t, debian13Command(t, "sbin/haproxy", "-db", "-f", config))
	askWeb(t, addr, cert, root, serverFeatures{echo: true, fields: true, trailers: true, early: true, cancel: true, told: true})
}

// TestHTTP3Debian13Curl: curl 8.14 with OpenSSL's QUIC; our server. It looks at no answer once it has been told by STOP_SENDING that what it sends is not
// wanted, so that it is told of early answers several times here.
func TestHTTP3Debian13Curl(t *testing.T) {
	root, got := webRoot(t), t.TempDir()
	w := listenWeb(t, root, nil)
	_, port, err := net.SplitHostPort(w.addr)
	if err != nil {
		t.Fatal(err)
	}
	base := "https://127.0.0.1:" + port // for localhost it asks ::1 as well, and takes that nobody is there for an error of what it does next
	try := func(args ...string) ([]byte, error) {
		t.Helper()
		cmd := debian13Command(t, "bin/curl", append([]string{"--silent", "--show-error", "--cacert", w.ca, "--http3-only", "--max-time", fmt.Sprint(limit.Seconds())}, args...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			err = fmt.Errorf("curl %s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
		}
		return out, err
	}
	curl := func(args ...string) []byte {
		t.Helper()
		out, err := try(args...)
		if err != nil {
			t.Error(err)
		}
		return out
	}
	for name := range files {
		curl("--output", filepath.Join(got, name), base+"/files/"+name)
	}
	wantSame(t, got, root)
	if head := string(curl("--head", base+"/files/large")); !strings.HasPrefix(head, "HTTP/3 200") || !strings.Contains(head, fmt.Sprint("content-length: ", files["large"])) {
		t.Errorf("HEAD: %s", head)
	}
	large, err := os.ReadFile(filepath.Join(root, "large"))
	if err != nil {
		t.Fatal(err)
	}
	if echo := curl("--data-binary", "@"+filepath.Join(root, "large"), base+"/echo"); !bytes.Equal(echo, large) {
		t.Errorf("%d bytes came back, of %d", len(echo), len(large))
	}
	// Where curl is told to stop while it writes, one in four is answered. On a busy machine it may come to the answer late.
	answered := 0
	for range 12 {
		out, err := try("--output", os.DevNull, "--write-out", "%{http_code}", "--data-binary", "@"+filepath.Join(root, "large"), base+"/early")
		if err == nil && string(out) == fmt.Sprint(http.StatusRequestEntityTooLarge) {
			answered++
		}
	}
	if answered < 9 {
		t.Errorf("%d of 12 requests have an early answer", answered)
	}
	if all := curl("--parallel", "--parallel-max", "100", base+"/files/small?[1-100]"); len(all) != 100*files["small"] {
		t.Errorf("100 at once: %d bytes came, of %d", len(all), 100*files["small"])
	}
}
