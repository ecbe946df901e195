package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// The few parts of HTTP/3 that a GET needs (RFC 9114): the library has no HTTP/3 yet, and ngtcp2's programs speak
// nothing else.
const (
	h3Data         = 0x0 // frame types
	h3Headers      = 0x1
	h3Settings     = 0x4
	h3ControlByte  = 0x0 // the type of a control stream
	maxHeaderBlock = 64 << 10
)

// openControl opens our control stream with empty SETTINGS and discards what the peer's unidirectional streams bring.
func openControl(ctx context.Context, conn *quicnet.Conn) error {
	s, err := conn.OpenUniStream(ctx)
	if err != nil {
		return err
	}
	if _, err = s.Write([]byte{h3ControlByte, h3Settings, 0}); err != nil {
		return err
	}
	go func() {
		for {
			in, err := conn.AcceptUniStream(ctx)
			if err != nil {
				return
			}
			go io.Copy(io.Discard, in)
		}
	}()
	return nil
}

func headers(fields ...qpack.HeaderField) []byte {
	var block bytes.Buffer
	enc := qpack.NewEncoder(&block)
	for _, f := range fields {
		enc.WriteField(f) // a bytes.Buffer never fails
	}
	frame := quicvarint.Append([]byte{h3Headers}, uint64(block.Len()))
	return append(frame, block.Bytes()...)
}

// readFrames reads a request stream to its end and returns its first field section and its body.
func readFrames(s io.Reader) (fields map[string]string, body []byte, err error) {
	r := quicvarint.NewReader(s)
	for {
		typ, err := quicvarint.Read(r)
		if errors.Is(err, io.EOF) {
			return fields, body, nil
		}
		if err != nil {
			return nil, nil, err
		}
		length, err := quicvarint.Read(r)
		if err != nil {
			return nil, nil, err
		}
		switch typ {
		case h3Data:
			var data bytes.Buffer
			if _, err = io.CopyN(&data, r, int64(length)); err != nil {
				return nil, nil, err
			}
			body = append(body, data.Bytes()...)
		case h3Headers:
			if length > maxHeaderBlock || fields != nil {
				return nil, nil, fmt.Errorf("a HEADERS frame of %d bytes is not expected", length)
			}
			block := make([]byte, length)
			if _, err = io.ReadFull(r, block); err != nil {
				return nil, nil, err
			}
			if fields, err = decode(block); err != nil {
				return nil, nil, err
			}
		default: // frames of types that we do not know are skipped
			if _, err = io.CopyN(io.Discard, r, int64(length)); err != nil {
				return nil, nil, err
			}
		}
	}
}

func decode(block []byte) (map[string]string, error) {
	fields := make(map[string]string)
	next := qpack.NewDecoder().Decode(block)
	for {
		f, err := next()
		if errors.Is(err, io.EOF) {
			return fields, nil
		}
		if err != nil {
			return nil, err
		}
		fields[f.Name] = f.Value
	}
}

// getH3 fetches one file over HTTP/3.
func getH3(ctx context.Context, conn *quicnet.Conn, name string) ([]byte, error) {
	s, err := conn.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	_, err = s.Write(headers(
		qpack.HeaderField{Name: ":method", Value: "GET"},
		qpack.HeaderField{Name: ":scheme", Value: "https"},
		qpack.HeaderField{Name: ":authority", Value: "localhost"},
		qpack.HeaderField{Name: ":path", Value: "/" + name},
	))
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		return nil, err
	}
	fields, body, err := readFrames(s)
	if err == nil && fields[":status"] != "200" {
		err = fmt.Errorf("status %q", fields[":status"])
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return body, nil
}

// serveH3 answers one request from the files of open.
func serveH3(s *quicnet.Stream, open func(name string) ([]byte, error)) error {
	fields, _, err := readFrames(s)
	if err != nil {
		return err
	}
	status := "200"
	body, err := open(strings.TrimPrefix(fields[":path"], "/"))
	if err != nil {
		status = "404"
	}
	answer := headers(qpack.HeaderField{Name: ":status", Value: status})
	answer = quicvarint.Append(append(answer, h3Data), uint64(len(body)))
	if _, err = s.Write(append(answer, body...)); err != nil {
		return err
	}
	return s.Close()
}
