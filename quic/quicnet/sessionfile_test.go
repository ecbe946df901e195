package quicnet

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// sessionWith is a session that holds text.
func sessionWith(t *testing.T, text string) *tls.ClientSessionState {
	t.Helper()
	cs, err := newSessionState([][]byte{[]byte(text)}, false)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// textOf is what sessionWith was given.
func textOf(t *testing.T, cs *tls.ClientSessionState) string {
	t.Helper()
	_, state, err := cs.ResumptionState()
	if err != nil {
		t.Fatal(err)
	}
	if state == nil {
		return ""
	}
	return string(bytes.Join(state.Extra, []byte(",")))
}

// held returns what a cache has for a key.
func held(t *testing.T, c tls.ClientSessionCache, key string) string {
	t.Helper()
	cs, _ := c.Get(key)
	return textOf(t, cs)
}

func sessionCache(t *testing.T, path string) *FileSessionCache {
	t.Helper()
	c, err := NewFileSessionCache(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFileSessionCache(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sessions")
	c := sessionCache(t, path)
	if cs, ok := c.Get("a"); ok || cs != nil {
		t.Error("an empty cache has a session")
	}
	c.Put("a", nil)
	c.Put("a", sessionWith(t, "1"))
	c.Put("b", sessionWith(t, "2"))
	c.Put("a", sessionWith(t, "3"))
	other := sessionCache(t, path) // as of another process, or a later one
	if a, b := held(t, other, "a"), held(t, other, "b"); a != "3" || b != "2" {
		t.Errorf("the file holds %q and %q, want 3 and 2", a, b)
	}
	other.Put("b", nil)
	if b := held(t, c, "b"); b != "" {
		t.Errorf("what was removed is %q", b)
	}
	if err := c.Err(); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files are left: %v", len(entries), err)
	}
	if info, err := os.Stat(path); runtime.GOOS != "windows" && (err != nil || info.Mode() != 0o600) {
		t.Errorf("the file's mode is %v: %v", info.Mode(), err)
	}
}

// crypto/tls resumes over TCP what the file holds, and a session of QUIC beside it does no harm.
func TestFileSessionCacheOfTLS(t *testing.T) {
	cert, roots := pki()
	server := &tls.Config{Certificates: []tls.Certificate{cert}}
	path := filepath.Join(t.TempDir(), "sessions")
	for i := range 3 {
		cache := sessionCache(t, path)
		cache.Put("quic elsewhere", sessionWith(t, "x"))
		if resumed := overTCP(t, server, &tls.Config{RootCAs: roots, ServerName: "localhost", ClientSessionCache: cache}); resumed != (i > 0) {
			t.Errorf("connection %d: resumed is %v", i, resumed)
		}
	}
}

// overTCP has a connection of crypto/tls, and tells whether it resumed a session.
func overTCP(t *testing.T, server, client *tls.Config) bool {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if s, err := l.Accept(); err == nil {
			s.(*tls.Conn).Handshake()
			s.Close()
		}
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF { // the ticket comes before the end
		t.Fatal(err)
	}
	return c.ConnectionState().DidResume
}

// A file that is not to be used is left as it is, and the error is one sentence that names it.
func TestSessionFileRefused(t *testing.T) {
	good := encodedSessions(t, 3)
	future := slices.Clone(good)
	future[len(sessionMagic)]++
	for want, data := range map[string][]byte{
		"it is another kind of file: give another name":                                     []byte("# Sessions\n\nof the committee"),
		"it is larger than 1048576 bytes, which no file of sessions is: give another name":  make([]byte, maxSessionFile+1),
		"it has format 2, and this program knows format 1: give another name, or remove it": future,
		"it is damaged: remove it, and a new one is made":                                   good[:len(good)-1],
	} {
		path := filepath.Join(t.TempDir(), "sessions")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := NewFileSessionCache(path)
		if c != nil || fmt.Sprint(err) != "quicnet: no sessions in "+path+": "+want {
			t.Errorf("%v; want %s", err, want)
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, data) {
			t.Errorf("%s: the file has changed, %v", want, err)
		}
	}
	for name, want := range map[string]string{t.TempDir(): "it is not a file", "no/such/folder": "no such file or directory"} {
		if _, err := NewFileSessionCache(name); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s brought %v, want %q", name, err, want)
		}
	}
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		return // who may do everything
	}
	locked := filepath.Join(t.TempDir(), "locked")
	if err := os.WriteFile(locked, nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := NewFileSessionCache(locked); !os.IsPermission(err) {
		t.Errorf("a file that may not be read brought %v", err)
	}
}

// encodedSessions is a file of n sessions.
func encodedSessions(t *testing.T, n int) []byte {
	t.Helper()
	var f sessionFile
	for i := range n {
		f.put(fmt.Sprint("key ", i), sessionWith(t, fmt.Sprint("session ", i)), time.Now())
	}
	return f.encode()
}

// Damage at any byte, and each of the first bytes alone, is found out, and what the cache has got since is told.
func TestSessionFileDamaged(t *testing.T) {
	good := encodedSessions(t, 2)
	if f, err := parseSessionFile(good, time.Now()); err != nil || len(f.entries) != 2 {
		t.Fatal(err)
	}
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if _, err := parseSessionFile(bad, time.Now()); err == nil {
			t.Errorf("damage at byte %d of %d was not noticed", i, len(good))
		}
		if _, err := parseSessionFile(good[:i], time.Now()); err == nil && i > 0 {
			t.Errorf("%d bytes of %d are a file", i, len(good))
		}
	}
	path := filepath.Join(t.TempDir(), "sessions")
	c := sessionCache(t, path)
	if err := os.WriteFile(path, good[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	c.Put("a", sessionWith(t, "1"))
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "another kind of file") || held(t, c, "a") != "" {
		t.Errorf("a file that was damaged meanwhile: %v", err)
	}
	os.Remove(path)
	c.Put("a", sessionWith(t, "1"))
	if err := c.Err(); err != nil || held(t, c, "a") != "1" {
		t.Errorf("when it was removed: %v", err)
	}
}

// What is well formed and makes no sense is no session, and bounds hold for what is read and for what is written.
func TestSessionFileBounds(t *testing.T) {
	now := time.Now()
	sealed := func(body []byte) []byte {
		b := append(append([]byte(sessionMagic), sessionVersion), body...)
		sum := sha256.Sum256(b)
		return append(b, sum[:]...)
	}
	for _, body := range [][]byte{{0}, make([]byte, 8), make([]byte, 8+11), append(make([]byte, 8), 0xff, 0xff, 0xff, 0xff)} {
		if _, err := parseSessionFile(sealed(body), now); err == nil {
			t.Errorf("%x is taken for entries", body)
		}
	}
	f, err := parseSessionFile(sealed(make([]byte, 8+12)), time.Unix(0, 0))
	if err != nil || len(f.entries) != 1 || f.get("") != nil {
		t.Errorf("an entry without a session: %v", err)
	}

	f = new(sessionFile)
	for i := range maxSessions + 20 {
		f.put(fmt.Sprint(i), sessionWith(t, fmt.Sprint(i)), now)
	}
	if n := len(f.entries); n != maxSessions || f.get("19") != nil || f.get("20") == nil {
		t.Errorf("%d entries are kept, want %d, the newest ones", n, maxSessions)
	}
	large := strings.Repeat("x", maxSessionLen-2000)
	for i := range 20 {
		f.put(fmt.Sprint(i), sessionWith(t, large), now)
	}
	if n := len(f.encode()); n > maxSessionFile || n < maxSessionFile-maxSessionLen || f.get("19") == nil {
		t.Errorf("the file has %d bytes", n)
	}
	f.put("19", sessionWith(t, large+large), now)
	if f.err == nil || f.get("19") != nil {
		t.Errorf("a session that is too large: %v", f.err)
	}

	var old sessionFile
	old.put("old", sessionWith(t, "old"), now.Add(-maxSessionAge-time.Minute))
	old.put("new", sessionWith(t, "new"), now.Add(-maxSessionAge+time.Minute))
	old.put("from tomorrow", sessionWith(t, "tomorrow"), now.Add(24*time.Hour))
	if f, err = parseSessionFile(old.encode(), now); err != nil || len(f.entries) != 2 || f.get("old") != nil {
		t.Errorf("%d entries of another time, %v", len(f.entries), err)
	}
}

// A cache whose file cannot be replaced says so, and goes on when it can.
func TestSessionFileNotWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := sessionCache(t, filepath.Join(dir, "sessions"))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	c.Put("a", sessionWith(t, "1"))
	if err := c.Err(); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("a folder that is gone brought %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c.Put("a", sessionWith(t, "1"))
	if held(t, c, "a") != "1" || c.Err() != nil {
		t.Errorf("a folder that is there again brought %v", c.Err())
	}
}

func unwrapAll(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil {
			return err
		}
		if _, ok := err.(*fs.PathError); ok {
			return err
		}
		err = inner.Unwrap()
	}
}

// A link to the file stays a link.
func TestSessionFileLink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "sessions"), filepath.Join(dir, "link")
	sessionCache(t, path)
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	sessionCache(t, link).Put("a", sessionWith(t, "1"))
	if held(t, sessionCache(t, path), "a") != "1" {
		t.Error("what was written by the link is not in the file")
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link is %v, %v", info, err)
	}
}

// sessionWriterVar has this program's tests be a process that writes sessions: the path of the file, and the name of the process.
const sessionWriterVar = "QUICNET_TEST_SESSIONS"

// Processes and goroutines that change one file at once lose nothing of each other's.
func TestSessionFileShared(t *testing.T) {
	const writers, each = 3, 20
	if path, who, ok := strings.Cut(os.Getenv(sessionWriterVar), "|"); ok {
		appendSessions(t, path, who, each)
		return
	}
	path := filepath.Join(t.TempDir(), "sessions")
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { appendSessions(t, path, fmt.Sprint("goroutine", i), each) })
		if sharesFiles {
			wg.Go(func() {
				cmd := exec.Command(os.Args[0], "-test.run=^TestSessionFileShared$")
				cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|process%d", sessionWriterVar, path, i))
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
	wg.Wait()
	want := 2 * writers * each
	if !sharesFiles {
		return
	}
	if all := strings.Split(held(t, sessionCache(t, path), "a"), ","); len(all) != want {
		t.Errorf("%d sessions are there of %d", len(all), want)
	}
}

// sharesFiles tells whether processes wait for each other here.
const sharesFiles = runtime.GOOS == "linux" || runtime.GOOS == "darwin" || runtime.GOOS == "freebsd"

// appendSessions adds n texts to those of a key, one after the other.
func appendSessions(t *testing.T, path, who string, n int) {
	c := sessionCache(t, path)
	for i := range n {
		c.update("a", func(cs *tls.ClientSessionState) *tls.ClientSessionState {
			before := textOf(t, cs)
			if before != "" {
				before += ","
			}
			return sessionWith(t, fmt.Sprint(before, who, i))
		})
		if err := c.Err(); err != nil {
			t.Error(err)
		}
	}
}

// A session of ours passes through every way that a cache may store it by, and holds what was put into it.
func TestSessionStateStored(t *testing.T) {
	for _, early := range []bool{false, true} {
		cs, err := newSessionState([][]byte{[]byte("one"), {}, []byte("three")}, early)
		if err != nil {
			t.Fatal(err)
		}
		ticket, state, err := cs.ResumptionState()
		if err != nil || len(ticket) == 0 {
			t.Fatalf("ticket %x, %v", ticket, err)
		}
		b, err := state.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		again, err := tls.ParseSessionState(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tls.NewResumptionState(ticket, again); err != nil {
			t.Error(err)
		}
		if got := bytes.Join(again.Extra, []byte(",")); string(got) != "one,,three" || again.EarlyData != early {
			t.Errorf("stored and read again: %q, EarlyData %v", got, again.EarlyData)
		}
	}
}

// If crypto/tls is given a session of ours, by a cache that confuses keys, it makes a full handshake.
func TestSessionStateInTLS(t *testing.T) {
	cert, roots := pki()
	for _, verify := range []bool{true, false} {
		confused := &confusedCache{sessionWith(t, "ours")}
		client := &tls.Config{RootCAs: roots, ServerName: "localhost", InsecureSkipVerify: !verify, ClientSessionCache: confused,
			Time: func() time.Time { return time.Now() }}
		if overTCP(t, &tls.Config{Certificates: []tls.Certificate{cert}}, client) {
			t.Error("crypto/tls resumed a session of QUIC")
		}
	}
}

// confusedCache has one session for whatever it is asked.
type confusedCache struct{ cs *tls.ClientSessionState }

func (c *confusedCache) Get(string) (*tls.ClientSessionState, bool) { return c.cs, true }
func (c *confusedCache) Put(string, *tls.ClientSessionState)        {}
