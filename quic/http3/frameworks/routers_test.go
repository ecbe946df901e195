package frameworks

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/mux"
)

func TestChi(t *testing.T) {
	each(t, func(t *testing.T, serve func(http.Handler) *server) {
		r := chi.NewRouter()
		r.Use(middleware.RequestID, middleware.Recoverer, middleware.Compress(5, "text/plain"), middleware.Timeout(time.Minute), middleware.NoCache)
		r.Get("/users/{id}/*", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, chi.URLParam(r, "id"), " ", chi.URLParam(r, "*"), " ", middleware.GetReqID(r.Context()) != "")
		})
		r.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("on purpose") })
		r.Get("/long", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, letters(100000))
		})
		r.Route("/sub", func(r chi.Router) {
			r.With(middleware.BasicAuth("realm", map[string]string{"user": "secret"})).Post("/in", hello)
		})
		r.Mount("/debug", middleware.Profiler())
		s := serve(r)
		s.want(s.get("/users/7/a/b"), 200, "7 a/b true")
		s.want(s.get("/nowhere"), 404, "404 page not found\n")
		if a := s.do("DELETE", "/users/7/x", nil); a.StatusCode != 405 || a.Header.Get("Allow") != "GET" {
			t.Errorf("DELETE: %d, %v", a.StatusCode, a.Header)
		}
		if a := s.get("/panic"); a.StatusCode != 500 {
			t.Errorf("panic: %d", a.StatusCode)
		}
		long := s.get("/long")
		s.want(long, 200, letters(100000))
		if !long.Uncompressed {
			t.Error("it was not compressed")
		}
		if a := s.do("POST", "/sub/in", nil); a.StatusCode != 401 {
			t.Errorf("without a password: %d", a.StatusCode)
		}
		s.want(s.do("POST", "/sub/in", nil, "Authorization", "Basic dXNlcjpzZWNyZXQ="), 200, "hello /sub/in")
		if a := s.get("/debug/pprof/"); a.StatusCode != 200 || !strings.Contains(a.text, "goroutine") {
			t.Errorf("profiler: %d", a.StatusCode)
		}
	})
}

func TestGorillaMux(t *testing.T) {
	each(t, func(t *testing.T, serve func(http.Handler) *server) {
		r := mux.NewRouter()
		r.Use(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Middleware", "yes")
				next.ServeHTTP(w, r)
			})
		})
		r.HandleFunc("/articles/{category}/{id:[0-9]+}", func(w http.ResponseWriter, r *http.Request) {
			v := mux.Vars(r)
			fmt.Fprint(w, v["category"], " ", v["id"])
		}).Methods("GET").Name("article")
		r.HandleFunc("/only", hello).Schemes("https").Queries("key", "{key}")
		r.HandleFunc("/typed", hello).HeadersRegexp("Content-Type", "application/(text|json)").Methods("PUT")
		r.PathPrefix("/static/").Handler(http.StripPrefix("/static", http.HandlerFunc(hello)))
		s := serve(r)
		a := s.get("/articles/go/42")
		s.want(a, 200, "go 42")
		s.wantField(a, "X-Middleware", "yes")
		s.want(s.get("/articles/go/x"), 404, "404 page not found\n")
		s.want(s.get("/articles/go/42/"), 404, "404 page not found\n")
		if a := s.do("POST", "/articles/go/42", strings.NewReader("x")); a.StatusCode != 405 {
			t.Errorf("POST: %d", a.StatusCode)
		}
		s.want(s.get("/static/x.css"), 200, "hello /x.css")
		s.want(s.do("PUT", "/typed", strings.NewReader("{}"), "Content-Type", "application/json"), 200, "hello /typed")
		s.want(s.get("/only?key=1"), 200, "hello /only")
	})
}
