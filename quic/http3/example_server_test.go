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

// HTTP/1.1 and HTTP/2 by net/http, and HTTP/3 beside it, which responses of the former tell of. Each has an http.Server of its own: net/http writes to that which it
// serves TLS by.
func ExampleServer_AltSvcHandler() {
	files := http.FileServer(http.Dir("public"))
	over3 := &http3.Server{HTTP: &http.Server{Addr: ":8443", Handler: files}}
	over2 := &http.Server{Addr: ":8443", Handler: over3.AltSvcHandler(files)}
	go func() { log.Print(over3.ListenAndServeTLS("cert.pem", "key.pem")) }()
	go func() { log.Print(over2.ListenAndServeTLS("cert.pem", "key.pem")) }()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	over3.Shutdown(ctx)
	over2.Shutdown(ctx)
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
