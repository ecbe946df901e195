package main

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
)

// server is one server and what is wanted of it, on one connection.
type server struct {
	hostPort string
	jobs     []job
}

// job is one file: what to ask for, and where it goes ("-" is standard output).
type job struct {
	path string
	file string
}

// plan sorts URLs by server, in the order given, and finds each file's name. out, if not empty, names the only file;
// else files go to dir.
func plan(urls []string, out, dir string) ([]*server, error) {
	if out != "" && len(urls) != 1 {
		return nil, fmt.Errorf("-o takes one URL and %d are given: use --dir", len(urls))
	}
	var servers []*server
	byHost := make(map[string]*server)
	taken := make(map[string]string)
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("%q is not a URL: %w", raw, err)
		}
		if u.Scheme != "https" || u.Hostname() == "" {
			return nil, fmt.Errorf("%q is not of the form https://HOST:PORT/PATH", raw)
		}
		if u.User != nil {
			return nil, fmt.Errorf("%q has a user name, which HTTP/0.9 cannot carry", raw)
		}
		file := out
		if file == "" {
			if file, err = fileName(u, dir); err != nil {
				return nil, err
			}
		}
		if other, ok := taken[file]; ok {
			return nil, fmt.Errorf("%q and %q would both be written to %s", other, raw, file)
		}
		taken[file] = raw
		hostPort := u.Host
		if u.Port() == "" {
			hostPort = net.JoinHostPort(u.Hostname(), "443")
		}
		s := byHost[hostPort]
		if s == nil {
			s = &server{hostPort: hostPort}
			byHost[hostPort] = s
			servers = append(servers, s)
		}
		s.jobs = append(s.jobs, job{path: requestPath(u), file: file})
	}
	return servers, nil
}

func requestPath(u *url.URL) string {
	p := u.EscapedPath()
	if p == "" {
		p = "/"
	}
	if u.RawQuery != "" {
		p += "?" + u.RawQuery
	}
	return p
}

func fileName(u *url.URL, dir string) (string, error) {
	base := path.Base(u.Path)
	switch {
	case u.Path == "" || u.Path[len(u.Path)-1] == '/':
		base = "index.html"
	case base == "." || base == ".." || filepath.Base(base) != base:
		return "", fmt.Errorf("%q does not end in a usable file name: give one with -o", u)
	}
	return filepath.Join(dir, base), nil
}
