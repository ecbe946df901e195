package http3_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"golang.org/x/net/http2"
)

// rawExchange is a request at a server that says what a row has it say.
type rawExchange interface {
	request() []field            // the head
	body() string                // all of it
	headers(bool, ...field)      // true: it is the end
	data(p string, end bool)     // a part of the body
	reset(code string)           // "cancel", "rejected", "internal", "none"
	stopUpload()                 // no more of the request is wanted, which is no error
	goAway(processed bool)       // no more requests on this connection; whether this one counts among those that are served
	closeConn()                  // at once
	conn() int                   // the how manieth connection it is, from 0
	resets() (sent, stop string) // what the client sent: its reset's code, and that of its STOP_SENDING; waits until one is there
}

// rawServe runs a server that has each request be answered by h, on a goroutine of its own.
func (w *world) rawServe(h func(rawExchange), opts ...func(*server)) *server {
	s := w.newServer()
	s.alpn, s.settings = "h3", []byte{0x08, 1} // extended CONNECT is allowed
	for _, o := range opts {
		o(s)
	}
	if w.mode == h3 {
		w.rawServeH3(s, h)
		return s
	}
	cert, _ := pki()
	l := w.net.listen(s.name, s.addr)
	w.Cleanup(func() { l.Close() })
	alpn := map[mode]string{h1: "http/1.1", h2: "h2"}[w.mode]
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.Cleanup(func() { c.Close() })
			go w.rawServeConn(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{alpn}}), n, h)
		}
	}()
	return s
}

func (w *world) rawServeConn(c *tls.Conn, n int, h func(rawExchange)) {
	if c.Handshake() != nil {
		return
	}
	if w.mode == h1 {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			x := &rawH1Exchange{c: c, req: req, n: n}
			h(x)
			if x.over {
				return
			}
			io.Copy(io.Discard, req.Body)
		}
	}
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	fc := newRawH2(c)
	fc.opened = make(chan *rawH2Stream, 1000)
	fc.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}, http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
	fc.fr.WriteWindowUpdate(0, 1<<30)
	go func() {
		for st := range fc.opened {
			go func() {
				fc.wait(func() bool { return st.request != nil || st.done })
				if st.request != nil {
					h(&rawH2Exchange{st, n})
				}
			}()
		}
	}()
	fc.read()
	close(fc.opened)
}

type rawH1Exchange struct {
	c       *tls.Conn
	req     *http.Request
	n       int
	chunked bool
	started bool
	over    bool
}

func (x *rawH1Exchange) request() []field {
	f := []field{{":method", x.req.Method}, {":path", x.req.RequestURI}, {":authority", x.req.Host}}
	for name, values := range x.req.Header {
		for _, v := range values {
			f = append(f, field{strings.ToLower(name), v})
		}
	}
	return f
}

func (x *rawH1Exchange) body() string {
	b, _ := io.ReadAll(x.req.Body)
	return string(b)
}

func (x *rawH1Exchange) headers(end bool, fields ...field) {
	var b strings.Builder
	if x.started {
		b.WriteString("0\r\n")
		x.chunked = false
	}
	length, status := false, ""
	for _, f := range fields {
		if f.name == ":status" {
			status = f.value
			fmt.Fprintf(&b, "HTTP/1.1 %s Text\r\n", f.value)
			continue
		}
		length = length || f.name == "content-length"
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
	}
	if !x.started && !strings.HasPrefix(status, "1") {
		x.started = true
		if end && !length {
			b.WriteString("content-length: 0\r\n")
		} else if x.chunked = !end && !length; x.chunked {
			b.WriteString("transfer-encoding: chunked\r\n")
		}
	}
	io.WriteString(x.c, b.String()+"\r\n")
}

func (x *rawH1Exchange) data(p string, end bool) {
	if !x.chunked {
		io.WriteString(x.c, p)
		if end {
			x.closeConn()
		}
		return
	}
	if p != "" {
		fmt.Fprintf(x.c, "%x\r\n%s\r\n", len(p), p)
	}
	if end {
		io.WriteString(x.c, "0\r\n\r\n")
	}
}

func (x *rawH1Exchange) reset(string)             { x.closeConn() }
func (x *rawH1Exchange) stopUpload()              {}
func (x *rawH1Exchange) goAway(bool)              { x.closeConn() }
func (x *rawH1Exchange) conn() int                { return x.n }
func (x *rawH1Exchange) resets() (string, string) { io.Copy(io.Discard, x.c); return "closed", "" }

func (x *rawH1Exchange) closeConn() {
	x.over = true
	x.c.Close()
}

type rawH2Exchange struct {
	*rawH2Stream
	n int
}

func (x *rawH2Exchange) request() []field { return x.rawH2Stream.request }

func (x *rawH2Exchange) body() string {
	x.c.wait(func() bool { return x.done })
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return x.rawMessage.body
}

func (x *rawH2Exchange) reset(code string) {
	x.rawH2Stream.reset(uint32(map[string]http2.ErrCode{"cancel": http2.ErrCodeCancel, "rejected": http2.ErrCodeRefusedStream, "internal": http2.ErrCodeInternal}[code]))
}

func (x *rawH2Exchange) stopUpload() { x.reset("none") }

func (x *rawH2Exchange) goAway(processed bool) {
	last := x.id
	if !processed {
		last -= 2
	}
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	if int32(last) < 0 {
		last = 0
	}
	x.c.fr.WriteGoAway(last, http2.ErrCodeNo, nil)
}

func (x *rawH2Exchange) closeConn() { x.c.conn.NetConn().(net.Conn).Close() }
func (x *rawH2Exchange) conn() int  { return x.n }

func (x *rawH2Exchange) resets() (string, string) {
	x.c.wait(func() bool { return x.end != "" })
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return x.end, ""
}
