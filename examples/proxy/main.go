// Command proxy puts HTTP/3 in front of a server that knows HTTP/1.1 alone, with net/http/httputil's ReverseProxy.
//
//	go run ./examples/proxy
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
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/boringquic/boringquic/quic/http3"
)

func main() {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s over %s for %s", r.URL.Path, r.Proto, r.Header.Get("X-Forwarded-Host"))
	}))
	defer upstream.Close()
	to, err := url.Parse(upstream.URL)
	if err != nil {
		log.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.SetXForwarded()
	}}

	server, client := certificates()
	udp, err := net.ListenPacket("udp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http3.Server{HTTP: &http.Server{Handler: proxy, TLSConfig: server}}
	defer srv.Close()
	go srv.Serve(udp)

	c := &http.Client{Transport: &http3.Transport{TLSClientConfig: client}}
	_, port, _ := net.SplitHostPort(udp.LocalAddr().String())
	resp, err := c.Get("https://localhost:" + port + "/page")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s from the proxy, which asked for %s\n", resp.Proto, body)
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
