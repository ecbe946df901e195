// Command earlyget asks twice over HTTP/3, the second time by early data (0-RTT): GET leaves with the client's first packets, and the answer is
// there after one round trip. POST waits for the handshake: early data can be recorded and sent again, which must not change anything
// (RFC 8470). Whatever a client does, the server answers such requests with 425 (Too Early).
//
//	go run ./examples/earlyget
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func main() {
	server, client := localhost.TLS()
	udp, err := net.ListenPacket("udp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "in early data: %v", http3.EarlyData(r))
	})
	srv := &http3.Server{HTTP: &http.Server{Handler: handler, TLSConfig: server}, QUIC: &quic.Config{EarlyData: true}}
	defer srv.Close()
	go srv.Serve(distant{udp})

	dir, err := os.MkdirTemp("", "earlyget")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	_, port, _ := net.SplitHostPort(udp.LocalAddr().String())
	for _, method := range []string{http.MethodGet, http.MethodGet, http.MethodPost} {
		ask(method, "localhost:"+port, client, filepath.Join(dir, "sessions"))
	}
}

// distant has a server be 20 ms away: where it is no way at all, the handshake can be over before the request is written.
type distant struct{ net.PacketConn }

func (d distant) WriteTo(p []byte, to net.Addr) (int, error) {
	p = bytes.Clone(p)
	time.AfterFunc(20*time.Millisecond, func() { d.PacketConn.WriteTo(p, to) })
	return len(p), nil
}

// ask makes a request over a connection of its own, as a program that is run again and again does.
func ask(method, addr string, conf *tls.Config, sessions string) {
	conf = conf.Clone()
	var err error
	if conf.ClientSessionCache, err = quicnet.NewFileSessionCache(sessions); err != nil {
		log.Fatal(err)
	}
	t := &http3.Transport{TLSClientConfig: conf, EarlyData: true}
	conn, err := t.DialClientConn(context.Background(), addr, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close() // sessions are in the file when it returns
	req, err := http.NewRequest(method, "https://"+addr+"/", nil)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := conn.RoundTrip(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %s\n", method, body)
}
