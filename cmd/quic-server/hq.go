package main

import (
	"context"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/webroot"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// serveConn answers every stream of one connection until it is closed. Whatever goes wrong here is this connection's alone.
func serveConn(ctx context.Context, conn *quicnet.Conn, files *webroot.Root, log *logger) {
	log.printf("%s: connected, HTTP/0.9", conn.RemoteAddr())
	if files == nil {
		conn.CloseWithError(0, "with --proxy there is no HTTP/0.9 here: ask for h3")
		return
	}
	for {
		s, err := conn.AcceptStream(ctx)
		if ctx.Err() != nil {
			conn.CloseWithError(0, "the server is shutting down")
			return
		}
		if err != nil {
			if quic.IsCleanClose(err) {
				log.printf("%s: gone", conn.RemoteAddr())
			} else {
				log.printf("%s: gone: %v", conn.RemoteAddr(), err)
			}
			return
		}
		go func() {
			path, n, err := hq.Serve(s, files)
			if err != nil {
				log.printf("%s: %q: %d bytes sent, then %v", conn.RemoteAddr(), path, n, err)
				return
			}
			early := ""
			if s.Early() {
				early = ", asked for in early data"
			}
			log.printf("%s: %q: %d bytes%s", conn.RemoteAddr(), path, n, early)
		}()
	}
}
