package quicnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// netPair is a stream's both ends as net.Conns.
func netPair(t *testing.T) (server, client net.Conn) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streamPair(t, s, c)
	return ss.NetConn(), cs.NetConn()
}

// What was written before Close arrives; what the peer writes after it is refused.
func TestNetConnClose(t *testing.T) {
	s, c := netPair(t)
	want := randomBytes(100 << 10)
	if _, err := s.Write(want); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		_, err := s.Read(make([]byte, 1))
		waiting <- err
	}()
	if err := s.Close(); err != nil {
		t.Errorf("Close returned %v", err)
	}
	if err := <-waiting; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a Read that waited returned %v", err)
	}
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came, %v", len(got), err)
	}
	for name, call := range map[string]func() error{
		"Read":    func() error { _, err := s.Read(make([]byte, 1)); return err },
		"Write":   func() error { _, err := s.Write([]byte("x")); return err },
		"Close":   s.Close,
		"io.Copy": func() error { _, err := io.Copy(s, strings.NewReader("x")); return err },
		"WriteTo": func() error { _, err := io.Copy(io.Discard, s); return err },
	} {
		if err := call(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close, %s returned %v", name, err)
		}
	}
	var stopped *quic.StreamError
	for {
		if _, err := c.Write([]byte("too late")); err != nil {
			if !errors.As(err, &stopped) || !stopped.Remote || stopped.Code != 0 {
				t.Errorf("the peer was told %v", err)
			}
			break
		}
	}
}

// The second side to close has nothing to complain of, as with TCP, also where the connection went first.
func TestNetConnCloseAfterPeer(t *testing.T) {
	for name, end := range map[string]func(peer net.Conn){
		"the stream":     func(peer net.Conn) { peer.Close() },
		"the connection": func(peer net.Conn) { peer.(*netConn).s.c.Close() },
	} {
		synctest.Test(t, func(t *testing.T) {
			s, c, _, _ := memPair(t, serverConfig(), clientConfig())
			ss, cs := streamPair(t, s, c)
			end(ss.NetConn())
			io.ReadAll(cs)
			synctest.Wait()
			if err := cs.NetConn().Close(); err != nil {
				t.Errorf("where the peer closed %s first, Close returned %v", name, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s, c, _, _ := memPair(t, serverConfig(), clientConfig())
		ss, cs := streamPair(t, s, c)
		ss.CancelRead(7)
		synctest.Wait()
		if err := cs.NetConn().Close(); !errors.Is(err, &quic.StreamError{StreamID: cs.ID(), Code: 7, Remote: true}) {
			t.Errorf("where the peer gave up with a code, Close returned %v", err)
		}
	})
}

// One direction can be ended alone, as with TCP.
func TestNetConnCloseWrite(t *testing.T) {
	s, c := netPair(t)
	go func() {
		io.Copy(s, s) // up to the client's end
		s.Close()
	}()
	c.Write([]byte("there and back"))
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Errorf("CloseWrite returned %v", err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "there and back" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close returned %v", err)
	}

	s, c = netPair(t)
	s.(interface{ CloseRead() error }).CloseRead()
	if _, err := s.Read(make([]byte, 1)); err == nil {
		t.Error("Read after CloseRead succeeded")
	}
	s.Write([]byte("still"))
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Errorf("after CloseRead, what is written is read with %v", err)
	}
}

func TestNetConnDeadlinesAndAddresses(t *testing.T) {
	s, c := netPair(t)
	if s.LocalAddr().String() != c.RemoteAddr().String() || c.LocalAddr().String() != s.RemoteAddr().String() {
		t.Errorf("the addresses are %v and %v, and %v and %v", s.LocalAddr(), s.RemoteAddr(), c.LocalAddr(), c.RemoteAddr())
	}
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	var timeout net.Error
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("Read returned %v", err)
	}
	c.SetDeadline(time.Time{})
	s.Write([]byte("x"))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("after its deadline was taken away, Read returned %v", err)
	}
}

// streamListener gives the streams of a connection to what serves a net.Listener.
type streamListener struct{ c *Conn }

func (l streamListener) Accept() (net.Conn, error) {
	s, err := l.c.AcceptStream(context.Background())
	if err != nil {
		return nil, err
	}
	return s.NetConn(), nil
}
func (l streamListener) Close() error   { return l.c.Close() }
func (l streamListener) Addr() net.Addr { return l.c.LocalAddr() }

// Code that was written for TCP, of which net/http is a lot, runs over streams.
func TestNetConnUnderHTTP(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })}
	served := make(chan error)
	go func() { served <- server.Serve(streamListener{s}) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		stream, err := c.OpenStream(ctx)
		if err != nil {
			return nil, err
		}
		return stream.NetConn(), nil
	}}
	client := &http.Client{Transport: transport}
	want := randomBytes(1 << 20)
	for range 3 {
		resp, err := client.Post("http://localhost/", "application/octet-stream", bytes.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
	}
	transport.CloseIdleConnections()
	server.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve returned %v", err)
	}
}
