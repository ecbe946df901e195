package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/cmd/quic-interop/internal/endpoint"
)

// What the program says, and its exit code, where it cannot begin.
func TestExitCodes(t *testing.T) {
	certs, www := t.TempDir(), t.TempDir()
	makeCerts(t, certs, 1)
	for _, c := range []struct {
		name string
		env  string // separated by semicolons
		args string
		code int
		says string
	}{
		{"client, random slug", "ROLE=client;TESTCASE=xhwudb;REQUESTS=https://127.0.0.1:1/x", "", exitUnsupported, `"xhwudb": this test case is not supported; those that are: amp`},
		{"server, random slug", "ROLE=server;TESTCASE=xhwudb", "", exitUnsupported, "not supported"},
		{"client, WebTransport", "ROLE=client;TESTCASE=webtransport;REQUESTS=https://127.0.0.1:1/x", "", exitUnsupported, "not supported"},
		{"no files, http3", "ROLE=server;TESTCASE=http3", "--certs " + certs + " --www /no/such", exitFailed, "cannot serve /no/such"},
		{"address, http3", "ROLE=server;TESTCASE=http3", "--certs " + certs + " --www " + www + " --listen 192.0.2.1:1", exitFailed, "cannot listen on 192.0.2.1:1"},
		{"no test case", "ROLE=server", "", exitUnsupported, "not supported"},
		{"not supported, nobody to wait for", "ROLE=client;TESTCASE=xhwudb", "--wait 127.0.0.1:1", exitUnsupported, "not supported"},
		{"no role", "TESTCASE=handshake", "", exitUsage, `ROLE is "" and must be client or server`},
		{"no URL", "ROLE=client;TESTCASE=handshake", "", exitUsage, "REQUESTS names no URL"},
		{"URL without file", "ROLE=client;TESTCASE=handshake;REQUESTS=https://server:443/", "", exitUsage, "not of the form"},
		{"URL with folder's parent", "ROLE=client;TESTCASE=handshake;REQUESTS=https://server:443/a/%2e%2e", "", exitUsage, "not of the form"},
		{"two servers", "ROLE=client;TESTCASE=handshake;REQUESTS=https://a/x https://b/x", "", exitUsage, "of another server"},
		{"no certificate", "ROLE=server;TESTCASE=handshake", "--certs " + www, exitFailed, "no usable certificate in " + www},
		{"no files", "ROLE=server;TESTCASE=handshake", "--certs " + certs + " --www /no/such", exitFailed, "cannot serve /no/such"},
		{"address", "ROLE=server;TESTCASE=handshake", "--certs " + certs + " --www " + www + " --listen 192.0.2.1:1", exitFailed, "cannot listen on 192.0.2.1:1"},
		{"key log", "ROLE=server;TESTCASE=handshake;SSLKEYLOGFILE=/no/such/file", "--certs " + certs, exitFailed, "SSLKEYLOGFILE"},
		{"flag", "ROLE=server;TESTCASE=handshake", "--no-such-flag", exitUsage, "--no-such-flag"},
		{"flag of the runner's", "ROLE=server;TESTCASE=handshake;SERVER_PARAMS=--no-such-flag;CLIENT_PARAMS=--other", "", exitUsage, "--no-such-flag"},
		{"flag without a value", "ROLE=server;TESTCASE=handshake", "--www=", exitUsage, "--www is empty"},
		{"argument", "ROLE=server;TESTCASE=handshake", "x", exitUsage, "x"},
		{"version", "ROLE=client;TESTCASE=handshake;REQUESTS=https://a/x", "--version 3", exitUsage, "--version 3 is neither 1 nor 2"},
		{"help", "", "--help", exitOK, "Exit codes: 0 all files are there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr bytes.Buffer
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // in case it does begin
			env := make(map[string]string)
			for pair := range strings.SplitSeq(c.env, ";") {
				name, value, _ := strings.Cut(pair, "=")
				env[name] = value
			}
			code := program{env: func(name string) string { return env[name] }, stderr: &stderr}.run(ctx, strings.Fields(c.args))
			if code != c.code || !strings.Contains(stderr.String(), c.says) {
				t.Errorf("exit code %d, want %d; it says %q, want %q", code, c.code, stderr.String(), c.says)
			}
		})
	}
}

// What fails on the way leaves exit code 1 and no file.
func TestFailures(t *testing.T) {
	for name, s := range map[string]scenario{
		"nobody answers":     {client: "handshake", link: droplist(0, seq(1, 100)...)},
		"one URL to resume":  {client: "resumption", link: link()},
		"too little for U":   {client: "keyupdate", server: "transfer", link: link()},
		"nobody, http3":      {client: "http3", server: "handshake", link: link()}, // they agree on no protocol
		"no such test case":  {client: "xhwudb", link: link()},
		"server without one": {client: "handshake", server: "xhwudb", link: link()},
	} {
		t.Run(name, func(t *testing.T) {
			s.files = repeat(1, kb)
			dir := t.TempDir()
			for _, sub := range []string{"www", "downloads", "certs"} {
				if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			makeCerts(t, filepath.Join(dir, "certs"), 1)
			names := s.makeFiles(t, filepath.Join(dir, "www"), 1)
			codes := s.playInBubble(t, &result{T: t, s: &s}, dir, names, 1, new([2]bytes.Buffer))
			want := [2]int{exitOK, exitFailed}
			if !endpoint.Supported(s.client) {
				want[1] = exitUnsupported
			}
			if s.server == "xhwudb" || s.server == "" && !endpoint.Supported(s.client) {
				want[0] = exitUnsupported
			}
			if codes != want {
				t.Errorf("exit codes of server and client are %d, want %d", codes, want)
			}
			if left, err := os.ReadDir(filepath.Join(dir, "downloads")); err != nil || len(left) > 0 && name != "too little for U" && name != "one URL to resume" {
				t.Errorf("%d files are left, %v", len(left), err)
			}
		})
	}
}

func seq(from, to int) (ns []int) {
	for ; from <= to; from++ {
		ns = append(ns, from)
	}
	return ns
}
