// Command http3 serves a handler of net/http over HTTP/1.1, HTTP/2 and HTTP/3 at one address, and fetches from it with an http.Client, which
// finds out by itself that there is HTTP/3.
//
//	go run ./examples/http3
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic/http3"
)

func main() {
	server, client := localhost.TLS()
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
