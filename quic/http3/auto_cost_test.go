package http3

import (
	"crypto/tls"
	"net/http"
	"testing"
)

// nothing is an HTTP/3 side that costs nothing.
type nothing struct {
	h3Side
	resp *http.Response
}

func (n *nothing) connected(*route) bool { return true }
func (n *nothing) roundTripOn(*http.Request, *route) (*http.Response, bool, error) {
	return n.resp, true, nil
}

// Where HTTP/3 is connected, choosing it costs a request one allocation at most, also where each response repeats its Alt-Svc field.
func TestAutoCost(t *testing.T) {
	if raceEnabled {
		return // it allocates more then
	}
	req, err := http.NewRequest("GET", "https://example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []http.Header{{}, {"Alt-Svc": {`h3=":443"; ma=86400`}}} {
		auto := &AutoTransport{
			TCP: &http.Transport{Proxy: http.ProxyFromEnvironment}, Always: true,
			h3: &nothing{resp: &http.Response{StatusCode: 200, TLS: new(tls.ConnectionState), Header: field, Body: http.NoBody}},
		}
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := auto.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
		}); n > 1 {
			t.Errorf("%v: %v allocations", field, n)
		}
	}
}
