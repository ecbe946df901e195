package interop

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/boringquic/boringquic/quic/http3"
)

// The sizes of what browsers move, in bytes.
const (
	browserDownload = 50 << 20
	browserUpload   = 10 << 20
	browserImages   = 100
)

// browserPage is what a browser is given to do; it sends what it makes of it to /report. Twice: the second time over a new connection.
const browserPage = `<!DOCTYPE html>
<html><head><meta charset="utf-8"><link rel="icon" href="data:,"></head><body><script>
const hex = b => [...new Uint8Array(b)].map(x => x.toString(16).padStart(2, '0')).join('');
async function images() {
  await Promise.all([...Array(100).keys()].map(i => new Promise((done, failed) => {
    const img = new Image();
    img.onload = () => img.naturalWidth === i + 1 ? done() : failed('image ' + i + ' is ' + img.naturalWidth + ' wide');
    img.onerror = () => failed('image ' + i + ' does not load');
    img.src = '/image/' + i + '.png?' + Math.random();
    document.body.append(img);
  })));
}
async function form() {
  const r = await fetch('/form', {method: 'POST', body: new URLSearchParams({name: 'Grüße', value: 'a b&c'})});
  return r.text();
}
async function download() {
  const b = await (await fetch('/download')).arrayBuffer();
  return hex(await crypto.subtle.digest('SHA-256', b));
}
async function upload() {
  const data = new Uint8Array(10 << 20).map((_, i) => i * 7 + (i >> 8));
  const r = await fetch('/upload', {method: 'POST', body: data});
  return [await r.text(), hex(await crypto.subtle.digest('SHA-256', data))];
}
async function main() {
  const out = {round: Number(new URLSearchParams(location.search).get('round'))};
  performance.setResourceTimingBufferSize(1000);
  try {
    await images();
    out.form = await form();
    if (out.round === 0) {
      out.download = await download();
      out.upload = await upload();
    }
  } catch (e) { out.error = String(e); }
  out.protocols = [performance.getEntriesByType('navigation')[0], ...performance.getEntriesByType('resource')].map(e => e.nextHopProtocol);
  await fetch('/report', {method: 'POST', body: JSON.stringify(out)});
  if (out.round === 0) {
    await new Promise(done => setTimeout(done, 500)); // the server closes the connection meanwhile
    location.search = '?round=1';
  }
}
main();
</script></body></html>`

// browserReport is what a browser tells.
type browserReport struct {
	Round     int
	Error     string
	Form      string
	Download  string
	Upload    [2]string
	Protocols []string

	proto   string // as the server saw it
	resumed bool
}

// browserSite serves browserPage and what it asks for.
type browserSite struct {
	reports chan browserReport
	resumed [2]atomic.Bool // whether the page of a round came over a connection that resumes a session
}

func (b *browserSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/":
		if round, err := strconv.Atoi(r.FormValue("round")); err == nil && round < 2 {
			b.resumed[round].Store(r.TLS.DidResume)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, browserPage)
	case r.URL.Path == "/form":
		fmt.Fprint(w, r.FormValue("name"), "|", r.FormValue("value"))
	case r.URL.Path == "/download":
		w.Header().Set("Content-Length", strconv.Itoa(browserDownload))
		var piece [64 << 10]byte
		for n := 0; n < browserDownload; n += len(piece) {
			w.Write(piece[:])
		}
	case r.URL.Path == "/upload":
		h := sha256.New()
		io.Copy(h, r.Body)
		fmt.Fprintf(w, "%x", h.Sum(nil))
	case r.URL.Path == "/report":
		report := browserReport{proto: r.Proto}
		if err := json.NewDecoder(r.Body).Decode(&report); err != nil {
			report.Error = err.Error()
		}
		report.resumed = b.resumed[report.Round&1].Load()
		w.Header().Set("Connection", "close") // the next round has a connection of its own
		b.reports <- report
	case strings.HasPrefix(r.URL.Path, "/image/"):
		var i int
		fmt.Sscanf(r.URL.Path, "/image/%d.png", &i)
		w.Header().Set("Content-Type", "image/png")
		png.Encode(w, image.NewGray(image.Rect(0, 0, i+1, 8)))
	default:
		http.NotFound(w, r)
	}
}

// browser is how a browser is started on a page without a screen; shot, if not empty, is a file for a picture of it, after which the browser ends.
type browser struct {
	name    string
	command func(t *testing.T, w *web, url, shot string, width, height int) *exec.Cmd
}

var browsers = []browser{{"chromium", chromium}, {"firefox", firefox}}

// chromium takes the certificate by the hash of its key, and speaks QUIC from the first.
func chromium(t *testing.T, w *web, url, shot string, width, height int) *exec.Cmd {
	t.Helper()
	leaf, err := x509.ParseCertificate(w.cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	key := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	args := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--host-resolver-rules=MAP localhost 127.0.0.1", "--hide-scrollbars", "--user-data-dir=" + t.TempDir(), "--origin-to-force-quic-on=" + w.addr,
		"--ignore-certificate-errors-spki-list=" + base64.StdEncoding.EncodeToString(key[:]),
		fmt.Sprintf("--window-size=%d,%d", width, height),
	}
	if shot != "" {
		args = append(args, "--screenshot="+shot)
	} else {
		args = append(args, "--remote-debugging-port=0") // it stays
	}
	return exec.Command("chromium", append(args, url)...)
}

// firefox has a profile in which the certificate is trusted and the server known to have HTTP/3.
func firefox(t *testing.T, w *web, url, shot string, width, height int) *exec.Cmd {
	t.Helper()
	profile := t.TempDir()
	_, port, err := net.SplitHostPort(w.addr)
	if err != nil {
		t.Fatal(err)
	}
	prefs := map[string]any{
		"network.http.http3.enable":                               true,
		"network.http.http3.alt-svc-mapping-for-testing":          "localhost;h3=:" + port,
		"network.http.http3.disable_when_third_party_roots_found": false,
		"network.dns.disableIPv6":                                 true,
		"browser.shell.checkDefaultBrowser":                       false,
		"browser.startup.homepage_override.mstone":                "ignore",
		"datareporting.policy.dataSubmissionEnabled":              false,
		"toolkit.telemetry.reportingpolicy.firstRun":              false,
		"app.normandy.enabled":                                    false,
		"network.captive-portal-service.enabled":                  false,
		"network.connectivity-service.enabled":                    false,
	}
	var b strings.Builder
	for name, value := range prefs {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "user_pref(%q, %s);\n", name, text)
	}
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	runOK(t, "certutil", "-N", "-d", "sql:"+profile, "--empty-password")
	runOK(t, "certutil", "-A", "-d", "sql:"+profile, "-n", "ca", "-t", "C,,", "-i", w.ca)
	args := []string{"--headless", "--no-remote", "--profile", profile, fmt.Sprintf("--window-size=%d,%d", width, height)}
	if shot != "" {
		args = append(args, "--screenshot", shot)
	}
	cmd := exec.Command("firefox-esr", append(args, url)...)
	cmd.Env = append(os.Environ(), "HOME="+profile, "MOZ_HEADLESS=1")
	return cmd
}

// TestHTTP3Browsers: Chromium and Firefox load a page with 100 images, post a form, download 50 MB and upload 10 MB over HTTP/3, and load the
// page again over a connection that resumes the session. What they say of it themselves (nextHopProtocol) agrees with the server.
func TestHTTP3Browsers(t *testing.T) {
	for _, b := range browsers {
		t.Run(b.name, func(t *testing.T) {
			site := &browserSite{reports: make(chan browserReport, 2)}
			w := listenWeb(t, t.TempDir(), func(s *http3.Server) { s.HTTP.Handler = site })
			ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
			defer cancel()
			startCommand(t, b.command(t, w, "https://"+w.addr+"/?round=0", "", 800, 600))
			for round := range 2 {
				select {
				case r := <-site.reports:
					checkReport(t, r, round)
				case <-ctx.Done():
					t.Fatalf("the browser has not told of round %d", round)
				}
			}
		})
	}
}

func checkReport(t *testing.T, r browserReport, round int) {
	t.Helper()
	if r.Error != "" || r.Round != round {
		t.Fatalf("round %d, which should be %d: %s", r.Round, round, r.Error)
	}
	if r.Form != "Grüße|a b&c" {
		t.Errorf("the form came back as %q", r.Form)
	}
	if want := fmt.Sprintf("%x", sha256.Sum256(make([]byte, browserDownload))); round == 0 && r.Download != want {
		t.Errorf("the download has the sum %s, want %s", r.Download, want)
	}
	if round == 0 && (r.Upload[0] == "" || r.Upload[0] != r.Upload[1]) {
		t.Errorf("the server says that the upload has the sum %s, the browser %s", r.Upload[0], r.Upload[1])
	}
	if len(r.Protocols) < browserImages+1 {
		t.Errorf("the browser tells of %d transfers, want %d at least", len(r.Protocols), browserImages+1)
	}
	for _, p := range r.Protocols {
		if p != "h3" {
			t.Fatalf("the browser says that it used %q; all: %q", p, r.Protocols)
		}
	}
	if r.proto != "HTTP/3.0" {
		t.Errorf("the server says that it is %s", r.proto)
	}
	// Chromium at times opens a connection before that of the first page, which then resumes its session.
	if round == 1 && !r.resumed {
		t.Error("the second page came over a connection that resumes no session")
	}
}
