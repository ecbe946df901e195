package crossing

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// differences are what testdata/differs.c prints, linked to our library and to quiche. What stands before the first colon is how quiche.md calls it.
var differences = []struct{ claim, ours, theirs string }{
	{"versions: 2 is supported", "1", "0"},
	{"versions: a reserved one", "00000001", "babababa"},
	{"flow control: bidirectional streams", "5000", "1000"},
	{"flow control: a limit of 0", "1", "0"},
	{"settings: the initial window", "2400", "1200"},
	{"settings: the largest initial window", "1200000", "6000000"},
	{"settings: sent to an address that nobody has validated", "3 times what came", "more"},
	{"settings: connection IDs", "16", "100"},
	{"settings: connection IDs if nothing is set", "4", "2"},
	{"settings: a long PRIORITY_UPDATE", "an error", "taken"},
	{"pacing: cubic", "at is ahead", "at is now"},
	{"congestion control: BBR's bandwidth", "none", "there"},
	{"datagrams: queued", "128", "200"},
	{"protocols: a server without any", "0", "1"},
	{"trains: out of 1000 bytes", "0", "1"},
	{"trains: sent with the first", "several", "one"},
	{"trains: another path meanwhile", "-1", "-6"},
	{"quantum: without pacing", "64 KiB", "less"},
	{"timeout: due", "1 0", "0 0"},
	{"timeout: a datagram that is too late", "closed 1", "closed 0"},
	{"stateless reset: recv", "-1", "100"},
	{"paths: the number of a connection ID", "0", "1"},
	{"paths: send_ack_eliciting_on_path", "refused", "taken"},
	{"buffers: stream_send beyond the capacity", "taken", "not taken"},
	{"buffers: the first of those writable", "8", "0"},
	{"streams: of a type", "1048576", "1073741824"},
	{"streams: one below another", "1", "-7"},
	{"forgotten: stream_recv", "-7", "-1"},
	{"stopped: and all was read", "-15", "-1"},
	{"ended: capacity", "0", "1"},
	{"ended: writable", "0", "1"},
	{"shut down: when all had arrived", "10", "-1"},
	{"closed: stream_recv", "-1", "10"},
	{"short room: dgram_recv", "-2, front stays", "-2, front is gone"},
	{"connection IDs: bytes of what a client sends to first", "8", "16"},
	{"connection IDs: to be given", "2", "99"},
	{"connection IDs: before the handshake", "-17", "0"},
	{"garbage: first of all", "100 closed 0", "-2 closed 1"},
	{"statistics: max_rtt", "0", "counted"},
	{"session: of quiche's form", "0", "1"},
	{"0-RTT: tickets of another config", "0", "1"},
	{"0-RTT: the same packets again", "0", "1"},
	{"HTTP/3: QPACK's dynamic table", "4096", "0"},
	{"HTTP/3: a request without a scheme", "-18", "0"},
	{"HTTP/3: a body longer than was declared", "-18", "6"},
	{"exchanges: send_body on one that has ended", "-1007", "-9"},
}

// elsewhere are what quiche.md says that cannot be compared with quiche by a call, and the function of C in ../testdata that looks at it.
var elsewhere = map[string]struct{ file, function string }{
	"gathering":      {"quiche_ahead.c", "gathered"},
	"small messages": {"quiche_ahead.c", "whole"},
	"qlog":           {"quiche_settings.c", "qlog"},
	"reset":          {"quiche_http3.c", "resets"},
}

// quiche.md is true: what it says of a function that does something else than quiche's is so with our library, and not with quiche.
func TestDiffers(t *testing.T) {
	doc, err := os.ReadFile("../quiche.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(doc), "with these differences:\n")
	list, _, _ = strings.Cut(list, "\nNot in 0.30.0")
	written := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^- (\*\*([^*]+)\*\*)?`).FindAllStringSubmatch(list, -1) {
		if row[2] == "" || written[row[2]] {
			t.Errorf("a difference has no name of its own: %q", row[0])
		}
		written[row[2]] = true
	}
	known := map[string]bool{}
	for name, at := range elsewhere {
		known[name] = true
		if source, err := os.ReadFile(filepath.Join("../testdata", at.file)); err != nil || !strings.Contains(string(source), "static void "+at.function+"(void) {") {
			t.Errorf("there is no %s in %s: %v", at.function, at.file, err)
		}
	}
	for _, d := range differences {
		name, _, _ := strings.Cut(d.claim, ":")
		known[name] = true
		if d.ours == d.theirs {
			t.Errorf("%s: it does the same as quiche", d.claim)
		}
	}
	if have, want := slices.Sorted(maps.Keys(known)), slices.Sorted(maps.Keys(written)); !slices.Equal(have, want) {
		t.Errorf("what is looked at:\n%q\nquiche.md has:\n%q", have, want)
	}

	exes, dir := compile(t, "testdata/differs.c"), certificate(t)
	chain, err := os.ReadFile(filepath.Join(dir, "cert.crt"))
	if err == nil { // a server has much to send with it
		err = os.WriteFile(filepath.Join(dir, "many.crt"), bytes.Repeat(chain, 30), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []library{ours, theirs} {
		printed := map[string]string{}
		for line := range strings.Lines(run(t, time.Minute, exes[l.name], filepath.Join(dir, "cert.crt"), filepath.Join(dir, "cert.key"), filepath.Join(dir, "many.crt"))) {
			at := strings.LastIndex(line, ": ")
			if at < 0 {
				t.Fatalf("%s printed %q, which is no claim", l.name, line)
			}
			printed[line[:at]] = strings.TrimSpace(line[at+2:])
		}
		for _, d := range differences {
			want := d.theirs
			if l.name == ours.name {
				want = d.ours
			}
			if got, found := printed[d.claim]; !found || got != want {
				t.Errorf("%s: %s is %q, want %q", l.name, d.claim, got, want)
			}
			delete(printed, d.claim)
		}
		if len(printed) > 0 {
			t.Errorf("%s: nobody knows of %q", l.name, printed)
		}
	}
}
