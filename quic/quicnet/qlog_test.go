package quicnet

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic"
)

// Both sides of a connection write a file whose name begins with the same connection ID, complete when the connection is over; and where a folder
// cannot be written to, that is told once and nothing else happens.
func TestQlogDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "qlog")
	id, _ := quic.MakeConnID([]byte{1, 2, 0xab})
	hook := QlogDir(dir, func(err error) { t.Error(err) })
	for _, client := range []bool{true, false} {
		w := hook(client, id)
		if w == nil {
			t.Fatal("there is no file")
		}
		w.Write([]byte("x"))
		w.Close()
	}
	for _, name := range []string{"0102ab_client.sqlog", "0102ab_server.sqlog"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != "x" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, dir := range []string{filepath.Join(file, "below"), dir} { // the second has such files already
		hook, told = QlogDir(dir, func(error) { told++ }), 0
		for range 3 {
			if w := hook(true, id); w != nil {
				t.Errorf("%s: a file was opened", dir)
			}
		}
		if told != 1 {
			t.Errorf("%s: told %d times", dir, told)
		}
		QlogDir(dir, nil)(true, id)
	}
}

// Connections beyond the most that are traced at a time have no trace, which is told once; when one is over, there is room for another.
func TestQlogDirBound(t *testing.T) {
	told := 0
	hook := QlogDir(t.TempDir(), func(err error) {
		if told++; err.Error() != "no qlog is written: 512 connections are traced, and no more are at a time" {
			t.Error(err)
		}
	})
	id := func(n int) quic.ConnID {
		id, _ := quic.MakeConnID([]byte{byte(n >> 8), byte(n)})
		return id
	}
	var open []io.Closer
	for n := range maxTraces + 10 {
		if w := hook(false, id(n)); w != nil {
			open = append(open, w)
		}
	}
	if len(open) != maxTraces || told != 1 {
		t.Errorf("%d connections are traced, and told %d times", len(open), told)
	}
	for round := range 3 {
		open[round].Close()
		if w := hook(false, id(0)); w != nil { // which takes no place
			t.Error("a file was opened that was there")
		}
		w := hook(false, id(1000+round))
		if w == nil {
			t.Fatal("where one is over, there is no room for another")
		}
		open[round] = w
	}
	for _, w := range open {
		w.Close()
	}
}

// A connection of quicnet is traced from its begin to its end.
func TestQlogOfConnections(t *testing.T) {
	dir := t.TempDir()
	server, client := serverConfig(), clientConfig()
	server.Qlog, client.Qlog = QlogDir(dir, func(err error) { t.Error(err) }), QlogDir(dir, func(err error) { t.Error(err) })
	ep := listen(t, server)
	c := dial(t, ep, client)
	accepted, err := ep.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close() // not before the client's Dial has returned, which might meet that
	c.Close()
	ep.Close()
	for _, side := range []string{"client", "server"} {
		files, _ := filepath.Glob(filepath.Join(dir, "*_"+side+".sqlog"))
		if len(files) != 1 {
			t.Fatalf("%d files of the %s", len(files), side)
		}
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		for i, record := range bytes.Split(b, []byte{0x1e})[1:] {
			if !json.Valid(record) {
				t.Errorf("%s: record %d is malformed: %q", side, i, record)
			}
		}
		for _, want := range []string{`"type":"` + side + `"`, "quic:packet_sent", "quic:connection_closed"} {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s: there is no %s in %d bytes", side, want, len(b))
			}
		}
	}
}
