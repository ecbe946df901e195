package site

import (
	"bytes"
	"cmp"
	"crypto/tls"
	_ "embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

//go:embed pages.html
var pagesHTML string

var pages = template.Must(template.New("pages").Parse(pagesHTML))

// maxListed is how many entries of a folder its page shows.
const maxListed = 10_000

// page is what pages.html shows.
type page struct {
	Title   string
	Server  string
	Over    string // the protocol
	Facts   []Fact
	Folder  *folder
	Message string
}

type folder struct {
	Crumbs  []crumb
	Columns []column
	Parent  bool
	Entries []entry
	More    int // entries that are not shown
}

type crumb struct{ Name, Href string }

// column heads a column of the listing: a link that sorts by it.
type column struct {
	Name, Href, Class string
	Arrow             string
}

type entry struct {
	Name, Href string
	Dir        bool
	Size       string
	Exact      string // the size in bytes
	Time       string
	Stamp      string // the time for machines
	size       int64
	time       time.Time
}

// serveFolder serves a folder's index.html, or a page of what is in it.
func (s *Site) serveFolder(w http.ResponseWriter, r *http.Request, name, clean string) {
	index := path.Join(name, "index.html")
	if info, err := s.root.Stat(index); err == nil && info.Mode().IsRegular() {
		s.serveFile(w, r, index)
		return
	}
	f, err := s.list(r, name, clean)
	if err != nil {
		s.failOpen(w, r, err)
		return
	}
	if clean == "/" {
		s.serveStart(w, r, f)
		return
	}
	s.show(w, r, http.StatusOK, &page{Title: clean, Folder: f})
}

// serveStart serves the start page: over what the visitor came, and the files if there are any to list.
func (s *Site) serveStart(w http.ResponseWriter, r *http.Request, f *folder) {
	w.Header().Set("Cache-Control", "no-store")
	s.show(w, r, http.StatusOK, &page{Title: r.Host, Facts: s.describe(r), Folder: f})
}

// fail serves an error as a page.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, status int, message string) {
	s.show(w, r, status, &page{Title: fmt.Sprintf("%d %s", status, http.StatusText(status)), Message: message})
}

func (s *Site) show(w http.ResponseWriter, r *http.Request, status int, p *page) {
	p.Server, p.Over = s.server, r.Proto
	var b bytes.Buffer
	if err := pages.Execute(&b, p); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(b.Bytes())
	}
}

// list reads a folder.
func (s *Site) list(r *http.Request, name, clean string) (*folder, error) {
	all, err := s.root.ReadDir(name)
	if err != nil {
		return nil, err
	}
	f := &folder{Parent: clean != "/", Crumbs: crumbs(clean)}
	for _, e := range all {
		f.Entries = append(f.Entries, newEntry(e.Name, e.Info))
	}
	f.sort(r.URL.Query())
	if f.More = len(f.Entries) - maxListed; f.More > 0 {
		f.Entries = f.Entries[:maxListed]
	}
	return f, nil
}

func newEntry(name string, info fs.FileInfo) entry {
	e := entry{Name: name, Href: (&url.URL{Path: "./" + name}).EscapedPath(), Dir: info.IsDir(), time: info.ModTime()}
	if e.Dir {
		e.Name += "/"
		e.Href += "/"
	} else {
		e.size = info.Size()
		e.Size, e.Exact = humanize.IBytes(uint64(e.size)), humanize.Comma(e.size)+" B"
	}
	e.Time, e.Stamp = e.time.Format("2 Jan 2006 15:04"), e.time.UTC().Format(time.RFC3339)
	return e
}

// crumbs are links to the folders above.
func crumbs(clean string) []crumb {
	parts := strings.Split(strings.Trim(clean, "/"), "/")
	if clean == "/" {
		parts = nil
	}
	out := []crumb{{"files", strings.Repeat("../", len(parts))}}
	for i, p := range parts {
		out = append(out, crumb{p, strings.Repeat("../", len(parts)-1-i)})
	}
	for i := range out {
		if out[i].Href == "" {
			out[i].Href = "./"
		}
	}
	return out
}

// sort orders the entries as the query says, folders first: sort=name, size or time, order=desc.
func (f *folder) sort(q url.Values) {
	by, desc := q.Get("sort"), q.Get("order") == "desc"
	compare := func(a, b entry) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) }
	byName := compare
	switch by {
	case "size":
		compare = func(a, b entry) int { return cmp.Compare(a.size, b.size) }
	case "time":
		compare = func(a, b entry) int { return a.time.Compare(b.time) }
	default:
		by = "name"
	}
	slices.SortFunc(f.Entries, func(a, b entry) int {
		if a.Dir != b.Dir {
			if a.Dir {
				return -1
			}
			return 1
		}
		c := compare(a, b)
		if desc {
			c = -c
		}
		return cmp.Or(c, byName(a, b), cmp.Compare(a.Name, b.Name))
	})
	for _, c := range []column{{Name: "Name", Class: "name"}, {Name: "Size", Class: "size"}, {Name: "Changed", Class: "time"}} {
		c.Href = "?sort=" + c.Class
		if c.Class == by {
			c.Arrow = "↑"
			if desc {
				c.Arrow = "↓"
			} else {
				c.Href += "&order=desc"
			}
		}
		f.Columns = append(f.Columns, c)
	}
}

// Describe tells of a request's connection what net/http knows.
func Describe(r *http.Request) []Fact {
	var facts []Fact
	if r.TLS != nil {
		facts = append(facts,
			Fact{"Encryption", tls.VersionName(r.TLS.Version) + ", " + tls.CipherSuiteName(r.TLS.CipherSuite)})
		if r.TLS.CurveID != 0 {
			facts = append(facts, Fact{"Key share", r.TLS.CurveID.String()})
		}
		resumed := "no"
		if r.TLS.DidResume {
			resumed = "yes"
		}
		facts = append(facts, Fact{"Session resumed", resumed})
	}
	return append(facts, Fact{"Your address", r.RemoteAddr})
}
