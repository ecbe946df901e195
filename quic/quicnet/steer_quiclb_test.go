package quicnet

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quiclb"
)

func quicLB(t *testing.T, cfg quiclb.Config, serverID ...byte) *quiclb.Generator {
	t.Helper()
	g, err := quiclb.NewGenerator(cfg, serverID)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// The byte that names the shard takes the place of one that QUIC-LB leaves to the server, so both the balancer and the kernel find their way, and a
// length that is told is right; also after a rotation, and when the nonces are used up. Without such a byte there can be no shards.
func TestSteerQUICLB(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, key := range [][]byte{nil, make([]byte, 16)} {
		for _, nonceLen := range []int{4, 8, 12, 14} {
			lb := quiclb.Config{Rotation: 2, ServerIDLen: 4, NonceLen: nonceLen, Key: key, EncodeLength: true, ServerUse: 1}
			g := quicLB(t, lb, 1, 2, 3, 4)
			d, err := quiclb.NewDecoder(lb)
			if err != nil {
				t.Fatal(err)
			}
			s, err := newSteering(3, &quic.Config{ConnIDs: g})
			if err != nil {
				t.Fatal(err)
			}
			for shard := range 3 {
				ids := s.ids(shard, g)
				if ids.Len() != lb.Len() {
					t.Fatalf("%d bytes, want %d", ids.Len(), lb.Len())
				}
				for range 100 {
					id := makeID(t, ids, rng)
					if got, ok := d.ConnID(nil, id); !ok || !bytes.Equal(got, []byte{1, 2, 3, 4}) || int(id[0]&0x1f) != len(id)-1 {
						t.Fatalf("%x leads to %x, %v", id, got, ok)
					}
					if got := s.shardOf(append([]byte{0x40}, id...)); got != shard {
						t.Fatalf("%x leads to shard %d, want %d", id, got, shard)
					}
				}
			}
		}
	}
	for name, g := range map[string]*quiclb.Generator{
		"none": quicLB(t, quiclb.Config{ServerIDLen: 1, NonceLen: 8}, 1),
		"full": quicLB(t, quiclb.Config{ServerIDLen: 1, NonceLen: 18}, 1),
	} {
		cfg := serverConfig()
		cfg.ConnIDs = g
		if _, err := (ListenConfig{Shards: 2}).Listen("127.0.0.1:0", cfg); err == nil || !strings.Contains(err.Error(), "with package quiclb set ServerUse to 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Clients of a server with shards and QUIC-LB follow a rotation: in mid-life all of their connection IDs are replaced by others of the new
// configuration, which lead to the same shard.
func TestShardsRotate(t *testing.T) {
	old := quiclb.Config{Rotation: 1, ServerIDLen: 2, NonceLen: 8, Key: make([]byte, 16), ServerUse: 1}
	next := quiclb.Config{Rotation: 2, ServerIDLen: 2, NonceLen: 7, Key: bytes.Repeat([]byte{1}, 16), ServerUse: 2}
	for _, wrong := range []bool{false, true} {
		t.Run(fmt.Sprintf("wrong=%v", wrong), func(t *testing.T) {
			cfg := serverConfig()
			g := quicLB(t, old, 1, 2)
			cfg.ConnIDs = g
			ep := listenSharded(t, 3, cfg)
			if wrong {
				steerWrong(t, ep)
			}
			serveEcho(t, ep)
			ctx := testContext(t)
			var conns []*Conn
			for range 6 {
				conns = append(conns, dial(t, ep, clientConfig()))
			}
			for range 3 {
				for _, c := range conns {
					if err := exchange(ctx, c, randomBytes(20<<10)); err != nil {
						t.Fatal(err)
					}
				}
				ep.RenewConnIDs()
			}
			if err := g.Rotate(next, []byte{3, 4}); err != nil {
				t.Fatal(err)
			}
			ep.RenewConnIDs()
			for _, sh := range ep.shards {
				for _, c := range connsOf(sh) {
					for _, client := range conns {
						if client.LocalAddr().String() != c.RemoteAddr().String() {
							continue
						}
						for !leadsBy(c, next) { // each exchange brings the renewal on
							if err := exchange(ctx, client, randomBytes(1000)); err != nil {
								t.Fatal(err)
							}
						}
					}
				}
			}
		})
	}
}

// leadsBy tells whether a configuration has made all connection IDs of a connection.
func leadsBy(c *Conn, cfg quiclb.Config) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !slices.ContainsFunc(c.core.SourceIDs(), func(id quic.ConnID) bool { return int(id.Bytes()[0]>>5) != cfg.Rotation })
}

func connsOf(sh *shard) []*Conn {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return slices.Collect(maps.Keys(sh.conns))
}
