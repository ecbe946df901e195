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
	"strings"
	"syscall"
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
	root     *os.Root
	server   string
	describe func(*http.Request) []Fact
}

// New makes a Site of the files below root, which stays the caller's to close, after the last request.
func New(root *os.Root, o Options) *Site {
	s := &Site{root: root, server: o.Server, describe: o.Describe}
	if s.describe == nil {
		s.describe = Describe
	}
	return s
}

// ServeHTTP answers GET and HEAD, and OPTIONS with what else there is.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	if hidden(clean) {
		s.fail(w, r, http.StatusNotFound, notFound)
		return
	}
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
		s.serveFile(w, r, name, info)
	}
}

const (
	allowed         = "GET, HEAD, OPTIONS"
	notFound        = "There is no such file here."
	connectionQuery = "connection"
)

// hidden tells whether a part of a path begins with a dot, but for /.well-known.
func hidden(clean string) bool {
	if rest, ok := strings.CutPrefix(clean, "/.well-known"); ok && (rest == "" || rest[0] == '/') {
		clean = rest
	}
	return strings.Contains(clean, "/.")
}

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

// serveFile serves a file, or its precompressed twin.
func (s *Site) serveFile(w http.ResponseWriter, r *http.Request, name string, info fs.FileInfo) {
	file, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
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
	tag := fmt.Sprintf("%x-%x", info.ModTime().UnixNano(), info.Size())
	twin, encoding, varies := s.twin(name, info, r.Header.Values("Accept-Encoding"))
	if varies {
		h.Add("Vary", "Accept-Encoding")
	}
	if twin != nil {
		defer twin.Close()
		if h.Get("Content-Type") == "" && !sniff(h, file) {
			s.fail(w, r, http.StatusInternalServerError, "The file could not be read.")
			return
		}
		h.Set("Content-Encoding", encoding)
		content, tag = twin, tag+"-"+encoding
	}
	h.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, path.Base(name), info.ModTime(), content)
}

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
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG),
		errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ELOOP), strings.Contains(err.Error(), "escapes"):
		s.fail(w, r, http.StatusNotFound, notFound)
	default:
		s.fail(w, r, http.StatusInternalServerError, "The file could not be opened.")
	}
}
