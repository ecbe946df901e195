package http3_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawH2 speaks frames of HTTP/2, at either side.
type rawH2 struct {
	*rawInbox
	conn    *tls.Conn
	fr      *http2.Framer
	enc     *hpack.Encoder
	encoded bytes.Buffer
	streams map[uint32]*rawH2Stream
	next    uint32
	opened  chan *rawH2Stream // at a server: those that the peer opens
}

type rawH2Stream struct {
	c  *rawH2
	id uint32
	rawMessage
	request []field
}

func (w *world) rawH2(s *server) rawClient {
	conn := w.dialTLS(s, "h2")
	io.WriteString(conn, http2.ClientPreface)
	c := newRawH2(conn)
	c.next = 1
	c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
	c.fr.WriteWindowUpdate(0, 1<<30)
	go c.read()
	return c
}

func newRawH2(conn *tls.Conn) *rawH2 {
	c := &rawH2{rawInbox: newInbox(), conn: conn, fr: http2.NewFramer(conn, conn), streams: make(map[uint32]*rawH2Stream)}
	c.enc = hpack.NewEncoder(&c.encoded)
	c.enc.SetMaxDynamicTableSize(0)
	c.fr.AllowIllegalWrites = true
	return c
}

func (c *rawH2) read() {
	var block []byte
	dec := hpack.NewDecoder(4096, nil)
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			c.tell(func() { c.over = "closed" })
			return
		}
		c.mu.Lock()
		s := c.streams[f.Header().StreamID]
		if s == nil && c.opened != nil && f.Header().StreamID != 0 {
			s = &rawH2Stream{c: c, id: f.Header().StreamID}
			c.streams[s.id] = s
			c.opened <- s
		}
		if _, ok := f.(*http2.SettingsFrame); ok && !f.Header().Flags.Has(http2.FlagSettingsAck) {
			c.fr.WriteSettingsAck()
		}
		if s == nil {
			c.mu.Unlock()
			continue
		}
		ended := f.Header().Flags.Has(http2.FlagDataEndStream)
		onBlock := func(p []byte, last bool) {
			if block = append(block, p...); !last {
				return
			}
			got, _ := dec.DecodeFull(block)
			block = nil
			var fields []field
			for _, h := range got {
				fields = append(fields, field{h.Name, h.Value})
			}
			if c.opened != nil && s.request == nil {
				s.request = fields
			} else {
				s.onFields(fields)
			}
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			onBlock(f.HeaderBlockFragment(), f.HeadersEnded())
		case *http2.ContinuationFrame:
			onBlock(f.HeaderBlockFragment(), f.HeadersEnded())
			ended = false
		case *http2.DataFrame:
			s.body += string(f.Data())
			if n := uint32(len(f.Data())); n > 0 {
				c.fr.WriteWindowUpdate(0, n)
				if !ended {
					c.fr.WriteWindowUpdate(s.id, n)
				}
			}
		case *http2.RSTStreamFrame:
			if !s.done {
				s.end, s.done = "reset "+f.ErrCode.String(), true
			}
			ended = false
		default:
			ended = false
		}
		s.done = s.done || ended
		c.cond.Broadcast()
		c.mu.Unlock()
	}
}

func (c *rawH2) open() rawStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &rawH2Stream{c: c, id: c.next}
	c.streams[s.id] = s
	c.next += 2
	return s
}

func (c *rawH2) close() { c.conn.NetConn().Close() }

func (s *rawH2Stream) headers(end bool, fields ...field) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.encoded.Reset()
	for _, f := range fields {
		s.c.enc.WriteField(hpack.HeaderField{Name: f.name, Value: f.value})
	}
	block := bytes.Clone(s.c.encoded.Bytes())
	first := true
	for first || len(block) > 0 {
		part := block[:min(len(block), 16384)]
		block = block[len(part):]
		if first {
			s.c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: part, EndStream: end, EndHeaders: len(block) == 0})
		} else {
			s.c.fr.WriteContinuation(s.id, len(block) == 0, part)
		}
		first = false
	}
}

func (s *rawH2Stream) data(p string, end bool) {
	for {
		part := p[:min(len(p), 16384)]
		p = p[len(part):]
		s.c.mu.Lock()
		s.c.fr.WriteData(s.id, end && p == "", []byte(part))
		s.c.mu.Unlock()
		if p == "" {
			return
		}
	}
}

func (s *rawH2Stream) reset(code uint32) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.fr.WriteRSTStream(s.id, http2.ErrCode(code))
}

func (s *rawH2Stream) cancel() { s.reset(uint32(http2.ErrCodeCancel)) }

func (s *rawH2Stream) response() *rawResponse {
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

// canonical is h with the names that net/http has for them.
func canonical(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		if strings.ToLower(name) != name {
			name = "NOT LOWER CASE " + name
		}
		out[http.CanonicalHeaderKey(name)] = values
	}
	return out
}
