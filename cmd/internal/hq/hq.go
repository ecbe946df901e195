package hq

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"

	"github.com/boringquic/boringquic/cmd/internal/webroot"
	"github.com/boringquic/boringquic/quic"
)

// ALPN is the protocol's name in the TLS handshake.
const ALPN = "hq-interop"

// The error codes with which a server resets a stream whose request it cannot answer, after HTTP's status codes.
const (
	CodeBadRequest = 400 // the request is not "GET /path"
	CodeForbidden  = 403 // the path leads out of the root, or may not be read
	CodeNotFound   = 404 // there is no such file, or its name begins with a dot
	CodeInternal   = 500 // the file could not be read to its end
)

// maxRequest is the longest request line that a server reads, in bytes.
const maxRequest = 8 << 10

// Stream is the part of a QUIC stream that HTTP/0.9 needs; *quicnet.Stream is one.
type Stream interface {
	io.ReadWriteCloser
	Finish() error
	WriteFinal(p []byte) (n int, err error)
	CancelRead(code uint64)
	CancelWrite(code uint64)
}

// Serve reads one request from s and answers it with a file below root. It returns the path that was asked for, how many bytes of file were
// sent, and why not all of them; the stream is finished or reset in either case.
func Serve(s Stream, root *webroot.Root) (path string, n int64, err error) {
	path, err = readRequest(s)
	if err != nil {
		return "", 0, refuse(s, CodeBadRequest, err)
	}
	name := strings.TrimPrefix(path, "/")
	if name == "" || strings.HasSuffix(name, "/") {
		name += "index.html"
	}
	file, _, err := root.OpenFile(name)
	if err != nil {
		return path, 0, refuse(s, codeOf(err), err)
	}
	defer file.Close()
	n, err = io.Copy(s, file)
	if err != nil {
		return path, n, refuse(s, CodeInternal, err)
	}
	return path, n, s.Finish() // the client may never end its request, or send more than it should
}

// readRequest reads "GET /path" up to the line end, or up to the end of the stream, which some clients send in its place.
func readRequest(s io.Reader) (path string, err error) {
	line, err := bufio.NewReader(io.LimitReader(s, maxRequest)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if err != nil && len(line) == maxRequest {
		return "", fmt.Errorf("the request is longer than %d bytes", maxRequest)
	}
	target, ok := strings.CutPrefix(string(bytes.TrimRight(line, "\r\n")), "GET ")
	if !ok || !strings.HasPrefix(target, "/") {
		return "", fmt.Errorf("the request %.40q is not of the form \"GET /path\"", line)
	}
	target, _, _ = strings.Cut(target, "?")
	path, err = url.PathUnescape(target)
	if err != nil {
		return "", err
	}
	return path, nil
}

func refuse(s Stream, code uint64, err error) error {
	s.CancelWrite(code)
	s.CancelRead(code)
	return err
}

func codeOf(err error) uint64 {
	switch {
	case webroot.Missing(err):
		return CodeNotFound
	case errors.Is(err, fs.ErrPermission), webroot.Outside(err):
		return CodeForbidden
	}
	return CodeInternal
}

// Get asks for path, which starts with a slash and is escaped as in a URL, and copies the answer to w. It returns the
// number of bytes copied. A server's refusal is returned as an error that says what its code means.
func Get(s Stream, path string, w io.Writer) (n int64, err error) {
	_, sendErr := s.WriteFinal([]byte("GET " + path + "\r\n")) // the end in the same packet
	var reset *quic.StreamError
	if sendErr != nil && !(errors.As(sendErr, &reset) && reset.Remote) {
		return 0, fmt.Errorf("cannot send the request for %s: %w", path, sendErr)
	}
	// A server that has read the line may ask us to stop sending before we have ended: the answer comes all the same.
	n, err = io.Copy(w, s)
	switch {
	case errors.As(err, &reset) && reset.Remote:
		return n, refusal(path, reset)
	case err != nil:
		return n, fmt.Errorf("%s broke off after %d bytes: %w", path, n, err)
	}
	return n, nil
}

func refusal(path string, reset *quic.StreamError) error {
	switch reset.Code {
	case CodeBadRequest:
		return fmt.Errorf("the server did not understand the request for %s: %w", path, reset)
	case CodeForbidden:
		return fmt.Errorf("the server does not give out %s: %w", path, reset)
	case CodeNotFound:
		return fmt.Errorf("the server has no file %s: %w", path, reset)
	}
	return fmt.Errorf("the server broke off %s: %w", path, reset)
}
