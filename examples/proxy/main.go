// Command proxy puts HTTP/3 in front of a server that knows HTTP/1.1 alone, with net/http/httputil's ReverseProxy.
//
//	go run ./examples/proxy
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"

	"github.com/boringquic/boringquic/examples/localhost"
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

	server, client := localhost.TLS()
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
