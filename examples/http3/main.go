// Command http3 serves a handler of net/http over HTTP/1.1, HTTP/2 and HTTP/3 at one address, and fetches from it with an http.Client, which
// finds out by itself that there is HTTP/3.
//
//	go run ./examples/http3
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"time"

	"github.com/boringquic/boringquic/quic/http3"
)

func main() {
	server, client := certificates()
	url := serve(server)
	auto := &http3.AutoTransport{TCP: &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true}}
	for range 3 { // the first response tells of HTTP/3
		fmt.Println(fetch(&http.Client{Transport: auto}, url))
	}
	only := &http.Client{Transport: &http3.Transport{TLSClientConfig: client}} // HTTP/3 and nothing else
	fmt.Println(fetch(only, url))
}

// serve is http.ListenAndServeTLS for all versions. http3.ListenAndServeAll does it in one call, for a port that one knows.
func serve(conf *tls.Config) (url string) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello over %s", r.Proto)
	})
	tcp, udp, err := http3.ListenAll("localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http3.Server{HTTP: &http.Server{Handler: handler, TLSConfig: conf}}
	go func() { log.Fatal(srv.ServeAll(tcp, udp, "", "")) }()
	_, port, _ := net.SplitHostPort(tcp.Addr().String())
	return "https://localhost:" + port + "/"
}

func fetch(client *http.Client, url string) string {
	resp, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	return string(body)
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
