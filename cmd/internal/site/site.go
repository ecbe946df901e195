package site

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/boringquic/boringquic/cmd/internal/webroot"
)

// Options are what a Site can be told. The zero value is useful.
type Options struct {
	// Server names the program at the foot of pages; empty: nothing.
	Server string
	// Describe tells what the start page says of the connection that a request came over; nil: what net/http knows of it (Describe).
	Describe func(*http.Request) []Fact
}

// Fact is a line of the start page.
type Fact struct{ Label, Value string }

// Site serves the files below a folder.
type Site struct {
	root     *webroot.Root
	server   string
	describe func(*http.Request) []Fact
}

// New makes a Site of the files below root, which stays the caller's to close, after the last request.
func New(root *webroot.Root, o Options) *Site {
	s := &Site{root: root, server: o.Server, describe: o.Describe}
	if s.describe == nil {
		s.describe = Describe
	}
	return s
}

// ServeHTTP answers GET and HEAD, and OPTIONS with what else there is.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := *s
	now.root = s.root.Now()
	now.serve(w, r)
}

func (s *Site) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		w.Header().Set("Allow", allowed)
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		w.Header().Set("Allow", allowed)
		s.fail(w, r, http.StatusMethodNotAllowed, "This server only shows files: "+allowed+".")
		return
	}
	if r.URL.Path == "/" && r.URL.Query().Has(connectionQuery) {
		s.serveStart(w, r, nil)
		return
	}
	clean := path.Clean("/" + r.URL.Path)
	name := strings.TrimPrefix(clean, "/")
	if name == "" {
		name = "."
	}
	info, err := s.root.Stat(name)
	if err != nil {
		s.failOpen(w, r, err)
		return
	}
	slash := strings.HasSuffix(r.URL.Path, "/")
	switch {
	case info.IsDir() && !slash:
		redirect(w, r, clean+"/")
	case info.IsDir():
		s.serveFolder(w, r, name, clean)
	case slash, clean != r.URL.Path:
		redirect(w, r, clean)
	case !info.Mode().IsRegular():
		s.fail(w, r, http.StatusForbidden, "This is not a file that can be read.")
	default:
		s.serveFile(w, r, name)
	}
}

const (
	allowed         = "GET, HEAD, OPTIONS"
	notFound        = "There is no such file here."
	connectionQuery = "connection"
)

// redirect sends the client to another path of this site, with its query.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	u := url.URL{Path: to, RawQuery: r.URL.RawQuery}
	w.Header().Set("Location", u.EscapedPath()+query(u.RawQuery)) // to begins with a single slash: path.Clean has seen to it
	w.WriteHeader(http.StatusMovedPermanently)
}

func query(raw string) string {
	if raw == "" {
		return ""
	}
	return "?" + raw
}

// form is a file that is open, as it is or with a content coding.
type form struct {
	*os.File
	info   fs.FileInfo
	coding string // empty: none
}

func (s *Site) open(name, coding string) (*form, error) {
	file, info, err := s.root.OpenFile(name)
	return &form{file, info, coding}, err
}

// tag is an entity tag that changes with the bytes that are sent (RFC 9110, section 8.8.3): it is that of the twin where a twin is, which may be made
// anew while its file stays.
func (f *form) tag() string {
	tag := fmt.Sprintf("%x-%x", f.info.ModTime().UnixNano(), f.info.Size())
	if f.coding != "" {
		tag += "-" + f.coding
	}
	return `"` + tag + `"`
}

// serveFile serves a file, or its precompressed twin.
func (s *Site) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	file, err := s.open(name, "")
	if err != nil {
		s.failOpen(w, r, err)
		return
	}
	defer file.Close()
	h := w.Header()
	if typ := mime.TypeByExtension(path.Ext(name)); typ != "" {
		h.Set("Content-Type", typ)
	}
	content := file
	twin, varies := s.twin(name, file.info, r.Header.Values("Accept-Encoding"))
	if varies {
		h.Add("Vary", "Accept-Encoding")
	}
	if twin != nil {
		defer twin.Close()
		if h.Get("Content-Type") == "" && !sniff(h, file.File) {
			s.fail(w, r, http.StatusInternalServerError, "The file could not be read.")
			return
		}
		h.Set("Content-Encoding", twin.coding)
		content = twin
	}
	h.Set("ETag", content.tag())
	http.ServeContent(sized{w, content.info.Size()}, r, path.Base(name), content.info.ModTime(), content.File)
}

// sized is a ResponseWriter of a whole file that tells the client its length also where there is a content coding: net/http does not, and a file that shrinks
// while it is sent would look complete.
type sized struct {
	http.ResponseWriter
	size int64
}

func (w sized) WriteHeader(status int) {
	if status == http.StatusOK {
		w.Header().Set("Content-Length", strconv.FormatInt(w.size, 10))
	}
	w.ResponseWriter.WriteHeader(status)
}

// ReadFrom keeps the quick way of a file.
func (w sized) ReadFrom(r io.Reader) (int64, error) { return io.Copy(w.ResponseWriter, r) }

// sniff sets the type of a file from how it begins: of its compressed twin net/http cannot tell it.
func sniff(h http.Header, file *os.File) bool {
	var head [512]byte
	n, err := file.ReadAt(head[:], 0)
	if err != nil && err != io.EOF {
		return false
	}
	h.Set("Content-Type", http.DetectContentType(head[:n]))
	return true
}

// failOpen answers where a file cannot be had.
func (s *Site) failOpen(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.fail(w, r, http.StatusForbidden, "This file may not be read.")
	case webroot.Missing(err), webroot.Outside(err):
		s.fail(w, r, http.StatusNotFound, notFound)
	default:
		s.fail(w, r, http.StatusInternalServerError, "The file could not be opened.")
	}
}
