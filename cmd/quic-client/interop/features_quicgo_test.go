package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"testing"

	quicgo "github.com/quic-go/quic-go"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// listenQuicGo starts a server of quic-go that takes 0-RTT data.
func listenQuicGo(t *testing.T, root string, cfg *quicgo.Config) string {
	t.Helper()
	cert, _, _ := certificate(t)
	cfg.Allow0RTT = true
	ln, err := quicgo.ListenAddrEarly("127.0.0.1:0",
		&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{hq.ALPN}}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept(context.Background())
			if err != nil {
				return
			}
			go serveQuicGo(context.Background(), conn, root)
		}
	}()
	return ln.Addr().String()
}

// TestQuicGoServerFeatures: our client, quic-go's server.
func TestQuicGoServerFeatures(t *testing.T) {
	root := webRoot(t)
	both := []uint32{quic.Version1, quic.Version2}
	for name, run := range map[string]func(context.Context, *testing.T, string, string){
		"resumption": func(ctx context.Context, t *testing.T, addr, root string) {
			resumeOurs(ctx, t, addr, root, false, both, quic.Version1)
		},
		"0-RTT": func(ctx context.Context, t *testing.T, addr, root string) {
			resumeOurs(ctx, t, addr, root, true, both, quic.Version1)
		},
		"v2": func(ctx context.Context, t *testing.T, addr, root string) {
			resumeOurs(ctx, t, addr, root, true, []uint32{quic.Version2}, quic.Version2)
		},
		"migration":  moveOurs,
		"key update": updateOurs,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			run(ctx, t, listenQuicGo(t, root, &quicgo.Config{}), root)
		})
	}
}

// TestQuicGoServerOtherVersion: quic-go's server speaks version 2 alone, and tells so in a Version Negotiation packet.
func TestQuicGoServerOtherVersion(t *testing.T) {
	root := webRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	addr := listenQuicGo(t, root, &quicgo.Config{Versions: []quicgo.Version{quicgo.Version2}})
	conn, err := quicnet.Dial(ctx, addr, &quic.Config{TLS: tlsClient()})
	// quic-go does not send version_information, without which RFC 9368, section 4, has us give up.
	if err == nil {
		t.Errorf("connected, though the server cannot show that nobody has tampered with its choice of version 0x%x", conn.Stats().Version)
		conn.Close()
	}
}

// TestQuicGoClientFeatures: quic-go's client, our server.
func TestQuicGoClientFeatures(t *testing.T) {
	root := webRoot(t)
	for _, v := range []quicgo.Version{quicgo.Version1, quicgo.Version2} {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v early=%v", v, early), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				o := listenOurs(t, root, func(cfg *quic.Config) { cfg.EarlyData = true }, nil)
				tlsConf := tlsClient()
				tlsConf.ClientSessionCache = tls.NewLRUClientSessionCache(4)
				for round := range 2 {
					dial := quicgo.DialAddr
					if early && round == 1 {
						dial = quicgo.DialAddrEarly
					}
					conn, err := dial(ctx, o.addr, tlsConf, &quicgo.Config{Versions: []quicgo.Version{v}})
					if err != nil {
						t.Fatal(err)
					}
					for name := range files {
						if err := compareQuicGo(ctx, conn, root, name, nil); err != nil {
							t.Fatal(err)
						}
					}
					if s := conn.ConnectionState(); s.TLS.DidResume != (round == 1) || s.Used0RTT != (early && round == 1) {
						t.Errorf("connection %d: quic-go says resumed: %v, 0-RTT: %v", round, s.TLS.DidResume, s.Used0RTT)
					}
					conn.CloseWithError(0, "")
					wantFeatures(t, o.next(ctx, t), round == 1, early && round == 1, uint32(v))
				}
			})
		}
	}
}

func compareQuicGo(ctx context.Context, conn *quicgo.Conn, root, name string, half func() error) error {
	s, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(s, "GET /%s\r\n", name)
	s.Close()
	return compare(s, root, name, half)
}

// TestQuicGoClientMoves: quic-go's client moves to another port in the middle of a file, and our server follows.
func TestQuicGoClientMoves(t *testing.T) {
	root := webRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	o := listenOurs(t, root, nil, nil)
	server, err := net.ResolveUDPAddr("udp4", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	// DialAddr would take empty connection IDs, with which nothing is received on another socket.
	conn, err := quicGoTransport(t).Dial(ctx, server, tlsClient(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		transport := quicGoTransport(t)
		err := compareQuicGo(ctx, conn, root, "large", func() error {
			path, err := conn.AddPath(transport)
			if err == nil {
				err = path.Probe(ctx)
			}
			if err == nil {
				err = path.Switch()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	conn.CloseWithError(0, "")
	if c := o.next(ctx, t); c.Migrations < 2 {
		t.Errorf("our server counts %d moves, want 2", c.Migrations)
	}
}

// quicGoTransport opens a socket for quic-go.
func quicGoTransport(t *testing.T) *quicgo.Transport {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	transport := &quicgo.Transport{Conn: socket}
	t.Cleanup(func() { transport.Close(); socket.Close() })
	return transport
}

// TestQuicGoClientFollowsKeys: our server updates its keys in the middle of what it sends to quic-go's client.
func TestQuicGoClientFollowsKeys(t *testing.T) {
	root := webRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	conns := make(chan *quicnet.Conn, 1)
	o := listenOurs(t, root, nil, func(c *quicnet.Conn) { conns <- c })
	conn, err := quicgo.DialAddr(ctx, o.addr, tlsClient(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	untilUpdated(t, <-conns, func(half func() error) error { return compareQuicGo(ctx, conn, root, "large", half) })
}
