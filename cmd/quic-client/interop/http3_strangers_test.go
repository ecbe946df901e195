package interop

import (
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
	"github.com/boringquic/boringquic/quic/http3"
)

// Programs from PyPI that are not in Python: Bun, a runtime for JavaScript, whose HTTP/3 is lsquic, and Envoy, a proxy, whose HTTP/3 is Google's QUICHE.

// pythonProgram returns a program that came with the peers in Python.
func pythonProgram(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(filepath.Dir(wantPython(t)), name)
}

// TestHTTP3BunServer: our client; Bun's server. It takes less than 60 KB of fields, and says so.
func TestHTTP3BunServer(t *testing.T) {
	root := webRoot(t)
	_, cert, key := certificate(t)
	line := start(t, pythonProgram(t, "bun"), "testdata/http3_bun_server.js", root, cert, key).firstLine(t)
	_, addr, ok := strings.Cut(line, "listening on ")
	if !ok {
		t.Fatalf("the server's first line is %q", line)
	}
	askWeb(t, addr, cert, root, serverFeatures{echo: true, early: true, cancel: true, told: true, goaway: true})
}

// TestHTTP3BunClient: Bun's client; our server.
func TestHTTP3BunClient(t *testing.T) {
	root, got := webRoot(t), t.TempDir()
	w := listenWeb(t, root, nil)
	_, port, err := net.SplitHostPort(w.addr)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"testdata/http3_bun_client.js", "127.0.0.1:" + port, root, got} // for localhost it asks ::1 alone
	for name := range files {
		args = append(args, name)
	}
	runOK(t, pythonProgram(t, "bun"), args...)
	wantSame(t, got, root)
	if n := w.requests.Load(); n < 110 {
		t.Errorf("the server saw %d requests, want 110 at least", n)
	}
}

// envoyConfig has Envoy hand what comes over HTTP/3 on over HTTP/3. Without prefer_gro it has its kernel join datagrams, and loses those that are
// joined, since it reads 1500 bytes: uploads take seconds there.
const envoyConfig = `
static_resources:
  listeners:
  - address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: FRONT}}
    udp_listener_config: {quic_options: {}, downstream_socket_config: {prefer_gro: true}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.quic
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport
          downstream_tls_context: {common_tls_context: {tls_certificates: [{certificate_chain: {filename: "CERT"}, private_key: {filename: "KEY"}}]}}
      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          codec_type: HTTP3
          stat_prefix: front
          max_request_headers_kb: 96
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: behind, timeout: 0s}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
  clusters:
  - name: behind
    load_assignment: {cluster_name: behind, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: BEHIND}}}}]}]}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http3_protocol_options: {}}
        common_http_protocol_options: {max_response_headers_kb: 96}
    transport_socket:
      name: envoy.transport_sockets.quic
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicUpstreamTransport
        upstream_tls_context: {sni: localhost, common_tls_context: {validation_context: {trusted_ca: {filename: "ROOTS"}}}}
`

// TestHTTP3Envoy: our client; Envoy, as a server and as a client; our server, which demands Retry.
func TestHTTP3Envoy(t *testing.T) {
	root := webRoot(t)
	w := listenWeb(t, root, func(s *http3.Server) { s.QUIC.Retry = func(netip.AddrPort) bool { return true } })
	_, behind, err := net.SplitHostPort(w.addr)
	if err != nil {
		t.Fatal(err)
	}
	_, cert, key := certificate(t)
	front := strconv.Itoa(freeport.Take(t))
	config := strings.NewReplacer("FRONT", front, "CERT", cert, "KEY", key, "BEHIND", behind, "ROOTS", w.ca).Replace(envoyConfig)
	start(t, pythonProgram(t, "envoy"), "--config-yaml", config, "--disable-hot-restart", "--concurrency", "1", "--log-level", "error")
	askWeb(t, "127.0.0.1:"+front, cert, root, allOfSuite)
	if n := w.requests.Load(); n < 110 {
		t.Errorf("the server saw %d requests, want 110 at least", n)
	}
}
