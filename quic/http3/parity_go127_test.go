//go:build go1.27

package http3_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

const isGo127 = true

func init() {
	versionRows = append(versionRows, row{id: "S60", what: "MaxHeaderValueCount", run: func(w *world) {
		got := make(chan string, 1)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			got <- failed(err)
		}, func(s *http.Server) { s.MaxHeaderValueCount = 15 })
		status := func(edit func(*http.Request)) int {
			resp := w.client().do("GET", s.url, nil, edit)
			resp.Body.Close()
			if resp.StatusCode == 200 {
				<-got
			}
			return resp.StatusCode
		}
		w.check("below", status(func(r *http.Request) {
			for i := range 5 {
				r.Header.Add(fmt.Sprint("A-", i), "v")
			}
		}), 200)
		w.check("above", status(func(r *http.Request) {
			for i := range 16 {
				r.Header.Add(fmt.Sprint("A-", i), "v")
			}
		}), 431)
		w.check("a list is one value", status(func(r *http.Request) { r.Header.Set("A", "v"+strings.Repeat(", v", 15)) }), 200)
		w.check("lines are several", status(func(r *http.Request) {
			for range 16 {
				r.Header.Add("A", "v")
			}
		}), 431)
		for n, want := range map[int]string{14: "nil", 16: "error"} {
			c := w.client()
			resp, err := c.Do(c.request("POST", s.url, &onlyReader{strings.NewReader("body")}, func(r *http.Request) {
				r.Trailer = http.Header{}
				for range n {
					r.Trailer.Add("T", "v")
				}
			}))
			if err == nil {
				resp.Body.Close()
			}
			w.check(fmt.Sprint(n, " trailers: the handler"), <-got, want)
		}
	}})
}
