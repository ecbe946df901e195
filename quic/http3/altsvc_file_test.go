package http3

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func openAltSvcFile(t *testing.T, path string) *AltSvcFile {
	t.Helper()
	f, err := NewAltSvcFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What was put is there when the file is opened again; what has expired is not.
func TestAltSvcFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alt-svc")
	f := openAltSvcFile(t, path)
	at := time.Unix(time.Now().Unix(), 0)
	alts := []Alternative{{Port: 443, Expires: at.Add(time.Hour)}, {Host: "2001:db8::1", Port: 8443, Expires: at.Add(2 * time.Hour), Persist: true}}
	f.Put("a.example:443", alts)
	f.Put("b.example:443", alts)
	f.Put("c.example:443", []Alternative{{Port: 1, Expires: at.Add(-time.Hour)}})
	f.Put("b.example:443", nil)
	f.Put("never.example:443", nil)
	for _, g := range []*AltSvcFile{f, openAltSvcFile(t, path)} {
		got := g.Get("a.example:443")
		for i := range got { // seconds may have passed
			if d := got[i].Expires.Sub(alts[i].Expires); d < -2*time.Second || d > 2*time.Second {
				t.Errorf("it expires %v later", d)
			}
			got[i].Expires = alts[i].Expires
		}
		if !reflect.DeepEqual(got, alts) {
			t.Errorf("a: %v, want %v", got, alts)
		}
		if got := g.Get("b.example:443"); got != nil {
			t.Errorf("b: %v", got)
		}
		if g.Err() != nil {
			t.Error(g.Err())
		}
	}
	if got := openAltSvcFile(t, path).Get("c.example:443"); got != nil {
		t.Errorf("c has expired: %v", got)
	}
}

// A file does not grow for ever, nor does what is kept of it, and lines that nobody of us has written do no harm.
func TestAltSvcFileBounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alt-svc")
	text := "nonsense\n\nx\na:1 y h3=\":1\"\nfuture:1 99999999999 h3=\":1\"\ngood:1 " + fmt.Sprint(time.Now().Unix()) + " h3=\":9\"\ncut:1 17"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f := openAltSvcFile(t, path)
	if got := f.Get("good:1"); len(got) != 1 || got[0].Port != 9 || len(f.origins) != 1 {
		t.Errorf("good: %v, and there are %v", got, f.origins)
	}
	alts := []Alternative{{Port: 443, Expires: time.Now().Add(time.Hour)}}
	for i := range 1000 {
		f.Put("one:443", alts)
		f.Put(fmt.Sprintf("%d:443", i%3), alts)
	}
	data, err := os.ReadFile(path)
	if n := strings.Count(string(data), "\n"); err != nil || n > 200 {
		t.Errorf("%d lines, %v", n, err)
	}
	for i := range maxOrigins + 50 {
		f.Put(fmt.Sprintf("many%d:443", i), alts)
	}
	if len(f.origins) != maxOrigins || len(f.order) != maxOrigins || f.Get("many0:443") != nil {
		t.Errorf("%d origins", len(f.origins))
	}
	if g := openAltSvcFile(t, path); len(g.origins) != maxOrigins || g.Get("many1049:443") == nil {
		t.Errorf("%d origins after opening", len(g.origins))
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("x", 5<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	f = openAltSvcFile(t, path)
	f.Put("one:443", alts)
	if g := openAltSvcFile(t, path); len(g.Get("one:443")) != 1 || f.Err() != nil {
		t.Errorf("after a file of one long line: %v, %v", g.origins, f.Err())
	}
	if names, _ := filepath.Glob(path + "*"); len(names) != 1 {
		t.Errorf("files: %v", names)
	}
}

// A folder that is not there is an error at once; one that goes later costs nothing but the file.
func TestAltSvcFileNoFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	path := filepath.Join(dir, "alt-svc")
	if _, err := NewAltSvcFile(path); err == nil {
		t.Error("no error")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := openAltSvcFile(t, path)
	os.RemoveAll(dir)
	alts := []Alternative{{Port: 443, Expires: time.Now().Add(time.Hour)}}
	f.Put("a:443", alts)
	if f.Err() == nil || len(f.Get("a:443")) != 1 {
		t.Errorf("%v, %v", f.Err(), f.Get("a:443"))
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f.Put("b:443", alts)
	if g := openAltSvcFile(t, path); f.Err() != nil || len(g.Get("a:443")) != 1 || len(g.Get("b:443")) != 1 {
		t.Errorf("%v, %v", f.Err(), g.origins)
	}
}

// A device is not replaced by a file, nor is a link to one.
func TestAltSvcFileIsNone(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(os.DevNull, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{os.DevNull, t.TempDir(), link} {
		if _, err := NewAltSvcFile(path); err == nil || !strings.Contains(err.Error(), "it is not a file") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A link to the file goes on to be one when the file is written anew.
func TestAltSvcFileLinked(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "alt-svc"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(path, []byte("cut short"), 0o600), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	f := openAltSvcFile(t, link)
	f.Put("a:443", []Alternative{{Port: 443, Expires: time.Now().Add(time.Hour)}})
	if info, err := os.Lstat(link); err != nil || info.Mode().IsRegular() {
		t.Errorf("the link is a file: %v", err)
	}
	if g := openAltSvcFile(t, path); f.Err() != nil || len(g.Get("a:443")) != 1 {
		t.Errorf("%v, %v", f.Err(), g.origins)
	}
}

// What is out of date goes when the file is written anew.
func TestAltSvcFileForgets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alt-svc")
	synctest.Test(t, func(t *testing.T) {
		f := openAltSvcFile(t, path)
		f.Put("short:443", []Alternative{{Port: 443, Expires: time.Now().Add(time.Second)}})
		f.Put("half:443", []Alternative{{Port: 1, Expires: time.Now().Add(time.Second)}, {Port: 2, Expires: time.Now().Add(time.Hour)}})
		time.Sleep(2 * time.Second)
		for range 300 {
			f.Put("long:443", []Alternative{{Port: 443, Expires: time.Now().Add(time.Hour)}})
		}
		data, err := os.ReadFile(path)
		if text := string(data); err != nil || strings.Contains(text, "short") || strings.Contains(text, `":1"`) || !strings.Contains(text, `half:443`) {
			t.Errorf("%s, %v", data, err)
		}
		if len(f.origins) != 2 || len(f.order) != 2 {
			t.Errorf("%v, %v", f.origins, f.order)
		}
	})
}
