package http3_test

import (
	"fmt"
	"io"
	"net/http"

	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/http3/h3test"
)

// A Transport is what an http.Client needs for HTTP/3. The server here is one for tests, which the client has to be told to trust.
func ExampleTransport() {
	server := h3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s over %s", r.URL.Path, r.Proto)
	}))
	defer server.Close()

	transport := server.Client().Transport.(*http3.Transport) // else: &http3.Transport{}
	client := &http.Client{Transport: transport}
	resp, err := client.Get(server.URL + "/hello")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s: %s %v\n", resp.Status, body, err)
	// Output: 200 OK: /hello over HTTP/3.0 <nil>
}
