// Command events streams server-sent events over HTTP/3, as EventSource in a browser reads them: each leaves as soon as it is flushed, and
// the handler learns at once when the client has gone.
//
//	go run ./examples/events
package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/boringquic/boringquic/quic/http3"
)

func main() {
	server, client := certificates()
	udp, err := net.ListenPacket("udp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	gone := make(chan error, 1)
	srv := &http3.Server{HTTP: &http.Server{TLSConfig: server, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gone <- tick(w, r)
	})}}
	defer srv.Close()
	go srv.Serve(udp)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, port, _ := net.SplitHostPort(udp.LocalAddr().String())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://localhost:"+port+"/events", nil)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http3.Transport{TLSClientConfig: client}}).Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for n := 0; n < 5 && lines.Scan(); {
		if event, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			n++
			fmt.Println(event)
		}
	}
	cancel()
	fmt.Println("the server's handler ends:", <-gone)
}

// tick sends an event every tenth of a second until nobody wants any more.
func tick(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for n := 1; ; n++ {
		fmt.Fprintf(w, "id: %d\ndata: tick %d\n\n", n, n)
		if err := out.Flush(); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

// certificates returns the configuration of a server with a certificate for localhost, and that of a client that trusts it.
func certificates() (server, client *tls.Config) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		log.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}, &tls.Config{RootCAs: roots}
}
