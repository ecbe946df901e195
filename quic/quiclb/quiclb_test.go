package quiclb

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"math"
	"strings"
	"sync"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectors are those of the draft, section 5.4.2.4 and appendix B; all but the first tell the length.
var vectors = []struct {
	name, key, serverID, nonce, id string
	rotation                       int
}{
	{"5.4.2.4", "fdf726a9893ec05c0632d3956680baf0", "31441a", "9c69c275", "0767947d29be054a", 0},
	{"B.1, first", "", "c4605e", "4504cc4f", "07c4605e4504cc4f", 0},
	// The draft prints nonce 3487d970b and connection ID 20a350d28b4203487d970b, which are no whole bytes: a printer without leading zeros.
	{"B.1, second", "", "350d28b420", "03487d970b", "2a350d28b42003487d970b", 1},
	{"B.2, first", "8f95f09245765f80256934e50c66207f", "ed793a", "ee080dbf", "0720b1d07b359d3c", 0},
	{"B.2, second", "8f95f09245765f80256934e50c66207f", "ed793a51d49b8f5fab65", "ee080dbf48", "2fcc381bc74cb4fbad2823a3d1f8fed2", 1},
	{"B.2, third", "8f95f09245765f80256934e50c66207f", "ed793a51d49b8f5f", "ee080dbf48c0d1e5", "504dd2d05a7b0de9b2b9907afb5ecf8cc3", 2},
	{"B.2, fourth", "8f95f09245765f80256934e50c66207f", "ed793a51d49b8f5fab", "ee080dbf48c0d1e55d", "125779c9cc86beb3a3a4a3ca96fce4bfe0cdbc", 3},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			serverID, nonce, id := unhex(t, v.serverID), unhex(t, v.nonce), unhex(t, v.id)
			cfg := Config{Rotation: v.rotation, ServerIDLen: len(serverID), NonceLen: len(nonce), EncodeLength: true}
			if v.key != "" {
				cfg.Key = unhex(t, v.key)
			}
			if v.name == "B.2, fourth" {
				// The draft's first byte has the rotation bits 0, though it says 3: what follows is encrypted all the same.
				id[0] = 3<<5 | id[0]&0x1f
			}
			g, err := NewGenerator(cfg, serverID)
			if err != nil {
				t.Fatal(err)
			}
			// The nonce comes out of a permutation: what goes in is what gives the one wanted.
			copy(g.now.nonces.next, nonce)
			var p permuter
			if p.decrypt(g.now.nonces.block, g.now.nonces.next, noncePasses, len(nonce)); true {
				got := make([]byte, g.Len())
				if err := g.Generate(got, func(b []byte) { rand.Read(b) }); err != nil || !bytes.Equal(got, id) {
					t.Errorf("connection ID %x, %v, want %x", got, err, id)
				}
			}
			d, err := NewDecoder(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := d.ConnID(nil, id); !ok || !bytes.Equal(got, serverID) {
				t.Errorf("server ID %x, %v, want %x", got, ok, serverID)
			}
		})
	}
}

// Every length there can be, with and without key, length and bytes for the server: a decoder finds the server of each connection ID, in
// either header, and no two connection IDs are the same; every length that there cannot be is refused.
func TestAllLengths(t *testing.T) {
	key := unhex(t, "8f95f09245765f80256934e50c66207f")
	good := 0
	for serverIDLen := -1; serverIDLen <= 21; serverIDLen++ {
		for nonceLen := -1; nonceLen <= 21; nonceLen++ {
			for use := -1; use <= 16; use++ {
				cfg := Config{Rotation: (good + use + 1) % 7, ServerIDLen: serverIDLen, NonceLen: nonceLen, ServerUse: use}
				cfg.EncodeLength = good&1 == 0
				if good&2 == 0 {
					cfg.Key = key
				}
				serverID := make([]byte, max(serverIDLen, 0))
				rand.Read(serverID)
				g, err := NewGenerator(cfg, serverID)
				valid := serverIDLen >= 1 && nonceLen >= 4 && use >= 0 && 1+serverIDLen+nonceLen+use <= 20
				if (err == nil) != valid {
					t.Fatalf("%+v: %v", cfg, err)
				}
				if _, err := NewDecoder(cfg); (err == nil) != valid {
					t.Fatalf("decoder of %+v: %v", cfg, err)
				}
				if valid {
					good++
					checkRouting(t, cfg, g, serverID)
				}
			}
		}
	}
	if want := 680; good != want { // the sum of (16-s)*(17-s)/2 for server IDs of s = 1 to 15 bytes
		t.Errorf("%d combinations are valid, want %d", good, want)
	}
}

func checkRouting(t *testing.T, cfg Config, g *Generator, serverID []byte) {
	t.Helper()
	d, err := NewDecoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for range 20 {
		id := make([]byte, g.Len())
		if err := g.Generate(id, func(b []byte) { rand.Read(b) }); err != nil {
			t.Fatal(err)
		}
		if block := string(id[1 : 1+cfg.block()]); seen[block] {
			t.Fatalf("%+v: connection ID %x repeats another", cfg, id)
		} else {
			seen[block] = true
		}
		short := append([]byte{0x40}, id...)
		long := append([]byte{0xc0, 0, 0, 0, 1, byte(len(id))}, id...)
		for _, datagram := range [][]byte{short, append(short, 1, 2, 3), append(long, 0, 1, 2)} {
			if got, ok := d.Datagram([]byte("x"), datagram); !ok || string(got) != "x"+string(serverID) {
				t.Fatalf("%+v: datagram %x leads to %x, %v, want %x", cfg, datagram, got, ok, serverID)
			}
		}
		for n := range len(short) {
			if _, ok := d.Datagram(nil, short[:n]); ok != (n >= 2+cfg.block()) {
				t.Fatalf("%+v: %d bytes of a short header: %v", cfg, n, ok)
			}
		}
		for n := range len(long) {
			if _, ok := d.Datagram(nil, long[:n]); ok {
				t.Fatalf("%+v: %d bytes of a long header are routable", cfg, n)
			}
		}
		if cfg.EncodeLength {
			long[6] ^= 1
			if _, ok := d.Datagram(nil, long); ok {
				t.Fatalf("%+v: a wrong length is routable", cfg)
			}
		}
		if _, ok := d.ConnID(nil, append([]byte{id[0] ^ 0x20}, id[1:]...)); ok {
			t.Fatalf("%+v: other rotation bits are routable", cfg)
		}
	}
}

func TestMisuse(t *testing.T) {
	key := make([]byte, 16)
	base := Config{Rotation: 1, ServerIDLen: 2, NonceLen: 8, Key: key}
	with := func(change func(*Config)) Config {
		c := base
		change(&c)
		return c
	}
	for _, c := range []struct {
		cfg      Config
		serverID string
		says     string
	}{
		{with(func(c *Config) { c.Rotation = 7 }), "0a0b", "Rotation is 7, which marks connection IDs that cannot be routed: give 0 to 6"},
		{with(func(c *Config) { c.Rotation = -1 }), "0a0b", "Rotation is -1: give 0 to 6"},
		{with(func(c *Config) { c.Rotation = 8 }), "0a0b", "Rotation is 8: give 0 to 6"},
		{with(func(c *Config) { c.Key = key[:15] }), "0a0b", "a key of 15 bytes: AES-128 needs 16"},
		{with(func(c *Config) { c.Key = make([]byte, 32) }), "0a0b", "a key of 32 bytes: AES-128 needs 16"},
		{with(func(c *Config) { c.Key = []byte{} }), "0a0b", "a key of 0 bytes: AES-128 needs 16; nil stands for no encryption"},
		{with(func(c *Config) { c.NonceLen = 3 }), "0a0b", "a nonce of 3 bytes: give it 4 to 18"},
		{with(func(c *Config) { c.NonceLen = 18 }), "0a0b", "a server ID of 2 bytes and a nonce of 18 are 20 together"},
		{with(func(c *Config) { c.ServerIDLen = 0 }), "", "a server ID of 0 bytes: give it 1 to 15"},
		{with(func(c *Config) { c.ServerUse = 10 }), "0a0b", "ServerUse is 10: beside a server ID of 2 bytes and a nonce of 8 it can be 0 to 9"},
		{base, "0a0b0c", `server ID "0a0b0c" has 3 bytes, and those of the configuration have 2`},
		{base, "", `server ID "" has 0 bytes`},
	} {
		if _, err := NewGenerator(c.cfg, unhex(t, c.serverID)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.says)
		}
	}
	if _, err := NewDecoder(base, base); err == nil || !strings.Contains(err.Error(), "two configurations with Rotation 1") {
		t.Errorf("two configurations: %v", err)
	}
	for _, n := range []int{7, 21} {
		if _, err := NewUnroutable(n, 0); err == nil {
			t.Errorf("unroutable connection IDs of %d bytes", n)
		}
	}
	if _, err := NewUnroutable(8, 3); err == nil {
		t.Error("ServerUse leaves no room for a configuration")
	}
	g, err := NewGenerator(base, []byte{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Generate(make([]byte, 12), func([]byte) {}); err == nil {
		t.Error("an ID of another length is filled")
	}
}

func TestRotate(t *testing.T) {
	key1, key2 := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16)
	old := Config{Rotation: 1, ServerIDLen: 2, NonceLen: 8, Key: key1, ServerUse: 2}
	g, err := NewGenerator(old, []byte{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cfg  Config
		says string
	}{
		{Config{Rotation: 2, ServerIDLen: 2, NonceLen: 8, Key: key2}, "would have 11 bytes, and those in use have 13"},
		{Config{Rotation: 2, ServerIDLen: 2, NonceLen: 10, Key: key2}, "ServerUse is 0, and so far"},
		{Config{Rotation: 1, ServerIDLen: 2, NonceLen: 8, Key: key2, ServerUse: 2}, "Rotation is 1, as in the configuration"},
		{Config{Rotation: 2, ServerIDLen: 2, NonceLen: 8, Key: key1, ServerUse: 2}, "the key is that of an earlier configuration"},
		{Config{Rotation: 2, ServerIDLen: 2, NonceLen: 8, ServerUse: 2}, "server ID 0102 is used with a key and without"},
		{Config{Rotation: 7, ServerIDLen: 2, NonceLen: 8, Key: key2, ServerUse: 2}, "Rotation is 7"},
	} {
		if err := g.Rotate(c.cfg, []byte{1, 2}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.says)
		}
	}
	next := Config{Rotation: 2, ServerIDLen: 4, NonceLen: 7, Key: key2, ServerUse: 1}
	d, err := NewDecoder(old, next)
	if err != nil {
		t.Fatal(err)
	}
	lead := func(want ...byte) {
		t.Helper()
		id := make([]byte, g.Len())
		if err := g.Generate(id, func(b []byte) { rand.Read(b) }); err != nil {
			t.Fatal(err)
		}
		if got, ok := d.ConnID(nil, id); !ok || !bytes.Equal(got, want) {
			t.Errorf("%x leads to %x, %v, want %x", id, got, ok, want)
		}
	}
	lead(1, 2)
	if err := g.Rotate(next, []byte{3, 4, 5, 6}); err != nil {
		t.Fatal(err)
	}
	next.Key[0]++ // a copy is used
	lead(3, 4, 5, 6)
	next.Key[0]--
	if g.ServerUseLen() != 1 {
		t.Errorf("ServerUseLen is %d", g.ServerUseLen())
	}
	if err := g.Rotate(Config{Rotation: 3, ServerIDLen: 2, NonceLen: 8, Key: key1, ServerUse: 2}, []byte{1, 2}); err == nil {
		t.Error("the first key is used once more")
	}
}

// A generator that has used up its nonces, and one without configuration, make connection IDs that cannot be routed and tell their
// length, until there is a configuration.
func TestUnroutable(t *testing.T) {
	cfg := Config{Rotation: 3, ServerIDLen: 3, NonceLen: 4}
	few, err := NewGenerator(cfg, []byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	if n := few.Remaining(); n != 1<<32 {
		t.Errorf("%d nonces of 4 bytes", n)
	}
	few.now.nonces.left = 3
	none, err := NewUnroutable(8, 0)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Rotation, cfg.Key = 4, make([]byte, 16)
	d, err := NewDecoder(Config{Rotation: 3, ServerIDLen: 3, NonceLen: 4}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		g        *Generator
		routable int
	}{"used up": {few, 3}, "without configuration": {none, 0}} {
		id := make([]byte, 8)
		for i := range c.routable + 3 {
			if got := c.g.Remaining(); got != uint64(max(c.routable-i, 0)) {
				t.Errorf("%s: %d nonces remain after %d", name, got, i)
			}
			if err := c.g.Generate(id, func(b []byte) { rand.Read(b) }); err != nil {
				t.Fatal(err)
			}
			if _, ok := d.ConnID(nil, id); ok != (i < c.routable) || !ok && id[0] != 0xe7 {
				t.Errorf("%s: connection ID %x is routable: %v", name, id, ok)
			}
		}
		if err := c.g.Rotate(cfg, []byte{7, 8, 9}); err != nil {
			t.Fatal(err)
		}
		if err := c.g.Generate(id, func(b []byte) { rand.Read(b) }); err != nil {
			t.Fatal(err)
		}
		if got, ok := d.ConnID(nil, id); !ok || !bytes.Equal(got, []byte{7, 8, 9}) {
			t.Errorf("%s: after a configuration %x leads to %x, %v", name, id, got, ok)
		}
	}
	long, err := NewGenerator(Config{ServerIDLen: 1, NonceLen: 8}, []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if long.Remaining() != math.MaxUint64 {
		t.Error("nonces of 8 bytes run out")
	}
}

// The permutation of nonces is one: of all short counters no two give the same; counters carry over their bytes; and of nonces that follow
// each other no byte tells so.
func TestNonces(t *testing.T) {
	for _, nonceLen := range []int{4, 5, 7, 8, 15, 16, 18} {
		g, err := NewGenerator(Config{ServerIDLen: 1, NonceLen: nonceLen}, []byte{1})
		if err != nil {
			t.Fatal(err)
		}
		for i := range g.now.nonces.next {
			g.now.nonces.next[i] = 0xff // it turns over after the first
		}
		seen := make(map[string]bool)
		stay := make([]int, nonceLen)
		var before [20]byte
		const n = 20000
		for range n {
			id := make([]byte, g.Len())
			if err := g.Generate(id, func(b []byte) { rand.Read(b) }); err != nil {
				t.Fatal(err)
			}
			if seen[string(id[2:])] {
				t.Fatalf("%d bytes: nonce %x twice", nonceLen, id[2:])
			}
			seen[string(id[2:])] = true
			for i, b := range id[2:] {
				if b == before[i] {
					stay[i]++
				}
			}
			copy(before[:], id[2:])
		}
		for i, k := range stay { // n/256 = 78 is expected, with a deviation of 9
			if k < 20 || k > 160 {
				t.Errorf("%d bytes: byte %d stayed the same %d times of %d", nonceLen, i, k, n)
			}
		}
	}
}

// Two runs of a server with the same key have the same permutation, so their connection IDs differ as long as their counters do.
func TestNoncesAfterRestart(t *testing.T) {
	cfg := Config{ServerIDLen: 1, NonceLen: 4, Key: bytes.Repeat([]byte{9}, 16)}
	seen := make(map[string]bool)
	for run := range 2 {
		g, err := NewGenerator(cfg, []byte{1})
		if err != nil {
			t.Fatal(err)
		}
		copy(g.now.nonces.next, []byte{0, byte(run), 0, 0})
		for range 1 << 16 {
			id := make([]byte, g.Len())
			if err := g.Generate(id, func(b []byte) { rand.Read(b) }); err != nil {
				t.Fatal(err)
			}
			if seen[string(id[1:])] { // with two permutations there would be one repetition
				t.Fatalf("connection ID %x twice", id)
			}
			seen[string(id[1:])] = true
		}
	}
}

// Endpoints that share a generator are under different locks.
func TestConcurrent(t *testing.T) {
	cfg := Config{ServerIDLen: 1, NonceLen: 6, Key: make([]byte, 16)}
	g, err := NewGenerator(cfg, []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	next := cfg
	next.Rotation, next.Key = 1, bytes.Repeat([]byte{1}, 16)
	d, err := NewDecoder(cfg, next)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var seen sync.Map
	for range 4 {
		wg.Go(func() {
			for i := range 2000 {
				id := make([]byte, g.Len())
				if err := g.Generate(id, func(b []byte) { rand.Read(b) }); err != nil {
					t.Error(err)
				}
				if _, twice := seen.LoadOrStore(string(id), true); twice {
					t.Errorf("%x twice", id)
				}
				if got, ok := d.ConnID(nil, id); !ok || !bytes.Equal(got, []byte{1}) {
					t.Errorf("%x leads to %x, %v", id, got, ok)
				}
				if i == 1000 {
					g.Rotate(next, []byte{1}) // succeeds once
				}
			}
		})
	}
	wg.Wait()
}

func TestAllocs(t *testing.T) {
	for _, nonceLen := range []int{8, 15} {
		cfg := Config{ServerIDLen: 1, NonceLen: nonceLen, Key: make([]byte, 16)}
		g, err := NewGenerator(cfg, []byte{1})
		if err != nil {
			t.Fatal(err)
		}
		d, err := NewDecoder(cfg)
		if err != nil {
			t.Fatal(err)
		}
		id, serverID := make([]byte, g.Len()), make([]byte, 0, 1)
		random := func(b []byte) { b[0]++ }
		if n := testing.AllocsPerRun(100, func() { g.Generate(id, random) }); n != 0 {
			t.Errorf("Generate allocates %v times", n)
		}
		if raceEnabled {
			continue // sync.Pool drops at random then
		}
		if n := testing.AllocsPerRun(100, func() { d.ConnID(serverID, id) }); n != 0 {
			t.Errorf("ConnID allocates %v times", n)
		}
	}
}

// FuzzDatagram has a decoder read anything: it returns a server ID of the right length, or none.
func FuzzDatagram(f *testing.F) {
	for _, v := range vectors {
		f.Add(append([]byte{0x40}, unhex(f, v.id)...))
		f.Add(append([]byte{0xc0, 0, 0, 0, 1, byte(len(v.id) / 2)}, unhex(f, v.id)...))
	}
	var cfgs []Config
	for i, lens := range [][2]int{{1, 4}, {3, 4}, {8, 8}, {10, 5}, {15, 4}, {1, 18}, {4, 12}} {
		cfg := Config{Rotation: i, ServerIDLen: lens[0], NonceLen: lens[1], EncodeLength: i%2 == 0}
		if i > 1 {
			cfg.Key = make([]byte, 16)
		}
		cfgs = append(cfgs, cfg)
	}
	d, err := NewDecoder(cfgs...)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		id, ok := d.Datagram(nil, b)
		if !bytes.Equal(b, before) {
			t.Fatal("the datagram was changed")
		}
		if !ok {
			if len(id) != 0 {
				t.Fatalf("%x of what is unroutable", id)
			}
			return
		}
		at := 1
		if b[0]&0x80 != 0 {
			at = 6
		}
		if want := cfgs[b[at]>>5].ServerIDLen; len(id) != want {
			t.Fatalf("a server ID of %d bytes, want %d", len(id), want)
		}
	})
}
