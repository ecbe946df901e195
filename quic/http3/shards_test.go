package http3

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// startShards serves on several sockets that share a port, each with connections of its own. It returns the URL.
func startShards(t *testing.T, shards int, h http.HandlerFunc) (s *Server, url string, ended chan error) {
	addr := make(chan net.Addr, 1)
	s = &Server{ListenConfig: quicnet.ListenConfig{Shards: shards}, HTTP: &http.Server{
		Addr: "127.0.0.1:0", Handler: h, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{autoCert()}},
		BaseContext: func(l net.Listener) context.Context { addr <- l.Addr(); return context.Background() },
	}}
	ended = make(chan error, 1)
	go func() { ended <- s.ListenAndServe() }()
	t.Cleanup(func() { s.Close() })
	select {
	case a := <-addr:
		return s, "https://localhost:" + strconv.Itoa(a.(*net.UDPAddr).Port), ended
	case err := <-ended:
		t.Fatal(err)
	}
	return nil, "", nil
}

// shardClient is a client with a connection of its own.
type shardClient struct {
	*http.Client
	conn *quicnet.Conn // of its last request
}

func newShardClient(t *testing.T) *shardClient {
	tr := &Transport{TLSClientConfig: &tls.Config{RootCAs: autoRoots()}}
	t.Cleanup(tr.CloseIdleConnections)
	return &shardClient{Client: &http.Client{Transport: tr}}
}

func (c *shardClient) get(ctx context.Context, url string) (*http.Response, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		c.conn = info.Conn.(interface{ QUIC() *quicnet.Conn }).QUIC()
	}})
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Priority", fmt.Sprintf("u=%d, i", rand.IntN(8)))
	return c.Do(req)
}

// TestShardsMigrate: clients of a server on four sockets move in the midst of downloads, again and again. Whichever socket the system gives their packets to,
// each has all of its bytes, from the connection that it began with.
func TestShardsMigrate(t *testing.T) {
	body := make([]byte, 1<<20)
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	s, url, ended := startShards(t, 4, func(w http.ResponseWriter, r *http.Request) { w.Write(body) })
	var all sync.WaitGroup
	for range 8 {
		c := newShardClient(t)
		all.Go(func() {
			for range 2 {
				resp, err := c.get(t.Context(), url)
				if err != nil {
					t.Error(err)
					return
				}
				first := c.conn
				var got bytes.Buffer
				for err == nil {
					if _, err = io.CopyN(&got, resp.Body, 1<<18); err == nil {
						if err := first.Migrate(t.Context(), "127.0.0.1:0"); err != nil {
							t.Error(err)
						}
					}
				}
				resp.Body.Close()
				if err != io.EOF || !bytes.Equal(got.Bytes(), body) || c.conn != first {
					t.Errorf("%d bytes of %d, %v", got.Len(), len(body), err)
				}
			}
		})
	}
	all.Wait()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != http.ErrServerClosed {
		t.Error(err)
	}
}

// TestShardsShutdown: Shutdown of a server on four sockets, while each of 24 connections has a request under way and sends others. What the handlers have
// begun is answered whole, also to clients that move meanwhile; what was not begun is no success; and nobody waits for ever.
func TestShardsShutdown(t *testing.T) {
	const clients = 24
	tail := bytes.Repeat([]byte("x"), 100_000)
	var handled, answered atomic.Int32
	held, goOn := make(chan struct{}, clients), make(chan struct{})
	s, url, ended := startShards(t, 4, func(w http.ResponseWriter, r *http.Request) {
		handled.Add(1)
		if r.URL.Path == "/held" {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			held <- struct{}{}
			<-goOn
		}
		w.Write(tail)
	})
	whole := func(resp *http.Response) {
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(b, tail) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		answered.Add(1)
	}
	var under, others sync.WaitGroup
	for i := range clients {
		c := newShardClient(t)
		under.Go(func() {
			resp, err := c.get(t.Context(), url+"/held")
			if err != nil {
				t.Error(err)
				return
			}
			conn := c.conn
			others.Go(func() {
				for range 20 {
					if resp, err := c.get(t.Context(), url+"/"); err == nil {
						whole(resp)
					}
				}
			})
			if i%3 == 0 {
				<-goOn
				conn.Migrate(t.Context(), "127.0.0.1:0") // fails if all has come before
			}
			whole(resp)
		})
	}
	for range clients {
		<-held
	}
	over := make(chan error, 1)
	go func() { over <- s.Shutdown(context.Background()) }()
	if err := <-ended; err != http.ErrServerClosed {
		t.Error(err)
	}
	close(goOn)
	under.Wait()
	others.Wait()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if handled.Load() != answered.Load() {
		t.Errorf("%d requests were handled, and %d answered whole", handled.Load(), answered.Load())
	}
}
