// Command events streams server-sent events over HTTP/3, as EventSource in a browser reads them: each leaves as soon as it is flushed, and
// the handler learns at once when the client has gone.
//
//	go run ./examples/events
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic/http3"
)

func main() {
	server, client := localhost.TLS()
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
