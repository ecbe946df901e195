package h3test_test

import (
	"fmt"
	"io"
	"net/http"

	"github.com/boringquic/boringquic/quic/http3/h3test"
)

func Example() {
	s := h3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s over %s", r.URL.Path, r.Proto)
	}))
	defer s.Close()
	resp, err := s.Client().Get("https://example.com/hello")
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(body))
	// Output: /hello over HTTP/3.0
}
