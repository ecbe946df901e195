package http3

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"
)

// What a request must be like before anything of it is sent.

// defaultUserAgent is the User-Agent of requests that have none.
const defaultUserAgent = "Go-http-client/3.0"

// checkRequest finds what is wrong with a request in itself.
func checkRequest(req *http.Request) error {
	switch {
	case req.URL == nil:
		return errors.New("http3: nil Request.URL")
	case req.Header == nil:
		return errors.New("http3: nil Request.Header")
	case req.URL.Scheme != "https":
		return fmt.Errorf("http3: unsupported scheme %q: HTTP/3 is for https alone", req.URL.Scheme)
	case req.URL.Host == "":
		return errors.New("http3: no Host in request URL")
	case req.Method != "" && !httpguts.ValidHeaderFieldName(req.Method): // both are tokens (RFC 9110, section 9.1)
		return fmt.Errorf("http3: invalid method %q", req.Method)
	}
	if err := checkFields("header", req.Header); err != nil {
		return err
	}
	if err := checkConnectionFields(req.Header); err != nil {
		return err
	}
	for k := range req.Trailer {
		if forbiddenTrailer(http.CanonicalHeaderKey(k)) {
			return fmt.Errorf("http3: invalid Trailer key %q", k)
		}
	}
	return checkFields("trailer", req.Trailer)
}

// checkFields finds names and values that cannot be sent.
func checkFields(what string, h http.Header) error {
	for k, vv := range h {
		if !httpguts.ValidHeaderFieldName(k) && !(k == ":protocol" && what == "header") {
			return fmt.Errorf("http3: invalid %s field name %q", what, k)
		}
		for _, v := range vv {
			if !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("http3: invalid %s field value for %q", what, k) // which may be secret
			}
		}
	}
	return nil
}

// connectionFields are those, and empty are values that ask for nothing.
var connectionFields = [...]struct {
	name  string
	empty []string
}{
	{"Upgrade", []string{"chunked"}},
	{"Transfer-Encoding", []string{"chunked"}},
	{"Connection", []string{"close", "keep-alive"}},
}

// checkConnectionFields refuses fields of the connection that ask for what HTTP/3 does not have (RFC 9114, section 4.2); those that ask for
// nothing are left out when the request is sent, as HTTP/2 in net/http has it.
func checkConnectionFields(h http.Header) error {
	for _, f := range connectionFields {
		vv := h[f.name]
		if len(vv) == 0 || len(vv) == 1 && (vv[0] == "" || slices.ContainsFunc(f.empty, func(e string) bool { return strings.EqualFold(e, vv[0]) })) {
			continue
		}
		return fmt.Errorf("http3: invalid %s request header: %q", f.name, vv)
	}
	return nil
}

// forbiddenTrailer tells which fields no trailer section may have since they say how the message is to be read (RFC 9110, section 6.5.1).
func forbiddenTrailer(canonical string) bool {
	return canonical == "Transfer-Encoding" || canonical == "Content-Length" || canonical == "Trailer"
}

// authorityAddr returns "HOST:PORT" of a URL, which a connection is made to: the host in its ASCII form, port 443 if it has none.
func authorityAddr(u *url.URL) (string, error) {
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "443"
	}
	if !isASCII(host) {
		a, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", fmt.Errorf("http3: invalid host %q: %w", u.Host, err)
		}
		host = a
	}
	if host == "" {
		return "", errors.New("http3: no Host in request URL")
	}
	if strings.IndexByte(host, ':') < 0 {
		return host + ":" + port, nil
	}
	return net.JoinHostPort(host, port), nil
}

// authority returns what :authority says: Request.Host if that is set, in its ASCII form, without a zone (RFC 6874, section 1), which means nothing to others.
func authority(req *http.Request) (string, error) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	host, err := httpguts.PunycodeHostPort(host)
	if err != nil {
		return "", fmt.Errorf("http3: invalid Host %q: %w", req.Host, err)
	}
	if !httpguts.ValidHostHeader(host) {
		return "", fmt.Errorf("http3: invalid Host header %q", host)
	}
	if strings.HasPrefix(host, "[") {
		if i, j := strings.IndexByte(host, '%'), strings.LastIndexByte(host, ']'); 0 < i && i < j {
			host = host[:i] + host[j:]
		}
	}
	return host, nil
}

// requestPath returns what :path says (RFC 9114, section 4.3.1).
func requestPath(req *http.Request, host string) (string, error) {
	path := req.URL.RequestURI()
	if validPath(path) {
		return path, nil
	}
	if short := strings.TrimPrefix(path, req.URL.Scheme+"://"+host); validPath(short) {
		return short, nil
	}
	if req.URL.Opaque != "" {
		return "", fmt.Errorf("http3: invalid request :path %q from URL.Opaque = %q", path, req.URL.Opaque)
	}
	return "", fmt.Errorf("http3: invalid request :path %q", path)
}

func validPath(p string) bool { return len(p) > 0 && p[0] == '/' || p == "*" }

// outgoingLength returns how long the body is, -1 if nobody knows.
func outgoingLength(req *http.Request) int64 {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return 0
	case req.ContentLength != 0:
		return req.ContentLength
	}
	return -1
}

// sendsContentLength tells whether a request says how long its body is.
func sendsContentLength(method string, n int64) bool {
	return n > 0 || n == 0 && (method == "POST" || method == "PUT" || method == "PATCH")
}

// asksForGzip tells whether the transport asks for a compressed response that it decompresses itself. A range of a compressed one would be of no use, and
// HEAD is to say what GET would.
func (t *Transport) asksForGzip(req *http.Request) bool {
	return !t.DisableCompression && req.Method != "HEAD" && req.Method != "CONNECT" &&
		len(req.Header["Accept-Encoding"]) == 0 && len(req.Header["Range"]) == 0
}

// isReplayable tells whether to do what the request asks for twice does no harm.
func isReplayable(req *http.Request) bool {
	if req.Method == "" || isSafe(req.Method) {
		return true
	}
	_, key := req.Header["Idempotency-Key"]
	_, xKey := req.Header["X-Idempotency-Key"]
	return key || xKey
}

// mayBeEarly tells whether a request may be sent as early data, which can be recorded and arrive a second time (RFC 8470): it is safe, and has no body.
func mayBeEarly(req *http.Request) bool {
	return (req.Method == "" || isSafe(req.Method)) && outgoingLength(req) == 0
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
