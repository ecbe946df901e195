package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// The clients of examples/c, under the address sanitizer, with a server that holds the keys and sends what no server may: each ends, and says that it has
// not got what it asked for.
func TestHostileServer(t *testing.T) {
	files := certificate(t)
	pair, err := tls.LoadX509KeyPair(files[0], files[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"get", "quiche_get", "loop_get"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := asan.build(t, "../../examples/c/"+name+".c")
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			for _, a := range serverAttacks {
				if err := besiege(client, pair, files[0], &a, rng); err != nil {
					t.Errorf("%s: %v", a.name, err)
				}
			}
		})
	}
}

// besiege runs a client against an attack.
func besiege(client string, pair tls.Certificate, roots string, a *attack, rng *rand.Rand) error {
	s, err := newAttacker(&quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h3"}}})
	if err != nil {
		return err
	}
	defer s.close()
	_, port, _ := strings.Cut(s.sock.LocalAddr().String(), ":")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // against one that hangs
	defer cancel()
	host := "127.0.0.1"
	if filepath.Base(client) == "loop_get" { // which wants the name in the certificate
		host = "localhost"
	}
	cmd := exec.CommandContext(ctx, client, host, port, "/1000", roots)
	cmd.Env = append(os.Environ(), "ASAN_OPTIONS=quarantine_size_mb=16:hard_rss_limit_mb=512")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	end, err := s.attack(func(send func([]byte)) { a.play(rng, send) }, a.patience())
	ended := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err != nil:
		return fmt.Errorf("%w; the client ends with %v:\n%s", err, ended, &out)
	case !a.ends(end):
		return fmt.Errorf("the connection ends with %v, which should have code %#x", end, a.code)
	case !errors.As(ended, &exit) || exit.ExitCode() != 1 || strings.Contains(out.String(), "Sanitizer"):
		return fmt.Errorf("the client ends with %v:\n%s", ended, &out)
	}
	return nil
}

// response is a stream's data that answers with status 200: a section without the dynamic table (RFC 9204, appendix A, entry 25).
var response = []byte{0x01, 0x03, 0x00, 0x00, 0xd9}

var serverAttacks = []attack{
	{"noise for frames", 0, func(rng *rand.Rand, send func([]byte)) { send(some(rng, 40+rng.IntN(1000))) }},
	{"the end at once", 0, func(*rand.Rand, func([]byte)) {}},
	{"a stream beyond the limit", 0x04, func(_ *rand.Rand, send func([]byte)) { send(onStream(highest, 0, false, 1)) }},
	{"data beyond the window", 0x03, func(_ *rand.Rand, send func([]byte)) { send(onStream(0, 1<<61, false, 1)) }},
	{"data on a stream that the client has not opened", 0x05, func(_ *rand.Rand, send func([]byte)) { send(onStream(400, 0, false, 1)) }},
	{"more streams than there can be", 0x07, func(_ *rand.Rand, send func([]byte)) { send(ints(nil, 0x12, 1<<60+1)) }},
	{"HANDSHAKE_DONE, 1000, and tokens, 3000", 0, func(rng *rand.Rand, send func([]byte)) {
		for range 1000 {
			send([]byte{0x1e})
		}
		for range 3000 {
			send(append(ints(nil, 0x07, 1000), some(rng, 1000)...))
		}
	}},
	{"tickets without number", 0, func(rng *rand.Rand, send func([]byte)) {
		off := uint64(5000) // behind those that the server has sent, where there is a gap
		for range 1000 {
			send(append(ints(nil, 0x06, off, 1000), some(rng, 1000)...))
			off += 1000
		}
	}},
	{"connection IDs, each of which retires those before, 3000", 0, func(rng *rand.Rand, send func([]byte)) {
		for i := range uint64(3000) {
			send(append(ints(nil, 0x18, i+1, i+1, 8), some(rng, 24)...))
		}
	}},
	{"path challenges, 3000", 0, func(rng *rand.Rand, send func([]byte)) {
		for range 3000 {
			send(append([]byte{0x1a}, some(rng, 8)...))
		}
	}},
	{"resets and stops of all streams", 0, func(_ *rand.Rand, send func([]byte)) {
		for _, id := range []uint64{0, 2, 6, 10} {
			if id == 0 {
				send(ints(nil, 0x04, id, 0x10c, 0))
			}
			send(ints(nil, 0x05, id, 0x10c))
		}
	}},
	{"HTTP/3: a push", 0, func(_ *rand.Rand, send func([]byte)) { send(onStream(3, 0, false, 0x01, 0x00)) }},
	{"HTTP/3: PUSH_PROMISE", 0, func(_ *rand.Rand, send func([]byte)) { send(onStream(0, 0, false, 0x05, 0x04, 0x00, 0x00, 0x00, 0xd9)) }},
	{"HTTP/3: a bidirectional stream of the server's", 0x103, func(_ *rand.Rand, send func([]byte)) { send(onStream(1, 0, false, 0x01, 0x00)) }},
	{"HTTP/3: a control stream that ends", 0x104, func(_ *rand.Rand, send func([]byte)) { send(onStream(3, 0, true, 0x00, 0x04, 0x00)) }},
	{"HTTP/3: two SETTINGS", 0x105, func(_ *rand.Rand, send func([]byte)) { send(onStream(3, 0, false, 0x00, 0x04, 0x00, 0x04, 0x00)) }},
	{"HTTP/3: GOAWAY that goes up", 0x108, func(_ *rand.Rand, send func([]byte)) {
		send(onStream(3, 0, false, 0x00, 0x04, 0x00, 0x07, 0x01, 0x04, 0x07, 0x01, 0x08))
	}},
	{"HTTP/3: GOAWAY for all", 0, func(_ *rand.Rand, send func([]byte)) { send(onStream(3, 0, false, 0x00, 0x04, 0x00, 0x07, 0x01, 0x00)) }},
	{"HTTP/3: MAX_PUSH_ID", 0x105, func(_ *rand.Rand, send func([]byte)) { send(onStream(3, 0, false, 0x00, 0x04, 0x00, 0x0d, 0x01, 0x01)) }},
	{"HTTP/3: DATA before HEADERS", 0x105, func(_ *rand.Rand, send func([]byte)) { send(onStream(0, 0, true, 0x00, 0x01, 'x')) }},
	{"HTTP/3: no header section", 0, func(_ *rand.Rand, send func([]byte)) { send(onStream(0, 0, true)) }},
	{"HTTP/3: a section without a status", 0, func(_ *rand.Rand, send func([]byte)) { send(onStream(0, 0, true, 0x01, 0x02, 0x00, 0x00)) }},
	{"HTTP/3: a request for a response", 0, func(_ *rand.Rand, send func([]byte)) { send(onStream(0, 0, true, 0x01, 0x03, 0x00, 0x00, 0xd1)) }},
	{"HTTP/3: interim responses, 5000", 0, func(_ *rand.Rand, send func([]byte)) {
		early := []byte{0x01, 0x03, 0x00, 0x00, 0xd8} // 103
		for i := range uint64(5000) {
			send(onStream(0, i*5, false, early...))
		}
	}},
	{"HTTP/3: a section without an end", 0, func(_ *rand.Rand, send func([]byte)) {
		send(onStream(0, 0, false, append([]byte{0x01}, ints(nil, highest)...)...))
	}},
	{"HTTP/3: a body that is cut off", 0, func(_ *rand.Rand, send func([]byte)) {
		send(onStream(0, 0, true, append(bytes.Clone(response), 0x00, 0x3f, 'x')...))
	}},
	{"HTTP/3: a body that is reset", 0, func(_ *rand.Rand, send func([]byte)) {
		send(append(onStream(0, 0, false, append(bytes.Clone(response), 0x00, 0x3f, 'x')...), ints(nil, 0x04, 0, 0x102, 8)...))
	}},
	{"HTTP/3: noise on the response", 0, func(rng *rand.Rand, send func([]byte)) { send(onStream(0, 0, true, some(rng, 500)...)) }},
	{"QPACK: noise for fields", 0, func(rng *rand.Rand, send func([]byte)) {
		send(onStream(0, 0, true, append([]byte{0x01, 0x40, 200}, some(rng, 200)...)...))
	}},
	{"QPACK: noise for instructions", 0, func(rng *rand.Rand, send func([]byte)) {
		send(append(onStream(3, 0, false, append([]byte{0x02}, some(rng, 300)...)...), onStream(7, 0, false, append([]byte{0x03}, some(rng, 300)...)...)...))
	}},
	{"QPACK: a response that waits for an entry", 0, func(_ *rand.Rand, send func([]byte)) { send(onStream(0, 0, true, 0x01, 0x03, 0x02, 0x00, 0x80)) }},
}
