package interop

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
)

// caddyVersion is what "go install" brings.
const caddyVersion = "v2.11.9"

// caddy compiles Caddy, once, into the user's cache folder. The first time takes some minutes.
var caddy = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "boringquic", "interop", "caddy-"+caddyVersion)
	bin := filepath.Join(dir, "caddy")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "install", "github.com/caddyserver/caddy/v2/cmd/caddy@"+caddyVersion)
	part := filepath.Join(dir, "part") // a program that was not copied whole must not look like one that was
	cmd.Env = append(os.Environ(), "GOBIN="+part, "CGO_ENABLED=0", "GOFLAGS=")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", err
	}
	return bin, os.Rename(filepath.Join(part, "caddy"), bin)
})

// TestHTTP3CaddyServer: our client; Caddy, which serves files itself and hands the rest on to the suite over HTTP/1.1; trailers of requests
// it leaves away.
func TestHTTP3CaddyServer(t *testing.T) {
	bin, err := caddy()
	if err != nil {
		t.Fatalf("Caddy is not to be had: %v", err)
	}
	root := webRoot(t)
	_, cert, key := certificate(t)
	upstream := httptest.NewServer(newSuite(root))
	defer upstream.Close()
	port := freeport.Take(t)
	config := filepath.Join(t.TempDir(), "Caddyfile")
	text := fmt.Sprintf(`{
	admin off
	auto_https off
	persist_config off
	skip_install_trust
	servers {
		protocols h3
		max_header_size 1MiB
	}
}
https://127.0.0.1:%d, https://localhost:%[1]d {
	tls %s %s
	handle_path /files/* {
		root %s
		file_server
	}
	handle {
		reverse_proxy %s
	}
}
`, port, cert, key, root, upstream.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	t.Setenv("XDG_DATA_HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	start(t, bin, "run", "--config", config, "--adapter", "caddyfile")
	askWeb(t, fmt.Sprintf("127.0.0.1:%d", port), cert, root, serverFeatures{echo: true, fields: true, early: true, cancel: true, told: true})
}
