package interop

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// rustHTTP3 are the programs in Rust that speak HTTP/3.
var rustHTTP3 = []struct {
	name string
	can  serverFeatures
}{
	// Their GOAWAY names the request under way, which by RFC 9114, section 5.2, is one that they reject: our client asks anew over other connections, where
	// it meets the same.
	{"h3-quinn", serverFeatures{echo: true, fields: true, trailers: true, early: true, cancel: true, told: true}},
	// It does not show trailers that come.
	{"tokio-quiche", serverFeatures{echo: true, fields: true, early: true, cancel: true, told: true}},
}

// TestHTTP3RustServers: our client; the servers of h3-quinn and tokio-quiche.
func TestHTTP3RustServers(t *testing.T) {
	for _, peer := range rustHTTP3 {
		t.Run(peer.name, func(t *testing.T) {
			root := webRoot(t)
			_, cert, key := certificate(t)
			line := start(t, rustPeer(t, peer.name), "server", "127.0.0.1:0", root, cert, key).firstLine(t)
			_, addr, ok := strings.Cut(line, "listening on ")
			if !ok {
				t.Fatalf("the server's first line is %q", line)
			}
			askWeb(t, addr, cert, root, peer.can)
		})
	}
}

// TestHTTP3RustClients: the clients of h3-quinn and tokio-quiche; our server.
func TestHTTP3RustClients(t *testing.T) {
	for _, peer := range rustHTTP3 {
		t.Run(peer.name, func(t *testing.T) {
			program := rustPeer(t, peer.name) // may have to be compiled
			root, got := webRoot(t), t.TempDir()
			w := listenWeb(t, root, nil)
			_, port, err := net.SplitHostPort(w.addr)
			if err != nil {
				t.Fatal(err)
			}
			args := []string{"client", w.ca, "127.0.0.1:" + port, root, got}
			for name := range files {
				args = append(args, name)
			}
			runOK(t, program, args...)
			wantSame(t, got, root)
		})
	}
}

// TestHTTP3RuleBreaker: h3i, Cloudflare's client that breaks rules, against our server. Each case has a connection of its own, and an ordinary
// request follows on stream 4: it is answered unless the connection had to be closed. The codes are those of RFC 9114, RFC 9204, RFC 9218 and
// RFC 9297.
func TestHTTP3RuleBreaker(t *testing.T) {
	program := rustPeer(t, "h3i")
	root := webRoot(t)
	w := listenWeb(t, root, nil)
	_, port, err := net.SplitHostPort(w.addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "127.0.0.1:"+port)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(out))
	}
	got := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, outcome, _ := strings.Cut(strings.TrimSpace(line), ": connection ")
		got[name] = outcome
	}
	for outcome, names := range ruleBreaks {
		for _, name := range names {
			if got[name] == "" {
				t.Errorf("%s was not tried", name)
			} else if outcome != closed(outcome, got[name]) {
				t.Errorf("%s: connection %s; want %s", name, got[name], outcome)
			}
			delete(got, name)
		}
	}
	for name := range got {
		t.Errorf("nothing is known of %s", name)
	}
}

// closed is the outcome without what is not certain: what comes on streams of a connection that is closed.
func closed(want, got string) string {
	if code, _, ok := strings.Cut(got, ","); ok && !strings.Contains(want, ",") {
		return code
	}
	return got
}

// ruleBreaks are h3i's cases by what must become of them: the connection's code alone where it is closed.
var ruleBreaks = map[string][]string{
	"-, stream 0 200, stream 4 200": {
		"nothing wrong", "reserved frame, setting and stream", "unidirectional stream reset before its type", "Stream Cancellation of nothing",
	},
	"-, stream 0 0x10e, stream 4 200": { // H3_MESSAGE_ERROR
		"duplicate :method", "no :method", "no :scheme", "no :path", "empty :path", "neither :authority nor host", ":authority and host differ",
		"unknown pseudo-header", ":status in a request", "pseudo-header after a field", "upper case", "blank in a name", "line feed in a value",
		"connection field", "transfer-encoding", "te: gzip", "content-length too long", "content-length too short", "content-length +4",
		"content-length and a bare end", "pseudo-header in trailers",
	},
	"0x103": {"second control stream", "second encoder stream", "second decoder stream", "push stream of a client"}, // H3_STREAM_CREATION_ERROR
	"0x104": {"control stream ends", "control stream is reset", "encoder stream ends", "decoder stream ends"},       // H3_CLOSED_CRITICAL_STREAM
	"0x105": { // H3_FRAME_UNEXPECTED
		"DATA before HEADERS", "HEADERS after trailers", "DATA after trailers", "SETTINGS on a request stream", "CANCEL_PUSH on a request stream",
		"GOAWAY on a request stream", "MAX_PUSH_ID on a request stream", "PUSH_PROMISE", "PRIORITY_UPDATE on a request stream", "HTTP/2 PRIORITY",
		"HTTP/2 PING", "HTTP/2 WINDOW_UPDATE on control", "HTTP/2 CONTINUATION on control", "DATA on control", "HEADERS on control", "second SETTINGS",
	},
	"0x106": {"end within a frame", "GOAWAY of 9 bytes", "SETTINGS that end within a setting"},                                  // H3_FRAME_ERROR
	"0x108": {"MAX_PUSH_ID that falls", "CANCEL_PUSH of nothing", "PRIORITY_UPDATE of a push", "PRIORITY_UPDATE of no request"}, // H3_ID_ERROR
	"0x109": {"HTTP/2 setting", "duplicate setting", "H3_DATAGRAM 2"},                                                           // H3_SETTINGS_ERROR
	"0x10a": {"MAX_PUSH_ID before SETTINGS"},                                                                                    // H3_MISSING_SETTINGS
	"0x200": {"static table index 99", "Required Insert Count beyond all"},                                                      // QPACK_DECOMPRESSION_FAILED
	"0x201": {"capacity beyond all", "Duplicate of nothing"},                                                                    // QPACK_ENCODER_STREAM_ERROR
	"0x202": {"Insert Count Increment 0", "Insert Count Increment beyond all", "Section Acknowledgment of nothing"},             // QPACK_DECODER_STREAM_ERROR
}
