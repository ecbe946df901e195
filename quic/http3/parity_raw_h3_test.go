package http3_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/boringquic/boringquic/quic"
	codes "github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/udp"
)

// Frames and streams, RFC 9114, 7.2 and 6.2.
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameSettings = 0x4
	framePush     = 0x5
	frameGoAway   = 0x7

	streamControl = 0x0
)

// appendVarint and readVarint are the integers of RFC 9000, 16.
func appendVarint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return append(b, 0x40|byte(v>>8), byte(v))
	case v < 1<<30:
		return append(b, 0x80|byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	return append(b, 0xc0|byte(v>>56), byte(v>>48), byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func readVarint(r io.ByteReader) (v uint64, err error) {
	b, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	v = uint64(b & 0x3f)
	for range 1<<(b>>6) - 1 {
		if b, err = r.ReadByte(); err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		v = v<<8 | uint64(b)
	}
	return v, nil
}

func frame(typ uint64, payload []byte) []byte {
	return append(appendVarint(appendVarint(nil, typ), uint64(len(payload))), payload...)
}

// section is a field section of literals alone, RFC 9204, 4.5.6: what a row wants to send is sent as it is.
func section(fields ...field) []byte {
	b := []byte{0, 0}
	for _, f := range fields {
		b = append(appendPrefixed(b, 0x20, 3, len(f.name)), f.name...)
		b = append(appendPrefixed(b, 0, 7, len(f.value)), f.value...)
	}
	return b
}

// appendPrefixed is the integer of RFC 7541, 5.1, with n bits beside the bits of first.
func appendPrefixed(b []byte, first byte, n, v int) []byte {
	limit := 1<<n - 1
	if v < limit {
		return append(b, first|byte(v))
	}
	b = append(b, first|byte(limit))
	for v -= limit; v >= 128; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// rawH3 speaks frames of HTTP/3, at either side.
type rawH3 struct {
	*rawInbox
	w        *world
	conn     *quicnet.Conn
	control  *quicnet.Stream
	dec      *qpack.Decoder // of a table of no capacity
	settings map[uint64]uint64
	goAways  []uint64
	n        int
}

type rawH3Stream struct {
	c *rawH3
	*quicnet.Stream
	rawMessage
	request []field
	server  bool
}

// rawEndpoint is an endpoint on a socket of the network.
func (w *world) rawEndpoint(s *socket, cfg *quic.Config) *quicnet.Endpoint {
	w.Helper()
	sock, err := udp.New(s, udp.Options{})
	w.ok(err)
	ep, err := quicnet.NewEndpoint(sock, cfg)
	w.ok(err)
	w.Cleanup(func() { ep.Close() })
	return ep
}

func (w *world) rawH3(s *server) rawClient { return w.dialH3(s, frame(frameSettings, nil)) }

// dialH3 connects and begins the control stream with control.
func (w *world) dialH3(s *server, control []byte) *rawH3 {
	w.Helper()
	ep := w.rawEndpoint(w.net.open(w.net.clientAddr()), nil)
	_, roots := pki()
	host, _, _ := net.SplitHostPort(s.name)
	conn, err := ep.Dial(w.Context(), s.addr.String(), &quic.Config{TLS: &tls.Config{RootCAs: roots, ServerName: host, NextProtos: []string{"h3"}}, MaxDatagramFrameSize: 1200})
	w.ok(err)
	c := w.newRawH3(conn)
	c.begin(control)
	return c
}

func (w *world) newRawH3(conn *quicnet.Conn) *rawH3 {
	c := &rawH3{rawInbox: newInbox(), w: w, conn: conn, dec: qpack.NewDecoder(0, 0)}
	go func() {
		for {
			s, err := conn.AcceptUniStream(context.Background())
			if err != nil {
				c.tell(func() { c.over = closedBy(err) })
				return
			}
			go c.readUni(s)
		}
	}()
	return c
}

// begin opens the control stream.
func (c *rawH3) begin(control []byte) {
	c.control = c.uni(streamControl, control)
}

// uni opens a unidirectional stream of a type.
func (c *rawH3) uni(typ uint64, p []byte) *quicnet.Stream {
	s, err := c.conn.OpenUniStream(context.Background())
	if err != nil {
		return nil
	}
	s.Write(append(appendVarint(nil, typ), p...))
	return s
}

func (c *rawH3) readUni(s *quicnet.Stream) {
	r := bufio.NewReader(s)
	if typ, err := readVarint(r); err != nil || typ != streamControl {
		io.Copy(io.Discard, r)
		return
	}
	for {
		typ, p, err := readFrame(r)
		if err != nil {
			return
		}
		c.tell(func() {
			b := bufio.NewReader(strings.NewReader(string(p)))
			switch typ {
			case frameSettings:
				c.settings = make(map[uint64]uint64)
				for {
					id, err := readVarint(b)
					if err != nil {
						break
					}
					c.settings[id], _ = readVarint(b)
				}
			case frameGoAway:
				id, _ := readVarint(b)
				c.goAways = append(c.goAways, id)
			}
		})
	}
}

func readFrame(r *bufio.Reader) (typ uint64, p []byte, err error) {
	if typ, err = readVarint(r); err != nil {
		return 0, nil, err
	}
	n, err := readVarint(r)
	if err != nil {
		return 0, nil, err
	}
	p = make([]byte, n)
	_, err = io.ReadFull(r, p)
	return typ, p, err
}

func (c *rawH3) open() rawStream {
	s, err := c.conn.OpenStream(context.Background())
	if err != nil {
		c.w.Errorf("a stream cannot be opened: %v", err)
		return nil
	}
	st := &rawH3Stream{c: c, Stream: s}
	go st.read()
	return st
}

func (c *rawH3) close() { c.conn.CloseWithError(uint64(codes.ErrCodeNoError), "") }

// read takes in all frames of the stream.
func (s *rawH3Stream) read() {
	r := bufio.NewReader(s.Stream)
	for {
		typ, p, err := readFrame(r)
		s.c.mu.Lock()
		switch {
		case err == io.EOF:
			s.done = true
		case err != nil:
			s.end, s.done = resetBy(err), true
		case typ == frameData:
			s.body += string(p)
		case typ == frameHeaders:
			got, err := s.c.dec.Decode(s.ID(), p, nil, 1<<30)
			if err != nil {
				s.end, s.done = err.Error(), true
			}
			var fields []field
			for _, f := range got {
				fields = append(fields, field{f.Name, f.Value})
			}
			if s.server && s.request == nil {
				s.request = fields
			} else {
				s.onFields(fields)
			}
		}
		over := s.done
		s.c.cond.Broadcast()
		s.c.mu.Unlock()
		if over {
			return
		}
	}
}

// resetBy is how a stream ended: the code of its reset, or that of the connection.
func resetBy(err error) string {
	var cut *quic.StreamError
	if errors.As(err, &cut) {
		return "reset " + codes.ErrorCode(cut.Code).String()
	}
	return closedBy(err)
}

func closedBy(err error) string {
	var app *quic.ApplicationError
	if errors.As(err, &app) && app.Remote {
		return "closed " + codes.ErrorCode(app.Code).String()
	}
	var tr *quic.TransportError
	if errors.As(err, &tr) && tr.Remote {
		return fmt.Sprint("closed ", tr.Code)
	}
	return "closed"
}

func (s *rawH3Stream) send(p []byte, end bool) {
	if end {
		s.WriteFinal(p)
		return
	}
	s.Write(p)
}

func (s *rawH3Stream) headers(end bool, fields ...field) {
	s.send(frame(frameHeaders, section(fields...)), end)
}

func (s *rawH3Stream) data(p string, end bool) { s.send(frame(frameData, []byte(p)), end) }

func (s *rawH3Stream) cancel() { s.Abort(uint64(codes.ErrCodeRequestCancelled)) }

func (s *rawH3Stream) response() *rawResponse {
	s.c.wait(func() bool { return s.done })
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	out := s.rawResponse
	if !s.done {
		out.end = s.c.over
	}
	out.header, out.trailer = canonical(out.header), canonical(out.trailer)
	return &out
}

// stopped is the code of the STOP_SENDING that came, or "".
func (s *rawH3Stream) stopped() string {
	time.Sleep(200 * time.Millisecond)  // the client has the response before it is asked to stop
	_, err := s.Write(frame(0x21, nil)) // a reserved type, which means nothing
	var cut *quic.StreamError
	if errors.As(err, &cut) && cut.Remote {
		return codes.ErrorCode(cut.Code).String()
	}
	return ""
}

// closed waits for the end of the connection and tells its code.
func (c *rawH3) closed() string {
	c.wait(func() bool { return false })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// The server.

func (w *world) rawServeH3(s *server, h func(rawExchange)) {
	w.net.serveDatagrams(s.name, s.addr)
	cert, _ := pki()
	ep := w.rawEndpoint(w.net.open(s.addr), &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{s.alpn}}})
	go func() {
		for n := 0; ; n++ {
			conn, err := ep.Accept(context.Background())
			if err != nil {
				return
			}
			c := w.newRawH3(conn)
			c.n = n
			if s.settingsAfter > 0 {
				time.AfterFunc(s.settingsAfter, func() { c.begin(frame(frameSettings, s.settings)) })
			} else {
				c.begin(frame(frameSettings, s.settings))
			}
			go c.serve(h)
		}
	}()
}

func (c *rawH3) serve(h func(rawExchange)) {
	for {
		s, err := c.conn.AcceptStream(context.Background())
		if err != nil {
			return
		}
		st := &rawH3Stream{c: c, Stream: s, server: true}
		go st.read()
		go func() {
			c.wait(func() bool { return st.request != nil || st.done })
			if st.request != nil {
				h(&rawH3Exchange{st})
			}
		}()
	}
}

type rawH3Exchange struct{ *rawH3Stream }

func (x *rawH3Exchange) request() []field { return x.rawH3Stream.request }

func (x *rawH3Exchange) body() string {
	x.c.wait(func() bool { return x.done })
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return x.rawMessage.body
}

func (x *rawH3Exchange) reset(code string) {
	x.CancelWrite(uint64(map[string]codes.ErrorCode{"cancel": codes.ErrCodeRequestCancelled, "rejected": codes.ErrCodeRequestRejected, "internal": codes.ErrCodeInternal}[code]))
}

func (x *rawH3Exchange) stopUpload() { x.CancelRead(uint64(codes.ErrCodeNoError)) }

func (x *rawH3Exchange) goAway(processed bool) {
	id := x.ID()
	if processed {
		id += 4
	}
	x.c.control.Write(frame(frameGoAway, appendVarint(nil, id)))
}

func (x *rawH3Exchange) closeConn() { x.c.conn.CloseWithError(uint64(codes.ErrCodeInternal), "") }
func (x *rawH3Exchange) conn() int  { return x.c.n }

func (x *rawH3Exchange) resets() (sent, stop string) {
	<-x.Context().Done()
	var cut *quic.StreamError
	x.c.wait(func() bool { return x.done })
	if _, err := x.Write(frame(0x21, nil)); errors.As(err, &cut) && cut.Remote {
		stop = "stop " + codes.ErrorCode(cut.Code).String()
	}
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return x.end, stop
}
