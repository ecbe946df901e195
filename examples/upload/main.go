// Command upload sends 64 MiB to a server over HTTP/3 and shows how far it is. The server sends back their checksum, and would say 413 (Content Too
// Large) to more than 100 MiB.
//
//	go run ./examples/upload
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic/http3"
)

const size = 64 << 20 // bytes

func main() {
	server, client := localhost.TLS()
	udp, err := net.ListenPacket("udp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http3.Server{HTTP: &http.Server{Handler: http.HandlerFunc(receive), TLSConfig: server}}
	defer srv.Close()
	go srv.Serve(udp)

	bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	sum := sha256.New()
	file := io.LimitReader(mathrand.NewChaCha8([32]byte{}), size) // in the place of an os.File
	_, port, _ := net.SplitHostPort(udp.LocalAddr().String())
	req, err := http.NewRequest(http.MethodPut, "https://localhost:"+port+"/file", io.TeeReader(file, io.MultiWriter(bar, sum)))
	if err != nil {
		log.Fatal(err)
	}
	req.ContentLength = size // else the server does not know beforehand
	c := &http.Client{Transport: &http3.Transport{TLSClientConfig: client}}
	resp, err := c.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %d bytes sent, checksum right: %v\n", resp.Status, size, string(answer) == fmt.Sprintf("%x", sum.Sum(nil)))
}

func receive(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	_, err := io.Copy(sum, http.MaxBytesReader(w, r.Body, 100<<20))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	case err != nil:
		panic(http.ErrAbortHandler) // the client has given up: nobody reads an answer
	default:
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%x", sum.Sum(nil))
	}
}
