// Command caddy serves HTTP/3 with Caddy, whose HTTP/3 is quic-go's, for boringquic's client: Caddy with a handler of ours in place of files or
// an upstream. It has a module of its own: users of the library never download Caddy.
package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"runtime/debug"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

func main() {
	caddy.RegisterModule(handler{})
	perf.Main("caddy", &perf.Stack{HTTP: true, About: about, Serve: serve, Loop: &perf.Loop{NoUpload: true, Plain: true}})
}

func about(payload int) perf.About {
	a := perf.About{
		Name: "Caddy with a handler of net/http", Version: "unknown", Crypto: "Go's crypto/tls, AES-128-GCM", UDPPayload: min(payload, largest),
		Offloads: "GSO, recvmmsg", Controller: "NewReno", ALPN: "h3",
		Serves: []string{perf.LoadBulk, perf.LoadUpload, perf.LoadRequests, perf.LoadIdle},
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/caddyserver/caddy/v2" {
				a.Version = m.Version
			}
		}
	}
	return a
}

// largest is the largest datagram that quic-go ever sends, in bytes. It finds out by itself that it may.
const largest = 1452

// handler is a module of Caddy that answers as all peers do.
type handler struct{}

func (handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.perf", New: func() caddy.Module { return handler{} }}
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	perf.ServeHTTP(w, r)
	return nil
}

func serve(ctx context.Context, o perf.ServerOptions, listening func(net.Addr)) error {
	addr, err := freeAddr(o.Listen)
	if err != nil {
		return err
	}
	type object = map[string]any
	type list = []any
	server := object{
		"listen": list{addr.String()}, "protocols": list{"h3"}, "automatic_https": object{"disable": true}, "idle_timeout": "600s",
		"tls_connection_policies": list{object{"certificate_selection": object{"any_tag": list{"perf"}}}},
		"routes":                  list{object{"handle": list{object{"handler": "perf"}}}},
	}
	config, err := json.Marshal(object{
		"admin":   object{"disabled": true, "config": object{"persist": false}},
		"logging": object{"logs": object{"default": object{"level": "ERROR"}}},
		"apps": object{
			"http": object{"servers": object{"perf": server}},
			"tls":  object{"certificates": object{"load_files": list{object{"certificate": o.CertFile, "key": o.KeyFile, "tags": list{"perf"}}}}},
		},
	})
	if err != nil {
		return err
	}
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	listening(addr)
	<-ctx.Done()
	return caddy.Stop()
}

// freeAddr finds a free port where any will do.
func freeAddr(listen string) (*net.UDPAddr, error) {
	addr, err := net.ResolveUDPAddr("udp", listen)
	if err != nil || addr.Port != 0 {
		return addr, err
	}
	pc, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, err
	}
	defer pc.Close()
	return pc.LocalAddr().(*net.UDPAddr), nil
}
