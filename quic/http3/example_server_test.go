package http3_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/boringquic/boringquic/quic/http3"
)

// A server in place of http.ListenAndServeTLS. It serves HTTP/3 alone; ListenAndServeAll serves all versions.
func ExampleServer() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello over %s\n", r.Proto)
	})
	srv := &http3.Server{HTTP: &http.Server{Addr: ":8443", ReadHeaderTimeout: 10 * time.Second}}
	log.Fatal(srv.ListenAndServeTLS("cert.pem", "key.pem"))
}

// HTTP/1.1 and HTTP/2 by net/http, and HTTP/3 beside it, which responses of the former tell of.
func ExampleServer_AltSvcHandler() {
	hs := &http.Server{Addr: ":8443", Handler: http.FileServer(http.Dir("public"))}
	srv := &http3.Server{HTTP: hs}
	hs.Handler = srv.AltSvcHandler(hs.Handler)
	go func() { log.Print(srv.ListenAndServeTLS("cert.pem", "key.pem")) }()
	go func() { log.Print(hs.ListenAndServeTLS("cert.pem", "key.pem")) }()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	srv.Shutdown(ctx)
	hs.Shutdown(ctx)
}

// An echo over extended CONNECT (RFC 9220), for a protocol of one's own.
func ExampleTakeOver() {
	srv := &http3.Server{ExtendedConnect: true, HTTP: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if http3.Protocol(r) != "echo" {
			http.Error(w, "echo is all that there is", http.StatusNotImplemented)
			return
		}
		s, err := http3.TakeOver(w)
		if err != nil {
			return
		}
		defer s.Close()
		s.WriteTo(s)
	})}}
	log.Fatal(srv.ListenAndServeTLS("cert.pem", "key.pem"))
}
