package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/netem"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// dropCase is a connection of which one packet is lost.
type dropCase struct {
	retry, chain bool
	speaks       string // who speaks first: client, server, nobody
	d            netem.Direction
	n            int // the packet, from 1
	version      uint32
}

// TestEachDrop loses each of the first 30 packets of either direction, one at a time, with and without Retry, with a short and with a
// long certificate chain, whoever speaks first: all that was sent arrives, and soon.
func TestEachDrop(t *testing.T) {
	dir := t.TempDir()
	var certs [2]tls.Certificate
	for i, n := range []int{1, 9} {
		makeCerts(t, dir, n)
		var err error
		if certs[i], err = tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "priv.key")); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []uint32{quic.Version1, quic.Version2} {
		for i := range 4 {
			for _, speaks := range []string{"client", "server", "nobody"} {
				c := dropCase{retry: i&1 != 0, chain: i&2 != 0, speaks: speaks, version: version}
				cert := certs[i>>1]
				t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
					for d := range netem.Direction(2) {
						for n := 1; n <= 30; n++ {
							c := c
							c.d, c.n = d, n
							synctest.Test(t, func(t *testing.T) { c.run(t, cert) })
						}
					}
				})
			}
		}
	}
}

// dropLimit is how long a connection may take: the most are the times of two probe timeouts, one of them of a second.
const dropLimit = 5 * time.Second

func (c *dropCase) run(t *testing.T, cert tls.Certificate) {
	n := netem.New(1, droplist(c.d, c.n))
	defer n.Close()
	scfg := &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{hq.ALPN}}, Versions: []uint32{c.version}}
	if c.retry {
		scfg.Retry = func(netip.AddrPort) bool { return true }
	}
	ccfg := &quic.Config{TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{hq.ALPN}}, Versions: []uint32{c.version}}
	sep, err := memory{n: n, side: netem.ServerSide}.Listen(server4.String()+":443", scfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sep.Close()
	cep, err := memory{n: n, side: netem.ClientSide}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer cep.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	start := time.Now()
	served := make(chan error, 1)
	go func() { served <- c.serve(ctx, sep) }()
	err = c.fetch(ctx, cep, ccfg)
	if took := time.Since(start); err != nil || took > dropLimit {
		t.Errorf("%+v: the client ends after %v: %v", *c, took, err)
	}
	if err := <-served; err != nil {
		t.Errorf("%+v: the server: %v", *c, err)
	}
}

var message = bytes.Repeat([]byte("boring "), 2000)

// speak sends the message on a stream and waits until it has arrived.
func speak(ctx context.Context, conn *quicnet.Conn) error {
	s, err := conn.OpenUniStream(ctx)
	if err == nil {
		_, err = s.WriteFinal(message)
	}
	if err == nil {
		err = s.Acked(ctx)
	}
	return err
}

// listen takes the message.
func listen(ctx context.Context, conn *quicnet.Conn) error {
	s, err := conn.AcceptUniStream(ctx)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(s)
	if err == nil && !bytes.Equal(got, message) {
		err = fmt.Errorf("%d bytes arrived, or others", len(got))
	}
	return err
}

func (c *dropCase) serve(ctx context.Context, ep *quicnet.Endpoint) error {
	conn, err := ep.Accept(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	switch c.speaks {
	case "client":
		if err := errors.Join(listen(ctx, conn), speak(ctx, conn)); err != nil {
			return err
		}
	case "server":
		if err := errors.Join(speak(ctx, conn), listen(ctx, conn)); err != nil {
			return err
		}
	}
	<-conn.Context().Done()
	if err := context.Cause(conn.Context()); !quic.IsCleanClose(err) && !errors.Is(err, &quic.IdleTimeoutError{}) { // what is lost may be the close
		return err
	}
	return nil
}

func (c *dropCase) fetch(ctx context.Context, ep *quicnet.Endpoint, cfg *quic.Config) error {
	conn, err := ep.Dial(ctx, server4.String()+":443", cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	switch c.speaks {
	case "client":
		return errors.Join(speak(ctx, conn), listen(ctx, conn))
	case "server":
		return errors.Join(listen(ctx, conn), speak(ctx, conn))
	}
	<-time.After(time.Second) // the handshake is confirmed
	return nil
}
