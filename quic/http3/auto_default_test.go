package http3

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// As http.DefaultTransport, an AutoTransport uses what that was before for TCP, and not itself.
func TestAutoAsDefault(t *testing.T) {
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	auto := new(AutoTransport)
	http.DefaultTransport = auto
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	defer s.Close()
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(text) != "HTTP/1.1" || err != nil {
		t.Errorf("%s, %v", text, err)
	}
	was := before.(*http.Transport)
	if auto.tcp == was || auto.tcp.IdleConnTimeout != was.IdleConnTimeout || auto.tcp.Proxy == nil || auto.tcp.DialContext == nil || !auto.tcp.ForceAttemptHTTP2 {
		t.Errorf("TCP goes over %+v", auto.tcp)
	}
	http.DefaultClient.CloseIdleConnections()
}
