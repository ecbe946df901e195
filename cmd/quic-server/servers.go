package main

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/webroot"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// servers are the two that serve a website, on one port number.
type servers struct {
	tcp      *http.Server  // HTTP/1.1 and HTTP/2
	http3    *http3.Server // made from it
	listener net.Listener  // nil: no TCP
	altSvc   string        // what tells browsers of HTTP/3
}

// Times of both servers.
const (
	headerTime = 10 * time.Second // that a client may take for the fields of a request
	idleTime   = 60 * time.Second // after which a connection without requests is closed
	leaveTime  = 10 * time.Second // that requests may take when the server is told to end
)

func newServers(cfg *quic.Config, handler http.Handler, log *logger) *servers {
	s := &servers{}
	s.tcp = &http.Server{
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		ConnContext:       countRequests,
		ErrorLog:          stdlog.New(lineWriter{log}, "", 0),
		TLSConfig:         cfg.TLS.Clone(),
	}
	s.tcp.TLSConfig.NextProtos = nil // net/http's own
	s.http3 = &http3.Server{HTTP: s.tcp, QUIC: cfg}
	s.tcp.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor < 3 {
			w.Header().Set("Alt-Svc", s.altSvc) // RFC 7838
		}
		handler.ServeHTTP(w, r)
	})
	if cfg.MaxIdleTimeout == 0 {
		cfg.MaxIdleTimeout = idleTime + 5*time.Second // so that HTTP says so before
	}
	return s
}

// listen opens the UDP port, and the TCP port of the same number if it is free.
func (s *servers) listen(o *options, cfg *quic.Config, log *logger) (*quicnet.Endpoint, error) {
	lc := quicnet.ListenConfig{
		Shards:   o.shards,
		Protocol: s.http3.Protocol,
		OnHandshakeError: func(remote net.Addr, err error) {
			log.printf("%s: not connected: %v", remote, err)
		},
	}
	ep, err := lc.Listen(o.listen, cfg)
	if err != nil || o.noTCP {
		return ep, err
	}
	host, _, _ := net.SplitHostPort(o.listen)
	_, port, _ := net.SplitHostPort(ep.Addr().String())
	s.altSvc = fmt.Sprintf("h3=\":%s\"; ma=86400", port)
	s.listener, err = net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		log.say("quic-server: there is no HTTP/1.1 and HTTP/2, since TCP port %s cannot be listened on: %v", port, errors.Unwrap(err))
	}
	return ep, nil
}

// over tells people what beside HTTP/3 is spoken.
func (s *servers) over() string {
	if s.listener == nil {
		return ""
	}
	return ", also over TCP"
}

// serve serves until ctx ends, and then until requests are done.
func (s *servers) serve(ctx context.Context, ep *quicnet.Endpoint, files *webroot.Root, log *logger) error {
	failed := make(chan error, 1)
	var serving sync.WaitGroup
	defer serving.Wait() // until each connection has said goodbye
	if s.listener != nil {
		serving.Go(func() {
			err := s.tcp.ServeTLS(s.listener, "", "")
			if !errors.Is(err, http.ErrServerClosed) {
				log.say("quic-server: there is no more HTTP/1.1 and HTTP/2: %v", err)
			}
		})
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	serving.Go(func() {
		for {
			conn, err := ep.Accept(ctx)
			if err != nil {
				failed <- err
				return
			}
			serving.Go(func() { serveConn(ctx, conn, files, log) })
		}
	})
	err := <-failed
	stop()
	s.leave(ep, log)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// leave lets requests that are under way come to their end, unless there is another signal. Who comes now is refused, so that nobody has a request
// under way when the endpoint is closed.
func (s *servers) leave(ep *quicnet.Endpoint, log *logger) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	var both sync.WaitGroup
	both.Go(func() {
		ep.Refuse()
		if ep.WaitHandshakes(ctx) != nil || s.http3.Shutdown(ctx) != nil {
			log.say("quic-server: connections over HTTP/3 were broken off, since they had not come to their end in time")
			s.http3.Close()
		}
	})
	both.Go(func() {
		if s.tcp.Shutdown(ctx) != nil {
			s.tcp.Close()
		}
	})
	both.Wait()
}
