package main

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// server is one server and what is wanted of it, on one connection.
type server struct {
	hostPort string
	jobs     []job
}

// job is one URL: what to ask for, and where the answer goes ("-" is standard output).
type job struct {
	url  *url.URL
	path string
	file string
}

// plan sorts URLs by server, in the order given, and finds where each answer goes.
func (o *options) plan(urls []string) ([]*server, error) {
	if o.out == stdoutDevice {
		o.out = stdoutName
	}
	if o.out != "" && o.out != stdoutName && len(urls) != 1 {
		return nil, fmt.Errorf("-o takes one URL and %d are given: use --dir", len(urls))
	}
	var servers []*server
	byHost := make(map[string]*server)
	taken := make(map[string]string)
	for _, raw := range urls {
		u, err := o.parse(raw)
		if err != nil {
			return nil, err
		}
		file := o.out
		if file == "" {
			if file, err = o.fileName(u); err != nil {
				return nil, err
			}
		}
		if other, ok := taken[file]; ok && file != stdoutName {
			return nil, fmt.Errorf("%q and %q would both be written to %s", other, raw, file)
		}
		taken[file] = raw
		addr := hostPort(u)
		s := byHost[u.Scheme+addr]
		if s == nil {
			s = &server{hostPort: addr}
			byHost[u.Scheme+addr] = s
			servers = append(servers, s)
		}
		s.jobs = append(s.jobs, job{url: u, path: requestPath(u), file: file})
	}
	return servers, nil
}

// parse takes a URL apart.
func (o *options) parse(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil && strings.Contains(raw, "://"):
		return nil, fmt.Errorf("%q is not a URL: %w", raw, err)
	case err != nil, !slices.Contains(o.schemes(), u.Scheme), u.Hostname() == "":
		return nil, fmt.Errorf("%q is not of the form %s://HOST:PORT/PATH", raw, o.schemes()[0])
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%q has the port %s; ports are 1 to 65535", raw, port)
		}
	}
	if u.User != nil && o.protocol == protocolHQ {
		return nil, fmt.Errorf("%q has a user name, which HTTP/0.9 cannot carry", raw)
	}
	if o.upload != "" && o.upload != stdinName && strings.HasSuffix(u.EscapedPath(), "/") { // a folder, as curl has it
		u = u.JoinPath(url.PathEscape(filepath.Base(o.upload)))
	}
	return u, nil
}

func hostPort(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Host
	case u.Scheme == "http":
		return net.JoinHostPort(u.Hostname(), "80")
	}
	return net.JoinHostPort(u.Hostname(), "443")
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

// fileName finds where an answer goes if -o does not say: what GET brings to a file, all else to standard output.
func (o *options) fileName(u *url.URL) (string, error) {
	if o.method != "GET" || o.requests > 0 {
		return stdoutName, nil
	}
	base := path.Base(u.Path)
	switch {
	case u.Path == "" || u.Path[len(u.Path)-1] == '/':
		base = "index.html"
	case base == "." || base == ".." || filepath.Base(base) != base:
		return "", fmt.Errorf("%q does not end in a usable file name: give one with -o", u)
	}
	name := filepath.Join(o.dir, base)
	if name == stdoutName { // which is a file here
		name = "." + string(filepath.Separator) + name
	}
	return name, nil
}
